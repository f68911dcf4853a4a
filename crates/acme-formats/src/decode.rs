//! The contract of all decoders.

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
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
