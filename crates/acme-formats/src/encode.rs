//! The contract of all encoders.

use acme_types::{Batch, Diagnostic};

/// Rows as bytes, one after the other.
#[derive(Clone, Debug, Default)]
pub struct Encoded {
    /// All rows.
    pub bytes: Vec<u8>,
    /// Where each row ends in `bytes`; as many as rows.
    pub ends: Vec<usize>,
}

impl Encoded {
    /// The bytes of one row.
    #[must_use]
    pub fn row(&self, row: usize) -> &[u8] {
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.bytes[start..self.ends[row]]
    }
}

/// Writes batches as bytes. Each lane has its own.
pub trait Encode: Send {
    /// Appends every row of the batch, each with the format's own terminator.
    ///
    /// Fails only on a column that the format cannot express at all, which is a mistake of the plan.
    fn encode(&mut self, batch: &Batch, out: &mut Encoded) -> Result<(), Diagnostic>;
}
