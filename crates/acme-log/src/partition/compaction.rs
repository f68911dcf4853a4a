//! Compaction: of all records of a key the last one stays. Offsets stay as they are, with gaps.
//!
//! What goes: records that a later one of the same key has replaced, those of aborted transactions, tombstones and markers some
//! time after they were first seen here (KIP-534). What stays: the last batch of each producer, without records if need be, so that its
//! next sequence is known; everything from the last stable offset on, and in the last segment.
//!
//! Source: Kafka documentation, "Log Compaction"; Cleaner and CleanedTransactionMetadata where it is silent.

use super::Partition;
use crate::Settings;
use crate::files::lock;
use crate::format::Unreadable;
use crate::producers::AbortedRange;
use crate::scan::Scan;
use crate::segment::{self, Segment};
use acme_records::{BatchHeader, Compression, HEADER_BYTES, RawRecord, RawRecords};
use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::Arc;

/// Keys that one round remembers: about 100 MB. With more, the round ends earlier.
const KEYS_MAX: usize = 2_000_000;
/// The most bytes that may come out of a batch.
const DECOMPRESSED_MAX: usize = 128 << 20;

/// The last offset of each key. Two hashes with seeds of their own stand for a key: 128 bits, which nobody can aim at.
struct Keys {
    seeds: [RandomState; 2],
    last: HashMap<(u64, u64), i64>,
}

/// What one round works with.
struct Round<'a> {
    keys: Keys,
    aborted: Vec<AbortedRange>,
    /// Last offsets of the last batches of producers.
    last_batches: BTreeSet<i64>,
    /// Producers with records that stay, since their last marker.
    with_records: BTreeSet<i64>,
    settings: &'a Settings,
    now_ms: i64,
}

/// What becomes of a batch.
enum Fate<'b> {
    Goes,
    Stays(Cow<'b, [u8]>),
}

impl Partition {
    /// Compacts what is due.
    pub(super) fn compact(&self, settings: &Settings, now_ms: i64) -> io::Result<()> {
        self.roll_old(settings, now_ms)?;
        let _upkeep = lock(&self.upkeep);
        let (segments, dirty) = self.cleanable(settings, now_ms);
        if segments.is_empty() || !is_due(&segments, dirty, settings, now_ms) {
            return Ok(());
        }
        for segment in &segments {
            self.check(segment)?;
        }
        let aborted = segments.iter().flat_map(|it| it.aborted().to_vec()).collect();
        let last_batches = lock(&self.head).producers.last_batches().into_iter().collect();
        let keys = Keys { seeds: [RandomState::new(), RandomState::new()], last: HashMap::new() };
        let with_records = BTreeSet::new();
        let mut round = Round { keys, aborted, last_batches, with_records, settings, now_ms };
        let mut count = dirty;
        for segment in &segments[dirty..] {
            round.learn(segment)?;
            count += 1;
            if round.keys.last.len() >= KEYS_MAX {
                break;
            }
        }
        let mut rest = &segments[..count];
        while !rest.is_empty() {
            let (group, after) = rest.split_at(group_length(rest, settings.segment_bytes));
            self.replace(group, &mut round)?;
            rest = after;
        }
        Ok(())
    }

    /// The last segment too is compacted some time: it gets no more batches then.
    fn roll_old(&self, settings: &Settings, now_ms: i64) -> io::Result<()> {
        let mut head = lock(&self.head);
        let last = self.segments().last().expect("there is always a segment").facts();
        let age = now_ms.saturating_sub(last.first_timestamp);
        if last.bytes > 0 && settings.max_compaction_lag_ms < i64::MAX && age > settings.roll_ms() {
            self.roll(&mut head)?;
        }
        Ok(())
    }

    /// The segments that may be compacted, and how many of them were compacted before.
    fn cleanable(&self, settings: &Settings, now_ms: i64) -> (Vec<Arc<Segment>>, usize) {
        let marks = self.marks();
        let limit = marks.last_stable.min(marks.synced);
        let young = now_ms.saturating_sub(settings.min_compaction_lag_ms);
        let segments = self.segments();
        let old = |it: &&Arc<Segment>| {
            let lag = settings.min_compaction_lag_ms > 0 && it.max_timestamp().0 > young;
            it.is_sealed() && it.next_offset() <= limit && !lag
        };
        let all: Vec<_> = segments[..segments.len() - 1].iter().take_while(old).cloned().collect();
        let clean = all.iter().take_while(|it| it.facts().compacted).count();
        (all, clean)
    }

