//! Produce: what is taken, what is refused, and when the answer comes.

use crate::support::{Server, Wire, batch, topic, values};
use acme_records::{BatchHeader, Compression, Stamp};
use bytes::{Bytes, BytesMut};
use kafka_protocol::error::ResponseError as Code;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::messages::{ApiVersionsRequest, ProduceRequest};
use tokio::net::TcpStream;

pub(crate) fn request(name: &str, acks: i16, parts: Vec<(i32, Option<Bytes>)>) -> ProduceRequest {
    let parts = parts
        .into_iter()
        .map(|(index, records)| PartitionProduceData::default().with_index(index).with_records(records));
    let topic = TopicProduceData::default().with_name(topic(name)).with_partition_data(parts.collect());
    ProduceRequest::default().with_acks(acks).with_timeout_ms(30_000).with_topic_data(vec![topic])
}

pub(crate) async fn produce(
    wire: &mut Wire<TcpStream>,
    name: &str,
    records: Bytes,
) -> PartitionProduceResponse {
    let response = wire.ask(&request(name, -1, vec![(0, Some(records))]), 9).await;
    response.responses[0].partition_responses[0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_of_every_compression_are_kept_as_they_came_and_read_back_after_a_restart() {
    let server = Server::start().await;
    server.topic("t", 1, &[]);
    let mut wire = server.wire().await;
    let all =
        [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];
    for (round, compression) in all.into_iter().enumerate() {
        let answer = produce(&mut wire, "t", batch(&[b"one", b"two"], compression, Stamp::NONE)).await;
        assert_eq!((answer.error_code, answer.base_offset), (0, 2 * round as i64));
        assert_eq!((answer.log_append_time_ms, answer.log_start_offset), (-1, 0));
    }
    let expected: Vec<(i64, Vec<u8>)> =
        (0..10).map(|at| (at, if at % 2 == 0 { b"one".to_vec() } else { b"two".to_vec() })).collect();
    let found = crate::fetch::fetch(&mut wire, "t", 0, 12).await;
    assert_eq!(values(found.records.unwrap()), expected);

    // The copy of a running log is what a power cut leaves.
    let copy = tempfile::tempdir().unwrap();
    let copied =
        std::process::Command::new("cp").arg("-r").arg(server.dir()).arg(copy.path().join("d")).status();
    assert!(copied.unwrap().success());
    let log = crate::support::open(&copy.path().join("d"));
    let slice =
        log.topics().partition("t", 0).unwrap().read(0, 1 << 20, acme_log::Until::HighWatermark).unwrap();
    assert_eq!(values(slice.bytes), expected);
    server.broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_come_in_order_and_acks_0_has_none() {
    let server = Server::start().await;
    server.topic("t", 3, &[]);
    let mut wire = server.wire().await;
    let records = || Some(batch(&[b"x"], Compression::None, Stamp::NONE));
    for _ in 0..20 {
        wire.send(&request("t", -1, vec![(0, records()), (1, records())]), 7).await;
    }
    wire.send(&request("t", 0, vec![(2, records())]), 8).await;
    wire.send(&ApiVersionsRequest::default(), 0).await;
    for at in 0..20_i64 {
        let response = wire.receive::<ProduceRequest>(7, 21 - at as i32).await;
        let bases: Vec<i64> =
            response.responses[0].partition_responses.iter().map(|part| part.base_offset).collect();
        assert_eq!(bases, [at, at]);
    }
    let versions = wire.receive::<ApiVersionsRequest>(0, 0).await;
    assert!(versions.api_keys.len() > 15);
    assert_eq!(server.log.topics().partition("t", 2).unwrap().end(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_taken_is_refused_with_kafkas_errors() {
    const NO_ID: Code = Code::TransactionalIdAuthorizationFailed;
    let server = Server::start().await;
    server.topic("t", 1, &[("max.message.bytes", "1000")]);
    let mut wire = server.wire().await;
    let good = batch(&[b"x"], Compression::None, Stamp::NONE);
    let damaged = |at: usize, byte: u8| {
        let mut bytes = BytesMut::from(&good[..]);
        bytes[at] ^= byte;
        Some(bytes.freeze())
    };
    let idempotent = |sequence| Stamp {
        producer_id: 7,
        producer_epoch: 1,
        base_sequence: sequence,
        is_transactional: false,
    };
    let packed = |values: &[&[u8]], compression| Some(batch(values, compression, Stamp::NONE));
    let stamped = |stamp| Some(batch(&[b"x"], Compression::None, stamp));
    let old = Stamp { producer_id: 7, producer_epoch: 0, base_sequence: 1, is_transactional: false };
    let transactional = Stamp { producer_id: 8, producer_epoch: 0, base_sequence: 0, is_transactional: true };
    let mut two = BytesMut::from(&good[..]);
    two.extend_from_slice(&good);
    // Its checksum is right, but nobody can decompress it.
    let zstd = batch(&[b"x"], Compression::Zstd, Stamp::NONE);
    let garbage = BatchHeader::parse(&zstd).unwrap().unwrap().with_records(&[0x55; 20]);
    let cases = [
        ("compressed garbage", "t", 9, -1, Some(Bytes::from(garbage)), Code::UnknownServerError),
        ("an unknown topic", "u", 9, -1, Some(good.clone()), Code::UnknownTopicOrPartition),
        ("acks of 2", "t", 9, 2, Some(good.clone()), Code::InvalidRequiredAcks),
        ("no records", "t", 9, -1, None, Code::InvalidRecord),
        ("two batches", "t", 9, -1, Some(two.freeze()), Code::InvalidRecord),
        ("a flipped byte", "t", 9, -1, damaged(70, 1), Code::CorruptMessage),
        ("a length beyond the batch", "t", 9, -1, damaged(10, 1), Code::InvalidRecord),
        ("a base offset", "t", 9, -1, damaged(7, 1), Code::InvalidRecord),
        ("an old format", "t", 9, -1, damaged(16, 3), Code::InvalidRecord),
        (
            "a batch that is too large",
            "t",
            9,
            -1,
            packed(&[&[7; 2_000]], Compression::None),
            Code::MessageTooLarge,
        ),
        (
            "zstd in version 6",
            "t",
            6,
            -1,
            packed(&[b"x"], Compression::Zstd),
            Code::UnsupportedCompressionType,
        ),
        ("a sequence that begins at 0", "t", 9, -1, stamped(idempotent(0)), Code::Unknown(0)),
        ("a gap in the sequence", "t", 9, -1, stamped(idempotent(3)), Code::OutOfOrderSequenceNumber),
        ("an older epoch", "t", 9, -1, stamped(old), Code::InvalidProducerEpoch),
        ("a transaction without its id", "t", 9, -1, stamped(transactional), NO_ID),
    ];
    for (what, name, version, acks, records, code) in cases {
        let response = wire.ask(&request(name, acks, vec![(0, records)]), version).await;
        let part = &response.responses[0].partition_responses[0];
        assert_eq!(part.error_code, code.code(), "{what}: {part:?}");
        let base = if code.code() == 0 { 0 } else { -1 };
        assert_eq!(part.base_offset, base, "{what}");
    }
    assert_eq!(server.log.topics().partition("t", 0).unwrap().end(), 1);
    let unknown = wire.ask(&request("t", -1, vec![(9, Some(good.clone()))]), 13).await;
    assert_eq!(unknown.responses[0].partition_responses[0].error_code, Code::UnknownTopicId.code());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_sent_again_is_answered_with_the_offset_that_it_has() {
    let server = Server::start().await;
    server.topic("t", 1, &[]);
    let mut wire = server.wire().await;
    let stamp = Stamp { producer_id: 7, producer_epoch: 1, base_sequence: 0, is_transactional: false };
    let once = batch(&[b"x"], Compression::None, stamp);
    for _ in 0..3 {
        let answer = produce(&mut wire, "t", once.clone()).await;
        assert_eq!((answer.error_code, answer.base_offset), (0, 0));
    }
    assert_eq!(server.log.topics().partition("t", 0).unwrap().end(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn records_without_acknowledgement_that_cannot_be_taken_end_the_connection() {
    let server = Server::start().await;
    let mut wire = server.wire().await;
    let records = Some(batch(&[b"x"], Compression::None, Stamp::NONE));
    wire.send(&request("missing", 0, vec![(0, records)]), 9).await;
    assert!(wire.frame().await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_stamps_its_own_time_tells_it() {
    let server = Server::start().await;
    server.topic("t", 1, &[("message.timestamp.type", "LogAppendTime")]);
    let mut wire = server.wire().await;
    let before = crate::support::now_ms();
    let answer = produce(&mut wire, "t", batch(&[b"x"], Compression::None, Stamp::NONE)).await;
    assert!(answer.log_append_time_ms >= before, "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn records_without_a_key_are_named_one_by_one() {
    let server = Server::start().await;
    server.topic("t", 1, &[("cleanup.policy", "compact")]);
    let mut wire = server.wire().await;
    let mut builder = acme_records::BatchBuilder::with_capacity(256);
    for key in [Some(&b"k"[..]), None, Some(&b"k"[..]), None] {
        builder.push(crate::support::now_ms(), key, Some(b"v"), &[]);
    }
    let records: Bytes = builder.finish(Compression::None).unwrap().stamped(Stamp::NONE).concat().into();
    for version in [7, 8, 12] {
        let response = wire.ask(&request("t", -1, vec![(0, Some(records.clone()))]), version).await;
        let answer = &response.responses[0].partition_responses[0];
        assert_eq!(answer.error_code, Code::InvalidRecord.code());
        let named: Vec<i32> = answer.record_errors.iter().map(|error| error.batch_index).collect();
        assert_eq!(named, if version < 8 { vec![] } else { vec![1, 3] });
        let said = answer.error_message.as_deref().unwrap_or_default();
        assert_eq!(said.contains("due to 2 record errors in total"), version >= 8, "{said}");
    }
}
