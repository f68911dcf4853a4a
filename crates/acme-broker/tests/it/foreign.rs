//! Foreign judges: librdkafka's numbered tests and franz-go's tests of its client, against our broker or Apache Kafka.
//!
//! Which of them pass stands in `compat/`. What stands there for our broker must pass; a run prints how many of the names that
//! pass on Apache Kafka pass here.

#![expect(clippy::print_stdout, reason = "how much of a suite passes is for a person")]

use crate::support::Server;
use acme_broker::Options;
use acme_lab::foreign::{self, End, Entry, List, Suite, Verdict, franz, librdkafka};
use acme_lab::kafka::Kafka;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The names with this prefix want a broker that makes no topic by being asked for it.
const WITHOUT: &str = "noautocreate/";

/// Those with this one use the group protocol of KIP-848.
const CONSUMER: &str = "consumer/";

/// A new group waits so long for more members: those of a test that join at once come into the same generation, whichever is first.
/// Without it 0102 and others pass or fail by chance, on both brokers.
const GATHER_MS: i64 = 500;

/// How often members of groups of KIP-848 are heard of. Not a divisor of the ten seconds that consumer/0091 sleeps: else one heartbeat
/// comes in the millisecond between two of its closes, or just not.
const BEAT_MS: i32 = 3_000;

/// A broker for a suite.
enum Peer {
    Acme(Box<Server>),
    Kafka(Box<Kafka>),
}

impl Peer {
    /// Ours, or Apache Kafka where `cargo xtask soak --peer kafka` asks for it.
    async fn start(auto_create_topics: bool) -> Self {
        if is_kafka() {
            let start = move || {
                let options = Kafka::options()
                    .set("num.partitions", 4)
                    .set("group.initial.rebalance.delay.ms", GATHER_MS)
                    .set("group.consumer.min.heartbeat.interval.ms", BEAT_MS)
                    .set("group.consumer.heartbeat.interval.ms", BEAT_MS);
                options.set("auto.create.topics.enable", auto_create_topics).start().unwrap()
            };
            return Self::Kafka(Box::new(tokio::task::spawn_blocking(start).await.unwrap()));
        }
        let change = |options: &mut Options| {
            options.partitions = 4;
            options.auto_create_topics = auto_create_topics;
            options.groups.initial_delay_ms = GATHER_MS;
            options.groups.consumer_interval_ms = BEAT_MS;
        };
        Self::Acme(Box::new(Server::with(change).await))
    }

    fn bootstrap(&self) -> String {
        match self {
            Self::Acme(server) => server.bootstrap(),
            Self::Kafka(kafka) => kafka.bootstrap(),
        }
    }
}

fn is_kafka() -> bool {
    std::env::var_os("ACME_PEER").is_some_and(|peer| peer == "kafka")
}

fn list(name: &str) -> List {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    List::read(&root.join("compat").join(format!("{name}.txt"))).unwrap()
}

/// Runs the chosen names, each against a broker as it wants it.
async fn run<S: Suite + Clone + Send + 'static>(
    suite: S,
    names: Vec<String>,
    folder: PathBuf,
    at_once: usize,
) -> Vec<Verdict> {
    // A broker for each: some patterns of topics mean those of another run of the same test, too.
    let mut runs: BTreeMap<(bool, bool), Vec<String>> = BTreeMap::new();
    for name in names {
        runs.entry((!name.contains(WITHOUT), name.contains(CONSUMER))).or_default().push(name);
    }
    let mut verdicts = Vec::new();
    for ((auto_create_topics, _), names) in runs {
        let peer = Peer::start(auto_create_topics).await;
        let (suite, bootstrap, folder) = (suite.clone(), peer.bootstrap(), folder.clone());
        let work = move || foreign::run(&suite, &names, &bootstrap, &folder, at_once).unwrap();
        verdicts.extend(tokio::task::spawn_blocking(work).await.unwrap());
    }
    verdicts
}

/// Where what a suite prints is kept: for the reader in the folder of `ACME_SOAK`, else until the test ends.
fn kept(name: &str, own: &tempfile::TempDir) -> PathBuf {
    std::env::var_os("ACME_SOAK").map_or_else(|| own.path().to_owned(), PathBuf::from).join(name)
}

/// A part of the suite that every run of the tests takes; each name has to pass.
async fn slice<S: Suite + Clone + Send + 'static>(name: &str, suite: S, at_once: usize) {
    let own = tempfile::tempdir().unwrap();
    let names = list(name).names(|entry| entry.slice);
    assert!(!names.is_empty(), "the slice of {name} is empty");
    let verdicts = run(suite, names, kept(name, &own), at_once).await;
    let failed: Vec<String> = verdicts.iter().filter(|it| it.end != End::Passed).map(told).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// The whole list, and what is printed of it.
async fn whole<S: Suite + Clone + Send + 'static>(name: &str, suite: S, at_once: usize) {
    let own = tempfile::tempdir().unwrap();
    let list = list(name);
    let verdicts = run(suite, list.names(|_| true), kept(name, &own), at_once).await;
    let passed: BTreeSet<String> =
        verdicts.iter().filter(|it| it.end == End::Passed).map(|it| it.name.clone()).collect();
    let expected = |entry: &&Entry| if is_kafka() { entry.kafka } else { entry.acme };
    for entry in list.iter().filter(|entry| passed.contains(&entry.name) != expected(entry)) {
        println!("compat/{name}.txt is not up to date: {}", entry.name);
    }
    let (passed_here, known) = list.score(&passed);
    if is_kafka() {
        println!("{name}: {} of {} pass on Apache Kafka", passed.len(), verdicts.len());
        return;
    }
    let newer = list.names(|entry| entry.kafka && entry.newer).len();
    println!("{name}: {passed_here} of {known} that pass on Apache Kafka");
    if newer > 0 {
        println!(
            "{name}: {passed_here} of {} with the {newer} that need newer messages than those of Kafka 4.1",
            known + newer
        );
    }
    let failed: Vec<String> = list
        .iter()
        .filter(|entry| entry.acme && !passed.contains(&entry.name))
        .filter_map(|entry| verdicts.iter().find(|it| it.name == entry.name))
        .map(told)
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert!(passed_here * 100 >= known * 95, "fewer than 95 % of what passes on Apache Kafka");
}

/// How a name ended, with the end of what it printed.
fn told(verdict: &Verdict) -> String {
    let output = std::fs::read(&verdict.output).unwrap();
    let output = String::from_utf8_lossy(&output);
    let lines: Vec<&str> = output.lines().collect();
    let last = lines[lines.len().saturating_sub(60)..].join("\n");
    format!("{} {:?} after {:?}:\n{last}", verdict.name, verdict.end, verdict.took)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slice_of_librdkafkas_tests_passes() {
    slice("librdkafka", librdkafka::install().unwrap(), 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slice_of_franz_gos_tests_passes() {
    slice("franz-go", franz::install().unwrap().records(20_000), 2).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "cargo xtask soak"]
async fn soak_librdkafkas_tests() {
    whole("librdkafka", librdkafka::install().unwrap(), 6).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "cargo xtask soak"]
async fn soak_franz_gos_tests() {
    whole("franz-go", franz::install().unwrap(), 2).await;
}
