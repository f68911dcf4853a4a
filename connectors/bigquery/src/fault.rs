//! What a refusal of the service means: worth waiting for, a row's fault, or one for people to mend.
//!
//! Source: BigQuery, "Error messages" (reasons of the REST API); Storage Write API, "Error handling" (gRPC codes).

use acme_types::{Blame, Diagnostic, codes};
use serde::Deserialize;
use tonic::{Code, Status};

/// An error of the REST API.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Refusal {
    #[serde(default)]
    pub(crate) message: String,
    #[serde(default)]
    errors: Vec<Reason>,
}

/// One reason; jobs and rows have them too.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Reason {
    #[serde(default)]
    pub(crate) reason: String,
    #[serde(default)]
    pub(crate) location: String,
    #[serde(default)]
    pub(crate) message: String,
}

impl Reason {
    /// Whether trying again later may help: quotas, and faults of the service itself.
    pub(crate) fn is_transient(&self) -> bool {
        let transient = [
            "rateLimitExceeded",
            "quotaExceeded",
            "jobRateLimitExceeded",
            "backendError",
            "internalError",
            "jobBackendError",
            "jobInternalError",
            "tableUnavailable",
            "timeout",
        ];
        // Two statements that change a table at once: the service lets one of them fail.
        transient.contains(&self.reason.as_str()) || self.message.contains("Could not serialize access")
    }
}

impl Refusal {
    /// The error of a reply; its own text where it is none of the service's.
    pub(crate) fn read(body: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct Whole {
            error: Refusal,
        }
        match serde_json::from_slice::<Whole>(body) {
            Ok(whole) => whole.error,
            Err(_) => Self {
                message: String::from_utf8_lossy(&body[..body.len().min(300)]).trim().to_owned(),
                errors: Vec::new(),
            },
        }
    }

    pub(crate) fn reason(&self) -> &str {
        self.errors.first().map_or("", |reason| &reason.reason)
    }

    /// Whether a request that was answered so may succeed later.
    pub(crate) fn is_transient(&self, status: u16) -> bool {
        let first = self.errors.first();
        // Some reasons come with more than one status.
        first.is_some_and(Reason::is_transient) || matches!(status, 408 | 429 | 500 | 502 | 503 | 504)
    }

    pub(crate) fn is_quota(&self, status: u16) -> bool {
        status == 429
            || matches!(self.reason(), "rateLimitExceeded" | "quotaExceeded" | "jobRateLimitExceeded")
    }

    /// The message for people of a reply with this status.
    pub(crate) fn diagnostic(&self, what: &str, status: u16) -> Diagnostic {
        let words = match self.message.is_empty() {
            true => format!("status {status}"),
            false => self.message.clone(),
        };
        match status {
            _ if self.is_quota(status) => quota(what, &words),
            _ if self.is_transient(status) => remote(format!("BigQuery cannot {what} at present: {words}")),
            401 => unauthenticated(what, &words),
            403 if self.reason() == "billingNotEnabled" => {
                user(format!("BigQuery does not {what}: {words}"), "enable billing for the project")
            }
            403 => denied(what, &words),
            404 => user(
                format!("BigQuery cannot {what}: {words}"),
                "check `project` and `table`; create the dataset",
            ),
            _ => user(format!("BigQuery does not {what}: {words}"), "mend what it names and start again"),
        }
    }
}

fn user(message: String, help: &'static str) -> Diagnostic {
    Diagnostic { blame: Blame::User, ..Diagnostic::new(&codes::REMOTE, message).help(help) }
}

pub(crate) fn remote(message: String) -> Diagnostic {
    Diagnostic { blame: Blame::Remote, ..Diagnostic::new(&codes::CONNECT, message) }
}

fn quota(what: &str, words: &str) -> Diagnostic {
    remote(format!("a quota of BigQuery is used up, so it does not {what}: {words}")).help(
        "wait until it is filled again, ask for a larger quota, or flush more rarely (`flush_interval`)",
    )
}

fn unauthenticated(what: &str, words: &str) -> Diagnostic {
    let help =
        "run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS to a valid key";
    user(format!("BigQuery does not accept the credentials to {what}: {words}"), help)
}

fn denied(what: &str, words: &str) -> Diagnostic {
    let help = "give the account the roles `BigQuery Data Editor` on the dataset and `BigQuery Job User` on the project";
    user(format!("BigQuery does not allow to {what}: {words}"), help)
}

/// Whether a call that ended so may succeed later.
pub(crate) fn is_transient(code: Code) -> bool {
    matches!(
        code,
        Code::Unavailable
            | Code::ResourceExhausted
            | Code::Internal
            | Code::Aborted
            | Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Unknown
    )
}

/// The message for people of a call that failed.
pub(crate) fn of_call(what: &str, status: &Status) -> Diagnostic {
    let words = status.message();
    match status.code() {
        Code::ResourceExhausted => quota(what, words),
        code if is_transient(code) => {
            remote(format!("BigQuery cannot {what} at present ({code:?}): {words}"))
        }
        Code::Unauthenticated => unauthenticated(what, words),
        Code::PermissionDenied => denied(what, words),
        Code::NotFound => user(
            format!("BigQuery cannot {what}: {words}"),
            "check `project` and `table`; create the dataset, or the table where `create: false`",
        ),
        code => user(
            format!("BigQuery does not {what} ({code:?}): {words}"),
            "mend what it names and start again",
        ),
    }
}
