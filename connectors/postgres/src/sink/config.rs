//! The checked configuration of a destination: where the server is, which table a row goes to, and how.

use super::template::Template;
use crate::CONNECTION;
use crate::settings::Address;
use acme_connect::Context;
use acme_types::{Change, Config, Delivery, Diagnostic, Field, Kind, Place, Role, Spec, codes};

pub(super) static SPEC: Spec = Spec {
    name: "postgres",
    role: Role::Destination,
    summary: "Writes rows to PostgreSQL tables, applies updates and deletes by key, and commits the pipeline's progress in \
              the same transaction.",
    fields: &[
        CONNECTION,
        Field::required(
            "table",
            Kind::Text,
            "The table as `SCHEMA.TABLE`; the schema defaults to `public`. `{schema}` and `{table}` stand for where a change \
             comes from, so that one destination keeps a replica of many tables.",
        ),
        Field::optional(
            "mode",
            Kind::Choice(&["upsert", "append"]),
            "`upsert` applies inserts, updates and deletes by key; `append` adds every row. By default `upsert` for streams of \
             changes and where there is a `key`, else `append`.",
        ),
        Field::optional(
            "key",
            Kind::List(&Kind::Text),
            "The columns that identify a row; the table needs a unique index on them. By default the key of the stream, or the \
             table's primary key.",
        ),
        Field::defaulted(
            "create",
            Kind::Bool,
            "true",
            "Create a schema or table that does not exist, from the columns of its first rows, and print the statement.",
        ),
        Field::optional(
            "new_columns",
            Kind::Choice(&["add", "ignore", "error"]),
            "What becomes of columns that rows have and the table has not: `add` adds them to the table and prints the \
             statement, `ignore` leaves them out, `error` stops in front of the row. By default columns of a source's table are \
             added, unless `create: false`; other columns stop; members of documents are left out.",
        ),
        Field::defaulted(
            "truncate",
            Kind::Choice(&["apply", "ignore", "reject"]),
            "apply",
            "What a TRUNCATE of the source does: `apply` empties the table (with `mode: append` it adds a row), `ignore` keeps \
             its rows, `reject` hands it to the error policy.",
        ),
        Field::defaulted(
            "position_table",
            Kind::Text,
            "public.acme_position",
            "The table in which the pipeline's progress is committed together with its rows; created if absent.",
        ),
    ],
    delivery: Delivery::ExactlyOnce,
    change: Change::Upsert,
};

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Upsert,
    Append,
}

/// What becomes of columns that the table does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NewColumns {
    Add,
    Ignore,
    Error,
}

/// What a TRUNCATE of the source does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Truncate {
    Apply,
    Ignore,
    Reject,
}

/// All keys.
#[derive(Clone, Debug)]
pub(crate) struct SinkSettings {
    pub(crate) address: Address,
    pub(crate) table: Template,
    /// `None` follows the stream.
    pub(crate) mode: Option<Mode>,
    /// Empty follows the stream or the table.
    pub(crate) key: Vec<String>,
    pub(crate) create: bool,
    /// `None` follows the rows.
    pub(crate) new_columns: Option<NewColumns>,
    pub(crate) truncate: Truncate,
    pub(crate) position_table: (String, String),
    /// Where `connection`, `table` and `key` stand, for messages.
    pub(crate) at: Place,
    pub(crate) at_table: Place,
    pub(crate) at_key: Place,
    pub(crate) pipeline: String,
    pub(crate) item: String,
}

impl SinkSettings {
    pub(crate) fn parse(config: &Config, context: &Context) -> Result<Self, Diagnostic> {
        let fault = |key, message: String| config.blame(key, Diagnostic::new(&codes::BAD_VALUE, message));
        let url = config.secret("connection").expect("the SPEC requires it");
        let address = Address::parse(url.reveal()).map_err(|cause| {
            let help = "write it as postgres://USER:PASSWORD@HOST:5432/DATABASE?sslmode=require";
            fault("connection", format!("`connection` is not usable: {cause}")).help(help)
        })?;
        let text = |key: &str| config.text(key).map_or("", String::as_str);
        let table = Template::parse(text("table"))
            .map_err(|cause| fault("table", format!("`table` names no table: {cause}")))?;
        let position_table = Template::parse(text("position_table"))
            .and_then(|template| template.fixed().ok_or_else(|| "it has a placeholder".to_owned()))
            .map_err(|cause| fault("position_table", format!("`position_table` names no table: {cause}")))?;
        let mode = match text("mode") {
            "upsert" => Some(Mode::Upsert),
            "append" => Some(Mode::Append),
            _ => None,
        };
        let key: Vec<String> = config.texts("key").map(str::to_owned).collect();
        if mode == Some(Mode::Append) && !key.is_empty() {
            let help = "remove one of them: rows that are appended need no key";
            return Err(fault("key", "there is a `key` besides `mode: append`".to_owned()).help(help));
        }
        if let Some(twice) =
            key.iter().enumerate().find_map(|(at, name)| key[..at].contains(name).then_some(name))
        {
            return Err(fault("key", format!("the column \"{twice}\" is listed twice")));
        }
        Ok(Self {
            address,
            table,
            mode,
            key,
            create: config.bool("create").copied().unwrap_or(true),
            new_columns: match text("new_columns") {
                "add" => Some(NewColumns::Add),
                "ignore" => Some(NewColumns::Ignore),
                "error" => Some(NewColumns::Error),
                _ => None,
            },
            truncate: match text("truncate") {
                "ignore" => Truncate::Ignore,
                "reject" => Truncate::Reject,
                _ => Truncate::Apply,
            },
            position_table,
            at: config.place("connection").clone(),
            at_table: config.place("table").clone(),
            at_key: config.place("key").clone(),
            pipeline: context.pipeline.to_string(),
            item: context.item.to_string(),
        })
    }

    /// Updates and deletes are applied unless every row is to be added. Without `mode` that is decided by the rows.
    pub(crate) fn change(&self) -> Change {
        match self.mode {
            Some(Mode::Append) => Change::Append,
            Some(Mode::Upsert) | None => Change::Upsert,
        }
    }

    /// What is promised where another destination holds the commit point: rows with a key are written again to the same
    /// effect.
    pub(crate) fn delivery(&self) -> Delivery {
        match self.mode {
            Some(Mode::Append) => Delivery::AtLeastOnce,
            Some(Mode::Upsert) => Delivery::Idempotent,
            None if self.key.is_empty() && !self.table.has_placeholders() => Delivery::AtLeastOnce,
            None => Delivery::Idempotent,
        }
    }
}

impl SinkSettings {
    /// The mode, as far as the file says it.
    pub(crate) fn given_mode(&self) -> Option<Mode> {
        self.mode.or((!self.key.is_empty()).then_some(Mode::Upsert))
    }

    /// The mode for rows that are changes, or are not.
    pub(crate) fn mode_for(&self, changes: bool) -> Mode {
        self.given_mode().unwrap_or(if changes { Mode::Upsert } else { Mode::Append })
    }
}
