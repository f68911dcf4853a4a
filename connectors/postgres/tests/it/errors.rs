//! What a user reads when something is wrong.

use crate::harness::{Harness, refused, says};
use acme_lab::postgres::Postgres;
use acme_types::{Blame, Positions, codes};

const CDC: [(&str, &str); 2] = [("mode", "cdc"), ("tables", "t")];

#[tokio::test(flavor = "multi_thread")]
async fn each_mistake_has_its_message_and_remedy() {
    mistakes(&Postgres::start().unwrap()).await;
}

pub(crate) async fn mistakes(postgres: &Postgres) {
    postgres
        .psql(
            "CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE nokey (id int);
             CREATE ROLE plain LOGIN PASSWORD 'plain'; GRANT SELECT ON t TO plain;
             CREATE ROLE repl LOGIN REPLICATION PASSWORD 'repl'; GRANT SELECT ON t TO repl",
        )
        .unwrap();
    let (url, none) = (postgres.url(), Positions::new());
    let with = |from: &str, to: &str| url.replace(from, to);
    let fault = refused(&with(":lab@", ":wrong!@"), &CDC, &none).await;
    says(&fault, "refuses the password of user \"postgres\"", "correct user and password");
    assert_eq!(fault.blame, Blame::User);
    let fault = refused("postgres://a:b@127.0.0.1:1/x", &CDC, &none).await;
    says(&fault, "cannot reach PostgreSQL at 127.0.0.1:1", "check that the server runs");
    assert_eq!((fault.code, fault.blame), (&codes::CONNECT, Blame::Remote));
    let fault =
        refused(&with("/postgres", "/nowhere").replace("/nowhere:lab", "/postgres:lab"), &CDC, &none).await;
    says(&fault, "no database \"nowhere\"", "correct the database");
    let fault = refused(&url, &[("mode", "cdc"), ("tables", "t public.missing")], &none).await;
    says(&fault, "no table public.missing", "correct `tables`");
    let fault = refused(&url, &[("mode", "cdc"), ("tables", "nokey")], &none).await;
    says(&fault, "no replica identity", "ALTER TABLE \"public\".\"nokey\" REPLICA IDENTITY FULL");
    postgres
        .psql("CREATE TABLE none (id int PRIMARY KEY); ALTER TABLE none REPLICA IDENTITY NOTHING")
        .unwrap();
    let fault = refused(&url, &[("mode", "cdc"), ("tables", "none")], &none).await;
    says(&fault, "no replica identity", "ALTER TABLE \"public\".\"none\" REPLICA IDENTITY DEFAULT");
    let fault = refused(&with("postgres:lab", "plain:plain"), &CDC, &none).await;
    says(&fault, "replication", "ALTER ROLE \"plain\" REPLICATION");
    let fault = refused(&with("postgres:lab", "repl:repl"), &CDC, &none).await;
    says(&fault, "may not create it", "CREATE PUBLICATION \"acme_pub\" FOR TABLE \"public\".\"t\"");
    let fault = refused(&format!("{url}?sslmode=require"), &CDC, &none).await;
    says(&fault, "does not speak TLS", "sslmode=prefer");
    postgres.psql("CREATE PUBLICATION acme_pub").unwrap();
    let fault = refused(&url, &CDC, &none).await;
    says(
        &fault,
        "does not contain \"public\".\"t\"",
        "ALTER PUBLICATION \"acme_pub\" ADD TABLE \"public\".\"t\"",
    );
    postgres.psql("ALTER PUBLICATION acme_pub ADD TABLE t").unwrap();
    for slot in 0..4 {
        postgres.psql(&format!("SELECT pg_create_logical_replication_slot('s{slot}', 'pgoutput')")).unwrap();
    }
    let fault = refused(&url, &CDC, &none).await;
    says(&fault, "all replication slots", "max_replication_slots");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_is_gone_is_never_resumed_elsewhere() {
    let settings = [("max_slot_wal_keep_size", "1MB"), ("min_wal_size", "32MB"), ("max_wal_size", "32MB")];
    let postgres = Postgres::with(&settings).unwrap();
    postgres.psql("CREATE TABLE t (id int PRIMARY KEY)").unwrap();
    let (url, slot) = (postgres.url(), "acme_test_users_cdc");
    let mut harness = Harness::capture(&postgres, "t").await;
    harness.rows().await;
    let place = harness.positions.clone();
    let fault = refused(&url, &CDC, &place).await;
    says(&fault, "is in use by the server process", "pg_terminate_backend");
    drop(harness);
    let at = |from: &str, to: &str| -> Positions {
        place
            .iter()
            .map(|(split, text)| (split.clone(), acme_types::Position(text.0.replace(from, to))))
            .collect()
    };
    let fault = refused(&url, &CDC, &at("\"system\":\"", "\"system\":\"1")).await;
    says(&fault, "another database cluster", "restore the server");
    let fault = refused(&url, &CDC, &at("\"lsn\":", "\"lsn\":9")).await;
    says(&fault, "restored from a backup", "restore the server");
    assert_eq!(fault.code, &codes::SOURCE_CHANGED);
    postgres.psql("INSERT INTO t VALUES (1)").unwrap();
    postgres.psql(&format!("SELECT pg_replication_slot_advance('{slot}', pg_current_wal_lsn())")).unwrap();
    let fault = refused(&url, &CDC, &place).await;
    says(&fault, "was moved to", "a slot of its own");
    let lost = format!("SELECT wal_status = 'lost' FROM pg_replication_slots WHERE slot_name = '{slot}'");
    let mut rounds = 0;
    while postgres.psql(&lost).unwrap().trim() != "t" {
        postgres.psql("SELECT pg_switch_wal(); CREATE TABLE fill AS SELECT generate_series(1, 200000); DROP TABLE fill; CHECKPOINT").unwrap();
        rounds += 1;
        assert!(rounds < 30, "the slot is never lost");
    }
    let fault = refused(&url, &CDC, &place).await;
    says(&fault, "is lost", "max_slot_wal_keep_size");
    postgres.psql(&format!("SELECT pg_drop_replication_slot('{slot}')")).unwrap();
    let fault = refused(&url, &CDC, &place).await;
    says(&fault, "is gone", "remove the pipeline's state");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_logical_log_is_refused_before_anything_is_created() {
    let postgres = Postgres::with(&[("wal_level", "replica")]).unwrap();
    postgres.psql("CREATE TABLE t (id int PRIMARY KEY)").unwrap();
    let fault = refused(&postgres.url(), &CDC, &Positions::new()).await;
    says(&fault, "wal_level \"replica\"", "ALTER SYSTEM SET wal_level = logical");
    assert_eq!(postgres.psql("SELECT count(*) FROM pg_publication").unwrap().trim(), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_verifies_what_the_mode_says() {
    let postgres = Postgres::with_tls().unwrap();
    postgres.psql("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)").unwrap();
    let url = |host: &str, query: &str| format!("{}?{query}", postgres.url().replace("127.0.0.1", host));
    let root = format!("sslrootcert={}", postgres.authority().display());
    let tables = [("tables", "t")];
    for good in [
        url("127.0.0.1", "sslmode=require"),
        url("127.0.0.1", "sslmode=prefer"),
        url("127.0.0.1", &format!("sslmode=verify-ca&{root}")),
        url("localhost", &format!("sslmode=verify-full&{root}")),
    ] {
        let mut harness = Harness::open(&good, &tables, &Positions::new()).await.unwrap();
        assert_eq!(harness.take(1).await[0].get("id"), Some("1"), "{good}");
    }
    for bad in [
        url("127.0.0.1", &format!("sslmode=verify-full&{root}")),
        url("localhost", "sslmode=verify-full"),
        url("localhost", "sslmode=verify-ca&sslrootcert=/nowhere"),
    ] {
        let fault = refused(&bad, &tables, &Positions::new()).await;
        says(&fault, "no TLS with PostgreSQL at", "sslrootcert");
    }
}
