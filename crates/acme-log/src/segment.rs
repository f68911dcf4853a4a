//! One segment: a file of batches, its indexes, and what is known of it without reading it.

use crate::disk::LogFile;
use crate::files::{Files, Slot, lock};
use crate::format::{self, Mark, Reader, Unreadable};
use crate::index::{self, Index};
use crate::producers::AbortedRange;
use acme_records::BatchHeader;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// What lies beside the batches once a segment is sealed.
const SUMMARY: Mark = Mark(b"ASUM", 1);
/// What is known of a segment's batches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Bytes of its batches; the file may have more while it is written.
    pub(crate) bytes: u64,
    /// The offset after its last batch.
    pub(crate) next_offset: i64,
    /// Checksum of all its bytes.
    pub(crate) crc: u32,
    /// The largest time, -1 for none, and the last offset of the batch that has it.
    pub(crate) max_timestamp: (i64, i64),
    /// The largest time of the first batch, which `segment.ms` counts from; -1 for none.
    pub(crate) first_timestamp: i64,
    /// Leader epochs with their first offsets.
    pub(crate) epochs: Vec<(i32, i64)>,
    /// Whether compaction has written it: its offsets have gaps.
    pub(crate) compacted: bool,
}

impl Facts {
    pub(crate) fn new(base: i64) -> Self {
        Self {
            bytes: 0,
            next_offset: base,
            crc: 0,
            max_timestamp: (-1, base),
            first_timestamp: -1,
            epochs: Vec::new(),
            compacted: false,
        }
    }

    /// Takes a batch in that was appended.
    pub(crate) fn appended(&mut self, header: &BatchHeader, batch: &[u8]) {
        if header.max_timestamp > self.max_timestamp.0 {
            self.max_timestamp = (header.max_timestamp, header.last_offset());
        }
        if self.bytes == 0 {
            self.first_timestamp = header.max_timestamp;
        }
        if self.epochs.last().is_none_or(|(epoch, _)| *epoch != header.leader_epoch) {
            self.epochs.push((header.leader_epoch, header.base_offset));
        }
        // 24 GB/s of bytes that are in the cache anyway: combining checksums is not quicker.
        self.crc = crc32c::crc32c_append(self.crc, batch);
        self.bytes += batch.len() as u64;
        self.next_offset = header.next_offset();
    }
}

/// A segment. Its state changes under the partition's lock for writing; readers take what they need at once.
pub(crate) struct Segment {
    pub(crate) base: i64,
    /// Unlike that of any other segment of this process, also of one that it replaces.
    pub(crate) serial: u64,
    dir: Arc<Path>,
    files: Arc<Files>,
    slot: Arc<Slot>,
    index_slot: Arc<Slot>,
    state: Mutex<State>,
}

struct State {
    facts: Facts,
    /// In memory until it is sealed.
    index: Option<Index>,
    aborted: Arc<Vec<AbortedRange>>,
}

/// The name of a segment's file: offset with 20 digits, as Kafka's.
pub(crate) fn file_name(base: i64, extension: &str) -> String {
    format!("{base:020}.{extension}")
}

/// The offset in the name of a segment's file.
pub(crate) fn base_of(name: &str, extension: &str) -> Option<i64> {
    let digits = name.strip_suffix(extension)?.strip_suffix('.')?;
    digits.parse().ok().filter(|_| digits.len() == 20)
}

impl Segment {
    /// A segment without batches yet, or whose batches are taken in one by one.
    pub(crate) fn new(files: &Arc<Files>, dir: &Arc<Path>, base: i64) -> Self {
        Self::with(files, dir, base, Facts::new(base), Some(Index::default()), Vec::new())
    }

