//! Groups of KIP-848.

use super::side::Side;
use super::words::*;
use crate::support::PATIENCE;
use m::consumer_group_heartbeat_request::TopicPartitions;
use tokio::time::Instant;

fn beat(name: &str, member: &str, epoch: i32) -> m::ConsumerGroupHeartbeatRequest {
    m::ConsumerGroupHeartbeatRequest::default()
        .with_group_id(group(name))
        .with_member_id(text(member))
        .with_member_epoch(epoch)
        .with_rebalance_timeout_ms(-1)
}

fn joining(name: &str, member: &str, topics: &[&str]) -> m::ConsumerGroupHeartbeatRequest {
    beat(name, member, 0)
        .with_rebalance_timeout_ms(60_000)
        .with_subscribed_topic_names(Some(topics.iter().map(|name| topic(name)).collect()))
        .with_topic_partitions(Some(Vec::new()))
}

fn has(id: Uuid, parts: &[i32]) -> Option<Vec<TopicPartitions>> {
    Some(vec![TopicPartitions::default().with_topic_id(id).with_partitions(parts.to_vec())])
}

fn describing(names: &[&str]) -> m::ConsumerGroupDescribeRequest {
    m::ConsumerGroupDescribeRequest::default().with_group_ids(names.iter().map(|name| group(name)).collect())
}

/// Waits until the coordinator knows a topic: Kafka's learns of it after the partitions have their leaders.
async fn known(side: &mut Side, name: &str) {
    let group = format!("who-knows-{name}");
    let until = Instant::now() + PATIENCE;
    loop {
        let answer = side.newly("is it known", joining(&group, "m", &[name])).await;
        side.exchanges.pop();
        if answer.assignment.is_some_and(|assignment| !assignment.topic_partitions.is_empty()) {
            break;
        }
        assert!(Instant::now() < until, "no coordinator knows {name}");
    }
    side.newly("it is known", beat(&group, "m", -1)).await;
}

pub(super) async fn lives(side: &mut Side) {
    let id = create(side, &[("shared", 4, &[])]).await[0];
    known(side, "shared").await;
    for v in side.versions::<m::ConsumerGroupHeartbeatRequest>() {
        let name = format!("modern-{v}");
        let (one, two) = (format!("one-{v}"), format!("two-{v}"));
        side.ask("the first comes", v, &joining(&name, &one, &["shared"])).await;
        let (first, second) = (side.first_member_epoch(), side.first_member_epoch() + 1);
        side.ask(
            "and says what it has",
            v,
            &beat(&name, &one, first).with_topic_partitions(has(id, &[0, 1, 2, 3])),
        )
        .await;
        side.ask("goes on", v, &beat(&name, &one, first)).await;
        side.newly("with one", describing(&[&name])).await;
        side.ask("the second comes", v, &joining(&name, &two, &["shared"])).await;
        side.ask("the first is told", v, &beat(&name, &one, first)).await;
        side.newly("with two", describing(&[&name])).await;
        side.ask("the second waits", v, &beat(&name, &two, second)).await;
        side.ask(
            "the first has given up two",
            v,
            &beat(&name, &one, first).with_topic_partitions(has(id, &[0, 1])),
        )
        .await;
        side.ask("the second has them", v, &beat(&name, &two, second)).await;
        side.ask("an old epoch", v, &beat(&name, &two, first)).await;
        side.ask("a future epoch", v, &beat(&name, &two, 9)).await;
        side.ask("an unknown member", v, &beat(&name, "nobody", first)).await;
        side.newly("a commit of a member", commit(&name, &one, second)).await;
        side.newly("a commit of an old epoch", commit(&name, &two, first)).await;
        side.newly("a commit of a stranger", commit(&name, "nobody", second)).await;
        side.newly("a commit of nobody", commit(&name, "", -1)).await;
        side.newly("what was committed", offsets(9, &name, None)).await;
        let mut asking = offsets(9, &name, None);
        asking.groups[0].member_id = Some(text(&one));
        asking.groups[0].member_epoch = first;
        side.newly("asked with an old epoch", asking.clone()).await;
        asking.groups[0].member_id = Some(text("nobody"));
        side.newly("asked by a stranger", asking).await;
        side.newly(
            "not to be deleted",
            m::DeleteGroupsRequest::default().with_groups_names(vec![group(&name)]),
        )
        .await;
        side.newly("a classic look", m::DescribeGroupsRequest::default().with_groups(vec![group(&name)]))
            .await;
        side.ask("the second leaves", v, &beat(&name, &two, -1)).await;
        side.ask("it has left", v, &beat(&name, &two, second)).await;
        side.ask("the first leaves", v, &beat(&name, &one, -1)).await;
        side.newly("with nobody", describing(&[&name])).await;
        side.newly("deleted", m::DeleteGroupsRequest::default().with_groups_names(vec![group(&name)])).await;
        side.newly("gone", describing(&[&name])).await;
    }
    fixed(side).await;
}

