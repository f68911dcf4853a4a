//! Steps that keep state: what the driver asks of them, and how they are made.

use acme_types::{Diagnostic, EventTime};
use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, TimeUnit};

/// The column of a row's event time: microseconds since 1970, UTC; never NULL.
pub const EVENT_TIME: &str = "_meta.event_time";

/// The type of [`EVENT_TIME`].
#[must_use]
pub fn time_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()))
}

/// A step that keeps state, as one shard runs it: it has the keys of some key groups.
///
/// It has no clock: all that it knows of time is what it is told. The same calls give the same results.
pub trait Task: Send {
    /// Rows of one of its inputs, with the hash of each row's key.
    fn rows(
        &mut self,
        input: usize,
        rows: &RecordBatch,
        hashes: &[u64],
        out: &mut Emitted,
    ) -> Result<(), Diagnostic>;

    /// No row with an earlier event time is expected any more; never goes back. [`EventTime`]'s largest is the end of time.
    fn advance(&mut self, watermark: EventTime, out: &mut Emitted) -> Result<(), Diagnostic>;

    /// The epoch ends: what is due by then goes out.
    fn settle(&mut self, out: &mut Emitted) -> Result<(), Diagnostic>;

    /// The state of all keys that have changed since the last call, one row each, with the key's hash in the column
    /// [`HASH`]; all keys with `whole`.
    fn snapshot(&mut self, whole: bool) -> Result<Vec<RecordBatch>, Diagnostic>;

    /// Rows of a snapshot, those of the newest first: a key that is known has been changed since.
    fn restore(&mut self, rows: &RecordBatch, hashes: &[u64]) -> Result<(), Diagnostic>;

    /// The watermark of the checkpoint that all restored rows belong to; called once, behind them.
    fn restored(&mut self, watermark: EventTime) -> Result<(), Diagnostic>;

    /// Bytes that the state takes in memory, about.
    fn bytes(&self) -> usize;
}

/// The column of a snapshot that holds the hash of each row's key.
pub const HASH: &str = "hash";

/// Makes the shards of a step.
pub trait TaskFactory: Send + Sync {
    /// One shard, with an empty state.
    fn make(&self) -> Box<dyn Task>;

    /// Names what its snapshots mean: a state with another fingerprint cannot be restored.
    fn fingerprint(&self) -> String;
}

/// What a task has to say, in order: the output and rows for it.
#[derive(Default)]
pub struct Emitted {
    /// The index of the output and the rows.
    pub batches: Vec<(usize, RecordBatch)>,
    /// Rows that came too late and went nowhere, or to the output for them.
    pub late: usize,
}
