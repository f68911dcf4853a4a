//! Classic groups and the offsets that groups keep.

use super::side::Side;
use super::words::*;
use bytes::Bytes;
use m::join_group_request::JoinGroupRequestProtocol;
use m::leave_group_request::MemberIdentity;
use m::sync_group_request::SyncGroupRequestAssignment;

pub(super) async fn coordinators(side: &mut Side) {
    for kind in [0, 1, 3, -1] {
        side.each(&format!("kind {kind}"), |v| {
            m::FindCoordinatorRequest::default()
                .with_key(until(v, 3, text("g")))
                .with_coordinator_keys(since(v, 4, vec![text("g"), text("h")]))
                .with_key_type(since(v, 1, kind))
        })
        .await;
    }
    side.each("no name", |v| {
        m::FindCoordinatorRequest::default().with_coordinator_keys(since(v, 4, vec![text("")]))
    })
    .await;
    side.newly("nothing", m::FindCoordinatorRequest::default()).await;
    let share = m::FindCoordinatorRequest::default().with_key_type(2).with_coordinator_keys(vec![text("g")]);
    side.newly("a share group's without a partition", share).await;
}

fn heartbeat(v: i16, name: &str, member: &str, generation: i32, fixed: Option<&str>) -> m::HeartbeatRequest {
    m::HeartbeatRequest::default()
        .with_group_id(group(name))
        .with_member_id(text(member))
        .with_generation_id(generation)
        .with_group_instance_id(since(v, 3, fixed.map(text)))
}

fn joining(v: i16, name: &str, member: &str, fixed: Option<&str>) -> m::JoinGroupRequest {
    m::JoinGroupRequest::default()
        .with_group_id(group(name))
        .with_member_id(text(member))
        .with_group_instance_id(since(v, 5, fixed.map(text)))
        .with_session_timeout_ms(30_000)
        .with_rebalance_timeout_ms(30_000)
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol("range"), protocol("roundrobin")])
}

fn protocol(name: &str) -> JoinGroupRequestProtocol {
    // A subscription of version 0 to the topic "t", without user data.
    let metadata = Bytes::from_static(b"\0\0\0\0\0\x01\0\x01t\xff\xff\xff\xff");
    JoinGroupRequestProtocol::default().with_name(text(name)).with_metadata(metadata)
}

