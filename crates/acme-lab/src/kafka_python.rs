//! kafka-python: a client that shares no code with any other, all of it Python.

use crate::process::once;
use crate::run;
use anyhow::Result;
use std::path::PathBuf;
use std::process::Command;

/// The version of the package.
pub const VERSION: &str = "3.0.12";

/// Installs the package where it is absent.
pub fn install() -> Result<PathBuf> {
    once(&format!("kafka-python-{VERSION}"), |into| {
        let package = format!("kafka-python=={VERSION}");
        let arguments =
            ["-m", "pip", "-q", "install", "--no-deps", "--only-binary", ":all:", &package, "--target"];
        run(Command::new("python3").args(arguments).arg(into)).map(drop)
    })
}

/// A command that runs a Python program with the package `kafka` at hand.
pub fn program(program: &str, arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new("python3");
    command.args(["-u", "-c", program]).args(arguments).env("PYTHONPATH", install()?);
    Ok(command)
}
