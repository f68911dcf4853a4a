//! What can go wrong between this client and a cluster, and what a caller does about it.

mod table;

use std::fmt;
use std::time::Duration;

/// What a failure asks of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Nothing went wrong.
    Ok,
    /// The same request may succeed later, at the same broker.
    Retry,
    /// Metadata or the coordinator must be looked up again; then the request may succeed.
    Refresh,
    /// The transaction must be aborted; then the producer can go on (KIP-890, KIP-1050).
    Abort,
    /// Another instance has taken over: this producer or member must stop.
    Fence,
    /// The member must join its group again.
    Rejoin,
    /// Repeating the request does not help.
    Fatal,
}

impl Class {
    /// True if the same request may be sent again, after a pause and perhaps a refresh.
    #[must_use]
    pub fn is_transient(self) -> bool {
        matches!(self, Self::Retry | Self::Refresh)
    }
}

/// An error code of the protocol. It prints as `NOT_COORDINATOR (16)`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ErrorCode(pub i16);

impl ErrorCode {
    /// No error.
    pub const NONE: Self = Self(0);
    /// The offset is not in the log.
    pub const OFFSET_OUT_OF_RANGE: Self = Self(1);
    /// The broker does not have this topic or partition.
    pub const UNKNOWN_TOPIC_OR_PARTITION: Self = Self(3);
    /// The partition has no leader at the moment.
    pub const LEADER_NOT_AVAILABLE: Self = Self(5);
    /// The broker does not lead the partition.
    pub const NOT_LEADER_OR_FOLLOWER: Self = Self(6);
    /// The batch is larger than the topic allows.
    pub const MESSAGE_TOO_LARGE: Self = Self(10);
    /// The coordinator is not available.
    pub const COORDINATOR_NOT_AVAILABLE: Self = Self(15);
    /// The generation has passed.
    pub const ILLEGAL_GENERATION: Self = Self(22);
    /// The coordinator does not know the member.
    pub const UNKNOWN_MEMBER_ID: Self = Self(25);
    /// The group is rebalancing.
    pub const REBALANCE_IN_PROGRESS: Self = Self(27);
    /// The broker does not know this version of the request.
    pub const UNSUPPORTED_VERSION: Self = Self(35);
    /// A topic of this name exists.
    pub const TOPIC_ALREADY_EXISTS: Self = Self(36);
    /// The sequence number leaves a gap.
    pub const OUT_OF_ORDER_SEQUENCE_NUMBER: Self = Self(45);
    /// The batch is in the log already.
    pub const DUPLICATE_SEQUENCE_NUMBER: Self = Self(46);
    /// A newer instance of the producer exists.
    pub const INVALID_PRODUCER_EPOCH: Self = Self(47);
    /// The transaction is not in a state that allows this.
    pub const INVALID_TXN_STATE: Self = Self(48);
    /// The broker is not the controller.
    pub const NOT_CONTROLLER: Self = Self(41);
    /// The last transaction is still being completed.
    pub const CONCURRENT_TRANSACTIONS: Self = Self(51);
    /// The broker has forgotten the producer.
    pub const UNKNOWN_PRODUCER_ID: Self = Self(59);
    /// The group does not exist.
    pub const GROUP_ID_NOT_FOUND: Self = Self(69);
    /// The broker has forgotten the fetch session.
    pub const FETCH_SESSION_ID_NOT_FOUND: Self = Self(70);
    /// The epoch of the fetch session is not the expected one.
    pub const INVALID_FETCH_SESSION_EPOCH: Self = Self(71);
    /// The partition has a newer leader.
    pub const FENCED_LEADER_EPOCH: Self = Self(74);
    /// The member must join again with the id it was given.
    pub const MEMBER_ID_REQUIRED: Self = Self(79);
    /// The broker refuses a record.
    pub const INVALID_RECORD: Self = Self(87);
    /// A newer producer with the same transactional id exists.
    pub const PRODUCER_FENCED: Self = Self(90);
    /// The broker does not have a topic of this id.
    pub const UNKNOWN_TOPIC_ID: Self = Self(100);
    /// The log has another topic id than the request.
    pub const INCONSISTENT_TOPIC_ID: Self = Self(103);
    /// The coordinator does not know the transactional id.
    pub const TRANSACTIONAL_ID_NOT_FOUND: Self = Self(105);
    /// The fetch session mixes topic ids and names.
    pub const FETCH_SESSION_TOPIC_ID_ERROR: Self = Self(106);
    /// The member's epoch was fenced.
    pub const FENCED_MEMBER_EPOCH: Self = Self(110);
    /// The member's epoch has passed.
    pub const STALE_MEMBER_EPOCH: Self = Self(113);

