//! The local disk as a trait, so that the code that must survive a crash can be run against one that is simulated.

use crate::codes;
use crate::diagnostic::Diagnostic;
use std::io;
use std::path::{Path, PathBuf};

/// The file operations that durable code is built from. Paths are as the user gave them.
///
/// What is durable when: the content of a file after [`DiskFile::sync`]; a name (created, renamed, linked or removed)
/// after [`Disk::sync_dir`] of the directory that holds it. Nothing else survives a power cut for certain.
pub trait Disk: Send + Sync {
    /// Opens for writing at the end; creates the file if `create` is set.
    fn append(&self, path: &Path, create: bool) -> io::Result<Box<dyn DiskFile>>;
    /// Creates the directory and its parents, their names durable.
    fn create_dirs(&self, dir: &Path) -> io::Result<()>;
    /// The whole content.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// The length in bytes, or `None` where there is no such file.
    fn len(&self, path: &Path) -> io::Result<Option<u64>>;
    /// The files of a directory, sorted; empty where there is no such directory.
    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>>;
    /// Replaces `to`.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Gives the file a second name; [`io::ErrorKind::AlreadyExists`] where that name is taken.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a name.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
}

/// A file open for writing at its end.
pub trait DiskFile: Send {
    /// Writes all of it.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Cuts the file to a length; later writes follow there.
    fn truncate(&mut self, length: u64) -> io::Result<()>;
    /// Makes content and length durable. After an error the content of the disk is unknown: the process must end.
    fn sync(&mut self) -> io::Result<()>;
}

/// What a person reads when the disk refuses an operation: what failed, why, and what to do about it.
#[must_use]
pub fn disk_fault(what: &str, error: &io::Error) -> Diagnostic {
    let help = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            "make room on that disk and start the pipeline again: it goes on from its last commit"
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "let this user write there, or choose another place, and start the pipeline again"
        }
        // EMFILE has no kind of its own.
        _ if error.to_string().contains("(os error 24)") => {
            "raise the limit of open files (`ulimit -n`) and start the pipeline again"
        }
        _ => "mend it and start the pipeline again: it goes on from its last commit",
    };
    Diagnostic::new(&codes::DISK, format!("cannot {what}: {error}")).help(help)
}
