//! Columns that rows have and their table has not: added, left out, or in the way.
//!
//! A column that is added must hold for the rows that are there what the source has for them, or nothing is added: the
//! source says what rows from before the column have, and where it cannot, or where the column may be a renamed one, the
//! user decides.

use super::config::{NewColumns, SinkSettings};
use super::ddl;
use super::input::Columns;
use super::session::Session;
use super::target::{Target, shown, sql};
use crate::catalog::{BEFORE, EMPTY, Fault};
use crate::wire::{WireError, ident, literal};
use acme_connect::Encoded;
use acme_types::Diagnostic;
use arrow::datatypes::Field;
use std::io::Write;

/// Brings table and columns together: the columns that are written, and whether the table has grown.
pub(crate) async fn typed(
    settings: &SinkSettings,
    session: &mut Session,
    target: &Target,
    mut columns: Columns,
) -> Result<(Columns, bool), Fault> {
    let is_new = |name: &str| target.column(name).is_none();
    if !columns.columns.iter().any(|(name, ..)| is_new(name)) {
        return Ok((columns, false));
    }
    if settings.new_columns == Some(NewColumns::Ignore) {
        columns.columns.retain(|(name, ..)| !is_new(name));
        return Ok((columns, false));
    }
    let new: Vec<(&str, &Field)> = (columns.columns.iter())
        .filter(|(name, ..)| is_new(name))
        .map(|(name, field, _)| (&**name, field.as_ref()))
        .collect();
    let renamed = left_behind(target, &columns);
    for (name, field) in new {
        let kind = ddl::sql_type(field);
        let before = field.metadata().get(BEFORE).map(String::as_str);
        let added = match (settings.new_columns, before) {
            (Some(NewColumns::Error | NewColumns::Ignore), _) => false,
            (Some(NewColumns::Add), _) => true,
            (None, before) => before.is_some() && settings.create,
        };
        if !added {
            return Err(absent(settings, target, name, &kind).into());
        }
        let filling = match before {
            None | Some(EMPTY) => None,
            Some(before) => Some(before.strip_prefix('=')),
        };
        let is_empty =
            session.query(&format!("SELECT 1 FROM {} LIMIT 1", sql(&target.name))).await?.is_empty();
        if !is_empty {
            if let (Some(old), Some(_)) = (renamed, before) {
                return Err(ambiguous(settings, target, old, name, &kind).into());
            }
            if filling == Some(None) {
                return Err(unknown(settings, target, name, &kind).into());
            }
        }
        add(settings, session, target, (name, &kind), filling.flatten()).await?;
    }
    Ok((columns, true))
}

/// Adds members of documents, where that was asked for; whether the table has grown.
pub(crate) async fn documents(
    settings: &SinkSettings,
    session: &mut Session,
    target: &Target,
    encoded: &Encoded,
) -> Result<bool, Fault> {
    let Some(NewColumns::Add | NewColumns::Error) = settings.new_columns else { return Ok(false) };
    let mut grown = false;
    for (name, kind) in ddl::documents(encoded).iter().filter(|(name, _)| target.column(name).is_none()) {
        if settings.new_columns == Some(NewColumns::Error) {
            return Err(absent(settings, target, name, kind).into());
        }
        add(settings, session, target, (name, kind), None).await?;
        grown = true;
    }
    Ok(grown)
}

/// A column of the table that the rows do not fill, and nobody else does: it may be what a new one was called before.
fn left_behind<'a>(target: &'a Target, columns: &Columns) -> Option<&'a str> {
    let mut columns_left =
        target.columns.iter().filter(|column| !column.defaulted && !column.generated && !column.identity);
    columns_left.find(|column| columns.find(&column.name).is_none()).map(|column| &*column.name)
}

/// Adds a column; the rows that are there get this value in it. Later rows bring their own, so it is no default.
async fn add(
    settings: &SinkSettings,
    session: &mut Session,
    target: &Target,
    (name, kind): (&str, &str),
    filling: Option<&str>,
) -> Result<(), Fault> {
    let (table, column) = (sql(&target.name), ident(name));
    let mut ddl = format!("ALTER TABLE {table} ADD COLUMN IF NOT EXISTS {column} {kind}");
    if let Some(value) = filling {
        ddl +=
            &format!(" DEFAULT {}; ALTER TABLE {table} ALTER COLUMN {column} DROP DEFAULT", literal(value));
    }
    match session.query(&ddl).await {
        Err(WireError::Server(error)) if error.code == "42501" => {
            Err(absent(settings, target, name, kind).into())
        }
        done => {
            done?;
            // What was done is said; where nobody listens it is not missed.
            let _ = writeln!(std::io::stderr().lock(), "{}: {ddl}", settings.item);
            Ok(())
        }
    }
}

fn statement(target: &Target, name: &str, kind: &str) -> String {
    format!("ALTER TABLE {} ADD COLUMN {} {kind}", sql(&target.name), ident(name))
}

fn absent(settings: &SinkSettings, target: &Target, name: &str, kind: &str) -> Diagnostic {
    let message = format!("table {} has no column \"{name}\"", shown(&target.name));
    let help = format!(
        "run: {}; or leave it out of the rows, or set `new_columns: ignore`",
        statement(target, name, kind)
    );
    settings.user(message, help).at(&settings.at_table)
}

fn unknown(settings: &SinkSettings, target: &Target, name: &str, kind: &str) -> Diagnostic {
    let message = format!(
        "table {} has no column \"{name}\", and what its rows have in it in the source is not known here",
        shown(&target.name)
    );
    let help = format!(
        "run: {}; fill it from the source, and start again: only rows that change from now on bring it along",
        statement(target, name, kind)
    );
    settings.user(message, help).at(&settings.at_table)
}

fn ambiguous(settings: &SinkSettings, target: &Target, old: &str, name: &str, kind: &str) -> Diagnostic {
    let message = format!(
        "table {} has no column \"{name}\", and a column \"{old}\" that the rows do not have: it may be the same under its \
         former name",
        shown(&target.name)
    );
    let help = format!(
        "if it was renamed, run: ALTER TABLE {} RENAME COLUMN {} TO {}; else run: {}; and start again",
        sql(&target.name),
        ident(old),
        ident(name),
        statement(target, name, kind)
    );
    settings.user(message, help).at(&settings.at_table)
}
