//! The destination as commit point: rows and progress are one, whoever dies, whatever is cut.

use crate::proxy::{Cut, Proxy};
use crate::sink_harness::{Sink, changes, ints, rows, texts};
use acme_lab::postgres::Postgres;
use acme_types::codes;
use std::time::{Duration, Instant};

const APPEND: [(&str, &str); 2] = [("table", "t"), ("mode", "append")];
const UPSERT: [(&str, &str); 2] = [("table", "t"), ("key", "n")];

fn sorted(postgres: &Postgres) -> String {
    postgres
        .psql("SELECT coalesce(string_agg(n::text, ',' ORDER BY n), '') FROM t")
        .unwrap()
        .trim()
        .to_owned()
}

fn checkpoint(postgres: &Postgres) -> String {
    let sql = "SELECT pipeline || ' ' || task || ' ' || owner || ' ' || checkpoint FROM acme_position";
    postgres.psql(sql).unwrap().trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_and_the_checkpoint_take_effect_together() {
    let postgres = Postgres::start().unwrap();
    postgres.psql("CREATE TABLE t (n bigint)").unwrap();
    let (mut sink, before) = Sink::claimed(&postgres.url(), &APPEND, "a").await.unwrap();
    assert_eq!((before, checkpoint(&postgres).as_str()), (None, "test commit a a-0"));
    sink.write(&rows(vec![("n", ints(&[1, 2]))])).await;
    sink.write(&rows(vec![("n", ints(&[3]))])).await;
    assert_eq!(sorted(&postgres), "", "nothing is seen before the commit");
    sink.commit().await.unwrap();
    assert_eq!(
        (sorted(&postgres).as_str(), checkpoint(&postgres).as_str()),
        ("1,2,3", "test commit a checkpoint-1")
    );
    sink.write(&rows(vec![("n", ints(&[4]))])).await;
    drop(sink);
    let (mut sink, before) = Sink::claimed(&postgres.url(), &APPEND, "b").await.unwrap();
    assert_eq!(before.as_deref(), Some("checkpoint-1"));
    sink.write(&rows(vec![("n", ints(&[4]))])).await;
    sink.commit().await.unwrap();
    assert_eq!(sorted(&postgres), "1,2,3,4", "what was not committed is gone, and comes once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_predecessor_that_wakes_up_holds_nothing_up_and_commits_nothing() {
    let postgres = Postgres::start().unwrap();
    postgres.psql("CREATE TABLE t (n bigint PRIMARY KEY, name text)").unwrap();
    let put = |name| changes(vec![("n", ints(&[1])), ("name", texts(&[name]))], &["n"], &["UPDATE"]);
    let (mut old, _) = Sink::claimed(&postgres.url(), &UPSERT, "old").await.unwrap();
    // Its transaction stays open and holds the row.
    old.write(&put("old")).await;
    let began = Instant::now();
    let (mut new, _) = Sink::claimed(&postgres.url(), &UPSERT, "new").await.unwrap();
    new.write(&put("new")).await;
    new.commit().await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(5), "the successor waited for {:?}", began.elapsed());
    let fault = old.commit().await.unwrap_err();
    assert_eq!(fault.code, &codes::LOST_OWNERSHIP, "{fault}");
    let fault = old.sink.write(&put("old")).await.unwrap_err();
    assert_eq!(fault.code, &codes::LOST_OWNERSHIP, "{fault}");
    assert_eq!(postgres.psql("SELECT * FROM t").unwrap().trim(), "1|new");
    assert_eq!(checkpoint(&postgres), "test commit new checkpoint-1");
    // The successor's next epoch goes on.
    new.write(&put("newer")).await;
    new.commit().await.unwrap();
    assert_eq!(postgres.psql("SELECT * FROM t").unwrap().trim(), "1|newer");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_that_moved_without_us_stops_the_commit() {
    let postgres = Postgres::start().unwrap();
    postgres.psql("CREATE TABLE t (n bigint)").unwrap();
    let mut sink = Sink::new(&postgres, &APPEND).await;
    sink.write(&rows(vec![("n", ints(&[1]))])).await;
    postgres.psql("UPDATE acme_position SET checkpoint = 'other'").unwrap();
    assert_eq!(sink.commit().await.unwrap_err().code, &codes::LOST_OWNERSHIP);
    assert_eq!(sorted(&postgres), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_cut_anywhere_loses_and_doubles_nothing() {
    // The statement that is cut and at which of its occurrences; the first COMMIT is that of the take-over.
    let places = [
        ("COMMIT\0", 3),
        ("UPDATE \"public\".\"acme_position\" SET checkpoint", 2),
        ("BEGIN\0", 2),
        ("COPY ", 1),
        ("COPY ", 3),
    ];
    for (statement, at) in places {
        for cut in [Cut::Before, Cut::After] {
            let postgres = Postgres::start().unwrap();
            postgres.psql("CREATE TABLE t (n bigint)").unwrap();
            let proxy = Proxy::start(postgres.port(), statement, at, cut).await;
            let (mut sink, _) = Sink::claimed(&proxy.url(), &APPEND, "w").await.unwrap();
            let mut expected = Vec::new();
            for epoch in 0..4 {
                for part in 0..2 {
                    let numbers: Vec<i64> = (0..100).map(|n| epoch * 1000 + part * 100 + n).collect();
                    let rows = rows(vec![("n", ints(&numbers))]);
                    expected.extend(numbers);
                    // As the engine does: a failure of the remote system is tried again.
                    while let Err(fault) = sink.sink.write(&rows).await {
                        assert_eq!(fault.blame, acme_types::Blame::Remote, "{fault}");
                    }
                }
                sink.commit().await.unwrap_or_else(|fault| panic!("{statement} {cut:?}: {fault}"));
            }
            assert_eq!(proxy.count(), 1, "{statement}: the connection was cut once");
            let expected: Vec<String> = expected.iter().map(i64::to_string).collect();
            assert_eq!(sorted(&postgres), expected.join(","), "{statement} {cut:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_restarts_or_ends_the_session_is_written_to_again() {
    let mut postgres = Postgres::start().unwrap();
    postgres.psql("CREATE TABLE t (n bigint)").unwrap();
    let mut sink = Sink::new(&postgres, &APPEND).await;
    for round in 0..4 {
        sink.write(&rows(vec![("n", ints(&[round * 2]))])).await;
        match round {
            0 => drop(postgres.psql("SELECT pg_terminate_backend(backend) FROM acme_position").unwrap()),
            1 => postgres.restart().unwrap(),
            2 => {
                postgres.stop_immediate().unwrap();
                postgres.start_again().unwrap();
            }
            _ => {}
        }
        let more = rows(vec![("n", ints(&[round * 2 + 1]))]);
        while let Err(fault) = sink.sink.write(&more).await {
            assert_eq!(fault.blame, acme_types::Blame::Remote, "{fault}");
        }
        sink.commit().await.unwrap();
    }
    assert_eq!(sorted(&postgres), "0,1,2,3,4,5,6,7");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadlock_with_somebody_else_is_tried_again() {
    let postgres = Postgres::with(&[("deadlock_timeout", "100ms")]).unwrap();
    postgres
        .psql("CREATE TABLE t (n bigint PRIMARY KEY, name text); INSERT INTO t VALUES (1, ''), (2, '')")
        .unwrap();
    let mut sink = Sink::new(&postgres, &UPSERT).await;
    let put = |n| changes(vec![("n", ints(&[n])), ("name", texts(&["sink"]))], &["n"], &["UPDATE"]);
    sink.write(&put(1)).await;
    let url = postgres.url();
    let other = std::process::Command::new(postgres.programs().join("psql"))
        .args([&url, "-c", "SET deadlock_timeout = '1h'; BEGIN; UPDATE t SET name = name || 'o' WHERE n = 2; UPDATE t SET name = name || 'o' WHERE n = 1; COMMIT"])
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
    while postgres.psql(waits).unwrap().trim() != "1" {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut tries = 0;
    while let Err(fault) = sink.sink.write(&put(2)).await {
        assert_eq!(fault.blame, acme_types::Blame::Remote, "{fault}");
        tries += 1;
    }
    assert!(tries > 0, "there was no deadlock");
    let mut other = other;
    sink.commit().await.unwrap();
    assert!(other.wait().unwrap().success());
    assert_eq!(postgres.psql("SELECT string_agg(name, ',' ORDER BY n) FROM t").unwrap().trim(), "sink,sink");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_several_destinations_makes_its_rows_take_effect_and_is_fenced_too() {
    let postgres = Postgres::start().unwrap();
    postgres.psql("CREATE TABLE t (n bigint PRIMARY KEY, name text)").unwrap();
    let all = || {
        changes(
            vec![("n", ints(&[1, 2, 1, 2, 3])), ("name", texts(&["a", "b", "c", "", "d"]))],
            &["n"],
            &["INSERT", "INSERT", "UPDATE", "DELETE", "INSERT"],
        )
    };
    let names =
        || postgres.psql("SELECT string_agg(n || name, ',' ORDER BY n) FROM t").unwrap().trim().to_owned();
    let mut old = Sink::plain(&postgres.url(), &UPSERT).await.unwrap();
    old.write(&all()).await;
    old.prepare().await.unwrap();
    assert_eq!(names(), "1c,3d");
    // The commit of the pipeline was lost with the process: the rows come again.
    old.write(&changes(vec![("n", ints(&[1])), ("name", texts(&["stale"]))], &["n"], &["UPDATE"])).await;
    let mut new = Sink::plain(&postgres.url(), &UPSERT).await.unwrap();
    new.write(&all()).await;
    new.prepare().await.unwrap();
    assert_eq!(old.prepare().await.unwrap_err().code, &codes::LOST_OWNERSHIP);
    assert_eq!(names(), "1c,3d");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_epoch_too_large_to_be_kept_ends_the_run_where_its_connection_is_lost() {
    let postgres = Postgres::start().unwrap();
    postgres.psql("CREATE TABLE t (n bigint, name text)").unwrap();
    let mut sink = Sink::new(&postgres, &APPEND).await;
    let long = "x".repeat(8 << 20);
    let put = |n| rows(vec![("n", ints(&[n])), ("name", texts(&[long.as_str()]))]);
    // An epoch of this size is committed like any other.
    for n in 0..40 {
        sink.write(&put(n)).await;
    }
    sink.commit().await.unwrap();
    for n in 40..80 {
        sink.write(&put(n)).await;
    }
    postgres.psql("SELECT pg_terminate_backend(backend) FROM acme_position").unwrap();
    assert_eq!(sink.sink.write(&put(80)).await.unwrap_err().blame, acme_types::Blame::Remote);
    let fault = sink.sink.write(&put(80)).await.unwrap_err();
    assert_eq!((fault.code, fault.blame), (&codes::CONNECT, acme_types::Blame::User), "{fault}");
    assert_eq!(postgres.psql("SELECT count(*) FROM t").unwrap().trim(), "40", "nothing of it is there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deferred_constraint_is_checked_before_the_commit() {
    let postgres = Postgres::start().unwrap();
    postgres
        .psql(
            "CREATE TABLE parent (n bigint PRIMARY KEY); INSERT INTO parent VALUES (1);
             CREATE TABLE t (n bigint REFERENCES parent DEFERRABLE INITIALLY DEFERRED)",
        )
        .unwrap();
    let mut sink = Sink::new(&postgres, &APPEND).await;
    sink.write(&rows(vec![("n", ints(&[1, 2]))])).await;
    let fault = sink.sink.prepare(acme_types::Epoch(1), false).await.unwrap_err();
    assert!(fault.message.contains("violates foreign key constraint"), "{fault}");
    assert_eq!(sorted(&postgres), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_connection_is_encrypted_as_the_url_says() {
    let postgres = Postgres::with_tls().unwrap();
    postgres.psql("CREATE TABLE t (n bigint)").unwrap();
    let url = postgres.url().replace("127.0.0.1", "localhost");
    let url = format!("{url}?sslmode=verify-full&sslrootcert={}", postgres.authority().display());
    let (mut sink, _) = Sink::claimed(&url, &APPEND, "w").await.unwrap();
    sink.write(&rows(vec![("n", ints(&[1]))])).await;
    let encrypted = "SELECT ssl FROM pg_stat_ssl JOIN acme_position ON pid = backend";
    assert_eq!(postgres.psql(encrypted).unwrap().trim(), "t");
    sink.commit().await.unwrap();
    assert_eq!(sorted(&postgres), "1");
}
