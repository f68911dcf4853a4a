//! TxnOffsetCommit: how far a group is once the transaction is committed.

use super::Call;
use crate::error::Code;
use crate::groups::{self, Commit, Committer};
use crate::transactions::IMPLICIT;
use crate::transactions::state::Protocol;
use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kafka_protocol::messages::{TxnOffsetCommitRequest, TxnOffsetCommitResponse};
use std::sync::Arc;

pub(crate) async fn handle(call: &Call, request: TxnOffsetCommitRequest) -> TxnOffsetCommitResponse {
    let topics = call.context.log.topics();
    let known = |topic: &str, partition: i32| topics.partition(topic, partition).is_some();
    let mut commits = Vec::new();
    for topic in &request.topics {
        let there = topic.partitions.iter().filter(|of| known(&topic.name, of.partition_index));
        commits.extend(there.map(|of| Commit {
            topic: topic.name.to_string(),
            partition: of.partition_index,
            offset: of.committed_offset,
            leader_epoch: of.committed_leader_epoch,
            metadata: of.committed_metadata.as_ref().map(ToString::to_string).unwrap_or_default(),
        }));
    }
    let outcome = if commits.is_empty() { Ok(Vec::new()) } else { commit(call, &request, commits).await };
    let mut answers = outcome.as_ref().map(|answers| answers.iter()).map_err(|error| *error);
    let mut listed = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for of in &topic.partitions {
            let code = match &mut answers {
                _ if !known(&topic.name, of.partition_index) => Code::UnknownTopicOrPartition.code(),
                Ok(answers) => answers.next().and_then(|answer| answer.err()).map_or(0, |error| error.code()),
                Err(error) => error.code(),
            };
            partitions.push(
                TxnOffsetCommitResponsePartition::default()
                    .with_partition_index(of.partition_index)
                    .with_error_code(code),
            );
        }
        listed.push(
            TxnOffsetCommitResponseTopic::default().with_name(topic.name.clone()).with_partitions(partitions),
        );
    }
    TxnOffsetCommitResponse::default().with_topics(listed)
}

async fn commit(
    call: &Call,
    request: &TxnOffsetCommitRequest,
    commits: Vec<Commit>,
) -> Result<Vec<Result<(), Code>>, Code> {
    let (groups, transactions) = (&call.context.groups, &call.context.transactions);
    if request.group_id.is_empty() {
        return Err(Code::InvalidGroupId);
    }
    let identity = (request.producer_id.0, request.producer_epoch);
    let part = (Arc::from(groups::TOPIC), groups.number(&request.group_id)?);
    let by = Committer {
        member_id: request.member_id.to_string(),
        instance_id: request.group_instance_id.as_ref().map(ToString::to_string),
        epoch: request.generation_id,
    };
    let asked = |error: Code| for_version(error, call.version);
    if call.version >= 5 {
        // With version 2 of transactions the commit itself makes the offsets part of it.
        let part = std::slice::from_ref(&part);
        transactions
            .add(&request.transactional_id, identity, part, Protocol::V2, IMPLICIT)
            .await
            .map_err(asked)?;
    }
    let (answers, last) = transactions
        .within(&request.transactional_id, identity, &part, || {
            groups.commit_pending(&request.group_id, &by, identity, commits)
        })
        .map_err(asked)?;
    if let Some(last) = last {
        last.durable().await.map_err(|_| Code::CoordinatorNotAvailable)?;
    }
    Ok(answers)
}

/// What a client of a version makes of a transaction that is not as it believes: Kafka's own translation.
fn for_version(error: Code, version: i16) -> Code {
    match error {
        Code::ProducerFenced => Code::InvalidProducerEpoch,
        Code::TransactionAbortable if version < 4 => Code::InvalidTxnState,
        Code::ConcurrentTransactions if version < 5 => Code::CoordinatorLoadInProgress,
        error => error,
    }
}
