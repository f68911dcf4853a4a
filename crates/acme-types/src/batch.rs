//! What flows: raw bytes from a source, then Arrow batches.

use crate::position::{Position, SplitId};
use crate::records::Records;
use crate::time::EventTime;
use arrow::array::{Array, ArrayRef, BinaryViewArray, RecordBatch};
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, Field, SchemaRef};
use std::sync::Arc;

/// Columns whose name starts so are hidden: readable by name, never part of `*`, delivered only when selected.
pub const META_PREFIX: &str = "_meta.";
/// What happened to the row (`Utf8View`): `INSERT`, `UPDATE`, `DELETE` or `TRUNCATE`; in streams of changes.
pub const OPERATION: &str = "_meta.operation";
/// A number (`Int64`) that is larger for every later change of the same key; in streams of changes.
pub const VERSION: &str = "_meta.version";
/// When the change was committed in its source (timestamp µs UTC); lag is measured from it.
pub const COMMITTED_AT: &str = "_meta.committed_at";
/// The untouched document of a row (`BinaryView`), in streams whose format carries it.
pub const RAW: &str = "_meta.raw";

/// Marks a text column whose values are JSON documents, to be written as they are.
pub const JSON_TYPE: &str = "acme.type";

/// A field of JSON text: `DataType::Utf8View`, one JSON value a row, written verbatim by a JSON destination.
#[must_use]
pub fn json_field(name: &str) -> Field {
    Field::new(name, DataType::Utf8View, true)
        .with_metadata([(JSON_TYPE.to_owned(), "json".to_owned())].into_iter().collect())
}

/// Says whether the field holds JSON text.
#[must_use]
pub fn is_json(field: &Field) -> bool {
    field.metadata().get(JSON_TYPE).is_some_and(|kind| kind == "json")
}

/// Rows on their way through a pipeline: the user's columns and, hidden behind [`META_PREFIX`], the stream's own.
#[derive(Clone, Debug)]
pub struct Batch {
    /// All columns, hidden ones included.
    pub columns: RecordBatch,
    /// The driver's clock when the rows were read; what `NOW()` means for each of them.
    pub tick: EventTime,
}

impl Batch {
    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.columns.num_rows()
    }

    /// The schema with the hidden columns.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        self.columns.schema()
    }

    /// A column by its name, hidden ones by their whole name.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&ArrayRef> {
        self.columns.column_by_name(name)
    }

    /// The original documents, where the stream carries them.
    #[must_use]
    pub fn raw(&self) -> Option<&BinaryViewArray> {
        self.column(RAW).and_then(|column| column.as_any().downcast_ref())
    }

    /// The same rows in other columns.
    #[must_use]
    pub fn with(&self, columns: RecordBatch) -> Self {
        Self { columns, tick: self.tick }
    }
}

/// Where bytes came from, for messages and dead letters: a file and a byte, a partition and an offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The file, topic and partition, or table.
    pub name: Arc<str>,
    /// Offset of the first byte or record of the chunk in the source's own unit.
    pub offset: u64,
}

/// What a source hands over at once: about 1 MiB of bytes, or one batch, all of one split.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// The rows.
    pub payload: Payload,
    /// Which of the source's streams they belong to, by its index in what the source described.
    pub stream: usize,
    /// The part of the source that they come from.
    pub split: SplitId,
    /// Where reading resumes after them.
    pub position: Position,
    /// Where they come from, for people.
    pub origin: Origin,
}

/// The two forms in which rows leave a source.
#[derive(Clone, Debug)]
pub enum Payload {
    /// Whole records in the item's `format:`, to be decoded by the engine.
    Bytes(Buffer),
    /// Records of a log whose values are in the item's `format:`, to be decoded by the engine.
    Records(Records),
    /// Rows that are typed at the source.
    Batch(RecordBatch),
}

impl Payload {
    /// Bytes that it holds in memory.
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Records(records) => records.buffer.len() + size_of_val(&*records.records),
            Self::Batch(batch) => batch.get_array_memory_size(),
        }
    }
}

/// A row that could not be processed, with all that is needed to judge or replay it.
#[derive(Clone, Debug)]
pub struct Rejected {
    /// The id of the diagnostic's code.
    pub code: &'static str,
    /// Why, in one clause.
    pub cause: String,
    /// The step that failed: a source, transform or destination by name.
    pub step: Arc<str>,
    /// Where the row came from: `file@offset` with the offset in bytes, `topic-partition@offset`.
    pub origin: String,
    /// The original bytes, or the row as JSON where the source yields typed rows.
    pub original: Vec<u8>,
}
