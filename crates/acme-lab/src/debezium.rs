//! Debezium's engine with its connector for PostgreSQL, within one process and without Kafka: a peer of the benchmarks.

use crate::java::Program;
use crate::process::once;
use anyhow::Result;
use std::path::Path;
use std::process::Command;

/// The version that is installed.
pub const VERSION: &str = "3.6.1.Final";

/// Runs the engine and drops what it hands over.
const PROGRAM: Program = Program {
    class: "RunDebezium",
    source: include_str!("debezium/RunDebezium.java"),
    project: include_str!("debezium/pom.xml"),
    version: VERSION,
};

/// A command that runs the engine with the properties of a file until it has handed over `count` records of `topic`, and
/// prints the milliseconds from the first of them to the last; downloads what it needs the first time.
pub fn engine(properties: &Path, count: u64, topic: &str) -> Result<Command> {
    let home = once(&format!("debezium-{VERSION}"), |into| PROGRAM.install(into))?;
    let mut command = PROGRAM.command(&home, &["-Xmx1g"])?;
    command.arg(properties).args([&count.to_string(), topic]);
    Ok(command)
}
