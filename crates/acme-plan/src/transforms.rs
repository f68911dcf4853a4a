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

/// The keys of `window:`.
const WINDOW_KEYS: &[Field] = &[
    Field::required(
        "type",
        Kind::Choice(&["tumbling", "hopping", "sliding", "cumulative"]),
        "`tumbling`: each moment is in one window. `hopping`: a window begins every `hop`; they overlap where it is shorter than \
         `size`, and leave gaps where it is longer. `sliding`: the same with `slide`, which is at most `size`. `cumulative`: windows \
         that begin together every `size` and end after one, two, … `step`s.",
    ),
    Field::required("size", Kind::Duration, "How long a window is; of cumulative windows the longest."),
    Field::optional(
        "hop",
        Kind::Duration,
        "Of hopping windows: from the beginning of one to that of the next.",
    ),
    Field::optional(
        "slide",
        Kind::Duration,
        "Of sliding windows: from the beginning of one to that of the next.",
    ),
    Field::optional(
        "step",
        Kind::Duration,
        "Of cumulative windows: how much longer each next one is; it divides `size`.",
    ),
    Field::defaulted(
        "offset",
        Kind::Duration,
        "0s",
        "Windows begin so long after the multiples of their size since 1970, UTC.",
    ),
    Field::defaulted(
        "allowed_lateness",
        Kind::Duration,
        "0s",
        "How long after its end a window still takes rows. It is said when it ends, and its rows that have changed since are said \
         again at each commit.",
    ),
];

/// Aggregates rows of a stretch of time.
static WINDOW: Spec = transform(
    "window",
    "Aggregates the rows of each window of event time, by key. A window is said when no row of it is expected any more.",
    &[
        Field::required("window", Kind::Object(WINDOW_KEYS), "Which stretches of time."),
        Field::optional(
            "group_by",
            Kind::List(&Kind::Sql),
            "Fields or expressions, `lower(country) AS country`; one row for each of their values. Without it one row a window.",
        ),
        Field::required(
            "aggregates",
            Kind::Map(&Kind::Sql),
            "New fields, each with a SQL expression over aggregates: `count(*)`, `sum(price) / count(*)`, `max(price) FILTER (WHERE \
             ok)`, `count(DISTINCT user)`. `first_value`, `last_value`, `array_agg` and `string_agg` go by event time.",
        ),
        Field::defaulted(
            "emit",
            Kind::Choice(&["updates", "final"]),
            "updates",
            "`final`: each window is said once, when it takes no late rows any more.",
        ),
        Field::optional(
            "late",
            Kind::Object(&[Field::required("to", Kind::Step, "The name of the output.")]),
            "The rows that came too late for all windows of their time, with `_meta.late_reason`. Without it they are counted only.",
        ),
    ],
);

/// All transforms.
pub static SPECS: &[&Spec] = &[&FILTER, &MAP, &SELECT, &ROUTE, &WINDOW];

/// Whether steps of this type keep state between rows.
#[must_use]
pub fn keeps_state(spec: &Spec) -> bool {
    spec.role == Role::Transform && spec.name == WINDOW.name
}
