//! Calling the tools, by any of their names, and calling them wrongly.

use super::{
    CONFIGS, CONSUMER, CONSUMER_PERF, DELETE_RECORDS, GROUPS, LOG_DIRS, OFFSETS, PRODUCER, PRODUCER_PERF,
    TOPICS, TRANSACTIONS,
};
use crate::harness::{Place, text};
use std::process::Command;

/// Every tool, and an option that the others do not have.
const ALL: [(&str, &str); 11] = [
    (TOPICS.0, "--replica-assignment"),
    (GROUPS.0, "--reset-offsets"),
    (PRODUCER.0, "--line-reader"),
    (CONSUMER.0, "--formatter-property"),
    (CONFIGS.0, "--add-config-file"),
    (OFFSETS.0, "--topic-partitions"),
    (DELETE_RECORDS.0, "--offset-json-file"),
    (TRANSACTIONS.0, "find-hanging"),
    (LOG_DIRS.0, "--broker-list"),
    (PRODUCER_PERF.0, "--payload-monotonic"),
    (CONSUMER_PERF.0, "--show-detailed-stats"),
];

#[test]
fn every_tool_runs_by_the_name_of_its_script() {
    let place = Place::new();
    for (name, option) in ALL {
        let script = place.path(&format!("{name}.sh"));
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_acme"), &script).expect("it can be made");
        let plain = place.path(name);
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_acme"), &plain).expect("it can be made");
        for link in [script, plain] {
            let help = Command::new(&link).arg("--help").output().expect("it runs");
            assert!(text(&help.stdout).contains(option), "{}: {}", link.display(), text(&help.stdout));
            assert!(help.status.success());
            let wrong = Command::new(&link).arg("--bootstrap-sevrer").output().expect("it runs");
            let said = text(&wrong.stderr);
            assert!(said.contains("unexpected argument '--bootstrap-sevrer'"), "{said}");
            assert!(said.contains("similar argument exists: '--bootstrap-server'"), "{said}");
            assert_eq!(wrong.status.code(), Some(1), "{}", link.display());
        }
    }
    // A copy is called by its own name, too.
    let folder = place.path("tools");
    std::fs::create_dir(&folder).expect("it can be made");
    let copy = folder.join("kafka-get-offsets.sh");
    std::fs::copy(env!("CARGO_BIN_EXE_acme"), &copy).expect("it can be copied");
    let refused = Command::new(copy).output().expect("it runs");
    assert!(text(&refused.stderr).starts_with("Missing required argument \"[bootstrap-server]\""));
}

#[test]
fn a_cluster_that_is_not_there_is_one_message_and_exit_1() {
    let nowhere = format!("127.0.0.1:{}", acme_lab::free_port().expect("one is free"));
    let place = Place::new();
    place.write("plan.json", r#"{"partitions": [{"topic": "t", "partition": 0, "offset": 0}]}"#);
    place.write("patience", "default.api.timeout.ms=1000\n");
    for arguments in [
        &["kafka-configs", "--describe", "--topic", "t"][..],
        &["kafka-get-offsets", "--topic", "t"],
        &["kafka-delete-records", "--offset-json-file", "plan.json"],
        &["kafka-transactions", "list"],
        &["kafka-log-dirs", "--describe"],
        &[
            "kafka-producer-perf-test",
            "--topic",
            "t",
            "--num-records",
            "1",
            "--record-size",
            "1",
            "--throughput",
            "-1",
        ],
        &["kafka-consumer-perf-test", "--topic", "t", "--num-records", "1"],
        &["configs", "describe", "topics"],
        &["transactions", "list"],
        &["log-dirs"],
    ] {
        let cluster = ["--bootstrap-server", &nowhere, "--command-config", "patience"];
        let output = place.acme(&[arguments, &cluster].concat());
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(said.contains("none of ") && said.contains(&nowhere), "{arguments:?}: {said}");
        assert_eq!(
            said.lines().filter(|line| line.contains("help: check --bootstrap-server")).count(),
            1,
            "{said}"
        );
        assert_eq!(said.lines().count(), 2, "{arguments:?}: {said}");
    }
}
