//! Where a pipeline's state lies on this machine, and who may write it.

use crate::control::Status;
use acme_types::{Diagnostic, codes, disk_fault};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

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

/// Pipelines whose last run ended without an orderly end and that do not run now.
pub(crate) fn failed(running: &[&str]) -> Vec<Status> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root()).into_iter().flatten().flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        let Ok(text) = fs::read_to_string(entry.path().join(RECORD)) else { continue };
        let Ok(record) = serde_json::from_str::<RunRecord>(&text) else { continue };
        if !running.contains(&&*name) && Lock::take(&entry.path(), &name).is_ok() {
            found.push(Status::failed(name, record.mode, record.pid));
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

/// The right to run a pipeline on this machine; it ends with the process, however that ends.
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    pub(crate) fn take(directory: &Path, name: &str) -> Result<Self, Diagnostic> {
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
        match file.try_lock() {
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
