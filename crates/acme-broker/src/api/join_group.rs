//! JoinGroup: a member of a classic group wants in.

use super::Call;
use crate::groups::{Joining, classic, fresh_member_id};
use kafka_protocol::messages::{JoinGroupRequest, JoinGroupResponse};

pub(crate) async fn handle(call: &Call, request: JoinGroupRequest) -> JoinGroupResponse {
    let client_id = call.client_id.to_string();
    let instance_id = request.group_instance_id.map(|id| id.to_string());
    let join = Joining {
        fresh_id: fresh_member_id(&client_id, instance_id.as_deref()),
        member_id: request.member_id.to_string(),
        instance_id,
        client_id,
        client_host: call.session.host.to_string(),
        rebalance_timeout_ms: match request.rebalance_timeout_ms {
            -1 => request.session_timeout_ms,
            timeout => timeout,
        },
        session_timeout_ms: request.session_timeout_ms,
        protocol_type: request.protocol_type.to_string(),
        protocols: request
            .protocols
            .into_iter()
            .map(|protocol| (protocol.name.to_string(), protocol.metadata))
            .collect(),
        needs_id: call.version >= 4,
        may_skip: call.version >= 9,
    };
    let answer = call.context.groups.join(&request.group_id, join).await;
    classic::for_version(answer, call.version)
}
