//! Rows to CSV records.

use super::Dialect;
use crate::encode::{Encode, Encoded};
use crate::json::cell_options;
use acme_types::batch::is_json;
use acme_types::{Batch, Diagnostic, Shape, codes};
use arrow::array::{Array, ArrayRef, AsArray, Float32Array, Float64Array, StringViewArray};
use arrow::datatypes::{DataType, FieldRef};
use arrow::json::writer::{EncoderOptions, NullableEncoder, make_encoder};
use std::io::Write;

/// Writes one record a row, each with a line end.
///
/// Values look as they do in JSON, texts without its quotes: timestamps as RFC 3339, decimals as exact numbers, bytes as
/// base64, arrays and documents as JSON. NULL is the NULL text; a text that looks like it stands in quotes.
pub struct CsvEncoder {
    shape: Shape,
    dialect: Dialect,
    /// Reused between cells.
    cell: Vec<u8>,
}

impl CsvEncoder {
    /// An encoder for rows of this shape, which must not be documents.
    #[must_use]
    pub fn new(dialect: Dialect, shape: Shape) -> Self {
        Self { shape, dialect, cell: Vec::new() }
    }
}

/// The header line of a file with these fields, with its line end.
#[must_use]
pub fn header<'n>(dialect: &Dialect, names: impl Iterator<Item = &'n str>) -> Vec<u8> {
    let mut line = Vec::new();
    for (at, name) in names.enumerate() {
        if at > 0 {
            line.push(dialect.delimiter);
        }
        write_text(dialect, name.as_bytes(), &mut line);
    }
    line.push(b'\n');
    line
}

impl Encode for CsvEncoder {
    fn encode(&mut self, batch: &Batch, out: &mut Encoded) -> Result<(), Diagnostic> {
        if self.shape.document.is_some() {
            let message = "a stream of documents without known columns is written as CSV";
            return Err(Diagnostic::new(&codes::INTERNAL, message));
        }
        let schema = batch.columns.schema();
        let options = cell_options();
        let mut columns = Vec::with_capacity(self.shape.columns.len());
        for (_, name) in &self.shape.columns {
            let at = schema.index_of(name).map_err(|error| internal(&error))?;
            columns.push(Column::new(&schema.fields()[at], batch.columns.column(at), &options)?);
        }
        for row in 0..batch.rows() {
            for (at, column) in columns.iter_mut().enumerate() {
                if at > 0 {
                    out.bytes.push(self.dialect.delimiter);
                }
                column.write(row, &self.dialect, &mut self.cell, &mut out.bytes);
            }
            out.bytes.push(b'\n');
            out.ends.push(out.bytes.len());
        }
        Ok(())
    }
}

fn internal(error: &dyn std::fmt::Display) -> Diagnostic {
    Diagnostic::new(&codes::INTERNAL, format!("a row cannot be written as CSV: {error}"))
}

/// How a column is written.
enum Column<'a> {
    Text(&'a StringViewArray),
    /// JSON text: a string as what it says, anything else as it is written.
    Json(&'a StringViewArray),
    Single(&'a Float32Array),
    Double(&'a Float64Array),
    /// As in JSON.
    Other(&'a ArrayRef, NullableEncoder<'a>),
}

impl<'a> Column<'a> {
    fn new(
        field: &'a FieldRef,
        array: &'a ArrayRef,
        options: &'a EncoderOptions,
    ) -> Result<Self, Diagnostic> {
        Ok(match array.data_type() {
            DataType::Utf8View if is_json(field) => Self::Json(array.as_string_view()),
            DataType::Utf8View => Self::Text(array.as_string_view()),
            // JSON has no infinity and no NaN.
            DataType::Float32 => Self::Single(array.as_primitive()),
            DataType::Float64 => Self::Double(array.as_primitive()),
            _ => Self::Other(array, make_encoder(field, array, options).map_err(|error| internal(&error))?),
        })
    }

    fn is_null(&self, row: usize) -> bool {
        match self {
            Self::Text(array) | Self::Json(array) => array.is_null(row),
            Self::Single(array) => array.is_null(row),
            Self::Double(array) => array.is_null(row),
            Self::Other(array, _) => array.is_null(row),
        }
    }

    fn write(&mut self, row: usize, dialect: &Dialect, cell: &mut Vec<u8>, out: &mut Vec<u8>) {
        if self.is_null(row) {
            return out.extend_from_slice(dialect.null.as_bytes());
        }
        cell.clear();
        match self {
            Self::Text(array) => return write_text(dialect, array.value(row).as_bytes(), out),
            Self::Json(array) => return write_json(dialect, array.value(row).as_bytes(), out),
            Self::Single(array) => write!(cell, "{:?}", array.value(row)).expect("a vector takes all"),
            Self::Double(array) => write!(cell, "{:?}", array.value(row)).expect("a vector takes all"),
            Self::Other(_, encoder) => encoder.encode(row, cell),
        }
        write_json(dialect, cell, out);
    }
}

/// A JSON value: a string as what it says.
fn write_json(dialect: &Dialect, json: &[u8], out: &mut Vec<u8>) {
    let inner = json.strip_prefix(b"\"").and_then(|json| json.strip_suffix(b"\""));
    match inner {
        Some(inner) if !inner.contains(&b'\\') => write_text(dialect, inner, out),
        Some(_) => match serde_json::from_slice::<String>(json) {
            Ok(text) => write_text(dialect, text.as_bytes(), out),
            Err(_) => write_text(dialect, json, out),
        },
        None => write_text(dialect, json, out),
    }
}

/// In quotes where it must be.
fn write_text(dialect: &Dialect, text: &[u8], out: &mut Vec<u8>) {
    let Some(quote) = dialect.quote else { return out.extend_from_slice(text) };
    let special = |byte: &u8| *byte == dialect.delimiter || *byte == quote || matches!(byte, b'\n' | b'\r');
    if text != dialect.null.as_bytes() && !text.iter().any(special) {
        return out.extend_from_slice(text);
    }
    out.push(quote);
    for &byte in text {
        if byte == quote {
            out.push(quote);
        }
        out.push(byte);
    }
    out.push(quote);
}
