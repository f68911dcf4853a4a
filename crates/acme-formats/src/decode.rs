//! The contract of all decoders.

use acme_types::LogRecord;
use acme_types::batch::{META_PREFIX, RAW};
use acme_types::records::wide;
use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::buffer::Buffer;
use arrow::compute::filter_record_batch;
use arrow::datatypes::Int64Type;
use std::collections::BTreeMap;
use std::ops::Range;

/// A record that is not valid in its format, or whose field has another type than is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undecodable {
    /// Its offset in its source.
    pub offset: u64,
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

/// Records in memory, and where each of them lies.
#[derive(Clone, Copy, Debug)]
pub struct Block<'a> {
    /// The bytes.
    pub bytes: &'a Buffer,
    /// Where the records lie in them.
    pub cut: Cut<'a>,
}

/// Where the records of a block lie.
#[derive(Clone, Copy, Debug)]
pub enum Cut<'a> {
    /// Behind each other, as the format ends them. The first byte has this offset in its source.
    ByFormat(u64),
    /// Each is the value of one of these; a tombstone is at fault.
    Values(&'a [LogRecord]),
}

/// Why a record of a log without a value is refused.
pub(crate) const TOMBSTONE: &str = "has no value: it is a tombstone";

/// Reads blocks of whole records. Each lane has its own.
pub trait Decode: Send {
    /// Decodes a block. The column `_meta.offset` says where each row begins in its source.
    fn decode(&mut self, block: Block<'_>) -> Decoded;
    /// A decoder of the same kind for another lane.
    fn another(&self) -> Box<dyn Decode>;

    /// Decodes records that lie behind each other; the first byte has the offset `offset` in its source.
    fn decode_bytes(&mut self, bytes: &Buffer, offset: u64) -> Decoded {
        self.decode(Block { bytes, cut: Cut::ByFormat(offset) })
    }
}

impl Block<'_> {
    /// The record with this offset, which is so long.
    fn record(&self, offset: u64, length: usize) -> Range<usize> {
        match self.cut {
            Cut::ByFormat(first) => {
                let start = usize::try_from(offset.saturating_sub(first)).expect("it lies in the block");
                start..start + length
            }
            Cut::Values(records) => {
                let at = records.binary_search_by_key(&offset, |record| record.offset);
                let value = records[at.expect("rows come from these records")].value.as_ref();
                wide(value.expect("a row has a value"))
            }
        }
    }
}

/// Takes the rows at fault out of a decoded block; their records join the rejected ones.
pub(crate) fn reject(decoded: Decoded, faults: BTreeMap<usize, String>, block: Block<'_>) -> Decoded {
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
        let offset = u64::try_from(offsets.value(row)).unwrap_or(0);
        let bytes = block.record(offset, records.value(row).len());
        rejected.push(Undecodable { offset, bytes, cause });
    }
    rejected.sort_by_key(|bad| bad.offset);
    let rows = filter_record_batch(&rows, &BooleanArray::from(keep)).expect("the mask has one entry a row");
    Decoded { rows, rejected }
}
