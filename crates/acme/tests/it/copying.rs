//! A copy shows how far it is, and a transaction of any size fits into little memory.

use crate::harness::{Place, text, until};
use acme_lab::postgres::Postgres;
use acme_lab::proxy::Proxy;
use std::io::Read;
use std::process::Stdio;
use std::time::{Duration, Instant};

const COPY: &str = r#"
name: copied
mode: batch
sources: [{type: postgres, connection: "${DATABASE_URL}", tables: [t]}]
destinations: [{type: "null"}]
settings: {checkpoint: {interval: 50ms}}
"#;

#[test]
fn on_a_terminal_a_copy_shows_how_far_it_is_and_how_long_it_takes() {
    let (place, postgres) = (Place::new(), Postgres::start().expect("PostgreSQL starts"));
    postgres
        .psql("CREATE TABLE t AS SELECT g id, repeat('x', 50) name FROM generate_series(1, 400000) g; ANALYZE t")
        .expect("the table is made");
    place.write("p.yaml", COPY);
    let proxy = Proxy::start(postgres.port()).expect("a port is free");
    let url = postgres.url().replace(&format!(":{}/", postgres.port()), &format!(":{}/", proxy.port()));
    let mut command = place.terminal(&["run", "p.yaml"]);
    command.env("DATABASE_URL", url);
    // Held in the middle, so that the line is seen.
    proxy.stall_after(16 << 20);
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("`script` is installed");
    let mut output = child.stdout.take().expect("it is piped");
    let (mut shown, mut buffer) = (String::new(), [0; 4096]);
    let mut status = None;
    while let Ok(count @ 1..) = output.read(&mut buffer) {
        shown.push_str(&String::from_utf8_lossy(&buffer[..count]));
        if proxy.is_stalled() && shown.contains("left") {
            status = Some(place.acme_ok(&["status", "--output", "json"]));
            proxy.go_on();
        }
    }
    assert!(child.wait().expect("it ends").success(), "{shown}");
    let found =
        shown.split('\r').find(|line| line.contains("left")).expect("a line with the time that is left");
    let (done, rest) = found.split_once(" of about ").expect("the rows");
    let done: u64 = done.rsplit(' ').next().expect("a number").replace(',', "").parse().expect("a number");
    assert!((100_000..400_000).contains(&done), "{found}");
    assert!(rest.starts_with("400,000 rows read (") || rest.starts_with("39"), "{found}");
    assert!(shown.contains("400,000 rows in") && !shown.trim_end().ends_with("left"), "{shown}");
    let status: serde_json::Value = serde_json::from_str(&status.expect("it was asked")).expect("JSON");
    let total = status[0]["expected_rows"].as_u64().expect("a number");
    assert!((380_000..420_000).contains(&total) && status[0]["seconds_left"].is_u64(), "{status}");
    assert!(status[0]["read_rows"].as_u64().expect("a number") >= done, "{status}");
}

#[test]
fn on_a_terminal_a_batch_of_generated_rows_shows_how_far_it_is() {
    let place = Place::new();
    place.write(
        "p.yaml",
        "name: batch\nmode: batch\ndestinations: [{type: \"null\"}]\n\
         sources: [{type: generator, rows: 60000, rate: 1000, fields: {n: sequence}}]\n",
    );
    let mut command = place.terminal(&["run", "p.yaml"]);
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("`script` is installed");
    let mut output = child.stdout.take().expect("it is piped");
    let (mut shown, mut buffer, mut status) = (String::new(), [0; 4096], None);
    while let Ok(count @ 1..) = output.read(&mut buffer) {
        shown.push_str(&String::from_utf8_lossy(&buffer[..count]));
        if status.is_none() && shown.contains(" left") {
            status = Some(place.acme_ok(&["status", "--output", "json"]));
            place.acme_ok(&["stop", "batch"]);
        }
    }
    child.wait().expect("it ends");
    let line =
        shown.split('\r').find(|line| line.contains(" left")).unwrap_or_else(|| panic!("not shown: {shown}"));
    assert!(line.contains(" of about 60,000 rows read ("), "{line}");
    let status: serde_json::Value = serde_json::from_str(&status.expect("it was asked")).expect("JSON");
    let number = |key: &str| status[0][key].as_u64().unwrap_or_else(|| panic!("no {key}: {status}"));
    assert_eq!(number("expected_rows"), 60_000);
    assert!((1..30_000).contains(&number("read_rows")), "{status}");
    assert!((20..=600).contains(&number("seconds_left")), "{status}");
    assert!(status[0]["expected_bytes"].is_null(), "{status}");
}

