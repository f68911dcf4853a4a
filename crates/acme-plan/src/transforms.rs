//! The transforms, as users see them.

use acme_types::{Change, Delivery, Field, Kind, Role, Spec};

const fn transform(name: &'static str, summary: &'static str, fields: &'static [Field]) -> Spec {
    Spec {
        name,
        role: Role::Transform,
        summary,
        fields,
        delivery: Delivery::ExactlyOnce,
        change: Change::Upsert,
    }
}

/// Keeps rows.
static FILTER: Spec = transform(
    "filter",
    "Keeps the rows for which a condition is true.",
    &[Field::required(
        "condition",
        Kind::Sql,
        "A SQL condition; rows for which it is false or NULL are dropped. Over a stream of changes, what it asks of \
         `operation`, other metadata and the key decides which changes are seen; what it asks of other columns decides \
         which rows exist: a row that an update takes out of it is deleted at the destination.",
    )],
);

/// Changes rows.
static MAP: Spec = transform(
    "map",
    "Adds, replaces, renames or removes fields; everything else stays as it is.",
    &[
        Field::optional(
            "fields",
            Kind::Map(&Kind::Sql),
            "New or replaced fields, each with a SQL expression.",
        ),
        Field::optional("rename", Kind::Map(&Kind::Text), "Fields that get another name: `old: new`."),
        Field::optional("drop", Kind::List(&Kind::Text), "Fields that are left out."),
        Field::optional("only", Kind::List(&Kind::Text), "The fields that stay; all others are left out."),
    ],
);

/// Makes rows anew.
static SELECT: Spec = transform(
    "select",
    "Makes each row anew from a list of expressions, as SQL's SELECT does.",
    &[Field::required("fields", Kind::List(&Kind::Sql), "Fields or expressions, `price * 2 AS doubled`.")],
);

/// Splits a stream.
static ROUTE: Spec = transform(
    "route",
    "Sends each row to the first of several named outputs whose condition is true.",
    &[
        Field::required(
            "routes",
            Kind::Map(&Kind::Sql),
            "Outputs, each with a SQL condition, tried in this order. In a stream of changes a row that an update moves to \
             another output is deleted behind the first.",
        ),
        Field::optional(
            "default",
            Kind::Text,
            "The output for rows that no condition takes; without it they are dropped.",
        ),
    ],
);

/// All transforms.
pub static SPECS: &[&Spec] = &[&FILTER, &MAP, &SELECT, &ROUTE];
