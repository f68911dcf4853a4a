//! Which topics are read.

use crate::fault::{denied, fault};
use acme_kafka::admin::Operation;
use acme_kafka::{Client, ErrorCode, Metadata, TopicPartition};
use acme_types::codes::{BAD_VALUE, MISSING_KEY, REMOTE};
use acme_types::{Config, Diagnostic, Place};
use regex::Regex;

/// The topics of a source.
#[derive(Clone, Debug)]
pub(crate) struct Topics {
    pub(crate) which: Which,
    /// Where they are named.
    at: Place,
}

#[derive(Clone, Debug)]
pub(crate) enum Which {
    Named(Vec<String>),
    Matching(Regex),
}

const KEYS: [&str; 3] = ["topic", "topics", "topic_pattern"];

impl Topics {
    pub(crate) fn of(config: &Config) -> Result<Self, Diagnostic> {
        let given: Vec<&str> = KEYS.into_iter().filter(|key| config.get(key).is_some()).collect();
        let at = config.place(given.first().unwrap_or(&KEYS[0])).clone();
        match given.as_slice() {
            [] => {
                let message = "it is not said which topic is read";
                Err(Diagnostic::new(&MISSING_KEY, message)
                    .at(&config.at)
                    .help("add `topic`, `topics` or `topic_pattern`"))
            }
            ["topic_pattern"] => {
                let text = config.text("topic_pattern").map_or("", String::as_str);
                // The whole name, as Kafka's own pattern subscriptions have it.
                let pattern = Regex::new(&format!("^(?:{text})$")).map_err(|error| {
                    let message = format!("\"{text}\" is not a valid regular expression: {error}");
                    config.blame("topic_pattern", Diagnostic::new(&BAD_VALUE, message))
                })?;
                Ok(Self { which: Which::Matching(pattern), at })
            }
            [_] => {
                let mut names: Vec<String> = config.text("topic").into_iter().cloned().collect();
                names.extend(config.texts("topics").map(str::to_owned));
                names.sort_unstable();
                names.dedup();
                if names.is_empty() || names.iter().any(|name| name.trim().is_empty()) {
                    return Err(
                        config.blame(given[0], Diagnostic::new(&BAD_VALUE, "the name of the topic is empty"))
                    );
                }
                Ok(Self { which: Which::Named(names), at })
            }
            [_, second, ..] => {
                let message = format!("`{}` and `{second}` contradict each other", given[0]);
                Err(config.blame(second, Diagnostic::new(&BAD_VALUE, message).help("keep one of them")))
            }
        }
    }

    /// Whether a topic is read. Kafka's own are only read by their names.
    pub(crate) fn has(&self, name: &str) -> bool {
        match &self.which {
            Which::Named(names) => names.iter().any(|known| known == name),
            Which::Matching(pattern) => !name.starts_with("__") && pattern.is_match(name),
        }
    }

    /// The partitions that there are now.
    ///
    /// **Errors** a topic that does not exist or cannot be described.
    pub(crate) fn partitions(&self, cluster: &Metadata) -> Result<Vec<TopicPartition>, Diagnostic> {
        if let Which::Named(names) = &self.which {
            for name in names {
                let missing = cluster
                    .topics
                    .get(&**name)
                    .is_none_or(|topic| topic.partitions.is_empty() && !topic.error.is_ok());
                if missing {
                    return Err(unknown(name, cluster).at(&self.at));
                }
            }
        }
        let read = cluster.topics.iter().filter(|(name, _)| self.has(name));
        Ok(read
            .flat_map(|(name, topic)| {
                topic.partitions.keys().map(|partition| TopicPartition::new(name.clone(), *partition))
            })
            .collect())
    }
}

impl Topics {
    /// Whether there is something to read, and whether it may be read.
    ///
    /// **Errors** as [`Self::partitions`]; a pattern that no topic matches; a topic that may only be looked at.
    pub(crate) async fn check(&self, client: &Client, cluster: &Metadata) -> Result<(), Diagnostic> {
        let partitions = self.partitions(cluster)?;
        if let (Which::Matching(pattern), true) = (&self.which, partitions.is_empty()) {
            let pattern = pattern.as_str().trim_start_matches("^(?:").trim_end_matches(")$");
            let message = format!("no topic that the user may see matches \"{pattern}\"");
            let help = "`acme topics list` shows the topics; the pattern must match a whole name, and one topic must be there at the \
                        start, others may come later";
            return Err(Diagnostic::new(&REMOTE, message).at(&self.at).help(help));
        }
        let mut names: Vec<&str> = partitions.iter().map(|partition| &*partition.topic).collect();
        names.dedup();
        let rights = client.topic_rights(&names).await;
        let rights = rights.map_err(|error| fault("ask what the user may read", &error).at(&self.at))?;
        match names.iter().zip(rights).find(|(_, rights)| !rights.allow(Operation::Read)) {
            Some((name, _)) => Err(denied(Operation::Read, "topic", name).at(&self.at)),
            None => Ok(()),
        }
    }
}

fn unknown(name: &str, cluster: &Metadata) -> Diagnostic {
    let error = cluster.topics.get(name).map(|topic| topic.error);
    if error == Some(ErrorCode::TOPIC_AUTHORIZATION_FAILED) {
        return denied(Operation::Read, "topic", name);
    }
    let reason = error.filter(|error| *error != ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    let message = match reason {
        Some(error) => format!("topic \"{name}\" cannot be read: {}", error.message()),
        None => format!("the cluster has no topic \"{name}\""),
    };
    let help = format!("`acme topics list` shows the topics; `acme topics create {name}` makes this one");
    Diagnostic::new(&REMOTE, message).help(help)
}