    /// True for `NONE`.
    #[must_use]
    pub fn is_ok(self) -> bool {
        self.0 == 0
    }

    /// The name of the protocol guide, or `UNKNOWN` for a code of a newer broker.
    #[must_use]
    pub fn name(self) -> &'static str {
        table::row(self.0).map_or("UNKNOWN", |row| row.name)
    }

    /// What to do about it. An unknown code is fatal.
    #[must_use]
    pub fn class(self) -> Class {
        table::row(self.0).map_or(Class::Fatal, |row| row.class)
    }

    /// One clause that says what it means.
    #[must_use]
    pub fn message(self) -> &'static str {
        table::row(self.0).map_or("the broker sends a code that this client does not know", |row| row.message)
    }

    /// Whether the broker refuses records for what they are: MESSAGE_TOO_LARGE, RECORD_LIST_TOO_LARGE, INVALID_TIMESTAMP,
    /// INVALID_RECORD. The others of their batch may be taken.
    #[must_use]
    pub fn is_about_records(self) -> bool {
        matches!(self.0, 10 | 18 | 32 | 87)
    }

    /// `Ok` if it is no error; else the error with `what` was being done.
    ///
    /// # Errors
    /// [`Error::Broker`] for every code but `NONE`.
    pub fn check(self, what: impl FnOnce() -> String) -> Result<(), Error> {
        if self.is_ok() { Ok(()) } else { Err(Error::broker(self, what())) }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.0)
    }
}

