//! EndTxn: a transaction is committed or aborted.

use super::Call;
use super::init_producer_id::fenced_for;
use crate::transactions::state::Protocol;
use kafka_protocol::messages::{EndTxnRequest, EndTxnResponse, ProducerId};

pub(crate) async fn handle(call: &Call, request: EndTxnRequest) -> EndTxnResponse {
    let identity = (request.producer_id.0, request.producer_epoch);
    // Clients of version 5 know that each end gives them a new epoch (KIP-890).
    let protocol = if call.version >= 5 { Protocol::V2 } else { Protocol::V1 };
    let (id, commit) = (request.transactional_id.to_string(), request.committed);
    match call.context.transactions.end(id, identity, commit, protocol).await {
        Ok((id, epoch)) if call.version >= 5 => {
            EndTxnResponse::default().with_producer_id(ProducerId(id)).with_producer_epoch(epoch)
        }
        Ok(_) => EndTxnResponse::default(),
        Err(error) => EndTxnResponse::default().with_error_code(fenced_for(error, call.version, 2).code()),
    }
}
