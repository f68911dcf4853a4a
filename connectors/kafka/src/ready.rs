//! Batches of a chunk that may go on as they are, from the source to a destination that is given all of the chunk's rows.

use acme_kafka::Fetched;
use acme_kafka::records::Whole;
use acme_types::Hint;
use acme_types::batch::META_PREFIX;
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use bytes::Bytes;
use std::ops::Range;
use std::sync::Arc;

/// The batches, and what they lie in.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) buffer: Bytes,
    pub(crate) batches: Vec<Whole>,
}

impl Ready {
    /// Where they are most of what was fetched: all of it is kept as long as one of them is.
    pub(crate) fn of(fetched: &Fetched) -> Option<Hint> {
        let bytes: usize = fetched.ready.iter().map(|batch| batch.bytes.len()).sum();
        (bytes > fetched.buffer.len() / 2).then(|| {
            Arc::new(Self { buffer: fetched.buffer.clone(), batches: fetched.ready.clone() }) as Hint
        })
    }

    /// The rows that are the records of a batch, all of them, from the row `from` on.
    pub(crate) fn rows(batch: &Whole, from: usize, rows: &RecordBatch) -> Option<Range<usize>> {
        let offsets =
            rows.column_by_name(&format!("{META_PREFIX}offset"))?.as_primitive_opt::<Int64Type>()?;
        let offsets = offsets.values().get(from..)?;
        let count = usize::try_from(batch.count).ok()?;
        let start = offsets.partition_point(|offset| *offset < batch.first);
        // Offsets grow, so between the first and the last there is none too few and none too many.
        let last = offsets.get(start..start + count)?.last()?;
        let is_all = offsets[start] == batch.first && last - batch.first == i64::from(batch.count) - 1;
        is_all.then(|| from + start..from + start + count)
    }
}
