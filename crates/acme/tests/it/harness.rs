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

    /// The binary on a terminal, which `script` makes.
    pub fn terminal(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("script");
        let line = format!("{} {}", env!("CARGO_BIN_EXE_acme"), arguments.join(" "));
        command.args(["-q", "-e", "-c", &line, "/dev/null"]).current_dir(self.directory.path());
        command.env("ACME_STATE_DIR", self.path("state"));
        command
    }

    /// Runs on a terminal with this typed in; all that is shown on it.
    pub fn on_terminal(&self, arguments: &[&str], url: &str, typed: &str) -> String {
        let mut command = self.terminal(arguments);
        command.env("DATABASE_URL", url);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("`script` is installed");
        let mut input = child.stdin.take().expect("it is piped");
        std::io::Write::write_all(&mut input, typed.as_bytes()).expect("it reads");
        let output = child.wait_with_output().expect("it ends");
        drop(input);
        String::from_utf8_lossy(&output.stdout).into_owned()
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
