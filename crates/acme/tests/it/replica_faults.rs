//! A replica whose source changes its tables, whose target refuses rows, or whose progress is lost.

use crate::harness::Place;
use crate::lives::{Life, until};
use acme_lab::postgres::Postgres;

const PIPELINE: &str = r#"
name: copy
sources:
  - {type: postgres, connection: "${SOURCE_URL}", mode: cdc, tables: [TABLES]}
destinations:
  - {type: postgres, name: copy, connection: "${TARGET_URL}", table: "{schema}.{table}"}
LETTERS
settings: {checkpoint: {interval: 50ms}, errors: {ERRORS}}
"#;

struct World {
    place: Place,
    source: Postgres,
    target: Postgres,
}

impl World {
    fn start(tables: &str, source: &str, target: &str, errors: &str) -> Self {
        let world = Self {
            place: Place::new(),
            source: Postgres::start().expect("PostgreSQL starts"),
            target: Postgres::start().expect("PostgreSQL starts"),
        };
        world.source.psql(source).expect("the tables are made");
        world.target.psql(target).expect("the tables are made");
        let letters =
            if errors.contains("dead") { "  - {type: file, name: dead, path: dead.jsonl}" } else { "" };
        let text = PIPELINE.replace("TABLES", tables).replace("LETTERS", letters).replace("ERRORS", errors);
        world.place.write("p.yaml", &text);
        world
    }

    fn run(&self) -> Life {
        let (source, target) = (self.source.url(), self.target.url());
        Life::start(&self.place, "p.yaml", &[("SOURCE_URL", &source), ("TARGET_URL", &target)], "")
    }

    fn change(&self, sql: &str) {
        self.source.psql(sql).unwrap_or_else(|error| panic!("{error}"));
    }

    fn found(&self, sql: &str) -> String {
        self.target.psql(sql).unwrap_or_default().trim().to_owned()
    }

    /// Waits until the target answers so.
    #[track_caller]
    fn holds(&self, life: &mut Life, sql: &str, expected: &str) {
        let mut last = String::new();
        until(&format!("{sql} is {expected}"), || {
            last = self.found(sql);
            last == expected || !life.is_alive()
        });
        assert_eq!(last, expected, "{sql}: {}", life.last_words());
    }

    /// Waits until both sides answer the same.
    #[track_caller]
    fn equal(&self, life: &mut Life, sql: &str) {
        let expected = self.source.psql(sql).expect("the source answers").trim().to_owned();
        self.holds(life, sql, &expected);
    }

    /// Waits for an end in failure, and returns what was said.
    #[track_caller]
    fn refusal(&self, life: Life) -> String {
        let (success, words) = life.end();
        assert!(!success, "{words}");
        words
    }
}

/// The SQL that a message tells to run, between these words.
fn remedy<'a>(words: &'a str, from: &str, to: &str) -> &'a str {
    let rest = words.split_once(from).unwrap_or_else(|| panic!("no {from:?} in {words}")).1;
    rest.split_once(to).unwrap_or_else(|| panic!("no {to:?} in {words}")).0
}

#[test]
fn columns_that_a_source_gets_are_in_the_replica_with_all_their_values() {
    let rows = "CREATE TABLE t (id int PRIMARY KEY, a text); INSERT INTO t SELECT n, 'a' || n FROM generate_series(1, 50) n";
    let world = World::start("t", rows, "", "policy: stop");
    let mut life = world.run();
    world.equal(&mut life, "SELECT * FROM t ORDER BY id");
    for (at, column) in [
        "b int",
        "c numeric(8,2) DEFAULT 1.5",
        "d text NOT NULL DEFAULT 'it''s'",
        "e timestamptz DEFAULT now()",
        "\"F g\" text[] DEFAULT '{x,NULL}'",
    ]
    .iter()
    .enumerate()
    {
        // Rows before the change, some of which are never touched again, and behind it.
        let id = 100 + at * 10;
        world.change(&format!(
            "INSERT INTO t (id, a) VALUES ({id}, 'before'); ALTER TABLE t ADD COLUMN {column};
             INSERT INTO t (id, a) VALUES ({id} + 1, 'after'); UPDATE t SET a = 'touched {at}' WHERE id = {at} + 1"
        ));
        world.equal(&mut life, "SELECT * FROM t ORDER BY id");
    }
    // A column that goes stays in the replica; new rows have nothing in it.
    world.change("ALTER TABLE t DROP COLUMN b; INSERT INTO t (id, a) VALUES (200, 'x')");
    world.holds(&mut life, "SELECT a, b IS NULL FROM t WHERE id = 200", "x|t");
    // A new name is not guessed: it could also be one column that went, and another.
    world.change("ALTER TABLE t RENAME COLUMN a TO z; INSERT INTO t (id, z) VALUES (201, 'renamed')");
    let words = world.refusal(life);
    assert!(words.contains("no column \"z\"") && words.contains("\"a\""), "{words}");
    world.target.psql("ALTER TABLE t DROP COLUMN b").expect("nobody wants it");
    world.target.psql(remedy(&words, "if it was renamed, run: ", ";")).expect("the remedy works");
    let mut life = world.run();
    world.equal(&mut life, "SELECT id, z, c, d, e, \"F g\" FROM t ORDER BY id");
    // Values that only the source knows are not replaced by NULL.
    world.change("ALTER TABLE t ADD COLUMN s serial; INSERT INTO t (id, z) VALUES (202, 'numbered')");
    let words = world.refusal(life);
    assert!(words.contains("what its rows have in it in the source is not known"), "{words}");
    world.target.psql(remedy(&words, "run: ", ";")).expect("the remedy works");
    let mut life = world.run();
    world.holds(&mut life, "SELECT z, s IS NOT NULL FROM t WHERE id = 202", "numbered|t");
    life.stop();
}

