//! A throw-away directory with a pipeline in it, and the binary run there.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
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

    /// Adds to the end of a file, as a program that writes a log does.
    pub fn append(&self, name: &str, text: &str) {
        let mut file =
            std::fs::OpenOptions::new().append(true).open(self.path(name)).expect("the file is there");
        file.write_all(text.as_bytes()).expect("it can be written");
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
        Write::write_all(&mut input, typed.as_bytes()).expect("it reads");
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

/// A run that stands still at a failpoint.
pub struct Held {
    pub child: Child,
    mark: PathBuf,
    /// It came there; otherwise it has ended before.
    pub reached: bool,
}

impl Held {
    pub fn kill(mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it ends");
        let _ = std::fs::remove_file(self.mark);
    }

    /// Lets it go on; how it ended.
    pub fn release(self) -> Output {
        let _ = std::fs::remove_file(self.mark);
        self.child.wait_with_output().expect("it ends")
    }
}

impl Place {
    /// Runs `p.yaml` until it comes to a place for the N-th time, or ends before.
    pub fn hold(&self, point: &str, pass: u32) -> Held {
        let marks = self.path("marks");
        std::fs::create_dir_all(&marks).expect("it can be made");
        let mark = marks.join(point);
        let mut command = self.command(&["run", "p.yaml"]);
        command.env("ACME_FAILPOINTS", format!("{}:{point}@{pass}", marks.display()));
        let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the binary runs");
        // A process that has ended is a zombie until it is waited for.
        let stat = format!("/proc/{}/stat", child.id());
        let ended = || {
            let stat = std::fs::read_to_string(&stat).unwrap_or_default();
            stat.rsplit(')').next().is_none_or(|rest| rest.trim_start().starts_with('Z'))
        };
        until("the place or the end", || mark.exists() || ended());
        let reached = mark.exists();
        Held { child, mark, reached }
    }

    /// The same, and kills it there; whether it came there.
    pub fn kill_at(&self, point: &str, pass: u32) -> bool {
        let held = self.hold(point, pass);
        let reached = held.reached;
        held.kill();
        reached
    }
}

/// Commits that a pipeline has made so far: the number of its newest link.
pub fn links(place: &Path) -> u64 {
    let entries = std::fs::read_dir(place).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter_map(|name| name.strip_prefix("link-")?.parse().ok()).max().unwrap_or(0)
}

/// A number of the one run that there is; 0 where there is none yet.
pub fn counted(place: &Place, what: &str) -> u64 {
    let status = place.acme(&["status", "--output", "json"]);
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap_or_default();
    status[0][what].as_u64().unwrap_or(0)
}

/// Waits until something holds; a test that waits in vain fails.
#[track_caller]
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < end, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Asks a run to commit and end; what it said.
pub fn stop(child: Child) -> Output {
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().expect("kill runs").success());
    child.wait_with_output().expect("it ends")
}
