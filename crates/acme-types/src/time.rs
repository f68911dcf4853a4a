//! Points in time, and the clock as a thing that is handed in.

use std::fmt;

/// Microseconds since the Unix epoch, UTC; negative before 1970.
///
/// It is what an event says of itself, or the tick of the batch it arrived in; only a [`Clock`] makes one from
/// the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct EventTime(pub i64);

impl fmt::Display for EventTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}µs", self.0)
    }
}

/// Where "now" comes from. The binary hands in the real one, tests and the simulator their own.
pub trait Clock: Send + Sync {
    /// The wall clock. It may jump; nothing that must be monotonic is computed from it.
    fn now(&self) -> EventTime;
    /// Microseconds since an arbitrary moment; never goes back. Deadlines, rates and time-outs use it.
    fn monotonic_us(&self) -> u64;
}
