//! What a table is created with: the types of typed rows, or what the documents of the first rows look like.

use super::input::Columns;
use crate::catalog::SQL_TYPE;
use acme_connect::{Encoded, Guess};
use acme_types::batch::is_json;
use arrow::datatypes::{DataType, Field};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashMap;

/// Names and types of typed columns.
pub(crate) fn typed(columns: &Columns) -> Vec<(String, String)> {
    columns.columns.iter().map(|(name, field, _)| (name.clone(), sql_type(field))).collect()
}

/// The type of a column that holds such values: what the source's own table has, where it is PostgreSQL too.
pub(crate) fn sql_type(field: &Field) -> String {
    if let Some(own) = field.metadata().get(SQL_TYPE) {
        return own.clone();
    }
    match field.data_type() {
        _ if is_json(field) => "jsonb".to_owned(),
        DataType::Boolean => "boolean".to_owned(),
        DataType::Int8 | DataType::UInt8 | DataType::Int16 => "smallint".to_owned(),
        DataType::UInt16 | DataType::Int32 => "integer".to_owned(),
        DataType::UInt32 | DataType::Int64 => "bigint".to_owned(),
        DataType::UInt64 => "numeric(20)".to_owned(),
        DataType::Float16 | DataType::Float32 => "real".to_owned(),
        DataType::Float64 => "double precision".to_owned(),
        DataType::Decimal128(precision, scale @ 0..) if scale.unsigned_abs() <= *precision => {
            format!("numeric({precision},{scale})")
        }
        DataType::Decimal128(..) | DataType::Decimal256(..) => "numeric".to_owned(),
        DataType::Binary | DataType::LargeBinary | DataType::FixedSizeBinary(_) | DataType::BinaryView => {
            "bytea".to_owned()
        }
        DataType::Date32 | DataType::Date64 => "date".to_owned(),
        DataType::Time32(_) | DataType::Time64(_) => "time".to_owned(),
        DataType::Timestamp(_, None) => "timestamp".to_owned(),
        DataType::Timestamp(_, Some(_)) => "timestamptz".to_owned(),
        _ => "text".to_owned(),
    }
}

/// The type of a column for it.
fn sql(guess: Guess) -> &'static str {
    match guess {
        Guess::Bool => "boolean",
        Guess::Int => "bigint",
        Guess::Number => "numeric",
        Guess::Timestamp => "timestamptz",
        Guess::Nothing | Guess::Text => "text",
        Guess::Json => "jsonb",
    }
}

/// Names and types of the members of documents, in the order in which they first occur. Documents that are none are left to
/// those who read them.
pub(crate) fn documents(encoded: &Encoded) -> Vec<(String, String)> {
    let mut guesses: Vec<(String, Guess)> = Vec::new();
    for row in 0..encoded.ends.len() {
        let Ok(text) = std::str::from_utf8(encoded.row(row)) else { continue };
        let Ok(members) = serde_json::from_str::<HashMap<Cow<'_, str>, &RawValue>>(text) else { continue };
        let mut members: Vec<(&str, &str)> =
            members.iter().map(|(name, value)| (&**name, value.get())).collect();
        members.sort_by_key(|(_, value)| value.as_ptr());
        for (name, value) in members {
            let guess = Guess::of(value);
            match guesses.iter_mut().find(|(known, _)| known == name) {
                Some((_, known)) => *known = known.or(guess),
                None => guesses.push((name.to_owned(), guess)),
            }
        }
    }
    guesses.into_iter().map(|(name, guess)| (name, sql(guess).to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_say_what_their_table_is() {
        let mut encoded = Encoded::default();
        for line in [
            r#"{"id":1,"at":"2026-01-02T03:04:05Z","n":1,"ok":true,"tags":["a"],"mixed":1,"none":null,"day":"2026-01-02"}"#,
            r#"{"n":1.5,"mixed":"x","id":2,"late":"y","at":"2026-01-02T03:04:05.123+02:00"}"#,
            "not json",
        ] {
            encoded.bytes.extend_from_slice(line.as_bytes());
            encoded.bytes.push(b'\n');
            encoded.ends.push(encoded.bytes.len());
        }
        let found = documents(&encoded);
        let found: Vec<String> = found.iter().map(|(name, kind)| format!("{name} {kind}")).collect();
        assert_eq!(
            found.join(", "),
            "id bigint, at timestamptz, n numeric, ok boolean, tags jsonb, mixed text, none text, day text, late text"
        );
    }
}
