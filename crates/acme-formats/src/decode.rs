//! The contract of all decoders.

use acme_types::batch::{META_PREFIX, RAW};
use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::buffer::Buffer;
use arrow::compute::filter_record_batch;
use arrow::datatypes::Int64Type;
use std::collections::BTreeMap;
use std::ops::Range;

/// A record that is not valid in its format, or whose field has another type than is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undecodable {
    /// The record in the block.
    pub bytes: Range<usize>,
    /// Why, in one clause.
    pub cause: String,
}

/// A decoded block.
#[derive(Debug)]
pub struct Decoded {
    /// The rows that could be decoded: the wanted columns, then `_meta.offset` and, where there are documents, `_meta.raw`.
    pub rows: RecordBatch,
    /// The records that could not, in order.
    pub rejected: Vec<Undecodable>,
}

/// Reads blocks of whole records. Each lane has its own.
pub trait Decode: Send {
    /// Decodes a block. `offset` is where it begins in its source; the column `_meta.offset` counts on from it.
    fn decode(&mut self, block: &Buffer, offset: u64) -> Decoded;
    /// A decoder of the same kind for another lane.
    fn another(&self) -> Box<dyn Decode>;
}

/// Takes the rows at fault out of a decoded block that begins at `offset`; their records join the rejected ones.
pub(crate) fn reject(decoded: Decoded, faults: BTreeMap<usize, String>, offset: u64) -> Decoded {
    if faults.is_empty() {
        return decoded;
    }
    let Decoded { rows, mut rejected } = decoded;
    let mut keep = vec![true; rows.num_rows()];
    let offsets = rows.column_by_name(&format!("{META_PREFIX}offset")).expect("every decoder adds it");
    let offsets = offsets.as_primitive::<Int64Type>();
    let records = rows.column_by_name(RAW).expect("every decoder of records adds it").as_binary_view();
    for (row, cause) in faults {
        keep[row] = false;
        let start = u64::try_from(offsets.value(row)).unwrap_or(0).saturating_sub(offset);
        let start = usize::try_from(start).expect("it lies in the block");
        rejected.push(Undecodable { bytes: start..start + records.value(row).len(), cause });
    }
    rejected.sort_by_key(|bad| bad.bytes.start);
    let rows = filter_record_batch(&rows, &BooleanArray::from(keep)).expect("the mask has one entry a row");
    Decoded { rows, rejected }
}
