//! Rows to JSON lines: documents as they came where nothing changed, patched where something did.

use super::document::members;
use super::number::{WIDE_SCALE, write_scaled, write_wide};
use crate::encode::{Encode, Encoded};
use acme_types::batch::is_json;
use acme_types::{Batch, Diagnostic, DocumentEdits, Shape, codes};
use arrow::array::{Array, BinaryArray, BinaryViewArray, Decimal128Array, Decimal256Array, StringViewArray};
use arrow::datatypes::{DataType, FieldRef, i256};
use arrow::error::ArrowError;
use arrow::json::writer::{Encoder, EncoderFactory, EncoderOptions, NullableEncoder, make_encoder};
use std::sync::Arc;

/// Writes one JSON object a row, each with a line end.
///
/// NULL is written as `null`; timestamps as RFC 3339 in UTC; decimals with the digits of their scale; bytes as base64; JSON columns as
/// they are. A row that is a document keeps its own text, member by member, where nothing replaces it.
pub struct JsonEncoder {
    shape: Shape,
    /// `"name":` of each column of the shape.
    keys: Vec<Vec<u8>>,
    options: EncoderOptions,
}

impl JsonEncoder {
    /// An encoder for rows of this shape.
    #[must_use]
    pub fn new(shape: Shape) -> Self {
        let keys = shape.columns.iter().map(|(name, _)| key(name)).collect();
        Self { shape, keys, options: cell_options() }
    }
}

/// How single values are written.
pub(crate) fn cell_options() -> EncoderOptions {
    EncoderOptions::default().with_explicit_nulls(true).with_encoder_factory(Arc::new(OurTypes))
}

impl Encode for JsonEncoder {
    fn encode(&mut self, batch: &Batch, out: &mut Encoded) -> Result<(), Diagnostic> {
        if self.shape.is_verbatim() {
            let documents = documents(batch)?;
            for row in 0..documents.len() {
                out.bytes.extend_from_slice(documents.value(row));
                end_row(out);
            }
            return Ok(());
        }
        let schema = batch.columns.schema();
        let mut cells = Vec::with_capacity(self.shape.columns.len());
        for (_, column) in &self.shape.columns {
            let at = schema.index_of(column).map_err(|error| internal(&error))?;
            let array = batch.columns.column(at);
            cells.push(
                make_encoder(&schema.fields()[at], array, &self.options).map_err(|error| internal(&error))?,
            );
        }
        match &self.shape.document {
            None => {
                for row in 0..batch.rows() {
                    out.bytes.push(b'{');
                    for (at, (key, cell)) in self.keys.iter().zip(&mut cells).enumerate() {
                        if at > 0 {
                            out.bytes.push(b',');
                        }
                        out.bytes.extend_from_slice(key);
                        write_cell(cell, row, &mut out.bytes);
                    }
                    out.bytes.push(b'}');
                    end_row(out);
                }
            }
            Some(edits) => {
                let documents = documents(batch)?;
                let mut patch = Patch { shape: &self.shape, edits, keys: &self.keys, written: Vec::new() };
                for row in 0..documents.len() {
                    patch.row(documents.value(row), row, &mut cells, &mut out.bytes)?;
                    end_row(out);
                }
            }
        }
        Ok(())
    }
}

/// Puts columns over the members of a document.
struct Patch<'a> {
    shape: &'a Shape,
    edits: &'a DocumentEdits,
    keys: &'a [Vec<u8>],
    /// Which columns took the place of a member of the present row.
    written: Vec<bool>,
}

impl Patch<'_> {
    fn row(
        &mut self,
        document: &[u8],
        row: usize,
        cells: &mut [NullableEncoder<'_>],
        out: &mut Vec<u8>,
    ) -> Result<(), Diagnostic> {
        let text = std::str::from_utf8(document).map_err(|error| internal(&error))?;
        self.written.clear();
        self.written.resize(cells.len(), false);
        let start = out.len();
        for (name, value) in members(text).map_err(|error| internal(&error))? {
            let renamed = self.edits.renamed.iter().find(|(old, _)| *old == name).map(|(_, new)| &**new);
            if self.edits.removed.iter().any(|removed| *removed == name) {
                continue;
            }
            let shown = renamed.unwrap_or(&name);
            match self.shape.columns.iter().position(|(column, _)| column == shown) {
                // A second member of the same name is dropped: the column stands for both.
                Some(at) if self.written[at] => {}
                Some(at) => {
                    self.written[at] = true;
                    member(&self.keys[at], start, out);
                    write_cell(&mut cells[at], row, out);
                }
                None => {
                    member(&key(shown), start, out);
                    out.extend_from_slice(value.as_bytes());
                }
            }
        }
        for (at, cell) in cells.iter_mut().enumerate().filter(|(at, _)| !self.written[*at]) {
            member(&self.keys[at], start, out);
            write_cell(cell, row, out);
        }
        if out.len() == start {
            out.push(b'{');
        }
        out.push(b'}');
        Ok(())
    }
}

