//! The private socket of a run: through it `status` and `stop` find what runs on this machine.
//!
//! One socket for each run, in a directory that only its user may enter. A request is a line with a word, the answer a
//! line of JSON.

use crate::progress::seconds_left;
use acme_connect::Unit;
use acme_flow::Stats;
use acme_flow::driver::Stop;
use acme_types::{Clock, Diagnostic, SplitId, disk_fault};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How long a run may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// The rate is measured over so many seconds.
const WINDOW: usize = 10;

/// What a run says of itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Status {
    pub(crate) name: String,
    /// `running`, `stopping`, or, seen from outside, `failed`.
    pub(crate) status: String,
    pub(crate) mode: String,
    pub(crate) pid: u32,
    pub(crate) uptime_seconds: u64,
    pub(crate) rows_per_second: f64,
    /// From the commit in the source to the delivery; absent before the first row.
    pub(crate) lag_us: Option<u64>,
    pub(crate) rows_in: u64,
    pub(crate) rows_out: u64,
    pub(crate) failed_rows: u64,
    pub(crate) retries: u64,
    pub(crate) commits: u64,
    /// What is read of what was there at the start, about how much that is, and how long the rest takes; absent when it is done.
    #[serde(default)]
    pub(crate) read_rows: Option<u64>,
    #[serde(default)]
    pub(crate) expected_rows: Option<u64>,
    #[serde(default)]
    pub(crate) read_bytes: Option<u64>,
    #[serde(default)]
    pub(crate) expected_bytes: Option<u64>,
    #[serde(default)]
    pub(crate) seconds_left: Option<u64>,
    /// The splits that this run reads; absent where no source has many.
    #[serde(default)]
    pub(crate) splits: Option<Vec<Split>>,
}

/// One split of a source, such as a partition.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Split {
    pub(crate) source: String,
    pub(crate) split: String,
    /// The next offset to be read.
    pub(crate) offset: u64,
    /// The offset behind the last record.
    pub(crate) end: u64,
    pub(crate) lag_records: u64,
    /// How old the oldest record is that is not read, at most; 0 at the end.
    pub(crate) lag_ms: Option<u64>,
}

impl Status {
    /// Of a run that is no more.
    pub(crate) fn failed(name: String, mode: String, pid: u32) -> Self {
        Self {
            name,
            status: "failed".to_owned(),
            mode,
            pid,
            uptime_seconds: 0,
            rows_per_second: 0.0,
            lag_us: None,
            rows_in: 0,
            rows_out: 0,
            failed_rows: 0,
            retries: 0,
            commits: 0,
            read_rows: None,
            expected_rows: None,
            read_bytes: None,
            expected_bytes: None,
            seconds_left: None,
            splits: None,
        }
    }
}

/// A run that can be asked.
pub(crate) struct Monitor {
    pub(crate) name: String,
    pub(crate) mode: &'static str,
    pub(crate) stats: Arc<Stats>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) began_us: u64,
    pub(crate) stop: watch::Sender<Stop>,
    /// Time and rows, once a second.
    pub(crate) samples: Mutex<VecDeque<(u64, u64)>>,
}

impl Monitor {
    fn status(&self) -> Status {
        let now_us = self.clock.monotonic_us();
        let rows_in = self.stats.rows_in();
        let samples = self.samples.lock().expect("no thread panics while it holds the lock");
        let (then_us, then_rows) = samples.front().copied().unwrap_or((self.began_us, 0));
        let seconds = (now_us.saturating_sub(then_us)).max(1) as f64 / 1e6;
        let elapsed = Duration::from_micros(now_us - self.began_us);
        let [rows, bytes] = [Unit::Rows, Unit::Bytes].map(|unit| self.stats.extent(unit));
        let left = |extent: (u64, u64)| seconds_left(extent.0, extent.1, elapsed);
        Status {
            name: self.name.clone(),
            status: if *self.stop.borrow() == Stop::No { "running" } else { "stopping" }.to_owned(),
            mode: self.mode.to_owned(),
            pid: std::process::id(),
            uptime_seconds: (now_us - self.began_us) / 1_000_000,
            rows_per_second: ((rows_in - then_rows) as f64 / seconds * 10.0).round() / 10.0,
            lag_us: self.stats.lag_us(self.clock.now()),
            rows_in,
            rows_out: self.stats.rows_out(),
            failed_rows: self.stats.rejected.get(),
            retries: self.stats.retries.get(),
            commits: self.stats.commits.get(),
            read_rows: rows.map(|(done, _)| done),
            expected_rows: rows.map(|(_, total)| total),
            read_bytes: bytes.map(|(done, _)| done),
            expected_bytes: bytes.map(|(_, total)| total),
            // `None` is the smallest: what is known of one kind of source counts.
            seconds_left: rows.and_then(left).max(bytes.and_then(left)),
            splits: self.splits(),
        }
    }

    fn splits(&self) -> Option<Vec<Split>> {
        let now_ms = self.clock.now().0 / 1000;
        let all = self.stats.splits()?.into_iter().map(|(source, SplitId(split), progress)| Split {
            source: source.to_string(),
            split,
            offset: progress.offset,
            end: progress.end,
            lag_records: progress.lag(),
            lag_ms: match progress.lag() {
                0 => Some(0),
                _ => progress.written_ms.map(|written| u64::try_from(now_ms - written).unwrap_or(0)),
            },
        });
        Some(all.collect())
    }

