//! Fetch: sizes, waiting, sessions, and what a client is told that has lost its way.

use crate::produce::produce;
use crate::support::{PATIENCE, Server, Wire, batch, topic, values};
use acme_records::{Compression, Stamp};
use kafka_protocol::error::ResponseError as Code;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::{FetchRequest, FetchResponse};
use std::time::Duration;
use tokio::net::TcpStream;

fn wish(partition: i32, offset: i64) -> FetchPartition {
    FetchPartition::default()
        .with_partition(partition)
        .with_fetch_offset(offset)
        .with_partition_max_bytes(1 << 20)
        .with_current_leader_epoch(-1)
}

fn request(name: &str, parts: Vec<FetchPartition>) -> FetchRequest {
    FetchRequest::default()
        .with_max_wait_ms(0)
        .with_min_bytes(1)
        .with_max_bytes(1 << 20)
        .with_session_epoch(-1)
        .with_topics(vec![FetchTopic::default().with_topic(topic(name)).with_partitions(parts)])
}

pub(crate) async fn fetch(
    wire: &mut Wire<TcpStream>,
    name: &str,
    offset: i64,
    version: i16,
) -> PartitionData {
    let response = wire.ask(&request(name, vec![wish(0, offset)]), version).await;
    response.responses[0].partitions[0].clone()
}

