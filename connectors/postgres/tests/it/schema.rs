//! Tables that change while they are read.

use crate::harness::{Harness, Row, says};
use acme_lab::postgres::Postgres;
use acme_types::{Diagnostic, codes};

const CDC: [(&str, &str); 2] = [("mode", "cdc"), ("tables", "t")];
const QUICK: [(&str, &str); 3] = [("mode", "cdc"), ("tables", "t"), ("heartbeat_interval", "100000")];

/// Reads until the source ends.
async fn ending(harness: &mut Harness) -> (Vec<Row>, Diagnostic) {
    let mut rows = Vec::new();
    loop {
        match harness.chunk().await {
            Ok(chunk) => rows.extend(crate::harness::rows(&chunk.unwrap())),
            Err(fault) => return (rows, fault),
        }
    }
}

fn shown(row: &Row) -> String {
    let pairs = row.values.iter().map(|(name, value)| format!("{name}={}", value.as_deref().unwrap_or("-")));
    format!("{} {}", row.operation, pairs.collect::<Vec<_>>().join(" "))
}

async fn started(create: &str) -> (Postgres, Harness) {
    let postgres = Postgres::start().unwrap();
    postgres.psql(create).unwrap();
    let mut harness = Harness::capture(&postgres, "t").await;
    harness.rows().await;
    (postgres, harness)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_change_is_named_and_everything_before_it_is_handed_over() {
    let (postgres, mut harness) = started("CREATE TABLE t (id int PRIMARY KEY, a int, gone text)").await;
    let changes = [
        ("ALTER TABLE t ADD b text DEFAULT 'x'", "t: column \"b\" added (text)"),
        ("ALTER TABLE t DROP gone", "t: column \"gone\" dropped"),
        ("ALTER TABLE t RENAME a TO c", "t: column \"a\" renamed to \"c\""),
        ("ALTER TABLE t ALTER c TYPE bigint", "t: column \"c\" changed from integer to bigint"),
        (
            "ALTER TABLE t DROP CONSTRAINT t_pkey, ALTER c SET NOT NULL, ADD PRIMARY KEY (c)",
            "t: rows are now identified by c",
        ),
        ("ALTER TABLE t REPLICA IDENTITY FULL", "t: rows are now identified by c"),
        ("ALTER TABLE t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (id)", "t: rows are now identified by id"),
    ];
    let (mut id, mut full) = (0, false);
    for (change, message) in changes {
        id += 2;
        let column = if id <= 6 { "a" } else { "c" };
        let after = if id < 6 { "a" } else { "c" };
        postgres
            .psql(&format!(
                "INSERT INTO t (id, {column}) VALUES ({id}, {id}); {change}; INSERT INTO t (id, {after}) VALUES ({id} + 1, {id} + 1)"
            ))
            .unwrap();
        let (rows, fault) = ending(&mut harness).await;
        assert_eq!((fault.code, &*fault.message), (&codes::SCHEMA_CHANGED, message), "{change}");
        // With REPLICA IDENTITY FULL the server's messages do not tell the key, so a message that the server repeats may show the
        // new one before the last row of the old one.
        let ids =
            |rows: &[Row]| rows.iter().filter_map(|row| row.get("id").map(str::to_owned)).collect::<Vec<_>>();
        let mut seen = ids(&rows);
        assert!(!seen.is_empty() || full, "{change}: the row before it is missing");
        full |= change.ends_with("FULL");
        let positions = harness.positions.clone();
        drop(harness);
        harness = Harness::open(&postgres.url(), &CDC, &positions).await.unwrap();
        seen.extend(ids(&harness.take(2 - seen.len()).await));
        assert_eq!(seen, [id.to_string(), (id + 1).to_string()], "{change}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_from_before_many_changes_are_read_by_a_later_description() {
    let (postgres, harness) = started("CREATE TABLE t (id int PRIMARY KEY, a int, v varchar(3))").await;
    let start = harness.positions.clone();
    drop(harness);
    postgres
        .psql(
            "INSERT INTO t VALUES (1, 10, 'v'); UPDATE t SET a = 11; DELETE FROM t;
             ALTER TABLE t RENAME a TO b; INSERT INTO t VALUES (2, 20, 'v');
             ALTER TABLE t ADD d text DEFAULT 'was there', ADD e date; INSERT INTO t VALUES (3, 30, 'v', 'd');
             ALTER TABLE t ALTER b TYPE text, ALTER v TYPE text; INSERT INTO t VALUES (4, 'b', 'long')",
        )
        .unwrap();
    let mut harness = Harness::open(&postgres.url(), &CDC, &start).await.unwrap();
    let rows: Vec<String> = harness.take(6).await.iter().map(shown).collect();
    // The change of types has rewritten the table, so the server has no separate value for older rows any more.
    assert_eq!(
        rows,
        [
            "INSERT id=1 b=10 v=v d=- e=-",
            "UPDATE id=1 b=11 v=v d=- e=-",
            "DELETE id=1 b=- v=- d=- e=-",
            "INSERT id=2 b=20 v=v d=- e=-",
            "INSERT id=3 b=30 v=v d=d e=-",
            "INSERT id=4 b=b v=long d=was there e=-",
        ]
    );
    let before = harness.positions.clone();
    drop(harness);
    postgres
        .psql("INSERT INTO t VALUES (5); ALTER TABLE t ADD f int[] DEFAULT '{1,2}', ADD g timestamptz DEFAULT '2024-01-02 03:04:05+00'")
        .unwrap();
    let mut harness = Harness::open(&postgres.url(), &CDC, &before).await.unwrap();
    let rows: Vec<String> = harness.take(1).await.iter().map(shown).collect();
    assert_eq!(rows, ["INSERT id=5 b=- v=- d=was there e=- f=[1,2] g=2024-01-02T03:04:05Z"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_known_of_old_records_stops_with_a_remedy() {
    let (postgres, harness) = started("CREATE TABLE t (id int PRIMARY KEY, a int)").await;
    let start = harness.positions.clone();
    drop(harness);
    postgres
        .psql("INSERT INTO t VALUES (1, 10); ALTER TABLE t DROP a, ADD b int; INSERT INTO t VALUES (2, 20)")
        .unwrap();
    let mut harness = Harness::open(&postgres.url(), &CDC, &start).await.unwrap();
    let (rows, fault) = ending(&mut harness).await;
    assert!(rows.is_empty());
    says(&fault, "from before its last changes cannot be read", "copy everything anew");
    drop(harness);
    let (postgres, harness) = started("CREATE TABLE t (id int PRIMARY KEY, a int NOT NULL)").await;
    let start = harness.positions.clone();
    drop(harness);
    postgres
        .psql("INSERT INTO t VALUES (1, 10); DELETE FROM t; ALTER TABLE t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (a)")
        .unwrap();
    let mut harness = Harness::open(&postgres.url(), &CDC, &start).await.unwrap();
    let (_, fault) = ending(&mut harness).await;
    says(&fault, "does not say which row", "copy everything anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_table_stops_with_its_new_name_and_goes_on_under_it() {
    let (postgres, mut harness) = started("CREATE TABLE t (id int PRIMARY KEY, a int)").await;
    postgres
        .psql("INSERT INTO t VALUES (1, 1); ALTER TABLE t RENAME TO people; INSERT INTO people VALUES (2, 2)")
        .unwrap();
    let start = harness.positions.clone();
    let (_, fault) = ending(&mut harness).await;
    says(&fault, "table public.t was renamed to public.people", "\"public.people\" in `tables`");
    drop(harness);
    let keys = [("mode", "cdc"), ("tables", "people")];
    let mut harness = Harness::open(&postgres.url(), &keys, &start).await.unwrap();
    let rows: Vec<String> = harness.take(2).await.iter().map(shown).collect();
    assert_eq!(rows, ["INSERT id=1 a=1", "INSERT id=2 a=2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_taken_out_of_the_publication_or_dropped_does_not_fall_silent() {
    for change in ["ALTER PUBLICATION acme_pub DROP TABLE t", "DROP TABLE t"] {
        let postgres = Postgres::start().unwrap();
        postgres.psql("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE u (id int)").unwrap();
        let mut harness = Harness::open(&postgres.url(), &QUICK, &Default::default()).await.unwrap();
        harness.rows().await;
        postgres.psql(&format!("INSERT INTO t VALUES (1); {change}")).unwrap();
        let (rows, fault) = ending(&mut harness).await;
        assert_eq!(rows.len(), 1);
        says(
            &fault,
            "public.t was dropped or taken out of the publication \"acme_pub\"",
            "ADD TABLE \"public\".\"t\"",
        );
    }
}
