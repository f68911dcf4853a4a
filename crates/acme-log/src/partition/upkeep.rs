//! What is done to a partition now and then: sealing, retention, deletion, checks.

use super::{Partition, Sealing};
use crate::checkpoint::Point;
use crate::disk::LogDisk;
use crate::files::lock;
use crate::options::Mistake;
use crate::segment::Segment;
use crate::{Damage, ReadError, Settings, snapshot};
use std::io;
use std::sync::Arc;

/// `producer.id.expiration.ms`, Kafka's default.
const PRODUCER_EXPIRY_MS: i64 = 86_400_000;

/// A last segment with so many bytes is sealed at the end of a life: below, the next start reads it quicker than some files
/// can be synced.
const SEAL_FROM: u64 = 8 << 20;

/// What the housekeeping remembers of a partition.
#[derive(Debug, Default)]
pub(crate) struct Upkeep {
    /// Serials of segments whose bytes were verified in this life.
    verified: std::collections::BTreeSet<u64>,
}

impl Partition {
    /// Segments that a restart has found and that get no more batches are sealed like others.
    pub(super) fn seal_found(&self) {
        let mut head = lock(&self.head);
        if head.closed || self.shared.options.makes(Mistake::NoCut) {
            return;
        }
        let segments = self.segments();
        let last = segments.last().expect("there is always a segment").serial;
        let due = |it: &&Arc<Segment>| !it.is_sealed() && (it.serial != last || it.bytes() >= SEAL_FROM);
        for segment in segments.iter().filter(due) {
            let end = segment.next_offset();
            head.sealing.push(Sealing { segment: segment.clone(), end, producers: None });
        }
        let (end, producers) = (head.end, head.producers.encode());
        if let Some(sealing) = head.sealing.last_mut() {
            // All that was found is synced: the state at its end stands for that at the end of each of them.
            (sealing.end, sealing.producers) = (end, Some(producers));
        }
    }

    /// Everything that is due. Blocks; called by one thread at a time.
    pub(crate) fn housekeep(&self) {
        if self.marks().closed {
            return;
        }
        let settings = self.settings();
        // What the disk refuses is tried again the next time.
        let _ = self.seal();
        let _ = self.clear();
        if settings.delete {
            let _ = self.retain(&settings);
        }
        let now_ms = self.shared.now_ms();
        lock(&self.head).producers.expire(now_ms.saturating_sub(PRODUCER_EXPIRY_MS));
        if settings.compact {
            let _ = self.compact(&settings, now_ms);
        }
        let _ = self.verify_one();
    }

    /// Seals the segments that get no more batches and are synced.
    pub(crate) fn seal(&self) -> io::Result<()> {
        let _upkeep = lock(&self.upkeep);
        self.seal_synced()
    }

    fn seal_synced(&self) -> io::Result<()> {
        let mut due: Vec<Sealing> = {
            let mut head = lock(&self.head);
            let synced = head.synced;
            let (due, later) = std::mem::take(&mut head.sealing).into_iter().partition(|it| it.end <= synced);
            head.sealing = later;
            due
        };
        // Only the newest states are kept, and the last one alone would do.
        let older = due.len().saturating_sub(snapshot::KEPT);
        due.iter_mut().take(older).for_each(|sealing| sealing.producers = None);
        let mut due = due.into_iter();
        while let Some(sealing) = due.next() {
            let sealed = self.seal_one(&sealing);
            if let Err(error) = sealed {
                let mut head = lock(&self.head);
                head.sealing.push(sealing);
                head.sealing.extend(due);
                return Err(error);
            }
        }
        Ok(())
    }

    fn seal_one(&self, sealing: &Sealing) -> io::Result<()> {
        if let Some(producers) = &sealing.producers {
            snapshot::write(self.disk(), &self.dir, sealing.end, producers)?;
            self.disk().sync_dir(&self.dir)?;
        }
        self.shared.passed("log.seal");
        sealing.segment.seal()
    }