fn records() -> bytes::Bytes {
    batch(&[&[7; 1_000]], Compression::None, Stamp::NONE)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_version_returns_the_same_batches() {
    let server = Server::start().await;
    server.topic("t", 2, &[]);
    let mut wire = server.wire().await;
    produce(&mut wire, "t", batch(&[b"a", b"b"], Compression::None, Stamp::NONE)).await;
    let id = server.log.topics().named("t").unwrap().id;
    for version in 4..=17 {
        let mut asked = request("t", vec![wish(0, 1), wish(1, 0), wish(2, 0)]);
        if version >= 13 {
            asked.topics[0].topic_id = id;
            asked.topics[0].topic = topic("");
        }
        let response = wire.ask(&asked, version).await;
        let answered = &response.responses[0];
        assert_eq!(answered.topic_id, if version >= 13 { id } else { Default::default() });
        let [first, empty, unknown] = &answered.partitions[..] else { panic!("{response:?}") };
        assert_eq!(
            (first.error_code, first.high_watermark, first.last_stable_offset),
            (0, 2, 2),
            "{version}"
        );
        assert_eq!(values(first.records.clone().unwrap()).len(), 2, "the whole batch, {version}");
        assert_eq!((empty.error_code, empty.records.as_ref().map_or(0, bytes::Bytes::len)), (0, 0));
        assert_eq!(unknown.error_code, Code::UnknownTopicOrPartition.code());
        assert_eq!(unknown.high_watermark, -1);
    }
    let mut unknown = request("t", vec![wish(0, 0)]);
    unknown.topics[0].topic_id = server.log.topics().named("t").unwrap().id;
    unknown.topics[0].topic_id = uuid::Uuid::from_u128(9);
    let response = wire.ask(&unknown, 13).await;
    assert_eq!(response.responses[0].partitions[0].error_code, Code::UnknownTopicId.code());
}

#[tokio::test(flavor = "multi_thread")]
async fn sizes_are_kept_except_for_the_first_batch() {
    let server = Server::start().await;
    server.topic("t", 1, &[]);
    server.topic("u", 1, &[]);
    let mut wire = server.wire().await;
    for _ in 0..5 {
        produce(&mut wire, "t", records()).await;
        produce(&mut wire, "u", records()).await;
    }
    let size = records().len();
    let mut sizes = async |max: usize, partition_max: usize| -> Vec<usize> {
        let mut asked = request("t", vec![wish(0, 0).with_partition_max_bytes(partition_max as i32)]);
        let other = vec![wish(0, 0).with_partition_max_bytes(partition_max as i32)];
        asked.topics.push(FetchTopic::default().with_topic(topic("u")).with_partitions(other));
        asked.max_bytes = max as i32;
        let response = wire.ask(&asked, 11).await;
        let parts = response.responses.iter().flat_map(|topic| &topic.partitions);
        parts.map(|part| part.records.as_ref().map_or(0, bytes::Bytes::len) / size).collect()
    };
    assert_eq!(sizes(1, 1 << 20).await, [1, 0]);
    assert_eq!(sizes(1 << 20, 1).await, [1, 0]);
    assert_eq!(sizes(1 << 20, 2 * size + 1).await, [2, 2]);
    assert_eq!(sizes(6 * size, 1 << 20).await, [5, 1]);
    assert_eq!(sizes(1 << 20, 1 << 20).await, [5, 5]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_waits_for_records_and_is_woken_by_them() {
    let server = Server::start().await;
    server.topic("t", 30, &[]);
    let mut reader = server.wire().await;
    let mut writer = server.wire().await;
    let mut asked = request("t", (0..30).map(|part| wish(part, 0)).collect());
    asked.max_wait_ms = 100_000;
    reader.send(&asked, 12).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    produce(&mut writer, "t", records()).await;
    let response = tokio::time::timeout(Duration::from_secs(60), reader.receive::<FetchRequest>(12, 0)).await;
    assert_eq!(found(&response.expect("woken before the time is over")), 1);

    // Too little: it waits for more, and what comes is put together.
    asked.min_bytes = 3_500;
    reader.send(&asked, 12).await;
    for _ in 0..3 {
        produce(&mut writer, "t", records()).await;
    }
    let response = tokio::time::timeout(Duration::from_secs(60), reader.receive::<FetchRequest>(12, 0)).await;
    assert_eq!(found(&response.expect("woken when there is enough")), 4);

    // Nothing comes: the time ends it.
    let mut late = request("t", vec![wish(7, 0)]);
    late.max_wait_ms = 30;
    assert_eq!(found(&reader.ask(&late, 12).await), 0);
}

fn found(response: &FetchResponse) -> usize {
    let parts = response.responses.iter().flat_map(|topic| &topic.partitions);
    parts.map(|part| values(part.records.clone().unwrap_or_default()).len()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_and_epochs_that_are_wrong_are_named() {
    let server = Server::start().await;
    server.topic("t", 1, &[]);
    let mut wire = server.wire().await;
    for _ in 0..3 {
        produce(&mut wire, "t", records()).await;
    }
    let epoch = server.log.leader_epoch();
    let cases = [
        (wish(0, 4), Code::OffsetOutOfRange),
        (wish(0, -1), Code::OffsetOutOfRange),
        (wish(0, 3), Code::Unknown(0)),
        (wish(0, 0).with_current_leader_epoch(epoch), Code::Unknown(0)),
        (wish(0, 0).with_current_leader_epoch(epoch + 1), Code::UnknownLeaderEpoch),
        (
            wish(0, 0).with_current_leader_epoch(epoch - 1),
            if epoch > 0 { Code::FencedLeaderEpoch } else { Code::Unknown(0) },
        ),
    ];
    for (wish, code) in cases {
        for version in [12, 16] {
            let mut asked = request("t", vec![wish.clone()]);
            if version > 12 {
                asked.topics[0].topic_id = server.log.topics().named("t").unwrap().id;
            }
            let part = wire.ask(&asked, version).await.responses[0].partitions[0].clone();
            assert_eq!(part.error_code, code.code(), "{wish:?}");
        }
    }
    server.log.topics().partition("t", 0).unwrap().delete_before(2).unwrap();
    assert_eq!(fetch(&mut wire, "t", 1, 12).await.error_code, Code::OffsetOutOfRange.code());
    assert_eq!(fetch(&mut wire, "t", 2, 12).await.log_start_offset, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_told_only_what_changes() {
    let server = Server::with(|options| options.sessions_max = 1).await;
    server.topic("t", 1, &[]);
    server.topic("u", 1, &[]);
    let mut wire = server.wire().await;
    let mut asked = request("t", vec![wish(0, 0)]);
    asked.topics.push(FetchTopic::default().with_topic(topic("u")).with_partitions(vec![wish(0, 0)]));
    asked.session_epoch = 0;
    let first = wire.ask(&asked, 11).await;
    assert_eq!(first.responses.len(), 2);
    let id = first.session_id;
    assert_ne!(id, 0);
    let next = |epoch: i32| {
        let empty = FetchRequest::default().with_min_bytes(1).with_max_bytes(1 << 20);
        empty.with_session_id(id).with_session_epoch(epoch)
    };
    assert_eq!(wire.ask(&next(1), 11).await.responses.len(), 0, "nothing is new");
    produce(&mut wire, "u", records()).await;
    let response = wire.ask(&next(2), 11).await;
    assert_eq!(response.responses.len(), 1);
    assert_eq!((found(&response), &*response.responses[0].topic.0), (1, "u"));
    // The position moves with a wish of its own; a forgotten partition is gone.
    let mut moved = next(3);
    moved.topics = vec![FetchTopic::default().with_topic(topic("u")).with_partitions(vec![wish(0, 1)])];
    moved.forgotten_topics_data =
        vec![ForgottenTopic::default().with_topic(topic("t")).with_partitions(vec![0])];
    assert_eq!(wire.ask(&moved, 11).await.responses.len(), 0);
    produce(&mut wire, "t", records()).await;
    assert_eq!(wire.ask(&next(4), 11).await.responses.len(), 0);

    assert_eq!(wire.ask(&next(4), 11).await.error_code, Code::InvalidFetchSessionEpoch.code());
    let unknown = next(1).with_session_id(id ^ 1);
    assert_eq!(wire.ask(&unknown, 11).await.error_code, Code::FetchSessionIdNotFound.code());
    // There is room for one session: the second client goes without.
    assert_eq!(server.wire().await.ask(&asked, 11).await.session_id, 0);
    // Its end makes room.
    let end = next(-1);
    assert_eq!(wire.ask(&end, 11).await.session_id, 0);
    assert_ne!(server.wire().await.ask(&asked, 11).await.session_id, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_of_a_session_have_their_turns() {
    let server = Server::start().await;
    server.topic("t", 1, &[]);
    server.topic("u", 1, &[]);
    let mut wire = server.wire().await;
    for name in ["t", "u"] {
        produce(&mut wire, name, records()).await;
    }
    let mut asked = request("t", vec![wish(0, 0)]);
    asked.topics.push(FetchTopic::default().with_topic(topic("u")).with_partitions(vec![wish(0, 0)]));
    asked.session_epoch = 0;
    asked.max_bytes = 1;
    let first = wire.ask(&asked, 11).await;
    let with_records = |response: &FetchResponse| -> Vec<String> {
        let topics = response.responses.iter();
        let full =
            topics.filter(|topic| topic.partitions[0].records.as_ref().is_some_and(|it| !it.is_empty()));
        full.map(|topic| topic.topic.to_string()).collect()
    };
    assert_eq!(with_records(&first), ["t"]);
    let next = FetchRequest::default().with_min_bytes(1).with_max_bytes(1);
    let next = next.with_session_id(first.session_id).with_session_epoch(1);
    assert_eq!(with_records(&wire.ask(&next, 11).await), ["u"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_transaction_hides_what_follows_and_an_aborted_one_is_named() {
    let server = Server::start().await;
    server.topic("t", 1, &[]);
    let mut wire = server.wire().await;
    let partition = std::sync::Arc::clone(server.log.topics().partition("t", 0).unwrap());
    let stamp = Stamp { producer_id: 5, producer_epoch: 0, base_sequence: 0, is_transactional: true };
    let open = batch(&[b"hidden"], Compression::None, stamp);
    let guard = match partition.verification(5, 0) {
        acme_log::Verification::Ask(guard) => Some(guard),
        acme_log::Verification::Open => None,
    };
    let appended = partition.append((&open[..]).into(), acme_log::Writer::Client { guard }).unwrap();
    appended.durable().await.unwrap();
    produce(&mut wire, "t", batch(&[b"plain"], Compression::None, Stamp::NONE)).await;
    let committed = || request("t", vec![wish(0, 0)]).with_isolation_level(1);
    let part = wire.ask(&committed(), 11).await.responses[0].partitions[0].clone();
    assert_eq!((part.high_watermark, part.last_stable_offset), (2, 0));
    assert!(part.records.is_none_or(|records| records.is_empty()));
    assert_eq!(values(fetch(&mut wire, "t", 0, 11).await.records.unwrap()).len(), 2);

    // A reader that waits is woken when the transaction ends.
    let mut waiting = committed();
    waiting.max_wait_ms = 100_000;
    wire.send(&waiting, 11).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    partition.end_transaction(5, 0, false, 0).unwrap().durable().await.unwrap();
    let response = tokio::time::timeout(PATIENCE, wire.receive::<FetchRequest>(11, 0)).await.unwrap();
    let part = response.responses[0].partitions[0].clone();
    assert_eq!((part.high_watermark, part.last_stable_offset), (3, 3));
    let aborted = part.aborted_transactions.unwrap();
    assert_eq!(aborted.len(), 1);
    assert_eq!((aborted[0].producer_id.0, aborted[0].first_offset), (5, 0));
}
