//! What comes from Debian's own packages.

use crate::run;
use anyhow::{Result, bail};
use std::path::Path;
use std::process::Command;

/// Programs that fetch and unpack the real systems, each with how it shows that it is there, and its package.
const TOOLS: [(&[&str], &str); 4] = [
    (&["mvn", "--version"], "maven"),
    (&["python3", "--version"], "python3"),
    (&["python3", "-m", "pip", "--version"], "python3-pip"),
    (&["xz", "--version"], "xz-utils"),
];

/// Installs what the other modules fetch and unpack with, as far as it is absent.
pub fn tools() -> Result<()> {
    let absent = |words: &[&str]| {
        let output = Command::new(words[0]).args(&words[1..]).output();
        !output.is_ok_and(|output| output.status.success())
    };
    let packages: Vec<&str> =
        TOOLS.iter().filter(|(words, _)| absent(words)).map(|(_, package)| *package).collect();
    install(&packages)
}

/// Installs a package that brings `program`, where that file is absent.
pub(crate) fn package(package: &str, program: &Path) -> Result<()> {
    if program.exists() {
        return Ok(());
    }
    install(&[package])?;
    if !program.exists() {
        bail!("{package} was installed, but {} is not there", program.display());
    }
    Ok(())
}

/// Installs packages, whether they are there or not.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    run(Command::new("apt-get").arg("update"))?;
    let mut install = Command::new("apt-get");
    install.args(["install", "-y", "--no-install-recommends"]).args(packages);
    run(install.env("DEBIAN_FRONTEND", "noninteractive")).map(drop)
}
