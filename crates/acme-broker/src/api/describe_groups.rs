//! DescribeGroups: classic groups and their members.

use super::Call;
use crate::error::Code;
use crate::frame::text;
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::{DescribeGroupsRequest, DescribeGroupsResponse, GroupId};

/// What everybody may do to a group: READ, DELETE, DESCRIBE as bits (and DESCRIBE_CONFIGS, ALTER_CONFIGS).
pub(crate) const GROUP_OPERATIONS: i32 = 0b1101_0100_1000;
/// Nobody asked.
pub(crate) const NOT_ASKED: i32 = i32::MIN;

pub(crate) async fn handle(call: &Call, request: DescribeGroupsRequest) -> DescribeGroupsResponse {
    let rights = call.version >= 3 && request.include_authorized_operations;
    let groups = request.groups.iter().map(|id| {
        let group = one(call, id);
        if rights { group.with_authorized_operations(GROUP_OPERATIONS) } else { group }
    });
    DescribeGroupsResponse::default().with_groups(groups.collect())
}

fn one(call: &Call, id: &GroupId) -> DescribedGroup {
    let group = DescribedGroup::default().with_group_id(id.clone()).with_authorized_operations(NOT_ASKED);
    let Some(shown) = call.context.groups.describe(id) else {
        // Until version 5 a group that is not there is a dead one.
        let group = group.with_group_state(text("Dead"));
        if call.version < 6 {
            return group;
        }
        let why = format!("Group {} not found.", id.as_str());
        return group.with_error_code(Code::GroupIdNotFound.code()).with_error_message(Some(text(&why)));
    };
    let members = shown.members.into_iter().map(|member| {
        let described = DescribedGroupMember::default()
            .with_member_id(text(&member.member_id))
            .with_client_id(text(&member.client_id))
            .with_client_host(text(&member.client_host))
            .with_member_metadata(member.metadata)
            .with_member_assignment(member.assignment);
        let instance = member.instance_id.as_deref().map(text);
        if call.version >= 4 { described.with_group_instance_id(instance) } else { described }
    });
    group
        .with_group_state(text(shown.state))
        .with_protocol_type(text(&shown.protocol_type))
        .with_protocol_data(text(&shown.protocol))
        .with_members(members.collect())
}
