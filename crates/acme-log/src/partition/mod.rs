//! One partition: what is appended to it and read from it.

mod append;
mod compaction;
mod read;
mod recovery;
mod sync;
mod times;
mod upkeep;

pub(crate) use recovery::{Found, Lost, recover};
pub(crate) use upkeep::{Upkeep, remove_dir};

use crate::checkpoint::Point;
use crate::files::lock;
use crate::options::Mistake;
use crate::producers::Producers;
use crate::segment::Segment;
use crate::shared::Shared;
use crate::{AppendError, Damage, ReadError, Settings};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use tokio::sync::watch;
use uuid::Uuid;

/// A partition. All of its methods may be called from any thread; [`Partition::append`] and [`Partition::read`] do one
/// write or read of a file each, which the page cache answers: a call from an async task is short.
///
/// Its locks are taken in this order: `upkeep`, `syncing`, `head`, `segments`.
pub struct Partition {
    me: Weak<Self>,
    topic: String,
    id: Uuid,
    number: i32,
    dir: Arc<Path>,
    pub(crate) shared: Arc<Shared>,
    settings: RwLock<Arc<Settings>>,
    head: Mutex<Head>,
    /// By their bases; never empty. The last one is appended to.
    segments: RwLock<Arc<Vec<Arc<Segment>>>>,
    marks: watch::Sender<Marks>,
    /// As in `head`, without its lock.
    end: AtomicI64,
    damage: RwLock<Option<Arc<Damage>>>,
    point: Mutex<Point>,
    syncing: Mutex<()>,
    /// A time for its next sync is set (`flush.ms`).
    timed: AtomicBool,
    upkeep: Mutex<Upkeep>,
    hints: Mutex<read::Hints>,
}

/// Where appends happen.
struct Head {
    /// The offset of the next record.
    end: i64,
    synced: i64,
    log_start: i64,
    /// The leader epoch of the last batch, -1 for none.
    last_epoch: i32,
    producers: Producers,
    guards: Guards,
    /// Segments with bytes that are not synced.
    dirty: Vec<Arc<Segment>>,
    /// The same, as files: they stay open.
    dirty_files: Vec<Arc<dyn crate::LogFile>>,
    /// A file was made, renamed or removed, and the directory not synced.
    names_dirty: bool,
    /// A write failed, and what it left could not be cut off.
    torn: bool,
    /// Records and time since the last sync, for relaxed topics.
    unsynced_records: i64,
    /// It is in the queue of the sync threads.
    queued: bool,
    /// Segments that get no more batches, with the producers as they were at their ends.
    sealing: Vec<Sealing>,
    /// A file of this partition that can be written over.
    spare: Option<PathBuf>,
    closed: bool,
}

/// A segment that waits for being sealed.
struct Sealing {
    segment: Arc<Segment>,
    end: i64,
    /// `None`: they are not known for this place.
    producers: Option<Vec<u8>>,
}

/// The guards that were given out and are not used up, by producer.
#[derive(Default)]
struct Guards {
    next: u64,
    given: BTreeMap<i64, (u64, i16)>,
}

/// The borders of a partition at one moment. They only grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marks {
    /// The first offset that there is.
    pub log_start: i64,
    /// What is below is served: it is synced, or the topic's `flush.*` are relaxed.
    pub high_watermark: i64,
    /// What is below belongs to no open transaction (read_committed).
    pub last_stable: i64,
    /// What is below survives a power cut.
    pub synced: i64,
    /// Nothing moves any more: the topic was deleted, the log closed, the partition is offline.
    pub closed: bool,
}

/// Where batches come from, which decides what is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    /// A client. Its first batch of a transaction needs a guard (KIP-890): see [`Partition::verification`].
    Client {
        /// From before the transaction's coordinator was asked.
        guard: Option<Guard>,
    },
    /// The coordinators, into their own topics; transactions need no guard.
    Coordinator,
}

/// A proof that the coordinator was asked about a producer's transaction, void when that has ended meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guard(u64);

/// Whether the coordinator must be asked before a transactional batch is appended (KIP-890, part 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verification {
    /// The producer's transaction is open in this partition: append with `guard: None`.
    Open,
    /// Ask the coordinator, then append with this.
    Ask(Guard),
}