#[test]
fn a_column_that_becomes_wider_than_its_copy_stops_with_the_sql_that_widens_it_too() {
    let world = World::start(
        "t",
        "CREATE TABLE t (id int PRIMARY KEY, n int, v varchar(5)); INSERT INTO t VALUES (1, 1, 'a')",
        "",
        "policy: stop",
    );
    let mut life = world.run();
    world.equal(&mut life, "SELECT * FROM t ORDER BY id");
    for (kind, value) in [
        ("n TYPE bigint", "5000000000, 'b'"),
        ("v TYPE text", "2, 'longer than five'"),
        ("n TYPE text", "'many', 'c'"),
    ] {
        // A value that fits goes on as before, one that does not is never cut.
        world.change(&format!(
            "ALTER TABLE t ALTER {kind}; INSERT INTO t SELECT count(*) + 1, '2', 'fits' FROM t"
        ));
        world.change(&format!("INSERT INTO t SELECT count(*) + 1, {value} FROM t"));
        let words = world.refusal(life);
        world.target.psql(remedy(&words, "to widen it, run: ", ";")).expect("the remedy works");
        life = world.run();
        world.equal(&mut life, "SELECT * FROM t ORDER BY id");
    }
    life.stop();
}

#[test]
fn columns_that_nobody_wants_are_left_out_or_stop() {
    for (keys, added) in [
        ("new_columns: ignore", false),
        ("new_columns: error", false),
        ("create: false", false),
        ("new_columns: add, create: false", true),
    ] {
        let world = World::start(
            "t",
            "CREATE TABLE t (id int PRIMARY KEY, a text, secret text); INSERT INTO t VALUES (1, 'x', 'hidden')",
            "CREATE TABLE t (id int PRIMARY KEY, a text); INSERT INTO t VALUES (0, 'there')",
            "policy: stop",
        );
        let text = world
            .place
            .read("p.yaml")
            .replace("\"{schema}.{table}\"", &format!("\"{{schema}}.{{table}}\", {keys}"));
        world.place.write("p.yaml", &text);
        let mut life = world.run();
        if keys.contains("ignore") || added {
            world.holds(&mut life, "SELECT a FROM t WHERE id = 1", "x");
            life.stop();
        } else {
            let words = world.refusal(life);
            assert!(
                words.contains("no column \"secret\"") && words.contains("ADD COLUMN \"secret\" text"),
                "{words}"
            );
        }
        let columns =
            world.found("SELECT count(*) FROM pg_attribute WHERE attrelid = 't'::regclass AND attnum > 0");
        assert_eq!(columns, if added { "3" } else { "2" }, "{keys}");
    }
}

/// What the target refuses, one row each: the change, and a word of the reason.
const REFUSED: [(&str, &str); 6] = [
    ("INSERT INTO t (id, u) VALUES (101, 'taken')", "unique constraint"),
    ("INSERT INTO t (id, n) VALUES (102, NULL)", "not-null constraint"),
    ("INSERT INTO t (id, v) VALUES (103, 'too long for it')", "too long"),
    ("INSERT INTO t (id, num) VALUES (104, 12345.6)", "numeric field overflow"),
    ("INSERT INTO t (id, j) VALUES (105, '{\"a\": \"\\u0000\"}')", "unsupported Unicode"),
    ("INSERT INTO t (id, parent) VALUES (106, 999)", "foreign key"),
];

const LOOSE: &str = "CREATE TABLE t (id int PRIMARY KEY, u text, n text DEFAULT '', v text, num numeric, j json, parent int, i int)";
const STRICT: &str = "CREATE TABLE parents (id int PRIMARY KEY); INSERT INTO parents VALUES (1);
  CREATE TABLE t (id int PRIMARY KEY, u text UNIQUE, n text NOT NULL, v varchar(5), num numeric(5, 2), j jsonb,
    parent int REFERENCES parents, i int) PARTITION BY RANGE (id);";

