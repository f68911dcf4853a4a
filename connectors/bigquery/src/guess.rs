//! What a table is created with: the types of typed rows, or what the documents of the first flush look like.

use crate::table::{Field, Type};
use acme_connect::{Guess, Rows};
use acme_types::batch::is_json;
use arrow::datatypes::DataType;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashMap;

/// What a column for it is.
fn column(guess: Guess) -> Type {
    match guess {
        Guess::Bool => Type::Bool,
        Guess::Int => Type::Int,
        Guess::Number => Type::Float,
        Guess::Timestamp => Type::Timestamp,
        Guess::Nothing | Guess::Text => Type::Text,
        Guess::Json => Type::Json,
    }
}

/// The members of documents in the order in which they first occur, and what their values have been.
#[derive(Debug, Default)]
pub(crate) struct Guesses {
    found: Vec<(String, Guess)>,
    by_name: HashMap<String, usize>,
}

impl Guesses {
    /// Looks at a document; fails with the reason for which it is none.
    pub(crate) fn look(&mut self, document: &[u8]) -> Result<(), String> {
        let text = std::str::from_utf8(document).map_err(|_| "the row is not UTF-8 text".to_owned())?;
        let members: HashMap<Cow<'_, str>, &RawValue> =
            serde_json::from_str(text).map_err(|error| format!("the row is no JSON object: {error}"))?;
        let mut members: Vec<(&str, &str)> =
            members.iter().map(|(name, value)| (&**name, value.get())).collect();
        members.sort_by_key(|(_, value)| value.as_ptr());
        for (name, value) in members {
            self.add(name, Guess::of(value));
        }
        Ok(())
    }

    /// Adds what is known of a member.
    pub(crate) fn add(&mut self, name: &str, guess: Guess) {
        match self.by_name.get(name) {
            Some(at) => self.found[*at].1 = self.found[*at].1.or(guess),
            None => {
                self.by_name.insert(name.to_owned(), self.found.len());
                self.found.push((name.to_owned(), guess));
            }
        }
    }

    /// The columns that hold all of it.
    pub(crate) fn fields(&self) -> Vec<Field> {
        self.found.iter().map(|(name, guess)| Field::new(name, column(*guess))).collect()
    }
}

/// The columns of typed rows; `None` for documents.
pub(crate) fn typed(rows: &Rows) -> Option<Vec<Field>> {
    if rows.shape.document.is_some() {
        return None;
    }
    let schema = rows.batch.schema();
    let field = |(name, internal): &(String, String)| {
        let field = schema.field_with_name(internal).expect("the shape names columns of the batch");
        let kind = if is_json(field) { Type::Json } else { kind(field.data_type()) };
        Field::new(name, kind)
    };
    Some(rows.shape.columns.iter().map(field).collect())
}

/// The type of a column that holds such values.
fn kind(data_type: &DataType) -> Type {
    match data_type {
        DataType::Boolean => Type::Bool,
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => Type::Int,
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 => Type::Int,
        DataType::Float16 | DataType::Float32 | DataType::Float64 => Type::Float,
        // NUMERIC has 29 digits before the point and 9 behind it.
        DataType::Decimal128(precision, scale @ 0..=9) if i16::from(*precision) - i16::from(*scale) <= 29 => {
            Type::Numeric
        }
        DataType::UInt64 => Type::Numeric,
        DataType::Decimal128(..) | DataType::Decimal256(..) => Type::BigNumeric,
        DataType::Binary | DataType::LargeBinary | DataType::FixedSizeBinary(_) | DataType::BinaryView => {
            Type::Bytes
        }
        DataType::Date32 | DataType::Date64 => Type::Date,
        DataType::Time32(_) | DataType::Time64(_) => Type::Time,
        DataType::Timestamp(_, None) => Type::DateTime,
        DataType::Timestamp(_, Some(_)) => Type::Timestamp,
        nested if nested.is_nested() => Type::Json,
        _ => Type::Text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_say_what_their_table_is() {
        let mut guesses = Guesses::default();
        for line in [
            r#"{"id":1,"at":"2026-01-02T03:04:05Z","n":1,"ok":true,"tags":["a"],"mixed":1,"none":null,"day":"2026-01-02"}"#,
            r#"{"n":1.5,"mixed":"x","id":2,"late":"y","at":"2026-01-02T03:04:05.123+02:00","local":"2026-01-02T03:04:05.123"}"#,
        ] {
            guesses.look(line.as_bytes()).expect("it is a document");
        }
        assert!(guesses.look(b"not json").is_err() && guesses.look(b"[1]").is_err());
        let found: Vec<String> =
            guesses.fields().iter().map(|field| format!("{} {}", field.name, field.kind)).collect();
        assert_eq!(
            found.join(", "),
            "id INT64, at TIMESTAMP, n FLOAT64, ok BOOL, tags JSON, mixed STRING, none STRING, day STRING, late STRING, \
             local STRING"
        );
    }
}
