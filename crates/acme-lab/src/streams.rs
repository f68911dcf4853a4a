//! Kafka Streams with a filter: a peer of the benchmarks.

use crate::{elasticsearch::java_old, kafka, process::once, run};
use anyhow::{Context, Result};
use std::path::Path;
use std::process::Command;

/// What the jars are resolved from.
const PROJECT: &str = include_str!("streams/pom.xml");
/// Filters a topic into another.
const RUNNER: &str = include_str!("streams/FilterTopic.java");

/// A command that copies the records of one topic to another whose member `field` is the text `value`, or any with `*`; ends
/// behind `count` records, and prints the milliseconds since its start. Downloads what it needs the first time.
pub fn filter(
    bootstrap: &str,
    (from, to): (&str, &str),
    count: u64,
    (field, value): (&str, &str),
    threads: usize,
) -> Result<Command> {
    let home = once(&format!("streams-{}", kafka::VERSION), install)?;
    let mut command = Command::new(java_old()?.join("bin/java"));
    command
        .args(["-Xmx768m", "-XX:+UseG1GC", "-cp"])
        .arg(format!("{}:{}", home.display(), home.join("lib/*").display()))
        .args(["FilterTopic", bootstrap, from, to, &count.to_string(), field, value, &threads.to_string()]);
    Ok(command)
}

fn install(into: &Path) -> Result<()> {
    let (project, source, jars) = (into.join("pom.xml"), into.join("FilterTopic.java"), into.join("lib"));
    std::fs::write(&project, PROJECT)?;
    std::fs::write(&source, RUNNER)?;
    run(Command::new("mvn")
        .args(["-B", "-q", "-f"])
        .arg(&project)
        .args(["dependency:copy-dependencies", "-DincludeScope=runtime"])
        .args([format!("-Dv={}", kafka::VERSION), format!("-DoutputDirectory={}", jars.display())]))?;
    run(Command::new(java_old()?.join("bin/javac"))
        .args(["-nowarn", "-cp"])
        .arg(jars.join("*"))
        .arg("-d")
        .args([into, &source]))
    .map(drop)
    .context("the filter of Kafka Streams does not compile")
}
