//! ListGroups: all groups, by state and type if wanted.

use super::Call;
use crate::frame::text;
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::{GroupId, ListGroupsRequest, ListGroupsResponse};
use kafka_protocol::protocol::StrBytes;

pub(crate) async fn handle(call: &Call, request: ListGroupsRequest) -> ListGroupsResponse {
    let wanted = |filter: &[StrBytes], name: &str| {
        filter.is_empty() || filter.iter().any(|wanted| wanted.eq_ignore_ascii_case(name))
    };
    let listed = call.context.groups.list().into_iter();
    let chosen = listed.filter(|group| {
        wanted(&request.states_filter, group.state) && wanted(&request.types_filter, group.kind)
    });
    let groups = chosen.map(|group| {
        let mut entry = ListedGroup::default()
            .with_group_id(GroupId(text(&group.id)))
            .with_protocol_type(text(&group.protocol_type));
        if call.version >= 4 {
            entry = entry.with_group_state(text(group.state));
        }
        if call.version >= 5 { entry.with_group_type(text(group.kind)) } else { entry }
    });
    ListGroupsResponse::default().with_groups(groups.collect())
}
