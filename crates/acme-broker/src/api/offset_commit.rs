//! OffsetCommit: how far a group is.

use super::Call;
use crate::error::Code;
use crate::groups::{Commit, Committer};
use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::{OffsetCommitRequest, OffsetCommitResponse};

pub(crate) async fn handle(call: &Call, request: OffsetCommitRequest) -> OffsetCommitResponse {
    let by = Committer {
        member_id: request.member_id.to_string(),
        instance_id: request.group_instance_id.as_ref().map(ToString::to_string),
        epoch: request.generation_id_or_member_epoch,
    };
    let topics = call.context.log.topics();
    let mut commits = Vec::new();
    for topic in &request.topics {
        let found = topics.named(&topic.name);
        let known = |index: i32| {
            usize::try_from(index).is_ok_and(|at| found.is_some_and(|t| at < t.partitions.len()))
        };
        commits.extend(topic.partitions.iter().filter(|of| known(of.partition_index)).map(|of| Commit {
            topic: topic.name.to_string(),
            partition: of.partition_index,
            offset: of.committed_offset,
            leader_epoch: of.committed_leader_epoch,
            metadata: of.committed_metadata.as_ref().map(ToString::to_string).unwrap_or_default(),
        }));
    }
    let named: Vec<(String, i32)> =
        commits.iter().map(|commit| (commit.topic.clone(), commit.partition)).collect();
    // Only up to version 4 a client says how long to keep it.
    let retention_ms = Some(request.retention_time_ms).filter(|ms| call.version <= 4 && *ms >= 0);
    let groups = &call.context.groups;
    let outcome = if commits.is_empty() {
        Ok(Vec::new())
    } else {
        groups.commit(&request.group_id, &by, commits, retention_ms, call.version).await
    };
    let mut answers = named.iter().enumerate().map(|(at, _)| match &outcome {
        Ok(answers) => answers[at].err().map_or(0, |error| error.code()),
        Err(error) => error.code(),
    });
    let mut left = named.iter().peekable();
    let mut code = |topic: &str, partition: i32| match left.peek() {
        Some((name, number)) if name == topic && *number == partition => {
            left.next();
            answers.next().unwrap_or(0)
        }
        _ => Code::UnknownTopicOrPartition.code(),
    };
    let mut listed = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for of in topic.partitions {
            partitions.push(
                OffsetCommitResponsePartition::default()
                    .with_partition_index(of.partition_index)
                    .with_error_code(code(&topic.name, of.partition_index)),
            );
        }
        listed.push(OffsetCommitResponseTopic::default().with_name(topic.name).with_partitions(partitions));
    }
    OffsetCommitResponse::default().with_topics(listed)
}
