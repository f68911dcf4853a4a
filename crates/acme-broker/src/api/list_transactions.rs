//! ListTransactions: all transactional ids, by state, producer, age and name if wanted.

use super::Call;
use crate::error::Code;
use crate::frame::text;
use crate::transactions::Shown;
use crate::transactions::state::Phase;
use kafka_protocol::messages::list_transactions_response::TransactionState;
use kafka_protocol::messages::{
    ListTransactionsRequest, ListTransactionsResponse, ProducerId, TransactionalId,
};

/// States that Kafka has and that are never seen here.
const OTHERS: [&str; 2] = ["Dead", "PrepareEpochFence"];

pub(crate) async fn handle(call: &Call, request: ListTransactionsRequest) -> ListTransactionsResponse {
    let known = |name: &str| Phase::ALL.iter().any(|phase| phase.name() == name) || OTHERS.contains(&name);
    let unknown = request.state_filters.iter().filter(|name| !known(name)).cloned().collect();
    let pattern = request.transactional_id_pattern.as_deref().filter(|pattern| !pattern.is_empty());
    let pattern = match pattern
        .map(|pattern| regex::RegexBuilder::new(&format!("^(?:{pattern})$")).size_limit(1 << 20).build())
    {
        Some(Err(_)) => {
            let code = Code::InvalidRegularExpression.code();
            return ListTransactionsResponse::default().with_error_code(code);
        }
        Some(Ok(pattern)) => Some(pattern),
        None => None,
    };
    let (now_ms, duration_ms) = (call.context.log.now_ms(), request.duration_filter);
    let wanted = |shown: &Shown| {
        let state = &shown.state;
        let has_state = request.state_filters.iter().any(|name| name.as_str() == state.phase.name());
        (request.state_filters.is_empty() || has_state)
            && (request.producer_id_filters.is_empty()
                || request.producer_id_filters.contains(&ProducerId(state.producer_id)))
            && (duration_ms < 0 || now_ms.saturating_sub(state.started_ms) > duration_ms)
            && pattern.as_ref().is_none_or(|pattern| pattern.is_match(&shown.id))
    };
    let states = call.context.transactions.shown().into_iter().filter(wanted).map(|shown| {
        TransactionState::default()
            .with_transactional_id(TransactionalId(text(&shown.id)))
            .with_producer_id(ProducerId(shown.state.producer_id))
            .with_transaction_state(text(shown.state.phase.name()))
    });
    ListTransactionsResponse::default()
        .with_unknown_state_filters(unknown)
        .with_transaction_states(states.collect())
}