fn syncing(
    v: i16,
    name: &str,
    member: &str,
    generation: i32,
    to: &[(&str, &'static str)],
) -> m::SyncGroupRequest {
    let one = |(member, what): &(&str, &'static str)| {
        SyncGroupRequestAssignment::default()
            .with_member_id(text(member))
            .with_assignment(Bytes::from_static(what.as_bytes()))
    };
    m::SyncGroupRequest::default()
        .with_group_id(group(name))
        .with_member_id(text(member))
        .with_generation_id(generation)
        .with_protocol_type(since(v, 5, Some(text("consumer"))))
        .with_protocol_name(since(v, 5, Some(text("range"))))
        .with_assignments(to.iter().map(one).collect())
}

fn leaving(v: i16, name: &str, members: &[(&str, Option<&str>)]) -> m::LeaveGroupRequest {
    let one = |(member, fixed): &(&str, Option<&str>)| {
        MemberIdentity::default().with_member_id(text(member)).with_group_instance_id(fixed.map(text))
    };
    m::LeaveGroupRequest::default()
        .with_group_id(group(name))
        .with_member_id(until(v, 2, members.first().map(|(member, _)| text(member)).unwrap_or_default()))
        .with_members(since(v, 3, members.iter().map(one).collect()))
}

fn committing(
    v: i16,
    name: &str,
    member: &str,
    generation: i32,
    parts: &[(i32, i64)],
) -> m::OffsetCommitRequest {
    m::OffsetCommitRequest::default()
        .with_group_id(group(name))
        .with_member_id(text(member))
        .with_generation_id_or_member_epoch(generation)
        .with_retention_time_ms(if v <= 4 { -1 } else { m::OffsetCommitRequest::default().retention_time_ms })
        .with_topics(vec![committed("kept", parts)])
}

pub(super) async fn absent(side: &mut Side) {
    side.each("a heartbeat", |v| heartbeat(v, "none", "m", 1, None)).await;
    side.each("a heartbeat to no group", |v| heartbeat(v, "", "m", 1, None)).await;
    side.each("a sync", |v| syncing(v, "none", "m", 1, &[])).await;
    side.each("a sync with no group", |v| syncing(v, "", "m", 1, &[])).await;
    side.each("a leave", |v| leaving(v, "none", &[("m", None)])).await;
    side.each("a leave of no group", |v| leaving(v, "", &[("m", None)])).await;
    side.each("a leave of nobody", |v| leaving(v, "none", &[])).await;
    side.each("a join with an id", |v| joining(v, "none", "m", None)).await;
    side.each("a commit", |v| committing(v, "none", "m", 1, &[(0, 1)])).await;
    side.each("offsets", |v| offsets(v, "none", Some(&[("kept", &[0])]))).await;
    side.each("a look", |_| m::DescribeGroupsRequest::default().with_groups(vec![group("none")])).await;
    side.each("a look at no group", |_| m::DescribeGroupsRequest::default().with_groups(vec![group("")]))
        .await;
    side.each("deleted", |_| m::DeleteGroupsRequest::default().with_groups_names(vec![group("none")])).await;
    side.each("no group deleted", |_| m::DeleteGroupsRequest::default().with_groups_names(vec![group("")]))
        .await;
    side.each("offsets deleted", |_| m::OffsetDeleteRequest::default().with_group_id(group("none"))).await;
}

pub(super) async fn joining_wrongly(side: &mut Side) {
    for (label, change) in [
        ("no group", (|r| r.with_group_id(group(""))) as fn(m::JoinGroupRequest) -> m::JoinGroupRequest),
        ("a short session", |r| r.with_session_timeout_ms(1)),
        ("a long session", |r| r.with_session_timeout_ms(i32::MAX)),
        ("no protocols", |r| r.with_protocols(Vec::new())),
        ("no type", |r| r.with_protocol_type(text(""))),
        ("a bad instance", |r| r.with_group_instance_id(Some(text("a b")))),
        ("an empty instance", |r| r.with_group_instance_id(Some(text("")))),
    ] {
        let v = side.newest::<m::JoinGroupRequest>();
        let request = change(joining(v, &format!("wrong {label}"), "", None));
        side.ask(label, v, &request).await;
    }
}

/// A member of its own of a group; the id and the generation it was given.
async fn member(side: &mut Side, v: i16, name: &str, fixed: Option<&str>) -> (String, i32) {
    let mut answer = side.ask("joins", v, &joining(v, name, "", fixed)).await;
    if answer.error_code == 79 {
        let id = answer.member_id.to_string();
        answer = side.ask("joins with its id", v, &joining(v, name, &id, fixed)).await;
    }
    (answer.member_id.to_string(), answer.generation_id)
}

pub(super) async fn first_member(side: &mut Side) {
    joining_wrongly(side).await;
    for v in side.versions::<m::JoinGroupRequest>() {
        let name = format!("alone-{v}");
        let (id, generation) = member(side, v, &name, None).await;
        let sync = side.newest::<m::SyncGroupRequest>();
        side.newly("a heartbeat before the sync", heartbeat(4, &name, &id, generation, None)).await;
        side.newly("syncs with another type", {
            syncing(sync, &name, &id, generation, &[]).with_protocol_type(Some(text("connect")))
        })
        .await;
        side.newly("syncs with another protocol", {
            syncing(sync, &name, &id, generation, &[]).with_protocol_name(Some(text("sticky")))
        })
        .await;
        side.newly("syncs too late", syncing(sync, &name, &id, generation - 1, &[])).await;
        side.newly("syncs", syncing(sync, &name, &id, generation, &[(&id, "all")])).await;
        side.newly("syncs again", syncing(sync, &name, &id, generation, &[(&id, "none")])).await;
        side.each("a heartbeat", |v| heartbeat(v, &name, &id, generation, None)).await;
        side.each("a late heartbeat", |v| heartbeat(v, &name, &id, generation - 1, None)).await;
        side.each("an early heartbeat", |v| heartbeat(v, &name, &id, generation + 1, None)).await;
        side.each("a heartbeat of another", |v| heartbeat(v, &name, "m", generation, None)).await;
        side.each("a look", |_| m::DescribeGroupsRequest::default().with_groups(vec![group(&name)])).await;
        let other = joining(v, &name, "", None).with_protocols(vec![protocol("sticky")]);
        side.ask("a stranger with other protocols", v, &other).await;
        let other = joining(v, &name, "", None).with_protocol_type(text("connect"));
        side.ask("a stranger of another type", v, &other).await;
        side.ask("a member nobody knows", v, &joining(v, &name, "m", None)).await;
        side.ask("joins again", v, &joining(v, &name, &id, None)).await;
        side.newly(
            "deleted too early",
            m::DeleteGroupsRequest::default().with_groups_names(vec![group(&name)]),
        )
        .await;
        let leave = side.newest::<m::LeaveGroupRequest>();
        side.newly("two leave, one of them unknown", leaving(leave, &name, &[(&id, None), ("m", None)]))
            .await;
        side.newly("a heartbeat after it", heartbeat(4, &name, &id, generation, None)).await;
        side.each("a look at what is left", |_| {
            m::DescribeGroupsRequest::default().with_groups(vec![group(&name)])
        })
        .await;
        side.newly("deleted", m::DeleteGroupsRequest::default().with_groups_names(vec![group(&name)])).await;
    }
}

/// Two members, and a third that comes: everybody is asked to join again.
pub(super) async fn generations(side: &mut Side) {
    let v = side.newest::<m::JoinGroupRequest>();
    let sync = side.newest::<m::SyncGroupRequest>();
    let (one, generation) = member(side, v, "pair", None).await;
    side.newly("the leader syncs", syncing(sync, "pair", &one, generation, &[(&one, "all")])).await;
    let answer = side.ask("the second asks for an id", v, &joining(v, "pair", "", None)).await;
    let two = answer.member_id.to_string();
    side.send_on(1, v, &joining(v, "pair", &two, None)).await;
    // The second's request has begun the rebalance when a heartbeat says so.
    loop {
        let answer = side.newly("the first is told", heartbeat(4, "pair", &one, generation, None)).await;
        if answer.error_code != 0 {
            break;
        }
        side.exchanges.pop();
    }
    side.newly("a commit meanwhile", committing(9, "pair", &one, generation, &[(0, 3)])).await;
    side.newly("a sync meanwhile", syncing(sync, "pair", &one, generation, &[])).await;
    side.each("a look meanwhile", |_| m::DescribeGroupsRequest::default().with_groups(vec![group("pair")]))
        .await;
    let next = side.ask("the first joins again", v, &joining(v, "pair", &one, None)).await.generation_id;
    side.receive_on::<m::JoinGroupRequest>(1, "the second has joined", v).await;
    side.send_on(1, sync, &syncing(sync, "pair", &two, next, &[])).await;
    side.newly("a commit before the sync", committing(9, "pair", &one, next, &[(0, 3)])).await;
    side.newly("the leader syncs again", syncing(sync, "pair", &one, next, &[(&one, "a"), (&two, "b")]))
        .await;
    side.receive_on::<m::SyncGroupRequest>(1, "the second has its part", sync).await;
    side.each("a look at both", |_| m::DescribeGroupsRequest::default().with_groups(vec![group("pair")]))
        .await;
    side.newly("a commit of the old generation", committing(9, "pair", &one, generation, &[(0, 3)])).await;
    side.newly("a commit of the new one", committing(9, "pair", &one, next, &[(0, 3)])).await;
    side.newly("a commit of nobody", committing(9, "pair", "", -1, &[(0, 4)])).await;
    let leave = side.newest::<m::LeaveGroupRequest>();
    side.newly("the second leaves", leaving(leave, "pair", &[(&two, None)])).await;
    side.newly("the first is told again", heartbeat(4, "pair", &one, next, None)).await;
    side.newly("the first leaves, too", leaving(leave, "pair", &[(&one, None)])).await;
    side.newly("what was committed", offsets(9, "pair", None)).await;
}

pub(super) async fn fixed_members(side: &mut Side) {
    let v = side.newest::<m::JoinGroupRequest>();
    let sync = side.newest::<m::SyncGroupRequest>();
    let (one, generation) = member(side, v, "fixed-classic", Some("i")).await;
    side.newly("syncs", syncing(sync, "fixed-classic", &one, generation, &[(&one, "all")])).await;
    let again = side.ask("its next life", v, &joining(v, "fixed-classic", "", Some("i"))).await;
    let two = again.member_id.to_string();
    let fenced = heartbeat(4, "fixed-classic", &one, generation, Some("i"));
    side.newly("the former life", fenced).await;
    side.newly("the new one", heartbeat(4, "fixed-classic", &two, again.generation_id, Some("i"))).await;
    side.newly("with another name", heartbeat(4, "fixed-classic", &two, again.generation_id, Some("j")))
        .await;
    side.newly("the former life syncs", {
        syncing(sync, "fixed-classic", &one, generation, &[]).with_group_instance_id(Some(text("i")))
    })
    .await;
    side.newly("the former life commits", {
        committing(9, "fixed-classic", &one, generation, &[(0, 1)]).with_group_instance_id(Some(text("i")))
    })
    .await;
    side.each("a look", |_| m::DescribeGroupsRequest::default().with_groups(vec![group("fixed-classic")]))
        .await;
    let leave = side.newest::<m::LeaveGroupRequest>();
    side.newly("the former life leaves", leaving(leave, "fixed-classic", &[(&one, Some("i"))])).await;
    side.newly("removed by its name", leaving(leave, "fixed-classic", &[("", Some("i"))])).await;
    side.newly("removed again", leaving(leave, "fixed-classic", &[("", Some("i"))])).await;
}

pub(super) async fn kept_offsets(side: &mut Side) {
    create(side, &[("kept", 3, &[])]).await;
    side.each("kept", |v| committing(v, &format!("keeper-{v}"), "", -1, &[(0, 5), (1, 0)])).await;
    for v in side.versions::<m::OffsetCommitRequest>() {
        let name = format!("keeper-{v}");
        side.each(&format!("of {name}"), |v| offsets(v, &name, Some(&[("kept", &[0, 1, 2, 9])]))).await;
        side.each(&format!("of {name}, an unknown topic"), |v| offsets(v, &name, Some(&[("unseen", &[0])])))
            .await;
        side.each(&format!("of {name}, nothing"), |v| offsets(v, &name, Some(&[]))).await;
        for v in [2, 5, 7, side.newest::<m::OffsetFetchRequest>()] {
            side.ask(&format!("all of {name}"), v, &offsets(v, &name, None)).await;
        }
    }
    for v in [7, side.newest::<m::OffsetFetchRequest>()] {
        let stable = offsets(v, "keeper-2", None).with_require_stable(true);
        side.ask("stable ones", v, &stable).await;
    }
    let mut several = offsets(9, "keeper-2", None);
    several.groups.push(offsets(9, "none", None).groups[0].clone());
    side.newly("of several groups", several.clone()).await;
    several.groups.clear();
    side.newly("of no group", several).await;
    let epoch = {
        let mut request = committing(9, "keeper-2", "", -1, &[(0, 8)]);
        request.topics[0].partitions[0].committed_leader_epoch = 3;
        request
    };
    side.newly("with a leader epoch", epoch).await;
    side.newly("it is kept", offsets(9, "keeper-2", None)).await;
}

pub(super) async fn invalid_offsets(side: &mut Side) {
    side.each("an unknown partition", |v| committing(v, "careless", "", -1, &[(0, 1), (9, 1), (-1, 1)]))
        .await;
    side.each("an unknown topic", |v| {
        let mut request = committing(v, "careless", "", -1, &[(0, 1)]);
        request.topics[0].name = topic("unseen");
        request
    })
    .await;
    side.each("no group", |v| committing(v, "", "", -1, &[(0, 1)])).await;
    side.each("no topics", |v| committing(v, "careless", "", -1, &[]).with_topics(Vec::new())).await;
    side.each("a negative offset", |v| committing(v, "careless", "", -1, &[(0, -1), (1, -7)])).await;
    side.each("a generation without a member", |v| committing(v, "careless", "", 3, &[(0, 1)])).await;
    side.each("a member without a generation", |v| committing(v, "careless", "m", -1, &[(0, 1)])).await;
    for length in [4_096, 4_097] {
        side.each(&format!("a note of {length}"), |v| {
            let mut request = committing(v, "careless", "", -1, &[(0, 1), (1, 1)]);
            request.topics[0].partitions[0].committed_metadata = Some(text(&"n".repeat(length)));
            request
        })
        .await;
    }
    side.each("no note", |v| {
        let mut request = committing(v, "careless", "", -1, &[(2, 1)]);
        request.topics[0].partitions[0].committed_metadata = None;
        request
    })
    .await;
    side.newly("what was kept", offsets(9, "careless", None)).await;
}

pub(super) async fn administration(side: &mut Side) {
    let listing = |states: &[&str], types: &[&str]| {
        m::ListGroupsRequest::default()
            .with_states_filter(states.iter().map(|state| text(state)).collect())
            .with_types_filter(types.iter().map(|kind| text(kind)).collect())
    };
    side.each("all groups", |_| m::ListGroupsRequest::default()).await;
    for (states, types) in [
        (&["Empty"][..], &[][..]),
        (&["empty", "Stable"], &[]),
        (&["Nonsense"], &[]),
        (&[], &["classic"]),
        (&[], &["Consumer"]),
        (&[], &["nonsense"]),
        (&["Dead"], &["share"]),
        (&["Assigning"], &["consumer"]),
    ] {
        side.newly(&format!("groups {states:?} {types:?}"), listing(states, types)).await;
    }
    side.ask("by state, before types", 4, &listing(&["Empty"], &[])).await;
    let deleting = |name: &str, parts: &[(&str, &[i32])]| {
        use m::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
        let part = |index: &i32| OffsetDeleteRequestPartition::default().with_partition_index(*index);
        let one = |(name, parts): &(&str, &[i32])| {
            OffsetDeleteRequestTopic::default()
                .with_name(topic(name))
                .with_partitions(parts.iter().map(part).collect())
        };
        m::OffsetDeleteRequest::default()
            .with_group_id(group(name))
            .with_topics(parts.iter().map(one).collect())
    };
    for (label, name, parts) in [
        ("some", "keeper-2", &[("kept", &[0][..])][..]),
        ("again", "keeper-2", &[("kept", &[0])]),
        ("an unknown partition", "keeper-2", &[("kept", &[9, -1])]),
        ("an unknown topic", "keeper-2", &[("unseen", &[0])]),
        ("no topic", "keeper-2", &[]),
        ("no partition", "keeper-2", &[("kept", &[])]),
        ("no group", "", &[("kept", &[0])]),
        ("of the last", "keeper-5", &[("kept", &[0, 1])]),
    ] {
        side.newly(&format!("offsets deleted: {label}"), deleting(name, parts)).await;
    }
    side.newly("what is left", offsets(9, "keeper-2", None)).await;
    let several = ["keeper-2", "none", "keeper-2"].map(group).to_vec();
    side.newly("several deleted, one twice", m::DeleteGroupsRequest::default().with_groups_names(several))
        .await;
    side.newly("nothing deleted", m::DeleteGroupsRequest::default()).await;
    side.newly("nothing described", m::DescribeGroupsRequest::default()).await;
    let rights = m::DescribeGroupsRequest::default().with_groups(vec![group("careless")]);
    side.newly("described with rights", rights.with_include_authorized_operations(true)).await;
}
