//! A network that breaks: connections that are cut, that fall silent, that are refused, in every phase.
#![expect(clippy::disallowed_methods, reason = "real servers and their time-outs")]

use crate::harness::{Harness, Target};
use acme_lab::postgres::Postgres;
use acme_lab::proxy::Proxy;
use acme_types::Positions;
use std::time::{Duration, Instant};

const CDC: [(&str, &str); 2] = [("mode", "cdc"), ("tables", "t")];

struct World {
    postgres: Postgres,
    proxy: Proxy,
}

impl World {
    /// A table with so many rows, behind a proxy.
    fn start(rows: u32) -> Self {
        let postgres = Postgres::with(&[("wal_sender_timeout", "2s")]).unwrap();
        postgres
            .psql(&format!(
                "CREATE TABLE t (id int PRIMARY KEY, name text);
                 INSERT INTO t SELECT g, repeat('x', 200) || g FROM generate_series(1, {rows}) g"
            ))
            .unwrap();
        let proxy = Proxy::start(postgres.port()).unwrap();
        Self { postgres, proxy }
    }

    fn url(&self) -> String {
        self.postgres
            .url()
            .replace(&format!(":{}/", self.postgres.port()), &format!(":{}/", self.proxy.port()))
    }

    async fn open(&self) -> Harness {
        Harness::open(&self.url(), &CDC, &Positions::new()).await.unwrap()
    }

    fn sql(&self, sql: &str) -> String {
        self.postgres.psql(sql).unwrap().trim().to_owned()
    }

    /// Reads up to the row that is written last, then compares everything.
    async fn finish(&self, harness: &mut Harness, target: &mut Target) {
        self.sql("INSERT INTO t VALUES (-1, 'end')");
        loop {
            let rows = harness.patient_rows().await;
            // A copy that was repeated may show it too, before it is complete.
            let end = rows.iter().any(|row| row.get("id") == Some("-1") && !row.snapshot);
            target.apply(rows, "id");
            if end {
                break;
            }
        }
        let expected = self.sql("SELECT id || '|' || name FROM t");
        let mut expected: Vec<&str> = expected.lines().collect();
        expected.sort_unstable();
        let found = target.dump("public.t");
        assert_eq!(found.len(), expected.len());
        assert!(found.iter().eq(expected), "the rows differ");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_is_cut_again_and_again_comes_through() {
    let world = World::start(100_000);
    let mut target = Target::default();
    // In the handshakes, with the slot being made, and in the copy.
    world.proxy.cut_after(3000);
    let mut harness = loop {
        match Harness::open(&world.url(), &CDC, &Positions::new()).await {
            Ok(harness) => break harness,
            Err(fault) => assert!(fault.message.contains("cannot reach"), "{fault}"),
        }
    };
    for round in 0..4 {
        world.proxy.cut_after(4 << 20);
        for _ in 0..4 {
            target.apply(harness.patient_rows().await, "id");
        }
        world.sql(&format!(
            "DELETE FROM t WHERE id % 50 = {round}; UPDATE t SET id = -id WHERE id % 53 = {round}"
        ));
    }
    world.finish(&mut harness, &mut target).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cuts_and_refusals_while_streaming_lose_and_double_nothing() {
    let world = World::start(10);
    let mut harness = world.open().await;
    let mut rows = harness.take(10).await;
    for round in 0..6 {
        let (low, high) = (round * 10_000 + 100, round * 10_000 + 6_099);
        world.proxy.cut_after(200_000 * (round % 3));
        world.sql(&format!("INSERT INTO t SELECT g, repeat('y', 100) FROM generate_series({low}, {high}) g"));
        if round == 3 {
            world.proxy.refuse();
            std::thread::sleep(Duration::from_millis(700));
            world.proxy.pass_new();
        }
        while rows.len() < 10 + (round as usize + 1) * 6_000 {
            rows.extend(harness.patient_rows().await);
        }
    }
    let versions: std::collections::BTreeSet<_> =
        rows.iter().map(|row| (row.version, row.get("id"))).collect();
    assert_eq!((rows.len(), versions.len()), (36_010, 36_010), "each row once");
    let mut target = Target::default();
    target.apply(rows, "id");
    world.finish(&mut harness, &mut target).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_falls_silent_is_found_and_followed_anew() {
    let world = World::start(10);
    let mut harness = world.open().await;
    let mut target = Target::default();
    target.apply(harness.take(10).await, "id");
    world.sql("INSERT INTO t VALUES (11, 'before')");
    target.apply(harness.take(1).await, "id");
    let began = Instant::now();
    world.proxy.stall();
    world.sql("INSERT INTO t VALUES (12, 'meanwhile')");
    // Long enough for the server to give the dead connection up.
    std::thread::sleep(Duration::from_secs(3));
    world.proxy.pass_new();
    target.apply(harness.take(1).await, "id");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    world.finish(&mut harness, &mut target).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handover_that_falls_silent_or_is_cut_is_made_good() {
    for stall in [false, true] {
        let world = World::start(20_000);
        let mut harness = world.open().await;
        let mut target = Target::default();
        // The last chunk is held back until the copy has ended; what comes then is the handover.
        let mut copied = 0;
        while copied < 20_000 {
            let rows = harness.patient_rows().await;
            copied += rows.len();
            target.apply(rows, "id");
            if copied >= 10_000 {
                if stall {
                    world.proxy.stall();
                } else {
                    world.proxy.refuse();
                }
                break;
            }
        }
        world.sql("UPDATE t SET name = 'changed' WHERE id % 3 = 0");
        std::thread::sleep(Duration::from_secs(1));
        world.proxy.pass_new();
        world.finish(&mut harness, &mut target).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_falls_silent_is_found_and_repeated() {
    let world = World::start(200_000);
    let mut harness = world.open().await;
    let mut target = Target::default();
    world.proxy.stall_after(5 << 20);
    while !world.proxy.is_stalled() {
        target.apply(harness.patient_rows().await, "id");
    }
    world.sql("DELETE FROM t WHERE id % 2 = 0");
    world.proxy.pass_new();
    world.finish(&mut harness, &mut target).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_only_takes_long_is_waited_for() {
    let world = World::start(10);
    // Nothing comes for longer than a silent connection is given: the copy waits for a lock.
    let lock = std::thread::spawn({
        let psql = world.postgres.client("psql");
        move || {
            let mut psql = psql;
            let sql = "BEGIN; LOCK TABLE t; SELECT pg_sleep(33); COMMIT";
            psql.args(["-d", "postgres", "-q", "-c", sql]).output().unwrap()
        }
    });
    let locked =
        "SELECT count(*) FROM pg_locks WHERE relation = 't'::regclass AND mode = 'AccessExclusiveLock'";
    while world.sql(locked) == "0" {
        std::thread::yield_now();
    }
    let began = Instant::now();
    let mut harness = Harness::open(&world.url(), &[("tables", "t")], &Positions::new()).await.unwrap();
    assert_eq!(harness.patient_rows().await.len(), 10);
    assert!(began.elapsed() > Duration::from_secs(30), "it was not tried: {:?}", began.elapsed());
    assert!(harness.chunk().await.unwrap().is_none(), "nothing twice");
    lock.join().unwrap();
}
