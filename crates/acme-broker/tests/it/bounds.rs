//! Nobody gets more than a share: connections, memory, time.

use crate::support::{PATIENCE, Server, batch, frame};
use acme_records::{Compression, Stamp};
use kafka_protocol::messages::{ApiVersionsRequest, MetadataRequest, ProduceRequest};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn is_closed(stream: &mut TcpStream) -> bool {
    let mut byte = [0];
    matches!(tokio::time::timeout(PATIENCE, stream.read(&mut byte)).await, Ok(Ok(0) | Err(_)))
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_too_many_is_closed_and_the_next_has_the_place_of_one_that_left() {
    let server = Server::with(|options| options.per_address_max = 3).await;
    let mut wires = Vec::new();
    for _ in 0..3 {
        let mut wire = server.wire().await;
        wire.ask(&ApiVersionsRequest::default(), 0).await;
        wires.push(wire);
    }
    assert!(is_closed(&mut server.wire().await.stream).await);
    wires.pop();
    tokio::time::timeout(PATIENCE, async {
        loop {
            let mut wire = server.wire().await;
            wire.send(&ApiVersionsRequest::default(), 0).await;
            if wire.frame().await.is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_nothing_or_half_a_request_is_closed() {
    let server = Server::with(|options| {
        options.idle = Duration::from_millis(50);
        options.stalled = Duration::from_millis(50);
    })
    .await;
    assert!(is_closed(&mut server.wire().await.stream).await);
    let whole = frame(&MetadataRequest::default(), 9, 1);
    for length in [3, 5, whole.len() - 1] {
        let mut wire = server.wire().await;
        wire.stream.write_all(&whole[..length]).await.unwrap();
        assert!(is_closed(&mut wire.stream).await, "{length} bytes");
    }
}

/// KiB of this process that are in memory.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_announced_takes_no_memory_before_it_comes() {
    let server = Server::start().await;
    let before = resident();
    let mut streams = Vec::new();
    for _ in 0..200 {
        let mut wire = server.wire().await;
        // A produce of 100 MB, of which ten bytes come.
        wire.stream.write_all(&[6, 0, 0, 0, 0, 0, 0, 9, 0, 0]).await.unwrap();
        streams.push(wire.stream);
    }
    let mut wire = server.wire().await;
    assert!(wire.ask(&ApiVersionsRequest::default(), 0).await.api_keys.len() > 10, "others are served");
    let grown = resident().saturating_sub(before);
    assert!(grown < 100 << 10, "{grown} KiB for 200 times ten bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_no_answers_is_closed_and_holds_little() {
    let server = Server::with(|options| options.stalled = Duration::from_millis(300)).await;
    server.topic("t", 1, &[("max.message.bytes", "10000000")]);
    let mut wire = server.wire().await;
    let large = vec![7; 5_000_000];
    let answer =
        crate::produce::produce(&mut wire, "t", batch(&[&large], Compression::None, Stamp::NONE)).await;
    assert_eq!(answer.error_code, 0);
    let mut deaf = server.wire().await;
    let mut asked = kafka_protocol::messages::FetchRequest::default();
    asked.max_bytes = 10_000_000;
    asked.session_epoch = -1;
    let part = kafka_protocol::messages::fetch_request::FetchPartition::default()
        .with_partition_max_bytes(10_000_000)
        .with_current_leader_epoch(-1);
    asked.topics = vec![
        kafka_protocol::messages::fetch_request::FetchTopic::default()
            .with_topic(crate::support::topic("t"))
            .with_partitions(vec![part]),
    ];
    for _ in 0..40 {
        deaf.send(&asked, 11).await;
    }
    // What the broker had sent before it closed is still there; 40 answers of 5 MB are not.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut received = 0;
    let mut buffer = vec![0; 1 << 20];
    while let Ok(Ok(count @ 1..)) = tokio::time::timeout(PATIENCE, deaf.stream.read(&mut buffer)).await {
        received += count;
    }
    assert!(received < 100_000_000, "{received} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_answers_what_was_asked_and_takes_nothing_more() {
    let server = Server::start().await;
    server.topic("t", 1, &[]);
    let mut wire = server.wire().await;
    let records = Some(batch(&[b"x"], Compression::None, Stamp::NONE));
    wire.send(&crate::produce::request("t", -1, vec![(0, records)]), 9).await;
    let answer = wire.receive::<ProduceRequest>(9, 0).await;
    assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
    let mut waiting = server.wire().await;
    waiting.ask(&ApiVersionsRequest::default(), 0).await;
    tokio::time::timeout(PATIENCE, server.broker.stop()).await.unwrap();
    assert!(is_closed(&mut waiting.stream).await);
    assert!(TcpStream::connect(server.broker.address().unwrap()).await.is_err());
    server.log.close();
}
