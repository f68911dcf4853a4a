//! What the cluster looks like: brokers, topics, leaders. A snapshot, replaced as a whole.

use crate::error::{Error, ErrorCode, Result};
use kafka_protocol::messages::MetadataResponse;
use kafka_protocol::messages::metadata_response::{MetadataResponsePartition, MetadataResponseTopic};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use uuid::Uuid;

/// A partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The name of the topic.
    pub topic: Arc<str>,
    /// The number of the partition, from 0.
    pub partition: i32,
}

impl TopicPartition {
    /// A partition of a topic.
    #[must_use]
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// The cluster as some broker saw it.
#[derive(Clone, Debug, Default)]
pub struct Metadata {
    /// The id of the cluster, if it has told.
    pub cluster_id: Option<String>,
    /// The broker that takes administrative requests, -1 if unknown.
    pub controller: i32,
    /// The brokers by their ids.
    pub brokers: BTreeMap<i32, Broker>,
    /// The topics that were asked for, by name.
    pub topics: BTreeMap<Arc<str>, Topic>,
}

/// A broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
    /// The host of the listener that we came in by.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The rack, if it has one.
    pub rack: Option<String>,
}

/// A topic.
#[derive(Clone, Debug)]
pub struct Topic {
    /// Its id, nil on clusters without ids (before 2.8).
    pub id: Uuid,
    /// Why it cannot be described.
    pub error: ErrorCode,
    /// True for topics of Kafka itself.
    pub is_internal: bool,
    /// Its partitions by number.
    pub partitions: BTreeMap<i32, Partition>,
}

/// A partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Why it cannot be used.
    pub error: ErrorCode,
    /// The leader, -1 if there is none.
    pub leader: i32,
    /// How often leadership has changed.
    pub leader_epoch: i32,
    /// All replicas.
    pub replicas: Vec<i32>,
    /// Those in sync.
    pub in_sync: Vec<i32>,
}

/// Who leads a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leader {
    /// The broker.
    pub broker: i32,
    /// Since how many changes.
    pub epoch: i32,
    /// The id of the topic, nil on clusters without ids.
    pub topic_id: Uuid,
}

impl Metadata {
    /// The leader of a partition.
    ///
    /// # Errors
    /// UNKNOWN_TOPIC_OR_PARTITION, LEADER_NOT_AVAILABLE, or what the broker said about the topic.
    pub fn leader(&self, partition: &TopicPartition) -> Result<Leader> {
        let error = |code| Error::broker(code, format!("leader of {partition}"));
        let Some(topic) = self.topics.get(&partition.topic) else {
            return Err(error(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
        };
        if !topic.error.is_ok() {
            return Err(error(topic.error));
        }
        let Some(found) = topic.partitions.get(&partition.partition) else {
            return Err(error(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
        };
        if found.leader < 0 {
            return Err(error(ErrorCode::LEADER_NOT_AVAILABLE));
        }
        Ok(Leader { broker: found.leader, epoch: found.leader_epoch, topic_id: topic.id })
    }

    /// Takes an answer over: brokers replace those known, topics are added. A leader of an older epoch than the one
    /// known does not count (KIP-320): some broker has not heard of the change yet.
    pub(super) fn merged(&self, response: MetadataResponse, all_topics: bool) -> Result<Self> {
        let mut brokers = BTreeMap::new();
        for broker in response.brokers {
            let port = u16::try_from(broker.port)
                .map_err(|_| Error::protocol("response Metadata", format!("port {}", broker.port)))?;
            let rack = broker.rack.map(|rack| rack.to_string());
            brokers.insert(broker.node_id.0, Broker { host: broker.host.to_string(), port, rack });
        }
        let mut topics = if all_topics { BTreeMap::new() } else { self.topics.clone() };
        for topic in response.topics {
            let Some(name) = topic.name.as_ref().map(|name| Arc::<str>::from(name.as_str())) else {
                continue;
            };
            let known = self.topics.get(&name);
            topics.insert(name, merged_topic(known, topic));
        }
        Ok(Self {
            cluster_id: response.cluster_id.map(|id| id.to_string()),
            controller: response.controller_id.0,
            brokers,
            topics,
        })
    }
}

fn merged_topic(known: Option<&Topic>, told: MetadataResponseTopic) -> Topic {
    let known = known.filter(|known| known.id == told.topic_id);
    let partitions = told
        .partitions
        .into_iter()
        .map(|told| {
            let number = told.partition_index;
            let newer = known
                .and_then(|known| known.partitions.get(&number))
                .filter(|known| known.leader_epoch > told.leader_epoch && told.leader_epoch >= 0);
            (number, newer.cloned().unwrap_or_else(|| partition(&told)))
        })
        .collect();
    Topic { id: told.topic_id, error: ErrorCode(told.error_code), is_internal: told.is_internal, partitions }
}

fn partition(told: &MetadataResponsePartition) -> Partition {
    Partition {
        error: ErrorCode(told.error_code),
        leader: told.leader_id.0,
        leader_epoch: told.leader_epoch,
        replicas: told.replica_nodes.iter().map(|id| id.0).collect(),
        in_sync: told.isr_nodes.iter().map(|id| id.0).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::text;
    use kafka_protocol::messages::{BrokerId, TopicName};

    fn told(id: u128, epoch: i32, leader: i32) -> MetadataResponse {
        let partition =
            MetadataResponsePartition::default().with_leader_epoch(epoch).with_leader_id(BrokerId(leader));
        let topic = MetadataResponseTopic::default()
            .with_name(Some(TopicName(text("t"))))
            .with_topic_id(Uuid::from_u128(id))
            .with_partitions(vec![partition]);
        MetadataResponse::default().with_topics(vec![topic])
    }

    #[test]
    fn a_broker_that_lags_behind_does_not_bring_an_old_leader_back() {
        let t = TopicPartition::new("t", 0);
        let now = Metadata::default().merged(told(1, 5, 1), false).unwrap();
        let later = now.merged(told(1, 4, 2), false).unwrap();
        assert_eq!(later.leader(&t).unwrap().broker, 1);
        let newer = now.merged(told(1, 6, 2), false).unwrap();
        assert_eq!(newer.leader(&t).unwrap().broker, 2);
        // A topic that was created anew begins at epoch 0 again.
        let anew = now.merged(told(2, 0, 3), false).unwrap();
        assert_eq!(anew.leader(&t).unwrap().broker, 3);
    }

    #[test]
    fn a_partition_without_leader_or_topic_says_so() {
        let metadata = Metadata::default().merged(told(1, 5, -1), false).unwrap();
        let code = |partition| metadata.leader(&partition).unwrap_err().code();
        assert_eq!(code(TopicPartition::new("t", 0)), Some(ErrorCode::LEADER_NOT_AVAILABLE));
        assert_eq!(code(TopicPartition::new("t", 1)), Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
        assert_eq!(code(TopicPartition::new("u", 0)), Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
    }
}
