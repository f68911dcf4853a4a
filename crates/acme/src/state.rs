//! Where a pipeline's state lies on this machine, and who may write it.

use crate::control::Status;
use acme_types::{Diagnostic, codes, disk_fault};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The directory of all states: `$ACME_STATE_DIR`, else `acme` in the user's state directory.
pub(crate) fn root() -> PathBuf {
    let from = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    from("ACME_STATE_DIR")
        .or_else(|| from("XDG_STATE_HOME").map(|home| home.join("acme")))
        .or_else(|| from("HOME").map(|home| home.join(".local/state/acme")))
        .unwrap_or_else(|| PathBuf::from(".acme"))
}

/// What a run leaves in its state directory while it lives; found without its process, it says that the run failed.
#[derive(Serialize, Deserialize)]
struct RunRecord {
    mode: String,
    pid: u32,
}

const RECORD: &str = "run.json";

/// Notes that a run has begun; dropping the result notes that it has come to an orderly end.
pub(crate) struct Running(PathBuf);

impl Running {
    pub(crate) fn begin(directory: &Path, mode: &str) -> Result<Self, Diagnostic> {
        let path = directory.join(RECORD);
        let record = RunRecord { mode: mode.to_owned(), pid: std::process::id() };
        let text = serde_json::to_string(&record).expect("a record is always valid JSON");
        fs::write(&path, text).map_err(|error| disk_fault(&format!("write {}", path.display()), &error))?;
        Ok(Self(path))
    }

    /// The run has ended as it should.
    pub(crate) fn end(&self) {
        // If it stays, `status` shows a failure that was none; nothing depends on it.
        let _ = fs::remove_file(&self.0);
    }
}

/// What a run leaves in its state directory for good: how to find the pipeline again by its name.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Known {
    format: u32,
    /// The pipeline file, absolute.
    pub(crate) file: PathBuf,
    /// The directory of its checkpoints, absolute.
    pub(crate) checkpoints: PathBuf,
}

const KNOWN: &str = "pipeline.json";
const KNOWN_FORMAT: u32 = 1;

impl Known {
    /// Notes where the pipeline's file and checkpoints are.
    pub(crate) fn note(directory: &Path, file: &str, checkpoints: &Path) -> Result<(), Diagnostic> {
        let write = || {
            let (file, checkpoints) = (std::path::absolute(file)?, std::path::absolute(checkpoints)?);
            let known = Self { format: KNOWN_FORMAT, file, checkpoints };
            let text = serde_json::to_string(&known).map_err(io::Error::other)?;
            // Whole or not at all, by each of the workers that start at the same time.
            let temporary = directory.join(format!(".{KNOWN}-{}", random()));
            fs::write(&temporary, text)?;
            fs::rename(&temporary, directory.join(KNOWN))
        };
        write().map_err(|error: io::Error| {
            disk_fault(&format!("write {}", directory.join(KNOWN).display()), &error)
        })
    }

    /// What is known of a pipeline; `None` where this machine has no state of that name.
    pub(crate) fn of(name: &str) -> Option<Self> {
        let directory = root().join(name);
        let text = fs::read_to_string(directory.join(KNOWN)).ok();
        let known = text.and_then(|text| serde_json::from_str::<Self>(&text).ok());
        let known = known.filter(|known| known.format == KNOWN_FORMAT);
        known.or_else(|| {
            // A state from before the note, or one that is half removed.
            let checkpoints = directory.join("checkpoints");
            (checkpoints.exists() || directory.join("lock").exists()).then(|| Self {
                format: KNOWN_FORMAT,
                file: PathBuf::new(),
                checkpoints,
            })
        })
    }

    /// All pipelines that have state here, by name.
    pub(crate) fn all() -> Vec<(String, Self)> {
        let entries = fs::read_dir(root()).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let mut all: Vec<_> = names.filter_map(|name| Self::of(&name).map(|known| (name, known))).collect();
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        all
    }
}

/// Removes a state directory; the note of where the pipeline is goes last, so that it can be done again.
pub(crate) fn forget(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else if entry.file_name() != KNOWN {
            fs::remove_file(entry.path())?;
        }
    }
    fs::remove_dir_all(directory)
}

