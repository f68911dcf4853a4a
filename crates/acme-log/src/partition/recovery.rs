//! What a partition is after a crash, or after an orderly end.
//!
//! The rules. What lies below the recovery point was acknowledged perhaps: if anything there is not as it was written, the partition
//! is offline, and nothing is changed. Above it batches are accepted one after the other, each at exactly the next offset, whole and
//! with its checksum; where that ends, the file is cut, and whatever lies behind is removed, durably, before anything new is
//! written. New batches go to a new segment (`Partition::place`), so that nothing of an earlier life can ever follow them.

use crate::checkpoint::Point;
use crate::options::Mistake;
use crate::producers::Producers;
use crate::scan::{Scan, Stop};
use crate::segment::{self, Segment, base_of, file_name};
use crate::shared::Shared;
use crate::{Damage, Settings, format, snapshot};
use acme_records::BatchHeader;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// What there is.
pub(crate) struct Found {
    /// Never empty.
    pub(crate) segments: Vec<Arc<Segment>>,
    pub(crate) producers: Producers,
    pub(crate) end: i64,
    pub(crate) log_start: i64,
    pub(crate) last_epoch: i32,
}

/// Why it is not found.
pub(crate) enum Lost {
    /// It is offline.
    Damage(Damage),
    /// The disk refuses.
    Disk(io::Error),
}

impl From<io::Error> for Lost {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

fn damage(file: impl Into<std::path::PathBuf>, at: u64, reason: impl Into<String>) -> Lost {
    Lost::Damage(Damage { file: file.into(), at, reason: reason.into() })
}

/// One recovery.
struct Recovery<'a> {
    shared: &'a Arc<Shared>,
    dir: &'a Arc<Path>,
    point: Point,
    index_interval: u64,
    /// The next offset.
    expected: i64,
    last_epoch: i32,
    segments: Vec<Arc<Segment>>,
}

/// Finds out what a partition is. After an orderly end every segment is sealed, and nothing is read.
pub(crate) fn recover(
    shared: &Arc<Shared>,
    dir: &Arc<Path>,
    settings: &Settings,
    point: Option<Point>,
) -> Result<Found, Lost> {
    let disk = &*shared.options.disk;
    disk.create_dir(dir)?;
    let names = swapped(disk, dir)?;
    for name in names.iter().filter(|name| [".tmp", ".cleaned", ".spare"].iter().any(|it| name.ends_with(it)))
    {
        disk.remove(&dir.join(name))?;
    }
    let point = point.unwrap_or(Point { recovery_point: 0, epoch: -1, log_start: 0 });
    let mut bases: Vec<i64> = names.iter().filter_map(|name| base_of(name, "log")).collect();
    bases.sort_unstable();
    let index_interval = settings.index_interval_bytes;
    let mut recovery =
        Recovery { shared, dir, point, index_interval, expected: 0, last_epoch: -1, segments: Vec::new() };
    let bases = recovery.live(&bases)?;
    recovery.expected = bases.first().copied().unwrap_or(point.log_start);
    let scanned = recovery.segments(&bases)?;
    let producers = recovery.producers(scanned)?;
    let Recovery { expected: end, mut segments, last_epoch, .. } = recovery;
    if segments.is_empty() {
        let segment = Segment::new(&shared.files, dir, end);
        segment.create()?;
        disk.sync_dir(dir)?;
        segments.push(Arc::new(segment));
    }
    Ok(Found { segments, producers, end, log_start: point.log_start, last_epoch })
}

/// Completes what compaction was about to replace; the names after that.
fn swapped(disk: &dyn crate::LogDisk, dir: &Path) -> Result<Vec<String>, Lost> {
    let names = disk.list(dir)?;
    let bases: Vec<i64> = names.iter().filter_map(|name| base_of(name, "sum.swap")).collect();
    for base in &bases {
        segment::swap(disk, dir, *base, &names).map_err(|error| match error {
            format::Unreadable::Disk(error) => Lost::Disk(error),
            format::Unreadable::Missing => Lost::Disk(io::ErrorKind::NotFound.into()),
            format::Unreadable::Damaged(reason) => damage(dir.join(file_name(*base, "sum.swap")), 0, reason),
        })?;
    }
    if bases.is_empty() { Ok(names) } else { Ok(disk.list(dir)?) }
}

impl Found {
    /// For a partition that is offline: nothing is read from it.
    pub(crate) fn nothing(shared: &Arc<Shared>, dir: &Arc<Path>) -> Self {
        let segments = vec![Arc::new(Segment::new(&shared.files, dir, 0))];
        Self { segments, producers: Producers::default(), end: 0, log_start: 0, last_epoch: -1 }
    }
}

