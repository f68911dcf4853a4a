//! What lies on the brokers' disks.

use super::{LOG_DIRS, acme, acme_json, fill, topic};
use crate::harness::text;
use serde_json::Value;

/// The line of JSON, with partitions in order: in Java it is chance.
fn parsed(out: &str) -> Value {
    let mut value: Value = serde_json::from_str(out.lines().nth(2).unwrap_or_default()).expect("it is JSON");
    for directory in value["brokers"][0]["logDirs"].as_array_mut().into_iter().flatten() {
        if let Some(partitions) = directory["partitions"].as_array_mut() {
            partitions.sort_by_key(|partition| partition["partition"].to_string());
        }
    }
    value
}

#[test]
fn directories_are_shown_as_by_kafkas_own_tool() {
    let (one, other) = (topic(2, &[]), topic(1, &[]));
    fill(&one, 0, "a:1\n");
    let topics = format!("{one},{other}");
    let arguments = ["--describe", "--topic-list", &topics, "--broker-list", "1"];
    let (theirs, ours) = (LOG_DIRS.theirs(&arguments), LOG_DIRS.ours(&arguments));
    let (theirs, ours) = (text(&theirs.stdout), text(&ours.stdout));
    assert_eq!(parsed(&theirs), parsed(&ours));
    assert_eq!(parsed(&ours)["brokers"][0]["logDirs"][0]["partitions"].as_array().map(Vec::len), Some(3));
    assert_eq!(theirs.lines().take(2).collect::<Vec<_>>(), ours.lines().take(2).collect::<Vec<_>>());
    // Members come in the same order, too.
    let shape = |out: &str| -> String {
        let line = out.lines().nth(2).unwrap_or_default();
        let end = line.find("isFuture").unwrap_or(line.len());
        line[..end].split('"').skip(1).step_by(2).filter(|word| !word.starts_with("topic-")).collect()
    };
    assert_eq!(shape(&theirs), shape(&ours));
    LOG_DIRS.refuse(&["--describe", "--broker-list", "1,5"]);
    LOG_DIRS.refuse(&["--topic-list", &one]);

    let json = acme_json(&["log-dirs", &one]);
    assert_eq!(json[0]["partitions"].as_array().map(Vec::len), Some(2), "{json}");
    assert!(json[0]["total_bytes"].as_u64() > json[0]["usable_bytes"].as_u64(), "{json}");
    let table = acme(&["log-dirs", &one, "--broker", "1"]);
    assert_eq!(text(&table.stdout).lines().count(), 3, "{}", text(&table.stdout));
    assert_eq!(acme(&["log-dirs", "--broker", "9"]).status.code(), Some(2));
}
