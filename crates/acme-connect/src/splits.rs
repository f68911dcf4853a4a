//! Which splits a source reads and how far it is in each, for whoever watches a run. Nothing depends on it.

use acme_types::SplitId;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How far one split is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SplitProgress {
    /// The next offset to be read.
    pub offset: u64,
    /// The offset behind the last record that is there.
    pub end: u64,
    /// When the last record that was read was written, in ms since 1970.
    pub written_ms: Option<i64>,
}

impl SplitProgress {
    /// Records that are there and not read.
    #[must_use]
    pub fn lag(&self) -> u64 {
        self.end.saturating_sub(self.offset)
    }
}

/// The splits of a source that has many, such as the partitions of topics. The source writes it, whoever shows the run reads it.
#[derive(Debug, Default)]
pub struct SplitTable(Mutex<BTreeMap<SplitId, SplitProgress>>);

impl SplitTable {
    /// The splits, by their names.
    pub fn lock(&self) -> MutexGuard<'_, BTreeMap<SplitId, SplitProgress>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
