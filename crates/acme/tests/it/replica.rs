//! A replica of many tables in another PostgreSQL, under load, while everything is killed, restarted and cut.

use crate::exactness::{differences, missing_or_twice};
use crate::harness::Place;
use crate::lives::{Hits, Life, PATIENCE, clear_marks, until};
use acme_lab::postgres::Postgres;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

const PIPELINE: &str = include_str!("../../../../examples/replica.yaml");

const TABLES: &str = r#"
CREATE SCHEMA shop;
CREATE TABLE shop.customers (id bigint PRIMARY KEY, name text NOT NULL, balance numeric(12,2), tags text[], profile jsonb,
  born date, seen timestamptz, token uuid, active boolean, photo bytea, note text);
CREATE TABLE shop."order lines" (order_id int, line smallint, sku varchar(20), price numeric(38,10), at timestamp,
  PRIMARY KEY (order_id, line));
CREATE TABLE shop.events (id uuid PRIMARY KEY, kind text, payload json, ip inet, amount numeric, ratio double precision);
ALTER TABLE shop.customers ALTER note SET STORAGE EXTERNAL;
"#;

/// The tables: as SQL names them, how many columns their keys have.
const COPIED: [(&str, usize); 3] = [("shop.customers", 1), ("shop.\"order lines\"", 2), ("shop.events", 1)];

fn customers(from: u64, count: u64) -> String {
    format!(
        "INSERT INTO shop.customers SELECT n, 'name ' || n, n / 100.0, ARRAY['a' || n, NULL, 'x,y'],
           jsonb_build_object('n', n, 'deep', ARRAY[n]), date '2000-01-01' + (n % 9000)::int, now(), gen_random_uuid(), n % 2 = 0,
           decode(md5(n::text), 'hex'), CASE WHEN n % 50 = 0 THEN repeat(md5(n::text), 200) END
         FROM generate_series({from}, {from} + {count} - 1) n;\n"
    )
}

/// The changes of one round: several transactions over all tables, one of them rolled back.
fn round(at: u64) -> String {
    let first = 100_000 + at * 40;
    let (a, b, c) = (at % 53, at % 211, at % 307);
    let mut sql = String::from("BEGIN;\n");
    sql += &customers(first, 40);
    sql += &format!(
        r#"UPDATE shop.customers SET balance = balance + {at}, seen = clock_timestamp() WHERE id % 53 = {a};
           UPDATE shop.customers SET active = NOT active WHERE id % 50 = 0 AND id % 7 = {at} % 7;
           INSERT INTO shop."order lines" SELECT {at} * 10 + o, l, 'sku ' || o, o + l / 3.0, now() FROM generate_series(1, 9) o, generate_series(1, 5) l;
           COMMIT;
           DELETE FROM shop.customers WHERE id % 211 = {b};
           UPDATE shop.customers SET id = -id WHERE id > 0 AND id % 307 = {c};
           BEGIN; DELETE FROM shop.customers; ROLLBACK;
           UPDATE shop."order lines" SET line = line + 100 WHERE line < 100 AND order_id % 17 = {at} % 17;
           INSERT INTO shop.events SELECT gen_random_uuid(), 'kind ' || n, json_build_object('n', n), '10.0.0.0'::inet + n, n / 7.0, n / 3.0::float8 FROM generate_series(1, 20) n;
           "#
    );
    if at % 20 == 19 {
        sql += "TRUNCATE shop.\"order lines\";\n";
    }
    sql
}

struct World {
    place: Place,
    source: Postgres,
    target: Postgres,
    hits: Hits,
}

impl World {
    fn start() -> Self {
        let source = Postgres::start().expect("PostgreSQL starts");
        source.psql(TABLES).expect("the tables are made");
        source.psql(&customers(1, 30_000)).expect("they are filled");
        let target = Postgres::start().expect("PostgreSQL starts");
        let place = Place::new();
        place.write("replica.yaml", PIPELINE);
        Self { place, source, target, hits: Hits::default() }
    }

