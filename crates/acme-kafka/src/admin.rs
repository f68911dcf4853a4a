//! Administration: topics, their settings and partitions, deleting records, transactions, quotas, disks.

mod configs;
mod log_dirs;
mod producers;
mod quotas;
mod rights;
mod topics;
mod transactions;

pub use configs::{ConfigSource, DescribedConfig, Synonym};
pub use log_dirs::{LogDir, LogDirReplica};
pub use producers::{ActiveProducer, OpenTransaction};
pub use quotas::{QuotaEntity, QuotaMatch, Quotas, ScramChange, ScramCredential};
pub use rights::{Operation, Rights};
pub use topics::{Reassignment, Setting, TopicDescription, TopicPartitionDescription};
pub use transactions::{ListedTransaction, ONGOING, TransactionDescription, TransactionFilter};

use crate::client::{Client, TopicPartition};
use crate::error::{Error, ErrorCode, Result};
use crate::wire::text;
use kafka_protocol::messages::create_partitions_request::{
    CreatePartitionsAssignment, CreatePartitionsTopic,
};
use kafka_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::DescribeConfigsResourceResult;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::{
    CreatePartitionsRequest, CreateTopicsRequest, DeleteRecordsRequest, DeleteTopicsRequest,
    DescribeConfigsRequest, IncrementalAlterConfigsRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use std::collections::BTreeMap;
use uuid::Uuid;

/// A topic to be created.
#[derive(Clone, Debug)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// Number of partitions; -1 for the cluster's default.
    pub partitions: i32,
    /// Replicas of each partition; -1 for the cluster's default.
    pub replication_factor: i16,
    /// Settings by name.
    pub configs: BTreeMap<String, String>,
    /// The brokers of each partition, from partition 0 on; empty leaves them to the cluster.
    pub assignments: Vec<Vec<i32>>,
}

impl NewTopic {
    /// A topic with the cluster's default replication and settings.
    #[must_use]
    pub fn new(name: impl Into<String>, partitions: i32) -> Self {
        let (name, configs, assignments) = (name.into(), BTreeMap::new(), Vec::new());
        Self { name, partitions, replication_factor: -1, configs, assignments }
    }

    /// With a setting.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.configs.insert(name.to_owned(), value.to_owned());
        self
    }
}

/// What a setting belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resource {
    /// A topic by name.
    Topic(String),
    /// A broker by its id.
    Broker(i32),
    /// All brokers, where a broker has no setting of its own.
    BrokerDefaults,
    /// The levels of a broker's loggers.
    BrokerLogger(i32),
    /// A resource of client metrics by its name (KIP-714).
    ClientMetrics(String),
    /// A group by its id (KIP-848).
    Group(String),
}

impl Resource {
    fn parts(&self) -> (i8, String) {
        match self {
            Self::Topic(name) => (2, name.clone()),
            Self::Broker(id) => (4, id.to_string()),
            Self::BrokerDefaults => (4, String::new()),
            Self::BrokerLogger(id) => (8, id.to_string()),
            Self::ClientMetrics(name) => (16, name.clone()),
            Self::Group(id) => (32, id.clone()),
        }
    }

    /// The broker that must be asked; any if none.
    fn broker(&self) -> Option<i32> {
        match self {
            Self::Broker(id) | Self::BrokerLogger(id) => Some(*id),
            _ => None,
        }
    }
}

/// A setting of a topic, broker or group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigEntry {
    /// The value; none where it is secret or unset.
    pub value: Option<String>,
    /// True if nobody has set it for this resource.
    pub is_default: bool,
}

impl Client {
    fn admin_timeout_ms(&self) -> i32 {
        i32::try_from(self.config().request_timeout.as_millis()).unwrap_or(i32::MAX)
    }

    /// Creates a topic and returns its id (nil on clusters without ids).
    ///
    /// # Errors
    /// TOPIC_ALREADY_EXISTS, INVALID_REPLICATION_FACTOR, POLICY_VIOLATION and the like.
    pub async fn create_topic(&self, topic: &NewTopic) -> Result<Uuid> {
        self.creation(topic, false).await
    }

    /// Whether [`Self::create_topic`] would succeed; nothing is created.
    ///
    /// # Errors
    /// As there.
    pub async fn check_topic(&self, topic: &NewTopic) -> Result<()> {
        self.creation(topic, true).await.map(drop)
    }

