//! The README's tour, followed word for word.

use crate::harness::text;
use std::path::Path;
use std::process::Command;

/// The fenced blocks of a section, in order: what they hold is (language, text).
fn blocks<'a>(readme: &'a str, section: &str) -> Vec<(&'a str, &'a str)> {
    let (_, rest) = readme.split_once(&format!("\n## {section}\n")).expect("the section is there");
    let section = rest.split_once("\n## ").map_or(rest, |(section, _)| section);
    let mut fences = section.split("```");
    fences.next();
    let mut blocks = Vec::new();
    while let Some(block) = fences.next() {
        blocks.push(block.split_once('\n').expect("a block begins with its language"));
        fences.next();
    }
    blocks
}

/// Whether a line of output is what the README shows: `…` stands for a figure that differs from run to run,
/// and with it the blanks that fill a table's cell.
fn fits(shown: &str, printed: &str) -> bool {
    let [shown, printed] = [shown, printed].map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    let mut rest = printed.as_str();
    for (index, part) in shown.split('…').enumerate() {
        let at = if index == 0 { rest.starts_with(part).then_some(0) } else { rest.find(part) };
        let Some(at) = at else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.is_empty() || shown.ends_with('…')
}

#[test]
fn the_tour_of_the_readme_shows_what_it_promises() {
    follow("Five minutes", "");
}

#[test]
fn topics_without_a_cluster_are_as_the_readme_shows_them() {
    acme_lab::kafka::install_kcat().expect("kcat can be installed");
    let printed = follow("Topics without a cluster", "export PATH=\"$PWD/target/release:$PATH\"\n");
    assert!(printed.lines().any(|line| line.trim() == "10212"), "{printed}");
}

/// Runs the commands of a section after these, and compares what they print; what comes behind all that is shown.
fn follow(section: &str, before: &str) -> String {
    let readme = include_str!("../../../../README.md");
    let home = tempfile::tempdir().expect("a temporary directory");
    let built = Path::new(env!("CARGO_BIN_EXE_acme"));
    // What a fresh clone has after the first command: target/release/acme.
    std::fs::create_dir(home.path().join("target")).expect("the directory can be written");
    let release = built.parent().expect("the binary lies in a directory");
    std::os::unix::fs::symlink(release, home.path().join("target/release")).expect("a link can be made");

    let blocks = blocks(readme, section);
    let mut script = "exec 2>&1\ntrap 'kill $(jobs -p) 2>/dev/null' EXIT\n".to_owned() + before;
    for (language, commands) in &blocks {
        script += if *language == "sh" { commands } else { "echo \"--- shown\"\n" };
    }
    let mut command = Command::new("bash");
    command.arg("-c").arg(script).current_dir(&home).env("HOME", home.path()).env("TMPDIR", home.path());
    for name in ["ACME_STATE_DIR", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"] {
        command.env_remove(name);
    }
    // What the shell says of the killed job is the shell's, and differs between shells.
    let output = text(&command.output().expect("bash runs").stdout);
    let printed: String = output.split_inclusive('\n').filter(|line| !line.contains("Killed")).collect();

    let mut printed_parts = printed.split("--- shown\n");
    for (_, shown) in blocks.iter().filter(|(language, _)| *language == "text") {
        let part = printed_parts.next().unwrap_or_default();
        let equal = shown.lines().count() == part.lines().count()
            && shown.lines().zip(part.lines()).all(|(shown, printed)| fits(shown, printed));
        assert!(equal, "the README shows:\n{shown}\nprinted was:\n{part}\nin all:\n{printed}");
    }
    printed_parts.collect()
}

#[test]
fn an_ellipsis_stands_for_a_figure_and_nothing_else_differs() {
    assert!(fits("5 rows in (…/s), 0 out", "5 rows in (426/s), 0 out"));
    assert!(!fits("5 rows in (…/s), 0 out", "5 rows in (426/s), 1 out"));
    assert!(!fits("5 rows", "5 rows and more"));
    assert!(!fits("5 rows", "05 rows"));
}