impl Recovery<'_> {
    /// The segments that are not wholly before the log's start. A missing one is damage.
    fn live(&self, bases: &[i64]) -> Result<Vec<i64>, Lost> {
        let disk = &*self.shared.options.disk;
        let start = self.point.log_start;
        // A segment ends where the next one begins.
        // What they tell of producers is in a snapshot, if their removal had begun.
        let known = snapshot::latest(disk, self.dir, i64::MAX)?.map_or(0, |(offset, _)| offset);
        let dead = bases.iter().skip(1).take_while(|next| **next <= start.min(known)).count();
        for base in &bases[..dead] {
            // Its removal was under way.
            let segment = Segment::new(&self.shared.files, self.dir, *base);
            segment.remove()?;
        }
        if dead > 0 {
            disk.sync_dir(self.dir)?;
        }
        let live = bases[dead..].to_vec();
        let missing = match live.first() {
            Some(first) => *first > start,
            None => start < self.point.recovery_point,
        };
        if missing {
            let file = self.dir.join(file_name(start, "log"));
            let reason = format!("no segment holds offset {start}, with which the log begins");
            return Err(damage(file, 0, reason));
        }
        Ok(live)
    }

    /// Takes in segment after segment; returns the base of the first one that was read.
    fn segments(&mut self, bases: &[i64]) -> Result<Option<i64>, Lost> {
        let mut scanned = None;
        for (number, base) in bases.iter().enumerate() {
            if *base != self.expected {
                // Between two segments something is missing, or this one belongs to what was cut off.
                if self.expected < self.point.recovery_point {
                    let file = self.dir.join(file_name(*base, "log"));
                    let reason = format!("offset {} should follow, but it begins with {base}", self.expected);
                    return Err(damage(file, 0, reason));
                }
                self.remove(&bases[number..])?;
                break;
            }
            let gaps = match Segment::sealed(&self.shared.files, self.dir, *base) {
                Ok(segment) => {
                    self.take(segment)?;
                    continue;
                }
                Err(format::Unreadable::Disk(error)) => return Err(error.into()),
                Err(format::Unreadable::Missing) => false,
                // It was sealed, so it was synced; and perhaps compaction has written it.
                Err(format::Unreadable::Damaged(_)) => true,
            };
            scanned.get_or_insert(*base);
            let next = bases.get(number + 1).copied();
            let whole = self.scan(*base, next, gaps)?;
            if !whole {
                self.remove(&bases[number + 1..])?;
                break;
            }
        }
        if scanned.is_some() {
            // A name too may be in memory only.
            self.shared.options.disk.sync_dir(self.dir)?;
        }
        if self.expected < self.point.recovery_point && !self.shared.options.makes(Mistake::CutAnywhere) {
            let file = self.segments.last().map_or_else(|| self.dir.to_path_buf(), |it| it.path().to_owned());
            let at = self.segments.last().map_or(0, |it| it.bytes());
            let reason = format!(
                "the log ends at offset {}, though it was synced to {}",
                self.expected, self.point.recovery_point
            );
            return Err(damage(file, at, reason));
        }
        Ok(scanned)
    }

    /// Takes a sealed segment in: its summary was written after all of it was synced. Its bytes are verified in the background.
    fn take(&mut self, segment: Segment) -> Result<(), Lost> {
        let (length, facts) = (segment.file()?.len()?, segment.facts());
        if length != facts.bytes {
            let reason = format!("it has {length} bytes, and was sealed with {}", facts.bytes);
            return Err(damage(segment.path(), length.min(facts.bytes), reason));
        }
        self.expected = facts.next_offset;
        self.last_epoch = facts.epochs.last().map_or(self.last_epoch, |it| it.0);
        self.segments.push(Arc::new(segment));
        Ok(())
    }

    /// Reads a segment; cuts it where it ends. True if the next segment continues it.
    ///
    /// `gaps`: compaction may have written it.
    fn scan(&mut self, base: i64, next: Option<i64>, gaps: bool) -> Result<bool, Lost> {
        let segment = Arc::new(Segment::new(&self.shared.files, self.dir, base));
        let file = segment.file()?;
        let length = file.len()?;
        let mut scan = Scan::new(file.clone(), 0, length);
        let mut epoch = None;
        let contains_point =
            base < self.point.recovery_point && next.is_none_or(|next| next >= self.point.recovery_point);
        if contains_point && !gaps {
            epoch = Some(self.point.epoch);
        }
        let (mut at, mut reason) = (0, "the segment ends here".to_owned());
        loop {
            let accepted = match scan.next() {
                Ok(None) => break,
                Ok(Some((_, header, batch))) => {
                    self.accept(base, &header, batch, epoch, gaps).map(|()| (header, batch))
                }
                Err(Stop::Disk(error)) => return Err(error.into()),
                Err(stop) => Err(stop.reason()),
            };
            match accepted {
                Ok((header, batch)) => {
                    epoch = (!gaps).then_some(header.leader_epoch);
                    self.last_epoch = header.leader_epoch;
                    self.expected = header.next_offset();
                    at += batch.len() as u64;
                    segment.appended(&header, batch, self.index_interval);
                }
                Err(why) => {
                    reason = why;
                    break;
                }
            }
        }
        if gaps
            && at == length
            && let Some(next) = next.filter(|next| *next >= self.expected)
        {
            // What is missing at its end was compacted away.
            self.expected = next;
            segment.set_compacted(next);
        }
        let bounded = !self.shared.options.makes(Mistake::CutAnywhere);
        if bounded && self.expected < self.point.recovery_point && next != Some(self.expected) {
            return Err(damage(segment.path(), at, reason));
        }
        self.shared.passed("log.read");
        if at < length && !self.shared.options.makes(Mistake::NoCut) {
            file.truncate(at)?;
            self.shared.passed("log.cut");
        }
        // What was found may lie in memory only, if it was the process that died and not the machine.
        file.sync()?;
        self.segments.push(segment);
        Ok(next == Some(self.expected))
    }

    /// Whether a batch is what must follow.
    fn accept(
        &self,
        base: i64,
        header: &BatchHeader,
        batch: &[u8],
        epoch: Option<i32>,
        gaps: bool,
    ) -> Result<(), String> {
        let (found, expected) = (header.base_offset, self.expected);
        let any = self.shared.options.makes(Mistake::AnyOffset);
        if found != expected && !(gaps && found > expected) && !any {
            return Err(format!("a batch has offset {found}, where {expected} should follow"));
        }
        if header.last_offset().saturating_sub(base) > i64::from(i32::MAX) {
            return Err(format!(
                "a batch has offset {found}, too far from the segment's beginning at {base}"
            ));
        }
        let leader_epoch = header.leader_epoch;
        let fits = leader_epoch >= self.last_epoch
            && (leader_epoch < self.shared.epoch || self.shared.options.makes(Mistake::SameEpoch));
        let fits = fits && epoch.is_none_or(|epoch| epoch == leader_epoch);
        if !fits && !self.shared.options.makes(Mistake::NoCut) {
            return Err(format!("a batch has leader epoch {leader_epoch}, which does not belong there"));
        }
        if self.shared.options.makes(Mistake::NoChecksum) {
            return Ok(());
        }
        acme_records::verify(batch).map_err(|fault| format!("a batch cannot be read: {fault}"))
    }

    /// Removes the segments behind the end, durably.
    fn remove(&self, bases: &[i64]) -> io::Result<()> {
        for base in bases {
            Segment::new(&self.shared.files, self.dir, *base).remove()?;
        }
        self.shared.options.disk.sync_dir(self.dir)
    }

    /// The producers: the newest snapshot, and what was appended since.
    fn producers(&self, scanned: Option<i64>) -> Result<Producers, Lost> {
        let disk = &*self.shared.options.disk;
        snapshot::remove_above(disk, self.dir, self.expected)?;
        let (newest, mut producers) = snapshot::latest(disk, self.dir, self.expected)?.unwrap_or_default();
        if let Some(scanned) = scanned.filter(|base| *base < newest) {
            // A snapshot is written when all before it is synced, so the newest one tells the state. But what was read lies
            // before it and has no index of aborted transactions: that takes an older state, or that of the first batch there is.
            let (from, mut older) = snapshot::latest(disk, self.dir, scanned)?.unwrap_or_default();
            self.replay(&mut older, from, true)?;
            self.replay(&mut producers, newest, false)?;
        } else {
            self.replay(&mut producers, newest, true)?;
        }
        Ok(producers)
    }

    /// Takes in the batches from an offset on. `index`: aborted transactions become known to the segments that are not sealed.
    fn replay(&self, producers: &mut Producers, from: i64, index: bool) -> Result<(), Lost> {
        for segment in self.segments.iter().filter(|it| it.bytes() > 0 && it.next_offset() > from) {
            let mut scan = Scan::new(segment.file()?, 0, segment.bytes());
            loop {
                let (_, header, bytes) = match scan.next() {
                    Ok(None) => break,
                    Ok(Some(batch)) => batch,
                    Err(Stop::Disk(error)) => return Err(error.into()),
                    Err(stop) => return Err(damage(segment.path(), scan.at, stop.reason())),
                };
                if header.base_offset < from {
                    continue;
                }
                producers.appended(&header);
                let marker =
                    header.is_control().then(|| acme_records::marker_of(bytes).ok().flatten()).flatten();
                let Some((commit, coordinator_epoch)) = marker else { continue };
                let range = producers.ended(&header, commit, coordinator_epoch);
                if let Some(range) = range.filter(|_| index && !segment.is_sealed()) {
                    segment.add_aborted(range);
                }
            }
        }
        Ok(())
    }
}
