//! FindCoordinator: it is here.

use super::Call;
use crate::context::NODE;
use crate::error::Code;
use crate::frame::text;
use crate::{groups, transactions};
use acme_log::Log;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::{BrokerId, FindCoordinatorRequest, FindCoordinatorResponse};
use kafka_protocol::protocol::StrBytes;
use std::sync::Arc;

/// A group or a transaction; share groups (2) are not served.
const KEY_TYPES: std::ops::RangeInclusive<i8> = 0..=1;

pub(crate) async fn handle(call: &Call, request: FindCoordinatorRequest) -> FindCoordinatorResponse {
    let known = KEY_TYPES.contains(&request.key_type);
    let why = || text(&format!("There are no coordinators of kind {}.", request.key_type));
    let code = if !known {
        Code::InvalidRequest.code()
    } else {
        made(call, request.key_type).await.err().map_or(0, |code| code.code())
    };
    let (host, port) = call.session.advertised.clone();
    if call.version >= 4 {
        let here = |key: StrBytes| {
            let found = Coordinator::default().with_key(key).with_error_code(code);
            if !known {
                return found.with_node_id(BrokerId(-1)).with_port(-1).with_error_message(Some(why()));
            }
            // Kafka says so, too.
            found.with_node_id(BrokerId(NODE)).with_host(host.clone()).with_port(port)
        };
        let keys = request.coordinator_keys.into_iter();
        return FindCoordinatorResponse::default().with_coordinators(keys.map(here).collect());
    }
    let answer = FindCoordinatorResponse::default().with_error_code(code);
    if !known {
        let answer = answer.with_node_id(BrokerId(-1)).with_port(-1);
        return if call.version >= 1 { answer.with_error_message(Some(why())) } else { answer };
    }
    let answer = answer.with_node_id(BrokerId(NODE)).with_host(host).with_port(port);
    if call.version >= 1 {
        answer.with_error_message(Some(StrBytes::from_static_str("NONE")))
    } else {
        answer
    }
}

/// Whoever asks for a coordinator finds the topic that it writes to, as with Kafka.
async fn made(call: &Call, key_type: i8) -> Result<(), Code> {
    let context = Arc::clone(&call.context);
    let name = if key_type == 0 { groups::TOPIC } else { transactions::TOPIC };
    if context.log.topics().named(name).is_some() {
        return Ok(());
    }
    let make = move |_: &Log| match key_type {
        0 => context.groups.number("").map(drop),
        _ => context.transactions.make(),
    };
    call.context.blocking(make).await
}
