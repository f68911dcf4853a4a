//! CreatePartitions: more of them, never fewer.

use super::Call;
use super::create_topics::{Fault, message, replicas};
use crate::error::{self, Code};
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::{CreatePartitionsRequest, CreatePartitionsResponse};
use kafka_protocol::protocol::StrBytes;

pub(crate) async fn handle(call: &Call, request: CreatePartitionsRequest) -> CreatePartitionsResponse {
    let mut results: Vec<CreatePartitionsTopicResult> = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        if results.iter().any(|result| result.name == topic.name) {
            continue;
        }
        let is_twice = request.topics.iter().filter(|other| other.name == topic.name).count() > 1;
        let added = match is_twice {
            true => Err((Code::InvalidRequest, "Duplicate topic name.".to_owned())),
            false => add(call, topic, request.validate_only).await,
        };
        let result = CreatePartitionsTopicResult::default().with_name(topic.name.clone());
        results.push(match added {
            Ok(()) => result.with_error_message(None),
            Err((code, message)) => {
                result.with_error_code(code.code()).with_error_message(Some(StrBytes::from_string(message)))
            }
        });
    }
    CreatePartitionsResponse::default().with_results(results)
}

async fn add(call: &Call, asked: &CreatePartitionsTopic, only_validates: bool) -> Result<(), Fault> {
    let name = asked.name.to_string();
    let topic = call.context.log.topics().named(&name).cloned().ok_or_else(|| {
        (Code::UnknownTopicOrPartition, "This server does not host this topic-partition.".to_owned())
    })?;
    let (now, count) = (topic.partitions.len(), usize::try_from(asked.count).unwrap_or(0));
    if count == now {
        return Err((Code::InvalidPartitions, format!("Topic already has {now} partition(s).")));
    }
    if count < now {
        let message = format!(
            "The topic {name} currently has {now} partition(s); {} would not be an increase.",
            asked.count
        );
        return Err((Code::InvalidPartitions, message));
    }
    if let Some(assignments) = &asked.assignments {
        if assignments.len() != count - now {
            let message = format!(
                "Attempted to add {} additional partition(s), but only {} assignment(s) were specified.",
                count - now,
                assignments.len()
            );
            return Err((Code::InvalidReplicaAssignment, message));
        }
        for assignment in assignments {
            replicas(&assignment.broker_ids.iter().map(|broker| broker.0).collect::<Vec<_>>())?;
        }
    }
    if only_validates {
        return Ok(());
    }
    let total = u32::try_from(count).unwrap_or(u32::MAX);
    let added = call.context.blocking(move |log| log.add_partitions(&name, total)).await;
    added.map_err(|error| (error::of_log(&error), message(&error)))?;
    call.context.warn(&format!(
        "topic {} has {count} partitions now instead of {now}: records of one key may go to another one from now on",
        &*asked.name
    ));
    Ok(())
}
