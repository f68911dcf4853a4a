//! Records of a log as they lie in memory: a topic's partition is read in stretches of them.

use arrow::buffer::Buffer;
use std::any::Any;
use std::ops::Range;
use std::sync::Arc;

/// Records of one partition, in the order of their offsets.
#[derive(Clone, Debug)]
pub struct Records {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// Where keys, values and headers lie.
    pub buffer: Buffer,
    /// The records.
    pub records: Vec<LogRecord>,
    /// What else is known of them all.
    pub hint: Option<Hint>,
}

/// What a source knows of a chunk beyond what the engine reads, for a destination of the same connector that is given all of its
/// rows. Each makes its own; nobody need look at it.
pub type Hint = Arc<dyn Any + Send + Sync>;

/// One record; its parts are ranges of bytes in the buffer of [`Records`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRecord {
    /// Its offset in the partition.
    pub offset: u64,
    /// Milliseconds since 1970, as the record says; negative where there is none.
    pub timestamp_ms: i64,
    /// The key, if it has one.
    pub key: Option<Range<u32>>,
    /// The value; `None` is a tombstone.
    pub value: Option<Range<u32>>,
    /// The headers as they are on the wire, without their count.
    pub headers: Range<u32>,
    /// How many headers there are.
    pub header_count: u32,
}

impl Records {
    /// The bytes of a range.
    #[must_use]
    pub fn bytes(&self, range: &Range<u32>) -> &[u8] {
        &self.buffer[wide(range)]
    }
}

/// A range as indexes.
#[must_use]
pub fn wide(range: &Range<u32>) -> Range<usize> {
    let index = |at: u32| usize::try_from(at).expect("usize has 32 bits or more");
    index(range.start)..index(range.end)
}
