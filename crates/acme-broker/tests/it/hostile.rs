//! Two hundred hostile frames and what becomes of them: the connection ends, or the error that Kafka gives; never more.

use crate::support::{PATIENCE, Server, batch, frame, text, topic};
use acme_records::{Compression, Stamp};
use bytes::{BufMut, BytesMut};
use kafka_protocol::messages as m;
use kafka_protocol::protocol::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What becomes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// The connection ends without an answer.
    Closed,
    /// There is an answer.
    Answered,
}

use Fate::{Answered, Closed};

/// Length, header of version 1 without a client id, and what follows.
fn request(key: i16, version: i16, flexible: bool, body: &[u8]) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    bytes.put_i32(0);
    bytes.put_i16(key);
    bytes.put_i16(version);
    bytes.put_i32(1);
    bytes.put_i16(-1);
    if flexible {
        bytes.put_u8(0);
    }
    bytes.put_slice(body);
    let length = u32::try_from(bytes.len() - 4).unwrap();
    (&mut bytes[..4]).put_u32(length);
    bytes.to_vec()
}

/// Lengths and counts that no message has, as four bytes.
const NUMBERS: [i32; 8] = [-2, i32::MIN, i32::MAX, 0x7fff_0000, 1_000_000_000, 0x0100_0000, 65_536, -1_000];
/// The same as varints; the last has more bytes than a varint.
const VARINTS: [&[u8]; 7] = [
    &[0xff, 0xff, 0xff, 0xff, 0x0f],
    &[0xff, 0xff, 0xff, 0xff, 0x07],
    &[0x80, 0x80, 0x80, 0x80, 0x08],
    &[0x80, 0x94, 0xeb, 0xdc, 0x03],
    &[0xff, 0xff, 0x03],
    &[0xff, 0xff, 0xff, 0xff, 0xff],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
];

fn frames() -> Vec<(String, Vec<u8>, Fate)> {
    let mut all: Vec<(String, Vec<u8>, Fate)> = Vec::new();
    let mut add = |name: String, bytes: Vec<u8>, fate| all.push((name, bytes, fate));
    for length in [0, 1, -1, i32::MIN, i32::MAX, 104_857_601, 5 << 20, 7] {
        let mut bytes = length.to_be_bytes().to_vec();
        bytes.extend_from_slice(&[0, 3, 0, 9, 0, 0, 0]);
        add(format!("a frame that announces {length} bytes"), bytes, Closed);
    }
    add("nothing but its length".to_owned(), vec![0, 0, 0, 9], Closed);
    for key in [-1, i16::MIN, 4, 5, 6, 7, 21 + 40, 76, 99, 1_000, i16::MAX] {
        add(format!("request {key}"), request(key, 0, false, &[]), Closed);
    }
    for (key, version) in [
        (0, 2),
        (0, 99),
        (1, 3),
        (1, 18),
        (3, -1),
        (3, 14),
        (2, 0),
        (19, 1),
        (19, 8),
        (75, 1),
        (32, i16::MAX),
    ] {
        add(format!("request {key} in version {version}"), request(key, version, false, &[0; 40]), Closed);
    }
    for version in [-1, 5, 99, i16::MIN, i16::MAX] {
        add(format!("ApiVersions in version {version}"), request(18, version, false, &[0; 9]), Answered);
    }
    for length in [-2, 200, i16::MAX, i16::MIN] {
        let mut bytes = vec![0, 0, 0, 12, 0, 3, 0, 1, 0, 0, 0, 1];
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(&[0, 0]);
        add(format!("a client id of {length} bytes"), bytes, Closed);
    }
    let mut bytes = vec![0, 0, 0, 16, 0, 3, 0, 1, 0, 0, 0, 1, 0, 2, 0xff, 0xfe];
    bytes.extend_from_slice(&[0, 0, 0, 0]);
    add("a client id that is no UTF-8".to_owned(), bytes, Closed);
    for (at, varint) in VARINTS.iter().enumerate() {
        let mut bytes = request(3, 9, false, varint);
        bytes.extend_from_slice(&[0; 3]);
        let length = bytes.len() as u32 - 4;
        bytes[..4].copy_from_slice(&length.to_be_bytes());
        add(format!("tags of the header, {at}"), bytes, Closed);
    }
    all.extend(counts());
    all
}

