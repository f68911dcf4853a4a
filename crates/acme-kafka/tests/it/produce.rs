//! Writing: each record once, in order, readable by others, whatever happens to brokers.

use crate::client::feed;
use crate::{NODE, client, topic};
use acme_kafka::admin::{NewTopic, Resource};
use acme_kafka::produce::{Producer, ProducerOptions, Transactional, partition_for_key};
use acme_kafka::records::{Compression, Whole};
use acme_kafka::{Client, Config, ErrorCode, FetchOptions, Fetcher, Isolation, Position, TopicPartition};
use acme_lab::kafka::Kafka;
use acme_lab::run;
use std::time::Duration;

pub(crate) fn consume(kafka: &Kafka, topic: &str, format: &str, more: &[&str]) -> Vec<String> {
    let arguments = ["-C", "-t", topic, "-o", "beginning", "-e", "-q", "-f", format];
    let text = run(&mut kafka.kcat(&[&arguments, more].concat()).unwrap()).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn records_of_every_compression_are_read_by_another_client() {
    let client = client().await;
    let all =
        [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];
    for compression in all {
        let topic = topic(&client, 1).await;
        let options = ProducerOptions { compression, batch_bytes: 50_000, ..ProducerOptions::default() };
        let mut producer = Producer::connect(client.clone(), options).await.unwrap();
        let target = producer.target(&TopicPartition::new(topic.as_str(), 0)).await.unwrap();
        for number in 0..5_000_i64 {
            let (key, value) = (format!("k{number}"), format!("value {number} {}", "x".repeat(100)));
            let headers = [("h", Some(&b"1"[..]))];
            let index = producer
                .send(target, 1_000 + number, Some(key.as_bytes()), Some(value.as_bytes()), &headers)
                .await
                .unwrap();
            assert_eq!(index, number as u64);
        }
        let deliveries = producer.flush().await.unwrap();
        assert_eq!(deliveries.len(), 1, "{deliveries:?}");
        assert_eq!((deliveries[0].first, deliveries[0].count), (0, 5_000));
        assert_eq!(*deliveries[0].result.as_ref().unwrap(), 0);
        let lines = consume(&NODE, &topic, "%o %T %h %k=%s\n", &[]);
        assert_eq!(lines.len(), 5_000, "{compression:?}");
        for (number, line) in lines.iter().enumerate() {
            let value = format!("value {number} {}", "x".repeat(100));
            assert_eq!(*line, format!("{number} {} h=1 k{number}={value}", 1_000 + number));
        }
    }
}

/// A topic with batches of every kind; how many records it shows.
async fn mixture(client: &Client, topic: &str) -> u64 {
    let partition = TopicPartition::new(topic, 0);
    let mut shown = 0;
    for (round, compression) in
        [Compression::None, Compression::Zstd, Compression::None].into_iter().enumerate()
    {
        let id = format!("mixture-{topic}-{round}");
        let transactional = Some(Transactional { id, timeout: Duration::from_secs(60) });
        let options =
            ProducerOptions { compression, batch_bytes: 20_000, transactional, ..ProducerOptions::default() };
        let mut producer = Producer::connect(client.clone(), options).await.unwrap();
        let target = producer.target(&partition).await.unwrap();
        // Values alone, among them nulls; keys; headers; few records; and all of it in a transaction that is aborted.
        for (kind, count) in
            [("value", 400_u64), ("key", 100), ("header", 100), ("value", 5), ("aborted", 100)]
        {
            producer.begin().unwrap();
            for number in 0..count {
                let value = format!("{round} {kind} {number} {}", "x".repeat(100));
                let value = (number % 50 != 7).then_some(value.as_bytes());
                let key = (kind == "key").then_some(&b"k"[..]);
                let headers = [("h", Some(&b"1"[..])), ("none", None)];
                let headers = if kind == "header" { &headers[..] } else { &[] };
                producer.send(target, 5_000 - number as i64, key, value, headers).await.unwrap();
            }
            producer.flush().await.unwrap();
            match kind {
                "aborted" => producer.abort().await.unwrap(),
                _ => drop(producer.commit().await.unwrap()),
            }
            shown += if kind == "aborted" { 0 } else { count };
        }
    }
    shown
}

#[tokio::test]
async fn batches_that_are_sent_as_they_came_are_those_that_are_made_anew() {
    let client = client().await;
    let (from, whole, anew) = (topic(&client, 1).await, topic(&client, 1).await, topic(&client, 1).await);
    let count = mixture(&client, &from).await;
    let isolation = Isolation::ReadCommitted;
    let mut fetcher = Fetcher::new(client.clone(), FetchOptions { isolation, ..FetchOptions::default() });
    // The first batch is not read from its beginning.
    fetcher.assign(&[(TopicPartition::new(from.as_str(), 0), Position::at(3))]);
    let options = ProducerOptions { batch_bytes: 20_000, ..ProducerOptions::default() };
    let mut producer = Producer::connect(client, options).await.unwrap();
    let to_whole = producer.target(&TopicPartition::new(whole.as_str(), 0)).await.unwrap();
    let to_anew = producer.target(&TopicPartition::new(anew.as_str(), 0)).await.unwrap();
    let (mut read, mut sent_whole) = (3, 0);
    while read < count {
        let fetched = tokio::time::timeout(Duration::from_secs(60), fetcher.next()).await.unwrap().unwrap();
        let batches: Vec<_> = fetched.ready.iter().filter(|batch| producer.takes_whole(batch)).collect();
        for record in &fetched.records {
            let (key, value) = (record.key(&fetched.buffer), record.value(&fetched.buffer));
            let headers: Vec<_> = record.headers(&fetched.buffer).collect();
            producer.send(to_anew, record.timestamp, key, value, &headers).await.unwrap();
            let of = |batch: &&&Whole| (0..i64::from(batch.count)).contains(&(record.offset - batch.first));
            match batches.iter().find(of) {
                None => drop(producer.send(to_whole, record.timestamp, key, value, &headers).await.unwrap()),
                Some(batch) if batch.first == record.offset => {
                    producer.send_whole(to_whole, batch, &fetched.buffer).await.unwrap();
                    sent_whole += batch.count;
                }
                Some(_) => {}
            }
        }
        read += fetched.records.len() as u64;
    }
    let deliveries = producer.flush().await.unwrap();
    assert!(deliveries.iter().all(|one| one.result.is_ok()), "{deliveries:?}");
    assert_eq!(deliveries.iter().map(|one| one.count).sum::<u64>(), 2 * (count - 3));
    assert!(sent_whole >= 300, "{sent_whole} records went on in their batches");
    let format = "%o %T %k %K %h %S %s\n";
    let expected = consume(&NODE, &anew, format, &[]);
    assert_eq!(expected.len() as u64, count - 3);
    assert_eq!(consume(&NODE, &whole, format, &[]), expected);
    let shown = |topic: &str, skip: usize| {
        let lines = consume(&NODE, topic, "%T %k %K %h %S %s\n", &["-X", "isolation.level=read_committed"]);
        lines.into_iter().skip(skip).collect::<Vec<_>>()
    };
    assert_eq!(shown(&whole, 0), shown(&from, 3));
}

#[tokio::test]
async fn keys_go_where_javas_producer_sends_them() {
    let client = client().await;
    let topic = topic(&client, 7).await;
    let text: String = (0..200).map(|number| format!("key-{number}:x\n")).collect();
    // librdkafka's name for Java's partitioner.
    let arguments = ["-t", &topic, "-K", ":", "-X", "topic.partitioner=murmur2_random"];
    feed(&NODE, &arguments, &text);
    let lines = consume(&NODE, &topic, "%p %k\n", &[]);
    assert_eq!(lines.len(), 200);
    for line in lines {
        let (partition, key) = line.split_once(' ').unwrap();
        assert_eq!(partition, partition_for_key(key.as_bytes(), 7).to_string(), "{key}");
    }
}

#[tokio::test]
async fn a_record_that_is_too_large_is_named_and_the_others_arrive() {
    let client = client().await;
    let topic = topic(&client, 1).await;
    let resource = Resource::Topic(topic.clone());
    client.alter_configs(&resource, &[("max.message.bytes", Some("2000"))]).await.unwrap();
    let mut producer = Producer::connect(client, ProducerOptions::default()).await.unwrap();
    let target = producer.target(&TopicPartition::new(topic.as_str(), 0)).await.unwrap();
    for number in 0..100 {
        let length = if number == 42 { 3_000 } else { 100 };
        let value = format!("{number:0length$}");
        producer.send(target, 0, None, Some(value.as_bytes()), &[]).await.unwrap();
    }
    // All of them went as one batch, which is larger than the topic allows.
    let deliveries = producer.flush().await.unwrap();
    let (lost, kept): (Vec<_>, Vec<_>) = deliveries.iter().partition(|one| one.result.is_err());
    assert_eq!(lost.len(), 1, "{deliveries:?}");
    assert_eq!((lost[0].first, lost[0].count), (42, 1));
    assert_eq!(lost[0].result.as_ref().unwrap_err().code(), Some(ErrorCode::MESSAGE_TOO_LARGE));
    assert_eq!(kept.iter().map(|one| one.count).sum::<u64>(), 99);
    let values = consume(&NODE, &topic, "%s\n", &[]);
    let numbers: Vec<usize> = values.iter().map(|value| value.parse().unwrap()).collect();
    let expected: Vec<usize> = (0..100).filter(|number| *number != 42).collect();
    assert_eq!(numbers, expected, "in their order");
    // And the producer goes on.
    producer.send(target, 0, None, Some(b"100"), &[]).await.unwrap();
    assert!(producer.flush().await.unwrap()[0].result.is_ok());
}

#[tokio::test]
async fn a_full_buffer_waits_and_a_lingering_batch_goes_by_itself() {
    let client = client().await;
    let topic = topic(&client, 1).await;
    let options = ProducerOptions { batch_bytes: 2_000, buffer_bytes: 10_000, ..ProducerOptions::default() };
    let mut producer = Producer::connect(client, options).await.unwrap();
    let target = producer.target(&TopicPartition::new(topic.as_str(), 0)).await.unwrap();
    for _ in 0..1_000 {
        producer.send(target, 0, None, Some(&[0; 100]), &[]).await.unwrap();
        assert!(producer.buffered_bytes() < 13_000, "{}", producer.buffered_bytes());
    }
    let waiting = async {
        while producer.buffered_bytes() > 0 {
            producer.poll().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting).await.unwrap();
    let counts: u64 = producer.take_deliveries().iter().map(|one| one.count).sum();
    assert_eq!(counts, 1_000);
}

#[tokio::test]
async fn every_record_is_in_the_log_once_and_in_order_though_brokers_are_killed() {
    let mut kafka = Kafka::cluster(3).unwrap();
    let mut config = Config::new(kafka.bootstrap().split(',').map(str::to_owned).collect::<Vec<_>>());
    config.request_timeout = Duration::from_secs(5);
    let client = Client::connect(config).await.unwrap();
    client.create_topic(&NewTopic::new("orders", 3)).await.unwrap();
    let options = ProducerOptions { batch_bytes: 5_000, ..ProducerOptions::default() };
    let mut producer = Producer::connect(client.clone(), options).await.unwrap();
    let mut targets = Vec::new();
    for number in 0..3 {
        targets.push(producer.target(&TopicPartition::new("orders", number)).await.unwrap());
    }
    let leader = || client.cached().leader(&TopicPartition::new("orders", 0)).unwrap().broker;
    let mut victim = 0;
    for number in 0..60_000_usize {
        producer.send(targets[number % 3], 0, None, Some(number.to_string().as_bytes()), &[]).await.unwrap();
        if number == 10_000 {
            victim = u8::try_from(leader()).unwrap();
            assert!(producer.buffered_bytes() > 0, "something is under way");
            kafka.kill(victim).unwrap();
        } else if number == 40_000 {
            kafka.restart(victim).unwrap();
        }
    }
    let deliveries = producer.flush().await.unwrap();
    assert!(deliveries.iter().all(|one| one.result.is_ok()), "{deliveries:?}");
    assert_eq!(deliveries.iter().map(|one| one.count).sum::<u64>(), 60_000);
    for partition in 0..3 {
        let values = consume(&kafka, "orders", "%s\n", &["-p", &partition.to_string()]);
        let numbers: Vec<usize> = values.iter().map(|value| value.parse().unwrap()).collect();
        let expected: Vec<usize> = (0..20_000).map(|number| number * 3 + partition).collect();
        assert_eq!(numbers, expected, "partition {partition}");
    }
}

#[tokio::test]
async fn what_a_broker_wrote_before_it_stood_still_is_not_written_again() {
    let kafka = Kafka::start().unwrap();
    let mut config = Config::new([kafka.bootstrap()]);
    config.request_timeout = Duration::from_millis(1_000);
    config.connect_timeout = Duration::from_millis(1_000);
    let client = Client::connect(config).await.unwrap();
    client.create_topic(&NewTopic::new("orders", 1)).await.unwrap();
    let options = ProducerOptions { batch_bytes: 2_000, ..ProducerOptions::default() };
    let mut producer = Producer::connect(client, options).await.unwrap();
    let target = producer.target(&TopicPartition::new("orders", 0)).await.unwrap();
    for number in 0..30_000 {
        producer.send(target, 0, None, Some(number.to_string().as_bytes()), &[]).await.unwrap();
        if [5_000, 15_000].contains(&number) {
            // Requests are under way; their answers come too late for anybody to hear.
            kafka.pause(1).unwrap();
            let waiting = async {
                loop {
                    producer.poll().await.unwrap();
                }
            };
            assert!(tokio::time::timeout(Duration::from_millis(2_500), waiting).await.is_err());
            kafka.resume(1).unwrap();
        }
    }
    let deliveries = producer.flush().await.unwrap();
    assert!(deliveries.iter().all(|one| one.result.is_ok()), "{deliveries:?}");
    let values = consume(&kafka, "orders", "%s\n", &[]);
    let numbers: Vec<usize> = values.iter().map(|value| value.parse().unwrap()).collect();
    assert_eq!(numbers, (0..30_000).collect::<Vec<_>>());
}
