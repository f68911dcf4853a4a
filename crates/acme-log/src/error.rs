//! What can go wrong, one variant for each thing that a caller does about it.

use crate::settings::SettingFault;
use acme_records::Fault;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Why the log, or a topic of it, cannot be opened or changed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// Another process has the directory.
    #[error("{0} is in use by another process")]
    Locked(PathBuf),
    /// The disk refuses.
    #[error("cannot {what} {path}: {error}")]
    Disk {
        /// What was tried, as a verb.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        error: Arc<io::Error>,
    },
    /// The file that names the topics cannot be trusted.
    #[error("{path} is damaged: {reason}; nothing was changed: restore it from a copy of the data directory")]
    Meta {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// TOPIC_ALREADY_EXISTS
    #[error("topic {0} exists already")]
    TopicExists(String),
    /// UNKNOWN_TOPIC_OR_PARTITION
    #[error("there is no topic {0}")]
    UnknownTopic(String),
    /// INVALID_TOPIC_EXCEPTION
    #[error("{0}")]
    InvalidTopic(String),
    /// INVALID_PARTITIONS
    #[error("{0}")]
    InvalidPartitions(String),
    /// INVALID_CONFIG
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    InvalidSettings(Vec<SettingFault>),
}

impl Error {
    /// A refusal of the disk.
    pub(crate) fn disk(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |error| Self::Disk { what, path, error: Arc::new(error) }
    }
}

/// Why a partition is offline: nothing is appended to it or read from it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is damaged at byte {at}: {reason}", file.display())]
pub struct Damage {
    /// The file.
    pub file: PathBuf,
    /// The byte in it.
    pub at: u64,
    /// What is wrong there.
    pub reason: String,
}

/// Why batches are not appended. Nothing of them is in the log then.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    /// CORRUPT_MESSAGE: length or checksum.
    #[error("a batch cannot be taken: {0}")]
    Corrupt(Fault),
    /// UNKNOWN_SERVER_ERROR: the records cannot be decompressed.
    #[error("a batch cannot be taken: {0}")]
    Compressed(Fault),
    /// INVALID_RECORD
    #[error("{0}")]
    InvalidRecord(String),
    /// INVALID_RECORD: a compacted topic takes no record without a key.
    #[error("{total} records have no key, and the topic is compacted")]
    Keyless {
        /// Which records of the batch, counted from 0: the first of them.
        records: Vec<i32>,
        /// How many there are.
        total: usize,
    },
    /// INVALID_TIMESTAMP
    #[error("{total} records have times outside of what the topic allows, from {earliest} to {latest}")]
    InvalidTimestamp {
        /// Which records of the batch, counted from 0, and their times, ms since 1970: the first of them. None where it is the
        /// batch that claims the broker's time.
        records: Vec<(i32, i64)>,
        /// How many there are.
        total: usize,
        /// The first time that is taken.
        earliest: i64,
        /// The last one.
        latest: i64,
    },
    /// MESSAGE_TOO_LARGE
    #[error("a batch of {bytes} bytes is larger than max.message.bytes, {max}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// UNSUPPORTED_COMPRESSION_TYPE
    #[error("compression {0} is not known")]
    UnsupportedCompression(u8),
    /// UNSUPPORTED_FOR_MESSAGE_FORMAT
    #[error("message format {0} is not taken: only 2")]
    UnsupportedFormat(i8),
    /// OUT_OF_ORDER_SEQUENCE_NUMBER
    #[error("producer {producer_id} sends sequence {found} after {last}")]
    OutOfOrderSequence {
        /// The producer.
        producer_id: i64,
        /// What came.
        found: i32,
        /// The last one in the log, -1 for none.
        last: i32,
    },
    /// INVALID_PRODUCER_EPOCH: a newer producer has its place.
    #[error("producer {producer_id} has epoch {current}, not {found}")]
    InvalidProducerEpoch {
        /// The producer.
        producer_id: i64,
        /// What came.
        found: i16,
        /// What is in the log.
        current: i16,
    },
    /// INVALID_TXN_STATE
    #[error("{0}")]
    InvalidTransactionState(String),
    /// TRANSACTION_COORDINATOR_FENCED
    #[error("coordinator epoch {found} is older than {current}")]
    CoordinatorFenced {
        /// What came.
        found: i32,
        /// What is in the log.
        current: i32,
    },
    /// KAFKA_STORAGE_ERROR: no space. Reads go on; appends too as soon as there is some.
    #[error("the disk is full: {0}")]
    DiskFull(Arc<io::Error>),
    /// KAFKA_STORAGE_ERROR
    #[error("the disk refuses: {0}")]
    Disk(Arc<io::Error>),
    /// KAFKA_STORAGE_ERROR
    #[error(transparent)]
    Offline(Arc<Damage>),
    /// NOT_LEADER_OR_FOLLOWER: the topic was deleted, or the log closed.
    #[error("the partition is closed")]
    Closed,
}

impl From<io::Error> for AppendError {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        match error.kind() {
            StorageFull | QuotaExceeded | FileTooLarge => Self::DiskFull(Arc::new(error)),
            _ => Self::Disk(Arc::new(error)),
        }
    }
}

/// Why nothing is read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    /// OFFSET_OUT_OF_RANGE
    #[error("offset {asked} is not between {log_start} and {end}")]
    OutOfRange {
        /// What was asked for.
        asked: i64,
        /// The first offset that there is.
        log_start: i64,
        /// The first one that there is not yet.
        end: i64,
    },
    /// KAFKA_STORAGE_ERROR
    #[error(transparent)]
    Offline(Arc<Damage>),
    /// KAFKA_STORAGE_ERROR
    #[error("the disk refuses: {0}")]
    Disk(Arc<io::Error>),
    /// NOT_LEADER_OR_FOLLOWER: the topic was deleted, or the log closed.
    #[error("the partition is closed")]
    Closed,
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        Self::Disk(Arc::new(error))
    }
}
