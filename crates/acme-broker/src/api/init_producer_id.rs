//! InitProducerId: who a producer is, and that nobody else is it any more.

use super::Call;
use crate::error::Code;
use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse, ProducerId};

pub(crate) async fn handle(call: &Call, request: InitProducerIdRequest) -> InitProducerIdResponse {
    let expected = match (request.producer_id.0, request.producer_epoch) {
        (-1, -1) => Ok(None),
        (-1, _) | (_, -1) => Err(Code::InvalidRequest),
        identity => Ok(Some(identity)),
    };
    let id = request.transactional_id.as_ref().map(|id| id.as_str());
    let answer = match expected {
        Ok(expected) => call.context.transactions.init(id, request.transaction_timeout_ms, expected).await,
        Err(error) => Err(error),
    };
    match answer {
        Ok((id, epoch)) => {
            InitProducerIdResponse::default().with_producer_id(ProducerId(id)).with_producer_epoch(epoch)
        }
        Err(error) => InitProducerIdResponse::default()
            .with_error_code(fenced_for(error, call.version, 4).code())
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(-1),
    }
}

/// Clients older than the error `PRODUCER_FENCED` are told `INVALID_PRODUCER_EPOCH`.
pub(crate) fn fenced_for(error: Code, version: i16, knows_since: i16) -> Code {
    match error {
        Code::ProducerFenced if version < knows_since => Code::InvalidProducerEpoch,
        error => error,
    }
}
