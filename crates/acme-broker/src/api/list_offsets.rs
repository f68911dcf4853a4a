//! ListOffsets: the first, the last, the one of a time, and Kafka's other special ones.

use super::Call;
use super::fetch::{ISOLATIONS, check_epoch};
use crate::error::{self, Code};
use acme_log::{Partition, ReadError, TimedOffset};
use kafka_protocol::messages::list_offsets_request::ListOffsetsPartition;
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::{ListOffsetsRequest, ListOffsetsResponse};
use std::collections::BTreeSet;

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;

/// The version from which on a special time is known.
fn since(timestamp: i64) -> i16 {
    match timestamp {
        MAX_TIMESTAMP => 7,
        EARLIEST_LOCAL => 8,
        LATEST_TIERED => 9,
        // Not one that is served.
        ..LATEST_TIERED => i16::MAX,
        _ => 0,
    }
}

pub(crate) async fn handle(call: &Call, request: ListOffsetsRequest) -> ListOffsetsResponse {
    let topics = call.context.log.topics();
    let is_committed = call.version >= 2 && request.isolation_level == 1;
    let is_known = call.version < 2 || ISOLATIONS.contains(&request.isolation_level);
    // A partition that is asked for twice is refused, once.
    let (mut seen, mut twice) = (BTreeSet::new(), BTreeSet::new());
    for topic in &request.topics {
        for part in &topic.partitions {
            let key = (topic.name.0.to_string(), part.partition_index);
            if !seen.insert(key.clone()) {
                twice.insert(key);
            }
        }
    }
    let topics = request.topics.iter().map(|topic| {
        let mut told = BTreeSet::new();
        let parts = topic.partitions.iter().filter(|part| told.insert(part.partition_index)).map(|part| {
            let is_twice = twice.contains(&(topic.name.0.to_string(), part.partition_index));
            let found = match topics.partition(&topic.name, part.partition_index) {
                // Kafka's word for an isolation that there is not.
                _ if !is_known => Err(Code::UnknownServerError),
                _ if is_twice => Err(Code::InvalidRequest),
                None => Err(Code::UnknownTopicOrPartition),
                Some(partition) => one(call.version, partition, part, is_committed),
            };
            answer(call.version, part.partition_index, found)
        });
        ListOffsetsTopicResponse::default().with_name(topic.name.clone()).with_partitions(parts.collect())
    });
    ListOffsetsResponse::default().with_topics(topics.collect())
}

fn answer(
    version: i16,
    partition: i32,
    found: Result<Option<TimedOffset>, Code>,
) -> ListOffsetsPartitionResponse {
    let response = ListOffsetsPartitionResponse::default().with_partition_index(partition);
    match found {
        Ok(Some(found)) => response
            .with_timestamp(found.timestamp)
            .with_offset(found.offset)
            .with_leader_epoch(if version >= 4 { found.leader_epoch } else { -1 }),
        Ok(None) => response,
        Err(code) => response.with_error_code(code.code()),
    }
}

fn one(
    version: i16,
    partition: &Partition,
    part: &ListOffsetsPartition,
    is_committed: bool,
) -> Result<Option<TimedOffset>, Code> {
    if version < since(part.timestamp) {
        return Err(Code::UnsupportedVersion);
    }
    check_epoch(partition, part.current_leader_epoch)?;
    let marks = partition.marks();
    if partition.damage().is_some() {
        return Err(Code::KafkaStorageError);
    }
    if marks.closed {
        return Err(Code::NotLeaderOrFollower);
    }
    let border = if is_committed { marks.last_stable } else { marks.high_watermark };
    let of = |offset: i64, epoch: i32| Ok(Some(TimedOffset { offset, timestamp: -1, leader_epoch: epoch }));
    let below = |found: Result<Option<TimedOffset>, ReadError>| match found {
        Ok(found) => Ok(found.filter(|found| found.offset < border)),
        Err(error) => Err(error::of_read(&error)),
    };
    match part.timestamp {
        LATEST => of(border, partition.leader_epoch()),
        EARLIEST | EARLIEST_LOCAL => of(marks.log_start, partition.epoch_of(marks.log_start).unwrap_or(-1)),
        MAX_TIMESTAMP => below(partition.max_timestamp()),
        LATEST_TIERED => Ok(None),
        timestamp => below(partition.offset_of_time(timestamp)),
    }
}
