//! The same tools, theirs and ours, on the log that Acme carries: what they print of it is what they print of Kafka.

use super::Node;
use crate::harness::{Place, text};
use acme_lab::{Server, free_port, wait_for_port};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Names the directory of the log that the tools are to look at.
pub const DATA: &str = "ACME_TOOLS_AT";

/// Tests that start a cluster of their own, or ask for what one node without quotas and stored passwords has not.
const ELSEWHERE: &[&str] = &[
    "a_cluster_of_kafka_3_is_served_too",
    "a_transaction_that_hangs_is_found_and_aborted",
    "logins_are_those_of_the_file_of_properties",
    "quotas_and_passwords_are_shown_and_changed_as_by_kafkas_own_tool",
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

#[test]
fn the_log_that_acme_carries_is_shown_by_kafkas_own_tools_and_ours_as_kafka_is() {
    let place = Place::new();
    let mut again = Command::new(std::env::current_exe().expect("this test is a program"));
    again.arg("kafka_tools::").env(DATA, place.path("log"));
    again.args(ELSEWHERE.iter().flat_map(|name| ["--skip", name]));
    let output = again.output().expect("it runs");
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", text(&output.stderr));
    // A filter that fits nothing would show nothing.
    let count = said.lines().filter(|line| line.ends_with("... ok")).count();
    assert!(count > 30, "{said}");
}
