//! Open files, so many at most: the one used longest ago is closed, and opened again when it is needed.
//!
//! Files with bytes that are not synced are held open by who will sync them, beside this bound: an error of the disk is told
//! for certain only to a file that was open when it happened.

use crate::disk::{LogDisk, LogFile};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// All open files of a log.
pub(crate) struct Files {
    pub(crate) disk: Arc<dyn LogDisk>,
    bound: usize,
    clock: AtomicU64,
    open: Mutex<Vec<Weak<Slot>>>,
}

/// One file, open or not.
pub(crate) struct Slot {
    path: PathBuf,
    used: AtomicU64,
    pinned: AtomicBool,
    file: Mutex<Option<Arc<dyn LogFile>>>,
}

/// Locks; what a thread that panicked has left is not looked at by us, whose invariants hold between statements.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Files {
    pub(crate) fn new(disk: Arc<dyn LogDisk>, bound: usize) -> Self {
        Self { disk, bound: bound.max(1), clock: AtomicU64::new(0), open: Mutex::default() }
    }

    /// A file that is opened when it is first needed.
    pub(crate) fn slot(&self, path: PathBuf) -> Arc<Slot> {
        Arc::new(Slot {
            path,
            used: AtomicU64::new(0),
            pinned: AtomicBool::new(false),
            file: Mutex::new(None),
        })
    }

    /// The file, opened if it is not.
    pub(crate) fn get(&self, slot: &Arc<Slot>) -> io::Result<Arc<dyn LogFile>> {
        slot.used.store(self.clock.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        let mut file = lock(&slot.file);
        if let Some(file) = &*file {
            return Ok(file.clone());
        }
        let opened = self.disk.open(&slot.path, false)?;
        *file = Some(opened.clone());
        drop(file);
        self.opened(slot);
        Ok(opened)
    }

    /// A file that was opened otherwise.
    pub(crate) fn put(&self, slot: &Arc<Slot>, file: Arc<dyn LogFile>) {
        slot.used.store(self.clock.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        *lock(&slot.file) = Some(file);
        self.opened(slot);
    }

    fn opened(&self, slot: &Arc<Slot>) {
        let mut open = lock(&self.open);
        open.push(Arc::downgrade(slot));
        if open.len() <= self.bound {
            return;
        }
        let mut live: Vec<Arc<Slot>> = open.iter().filter_map(Weak::upgrade).collect();
        live.retain(|slot| !slot.pinned.load(Ordering::Relaxed) && lock(&slot.file).is_some());
        // Others go on using them meanwhile.
        live.sort_by_cached_key(|slot| slot.used.load(Ordering::Relaxed));
        live.dedup_by(|a, b| Arc::ptr_eq(a, b));
        // An eighth at once, so that the sorting is paid for by many openings.
        let excess = live.len().saturating_sub(self.bound - self.bound / 8);
        for slot in live.drain(..if live.len() > self.bound { excess } else { 0 }) {
            *lock(&slot.file) = None;
        }
        *open = live.iter().map(Arc::downgrade).collect();
    }

    /// Number of files that are open through this.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        let open = lock(&self.open);
        let mut live: Vec<_> = open.iter().filter_map(Weak::upgrade).collect();
        live.retain(|slot| lock(&slot.file).is_some());
        live.sort_by_key(|slot| Arc::as_ptr(slot).cast::<u8>() as usize);
        live.dedup_by(|a, b| Arc::ptr_eq(a, b));
        live.len()
    }
}

impl Slot {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps it open as long as the slot is there: its name is about to be given to another file.
    pub(crate) fn pin(&self) {
        self.pinned.store(true, Ordering::Relaxed);
    }
}
