//! The disk as this crate needs it, so that it can be run on one that is simulated.
//!
//! It is not `acme_types::Disk`: that one appends to one file from one thread; a log writes at positions, and is read and
//! synced by other threads meanwhile.

use std::any::Any;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

/// The operations on names that a log is built from.
///
/// What is durable when: the content and length of a file after [`LogFile::sync`]; a name (created, renamed or removed)
/// after [`LogDisk::sync_dir`] of the directory that holds it. Nothing else survives a power cut for certain.
pub trait LogDisk: Send + Sync + 'static {
    /// Opens for reading and writing; creates an empty file if `create` is set and there is none.
    fn open(&self, path: &Path, create: bool) -> io::Result<Arc<dyn LogFile>>;
    /// The names in a directory, sorted; empty where there is no such directory.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// Makes a directory and its parents; nothing happens where it exists.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
    /// Replaces `to`. Directories too, where there is no `to`.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Removes an empty directory.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Takes a file for this process until what is returned is dropped; [`ErrorKind::WouldBlock`] if another has it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Any + Send + Sync>>;
}

/// A file that several threads read and write at positions.
#[expect(clippy::len_without_is_empty, reason = "nobody asks whether a file is empty")]
pub trait LogFile: Send + Sync {
    /// Fills the buffer from a position on, or as much of it as the file has; returns how much.
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize>;
    /// Writes all of it, or fails with any part of it written.
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()>;
    /// Sets the length.
    fn truncate(&self, length: u64) -> io::Result<()>;
    /// Makes content and length durable. After an error the content of the disk is unknown: the process must end.
    fn sync(&self) -> io::Result<()>;
    /// The length in bytes.
    fn len(&self) -> io::Result<u64>;
}

/// The disk of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl LogDisk for RealDisk {
    fn open(&self, path: &Path, create: bool) -> io::Result<Arc<dyn LogFile>> {
        let file = OpenOptions::new().read(true).write(true).create(create).truncate(false).open(path)?;
        Ok(Arc::new(file))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(dir) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let mut names = Vec::new();
        for entry in entries {
            // A name that is not UTF-8 is not ours.
            names.extend(entry?.file_name().into_string());
        }
        names.sort_unstable();
        Ok(names)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Any + Send + Sync>> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(file)),
            Err(TryLockError::WouldBlock) => Err(ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl LogFile for File {
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match FileExt::read_at(self, &mut buffer[filled..], at + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        // Goes on after short writes and interruptions.
        self.write_all_at(bytes, at)
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}

/// Replaces a small file as a whole: what a crash leaves is the old content or the new one. Not durable before
/// [`LogDisk::sync_dir`] of its directory.
pub(crate) fn replace(disk: &dyn LogDisk, path: &Path, content: &[u8]) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let temporary = Path::new(&temporary);
    let file = disk.open(temporary, true)?;
    file.truncate(0)?;
    file.write_at(content, 0)?;
    file.sync()?;
    disk.rename(temporary, path)
}

/// The whole content of a small file, or none where there is no such file.
pub(crate) fn read(disk: &dyn LogDisk, path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match disk.open(path, false) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let length = usize::try_from(file.len()?).map_err(|_| ErrorKind::FileTooLarge)?;
    let mut content = vec![0; length];
    let filled = file.read_at(&mut content, 0)?;
    content.truncate(filled);
    Ok(Some(content))
}
