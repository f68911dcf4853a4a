//! Kafka Streams with a filter: a peer of the benchmarks.

use crate::java::Program;
use crate::{kafka, process::once};
use anyhow::Result;
use std::path::PathBuf;
use std::process::Command;

/// Filters a topic into another.
const PROGRAM: Program = Program {
    class: "FilterTopic",
    source: include_str!("streams/FilterTopic.java"),
    project: include_str!("streams/pom.xml"),
    version: kafka::VERSION,
};

/// Downloads its jars, with those of Kafka's client.
pub fn install() -> Result<PathBuf> {
    once(&format!("streams-{}", PROGRAM.version), |into| PROGRAM.install(into))
}

/// A command that copies the records of one topic to another whose member `field` is the text `value`, or any with `*`; ends
/// behind `count` records, and prints the milliseconds since its start. Downloads what it needs the first time.
pub fn filter(
    bootstrap: &str,
    (from, to): (&str, &str),
    count: u64,
    (field, value): (&str, &str),
    threads: usize,
) -> Result<Command> {
    let home = install()?;
    let mut command = PROGRAM.command(&home, &["-Xmx768m", "-XX:+UseG1GC"])?;
    command.args([bootstrap, from, to, &count.to_string(), field, value, &threads.to_string()]);
    Ok(command)
}