fn commit(name: &str, member: &str, epoch: i32) -> m::OffsetCommitRequest {
    m::OffsetCommitRequest::default()
        .with_group_id(group(name))
        .with_member_id(text(member))
        .with_generation_id_or_member_epoch(epoch)
        .with_topics(vec![committed("shared", &[(0, 5)])])
}

async fn fixed(side: &mut Side) {
    let v = side.newest::<m::ConsumerGroupHeartbeatRequest>();
    let first = side.first_member_epoch();
    let named = |request: m::ConsumerGroupHeartbeatRequest| request.with_instance_id(Some(text("fixed")));
    side.ask("a fixed one comes", v, &named(joining("fixed", "first", &["shared"]))).await;
    side.ask("another with its name", v, &named(joining("fixed", "second", &["shared"]))).await;
    side.ask("it goes for a while", v, &named(beat("fixed", "first", -2))).await;
    side.newly("while it is away", describing(&["fixed"])).await;
    side.ask("another comes in its place", v, &named(joining("fixed", "third", &["shared"]))).await;
    side.ask("the old one is fenced", v, &named(beat("fixed", "first", first))).await;
    side.ask("without its name", v, &beat("fixed", "third", first)).await;
    side.ask("leaves for good", v, &named(beat("fixed", "third", -1))).await;
}

pub(super) async fn invalid(side: &mut Side) {
    let v = side.newest::<m::ConsumerGroupHeartbeatRequest>();
    create(side, &[("subscribed", 1, &[])]).await;
    known(side, "subscribed").await;
    let good = joining("strict", "m", &["subscribed"]);
    let mut told = 0;
    for (label, mut request) in [
        ("no group", joining("", "m", &["subscribed"])),
        ("a blank group", joining("  ", "m", &["subscribed"])),
        ("no member", joining("strict", "", &["subscribed"])),
        ("an epoch below all", beat("strict", "m", -3)),
        ("no rebalance time", good.clone().with_rebalance_timeout_ms(-1)),
        ("a rebalance time of 0", good.clone().with_rebalance_timeout_ms(0)),
        ("no topics", good.clone().with_subscribed_topic_names(None)),
        ("no partitions", good.clone().with_topic_partitions(None)),
        ("partitions at once", good.clone().with_topic_partitions(has(Uuid::from_u128(1), &[0]))),
        ("an empty name", good.clone().with_instance_id(Some(text("")))),
        ("an empty rack", good.clone().with_rack_id(Some(text("")))),
        ("an empty assignor", good.clone().with_server_assignor(Some(text("")))),
        ("an unknown assignor", good.clone().with_server_assignor(Some(text("random")))),
        ("a bad pattern", good.clone().with_subscribed_topic_regex(Some(text("[")))),
        ("leaves for a while without a name", beat("strict", "m", -2)),
        ("leaves what is not there", beat("nowhere", "m", -1)),
        ("goes on where nothing is", beat("nowhere", "m", 1)),
        ("an unknown topic", joining("curious", "m", &["unseen"])),
        ("an empty subscription", joining("curious-2", "m", &[])),
        ("the range assignor", good.clone().with_server_assignor(Some(text("range")))),
        ("again with another assignor", beat("strict", "m", 0).with_server_assignor(Some(text("uniform")))),
        ("a pattern", joining("patterns", "m", &[]).with_subscribed_topic_regex(Some(text("subscr.*")))),
    ] {
        if label.starts_with("again") {
            request.member_epoch = told;
        }
        told = side.ask(label, v, &request).await.member_epoch;
    }
    for names in [&["nowhere"][..], &[""], &["strict", "strict"], &[], &["curious"]] {
        side.each(&format!("{names:?} described"), |_| describing(names)).await;
    }
    let rights = describing(&["strict"]).with_include_authorized_operations(true);
    side.newly("with rights", rights).await;
}