    /// Replaces a group of segments by what is left of them.
    fn replace(&self, group: &[Arc<Segment>], round: &mut Round<'_>) -> io::Result<()> {
        let cleaned = match self.write_cleaned(group, round) {
            Ok(cleaned) => Arc::new(cleaned),
            Err(error) => {
                self.remove_cleaned();
                return Err(error);
            }
        };
        // From here on a restart would complete it.
        self.shared.passed("log.compacted");
        let dir = &*self.dir;
        let swapped = self
            .disk()
            .list(dir)
            .map_err(Unreadable::Disk)
            .and_then(|names| segment::swap(self.disk(), dir, cleaned.base, &names));
        if swapped.is_err() {
            let reason = "its replacement was not completed: start again, which completes it".to_owned();
            self.fail(crate::Damage { file: cleaned.sibling("sum.swap"), at: 0, reason });
            return Err(io::Error::other("a compacted segment was not put in place"));
        }
        self.change_segments(|segments| {
            let at = segments.iter().position(|it| it.serial == group[0].serial);
            let at = at.expect("only this thread removes segments");
            drop(segments.splice(at..at + group.len(), [cleaned]));
        });
        Ok(())
    }

    fn write_cleaned(&self, group: &[Arc<Segment>], round: &mut Round<'_>) -> io::Result<Segment> {
        let base = group[0].base;
        let cleaned = Segment::new(&self.shared.files, &self.dir, base);
        let file = self.disk().open(&cleaned.sibling("log.cleaned"), true)?;
        file.truncate(0)?;
        let interval = round.settings.index_interval_bytes;
        for segment in group {
            segment.pin()?;
            let mut scan = Scan::new(segment.file()?, 0, segment.bytes());
            while let Some((_, header, batch)) =
                scan.next().map_err(|stop| io::Error::other(stop.reason()))?
            {
                if let Fate::Stays(batch) = round.judge(&header, batch)? {
                    let header = BatchHeader::parse(&batch).ok().flatten().expect("it was read or built");
                    file.write_at(&batch, cleaned.bytes())?;
                    cleaned.appended(&header, &batch, interval);
                    if let Some(range) = round
                        .aborted
                        .iter()
                        .find(|it| header.is_control() && it.last_offset == header.base_offset)
                    {
                        cleaned.add_aborted(*range);
                    }
                }
            }
        }
        file.sync()?;
        cleaned.set_compacted(group[group.len() - 1].next_offset());
        cleaned.seal_cleaned()?;
        Ok(cleaned)
    }

    fn remove_cleaned(&self) {
        let names = self.disk().list(&self.dir).unwrap_or_default();
        for name in names.iter().filter(|name| name.ends_with(".cleaned") || name.ends_with(".sum.swap")) {
            let _ = self.disk().remove(&self.dir.join(name));
        }
    }
}

/// Source: Kafka, LogCleanerManager: enough of it is dirty, or something has waited for too long, tombstones included.
fn is_due(segments: &[Arc<Segment>], dirty: usize, settings: &Settings, now_ms: i64) -> bool {
    let bytes = |segments: &[Arc<Segment>]| segments.iter().map(|it| it.bytes()).sum::<u64>();
    let (all, rest) = (bytes(segments), bytes(&segments[dirty..]));
    let oldest = segments[dirty..].iter().map(|it| it.facts().first_timestamp).find(|time| *time >= 0);
    let late = oldest.is_some_and(|time| now_ms.saturating_sub(time) > settings.max_compaction_lag_ms);
    rest > 0 && (late || rest as f64 > all as f64 * settings.min_cleanable_ratio)
}

/// How many segments at the front fit into one.
fn group_length(segments: &[Arc<Segment>], segment_bytes: u64) -> usize {
    let mut bytes = 0;
    let fits = |it: &&Arc<Segment>| {
        bytes += it.bytes();
        bytes <= segment_bytes && it.next_offset() - segments[0].base <= i64::from(i32::MAX)
    };
    segments.iter().take_while(fits).count().max(1)
}

impl Keys {
    fn hash(&self, key: &[u8]) -> (u64, u64) {
        (self.seeds[0].hash_one(key), self.seeds[1].hash_one(key))
    }
}

/// The records of a batch; `buffer` holds them if they were compressed.
fn plain<'b>(header: &BatchHeader, batch: &'b [u8], buffer: &'b mut Vec<u8>) -> io::Result<&'b [u8]> {
    let compression = Compression::of(header.compression()).map_err(io::Error::other)?;
    if compression == Compression::None {
        return Ok(&batch[HEADER_BYTES..]);
    }
    // A batch that has no records any more has nothing to be decompressed.
    if header.count > 0 {
        compression.decompress(&batch[HEADER_BYTES..], buffer, DECOMPRESSED_MAX).map_err(io::Error::other)?;
    }
    Ok(&buffer[..])
}

