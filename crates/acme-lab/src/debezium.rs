//! Debezium's engine with its connector for PostgreSQL, within one process and without Kafka: a peer of the benchmarks.

use crate::{elasticsearch::java_old, process::once, run};
use anyhow::{Context, Result};
use std::path::Path;
use std::process::Command;

/// The version that is installed.
pub const VERSION: &str = "3.6.1.Final";

/// What the jars are resolved from.
const PROJECT: &str = include_str!("debezium/pom.xml");
/// Runs the engine and drops what it hands over.
const RUNNER: &str = include_str!("debezium/RunDebezium.java");

/// A command that runs the engine with the properties of a file until it has handed over `count` records of `topic`, and
/// prints the milliseconds from the first of them to the last; downloads what it needs the first time.
pub fn engine(properties: &Path, count: u64, topic: &str) -> Result<Command> {
    let home = once(&format!("debezium-{VERSION}"), install)?;
    let mut command = Command::new(java_old()?.join("bin/java"));
    command
        .args(["-Xmx1g", "-cp"])
        .arg(format!("{}:{}", home.display(), home.join("lib/*").display()))
        .arg("RunDebezium")
        .arg(properties)
        .args([&count.to_string(), topic]);
    Ok(command)
}

fn install(into: &Path) -> Result<()> {
    let (project, source, jars) = (into.join("pom.xml"), into.join("RunDebezium.java"), into.join("lib"));
    std::fs::write(&project, PROJECT)?;
    std::fs::write(&source, RUNNER)?;
    run(Command::new("mvn")
        .args(["-B", "-q", "-f"])
        .arg(&project)
        .args(["dependency:copy-dependencies", "-DincludeScope=runtime"])
        .args([format!("-Dv={VERSION}"), format!("-DoutputDirectory={}", jars.display())]))?;
    run(Command::new(java_old()?.join("bin/javac"))
        .args(["-nowarn", "-cp"])
        .arg(jars.join("*"))
        .arg("-d")
        .args([into, &source]))
    .map(drop)
    .context("the runner of Debezium's engine does not compile")
}
