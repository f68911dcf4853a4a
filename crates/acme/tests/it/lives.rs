//! Lives of the binary that end at named places, and what each of them hit.

use crate::harness::{Place, text};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long anything may take.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// One life: the binary at work.
pub struct Life(Option<Child>);

impl Life {
    /// Starts a pipeline; `points` arms failpoints, such as `epoch.prepared@3`.
    pub fn start(place: &Place, file: &str, environment: &[(&str, &str)], points: &str) -> Self {
        let mut command = place.command(&["run", file]);
        command.envs(environment.iter().copied()).stdout(Stdio::null()).stderr(Stdio::piped());
        if !points.is_empty() {
            let marks = place.path("marks");
            std::fs::create_dir_all(&marks).expect("the directory can be written");
            command.env("ACME_FAILPOINTS", format!("{}:{points}", marks.display()));
        }
        Self(Some(command.spawn().expect("the binary runs")))
    }

    fn child(&mut self) -> &mut Child {
        self.0.as_mut().expect("it was not ended")
    }

    pub fn is_alive(&mut self) -> bool {
        self.child().try_wait().expect("it can be asked").is_none()
    }

    /// Waits until it stands at the armed place.
    pub fn reach(&mut self, place: &Place, point: &str) {
        let name = point.split_once('@').map_or(point, |(name, _)| name);
        let mark = place.path("marks").join(name);
        until(&format!("{point} is reached"), || {
            assert!(self.is_alive() || mark.exists(), "it ended before {point}: {}", self.words());
            mark.exists()
        });
    }

    /// SIGKILL; it must still have been alive.
    pub fn kill(mut self) {
        assert!(self.is_alive(), "it ended before it was killed: {}", self.words());
        self.child().kill().expect("it runs");
        self.child().wait().expect("it ends");
        self.0 = None;
    }

    pub fn signal(&mut self, signal: &str) {
        let id = self.child().id().to_string();
        let status = Command::new("kill").args([signal, &id]).status().expect("kill runs");
        assert!(status.success());
    }

    /// Waits for its end: whether it succeeded, and what it wrote to standard error.
    pub fn end(mut self) -> (bool, String) {
        until("the run ends", || !self.is_alive());
        let success = self.child().wait().expect("it ended").success();
        let words = self.words();
        self.0 = None;
        (success, words)
    }

    /// SIGTERM: it must commit and end well.
    pub fn stop(mut self) {
        self.signal("-TERM");
        let (success, words) = self.end();
        assert!(success, "{words}");
    }

    /// What it said, if it has ended.
    pub fn last_words(&mut self) -> String {
        if self.is_alive() { String::new() } else { self.words() }
    }

    /// What it said, once it has ended.
    fn words(&mut self) -> String {
        use std::io::Read;
        let mut bytes = Vec::new();
        if let Some(mut stderr) = self.child().stderr.take() {
            let _ = stderr.read_to_end(&mut bytes);
        }
        text(&bytes)
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Forgets which places were reached.
pub fn clear_marks(place: &Path) {
    let _ = std::fs::remove_dir_all(place);
}

/// Waits for something that must come.
#[track_caller]
pub fn until(what: &str, mut is: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < end, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// How often each phase was hit.
#[derive(Default)]
pub struct Hits(BTreeMap<String, u32>);

impl Hits {
    pub fn add(&mut self, phase: &str) {
        *self.0.entry(phase.to_owned()).or_default() += 1;
    }

    /// Prints all of them, and fails where one that must be hit never was.
    #[expect(clippy::print_stdout, reason = "a test says what it has hit")]
    pub fn require(&self, phases: &[&str]) {
        println!("kills by phase: {:?}", self.0);
        for phase in phases {
            assert!(self.0.contains_key(*phase), "no kill hit {phase}: {:?}", self.0);
        }
    }
}
