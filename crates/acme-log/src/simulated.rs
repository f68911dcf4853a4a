//! A disk that forgets what was not synced, writes back in any order, and can be full or fail.

use crate::disk::{LogDisk, LogFile};
use std::any::Any;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

/// SplitMix64 (Steele, Lea, Flood 2014): the same seed, the same world.
#[derive(Clone, Debug)]
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let value = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (value ^ (value >> 31)) % limit
    }

    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// Bytes that reach the platter together.
const SECTOR: usize = 32;

#[derive(Clone, Debug)]
enum Pending {
    Write(usize, Vec<u8>),
    Truncate(usize),
}

#[derive(Clone, Debug, Default)]
struct Content {
    seen: Vec<u8>,
    safe: Vec<u8>,
    pending: Vec<Pending>,
}

fn apply(content: &mut Vec<u8>, change: &Pending) {
    match change {
        Pending::Write(at, bytes) => {
            if content.len() < at + bytes.len() {
                content.resize(at + bytes.len(), 0);
            }
            content[*at..at + bytes.len()].copy_from_slice(bytes);
        }
        Pending::Truncate(length) => content.resize(*length, 0),
    }
}

#[derive(Clone, Debug)]
enum Name {
    Put(PathBuf, u64),
    Remove(PathBuf),
    Rename(PathBuf, PathBuf),
}

impl Name {
    fn apply(&self, names: &mut BTreeMap<PathBuf, u64>) {
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

    fn dir(&self) -> Option<&Path> {
        match self {
            Self::Put(path, _) | Self::Remove(path) | Self::Rename(path, _) => path.parent(),
        }
    }
}

#[derive(Default)]
struct World {
    files: BTreeMap<u64, Content>,
    names: BTreeMap<PathBuf, u64>,
    safe_names: BTreeMap<PathBuf, u64>,
    unsynced: Vec<Name>,
    next: u64,
    operations: u64,
    crash: Option<u64>,
    space: Option<usize>,
    sync_fails: bool,
    lying: bool,
    locked: bool,
    syncs: u64,
    writes: u64,
}

/// The disk. Clones share it, as processes share a machine.
#[derive(Clone, Default)]
pub(crate) struct SimDisk(Arc<Mutex<World>>);

impl SimDisk {
    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Lets the machine lose its power before its operation with this number, from here.
    pub(crate) fn crash_in(&self, operations: u64) {
        let mut world = self.world();
        world.crash = Some(world.operations + operations);
    }

    pub(crate) fn crashed(&self) -> bool {
        let world = self.world();
        world.crash.is_some_and(|at| world.operations >= at)
    }

    /// Syncs do nothing.
    pub(crate) fn lie(&self) {
        self.world().lying = true;
    }

    pub(crate) fn fail_syncs(&self) {
        self.world().sync_fails = true;
    }

    /// So many bytes more can be written.
    pub(crate) fn space(&self, bytes: Option<usize>) {
        self.world().space = bytes;
    }

    pub(crate) fn counts(&self) -> (u64, u64) {
        let world = self.world();
        (world.writes, world.syncs)
    }

    /// The process is gone, the machine goes on.
    pub(crate) fn kill(&self) {
        let mut world = self.world();
        world.crash = None;
        world.locked = false;
    }

    /// Power is back: what was not synced survives in part, whatever part.
    pub(crate) fn reboot(&self, rng: &mut Rng) {
        let mut world = self.world();
        world.crash = None;
        world.locked = false;
        let mut names = world.safe_names.clone();
        for change in std::mem::take(&mut world.unsynced) {
            if rng.one_in(2) {
                change.apply(&mut names);
            }
        }
        for content in world.files.values_mut() {
            let mode = rng.below(4);
            for change in std::mem::take(&mut content.pending) {
                match (mode, change) {
                    (0, _) => {}
                    (1, change) => apply(&mut content.safe, &change),
                    (_, Pending::Truncate(length)) => {
                        if rng.one_in(2) {
                            apply(&mut content.safe, &Pending::Truncate(length));
                        }
                    }
                    // Whole writes, in any order; or pieces of them.
                    (2, change) => {
                        if rng.one_in(2) {
                            apply(&mut content.safe, &change);
                        }
                    }
                    (_, Pending::Write(at, bytes)) => {
                        for (number, piece) in bytes.chunks(SECTOR).enumerate() {
                            if !rng.one_in(4) {
                                let at = at + number * SECTOR;
                                apply(&mut content.safe, &Pending::Write(at, piece.to_vec()));
                            }
                        }
                    }
                }
            }
            content.seen.clone_from(&content.safe);
        }
        world.names.clone_from(&names);
        world.safe_names = names;
    }

    fn change<T>(&self, change: impl FnOnce(&mut World) -> io::Result<T>) -> io::Result<T> {
        let mut world = self.world();
        if world.crash.is_some_and(|at| world.operations >= at) {
            return Err(io::Error::other("the machine has lost its power"));
        }
        world.operations += 1;
        change(&mut world)
    }

