//! strace: makes system calls of a process fail as a broken disk does.

use crate::debian;
use anyhow::Result;
use std::path::Path;
use std::process::Command;

const PROGRAM: &str = "/usr/bin/strace";

/// Installs it where it is absent.
pub fn install() -> Result<()> {
    debian::package("strace", Path::new(PROGRAM))
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
