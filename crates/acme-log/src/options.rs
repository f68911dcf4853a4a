//! What the log is handed by who opens it.

use crate::disk::{LogDisk, RealDisk};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A clock: milliseconds since 1970.
pub type NowMs = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Called when a sync has failed: it must end the process, for what the disk holds is unknown from now on. In a
/// simulation it may return; nothing is acknowledged any more then.
pub type SyncFailed = Arc<dyn Fn(&Path, &io::Error) + Send + Sync>;

/// Called at named places where the disk is between two states, so that a test can end a process exactly there.
pub type Passed = Arc<dyn Fn(&'static str) + Send + Sync>;

/// How a log is opened.
#[derive(Clone)]
pub struct Options {
    /// Where it lies.
    pub disk: Arc<dyn LogDisk>,
    /// The wall clock.
    pub now_ms: NowMs,
    /// 128 random bits, for the ids of topics and of the cluster.
    pub random: Arc<dyn Fn() -> u128 + Send + Sync>,
    /// What a failed sync calls.
    pub sync_failed: SyncFailed,
    /// The least time between the beginnings of two rounds of syncs: acknowledgements of that time share them. The first
    /// append after a pause is synced at once.
    pub sync_interval: Duration,
    /// Threads that sync files side by side. With 0 the log has no threads at all: its owner calls
    /// [`crate::Log::sync_now`] and [`crate::Log::housekeep`].
    pub sync_threads: usize,
    /// How often retention, compaction and the like are looked after.
    pub housekeeping: Duration,
    /// How often the recovery points are written: a crash makes the next start read what was appended since.
    pub checkpoint: Duration,
    /// Files kept open beside those being written.
    pub open_files: usize,
    /// Settings of topics that do not have their own: Kafka's names for topics.
    pub defaults: BTreeMap<String, String>,
    /// What is called at each named place.
    pub passed: Passed,
    /// For tests: what the checkers must find.
    #[cfg(test)]
    pub(crate) mistake: Option<Mistake>,
}

/// Mistakes that tests plant, to show that their checkers find them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mistake {
    /// The leader epoch stays.
    SameEpoch,
    /// Recovery takes whatever batch follows.
    AnyOffset,
    /// Recovery leaves what lies behind the end, and appends go on in the same file.
    NoCut,
    /// What is appended is served.
    ServeAppended,
    /// The directory is not synced.
    NoDirSync,
    /// Recovery does not look at checksums.
    NoChecksum,
    /// Recovery cuts below the recovery point too.
    CutAnywhere,
}

impl Options {
    /// The machine's disk, Kafka's defaults; a failed sync is told on the standard error, and the process ends.
    pub fn new(now_ms: NowMs) -> Self {
        Self {
            disk: Arc::new(RealDisk),
            now_ms,
            random: Arc::new(random),
            sync_failed: Arc::new(end_process),
            sync_interval: Duration::from_millis(2),
            sync_threads: 4,
            housekeeping: Duration::from_secs(15),
            checkpoint: Duration::from_secs(10),
            open_files: 1_024,
            defaults: BTreeMap::new(),
            passed: Arc::new(|_| ()),
            #[cfg(test)]
            mistake: None,
        }
    }

    #[cfg(test)]
    pub(crate) fn makes(&self, mistake: Mistake) -> bool {
        self.mistake == Some(mistake)
    }

    /// Outside of tests nothing is planted.
    #[cfg(not(test))]
    pub(crate) const fn makes(&self, _: Mistake) -> bool {
        false
    }
}

/// The seeds of std's hash maps come from the operating system; each state has another.
fn random() -> u128 {
    use std::hash::{BuildHasher, RandomState};
    let half = || u128::from(RandomState::new().hash_one(0));
    half() << 64 | half()
}

/// The exit code of a process whose disk has failed: EX_IOERR of sysexits.h.
const EXIT_DISK: i32 = 74;

fn end_process(path: &Path, error: &io::Error) {
    use io::Write;
    let text = format!("error: cannot sync {}: {error}; what it holds is unknown now\n", path.display());
    let _ = io::stderr().write_all(text.as_bytes());
    std::process::exit(EXIT_DISK);
}
