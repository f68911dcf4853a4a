//! The log on disk: topics of partitions of Kafka's own record batches, durable when they are acknowledged.
//!
//! It speaks no protocol, decodes no payload and has no clock: who opens it hands one in. An append validates batches, stamps
//! offsets on them and writes them as they came; a sync thread makes them durable, many at a time; what is not synced is
//! not served. Whatever a crash leaves, a restart serves exactly what was acknowledged, and never anything else in its place.

mod batch;
mod checkpoint;
mod disk;
mod error;
mod files;
mod format;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod index;
mod log;
mod meta;
mod options;
mod partition;
mod producers;
mod queue;
mod scan;
mod segment;
pub mod settings;
mod shared;
#[cfg(any(test, fuzzing))]
mod simulated;
mod snapshot;
mod strict;
mod threads;

pub use disk::{LogDisk, LogFile, RealDisk};
pub use error::{AppendError, Damage, Error, ReadError};
pub use log::{Log, Topic, Topics};
pub use options::{NowMs, Options, Passed, SyncFailed};
pub use partition::{
    Aborted, ActiveProducer, Appended, Guard, Marks, Partition, Slice, TimedOffset, Until, Verification,
    Writer,
};
pub use settings::{Settings, Shown};

#[cfg(test)]
mod tests;
