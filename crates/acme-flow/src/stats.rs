//! Counts of one run, written by the lanes and read by whoever shows them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds to it.
    pub fn add(&self, n: usize) {
        self.0.fetch_add(u64::try_from(n).expect("usize is at most 64 bits"), Ordering::Relaxed);
    }

    /// Its value.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What happened so far in one run of one pipeline.
#[derive(Debug)]
pub struct Stats {
    /// Rows read, by source.
    pub sources: Vec<(Arc<str>, Counter)>,
    /// Rows written, by destination.
    pub sinks: Vec<(Arc<str>, Counter)>,
    /// Bytes read.
    pub bytes: Counter,
    /// Rows that failed and were skipped or sent to the dead letters.
    pub rejected: Counter,
    /// Commits.
    pub commits: Counter,
    /// Tries that had to be repeated.
    pub retries: Counter,
}

impl Stats {
    /// All zero.
    #[must_use]
    pub fn new(
        sources: impl IntoIterator<Item = Arc<str>>,
        sinks: impl IntoIterator<Item = Arc<str>>,
    ) -> Self {
        Self {
            sources: sources.into_iter().map(|name| (name, Counter::default())).collect(),
            sinks: sinks.into_iter().map(|name| (name, Counter::default())).collect(),
            bytes: Counter::default(),
            rejected: Counter::default(),
            commits: Counter::default(),
            retries: Counter::default(),
        }
    }

    /// Rows read from all sources.
    #[must_use]
    pub fn rows_in(&self) -> u64 {
        self.sources.iter().map(|(_, count)| count.get()).sum()
    }

    /// Rows written to all destinations.
    #[must_use]
    pub fn rows_out(&self) -> u64 {
        self.sinks.iter().map(|(_, count)| count.get()).sum()
    }
}
