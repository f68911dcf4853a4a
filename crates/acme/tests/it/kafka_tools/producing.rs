//! Writing topics.

use super::{CONSUMER, NODE, PRODUCER, feed, topic};
use crate::harness::{Place, text};
use std::io::Write;
use std::process::{Command, Output, Stdio};

/// A command that reads these lines, run to its end.
fn run(mut command: Command, lines: &str) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it runs");
    // One that refuses may end before it has read.
    let _ = child.stdin.take().expect("it is piped").write_all(lines.as_bytes());
    child.wait_with_output().expect("it ends")
}

fn ours(arguments: &[&str], lines: &str) -> Output {
    let bootstrap = NODE.bootstrap();
    run(Place::new().command(&[arguments, &["--bootstrap-server", &bootstrap]].concat()), lines)
}

/// All records with everything that is in them but the time.
fn records(topic: &str, count: usize) -> Vec<String> {
    let count = count.to_string();
    let properties = ["print.key=true", "print.headers=true", "print.partition=true", "null.literal=NULL"];
    let properties: Vec<&str> = properties.iter().flat_map(|it| ["--formatter-property", it]).collect();
    let read = ["--topic", topic, "--from-beginning", "--max-messages", &count, "--timeout-ms", "20000"];
    let output = CONSUMER.theirs(&[&read[..], &properties].concat());
    let mut lines: Vec<String> = text(&output.stdout).lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn lines_become_the_same_records_as_with_kafkas_own_tool() {
    let lines = "h1:a,h2:NULL\tk1\tvalue one\nNULL\tk2\tNULL\nh1:\tNULL\tä\tb\nh1:x\tk3\t\n";
    let properties = ["parse.key=true", "parse.headers=true", "null.marker=NULL"];
    let properties: Vec<&str> = properties.iter().flat_map(|it| ["--reader-property", it]).collect();
    // One partition: where a record without a key goes is chance.
    let (one, other) = (topic(1, &[]), topic(1, &[]));
    let theirs = NODE.tool(PRODUCER.1, &[&["--topic", &one][..], &properties].concat());
    assert!(run(theirs.expect("Java is there"), lines).status.success());
    let written = ours(&[&["kafka-console-producer", "--topic", &other][..], &properties].concat(), lines);
    assert!(written.status.success(), "{}", text(&written.stderr));
    assert_eq!(text(&written.stdout), "");
    assert_eq!(records(&one, 4), records(&other, 4));
    assert_eq!(records(&other, 4).len(), 4);
}

#[test]
fn a_key_goes_to_the_partition_that_kafkas_own_producer_chooses() {
    let lines: String = (0..200).map(|number| format!("key-{number}:{number}\n")).collect();
    let (one, other) = (topic(7, &[]), topic(7, &[]));
    let properties = ["--reader-property", "parse.key=true", "--reader-property", "key.separator=:"];
    let theirs = NODE.tool(PRODUCER.1, &[&["--topic", &one][..], &properties].concat());
    feed(theirs.expect("Java is there"), &lines);
    let written = ours(
        &["produce", &other, "--key-separator", ":", "--compression", "lz4", "--output", "json"],
        &lines,
    );
    assert!(text(&written.stdout).contains("\"records\": 200"), "{}", text(&written.stderr));
    assert_eq!(records(&one, 200), records(&other, 200));
}

#[test]
fn what_cannot_be_written_is_said() {
    let topic = topic(1, &[("max.message.bytes", "2000")]);
    let keyless = ours(&["produce", &topic, "--key-separator", ":"], "a:1\nno key\n");
    assert!(!keyless.status.success());
    let said = text(&keyless.stderr);
    assert!(said.contains("No key separator found on line number 2: 'no key'"), "{said}");
    let large = "x".repeat(5_000);
    let refused = ours(&["produce", &topic], &format!("small\n{large}\n"));
    assert!(!refused.status.success());
    assert!(text(&refused.stderr).contains("records were not written"), "{}", text(&refused.stderr));
    let nowhere = ours(&["kafka-console-producer", "--topic", "nowhere"], "x\n");
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(text(&nowhere.stderr).contains("Topic 'nowhere' does not exist"), "{}", text(&nowhere.stderr));
}
