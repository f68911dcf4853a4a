//! Records that a topic refuses, and epochs that take too long: a transaction must be able to commit.

use super::{World, faults};
use crate::lives::{Life, until};
use acme_kafka::admin::Resource;
use acme_kafka::produce::{Producer, ProducerOptions};
use acme_kafka::{Client, TopicPartition};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::runtime::Runtime;

const DAY_MS: i64 = 86_400_000;

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
    i64::try_from(now.as_millis()).expect("it is long before the end of time")
}

/// A cluster with a client that can set the times of records.
struct Refusing {
    world: World,
    runtime: Runtime,
    client: Client,
}

impl Refusing {
    fn start() -> Self {
        let world = World::start();
        let runtime = Runtime::new().expect("a runtime");
        let config = acme_kafka::Config::new([world.kafka.bootstrap()]);
        let client = runtime.block_on(Client::connect(config)).expect("it listens");
        Self { world, runtime, client }
    }

    /// A topic that takes any time.
    fn any_time(&self, name: &str) {
        let any = format!("message.timestamp.after.max.ms={}", i64::MAX);
        self.world.kafka.create_topic(name, 1, &[&any]).expect("the topic is made");
    }

    fn write(&self, topic: &str, records: impl Iterator<Item = (i64, String)>) {
        self.runtime.block_on(async {
            let mut producer = Producer::connect(self.client.clone(), ProducerOptions::default())
                .await
                .expect("it connects");
            let target = producer.target(&TopicPartition::new(topic, 0)).await.expect("it is there");
            for (time, value) in records {
                producer.send(target, time, None, Some(value.as_bytes()), &[]).await.expect("it takes it");
            }
            let deliveries = producer.flush().await.expect("it flushes");
            assert!(deliveries.iter().all(|delivery| delivery.result.is_ok()), "{deliveries:?}");
        });
    }
}

const SORTED: &str = r#"
name: sorted
sources:
  - {type: kafka, name: in, BROKERS, topic: in, start_offset: earliest,
     properties: {session.timeout.ms: "3000", heartbeat.interval.ms: "300"}}
destinations:
  - {type: kafka, name: out, BROKERS, topic: out, key: k}
  - {type: kafka, name: dead, BROKERS, topic: dead}
settings: {checkpoint: {interval: 50ms}, errors: {policy: dead_letter, to: dead}}
"#;

/// Why the topic refuses a record: no key although it is compacted, a time far ahead, or more bytes than it takes.
fn refusal(id: i64) -> Option<&'static str> {
    match id {
        _ if id % 10 == 3 => Some("key"),
        _ if id % 17 == 5 => Some("imestamp"),
        _ if id % 29 == 7 => Some("MESSAGE_TOO_LARGE"),
        _ => None,
    }
}

fn record(id: i64) -> (i64, String) {
    let why = refusal(id);
    let key = if why == Some("key") { String::new() } else { format!(",\"k\":\"k{id}\"") };
    let pad = "x".repeat(if why == Some("MESSAGE_TOO_LARGE") { 30_000 } else { 100 });
    let ahead = if why == Some("imestamp") { 10 * DAY_MS } else { 0 };
    (now_ms() + ahead, format!("{{\"id\":{id}{key},\"pad\":\"{pad}\"}}"))
}

/// The dead letters: by id, what each says.
fn letters(world: &World) -> BTreeMap<i64, String> {
    let letters = world.consume("dead", "%s\n");
    let letters = letters.lines().map(|line| {
        let letter: Value = serde_json::from_str(line).expect("JSON");
        let original = letter["original"].as_str().expect("text");
        let row: Value = serde_json::from_str(original).expect("the row as it came");
        assert_eq!(letter["error_code"], "A0403", "{line}");
        (row["id"].as_i64().expect("an id"), letter["error"].as_str().expect("text").to_owned())
    });
    letters.collect()
}

