//! A checkpoint store in a directory.

use super::store::CheckpointStore;
use acme_types::Disk;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Objects as files. An object is written under a temporary name, synced, and linked to its own name, which fails where
/// that name exists: whole or not at all, and never overwritten.
pub struct LocalStore {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    /// Distinguishes the temporary files of writers that work at the same time.
    token: String,
}

const TEMPORARY: &str = ".tmp-";

impl LocalStore {
    /// A store in `directory`, which is created when the first object is put.
    #[must_use]
    pub fn new(disk: Arc<dyn Disk>, directory: PathBuf, token: String) -> Self {
        Self { disk, directory, token }
    }
}

impl CheckpointStore for LocalStore {
    fn put_if_absent(&self, name: &str, bytes: &[u8]) -> io::Result<bool> {
        self.disk.create_dirs(&self.directory)?;
        let temporary = self.directory.join(format!("{TEMPORARY}{}-{name}", self.token));
        let mut file = self.disk.append(&temporary, true)?;
        file.truncate(0)?;
        file.write(bytes)?;
        file.sync()?;
        drop(file);
        let linked = self.disk.link(&temporary, &self.directory.join(name));
        self.disk.remove(&temporary)?;
        match linked {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
            Err(error) => return Err(error),
        }
        self.disk.sync_dir(&self.directory)?;
        Ok(true)
    }

    fn get(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        match self.disk.read(&self.directory.join(name)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
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