    fn life(&self, points: &str) -> Life {
        clear_marks(&self.place.path("marks"));
        let (source, target) = (self.source.url(), self.target.url());
        Life::start(&self.place, "replica.yaml", &[("SOURCE_URL", &source), ("TARGET_URL", &target)], points)
    }

    /// One life that ends at this place.
    fn die_at(&mut self, point: &str) {
        let mut life = self.life(point);
        life.reach(&self.place, point);
        life.kill();
        self.hits.add(point.split_once('@').map_or(point, |(name, _)| name));
    }

    /// What our session in the target is doing: nothing, or in the middle of an epoch.
    fn phase(&self) -> &'static str {
        let sql = "SELECT count(*) FROM pg_stat_activity a JOIN acme_position p ON a.pid = p.backend WHERE xact_start IS NOT NULL";
        match self.target.psql(sql) {
            Ok(count) if count.trim() == "0" => "between epochs",
            Ok(_) => "open epoch",
            Err(_) => "no target",
        }
    }

    /// Everything in which the target differs from the source.
    fn differences(&self) -> Vec<String> {
        let mut all = Vec::new();
        for (table, key) in COPIED {
            let dump = |postgres: &Postgres| {
                postgres.psql(&format!("SELECT * FROM {table} ORDER BY 1, 2")).unwrap_or_default()
            };
            let (expected, found) = (dump(&self.source), dump(&self.target));
            all.extend(
                differences(&expected, &found, key).into_iter().map(|fault| format!("{table}: {fault}")),
            );
        }
        all
    }

    #[track_caller]
    fn settle(&self, life: &mut Life) {
        let end = Instant::now() + PATIENCE;
        loop {
            let faults = self.differences();
            if faults.is_empty() {
                return;
            }
            assert!(life.is_alive(), "the run ended");
            assert!(
                Instant::now() < end,
                "{} differences: {:#?}",
                faults.len(),
                &faults[..faults.len().min(5)]
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

/// Where a life of the replica is ended, in this order: the first four are reached only before the copy is done.
const ENDS: &[&str] = &[
    "postgres.slot",
    "postgres.commit@1",
    "postgres.copy",
    "postgres.copy@3",
    "postgres.handover",
    "postgres.stream",
    "sink.write@2",
    "sink.written@2",
    "epoch.barrier@2",
    "epoch.prepared@2",
    "epoch.stored@2",
    "postgres.commit@2",
    "postgres.commit@3",
    "epoch.committed@1",
    "epoch.published@2",
    "postgres.release",
    "sink.written@4",
    "epoch.prepared@1",
    "postgres.commit@4",
];

/// Round after round, until it is done.
fn write(program: &Path, url: &str, done: &AtomicBool, rounds: &AtomicU32) {
    let mut at = 0;
    while !done.load(Ordering::Relaxed) {
        let output = Command::new(program)
            .args([url, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", "SET search_path = shop"])
            .args(round(at).split_inclusive(";\n").flat_map(|statement| ["-c", statement]))
            .output()
            .expect("psql runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        at += 1;
        rounds.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn every_table_equals_its_source_whatever_is_killed_restarted_or_cut() {
    let mut world = World::start();
    let (done, rounds) = (AtomicBool::new(false), AtomicU32::new(0));
    // The writer works from the first life on, until the last kill.
    let url = world.source.url();
    let program = world.source.programs().join("psql");
    std::thread::scope(|scope| {
        scope.spawn(|| write(&program, &url, &done, &rounds));
        // Whatever fails below must not leave the writer behind.
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for point in ENDS {
                world.die_at(point);
            }
            for kill in 0..8_u64 {
                let life = world.life("");
                std::thread::sleep(Duration::from_millis(300 + kill * 137 % 500));
                let phase = world.phase();
                life.kill();
                world.hits.add(phase);
            }
            // One life that sees its sessions cut and its server restarted.
            let mut life = world.life("");
            for cut in 0..12 {
                std::thread::sleep(Duration::from_millis(150));
                let end = "SELECT pg_terminate_backend(backend) FROM acme_position";
                match cut {
                    4 => world.target.restart().expect("it restarts"),
                    8 => {
                        world.target.stop_immediate().expect("it stops");
                        world.target.start_again().expect("it starts");
                    }
                    _ => drop(world.target.psql(end)),
                }
                assert!(life.is_alive(), "the run ended after cut {cut}");
            }
            life
        }));
        done.store(true, Ordering::Relaxed);
        let mut life = result.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        world.settle(&mut life);
        life.stop();
    });
    world.hits.require(&[
        "postgres.slot",
        "postgres.copy",
        "postgres.handover",
        "postgres.stream",
        "postgres.commit",
        "postgres.release",
        "sink.write",
        "sink.written",
        "epoch.barrier",
        "epoch.prepared",
        "epoch.stored",
        "epoch.committed",
        "epoch.published",
        "open epoch",
    ]);
    let rounds = rounds.load(Ordering::Relaxed);
    println!("{rounds} rounds of changes");
    assert!(rounds > 50, "only {rounds} rounds of changes");
    planted(&world);
}

/// The checker is given a loss, an extra row and a stale one.
fn planted(world: &World) {
    let plant = |sql: &str, word: &str| {
        world.target.psql(sql).expect("it is planted");
        let faults = world.differences();
        assert!(faults.len() == 1 && faults[0].contains(word), "{word}: {faults:?}");
    };
    let one = "(SELECT min(id) FROM shop.customers)";
    plant(
        &format!(
            "UPDATE shop.customers SET id = 0 WHERE id = {one} AND false; DELETE FROM shop.events WHERE id = (SELECT min(id::text)::uuid FROM shop.events)"
        ),
        "lost",
    );
    let source = world.source.psql("SELECT min(id::text) FROM shop.events").expect("there is one");
    world
        .source
        .psql(&format!("DELETE FROM shop.events WHERE id = '{}'", source.trim()))
        .expect("it is there");
    plant("INSERT INTO shop.events (id) VALUES (gen_random_uuid())", "extra");
    world.target.psql("DELETE FROM shop.events WHERE kind IS NULL").expect("it is there");
    plant(&format!("UPDATE shop.customers SET balance = balance + 1 WHERE id = {one}"), "stale");
}

const APPEND: &str = r#"
name: append
mode: MODE
sources: [SOURCE]
destinations: [{type: postgres, connection: "${TARGET_URL}", table: rows, mode: append}]
settings: {checkpoint: {interval: 40ms, store: "file://STORE"}}
"#;

fn append(place: &Place, mode: &str, source: &str) {
    let store = place.path("store").display().to_string();
    place.write(
        "append.yaml",
        &APPEND.replace("MODE", mode).replace("SOURCE", source).replace("STORE", &store),
    );
}

/// Each row once, by its identity; the last one if the source has an end.
#[track_caller]
fn each_once(target: &Postgres, rows: Option<u64>) {
    let found = target.psql("SELECT n FROM rows").expect("the table is there");
    let last = rows.unwrap_or_else(|| found.lines().filter_map(|line| line.parse().ok()).max().unwrap_or(0));
    let faults = missing_or_twice(&found, last);
    assert!(faults.is_empty(), "{} faults: {:?}", faults.len(), &faults[..faults.len().min(5)]);
}

#[test]
fn appended_rows_are_there_once_each_whatever_is_killed() {
    let generator = "{type: generator, rows: 300000, rate: 60000, fields: {n: sequence, word: \"text(20)\"}}";
    let file = "{type: file, path: in.jsonl}";
    for (source, name, rows) in [(generator, "generator", 300_000), (file, "file", 1_000_000)] {
        let target = Postgres::start().expect("PostgreSQL starts");
        let place = Place::new();
        append(&place, "batch", source);
        let lines: String =
            (1..=rows).map(|n| format!("{{\"n\":{n},\"word\":\"some text for row {n}\"}}\n")).collect();
        place.write("in.jsonl", &lines);
        let url = target.url();
        let environment = [("TARGET_URL", url.as_str())];
        let mut hits = Hits::default();
        for point in [
            "postgres.commit@1",
            "sink.write@2",
            "sink.written@2",
            "epoch.barrier",
            "epoch.prepared",
            "postgres.commit@2",
            "epoch.committed",
            "epoch.published",
            "sink.written@3",
            "postgres.commit@2",
        ] {
            clear_marks(&place.path("marks"));
            let mut life = Life::start(&place, "append.yaml", &environment, point);
            life.reach(&place, point);
            life.kill();
            hits.add(point.split_once('@').map_or(point, |(name, _)| name));
        }
        let (success, words) = Life::start(&place, "append.yaml", &environment, "").end();
        assert!(success, "{words}");
        println!("{name}:");
        hits.require(&["postgres.commit", "sink.written", "epoch.prepared", "epoch.committed"]);
        each_once(&target, Some(rows));
        target.psql("INSERT INTO rows SELECT * FROM rows WHERE n = 7").expect("it is planted");
        let caught = std::panic::catch_unwind(|| each_once(&target, Some(rows)));
        assert!(caught.is_err(), "a checker that cannot fail is not a test");
    }
}

#[test]
fn a_zombie_that_wakes_up_after_its_successor_began_commits_nothing_more() {
    for point in ["sink.written@6", "epoch.prepared@4", "postgres.commit@4"] {
        let target = Postgres::start().expect("PostgreSQL starts");
        let place = Place::new();
        append(&place, "streaming", "{type: generator, rate: 20000, fields: {n: sequence}}");
        let url = target.url();
        let environment = [("TARGET_URL", url.as_str())];
        let mut zombie = Life::start(&place, "append.yaml", &environment, point);
        zombie.reach(&place, point);
        zombie.signal("-STOP");
        clear_marks(&place.path("marks"));
        let elsewhere = place.path("elsewhere").display().to_string();
        let successor = [environment[0], ("ACME_STATE_DIR", elsewhere.as_str())];
        let mut successor = Life::start(&place, "append.yaml", &successor, "");
        let count =
            || target.psql("SELECT count(*) FROM rows").map_or(0, |count| count.trim().parse().unwrap_or(0));
        let before: u64 = count();
        until("the successor has committed", || {
            assert!(successor.is_alive());
            count() > before + 5_000
        });
        zombie.signal("-CONT");
        let (success, words) = zombie.end();
        assert!(!success && words.contains("A0406"), "{point}: {words}");
        let owner = target.psql("SELECT count(*) FROM acme_position").expect("it is there");
        assert_eq!(owner.trim(), "1");
        let now = count();
        until("the successor goes on", || count() > now);
        successor.stop();
        each_once(&target, None);
        println!("{point}: {} rows, each once", count());
    }
}

/// A destination that can hold the progress is added to a pipeline that has kept it elsewhere so far.
#[test]
fn a_pipeline_takes_its_progress_along_into_the_database() {
    let target = Postgres::start().expect("PostgreSQL starts");
    let place = Place::new();
    let run = |destination: &str| {
        let text = format!(
            "name: moved\nsources: [{{type: generator, rate: 20000, fields: {{n: sequence}}}}]\n\
             destinations: [{destination}]\nsettings: {{checkpoint: {{interval: 50ms}}}}\n"
        );
        place.write("moved.yaml", &text);
        let mut life = Life::start(&place, "moved.yaml", &[("TARGET_URL", &target.url())], "");
        std::thread::sleep(Duration::from_millis(700));
        assert!(life.is_alive());
        life.stop();
    };
    run("{type: file, path: out.jsonl}");
    run("{type: postgres, connection: \"${TARGET_URL}\", table: rows}");
    run("{type: postgres, connection: \"${TARGET_URL}\", table: rows}");
    let numbers = |text: &str| {
        let digits = |line: &str| line.chars().filter(char::is_ascii_digit).collect::<String>();
        text.lines().map(digits).collect::<Vec<_>>()
    };
    let mut all = numbers(&place.read("out.jsonl"));
    let before = all.len();
    all.extend(numbers(&target.psql("SELECT n FROM rows").expect("it is there")));
    assert!(before > 100 && all.len() > before + 100, "{before} rows, then {}", all.len());
    let faults = missing_or_twice(&all.join("\n"), all.len() as u64);
    assert!(faults.is_empty(), "{} faults: {:?}", faults.len(), &faults[..faults.len().min(5)]);
}
