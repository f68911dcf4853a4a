//! Topics as an administrator sees them: with eligible leaders (KIP-966), settings and where they come from, and
//! partitions on the move.

use super::check;
use crate::client::{Client, TopicPartition};
use crate::error::{Error, ErrorCode, Result};
use crate::wire::text;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
use kafka_protocol::messages::describe_topic_partitions_response::{
    DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use kafka_protocol::messages::{
    BrokerId, DescribeConfigsRequest, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse,
    ListPartitionReassignmentsRequest, TopicName,
};
use std::collections::BTreeMap;
use uuid::Uuid;

/// The configuration source DEFAULT_CONFIG: nobody has set it anywhere.
const DEFAULT_SOURCE: i8 = 5;

/// A topic with its partitions.
#[derive(Clone, Debug)]
pub struct TopicDescription {
    /// Its name.
    pub name: String,
    /// Its id, nil on clusters without ids.
    pub id: Uuid,
    /// True for topics of Kafka itself.
    pub is_internal: bool,
    /// Its partitions in the order of their numbers.
    pub partitions: Vec<TopicPartitionDescription>,
}

/// A partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPartitionDescription {
    /// Its number.
    pub partition: i32,
    /// The broker that leads it.
    pub leader: Option<i32>,
    /// All replicas, the preferred leader first.
    pub replicas: Vec<i32>,
    /// The replicas in sync.
    pub in_sync: Vec<i32>,
    /// Replicas out of sync that hold everything committed; none if the cluster does not tell.
    pub eligible: Option<Vec<i32>>,
    /// The replicas that were eligible before a crash; none if the cluster does not tell.
    pub last_known_eligible: Option<Vec<i32>>,
}

/// A setting of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its name.
    pub name: String,
    /// Its value; none where it is secret or unset.
    pub value: Option<String>,
    /// True if neither the topic nor the cluster nor a broker sets it.
    pub is_default: bool,
}

/// A partition whose replicas are being moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reassignment {
    /// All replicas, old and new.
    pub replicas: Vec<i32>,
    /// Those that come.
    pub adding: Vec<i32>,
    /// Those that go.
    pub removing: Vec<i32>,
}

impl Client {
    /// Describes topics, in the order of `names`. Brokers before 3.7 do not tell which replicas are eligible.
    ///
    /// # Errors
    /// What the cluster says about one of the topics, as UNKNOWN_TOPIC_OR_PARTITION.
    pub async fn describe_topics(
        &self,
        names: &[&str],
        partitions_per_answer: i32,
    ) -> Result<Vec<TopicDescription>> {
        let request = |cursor| {
            let topics = names.iter().map(|name| TopicRequest::default().with_name(TopicName(text(name))));
            DescribeTopicPartitionsRequest::default()
                .with_topics(topics.collect())
                .with_response_partition_limit(partitions_per_answer)
                .with_cursor(cursor)
        };
        let mut found: BTreeMap<String, TopicDescription> = BTreeMap::new();
        let mut cursor: Option<Cursor> = None;
        loop {
            let before = cursor.clone();
            let response: DescribeTopicPartitionsResponse =
                match self.send_to_any(&request(cursor.take())).await {
                    Ok(response) => response,
                    Err(Error::Unsupported { .. }) => return self.describe_by_metadata(names).await,
                    Err(error) => return Err(error),
                };
            for topic in response.topics {
                let topic = described(topic)?;
                match found.get_mut(&topic.name) {
                    Some(known) => known.partitions.extend(topic.partitions),
                    None => drop(found.insert(topic.name.clone(), topic)),
                }
            }
            let Some(next) = response.next_cursor else { break };
            let next =
                Cursor::default().with_topic_name(next.topic_name).with_partition_index(next.partition_index);
            if before.as_ref() == Some(&next) {
                return Err(Error::protocol("response DescribeTopicPartitions", "it does not advance"));
            }
            cursor = Some(next);
        }
        names
            .iter()
            .map(|name| {
                let mut topic = found.remove(*name).ok_or_else(|| {
                    Error::protocol("response DescribeTopicPartitions", format!("{name} is missing"))
                })?;
                topic.partitions.sort_by_key(|partition| partition.partition);
                Ok(topic)
            })
            .collect()
    }

