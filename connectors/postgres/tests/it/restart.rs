//! What comes out is the same whatever dies.

use crate::harness::{Harness, Row, Target};
use acme_lab::postgres::Postgres;
use acme_types::Positions;
use std::collections::BTreeMap;

const CDC: [(&str, &str); 2] = [("mode", "cdc"), ("tables", "t u")];

/// Writes until it has run out of rounds: inserts, updates, deletes, key changes over both tables.
fn write(postgres: &Postgres, rounds: std::ops::Range<u32>) {
    let mut sql = String::new();
    for round in rounds {
        let at = round * 10;
        sql.push_str(&format!(
            "BEGIN; INSERT INTO t SELECT g, 'r{round}' FROM generate_series({at} + 100000, {at} + 100009) g;
             UPDATE t SET name = 'u{round}' WHERE id % 97 = {round} % 97;
             INSERT INTO u VALUES ({round} + 100000, 'r{round}'); COMMIT;
             DELETE FROM t WHERE id % 101 = {round} % 101;
             UPDATE t SET id = id + 1000000 WHERE id = {at} + 100005;
             UPDATE u SET name = 'v{round}' WHERE id = {round} * 3;\n"
        ));
    }
    postgres.psql(&sql).unwrap();
}

fn tables(postgres: &Postgres) {
    postgres
        .psql(
            "CREATE TABLE t (id int PRIMARY KEY, name text); CREATE TABLE u (id int PRIMARY KEY, name text);
             INSERT INTO t SELECT g, 'first' FROM generate_series(1, 60000) g;
             INSERT INTO u SELECT g, 'first' FROM generate_series(1, 20000) g;",
        )
        .unwrap();
}

/// Everything up to what the server has now.
async fn catch_up(harness: &mut Harness, postgres: &Postgres, target: &mut Target) {
    postgres.psql("INSERT INTO u VALUES (-1, 'end')").unwrap();
    loop {
        let rows = harness.rows().await;
        let end = rows.iter().any(|row| row.get("name") == Some("end"));
        target.apply(rows, "id");
        if end {
            return;
        }
    }
}

fn compare(postgres: &Postgres, target: &Target) {
    for table in ["t", "u"] {
        let rows = postgres
            .psql(&format!("SELECT id, name FROM {table} ORDER BY id::text || '|' || name COLLATE \"C\""))
            .unwrap();
        let mut expected: Vec<&str> = rows.lines().collect();
        expected.sort_unstable();
        let found = target.dump(&format!("public.{table}"));
        assert_eq!(found.len(), expected.len(), "{table}");
        assert!(found.iter().eq(expected), "{table} differs");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_under_writes_loses_and_doubles_nothing() {
    copied_under_writes(&Postgres::start().unwrap()).await;
}

pub(crate) async fn copied_under_writes(postgres: &Postgres) {
    tables(postgres);
    let mut harness = Harness::open(&postgres.url(), &CDC, &Positions::new()).await.unwrap();
    let mut target = Target::default();
    std::thread::scope(|scope| {
        scope.spawn(|| write(postgres, 0..150));
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                let mut copied = 0;
                while copied < 80_000 {
                    let rows = harness.rows().await;
                    copied += rows.iter().filter(|row| row.snapshot).count();
                    target.apply(rows, "id");
                }
                assert_eq!(copied, 80_000, "one snapshot");
            });
        });
    });
    catch_up(&mut harness, postgres, &mut target).await;
    compare(postgres, &target);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_died_is_repeated_and_older_deletes_still_apply() {
    died(&Postgres::start().unwrap()).await;
}

pub(crate) async fn died(postgres: &Postgres) {
    tables(postgres);
    let mut target = Target::default();
    let mut positions = Positions::new();
    for life in 0..3 {
        let mut harness = Harness::open(&postgres.url(), &CDC, &positions).await.unwrap();
        for _ in 0..2 {
            let rows = harness.rows().await;
            assert!(rows.iter().all(|row| row.snapshot), "life {life}");
            target.apply(rows, "id");
        }
        positions = harness.positions.clone();
        drop(harness);
        write(postgres, life * 20..life * 20 + 20);
        postgres
            .psql(&format!("DELETE FROM t WHERE id BETWEEN {} AND {}", life * 1000 + 1, life * 1000 + 900))
            .unwrap();
    }
    let mut harness = Harness::open(&postgres.url(), &CDC, &positions).await.unwrap();
    catch_up(&mut harness, postgres, &mut target).await;
    compare(postgres, &target);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_inside_a_transaction_goes_on_exactly_there() {
    inside_a_transaction(&Postgres::start().unwrap()).await;
}

pub(crate) async fn inside_a_transaction(postgres: &Postgres) {
    postgres
        .psql(
            "CREATE TABLE t (id int PRIMARY KEY, name text); CREATE TABLE u (id int PRIMARY KEY, name text)",
        )
        .unwrap();
    let mut harness = Harness::open(&postgres.url(), &CDC, &Positions::new()).await.unwrap();
    harness.rows().await;
    let start = harness.positions.clone();
    // One transaction that alternates between two tables, and is larger than several batches.
    postgres
        .psql(
            "DO $$ BEGIN FOR i IN 1..40000 LOOP INSERT INTO t VALUES (i, 'a');
             IF i % 2 = 0 THEN INSERT INTO u VALUES (i, 'b'); END IF;
             IF i % 100 = 0 THEN UPDATE t SET id = -i WHERE id = i; END IF; END LOOP; END $$",
        )
        .unwrap();
    let count = 40_000 + 20_000 + 800;
    let whole = harness.take(count).await;
    drop(harness);
    let key = |row: &Row| (row.table.clone(), row.version);
    let expected: BTreeMap<_, _> = whole.iter().map(|row| (key(row), row.clone())).collect();
    assert_eq!(expected.len(), count, "no version twice in a table");
    // A life for each chunk: every position between two chunks is tried, also those where one table is ahead.
    let (mut positions, mut found, mut lives) = (start, Vec::new(), 0);
    while found.len() < count {
        let mut harness = Harness::open(&postgres.url(), &CDC, &positions).await.unwrap();
        found.extend(harness.rows().await);
        positions = harness.positions.clone();
        lives += 1;
    }
    assert!(lives > 6, "{lives}");
    assert_eq!(found.len(), count, "nothing twice");
    let found: BTreeMap<_, _> = found.iter().map(|row| (key(row), row.clone())).collect();
    assert!(found == expected, "the same rows with the same versions");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_restarts_is_followed_on() {
    let mut postgres = Postgres::start().unwrap();
    postgres.psql("CREATE TABLE t (id int PRIMARY KEY)").unwrap();
    let mut harness = Harness::capture(&postgres, "t").await;
    harness.rows().await;
    postgres.psql("INSERT INTO t VALUES (1)").unwrap();
    assert_eq!(harness.take(1).await[0].get("id"), Some("1"));
    postgres.stop_immediate().unwrap();
    postgres.start_again().unwrap();
    postgres.psql("INSERT INTO t VALUES (2)").unwrap();
    assert_eq!(harness.take(1).await[0].get("id"), Some("2"));
    postgres
        .psql("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots; INSERT INTO t VALUES (3)")
        .unwrap();
    assert_eq!(harness.take(1).await[0].get("id"), Some("3"));
}
