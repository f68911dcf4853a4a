//! Which topics are read.

use acme_kafka::{Metadata, TopicPartition};
use acme_types::codes::{BAD_VALUE, MISSING_KEY, REMOTE};
use acme_types::{Config, Diagnostic, Place};
use regex::Regex;

/// The topics of a source.
#[derive(Clone, Debug)]
pub(crate) enum Topics {
    Named(Vec<String>),
    Matching(Regex),
}

const KEYS: [&str; 3] = ["topic", "topics", "topic_pattern"];

/// Where the topics are named.
pub(crate) fn place(config: &Config) -> Place {
    let key = KEYS.into_iter().find(|key| config.get(key).is_some());
    key.map_or(&config.at, |key| config.place(key)).clone()
}

impl Topics {
    pub(crate) fn of(config: &Config) -> Result<Self, Diagnostic> {
        let given: Vec<&str> = KEYS.into_iter().filter(|key| config.get(key).is_some()).collect();
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
                Regex::new(&format!("^(?:{text})$")).map(Self::Matching).map_err(|error| {
                    let message = format!("\"{text}\" is not a valid regular expression: {error}");
                    config.blame("topic_pattern", Diagnostic::new(&BAD_VALUE, message))
                })
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
                Ok(Self::Named(names))
            }
            [_, second, ..] => {
                let message = format!("`{}` and `{second}` contradict each other", given[0]);
                Err(config.blame(second, Diagnostic::new(&BAD_VALUE, message).help("keep one of them")))
            }
        }
    }

    /// Whether a topic is read. Kafka's own are only read by their names.
    pub(crate) fn has(&self, name: &str) -> bool {
        match self {
            Self::Named(names) => names.iter().any(|known| known == name),
            Self::Matching(pattern) => !name.starts_with("__") && pattern.is_match(name),
        }
    }

    /// The partitions that there are now.
    ///
    /// **Errors** a topic that does not exist or cannot be described.
    pub(crate) fn partitions(&self, cluster: &Metadata) -> Result<Vec<TopicPartition>, Diagnostic> {
        if let Self::Named(names) = self {
            for name in names {
                let missing = cluster
                    .topics
                    .get(&**name)
                    .is_none_or(|topic| topic.partitions.is_empty() && !topic.error.is_ok());
                if missing {
                    return Err(unknown(name, cluster));
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

fn unknown(name: &str, cluster: &Metadata) -> Diagnostic {
    let reason = cluster.topics.get(name).filter(|topic| topic.error.name() != "UNKNOWN_TOPIC_OR_PARTITION");
    let message = match reason {
        Some(topic) => format!("topic \"{name}\" cannot be read: {}", topic.error.message()),
        None => format!("the cluster has no topic \"{name}\""),
    };
    let help = format!("`acme topics list` shows the topics; `acme topics create {name}` makes this one");
    Diagnostic::new(&REMOTE, message).help(help)
}
