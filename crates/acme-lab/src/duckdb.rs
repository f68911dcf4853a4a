//! DuckDB as its Python package: a peer of the benchmarks.

use crate::{process::once, run};
use anyhow::Result;
use std::process::Command;

/// The version that is installed.
pub const VERSION: &str = "1.5.6";

/// A command that runs a Python program with the package at hand; downloads it the first time.
pub fn python(program: &str) -> Result<Command> {
    let package = once(&format!("duckdb-{VERSION}"), |into| {
        let package = format!("duckdb=={VERSION}");
        let arguments = ["-m", "pip", "-q", "install", "--no-deps", &package, "--target"];
        run(Command::new("python3").args(arguments).arg(into)).map(drop)
    })?;
    let mut command = Command::new("python3");
    command.args(["-c", program]).env("PYTHONPATH", package);
    Ok(command)
}
