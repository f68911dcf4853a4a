//! Writes the events while the pipeline runs, and keeps the ledger of where each was acknowledged.

use super::check::{Event, Ledger};
use super::world::TOPIC;
use acme_kafka::{Client, Config, Delivery, Producer, ProducerOptions, TopicPartition};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::{Instant, timeout_at};

/// How often a burst of events is written.
const BURST: Duration = Duration::from_millis(25);

/// The thread that writes.
pub struct Load {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Ledger>>,
}

struct Shared {
    /// Events in a burst.
    burst: AtomicU32,
    /// Events that are to be written in all.
    all: u32,
    acknowledged: AtomicU32,
}

impl Load {
    /// Begins to write so many events, at this pace until it is changed.
    pub fn start(bootstrap: &str, partitions: i32, all: u32, per_second: u32) -> Self {
        let shared = Arc::new(Shared { burst: AtomicU32::new(1), all, acknowledged: AtomicU32::new(0) });
        let (at, config) = (shared.clone(), Config::new(bootstrap.split(',')));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime starts").block_on(write(config, partitions, &at))
        });
        let load = Self { shared, thread: Some(thread) };
        load.pace(per_second);
        load
    }

    pub fn pace(&self, per_second: u32) {
        let bursts = u32::try_from(1000 / BURST.as_millis()).expect("a small number");
        self.shared.burst.store((per_second / bursts).max(1), Ordering::Relaxed);
    }

    /// How many events are in the log for certain.
    pub fn acknowledged(&self) -> u32 {
        self.alive();
        self.shared.acknowledged.load(Ordering::Relaxed)
    }

    /// Whether events are under way now: written and not acknowledged, or still to be written.
    pub fn is_busy(&self) -> bool {
        self.acknowledged() < self.shared.all
    }

    fn alive(&self) {
        let ended = self.thread.as_ref().is_some_and(JoinHandle::is_finished);
        let done = self.shared.acknowledged.load(Ordering::Relaxed) == self.shared.all;
        assert!(!ended || done, "the producer has failed");
    }

    /// Waits until all is written; where everything went.
    pub fn end(mut self) -> Ledger {
        self.thread.take().expect("it is ended once").join().expect("the producer does not fail")
    }
}

/// What one partition was given, in its order.
struct Given {
    target: acme_kafka::produce::Target,
    ids: Vec<u32>,
}

async fn write(config: Config, partitions: i32, shared: &Shared) -> Ledger {
    let client = Client::connect(config).await.expect("the cluster answers");
    let mut producer = Producer::connect(client, ProducerOptions::default()).await.expect("it has an id");
    let mut given = Vec::new();
    for partition in 0..partitions {
        let target = producer.target(&TopicPartition::new(TOPIC, partition)).await.expect("it is there");
        given.push(Given { target, ids: Vec::new() });
    }
    let mut ledger = Ledger(vec![None; shared.all as usize]);
    let (mut next, mut text, mut burst) = (0, String::new(), Instant::now());
    while next < shared.all {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is past 1970");
        let now = i64::try_from(now.as_millis()).expect("it is before the year 292,000,000");
        for _ in 0..shared.burst.load(Ordering::Relaxed).min(shared.all - next) {
            text.clear();
            Event(next).write(&mut text);
            // Each partition has purchases and all others.
            let to = &mut given[(next / 8) as usize % partitions as usize];
            let key = (next % 9973).to_le_bytes();
            let sent = producer.send(to.target, now, Some(&key), Some(text.as_bytes()), &[]).await;
            assert_eq!(sent.expect("it can be written"), to.ids.len() as u64);
            to.ids.push(next);
            next += 1;
        }
        burst = (burst + BURST).max(Instant::now() - 4 * BURST);
        while let Ok(polled) = timeout_at(burst, producer.poll()).await {
            polled.expect("the producer goes on");
        }
        note(producer.take_deliveries(), &given, &mut ledger, shared);
    }
    note(producer.flush().await.expect("all is delivered"), &given, &mut ledger, shared);
    ledger
}

fn note(deliveries: Vec<Delivery>, given: &[Given], ledger: &mut Ledger, shared: &Shared) {
    for Delivery { partition, first, count, result, refused } in deliveries {
        let base = result.unwrap_or_else(|error| panic!("{partition} from {first}: {error}; {refused:?}"));
        let ids = &given[usize::try_from(partition.partition).expect("it is not negative")].ids;
        let (first, count) = (usize::try_from(first).expect("few"), usize::try_from(count).expect("few"));
        for (offset, id) in (base..).zip(&ids[first..first + count]) {
            let offset = (base >= 0).then_some(offset);
            let before = ledger.0[*id as usize].replace((partition.partition, offset));
            assert_eq!(before, None, "{id} is acknowledged once");
        }
        shared.acknowledged.fetch_add(u32::try_from(count).expect("few"), Ordering::Relaxed);
    }
}
