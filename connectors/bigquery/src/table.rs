//! Tables as the REST API describes them, and the statement that would create one.

use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// `PROJECT.DATASET.TABLE`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Name {
    pub(crate) project: String,
    pub(crate) dataset: String,
    pub(crate) table: String,
}

impl Name {
    /// Another table of the same dataset.
    pub(crate) fn sibling(&self, table: String) -> Self {
        Self { table, ..self.clone() }
    }

    /// As SQL names it.
    pub(crate) fn sql(&self) -> String {
        format!("`{}.{}.{}`", self.project, self.dataset, self.table)
    }

    /// As the Storage Write API names it.
    pub(crate) fn path(&self) -> String {
        format!("projects/{}/datasets/{}/tables/{}", self.project, self.dataset, self.table)
    }

    /// As people name it.
    pub(crate) fn shown(&self) -> String {
        format!("{}.{}.{}", self.project, self.dataset, self.table)
    }
}

/// The types of columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Int,
    Float,
    Bool,
    Text,
    Bytes,
    Timestamp,
    Date,
    Time,
    DateTime,
    Numeric,
    BigNumeric,
    Json,
    Geography,
    Interval,
    Record,
    /// One that cannot be written.
    Other,
}

impl Type {
    /// Reads the name of a type: the legacy names are synonyms.
    fn parse(name: &str) -> Self {
        match name {
            "INTEGER" | "INT64" => Self::Int,
            "FLOAT" | "FLOAT64" => Self::Float,
            "BOOLEAN" | "BOOL" => Self::Bool,
            "STRING" => Self::Text,
            "BYTES" => Self::Bytes,
            "TIMESTAMP" => Self::Timestamp,
            "DATE" => Self::Date,
            "TIME" => Self::Time,
            "DATETIME" => Self::DateTime,
            "NUMERIC" => Self::Numeric,
            "BIGNUMERIC" => Self::BigNumeric,
            "JSON" => Self::Json,
            "GEOGRAPHY" => Self::Geography,
            "INTERVAL" => Self::Interval,
            "RECORD" | "STRUCT" => Self::Record,
            _ => Self::Other,
        }
    }

    /// Its name in SQL.
    pub(crate) fn sql(self) -> &'static str {
        match self {
            Self::Int => "INT64",
            Self::Float => "FLOAT64",
            Self::Bool => "BOOL",
            Self::Text => "STRING",
            Self::Bytes => "BYTES",
            Self::Timestamp => "TIMESTAMP",
            Self::Date => "DATE",
            Self::Time => "TIME",
            Self::DateTime => "DATETIME",
            Self::Numeric => "NUMERIC",
            Self::BigNumeric => "BIGNUMERIC",
            Self::Json => "JSON",
            Self::Geography => "GEOGRAPHY",
            Self::Interval => "INTERVAL",
            Self::Record => "STRUCT",
            Self::Other => "an unknown type",
        }
    }
}

/// A column as it is read and created; `type`, `mode` and all else are kept as the server has them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Field {
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) mode: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) fields: Vec<Self>,
    #[serde(default, rename = "defaultValueExpression", skip_serializing_if = "Option::is_none")]
    pub(crate) default: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) precision: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) scale: Option<String>,
}

impl Field {
    /// A column that may be NULL.
    pub(crate) fn new(name: &str, kind: Type) -> Self {
        let kind = if kind == Type::Record { "RECORD" } else { kind.sql() };
        Self { name: name.to_owned(), kind: kind.to_owned(), ..Self::default() }
    }

    pub(crate) fn kind(&self) -> Type {
        Type::parse(&self.kind)
    }

    pub(crate) fn is_repeated(&self) -> bool {
        self.mode.as_deref() == Some("REPEATED")
    }

    pub(crate) fn is_required(&self) -> bool {
        self.mode.as_deref() == Some("REQUIRED")
    }
}

/// What is read of a table.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Table {
    #[serde(default)]
    pub(crate) schema: Schema,
    /// `TABLE`, `VIEW`, `EXTERNAL` and others.
    #[serde(default, rename = "type")]
    pub(crate) kind: String,
    pub(crate) table_constraints: Option<Constraints>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Schema {
    #[serde(default)]
    pub(crate) fields: Vec<Field>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Constraints {
    pub(crate) primary_key: Option<PrimaryKey>,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct PrimaryKey {
    #[serde(default)]
    pub(crate) columns: Vec<String>,
}

impl Table {
    /// The columns of its primary key; empty where it has none.
    pub(crate) fn primary_key(&self) -> Vec<String> {
        let key = self.table_constraints.as_ref().and_then(|constraints| constraints.primary_key.as_ref());
        key.map(|key| key.columns.clone()).unwrap_or_default()
    }
}

/// The statement that creates such a table.
pub(crate) fn create_table(name: &Name, fields: &[Field]) -> String {
    let mut ddl = format!("CREATE TABLE {} (", name.sql());
    for (at, field) in fields.iter().enumerate() {
        let comma = if at > 0 { ", " } else { "" };
        let _ = write!(ddl, "{comma}{} {}", quoted(&field.name), field.kind().sql());
    }
    ddl + ")"
}

/// The statement that adds a column.
pub(crate) fn add_column(name: &Name, field: &Field) -> String {
    format!("ALTER TABLE {} ADD COLUMN {} {}", name.sql(), quoted(&field.name), field.kind().sql())
}

/// The name of a column in SQL.
pub(crate) fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('\\', r"\\").replace('`', r"\`"))
}
