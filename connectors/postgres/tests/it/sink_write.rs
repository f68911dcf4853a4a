//! What rows do to tables: upserts, deletes, truncates, refusals.

use crate::sink_harness::{Sink, changes, documents, ints, rows, texts};
use acme_lab::postgres::Postgres;
use arrow::array::{ArrayRef, Float64Array, StringViewArray};
use std::sync::Arc;

fn psql(postgres: &Postgres, sql: &str) -> String {
    postgres.psql(sql).unwrap().trim().to_owned()
}

const T: [(&str, &str); 2] = [("table", "t"), ("mode", "upsert")];

#[tokio::test(flavor = "multi_thread")]
async fn several_changes_of_a_key_in_one_write_end_at_the_last() {
    let postgres = Postgres::start().unwrap();
    postgres
        .psql("CREATE TABLE t (a bigint, b text, v text UNIQUE, other int DEFAULT 7, PRIMARY KEY (a, b))")
        .unwrap();
    let mut sink = Sink::new(&postgres, &T).await;
    let columns = |a: &[i64], b: &[&str], v: &[&str]| vec![("a", ints(a)), ("b", texts(b)), ("v", texts(v))];
    let all = changes(
        columns(
            &[1, 1, 1, 2, 2, 3, 1],
            &["x", "x", "x", "x", "x", "x", "y"],
            &["1", "2", "3", "4", "", "5", "6"],
        ),
        &["a", "b"],
        &["INSERT", "UPDATE", "UPDATE", "INSERT", "DELETE", "INSERT", "INSERT"],
    );
    sink.write(&all).await;
    // An update of the key: the old one is deleted, the new one takes its unique value over.
    sink.write(&changes(columns(&[3, 4], &["x", "x"], &["", "5"]), &["a", "b"], &["DELETE", "INSERT"])).await;
    // The values of two rows change places by way of a third: only the whole chain keeps them apart.
    sink.write(&changes(
        columns(&[1, 4, 1], &["x", "x", "x"], &["tmp", "3", "5"]),
        &["a", "b"],
        &["UPDATE", "UPDATE", "UPDATE"],
    ))
    .await;
    sink.commit().await.unwrap();
    assert_eq!(psql(&postgres, "SELECT * FROM t ORDER BY a, b"), "1|x|5|7\n1|y|6|7\n4|x|3|7");
    // Deletes alone, of rows that are there and of one that is not.
    sink.write(&changes(columns(&[1, 9], &["x", "x"], &["", ""]), &["a", "b"], &["DELETE", "DELETE"])).await;
    sink.commit().await.unwrap();
    assert_eq!(psql(&postgres, "SELECT a, b FROM t ORDER BY a, b"), "1|y\n4|x");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncate_takes_what_came_before_and_not_what_comes_behind() {
    let postgres = Postgres::start().unwrap();
    postgres
        .psql("CREATE TABLE t (n bigint PRIMARY KEY); CREATE TABLE refers (n bigint REFERENCES t); INSERT INTO t VALUES (7)")
        .unwrap();
    let write = |truncate: &'static str| {
        let postgres = &postgres;
        async move {
            let mut sink = Sink::new(postgres, &[T[0], T[1], ("truncate", truncate)]).await;
            let n: ArrayRef = Arc::new(arrow::array::Int64Array::from(vec![Some(1), None, Some(2)]));
            let refused =
                sink.refused(&changes(vec![("n", n)], &["n"], &["INSERT", "TRUNCATE", "INSERT"])).await;
            sink.commit().await.unwrap();
            (refused.len(), psql(postgres, "SELECT string_agg(n::text, ',' ORDER BY n) FROM t"))
        }
    };
    assert_eq!(write("reject").await, (1, "1,2,7".to_owned()));
    assert_eq!(write("ignore").await, (0, "1,2,7".to_owned()));
    assert_eq!(
        write("apply").await,
        (0, "2".to_owned()),
        "a table that another refers to is emptied row by row"
    );
    postgres.psql("DROP TABLE refers; INSERT INTO t VALUES (8)").unwrap();
    assert_eq!(write("apply").await, (0, "2".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_does_not_fit_refuses_its_row_and_no_other() {
    let postgres = Postgres::start().unwrap();
    postgres
        .psql(
            "CREATE DOMAIN positive AS int CHECK (VALUE > 0);
             CREATE TABLE t (id bigint PRIMARY KEY, i int, v varchar(3), c char(2), n text NOT NULL, u text UNIQUE,
               k int CHECK (k < 10), d positive, ts timestamptz, num numeric(4, 2), w bigint);
             INSERT INTO t (id, n, u) VALUES (1000, '', 'taken')",
        )
        .unwrap();
    let mut sink = Sink::new(&postgres, &T).await;
    // One row a column that is wrong there; rows between them are right.
    let bad: [(&str, &str, &str); 11] = [
        ("i", "x", "invalid input syntax"),
        ("i", "99999999999", "out of range"),
        ("v", "abcd", "too long for type character varying(3)"),
        ("c", "abc", "too long for type character(2)"),
        ("n", "NULL", "null value in column"),
        ("u", "taken", "duplicate key value violates unique constraint"),
        ("k", "10", "violates check constraint"),
        ("d", "0", "violates check constraint"),
        ("ts", "yesterday-ish", "invalid input syntax"),
        ("num", "123.4", "numeric field overflow"),
        ("v", "a\0", "invalid byte sequence"),
    ];
    let count = 200;
    let wrong = |row: usize| (row % 17 == 3).then(|| bad.get(row / 17)).flatten();
    let column = |name: &str, good: &str| -> ArrayRef {
        let value = |row: usize| match wrong(row) {
            Some((column, value, _)) if *column == name => (*value != "NULL").then(|| (*value).to_owned()),
            _ if name == "u" => Some(format!("u{row}")),
            _ => Some(good.to_owned()),
        };
        Arc::new(StringViewArray::from_iter((0..count).map(value)))
    };
    let fractions: ArrayRef =
        Arc::new(Float64Array::from_iter_values((0..count).map(|row| if row == 199 { 1.5 } else { 2.0 })));
    let columns = vec![
        ("id", ints(&(0..count as i64).collect::<Vec<_>>())),
        ("i", column("i", "1")),
        ("v", column("v", "abc")),
        ("c", column("c", "ab")),
        ("n", column("n", "x")),
        ("u", column("u", "")),
        ("k", column("k", "1")),
        ("d", column("d", "1")),
        ("ts", column("ts", "2026-01-02T03:04:05Z")),
        ("num", column("num", "12.34")),
        ("w", fractions),
    ];
    let refused = sink.refused(&rows(columns)).await;
    sink.commit().await.unwrap();
    let expected: Vec<usize> = (0..count).filter(|row| wrong(*row).is_some() || *row == 199).collect();
    let rows: Vec<usize> = refused.iter().map(|(row, _)| *row).collect();
    assert_eq!(rows, expected, "{refused:#?}");
    for (row, reason) in &refused {
        let words =
            wrong(*row).map_or("invalid input syntax for type bigint: \"1.5\"", |(_, _, words)| *words);
        assert!(reason.contains(words), "{row}: {reason}");
    }
    let written = psql(&postgres, "SELECT count(*), min(c), max(v), sum(num), max(w) FROM t WHERE id < 1000");
    assert_eq!(written, format!("{0}|ab|abc|{1:.2}|2", count - 12, 12.34 * (count - 12) as f64));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_without_its_key_is_refused_not_forgotten() {
    let postgres = Postgres::start().unwrap();
    postgres.psql("CREATE TABLE t (n bigint PRIMARY KEY)").unwrap();
    let mut sink = Sink::new(&postgres, &T).await;
    let n: ArrayRef = Arc::new(arrow::array::Int64Array::from(vec![Some(1), None, Some(2)]));
    let refused = sink.refused(&changes(vec![("n", n)], &["n"], &["INSERT", "DELETE", "INSERT"])).await;
    assert_eq!(refused, [(1, "\"n\", part of the key, is missing or NULL".to_owned())]);
    sink.commit().await.unwrap();
    assert_eq!(psql(&postgres, "SELECT count(*) FROM t"), "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_names_and_values_are_names_and_values() {
    let postgres = Postgres::start().unwrap();
    let names = ["\"; DROP TABLE victim; --", "ü \"'\\ $$ 表", "select", "CamelCase"];
    postgres.psql("CREATE TABLE victim (n int)").unwrap();
    for name in names {
        // Both names come from where the change comes from, and the table is made of its first rows.
        let mut sink = Sink::new(&postgres, &[("table", "{schema}.{table}")]).await;
        let mut change = changes(
            vec![(name, ints(&[1, 2])), ("v\"", texts(&[name, "x'); --"]))],
            &[name],
            &["INSERT", "INSERT"],
        );
        let mut fields = change.batch.schema().fields().to_vec();
        let mut arrays = change.batch.columns.columns().to_vec();
        for meta in ["_meta.schema", "_meta.table"] {
            let array = texts(&[name, name]);
            fields.push(Arc::new(arrow::datatypes::Field::new(meta, array.data_type().clone(), false)));
            arrays.push(array);
        }
        let schema = Arc::new(arrow::datatypes::Schema::new(fields));
        change.batch.columns = arrow::array::RecordBatch::try_new(schema, arrays).unwrap();
        sink.write(&change).await;
        sink.write(&change).await;
        sink.commit().await.unwrap();
        let quoted = format!("\"{}\"", name.replace('"', "\"\""));
        let found = psql(&postgres, &format!("SELECT \"v\"\"\" FROM {quoted}.{quoted} ORDER BY {quoted}"));
        assert_eq!(found, format!("{name}\nx'); --"));
    }
    assert_eq!(psql(&postgres, "SELECT count(*) FROM victim"), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_fill_the_columns_that_the_table_has() {
    let postgres = Postgres::start().unwrap();
    postgres
        .psql(
            "CREATE TABLE t (id bigint PRIMARY KEY, name text, tags text[], body jsonb, at timestamptz, big numeric,
             made timestamptz NOT NULL DEFAULT now(), number serial, twice bigint GENERATED ALWAYS AS (id * 2) STORED)",
        )
        .unwrap();
    let mut sink = Sink::new(&postgres, &[("table", "t"), ("key", "id")]).await;
    let refused = sink
        .refused(&documents(&[
            r#"{"id":1,"name":"a \"b\" ü","tags":["x","y,z",null],"body":{"n":1.50},"at":"2026-01-02T03:04:05+01:00","big":123456789012345678901234567890.5,"unknown":1}"#,
            r#"{"id":"two","name":"wrong"}"#,
            r#"{"id":2,"name":true,"body":"text","tags":[]}"#,
            r#"{"id":1,"name":"again"}"#,
        ]))
        .await;
    assert_eq!(refused.iter().map(|(row, _)| *row).collect::<Vec<_>>(), [1], "{refused:?}");
    sink.commit().await.unwrap();
    let found = psql(
        &postgres,
        "SELECT id, name, tags, body, at, big, made IS NULL, number > 0, twice FROM t ORDER BY id",
    );
    assert_eq!(found, "1|again|||||f|t|2\n2|true|{}|\"text\"|||f|t|4");
    // Without a key they are appended, and their table is made of them.
    let mut sink = Sink::new(&postgres, &[("table", "fresh")]).await;
    let lines =
        [r#"{"id":1,"at":"2026-01-02T03:04:05Z","n":1.5,"deep":{"a":[1]}}"#, r#"{"id":2,"n":2,"s":"x"}"#];
    sink.write(&documents(&lines)).await;
    sink.write(&documents(&lines)).await;
    sink.commit().await.unwrap();
    let columns = "SELECT string_agg(attname || ' ' || format_type(atttypid, -1), ', ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'fresh'::regclass AND attnum > 0";
    assert_eq!(
        psql(&postgres, columns),
        "id bigint, at timestamp with time zone, n numeric, deep jsonb, s text"
    );
    assert_eq!(
        psql(&postgres, "SELECT count(*), count(DISTINCT id), count(deep), count(s), sum(n) FROM fresh"),
        "4|2|2|2|7.0"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn triggers_and_identities_of_the_target_work() {
    let postgres = Postgres::start().unwrap();
    postgres
        .psql(
            "CREATE TABLE audit (n bigint); CREATE TABLE t (n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v text);
             CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
               IF NEW.v = 'bad' THEN RAISE EXCEPTION 'not this one'; END IF;
               INSERT INTO audit VALUES (NEW.n); RETURN NEW; END $$;
             CREATE TRIGGER note BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION note()",
        )
        .unwrap();
    let mut sink = Sink::new(&postgres, &T).await;
    let refused = sink
        .refused(&changes(
            vec![("n", ints(&[41, 42, 43])), ("v", texts(&["a", "bad", "b"]))],
            &["n"],
            &["INSERT"; 3],
        ))
        .await;
    assert_eq!(refused, [(1, "not this one [P0001]".to_owned())]);
    sink.commit().await.unwrap();
    assert_eq!(
        psql(&postgres, "SELECT string_agg(n || v, ',' ORDER BY n), (SELECT count(*) FROM audit) FROM t"),
        "41a,43b|2"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn new_rows_take_the_short_way_and_all_others_end_the_same() {
    let postgres =
        Postgres::with(&[("log_statement", "all"), ("logging_collector", "on"), ("log_filename", "all.log")])
            .unwrap();
    postgres
        .psql(
            "CREATE TABLE t (n bigint PRIMARY KEY, v text UNIQUE); CREATE VIEW seen AS SELECT * FROM t;
             CREATE TABLE guarded (n bigint PRIMARY KEY, v text); ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
             CREATE POLICY all_rows ON guarded USING (true); CREATE ROLE plain LOGIN PASSWORD 'plain!'; GRANT ALL ON guarded TO plain;
             GRANT CREATE ON SCHEMA public TO plain",
        )
        .unwrap();
    let batch = |from: i64, word: &str, operation: &'static str| {
        let n: Vec<i64> = (from..from + 1000).collect();
        let words: Vec<String> = n.iter().map(|n| format!("{word}{n}")).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        changes(vec![("n", ints(&n)), ("v", texts(&words))], &["n"], &vec![operation; n.len()])
    };
    let direct = || {
        let log = std::fs::read_to_string(postgres.directory().join("log/all.log")).unwrap();
        let copies = |line: &&str| line.contains("statement: ") && line.contains("COPY \"public\".\"t\"");
        log.lines().filter(copies).count()
    };
    let mut sink = Sink::new(&postgres, &T).await;
    sink.write(&batch(0, "a", "INSERT")).await;
    sink.write(&batch(1000, "a", "INSERT")).await;
    assert_eq!(direct(), 2);
    sink.commit().await.unwrap();
    // Rows that are there already, as after a crash: half of the batch is new.
    sink.write(&batch(1500, "b", "INSERT")).await;
    assert_eq!(direct(), 3, "it was tried");
    sink.write(&batch(2000, "c", "INSERT")).await;
    sink.write(&batch(0, "d", "UPDATE")).await;
    assert_eq!(direct(), 3, "and not at once again");
    sink.commit().await.unwrap();
    let words = "SELECT string_agg(DISTINCT left(v, 1), ',') || count(*) FROM t WHERE n";
    assert_eq!(psql(&postgres, &format!("{words} < 1000")), "d1000");
    assert_eq!(psql(&postgres, &format!("{words} BETWEEN 1000 AND 1499")), "a500");
    assert_eq!(psql(&postgres, &format!("{words} BETWEEN 1500 AND 1999")), "b500");
    assert_eq!(psql(&postgres, &format!("{words} >= 2000")), "c1000");
    // One row of a batch of new ones takes a value that is another's.
    let mut sink = Sink::new(&postgres, &T).await;
    postgres.psql("UPDATE t SET v = 'e5007' WHERE n = 0").unwrap();
    let refused = sink.refused(&batch(5000, "e", "INSERT")).await;
    assert_eq!(refused.iter().map(|(row, _)| *row).collect::<Vec<_>>(), [7], "{refused:?}");
    sink.commit().await.unwrap();
    assert_eq!(psql(&postgres, "SELECT count(*) FROM t WHERE n >= 5000"), "999");
    // Where nothing can be copied in, rows go the long way.
    let plain = postgres.url().replace("postgres:lab", "plain:plain!");
    for mode in ["upsert", "append"] {
        let keys = [("table", "guarded"), ("mode", mode)];
        let (mut sink, _) =
            Sink::claimed(&plain, &[keys[0], keys[1], ("position_table", "public.own")], mode).await.unwrap();
        sink.write(&batch(if mode == "append" { 1000 } else { 0 }, "g", "INSERT")).await;
        sink.commit().await.unwrap();
    }
    assert_eq!(psql(&postgres, "SELECT count(*) FROM guarded"), "2000");
    let mut sink = Sink::new(&postgres, &[("table", "seen"), ("mode", "append")]).await;
    sink.write(&rows(vec![("n", ints(&[9000])), ("v", texts(&["view"]))])).await;
    sink.commit().await.unwrap();
    assert_eq!(psql(&postgres, "SELECT v FROM t WHERE n = 9000"), "view");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_rows_take_few_statements() {
    let postgres =
        Postgres::with(&[("log_statement", "all"), ("logging_collector", "on"), ("log_filename", "all.log")])
            .unwrap();
    postgres.psql("CREATE TABLE t (n bigint PRIMARY KEY, name text)").unwrap();
    let mut sink = Sink::new(&postgres, &T).await;
    for batch in 0..5 {
        let n: Vec<i64> = (0..8192).map(|n| batch * 4096 + n).collect();
        let names = vec!["some text"; n.len()];
        sink.write(&changes(
            vec![("n", ints(&n)), ("name", texts(&names))],
            &["n"],
            &vec!["INSERT"; n.len()],
        ))
        .await;
    }
    sink.commit().await.unwrap();
    assert_eq!(psql(&postgres, "SELECT count(*) FROM t"), (4 * 4096 + 8192).to_string());
    let log = std::fs::read_to_string(postgres.directory().join("log/all.log")).unwrap();
    let statements = log.lines().filter(|line| line.contains("statement: ")).count();
    assert!(statements < 60, "{statements} statements for 40960 rows");
    assert!(log.contains("FROM STDIN (FORMAT binary)"));
}
