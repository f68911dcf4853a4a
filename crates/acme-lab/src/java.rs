//! Peers that are a Java library and a small program of ours that uses it.

use crate::elasticsearch::java_old;
use crate::run;
use anyhow::{Context, Result};
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
        run(Command::new(java_old()?.join("bin/javac"))
            .args(["-nowarn", "-cp"])
            .arg(jars.join("*"))
            .arg("-d")
            .args([into, &source]))
        .map(drop)
        .with_context(|| format!("{} does not compile", self.class))
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