/// Batches that are in the log, though perhaps not yet on the disk.
#[derive(Clone, Debug)]
pub struct Appended {
    /// Offset of the first record.
    pub base_offset: i64,
    /// Offset of the last record.
    pub last_offset: i64,
    /// The time that was stamped on them, if the topic says `LogAppendTime`.
    pub append_time: Option<i64>,
    /// The first offset of the partition.
    pub log_start: i64,
    /// They had been appended before, as these very offsets (idempotence).
    pub duplicate: bool,
    /// Who makes them durable; `None` where that is not waited for.
    wait: Option<Arc<Partition>>,
}

impl Appended {
    /// Waits until they may be acknowledged: they survive a power cut, or the topic's `flush.*` say that this need not be waited
    /// for. Cancel-safe.
    ///
    /// # Errors
    /// The sync failed, or the partition was closed before.
    pub async fn durable(&self) -> Result<(), AppendError> {
        match &self.wait {
            Some(partition) => partition.synced(self.last_offset + 1).await,
            None => Ok(()),
        }
    }
}

/// How far is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// To the high watermark (read_uncommitted).
    HighWatermark,
    /// To the last stable offset (read_committed).
    LastStable,
    /// To the end, synced or not: for coordinators that read back what they have written.
    End,
}

/// A transaction that was aborted: what the producer wrote from `first_offset` to its marker is skipped by readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aborted {
    /// Who.
    pub producer_id: i64,
    /// Its first offset in the partition.
    pub first_offset: i64,
}

/// Whole batches as they lie in the log.
#[derive(Clone, Debug)]
pub struct Slice {
    /// The batches; the first may begin below the offset that was asked for. Empty at the end.
    pub bytes: Bytes,
    /// The marks when it was read.
    pub marks: Marks,
    /// The aborted transactions in it, by their first offsets; only for [`Until::LastStable`].
    pub aborted: Vec<Aborted>,
}

/// An offset with its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedOffset {
    /// The offset.
    pub offset: i64,
    /// ms since 1970.
    pub timestamp: i64,
    /// The leader epoch of its batch.
    pub leader_epoch: i32,
}

/// A producer that the partition remembers (DescribeProducers).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActiveProducer {
    /// Who.
    pub producer_id: i64,
    /// Its epoch.
    pub producer_epoch: i16,
    /// Its last sequence, -1 for none.
    pub last_sequence: i32,
    /// When it wrote last, ms since 1970.
    pub last_timestamp: i64,
    /// The epoch of the coordinator that ended its last transaction, -1 for none.
    pub coordinator_epoch: i32,
    /// Where its open transaction begins, -1 for none.
    pub transaction_start: i64,
}

/// How a partition comes to life.
pub(crate) struct Identity {
    pub(crate) topic: String,
    pub(crate) id: Uuid,
    pub(crate) number: i32,
    pub(crate) dir: Arc<Path>,
}

impl Partition {
    pub(crate) fn new(
        identity: Identity,
        shared: &Arc<Shared>,
        settings: Arc<Settings>,
        found: Result<Found, Damage>,
    ) -> Arc<Self> {
        let (found, damage) = match found {
            Ok(found) => (found, None),
            Err(damage) => (Found::nothing(shared, &identity.dir), Some(Arc::new(damage))),
        };
        let Found { segments, producers, end, log_start, last_epoch } = found;
        let mut producers = producers;
        let marks = Marks {
            log_start,
            high_watermark: end,
            last_stable: producers.last_stable(end),
            synced: end,
            closed: damage.is_some(),
        };
        let head = Head {
            end,
            synced: end,
            log_start,
            last_epoch,
            producers,
            guards: Guards::default(),
            dirty: Vec::new(),
            dirty_files: Vec::new(),
            names_dirty: false,
            torn: false,
            unsynced_records: 0,
            queued: false,
            sealing: Vec::new(),
            spare: None,
            closed: damage.is_some(),
        };
        let Identity { topic, id, number, dir } = identity;
        let partition = Arc::new_cyclic(|me| Self {
            me: me.clone(),
            topic,
            id,
            number,
            dir,
            shared: shared.clone(),
            settings: RwLock::new(settings),
            head: Mutex::new(head),
            segments: RwLock::new(Arc::new(segments)),
            marks: watch::Sender::new(marks),
            end: AtomicI64::new(end),
            damage: RwLock::new(damage),
            point: Mutex::new(Point { recovery_point: end, epoch: last_epoch, log_start }),
            syncing: Mutex::new(()),
            timed: AtomicBool::new(false),
            upkeep: Mutex::default(),
            hints: Mutex::default(),
        });
        partition.seal_found();
        partition
    }

