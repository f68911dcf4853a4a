//! Metadata: topics and where they are, which is here.

use super::Call;
use crate::context::NODE;
use crate::error::{self, Code};
use crate::frame::text;
use acme_log::{Partition, Topic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{BrokerId, MetadataRequest, MetadataResponse, TopicName};
use std::collections::{BTreeMap, BTreeSet};

/// What everybody may do to a topic: READ, WRITE, CREATE, DELETE, ALTER, DESCRIBE, DESCRIBE_CONFIGS, ALTER_CONFIGS as bits.
pub(crate) const TOPIC_OPERATIONS: i32 = 0b1101_1111_1000;
/// The same of the cluster: CREATE, ALTER, DESCRIBE, CLUSTER_ACTION, DESCRIBE_CONFIGS, ALTER_CONFIGS, IDEMPOTENT_WRITE.
pub(crate) const CLUSTER_OPERATIONS: i32 = 0b1_1111_1010_0000;
/// Nobody asked.
pub(crate) const NOT_ASKED: i32 = i32::MIN;

pub(crate) async fn handle(call: &Call, request: MetadataRequest) -> MetadataResponse {
    let topics = match &request.topics {
        Some(asked) if !(asked.is_empty() && call.version == 0) => {
            let mut topics = Vec::with_capacity(asked.len());
            // Where any topic has an id, those without are passed over, as by Apache Kafka.
            let by_id = call.version >= 12 && asked.iter().any(|topic| !topic.topic_id.is_nil());
            // What is asked for twice is answered once.
            let mut seen = BTreeSet::new();
            for topic in asked.iter().filter(|topic| !by_id || !topic.topic_id.is_nil()) {
                if !seen.insert((topic.name.as_deref(), topic.topic_id)) {
                    continue;
                }
                topics.push(one(call, &request, topic).await);
            }
            topics
        }
        _ => call.context.log.topics().iter().map(|topic| described(call, &request, topic)).collect(),
    };
    let (host, port) = call.session.advertised.clone();
    let broker =
        MetadataResponseBroker::default().with_node_id(BrokerId(NODE)).with_host(host).with_port(port);
    let wants_rights = (8..=10).contains(&call.version) && request.include_cluster_authorized_operations;
    MetadataResponse::default()
        .with_brokers(vec![broker])
        .with_cluster_id((call.version >= 2).then(|| text(call.context.log.cluster_id())))
        .with_controller_id(BrokerId(NODE))
        .with_topics(topics)
        .with_cluster_authorized_operations(if wants_rights { CLUSTER_OPERATIONS } else { NOT_ASKED })
}

async fn one(call: &Call, request: &MetadataRequest, asked: &MetadataRequestTopic) -> MetadataResponseTopic {
    let topics = call.context.log.topics();
    // An id goes before a name: the Java client sends an empty name with each id.
    let name = asked.name.as_ref().filter(|_| asked.topic_id.is_nil());
    let Some(name) = name else {
        let code = match topics.with_id(asked.topic_id) {
            _ if call.version < 12 => Code::InvalidRequest,
            Some(topic) => return described(call, request, topic),
            None => Code::UnknownTopicId,
        };
        let name = (call.version < 12).then(|| asked.name.clone().unwrap_or_default());
        return MetadataResponseTopic::default()
            .with_error_code(code.code())
            .with_name(name)
            .with_topic_id(if call.version >= 10 { asked.topic_id } else { Default::default() });
    };
    if let Some(topic) = topics.named(name) {
        return described(call, request, topic);
    }
    let may_create = call.version < 4 || request.allow_auto_topic_creation;
    match created(call, name, may_create).await {
        Ok(()) => match call.context.log.topics().named(name) {
            Some(topic) => described(call, request, topic),
            None => unknown(name, Code::UnknownTopicOrPartition),
        },
        Err(code) => unknown(name, code),
    }
}

/// Makes a topic that somebody has asked for, if that is how topics are made here.
async fn created(call: &Call, name: &str, may_create: bool) -> Result<(), Code> {
    let options = &call.context.options;
    let log = &call.context.log;
    log.check_topic(name, options.partitions, &BTreeMap::new()).map_err(|error| error::of_log(&error))?;
    if !may_create || !options.auto_create_topics || name.starts_with("__") {
        return Err(Code::UnknownTopicOrPartition);
    }
    let (name, partitions) = (name.to_owned(), options.partitions);
    match call.context.blocking(move |log| log.create_topic(&name, partitions, BTreeMap::new(), false)).await
    {
        Ok(_) | Err(acme_log::Error::TopicExists(_)) => Ok(()),
        Err(error) => Err(error::of_log(&error)),
    }
}

fn unknown(name: &TopicName, code: Code) -> MetadataResponseTopic {
    MetadataResponseTopic::default().with_error_code(code.code()).with_name(Some(name.clone()))
}

fn described(call: &Call, request: &MetadataRequest, topic: &Topic) -> MetadataResponseTopic {
    let wants_rights = call.version >= 8 && request.include_topic_authorized_operations;
    MetadataResponseTopic::default()
        .with_name(Some(TopicName(text(&topic.name))))
        .with_topic_id(if call.version >= 10 { topic.id } else { Default::default() })
        .with_is_internal(topic.is_internal)
        .with_partitions(topic.partitions.iter().map(|partition| part(partition)).collect())
        .with_topic_authorized_operations(if wants_rights { TOPIC_OPERATIONS } else { NOT_ASKED })
}

fn part(partition: &Partition) -> MetadataResponsePartition {
    let here = vec![BrokerId(NODE)];
    let part = MetadataResponsePartition::default()
        .with_partition_index(partition.number())
        .with_leader_epoch(partition.leader_epoch())
        .with_replica_nodes(here.clone());
    if partition.damage().is_some() {
        return part
            .with_error_code(Code::LeaderNotAvailable.code())
            .with_leader_id(BrokerId(-1))
            .with_offline_replicas(here);
    }
    part.with_leader_id(BrokerId(NODE)).with_isr_nodes(here)
}
