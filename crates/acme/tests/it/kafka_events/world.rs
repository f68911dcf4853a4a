//! Three brokers, a BigQuery and workers of the guide's file, in a network of their own; what is killed is counted.

use super::check::{Place as At, Purchase};
use super::load::Load;
use crate::harness::Place;
use acme_kafka::group::{Committed, OffsetAndMetadata};
use acme_kafka::{Client, Config, CoordinatorKind};
use acme_lab::bigquery::Emulator;
use acme_lab::kafka::Kafka;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(150);
/// The file as the guide has it.
const GUIDE: &str = include_str!("../../../../../examples/kafka-events.yaml");
pub const TOPIC: &str = "user-events";
const GROUP: &str = "acme-consumer";
pub const PARTITIONS: i32 = 6;

pub struct World {
    pub kafka: Kafka,
    pub place: Place,
    emulator: Emulator,
    runtime: Runtime,
    began: Instant,
    /// Workers so far.
    started: u32,
    /// How many kills of workers hit which phase.
    pub kills: BTreeMap<String, u32>,
    /// What the brokers that were killed had been.
    pub brokers: BTreeMap<&'static str, u32>,
}

/// A worker, armed or not.
pub struct Worker {
    child: Child,
    number: u32,
    point: Option<&'static str>,
}

impl World {
    /// Must be called in the namespace.
    pub fn start() -> Self {
        let kafka = Kafka::options().nodes(3).fixed().start().expect("Kafka starts");
        let partitions = u32::try_from(PARTITIONS).expect("a few");
        kafka.create_topic(TOPIC, partitions, &[]).expect("the topic is made");
        let emulator = Emulator::start().expect("the emulator starts");
        emulator.dataset("realtime").expect("it can be made");
        let place = Place::new();
        place.write("kafka-events.yaml", GUIDE);
        std::fs::create_dir(place.path("held")).expect("the directory can be written");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let (kills, brokers) = (BTreeMap::new(), BTreeMap::new());
        let runtime = runtime.expect("a runtime starts");
        Self { kafka, place, emulator, runtime, began: Instant::now(), started: 0, kills, brokers }
    }

    #[expect(clippy::print_stdout, reason = "a long test says where it is")]
    pub fn say(&self, what: &str) {
        println!("{:6.1} s: {what}", self.began.elapsed().as_secs_f64());
    }

