//! strace: makes system calls of a process fail as a broken disk does.

use crate::run;
use anyhow::{Result, bail};
use std::path::Path;
use std::process::Command;

const PROGRAM: &str = "/usr/bin/strace";

/// Installs it where it is absent.
pub fn install() -> Result<()> {
    if Path::new(PROGRAM).exists() {
        return Ok(());
    }
    run(Command::new("apt-get").arg("update"))?;
    let packages = ["install", "-y", "--no-install-recommends", "strace"];
    run(Command::new("apt-get").args(packages).env("DEBIAN_FRONTEND", "noninteractive"))?;
    if !Path::new(PROGRAM).exists() {
        bail!("strace was installed, but {PROGRAM} is not there");
    }
    Ok(())
}

/// A command that runs another and tampers with its system calls, in all of its threads: `fault` is what stands behind
/// `inject=`, such as `fsync,fdatasync:error=EIO:when=3`. With `files`, only calls that concern one of them.
/// The calls are noted in `log`.
pub fn command(fault: &str, files: &[&Path], log: &Path, program: &str) -> Result<Command> {
    install()?;
    let mut command = Command::new(PROGRAM);
    command.args(["-f", "-qq", "-e", &format!("inject={fault}"), "-o"]).arg(log);
    for file in files {
        command.arg("-P").arg(file);
    }
    command.arg(program);
    Ok(command)
}
