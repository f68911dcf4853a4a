//! The topic that is written: whether it is there, and what it takes.

use crate::fault::{denied, fault};
use acme_kafka::admin::{NewTopic, Operation, Resource};
use acme_kafka::{Client, ErrorCode};
use acme_types::codes::REMOTE;
use acme_types::{Config, Diagnostic, Place};

/// What brokers take at most unless they are told otherwise (`max.message.bytes`).
const RECORD_MAX: usize = 1_048_588;
/// What a batch and its record have around the key and the value, generously.
const AROUND: usize = 256;

/// The topic as it is configured.
#[derive(Clone, Debug)]
pub(super) struct Topic {
    pub(super) name: String,
    at: Place,
    create: Option<NewTopic>,
}

impl Topic {
    pub(super) fn of(config: &Config) -> Self {
        let name = config.text("topic").cloned().unwrap_or_default();
        let create = config.object("create").map(|keys| {
            let number = |key: &str| keys.int(key).and_then(|number| i32::try_from(*number).ok());
            let mut topic = NewTopic::new(&name, number("partitions").unwrap_or(-1));
            topic.replication_factor =
                number("replication_factor").and_then(|replicas| i16::try_from(replicas).ok()).unwrap_or(-1);
            for (key, value) in keys.map("config").into_iter().flatten() {
                topic = topic.with(key, value.text().unwrap_or_default());
            }
            topic
        });
        Self { name, at: config.place("topic").clone(), create }
    }

    /// How many partitions it has; `None` where it does not exist.
    pub(super) async fn partitions(&self, client: &Client) -> Result<Option<i32>, Diagnostic> {
        let what = format!("look at topic \"{}\"", self.name);
        let cluster = client.metadata(&[&self.name]).await.map_err(|error| fault(&what, &error))?;
        match cluster.topics.get(&*self.name) {
            None => Ok(None),
            Some(topic) if topic.error == ErrorCode::UNKNOWN_TOPIC_OR_PARTITION => Ok(None),
            Some(topic) if topic.error == ErrorCode::TOPIC_AUTHORIZATION_FAILED => {
                Err(denied(Operation::Write, "topic", &self.name).at(&self.at))
            }
            Some(topic) if !topic.error.is_ok() => {
                let message = format!("cannot {what}: {}", topic.error.message());
                let help = "a topic's name has at most 249 letters, digits, '.', '_' and '-'; `acme topics describe` shows its state";
                Err(Diagnostic::new(&REMOTE, message).at(&self.at).help(help))
            }
            Some(topic) => {
                Ok(Some(i32::try_from(topic.partitions.len()).expect("partitions have 32-bit numbers")))
            }
        }
    }

    /// Finds it, or creates it where that is asked for; how many partitions it has.
    pub(super) async fn ensure(&self, client: &Client) -> Result<i32, Diagnostic> {
        let mut backoff = acme_connect::Backoff::new(1);
        let mut created = false;
        loop {
            if let Some(partitions) = self.partitions(client).await?.filter(|partitions| *partitions > 0) {
                return Ok(partitions);
            }
            match &self.create {
                None => return Err(self.missing()),
                Some(topic) if !created => {
                    match client.create_topic(topic).await {
                        // Another worker was faster.
                        Err(error) if error.code() == Some(ErrorCode::TOPIC_ALREADY_EXISTS) => {}
                        result => {
                            result.map_err(|error| self.uncreated(&error))?;
                        }
                    }
                    created = true;
                }
                // Brokers hear of it one after the other.
                Some(_) => match backoff.wait() {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => return Err(self.missing()),
                },
            }
        }
    }

    /// Whether it can be written, or created.
    pub(super) async fn check(&self, client: &Client) -> Result<(), Diagnostic> {
        match (self.partitions(client).await?, &self.create) {
            (None, None) => Err(self.missing()),
            (None, Some(topic)) => client.check_topic(topic).await.map_err(|error| self.uncreated(&error)),
            (Some(_), _) => {
                let what = format!("look at topic \"{}\"", self.name);
                let rights = client.topic_rights(&[&self.name]).await;
                match rights.map_err(|error| fault(&what, &error).at(&self.at))?.first() {
                    Some(rights) if !rights.allow(Operation::Write) => {
                        Err(denied(Operation::Write, "topic", &self.name).at(&self.at))
                    }
                    _ => Ok(()),
                }
            }
        }
    }

    fn uncreated(&self, error: &acme_kafka::Error) -> Diagnostic {
        let diagnostic = fault(&format!("create topic \"{}\"", self.name), error).at(&self.at);
        match diagnostic.help {
            Some(_) => diagnostic,
            None => diagnostic.help("mend what `create` says, or create the topic with `acme topics create`"),
        }
    }

    fn missing(&self) -> Diagnostic {
        let message = format!("the cluster has no topic \"{}\"", self.name);
        let help = "create it with `acme topics create`, or add `create: {}` to have it created";
        Diagnostic::new(&REMOTE, message).at(&self.at).help(help)
    }

    /// The most bytes that a record's key, value and headers may have.
    pub(super) async fn record_max(&self, client: &Client) -> usize {
        const NAME: &str = "max.message.bytes";
        // Who may write may perhaps not see the settings.
        let described = client.describe_configs(&Resource::Topic(self.name.clone()), Some(&[NAME])).await;
        let value = described.ok().and_then(|mut entries| entries.remove(NAME)?.value);
        value.and_then(|value| value.parse().ok()).unwrap_or(RECORD_MAX).saturating_sub(AROUND)
    }
}
