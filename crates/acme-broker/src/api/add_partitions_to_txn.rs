//! AddPartitionsToTxn: what a transaction will write to; from version 4 on for several transactions, or only to ask.

use super::Call;
use super::init_producer_id::fenced_for;
use crate::error::Code;
use crate::transactions::state::{Part, Protocol};
use kafka_protocol::messages::add_partitions_to_txn_request::{
    AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction,
};
use kafka_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResult, AddPartitionsToTxnTopicResult,
};
use kafka_protocol::messages::{AddPartitionsToTxnRequest, AddPartitionsToTxnResponse};
use std::sync::Arc;
use std::time::Duration;

pub(crate) async fn handle(call: &Call, request: AddPartitionsToTxnRequest) -> AddPartitionsToTxnResponse {
    if call.version < 4 {
        let only = AddPartitionsToTxnTransaction::default()
            .with_transactional_id(request.v3_and_below_transactional_id)
            .with_producer_id(request.v3_and_below_producer_id)
            .with_producer_epoch(request.v3_and_below_producer_epoch)
            .with_topics(request.v3_and_below_topics);
        return AddPartitionsToTxnResponse::default()
            .with_results_by_topic_v3_and_below(one(call, &only).await);
    }
    let mut results = Vec::with_capacity(request.transactions.len());
    for transaction in request.transactions {
        let topics = one(call, &transaction).await;
        results.push(
            AddPartitionsToTxnResult::default()
                .with_transactional_id(transaction.transactional_id)
                .with_topic_results(topics),
        );
    }
    AddPartitionsToTxnResponse::default().with_results_by_transaction(results)
}

async fn one(call: &Call, asked: &AddPartitionsToTxnTransaction) -> Vec<AddPartitionsToTxnTopicResult> {
    let topics = call.context.log.topics();
    // Coordinators alone write to the broker's own topics.
    let internal =
        |topic: &str| call.version < 4 && topics.named(topic).is_some_and(|topic| topic.is_internal);
    if asked.topics.iter().any(|topic| internal(&topic.name)) {
        return results(&asked.topics, |topic, _| {
            Err(if internal(topic) { Code::TopicAuthorizationFailed } else { Code::OperationNotAttempted })
        });
    }
    let unknown = |topic: &str, partition: i32| topics.partition(topic, partition).is_none();
    if asked.topics.iter().any(|topic| topic.partitions.iter().any(|number| unknown(&topic.name, *number))) {
        return results(&asked.topics, |topic, partition| {
            if unknown(topic, partition) {
                Err(Code::UnknownTopicOrPartition)
            } else {
                Err(Code::OperationNotAttempted)
            }
        });
    }
    let identity = (asked.producer_id.0, asked.producer_epoch);
    let (id, transactions) = (asked.transactional_id.as_str(), &call.context.transactions);
    if asked.verify_only {
        return results(&asked.topics, |topic, partition| {
            transactions.verify(id, identity, &(Arc::from(topic), partition))
        });
    }
    let mut parts: Vec<Part> = Vec::new();
    for topic in &asked.topics {
        let name: Arc<str> = Arc::from(topic.name.as_str());
        parts.extend(topic.partitions.iter().map(|partition| (Arc::clone(&name), *partition)));
    }
    let protocol = if call.version > 4 { Protocol::V2 } else { Protocol::V1 };
    let added = transactions.add(id, identity, &parts, protocol, Duration::ZERO).await;
    let added = added.map_err(|error| fenced_for(error, call.version, 2));
    results(&asked.topics, |_, _| added)
}

fn results(
    topics: &[AddPartitionsToTxnTopic],
    outcome: impl Fn(&str, i32) -> Result<(), Code>,
) -> Vec<AddPartitionsToTxnTopicResult> {
    let topic = |topic: &AddPartitionsToTxnTopic| {
        let partition = |number: &i32| {
            AddPartitionsToTxnPartitionResult::default()
                .with_partition_index(*number)
                .with_partition_error_code(
                    outcome(&topic.name, *number).err().map_or(0, |error| error.code()),
                )
        };
        AddPartitionsToTxnTopicResult::default()
            .with_name(topic.name.clone())
            .with_results_by_partition(topic.partitions.iter().map(partition).collect())
    };
    topics.iter().map(topic).collect()
}