    /// The topic's name.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The topic's id.
    #[must_use]
    pub fn topic_id(&self) -> Uuid {
        self.id
    }

    /// Its number.
    #[must_use]
    pub fn number(&self) -> i32 {
        self.number
    }

    /// Its directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The marks now.
    #[must_use]
    pub fn marks(&self) -> Marks {
        *self.marks.borrow()
    }

    /// Wakes whenever a mark moves.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Marks> {
        self.marks.subscribe()
    }

    /// The offset that the next record gets.
    #[must_use]
    pub fn end(&self) -> i64 {
        self.end.load(Ordering::Acquire)
    }

    /// The current leader epoch.
    #[must_use]
    pub fn leader_epoch(&self) -> i32 {
        self.shared.epoch
    }

    /// Why it is offline, if it is.
    #[must_use]
    pub fn damage(&self) -> Option<Arc<Damage>> {
        self.damage.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The producers that it remembers.
    #[must_use]
    pub fn producers(&self) -> Vec<ActiveProducer> {
        lock(&self.head).producers.shown()
    }

    /// Bytes of its segments.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.segments().iter().map(|segment| segment.bytes()).sum()
    }

    pub(crate) fn settings(&self) -> Arc<Settings> {
        self.settings.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_settings(&self, settings: Arc<Settings>) {
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = settings;
        // Relaxed from now on: what is appended is served.
        let mut head = lock(&self.head);
        self.advance(&mut head);
    }

    pub(crate) fn segments(&self) -> Arc<Vec<Arc<Segment>>> {
        self.segments.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change_segments(&self, change: impl FnOnce(&mut Vec<Arc<Segment>>)) {
        let mut segments = self.segments.write().unwrap_or_else(PoisonError::into_inner);
        change(Arc::make_mut(&mut segments));
        assert!(segments.windows(2).all(|pair| pair[0].base < pair[1].base), "segments are in order");
    }

    /// Takes it offline: its bytes cannot be trusted.
    fn fail(&self, damage: Damage) {
        *self.damage.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(damage));
        self.stop();
    }

    /// Nothing is appended or read any more.
    pub(crate) fn stop(&self) {
        lock(&self.head).closed = true;
        self.marks.send_modify(|marks| marks.closed = true);
    }

    /// Moves the marks after what `head` has.
    fn advance(&self, head: &mut Head) {
        let early = self.settings().relaxed || self.shared.options.makes(Mistake::ServeAppended);
        let high = if early { head.end } else { head.synced };
        assert!(head.synced <= head.end && head.log_start <= head.end, "the end is the end");
        self.marks.send_if_modified(|marks| {
            let before = *marks;
            marks.log_start = head.log_start;
            marks.synced = head.synced;
            marks.high_watermark = before.high_watermark.max(high);
            let last_stable = head.producers.last_stable(marks.high_watermark);
            assert!(last_stable >= before.last_stable, "the last stable offset never goes back");
            marks.last_stable = last_stable;
            *marks != before
        });
    }

    fn usable(&self, head: &Head) -> Result<(), AppendError> {
        if !head.closed {
            return Ok(());
        }
        Err(self.damage().map_or(AppendError::Closed, AppendError::Offline))
    }

    /// The marks, if it can be read.
    fn readable(&self) -> Result<Marks, ReadError> {
        let marks = self.marks();
        if !marks.closed {
            return Ok(marks);
        }
        Err(self.damage().map_or(ReadError::Closed, ReadError::Offline))
    }
}

impl fmt::Debug for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{} {:?}", self.topic, self.number, self.marks())
    }
}
