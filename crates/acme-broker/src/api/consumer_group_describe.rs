//! ConsumerGroupDescribe: consumer groups, their members, what these have and are to have (KIP-848).

use super::Call;
use super::describe_groups::{GROUP_OPERATIONS, NOT_ASKED};
use crate::error::Code;
use crate::frame::text;
use crate::groups::consumer;
use crate::groups::record::Parts;
use acme_log::Topics;
use kafka_protocol::messages::consumer_group_describe_response::{
    Assignment, DescribedGroup, Member, TopicPartitions,
};
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, GroupId, TopicName,
};

pub(crate) async fn handle(
    call: &Call,
    request: ConsumerGroupDescribeRequest,
) -> ConsumerGroupDescribeResponse {
    let rights = if request.include_authorized_operations { GROUP_OPERATIONS } else { NOT_ASKED };
    let topics = call.context.log.topics();
    let groups = request.group_ids.iter().map(|id| {
        let described =
            DescribedGroup::default().with_group_id(id.clone()).with_authorized_operations(rights);
        one(call, id, &topics, described)
    });
    ConsumerGroupDescribeResponse::default().with_groups(groups.collect())
}

fn one(call: &Call, id: &GroupId, topics: &Topics, described: DescribedGroup) -> DescribedGroup {
    if id.is_empty() {
        return described.with_error_code(Code::InvalidGroupId.code());
    }
    let Some(group) = call.context.groups.describe_consumer(id) else {
        let what =
            if call.context.groups.describe(id).is_some() { "is not a consumer group" } else { "not found" };
        let why = format!("Group {} {what}.", id.as_str());
        return described.with_error_code(Code::GroupIdNotFound.code()).with_error_message(Some(text(&why)));
    };
    let members = group.members.iter().map(|(id, of)| member(call, id, of, topics));
    described
        .with_group_state(text(group.state()))
        .with_group_epoch(group.epoch)
        .with_assignment_epoch(group.target_epoch)
        .with_assignor_name(text(group.assignor().name()))
        .with_members(members.collect())
}

fn member(call: &Call, id: &str, of: &consumer::Member, topics: &Topics) -> Member {
    let told = &of.subscription;
    let shown = Member::default()
        .with_member_id(text(id))
        .with_instance_id(told.instance_id.as_deref().map(text))
        .with_rack_id(told.rack_id.as_deref().map(text))
        .with_member_epoch(of.current.epoch)
        .with_client_id(text(&told.client_id))
        .with_client_host(text(&told.client_host))
        .with_subscribed_topic_names(told.topics.iter().map(|topic| TopicName(text(topic))).collect())
        .with_subscribed_topic_regex(Some(text(told.regex.as_deref().unwrap_or_default())))
        .with_assignment(assignment(&of.current.assigned, topics))
        .with_target_assignment(assignment(&of.target, topics));
    // 1: it speaks this protocol, not the classic one.
    if call.version >= 1 { shown.with_member_type(1) } else { shown }
}

fn assignment(parts: &Parts, topics: &Topics) -> Assignment {
    let known = parts.iter().filter_map(|(id, of)| topics.with_id(*id).map(|topic| (topic, of)));
    let listed = known.map(|(topic, partitions)| {
        TopicPartitions::default()
            .with_topic_id(topic.id)
            .with_topic_name(TopicName(text(&topic.name)))
            .with_partitions(partitions.iter().copied().collect())
    });
    Assignment::default().with_topic_partitions(listed.collect())
}
