//! Topics in and out, by a real Kafka.

mod exactly_once;
mod faults;
mod fencing;
mod lost;
mod oldest;
mod poison;
mod progress;
mod records;
mod refused;
mod workers;

use crate::harness::Place;
use acme_lab::kafka::Kafka;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

pub struct World {
    pub kafka: Kafka,
    pub place: Place,
}

impl World {
    pub fn start() -> Self {
        // Workers that die are missed soon.
        let kafka = Kafka::options()
            .set("group.min.session.timeout.ms", 1000)
            .set("transaction.abort.timed.out.transaction.cleanup.interval.ms", 500)
            .start()
            .expect("Kafka starts");
        Self { kafka, place: Place::new() }
    }

    pub fn topic(&self, name: &str, partitions: u32) {
        self.kafka.create_topic(name, partitions, &[]).expect("the topic is made");
    }

    /// Writes a pipeline in which `BROKERS` stands for the cluster.
    pub fn pipeline(&self, name: &str, text: &str) {
        self.place
            .write(name, &text.replace("BROKERS", &format!("brokers: [\"{}\"]", self.kafka.bootstrap())));
    }

    /// Has `kcat` write what it is told; one record a line.
    pub fn produce(&self, arguments: &[&str], lines: &str) {
        let mut command = self.kafka.kcat(&["-P"]).expect("kcat is installed");
        let mut child = command.args(arguments).stdin(Stdio::piped()).spawn().expect("kcat runs");
        child.stdin.take().expect("it is piped").write_all(lines.as_bytes()).expect("it reads");
        assert!(child.wait().expect("it ends").success());
    }

    /// What `kcat` reads of a topic that is committed, in this format.
    pub fn consume(&self, topic: &str, format: &str) -> String {
        let mut command =
            self.kafka.kcat(&["-C", "-t", topic, "-e", "-q", "-f", format]).expect("kcat is installed");
        let output = command.args(["-X", "isolation.level=read_committed"]).output().expect("kcat runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    /// The names of all topics, one a line.
    pub fn topics(&self) -> String {
        self.place.acme_ok(&["topics", "list", "--bootstrap-server", &self.kafka.bootstrap()])
    }

    /// How often each `id` is in a topic.
    pub fn ids(&self, topic: &str) -> BTreeMap<i64, usize> {
        let mut ids = BTreeMap::new();
        for line in self.consume(topic, "%s\n").lines() {
            let row: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            *ids.entry(row["id"].as_i64().expect("an id")).or_insert(0) += 1;
        }
        ids
    }

    pub fn run(&self, file: &str) -> Command {
        let mut command = self.place.command(&["run", file]);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }
}

/// Everything that is wrong with what came out; at most ten are told.
pub fn faults(found: &BTreeMap<i64, usize>, expected: impl Iterator<Item = i64>) -> Vec<String> {
    let mut rest = found.clone();
    let mut faults = Vec::new();
    for id in expected {
        match rest.remove(&id) {
            Some(1) => {}
            Some(times) => faults.push(format!("{id} came {times} times")),
            None => faults.push(format!("{id} is missing")),
        }
    }
    faults.extend(rest.keys().map(|id| format!("{id} was invented")));
    faults.truncate(10);
    faults
}

#[test]
fn the_checker_finds_a_loss_a_double_and_an_invention() {
    let good: BTreeMap<i64, usize> = (0..5).map(|id| (id, 1)).collect();
    assert!(faults(&good, 0..5).is_empty());
    for (id, times, says) in [(3, 0, "3 is missing"), (2, 2, "2 came 2 times"), (7, 1, "7 was invented")] {
        let mut bad = good.clone();
        bad.insert(id, times);
        bad.retain(|_, times| *times > 0);
        assert_eq!(faults(&bad, 0..5), [says]);
    }
}
