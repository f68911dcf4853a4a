//! Where a pipeline's state lies on this machine, and who may write it.

use acme_types::{Diagnostic, codes};
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

/// The directory of all states: `$ACME_STATE_DIR`, else `acme` in the user's state directory.
pub(crate) fn root() -> PathBuf {
    let from = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    from("ACME_STATE_DIR")
        .or_else(|| from("XDG_STATE_HOME").map(|home| home.join("acme")))
        .or_else(|| from("HOME").map(|home| home.join(".local/state/acme")))
        .unwrap_or_else(|| PathBuf::from(".acme"))
}

/// The right to run a pipeline on this machine; it ends with the process, however that ends.
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    pub(crate) fn take(directory: &Path, name: &str) -> Result<Self, Diagnostic> {
        let fault = |error: &std::io::Error| {
            let message = format!("cannot use the state directory {}: {error}", directory.display());
            Diagnostic::new(&codes::DISK, message)
                .help("set ACME_STATE_DIR to a directory that can be written")
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
