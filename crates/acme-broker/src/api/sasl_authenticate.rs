//! SaslAuthenticate: the token of the mechanism that was agreed on.

use super::Call;
use crate::error::Code;
use crate::frame::text;
use crate::sasl::{self, Exchange};
use kafka_protocol::messages::{SaslAuthenticateRequest, SaslAuthenticateResponse};

pub(crate) async fn handle(call: &Call, request: SaslAuthenticateRequest) -> SaslAuthenticateResponse {
    let mut exchange = call.session.exchange();
    let response = SaslAuthenticateResponse::default();
    if *exchange != Exchange::Token {
        let message = text("SaslAuthenticate request received after successful authentication");
        return response.with_error_code(Code::IllegalSaslState.code()).with_error_message(Some(message));
    }
    if sasl::is_user(&call.context.options.users, &request.auth_bytes) {
        *exchange = Exchange::Done;
        return response;
    }
    *exchange = Exchange::Failed;
    let message = text("Authentication failed: Invalid username or password");
    response.with_error_code(Code::SaslAuthenticationFailed.code()).with_error_message(Some(message))
}
