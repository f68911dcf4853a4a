//! Reading topics.

use super::{CONSUMER, GROUPS, NODE, acme, acme_json, feed, fill, topic, unique};
use crate::harness::{Place, text, until};
use std::process::{Command, Stdio};

const EVERYTHING: [&str; 6] = [
    "print.timestamp=true",
    "print.partition=true",
    "print.offset=true",
    "print.headers=true",
    "print.key=true",
    "key.separator=|",
];

fn options(properties: &[&'static str]) -> Vec<&'static str> {
    properties.iter().flat_map(|property| ["--formatter-property", property]).collect()
}

#[test]
fn records_are_printed_as_by_kafkas_own_tool() {
    let by_producer = topic(1, &[]);
    let by_broker = topic(1, &[("message.timestamp.type", "LogAppendTime")]);
    for topic in [&by_producer, &by_broker] {
        fill(topic, 0, "k1:ä value\nk2:\n");
        let null = ["-P", "-t", topic, "-K", ":", "-Z", "-H", "h1=one", "-H", "h2=two", "-z", "zstd"];
        feed(NODE.kcat(&null).expect("kcat is there"), "k3:\n:v4\n");
        let all = [&["--topic", topic, "--from-beginning", "--max-messages", "4"][..], &options(&EVERYTHING)]
            .concat();
        let printed = CONSUMER.agree(&all);
        assert!(printed.contains("|h1:one,h2:two|k3|null"), "{printed}");
        assert!(printed.contains("|NO_HEADERS|k1|ä value"), "{printed}");
        let plain = CONSUMER.ours(&["--topic", topic, "--from-beginning", "--max-messages", "1"]);
        assert_eq!(text(&plain.stdout), "ä value\n");
        assert_eq!(text(&plain.stderr), "Processed a total of 1 messages\n");
        CONSUMER.agree(&["--topic", topic, "--partition", "0", "--offset", "2", "--max-messages", "2"]);
        CONSUMER.agree(&[
            "--topic",
            topic,
            "--from-beginning",
            "--max-messages",
            "1",
            "--formatter-property",
            "print.value=false",
            "--formatter-property",
            "print.key=true",
            "--formatter-property",
            "line.separator=;",
        ]);
    }
}

#[test]
fn lines_of_json_hold_everything() {
    let topic = topic(1, &[]);
    fill(&topic, 0, "k:v\n");
    let line = acme_json(&["consume", &topic, "--from-beginning", "--max-messages", "1"]);
    assert_eq!((&line["key"], &line["value"], &line["offset"]), (&"k".into(), &"v".into(), &0.into()));
    assert!(line["timestamp_ms"].as_i64().is_some_and(|ms| ms > 1_700_000_000_000), "{line}");
}

#[test]
fn a_group_goes_on_where_it_was_whoever_reads() {
    let (topic, group) = (topic(2, &[]), unique("reader-"));
    fill(&topic, 0, "a:1\na:2\na:3\n");
    fill(&topic, 1, "b:1\nb:2\n");
    let read = ["--topic", &topic, "--group", &group, "--from-beginning", "--max-messages"];
    let ours = CONSUMER.ours(&[&read[..], &["2"]].concat());
    assert_eq!(text(&ours.stdout).lines().count(), 2, "{}", text(&ours.stderr));
    let theirs = CONSUMER.theirs(&[&read[..], &["1"]].concat());
    assert_eq!(text(&theirs.stdout).lines().count(), 1, "{}", text(&theirs.stderr));
    let rest = acme(&["consume", &topic, "--group", &group, "--max-messages", "2", "--timeout-ms", "20000"]);
    let mut all = [&ours.stdout, &theirs.stdout, &rest.stdout].map(|bytes| text(bytes)).concat();
    assert_eq!(all.lines().count(), 5, "{all}{}", text(&rest.stderr));
    let mut lines: Vec<&str> = all.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["1", "1", "2", "2", "3"]);
    all.clear();
    let lag = GROUPS.agree(&["--describe", "--group", &group]);
    assert_eq!(
        lag.lines().skip(2).filter(|line| line.split_whitespace().nth(5) == Some("0")).count(),
        2,
        "{lag}"
    );
    let none = acme(&["consume", &topic, "--group", &group, "--timeout-ms", "1500", "--from-beginning"]);
    assert_eq!(text(&none.stdout), "");
    assert!(none.status.success(), "{}", text(&none.stderr));
}

#[test]
fn what_comes_is_printed_as_it_comes_and_a_signal_ends_it() {
    let topic = topic(1, &[]);
    fill(&topic, 0, "k:old\n");
    let place = Place::new();
    let output = std::fs::File::create(place.path("out")).expect("it can be made");
    let mut command = place.command(&["consume", &topic, "--bootstrap-server", &NODE.bootstrap()]);
    let child = command.stdout(output).stderr(Stdio::piped()).spawn().expect("it runs");
    // Only what comes after it has begun is read, and when that is cannot be seen from outside.
    until("a record", || {
        fill(&topic, 0, "k:new\n");
        place.read("out").contains("new\n")
    });
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().expect("kill runs").success());
    let ended = child.wait_with_output().expect("it ends");
    assert!(ended.status.success(), "{}", text(&ended.stderr));
    assert!(!place.read("out").contains("old"));
    assert!(text(&ended.stderr).contains("Processed a total of "), "{}", text(&ended.stderr));
}