    /// The files whose names end like this, with their content.
    pub(crate) fn files(&self, end: &str) -> Vec<(PathBuf, Vec<u8>)> {
        let world = self.world();
        let all = world.names.iter().filter(|(path, _)| path.to_string_lossy().ends_with(end));
        all.map(|(path, id)| (path.clone(), world.files[id].seen.clone())).collect()
    }

    /// Puts a content in place, synced.
    pub(crate) fn put(&self, path: &Path, content: &[u8]) {
        let mut world = self.world();
        let id = world.names[path];
        let bytes = content.to_vec();
        world.files.insert(id, Content { seen: bytes.clone(), safe: bytes, pending: Vec::new() });
    }

    pub(crate) fn delete(&self, path: &Path) {
        let mut world = self.world();
        world.names.remove(path);
        world.safe_names.remove(path);
    }

    /// Another machine with the same content.
    pub(crate) fn copy(&self) -> Self {
        let world = self.world();
        Self(Arc::new(Mutex::new(World {
            files: world.files.clone(),
            names: world.names.clone(),
            safe_names: world.safe_names.clone(),
            unsynced: world.unsynced.clone(),
            next: world.next,
            ..World::default()
        })))
    }
}

fn missing() -> io::Error {
    ErrorKind::NotFound.into()
}

impl LogDisk for SimDisk {
    fn open(&self, path: &Path, create: bool) -> io::Result<Arc<dyn LogFile>> {
        let known = self.world().names.get(path).copied();
        let id = match known {
            Some(id) if !self.crashed() => id,
            None if !create => return Err(missing()),
            _ => self.change(|world| {
                if world.space == Some(0) {
                    return Err(ErrorKind::StorageFull.into());
                }
                let id = world.next;
                world.next += 1;
                world.files.insert(id, Content::default());
                let name = Name::Put(path.to_owned(), id);
                name.apply(&mut world.names);
                world.unsynced.push(name);
                Ok(id)
            })?,
        };
        Ok(Arc::new(SimFile { disk: self.clone(), id }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let world = self.world();
        let mut names: Vec<String> = world
            .names
            .keys()
            .filter_map(|path| path.strip_prefix(dir).ok()?.iter().next()?.to_str().map(str::to_owned))
            .collect();
        names.dedup();
        Ok(names)
    }

    fn create_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change(|world| {
            world.names.get(from).ok_or_else(missing)?;
            let name = Name::Rename(from.to_owned(), to.to_owned());
            name.apply(&mut world.names);
            world.unsynced.push(name);
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.change(|world| {
            world.names.get(path).ok_or_else(missing)?;
            let name = Name::Remove(path.to_owned());
            name.apply(&mut world.names);
            world.unsynced.push(name);
            Ok(())
        })
    }

    fn remove_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.change(|world| {
            if !world.lying {
                let (now, later): (Vec<_>, Vec<_>) =
                    std::mem::take(&mut world.unsynced).into_iter().partition(|it| it.dir() == Some(dir));
                now.iter().for_each(|change| change.apply(&mut world.safe_names));
                world.unsynced = later;
            }
            Ok(())
        })
    }

    fn lock(&self, _: &Path) -> io::Result<Box<dyn Any + Send + Sync>> {
        if std::mem::replace(&mut self.world().locked, true) {
            return Err(ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(()))
    }
}

struct SimFile {
    disk: SimDisk,
    id: u64,
}

impl SimFile {
    fn pend(&self, change: Pending) -> io::Result<()> {
        self.disk.change(|world| {
            let content = world.files.get_mut(&self.id).expect("files are never forgotten");
            apply(&mut content.seen, &change);
            content.pending.push(change);
            Ok(())
        })
    }
}

impl LogFile for SimFile {
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        let world = self.disk.world();
        let seen = &world.files[&self.id].seen;
        let at = usize::try_from(at).expect("it is in memory").min(seen.len());
        let count = buffer.len().min(seen.len() - at);
        buffer[..count].copy_from_slice(&seen[at..at + count]);
        Ok(count)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let at = usize::try_from(at).expect("it is in memory");
        let space = self.disk.world().space;
        let fits = space.map_or(bytes.len(), |space| space.min(bytes.len()));
        self.pend(Pending::Write(at, bytes[..fits].to_vec()))?;
        let mut world = self.disk.world();
        world.writes += 1;
        if let Some(space) = &mut world.space {
            *space -= fits;
        }
        if fits < bytes.len() { Err(ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.pend(Pending::Truncate(usize::try_from(length).expect("it is in memory")))
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.change(|world| {
            if world.sync_fails {
                return Err(io::Error::other("the disk is broken"));
            }
            world.syncs += 1;
            if !world.lying {
                let content = world.files.get_mut(&self.id).expect("files are never forgotten");
                content.pending.clear();
                content.safe = content.seen.clone();
            }
            Ok(())
        })
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.world().files[&self.id].seen.len() as u64)
    }
}
