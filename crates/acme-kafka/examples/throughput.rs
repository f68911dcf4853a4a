//! How many records of 246 bytes the client writes and reads per second of its own processor time, against one node.
//!
//! `cargo run --release -p acme-kafka --example throughput [RECORDS]`

#![expect(clippy::print_stdout, reason = "it is a measurement")]
#![expect(clippy::unwrap_used, reason = "whatever fails ends the measurement")]

use acme_kafka::admin::NewTopic;
use acme_kafka::records::Compression;
use acme_kafka::{
    Client, Config, FetchOptions, Fetcher, Position, Producer, ProducerOptions, TopicPartition,
};
use acme_lab::kafka::Kafka;
use tokio::time::Instant;

const PARTITIONS: i32 = 4;
const BYTES: usize = 246;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let records = std::env::args().nth(1).map_or(2_000_000, |text| text.parse().unwrap());
    let kafka = Kafka::options().optimised().start().unwrap();
    let client = Client::connect(Config::new([kafka.bootstrap()])).await.unwrap();
    for compression in [Compression::None, Compression::Lz4] {
        let topic = compression.name();
        client.create_topic(&NewTopic::new(topic, PARTITIONS)).await.unwrap();
        let (began, cpu) = (Instant::now(), cpu_seconds());
        write(&client, topic, compression, records).await;
        report(&format!("write {topic}"), records, began, cpu);
        for round in 1..=3 {
            let (began, cpu) = (Instant::now(), cpu_seconds());
            read(&client, topic, records).await;
            report(&format!("read {topic} {round}"), records, began, cpu);
        }
    }
}

async fn write(client: &Client, topic: &str, compression: Compression, records: usize) {
    let options = ProducerOptions { compression, ..ProducerOptions::default() };
    let mut producer = Producer::connect(client.clone(), options).await.unwrap();
    let mut targets = Vec::new();
    for partition in 0..PARTITIONS {
        targets.push(producer.target(&TopicPartition::new(topic, partition)).await.unwrap());
    }
    let mut value = Vec::with_capacity(BYTES);
    for number in 0..records {
        // Text that compresses about as well as events do.
        value.clear();
        let stamp = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let start =
            format!("{{\"auction\":{number},\"bidder\":{stamp},\"price\":{},\"channel\":\"", stamp % 99_991);
        value.extend_from_slice(start.as_bytes());
        value.resize(BYTES, b'x');
        producer.send(targets[number % targets.len()], 0, None, Some(&value), &[]).await.unwrap();
    }
    let deliveries = producer.flush().await.unwrap();
    assert_eq!(deliveries.iter().map(|one| one.count).sum::<u64>(), records as u64);
}

async fn read(client: &Client, topic: &str, records: usize) {
    let mut fetcher = Fetcher::new(client.clone(), FetchOptions::default());
    let partitions = (0..PARTITIONS).map(|number| (TopicPartition::new(topic, number), Position::at(0)));
    fetcher.assign(&partitions.collect::<Vec<_>>());
    let (mut seen, mut bytes) = (0, 0);
    while seen < records {
        let fetched = fetcher.next().await.unwrap();
        seen += fetched.records.len();
        bytes +=
            fetched.records.iter().map(|record| record.value(&fetched.buffer).unwrap().len()).sum::<usize>();
    }
    assert_eq!((seen, bytes), (records, records * BYTES));
}

/// User and system time of this process.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = text.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    ticks / 100.0
}

fn report(what: &str, records: usize, began: Instant, cpu: f64) {
    let (wall, cpu) = (began.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    let millions = records as f64 / 1e6;
    println!(
        "{what:12} {wall:6.2} s {:6.2} M/s {cpu:6.2} CPU-s {:6.2} M per CPU-s",
        millions / wall,
        millions / cpu
    );
}
