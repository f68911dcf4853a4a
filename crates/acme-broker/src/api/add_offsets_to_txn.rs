//! AddOffsetsToTxn: a transaction will commit offsets of a group.

use super::Call;
use super::init_producer_id::fenced_for;
use crate::groups;
use crate::transactions::state::Protocol;
use kafka_protocol::messages::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse};
use std::sync::Arc;
use std::time::Duration;

pub(crate) async fn handle(call: &Call, request: AddOffsetsToTxnRequest) -> AddOffsetsToTxnResponse {
    let identity = (request.producer_id.0, request.producer_epoch);
    let added = match call.context.groups.number(&request.group_id) {
        Ok(number) => {
            let part = (Arc::from(groups::TOPIC), number);
            let transactions = &call.context.transactions;
            transactions.add(&request.transactional_id, identity, &[part], Protocol::V1, Duration::ZERO).await
        }
        Err(error) => Err(error),
    };
    let code = added.err().map_or(0, |error| fenced_for(error, call.version, 2).code());
    AddOffsetsToTxnResponse::default().with_error_code(code)
}