/// Pipelines whose last run ended without an orderly end and that do not run now.
pub(crate) fn failed(running: &[&str]) -> Vec<Status> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root()).into_iter().flatten().flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        if running.contains(&&*name) {
            continue;
        }
        let workers = fs::read_dir(entry.path().join(WORKERS)).into_iter().flatten().flatten();
        for directory in [entry.path()].into_iter().chain(workers.map(|worker| worker.path())) {
            let Ok(text) = fs::read_to_string(directory.join(RECORD)) else { continue };
            let Ok(record) = serde_json::from_str::<RunRecord>(&text) else { continue };
            if Lock::take(&directory, &name).is_ok() {
                found.push(Status::failed(name.clone(), record.mode, record.pid));
            }
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

/// The right to run a pipeline on this machine; it ends with the process, however that ends.
pub(crate) struct Lock {
    _file: File,
}

/// Where the workers of a pipeline have their records, each in a directory with a number.
const WORKERS: &str = "workers";

const WORKER: &str = "worker";

/// The name of the worker that has this directory, whose lock is held: the same in all its lives, and no other's.
pub(crate) fn worker(directory: &Path) -> Result<String, Diagnostic> {
    let path = directory.join(WORKER);
    let known = fs::read_to_string(&path).unwrap_or_default();
    if known.len() == 16 && known.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(known);
    }
    let name = random();
    // Whole or not at all.
    let temporary = directory.join(format!(".{WORKER}"));
    fs::write(&temporary, &name)
        .and_then(|()| fs::rename(&temporary, &path))
        .map_err(|error| disk_fault(&format!("write {}", path.display()), &error))?;
    Ok(name)
}

/// Sixteen digits that nobody else has.
pub(crate) fn random() -> String {
    use std::hash::{BuildHasher, RandomState};
    format!("{:016x}", RandomState::new().hash_one(std::process::id()))
}

/// How often a lock is asked for before it counts as taken, and how long after each refusal the next follows.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(20);

impl Lock {
    /// Takes the lock, or waits up to two seconds: a process that was killed holds it until the system has cleared it away,
    /// and `acme status` holds it while it looks.
    pub(crate) fn take_soon(directory: &Path, name: &str) -> Result<Self, Diagnostic> {
        Self::soon(|| Self::take(directory, name))
    }

    /// The right to be one of the workers of a pipeline, and the directory of this one: whoever would be the only one, or
    /// removes the pipeline, has to wait for all of them.
    pub(crate) fn join(directory: &Path, name: &str) -> Result<([Self; 2], PathBuf), Diagnostic> {
        let shared = Self::soon(|| Self::take_by(directory, name, File::try_lock_shared))?;
        let mut number = 0;
        loop {
            let own = directory.join(WORKERS).join(number.to_string());
            match Self::take(&own, name) {
                Err(fault) if *fault.code == codes::NAME_TAKEN => number += 1,
                taken => return taken.map(|taken| ([shared, taken], own)),
            }
        }
    }

    #[expect(clippy::disallowed_methods, reason = "a command that waits for another process")]
    fn soon(take: impl Fn() -> Result<Self, Diagnostic>) -> Result<Self, Diagnostic> {
        for _ in 1..TRIES {
            match take() {
                Err(fault) if *fault.code == codes::NAME_TAKEN => std::thread::sleep(PAUSE),
                result => return result,
            }
        }
        take()
    }

    /// Takes the lock if it is free now.
    pub(crate) fn take(directory: &Path, name: &str) -> Result<Self, Diagnostic> {
        Self::take_by(directory, name, File::try_lock)
    }

    fn take_by(
        directory: &Path,
        name: &str,
        lock: impl Fn(&File) -> Result<(), TryLockError>,
    ) -> Result<Self, Diagnostic> {
        let fault = |error: &io::Error| {
            let fault = disk_fault(&format!("use the state directory {}", directory.display()), error);
            match error.kind() {
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    fault.help("set ACME_STATE_DIR to a directory that can be written")
                }
                _ => fault,
            }
        };
        fs::create_dir_all(directory).map_err(|error| fault(&error))?;
        let file = File::create(directory.join("lock")).map_err(|error| fault(&error))?;
        match lock(&file) {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => {
                let message = format!("pipeline \"{name}\" is running already");
                Err(Diagnostic::new(&codes::NAME_TAKEN, message)
                    .help("stop it first, or give this one another name"))
            }
            Err(TryLockError::Error(error)) => Err(fault(&error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_that_start_at_the_same_time_all_note_where_the_pipeline_is() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let note = || {
            for _ in 0..100 {
                Known::note(directory.path(), "p.yaml", Path::new("checkpoints")).expect("it is noted");
            }
        };
        std::thread::scope(|scope| {
            (0..4).for_each(|_| {
                scope.spawn(note);
            });
        });
        assert_eq!(fs::read_dir(directory.path()).expect("it is there").count(), 1, "nothing else is left");
    }
}
