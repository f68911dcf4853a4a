//! Kafka Streams with `exactly_once_v2`, which is killed on its way: what it counts is compared with what it was given.

use crate::java::source;
use crate::support::{PATIENCE, Server, now_ms};
use acme_kafka::produce::{Producer, ProducerOptions};
use acme_kafka::{Client, Config, FetchOptions, Fetcher, Isolation, Position, TopicPartition};
use acme_lab::java;
use std::collections::BTreeMap;
use std::ops::Range;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::time::{Instant, timeout};

const PARTITIONS: i32 = 2;
/// Each line has two words, each event one key.
const UPDATES: u64 = 3;
const WORDS: [&str; 7] = ["log", "batch", "offset", "epoch", "group", "marker", "log"];

/// The program; it ends with its handle.
struct App(Child);

impl App {
    fn start(server: &Server, state: &std::path::Path) -> Self {
        let mut command: Command = java::with_kafka(&source("Counts.java"), &["-Xmx512m"]).unwrap();
        command.arg(server.bootstrap()).arg(state).arg("exactly_once_v2");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }

    /// As a power cut does.
    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for App {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How often each key must have come in the end.
type Counts = BTreeMap<String, u64>;

/// Writes these lines and events, the first of a time, and adds what their counts must be.
async fn feed(client: &Client, start: i64, numbers: Range<usize>, words: &mut Counts, minutes: &mut Counts) {
    let mut producer = Producer::connect(client.clone(), ProducerOptions::default()).await.unwrap();
    for number in numbers {
        let partition = number as i32 % PARTITIONS;
        let line = [WORDS[number % 7], WORDS[number / 7 % 7]];
        let target = producer.target(&TopicPartition::new("lines", partition)).await.unwrap();
        producer.send(target, start, None, Some(line.join(" ").as_bytes()), &[]).await.unwrap();
        for word in line {
            *words.entry(word.to_owned()).or_default() += 1;
        }
        // Times never go back within a partition, so that no record is late for its minute.
        let (key, time) = (format!("key-{}", number % 10), start + 20 * number as i64);
        let target = producer.target(&TopicPartition::new("events", partition)).await.unwrap();
        producer.send(target, time, Some(key.as_bytes()), Some(b"x"), &[]).await.unwrap();
        *minutes.entry(format!("{key}@{}", time / 60_000)).or_default() += 1;
    }
    producer.flush().await.unwrap();
}

/// What readers of committed records see of the two results.
struct Seen {
    fetcher: Fetcher,
    topics: BTreeMap<String, Counts>,
    updates: u64,
}

impl Seen {
    async fn new(client: &Client) -> Self {
        let options = FetchOptions { isolation: Isolation::ReadCommitted, ..FetchOptions::default() };
        let mut fetcher = Fetcher::new(client.clone(), options);
        let parts = ["words", "minutes"].into_iter().flat_map(|topic| {
            (0..PARTITIONS).map(move |number| (TopicPartition::new(topic, number), Position::at(0)))
        });
        fetcher.assign(&parts.collect::<Vec<_>>());
        Self { fetcher, topics: BTreeMap::new(), updates: 0 }
    }

    /// Reads on until so many updates have come. Each must be the next number of its key: nothing lost, nothing twice.
    async fn until(&mut self, updates: u64) {
        let end = Instant::now() + PATIENCE;
        while self.updates < updates {
            assert!(Instant::now() < end, "{} of {updates} updates", self.updates);
            let Ok(fetched) = timeout(Duration::from_millis(200), self.fetcher.next()).await else {
                continue;
            };
            let fetched = fetched.unwrap();
            let counts = self.topics.entry(fetched.topic.to_string()).or_default();
            for record in &fetched.records {
                let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
                let key = text(record.key(&fetched.buffer));
                let count: u64 = text(record.value(&fetched.buffer)).parse().unwrap();
                let before = counts.insert(key.clone(), count).unwrap_or(0);
                assert_eq!(count, before + 1, "{key} of {}", fetched.topic);
                self.updates += 1;
            }
        }
    }
}

/// Feeds so many parts of so many lines and events, with a kill between each and the next.
async fn counted(records: usize, kills: usize) {
    let server = Server::start().await;
    for topic in ["lines", "events", "words", "minutes"] {
        server.topic(topic, PARTITIONS as u32, &[]);
    }
    let client = Client::connect(Config::new([server.bootstrap()])).await.unwrap();
    let (mut words, mut minutes) = (Counts::new(), Counts::new());
    // Times of today: retention takes away what is older than a week, read or not.
    let start = now_ms();
    let state = tempfile::tempdir().unwrap();
    let mut seen = Seen::new(&client).await;
    let mut app = App::start(&server, state.path());
    // Each part is halfway through at its kill, however slow the machine is: the next one comes only then.
    for part in 0..=kills {
        feed(&client, start, part * records..(part + 1) * records, &mut words, &mut minutes).await;
        let all: u64 = words.values().chain(minutes.values()).sum();
        if part == kills {
            seen.until(all).await;
        } else {
            seen.until(all - UPDATES * records as u64 / 2).await;
            app.kill();
            app = App::start(&server, state.path());
        }
    }
    // Nothing more comes.
    let more = timeout(Duration::from_secs(1), seen.fetcher.next()).await;
    assert!(more.is_err(), "an update too many");
    assert_eq!(seen.topics["words"], words);
    assert_eq!(seen.topics["minutes"], minutes);
    drop(app);
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_are_killed_once_count_everything_exactly_once() {
    counted(3_000, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "cargo xtask soak"]
async fn soak_streams_that_are_killed_again_and_again_count_everything_exactly_once() {
    counted(7_000, 8).await;
}
