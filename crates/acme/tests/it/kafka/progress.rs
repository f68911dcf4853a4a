//! Into a topic from elsewhere: rows and the pipeline's progress take effect in one transaction.

use super::{World, faults};
use crate::harness::{Place, text};
use crate::lives::{Hits, Life, until};
use acme_kafka::Client;
use acme_kafka::admin::ONGOING;
use acme_kafka::produce::{Transactional, init_producer};
use acme_lab::postgres::Postgres;
use std::time::Duration;

/// Where a run is killed, and at which pass: the first commits are of the place where reading begins.
const PHASES: [&str; 8] = [
    "kafka.flushed@2",
    "epoch.prepared@1",
    "epoch.stored@1",
    "kafka.offsets_sent@2",
    "kafka.committed@2",
    "epoch.committed@1",
    "epoch.published@1",
    "sink.write@1",
];

fn name(phase: &str) -> &str {
    phase.split('@').next().expect("it has a name")
}

/// Kills a run in each phase while more comes in, and lets a last one finish.
fn kill_in_every_phase(world: &World, environment: &[(&str, &str)], more: impl Fn(i64)) -> i64 {
    let mut hits = Hits::default();
    let mut written = 0;
    for phase in PHASES {
        more(written);
        written += 100;
        let mut life = Life::start(&world.place, "p.yaml", environment, phase);
        life.reach(&world.place, phase);
        life.kill();
        hits.add(name(phase));
        std::fs::remove_file(world.place.path("marks").join(name(phase))).expect("it was reached");
    }
    hits.require(&PHASES.map(name));
    more(written);
    written += 100;
    let last = Life::start(&world.place, "p.yaml", environment, "");
    until("every row is there", || world.ids("out").len() as i64 >= written);
    last.stop();
    written
}

#[test]
fn rows_of_a_file_are_in_a_topic_once_wherever_the_run_is_killed() {
    let world = World::start();
    world.topic("out", 2);
    world.place.write("in.jsonl", "");
    let pipeline = "{name: lines, mode: streaming, sources: [{type: file, path: in.jsonl}], \
                    destinations: [{type: kafka, BROKERS, topic: out}], settings: {checkpoint: {interval: 30ms}}}";
    world.pipeline("p.yaml", pipeline);
    let more = |from: i64| {
        let lines: String = (from..from + 100).map(|id| format!("{{\"id\":{id}}}\n")).collect();
        world.place.append("in.jsonl", &lines);
    };
    let written = kill_in_every_phase(&world, &[], more);
    assert_eq!(faults(&world.ids("out"), 0..written), Vec::<String>::new());
    // A second process is refused, and one that does not know the checkpoint neither begins anew nor takes anything over.
    let run = Life::start(&world.place, "p.yaml", &[], "");
    until("it runs", || world.place.acme_ok(&["status"]).contains("lines"));
    assert!(world.place.acme_fails(&["run", "p.yaml"]).contains("is running already"));
    let elsewhere =
        world.place.command(&["run", "p.yaml"]).env("ACME_STATE_DIR", world.place.path("other")).output();
    let said = text(&elsewhere.expect("the binary runs").stderr);
    assert!(said.contains("A0405") && said.contains("acme.NAME.commit"), "{said}");
    more(written);
    until("the first goes on", || world.ids("out").len() as i64 == written + 100);
    run.stop();
    assert_eq!(faults(&world.ids("out"), 0..written + 100), Vec::<String>::new());
}

#[test]
fn changes_of_a_database_are_in_a_topic_once_wherever_the_run_is_killed() {
    let world = World::start();
    let postgres = Postgres::start().expect("PostgreSQL starts");
    postgres.psql("CREATE TABLE t (id bigint PRIMARY KEY, note text)").expect("the table is made");
    world.topic("out", 2);
    let pipeline = "{name: changes, sources: [{type: postgres, connection: \"${DATABASE_URL}\", mode: cdc, tables: [t], \
                    snapshot: never}], destinations: [{type: kafka, BROKERS, topic: out}], \
                    settings: {checkpoint: {interval: 30ms}}}";
    world.pipeline("p.yaml", pipeline);
    let url = postgres.url();
    let environment = [("DATABASE_URL", &*url)];
    // The slot is there before the first change.
    let first = Life::start(&world.place, "p.yaml", &environment, "");
    until("it captures", || {
        postgres
            .psql("SELECT count(*) FROM pg_replication_slots WHERE active")
            .is_ok_and(|it| it.trim() == "1")
    });
    first.stop();
    let more = |from: i64| {
        let sql = format!("INSERT INTO t SELECT n, 'note ' || n FROM generate_series({from}, {from} + 99) n");
        postgres.psql(&sql).expect("rows are added");
    };
    let written = kill_in_every_phase(&world, &environment, more);
    assert_eq!(faults(&world.ids("out"), 0..written), Vec::<String>::new());
}

