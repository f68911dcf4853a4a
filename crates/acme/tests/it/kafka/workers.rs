//! The same file started several times: the partitions are shared, and nobody's are left.

use super::{World, faults};
use crate::harness::{stop, text, until};
use std::collections::BTreeSet;
use std::process::{Child, Stdio};

const PIPELINE: &str = r#"
name: shared
sources:
  - {type: kafka, name: in, BROKERS, topic: in, start_offset: START,
     properties: {session.timeout.ms: "3000", heartbeat.interval.ms: "300"}}
destinations: [{type: "null"}]
settings: {checkpoint: {interval: 50ms}}
"#;

/// Which partitions each worker has, as `acme status` shows it.
fn shares(world: &World) -> Vec<(u64, BTreeSet<String>, u64)> {
    let status = world.place.acme_ok(&["status", "--output", "json"]);
    let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
    let workers = status.as_array().expect("a list").iter().filter(|worker| worker["status"] == "running");
    let share = |worker: &serde_json::Value| {
        let splits = worker["splits"].as_array().into_iter().flatten();
        let names = splits.map(|split| split["split"].as_str().expect("a name").to_owned());
        (
            worker["pid"].as_u64().expect("a number"),
            names.collect(),
            worker["rows_in"].as_u64().expect("a number"),
        )
    };
    workers.map(share).collect()
}

/// Whether so many workers share all partitions, no partition with two.
fn is_shared(world: &World, workers: usize, partitions: usize, least: usize) -> bool {
    let shares = shares(world);
    let all: BTreeSet<&String> = shares.iter().flat_map(|(_, names, _)| names).collect();
    let sum: usize = shares.iter().map(|(_, names, _)| names.len()).sum();
    shares.len() == workers
        && all.len() == partitions
        && sum == partitions
        && shares.iter().all(|(_, names, _)| names.len() >= least)
}

fn worker(world: &World) -> Child {
    world.run("p.yaml").spawn().expect("the binary runs")
}

