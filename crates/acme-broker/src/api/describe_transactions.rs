//! DescribeTransactions: what transactional ids are at.

use super::Call;
use crate::error::Code;
use crate::frame::text;
use kafka_protocol::messages::describe_transactions_response::{TopicData, TransactionState};
use kafka_protocol::messages::{
    DescribeTransactionsRequest, DescribeTransactionsResponse, ProducerId, TopicName, TransactionalId,
};
use std::collections::BTreeMap;

pub(crate) async fn handle(
    call: &Call,
    request: DescribeTransactionsRequest,
) -> DescribeTransactionsResponse {
    let states = request.transactional_ids.into_iter().map(|id| one(call, id));
    DescribeTransactionsResponse::default().with_transaction_states(states.collect())
}

fn one(call: &Call, id: TransactionalId) -> TransactionState {
    let shown = TransactionState::default();
    if id.is_empty() {
        return shown.with_transactional_id(id).with_error_code(Code::InvalidRequest.code());
    }
    let Some(state) = call.context.transactions.show(&id) else {
        return shown.with_transactional_id(id).with_error_code(Code::TransactionalIdNotFound.code());
    };
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for (topic, partition) in &state.partitions {
        topics.entry(topic).or_default().push(*partition);
    }
    let topics = topics.into_iter().map(|(topic, partitions)| {
        TopicData::default().with_topic(TopicName(text(topic))).with_partitions(partitions)
    });
    shown
        .with_transactional_id(id)
        .with_transaction_state(text(state.phase.name()))
        .with_transaction_timeout_ms(state.timeout_ms)
        .with_transaction_start_time_ms(state.started_ms)
        .with_producer_id(ProducerId(state.producer_id))
        .with_producer_epoch(state.epoch)
        .with_topics(topics.collect())
}
