//! Clients of a server that dies again and again: idempotent and transactional producers, readers, a group. What they are told
//! is recorded.

use super::recorder::{PARTITIONS, Recorder, TOPICS, log};
use acme_check::{Outcome, Step};
use acme_kafka::group::{GroupMetadata, OffsetAndMetadata};
use acme_kafka::produce::{Producer, ProducerOptions, Transactional};
use acme_kafka::{Client, Config, Delivery, FetchOptions, Fetcher, Isolation, Position, TopicPartition};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Records of one round of an idempotent producer, and of one transaction.
const ROUND: i32 = 60;
const TRANSACTION: i32 = 12;
/// Between two rounds: what is at stake is many kills, not many records.
const PAUSE: Duration = Duration::from_millis(3);

#[derive(Clone)]
pub struct World {
    pub recorder: Arc<Recorder>,
    pub bootstrap: String,
    pub stop: Arc<AtomicBool>,
}

pub fn wall_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

pub fn config(bootstrap: &str) -> Config {
    let mut config = Config::new([bootstrap]);
    config.retry_backoff = Duration::from_millis(20);
    config.retry_backoff_max = Duration::from_millis(100);
    config.operation_timeout = Duration::from_secs(120);
    config
}

impl World {
    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Connects; the server may be dead just now.
    pub async fn client(&self) -> Client {
        loop {
            match Client::connect(config(&self.bootstrap)).await {
                Ok(client) => return client,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    /// A producer; with an id it fences and completes what its former life has left.
    pub async fn producer(&self, client: &Client, id: Option<&str>) -> Producer {
        loop {
            let transactional =
                id.map(|id| Transactional { id: id.to_owned(), timeout: Duration::from_secs(60) });
            let options = ProducerOptions {
                batch_bytes: 300,
                linger: Duration::from_millis(1),
                transactional,
                ..ProducerOptions::default()
            };
            match Producer::connect(client.clone(), options).await {
                Ok(producer) => return producer,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }
}

/// Records that were handed to a producer, by partition and number.
#[derive(Default)]
struct Handed {
    steps: Vec<Step>,
    numbers: BTreeMap<(i32, u64), usize>,
    told: Vec<bool>,
}

impl Handed {
    /// Sends a record of a new value; false where the producer cannot go on.
    async fn send(&mut self, world: &World, producer: &mut Producer, topic: &str, partition: i32) -> bool {
        let value = world.recorder.value();
        let Ok(target) = producer.target(&TopicPartition::new(topic, partition)).await else { return false };
        let text = format!("{value:020}");
        match producer.send(target, wall_ms(), None, Some(text.as_bytes()), &[]).await {
            Ok(number) => {
                self.numbers.insert((partition, number), self.steps.len());
                self.steps.push(Step::Send { log: log(topic, partition), value, offset: None });
                self.told.push(false);
                true
            }
            Err(_) => false,
        }
    }

    /// Notes what was acknowledged.
    fn told(&mut self, deliveries: &[Delivery]) {
        for delivery in deliveries {
            let Ok(base) = delivery.result else { continue };
            for nth in 0..delivery.count {
                let key = (delivery.partition.partition, delivery.first + nth);
                let Some(at) = self.numbers.get(&key) else { continue };
                self.told[*at] = true;
                if let Step::Send { offset, .. } = &mut self.steps[*at]
                    && base >= 0
                {
                    *offset = Some(base + i64::try_from(nth).unwrap());
                }
            }
        }
    }
}

/// An idempotent producer.
pub async fn produce(world: World, topic: &'static str) {
    let process = world.recorder.process();
    let client = world.client().await;
    while !world.stopped() {
        let mut producer = world.producer(&client, None).await;
        let mut goes_on = true;
        while goes_on && !world.stopped() {
            let begun = world.recorder.began();
            let mut handed = Handed::default();
            for number in 0..ROUND {
                goes_on &= handed.send(&world, &mut producer, topic, number % PARTITIONS).await;
            }
            match producer.flush().await {
                Ok(deliveries) => handed.told(&deliveries),
                Err(_) => goes_on = false,
            }
            handed.told(&producer.take_deliveries());
            world.recorder.ended();
            tokio::time::sleep(PAUSE).await;
            for (step, told) in handed.steps.into_iter().zip(handed.told) {
                let outcome = if told { Outcome::Done } else { Outcome::Unknown };
                goes_on &= told;
                world.recorder.add(process, begun, outcome, false, vec![step]);
            }
        }
    }
}

/// A transactional producer, whose transactions also move the offset of a group of its own.
pub async fn transact(world: World, group: u16) {
    let process = world.recorder.process();
    let client = world.client().await;
    let id = format!("writer-{group}");
    let mut number = 0;
    while !world.stopped() {
        let mut producer = world.producer(&client, Some(&id)).await;
        while !world.stopped() {
            number += 1;
            let begun = world.recorder.began();
            let mut handed = Handed::default();
            let outcome = transaction(&world, &mut producer, &mut handed, group, number).await;
            handed.told(&producer.take_deliveries());
            world.recorder.ended();
            world.recorder.add(process, begun, outcome, true, handed.steps);
            tokio::time::sleep(PAUSE).await;
            if outcome == Outcome::Unknown || (outcome == Outcome::RolledBack && number % 4 != 0) {
                break;
            }
        }
    }
    // Whatever is open is ended.
    drop(world.producer(&client, Some(&id)).await);
}

/// One transaction. Before its commit is asked for it can only be rolled back: the next producer of the id sees to that.
async fn transaction(
    world: &World,
    producer: &mut Producer,
    handed: &mut Handed,
    group: u16,
    number: i64,
) -> Outcome {
    if producer.begin().is_err() {
        return Outcome::RolledBack;
    }
    for record in 0..TRANSACTION {
        if !handed.send(world, producer, "atomic", record % PARTITIONS).await {
            return Outcome::RolledBack;
        }
    }
    let log = log("plain", 0);
    let offset = [(TopicPartition::new("plain", 0), OffsetAndMetadata::new(number))];
    let group_name = GroupMetadata::outside(format!("group-{group}"));
    handed.steps.push(Step::Commit { group, log, offset: number });
    handed.told.push(false);
    if producer.send_offsets(&group_name, &offset).await.is_err() {
        return Outcome::RolledBack;
    }
    match producer.flush().await {
        Ok(deliveries) => handed.told(&deliveries),
        Err(_) => return Outcome::RolledBack,
    }
    if number % 4 == 0 {
        // What keeps it from ending the transaction does not commit it.
        let _ = producer.abort().await;
        return Outcome::RolledBack;
    }
    match producer.commit().await {
        Ok(deliveries) => {
            handed.told(&deliveries);
            Outcome::Done
        }
        Err(_) => Outcome::Unknown,
    }
}

/// Somebody who commits offsets of a group, and looks at them.
pub async fn commit(world: World, group: u16) {
    let process = world.recorder.process();
    let client = world.client().await;
    let part = TopicPartition::new("plain", 1);
    let log = log("plain", 1);
    let name = format!("group-{group}");
    let mut number = 0;
    while !world.stopped() {
        number += 1;
        let begun = world.recorder.began();
        let offsets = [(part.clone(), OffsetAndMetadata::new(number))];
        let told = client.commit_offsets(&GroupMetadata::outside(name.clone()), &offsets).await;
        world.recorder.ended();
        let outcome = if told.is_ok() { Outcome::Done } else { Outcome::Unknown };
        world.recorder.add(process, begun, outcome, false, vec![Step::Commit { group, log, offset: number }]);
        let begun = world.recorder.now();
        let Ok(found) = client.committed(&name, Some(std::slice::from_ref(&part)), false).await else {
            continue;
        };
        let offset = found.get(&part).map(|found| found.offset);
        let step = Step::Committed { group, log, offset };
        world.recorder.add(process, begun, Outcome::Done, false, vec![step]);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The number that a record says.
pub fn number(value: Option<&[u8]>) -> u64 {
    let text = std::str::from_utf8(value.expect("it has one")).expect("it is text");
    text.trim_start_matches(|letter: char| !letter.is_ascii_digit()).parse().expect("it is a number")
}

pub fn everything(topics: &[&str]) -> Vec<TopicPartition> {
    topics
        .iter()
        .flat_map(|topic| (0..PARTITIONS).map(|number| TopicPartition::new(*topic, number)))
        .collect()
}

pub fn fetcher(client: &Client, isolation: Isolation, from: &BTreeMap<TopicPartition, i64>) -> Fetcher {
    let options = FetchOptions { isolation, max_wait: Duration::from_millis(100), ..FetchOptions::default() };
    let mut fetcher = Fetcher::new(client.clone(), options);
    let from: Vec<_> = from.iter().map(|(part, offset)| (part.clone(), Position::at(*offset))).collect();
    fetcher.assign(&from);
    fetcher
}

/// A reader from the beginning on, through all lives of the server.
pub async fn read(world: World, isolation: Isolation) {
    let process = world.recorder.process();
    let client = world.client().await;
    let committed = isolation == Isolation::ReadCommitted;
    let from = everything(&TOPICS).into_iter().map(|part| (part, 0)).collect();
    let mut fetcher = fetcher(&client, isolation, &from);
    while !world.stopped() {
        let begun = world.recorder.now();
        let Ok(fetched) = tokio::time::timeout(Duration::from_millis(100), fetcher.next()).await else {
            continue;
        };
        let fetched = match fetched {
            Ok(fetched) => fetched,
            Err(error) if error.class().is_transient() => continue,
            Err(error) => panic!("a reader cannot go on: {error}"),
        };
        let records = fetched.records.iter();
        let records = records.map(|it| (it.offset, number(it.value(&fetched.buffer)))).collect();
        let step = Step::Poll { log: log(&fetched.topic, fetched.partition), committed, records };
        world.recorder.add(process, begun, Outcome::Done, false, vec![step]);
    }
}

/// All records of some partitions from their first offsets to their ends: key, offset, number.
pub async fn all(
    client: &Client,
    isolation: Isolation,
    from: &BTreeMap<TopicPartition, i64>,
) -> BTreeMap<TopicPartition, Vec<(Vec<u8>, i64, u64)>> {
    let mut fetcher = fetcher(client, isolation, from);
    let mut found: BTreeMap<_, Vec<_>> = from.keys().map(|part| (part.clone(), Vec::new())).collect();
    let end = std::time::Instant::now() + super::super::lives::PATIENCE;
    loop {
        assert!(std::time::Instant::now() < end, "the ends are reached");
        match tokio::time::timeout(Duration::from_millis(100), fetcher.next()).await {
            Ok(fetched) => {
                let fetched = fetched.expect("everything can be read");
                let part = TopicPartition::new(&*fetched.topic, fetched.partition);
                let records = fetched.records.iter().map(|record| {
                    let key = record.key(&fetched.buffer).unwrap_or_default().to_vec();
                    (key, record.offset, number(record.value(&fetched.buffer)))
                });
                found.get_mut(&part).expect("it was asked for").extend(records);
            }
            Err(_) if from.keys().all(|part| fetcher.at_end(part)) => return found,
            Err(_) => {}
        }
    }
}
