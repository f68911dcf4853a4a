//! A disk that forgets what was not synced.
//!
//! It keeps two worlds: what the running process sees, and what a power cut leaves. Content reaches the second by syncing
//! the file, names by syncing their directory. A crash also keeps a random part of what was *not* synced, because a real
//! disk may have written it: unsynced content may survive whole, in part or not at all; of the unsynced changes of names any
//! may be missing, but each is atomic, as every journaling file system has it for a rename.

use crate::rng::Rng;
use acme_types::{Disk, DiskFile};
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// When the process dies: before the operation with this number, counting all that change the disk.
pub type Crash = Option<u64>;

type FileId = u64;

#[derive(Clone, Debug, Default)]
struct World {
    /// Content that the process sees, and content that is safe.
    files: BTreeMap<FileId, (Vec<u8>, Vec<u8>)>,
    /// Names that the process sees.
    names: BTreeMap<PathBuf, FileId>,
    /// Names that are safe.
    safe_names: BTreeMap<PathBuf, FileId>,
    /// Changes of names since their directories were synced.
    unsynced: Vec<NameChange>,
    next_file: FileId,
    operations: u64,
    crash: Crash,
    lying: bool,
}

#[derive(Clone, Debug)]
enum NameChange {
    Put(PathBuf, FileId),
    Remove(PathBuf),
    Rename(PathBuf, PathBuf),
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<PathBuf, FileId>) {
        match self {
            Self::Put(path, id) => {
                names.insert(path.clone(), *id);
            }
            Self::Remove(path) => {
                names.remove(path);
            }
            Self::Rename(from, to) => {
                if let Some(id) = names.remove(from) {
                    names.insert(to.clone(), id);
                }
            }
        }
    }

    fn directory(&self) -> Option<&Path> {
        match self {
            Self::Put(path, _) | Self::Remove(path) | Self::Rename(path, _) => path.parent(),
        }
    }
}

impl World {
    fn name(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.unsynced.push(change);
    }
}

/// The disk. Clones share it, as processes share a machine.
#[derive(Clone, Debug, Default)]
pub struct SimDisk(Arc<Mutex<World>>);

impl SimDisk {
    /// A disk whose syncs do nothing, to show that a checker notices.
    #[must_use]
    pub fn lying() -> Self {
        let disk = Self::default();
        disk.world().lying = true;
        disk
    }

    /// Lets the process die before its operation with this number, counted from here.
    pub fn crash_at(&self, operation: u64) {
        let mut world = self.world();
        world.crash = Some(world.operations + operation);
    }

    /// Cuts the power and restores it: what the next process finds.
    pub fn reboot(&self, rng: &mut Rng) {
        let mut world = self.world();
        world.crash = None;
        let mut names = world.safe_names.clone();
        for change in std::mem::take(&mut world.unsynced) {
            if rng.one_in(2) {
                change.apply(&mut names);
            }
        }
        for (seen, safe) in world.files.values_mut() {
            if rng.one_in(2) && seen.len() > safe.len() && seen.starts_with(safe) {
                let extra = rng.below((seen.len() - safe.len()) as u64 + 1);
                let length = safe.len() + usize::try_from(extra).expect("small");
                safe.extend_from_slice(&seen[safe.len()..length]);
            }
            seen.clone_from(safe);
        }
        world.names.clone_from(&names);
        world.safe_names = names;
    }

    /// Operations that changed the disk so far.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.world().operations
    }

    fn world(&self) -> std::sync::MutexGuard<'_, World> {
        self.0.lock().expect("no test panics while it holds the disk")
    }

    fn change<T>(&self, apply: impl FnOnce(&mut World) -> io::Result<T>) -> io::Result<T> {
        let mut world = self.world();
        if world.crash.is_some_and(|at| world.operations >= at) {
            return Err(io::Error::other("the machine has lost its power"));
        }
        world.operations += 1;
        apply(&mut world)
    }
}

fn missing() -> io::Error {
    io::Error::from(ErrorKind::NotFound)
}

impl Disk for SimDisk {
    fn append(&self, path: &Path, create: bool) -> io::Result<Box<dyn DiskFile>> {
        let id = self.change(|world| match world.names.get(path) {
            Some(id) => Ok(*id),
            None if create => {
                let id = world.next_file;
                world.next_file += 1;
                world.files.insert(id, Default::default());
                world.name(NameChange::Put(path.to_owned(), id));
                Ok(id)
            }
            None => Err(missing()),
        })?;
        Ok(Box::new(SimFile { disk: self.clone(), id }))
    }

    fn create_dirs(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let world = self.world();
        let id = world.names.get(path).ok_or_else(missing)?;
        Ok(world.files[id].0.clone())
    }

    fn len(&self, path: &Path) -> io::Result<Option<u64>> {
        let world = self.world();
        Ok(world.names.get(path).map(|id| world.files[id].0.len() as u64))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        Ok(self.world().names.keys().filter(|path| path.parent() == Some(dir)).cloned().collect())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change(|world| {
            world.names.get(from).ok_or_else(missing)?;
            world.name(NameChange::Rename(from.to_owned(), to.to_owned()));
            Ok(())
        })
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change(|world| {
            let id = *world.names.get(from).ok_or_else(missing)?;
            if world.names.contains_key(to) {
                return Err(io::Error::from(ErrorKind::AlreadyExists));
            }
            world.name(NameChange::Put(to.to_owned(), id));
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.change(|world| {
            world.names.get(path).ok_or_else(missing)?;
            world.name(NameChange::Remove(path.to_owned()));
            Ok(())
        })
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.change(|world| {
            if !world.lying {
                let (now, later): (Vec<_>, Vec<_>) = std::mem::take(&mut world.unsynced)
                    .into_iter()
                    .partition(|it| it.directory() == Some(dir));
                now.iter().for_each(|change| change.apply(&mut world.safe_names));
                world.unsynced = later;
            }
            Ok(())
        })
    }
}

struct SimFile {
    disk: SimDisk,
    id: FileId,
}

impl SimFile {
    fn content(&self, apply: impl FnOnce(&mut (Vec<u8>, Vec<u8>), bool)) -> io::Result<()> {
        self.disk.change(|world| {
            let lying = world.lying;
            apply(world.files.get_mut(&self.id).expect("files are never forgotten"), lying);
            Ok(())
        })
    }
}

impl DiskFile for SimFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.content(|(seen, _), _| seen.extend_from_slice(bytes))
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.content(|(seen, _), _| seen.resize(usize::try_from(length).expect("small"), 0))
    }

    fn sync(&mut self) -> io::Result<()> {
        self.content(|(seen, safe), lying| {
            if !lying {
                safe.clone_from(seen);
            }
        })
    }
}
