//! Seeing and stopping what runs.

use crate::harness::{Place, text};
use acme_lab::postgres::Postgres;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

const SLOW: &str = "
name: slow
sources: [{type: generator, rate: 1000, fields: {n: sequence}}]
destinations: [{type: file, path: out.jsonl}]
";

/// Waits until `status` knows the pipeline in this state.
fn wait_for(place: &Place, state: &str) -> serde_json::Value {
    for _ in 0..200 {
        let all = place.acme_ok(&["status", "--streaming", "--output", "json"]);
        let all: serde_json::Value = serde_json::from_str(&all).expect("it is JSON");
        if let Some(one) = all.as_array().expect("a list").iter().find(|one| one["status"] == state) {
            return one.clone();
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("the pipeline is never {state}");
}

fn started(place: &Place) -> Child {
    place.write("p.yaml", SLOW);
    let child = place.spawn(&["run", "p.yaml"]);
    wait_for(place, "running");
    child
}

#[test]
fn status_shows_rates_and_stop_ends_with_everything_committed() {
    let place = Place::new();
    let child = started(&place);
    std::thread::sleep(Duration::from_millis(2500));
    let status = wait_for(&place, "running");
    let rate = status["rows_per_second"].as_f64().expect("a number");
    assert!((500.0..1500.0).contains(&rate), "{status}");
    assert!(status["lag_us"].as_u64().expect("rows were delivered") < 1_000_000, "{status}");
    let table = place.acme_ok(&["status", "--streaming"]);
    assert!(table.contains("│ slow           │ running  │"), "{table}");
    place.acme_ok(&["stop", "slow"]);
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let lines: Vec<String> = place.read("out.jsonl").lines().map(str::to_owned).collect();
    assert!(lines.len() > 1000);
    assert!(
        (1..).zip(&lines).all(|(n, line)| *line == format!("{{\"n\":{n}}}")),
        "rows are whole and in order"
    );
    assert!(!place.acme_ok(&["status"]).contains("slow"));
}

#[test]
fn a_status_that_is_watched_follows_what_happens() {
    let place = Place::new();
    let child = started(&place);
    for arguments in [&["status", "--watch"][..], &["status", "--watch", "--output", "json"]] {
        let mut watch = place.command(arguments).stdout(Stdio::piped()).spawn().expect("the binary runs");
        let mut lines = BufReader::new(watch.stdout.take().expect("it is piped")).lines();
        let seen = (&mut lines).map(|line| line.expect("text")).filter(|line| line.contains("slow")).take(3);
        let seen: Vec<String> = seen.collect();
        assert!(seen.iter().all(|line| line.contains("running") && !line.contains('\x1b')), "{seen:?}");
        if arguments.contains(&"json") {
            let rows = |line: &String| {
                let all: serde_json::Value = serde_json::from_str(line).expect("a line is a whole answer");
                all[0]["rows_in"].as_u64().expect("a number")
            };
            assert!(seen.windows(2).all(|two| rows(&two[0]) < rows(&two[1])), "{seen:?}");
        }
        // Whoever reads goes away, and it ends.
        drop(lines);
        assert!(watch.wait().expect("it ends").success());
    }
    place.acme_ok(&["stop", "slow"]);
    child.wait_with_output().expect("it ends");
}

#[test]
fn a_stopped_pipeline_goes_on_where_it_ended() {
    let place = Place::new();
    for _ in 0..2 {
        let child = started(&place);
        std::thread::sleep(Duration::from_millis(700));
        place.acme_ok(&["stop", "slow"]);
        child.wait_with_output().expect("it ends");
    }
    let both = place.read("out.jsonl") + &place.read("out-00002.jsonl");
    assert!(
        (1..).zip(both.lines()).all(|(n, line)| line == format!("{{\"n\":{n}}}")),
        "nothing is lost or repeated"
    );
}

#[test]
fn a_killed_pipeline_is_shown_as_failed() {
    let place = Place::new();
    let mut child = started(&place);
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    wait_for(&place, "failed");
    assert!(place.acme_fails(&["stop", "slow"]).contains("error[A0407]"));
}

#[test]
fn a_second_signal_ends_a_run_that_cannot_drain() {
    let place = Place::new();
    place.write(
        "p.yaml",
        "name: stuck\nsources: [{type: generator, fields: {n: sequence}}]\ndestinations: [{type: stdout}]\n",
    );
    // Nobody reads the other end of the pipe, so the destination blocks.
    let mut child =
        place.command(&["run", "p.yaml"]).stdout(Stdio::piped()).spawn().expect("the binary runs");
    wait_for(&place, "running");
    std::thread::sleep(Duration::from_millis(300));
    let id = child.id().to_string();
    let terminate = || {
        assert!(
            std::process::Command::new("kill").args(["-TERM", &id]).status().expect("kill runs").success()
        );
    };
    terminate();
    wait_for(&place, "stopping");
    std::thread::sleep(Duration::from_millis(500));
    assert!(place.acme_ok(&["status"]).contains("stuck"), "the first signal waits for the destination");
    terminate();
    for _ in 0..100 {
        if child.try_wait().expect("it can be asked").is_some() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    child.kill().expect("it runs");
    panic!("the second signal did not end it");
}

#[test]
fn the_lag_is_the_time_from_the_commit_in_the_source_to_the_delivery() {
    let (place, postgres) = (Place::new(), Postgres::start().expect("PostgreSQL starts"));
    let sql = |text: &str| postgres.psql(text).unwrap_or_else(|error| panic!("{error}"));
    sql("CREATE TABLE t (id int PRIMARY KEY)");
    place.write(
        "p.yaml",
        &format!(
            "name: slow\nsources: [{{type: postgres, connection: \"{}\", mode: cdc, tables: [t]}}]\ntransforms: [{{type: map, fields: {{op: operation}}}}]\ndestinations: [{{type: file, path: out.jsonl}}]\n",
            postgres.url()
        ),
    );
    let lag_after = |rows: u64| {
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            let status = wait_for(&place, "running");
            if status["rows_out"].as_u64() >= Some(rows) {
                return status["lag_us"].as_u64().expect("rows were delivered");
            }
            assert!(Instant::now() < until, "the rows never come: {status}");
        }
    };
    let child = place.spawn(&["run", "p.yaml"]);
    wait_for(&place, "running");
    sql("INSERT INTO t VALUES (1)");
    lag_after(1);
    place.acme_ok(&["stop", "slow"]);
    child.wait_with_output().expect("it ends");
    // What is committed while nothing runs is late when it comes.
    sql("INSERT INTO t VALUES (2)");
    std::thread::sleep(Duration::from_secs(3));
    let child = place.spawn(&["run", "p.yaml"]);
    let late = lag_after(1);
    assert!((3_000_000..30_000_000).contains(&late), "{late} µs");
    sql("INSERT INTO t VALUES (3)");
    assert!(lag_after(2) < late, "it has caught up");
    place.acme_ok(&["stop", "slow"]);
    child.wait_with_output().expect("it ends");
}
