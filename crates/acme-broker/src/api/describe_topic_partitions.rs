//! DescribeTopicPartitions (KIP-966): topics in pages.

use super::Call;
use super::metadata::TOPIC_OPERATIONS;
use crate::context::NODE;
use crate::error::{self, Code};
use crate::frame::text;
use acme_log::{Partition, Topic};
use kafka_protocol::messages::describe_topic_partitions_request::Cursor as RequestCursor;
use kafka_protocol::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use kafka_protocol::messages::{
    BrokerId, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, TopicName,
};
use std::collections::{BTreeMap, BTreeSet};

/// Partitions of one page (`max.request.partition.size.limit`).
const PAGE: usize = 2_000;

pub(crate) async fn handle(
    call: &Call,
    request: DescribeTopicPartitionsRequest,
) -> DescribeTopicPartitionsResponse {
    // Who names topics names that of the cursor, too.
    let is_named = |name: &TopicName| {
        request.topics.is_empty() || request.topics.iter().any(|topic| topic.name == *name)
    };
    let is_valid = |cursor: &RequestCursor| cursor.partition_index >= 0 && is_named(&cursor.topic_name);
    if !request.cursor.as_ref().is_none_or(is_valid) {
        let refused = request.topics.into_iter().map(|topic| {
            DescribeTopicPartitionsResponseTopic::default()
                .with_error_code(Code::InvalidRequest.code())
                .with_name(Some(topic.name))
        });
        return DescribeTopicPartitionsResponse::default()
            .with_topics(refused.collect())
            .with_next_cursor(None);
    }
    let topics = call.context.log.topics();
    let names: BTreeSet<String> = match request.topics.is_empty() {
        true => topics.iter().map(|topic| topic.name.clone()).collect(),
        false => request.topics.iter().map(|topic| topic.name.to_string()).collect(),
    };
    let (from, first) = match &request.cursor {
        Some(cursor) => (cursor.topic_name.to_string(), usize::try_from(cursor.partition_index).unwrap_or(0)),
        None => (String::new(), 0),
    };
    let mut left = usize::try_from(request.response_partition_limit).unwrap_or(1).clamp(1, PAGE);
    let mut response = DescribeTopicPartitionsResponse::default().with_next_cursor(None);
    for name in names.into_iter().filter(|name| *name >= from) {
        let start = if name == from { first } else { 0 };
        if left == 0 {
            response.next_cursor = Some(cursor(&name, start));
            break;
        }
        let Some(topic) = topics.named(&name) else {
            response.topics.push(unknown(call, &name));
            continue;
        };
        let end = topic.partitions.len().min(start.saturating_add(left));
        response.topics.push(described(topic, start.min(end)..end));
        left -= end.saturating_sub(start);
        if end < topic.partitions.len() {
            response.next_cursor = Some(cursor(&name, end));
            break;
        }
    }
    response
}

fn cursor(name: &str, partition: usize) -> Cursor {
    let partition = i32::try_from(partition).unwrap_or(i32::MAX);
    Cursor::default().with_topic_name(TopicName(text(name))).with_partition_index(partition)
}

fn unknown(call: &Call, name: &str) -> DescribeTopicPartitionsResponseTopic {
    let invalid = call.context.log.check_topic(name, 1, &BTreeMap::new()).err();
    let code = invalid.map_or(Code::UnknownTopicOrPartition, |error| error::of_log(&error));
    DescribeTopicPartitionsResponseTopic::default()
        .with_error_code(code.code())
        .with_topic_authorized_operations(TOPIC_OPERATIONS)
        .with_name(Some(TopicName(text(name))))
}

fn described(topic: &Topic, range: std::ops::Range<usize>) -> DescribeTopicPartitionsResponseTopic {
    DescribeTopicPartitionsResponseTopic::default()
        .with_name(Some(TopicName(text(&topic.name))))
        .with_topic_id(topic.id)
        .with_is_internal(topic.is_internal)
        .with_partitions(topic.partitions[range].iter().map(|partition| part(partition)).collect())
        .with_topic_authorized_operations(TOPIC_OPERATIONS)
}

fn part(partition: &Partition) -> DescribeTopicPartitionsResponsePartition {
    let here = vec![BrokerId(NODE)];
    let part = DescribeTopicPartitionsResponsePartition::default()
        .with_partition_index(partition.number())
        .with_leader_epoch(partition.leader_epoch())
        .with_replica_nodes(here.clone())
        .with_eligible_leader_replicas(Some(Vec::new()))
        .with_last_known_elr(Some(Vec::new()));
    if partition.damage().is_some() {
        let part = part.with_error_code(Code::LeaderNotAvailable.code());
        return part.with_leader_id(BrokerId(-1)).with_offline_replicas(here);
    }
    part.with_leader_id(BrokerId(NODE)).with_isr_nodes(here)
}
