//! Counts of one run, written by the lanes and read by whoever shows them.

use crate::driver::JobSource;
use acme_connect::{Extent, SplitProgress, SplitTable, Unit};
use acme_types::EventTime;
use acme_types::SplitId;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A number.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds to it.
    pub fn add(&self, n: usize) {
        self.0.fetch_add(u64::try_from(n).expect("usize is at most 64 bits"), Ordering::Relaxed);
    }

    /// Takes back what was added too early.
    pub(crate) fn take_back(&self, n: usize) {
        self.0.fetch_sub(u64::try_from(n).expect("usize is at most 64 bits"), Ordering::Relaxed);
    }

    /// Its value.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How far a destination is behind: from the commit of a row in its source, or from its reading where the source does not
/// say when it was committed, to its delivery.
#[derive(Debug)]
pub struct Lag {
    last_us: AtomicI64,
    waiting_since: AtomicI64,
}

const NOTHING: i64 = i64::MIN;

impl Default for Lag {
    fn default() -> Self {
        Self { last_us: AtomicI64::new(NOTHING), waiting_since: AtomicI64::new(NOTHING) }
    }
}

impl Lag {
    /// Rows of which the oldest is from this moment are about to be written.
    pub fn begin(&self, oldest: EventTime) {
        self.waiting_since.store(oldest.0, Ordering::Relaxed);
    }

    /// They are written.
    pub fn end(&self, now: EventTime) {
        let since = self.waiting_since.swap(NOTHING, Ordering::Relaxed);
        if since != NOTHING {
            self.last_us.store((now.0 - since).max(0), Ordering::Relaxed);
        }
    }

    /// The lag in microseconds: of the rows that wait now, else of those written last; `None` before the first.
    #[must_use]
    pub fn us(&self, now: EventTime) -> Option<u64> {
        let since = self.waiting_since.load(Ordering::Relaxed);
        let lag =
            if since == NOTHING { self.last_us.load(Ordering::Relaxed) } else { (now.0 - since).max(0) };
        u64::try_from(lag).ok()
    }
}

/// What happened so far in one run of one pipeline.
#[derive(Debug)]
pub struct Stats {
    /// Rows read, by source.
    pub sources: Vec<(Arc<str>, Counter)>,
    /// Rows written, by destination.
    pub sinks: Vec<(Arc<str>, Counter)>,
    /// How far each destination is behind.
    pub lags: Vec<Lag>,
    /// Bytes read.
    pub bytes: Counter,
    /// Rows that failed and were skipped or sent to the dead letters.
    pub rejected: Counter,
    /// Rows that came too late for all windows of their time.
    pub late: Counter,
    /// Commits.
    pub commits: Counter,
    /// Tries that had to be repeated.
    pub retries: Counter,
    /// How far the sources are that know how much they have to read.
    extents: Mutex<Vec<Arc<Extent>>>,
    /// The splits of the sources that show them.
    splits: Mutex<Vec<(Arc<str>, Arc<SplitTable>)>>,
}

impl Stats {
    /// All zero.
    #[must_use]
    pub fn new(
        sources: impl IntoIterator<Item = Arc<str>>,
        sinks: impl IntoIterator<Item = Arc<str>>,
    ) -> Self {
        let sinks: Vec<_> = sinks.into_iter().map(|name| (name, Counter::default())).collect();
        Self {
            lags: sinks.iter().map(|_| Lag::default()).collect(),
            sources: sources.into_iter().map(|name| (name, Counter::default())).collect(),
            sinks,
            bytes: Counter::default(),
            rejected: Counter::default(),
            late: Counter::default(),
            commits: Counter::default(),
            retries: Counter::default(),
            extents: Mutex::default(),
            splits: Mutex::default(),
        }
    }

    /// Shows the sources of a job that begins.
    pub(crate) fn watch(&self, sources: &[JobSource]) {
        let extents = sources.iter().filter_map(|job| job.source.extent()).collect();
        *self.extents.lock().unwrap_or_else(PoisonError::into_inner) = extents;
        let splits =
            sources.iter().filter_map(|job| Some((job.name.clone(), job.source.splits()?))).collect();
        *self.splits.lock().unwrap_or_else(PoisonError::into_inner) = splits;
    }

    /// How far each split of those sources is that show them, with the name of the source; `None` where none does.
    #[must_use]
    pub fn splits(&self) -> Option<Vec<(Arc<str>, SplitId, SplitProgress)>> {
        let tables = self.splits.lock().unwrap_or_else(PoisonError::into_inner);
        if tables.is_empty() {
            return None;
        }
        let mut all = Vec::new();
        for (source, table) in tables.iter() {
            all.extend(
                table.lock().iter().map(|(split, progress)| (source.clone(), split.clone(), *progress)),
            );
        }
        Some(all)
    }

    /// What the sources that count so have read of what they have to read, and about how much that is; `None` when they have
    /// caught up.
    #[must_use]
    pub fn extent(&self, unit: Unit) -> Option<(u64, u64)> {
        let extents = self.extents.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = extents.iter().filter(|extent| extent.unit == unit).filter_map(|extent| extent.get());
        counted.reduce(|(a, b), (c, d)| (a + c, b + d))
    }

    /// Rows read from all sources.
    #[must_use]
    pub fn rows_in(&self) -> u64 {
        self.sources.iter().map(|(_, count)| count.get()).sum()
    }

    /// The largest lag of all destinations, in microseconds.
    #[must_use]
    pub fn lag_us(&self, now: EventTime) -> Option<u64> {
        self.lags.iter().filter_map(|lag| lag.us(now)).max()
    }

    /// Rows written to all destinations.
    #[must_use]
    pub fn rows_out(&self) -> u64 {
        self.sinks.iter().map(|(_, count)| count.get()).sum()
    }
}
