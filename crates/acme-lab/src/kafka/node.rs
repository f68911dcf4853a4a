//! One process of a cluster.

use super::{Options, PATIENCE};
use crate::{Server, free_port, run};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// What the server writes when it takes requests.
const STARTED: &str = "Kafka Server started";
/// Notes the id of the process that it becomes, and sends its output to a file.
const NOTED: &str = r#"echo $$ >"$1"; log=$2; shift 2; exec "$@" >>"$log" 2>&1"#;

/// Where a node listens, and its process.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: u8,
    /// Where it listens.
    pub(super) address: String,
    /// What it tells clients to connect to.
    host: String,
    pub(super) plain: u16,
    pub(super) secured: u16,
    pub(super) controller: u16,
    process: Option<Process>,
}

#[derive(Debug)]
struct Process {
    id: u32,
    /// How long the log was before it started.
    log: usize,
    _server: Server,
}

impl Node {
    pub(super) fn plan(id: u8, options: &Options) -> Result<Self> {
        let (address, host, ports) = if options.fixed {
            (format!("127.0.0.{id}"), format!("kafka{id}"), [9092, 9093, 9094])
        } else {
            ("127.0.0.1".into(), "127.0.0.1".into(), [free_port()?, free_port()?, free_port()?])
        };
        let [plain, controller, secured] = ports;
        Ok(Self { id, address, host, plain, secured, controller, process: None })
    }

    /// Differs between the clusters of one process.
    pub(super) fn unique(&self) -> String {
        format!("{}-{}", self.plain, self.address)
    }

    pub(super) fn plain(&self) -> String {
        format!("{}:{}", self.host, self.plain)
    }

    pub(super) fn secured(&self) -> String {
        format!("{}:{}", self.host, self.secured)
    }

    pub(super) fn settings(&self, folder: &Path) -> PathBuf {
        folder.join(format!("n{}.properties", self.id))
    }

    pub(super) fn data(&self, folder: &Path) -> PathBuf {
        folder.join(format!("n{}", self.id))
    }

    pub(super) fn log(&self, folder: &Path) -> PathBuf {
        folder.join(format!("n{}.log", self.id))
    }

    pub(super) fn runs(&self) -> bool {
        self.process.is_some()
    }

    /// Starts the process; [`Self::wait`] tells when it is ready.
    pub(super) fn boot(&mut self, folder: &Path, words: &[String]) -> Result<()> {
        if self.runs() {
            bail!("node {} runs already", self.id);
        }
        let (noted, log) = (folder.join(format!("n{}.pid", self.id)), self.log(folder));
        let _ = fs::remove_file(&noted);
        let before = fs::read(&log).map_or(0, |text| text.len());
        let server = Server::tied(Path::new("sh"), |command| {
            command.args(["-c", NOTED, "sh"]).args([&noted, &log]).args(words);
            command.arg(self.settings(folder)).current_dir(folder);
        })?;
        let id = until("its process has started", || {
            Ok(fs::read_to_string(&noted).ok().and_then(|id| id.trim().parse().ok()))
        })?;
        self.process = Some(Process { id, log: before, _server: server });
        Ok(())
    }

    /// Returns when the node takes requests.
    pub(super) fn wait(&self, folder: &Path) -> Result<()> {
        let process = self.process.as_ref().context("the node runs")?;
        // The process notes its id a moment before it opens its log.
        let read = || {
            let text = fs::read_to_string(self.log(folder)).unwrap_or_default();
            text.get(process.log..).unwrap_or_default().to_owned()
        };
        until("it takes requests", || {
            let text = read();
            if !alive(process.id) {
                bail!("it has ended:\n{text}");
            }
            Ok(text.contains(STARTED).then_some(()))
        })
        .with_context(|| format!("node {} of Kafka did not start:\n{}", self.id, read()))
    }

    pub(super) fn process_id(&self) -> Result<u32> {
        Ok(self.process.as_ref().with_context(|| format!("node {} does not run", self.id))?.id)
    }

    pub(super) fn signal(&self, name: &str) -> Result<()> {
        let process = self.process.as_ref().with_context(|| format!("node {} does not run", self.id))?;
        run(Command::new("kill").args(["-s", name, &process.id.to_string()])).map(drop)
    }

    /// Sends a signal that ends the process, and returns when it is gone.
    pub(super) fn end(&mut self, name: &str) -> Result<()> {
        self.signal(name)?;
        let process = self.process.take().context("a signal was sent to it")?;
        until("the process is gone", || Ok((!alive(process.id)).then_some(())))
    }
}

/// Whether a process is more than the note of its end.
fn alive(id: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let state = status.rsplit(") ").next().unwrap_or_default();
    !(state.is_empty() || state.starts_with('Z') || state.starts_with('X'))
}

#[expect(clippy::disallowed_methods, reason = "tests wait for real processes")]
fn until<T>(what: &str, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if Instant::now() > end {
            bail!("waited {PATIENCE:?} until {what}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
