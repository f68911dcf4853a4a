//! `acme server` is killed again and again while clients write and read, and everything that they were told is judged in the end.
//!
//! A kill counts only where something was under way. Places in the log and in the coordinator are named; each is hit.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail like the test")]

mod aside;
mod disk;
mod foreign;
mod load;
mod process;
mod recorder;

use crate::harness::Place;
use crate::lives::{Hits, until};
use acme_check::{Final, FinalOffset, History};
use acme_kafka::admin::NewTopic;
use acme_kafka::{Client, Isolation, TopicPartition};
use load::World;
use process::Process;
use recorder::{PARTITIONS, Recorder, TOPICS, log};
use std::collections::BTreeMap;
use std::future::Future;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

/// Where a running server is killed.
const PLACES: [&str; 13] = [
    "log.written",
    "log.sync",
    "log.synced",
    "log.rolled",
    "log.seal",
    "log.deleted",
    "log.compacted",
    "log.checkpointed",
    "transaction.flushed",
    "transaction.decided",
    "transaction.marker",
    "transaction.marked",
    "none",
];
/// Where a server is killed that recovers from the kill before.
const RECOVERING: [&str; 4] = ["log.opening", "log.read", "log.cut", "log.recovered"];
/// Transactional producers, each with a group; the group after them is committed to without transactions.
const WRITERS: u16 = 2;

/// Xorshift, for moments.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

struct Crash {
    place: Place,
    port: u16,
    world: World,
    chance: Chance,
    hits: Hits,
    kills: u32,
    /// Those of a server that was answering: something was under way.
    under_load: u32,
}

impl Crash {
    fn new(seed: u64) -> Self {
        let port = process::port();
        let bootstrap = format!("127.0.0.1:{port}");
        let world = World { recorder: Arc::new(Recorder::default()), bootstrap, stop: Arc::default() };
        let chance = Chance(seed | 1);
        Self { place: Place::new(), port, world, chance, hits: Hits::default(), kills: 0, under_load: 0 }
    }

    /// One life of a server under load, to a named place.
    fn kill_at(&mut self, name: &str) {
        // Housekeeping passes seldom, and at its start it checkpoints once.
        let pass = match name {
            "log.written" | "log.sync" | "log.synced" => 1 + self.chance.below(100),
            "log.checkpointed" => 2 + self.chance.below(2),
            "log.seal" | "log.deleted" | "log.compacted" => 1,
            _ => 1 + self.chance.below(8),
        };
        let point = (name != "none").then(|| format!("{name}@{pass}"));
        let before = self.world.recorder.done();
        let mut server = Process::start(&self.place, self.port, point.as_deref());
        if point.is_some() {
            server.reached();
        } else {
            until("something is acknowledged", || self.world.recorder.done() > before + 10);
        }
        std::thread::sleep(Duration::from_millis(self.chance.below(150)));
        until("something is under way", || self.world.recorder.under_way() > 0);
        server.kill();
        self.hits.add(name);
        self.kills += 1;
        self.under_load += 1;
    }

    /// A server that recovers, to a named place. Before a cut there is something to be cut.
    fn kill_recovering(&mut self, name: &str) {
        if name == "log.cut" {
            self.tear();
        }
        let mut server = Process::start(&self.place, self.port, Some(name));
        server.reached();
        server.kill();
        self.hits.add(name);
        self.kills += 1;
    }