    /// Before the end of a life: everything synced and sealed.
    pub(crate) fn finish(&self) -> io::Result<()> {
        self.sync();
        {
            let mut head = lock(&self.head);
            if head.closed {
                return Ok(());
            }
            head.closed = true;
            let last = self.segments().last().expect("there is always a segment").clone();
            if !last.is_sealed() && last.bytes() >= SEAL_FROM {
                let producers = Some(head.producers.encode());
                let end = head.end;
                head.sealing.push(Sealing { segment: last, end, producers });
            }
        }
        // Between the two somebody may have appended.
        self.sync();
        let sealed = self.seal();
        self.stop();
        sealed
    }

    /// What is known for certain, for the file of recovery points.
    pub(crate) fn point(&self) -> Option<Point> {
        if self.damage().is_some() {
            return None;
        }
        Some(*lock(&self.point))
    }

    pub(crate) fn key(&self) -> crate::checkpoint::Key {
        (self.id.as_u128(), self.number)
    }

    /// Deletes what lies below an offset (DeleteRecords); -1: below the high watermark. Durable when it returns. Returns the new
    /// log start.
    pub fn delete_before(&self, offset: i64) -> Result<i64, ReadError> {
        let _upkeep = lock(&self.upkeep);
        let marks = self.readable()?;
        let offset = if offset == -1 { marks.high_watermark } else { offset };
        if offset < 0 || offset > marks.high_watermark {
            let end = marks.high_watermark;
            return Err(ReadError::OutOfRange { asked: offset, log_start: marks.log_start, end });
        }
        if offset > marks.log_start {
            if marks.synced < offset {
                self.sync();
            }
            self.start_at(offset)?;
            self.remove_dead()?;
        }
        Ok(self.marks().log_start)
    }

    /// Moves the log's start, durably, before anything is removed.
    fn start_at(&self, offset: i64) -> io::Result<()> {
        if self.segments().get(1).is_some_and(|second| second.base <= offset) {
            self.remember_producers()?;
        }
        {
            let mut checkpoint = lock(&self.shared.checkpoint);
            let mut point = *lock(&self.point);
            assert!(point.recovery_point >= offset, "only what is synced is deleted");
            point.log_start = point.log_start.max(offset);
            let before = checkpoint.get(self.key());
            checkpoint.set(self.key(), point);
            if let Err(error) = checkpoint.write(self.disk()) {
                before.into_iter().for_each(|point| checkpoint.set(self.key(), point));
                return Err(error);
            }
            lock(&self.point).log_start = point.log_start;
        }
        self.shared.passed("log.deleted");
        let mut head = lock(&self.head);
        head.log_start = head.log_start.max(offset);
        self.advance(&mut head);
        Ok(())
    }

    /// Removes what a deletion has left before the log's start.
    fn clear(&self) -> io::Result<()> {
        let _upkeep = lock(&self.upkeep);
        let start = self.marks().log_start;
        if self.segments().get(1).is_some_and(|second| second.base <= start) {
            self.remember_producers()?;
            self.remove_dead()?;
        }
        Ok(())
    }

    /// Before batches are removed: what they tell of producers is in a snapshot.
    fn remember_producers(&self) -> io::Result<()> {
        let (end, producers) = {
            let head = lock(&self.head);
            (head.end, head.producers.encode())
        };
        self.sync();
        if self.marks().synced < end {
            return Err(io::Error::other("what was appended could not be synced"));
        }
        snapshot::write(self.disk(), &self.dir, end, &producers)?;
        self.disk().sync_dir(&self.dir)
    }

