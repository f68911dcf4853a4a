//! Transactions of the dead: readers wait for the end of a session, never for the time-out of a transaction.

use super::{World, faults};
use crate::lives::{Life, until};
use acme_kafka::Client;
use acme_kafka::admin::ONGOING;

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
    fn dies_at(&mut self, phase: &str, worker: u32) {
        let mut victim = self.life(&format!("{phase}@2"));
        let mark = self.world.place.path("marks").join(phase);
        until("the worker is held", || {
            self.write();
            assert!(victim.is_alive(), "{}", victim.last_words());
            mark.exists()
        });
        assert_eq!(self.transaction(worker), ONGOING);
        victim.kill();
        std::fs::remove_file(mark).expect("it is there");
    }

    fn life(&self, points: &str) -> Life {
        Life::start(&self.world.place, "p.yaml", &[], points)
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
    let steady = copies.life("");
    until("the first worker has its place", || {
        copies.world.place.path("state/copy/workers/0/worker").exists()
    });
    for phase in ["epoch.prepared", "kafka.offsets_sent"] {
        copies.dies_at(phase, 1);
        until("the other worker ends it", || copies.transaction(1) != ONGOING);
        copies.write();
        copies.all_arrives();
    }
    steady.stop();
    // Alone: nobody else is there to end it, but the worker has the same name again.
    copies.dies_at("kafka.offsets_sent", 0);
    let again = copies.life("");
    copies.all_arrives();
    again.stop();
}
