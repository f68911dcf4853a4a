//! Peers that are a Java library and a small program of ours that uses it.

use crate::elasticsearch::java_old;
use crate::process::once;
use crate::{run, streams};
use anyhow::{Context, Result};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::process::Command;

/// What such a peer is made of.
pub(crate) struct Program {
    /// The class of our program.
    pub(crate) class: &'static str,
    /// Its source.
    pub(crate) source: &'static str,
    /// The project that its jars are resolved from, with the version as `${v}`.
    pub(crate) project: &'static str,
    pub(crate) version: &'static str,
}

impl Program {
    /// Downloads the jars and compiles the program.
    pub(crate) fn install(&self, into: &Path) -> Result<()> {
        let (project, jars) = (into.join("pom.xml"), into.join("lib"));
        let source = into.join(format!("{}.java", self.class));
        std::fs::write(&project, self.project)?;
        std::fs::write(&source, self.source)?;
        run(Command::new("mvn")
            .args(["-B", "-q", "-f"])
            .arg(&project)
            .args(["dependency:copy-dependencies", "-DincludeScope=runtime"])
            .args([format!("-Dv={}", self.version), format!("-DoutputDirectory={}", jars.display())]))?;
        compile(&source, &jars, into)
    }

    /// A command that runs what was installed in a folder; the program's arguments are still to come.
    pub(crate) fn command(&self, home: &Path, machine: &[&str]) -> Result<Command> {
        let mut command = Command::new(java_old()?.join("bin/java"));
        command
            .args(machine)
            .arg("-cp")
            .arg(format!("{}:{}", home.display(), home.join("lib/*").display()))
            .arg(self.class);
        Ok(command)
    }
}

fn compile(source: &Path, jars: &Path, into: &Path) -> Result<()> {
    run(Command::new(java_old()?.join("bin/javac"))
        .args(["-nowarn", "-cp"])
        .arg(jars.join("*"))
        .arg("-d")
        .args([into, source]))
    .map(drop)
    .with_context(|| format!("{} does not compile", source.display()))
}

/// A command that runs a program of a test, a class in a file of its name, with Kafka's client and Kafka Streams of
/// [`VERSION`](crate::kafka::VERSION); its arguments are still to come. Compiled when the source has changed.
pub fn with_kafka(source: &Path, machine: &[&str]) -> Result<Command> {
    let text = std::fs::read(source).with_context(|| format!("{} is there", source.display()))?;
    let mut hash = DefaultHasher::new();
    text.hash(&mut hash);
    let class = source.file_stem().and_then(|name| name.to_str()).context("a source has a name")?;
    let jars = streams::install()?.join("lib");
    let home = once(&format!("java-{class}-{:016x}", hash.finish()), |into| compile(source, &jars, into))?;
    let mut command = Command::new(java_old()?.join("bin/java"));
    command.args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]).args(machine).arg("-cp");
    command.arg(format!("{}:{}", home.display(), jars.join("*").display())).arg(class);
    Ok(command)
}
