//! Changes as they come out.

use crate::harness::{Harness, Row, Target};
use acme_lab::postgres::Postgres;
use acme_types::Positions;

fn short(rows: &[Row]) -> Vec<String> {
    let line = |row: &Row| {
        let values: Vec<&str> = row.values.iter().map(|(_, value)| value.as_deref().unwrap_or("-")).collect();
        format!("{} {}", row.operation, values.join(" "))
    };
    rows.iter().map(line).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn inserts_updates_deletes_and_truncates_come_in_order_with_growing_versions() {
    operations(&Postgres::start().unwrap()).await;
}

pub(crate) async fn operations(postgres: &Postgres) {
    postgres
        .psql("CREATE TABLE users (id int PRIMARY KEY, name text); CREATE TABLE orders (id int)")
        .unwrap();
    let mut harness = Harness::capture(postgres, "public.users").await;
    assert_eq!(harness.streams[0].key, ["id"]);
    assert!(harness.rows().await.is_empty(), "the end of the empty copy");
    postgres
        .psql(
            "INSERT INTO users VALUES (1, 'a'), (2, 'b'); INSERT INTO orders VALUES (1);
             UPDATE users SET name = 'c' WHERE id = 1; UPDATE users SET id = 3 WHERE id = 2;
             DELETE FROM users WHERE id = 1; TRUNCATE users;",
        )
        .unwrap();
    let rows = harness.take(7).await;
    assert_eq!(
        short(&rows),
        ["INSERT 1 a", "INSERT 2 b", "UPDATE 1 c", "DELETE 2 -", "INSERT 3 b", "DELETE 1 -", "TRUNCATE - -"]
    );
    assert!(rows.windows(2).all(|pair| pair[0].version < pair[1].version), "{rows:#?}");
    assert!(rows.iter().all(|row| !row.snapshot && row.before.is_none()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_replica_identity_gives_the_old_row() {
    let postgres = Postgres::start().unwrap();
    postgres
        .psql("CREATE TABLE t (id int PRIMARY KEY, n numeric(6,2), j jsonb, a text[], at timestamptz); ALTER TABLE t REPLICA IDENTITY FULL")
        .unwrap();
    let mut harness = Harness::capture(&postgres, "t").await;
    harness.rows().await;
    postgres
        .psql(
            r#"INSERT INTO t VALUES (1, 1.50, '{"a": 1}', '{x,NULL}', '2024-01-02 03:04:05+00');
               UPDATE t SET n = 2; UPDATE t SET id = 2; DELETE FROM t"#,
        )
        .unwrap();
    let rows = harness.take(5).await;
    assert_eq!(rows[0].before, None);
    let before = r#"{"id":1,"n":1.50,"j":{"a": 1},"a":["x",null],"at":"2024-01-02T03:04:05Z"}"#;
    assert_eq!(rows[1].before.as_deref(), Some(before));
    let operations: Vec<&str> = rows.iter().map(|row| &*row.operation).collect();
    assert_eq!(operations, ["INSERT", "UPDATE", "DELETE", "INSERT", "DELETE"]);
    assert_eq!((rows[4].get("id"), rows[4].get("n")), (Some("2"), None), "a DELETE carries its key");
    assert!(rows[4].before.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_identity_of_an_index_names_the_rows() {
    let postgres = Postgres::start().unwrap();
    postgres
        .psql(
            "CREATE TABLE t (id int PRIMARY KEY, code text NOT NULL, n int); CREATE UNIQUE INDEX by_code ON t (code);
             ALTER TABLE t REPLICA IDENTITY USING INDEX by_code; INSERT INTO t VALUES (1, 'a', 0)",
        )
        .unwrap();
    let mut harness = Harness::capture(&postgres, "t").await;
    assert_eq!(harness.streams[0].key, ["code"]);
    harness.take(1).await;
    let sql = "UPDATE t SET id = 2; UPDATE t SET code = 'b'; UPDATE t SET n = 1; DELETE FROM t";
    postgres.psql(sql).unwrap();
    let rows = harness.take(5).await;
    let shown: Vec<_> =
        rows.iter().map(|row| (&*row.operation, row.get("code").unwrap(), row.get("id"))).collect();
    let expected = [
        ("UPDATE", "a", Some("2")),
        ("DELETE", "a", None),
        ("INSERT", "b", Some("2")),
        ("UPDATE", "b", Some("2")),
        ("DELETE", "b", None),
    ];
    assert_eq!(shown, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_value_that_an_update_does_not_touch_is_never_null() {
    untouched(&Postgres::start().unwrap()).await;
}

pub(crate) async fn untouched(postgres: &Postgres) {
    postgres
        .psql(
            "CREATE TABLE t (id int PRIMARY KEY, n int, big text);
             ALTER TABLE t ALTER big SET STORAGE EXTERNAL;
             INSERT INTO t SELECT g, 0, repeat(g::text, 10000) FROM generate_series(1, 50) g",
        )
        .unwrap();
    let mut harness = Harness::capture(postgres, "t").await;
    let copied = harness.take(50).await;
    postgres
        .psql("BEGIN; UPDATE t SET big = repeat('x', 20000) WHERE id = 1; UPDATE t SET n = 1; COMMIT;")
        .unwrap();
    let rows = harness.take(51).await;
    for row in &rows[1..] {
        let id = row.get("id").unwrap();
        let expected = if id == "1" { "x".repeat(20_000) } else { id.repeat(10_000) };
        assert_eq!(row.get("big").map(str::len), Some(expected.len()), "{id}");
        assert_eq!(row.get("big"), Some(&*expected));
    }
    // Rows that are gone by the time they are read: their deletion follows.
    postgres.psql("BEGIN; UPDATE t SET n = 2; DELETE FROM t WHERE id > 1; COMMIT").unwrap();
    let mut target = Target::default();
    target.apply(copied, "id");
    target.apply(rows, "id");
    let rows = harness.take(50).await;
    assert!(rows.iter().all(|row| row.operation == "DELETE" || row.get("big").is_some()));
    target.apply(rows, "id");
    let left = target.dump("public.t");
    assert_eq!((left.len(), left[0].starts_with("1|2|xxx")), (1, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_slot_moves_on_while_other_tables_write() {
    let postgres = Postgres::start().unwrap();
    postgres
        .psql("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE o (id int); CREATE PUBLICATION acme_pub FOR ALL TABLES")
        .unwrap();
    let keys = [("mode", "cdc"), ("tables", "t"), ("heartbeat_interval", "100000")];
    let mut harness = Harness::open(&postgres.url(), &keys, &Positions::new()).await.unwrap();
    let confirmed = || postgres.psql("SELECT confirmed_flush_lsn FROM pg_replication_slots").unwrap();
    assert!(harness.rows().await.is_empty());
    harness.release().await;
    let first = confirmed();
    postgres.psql("INSERT INTO o SELECT generate_series(1, 1000)").unwrap();
    let behind = "SELECT pg_current_wal_lsn() <= confirmed_flush_lsn FROM pg_replication_slots";
    while postgres.psql(behind).unwrap().trim() != "t" {
        assert!(harness.rows().await.is_empty(), "only positions come");
        harness.release().await;
    }
    assert_ne!(first, confirmed());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_hears_of_a_source_that_nobody_reads() {
    let postgres = Postgres::with(&[("wal_sender_timeout", "1s")]).unwrap();
    postgres.psql("CREATE TABLE t (id int PRIMARY KEY, pad text)").unwrap();
    let mut harness = Harness::capture(&postgres, "t").await;
    harness.rows().await;
    postgres.psql("INSERT INTO t SELECT g, repeat('x', 1000) FROM generate_series(1, 100000) g").unwrap();
    let first = harness.rows().await.len();
    let pid = || postgres.psql("SELECT active_pid FROM pg_replication_slots").unwrap();
    let before = pid();
    postgres.psql("SELECT pg_sleep(3)").unwrap();
    assert_eq!(pid(), before, "the connection lives on");
    harness.take(100_000 - first).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_column_lists_partitions_and_missing_keys_are_copied_as_they_are_streamed() {
    let postgres = Postgres::start().unwrap();
    postgres
        .psql(
            "CREATE TABLE f (id int PRIMARY KEY, a int, secret text, twice int GENERATED ALWAYS AS (a * 2) STORED);
             CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id);
             CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10);
             CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10) TO (20);
             CREATE TABLE k (id int, name text); ALTER TABLE k REPLICA IDENTITY FULL;
             CREATE PUBLICATION acme_pub FOR TABLE f (id, a) WHERE (id > 1), p, k WITH (publish_via_partition_root);
             INSERT INTO f VALUES (1, 1, 'x'), (2, 2, 'x'); INSERT INTO p VALUES (1), (11); INSERT INTO k VALUES (1, 'a')",
        )
        .unwrap();
    let mut harness = Harness::capture(&postgres, "f p k").await;
    let sorted = |rows: &[Row]| {
        let mut lines: Vec<String> =
            rows.iter().zip(short(rows)).map(|(row, line)| format!("{} {line}", row.table)).collect();
        lines.sort_unstable();
        lines
    };
    let copied = harness.take(4).await;
    let expected = ["public.f INSERT 2 2", "public.k INSERT 1 a", "public.p INSERT 1", "public.p INSERT 11"];
    assert_eq!(sorted(&copied), expected);
    assert!(harness.streams[2].key.is_empty());
    postgres
        .psql(
            "INSERT INTO f VALUES (0, 1, 'x'), (3, 3, 'x'); INSERT INTO p VALUES (2), (12);
             INSERT INTO k VALUES (2, 'b'); DELETE FROM k WHERE id = 1",
        )
        .unwrap();
    let streamed = harness.take(5).await;
    let expected = [
        "public.f INSERT 3 3",
        "public.k DELETE 1 a",
        "public.k INSERT 2 b",
        "public.p INSERT 12",
        "public.p INSERT 2",
    ];
    assert_eq!(sorted(&streamed), expected);
}
