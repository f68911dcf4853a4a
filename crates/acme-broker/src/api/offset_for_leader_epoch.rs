//! OffsetForLeaderEpoch (KIP-101, KIP-320): where an epoch ended, for clients that compare their past with the log's.

use super::Call;
use super::fetch::check_epoch;
use crate::error::Code;
use kafka_protocol::messages::offset_for_leader_epoch_request::OffsetForLeaderPartition;
use kafka_protocol::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderTopicResult,
};
use kafka_protocol::messages::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};

pub(crate) async fn handle(
    call: &Call,
    request: OffsetForLeaderEpochRequest,
) -> OffsetForLeaderEpochResponse {
    let topics = call.context.log.topics();
    let one = |name: &str, part: &OffsetForLeaderPartition| {
        let partition = topics.partition(name, part.partition).ok_or(Code::UnknownTopicOrPartition)?;
        check_epoch(partition, part.current_leader_epoch)?;
        Ok(partition.end_of_epoch(part.leader_epoch))
    };
    let results = request.topics.iter().map(|topic| {
        let parts = topic.partitions.iter().map(|part| {
            let answer = EpochEndOffset::default().with_partition(part.partition);
            match one(&topic.topic, part) {
                Ok(Some((epoch, end))) => answer.with_leader_epoch(epoch).with_end_offset(end),
                Ok(None) => answer.with_leader_epoch(-1).with_end_offset(-1),
                Err(code) => {
                    let code: Code = code;
                    answer.with_error_code(code.code()).with_leader_epoch(-1).with_end_offset(-1)
                }
            }
        });
        OffsetForLeaderTopicResult::default().with_topic(topic.topic.clone()).with_partitions(parts.collect())
    });
    OffsetForLeaderEpochResponse::default().with_topics(results.collect())
}
