//! Transactions of the dead: readers wait for the end of a session, never for the time-out of a transaction.

use super::{World, faults};
use crate::harness::{stop, text};
use acme_kafka::Client;
use std::process::Child;
use std::time::{Duration, Instant};

/// Transactions that nobody ends stay open for a quarter of an hour.
const COPY: &str = r#"
name: copy
sources:
  - {type: kafka, name: in, BROKERS, topic: in, start_offset: earliest,
     properties: {session.timeout.ms: "3000", heartbeat.interval.ms: "300"}}
destinations:
  - {type: kafka, name: out, BROKERS, topic: out, properties: {transaction.timeout.ms: "900000"}}
settings: {checkpoint: {interval: 50ms}}
"#;

/// Far below the time-out of the transaction, far above a session's on a slow machine.
const PATIENCE: Duration = Duration::from_secs(120);

#[track_caller]
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

struct Copies {
    world: World,
    runtime: tokio::runtime::Runtime,
    client: Client,
    written: i64,
}

impl Copies {
    fn start() -> Self {
        let world = World::start();
        world.topic("in", 4);
        world.topic("out", 2);
        world.pipeline("p.yaml", COPY);
        std::fs::create_dir_all(world.place.path("held")).expect("it can be made");
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let config = acme_kafka::Config::new([world.kafka.bootstrap()]);
        let client = runtime.block_on(Client::connect(config)).expect("it listens");
        Self { world, runtime, client, written: 0 }
    }

    fn write(&mut self) {
        let lines: String =
            (self.written..self.written + 200).map(|id| format!("{id}\t{{\"id\":{id}}}\n")).collect();
        self.world.produce(&["-t", "in", "-K", "\t"], &lines);
        self.written += 200;
    }

    /// A worker that dies where it has written rows, and perhaps sent offsets, in a transaction that is open.
    fn dies_at(&mut self, phase: &str) {
        let mark = self.world.place.path("held").join(phase);
        let mut command = self.world.run("p.yaml");
        command.env("ACME_FAILPOINTS", format!("{}:{phase}@2", mark.parent().expect("it has one").display()));
        let mut victim = command.spawn().expect("the binary runs");
        until("the worker is held", || {
            self.write();
            mark.exists()
        });
        victim.kill().expect("it is killed");
        victim.wait().expect("it is gone");
        std::fs::remove_file(mark).expect("it is there");
    }

    /// What the coordinator says of the transactions of the worker with this number.
    fn transaction(&self, worker: u32) -> String {
        let name = self.world.place.read(&format!("state/copy/workers/{worker}/worker"));
        let id = format!("acme-copy/acme-copy/{name}");
        let found = self.runtime.block_on(self.client.describe_transaction(&id)).expect("it answers");
        found.expect("it is known").state
    }

    fn all_arrives(&self) {
        until("every row is there for readers of committed records", || {
            self.world.ids("out").len() as i64 >= self.written
        });
        assert_eq!(faults(&self.world.ids("out"), 0..self.written), Vec::<String>::new());
    }
}

#[test]
fn what_a_dead_worker_had_open_is_ended_by_the_others_or_by_its_next_life() {
    let mut copies = Copies::start();
    let steady: Child = copies.world.run("p.yaml").spawn().expect("the binary runs");
    until("the first worker has its place", || {
        copies.world.place.path("state/copy/workers/0/worker").exists()
    });
    for phase in ["epoch.prepared", "kafka.offsets_sent"] {
        copies.dies_at(phase);
        assert_eq!(copies.transaction(1), "Ongoing", "nobody has missed it yet");
        until("the other worker ends it", || copies.transaction(1) != "Ongoing");
        copies.write();
        copies.all_arrives();
    }
    let output = stop(steady);
    assert!(output.status.success(), "{}", text(&output.stderr));
    // Alone: nobody else is there to end it, but the worker has the same name again.
    copies.dies_at("kafka.offsets_sent");
    assert_eq!(copies.transaction(0), "Ongoing");
    let again = copies.world.run("p.yaml").spawn().expect("the binary runs");
    copies.all_arrives();
    let output = stop(again);
    assert!(output.status.success(), "{}", text(&output.stderr));
}
