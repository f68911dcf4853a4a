//! The log on disk: topics of partitions of Kafka's own record batches, durable when they are acknowledged.
//!
//! It speaks no protocol, decodes no payload and has no clock: who opens it hands one in. An append validates batches, stamps
//! offsets on them and writes them as they came; a sync thread makes them durable, many at a time; what is not synced is
//! not served. Whatever a crash leaves, a restart serves exactly what was acknowledged, and never anything else in its place.

mod batch;
mod disk;
mod error;
mod log;
mod options;
mod partition;
pub mod settings;

pub use disk::{LogDisk, LogFile, RealDisk};
pub use error::{AppendError, Damage, Error, ReadError};
pub use log::{Log, Topic, Topics};
pub use options::{NowMs, Options, SyncFailed};
pub use partition::{
    Aborted, ActiveProducer, Appended, Guard, Marks, Partition, Slice, TimedOffset, Until, Verification,
    Writer,
};
pub use settings::{Settings, Shown};