#[test]
fn a_run_whose_transaction_took_too_long_goes_on_and_one_that_has_a_successor_stops() {
    let world = World::start();
    world.topic("out", 1);
    world.place.write("in.jsonl", "");
    let pipeline = "{name: late, mode: streaming, sources: [{type: file, path: in.jsonl}], destinations: [{type: kafka, BROKERS, \
                    topic: out, properties: {transaction.timeout.ms: \"3000\"}}], settings: {checkpoint: {interval: 30ms}}}";
    world.pipeline("p.yaml", pipeline);
    let more = |from: i64| {
        let lines: String = (from..from + 100).map(|id| format!("{{\"id\":{id}}}\n")).collect();
        world.place.append("in.jsonl", &lines);
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let config = acme_kafka::Config::new([world.kafka.bootstrap()]);
    let client = runtime.block_on(Client::connect(config)).expect("it listens");
    let id = "acme-late/commit";
    let phase = "kafka.offsets_sent@2";
    let mark = world.place.path("marks").join(name(phase));
    more(0);
    let mut run = Life::start(&world.place, "p.yaml", &[], phase);
    run.reach(&world.place, phase);
    until("the brokers give its transaction up", || {
        let found = runtime.block_on(client.describe_transaction(id)).expect("it answers");
        found.expect("it is known").state != ONGOING
    });
    std::fs::remove_file(&mark).expect("it was reached");
    until("it goes on", || world.ids("out").len() == 100);
    run.signal("-TERM");
    let (success, said) = run.end();
    assert!(success && said.contains("in epochs of half the length"), "{said}");
    // The same with a successor, which has the transactional id.
    more(100);
    let mut run = Life::start(&world.place, "p.yaml", &[], phase);
    run.reach(&world.place, phase);
    let of = Transactional { id: id.to_owned(), timeout: Duration::from_secs(60) };
    runtime.block_on(init_producer(&client, Some(&of), None)).expect("it takes over");
    std::fs::remove_file(&mark).expect("it was reached");
    let (success, said) = run.end();
    assert!(!success && said.contains("A0406"), "{said}");
    assert_eq!(faults(&world.ids("out"), 0..100), Vec::<String>::new(), "nothing of it is committed");
    let last = Life::start(&world.place, "p.yaml", &[], "");
    until("the next run goes on", || world.ids("out").len() == 200);
    last.stop();
    assert_eq!(faults(&world.ids("out"), 0..200), Vec::<String>::new());
}

#[test]
fn explain_promises_a_topic_what_it_gets_from_elsewhere() {
    let place = Place::new();
    place.write("in.jsonl", "");
    let explain = |source: &str, destinations: &str| {
        place.write("p.yaml", &format!("{{name: p, sources: [{source}], destinations: [{destinations}]}}"));
        place.acme_ok(&["explain", "p.yaml"])
    };
    let (file, topic) =
        ("{type: file, path: in.jsonl}", "{type: kafka, name: out, brokers: [\"a:1\"], topic: out}");
    let once = "exactly once: rows and the pipeline's progress take effect in one transaction";
    let said = explain(file, topic);
    assert!(said.contains(once) && said.contains("end to end  exactly once\n"), "{said}");
    // Only one transaction can hold the progress.
    let said =
        explain(file, &format!("{topic}, {{type: kafka, name: more, brokers: [\"a:1\"], topic: more}}"));
    assert!(said.contains("end to end  at least once, because of \"more\""), "{said}");
    let database =
        "{type: postgres, name: shop, connection: \"postgres://u@localhost/shop\", mode: cdc, tables: [t]}";
    let said = explain(database, topic);
    assert!(
        said.contains(once) && said.contains("rows that \"shop\" copies are at least once at \"out\""),
        "{said}"
    );
}

#[test]
fn the_topic_of_the_progress_goes_with_the_pipeline() {
    let world = World::start();
    world.topic("out", 1);
    world.place.write("in.jsonl", "{\"id\":0}\n");
    let pipeline = "{name: gone, mode: batch, sources: [{type: file, path: in.jsonl}], \
                    destinations: [{type: kafka, BROKERS, topic: out}]}";
    world.pipeline("p.yaml", pipeline);
    world.place.acme_ok(&["run", "p.yaml"]);
    let topics = || world.place.acme_ok(&["topics", "list", "--bootstrap-server", &world.kafka.bootstrap()]);
    assert!(topics().contains("acme.gone.commit\n"));
    let asked = world.place.acme(&["decommission", "gone"]);
    let said = text(&asked.stderr);
    assert!(said.contains("topic \"acme.gone.commit\"") && said.contains("add --yes"), "{said}");
    let done = world.place.acme_ok(&["decommission", "gone", "--yes"]);
    assert!(done.contains("dropped topic \"acme.gone.commit\"\n"), "{done}");
    until("it is gone", || !topics().contains("acme.gone.commit"));
    assert!(topics().contains("out\n"), "what was delivered stays");
    assert_eq!(world.ids("out").len(), 1);
    // Again, by its file: there is nothing left.
    let done = world.place.acme_ok(&["decommission", "p.yaml", "--yes"]);
    assert!(!done.contains("topic"), "{done}");
}