#[test]
fn records_that_a_topic_refuses_go_where_errors_go_and_the_others_are_there_once() {
    let refusing = Refusing::start();
    let world = &refusing.world;
    refusing.any_time("in");
    world.kafka.create_topic("out", 2, &["cleanup.policy=compact"]).expect("the topic is made");
    world.topic("dead", 1);
    world.pipeline("p.yaml", SORTED);
    refusing.write("in", (0..1).map(record));
    let phase = "kafka.offsets_sent@2";
    let mut first = Life::start(&world.place, "p.yaml", &[], phase);
    until("the first record is delivered", || world.ids("out").len() == 1);
    // From now on the topic takes less than the run believes.
    let (out, smaller) = (Resource::Topic("out".to_owned()), [("max.message.bytes", Some("20000"))]);
    refusing.runtime.block_on(refusing.client.alter_configs(&out, &smaller)).expect("it is set");
    refusing.write("in", (1..1500).map(record));
    // What was refused is refused again in the life that repeats the epoch.
    first.reach(&world.place, phase);
    first.kill();
    let second = Life::start(&world.place, "p.yaml", &[], "");
    let good = || (0..1500).filter(|id| refusal(*id).is_none());
    let bad = || (0..1500).filter(|id| refusal(*id).is_some());
    until("all that can be is delivered", || world.ids("out").len() >= good().count());
    until("all else is a dead letter", || letters(world).len() >= bad().count());
    assert_eq!(faults(&world.ids("out"), good()), Vec::<String>::new());
    let letters = letters(world);
    assert!(letters.keys().copied().eq(bad()), "{:?}", letters.keys());
    for (id, error) in letters {
        let why = refusal(id).expect("it is bad");
        assert!(
            error.contains(why) || why == "MESSAGE_TOO_LARGE" && error.contains("larger"),
            "{id}: {error}"
        );
    }
    second.stop();
    skip_and_stop(&refusing);
}

/// The other two policies.
fn skip_and_stop(refusing: &Refusing) {
    let world = &refusing.world;
    refusing.any_time("few");
    world.topic("skipped", 1);
    world.topic("stopped", 1);
    refusing.write("few", (0..3).map(|id| (now_ms() + (id % 2) * 10 * DAY_MS, format!("{{\"id\":{id}}}"))));
    let pipeline = |policy: &str, to: &str| {
        format!(
            "{{name: {to}, mode: batch, sources: [{{type: kafka, BROKERS, topic: few, start_offset: earliest}}], \
             destinations: [{{type: kafka, BROKERS, topic: {to}}}], settings: {{errors: {{policy: {policy}}}}}}}"
        )
    };
    world.pipeline("skip.yaml", &pipeline("skip", "skipped"));
    world.place.acme_ok(&["run", "skip.yaml"]);
    assert_eq!(world.consume("skipped", "%s\n"), "{\"id\":0}\n{\"id\":2}\n");
    world.pipeline("stop.yaml", &pipeline("stop", "stopped"));
    let said = world.place.acme_fails(&["run", "stop.yaml"]);
    assert!(said.contains("A0403") && said.contains("imestamp") && said.contains("{\"id\":1}"), "{said}");
    assert_eq!(world.consume("stopped", "%s\n"), "", "the transaction is not committed");
}

#[test]
fn an_epoch_fits_into_its_transaction_and_one_that_took_too_long_is_repeated_in_halves() {
    const PIPELINE: &str = r#"
name: slow
sources: [{type: kafka, name: in, BROKERS, topic: in, start_offset: earliest}]
destinations: [{type: kafka, name: out, BROKERS, topic: out, properties: {transaction.timeout.ms: "3000"}}]
settings: {checkpoint: {interval: 1h}}
"#;
    let refusing = Refusing::start();
    let world = &refusing.world;
    world.topic("in", 1);
    world.topic("out", 1);
    world.pipeline("p.yaml", PIPELINE);
    let write = |ids: std::ops::Range<i64>| {
        refusing.write("in", ids.map(|id| (now_ms(), format!("{{\"id\":{id}}}"))));
    };
    write(0..100);
    let phase = "kafka.offsets_sent@2";
    let mut run = Life::start(&world.place, "p.yaml", &[], phase);
    // An hour has not passed.
    until("the first epoch is committed", || world.ids("out").len() == 100);
    write(100..200);
    run.reach(&world.place, phase);
    let name = world.place.read("state/slow/workers/0/worker");
    let id = format!("acme-slow/acme-slow/{name}");
    until("the brokers give its transaction up", || {
        let found = refusing.runtime.block_on(refusing.client.describe_transaction(&id)).expect("it answers");
        found.expect("it is known").state != "Ongoing"
    });
    std::fs::remove_file(world.place.path("marks/kafka.offsets_sent")).expect("it is there");
    write(200..300);
    until("everything is delivered", || world.ids("out").len() == 300);
    assert_eq!(faults(&world.ids("out"), 0..300), Vec::<String>::new());
    run.signal("-TERM");
    let (success, said) = run.end();
    assert!(success && said.contains("in epochs of half the length"), "{said}");
}