    async fn creation(&self, topic: &NewTopic, only_check: bool) -> Result<Uuid> {
        let config = |(name, value): (&String, &String)| {
            CreatableTopicConfig::default().with_name(text(name)).with_value(Some(text(value)))
        };
        let brokers = |(number, brokers): (i32, &Vec<i32>)| {
            CreatableReplicaAssignment::default()
                .with_partition_index(number)
                .with_broker_ids(brokers.iter().map(|id| (*id).into()).collect())
        };
        let wanted = CreatableTopic::default()
            .with_assignments((0..).zip(&topic.assignments).map(brokers).collect())
            .with_name(TopicName(text(&topic.name)))
            .with_num_partitions(topic.partitions)
            .with_replication_factor(topic.replication_factor)
            .with_configs(topic.configs.iter().map(config).collect());
        let request = CreateTopicsRequest::default()
            .with_topics(vec![wanted])
            .with_timeout_ms(self.admin_timeout_ms())
            .with_validate_only(only_check);
        let response = self
            .send_to_controller(&request, |response| {
                ErrorCode(response.topics.first().map_or(0, |topic| topic.error_code))
            })
            .await?;
        let result = only(response.topics, "CreateTopics")?;
        check(result.error_code, result.error_message, || format!("creating topic {}", topic.name))?;
        Ok(result.topic_id)
    }

    /// Deletes a topic with all of its records.
    ///
    /// # Errors
    /// UNKNOWN_TOPIC_OR_PARTITION, TOPIC_DELETION_DISABLED and the like.
    pub async fn delete_topic(&self, name: &str) -> Result<()> {
        let topic = DeleteTopicState::default().with_name(Some(TopicName(text(name))));
        let request =
            DeleteTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(self.admin_timeout_ms());
        let response = self
            .send_to_controller(&request, |response| {
                ErrorCode(response.responses.first().map_or(0, |topic| topic.error_code))
            })
            .await?;
        let result = only(response.responses, "DeleteTopics")?;
        check(result.error_code, result.error_message, || format!("deleting topic {name}"))
    }

    /// Raises the number of partitions of a topic.
    ///
    /// # Errors
    /// INVALID_PARTITIONS if it has as many already, and the like.
    pub async fn create_partitions(&self, name: &str, count: i32) -> Result<()> {
        self.create_partitions_at(name, count, &[]).await
    }

    /// The same, and says which brokers get each of the new partitions; with none the cluster decides.
    ///
    /// # Errors
    /// As [`Self::create_partitions`], and INVALID_REPLICA_ASSIGNMENT.
    pub async fn create_partitions_at(&self, name: &str, count: i32, brokers: &[Vec<i32>]) -> Result<()> {
        let assignment = |brokers: &Vec<i32>| {
            CreatePartitionsAssignment::default()
                .with_broker_ids(brokers.iter().map(|id| (*id).into()).collect())
        };
        let assignments = brokers.iter().map(assignment).collect();
        let topic = CreatePartitionsTopic::default()
            .with_name(TopicName(text(name)))
            .with_count(count)
            .with_assignments(Some(assignments).filter(|_| !brokers.is_empty()));
        let request = CreatePartitionsRequest::default()
            .with_topics(vec![topic])
            .with_timeout_ms(self.admin_timeout_ms());
        let response = self
            .send_to_controller(&request, |response| {
                ErrorCode(response.results.first().map_or(0, |topic| topic.error_code))
            })
            .await?;
        let result = only(response.results, "CreatePartitions")?;
        check(result.error_code, result.error_message, || format!("adding partitions to topic {name}"))
    }

    /// The settings of a topic, broker or group: those named, or all.
    ///
    /// # Errors
    /// UNKNOWN_TOPIC_OR_PARTITION, TOPIC_AUTHORIZATION_FAILED and the like.
    pub async fn describe_configs(
        &self,
        resource: &Resource,
        names: Option<&[&str]>,
    ) -> Result<BTreeMap<String, ConfigEntry>> {
        let (kind, name) = resource.parts();
        let wanted = DescribeConfigsResource::default()
            .with_resource_type(kind)
            .with_resource_name(text(&name))
            .with_configuration_keys(names.map(|names| names.iter().map(|name| text(name)).collect()));
        let request = DescribeConfigsRequest::default().with_resources(vec![wanted]);
        let response = match resource.broker() {
            Some(id) => self.send(id, &request).await?,
            None => self.send_to_any(&request).await?,
        };
        let result = only(response.results, "DescribeConfigs")?;
        check(result.error_code, result.error_message, || format!("settings of {name}"))?;
        Ok(result.configs.into_iter().map(entry).collect())
    }