#[test]
fn partitions_are_shared_taken_over_and_found_when_they_are_added() {
    let world = World::start();
    world.topic("in", 4);
    world.pipeline("p.yaml", &PIPELINE.replace("START", "earliest"));
    let first = worker(&world);
    until("one worker has all", || is_shared(&world, 1, 4, 4));
    let mut second = worker(&world);
    until("two workers share", || is_shared(&world, 2, 4, 2));
    let third = worker(&world);
    until("three workers share", || is_shared(&world, 3, 4, 1));
    second.kill().expect("it is killed");
    second.wait().expect("it is gone");
    until("the others take over", || is_shared(&world, 2, 4, 2));
    let table = world.place.acme_ok(&["status"]);
    assert!(table.contains("in-3") && table.contains("Worker"), "{table}");
    // A partition that is added is read from its beginning.
    let mut alter = world
        .kafka
        .tool("org.apache.kafka.tools.TopicCommand", &["--alter", "--topic", "in", "--partitions", "5"])
        .expect("the tool is there");
    assert!(alter.stdout(Stdio::null()).stderr(Stdio::null()).status().expect("it runs").success());
    let lines: String = (0..50).map(|id| format!("{{\"id\":{id}}}\n")).collect();
    world.produce(&["-t", "in", "-p", "4"], &lines);
    until("the added partition is read from its beginning", || {
        shares(&world).iter().map(|(_, _, rows)| rows).sum::<u64>() == 50
    });
    for worker in [first, third] {
        let output = stop(worker);
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
}

#[test]
fn a_worker_that_is_killed_and_starts_again_takes_its_place_at_once_and_one_that_ends_frees_it() {
    let world = World::start();
    world.topic("in", 4);
    // Nothing that is waited for below can come of its end.
    let pipeline = PIPELINE.replace("session.timeout.ms: \"3000\"", "session.timeout.ms: \"600000\"");
    world.pipeline("p.yaml", &pipeline.replace("START", "earliest"));
    let mut first = worker(&world);
    until("one worker has all", || is_shared(&world, 1, 4, 4));
    first.kill().expect("it is killed");
    first.wait().expect("it is gone");
    let first = worker(&world);
    until("it has all again", || is_shared(&world, 1, 4, 4));
    let mut second = worker(&world);
    until("two workers share", || is_shared(&world, 2, 4, 2));
    second.kill().expect("it is killed");
    second.wait().expect("it is gone");
    let second = worker(&world);
    until("they share again", || is_shared(&world, 2, 4, 2));
    assert!(stop(second).status.success());
    until("the other has all", || is_shared(&world, 1, 4, 4));
    assert!(stop(first).status.success());
}

#[test]
fn start_offset_counts_once_for_all_workers_of_a_group() {
    let world = World::start();
    world.topic("in", 3);
    let lines =
        |ids: std::ops::Range<i64>| ids.map(|id| format!("{id}\t{{\"id\":{id}}}\n")).collect::<String>();
    world.produce(&["-t", "in", "-K", "\t"], &lines(0..300));
    world.topic("out", 1);
    let pipeline =
        PIPELINE.replace("START", "latest").replace("{type: \"null\"}", "{type: kafka, BROKERS, topic: out}");
    world.pipeline("p.yaml", &pipeline);
    // All at once: whoever is first resolves where they begin.
    let workers: Vec<Child> = (0..3).map(|_| worker(&world)).collect();
    until("three workers share", || is_shared(&world, 3, 3, 1));
    world.produce(&["-t", "in", "-K", "\t"], &lines(300..600));
    until("the new records are read", || world.ids("out").len() >= 300);
    for worker in workers {
        let output = stop(worker);
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    assert_eq!(
        faults(&world.ids("out"), 300..600),
        Vec::<String>::new(),
        "nothing from before, nothing twice"
    );
    // What comes while nobody runs is read by the next one, whatever `start_offset` says.
    world.produce(&["-t", "in", "-K", "\t"], &lines(600..900));
    let next = worker(&world);
    until("the group goes on where it was", || world.ids("out").len() >= 600);
    assert!(stop(next).status.success());
    assert_eq!(faults(&world.ids("out"), 300..900), Vec::<String>::new());
}

#[test]
fn into_a_file_one_worker_reads_everything_and_a_restart_goes_on_exactly_there() {
    let world = World::start();
    world.topic("in", 3);
    let pipeline =
        PIPELINE.replace("START", "earliest").replace("type: \"null\"", "type: file, path: out/rows.jsonl");
    world.pipeline("p.yaml", &pipeline);
    let mut written = 0;
    for _ in 0..4 {
        let mut run = worker(&world);
        until("some rows more are committed", || {
            let lines: String =
                (written..written + 200).map(|id| format!("{id}\t{{\"id\":{id}}}\n")).collect();
            world.produce(&["-t", "in", "-K", "\t"], &lines);
            written += 200;
            crate::harness::counted(&world.place, "commits") > 2
        });
        let second = world.run("p.yaml").output().expect("the binary runs");
        assert!(text(&second.stderr).contains("is running already"), "{}", text(&second.stderr));
        run.kill().expect("it is killed");
        run.wait().expect("it is gone");
    }
    let last = worker(&world);
    until("all is read", || shares(&world).iter().map(|(_, splits, _)| splits.len()).sum::<usize>() == 3);
    until("nothing is left", || {
        let status = world.place.acme_ok(&["status", "--output", "json"]);
        let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
        status[0]["splits"]
            .as_array()
            .expect("a list")
            .iter()
            .all(|split| split["lag_records"] == 0 && split["end"] != 0)
    });
    assert!(stop(last).status.success());
    let mut ids = std::collections::BTreeMap::new();
    for entry in std::fs::read_dir(world.place.path("out")).expect("it is there") {
        let file = std::fs::read_to_string(entry.expect("an entry").path()).expect("text");
        for line in file.lines() {
            let row: serde_json::Value = serde_json::from_str(line).expect("a whole line");
            *ids.entry(row["id"].as_i64().expect("an id")).or_insert(0) += 1;
        }
    }
    assert_eq!(faults(&ids, 0..written), Vec::<String>::new());
}
