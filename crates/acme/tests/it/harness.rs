//! A throw-away directory with a pipeline in it, and the binary run there.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use tempfile::TempDir;

pub struct Place {
    directory: TempDir,
}

impl Place {
    pub fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("a temporary directory") }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("the directory can be written");
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_acme"));
        command.args(arguments).current_dir(self.directory.path()).env("ACME_STATE_DIR", self.path("state"));
        command
    }

    pub fn acme(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the binary runs")
    }

    /// Runs and must succeed; what it wrote to standard output.
    #[track_caller]
    pub fn acme_ok(&self, arguments: &[&str]) -> String {
        let output = self.acme(arguments);
        assert!(output.status.success(), "acme {arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// Runs and must fail; what it wrote to standard error.
    #[track_caller]
    pub fn acme_fails(&self, arguments: &[&str]) -> String {
        let output = self.acme(arguments);
        assert!(!output.status.success(), "acme {arguments:?} succeeded: {}", text(&output.stdout));
        text(&output.stderr)
    }

    pub fn spawn(&self, arguments: &[&str]) -> Child {
        let mut command = self.command(arguments);
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the binary runs")
    }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("the output is UTF-8")
}

/// Commits that a pipeline has made so far: the number of its newest link.
pub fn links(place: &Path) -> u64 {
    let entries = std::fs::read_dir(place).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter_map(|name| name.strip_prefix("link-")?.parse().ok()).max().unwrap_or(0)
}
