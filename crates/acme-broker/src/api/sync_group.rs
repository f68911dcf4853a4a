//! SyncGroup: the leader brings the assignment, everybody gets his part.

use super::Call;
use crate::error::Code;
use crate::groups::Syncing;
use kafka_protocol::messages::{SyncGroupRequest, SyncGroupResponse};

pub(crate) async fn handle(call: &Call, request: SyncGroupRequest) -> SyncGroupResponse {
    // From version 5 on the protocol must be said.
    if call.version >= 5 && (request.protocol_type.is_none() || request.protocol_name.is_none()) {
        return SyncGroupResponse::default().with_error_code(Code::InconsistentGroupProtocol.code());
    }
    let sync = Syncing {
        member_id: request.member_id.to_string(),
        instance_id: request.group_instance_id.map(|id| id.to_string()),
        generation: request.generation_id,
        protocol_type: request.protocol_type.map(|kind| kind.to_string()),
        protocol: request.protocol_name.map(|name| name.to_string()),
        assignments: request
            .assignments
            .into_iter()
            .map(|member| (member.member_id.to_string(), member.assignment))
            .collect(),
    };
    let mut answer = call.context.groups.sync(&request.group_id, sync).await;
    if call.version < 5 {
        (answer.protocol_type, answer.protocol_name) = (None, None);
    }
    answer
}
