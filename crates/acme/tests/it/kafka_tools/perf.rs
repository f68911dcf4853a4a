//! Measuring.

use super::{CONSUMER_PERF, NODE, OFFSETS, PRODUCER_PERF, acme, topic, unique};
use crate::harness::{Place, text};
use std::process::Output;

fn ours(arguments: &[&str]) -> Output {
    acme(&[&[PRODUCER_PERF.0], arguments].concat())
}

/// Lines with all numbers as `N`.
fn shape(out: &str) -> String {
    let mut shape = String::new();
    for c in out.chars() {
        let is_number = c.is_ascii_digit() || (c == '.' && shape.ends_with('N'));
        if !is_number {
            shape.push(c);
        } else if !shape.ends_with('N') {
            shape.push('N');
        }
    }
    shape
}

fn written(topic: &str) -> u64 {
    let offsets = text(&OFFSETS.ours(&["--topic", topic]).stdout);
    offsets.lines().filter_map(|line| line.rsplit(':').next()?.parse::<u64>().ok()).sum()
}

#[test]
fn a_producer_is_measured_in_the_words_of_kafkas_own_tool() {
    let name = topic(3, &[]);
    let common = ["--topic", &name, "--num-records", "5000", "--record-size", "100", "--throughput", "-1"];
    let theirs = PRODUCER_PERF.theirs(&common);
    let measured =
        ours(&[&common[..], &["--command-property", "compression.type=lz4", "linger.ms=1"]].concat());
    assert!(measured.status.success(), "{}", text(&measured.stderr));
    // One that takes long prints a line for each five seconds before.
    let last = |output: &Output| text(&output.stdout).lines().last().unwrap_or_default().to_owned();
    assert_eq!(shape(&last(&theirs)), shape(&last(&measured)));
    assert!(last(&measured).starts_with("5000 records sent, "), "{}", text(&measured.stdout));
    assert_eq!(written(&name), 10_000);

    let warm = ["--warmup-records", "1000", "--print-metrics", "--reporting-interval", "100"];
    let paced = ["--topic", &name, "--num-records", "3000", "--payload-monotonic", "--throughput", "6000"];
    let measured = ours(&[&paced[..], &warm].concat());
    let out = text(&measured.stdout);
    assert!(out.starts_with("Warmup first 1000 records. Steady state results will"), "{out}");
    assert!(out.contains("\n2000 steady state records sent, "), "{out}");
    assert!(out.contains("producer-metrics:record-send-total:{client-id=perf-producer-client}"), "{out}");
    let total = out
        .lines()
        .find_map(|line| line.strip_prefix("3000 records sent, ").filter(|it| it.contains("50th")));
    let rate = total.and_then(|rest| rest.split(' ').next()?.parse::<f64>().ok());
    assert!(rate.is_some_and(|rate| rate < 6_600.0), "as many in a second as asked for, or fewer: {out}");
    assert_eq!(written(&name), 13_000);
}

#[test]
fn payloads_of_a_file_go_out_in_transactions() {
    let name = topic(1, &[]);
    let place = Place::new();
    place.write("payloads", "one;two;three;");
    let file = place.path("payloads").display().to_string();
    let id = unique("perf-");
    let measured = ours(&[
        "--topic",
        &name,
        "--num-records",
        "300",
        "--payload-file",
        &file,
        "--payload-delimiter",
        ";",
        "--throughput",
        "1000",
        "--transactional-id",
        &id,
        "--transaction-duration-ms",
        "50",
        "--output",
        "json",
    ]);
    assert!(text(&measured.stderr).contains("Number of records read: 3\n"), "{}", text(&measured.stderr));
    let value: serde_json::Value = serde_json::from_slice(&measured.stdout).expect("it is JSON");
    assert_eq!((&value["records"], &value["lost"]), (&300.into(), &0.into()));
    // Committed, with a marker behind each of the transactions.
    let arguments = [
        "consume",
        &name,
        "--from-beginning",
        "--max-messages",
        "300",
        "--isolation-level",
        "read_committed",
    ];
    let read = text(&acme(&arguments).stdout);
    assert_eq!(read.lines().filter(|line| ["one", "two", "three"].contains(line)).count(), 300);
    assert!(written(&name) > 301, "more than one transaction");
}

