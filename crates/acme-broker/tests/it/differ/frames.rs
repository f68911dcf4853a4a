//! Frames: versions and keys that are not served, bodies that are not what their header says.

use super::side::Side;
use super::words::*;
use crate::support::frame;
use kafka_protocol::messages::ApiKey;
use kafka_protocol::protocol::Request;

fn header(key: i16, version: i16, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let length = 10 + body.len() as u32;
    bytes.extend(length.to_be_bytes());
    bytes.extend(key.to_be_bytes());
    bytes.extend(version.to_be_bytes());
    bytes.extend(7_i32.to_be_bytes());
    bytes.extend((-1_i16).to_be_bytes());
    bytes.extend(body);
    bytes
}

pub(super) async fn versions(side: &mut Side) {
    for key in [-1, 1_000, i16::MAX, 4, 5, 6, 7] {
        side.raw(&format!("key {key}"), &header(key, 0, &[])).await;
    }
    for (key, version) in [
        (ApiKey::Produce, 2),
        (ApiKey::Produce, 99),
        (ApiKey::Fetch, 3),
        (ApiKey::Fetch, 99),
        (ApiKey::ListOffsets, 0),
        (ApiKey::Metadata, 99),
        (ApiKey::Metadata, -1),
        (ApiKey::OffsetCommit, 1),
        (ApiKey::OffsetFetch, 0),
        (ApiKey::JoinGroup, 1),
        (ApiKey::CreateTopics, 1),
        (ApiKey::DescribeConfigs, 0),
        (ApiKey::EndTxn, 9),
        (ApiKey::ApiVersions, -1),
        (ApiKey::ApiVersions, 99),
        (ApiKey::OffsetForLeaderEpoch, 1),
    ] {
        side.raw(&format!("{key:?} v{version}"), &header(key as i16, version, &[0])).await;
    }
    side.each("who is there", |v| {
        m::ApiVersionsRequest::default()
            .with_client_software_name(since(v, 3, text("test")))
            .with_client_software_version(since(v, 3, text("1.0")))
    })
    .await;
    for (name, version) in
        [("", "1"), ("x", ""), ("a b", "1"), ("x", "1 2"), ("-x", "1"), ("x-", "1"), ("x.y-z", "1.0-rc.1")]
    {
        let request = m::ApiVersionsRequest::default();
        let request =
            request.with_client_software_name(text(name)).with_client_software_version(text(version));
        side.newly(&format!("software {name:?} {version:?}"), request).await;
    }
    side.newly("no handshake here", m::SaslHandshakeRequest::default().with_mechanism(text("PLAIN"))).await;
    let token = m::SaslAuthenticateRequest::default().with_auth_bytes(bytes::Bytes::from_static(b"\0a\0b"));
    side.newly("nor authentication", token).await;
}

/// A whole request without its last bytes, with more bytes, and with a count of millions.
pub(super) async fn malformed(side: &mut Side) {
    create(side, &[("framed", 1, &[])]).await;
    let metadata = m::MetadataRequest::default().with_topics(Some(vec![
        m::metadata_request::MetadataRequestTopic::default().with_name(Some(topic("framed"))),
    ]));
    let whole = frame(&metadata, 1, 7);
    let resized = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        let length = bytes.len() as u32 - 4;
        bytes[..4].copy_from_slice(&length.to_be_bytes());
        bytes
    };
    for cut in [1, 3, 9] {
        side.raw(&format!("without its last {cut} bytes"), &resized(&whole[..whole.len() - cut])).await;
    }
    let key = m::MetadataRequest::KEY;
    for (label, body) in [
        ("a count of millions", &[0x7f, 0xff, 0xff, 0xff][..]),
        ("a negative count", &[0xff, 0xff, 0xff, 0xfe]),
        ("a name without a length", &[0, 0, 0, 1, 0]),
        ("a name that is null", &[0, 0, 0, 1, 0xff, 0xff]),
        ("a name of negative length", &[0, 0, 0, 1, 0xff, 0xfe]),
        ("a name longer than the frame", &[0, 0, 0, 1, 0x7f, 0xff, b'x']),
    ] {
        side.raw(label, &header(key, 1, body)).await;
    }
    for (label, frame) in [
        ("an empty frame", &[0, 0, 0, 0][..]),
        ("a negative frame", &[0xff, 0xff, 0xff, 0xff]),
        ("a frame of 2 GiB", &[0x7f, 0xff, 0xff, 0xff]),
        ("a header that is cut", &[0, 0, 0, 4, 0, 3, 0, 1]),
        ("HTTP", b"GET / HTTP/1.1\r\n\r\n"),
    ] {
        side.raw(label, frame).await;
    }
}
