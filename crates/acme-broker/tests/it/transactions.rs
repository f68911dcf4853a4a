//! Transactions with our client, with both ways of ending them, through time-outs, fences and restarts.

use crate::clients::{run, shown};
use crate::support::{PATIENCE, Server};
use acme_kafka::group::{GroupMetadata, OffsetAndMetadata};
use acme_kafka::produce::{Producer, ProducerOptions, Transactional};
use acme_kafka::{Client, Config, ErrorCode, FetchOptions, Fetcher, Isolation, Position, TopicPartition};
use acme_lab::kafka;
use std::time::Duration;
use tokio::time::Instant;

async fn client(server: &Server) -> Client {
    Client::connect(Config::new([server.bootstrap()])).await.unwrap()
}

async fn producer(client: &Client, id: &str, timeout: Duration) -> Producer {
    let transactional = Some(Transactional { id: id.to_owned(), timeout });
    let options = ProducerOptions { transactional, batch_bytes: 1_000, ..ProducerOptions::default() };
    Producer::connect(client.clone(), options).await.unwrap()
}

async fn write(producer: &mut Producer, range: std::ops::Range<usize>) {
    for number in range {
        let target = producer.target(&TopicPartition::new("t", (number % 3) as i32)).await.unwrap();
        producer.send(target, 0, None, Some(number.to_string().as_bytes()), &[]).await.unwrap();
    }
}

/// What a reader sees up to the end, in order of value.
async fn read(client: &Client, isolation: Isolation) -> Vec<usize> {
    let parts: Vec<TopicPartition> = (0..3).map(|number| TopicPartition::new("t", number)).collect();
    let mut fetcher = Fetcher::new(client.clone(), FetchOptions { isolation, ..FetchOptions::default() });
    let from: Vec<_> = parts.iter().map(|part| (part.clone(), Position::at(0))).collect();
    fetcher.assign(&from);
    let (mut seen, until) = (Vec::new(), Instant::now() + PATIENCE);
    loop {
        assert!(Instant::now() < until, "the end is reached");
        match tokio::time::timeout(Duration::from_millis(50), fetcher.next()).await {
            Ok(fetched) => {
                let fetched = fetched.unwrap();
                seen.extend(fetched.records.iter().map(|record| {
                    let value = record.value(&fetched.buffer).unwrap();
                    std::str::from_utf8(value).unwrap().parse::<usize>().unwrap()
                }));
            }
            Err(_) if parts.iter().all(|part| fetcher.at_end(part)) => break,
            Err(_) => {}
        }
    }
    seen.sort_unstable();
    seen
}

async fn committed(client: &Client) -> Option<OffsetAndMetadata> {
    let part = TopicPartition::new("t", 0);
    let found = client.committed("readers", Some(std::slice::from_ref(&part)), true).await.unwrap();
    found.get(&part).cloned()
}

