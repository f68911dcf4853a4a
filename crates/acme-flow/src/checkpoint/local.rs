//! A checkpoint store in a directory.

use super::store::CheckpointStore;
use acme_types::Disk;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Objects as files. An object is written under a temporary name, synced, and linked to its own name, which fails where
/// that name exists: whole or not at all, and never overwritten.
pub struct LocalStore {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    /// Distinguishes the temporary files of writers that work at the same time.
    token: String,
    /// A sync has failed: what the disk holds is not what can be read any more, so nothing more is said of it.
    broken: AtomicBool,
}

const TEMPORARY: &str = ".tmp-";

impl LocalStore {
    /// A store in `directory`, which is created when the first object is put.
    #[must_use]
    pub fn new(disk: Arc<dyn Disk>, directory: PathBuf, token: String) -> Self {
        Self { disk, directory, token, broken: AtomicBool::new(false) }
    }

    fn put(&self, temporary: &Path, name: &str, bytes: &[u8]) -> io::Result<bool> {
        let mut file = self.disk.append(temporary, true)?;
        file.truncate(0)?;
        file.write(bytes)?;
        self.synced(file.sync())?;
        drop(file);
        match self.disk.link(temporary, &self.directory.join(name)) {
            Ok(()) => self.synced(self.disk.sync_dir(&self.directory)).map(|()| true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn synced(&self, result: io::Result<()>) -> io::Result<()> {
        if result.is_err() {
            self.broken.store(true, Ordering::Relaxed);
        }
        result
    }

    /// Names the directory: the user must know which disk it is.
    fn placed(&self, error: &io::Error) -> io::Error {
        io::Error::new(error.kind(), format!("{}: {error}", self.directory.display()))
    }
}

impl CheckpointStore for LocalStore {
    fn put_if_absent(&self, name: &str, bytes: &[u8]) -> io::Result<bool> {
        self.disk.create_dirs(&self.directory).map_err(|error| self.placed(&error))?;
        let temporary = self.directory.join(format!("{TEMPORARY}{}-{name}", self.token));
        let put = self.put(&temporary, name, bytes);
        let removed = self.disk.remove(&temporary);
        let put = put.map_err(|error| self.placed(&error))?;
        removed.map_err(|error| self.placed(&error))?;
        Ok(put)
    }

    fn get(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        if self.broken.load(Ordering::Relaxed) {
            return Err(self.placed(&io::Error::other("a sync has failed")));
        }
        match self.disk.read(&self.directory.join(name)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.placed(&error)),
        }
    }

    fn list(&self, prefix: &str) -> io::Result<Vec<String>> {
        let names = self.disk.list(&self.directory)?.into_iter();
        let names = names.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()));
        Ok(names.filter(|name| name.starts_with(prefix) && !name.starts_with(TEMPORARY)).collect())
    }

    fn delete(&self, name: &str) -> io::Result<()> {
        match self.disk.remove(&self.directory.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}
