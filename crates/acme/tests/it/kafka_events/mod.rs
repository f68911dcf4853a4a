//! The guide's pipeline from Kafka to BigQuery, word for word: three brokers, several workers, all of them killed.

mod check;
mod load;
mod world;

use acme_lab::Namespace;
use check::Event;
use load::Load;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::Stdio;
use world::{PARTITIONS, TOPIC, Worker, World};

/// Set in the network in which the brokers have the names that the file gives them.
const INSIDE: &str = "ACME_TEST_INSIDE";
const EVENTS: u32 = 1_000_000;
/// Events from before the start, which do not count.
const BEFORE: std::ops::Range<u32> = 2_000_000..2_001_000;

#[test]
fn every_purchase_is_in_the_table_once_whatever_is_killed() {
    if std::env::var_os(INSIDE).is_some() {
        return inside();
    }
    let name = concat!(module_path!(), "::every_purchase_is_in_the_table_once_whatever_is_killed");
    let name = name.split_once("::").expect("the first part is the crate").1;
    let namespace = Namespace::start().expect("the system lets us have one");
    let status = namespace.test(name, INSIDE).expect("this program is there").status().expect("it runs");
    assert!(status.success(), "see above");
}

/// Where workers are held, so that their deaths have names; those of a row are held at the same time.
const PHASES: [[&str; 3]; 3] = [
    ["sink.write@2", "epoch.barrier@3", "epoch.prepared@2"],
    ["kafka.assigned", "epoch.committed@2", "epoch.published@3"],
    ["sink.written@3", "bigquery.prepared@2", "bigquery.committed@2"],
];

#[expect(clippy::print_stdout, reason = "a run of the tests shows how many kills hit which phase")]
fn inside() {
    let mut world = World::start();
    produce_before(&world);
    let mut workers: Vec<Worker> = vec![world.worker(Some("kafka.revoking"))];
    // `start_offset: latest`: what is written from here on counts.
    world.until("the group knows where it begins", &mut workers, || {
        world.committed().len() == usize::try_from(PARTITIONS).expect("a few")
    });
    let begin: BTreeMap<i32, i64> =
        world.committed().into_iter().map(|(it, at)| (it.partition, at.offset)).collect();
    assert_eq!(begin.values().sum::<i64>(), i64::try_from(BEFORE.len()).expect("a few"));
    world.say("the group has begun");
    let load = Load::start(&world.kafka.bootstrap(), PARTITIONS, EVENTS, 7_000);
    // The second and the third are to have some of what the first one has, which dies before it gives it back.
    workers.extend(PHASES[0][1..].iter().map(|point| world.worker(Some(point))));
    world.until("the first is asked to give some back", &mut workers, || world.are_held(&["kafka.revoking"]));
    world.kill(workers.remove(0), &load);
    workers.push(world.worker(Some(PHASES[0][0])));
    for (row, broker) in (0..).zip(1_u8..=3) {
        world.until("the workers are held", &mut workers, || world.are_held(&PHASES[row]));
        for worker in workers.drain(..) {
            world.kill(worker, &load);
        }
        // These live through the death of the broker. Of the last, one does not come back: the two have to do its work.
        let next = PHASES.get(row + 1);
        workers.extend((0..if next.is_some() { 3 } else { 2 }).map(|_| world.worker(None)));
        world.until_committed(&mut workers);
        world.kill_broker(broker, &load, &mut workers);
        world.until_committed(&mut workers);
        let Some(next) = next else { break };
        for worker in workers.drain(..) {
            world.kill(worker, &load);
        }
        workers.extend(next.iter().map(|point| world.worker(Some(point))));
    }
    load.pace(40_000);
    world.until("all is written", &mut workers, || !load.is_busy());
    let ledger = load.end();
    world.say("all is written");
    let all = (0..EVENTS).filter(|id| Event(*id).is_purchase()).count().to_string();
    let sql = "SELECT COUNT(DISTINCT event_id) FROM realtime.purchases";
    world.until("all purchases are there", &mut workers, || world.query(sql) == [&*all]);
    world.say("all purchases are there");
    for worker in workers {
        world.stop(worker);
    }
    world.say("the workers have ended");
    assert_eq!(ledger.judge_log(&world.log(&begin)), Vec::<String>::new(), "the log");
    world.say("the log is as the ledger says");
    assert_eq!(ledger.judge_table(&world.purchases()), Vec::<String>::new(), "the table");
    world.say("the table is as the ledger says");
    println!("{EVENTS} events; kills by phase: {:?}; brokers killed: {:?}", world.kills, world.brokers);
    for point in PHASES.as_flattened().iter().chain(&["kafka.revoking", "anywhere"]) {
        let name = point.split('@').next().expect("it has a first part");
        assert!(world.kills.contains_key(name), "no worker was killed at {name}");
    }
    for role in ["any", "leader of a partition", "coordinator of the group"] {
        assert!(world.brokers.contains_key(role), "no broker was killed that was {role}");
    }
}

/// Writes events that nobody is to see.
fn produce_before(world: &World) {
    let mut text = String::new();
    for event in BEFORE.map(Event) {
        event.write(&mut text);
        text.write_char('\n').expect("memory takes all");
    }
    let mut command = world.kafka.kcat(&["-P", "-t", TOPIC, "-X", "acks=all"]).expect("kcat is installed");
    let mut kcat = command.stdin(Stdio::piped()).spawn().expect("it runs");
    kcat.stdin.take().expect("it is piped").write_all(text.as_bytes()).expect("it reads");
    assert!(kcat.wait().expect("it ends").success());
}
