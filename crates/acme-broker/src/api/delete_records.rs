//! DeleteRecords: the log of a partition begins later from now on.

use super::Call;
use crate::error::{self, Code};
use acme_log::Topics;
use kafka_protocol::messages::delete_records_request::DeleteRecordsPartition;
use kafka_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use kafka_protocol::messages::{DeleteRecordsRequest, DeleteRecordsResponse};
use std::sync::Arc;

pub(crate) async fn handle(call: &Call, request: DeleteRecordsRequest) -> DeleteRecordsResponse {
    let topics = call.context.log.topics();
    let mut results = Vec::with_capacity(request.topics.len());
    for topic in request.topics.iter().filter(|topic| !topic.partitions.is_empty()) {
        let mut parts = Vec::with_capacity(topic.partitions.len());
        for part in &topic.partitions {
            let result = DeleteRecordsPartitionResult::default().with_partition_index(part.partition_index);
            parts.push(match delete(call, &topics, &topic.name, part).await {
                Ok(start) => result.with_low_watermark(start),
                Err(code) => result.with_low_watermark(-1).with_error_code(code.code()),
            });
        }
        results
            .push(DeleteRecordsTopicResult::default().with_name(topic.name.clone()).with_partitions(parts));
    }
    DeleteRecordsResponse::default().with_topics(results)
}

async fn delete(
    call: &Call,
    topics: &Topics,
    name: &str,
    part: &DeleteRecordsPartition,
) -> Result<i64, Code> {
    let topic = topics.named(name).ok_or(Code::UnknownTopicOrPartition)?;
    let partition = topics.partition(name, part.partition_index).ok_or(Code::UnknownTopicOrPartition)?;
    if topic.is_internal {
        return Err(Code::InvalidTopicException);
    }
    if !topic.settings.delete {
        return Err(Code::PolicyViolation);
    }
    if part.offset < -1 {
        return Err(Code::OffsetOutOfRange);
    }
    let (partition, offset) = (Arc::clone(partition), part.offset);
    call.context
        .blocking(move |_| partition.delete_before(offset))
        .await
        .map_err(|error| error::of_read(&error))
}