#[test]
fn rows_that_the_target_refuses_go_where_the_policy_says_and_no_others() {
    // A partitioned table has no unique constraint without its key, so the plain one is used.
    let strict = STRICT.replace(" PARTITION BY RANGE (id)", "");
    for errors in ["policy: skip", "policy: dead_letter, to: dead"] {
        let world = World::start("t", LOOSE, &strict, errors);
        world.change("INSERT INTO t (id, u, parent) VALUES (1, 'taken', 1)");
        let mut life = world.run();
        world.holds(&mut life, "SELECT count(*) FROM t", "1");
        let mut sql = String::from("BEGIN;");
        for (at, (bad, _)) in REFUSED.iter().enumerate() {
            sql += &format!("INSERT INTO t (id, i) VALUES (10 + {at}, {at}); {bad};");
        }
        world.change(&format!(
            "{sql} UPDATE t SET v = 'ok' WHERE id = 1; COMMIT; INSERT INTO t (id) VALUES (99)"
        ));
        world.holds(&mut life, "SELECT count(*) FROM t WHERE id = 99", "1");
        world.holds(
            &mut life,
            "SELECT string_agg(id::text, ',' ORDER BY id), max(v) FROM t",
            "1,10,11,12,13,14,15,99|ok",
        );
        life.stop();
        if errors.contains("dead") {
            let letters = world.place.read("dead.jsonl");
            let lines: Vec<&str> = letters.lines().collect();
            assert_eq!(lines.len(), REFUSED.len(), "{letters}");
            for (at, (_, reason)) in REFUSED.iter().enumerate() {
                let line = lines
                    .iter()
                    .find(|line| line.contains(reason))
                    .unwrap_or_else(|| panic!("no {reason}: {letters}"));
                let letter: serde_json::Value = serde_json::from_str(line).expect("it is JSON");
                let original = letter["original"].as_str().expect("it holds the row");
                let row: serde_json::Value = serde_json::from_str(original).expect("it is JSON");
                assert_eq!(row["id"], 101 + at, "{line}");
            }
        }
    }
    let world = World::start("t", LOOSE, &strict, "policy: stop");
    let mut life = world.run();
    world.change("INSERT INTO t (id) VALUES (1)");
    world.holds(&mut life, "SELECT count(*) FROM t", "1");
    world.change("INSERT INTO t (id) VALUES (2); INSERT INTO t (id, n) VALUES (3, NULL); INSERT INTO t (id) VALUES (4)");
    let words = world.refusal(life);
    assert!(words.contains("null value in column \"n\""), "{words}");
    assert_eq!(world.found("SELECT count(*) FROM t WHERE id > 2"), "0", "it stops in front of the row");
    // Mended in the target, it goes on exactly there.
    world.target.psql("ALTER TABLE t ALTER n DROP NOT NULL").expect("it can be mended");
    let mut life = world.run();
    world.equal(&mut life, "SELECT id, n FROM t ORDER BY id");
    life.stop();
}

#[test]
fn a_partitioned_target_takes_rows_and_refuses_those_without_a_partition() {
    let target = STRICT.replace("u text UNIQUE", "u text")
        + "CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (100); CREATE TABLE t2 PARTITION OF t FOR VALUES FROM (100) TO (200)";
    let world = World::start("t", LOOSE, &target, "policy: skip");
    world.change("INSERT INTO t (id, i) SELECT n * 10, n FROM generate_series(1, 25) n");
    let mut life = world.run();
    world.holds(&mut life, "SELECT count(*), min(id), max(id) FROM t", "19|10|190");
    // From one partition to the other, and a delete in each.
    world.change("UPDATE t SET id = 105, i = 7 WHERE id = 10; DELETE FROM t WHERE id IN (20, 120); UPDATE t SET i = -1 WHERE id = 190");
    world.holds(
        &mut life,
        "SELECT (SELECT count(*) FROM t1), (SELECT count(*) FROM t2), sum(i) FROM t WHERE id IN (105, 190)",
        "7|10|6",
    );
    life.stop();
}

#[test]
fn progress_that_is_lost_or_anothers_stops_instead_of_beginning_anew() {
    let rows = "CREATE TABLE t (id int PRIMARY KEY, a text); INSERT INTO t VALUES (1, 'x')";
    let world = World::start("t", rows, "", "policy: stop");
    let mut life = world.run();
    world.equal(&mut life, "SELECT * FROM t");
    world.change("INSERT INTO t VALUES (2, 'y')");
    world.equal(&mut life, "SELECT * FROM t ORDER BY id");
    // Under the running pipeline: it commits nothing more.
    world.target.psql("ALTER TABLE acme_position RENAME TO away").expect("it is there");
    world.change("INSERT INTO t VALUES (3, 'z')");
    let words = world.refusal(life);
    assert!(words.contains("acme_position"), "{words}");
    assert_eq!(world.found("SELECT count(*) FROM t"), "2");
    let words = world.refusal(world.run());
    assert!(words.contains("table of positions") && words.contains("remove the state directory"), "{words}");
    world
        .target
        .psql("DROP TABLE acme_position; ALTER TABLE away RENAME TO acme_position")
        .expect("it is there");
    let mut life = world.run();
    world.equal(&mut life, "SELECT * FROM t ORDER BY id");
    life.stop();
    // The row names a checkpoint of another pipeline of the same name.
    world
        .target
        .psql(
            "UPDATE acme_position SET checkpoint = 'checkpoint-00000000000000000009-other-0000000000000000'",
        )
        .expect("it is there");
    let words = world.refusal(world.run());
    assert!(words.contains("it is not there"), "{words}");
}
