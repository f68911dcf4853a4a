//! The project's only automation: `cargo xtask test`.

mod tidy;

use acme_lab::without_cargo;
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::Command;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["test"] => test(),
        ["tidy"] => tidy::check(&tidy::root()?),
        ["deny"] => deny(&tidy::root()?),
        _ => bail!("usage: cargo xtask test|tidy|deny"),
    }
}

/// Everything that must hold, the fast parts first.
fn test() -> Result<()> {
    tidy::check(&tidy::root()?)?;
    acme_lab::install_all()?;
    deny(&tidy::root()?)?;
    cargo(&["test", "--release", "--workspace", "--locked"])?;
    command_one(&tidy::root()?)
}

/// Licences, origins and bans of the dependencies. Known vulnerabilities are not looked up: their database is a repository
/// of its own, and what it says today must not decide whether yesterday's commit passes.
fn deny(root: &Path) -> Result<()> {
    let mut command = Command::new(acme_lab::deny::install()?);
    command.current_dir(root).args(["--locked", "check", "bans", "licenses", "sources"]);
    if !command.status().context("cargo-deny cannot be started")?.success() {
        bail!("the dependencies break the rules of deny.toml");
    }
    Ok(())
}

/// The README's first command, word for word, and what it promises.
fn command_one(root: &Path) -> Result<()> {
    let readme = std::fs::read_to_string(root.join("README.md")).context("README.md cannot be read")?;
    let command = readme
        .lines()
        .find(|line| line.starts_with("cargo run "))
        .context("README.md has no first command")?;
    let (out, state) = (root.join("out/quickstart"), root.join("target/command-one"));
    for old in [&out, &state] {
        if old.exists() {
            std::fs::remove_dir_all(old)?;
        }
    }
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).current_dir(root).env("ACME_STATE_DIR", state);
    let status = without_cargo(&mut shell).status()?;
    let count = |name: &str| -> Result<usize> {
        Ok(std::fs::read_to_string(out.join(name))
            .with_context(|| format!("{name} is missing"))?
            .lines()
            .count())
    };
    let rows = count("pending.jsonl")? + count("small.jsonl")?;
    if !status.success() || rows != 120_013 {
        bail!("`{command}` ended with {status} and {rows} rows");
    }
    Ok(())
}

fn cargo(arguments: &[&str]) -> Result<()> {
    let mut command = Command::new(env!("CARGO"));
    let status = without_cargo(command.args(arguments)).status().context("cargo cannot be started")?;
    if !status.success() {
        bail!("cargo {} failed", arguments.join(" "));
    }
    Ok(())
}
