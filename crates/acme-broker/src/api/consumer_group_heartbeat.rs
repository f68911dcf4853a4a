//! ConsumerGroupHeartbeat: a member of a consumer group (KIP-848).

use super::Call;
use crate::frame::text;
use crate::groups::consumer::Beat;
use crate::groups::random_id;
use crate::groups::record::Parts;
use kafka_protocol::messages::consumer_group_heartbeat_response::{Assignment, TopicPartitions};
use kafka_protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};
use std::collections::BTreeSet;

pub(crate) async fn handle(
    call: &Call,
    request: ConsumerGroupHeartbeatRequest,
) -> ConsumerGroupHeartbeatResponse {
    let mut member_id = request.member_id.to_string();
    if call.version == 0 && member_id.is_empty() && request.member_epoch == 0 {
        // From version 1 on the member chooses its own (KIP-1082).
        member_id = random_id();
    }
    let owned = request.topic_partitions.map(|topics| {
        let mut owned = Parts::new();
        for topic in topics.into_iter().filter(|topic| !topic.partitions.is_empty()) {
            owned.entry(topic.topic_id).or_default().extend(topic.partitions);
        }
        owned
    });
    let topics = request.subscribed_topic_names;
    let beat = Beat {
        member_id,
        epoch: request.member_epoch,
        instance_id: request.instance_id.map(|id| id.to_string()),
        rack_id: request.rack_id.map(|id| id.to_string()),
        rebalance_timeout_ms: request.rebalance_timeout_ms,
        topics: topics.map(|topics| topics.iter().map(|topic| topic.to_string()).collect::<BTreeSet<_>>()),
        regex: request.subscribed_topic_regex.map(|regex| regex.to_string()),
        assignor: request.server_assignor.map(|name| name.to_string()),
        owned,
        client_id: call.client_id.to_string(),
        client_host: call.session.host.to_string(),
    };
    match call.context.groups.beat(&request.group_id, beat).await {
        Ok(beaten) => ConsumerGroupHeartbeatResponse::default()
            .with_member_id(Some(text(&beaten.member_id)))
            .with_member_epoch(beaten.epoch)
            .with_heartbeat_interval_ms(beaten.interval_ms)
            .with_assignment(beaten.assignment.map(assignment)),
        Err((error, why)) => ConsumerGroupHeartbeatResponse::default()
            .with_error_code(error.code())
            .with_member_id(None)
            .with_error_message((!why.is_empty()).then(|| text(&why))),
    }
}

fn assignment(parts: Parts) -> Assignment {
    let topics = parts.into_iter().map(|(id, partitions)| {
        TopicPartitions::default().with_topic_id(id).with_partitions(partitions.into_iter().collect())
    });
    Assignment::default().with_topic_partitions(topics.collect())
}
