//! Key, value and headers of each row.

use acme_connect::{Cell, Encode, Found, Rows};
use acme_formats::Encoded;
use acme_formats::json::JsonEncoder;
use acme_types::batch::{META_PREFIX, OPERATION};
use acme_types::{Diagnostic, Shape};
use arrow::array::{Array, AsArray, BinaryViewArray, StringViewArray};
use arrow::datatypes::TimestampMillisecondType;

/// Where the key of a record comes from.
enum Key {
    None,
    /// The value of an expression, as text; objects and arrays as JSON.
    Cell(Cell),
    /// The columns that identify the row, as a JSON object.
    Row(Encoded),
}

/// How the values come.
enum Values<'r> {
    /// A line for each row, whose end is no part of the value.
    Lines(&'r Encoded),
    /// Documents that nobody has changed, as they came.
    Documents(&'r BinaryViewArray),
    /// Bytes.
    Cell(Cell),
}

/// What a batch of rows is as records.
pub(super) struct Records<'r> {
    key: Key,
    values: Values<'r>,
    headers: Vec<Cell>,
    operations: Option<StringViewArray>,
    /// The records' own times, where the rows come from a log.
    timestamps: Option<arrow::array::TimestampMillisecondArray>,
}

/// Why a row is no record.
pub(super) type Refused = String;

impl<'r> Records<'r> {
    /// The row's key comes first among the computed columns if `keyed`; the others are headers.
    pub(super) fn new(rows: &'r Rows, keyed: bool) -> Result<Self, Diagnostic> {
        let batch = &rows.batch;
        let (own, computed) = rows.shape.computed.split_at(usize::from(keyed));
        let key = match own.first() {
            Some(column) => Key::Cell(Cell::new(batch, column)?),
            None if rows.shape.key.is_empty() => Key::None,
            None => {
                let columns = rows.shape.key.iter().map(|name| (name.clone(), name.clone())).collect();
                let mut keys = Encoded::default();
                JsonEncoder::new(Shape { columns, ..Shape::default() }).encode(batch, &mut keys)?;
                Key::Row(keys)
            }
        };
        let headers = computed.iter().map(|column| Cell::new(batch, column)).collect::<Result<_, _>>()?;
        let values = match (&rows.encoded, rows.shape.reads.first()) {
            (Some(encoded), _) => Values::Lines(encoded),
            (None, Some((_, column))) => Values::Cell(Cell::new(batch, column)?),
            (None, None) => Values::Documents(batch.raw().expect("rows without bytes are documents")),
        };
        let timestamps = batch.column(&format!("{META_PREFIX}timestamp"));
        Ok(Self {
            key,
            values,
            headers,
            operations: batch.column(OPERATION).map(|column| column.as_string_view().clone()),
            timestamps: timestamps
                .and_then(|column| column.as_primitive_opt::<TimestampMillisecondType>())
                .cloned(),
        })
    }

    /// Whether each record is nothing but a document that nobody has changed, and its time.
    pub(super) fn are_documents(&self) -> bool {
        let is_value = matches!((&self.values, &self.key), (Values::Documents(_), Key::None));
        is_value && self.headers.is_empty() && self.operations.is_none()
    }

    /// The bytes of the key, in `scratch`; `None` is no key.
    pub(super) fn key<'s>(
        &'s self,
        row: usize,
        scratch: &'s mut Vec<u8>,
    ) -> Result<Option<&'s [u8]>, Refused> {
        scratch.clear();
        match &self.key {
            Key::None => Ok(None),
            Key::Row(keys) => Ok(Some(keys.row(row).trim_ascii_end())),
            Key::Cell(cell) => match cell.write(row, scratch) {
                Found::Value => Ok(Some(scratch)),
                Found::Null => Ok(None),
                Found::Nested => Ok(Some(cell.json(row).as_bytes())),
            },
        }
    }

    /// The bytes of the value, in `scratch`; `None` is a tombstone.
    pub(super) fn value<'s>(
        &'s self,
        row: usize,
        scratch: &'s mut Vec<u8>,
    ) -> Result<Option<&'s [u8]>, Refused> {
        match self.operations.as_ref().filter(|it| it.is_valid(row)).map(|it| it.value(row)) {
            Some("DELETE") => return Ok(None),
            Some("TRUNCATE") => return Err("a TRUNCATE has no key: a topic cannot express it".to_owned()),
            _ => {}
        }
        scratch.clear();
        match &self.values {
            Values::Lines(lines) => {
                let line = lines.row(row);
                Ok(Some(line.strip_suffix(b"\n").unwrap_or(line)))
            }
            Values::Documents(documents) => Ok(Some(documents.value(row))),
            Values::Cell(cell) => match cell.write(row, scratch) {
                Found::Value => Ok(Some(scratch)),
                Found::Null => Ok(None),
                Found::Nested => Ok(Some(cell.json(row).as_bytes())),
            },
        }
    }

    /// Whether the row deletes its key.
    pub(super) fn is_tombstone(&self, row: usize) -> bool {
        self.operations.as_ref().is_some_and(|it| it.is_valid(row) && it.value(row) == "DELETE")
    }

    /// Appends the value of a header; `false` where the row has none.
    pub(super) fn header(&self, number: usize, row: usize, out: &mut Vec<u8>) -> bool {
        let cell = &self.headers[number];
        match cell.write(row, out) {
            Found::Value => true,
            Found::Null => false,
            Found::Nested => {
                out.extend_from_slice(cell.json(row).as_bytes());
                true
            }
        }
    }

    pub(super) fn timestamp_ms(&self, row: usize) -> Option<i64> {
        self.timestamps.as_ref().filter(|it| it.is_valid(row)).map(|it| it.value(row))
    }
}
