//! Batches that may be written again as they lie in memory.

use crate::{Batch, Record};
use std::ops::Range;

/// A batch without compression and without gaps, whose records have nothing but values and times of their producer: what
/// [`BatchBuilder`](crate::BatchBuilder) would make of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whole {
    /// The offset of its first record; the others follow without gaps.
    pub first: i64,
    /// How many records it has.
    pub count: i32,
    /// Where the records lie in the buffer that they were indexed in.
    pub bytes: Range<usize>,
    /// What the records' times count from, ms since 1970.
    pub base_timestamp: i64,
    /// The latest of these times.
    pub max_timestamp: i64,
}

impl Whole {
    /// The batch whose records are these, all of them, at `bytes`; `None` if it is not of that kind.
    ///
    /// **Cost** one look at the index of each record; of their bytes none.
    #[must_use]
    pub fn of(batch: &Batch, records: &[Record], bytes: Range<usize>) -> Option<Self> {
        let has_no_gaps = batch.last_offset - batch.base_offset + 1 == i64::from(batch.count);
        let is_plain = batch.compression == 0 && !batch.is_control && batch.append_time.is_none();
        if !is_plain || !has_no_gaps || i32::try_from(records.len()) != Ok(batch.count) {
            return None;
        }
        let mut max_timestamp = -1;
        for record in records {
            if record.timestamp < 0 || record.key_range().is_some() || record.header_count() > 0 {
                return None;
            }
            max_timestamp = record.timestamp.max(max_timestamp);
        }
        Some(Self {
            first: batch.base_offset,
            count: batch.count,
            base_timestamp: batch.base_timestamp,
            max_timestamp,
            bytes,
        })
    }
}
