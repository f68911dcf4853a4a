//! SaslHandshake: which mechanism follows.

use super::Call;
use crate::error::Code;
use crate::frame::text;
use crate::sasl::{Exchange, MECHANISM};
use kafka_protocol::messages::{SaslHandshakeRequest, SaslHandshakeResponse};

pub(crate) async fn handle(call: &Call, request: SaslHandshakeRequest) -> SaslHandshakeResponse {
    let mut exchange = call.session.exchange();
    let response = SaslHandshakeResponse::default();
    if *exchange != Exchange::Handshake {
        return response.with_error_code(Code::IllegalSaslState.code());
    }
    let response = response.with_mechanisms(vec![text(MECHANISM)]);
    if &*request.mechanism != MECHANISM {
        *exchange = Exchange::Failed;
        return response.with_error_code(Code::UnsupportedSaslMechanism.code());
    }
    *exchange = if call.version == 0 { Exchange::RawToken } else { Exchange::Token };
    response
}
