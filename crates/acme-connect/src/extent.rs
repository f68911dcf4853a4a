//! How much a source has to read before it has caught up, for whoever watches a run. Nothing depends on it.

use std::sync::atomic::{AtomicU64, Ordering};

/// What an [`Extent`] counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Rows, as of a table.
    Rows,
    /// Bytes, as of a file.
    Bytes,
}

/// What a source reads before it waits for more, such as a snapshot or the files that are there: about how much that is, and how
/// much it has read. The source writes it, whoever shows the run reads it.
#[derive(Debug)]
pub struct Extent {
    /// What is counted.
    pub unit: Unit,
    done: AtomicU64,
    /// 0 while nothing is known, and when the end is reached.
    total: AtomicU64,
}

impl Extent {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(unit: Unit) -> Self {
        Self { unit, done: AtomicU64::new(0), total: AtomicU64::new(0) }
    }

    /// About so much is to be read; 0 where that is not known.
    pub fn begin(&self, total: u64) {
        self.done.store(0, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
    }

    /// So much more is read.
    pub fn add(&self, count: usize) {
        self.done.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// So much has to be read again.
    pub fn take_back(&self, count: usize) {
        self.done.fetch_sub(count as u64, Ordering::Relaxed);
    }

    /// All is read.
    pub fn end(&self) {
        self.total.store(0, Ordering::Relaxed);
    }

    /// What is read, and about how much there is; `None` where that is not known or all is read.
    #[must_use]
    pub fn get(&self) -> Option<(u64, u64)> {
        let total = self.total.load(Ordering::Relaxed);
        (total > 0).then(|| (self.done.load(Ordering::Relaxed), total))
    }
}
