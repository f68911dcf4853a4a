//! The project's only automation: `cargo xtask test`.

mod tidy;

use anyhow::{Context, Result, bail};
use std::process::Command;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["test"] => test(),
        ["tidy"] => tidy::check(&tidy::root()?),
        _ => bail!("usage: cargo xtask test|tidy"),
    }
}

/// Everything that must hold, the fast parts first.
fn test() -> Result<()> {
    tidy::check(&tidy::root()?)?;
    acme_lab::install_all()?;
    cargo(&["test", "--release", "--workspace", "--locked"])
}

fn cargo(arguments: &[&str]) -> Result<()> {
    let status = Command::new(env!("CARGO")).args(arguments).status().context("cargo cannot be started")?;
    if !status.success() {
        bail!("cargo {} failed", arguments.join(" "));
    }
    Ok(())
}
