//! From one PostgreSQL to another, every value is the same; and what a user reads before the first row moves.

use crate::sink_harness::{Sink, changes, copy, ints, make, rows, texts};
use crate::values::{ROWS, TABLE, VALUES};
use acme_lab::postgres::Postgres;
use acme_types::{Blame, Diagnostic, codes};
use arrow::array::{
    ArrayRef, Date32Array, Decimal128Array, Float32Array, Int16Array, Time64MicrosecondArray, UInt64Array,
};
use std::sync::Arc;

fn psql(postgres: &Postgres, sql: &str) -> String {
    postgres.psql(sql).unwrap().trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_a_table_is_the_table_whatever_its_types_are() {
    let source = Postgres::start().unwrap();
    source.psql(TABLE).unwrap();
    source.psql(&format!("INSERT INTO v {} VALUES (0)", ROWS[0])).unwrap();
    for (at, values) in VALUES.iter().enumerate() {
        source.psql(&format!("INSERT INTO v {} VALUES ({}, {values})", ROWS[1], at + 1)).unwrap();
    }
    // Beyond what any other system can hold: the source says the last moment that all have.
    source
        .psql(
            "UPDATE v SET d = '9999-12-31' WHERE d = 'infinity' OR d > '9999-12-31';
             UPDATE v SET d = '0001-01-01' WHERE d < '0001-01-01'; UPDATE v SET ts = '0044-01-01 BC' WHERE ts = '-infinity';
             UPDATE v SET ai = '{1,2}' WHERE ai = '[0:1]={1,2}';
             UPDATE v SET ts = '2000-01-01' WHERE ts > '9999-12-31'; UPDATE v SET tsz = '2000-01-01' WHERE tsz = 'infinity'",
        )
        .unwrap();
    let dump =
        |postgres: &Postgres, table: &str| psql(postgres, &format!("SELECT * FROM {table} ORDER BY id"));
    // Into a table that exists, with the types of users.
    let target = Postgres::start().unwrap();
    target.psql(TABLE).unwrap();
    let mut sink =
        Sink::new(&target, &[("table", "{schema}.{table}"), ("create", "false"), ("mode", "upsert")]).await;
    assert_eq!(copy(&source, "v", &mut sink).await, 4);
    assert_eq!(dump(&target, "v"), dump(&source, "v"));
    // Again, over the rows that are there.
    copy(&source, "v", &mut sink).await;
    assert_eq!(dump(&target, "v"), dump(&source, "v"));
    // Into a table that is made for it; of types that users have made only the text is known there.
    let mut sink = Sink::new(&target, &[("table", "copied.{table}"), ("key", "id")]).await;
    copy(&source, "v", &mut sink).await;
    assert_eq!(dump(&target, "copied.v"), dump(&source, "v"));
    let types = |postgres: &Postgres, table: &str| {
        let builtin = format!(
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute a JOIN pg_type t ON t.oid = atttypid \
             WHERE attrelid = '{table}'::regclass AND attnum > 0 AND t.oid < 16384 AND attname NOT IN ('m', 'c', 'dp', 'pr') ORDER BY attnum"
        );
        psql(postgres, &builtin)
    };
    assert_eq!(types(&target, "copied.v"), types(&source, "v"));
    let key = "SELECT indisprimary FROM pg_index WHERE indrelid = 'copied.v'::regclass";
    assert_eq!(psql(&target, key), "t");
}

#[tokio::test(flavor = "multi_thread")]
async fn arrow_types_that_no_postgresql_source_has_are_written_too() {
    let postgres = Postgres::start().unwrap();
    let day: ArrayRef = Arc::new(Date32Array::from(vec![19_000, -1]));
    let columns = vec![
        ("i", Arc::new(Int16Array::from(vec![1, -1])) as ArrayRef),
        ("u", Arc::new(UInt64Array::from(vec![u64::MAX, 0]))),
        ("f", Arc::new(Float32Array::from(vec![1.5, f32::NAN]))),
        ("d", Arc::new(Decimal128Array::from(vec![-12_345, 5]).with_precision_and_scale(38, 4).unwrap())),
        ("day", day.clone()),
        ("at", Arc::new(Time64MicrosecondArray::from(vec![1, 86_399_999_999]))),
        (
            "when",
            arrow::compute::cast(
                &day,
                &arrow::datatypes::DataType::Timestamp(arrow::datatypes::TimeUnit::Nanosecond, None),
            )
            .unwrap(),
        ),
        ("word", arrow::compute::cast(&texts(&["a", "b"]), &arrow::datatypes::DataType::LargeUtf8).unwrap()),
    ];
    let mut sink = Sink::new(&postgres, &[("table", "made.fresh")]).await;
    sink.write(&rows(columns)).await;
    sink.commit().await.unwrap();
    assert_eq!(
        psql(&postgres, "SELECT * FROM made.fresh ORDER BY i DESC"),
        "1|18446744073709551615|1.5|-1.2345|2022-01-08|00:00:00.000001|2022-01-08 00:00:00|a\n\
         -1|0|NaN|0.0005|1969-12-31|23:59:59.999999|1969-12-31 00:00:00|b"
    );
}

#[track_caller]
fn says(fault: &Diagnostic, message: &str, help: &str) {
    let shown = fault.to_string();
    assert!(fault.message.contains(message), "{shown}");
    assert!(fault.help.as_ref().is_some_and(|found| found.contains(help)), "{shown}");
    assert_eq!(fault.blame, Blame::User, "{shown}");
    assert!(!shown.contains("plain!"), "a secret: {shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_the_way_is_said_before_the_first_row_with_the_sql_that_mends_it() {
    let postgres = Postgres::start().unwrap();
    postgres
        .psql(
            "CREATE TABLE t (n bigint PRIMARY KEY, name text); CREATE TABLE nokey (n bigint);
             CREATE ROLE plain LOGIN PASSWORD 'plain!'; CREATE SCHEMA own AUTHORIZATION plain; GRANT SELECT, INSERT ON t TO plain",
        )
        .unwrap();
    let plain = postgres.url().replace("postgres:lab", "plain:plain!");
    let found = async |url: &str, keys: &[(&str, &str)]| {
        let mut checked = make(url, keys).unwrap().check().await;
        assert_eq!(checked.len(), 1, "{checked:#?}");
        let position = if url.contains("plain") { "own.acme_position" } else { "public.position" };
        let keys: Vec<(&str, &str)> = keys.iter().copied().chain([("position_table", position)]).collect();
        // The same stops a run before it reads anything.
        let opened = Sink::claimed(url, &keys, "w").await.err().expect("it is refused");
        assert_eq!(opened.message, checked[0].message);
        checked.remove(0)
    };
    let url = postgres.url();
    let fault = found(&url, &[("table", "missing"), ("create", "false")]).await;
    says(&fault, "has no table public.missing", "create: true");
    let fault = found(&url, &[("table", "nokey"), ("key", "n")]).await;
    says(
        &fault,
        "no unique index on its key (n)",
        "ALTER TABLE \"public\".\"nokey\" ADD PRIMARY KEY (\"n\");",
    );
    let fault = found(&url, &[("table", "nokey"), ("mode", "upsert")]).await;
    says(&fault, "rows of table public.nokey have no key", "add a primary key");
    let fault = found(&url, &[("table", "t"), ("key", "m")]).await;
    says(&fault, "has no column \"m\"", "correct `key`");
    let fault = found(&plain, &[("table", "t"), ("key", "n")]).await;
    says(
        &fault,
        "user \"plain\" may not UPDATE, DELETE on table public.t",
        "GRANT UPDATE, DELETE ON \"public\".\"t\" TO \"plain\";",
    );
    let fault = found(&plain, &[("table", "fresh")]).await;
    says(
        &fault,
        "may not create a table in schema \"public\"",
        "GRANT CREATE ON SCHEMA \"public\" TO \"plain\";",
    );
    let fault =
        Sink::claimed(&plain, &[("table", "own.t")], "w").await.err().expect("it may not create its table");
    assert!(
        fault
            .help
            .as_ref()
            .is_some_and(|help| help.contains("CREATE TABLE IF NOT EXISTS \"public\".\"acme_position\"")),
        "{fault}"
    );
    let denied = [("table", "own.t"), ("position_table", "public.position")];
    let fault = Sink::claimed(&plain, &denied, "w").await.err().expect("it may not write its table");
    says(
        &fault,
        "public.position may not be written",
        "GRANT SELECT, INSERT, UPDATE ON \"public\".\"position\"",
    );
    let ready = make(&plain, &[("table", "own.fresh"), ("key", "n")]).unwrap().check().await;
    assert_eq!(ready, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_the_rows_can_show_stops_the_first_write() {
    let postgres = Postgres::start().unwrap();
    postgres.psql("CREATE TABLE t (n bigint PRIMARY KEY, name text)").unwrap();
    let mut sink = Sink::new(&postgres, &[("table", "t")]).await;
    let fault = sink
        .sink
        .write(&changes(vec![("n", ints(&[1])), ("extra", ints(&[1]))], &["n"], &["INSERT"]))
        .await
        .unwrap_err();
    says(&fault, "has no column \"extra\"", "ALTER TABLE \"public\".\"t\" ADD COLUMN \"extra\" bigint");
    postgres.psql("ALTER TABLE t ADD extra bigint").unwrap();
    sink.write(&changes(vec![("n", ints(&[1])), ("extra", ints(&[1]))], &["n"], &["INSERT"])).await;
    let fault = sink.sink.write(&changes(vec![("name", texts(&["x"]))], &[], &["DELETE"])).await.unwrap_err();
    says(&fault, "the rows have no column \"n\", which is part of the key", "keep it in the rows");
    let mut sink = Sink::new(&postgres, &[("table", "{table}")]).await;
    let fault = sink.sink.write(&rows(vec![("n", ints(&[1]))])).await.unwrap_err();
    assert_eq!(fault.code, &codes::CHANGE_MODE, "{fault}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_changes_meanwhile_is_looked_at_again() {
    let postgres = Postgres::start().unwrap();
    postgres.psql("CREATE TABLE t (n bigint PRIMARY KEY, name text)").unwrap();
    let mut sink = Sink::new(&postgres, &[("table", "t")]).await;
    let put = |n| changes(vec![("n", ints(&[n])), ("name", texts(&["5"]))], &["n"], &["INSERT"]);
    sink.write(&put(1)).await;
    sink.commit().await.unwrap();
    postgres.psql("ALTER TABLE t DROP name; ALTER TABLE t ADD name int").unwrap();
    sink.write(&put(2)).await;
    sink.commit().await.unwrap();
    assert_eq!(
        psql(&postgres, "SELECT string_agg(n || coalesce(name::text, ''), ',' ORDER BY n) FROM t"),
        "1,25"
    );
}