fn member(key: &[u8], start: usize, out: &mut Vec<u8>) {
    out.push(if out.len() == start { b'{' } else { b',' });
    out.extend_from_slice(key);
}

fn write_cell(cell: &mut NullableEncoder<'_>, row: usize, out: &mut Vec<u8>) {
    if cell.is_null(row) {
        out.extend_from_slice(b"null");
    } else {
        cell.encode(row, out);
    }
}

fn end_row(out: &mut Encoded) {
    out.bytes.push(b'\n');
    out.ends.push(out.bytes.len());
}

fn key(name: &str) -> Vec<u8> {
    let mut key = serde_json::to_vec(name).expect("text is always valid JSON");
    key.push(b':');
    key
}

fn documents(batch: &Batch) -> Result<&BinaryViewArray, Diagnostic> {
    batch.raw().ok_or_else(|| Diagnostic::new(&codes::INTERNAL, "a stream of documents carries no documents"))
}

fn internal(error: &dyn std::fmt::Display) -> Diagnostic {
    Diagnostic::new(&codes::INTERNAL, format!("a row cannot be written as JSON: {error}"))
}

/// The types that we write differently from the library: JSON text, decimals, bytes.
#[derive(Debug)]
struct OurTypes;

impl EncoderFactory for OurTypes {
    fn make_default_encoder<'a>(
        &self,
        field: &'a FieldRef,
        array: &'a dyn Array,
        _options: &'a EncoderOptions,
    ) -> Result<Option<NullableEncoder<'a>>, ArrowError> {
        let any = array.as_any();
        let encoder: Box<dyn Encoder + 'a> = match array.data_type() {
            DataType::Utf8View if is_json(field) => match any.downcast_ref::<StringViewArray>() {
                Some(array) => Box::new(Verbatim(array)),
                None => return Ok(None),
            },
            DataType::Decimal128(_, scale) => match any.downcast_ref::<Decimal128Array>() {
                Some(array) => Box::new(Decimal(|row| i256::from(array.value(row)), *scale, write_scaled)),
                None => return Ok(None),
            },
            DataType::Decimal256(_, scale) => match any.downcast_ref::<Decimal256Array>() {
                Some(array) => {
                    // So many digits have undeclared numbers and what is computed from them.
                    let write = if *scale >= WIDE_SCALE { write_wide } else { write_scaled };
                    Box::new(Decimal(|row| array.value(row), *scale, write))
                }
                None => return Ok(None),
            },
            DataType::Binary => match any.downcast_ref::<BinaryArray>() {
                Some(array) => Box::new(Base64(|row| array.value(row))),
                None => return Ok(None),
            },
            DataType::BinaryView => match any.downcast_ref::<BinaryViewArray>() {
                Some(array) => Box::new(Base64(|row| array.value(row))),
                None => return Ok(None),
            },
            _ => return Ok(None),
        };
        Ok(Some(NullableEncoder::new(encoder, array.nulls().cloned())))
    }
}

struct Verbatim<'a>(&'a StringViewArray);

impl Encoder for Verbatim<'_> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0.value(row).as_bytes());
    }
}

/// The values, their scale, and how they are written.
struct Decimal<F>(F, i8, fn(i256, usize, &mut Vec<u8>));

impl<F: Fn(usize) -> i256> Encoder for Decimal<F> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        // Arrow's negative scales count zeros before the point; no plan of ours makes one.
        (self.2)((self.0)(row), usize::try_from(self.1).unwrap_or(0), out);
    }
}

struct Base64<F>(F);

impl<'a, F: Fn(usize) -> &'a [u8]> Encoder for Base64<F> {
    /// Source: RFC 4648 section 4, with padding.
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        out.push(b'"');
        for group in (self.0)(row).chunks(3) {
            let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
            let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
            for at in 0..4 {
                let digit = usize::try_from(bits >> (18 - 6 * at) & 63).expect("six bits");
                out.push(if at <= group.len() { ALPHABET[digit] } else { b'=' });
            }
        }
        out.push(b'"');
    }
}