    fn with(
        files: &Arc<Files>,
        dir: &Arc<Path>,
        base: i64,
        facts: Facts,
        index: Option<Index>,
        aborted: Vec<AbortedRange>,
    ) -> Self {
        let path = |extension| dir.join(file_name(base, extension));
        static SERIAL: AtomicU64 = AtomicU64::new(0);
        Self {
            base,
            serial: SERIAL.fetch_add(1, Ordering::Relaxed),
            dir: dir.clone(),
            files: files.clone(),
            slot: files.slot(path("log")),
            index_slot: files.slot(path("index")),
            state: Mutex::new(State { facts, index, aborted: Arc::new(aborted) }),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.slot.path()
    }

    pub(crate) fn sibling(&self, extension: &str) -> PathBuf {
        self.dir.join(file_name(self.base, extension))
    }

    pub(crate) fn file(&self) -> io::Result<Arc<dyn LogFile>> {
        self.files.get(&self.slot)
    }

    /// Makes its file, empty.
    pub(crate) fn create(&self) -> io::Result<Arc<dyn LogFile>> {
        let file = self.files.disk.open(self.path(), true)?;
        self.files.put(&self.slot, file.clone());
        Ok(file)
    }

    pub(crate) fn facts(&self) -> Facts {
        lock(&self.state).facts.clone()
    }

    pub(crate) fn bytes(&self) -> u64 {
        lock(&self.state).facts.bytes
    }

    /// Bytes, the time it began with, and the leader epoch of its last batch: what decides whether it gets another.
    pub(crate) fn fill(&self) -> (u64, i64, Option<i32>) {
        let facts = &lock(&self.state).facts;
        (facts.bytes, facts.first_timestamp, facts.epochs.last().map(|(epoch, _)| *epoch))
    }

    pub(crate) fn next_offset(&self) -> i64 {
        lock(&self.state).facts.next_offset
    }

    pub(crate) fn max_timestamp(&self) -> (i64, i64) {
        lock(&self.state).facts.max_timestamp
    }

    pub(crate) fn is_sealed(&self) -> bool {
        lock(&self.state).index.is_none()
    }

    pub(crate) fn aborted(&self) -> Arc<Vec<AbortedRange>> {
        lock(&self.state).aborted.clone()
    }

    /// A batch that lies at the end of the file now.
    pub(crate) fn appended(&self, header: &BatchHeader, batch: &[u8], index_interval: u64) {
        let mut state = lock(&self.state);
        let position = u32::try_from(state.facts.bytes).expect("a segment is below 4 GiB");
        state.facts.appended(header, batch);
        let relative = |offset: i64| u32::try_from(offset - self.base).expect("a roll keeps it below 2^32");
        let (time, time_offset) = state.facts.max_timestamp;
        let at = (relative(header.last_offset()), position);
        let index = state.index.as_mut().expect("a segment that is written has its index in memory");
        index.appended(at, batch.len() as u64, (time, relative(time_offset)), index_interval);
    }

    pub(crate) fn add_aborted(&self, range: AbortedRange) {
        Arc::make_mut(&mut lock(&self.state).aborted).push(range);
    }

    /// Says that its offsets have gaps, and reach to another segment's base.
    pub(crate) fn set_compacted(&self, next_offset: i64) {
        let mut state = lock(&self.state);
        state.facts.compacted = true;
        state.facts.next_offset = next_offset;
    }

    /// A position at or before the batch that holds an offset.
    pub(crate) fn floor(&self, offset: i64) -> io::Result<u64> {
        let relative = u32::try_from((offset - self.base).max(0)).unwrap_or(u32::MAX);
        let position = lock(&self.state).index.as_ref().map(|index| index.floor(relative));
        let position = match position {
            Some(position) => position,
            // Without its index a segment is walked from the front.
            None => match self.files.get(&self.index_slot) {
                Ok(file) => index::floor(&*file, relative)?,
                Err(_) => 0,
            },
        };
        self.trusted(u64::from(position), offset)
    }

    /// The position, if a batch of this segment begins there that is not beyond the offset; else the front.
    fn trusted(&self, position: u64, offset: i64) -> io::Result<u64> {
        if position == 0 {
            return Ok(0);
        }
        let mut front = [0; acme_records::HEADER_BYTES];
        let filled = self.file()?.read_at(&mut front, position)?;
        let header = BatchHeader::parse(&front[..filled]).ok().flatten();
        let bytes = self.bytes();
        let fits = header.is_some_and(|it| {
            it.base_offset >= self.base && it.base_offset <= offset && position + it.bytes as u64 <= bytes
        });
        Ok(if fits { position } else { 0 })
    }

    /// An offset from which on to look for a record of at least this time.
    pub(crate) fn floor_of_time(&self, time: i64) -> io::Result<i64> {
        if let Some(index) = &lock(&self.state).index {
            return Ok(self.base + i64::from(index.floor_of_time(time)));
        }
        let file = self.files.disk.open(&self.sibling("timeindex"), false);
        Ok(self.base + file.map_or(Ok(0), |file| index::floor_of_time(&*file, time)).map(i64::from)?)
    }

    /// Writes indexes and summary beside it; the file of batches is cut to what it holds. It gets no more batches.
    ///
    /// The batches must be synced before. After a crash within, the next start does it again.
    pub(crate) fn seal(&self) -> io::Result<()> {
        let disk = &*self.files.disk;
        let (facts, index, aborted) = {
            let state = lock(&self.state);
            let Some(index) = state.index.clone() else { return Ok(()) };
            (state.facts.clone(), index, state.aborted.clone())
        };
        let file = self.file()?;
        if file.len()? != facts.bytes {
            file.truncate(facts.bytes)?;
            file.sync()?;
        }
        let beside = self.beside(&facts, index, &aborted);
        for (extension, content) in &beside.files {
            if *extension == "txnindex" && content.is_empty() {
                // There may be one from before a crash.
                let _ = disk.remove(&self.sibling(extension));
            } else {
                crate::disk::replace(disk, &self.sibling(extension), content)?;
            }
        }
        // The summary vouches for them.
        disk.sync_dir(&self.dir)?;
        format::write(disk, &self.sibling("sum"), SUMMARY, &beside.summary)?;
        disk.sync_dir(&self.dir)?;
        lock(&self.state).index = None;
        Ok(())
    }

    /// The content of what lies beside the batches.
    fn beside(&self, facts: &Facts, mut index: Index, aborted: &[AbortedRange]) -> Beside {
        let (time, time_offset) = facts.max_timestamp;
        if facts.bytes > 0 {
            index.finish(time, u32::try_from(time_offset - self.base).expect("a roll keeps it below 2^32"));
        }
        let (offsets, times) = index.encode();
        let aborted = encode_aborted(aborted);
        let crcs = [&offsets, &times, &aborted].map(|content| crc32c::crc32c(content));
        let summary = encode_summary(self.base, facts, crcs);
        Beside { files: [("index", offsets), ("timeindex", times), ("txnindex", aborted)], summary }
    }

    /// Writes what lies beside a segment that compaction has made, under names that a restart knows; the last one, `sum.swap`, says
    /// that all of it is there. It counts as sealed from then on.
    pub(crate) fn seal_cleaned(&self) -> io::Result<()> {
        let disk = &*self.files.disk;
        let (facts, index, aborted) = {
            let state = lock(&self.state);
            let index = state.index.clone().expect("it was not sealed");
            (state.facts.clone(), index, state.aborted.clone())
        };
        let beside = self.beside(&facts, index, &aborted);
        for (extension, content) in &beside.files {
            crate::disk::replace(disk, &self.sibling(&format!("{extension}.cleaned")), content)?;
        }
        format::write(disk, &self.sibling("sum.cleaned"), SUMMARY, &beside.summary)?;
        disk.sync_dir(&self.dir)?;
        disk.rename(&self.sibling("sum.cleaned"), &self.sibling("sum.swap"))?;
        lock(&self.state).index = None;
        Ok(())
    }

    /// Keeps its files as they are now, whatever gets their names: for who reads it still when compaction has replaced it.
    pub(crate) fn pin(&self) -> io::Result<()> {
        self.files.get(&self.slot)?;
        self.slot.pin();
        if self.files.get(&self.index_slot).is_ok() {
            self.index_slot.pin();
        }
        Ok(())
    }

    /// The segment as its summary tells it, without reading its batches.
    pub(crate) fn sealed(files: &Arc<Files>, dir: &Arc<Path>, base: i64) -> Result<Self, Unreadable> {
        let damaged = |reason| Unreadable::Damaged(reason);
        let disk = &*files.disk;
        let content = format::read(disk, &dir.join(file_name(base, "sum")), SUMMARY)?;
        let (facts, crcs) = decode_summary(base, &content).ok_or(damaged("it is malformed"))?;
        let aborted = crate::disk::read(disk, &dir.join(file_name(base, "txnindex")));
        let aborted = aborted.map_err(Unreadable::Disk)?.unwrap_or_default();
        if crc32c::crc32c(&aborted) != crcs[2] {
            return Err(damaged("its index of aborted transactions is not the one it was sealed with"));
        }
        let aborted =
            decode_aborted(&aborted).ok_or(damaged("its index of aborted transactions is malformed"))?;
        Ok(Self::with(files, dir, base, facts, None, aborted))
    }

    /// Reads all of a sealed segment and its indexes; the first thing that is not as it was sealed.
    pub(crate) fn verify(&self) -> io::Result<Option<(PathBuf, &'static str)>> {
        const PIECE: u64 = 1 << 20;
        let facts = self.facts();
        let file = self.file()?;
        let (mut crc, mut at) = (0, 0);
        let mut piece = vec![0; usize::try_from(PIECE.min(facts.bytes)).expect("small")];
        while at < facts.bytes {
            let length = usize::try_from(PIECE.min(facts.bytes - at)).expect("small");
            let filled = file.read_at(&mut piece[..length], at)?;
            if filled < length {
                return Ok(Some((self.path().to_owned(), "it has become shorter")));
            }
            crc = crc32c::crc32c_append(crc, &piece[..length]);
            at += length as u64;
        }
        if crc != facts.crc {
            return Ok(Some((self.path().to_owned(), "its checksum is not the one it was sealed with")));
        }
        let disk = &*self.files.disk;
        let sum = self.sibling("sum");
        let crcs = match format::read(disk, &sum, SUMMARY) {
            Ok(content) => decode_summary(self.base, &content).map(|(_, crcs)| crcs),
            Err(Unreadable::Disk(error)) => return Err(error),
            Err(_) => None,
        };
        let Some(crcs) = crcs else { return Ok(Some((sum, "it cannot be read"))) };
        for (extension, expected) in [("index", crcs[0]), ("timeindex", crcs[1]), ("txnindex", crcs[2])] {
            let path = self.sibling(extension);
            let content = crate::disk::read(disk, &path)?.unwrap_or_default();
            if crc32c::crc32c(&content) != expected {
                return Ok(Some((path, "its checksum is not the one it was sealed with")));
            }
        }
        Ok(None)
    }

    /// Removes its files. Not durable before the directory is synced.
    pub(crate) fn remove(&self) -> io::Result<()> {
        self.files.disk.remove(self.path())?;
        self.remove_siblings();
        Ok(())
    }

    /// Removes what lies beside the batches, as far as it is there.
    pub(crate) fn remove_siblings(&self) {
        for extension in ["index", "timeindex", "txnindex", "sum"] {
            let _ = self.files.disk.remove(&self.sibling(extension));
        }
    }
}

/// What lies beside a segment.
struct Beside {
    files: [(&'static str, Vec<u8>); 3],
    summary: Vec<u8>,
}

/// Completes the replacement of segments by the one that compaction has made of them: it may be anywhere in it.
///
/// `names` are those in the directory.
pub(crate) fn swap(
    disk: &dyn crate::LogDisk,
    dir: &Path,
    base: i64,
    names: &[String],
) -> Result<(), Unreadable> {
    let path = |base, extension: &str| dir.join(file_name(base, extension));
    let summary = format::read(disk, &path(base, "sum.swap"), SUMMARY)?;
    let (facts, _) = decode_summary(base, &summary).ok_or(Unreadable::Damaged("it is malformed"))?;
    let swap = || {
        disk.sync_dir(dir)?;
        for extension in ["log", "index", "timeindex", "txnindex"] {
            let cleaned = format!("{extension}.cleaned");
            if names.contains(&file_name(base, &cleaned)) {
                disk.rename(&path(base, &cleaned), &path(base, extension))?;
            }
        }
        for name in names {
            let (digits, extension) = name.split_once('.').unwrap_or_default();
            let inside = base_of(name, extension).is_some_and(|it| it > base && it < facts.next_offset);
            if inside && digits.len() == 20 && extension != "snapshot" {
                disk.remove(&dir.join(name))?;
            }
        }
        disk.sync_dir(dir)?;
        disk.rename(&path(base, "sum.swap"), &path(base, "sum"))?;
        disk.sync_dir(dir)
    };
    swap().map_err(Unreadable::Disk)
}

fn encode_summary(base: i64, facts: &Facts, crcs: [u32; 3]) -> Vec<u8> {
    let mut out = Vec::with_capacity(96);
    out.push(u8::from(facts.compacted));
    out.extend_from_slice(&base.to_be_bytes());
    out.extend_from_slice(&facts.next_offset.to_be_bytes());
    out.extend_from_slice(&facts.bytes.to_be_bytes());
    out.extend_from_slice(&facts.crc.to_be_bytes());
    out.extend_from_slice(&facts.max_timestamp.0.to_be_bytes());
    out.extend_from_slice(&facts.max_timestamp.1.to_be_bytes());
    out.extend_from_slice(&facts.first_timestamp.to_be_bytes());
    crcs.iter().for_each(|crc| out.extend_from_slice(&crc.to_be_bytes()));
    out.extend_from_slice(&(facts.epochs.len() as u32).to_be_bytes());
    for (epoch, first) in &facts.epochs {
        out.extend_from_slice(&epoch.to_be_bytes());
        out.extend_from_slice(&first.to_be_bytes());
    }
    out
}

fn decode_summary(base: i64, content: &[u8]) -> Option<(Facts, [u32; 3])> {
    let mut reader = Reader(content);
    let compacted = reader.u8()? != 0;
    if reader.i64()? != base {
        return None;
    }
    let (next_offset, bytes, crc) = (reader.i64()?, reader.u64()?, reader.u32()?);
    let max_timestamp = (reader.i64()?, reader.i64()?);
    let first_timestamp = reader.i64()?;
    let crcs = [reader.u32()?, reader.u32()?, reader.u32()?];
    let mut epochs = Vec::new();
    for _ in 0..reader.u32()? {
        epochs.push((reader.i32()?, reader.i64()?));
    }
    let facts = Facts { bytes, next_offset, crc, max_timestamp, first_timestamp, epochs, compacted };
    reader.0.is_empty().then_some((facts, crcs))
}

/// Kafka's own layout: version, producer, first offset, last offset, last stable offset.
fn encode_aborted(ranges: &[AbortedRange]) -> Vec<u8> {
    let mut out = Vec::with_capacity(ranges.len() * 34);
    for range in ranges {
        out.extend_from_slice(&0_i16.to_be_bytes());
        out.extend_from_slice(&range.producer_id.to_be_bytes());
        out.extend_from_slice(&range.first_offset.to_be_bytes());
        out.extend_from_slice(&range.last_offset.to_be_bytes());
        out.extend_from_slice(&range.last_stable.to_be_bytes());
    }
    out
}

fn decode_aborted(content: &[u8]) -> Option<Vec<AbortedRange>> {
    let mut reader = Reader(content);
    let mut ranges = Vec::new();
    while !reader.0.is_empty() {
        reader.i16()?;
        ranges.push(AbortedRange {
            producer_id: reader.i64()?,
            first_offset: reader.i64()?,
            last_offset: reader.i64()?,
            last_stable: reader.i64()?,
        });
    }
    Some(ranges)
}