    /// Describes topics as the metadata has them: without eligible replicas.
    ///
    /// # Errors
    /// As [`Self::describe_topics`].
    pub async fn describe_by_metadata(&self, names: &[&str]) -> Result<Vec<TopicDescription>> {
        let metadata = self.metadata(names).await?;
        let mut all = Vec::with_capacity(names.len());
        for name in names {
            let missing = || Error::broker(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, format!("topic {name}"));
            let topic = metadata.topics.get(*name).ok_or_else(missing)?;
            topic.error.check(|| format!("topic {name}"))?;
            let partitions = topic.partitions.iter().map(|(number, told)| TopicPartitionDescription {
                partition: *number,
                leader: Some(told.leader).filter(|leader| *leader >= 0),
                replicas: told.replicas.clone(),
                in_sync: told.in_sync.clone(),
                eligible: None,
                last_known_eligible: None,
            });
            all.push(TopicDescription {
                name: (*name).to_owned(),
                id: topic.id,
                is_internal: topic.is_internal,
                partitions: partitions.collect(),
            });
        }
        Ok(all)
    }

    /// All settings of topics, in the order of `names`.
    ///
    /// # Errors
    /// What the cluster says about one of the topics.
    pub async fn topic_settings(&self, names: &[&str]) -> Result<Vec<Vec<Setting>>> {
        const TOPIC: i8 = 2;
        let wanted = names.iter().map(|name| {
            DescribeConfigsResource::default()
                .with_resource_type(TOPIC)
                .with_resource_name(text(name))
                .with_configuration_keys(None)
        });
        let request = DescribeConfigsRequest::default().with_resources(wanted.collect());
        let response = self.send_to_any(&request).await?;
        let mut found = BTreeMap::new();
        for result in response.results {
            let name = result.resource_name.to_string();
            check(result.error_code, result.error_message, || format!("settings of {name}"))?;
            let settings = result.configs.into_iter().map(|told| Setting {
                name: told.name.to_string(),
                value: told.value.map(|value| value.to_string()),
                is_default: told.config_source == DEFAULT_SOURCE,
            });
            found.insert(name, settings.collect());
        }
        let missing = |name: &str| Error::protocol("response DescribeConfigs", format!("{name} is missing"));
        names.iter().map(|name| found.remove(*name).ok_or_else(|| missing(name))).collect()
    }

    /// The partitions of all topics whose replicas are being moved. None where we may not ask.
    ///
    /// # Errors
    /// As [`Client::send_to_controller`].
    pub async fn reassignments(&self) -> Result<BTreeMap<TopicPartition, Reassignment>> {
        const CLUSTER_AUTHORIZATION_FAILED: i16 = 31;
        let request = ListPartitionReassignmentsRequest::default()
            .with_topics(None)
            .with_timeout_ms(self.admin_timeout_ms());
        let response = self.send_to_controller(&request, |response| ErrorCode(response.error_code)).await?;
        if response.error_code == CLUSTER_AUTHORIZATION_FAILED {
            return Ok(BTreeMap::new());
        }
        check(response.error_code, response.error_message, || "reassignments".to_owned())?;
        let topics = response.topics.into_iter().flat_map(|topic| {
            topic.partitions.into_iter().map(move |told| {
                let partition = TopicPartition::new(topic.name.as_str(), told.partition_index);
                let reassignment = Reassignment {
                    replicas: ids(&told.replicas),
                    adding: ids(&told.adding_replicas),
                    removing: ids(&told.removing_replicas),
                };
                (partition, reassignment)
            })
        });
        Ok(topics.collect())
    }
}

fn ids(brokers: &[BrokerId]) -> Vec<i32> {
    brokers.iter().map(|id| id.0).collect()
}

fn described(told: DescribeTopicPartitionsResponseTopic) -> Result<TopicDescription> {
    let name = told.name.map(|name| name.to_string()).unwrap_or_default();
    ErrorCode(told.error_code).check(|| format!("topic {name}"))?;
    let partition = |told: DescribeTopicPartitionsResponsePartition| TopicPartitionDescription {
        partition: told.partition_index,
        leader: Some(told.leader_id.0).filter(|leader| *leader >= 0),
        replicas: ids(&told.replica_nodes),
        in_sync: ids(&told.isr_nodes),
        // Null means that there is none: the request exists only where eligible replicas do.
        eligible: Some(told.eligible_leader_replicas.as_deref().map(ids).unwrap_or_default()),
        last_known_eligible: Some(told.last_known_elr.as_deref().map(ids).unwrap_or_default()),
    };
    Ok(TopicDescription {
        name,
        id: told.topic_id,
        is_internal: told.is_internal,
        partitions: told.partitions.into_iter().map(partition).collect(),
    })
}
