//! The same tools, theirs and ours, on the log that Acme carries: what they print of it is what they print of Kafka.

use super::Node;
use crate::harness::{Place, text};
use acme_lab::{Server, free_port, wait_for_port};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Names the directory of the log that the tools are to look at.
pub const DATA: &str = "ACME_TOOLS_AT";

/// What every run of the tests takes of it.
const SLICE: &[&str] =
    &["groups::groups_without", "log_dirs::", "topics::a_topic_lives", "transactions::transactions_are"];

/// Tests that start a cluster of their own, or ask for what the log of one machine has not: quotas, stored passwords, settings of
/// single brokers and groups, replicas.
const ELSEWHERE: &[&str] = &[
    "configs::",
    "topics::a_cluster_of_kafka_3_is_served_too",
    "topics::mistakes_are_said_as_by_kafkas_own_tool_and_with_a_remedy",
    "transactions::a_transaction_that_hangs_is_found_and_aborted",
    "faults::logins_are_those_of_the_file_of_properties",
    "own::",
];

pub fn start(data: &Path) -> Node {
    let port = free_port().expect("some port is free");
    let bootstrap = format!("127.0.0.1:{port}");
    let server = Server::tied(Path::new(env!("CARGO_BIN_EXE_acme")), |command| {
        command.args(["server", "--listen", &bootstrap, "--data"]).arg(data);
    });
    wait_for_port(port, Duration::from_secs(120)).expect("it listens");
    Node::Acme { bootstrap, _server: server.expect("it starts") }
}

/// Runs these tests of the tools on the log of Acme; how many there were.
fn again(names: &[&str]) -> usize {
    let place = Place::new();
    let mut again = Command::new(std::env::current_exe().expect("this test is a program"));
    again.args(names.iter().map(|name| format!("kafka_tools::{name}"))).env(DATA, place.path("log"));
    again.args(ELSEWHERE.iter().flat_map(|name| ["--skip".to_owned(), format!("kafka_tools::{name}")]));
    let output = again.output().expect("it runs");
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", text(&output.stderr));
    said.lines().filter(|line| line.ends_with("... ok")).count()
}

#[test]
fn the_log_that_acme_carries_is_shown_by_kafkas_own_tools_and_ours_as_kafka_is() {
    assert_eq!(again(SLICE), SLICE.len());
}

#[test]
#[ignore = "cargo xtask soak"]
fn soak_every_tool_does_on_the_log_that_acme_carries_what_it_does_on_kafka() {
    let count = again(&[""]);
    assert!(count > 25, "only {count} tests ran");
}
