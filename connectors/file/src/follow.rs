//! What a file is beside its name: how a tail follows one that is renamed, and notices one that was cut or replaced.
//!
//! A log that is rotated by renaming is read to its end under its new name, as long as that is in the same directory, and the
//! new file from its beginning. What cannot be followed without a gap stops the pipeline: a file that became shorter (as
//! `copytruncate` does it) and one that was replaced while its rest is nowhere to be found.

use crate::source::{FileSource, Progress, fault};
use acme_types::{Diagnostic, codes};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// Inode and time of birth in nanoseconds: the second tells a new file from an old one whose inode it got. It is 0 where the
/// file system keeps none.
pub(crate) type FileId = (u64, u64);

pub(crate) fn identity(metadata: &Metadata) -> FileId {
    let born = metadata.created().ok().and_then(|born| born.duration_since(UNIX_EPOCH).ok());
    (metadata.ino(), born.map_or(0, |born| u64::try_from(born.as_nanos()).unwrap_or(0)))
}

impl FileSource {
    /// Takes in files that are new, and follows those that were renamed.
    pub(crate) fn discover(&mut self) -> Result<(), Diagnostic> {
        if self.tail {
            self.follow(false)?;
        }
        for (path, id) in self.matches()? {
            self.files.entry(path).or_insert(Progress { id: Some(id), ..Progress::default() });
        }
        Ok(())
    }

    /// Gives every file that was read and whose name now belongs to another the name that it has now. One that is gone is
    /// forgotten while the source reads; at the start nobody knows whether it had been read to its end.
    pub(crate) fn follow(&mut self, start: bool) -> Result<(), Diagnostic> {
        let mut displaced = Vec::new();
        for (path, progress) in &self.files {
            let now = std::fs::metadata(path).ok().map(|metadata| identity(&metadata));
            // Positions of older versions have no identity.
            if progress.id.is_some() && now != progress.id {
                displaced.push((path.clone(), *progress, now.is_some()));
            }
        }
        for (path, ..) in &displaced {
            self.files.remove(path);
        }
        for (path, progress, replaced) in displaced {
            match beside(&path, progress.id) {
                Some(name) => {
                    let known = self.files.entry(name).or_insert(progress);
                    known.offset = known.offset.max(progress.offset);
                    known.renamed = true;
                }
                None if replaced && progress.offset > 0 => return Err(self.replaced(&path)),
                None if start && progress.offset > 0 => {
                    return Err(self.changed(&path, progress, None).expect("it is gone"));
                }
                // It is gone, or nothing of it was read: what had been read of it stays read.
                None => {}
            }
        }
        Ok(())
    }

    /// Why a file cannot be read on where reading stopped, if it cannot.
    pub(crate) fn changed(
        &self,
        path: &Path,
        progress: Progress,
        found: Option<&Metadata>,
    ) -> Option<Diagnostic> {
        let length = found.map_or(0, Metadata::len);
        if found.is_some_and(|found| progress.id.is_some_and(|id| id != identity(found))) {
            return (progress.offset > 0).then(|| self.replaced(path));
        }
        if length >= progress.offset {
            return None;
        }
        let message =
            format!("{} was read up to byte {}, now it has {length}", path.display(), progress.offset);
        let help = "put the file back, or remove the pipeline's state to read everything anew; a log that is rotated must be \
             renamed, not copied and truncated";
        Some(Diagnostic::new(&codes::SOURCE_CHANGED, message).at(&self.at).help(help))
    }

    fn replaced(&self, path: &Path) -> Diagnostic {
        let message =
            format!("{} is another file than the one that was read, which is not beside it", path.display());
        let help = "put the file back, or remove the pipeline's state to read everything anew; a log that is rotated must stay \
             in its directory until it has been read";
        Diagnostic::new(&codes::SOURCE_CHANGED, message).at(&self.at).help(help)
    }

    /// Files in the order in which they are read: rest of renamed ones first, then by name.
    pub(crate) fn in_order(&self) -> Vec<PathBuf> {
        let (renamed, others): (Vec<_>, Vec<_>) =
            self.files.iter().partition(|(_, progress)| progress.renamed);
        // `app.log.2` is older than `app.log.1`.
        renamed.into_iter().rev().chain(others).map(|(path, _)| path.clone()).collect()
    }
}

/// The file with this identity in the directory of a path.
fn beside(path: &Path, id: Option<FileId>) -> Option<PathBuf> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let entries = std::fs::read_dir(directory).ok()?.flatten();
    let mut found = entries.filter(|entry| entry.metadata().is_ok_and(|found| Some(identity(&found)) == id));
    found.next().map(|entry| path.with_file_name(entry.file_name()))
}

/// A file's metadata, or `None` where it is gone.
pub(crate) fn metadata(path: &Path) -> Result<Option<Metadata>, Diagnostic> {
    match std::fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(fault(path, &error)),
    }
}