#[test]
fn a_batch_of_files_says_how_many_bytes_it_has_read_of_how_many() {
    let place = Place::new();
    let lines: String = (0..300_000).map(|n| format!("{{\"n\": {n}, \"text\": \"{n:0100}\"}}\n")).collect();
    place.write("1.jsonl", &lines);
    place.write("2.jsonl", &lines);
    place.write(
        "p.yaml",
        "{name: batch, mode: batch, sources: [{type: file, path: '*.jsonl'}], destinations: [{type: stdout}]}",
    );
    // Nobody reads what it writes, so it waits in the middle.
    let mut command = place.command(&["run", "p.yaml"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the binary runs");
    let asked = || {
        let status = place.acme_ok(&["status", "--output", "json"]);
        let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
        ["read_bytes", "expected_bytes", "seconds_left"].map(|key| status[0][key].as_u64())
    };
    until("bytes are read", || matches!(asked(), [Some(1..), Some(_), Some(_)]));
    let [Some(read), Some(expected), Some(_)] = asked() else { panic!("it is not shown any more") };
    assert_eq!(expected, 2 * lines.len() as u64);
    assert!(read < expected, "{read} of {expected}");
    let mut written = String::new();
    child.stdout.take().expect("it is piped").read_to_string(&mut written).expect("text");
    assert!(child.wait().expect("it ends").success());
    assert_eq!(written.lines().count(), 600_000);
}

const STREAM: &str = r#"
name: large
sources: [{type: postgres, name: s, connection: "${DATABASE_URL}", mode: cdc, tables: [t], snapshot: never}]
transforms: [{type: map, fields: {op: "operation"}}]
destinations: [{type: file, path: out.jsonl}]
"#;

/// The most memory that a process had, in KiB.
fn peak_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmHWM")).expect("the kernel says it");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}

#[test]
fn a_transaction_of_two_million_rows_fits_into_little_memory() {
    let (place, postgres) = (Place::new(), Postgres::start().expect("PostgreSQL starts"));
    postgres.psql("CREATE TABLE t (id int PRIMARY KEY, name text)").expect("the table is made");
    place.write("p.yaml", STREAM);
    let mut command = place.command(&["run", "p.yaml"]);
    command.env("DATABASE_URL", postgres.url()).stdout(Stdio::null()).stderr(Stdio::piped());
    let child = command.spawn().expect("the binary runs");
    let wait = |what: &str, sql: &str| {
        let until = Instant::now() + Duration::from_secs(180);
        while postgres.psql(sql).expect("it answers").trim() != "t" {
            assert!(Instant::now() < until, "waited in vain: {what}");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    wait("the slot is read", "SELECT coalesce(bool_or(active), false) FROM pg_replication_slots");
    postgres
        .psql("INSERT INTO t SELECT g, repeat('x', 100) FROM generate_series(1, 1000) g")
        .expect("written");
    let committed =
        |lsn: &str| format!("SELECT confirmed_flush_lsn >= '{}' FROM pg_replication_slots", lsn.trim());
    let now = || postgres.psql("SELECT pg_current_wal_insert_lsn()").expect("it answers");
    wait("the first rows are committed", &committed(&now()));
    let before = peak_kib(child.id());
    postgres
        .psql("INSERT INTO t SELECT g, repeat('x', 100) FROM generate_series(1001, 2001000) g")
        .expect("written");
    wait("all is committed", &committed(&now()));
    let after = peak_kib(child.id());
    place.acme_ok(&["stop", "large"]);
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let rows = place.read("out.jsonl");
    assert_eq!(rows.lines().count(), 2_001_000);
    // The rows are 200 MB and more.
    println!("{} MiB before, {} MiB after", before >> 10, after >> 10);
    assert!(after - before < 100 << 10, "{} MiB more than before", (after - before) >> 10);
}