    async fn sample(&self) {
        loop {
            {
                let mut samples = self.samples.lock().expect("no thread panics while it holds the lock");
                samples.push_back((self.clock.monotonic_us(), self.stats.rows_in()));
                if samples.len() > WINDOW {
                    samples.pop_front();
                }
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

/// The directory of the sockets: `$ACME_RUNTIME_DIR`, else `acme` in the user's runtime directory, else beside the state.
fn directory() -> PathBuf {
    let from = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    from("ACME_RUNTIME_DIR")
        .or_else(|| from("ACME_STATE_DIR").map(|state| state.join("run")))
        .or_else(|| from("XDG_RUNTIME_DIR").map(|runtime| runtime.join("acme")))
        .unwrap_or_else(|| crate::state::root().join("run"))
}

/// The open socket; its file goes with it.
pub(crate) struct Socket {
    path: PathBuf,
    /// What answers on it.
    tasks: JoinSet<()>,
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Opens the socket and answers on it as long as it is kept.
pub(crate) fn serve(monitor: Monitor) -> Result<Socket, Diagnostic> {
    let (listener, mut socket) = listen(&directory()).map_err(|error| {
        let fault = disk_fault("open the control socket", &error);
        match error.kind() {
            // The path is too long for a socket, or cannot be written.
            std::io::ErrorKind::InvalidInput | std::io::ErrorKind::PermissionDenied => {
                fault.help("set ACME_RUNTIME_DIR to a short path that can be written")
            }
            _ => fault,
        }
    })?;
    let monitor = Arc::new(monitor);
    let sampled = monitor.clone();
    socket.tasks.spawn(async move { sampled.sample().await });
    socket.tasks.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let monitor = monitor.clone();
            tokio::spawn(async move { answer(stream, &monitor).await });
        }
    });
    Ok(socket)
}

/// A socket gets the name that others look for when it listens: one that does not yet would be taken for a dead run's.
fn listen(directory: &Path) -> std::io::Result<(UnixListener, Socket)> {
    fs::create_dir_all(directory)?;
    fs::set_permissions(directory, fs::Permissions::from_mode(0o700))?;
    static RUNS: AtomicU32 = AtomicU32::new(1);
    let number = RUNS.fetch_add(1, Ordering::Relaxed);
    let made = directory.join(format!("{}-{number}.new", std::process::id()));
    // Left by a process of the same id that was killed.
    let _ = fs::remove_file(&made);
    let listener = UnixListener::bind(&made)?;
    let path = made.with_extension("sock");
    fs::rename(&made, &path)?;
    Ok((listener, Socket { path, tasks: JoinSet::new() }))
}

async fn answer(stream: tokio::net::UnixStream, monitor: &Monitor) {
    const REQUEST_MAX: u64 = 1024;
    let (reader, mut writer) = stream.into_split();
    let mut line = String::new();
    let mut reader = tokio::io::BufReader::new(reader.take(REQUEST_MAX));
    if reader.read_line(&mut line).await.is_err() {
        return;
    }
    if line.trim() == "stop" {
        monitor.stop.send_if_modified(|stop| {
            let asked = *stop == Stop::No;
            *stop = (*stop).max(Stop::Drain);
            asked
        });
    }
    let reply = serde_json::to_string(&monitor.status()).expect("a status is always valid JSON");
    let _ = writer.write_all(format!("{reply}\n").as_bytes()).await;
}

/// All runs of this user on this machine, by name. Sockets that nobody answers on any more are removed.
pub(crate) fn running() -> Vec<(PathBuf, Status)> {
    let mut found = Vec::new();
    for path in sockets(&directory()) {
        match ask(&path, "status") {
            Ok(status) => found.push((path, status)),
            Err(error) => forget(&path, &error),
        }
    }
    found.sort_by(|(_, a), (_, b)| a.name.cmp(&b.name));
    found
}

fn sockets(directory: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|ending| ending == "sock"))
}

/// Removes a socket whose process is gone.
fn forget(path: &Path, error: &std::io::Error) {
    if error.kind() == std::io::ErrorKind::ConnectionRefused {
        let _ = fs::remove_file(path);
    }
}

/// Sends a word to a run.
pub(crate) fn ask(socket: &Path, word: &str) -> std::io::Result<Status> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(format!("{word}\n").as_bytes())?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    serde_json::from_str(&line).map_err(std::io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn a_run_that_begins_while_others_look_is_not_taken_for_dead() {
        let directory = tempfile::tempdir().expect("a directory");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let _entered = runtime.enter();
        std::thread::scope(|scope| {
            let (looks, until) = mpsc::sync_channel::<()>(0);
            let sockets = || sockets(directory.path());
            scope.spawn(move || {
                while until.try_recv() == Err(mpsc::TryRecvError::Empty) {
                    for path in sockets() {
                        if let Err(error) = UnixStream::connect(&path) {
                            forget(&path, &error);
                        }
                    }
                }
            });
            for _ in 0..2000 {
                let (_listener, socket) = listen(directory.path()).expect("it listens");
                std::thread::yield_now();
                assert!(socket.path.exists(), "the socket of a living run was removed");
            }
            drop(looks);
        });
    }
}
