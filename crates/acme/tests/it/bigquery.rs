//! From a generator and from files to BigQuery, killed in each narrow phase: every row is there once, by its own id.

use crate::harness::Place;
use crate::lives::{Hits, Life, until};
use acme_lab::bigquery::Emulator;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::LazyLock;

static EMULATOR: LazyLock<Emulator> = LazyLock::new(|| Emulator::start().expect("the emulator starts"));

/// The phases between the first byte and the last, and how often each is passed before the kill.
const PHASES: [&str; 9] = [
    "sink.write@2",
    "sink.written@3",
    "epoch.barrier@2",
    "bigquery.prepared@2",
    "epoch.prepared@2",
    "epoch.stored@2",
    "epoch.committed@2",
    "bigquery.committed@1",
    "epoch.published@2",
];

struct World {
    place: Place,
    environment: Vec<(&'static str, String)>,
}

impl World {
    fn new(dataset: &str, pipeline: &str) -> Self {
        EMULATOR.dataset(dataset).expect("it can be made");
        let place = Place::new();
        place.write("p.yaml", pipeline);
        let environment = vec![
            ("BIGQUERY_EMULATOR_HOST", EMULATOR.rest()),
            ("BIGQUERY_STORAGE_EMULATOR_HOST", EMULATOR.storage()),
            ("GOOGLE_CLOUD_PROJECT", "lab".to_owned()),
        ];
        Self { place, environment }
    }

    fn start(&self, points: &str) -> Life {
        let environment: Vec<(&str, &str)> =
            self.environment.iter().map(|(name, value)| (*name, &**value)).collect();
        Life::start(&self.place, "p.yaml", &environment, points)
    }

    /// Kills a life at a place.
    fn kill_at(&self, point: &str, hits: &mut Hits) {
        let _ = std::fs::remove_dir_all(self.place.path("marks"));
        let mut life = self.start(point);
        life.reach(&self.place, point);
        life.kill();
        hits.add(point.split_once('@').map_or(point, |(name, _)| name));
    }

    /// Runs to the end.
    fn finish(&self) -> String {
        let (success, words) = self.start("").end();
        assert!(success, "{words}");
        words
    }
}

fn query(sql: &str) -> Vec<String> {
    EMULATOR.query(sql).expect("the emulator answers")
}

/// A file of rows with these ids.
fn lines(ids: std::ops::Range<u32>) -> String {
    ids.fold(String::new(), |mut text, id| {
        writeln!(text, r#"{{"id":{id},"name":"n{id}"}}"#).expect("memory takes all");
        text
    })
}

#[test]
fn every_row_is_there_once_whatever_dies() {
    let world = World::new(
        "kills",
        "name: kills\nsources:\n  - {type: file, path: in.jsonl}\n\
         destinations:\n  - {type: bigquery, table: kills.t, flush_interval: 100ms}\n\
         settings: {checkpoint: {interval: 50ms}}\n",
    );
    let mut hits = Hits::default();
    let mut next = 0;
    world.place.write("in.jsonl", "");
    for round in 0..2 {
        for point in PHASES {
            let _ = std::fs::remove_dir_all(world.place.path("marks"));
            let mut life = world.start(point);
            let name = point.split_once('@').expect("it has a number").0;
            let mark = world.place.path("marks").join(name);
            // Rows come all the time, so that each epoch has some.
            until(&format!("{point} is reached"), || {
                world.place.append("in.jsonl", &lines(next..next + 7));
                next += 7;
                assert!(life.is_alive() || mark.exists(), "{point} in round {round}: {}", life.last_words());
                mark.exists()
            });
            life.kill();
            hits.add(name);
        }
    }
    let mut life = world.start("");
    let all = next.to_string();
    until("all rows are there", || {
        assert!(life.is_alive(), "{}", life.last_words());
        query("SELECT COUNT(DISTINCT id) FROM kills.t") == [&*all]
    });
    life.stop();
    hits.require(&PHASES.map(|point| point.split_once('@').expect("it has a number").0));
    assert_eq!(faults("kills.t", next), Vec::<String>::new());
    // The checker itself: it must find a row that is there twice, and one that is not there.
    query("INSERT INTO kills.t VALUES (5, 'n5')");
    assert_eq!(faults("kills.t", next), ["5 is there 2 times"]);
    query("DELETE FROM kills.t WHERE id IN (5, 6)");
    assert_eq!(faults("kills.t", next), ["5 is missing", "6 is missing"]);
}

/// What is wrong with a table that must hold each id below a number once.
fn faults(table: &str, ids: u32) -> Vec<String> {
    let doubled =
        query(&format!("SELECT id, COUNT(*) AS n FROM {table} GROUP BY id HAVING COUNT(*) > 1 ORDER BY id"));
    let mut faults: Vec<String> =
        (doubled.iter()).map(|line| line.replace('|', " is there ") + " times").collect();
    let found: BTreeSet<String> = query(&format!("SELECT DISTINCT id FROM {table}")).into_iter().collect();
    faults
        .extend((0..ids).filter(|id| !found.contains(&id.to_string())).map(|id| format!("{id} is missing")));
    faults
}

#[test]
fn a_table_is_replaced_by_a_whole_batch_and_by_nothing_less() {
    let world = World::new(
        "whole",
        "name: whole\nmode: batch\nsources:\n  - {type: file, path: in.jsonl}\n\
         destinations:\n  - {type: bigquery, table: whole.t, write_mode: truncate}\n\
         settings: {checkpoint: {interval: 20ms}}\n",
    );
    let rows = || query("SELECT COUNT(*), COUNT(DISTINCT id), MIN(id), MAX(id) FROM whole.t");
    world.place.write("in.jsonl", &lines(0..10));
    let words = world.finish();
    assert!(words.contains("CREATE TABLE `lab.whole.t` (`id` INT64, `name` STRING)"), "{words}");
    assert_eq!(rows(), ["10|10|0|9"]);
    // The next batch is larger than what is under way at once. It is asked to end in its middle: the table stays as it is.
    let wide = lines(1000..6000).replace(r#""name":"n"#, &format!(r#""name":"{}"#, "x".repeat(4000)));
    world.place.write("in.jsonl", &wide);
    let mut life = world.start("sink.written@1");
    life.reach(&world.place, "sink.written");
    life.signal("-TERM");
    std::fs::remove_file(world.place.path("marks/sink.written")).expect("it was reached");
    let (_, words) = life.end();
    assert_eq!(rows(), ["10|10|0|9"], "{words}");
    let mut hits = Hits::default();
    for point in
        ["epoch.prepared", "epoch.committed", "bigquery.committed", "bigquery.merged", "epoch.published"]
    {
        world.kill_at(point, &mut hits);
    }
    world.finish();
    hits.require(&["epoch.prepared", "epoch.committed", "bigquery.merged"]);
    assert_eq!(rows(), ["5000|5000|1000|5999"]);
}

#[test]
fn explain_says_what_each_interface_promises() {
    let world = World::new("promises", "");
    for (api, promise) in [
        ("storage_write", "exactly once: rows are prepared and take effect with the commit"),
        ("insert_all", "at least once: rows since the last commit come again after a crash"),
    ] {
        world.place.write(
            "p.yaml",
            &format!(
                "name: p\nmode: batch\nsources:\n  - {{type: file, path: in.jsonl}}\n\
                 destinations:\n  - {{type: bigquery, table: promises.t, api: {api}}}\n"
            ),
        );
        world.place.write("in.jsonl", "{}\n");
        let shown = world.place.acme_ok(&["explain", "p.yaml"]);
        assert!(shown.contains(promise), "{shown}");
    }
}
