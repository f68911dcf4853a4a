//! What a destination leaves on its cluster between runs: the topic that keeps the pipeline's progress. It is removed when a
//! pipeline goes for good.

use crate::fault::fault;
use crate::settings::Cluster;
use crate::sink::commit_topic;
use acme_connect::Context;
use acme_kafka::{At, Client, ErrorCode, Isolation, TopicPartition};
use acme_types::{Config, Diagnostic};

/// What one destination has on its cluster.
pub struct Remains {
    cluster: Cluster,
    topic: String,
}

/// The topic that keeps a pipeline's progress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitTopic {
    /// Its name.
    pub name: String,
    /// Why it stays; `None` for what is removed.
    pub stays: Option<String>,
}

impl Remains {
    /// Of an item.
    ///
    /// **Errors** a configuration that cannot be used.
    pub fn of(config: &Config, context: &Context) -> Result<Self, Diagnostic> {
        let cluster = Cluster::of(config, context)?;
        Ok(Self { cluster, topic: commit_topic(&context.pipeline) })
    }

    /// The topic, if it is there.
    ///
    /// **Errors** a cluster that cannot be reached, or does not let us look.
    pub async fn look(&self) -> Result<Option<CommitTopic>, Diagnostic> {
        self.found(&self.cluster.look().await?).await
    }

    /// Deletes it; what became of it.
    ///
    /// **Errors** as of [`Self::look`], and a cluster that does not let us delete it.
    pub async fn remove(&self) -> Result<Option<CommitTopic>, Diagnostic> {
        let client = self.cluster.look().await?;
        let found = self.found(&client).await?;
        if found.as_ref().is_some_and(|topic| topic.stays.is_none()) {
            match client.delete_topic(&self.topic).await {
                // Another destination on the same cluster, or an earlier try, was quicker.
                Err(error) if error.code() == Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION) => {}
                result => {
                    result.map_err(|error| fault(&format!("delete topic \"{}\"", self.topic), &error))?;
                }
            }
        }
        Ok(found)
    }

    async fn found(&self, client: &Client) -> Result<Option<CommitTopic>, Diagnostic> {
        let name = &self.topic;
        let what = format!("look at topic \"{name}\"");
        let cluster = client.metadata(&[name]).await.map_err(|error| fault(&what, &error))?;
        let Some(topic) = cluster.topics.get(name.as_str()) else { return Ok(None) };
        if topic.error == ErrorCode::UNKNOWN_TOPIC_OR_PARTITION {
            return Ok(None);
        }
        topic.error.check(|| format!("topic {name}")).map_err(|error| fault(&what, &error))?;
        let ends: Vec<_> =
            topic.partitions.keys().map(|it| (TopicPartition::new(name.as_str(), *it), At::Latest)).collect();
        let ends = client.list_offsets(&ends, Isolation::ReadUncommitted).await;
        let ends = ends.map_err(|error| fault(&what, &error))?;
        // Acme writes nothing into it: whose records these are nobody knows.
        let used = ends.values().any(|end| end.offset > 0);
        let stays = used.then(|| "it has records, and Acme has written none".to_owned());
        Ok(Some(CommitTopic { name: name.clone(), stays }))
    }
}
