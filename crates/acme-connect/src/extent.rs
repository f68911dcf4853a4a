//! How much a source has to read before it has caught up, for whoever watches a run. Nothing depends on it.

use std::sync::atomic::{AtomicU64, Ordering};

/// Rows that a source reads before it waits for new ones, such as those of a snapshot: about how many there are, and how
/// many it has read. The source writes it, whoever shows the run reads it.
#[derive(Debug, Default)]
pub struct Extent {
    done: AtomicU64,
    /// 0 while nothing is known, and when the end is reached.
    total: AtomicU64,
}

impl Extent {
    /// About so many rows are to be read; 0 where that is not known.
    pub fn begin(&self, rows: u64) {
        self.done.store(0, Ordering::Relaxed);
        self.total.store(rows, Ordering::Relaxed);
    }

    /// So many more are read.
    pub fn add(&self, rows: usize) {
        self.done.fetch_add(rows as u64, Ordering::Relaxed);
    }

    /// So many have to be read again.
    pub fn take_back(&self, rows: usize) {
        self.done.fetch_sub(rows as u64, Ordering::Relaxed);
    }

    /// All are read.
    pub fn end(&self) {
        self.total.store(0, Ordering::Relaxed);
    }

    /// Rows read, and about how many there are; `None` where that is not known or all are read.
    #[must_use]
    pub fn get(&self) -> Option<(u64, u64)> {
        let total = self.total.load(Ordering::Relaxed);
        (total > 0).then(|| (self.done.load(Ordering::Relaxed), total))
    }
}
