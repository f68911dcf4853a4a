//! The requests of the coordinators on the wire: every version, and the errors that Kafka gives.

use crate::support::{Server, text, topic};
use acme_records::{Compression, Stamp};
use bytes::Bytes;
use kafka_protocol::error::ResponseError as Code;
use kafka_protocol::messages as m;
use kafka_protocol::messages::{ApiVersionsRequest, GroupId, ProducerId, TransactionalId};
use kafka_protocol::protocol::Request;

fn group(name: &str) -> GroupId {
    GroupId(text(name))
}

fn id(name: &str) -> TransactionalId {
    TransactionalId(text(name))
}

/// The versions of a request that are offered.
async fn versions<R: Request>(server: &Server) -> std::ops::RangeInclusive<i16> {
    let offered = server.wire().await.ask(&ApiVersionsRequest::default(), 0).await;
    let api = offered.api_keys.iter().find(|api| api.api_key == R::KEY).unwrap();
    api.min_version..=api.max_version
}

/// Asks in every version; returns the answers.
async fn all<R: Request>(server: &Server, request: impl Fn(i16) -> R) -> Vec<(i16, R::Response)> {
    let mut answers = Vec::new();
    let mut wire = server.wire().await;
    for version in versions::<R>(server).await {
        answers.push((version, wire.ask(&request(version), version).await));
    }
    answers
}

fn since<T: Default>(version: i16, first: i16, value: T) -> T {
    if version >= first { value } else { T::default() }
}

