//! `acme server` as a process that is killed and started again on the same data and the same port.

use super::super::harness::{Place, text};
use super::super::lives::until;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

/// Small segments and frequent housekeeping: so much happens in a short life.
const SETTINGS: [&str; 3] = [
    "log.retention.check.interval.ms=200",
    "log.flush.offset.checkpoint.interval.ms=300",
    "num.partitions=3",
];

pub struct Process {
    pub child: Child,
    said: Arc<Mutex<String>>,
    mark: Option<PathBuf>,
}

/// What starts a server on the data of a place.
pub fn command(place: &Place, port: u16) -> Command {
    let listen = format!("127.0.0.1:{port}");
    let mut command = place.command(&["server", "--data", "log", "--listen", &listen]);
    for setting in SETTINGS {
        command.args(["--set", setting]);
    }
    command
}

impl Process {
    /// Starts it; `point` arms a failpoint, such as `log.sync@3`.
    pub fn start(place: &Place, port: u16, point: Option<&str>) -> Self {
        let mut command = command(place, port);
        let mark = point.map(|point| {
            let marks = place.path("marks");
            std::fs::create_dir_all(&marks).unwrap();
            command.env("ACME_FAILPOINTS", format!("{}:{point}", marks.display()));
            let mark = marks.join(point.split('@').next().unwrap());
            let _ = std::fs::remove_file(&mark);
            mark
        });
        let mut process = Self::spawn(command);
        process.mark = mark;
        process
    }

    pub fn spawn(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the binary runs");
        let said = Arc::new(Mutex::new(String::new()));
        listen(child.stderr.take().unwrap(), said.clone());
        Self { child, said, mark: None }
    }

    pub fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits until it listens.
    pub fn listens(&mut self) {
        until("it listens", || {
            assert!(self.is_alive(), "it has ended: {}", self.said());
            self.said().contains("listening on")
        });
    }

    /// Waits until it stands at its armed place.
    pub fn reached(&mut self) {
        let mark = self.mark.clone().unwrap();
        until(&format!("{} is reached", mark.display()), || {
            assert!(self.is_alive(), "it has ended before {}: {}", mark.display(), self.said());
            mark.exists()
        });
    }

    /// SIGKILL; it must have been alive.
    pub fn kill(mut self) {
        assert!(self.is_alive(), "it has ended by itself: {}", self.said());
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end.
    pub fn end(mut self) -> (ExitStatus, String) {
        until("it ends", || !self.is_alive());
        let status = self.child.wait().unwrap();
        (status, self.said())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whatever it says is read, lest it waits.
fn listen(stderr: ChildStderr, said: Arc<Mutex<String>>) {
    std::thread::spawn(move || {
        let mut stderr = BufReader::new(stderr);
        let mut line = Vec::new();
        while stderr.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
            said.lock().unwrap().push_str(&text(&line));
            line.clear();
        }
    });
}

/// A port for several lives. Nobody is given it by the system for a connection of his own, and no other test of this process.
pub fn port() -> u16 {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    let first = 15_000 + u16::try_from(std::process::id() % 15_000).unwrap();
    loop {
        let port = first + TAKEN.fetch_add(1, Ordering::Relaxed);
        assert!(port < 32_000, "one is free");
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
