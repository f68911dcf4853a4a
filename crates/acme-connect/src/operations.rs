//! What a stream of changes says of each row.

use acme_types::batch::OPERATION;
use arrow::array::{Array, AsArray, RecordBatch, StringViewArray};
use arrow::datatypes::DataType;

/// What happened to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// It is there now, as it is.
    Put,
    /// It is gone.
    Delete,
    /// All rows of its table are gone.
    Truncate,
}

/// The operations of a stream of changes; a plain stream has none.
#[derive(Clone, Copy, Debug)]
pub struct Operations<'a>(Option<&'a StringViewArray>);

impl<'a> Operations<'a> {
    /// Those of a batch.
    #[must_use]
    pub fn of(batch: &'a RecordBatch) -> Self {
        let column = batch.column_by_name(OPERATION);
        Self(
            column
                .filter(|column| column.data_type() == &DataType::Utf8View)
                .map(|column| column.as_string_view()),
        )
    }

    /// Whether the rows are changes.
    #[must_use]
    pub fn are_changes(self) -> bool {
        self.0.is_some()
    }

    /// Whether the row is a new one as far as its source knows.
    #[inline]
    #[must_use]
    pub fn is_insert(self, row: usize) -> bool {
        self.0.is_none_or(|column| column.is_valid(row) && column.value(row) == "INSERT")
    }

    /// What happened to a row.
    #[inline]
    #[must_use]
    pub fn of_row(self, row: usize) -> Operation {
        match self.0.filter(|column| column.is_valid(row)).map(|column| column.value(row)) {
            Some("DELETE") => Operation::Delete,
            Some("TRUNCATE") => Operation::Truncate,
            _ => Operation::Put,
        }
    }
}