    /// A command of the binary, with what the user of the guide has in the environment.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.place.command(arguments);
        command
            .env("BIGQUERY_EMULATOR_HOST", self.emulator.rest())
            .env("BIGQUERY_STORAGE_EMULATOR_HOST", self.emulator.storage())
            .env("GOOGLE_CLOUD_PROJECT", acme_lab::bigquery::PROJECT);
        command
    }

    /// A worker, that stands still at a place where one is named.
    pub fn worker(&mut self, point: Option<&'static str>) -> Worker {
        self.started += 1;
        let number = self.started;
        let mut command = self.command(&["run", "kafka-events.yaml"]);
        if let Some(point) = point {
            command.env("ACME_FAILPOINTS", format!("{}:{point}", self.place.path("held").display()));
        }
        let log = File::create(self.place.path(&log_of(number))).expect("the directory can be written");
        let child = command.stdout(Stdio::null()).stderr(log).spawn().expect("the binary runs");
        Worker { child, number, point }
    }

    /// What a worker has said.
    fn words(&self, worker: &Worker) -> String {
        self.place.read(&log_of(worker.number))
    }

    pub fn assert_alive(&self, worker: &mut Worker) {
        let status = worker.child.try_wait().expect("it can be asked");
        let at = worker.point.unwrap_or("no place");
        assert!(status.is_none(), "worker {} for {at}: {status:?}: {}", worker.number, self.words(worker));
    }

    /// Waits for something that must come, while these workers live.
    #[track_caller]
    pub fn until(&self, what: &str, workers: &mut [Worker], mut is: impl FnMut() -> bool) {
        let end = Instant::now() + PATIENCE;
        while !is() {
            workers.iter_mut().for_each(|worker| self.assert_alive(worker));
            if Instant::now() > end {
                let words: Vec<String> = workers.iter().map(|worker| self.words(worker)).collect();
                panic!("waited in vain until {what}:\n{}", words.join("\n"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Whether workers stand still at all of these places.
    pub fn are_held(&self, points: &[&str]) -> bool {
        points.iter().all(|point| self.place.path("held").join(name_of(Some(point))).exists())
    }

    /// SIGKILL: where it is held, or wherever it is while events come.
    pub fn kill(&mut self, mut worker: Worker, load: &Load) {
        self.assert_alive(&mut worker);
        let is_held = worker.point.is_none_or(|point| self.are_held(&[point]));
        assert!(is_held && load.is_busy(), "a kill counts while something is under way");
        worker.child.kill().expect("it runs");
        worker.child.wait().expect("it ends");
        let name = worker.point.map_or("anywhere", |point| name_of(Some(point)));
        if worker.point.is_some() {
            std::fs::remove_file(self.place.path("held").join(name)).expect("it is ours");
        }
        *self.kills.entry(name.to_owned()).or_default() += 1;
        self.say(&format!("worker {} was killed at {name}", worker.number));
    }

    /// Waits until so much was committed of most partitions that workers are at work on them.
    pub fn until_committed(&self, workers: &mut [Worker]) {
        let mut before = Committed::new();
        self.until("the coordinator answers", workers, || {
            before = self.committed();
            !before.is_empty()
        });
        self.until("offsets are committed", workers, || {
            let now = self.committed();
            let moved = |(it, at): &(&_, &OffsetAndMetadata)| {
                before.get(it).is_some_and(|before| before.offset < at.offset)
            };
            now.iter().filter(moved).count() > 3
        });
    }

    /// Asks a worker to commit and end.
    pub fn stop(&self, mut worker: Worker) {
        self.assert_alive(&mut worker);
        let id = worker.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().expect("kill runs").success());
        let status = worker.child.wait().expect("it ends");
        assert!(status.success(), "{}", self.words(&worker));
    }

    fn ask<T>(&self, what: impl AsyncFnOnce(Client) -> acme_kafka::Result<T>) -> Option<T> {
        let ask = async {
            let client = Client::connect(Config::new(self.kafka.bootstrap().split(','))).await?;
            what(client).await
        };
        // A broker may just have been killed: whoever asks asks again.
        self.runtime.block_on(ask).ok()
    }

    /// The group's committed offsets.
    pub fn committed(&self) -> Committed {
        self.ask(async |client| client.committed(GROUP, None, true).await).unwrap_or_default()
    }

    /// Whether every partition has all of its replicas in sync.
    fn is_whole(&self) -> bool {
        let metadata = self.ask(async |client| client.refresh(&[TOPIC, "__consumer_offsets"]).await);
        metadata.is_some_and(|metadata| {
            let mut partitions = metadata.topics.values().flat_map(|topic| topic.partitions.values());
            metadata.brokers.len() == 3 && partitions.all(|partition| partition.in_sync.len() == 3)
        })
    }

    /// Kills a broker while events are under way, lets some more be written without it, and starts it again.
    pub fn kill_broker(&mut self, id: u8, load: &Load, workers: &mut [Worker]) {
        self.until("all replicas are in sync", workers, || self.is_whole());
        let mut roles = vec!["any"];
        let (coordinator, metadata) = self
            .ask(async |client| {
                let coordinator = client.coordinator(CoordinatorKind::Group, GROUP).await?;
                Ok((coordinator, client.refresh(&[TOPIC]).await?))
            })
            .expect("all brokers answer");
        let leads = metadata.topics[TOPIC].partitions.values().any(|part| part.leader == i32::from(id));
        roles.extend((coordinator == i32::from(id)).then_some("coordinator of the group"));
        roles.extend(leads.then_some("leader of a partition"));
        assert!(load.is_busy(), "a kill counts while something is under way");
        let before = load.acknowledged();
        self.kafka.kill(id).expect("it runs");
        self.say(&format!("broker {id} was killed: {}", roles.join(", ")));
        for role in roles {
            *self.brokers.entry(role).or_default() += 1;
        }
        self.until("events are written without it", workers, || load.acknowledged() > before + 20_000);
        self.kafka.restart(id).expect("it starts again");
        self.say(&format!("broker {id} is there again"));
    }

    pub fn query(&self, sql: &str) -> Vec<String> {
        self.emulator.query(sql).expect("the emulator answers")
    }

    /// All rows of the table.
    pub fn purchases(&self) -> Vec<Purchase> {
        let lines = self.query("SELECT event_id, event_type, user_id, amount FROM realtime.purchases");
        lines.iter().map(|line| Purchase::read(line).unwrap_or_else(|| panic!("no row: {line}"))).collect()
    }

    /// What another client reads of the log from these offsets on: where each event lies.
    pub fn log(&self, from: &BTreeMap<i32, i64>) -> Vec<(At, u32)> {
        let mut command =
            self.kafka.kcat(&["-C", "-t", TOPIC, "-e", "-q", "-f", "%p %o %s\n"]).expect("kcat is installed");
        let mut kcat = command.stdout(Stdio::piped()).spawn().expect("it runs");
        let lines = BufReader::new(kcat.stdout.take().expect("it is piped")).lines();
        let mut log = Vec::new();
        for line in lines {
            let line = line.expect("text");
            let mut words = line.splitn(3, ' ');
            let mut number = || words.next().and_then(|word| word.parse::<i64>().ok()).expect("a number");
            let (partition, offset) = (i32::try_from(number()).expect("a few"), number());
            let id = words.next().and_then(|text| text.strip_prefix(r#"{"event_id":"#));
            let id = id.and_then(|text| text.split([',', '}']).next()).and_then(|id| id.parse().ok());
            if offset >= from[&partition] {
                log.push(((partition, offset), id.expect("an id")));
            }
        }
        assert!(kcat.wait().expect("it ends").success());
        log
    }
}

fn log_of(number: u32) -> String {
    format!("worker-{number}.log")
}

fn name_of(point: Option<&str>) -> &str {
    point.and_then(|point| point.split('@').next()).expect("it was armed")
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have been killed already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