/// Counts at the front of bodies that nobody has.
fn counts() -> Vec<(String, Vec<u8>, Fate)> {
    let mut all: Vec<(String, Vec<u8>, Fate)> = Vec::new();
    let mut add = |name: String, bytes: Vec<u8>, fate| all.push((name, bytes, fate));
    // In versions with counts of four bytes, -1 is null: all topics.
    for (key, version, before) in [
        (3, 1, &[][..]),
        (3, 8, &[]),
        (19, 2, &[]),
        (20, 1, &[]),
        (21, 0, &[]),
        (32, 1, &[]),
        (33, 0, &[]),
        (37, 0, &[]),
        (44, 0, &[]),
        (0, 3, &[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 9]),
        (1, 4, &[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0]),
        (2, 1, &[0xff, 0xff, 0xff, 0xff]),
        (23, 2, &[]),
    ] {
        for count in NUMBERS {
            let body = [before, &count.to_be_bytes(), &[0; 20]].concat();
            add(format!("request {key}, a count of {count}"), request(key, version, false, &body), Closed);
        }
    }
    for (key, version, before) in [
        (3, 12, &[][..]),
        (19, 7, &[]),
        (20, 6, &[]),
        (37, 3, &[]),
        (75, 0, &[]),
        (0, 9, &[0, 0xff, 0xff, 0, 0, 0, 9]),
        (1, 12, &[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        (2, 7, &[0xff, 0xff, 0xff, 0xff, 0]),
    ] {
        for (at, varint) in VARINTS.iter().enumerate() {
            let body = [before, varint, &[0; 5]].concat();
            add(format!("request {key}, varint {at} as a count"), request(key, version, true, &body), Closed);
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_hostile_frames_cost_a_connection_each_and_nothing_else() {
    let server = Server::start().await;
    let frames = frames();
    assert!(frames.len() >= 200, "{}", frames.len());
    for (name, bytes, fate) in frames {
        let mut wire = server.wire().await;
        wire.stream.write_all(&bytes).await.unwrap();
        wire.stream.shutdown().await.unwrap();
        let found = if wire.frame().await.is_some() { Answered } else { Closed };
        assert_eq!(found, fate, "{name}");
    }
    assert!(server.wire().await.ask(&m::ApiVersionsRequest::default(), 0).await.api_keys.len() > 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_ends_anywhere_is_never_answered() {
    let server = Server::start().await;
    server.topic("t", 1, &[]);
    let records = Some(batch(&[b"x"], Compression::None, Stamp::NONE));
    let create = m::CreateTopicsRequest::default().with_topics(vec![
        m::create_topics_request::CreatableTopic::default().with_name(topic("made")).with_num_partitions(1),
    ]);
    let whole: [(&str, Vec<u8>); 3] = [
        ("produce", frame(&crate::produce::request("t", -1, vec![(0, records)]), 9, 1).to_vec()),
        ("create", frame(&create, 5, 1).to_vec()),
        (
            "handshake",
            frame(&m::SaslHandshakeRequest::default().with_mechanism(text("PLAIN")), 1, 1).to_vec(),
        ),
    ];
    for (name, whole) in whole {
        for end in 4..whole.len() {
            let mut cut = whole[..end].to_vec();
            cut[..4].copy_from_slice(&(end as u32 - 4).to_be_bytes());
            let mut wire = server.wire().await;
            wire.stream.write_all(&cut).await.unwrap();
            wire.stream.shutdown().await.unwrap();
            let mut rest = Vec::new();
            let read = tokio::time::timeout(PATIENCE, wire.stream.read_to_end(&mut rest)).await;
            assert!(matches!(read, Ok(Ok(0) | Err(_))), "{name} cut at {end}: {rest:?}");
        }
    }
    assert_eq!(server.log.topics().partition("t", 0).unwrap().end(), 0);
    assert!(server.log.topics().named("made").is_none());
    let _ = m::ProduceRequest::KEY;
}
