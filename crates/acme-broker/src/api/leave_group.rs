//! LeaveGroup: members go, or are taken out.

use super::Call;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::{LeaveGroupRequest, LeaveGroupResponse};

pub(crate) async fn handle(call: &Call, request: LeaveGroupRequest) -> LeaveGroupResponse {
    let members: Vec<(String, Option<String>)> = if call.version >= 3 {
        let member = |(id, instance): (String, Option<String>)| (id, instance);
        let listed = request.members.iter().map(|of| {
            member((of.member_id.to_string(), of.group_instance_id.as_ref().map(ToString::to_string)))
        });
        listed.collect()
    } else {
        vec![(request.member_id.to_string(), None)]
    };
    let answers = match call.context.groups.leave(&request.group_id, &members).await {
        Ok(answers) => answers,
        Err(error) => return LeaveGroupResponse::default().with_error_code(error.code()),
    };
    let code = |answer: &Result<(), crate::error::Code>| answer.err().map_or(0, |error| error.code());
    if call.version < 3 {
        // One member: its answer is the whole.
        return LeaveGroupResponse::default().with_error_code(answers.first().map_or(0, code));
    }
    let member = |((id, instance), answer): (&(String, Option<String>), &Result<(), _>)| {
        MemberResponse::default()
            .with_member_id(crate::frame::text(id))
            .with_group_instance_id(instance.as_deref().map(crate::frame::text))
            .with_error_code(code(answer))
    };
    LeaveGroupResponse::default().with_members(members.iter().zip(&answers).map(member).collect())
}
