//! House rules that no compiler knows: sizes of files, edges between crates, words that must not occur.

use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Lines that a source file may have.
const LINES_MAX: usize = 600;

/// The crates of ours that each crate may depend on; see ARCHITECTURE.md.
const EDGES: &[(&str, &[&str])] = &[
    ("acme-types", &[]),
    ("acme-spec", &["acme-types"]),
    ("acme-formats", &["acme-types"]),
    ("acme-raw", &[]),
    ("acme-records", &[]),
    ("acme-kafka", &["acme-types", "acme-records"]),
    ("acme-log", &["acme-types", "acme-records"]),
    ("acme-broker", &["acme-types", "acme-records", "acme-log"]),
    ("acme-connect", &["acme-types", "acme-formats"]),
    ("acme-flow", &["acme-types", "acme-connect"]),
    ("acme-plan", &["acme-types", "acme-spec", "acme-formats", "acme-connect", "acme-flow"]),
    ("connector-kafka", &["acme-types", "acme-formats", "acme-connect", "acme-kafka"]),
    ("connector-", &["acme-types", "acme-formats", "acme-connect"]),
    ("acme-check", &[]),
    ("acme-lab", &[]),
    ("xtask", &["acme-lab"]),
    ("acme-bench", &["acme-kafka", "acme-lab"]),
];

/// Words that no source may contain, and what to use instead. The second part keeps this table from finding itself.
const BANNED: &[(&str, &str, &str)] = &[
    ("todo", "!(", "finish it"),
    ("unimplemented", "!(", "finish it"),
    ("#[ign", "ore", "a test runs, or it goes"),
    ("serde_json::Value", ">>", "rows are Arrow batches or bytes"),
];

/// The one reason for which a test does not run: it is long, and `cargo xtask soak` runs it.
const SOAK: (&str, &str) = ("#[ign", "ore = \"cargo xtask soak\"]");

/// The root of the workspace.
pub(crate) fn root() -> Result<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    Ok(here.parent().context("xtask lies in the workspace")?.to_owned())
}

/// Checks the whole tree; every fault is reported.
pub(crate) fn check(root: &Path) -> Result<()> {
    let mut faults = Vec::new();
    for path in tracked(root)? {
        let Ok(text) = fs::read_to_string(root.join(&path)) else { continue };
        if path.ends_with(".rs") {
            source(&path, &text, &mut faults);
        }
        if path.ends_with("Cargo.toml") {
            manifest(&path, &text, &mut faults);
        }
    }
    lock(&fs::read_to_string(root.join("Cargo.lock"))?, &mut faults);
    if faults.is_empty() {
        return Ok(());
    }
    bail!("the tree is not tidy:\n{}", faults.join("\n"))
}

/// The files that git knows, or would know.
fn tracked(root: &Path) -> Result<Vec<String>> {
    let arguments = ["ls-files", "--cached", "--others", "--exclude-standard"];
    let output =
        Command::new("git").current_dir(root).args(arguments).output().context("git cannot be started")?;
    let text = String::from_utf8(output.stdout).context("file names are UTF-8")?;
    Ok(text.lines().map(str::to_owned).collect())
}

fn source(path: &str, text: &str, faults: &mut Vec<String>) {
    let lines = text.lines().count();
    if lines > LINES_MAX {
        faults.push(format!("{path}: {lines} lines; split it by subject"));
    }
    if !text.starts_with("//!") && !path.ends_with("tests.rs") && !path.contains("/tests/") {
        faults.push(format!("{path}: does not open with what it is (`//!`)"));
    }
    let text = text.replace(&format!("{}{}", SOAK.0, SOAK.1), "");
    for (start, rest, instead) in BANNED {
        if text.contains(&format!("{start}{rest}")) {
            faults.push(format!("{path}: `{start}{rest}`: {instead}"));
        }
    }
}

fn manifest(path: &str, text: &str, faults: &mut Vec<String>) {
    let Some(name) = text.lines().find_map(|line| line.strip_prefix("name = ")) else { return };
    let name = name.trim_matches('"');
    let Some((_, allowed)) = EDGES.iter().find(|(prefix, _)| name.starts_with(prefix)) else { return };
    let dependencies = text.split("[dependencies]").nth(1).unwrap_or_default();
    let dependencies = dependencies.split("\n[").next().unwrap_or_default();
    for line in
        dependencies.lines().filter(|line| line.starts_with("acme-") || line.starts_with("connector-"))
    {
        let dependency = line.split(['.', ' ', '=']).next().unwrap_or_default();
        if !allowed.contains(&dependency) {
            faults.push(format!("{path}: {name} must not depend on {dependency}"));
        }
    }
}

/// What must not be in the dependency tree: a second Arrow, between which no batch could cross, and a second TLS.
fn lock(text: &str, faults: &mut Vec<String>) {
    let names: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("name = ")).collect();
    if names.iter().filter(|name| **name == "\"arrow\"").count() > 1 {
        faults.push("Cargo.lock: more than one version of arrow".to_owned());
    }
    for unwanted in ["aws-lc-sys", "openssl-sys", "native-tls"] {
        if names.iter().any(|name| name.trim_matches('"') == unwanted) {
            faults.push(format!("Cargo.lock: {unwanted}: TLS is rustls with ring"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_tidy() -> Result<()> {
        check(&root()?)
    }

    #[test]
    fn faults_are_found() {
        let mut faults = Vec::new();
        source("a.rs", &format!("fn f() {{ todo{}) }}", "!("), &mut faults);
        source("b.rs", &"//! x\n".repeat(LINES_MAX + 1), &mut faults);
        manifest(
            "c/Cargo.toml",
            "name = \"acme-spec\"\n[dependencies]\nacme-flow.workspace = true\n",
            &mut faults,
        );
        lock("name = \"arrow\"\nname = \"arrow\"\nname = \"openssl-sys\"\n", &mut faults);
        assert_eq!(faults.len(), 6, "{faults:#?}");
    }
}
