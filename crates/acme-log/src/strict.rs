//! The disk, with one rule: whatever sync fails, of whatever file or directory, is told at once. What the disk holds is unknown
//! from then on, and a later sync that succeeds says nothing of what was lost (the kernel drops the pages that it could not write).

use crate::disk::{LogDisk, LogFile};
use crate::options::{Options, SyncFailed};
use std::any::Any;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) struct Strict {
    disk: Arc<dyn LogDisk>,
    failed: SyncFailed,
}

impl Strict {
    /// The disk of these options.
    pub(crate) fn over(options: &Options) -> Arc<dyn LogDisk> {
        Arc::new(Self { disk: options.disk.clone(), failed: options.sync_failed.clone() })
    }
}

impl LogDisk for Strict {
    fn open(&self, path: &Path, create: bool) -> io::Result<Arc<dyn LogFile>> {
        let file = self.disk.open(path, create)?;
        Ok(Arc::new(StrictFile { file, path: path.to_owned(), failed: self.failed.clone() }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.disk.list(dir)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_dir(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.sync_dir(dir).inspect_err(|error| (self.failed)(dir, error))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Any + Send + Sync>> {
        self.disk.lock(path)
    }
}

struct StrictFile {
    file: Arc<dyn LogFile>,
    path: PathBuf,
    failed: SyncFailed,
}

impl LogFile for StrictFile {
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        self.file.read_at(buffer, at)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.file.write_at(bytes, at)
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.file.truncate(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync().inspect_err(|error| (self.failed)(&self.path, error))
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
}