fn until<T: Default>(version: i16, last: i16, value: T) -> T {
    if version <= last { value } else { T::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn coordinators_are_found_in_every_version() {
    let server = Server::start().await;
    for (version, answer) in all(&server, |version| {
        m::FindCoordinatorRequest::default()
            .with_key(until(version, 3, text("g")))
            .with_coordinator_keys(since(version, 4, vec![text("g"), text("h")]))
    })
    .await
    {
        let port = server.broker.address().unwrap().port();
        if version >= 4 {
            assert_eq!((answer.coordinators.len(), answer.coordinators[1].port), (2, i32::from(port)));
        } else {
            assert_eq!((answer.error_code, answer.node_id.0, answer.port), (0, 1, i32::from(port)));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_about_groups_that_are_not_there_are_refused_as_kafka_does_in_every_version() {
    let server = Server::start().await;
    server.topic("t", 1, &[]);
    let unknown = Code::UnknownMemberId.code();
    for (_, answer) in all(&server, |version| {
        m::HeartbeatRequest::default()
            .with_group_id(group("none"))
            .with_member_id(text("m"))
            .with_group_instance_id(since(version, 3, Some(text("i"))))
    })
    .await
    {
        assert_eq!(answer.error_code, unknown);
    }
    for (version, answer) in all(&server, |version| {
        m::SyncGroupRequest::default()
            .with_group_id(group("none"))
            .with_member_id(text("m"))
            .with_protocol_type(since(version, 5, Some(text("consumer"))))
            .with_protocol_name(since(version, 5, Some(text("range"))))
    })
    .await
    {
        assert_eq!(answer.error_code, unknown, "version {version}");
    }
    for (version, answer) in all(&server, |version| {
        let member = m::leave_group_request::MemberIdentity::default().with_member_id(text("m"));
        m::LeaveGroupRequest::default()
            .with_group_id(group("none"))
            .with_member_id(until(version, 2, text("m")))
            .with_members(since(version, 3, vec![member]))
    })
    .await
    {
        let code = answer.members.first().map_or(answer.error_code, |member| member.error_code);
        assert_eq!(code, unknown, "version {version}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_that_are_not_there_are_not_found_in_every_version() {
    let server = Server::start().await;
    let unknown = Code::UnknownMemberId.code();
    for (version, answer) in all(&server, |version| {
        m::JoinGroupRequest::default()
            .with_group_id(group("none"))
            .with_session_timeout_ms(10_000)
            .with_member_id(text("m"))
            .with_reason(since(version, 8, Some(text("why"))))
            .with_protocol_type(text("consumer"))
            .with_protocols(vec![
                m::join_group_request::JoinGroupRequestProtocol::default().with_name(text("range")),
            ])
    })
    .await
    {
        assert_eq!(answer.error_code, unknown, "version {version}");
    }
    for (version, answer) in
        all(&server, |_| m::DescribeGroupsRequest::default().with_groups(vec![group("none")])).await
    {
        let described = &answer.groups[0];
        let code = if version >= 6 { Code::GroupIdNotFound.code() } else { 0 };
        assert_eq!((described.error_code, described.group_state.as_str()), (code, "Dead"));
    }
    for (_, answer) in
        all(&server, |_| m::DeleteGroupsRequest::default().with_groups_names(vec![group("none")])).await
    {
        assert_eq!(answer.results[0].error_code, Code::GroupIdNotFound.code());
    }
    for (_, answer) in all(&server, |_| m::OffsetDeleteRequest::default().with_group_id(group("none"))).await
    {
        assert_eq!(answer.error_code, Code::GroupIdNotFound.code());
    }
    for (_, answer) in
        all(&server, |_| m::ConsumerGroupDescribeRequest::default().with_group_ids(vec![group("none")])).await
    {
        assert_eq!(answer.groups[0].error_code, Code::GroupIdNotFound.code());
    }
    for (_, answer) in all(&server, |_| {
        m::ConsumerGroupHeartbeatRequest::default()
            .with_group_id(group("none"))
            .with_member_id(text("m"))
            .with_member_epoch(3)
            .with_rebalance_timeout_ms(-1)
    })
    .await
    {
        assert_eq!(answer.error_code, Code::GroupIdNotFound.code());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_are_committed_fetched_and_deleted_in_every_version() {
    let server = Server::start().await;
    server.topic("t", 2, &[]);
    for (version, answer) in all(&server, |version| {
        let part = |index: i32, note: usize| {
            m::offset_commit_request::OffsetCommitRequestPartition::default()
                .with_partition_index(index)
                .with_committed_offset(100 + i64::from(version))
                .with_committed_leader_epoch(since(version, 6, 5) - i32::from(version < 6))
                .with_committed_metadata(Some(text(&"x".repeat(note))))
        };
        let topic = m::offset_commit_request::OffsetCommitRequestTopic::default()
            .with_name(topic("t"))
            .with_partitions(vec![part(0, 4_096), part(1, 4_097), part(7, 0)]);
        m::OffsetCommitRequest::default()
            .with_group_id(group("g"))
            .with_generation_id_or_member_epoch(-1)
            .with_retention_time_ms(-1)
            .with_topics(vec![topic])
    })
    .await
    {
        let codes: Vec<i16> = answer.topics[0].partitions.iter().map(|part| part.error_code).collect();
        let too_large = Code::OffsetMetadataTooLarge.code();
        assert_eq!(codes, [0, too_large, Code::UnknownTopicOrPartition.code()], "version {version}");
    }
    for (version, answer) in all(&server, |version| {
        let of = m::offset_fetch_request::OffsetFetchRequestTopic::default()
            .with_name(topic("t"))
            .with_partition_indexes(vec![0, 1]);
        let topics = m::offset_fetch_request::OffsetFetchRequestTopics::default()
            .with_name(topic("t"))
            .with_partition_indexes(vec![0, 1]);
        let asked = m::offset_fetch_request::OffsetFetchRequestGroup::default()
            .with_group_id(group("g"))
            .with_topics(Some(vec![topics]));
        let request = m::OffsetFetchRequest::default().with_require_stable(version >= 7);
        if version >= 8 {
            return request.with_groups(vec![asked]);
        }
        request.with_group_id(group("g")).with_topics(Some(vec![of]))
    })
    .await
    {
        let offsets: Vec<i64> = if version <= 7 {
            answer.topics[0].partitions.iter().map(|part| part.committed_offset).collect()
        } else {
            answer.groups[0].topics[0].partitions.iter().map(|part| part.committed_offset).collect()
        };
        assert_eq!(offsets, [109, -1], "version {version}");
    }
    deleted(&server).await;
}

/// Nobody commits for a generation that there is not; offsets and groups are deleted.
async fn deleted(server: &Server) {
    let late = m::OffsetCommitRequest::default()
        .with_group_id(group("other"))
        .with_generation_id_or_member_epoch(3)
        .with_member_id(text("m"))
        .with_topics(vec![
            m::offset_commit_request::OffsetCommitRequestTopic::default()
                .with_name(topic("t"))
                .with_partitions(vec![m::offset_commit_request::OffsetCommitRequestPartition::default()]),
        ]);
    let mut wire = server.wire().await;
    let code = async |wire: &mut crate::support::Wire<_>, version| {
        let answer: m::OffsetCommitResponse = wire.ask(&late, version).await;
        answer.topics[0].partitions[0].error_code
    };
    assert_eq!(code(&mut wire, 8).await, Code::IllegalGeneration.code());
    assert_eq!(code(&mut wire, 9).await, Code::GroupIdNotFound.code());
    let part = m::offset_delete_request::OffsetDeleteRequestPartition::default();
    let delete = m::OffsetDeleteRequest::default().with_group_id(group("g")).with_topics(vec![
        m::offset_delete_request::OffsetDeleteRequestTopic::default()
            .with_name(topic("t"))
            .with_partitions(vec![part]),
    ]);
    let answer = wire.ask(&delete, 0).await;
    assert_eq!((answer.error_code, answer.topics[0].partitions[0].error_code), (0, 0));
    for (version, answer) in all(server, |_| m::ListGroupsRequest::default()).await {
        let listed = &answer.groups[0];
        assert_eq!((answer.groups.len(), listed.group_id.as_str()), (1, "g"));
        assert_eq!(listed.group_state.as_str(), if version >= 4 { "Empty" } else { "" });
    }
    for (version, answer) in
        all(server, |_| m::DeleteGroupsRequest::default().with_groups_names(vec![group("g")])).await
    {
        let code = if version == 0 { 0 } else { Code::GroupIdNotFound.code() };
        assert_eq!(answer.results[0].error_code, code);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_joins_syncs_and_leaves_in_every_version() {
    let server = Server::start().await;
    for version in versions::<m::JoinGroupRequest>(&server).await {
        let name = format!("g{version}");
        let mut wire = server.wire().await;
        let protocol = m::join_group_request::JoinGroupRequestProtocol::default()
            .with_name(text("range"))
            .with_metadata(Bytes::from_static(b"meta"));
        let mut join = m::JoinGroupRequest::default()
            .with_group_id(group(&name))
            .with_session_timeout_ms(10_000)
            .with_rebalance_timeout_ms(10_000)
            .with_protocol_type(text("consumer"))
            .with_protocols(vec![protocol]);
        let mut joined = wire.ask(&join, version).await;
        if version >= 4 {
            assert_eq!(joined.error_code, Code::MemberIdRequired.code());
            join.member_id = joined.member_id;
            joined = wire.ask(&join, version).await;
        }
        assert_eq!((joined.error_code, joined.generation_id), (0, 1), "version {version}");
        assert_eq!((&joined.leader, joined.members.len()), (&joined.member_id, 1));
        let assignment = m::sync_group_request::SyncGroupRequestAssignment::default()
            .with_member_id(joined.member_id.clone())
            .with_assignment(Bytes::from_static(b"mine"));
        let sync_version = version.min(5);
        let sync = m::SyncGroupRequest::default()
            .with_group_id(group(&name))
            .with_generation_id(1)
            .with_member_id(joined.member_id.clone())
            .with_protocol_type(since(sync_version, 5, Some(text("consumer"))))
            .with_protocol_name(since(sync_version, 5, Some(text("range"))))
            .with_assignments(vec![assignment]);
        let synced = wire.ask(&sync, sync_version).await;
        assert_eq!((synced.error_code, &synced.assignment[..]), (0, &b"mine"[..]));
        let described = wire
            .ask(&m::DescribeGroupsRequest::default().with_groups(vec![group(&name)]), version.min(6))
            .await;
        let shown = &described.groups[0];
        assert_eq!((shown.group_state.as_str(), shown.protocol_data.as_str()), ("Stable", "range"));
        assert_eq!(&shown.members[0].member_assignment[..], b"mine");
        let member =
            m::leave_group_request::MemberIdentity::default().with_member_id(joined.member_id.clone());
        let leave = m::LeaveGroupRequest::default().with_group_id(group(&name)).with_members(vec![member]);
        assert_eq!(wire.ask(&leave, 4).await.members[0].error_code, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_are_begun_and_ended_in_every_version() {
    let server = Server::start().await;
    server.topic("t", 1, &[]);
    for (version, answer) in all(&server, |_| {
        m::InitProducerIdRequest::default()
            .with_transactional_id(Some(id("tx")))
            .with_transaction_timeout_ms(60_000)
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(-1)
    })
    .await
    {
        assert_eq!((answer.error_code, answer.producer_epoch), (0, version), "each start has the next epoch");
    }
    let mut wire = server.wire().await;
    let none = m::InitProducerIdRequest::default()
        .with_transactional_id(None)
        .with_producer_id(ProducerId(-1))
        .with_producer_epoch(-1);
    let first = wire.ask(&none, 5).await;
    let second = wire.ask(&none, 5).await;
    assert!(second.producer_id.0 > first.producer_id.0);
    let long = none.clone().with_transactional_id(Some(id("tx"))).with_transaction_timeout_ms(900_001);
    assert_eq!(wire.ask(&long, 5).await.error_code, Code::InvalidTransactionTimeout.code());
    let empty = long.clone().with_transactional_id(Some(id("")));
    assert_eq!(wire.ask(&empty, 5).await.error_code, Code::InvalidRequest.code());
    let zombie = long.with_transaction_timeout_ms(1).with_producer_id(ProducerId(0)).with_producer_epoch(0);
    assert_eq!(wire.ask(&zombie, 3).await.error_code, Code::InvalidProducerEpoch.code());
    assert_eq!(wire.ask(&zombie, 4).await.error_code, Code::ProducerFenced.code());
    ended(&server, &none).await;
}

/// A transaction from its first partition to its end, in every version.
async fn ended(server: &Server, none: &m::InitProducerIdRequest) {
    let mut wire = server.wire().await;
    for version in versions::<m::EndTxnRequest>(server).await {
        let name = format!("tx{version}");
        let init = none.clone().with_transactional_id(Some(id(&name))).with_transaction_timeout_ms(60_000);
        let begun = wire.ask(&init, 5).await;
        let topics = vec![
            m::add_partitions_to_txn_request::AddPartitionsToTxnTopic::default()
                .with_name(topic("t"))
                .with_partitions(vec![0]),
        ];
        let add = if version < 4 {
            m::AddPartitionsToTxnRequest::default()
                .with_v3_and_below_transactional_id(id(&name))
                .with_v3_and_below_producer_id(begun.producer_id)
                .with_v3_and_below_producer_epoch(begun.producer_epoch)
                .with_v3_and_below_topics(topics)
        } else {
            m::AddPartitionsToTxnRequest::default().with_transactions(vec![
                m::add_partitions_to_txn_request::AddPartitionsToTxnTransaction::default()
                    .with_transactional_id(id(&name))
                    .with_producer_id(begun.producer_id)
                    .with_producer_epoch(begun.producer_epoch)
                    .with_topics(topics),
            ])
        };
        let added = wire.ask(&add, version).await;
        let results = if version < 4 {
            &added.results_by_topic_v3_and_below
        } else {
            &added.results_by_transaction[0].topic_results
        };
        assert_eq!(results[0].results_by_partition[0].partition_error_code, 0, "version {version}");
        let end = m::EndTxnRequest::default()
            .with_transactional_id(id(&name))
            .with_producer_id(begun.producer_id)
            .with_producer_epoch(begun.producer_epoch)
            .with_committed(true);
        let ended = wire.ask(&end, version).await;
        assert_eq!(ended.error_code, 0, "version {version}");
        if version >= 5 {
            assert_eq!((ended.producer_id, ended.producer_epoch), (begun.producer_id, 1), "KIP-890");
        }
        let describe = m::DescribeTransactionsRequest::default().with_transactional_ids(vec![id(&name)]);
        let shown = &wire.ask(&describe, 0).await.transaction_states[0];
        assert!(["PrepareCommit", "CompleteCommit"].contains(&shown.transaction_state.as_str()));
    }
    for (version, answer) in all(server, |version| {
        m::ListTransactionsRequest::default()
            .with_state_filters(vec![text("Empty"), text("Nonsense")])
            .with_duration_filter(-1)
            .with_transactional_id_pattern(since(version, 2, Some(text("t.*"))))
    })
    .await
    {
        assert_eq!(
            (answer.unknown_state_filters.len(), answer.transaction_states.len()),
            (1, 1),
            "{version}"
        );
    }
}

/// The markers of one transaction may still be on their way when the next one writes: nobody notices.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_right_behind_another_is_taken() {
    const PARTS: u32 = 40;
    let server = Server::start().await;
    server.topic("t", PARTS, &[]);
    let mut wire = server.wire().await;
    let init = m::InitProducerIdRequest::default()
        .with_transactional_id(Some(id("tx")))
        .with_transaction_timeout_ms(60_000)
        .with_producer_id(ProducerId(-1))
        .with_producer_epoch(-1);
    let begun = wire.ask(&init, 5).await;
    let (producer_id, mut producer_epoch) = (begun.producer_id.0, begun.producer_epoch);
    for round in 0..25 {
        let stamp = Stamp { producer_id, producer_epoch, base_sequence: 0, is_transactional: true };
        let parts = (0..PARTS).map(|number| {
            let records = crate::support::batch(&[b"v"], Compression::None, stamp);
            (number.cast_signed(), Some(records))
        });
        let request = crate::produce::request("t", -1, parts.collect());
        let written = wire.ask(&request.with_transactional_id(Some(id("tx"))), 12).await;
        for part in &written.responses[0].partition_responses {
            assert_eq!(part.error_code, 0, "round {round}, partition {}", part.index);
        }
        let end = m::EndTxnRequest::default()
            .with_transactional_id(id("tx"))
            .with_producer_id(ProducerId(producer_id))
            .with_producer_epoch(producer_epoch)
            .with_committed(round % 2 == 0);
        let ended = wire.ask(&end, 5).await;
        assert_eq!(ended.error_code, 0, "round {round}");
        producer_epoch = ended.producer_epoch;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_for_a_coordinator_finds_its_topic() {
    let server = Server::start().await;
    let mut wire = server.wire().await;
    for (key_type, name) in [(0, "__consumer_offsets"), (1, "__transaction_state")] {
        let find = m::FindCoordinatorRequest::default()
            .with_key_type(key_type)
            .with_coordinator_keys(vec![text("k")]);
        assert_eq!(wire.ask(&find, 6).await.coordinators[0].error_code, 0);
        let asked = m::metadata_request::MetadataRequestTopic::default().with_name(Some(topic(name)));
        let shown = wire.ask(&m::MetadataRequest::default().with_topics(Some(vec![asked])), 12).await;
        assert_eq!((shown.topics[0].error_code, shown.topics[0].is_internal), (0, true), "{name}");
    }
}