async fn send_offset(producer: &mut Producer, offset: i64, note: &str) {
    let value = OffsetAndMetadata { metadata: note.to_owned(), ..OffsetAndMetadata::new(offset) };
    let group = GroupMetadata::outside("readers");
    producer.send_offsets(&group, &[(TopicPartition::new("t", 0), value)]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn records_and_offsets_take_effect_together_or_not_at_all() {
    let server = Server::start().await;
    server.topic("t", 3, &[]);
    let client = client(&server).await;
    let mut producer = producer(&client, "writer", Duration::from_secs(60)).await;
    for round in 0..6 {
        producer.begin().unwrap();
        write(&mut producer, round * 100..round * 100 + 100).await;
        send_offset(&mut producer, round as i64, &format!("round {round}")).await;
        if round % 2 == 0 {
            producer.commit().await.unwrap();
        } else {
            producer.flush().await.unwrap();
            producer.abort().await.unwrap();
        }
        let expected = round / 2 * 2;
        let offset = committed(&client).await.unwrap();
        assert_eq!((offset.offset, offset.metadata), (expected as i64, format!("round {expected}")));
    }
    let expected: Vec<usize> = (0..100).chain(200..300).chain(400..500).collect();
    assert_eq!(read(&client, Isolation::ReadCommitted).await, expected);
    assert!(read(&client, Isolation::ReadUncommitted).await.len() > expected.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_successor_fences_and_aborts_and_an_open_transaction_survives_a_restart_only_to_be_aborted() {
    let mut server = Server::start().await;
    server.topic("t", 3, &[]);
    let client_before = client(&server).await;
    let mut first = producer(&client_before, "writer", Duration::from_secs(60)).await;
    first.begin().unwrap();
    write(&mut first, 0..100).await;
    send_offset(&mut first, 1, "first").await;
    first.commit().await.unwrap();
    first.begin().unwrap();
    write(&mut first, 100..200).await;
    send_offset(&mut first, 2, "open").await;
    first.flush().await.unwrap();
    server.restart().await;
    let client = client(&server).await;
    let open = client.list_transactions(&["Ongoing"]).await.unwrap();
    assert_eq!(open.iter().map(|listed| listed.id.as_str()).collect::<Vec<_>>(), ["writer"]);
    let seen = client.committed("readers", None, false).await.unwrap();
    assert_eq!(seen[&TopicPartition::new("t", 0)].offset, 1);
    let mut second = producer(&client, "writer", Duration::from_secs(60)).await;
    assert_eq!(read(&client, Isolation::ReadCommitted).await, (0..100).collect::<Vec<_>>());
    assert_eq!(committed(&client).await.unwrap().metadata, "first");
    let fenced = first.commit().await.unwrap_err();
    assert!(
        [ErrorCode::PRODUCER_FENCED, ErrorCode::INVALID_PRODUCER_EPOCH].map(Some).contains(&fenced.code()),
        "{fenced:?}"
    );
    second.begin().unwrap();
    write(&mut second, 200..300).await;
    second.commit().await.unwrap();
    let expected: Vec<usize> = (0..100).chain(200..300).collect();
    assert_eq!(read(&client, Isolation::ReadCommitted).await, expected);
    server.restart().await;
    let client = self::client(&server).await;
    assert_eq!(read(&client, Isolation::ReadCommitted).await, expected, "after another restart");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_takes_too_long_is_aborted_and_its_producer_fenced() {
    let server = Server::start().await;
    server.topic("t", 3, &[]);
    let client = client(&server).await;
    let mut slow = producer(&client, "slow", Duration::from_millis(1_000)).await;
    slow.begin().unwrap();
    write(&mut slow, 0..10).await;
    slow.flush().await.unwrap();
    let until = Instant::now() + PATIENCE;
    while client.list_transactions(&["CompleteAbort"]).await.unwrap().is_empty() {
        assert!(Instant::now() < until, "it is aborted");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(read(&client, Isolation::ReadCommitted).await, [0_usize; 0]);
    assert!(slow.commit().await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn kafkas_tools_list_describe_and_abort_transactions() {
    let server = Server::start().await;
    server.topic("t", 3, &[]);
    let client = client(&server).await;
    let mut open = producer(&client, "open", Duration::from_secs(600)).await;
    open.begin().unwrap();
    write(&mut open, 0..10).await;
    open.flush().await.unwrap();
    let tool = |arguments: &[&str]| {
        // This tool wants the address in front of what it is to do.
        let bootstrap = server.bootstrap();
        let all = [&["--bootstrap-server", &bootstrap], arguments].concat();
        kafka::tool("org.apache.kafka.tools.TransactionsCommand", &all, &bootstrap).unwrap()
    };
    let listed = shown(&run(tool(&["list"]), "").await);
    assert!(listed.lines().any(|line| line.starts_with("open") && line.contains("Ongoing")), "{listed}");
    let described = shown(&run(tool(&["describe", "--transactional-id", "open"]), "").await);
    assert!(described.contains("Ongoing") && described.contains("t-0"), "{described}");
    let producers = shown(&run(tool(&["describe-producers", "--topic", "t", "--partition", "0"]), "").await);
    assert!(producers.lines().count() >= 2, "{producers}");
    let abort = tool(&["abort", "--topic", "t", "--partition", "0", "--start-offset", "0"]);
    let aborted = run(abort, "").await;
    assert!(aborted.status.success(), "{aborted:?}");
    let marks = server.log.topics().partition("t", 0).unwrap().marks();
    assert_eq!(marks.last_stable, marks.high_watermark);
}
