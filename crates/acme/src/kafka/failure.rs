//! A failure as Kafka's own tools word it, with what to do about it.

use acme_kafka::properties::Fault;
use acme_kafka::{Error, ErrorCode};
use acme_types::codes::{self, Code};
use acme_types::{Blame, Diagnostic};

/// Why a command did not do its work.
#[derive(Debug)]
pub(crate) struct Failure {
    code: &'static Code,
    blame: Blame,
    /// What Kafka's tools say, as far as they have words for it.
    pub(crate) said: String,
    /// The name of the exception that Kafka's tools print before it, for those that do.
    pub(crate) exception: Option<&'static str>,
    /// What to do.
    pub(crate) help: Option<String>,
}

/// Code, exception and message of what brokers often send without words.
const WORDS: &[(i16, &str, &str)] = &[
    (
        1,
        "OffsetOutOfRangeException",
        "The requested offset is not within the range of offsets maintained by the server.",
    ),
    (3, "UnknownTopicOrPartitionException", "This server does not host this topic-partition."),
    (
        6,
        "NotLeaderOrFollowerException",
        "For requests intended only for the leader, this error indicates that the broker is not the current leader. For \
         requests intended for any replica, this error indicates that the broker is not a replica of the topic partition.",
    ),
    (15, "CoordinatorNotAvailableException", "The coordinator is not available."),
    (16, "NotCoordinatorException", "This is not the correct coordinator."),
    (17, "InvalidTopicException", "The request attempted to perform an operation on an invalid topic."),
    (24, "InvalidGroupIdException", "The group id is invalid."),
    (29, "TopicAuthorizationException", "Topic authorization failed."),
    (30, "GroupAuthorizationException", "Group authorization failed."),
    (31, "ClusterAuthorizationException", "Cluster authorization failed."),
    (36, "TopicExistsException", "Topic with this name already exists."),
    (40, "InvalidConfigurationException", "Configuration is invalid."),
    (
        42,
        "InvalidRequestException",
        "This most likely occurs because of a request being malformed by the client library or the message was sent to an \
         incompatible broker. See the broker logs for more details.",
    ),
    (44, "PolicyViolationException", "Request parameters do not satisfy the configured policy."),
    (47, "InvalidProducerEpochException", "Producer attempted to produce with an old epoch."),
    (
        52,
        "TransactionCoordinatorFencedException",
        "Indicates that the transaction coordinator sending a WriteTxnMarker is no longer the current coordinator for a \
         given producer.",
    ),
    (68, "GroupNotEmptyException", "The group is not empty."),
    (69, "GroupIdNotFoundException", "The group id does not exist."),
    (
        86,
        "GroupSubscribedToTopicException",
        "Deleting offsets of a topic is forbidden while the consumer group is actively subscribed to it.",
    ),
    (91, "ResourceNotFoundException", "A request illegally referred to a resource that does not exist."),
    (
        93,
        "UnacceptableCredentialException",
        "Requested credential would not meet criteria for acceptability.",
    ),
    (100, "UnknownTopicIdException", "This server does not host this topic ID."),
    (105, "TransactionalIdNotFoundException", "The transactionalId could not be found."),
    (128, "InvalidRegularExpression", "The regular expression is not valid."),
];

impl Failure {
    fn new(code: &'static Code, said: impl Into<String>) -> Self {
        Self { code, blame: code.blame, said: said.into(), exception: None, help: None }
    }

    /// A mistake in what was asked for.
    pub(crate) fn user(said: impl Into<String>, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..Self::new(&codes::BAD_VALUE, said) }
    }

    /// Something that must be given.
    pub(crate) fn missing(said: impl Into<String>, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..Self::new(&codes::MISSING_KEY, said) }
    }

    /// A group that does not exist.
    pub(crate) fn no_group(id: &str) -> Self {
        let code = ErrorCode::GROUP_ID_NOT_FOUND;
        let (what, detail) = (format!("group {id}"), Some(format!("Group {id} not found.")));
        Error::Broker { code, what, detail }.into()
    }

    /// A file that cannot be used.
    pub(crate) fn file(said: impl Into<String>, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..Self::new(&codes::FILE, said) }
    }

    /// All that is wrong with a file of properties.
    pub(crate) fn properties(faults: &[Fault]) -> Self {
        let messages: Vec<&str> = faults.iter().map(|fault| fault.message.as_str()).collect();
        let help: Vec<&str> = faults.iter().filter_map(|fault| fault.help.as_deref()).collect();
        let help = Some(help.join("; ")).filter(|help| !help.is_empty());
        Self { help, ..Self::new(&codes::BAD_VALUE, messages.join("; ")) }
    }

    /// The same, said in other words.
    pub(crate) fn in_words(self, words: impl FnOnce(&str) -> String) -> Self {
        Self { said: words(&self.said), ..self }
    }

    /// What Kafka's tools print where they print the exception too.
    pub(crate) fn with_exception(&self) -> String {
        match self.exception {
            Some(name) => format!("org.apache.kafka.common.errors.{name}: {}", self.said),
            None => self.said.clone(),
        }
    }

    pub(crate) fn diagnostic(&self) -> Diagnostic {
        let mut diagnostic = Diagnostic::new(self.code, self.said.clone());
        diagnostic.blame = self.blame;
        match &self.help {
            Some(help) => diagnostic.help(help.clone()),
            None => diagnostic,
        }
    }
}

