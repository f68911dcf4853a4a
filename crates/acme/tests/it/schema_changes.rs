//! Tables that change while a pipeline reads them: it is planned again and goes on, and no row is lost, doubled or bent.

use crate::harness::Place;
use acme_lab::postgres::Postgres;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PIPELINE: &str = r#"
name: changing
sources:
  - {type: postgres, name: users_cdc, connection: "${DATABASE_URL}", mode: cdc, tables: [users], heartbeat_interval: 100ms}
transforms:
  - {type: map, fields: {op: "operation"}}
destinations:
  - {type: file, path: out.jsonl}
settings: {checkpoint: {interval: 50ms}}
"#;

/// A change, and a row as it is written and read after it.
const STEPS: &[(&str, &str, &str)] = &[
    ("", "(id, a, v, gone) VALUES ($, $, 'v', 'x')", r#""id":$,"a":$,"v":"v","gone":"x""#),
    (
        "ALTER TABLE users ADD age int",
        "(id, a, age) VALUES ($, $, 7)",
        r#""id":$,"a":$,"v":null,"gone":null,"age":7"#,
    ),
    (
        "ALTER TABLE users ADD city text DEFAULT 'Bonn'",
        "(id, a) VALUES ($, $)",
        r#""id":$,"a":$,"v":null,"gone":null,"age":null,"city":"Bonn""#,
    ),
    (
        "ALTER TABLE users DROP gone",
        "(id, a) VALUES ($, $)",
        r#""id":$,"a":$,"v":null,"age":null,"city":"Bonn""#,
    ),
    (
        "ALTER TABLE users RENAME a TO b",
        "(id, b) VALUES ($, $)",
        r#""id":$,"b":$,"v":null,"age":null,"city":"Bonn""#,
    ),
    (
        "ALTER TABLE users ALTER v TYPE text, ALTER b TYPE bigint",
        "(id, b, v) VALUES ($, $ + 30000000000, 'longer than ten')",
        r#""id":$,"b":3000000$,"v":"longer than ten","age":null,"city":"Bonn""#,
    ),
    (
        "ALTER TABLE users ALTER b TYPE text",
        "(id, b) VALUES ($, 'text $')",
        r#""id":$,"b":"text $","v":null,"age":null,"city":"Bonn""#,
    ),
    (
        "ALTER TABLE users DROP CONSTRAINT users_pkey, ALTER city SET NOT NULL, ADD PRIMARY KEY (id, city)",
        "(id, b) VALUES ($, 'key $')",
        r#""id":$,"b":"key $","v":null,"age":null,"city":"Bonn""#,
    ),
    (
        // In one transaction: else a look at the catalog between the two finds no table, and that ends the run.
        "BEGIN; DROP TABLE users; CREATE TABLE users (city text, id int PRIMARY KEY); COMMIT",
        "(id, city) VALUES ($, 'new')",
        r#""city":"new","id":$"#,
    ),
];
/// Rows of each step.
const ROWS: u64 = 300;

struct World {
    place: Place,
    postgres: Postgres,
}

impl World {
    fn start(pipeline: &str) -> Self {
        let (place, postgres) = (Place::new(), Postgres::start().expect("PostgreSQL starts"));
        postgres
            .psql(
                "CREATE TABLE users (id int PRIMARY KEY, a int, v varchar(10), gone text);
                 CREATE PUBLICATION acme_pub FOR ALL TABLES",
            )
            .expect("the table is made");
        place.write("p.yaml", pipeline);
        Self { place, postgres }
    }

    fn command(&self) -> Command {
        let mut command = self.place.command(&["run", "p.yaml"]);
        command.env("DATABASE_URL", self.postgres.url()).stdout(Stdio::null()).stderr(self.log());
        command
    }

    /// What the runs say goes into one file, so that a wait in vain can show it.
    fn log(&self) -> File {
        let open = OpenOptions::new().create(true).append(true).open(self.place.path("run.log"));
        open.expect("the directory can be written")
    }

    fn run(&self) -> Child {
        self.command().spawn().expect("the binary runs")
    }

    fn sql(&self, sql: &str) -> String {
        self.postgres.psql(sql).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Writes the rows of a step one by one, each in a transaction of its own, with the change somewhere among them.
    fn step(&self, step: usize) {
        let (change, row, _) = STEPS[step];
        let mut sql = format!("{change};\n");
        for id in 0..ROWS {
            let id = step as u64 * 1000 + id + 1000;
            sql.push_str(&format!("INSERT INTO users {};\n", row.replace('$', &id.to_string())));
        }
        self.sql(&sql);
    }

    fn wait(&self, what: &str, sql: &str) {
        let until = Instant::now() + Duration::from_secs(60);
        while self.sql(sql).trim() != "t" {
            assert!(Instant::now() < until, "waited in vain until {what}: {}", self.place.read("run.log"));
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Until the slot is followed.
    fn await_stream(&self) {
        self.wait(
            "the stream is followed",
            "SELECT count(*) > 0 FROM pg_stat_replication WHERE state = 'streaming'",
        );
    }

    /// Until the copy is committed.
    fn await_streaming(&self) {
        self.await_stream();
        self.sql("SELECT pg_logical_emit_message(true, 'test', 'the log moves on')");
        self.await_committed();
    }

    /// Until everything that is in the log now is committed.
    fn await_committed(&self) {
        let lsn = self.sql("SELECT pg_current_wal_insert_lsn()");
        let query = format!("SELECT confirmed_flush_lsn >= '{}' FROM pg_replication_slots", lsn.trim());
        self.wait("all is committed", &query);
    }

    /// All rows of the table that came out, in order, over all files.
    fn rows(&self) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(self.place.path("."))
            .expect("it is there")
            .flatten()
            .map(|entry| entry.file_name().into_string().expect("names are UTF-8"))
            .filter(|name| name.starts_with("out") && name.ends_with(".jsonl"))
            .collect();
        names.sort_by_key(|name| (name.len(), name.clone()));
        let texts: Vec<String> = names.iter().map(|name| self.place.read(name)).collect();
        texts.iter().flat_map(|text| text.lines()).map(str::to_owned).collect()
    }

    fn stop(&self, child: Child) -> String {
        self.place.acme_ok(&["stop", "changing"]);
        let output = child.wait_with_output().expect("it ends");
        let shown = self.place.read("run.log");
        assert!(output.status.success(), "{shown}");
        shown
    }
}

#[test]
fn nine_changes_of_a_table_under_load_and_every_row_comes_once_as_it_was_written() {
    let world = World::start(PIPELINE);
    let child = world.run();
    world.await_streaming();
    std::thread::scope(|scope| {
        // A second writer, whose rows fall before and behind every change as they may.
        scope.spawn(|| {
            for round in 0..60 {
                let first = 100_000 + round * 50;
                let _ = world.postgres.psql(&format!(
                    "INSERT INTO users (id) SELECT n FROM generate_series({first}, {first} + 49) n"
                ));
            }
        });
        for step in 0..STEPS.len() {
            world.step(step);
            // Else two changes may be one to the pipeline, and a row shows the later one.
            world.await_committed();
        }
    });
    world.await_committed();
    let shown = world.stop(child);
    for change in [
        "column \"age\" added (integer)",
        "column \"city\" added (text)",
        "column \"gone\" dropped",
        "column \"a\" renamed to \"b\"",
        "column \"v\" changed from character varying(10) to text",
        "column \"b\" changed from integer to bigint",
        "column \"b\" changed from bigint to text",
        "rows are now identified by id, city",
        "dropped and created again",
    ] {
        assert!(shown.contains(change), "{change} is not in {shown}");
    }
    let rows = world.rows();
    for (step, (_, _, expected)) in STEPS.iter().enumerate() {
        for id in 0..ROWS {
            let id = step as u64 * 1000 + id + 1000;
            let expected = expected.replace("3000000$", &(30_000_000_000 + id).to_string());
            let expected = format!("{{{},\"op\":\"INSERT\"}}", expected.replace('$', &id.to_string()));
            assert_eq!(rows.iter().filter(|row| **row == expected).count(), 1, "{expected}");
        }
    }
    let mut noise: BTreeMap<u64, u32> = BTreeMap::new();
    for row in &rows {
        let value: serde_json::Value = serde_json::from_str(row).expect("it is JSON");
        let id = value["id"].as_u64().expect("it has an id");
        if id >= 100_000 {
            *noise.entry(id).or_default() += 1;
        }
    }
    assert_eq!(rows.len() - noise.len(), STEPS.len() * ROWS as usize, "and no others");
    assert!(noise.len() >= 1000, "the second writer came through: {}", noise.len());
    assert!(noise.values().all(|count| *count == 1), "{noise:?}");
    println!("{} rows, {} of the second writer", rows.len(), noise.len());
}

#[test]
fn runs_that_are_killed_around_changes_lose_and_double_nothing() {
    let world = World::start(PIPELINE);
    let mut child = world.run();
    world.await_streaming();
    // Without the last step: its table is another one.
    for step in 0..STEPS.len() - 2 {
        world.step(step);
        if step % 2 == 1 {
            std::thread::sleep(Duration::from_millis(40 * step as u64));
            child.kill().expect("it runs");
            child.wait().expect("it ends");
            world.sql(&format!("INSERT INTO users (id) VALUES ({})", 90_000 + step));
            child = world.run();
        }
    }
    world.await_committed();
    world.stop(child);
    let mut found: BTreeMap<u64, serde_json::Value> = BTreeMap::new();
    for row in world.rows() {
        let value: serde_json::Value = serde_json::from_str(&row).expect("it is JSON");
        let id = value["id"].as_u64().expect("it has an id");
        assert!(found.insert(id, value).is_none(), "{id} comes twice");
    }
    for step in 0..STEPS.len() - 2 {
        for id in 0..ROWS {
            let id = step as u64 * 1000 + id + 1000;
            let row = found.get(&id).unwrap_or_else(|| panic!("{id} is lost"));
            // Under the name that the column had, or has now; as the type that it had, or has now.
            let value = [&row["a"], &row["b"]].into_iter().find(|value| !value.is_null());
            let value = value.unwrap_or_else(|| panic!("{id} has lost its value: {row}"));
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let expected = match step {
                5 => (30_000_000_000 + id).to_string(),
                6 => format!("text {id}"),
                _ => id.to_string(),
            };
            assert_eq!(value, expected, "{row}");
        }
    }
}

#[test]
fn a_change_that_the_pipeline_cannot_take_stops_it_and_a_corrected_one_goes_on_exactly_there() {
    let world = World::start(
        &PIPELINE.replace("transforms:", "transforms:\n  - {type: filter, condition: \"gone = 'x'\"}"),
    );
    let child = world.run();
    world.await_streaming();
    world.sql(
        "INSERT INTO users VALUES (1, 1, 'v', 'x'); INSERT INTO users VALUES (2, 1, 'v', 'y');
         ALTER TABLE users DROP gone; INSERT INTO users VALUES (3, 1, 'v')",
    );
    let output = child.wait_with_output().expect("it ends");
    let shown = world.place.read("run.log");
    assert_eq!(output.status.code(), Some(2), "{shown}");
    assert!(shown.contains("error[A0304]: users: column \"gone\" dropped"), "{shown}");
    assert!(shown.contains("error[A0202]") && shown.contains("correct the pipeline file"), "{shown}");
    assert_eq!(world.rows(), [r#"{"id":1,"a":1,"v":"v","gone":"x","op":"INSERT"}"#]);
    world.place.write("p.yaml", PIPELINE);
    let child = world.run();
    world.await_committed();
    world.stop(child);
    assert_eq!(world.rows()[1..], [r#"{"id":3,"a":1,"v":"v","op":"INSERT"}"#]);
}

#[test]
fn a_run_that_is_killed_at_each_step_of_a_change_goes_on_behind_it() {
    let world = World::start(PIPELINE);
    std::fs::create_dir(world.place.path("held")).expect("the directory can be written");
    world.sql("INSERT INTO users VALUES (0, 0, 'v', 'x')");
    let mut rows = vec![r#"{"id":0,"a":0,"v":"v","gone":"x","op":"INSERT"}"#.to_owned()];
    // In front of the change, with the rows before it committed, with the new plan, at the new plan's first commit.
    for (id, point) in (1..).zip(["postgres.changed", "run.changed", "run.planned", "epoch.stored"]) {
        let mut child = world.run();
        world.await_streaming();
        world.await_committed();
        child.kill().expect("it runs");
        child.wait().expect("it ends");
        let mut command = world.command();
        command.env("ACME_FAILPOINTS", format!("{}:{point}", world.place.path("held").display()));
        let mut child = command.spawn().expect("the binary runs");
        world.await_stream();
        world.sql(&format!(
            "INSERT INTO users (id, v) VALUES ({id}0, 'before'); ALTER TABLE users ADD c{id} int DEFAULT {id};
             INSERT INTO users (id, v) VALUES ({id}1, 'after')"
        ));
        let mark = world.place.path("held").join(point);
        let until = Instant::now() + Duration::from_secs(60);
        while !mark.exists() {
            assert!(Instant::now() < until, "the run never comes to {point}");
            std::thread::sleep(Duration::from_millis(5));
        }
        child.kill().expect("it runs");
        child.wait().expect("it ends");
        std::fs::remove_file(mark).expect("it is ours");
        let columns = |upto: i32| (1..=upto).map(|n| format!("\"c{n}\":{n},")).collect::<String>();
        // A row that was not committed before the kill is read by the table's new description.
        let before = if matches!(point, "postgres.changed" | "epoch.stored") { id } else { id - 1 };
        rows.push(format!(
            r#"{{"id":{id}0,"a":null,"v":"before","gone":null,{}"op":"INSERT"}}"#,
            columns(before)
        ));
        rows.push(format!(r#"{{"id":{id}1,"a":null,"v":"after","gone":null,{}"op":"INSERT"}}"#, columns(id)));
    }
    let child = world.run();
    world.await_streaming();
    world.await_committed();
    world.stop(child);
    assert_eq!(world.rows(), rows);
}

#[test]
fn a_table_that_changes_while_it_is_copied_is_copied_as_it_is_now() {
    let world = World::start(PIPELINE);
    std::fs::create_dir(world.place.path("held")).expect("the directory can be written");
    world.sql("INSERT INTO users SELECT n, n, 'v', 'x' FROM generate_series(1, 50) n");
    let mark = world.place.path("held/postgres.slot");
    let mut command = world.command();
    command.env("ACME_FAILPOINTS", format!("{}:postgres.slot", world.place.path("held").display()));
    let child = command.spawn().expect("the binary runs");
    let until = Instant::now() + Duration::from_secs(60);
    while !mark.exists() {
        assert!(Instant::now() < until, "the run never comes to the slot");
        std::thread::sleep(Duration::from_millis(5));
    }
    // The tables are described, and not yet copied.
    world.sql("ALTER TABLE users DROP gone; INSERT INTO users VALUES (51, 51, 'w')");
    std::fs::remove_file(mark).expect("it is ours");
    world.await_streaming();
    let shown = world.stop(child);
    assert!(shown.contains("column \"gone\" dropped; going on"), "{shown}");
    let mut rows = world.rows();
    rows.sort_unstable();
    rows.dedup();
    let row = |id: u32| {
        format!(r#"{{"id":{id},"a":{id},"v":"{}","op":"INSERT"}}"#, if id == 51 { "w" } else { "v" })
    };
    let mut expected: Vec<String> = (1..=51).map(row).collect();
    expected.sort_unstable();
    assert_eq!(rows, expected);
}
