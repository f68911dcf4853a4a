//! Heartbeat: a member of a classic group is alive.

use super::Call;
use kafka_protocol::messages::{HeartbeatRequest, HeartbeatResponse};

pub(crate) async fn handle(call: &Call, request: HeartbeatRequest) -> HeartbeatResponse {
    let instance_id = request.group_instance_id.as_deref();
    let groups = &call.context.groups;
    let beat = groups.heartbeat(&request.group_id, &request.member_id, instance_id, request.generation_id);
    HeartbeatResponse::default().with_error_code(beat.err().map_or(0, |error| error.code()))
}
