//! The oldest Kafka that is served: no list of transactions, no KIP-848, ZooKeeper behind it.

use crate::harness::{Place, stop, text, until};
use acme_lab::kafka::Oldest;
use std::collections::BTreeSet;
use std::process::{Child, Command, Stdio};

const COPY: &str = r#"
name: copy
sources:
  - {type: kafka, name: in, BROKERS, topic: in, group_id: shop, start_offset: earliest,
     properties: {session.timeout.ms: "3000", heartbeat.interval.ms: "300"}}
transforms: [{type: filter, condition: "n % 2 = 0"}]
destinations:
  - {type: kafka, name: out, BROKERS, topic: out, key: n, create: {partitions: 2}, properties: {transaction.timeout.ms: "5000"}}
settings: {checkpoint: {interval: 50ms}}
"#;

struct World {
    kafka: Oldest,
    place: Place,
}

impl World {
    fn start() -> Self {
        let world = Self { kafka: Oldest::start().expect("Kafka starts"), place: Place::new() };
        let brokers = format!("brokers: [\"{}\"]", world.kafka.bootstrap());
        world.place.write("p.yaml", &COPY.replace("BROKERS", &brokers));
        world
    }

    fn words<'a>(&'a self, words: &[&'a str], bootstrap: &'a str) -> Vec<&'a str> {
        words.iter().copied().chain(["--bootstrap-server", bootstrap]).collect()
    }

    /// One of Acme's commands; what it prints.
    fn ask(&self, words: &[&str]) -> String {
        self.place.acme_ok(&self.words(words, &self.kafka.bootstrap()))
    }

    fn produce(&self, numbers: std::ops::Range<u64>) {
        let lines: String = numbers.map(|n| format!("{n}\t{{\"n\":{n}}}\n")).collect();
        self.place.write("lines", &lines);
        let mut command = self
            .place
            .command(&self.words(&["produce", "in", "--key-separator", "\t"], &self.kafka.bootstrap()));
        let input = std::fs::File::open(self.place.path("lines")).expect("it was written");
        assert!(command.stdin(input).stdout(Stdio::null()).status().expect("it runs").success());
    }

    /// The committed numbers in the topic, as often as they are there.
    fn delivered(&self) -> Vec<u64> {
        let output = Command::new("kcat")
            .args(["-b", &self.kafka.bootstrap(), "-C", "-t", "out", "-e", "-q", "-f", "%k\n"])
            .args(["-X", "isolation.level=read_committed"])
            .output()
            .expect("kcat runs");
        text(&output.stdout).lines().map(|line| line.parse().expect("a number")).collect()
    }

    fn run(&self) -> Child {
        self.place.spawn(&["run", "p.yaml"])
    }
}

#[test]
fn topics_groups_and_exact_copies_work_and_what_is_missing_is_said() {
    acme_lab::kafka::install_kcat().expect("kcat can be installed");
    let world = World::start();
    world.ask(&["topics", "create", "in", "--partitions", "4"]);
    assert!(world.ask(&["topics", "describe", "in"]).contains("PartitionCount: 4"));
    let (mut one, two) = (world.run(), world.run());
    world.produce(0..5_000);
    until("the first half", || world.delivered().len() == 2_500);
    one.kill().expect("it can be killed");
    one.wait().expect("it ends");
    world.produce(5_000..10_000);
    until("all of it", || world.delivered().len() >= 5_000);
    let output = stop(two);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let delivered = world.delivered();
    let distinct: BTreeSet<u64> = delivered.iter().copied().collect();
    assert_eq!(distinct.len(), delivered.len(), "each comes once");
    assert_eq!(distinct, (0..10_000).step_by(2).collect());
    let group = world.ask(&["groups", "describe", "shop"]);
    assert_eq!(group.lines().filter(|line| line.contains(" in ")).count(), 4, "{group}");
    world.ask(&["groups", "reset-offsets", "shop", "--topic", "in", "--to-earliest", "--execute"]);
    let bootstrap = world.kafka.bootstrap();
    let said = world.place.acme_fails(&world.words(&["transactions", "list"], &bootstrap));
    assert!(said.contains("ListTransactions") && said.contains("too old"), "{said}");
    world.ask(&["topics", "delete", "in"]);
}
