//! Topic to topic in transactions: every event once, whatever is killed.

use super::{World, faults};
use crate::harness::{stop, text, until};
use std::collections::BTreeMap;
use std::process::Child;

const COPY: &str = r#"
name: copy
sources:
  - {type: kafka, name: in, BROKERS, topic: in, start_offset: earliest,
     properties: {session.timeout.ms: "3000", heartbeat.interval.ms: "300"}}
transforms: [{type: filter, condition: "kind = 'purchase'"}]
destinations:
  - {type: kafka, name: out, BROKERS, topic: out, key: id, properties: {transaction.timeout.ms: "5000"}}
settings: {checkpoint: {interval: 50ms}}
"#;

/// Events that are written at once.
const BATCH: i64 = 300;

fn event(id: i64) -> String {
    let kind = if id % 3 == 0 { "purchase" } else { "view" };
    format!("{id}\t{{\"id\":{id},\"kind\":\"{kind}\",\"pad\":\"{id:0100}\"}}\n")
}

/// Where a run is held, so that its death has a name.
const PHASES: [&str; 8] = [
    "epoch.barrier",
    "epoch.prepared",
    "kafka.flushed",
    "kafka.offsets_sent",
    "kafka.committed",
    "epoch.committed",
    "epoch.published",
    "sink.write",
];

#[test]
fn every_event_is_there_once_whatever_worker_is_killed_at_whatever_moment() {
    let world = World::start();
    world.topic("in", 6);
    world.topic("out", 3);
    world.pipeline("p.yaml", COPY);
    let mut hits: BTreeMap<&str, usize> = BTreeMap::new();
    let mut written = 0_i64;
    let steady: Child = world.run("p.yaml").spawn().expect("the binary runs");
    let marks = world.place.path("held");
    std::fs::create_dir_all(&marks).expect("it can be made");
    for phase in PHASES {
        // A worker that shares the partitions with the steady one, until it is killed where it is held.
        let mut command = world.run("p.yaml");
        command.env("ACME_FAILPOINTS", format!("{}:{phase}@2", marks.display()));
        let mut victim = command.spawn().expect("the binary runs");
        until("the worker is held there", || {
            // Some for every partition, so that each worker has something to commit.
            let lines: String = (written..written + BATCH).map(event).collect();
            world.produce(&["-t", "in", "-K", "\t"], &lines);
            written += BATCH;
            marks.join(phase).exists()
        });
        victim.kill().expect("it is killed");
        victim.wait().expect("it is gone");
        *hits.entry(phase).or_default() += 1;
    }
    println!("kills by phase: {hits:?}");
    let expected = || (0..written).filter(|id| id % 3 == 0);
    until("all events are delivered", || world.ids("out").len() >= expected().count());
    let output = stop(steady);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(faults(&world.ids("out"), expected()), Vec::<String>::new());
}
