//! Which of Kafka's errors a fault of the log becomes.

use acme_log::{AppendError, Error, ReadError};
pub(crate) use kafka_protocol::error::ResponseError as Code;

/// Why nothing was appended.
pub(crate) fn of_append(error: &AppendError) -> Code {
    match error {
        AppendError::Corrupt(_) => Code::CorruptMessage,
        // As Kafka, whose decompressors throw what has no code of its own.
        AppendError::Compressed(_) => Code::UnknownServerError,
        AppendError::InvalidRecord(_) | AppendError::Keyless { .. } => Code::InvalidRecord,
        AppendError::InvalidTimestamp { .. } => Code::InvalidTimestamp,
        AppendError::TooLarge { .. } => Code::MessageTooLarge,
        AppendError::UnsupportedCompression(_) => Code::UnsupportedCompressionType,
        AppendError::UnsupportedFormat(_) => Code::UnsupportedForMessageFormat,
        AppendError::OutOfOrderSequence { .. } => Code::OutOfOrderSequenceNumber,
        AppendError::InvalidProducerEpoch { .. } => Code::InvalidProducerEpoch,
        AppendError::InvalidTransactionState(_) => Code::InvalidTxnState,
        AppendError::CoordinatorFenced { .. } => Code::TransactionCoordinatorFenced,
        AppendError::DiskFull(_) | AppendError::Disk(_) | AppendError::Offline(_) => Code::KafkaStorageError,
        AppendError::Closed => Code::NotLeaderOrFollower,
    }
}

/// Why nothing was read.
pub(crate) fn of_read(error: &ReadError) -> Code {
    match error {
        ReadError::OutOfRange { .. } => Code::OffsetOutOfRange,
        ReadError::Offline(_) | ReadError::Disk(_) => Code::KafkaStorageError,
        ReadError::Closed => Code::NotLeaderOrFollower,
    }
}

/// Why a topic was not made or changed.
pub(crate) fn of_log(error: &Error) -> Code {
    match error {
        Error::Locked(_) | Error::Disk { .. } | Error::Meta { .. } => Code::KafkaStorageError,
        Error::TopicExists(_) => Code::TopicAlreadyExists,
        Error::UnknownTopic(_) => Code::UnknownTopicOrPartition,
        Error::InvalidTopic(_) => Code::InvalidTopicException,
        Error::InvalidPartitions(_) => Code::InvalidPartitions,
        Error::InvalidSettings(_) => Code::InvalidConfig,
    }
}
