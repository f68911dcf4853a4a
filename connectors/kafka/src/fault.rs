//! What the client reports, as a message for people.

use acme_kafka::{Class, Error};
use acme_types::codes::{CONNECT, LOST_SPLITS, REMOTE, SOURCE_CHANGED};
use acme_types::{Blame, Diagnostic};

/// What to do about positions that do not exist any more. Nothing is reset by itself.
pub(crate) const CHOICES: &str = "choose where to go on: stop all workers, then `acme groups reset-offsets` with --to-earliest, --to-latest or \
     --to-offset for the group; or give the pipeline another `group_id`, for which `start_offset` counts";

/// A failure of the client, while doing this.
pub(crate) fn fault(what: &str, error: &Error) -> Diagnostic {
    let text = format!("cannot {what}: {error}");
    let user = |code, help: &'static str| Diagnostic {
        blame: Blame::User,
        ..Diagnostic::new(code, text.clone()).help(help)
    };
    match error {
        Error::OutOfRange { .. } | Error::Truncated { .. } | Error::TopicRecreated { .. } => {
            Diagnostic::new(&SOURCE_CHANGED, text).help(CHOICES)
        }
        Error::Auth { .. } => user(
            &CONNECT,
            "check `sasl.mechanism` and `sasl.jaas.config` under `properties`, and that the user exists",
        ),
        Error::Tls { .. } => user(
            &CONNECT,
            "check `security.protocol` and the `ssl.*` settings under `properties`, and that the port speaks TLS",
        ),
        Error::NoBroker { .. } | Error::Io { .. } | Error::Timeout { .. } => Diagnostic::new(&CONNECT, text)
            .help("check `brokers`, and that a broker listens there and can be reached from here"),
        _ if error.code().is_some_and(|code| code.name() == "FENCED_INSTANCE_ID") => {
            // Most likely it has come for good. Were it a copy of this worker's state, both would fence each other for ever.
            Diagnostic::new(&LOST_SPLITS, text).help(
                "another worker of the same name has joined: where a state directory was copied, remove the files \
                 `workers/*/worker` from the copy",
            )
        }
        _ => match error.class() {
            Class::Fence | Class::Rejoin => Diagnostic::new(&LOST_SPLITS, text),
            Class::Fatal
                if error.code().is_some_and(|code| code.name().ends_with("AUTHORIZATION_FAILED")) =>
            {
                user(&REMOTE, "have an administrator grant it, as `kafka-acls` does")
            }
            Class::Fatal => Diagnostic { blame: Blame::User, ..Diagnostic::new(&REMOTE, text) },
            _ => Diagnostic::new(&REMOTE, text),
        },
    }
}