    /// Removes the segments that lie wholly before the log's start.
    fn remove_dead(&self) -> io::Result<()> {
        let start = self.marks().log_start;
        let mut dead = Vec::new();
        self.change_segments(|segments| {
            let count = segments.iter().skip(1).take_while(|next| next.base <= start).count();
            dead.extend(segments.drain(..count));
        });
        if dead.is_empty() {
            return Ok(());
        }
        {
            let mut head = lock(&self.head);
            head.sealing.retain(|it| dead.iter().all(|segment| segment.serial != it.segment.serial));
            let (mut kept, mut files) = (Vec::new(), Vec::new());
            let dirty = std::mem::take(&mut head.dirty);
            for (segment, file) in dirty.into_iter().zip(std::mem::take(&mut head.dirty_files)) {
                if dead.iter().all(|it| it.serial != segment.serial) {
                    kept.push(segment);
                    files.push(file);
                }
            }
            (head.dirty, head.dirty_files) = (kept, files);
        }
        let mut spare = None;
        for segment in dead {
            // A file that somebody may be reading is not written over.
            match Arc::try_unwrap(segment) {
                Ok(segment) if spare.is_none() && self.wants_spare(&segment) => {
                    let path = segment.sibling("spare");
                    segment.remove_siblings();
                    self.disk().rename(segment.path(), &path)?;
                    spare = Some(path);
                }
                Ok(segment) => segment.remove()?,
                Err(segment) => segment.remove()?,
            }
        }
        // Only when its old name is gone for certain is a file written over.
        self.disk().sync_dir(&self.dir)?;
        if let Some(spare) = spare {
            lock(&self.head).spare = Some(spare);
        }
        Ok(())
    }

    /// Whether a segment's file is worth keeping for the next one: its blocks are there already, so that syncs are quicker.
    fn wants_spare(&self, segment: &Segment) -> bool {
        let head = lock(&self.head);
        head.spare.is_none() && segment.bytes() >= self.settings().segment_bytes / 2
    }

    /// Retention: moves the log's start over the segments that are too old or too many.
    fn retain(&self, settings: &Settings) -> io::Result<()> {
        let _upkeep = lock(&self.upkeep);
        let now_ms = self.shared.now_ms();
        let marks = self.marks();
        let segments = self.segments();
        let mut excess = segments.iter().map(|it| it.bytes()).sum::<u64>();
        let bound = u64::try_from(settings.retention_bytes).ok();
        let mut start = marks.log_start;
        for segment in segments.iter() {
            let bytes = segment.bytes();
            if bytes == 0 || segment.next_offset() > marks.high_watermark.min(marks.synced) {
                break;
            }
            let (newest, _) = segment.max_timestamp();
            let old = settings.retention_ms >= 0 && now_ms.saturating_sub(newest) > settings.retention_ms;
            // As Kafka: a segment goes only if what is left has the size still.
            let many = bound.is_some_and(|bound| excess.saturating_sub(bytes) >= bound);
            if !old && !many {
                break;
            }
            excess -= bytes;
            start = segment.next_offset();
        }
        // Files that nobody holds may be written over.
        drop(segments);
        if start <= marks.log_start {
            return Ok(());
        }
        {
            // The last segment too may be too old: another one takes its place.
            let mut head = lock(&self.head);
            if start == head.end {
                self.roll(&mut head)?;
            }
        }
        self.start_at(start)?;
        self.remove_dead()
    }

    /// Reads one sealed segment that was not verified in this life; takes the partition offline if it is damaged.
    fn verify_one(&self) -> io::Result<()> {
        let mut upkeep = lock(&self.upkeep);
        let segments = self.segments();
        upkeep.verified.retain(|serial| segments.iter().any(|it| it.serial == *serial));
        let next = segments.iter().find(|it| it.is_sealed() && !upkeep.verified.contains(&it.serial));
        let Some(segment) = next else { return Ok(()) };
        self.check(segment)?;
        upkeep.verified.insert(segment.serial);
        Ok(())
    }

    /// Reads a sealed segment; takes the partition offline if it is damaged, and says so.
    pub(super) fn check(&self, segment: &Segment) -> io::Result<()> {
        if let Some((file, reason)) = segment.verify()? {
            let at = crate::scan::first_fault(segment).unwrap_or(0);
            self.fail(Damage { file, at, reason: reason.to_owned() });
            return Err(io::Error::other(reason));
        }
        Ok(())
    }

    /// Removes all of its files; it is closed for ever.
    pub(crate) fn remove(&self) -> io::Result<()> {
        self.stop();
        let _upkeep = lock(&self.upkeep);
        let _syncing = lock(&self.syncing);
        remove_dir(self.disk(), &self.dir)
    }
}

/// Removes a directory with its files.
pub(crate) fn remove_dir(disk: &dyn LogDisk, dir: &std::path::Path) -> io::Result<()> {
    for name in disk.list(dir)? {
        disk.remove(&dir.join(name))?;
    }
    match disk.remove_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