    /// A write that the kill came into: bytes behind the last batch of every partition.
    fn tear(&self) {
        for entry in std::fs::read_dir(self.place.path("log")).unwrap() {
            let directory = entry.unwrap().path();
            let Ok(entries) = std::fs::read_dir(&directory) else { continue };
            let logs = entries.map(|entry| entry.unwrap().path());
            let last = logs.filter(|path| path.extension().is_some_and(|it| it == "log")).max();
            // A sealed one gets no more bytes.
            let last = last.filter(|path| !path.with_extension("sum").exists());
            if let Some(path) = last {
                let mut file = std::fs::OpenOptions::new().append(true).open(path).unwrap();
                file.write_all(&[7; 45]).unwrap();
            }
        }
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap()
}

async fn topics(world: &World) {
    let client = world.client().await;
    let small =
        |name: &str, partitions| NewTopic::new(name, partitions).with("internal.segment.bytes", "60000");
    let topics = [
        small("plain", PARTITIONS),
        small("relaxed", PARTITIONS).with("flush.messages", "1000"),
        small("atomic", PARTITIONS),
        small("foreign", PARTITIONS),
        small("compacted", 1).with("cleanup.policy", "compact").with("min.cleanable.dirty.ratio", "0.1"),
        small("brief", 1).with("retention.bytes", "120000"),
    ];
    for topic in topics {
        client.create_topic(&topic).await.unwrap();
    }
}

/// Clients at work.
fn begin(runtime: &Runtime, world: &World, ledgers: &aside::Ledgers) -> Vec<JoinHandle<()>> {
    let mut tasks = Vec::new();
    let mut spawn =
        |task: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>| tasks.push(runtime.spawn(task));
    for topic in ["plain", "plain", "relaxed"] {
        spawn(Box::pin(load::produce(world.clone(), topic)));
    }
    (0..WRITERS).for_each(|group| spawn(Box::pin(load::transact(world.clone(), group))));
    spawn(Box::pin(load::commit(world.clone(), WRITERS)));
    spawn(Box::pin(load::read(world.clone(), Isolation::ReadCommitted)));
    spawn(Box::pin(load::read(world.clone(), Isolation::ReadUncommitted)));
    for topic in ["compacted", "brief"] {
        spawn(Box::pin(aside::produce(world.clone(), topic, ledgers.clone())));
    }
    let foreign = world.clone();
    tasks.push(runtime.spawn_blocking(move || foreign::produce(&foreign)));
    tasks
}

/// What there is in the end.
async fn finals(client: &Client, history: &mut History) {
    let from: BTreeMap<TopicPartition, i64> =
        load::everything(&TOPICS).into_iter().map(|part| (part, 0)).collect();
    for committed in [false, true] {
        let isolation = if committed { Isolation::ReadCommitted } else { Isolation::ReadUncommitted };
        for (part, records) in load::all(client, isolation, &from).await {
            let records = records.into_iter().map(|(_, offset, number)| (offset, number)).collect();
            history.finals.push(Final { log: log(&part.topic, part.partition), committed, records });
        }
    }
    for group in 0..=WRITERS {
        let part = TopicPartition::new("plain", i32::from(group == WRITERS));
        let name = format!("group-{group}");
        let found = client.committed(&name, Some(std::slice::from_ref(&part)), true).await;
        let offset = found.unwrap().get(&part).map(|found| found.offset);
        history.offsets.push(FinalOffset { group, log: log("plain", part.partition), offset });
    }
}

/// Kills a server under load so many times, at one place after the other, and judges.
#[expect(clippy::print_stdout, reason = "a test says what it has done")]
fn kills(seed: u64, under_load: usize) {
    acme_lab::rdkafka::install_python().expect("librdkafka can be had");
    let mut crash = Crash::new(seed);
    let runtime = runtime();
    let mut server = Process::start(&crash.place, crash.port, None);
    server.listens();
    runtime.block_on(topics(&crash.world));
    let ledgers = aside::Ledgers::default();
    let tasks = begin(&runtime, &crash.world, &ledgers);
    let recorder = crash.world.recorder.clone();
    until("everybody is at work", || recorder.done() > 300 && recorder.foreign.load(Ordering::Relaxed) > 0);
    server.kill();
    crash.kills += 1;
    for (number, name) in PLACES.iter().cycle().enumerate().take(under_load) {
        crash.kill_at(name);
        if number % 3 == 0 {
            crash.kill_recovering(RECOVERING[number / 3 % RECOVERING.len()]);
        }
    }
    let before = crash.world.recorder.done();
    let mut server = Process::start(&crash.place, crash.port, None);
    server.listens();
    until("the clients go on", || crash.world.recorder.done() > before + 100);
    crash.world.stop.store(true, Ordering::Relaxed);
    for task in tasks {
        runtime.block_on(task).expect("no client has failed");
    }
    server.kill();
    crash.kills += 1;
    let mut server = Process::start(&crash.place, crash.port, None);
    server.listens();
    let mut history = crash.world.recorder.history();
    let aside = runtime.block_on(async {
        let client = crash.world.client().await;
        finals(&client, &mut history).await;
        aside::audit(&client, &ledgers).await
    });
    let read: usize = history.finals.iter().map(|it| it.records.len()).sum();
    let (acknowledged, operations) = (crash.world.recorder.acknowledged(), history.operations.len());
    let foreign = recorder.foreign.load(Ordering::Relaxed);
    println!(
        "{} kills, {} of them under load; {acknowledged} records acknowledged ({foreign} of them to librdkafka) and {aside} aside, in {operations} operations; {read} read in the end",
        crash.kills, crash.under_load
    );
    let faults = acme_check::faults(&history);
    assert!(
        faults.is_empty(),
        "seed {seed}: {:#?}",
        faults.iter().map(ToString::to_string).collect::<Vec<_>>()
    );
    crash.hits.require(&[&PLACES[..], &RECOVERING[..]].concat());
    assert!(acknowledged > 1_000, "something was at stake");
}

#[test]
fn whatever_was_acknowledged_outlives_thirty_kills_at_every_place() {
    kills(1, 30);
}

#[test]
#[ignore = "cargo xtask soak"]
fn soak_whatever_was_acknowledged_outlives_hundreds_of_kills() {
    let seed = std::env::var("ACME_SEED").ok().and_then(|seed| seed.parse().ok());
    kills(seed.unwrap_or_else(|| load::wall_ms().unsigned_abs()), 130);
}