#[test]
fn a_consumer_is_measured_in_the_words_of_kafkas_own_tool() {
    let name = topic(2, &[]);
    ours(&["--topic", &name, "--num-records", "20000", "--record-size", "100", "--throughput", "-1"]);
    let common = ["--topic", &name, "--num-records", "20000", "--timeout", "60000"];
    let theirs = text(&CONSUMER_PERF.theirs(&common).stdout);
    let measured = CONSUMER_PERF.ours(&[&common[..], &["--print-metrics"]].concat());
    let out = text(&measured.stdout);
    let columns = |out: &str, line: usize| -> Vec<String> {
        out.lines().nth(line).unwrap_or_default().split(", ").map(str::to_owned).collect()
    };
    assert_eq!(columns(&theirs, 0), columns(&out, 0), "{}", text(&measured.stderr));
    let (row_theirs, row) = (columns(&theirs, 1), columns(&out, 1));
    assert_eq!((row.len(), &row_theirs[2], &row_theirs[4]), (10, &row[2], &row[4]), "{out}");
    assert_eq!(shape(&row_theirs[0]), shape(&row[0]));
    assert_eq!((row[2].as_str(), row[4].as_str()), ("1.9073", "20000"));
    assert!(out.contains("records-consumed-total:{client-id=perf-consumer-client}"), "{out}");

    let detailed = ["--include", &name, "--num-records", "20000", "--timeout", "60000", "--hide-header"];
    let measured = CONSUMER_PERF
        .ours(&[&detailed[..], &["--show-detailed-stats", "--reporting-interval", "1"]].concat());
    let out = text(&measured.stdout);
    let first = out.lines().next().unwrap_or_default();
    assert_eq!(shape(first), "N-N-N N:N:N:N, N, N, N, N, N, N, N, N, N", "{out}");
    // Fewer than asked for are a warning.
    let empty = topic(1, &[]);
    let measured = CONSUMER_PERF.ours(&[
        "--topic",
        &empty,
        "--num-records",
        "1",
        "--timeout",
        "500",
        "--output",
        "table",
    ]);
    let out = text(&measured.stdout);
    assert!(measured.status.success() && out.contains("timeout (500 ms) exceeded. You can use"), "{out}");
}

#[test]
fn mistakes_in_measuring_are_said_as_by_kafkas_own_tools() {
    let base = ["--topic", "t", "--throughput", "-1"];
    for more in [
        &["--num-records", "0", "--record-size", "1"][..],
        &["--num-records", "5", "--record-size", "0"],
        &["--num-records", "5", "--record-size", "1", "--warmup-records", "5"],
        &["--record-size", "1"],
        &["--num-records", "5", "--record-size", "1", "--payload-monotonic"],
    ] {
        PRODUCER_PERF.refuse(&[&base[..], more].concat());
    }
    for (arguments, expected) in [
        (&["--num-records", "1", "--record-size", "1", "--command-property", "x"][..], "Invalid property: x"),
        (
            &["--num-records", "1", "--payload-file", "/nowhere"],
            "File does not exist or empty file provided.",
        ),
        (
            &["--num-records", "1", "--record-size", "1", "--command-property", "lingre.ms=1"],
            "did you mean \"linger.ms\"?",
        ),
        (&["--num-records", "1", "--record-size", "1"], "Topic 't' does not exist"),
        (
            &["--num-records", "1"],
            "one of the arguments --record-size --payload-file --payload-monotonic is required",
        ),
    ] {
        let refused = ours(&[&base[..], arguments].concat());
        assert_eq!(refused.status.code(), Some(1), "{arguments:?}");
        assert!(text(&refused.stderr).contains(expected), "{arguments:?}: {}", text(&refused.stderr));
    }
    let bootstrap = NODE.bootstrap();
    for (arguments, expected) in [
        (
            &["--topic", "t"][..],
            "Exactly one of the following arguments is required: [num-records], [messages]",
        ),
        (&["--num-records", "1"], "Exactly one of the following arguments is required: [topic], [include]"),
        (&["--num-records", "1", "--topic", "nowhere"], "Topic 'nowhere' does not exist"),
        (
            &["--num-records", "1", "--topic", "t", "--date-format", "EEE"],
            "cannot be used: EEE is not known here",
        ),
    ] {
        let cluster = [CONSUMER_PERF.0, "--bootstrap-server", &bootstrap];
        let refused = Place::new().acme(&[&cluster[..], arguments].concat());
        assert_eq!(refused.status.code(), Some(1), "{arguments:?}");
        assert!(text(&refused.stderr).contains(expected), "{arguments:?}: {}", text(&refused.stderr));
    }
}