    /// Sets (`Some`) or resets (`None`) settings of a topic, broker or group.
    ///
    /// # Errors
    /// INVALID_CONFIG, POLICY_VIOLATION and the like.
    pub async fn alter_configs(&self, resource: &Resource, configs: &[(&str, Option<&str>)]) -> Result<()> {
        let (kind, name) = resource.parts();
        let change = |(name, value): &(&str, Option<&str>)| {
            let (set, delete) = (0, 1);
            AlterableConfig::default()
                .with_name(text(name))
                .with_config_operation(if value.is_some() { set } else { delete })
                .with_value(value.map(text))
        };
        let wanted = AlterConfigsResource::default()
            .with_resource_type(kind)
            .with_resource_name(text(&name))
            .with_configs(configs.iter().map(change).collect());
        let request = IncrementalAlterConfigsRequest::default().with_resources(vec![wanted]);
        let response = match resource.broker() {
            Some(id) => self.send(id, &request).await?,
            None => self.send_to_any(&request).await?,
        };
        let result = only(response.responses, "IncrementalAlterConfigs")?;
        check(result.error_code, result.error_message, || format!("changing settings of {name}"))
    }

    /// Deletes the records of a partition below an offset (-1: all up to the high watermark); returns the new first
    /// offset.
    ///
    /// # Errors
    /// OFFSET_OUT_OF_RANGE, POLICY_VIOLATION (a compacted topic) and the like.
    pub async fn delete_records(&self, partition: &TopicPartition, before: i64) -> Result<i64> {
        let wanted =
            DeleteRecordsPartition::default().with_partition_index(partition.partition).with_offset(before);
        let topic = DeleteRecordsTopic::default()
            .with_name(TopicName(text(&partition.topic)))
            .with_partitions(vec![wanted]);
        let request =
            DeleteRecordsRequest::default().with_topics(vec![topic]).with_timeout_ms(self.admin_timeout_ms());
        let mut tries = self.tries();
        loop {
            let leader = self.leader(partition).await?.broker;
            let result = match self.send(leader, &request).await {
                Ok(response) => {
                    let topic = only(response.topics, "DeleteRecords")?;
                    let answer = only(topic.partitions, "DeleteRecords")?;
                    ErrorCode(answer.error_code)
                        .check(|| format!("deleting records of {partition}"))
                        .map(|()| answer.low_watermark)
                }
                Err(error) => Err(error),
            };
            match result {
                Ok(low) => return Ok(low),
                Err(error) => tries.after(error).await?,
            }
            self.refresh(&[]).await?;
        }
    }
}

/// The one result that an answer to one question has.
fn only<T>(results: Vec<T>, what: &str) -> Result<T> {
    let count = results.len();
    let mut results = results.into_iter();
    match (results.next(), count) {
        (Some(result), 1) => Ok(result),
        _ => Err(Error::protocol(format!("response {what}"), format!("{count} results for one question"))),
    }
}

fn check(code: i16, detail: Option<StrBytes>, what: impl FnOnce() -> String) -> Result<()> {
    let code = ErrorCode(code);
    if code.is_ok() {
        return Ok(());
    }
    let detail = detail.map(|text| text.to_string()).filter(|text| !text.is_empty());
    Err(Error::Broker { code, what: what(), detail })
}

fn entry(told: DescribeConfigsResourceResult) -> (String, ConfigEntry) {
    /// DEFAULT_CONFIG of `DescribeConfigsResponse.ConfigSource`; brokers' own settings count as defaults of topics.
    const OF_THIS_RESOURCE: [i8; 3] = [1, 2, 8];
    let value = told.value.map(|value| value.to_string());
    let is_default = !OF_THIS_RESOURCE.contains(&told.config_source);
    (told.name.to_string(), ConfigEntry { value, is_default })
}
