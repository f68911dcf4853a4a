//! librdkafka as a judge: what we write it reads, what it writes we read, and both are members of one group.

mod groups;
mod ledger;
mod records;

use acme_kafka::produce::{Producer, ProducerOptions, Target};
use acme_kafka::{
    Client, FetchOptions, Fetched, Fetcher, Isolation, Position, TopicPartition, records::Record,
};
use acme_lab::kafka::Kafka;
use acme_lab::rdkafka;
use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

const SCRIPT: &str = include_str!("judge.py");

/// How long anything here may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// A record, as both sides tell of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Line {
    partition: i32,
    offset: i64,
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
}

fn word(bytes: Option<&[u8]>) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    bytes.map_or_else(|| "-".to_owned(), |bytes| format!("x{}", hex(bytes)))
}

fn plain(word: &str) -> Option<Vec<u8>> {
    let digits = word.strip_prefix('x')?.as_bytes();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    Some(digits.chunks(2).map(byte).collect())
}

impl Line {
    fn read(text: &str) -> Self {
        let mut words = text.split(' ');
        let mut next = || words.next().unwrap_or_else(|| panic!("a record, not {text:?}"));
        let (partition, offset, timestamp) = (next(), next(), next());
        let (key, value) = (plain(next()), plain(next()));
        let header = |word: &str| {
            let (name, value) = word.split_once('=').unwrap();
            (String::from_utf8(plain(name).unwrap()).unwrap(), plain(value))
        };
        Self {
            partition: partition.parse().unwrap(),
            offset: offset.parse().unwrap(),
            timestamp: timestamp.parse().unwrap(),
            key,
            value,
            headers: words.map(header).collect(),
        }
    }

    fn of(fetched: &Fetched, record: &Record) -> Self {
        let buffer = &fetched.buffer[..];
        let headers = record.headers(buffer);
        Self {
            partition: fetched.partition,
            offset: record.offset,
            timestamp: record.timestamp,
            key: record.key(buffer).map(<[u8]>::to_vec),
            value: record.value(buffer).map(<[u8]>::to_vec),
            headers: headers.map(|(name, value)| (name.to_owned(), value.map(<[u8]>::to_vec))).collect(),
        }
    }

    fn text(&self) -> String {
        let (key, value) = (word(self.key.as_deref()), word(self.value.as_deref()));
        let mut text = format!("{} {} {} {key} {value}", self.partition, self.offset, self.timestamp);
        for (name, value) in &self.headers {
            text.push_str(&format!(" {}={}", word(Some(name.as_bytes())), word(value.as_deref())));
        }
        text
    }
}

/// The script with one of its commands.
fn judge(kafka: &Kafka, command: &str, topic: &str, properties: &[&str]) -> Command {
    let servers = format!("bootstrap.servers={}", kafka.bootstrap());
    let mut arguments = vec![command, topic, servers.as_str()];
    arguments.extend(properties);
    rdkafka::python(SCRIPT, &arguments).unwrap()
}

/// Has librdkafka read a topic to its end.
fn read_by_judge(kafka: &Kafka, topic: &str, properties: &[&str]) -> Vec<Line> {
    let text = acme_lab::run(&mut judge(kafka, "read", topic, properties)).unwrap();
    let mut lines: Vec<Line> = text.lines().map(Line::read).collect();
    lines.sort_by_key(|line| (line.partition, line.offset));
    lines
}

/// Has librdkafka write: records, and the words `begin`, `commit` and `abort`.
fn write_by_judge(kafka: &Kafka, topic: &str, properties: &[&str], lines: impl Iterator<Item = String>) {
    let mut command = judge(kafka, "write", topic, properties);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let text: String = lines.map(|line| line + "\n").collect();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

/// A producer of ours, and the partitions of a topic that were written to.
struct Writer {
    producer: Producer,
    topic: String,
    targets: BTreeMap<i32, Target>,
}

impl Writer {
    async fn connect(client: &Client, topic: &str, options: ProducerOptions) -> Self {
        let producer = Producer::connect(client.clone(), options).await.unwrap();
        Self { producer, topic: topic.to_owned(), targets: BTreeMap::new() }
    }

    async fn write(&mut self, line: &Line) {
        let partition = TopicPartition::new(self.topic.as_str(), line.partition);
        let target = match self.targets.get(&line.partition) {
            Some(target) => *target,
            None => self.producer.target(&partition).await.unwrap(),
        };
        self.targets.insert(line.partition, target);
        let headers = line.headers.iter().map(|(name, value)| (name.as_str(), value.as_deref()));
        let headers: Vec<_> = headers.collect();
        let (key, value) = (line.key.as_deref(), line.value.as_deref());
        self.producer.send(target, line.timestamp, key, value, &headers).await.unwrap();
    }

    async fn flush(&mut self) {
        let deliveries = self.producer.flush().await.unwrap();
        assert!(deliveries.iter().all(|one| one.result.is_ok()), "{deliveries:?}");
    }
}

/// What our own fetcher reads of some partitions to their ends.
async fn read_by_us(client: &Client, topic: &str, partitions: i32, isolation: Isolation) -> Vec<Line> {
    let all: Vec<_> = (0..partitions).map(|number| TopicPartition::new(topic, number)).collect();
    let mut fetcher = Fetcher::new(client.clone(), FetchOptions { isolation, ..FetchOptions::default() });
    fetcher.assign(&all.iter().map(|it| (it.clone(), Position::at(0))).collect::<Vec<_>>());
    let mut lines = Vec::new();
    let reading = async {
        while !all.iter().all(|partition| fetcher.at_end(partition)) {
            // The ends are no news of their own.
            if let Ok(fetched) = tokio::time::timeout(Duration::from_millis(20), fetcher.next()).await {
                let fetched = fetched.unwrap();
                lines.extend(fetched.records.iter().map(|record| Line::of(&fetched, record)));
            }
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.unwrap();
    lines.sort_by_key(|line| (line.partition, line.offset));
    lines
}
