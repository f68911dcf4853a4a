//! The rows of one write: their documents, what happened to each, and those that wait for their table.

use crate::guess::Guesses;
use crate::sink::fields_of;
use crate::table::Field;
use acme_connect::{Encoded, Fate, Fates, Format, Rows};
use acme_types::Diagnostic;
use acme_types::batch::OPERATION;
use arrow::array::{Array, AsArray, RecordBatch, StringViewArray};
use arrow::datatypes::DataType;
use std::borrow::Cow;
use std::collections::VecDeque;

/// What happened to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// It is there now, as it is.
    Put,
    /// It is gone.
    Delete,
    /// All rows of its table are gone.
    Truncate,
}

/// The operations of a stream of changes; a plain stream has none.
#[derive(Clone, Copy)]
pub(crate) struct Operations<'a>(Option<&'a StringViewArray>);

impl<'a> Operations<'a> {
    pub(crate) fn of(batch: &'a RecordBatch) -> Self {
        let column = batch.column_by_name(OPERATION);
        let column = column.filter(|column| column.data_type() == &DataType::Utf8View);
        Self(column.map(|column| column.as_string_view()))
    }

    #[inline]
    pub(crate) fn of_row(self, row: usize) -> Operation {
        match self.0.filter(|column| column.is_valid(row)).map(|column| column.value(row)) {
            Some("DELETE") => Operation::Delete,
            Some("TRUNCATE") => Operation::Truncate,
            _ => Operation::Put,
        }
    }
}

/// The rows as documents.
pub(crate) fn encoded(rows: &Rows) -> Result<Cow<'_, Encoded>, Diagnostic> {
    if let Some(encoded) = &rows.encoded {
        return Ok(Cow::Borrowed(encoded));
    }
    let mut encoded = Encoded::default();
    Format::Json.encoder(&rows.shape).encode(&rows.batch, &mut encoded)?;
    Ok(Cow::Owned(encoded))
}

/// The key of the stream under the names that its columns have in the rows; empty where one of them was left out.
pub(crate) fn visible_key(rows: &Rows) -> Vec<String> {
    let name = |internal: &String| {
        let column = rows.shape.columns.iter().find(|(_, column)| column == internal);
        column.map(|(name, _)| name.clone())
    };
    rows.shape.key.iter().map(name).collect::<Option<_>>().unwrap_or_default()
}

/// Rows whose table is not there yet, each with those that were refused.
#[derive(Default)]
pub(crate) struct Held {
    rows: VecDeque<(Rows, Vec<usize>)>,
    bytes: usize,
    guesses: Guesses,
    typed: Option<Vec<Field>>,
}

impl Held {
    /// Adds rows; those that are no documents are refused.
    pub(crate) fn push(&mut self, rows: &Rows) -> Result<Fates, Diagnostic> {
        let documents = encoded(rows)?;
        let mut fates = Fates::new();
        for row in 0..documents.ends.len() {
            if let Err(reason) = self.guesses.look(documents.row(row)) {
                fates.push((row, Fate::Reject { reason }));
            }
        }
        if rows.shape.document.is_none() {
            let fields = fields_of(rows, &self.guesses);
            let known = self.typed.get_or_insert_default();
            let new = |field: &Field| known.iter().all(|known| known.name != field.name);
            let new: Vec<Field> = fields.into_iter().filter(new).collect();
            known.extend(new);
        }
        self.bytes += documents.bytes.len();
        let skip = fates.iter().map(|(row, _)| *row).collect();
        self.rows.push_back((Rows { encoded: Some(documents.into_owned()), ..rows.clone() }, skip));
        Ok(fates)
    }

    /// The columns that hold all of them.
    pub(crate) fn fields(&self) -> Vec<Field> {
        self.typed.clone().unwrap_or_else(|| self.guesses.fields())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The oldest rows.
    pub(crate) fn first(&self) -> Option<&(Rows, Vec<usize>)> {
        self.rows.front()
    }

    /// The oldest rows are written.
    pub(crate) fn pop(&mut self) {
        self.rows.pop_front();
        if self.rows.is_empty() {
            *self = Self::default();
        }
    }
}
