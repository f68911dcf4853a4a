//! OffsetDelete: what a group has committed is forgotten.

use super::Call;
use crate::error::Code;
use kafka_protocol::messages::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use kafka_protocol::messages::{OffsetDeleteRequest, OffsetDeleteResponse};

pub(crate) async fn handle(call: &Call, request: OffsetDeleteRequest) -> OffsetDeleteResponse {
    if request.group_id.is_empty() {
        return OffsetDeleteResponse::default().with_error_code(Code::InvalidGroupId.code());
    }
    let topics = call.context.log.topics();
    let known = |topic: &str, partition: i32| topics.partition(topic, partition).is_some();
    let mut parts = Vec::new();
    for topic in &request.topics {
        let of = topic.partitions.iter().map(|of| of.partition_index);
        parts.extend(
            of.filter(|index| known(&topic.name, *index)).map(|index| (topic.name.to_string(), index)),
        );
    }
    let answers = match call.context.groups.delete_offsets(&request.group_id, &parts).await {
        Ok(answers) => answers,
        Err(error) => return OffsetDeleteResponse::default().with_error_code(error.code()),
    };
    let mut answers = answers.into_iter();
    let mut listed = Vec::with_capacity(request.topics.len());
    for topic in request.topics.into_iter().filter(|topic| !topic.partitions.is_empty()) {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for of in topic.partitions {
            let code = if known(&topic.name, of.partition_index) {
                answers.next().and_then(Result::err).map_or(0, |error| error.code())
            } else {
                Code::UnknownTopicOrPartition.code()
            };
            partitions.push(
                OffsetDeleteResponsePartition::default()
                    .with_partition_index(of.partition_index)
                    .with_error_code(code),
            );
        }
        listed.push(OffsetDeleteResponseTopic::default().with_name(topic.name).with_partitions(partitions));
    }
    OffsetDeleteResponse::default().with_topics(listed)
}
