//! What the scripts have in common: requests with few words.

use super::side::Side;
pub(super) use crate::support::{text, topic};
use acme_records::{BatchBuilder, Compression, Stamp};
use bytes::Bytes;
pub(super) use kafka_protocol::messages as m;
pub(super) use kafka_protocol::messages::{BrokerId, GroupId, ProducerId, TransactionalId};
pub(super) use uuid::Uuid;

pub(super) fn since<T: Default>(version: i16, first: i16, value: T) -> T {
    if version >= first { value } else { T::default() }
}

pub(super) fn until<T: Default>(version: i16, last: i16, value: T) -> T {
    if version <= last { value } else { T::default() }
}

pub(super) fn group(name: &str) -> GroupId {
    GroupId(text(name))
}

pub(super) fn tid(name: &str) -> TransactionalId {
    TransactionalId(text(name))
}

/// A topic to be created: name, partitions, settings.
pub(super) type Wanted<'a> = (&'a str, i32, &'a [(&'a str, &'a str)]);

/// Creates topics that later requests need; their ids.
pub(super) async fn create(side: &mut Side, topics: &[Wanted<'_>]) -> Vec<Uuid> {
    let all =
        topics.iter().map(|(name, partitions, configs)| creatable(name, *partitions, 1, configs)).collect();
    let request = m::CreateTopicsRequest::default().with_topics(all).with_timeout_ms(30_000);
    let answer = side.newly("what the script needs", request).await;
    for (name, partitions, _) in topics {
        side.led(name, *partitions).await;
    }
    let found =
        |name: &str| answer.topics.iter().find(|topic| &*topic.name.0 == name).map(|topic| topic.topic_id);
    topics.iter().map(|(name, ..)| found(name).unwrap_or_default()).collect()
}

pub(super) fn creatable(
    name: &str,
    partitions: i32,
    factor: i16,
    configs: &[(&str, &str)],
) -> m::create_topics_request::CreatableTopic {
    let config = |(name, value): &(&str, &str)| {
        m::create_topics_request::CreatableTopicConfig::default()
            .with_name(text(name))
            .with_value(Some(text(value)))
    };
    m::create_topics_request::CreatableTopic::default()
        .with_name(topic(name))
        .with_num_partitions(partitions)
        .with_replication_factor(factor)
        .with_configs(configs.iter().map(config).collect())
}

/// A batch with records of these values, a millisecond apart from `time` on.
pub(super) fn batch(time: i64, values: &[&str], stamp: Stamp) -> Bytes {
    packed(time, values, stamp, Compression::None)
}

pub(super) fn packed(time: i64, values: &[&str], stamp: Stamp, compression: Compression) -> Bytes {
    let mut builder = BatchBuilder::with_capacity(1024);
    for (value, at) in values.iter().zip(time..) {
        builder.push(at, Some(b"key"), Some(value.as_bytes()), &[]);
    }
    builder.finish(compression).unwrap().stamped(stamp).concat().into()
}

/// A batch of a producer.
pub(super) fn stamp(producer_id: ProducerId, producer_epoch: i16, base_sequence: i32) -> Stamp {
    Stamp { producer_id: producer_id.0, producer_epoch, base_sequence, is_transactional: false }
}

/// A batch of a transaction.
pub(super) fn within(producer_id: ProducerId, producer_epoch: i16, base_sequence: i32) -> Stamp {
    Stamp { is_transactional: true, ..stamp(producer_id, producer_epoch, base_sequence) }
}

/// A topic by name, and by id where the version wants that.
pub(super) fn produce(
    version: i16,
    (name, id): (&str, Uuid),
    parts: &[(i32, Option<Bytes>)],
) -> m::ProduceRequest {
    let part = |(index, records): &(i32, Option<Bytes>)| {
        m::produce_request::PartitionProduceData::default().with_index(*index).with_records(records.clone())
    };
    m::ProduceRequest::default().with_acks(-1).with_timeout_ms(30_000).with_topic_data(vec![
        m::produce_request::TopicProduceData::default()
            .with_name(until(version, 12, topic(name)))
            .with_topic_id(since(version, 13, id))
            .with_partition_data(parts.iter().map(part).collect()),
    ])
}

/// Fetches partitions from offsets, without a session.
pub(super) fn fetch(version: i16, (name, id): (&str, Uuid), parts: &[(i32, i64)]) -> m::FetchRequest {
    let part = |(number, offset): &(i32, i64)| {
        m::fetch_request::FetchPartition::default()
            .with_partition(*number)
            .with_fetch_offset(*offset)
            .with_current_leader_epoch(-1)
            .with_partition_max_bytes(1 << 20)
    };
    m::FetchRequest::default()
        .with_max_bytes(1 << 20)
        .with_max_wait_ms(100)
        .with_session_epoch(-1)
        .with_topics(vec![
            m::fetch_request::FetchTopic::default()
                .with_topic(until(version, 12, topic(name)))
                .with_topic_id(since(version, 13, id))
                .with_partitions(parts.iter().map(part).collect()),
        ])
}

pub(super) fn list_offsets(name: &str, parts: &[(i32, i64)]) -> m::ListOffsetsRequest {
    let part = |(number, time): &(i32, i64)| {
        m::list_offsets_request::ListOffsetsPartition::default()
            .with_partition_index(*number)
            .with_current_leader_epoch(-1)
            .with_timestamp(*time)
    };
    m::ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![
        m::list_offsets_request::ListOffsetsTopic::default()
            .with_name(topic(name))
            .with_partitions(parts.iter().map(part).collect()),
    ])
}

pub(super) fn committed(
    name: &str,
    parts: &[(i32, i64)],
) -> m::offset_commit_request::OffsetCommitRequestTopic {
    let part = |(number, offset): &(i32, i64)| {
        m::offset_commit_request::OffsetCommitRequestPartition::default()
            .with_partition_index(*number)
            .with_committed_offset(*offset)
            .with_committed_metadata(Some(text("note")))
    };
    m::offset_commit_request::OffsetCommitRequestTopic::default()
        .with_name(topic(name))
        .with_partitions(parts.iter().map(part).collect())
}

/// `OffsetFetch` of one group; no topics means all.
pub(super) fn offsets(version: i16, name: &str, topics: Option<&[(&str, &[i32])]>) -> m::OffsetFetchRequest {
    use m::offset_fetch_request as r;
    let old = |(name, parts): &(&str, &[i32])| {
        r::OffsetFetchRequestTopic::default().with_name(topic(name)).with_partition_indexes(parts.to_vec())
    };
    let new = |(name, parts): &(&str, &[i32])| {
        r::OffsetFetchRequestTopics::default().with_name(topic(name)).with_partition_indexes(parts.to_vec())
    };
    if version < 8 {
        let topics = topics.map(|topics| topics.iter().map(old).collect());
        return m::OffsetFetchRequest::default().with_group_id(group(name)).with_topics(topics);
    }
    let topics = topics.map(|topics| topics.iter().map(new).collect());
    let one = r::OffsetFetchRequestGroup::default().with_group_id(group(name)).with_topics(topics);
    m::OffsetFetchRequest::default().with_groups(vec![one])
}
