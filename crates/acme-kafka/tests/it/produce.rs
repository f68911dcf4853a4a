//! Writing: each record once, in order, readable by others, whatever happens to brokers.

use crate::client::feed;
use crate::{NODE, client, topic};
use acme_kafka::admin::{NewTopic, Resource};
use acme_kafka::produce::{Producer, ProducerOptions, partition_for_key};
use acme_kafka::records::Compression;
use acme_kafka::{Client, Config, ErrorCode, TopicPartition};
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