/// What Kafka's tools say about a code that comes without words: exception and message.
pub(crate) fn words(code: ErrorCode) -> (Option<&'static str>, String) {
    match WORDS.iter().find(|(known, ..)| *known == code.0) {
        Some((_, name, text)) => (Some(*name), (*text).to_owned()),
        None => (None, format!("{}: {code}", code.message())),
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        if let Error::Broker { code, detail, .. } = &error {
            let (exception, plain) = words(*code);
            let said = detail.clone().unwrap_or(plain);
            let (blame, help) = advice(*code);
            return Self {
                exception,
                blame,
                help: help.map(str::to_owned),
                ..Self::new(&codes::REMOTE, said)
            };
        }
        let (code, help) = match &error {
            Error::NoBroker { last, .. } if matches!(**last, Error::Auth { .. } | Error::Tls { .. }) => {
                return Self { said: error.to_string(), ..Self::from((**last).clone()) };
            }
            Error::Auth { .. } => {
                (&codes::CONNECT, "check sasl.mechanism and sasl.jaas.config in the file of --command-config")
            }
            Error::Tls { .. } => {
                (&codes::CONNECT, "check security.protocol and ssl.* in the file of --command-config")
            }
            Error::NoBroker { .. } | Error::Io { .. } | Error::Timeout { .. } => (
                &codes::CONNECT,
                "check --bootstrap-server, that a broker listens there, and security.protocol in the file of \
                 --command-config",
            ),
            Error::Config(_) => {
                (&codes::BAD_VALUE, "check --bootstrap-server and the file of --command-config")
            }
            _ => return Self::new(&codes::REMOTE, error.to_string()),
        };
        Self { help: Some(help.to_owned()), ..Self::new(code, error.to_string()) }
    }
}

fn advice(code: ErrorCode) -> (Blame, Option<&'static str>) {
    let help = match code.0 {
        1 => "`acme kafka-get-offsets` shows where a partition begins and ends",
        3 | 100 => "`acme topics list` shows the topics that there are",
        17 => "use letters, digits, '.', '_' and '-', at most 249 of them",
        29 => "ask for an ACL on the topic for the user of --command-config",
        30 => "ask for an ACL on the group for the user of --command-config",
        31 => "ask for an ACL on the cluster for the user of --command-config",
        36 => "choose another name, or add --if-not-exists",
        37 => "choose a larger number than the topic has now",
        38 => "choose a replication factor that the number of brokers allows",
        40 => "`acme configs describe --all` shows all settings; Kafka's documentation lists their names",
        68 | 86 => "stop the group's consumers first",
        69 => "`acme groups list` shows the groups that there are",
        105 => "`acme transactions list` shows the transactional ids that there are",
        128 => "use the syntax of RE2",
        _ => return (if code.class().is_transient() { Blame::Remote } else { Blame::User }, None),
    };
    (Blame::User, Some(help))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_brokers_words_are_kept_and_a_remedy_is_added() {
        let error = Error::Broker {
            code: ErrorCode(36),
            what: "creating topic t".to_owned(),
            detail: Some("Topic 't' already exists.".to_owned()),
        };
        let failure = Failure::from(error);
        assert_eq!(failure.said, "Topic 't' already exists.");
        assert_eq!(
            failure.with_exception(),
            "org.apache.kafka.common.errors.TopicExistsException: Topic 't' already exists."
        );
        assert!(failure.diagnostic().to_string().contains("help: choose another name"));
    }
}
