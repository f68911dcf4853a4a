//! The value of a column as text, for ids, keys and names.

use acme_types::batch::{META_PREFIX, is_json};
use acme_types::{Batch, Diagnostic, codes};
use arrow::array::{Array, AsArray, BinaryViewArray, Int64Array, StringArray, StringViewArray};
use arrow::compute::{can_cast_types, cast};
use arrow::datatypes::DataType;
use std::io::Write;

/// A column that is read as text. The types that ids usually have are read in place; all others are cast once a batch.
#[derive(Debug)]
pub enum Cell {
    /// 64-bit integers.
    Int(Int64Array),
    /// Texts.
    Text(StringArray),
    /// Texts too.
    View(StringViewArray),
    /// Bytes as they are.
    Bytes(BinaryViewArray),
    /// JSON text: a text's content, anything else that is a scalar as it stands.
    Json(StringViewArray),
}

/// What a row has in a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// A value, which was written.
    Value,
    /// NULL, or no such field.
    Null,
    /// An object or array, which is not a text.
    Nested,
}

impl Cell {
    /// The column of that name. Fails when there is none, or when its type has no text.
    ///
    /// **Errors** [`codes::UNKNOWN_FIELD`] and [`codes::BAD_VALUE`], both mistakes of the plan.
    pub fn new(batch: &Batch, column: &str) -> Result<Self, Diagnostic> {
        let schema = batch.columns.schema_ref();
        let (Some(array), Ok(field)) = (batch.column(column), schema.field_with_name(column)) else {
            let message = format!("the rows have no field \"{}\"", column.trim_start_matches(META_PREFIX));
            return Err(Diagnostic::new(&codes::UNKNOWN_FIELD, message));
        };
        Ok(match array.data_type() {
            DataType::Int64 => Self::Int(array.as_primitive().clone()),
            DataType::Utf8 => Self::Text(array.as_string().clone()),
            DataType::Utf8View if is_json(field) => Self::Json(array.as_string_view().clone()),
            DataType::Utf8View => Self::View(array.as_string_view().clone()),
            DataType::BinaryView => Self::Bytes(array.as_binary_view().clone()),
            other if !other.is_nested() && can_cast_types(other, &DataType::Utf8) => {
                let text = cast(array, &DataType::Utf8)
                    .map_err(|error| Diagnostic::new(&codes::BAD_VALUE, format!("\"{column}\": {error}")))?;
                Self::Text(text.as_string().clone())
            }
            other => {
                let message = format!("\"{column}\" is a {other}, which cannot be an id or part of a name");
                return Err(Diagnostic::new(&codes::BAD_VALUE, message));
            }
        })
    }

    /// Appends the value of a row.
    pub fn write(&self, row: usize, out: &mut Vec<u8>) -> Found {
        let null = match self {
            Self::Int(array) => array.is_null(row),
            Self::Text(array) => array.is_null(row),
            Self::View(array) | Self::Json(array) => array.is_null(row),
            Self::Bytes(array) => array.is_null(row),
        };
        if null {
            return Found::Null;
        }
        match self {
            Self::Int(array) => write!(out, "{}", array.value(row)).expect("memory takes all"),
            Self::Text(array) => out.extend_from_slice(array.value(row).as_bytes()),
            Self::View(array) => out.extend_from_slice(array.value(row).as_bytes()),
            Self::Bytes(array) => out.extend_from_slice(array.value(row)),
            Self::Json(array) => return write_json(array.value(row).trim(), out),
        }
        Found::Value
    }
}

fn write_json(text: &str, out: &mut Vec<u8>) -> Found {
    match text.as_bytes().first() {
        Some(b'"') if !text.contains('\\') => out.extend_from_slice(text.trim_matches('"').as_bytes()),
        Some(b'"') => match serde_json::from_str::<String>(text) {
            Ok(content) => out.extend_from_slice(content.as_bytes()),
            Err(_) => return Found::Nested,
        },
        Some(b'{' | b'[') => return Found::Nested,
        Some(b'n') | None => return Found::Null,
        Some(_) => out.extend_from_slice(text.as_bytes()),
    }
    Found::Value
}
