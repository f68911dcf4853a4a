//! What the client reports, as a message for people.

use acme_kafka::admin::Operation;
use acme_kafka::{Class, Error, ErrorCode};
use acme_types::codes::{CONNECT, LOST_SPLITS, REMOTE, SOURCE_CHANGED};
use acme_types::{Blame, Diagnostic};

/// A failure of the client, while doing this.
pub(crate) fn fault(what: &str, error: &Error) -> Diagnostic {
    let text = format!("cannot {what}: {error}");
    let user = |code, help: &'static str| Diagnostic {
        blame: Blame::User,
        ..Diagnostic::new(code, text.clone()).help(help)
    };
    match error {
        Error::OutOfRange { .. } | Error::Truncated { .. } | Error::TopicRecreated { .. } => {
            Diagnostic::new(&SOURCE_CHANGED, text)
        }
        Error::Auth { .. } => user(
            &CONNECT,
            "check `security.protocol`, `sasl.mechanism` and `sasl.jaas.config` under `properties`, and that the user exists",
        ),
        Error::Tls { .. } => user(
            &CONNECT,
            "check `security.protocol` and the `ssl.*` settings under `properties`, and that the port speaks TLS",
        ),
        Error::Protocol { .. } => user(
            &CONNECT,
            "check that `brokers` names ports of Kafka, and `security.protocol` under `properties`",
        ),
        Error::NoBroker { .. } | Error::Io { .. } | Error::Timeout { .. } => Diagnostic::new(&CONNECT, text)
            .help(
                "check `brokers`, that a broker of Kafka listens there and can be reached from here, and `security.protocol` under \
                 `properties`: a listener that wants TLS or a login closes other connections",
            ),
        _ if error.code().is_some_and(|code| code.name() == "FENCED_INSTANCE_ID") => {
            // Most likely it has come for good. Were it a copy of this worker's state, both would fence each other for ever.
            Diagnostic::new(&LOST_SPLITS, text).help(
                "another worker of the same name has joined: where a state directory was copied, remove the files \
                 `workers/*/worker` from the copy",
            )
        }
        _ => match error.class() {
            Class::Fence | Class::Rejoin => Diagnostic::new(&LOST_SPLITS, text),
            Class::Fatal => match error.code().and_then(grant) {
                Some(help) => user(&REMOTE, help),
                None => Diagnostic { blame: Blame::User, ..Diagnostic::new(&REMOTE, text) },
            },
            _ => Diagnostic::new(&REMOTE, text),
        },
    }
}

/// What an administrator is asked for.
fn grant(code: ErrorCode) -> Option<&'static str> {
    Some(match code.name() {
        "TOPIC_AUTHORIZATION_FAILED" => {
            "have an administrator grant the user the operation Read on a topic that is a source, or Write on one that is a \
             destination, as `kafka-acls` does"
        }
        "GROUP_AUTHORIZATION_FAILED" => {
            "have an administrator grant the user the operation Read on the group, as `kafka-acls` does"
        }
        "TRANSACTIONAL_ID_AUTHORIZATION_FAILED" => {
            "have an administrator grant the user the operation Write on transactional ids that begin with `acme-`, as `kafka-acls \
             --resource-pattern-type prefixed` does"
        }
        "CLUSTER_AUTHORIZATION_FAILED" => {
            "have an administrator grant the user what is missing, such as Create for a topic, as `kafka-acls` does"
        }
        _ => return None,
    })
}

/// The user may not do this; `resource` is `topic` or `group`.
pub(crate) fn denied(operation: Operation, resource: &str, name: &str) -> Diagnostic {
    let operation = operation.name();
    let message = format!("the user has no right to {operation} on the {resource} \"{name}\"");
    let help = format!(
        "have an administrator grant it: `kafka-acls --add --allow-principal User:NAME --operation {operation} --{resource} {name}`"
    );
    Diagnostic { blame: Blame::User, ..Diagnostic::new(&REMOTE, message).help(help) }
}
