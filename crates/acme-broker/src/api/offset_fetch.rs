//! OffsetFetch: where a group goes on.

use super::Call;
use crate::error::Code;
use crate::frame::text;
use crate::groups::Asked;
use crate::groups::record::Committed;
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{OffsetFetchRequest, OffsetFetchResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

type One = Result<Option<Committed>, Code>;

pub(crate) async fn handle(call: &Call, request: OffsetFetchRequest) -> OffsetFetchResponse {
    if call.version >= 8 {
        return many(call, request).await;
    }
    let topics = request.topics.map(|topics| {
        topics.into_iter().map(|topic| (topic.name.to_string(), topic.partition_indexes)).collect()
    });
    let asked = Asked {
        group: request.group_id.to_string(),
        member_id: None,
        member_epoch: -1,
        // Version 1 has no way to ask for all.
        topics: if call.version < 2 { Some(topics.unwrap_or_default()) } else { topics },
        stable: request.require_stable,
    };
    let found = call.context.groups.fetch(&asked).await;
    let code = found.as_ref().err().map_or(0, |error| error.code());
    let topics = found.unwrap_or_default().into_iter().map(|(topic, partitions)| {
        let partitions = partitions.into_iter().map(|(index, one)| {
            let (offset, epoch, metadata, code) = fields(one);
            let partition = OffsetFetchResponsePartition::default()
                .with_partition_index(index)
                .with_committed_offset(offset)
                .with_metadata(Some(metadata))
                .with_error_code(code);
            if call.version >= 5 { partition.with_committed_leader_epoch(epoch) } else { partition }
        });
        OffsetFetchResponseTopic::default()
            .with_name(TopicName(text(&topic)))
            .with_partitions(partitions.collect())
    });
    let answer = OffsetFetchResponse::default().with_topics(topics.collect());
    if call.version >= 2 { answer.with_error_code(code) } else { answer }
}

fn fields(one: One) -> (i64, i32, StrBytes, i16) {
    match one {
        Ok(Some(value)) => (value.offset, value.leader_epoch, text(&value.metadata), 0),
        Ok(None) => (-1, -1, StrBytes::default(), 0),
        Err(error) => (-1, -1, StrBytes::default(), error.code()),
    }
}

async fn many(call: &Call, request: OffsetFetchRequest) -> OffsetFetchResponse {
    let mut groups = Vec::with_capacity(request.groups.len());
    for group in request.groups {
        let topics = group.topics.map(|topics| {
            topics.into_iter().map(|topic| (topic.name.to_string(), topic.partition_indexes)).collect()
        });
        let asked = Asked {
            group: group.group_id.to_string(),
            member_id: group.member_id.map(|id| id.to_string()),
            member_epoch: group.member_epoch,
            topics,
            stable: request.require_stable,
        };
        let found = call.context.groups.fetch(&asked).await;
        let code = found.as_ref().err().map_or(0, |error| error.code());
        let topics = found.unwrap_or_default().into_iter().map(|(topic, partitions)| {
            let partitions = partitions.into_iter().map(|(index, one)| {
                let (offset, epoch, metadata, code) = fields(one);
                OffsetFetchResponsePartitions::default()
                    .with_partition_index(index)
                    .with_committed_offset(offset)
                    .with_committed_leader_epoch(epoch)
                    .with_metadata(Some(metadata))
                    .with_error_code(code)
            });
            OffsetFetchResponseTopics::default()
                .with_name(TopicName(text(&topic)))
                .with_partitions(partitions.collect())
        });
        groups.push(
            OffsetFetchResponseGroup::default()
                .with_group_id(group.group_id)
                .with_topics(topics.collect())
                .with_error_code(code),
        );
    }
    OffsetFetchResponse::default().with_groups(groups)
}