impl Round<'_> {
    /// Whether a batch belongs to an aborted transaction.
    fn is_aborted(&self, header: &BatchHeader) -> bool {
        let inside = |it: &AbortedRange| {
            it.producer_id == header.producer_id
                && (it.first_offset..=it.last_offset).contains(&header.base_offset)
        };
        header.is_transactional() && self.aborted.iter().any(inside)
    }

    /// Takes in the keys of a segment that was not compacted yet.
    fn learn(&mut self, segment: &Segment) -> io::Result<()> {
        let mut scan = Scan::new(segment.file()?, 0, segment.bytes());
        while let Some((_, header, batch)) = scan.next().map_err(|stop| io::Error::other(stop.reason()))? {
            if header.is_control() || self.is_aborted(&header) {
                continue;
            }
            let mut buffer = Vec::new();
            for record in RawRecords::new(&header, plain(&header, batch, &mut buffer)?) {
                let record = record.map_err(io::Error::other)?;
                if let Some(key) = record.key {
                    let hash = self.keys.hash(key);
                    self.keys.last.insert(hash, record.offset);
                }
            }
        }
        Ok(())
    }

    fn judge<'b>(&mut self, header: &BatchHeader, batch: &'b [u8]) -> io::Result<Fate<'b>> {
        if header.is_control() {
            return self.judge_marker(header, batch);
        }
        let mut buffer = Vec::new();
        let records = plain(header, batch, &mut buffer)?;
        let (mut kept, mut tombstones, mut count) = (Vec::new(), false, 0);
        if !self.is_aborted(header) {
            for record in RawRecords::new(header, records) {
                let record = record.map_err(io::Error::other)?;
                count += 1;
                if self.stays(header, &record) {
                    tombstones |= record.value.is_none();
                    kept.push(record);
                }
            }
        }
        if kept.is_empty() && !self.last_batches.contains(&header.last_offset()) {
            return Ok(Fate::Goes);
        }
        if header.is_transactional() && !kept.is_empty() {
            self.with_records.insert(header.producer_id);
        }
        let horizon = (tombstones && header.delete_horizon().is_none())
            .then(|| self.now_ms.saturating_add(self.settings.delete_retention_ms));
        if horizon.is_none() && count == header.count && kept.len() == usize::try_from(count).unwrap_or(0) {
            return Ok(Fate::Stays(batch.into()));
        }
        let compression = if kept.is_empty() { 0 } else { header.compression() };
        let compression = Compression::of(compression).map_err(io::Error::other)?;
        let level =
            self.settings.compression_level.filter(|_| self.settings.compression == Some(compression));
        let rebuilt = acme_records::rebuild(header, &kept, (compression, level), horizon);
        Ok(Fate::Stays(rebuilt.map_err(io::Error::other)?.into()))
    }

    /// Whether a record is the last one of its key; a tombstone, until its time has come.
    fn stays(&self, header: &BatchHeader, record: &RawRecord<'_>) -> bool {
        let Some(key) = record.key else { return false };
        let last = self.keys.last.get(&self.keys.hash(key));
        let newest = last.is_none_or(|last| record.offset >= *last);
        let dead = record.value.is_none() && header.delete_horizon().is_some_and(|at| self.now_ms >= at);
        newest && !dead
    }

    /// A marker stays as long as records of its transaction do, and for a while after that.
    fn judge_marker<'b>(&mut self, header: &BatchHeader, batch: &'b [u8]) -> io::Result<Fate<'b>> {
        if self.with_records.remove(&header.producer_id) {
            return Ok(Fate::Stays(batch.into()));
        }
        match header.delete_horizon() {
            Some(at) if self.now_ms >= at => Ok(Fate::Goes),
            Some(_) => Ok(Fate::Stays(batch.into())),
            None => {
                let records: Result<Vec<_>, _> = RawRecords::new(header, &batch[HEADER_BYTES..]).collect();
                let horizon = self.now_ms.saturating_add(self.settings.delete_retention_ms);
                let records = records.map_err(io::Error::other)?;
                let rebuilt =
                    acme_records::rebuild(header, &records, (Compression::None, None), Some(horizon));
                Ok(Fate::Stays(rebuilt.map_err(io::Error::other)?.into()))
            }
        }
    }
}