impl fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A failed operation. One failure may reach many waiting requests, so it can be cloned.
///
/// No text holds a secret: what a broker says about credentials is shown, what we sent is not.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// A broker answered with an error code.
    #[error("{what}: {}: {code}{}", code.message(), detail.as_ref().map(|text| format!(": {text}")).unwrap_or_default())]
    Broker {
        /// What the code says.
        code: ErrorCode,
        /// What was being done, to what.
        what: String,
        /// What the broker adds in words.
        detail: Option<String>,
    },
    /// The connection could not be made, or broke.
    #[error("connection to {broker}: {reason}")]
    Io {
        /// `host:port`.
        broker: String,
        /// What the system says.
        reason: String,
    },
    /// No answer in time.
    #[error("{what} got no answer within {} ms", after.as_millis())]
    Timeout {
        /// What was being done, and where.
        what: String,
        /// How long it was waited for.
        after: Duration,
    },
    /// None of the bootstrap servers and known brokers could be reached.
    #[error("none of {tried} could be reached; the last one: {last}")]
    NoBroker {
        /// `host:port, host:port`.
        tried: String,
        /// Why the last one could not be reached.
        last: Box<Self>,
    },
    /// The broker or the client rejects the login.
    #[error("login at {broker}: {reason}")]
    Auth {
        /// `host:port`.
        broker: String,
        /// Why.
        reason: String,
    },
    /// TLS failed: a certificate, a name, or a broker without TLS.
    #[error("TLS with {broker}: {reason}")]
    Tls {
        /// `host:port`, or the file that cannot be used.
        broker: String,
        /// Why.
        reason: String,
    },
    /// The answer does not follow the protocol.
    #[error("{what} does not follow the protocol: {reason}")]
    Protocol {
        /// The message and its sender.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The broker is too old or too new for what is asked of it.
    #[error("{broker} does not support {what}")]
    Unsupported {
        /// `host:port`.
        broker: String,
        /// What is missing.
        what: String,
    },
    /// A setting that cannot be used.
    #[error("{0}")]
    Config(String),
    /// The object was used in a way that its state does not allow, or was shut down.
    #[error("{0}")]
    State(String),
    /// A topic was deleted and created again under the same name: offsets of the old one mean nothing in the new one.
    #[error("topic {topic} was deleted and created again: its id was {was} and is {now}")]
    TopicRecreated {
        /// The name.
        topic: String,
        /// The id that the position belongs to.
        was: uuid::Uuid,
        /// The id of the present topic, or nil where only its absence is known.
        now: uuid::Uuid,
    },
    /// The position is not in the log: deleted by retention, or beyond the end. Nothing is reset.
    #[error(
        "offset {offset} of {topic}/{partition} is not in the log, which holds {log_start} to {log_end}: \
         choose a new position"
    )]
    OutOfRange {
        /// The name of the topic.
        topic: String,
        /// The number of the partition.
        partition: i32,
        /// The position asked for.
        offset: i64,
        /// The first offset of the log, -1 if unknown.
        log_start: i64,
        /// The offset after the last one, -1 if unknown.
        log_end: i64,
    },
    /// The log was cut after the position was taken: records that were read are gone (unclean leader election).
    #[error(
        "the log of {topic}/{partition} was truncated to offset {end} (epoch {end_epoch}), below the position \
         {offset} (epoch {epoch}): records that were read no longer exist"
    )]
    Truncated {
        /// The name of the topic.
        topic: String,
        /// The number of the partition.
        partition: i32,
        /// The position.
        offset: i64,
        /// The leader epoch of the position.
        epoch: i32,
        /// Where the epoch ends in the present log.
        end: i64,
        /// The largest epoch of the present log that is not above `epoch`.
        end_epoch: i32,
    },
    /// A batch cannot be read.
    #[error("batch at offset {offset} of {topic}/{partition}: {reason}")]
    Corrupt {
        /// The name of the topic.
        topic: String,
        /// The number of the partition.
        partition: i32,
        /// The base offset of the batch.
        offset: i64,
        /// What is wrong with it.
        reason: String,
    },
}

impl Error {
    pub(crate) fn broker(code: ErrorCode, what: String) -> Self {
        Self::Broker { code, what, detail: None }
    }

    pub(crate) fn protocol(what: impl Into<String>, reason: impl fmt::Display) -> Self {
        Self::Protocol { what: what.into(), reason: reason.to_string() }
    }

    /// What the caller does about it.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Broker { code, .. } => code.class(),
            Self::Io { .. } | Self::Timeout { .. } | Self::NoBroker { .. } => Class::Refresh,
            Self::Auth { .. }
            | Self::Tls { .. }
            | Self::Protocol { .. }
            | Self::Unsupported { .. }
            | Self::Config(_)
            | Self::State(_)
            | Self::TopicRecreated { .. }
            | Self::OutOfRange { .. }
            | Self::Truncated { .. }
            | Self::Corrupt { .. } => Class::Fatal,
        }
    }

    /// The broker's code, if that is what it is.
    #[must_use]
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Broker { code, .. } => Some(*code),
            _ => None,
        }
    }
}

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_where_and_which_code() {
        let error = Error::broker(ErrorCode(16), "offset commit of group g".to_owned());
        assert_eq!(
            error.to_string(),
            "offset commit of group g: the broker is not the coordinator: NOT_COORDINATOR (16)"
        );
        assert_eq!(error.class(), Class::Refresh);
    }

    #[test]
    fn a_code_of_a_newer_broker_is_fatal_and_shown() {
        assert_eq!(ErrorCode(999).class(), Class::Fatal);
        assert_eq!(ErrorCode(999).to_string(), "UNKNOWN (999)");
    }
}
