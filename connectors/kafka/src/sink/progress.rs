//! Transactions that carry the name of a checkpoint, where the rows do not come from a group on the same cluster.
//!
//! The pipeline has a topic of its own, `acme.NAME.commit`, in which nothing is ever written: it gives its group, `acme-NAME`, a
//! partition whose committed offset is the epoch, with the checkpoint's name beside it. It is committed in the transaction of the rows.
//! One writer has the transactional id; whoever takes it over fences the one before.

use super::KafkaSink;
use crate::fault::fault;
use acme_connect::{Backoff, CommitPoint, failpoint};
use acme_kafka::admin::NewTopic;
use acme_kafka::group::{GroupMetadata, OffsetAndMetadata};
use acme_kafka::{Class, Client, ErrorCode, TopicPartition};
use acme_types::{Diagnostic, Epoch};

/// Where the names of checkpoints are committed.
pub(super) struct Progress {
    group: String,
    partition: TopicPartition,
}

/// The topic of a pipeline.
pub(crate) fn commit_topic(pipeline: &str) -> String {
    format!("acme.{pipeline}.commit")
}

impl Progress {
    fn of(pipeline: &str) -> Self {
        let partition = TopicPartition::new(commit_topic(pipeline), 0);
        Self { group: format!("acme-{pipeline}"), partition }
    }

    /// Creates the topic, unless it is there.
    async fn ensure(&self, client: &Client) -> Result<(), Diagnostic> {
        let name = &*self.partition.topic;
        let what = format!("create topic \"{name}\", which keeps the pipeline's progress");
        let refused = |error| fault(&what, &error);
        let mut backoff = Backoff::new(1);
        let mut created = false;
        loop {
            let cluster = client.metadata(&[name]).await.map_err(refused)?;
            if cluster.topics.get(name).is_some_and(|topic| topic.partitions.contains_key(&0)) {
                return Ok(());
            }
            if !created {
                let topic = NewTopic::new(name, 1).with("cleanup.policy", "compact");
                match client.create_topic(&topic).await {
                    Err(error) if error.code() == Some(ErrorCode::TOPIC_ALREADY_EXISTS) => {}
                    result => result.map(drop).map_err(refused)?,
                }
                created = true;
                continue;
            }
            // Brokers hear of it one after the other.
            let Some(wait) = backoff.wait() else {
                return Err(fault(&what, &acme_kafka::Error::State("it does not appear".to_owned())));
            };
            tokio::time::sleep(wait).await;
        }
    }

    /// The name that was committed last; if it is to be `stable`, once no transaction is open that may change it.
    async fn committed(&self, client: &Client, stable: bool) -> Result<Option<String>, Diagnostic> {
        let asked = std::slice::from_ref(&self.partition);
        let found = client.committed(&self.group, Some(asked), stable).await;
        let found = found.map_err(|error| {
            fault(&format!("ask group \"{}\" for the pipeline's progress", self.group), &error)
        })?;
        Ok(found.get(&self.partition).map(|it| it.metadata.clone()).filter(|name| !name.is_empty()))
    }
}

impl CommitPoint for KafkaSink {
    async fn peek(&mut self) -> Result<Option<String>, Diagnostic> {
        Progress::of(&self.pipeline).committed(&self.cluster.connect().await?, false).await
    }

    async fn claim(&mut self, _: &str) -> Result<Option<String>, Diagnostic> {
        let progress = Progress::of(&self.pipeline);
        let client = self.cluster.connect().await?;
        progress.ensure(&client).await?;
        // What a predecessor had open is aborted before the name is read, and from now on it commits nothing.
        self.own(format!("acme-{}/commit", self.pipeline)).await?;
        let committed = progress.committed(&client, true).await?;
        self.progress = Some(progress);
        Ok(committed)
    }

    async fn commit_with(&mut self, epoch: Epoch, checkpoint: &str) -> Result<(), Diagnostic> {
        let what = format!("commit a transaction of topic \"{}\"", self.topic.name);
        let progress = self.progress.as_ref().expect("it was claimed");
        let committed = OffsetAndMetadata {
            offset: i64::try_from(epoch.0).unwrap_or(i64::MAX),
            leader_epoch: -1,
            metadata: checkpoint.to_owned(),
        };
        let offsets = [(progress.partition.clone(), committed)];
        let group = GroupMetadata::outside(&*progress.group);
        let timeout = self.transactional.as_ref().expect("it was claimed").timeout;
        let open = self.open.as_mut().expect("it is opened first");
        open.begin(timeout).map_err(|error| fault(&what, &error))?;
        match open.producer.send_offsets(&group, &offsets).await {
            Ok(()) => {}
            // The group has members that are none of ours.
            Err(error) if error.class() == Class::Rejoin => {
                let help = format!(
                    "group \"{}\" keeps the pipeline's progress: stop its other members",
                    group.group
                );
                return Err(fault(&what, &error).help(help));
            }
            Err(error) => return Err(self.lost(&what, &error).await),
        }
        failpoint("kafka.offsets_sent");
        self.end_transaction(&what).await
    }
}
