//! Offsets by time, and leader epochs.

use super::{Partition, TimedOffset};
use crate::ReadError;
use crate::scan::{Scan, Stop};
use crate::segment::Segment;
use acme_records::{BatchHeader, Compression, HEADER_BYTES, RawRecords};
use std::io;
use std::sync::Arc;

/// The most bytes that may come out of a batch that is looked into.
const DECOMPRESSED_MAX: usize = 128 << 20;

impl Partition {
    /// The first record at or after a time, below the high watermark (ListOffsets).
    pub fn offset_of_time(&self, ms: i64) -> Result<Option<TimedOffset>, ReadError> {
        let marks = self.readable()?;
        let limit = marks.high_watermark;
        for segment in self.segments().iter() {
            if segment.max_timestamp().0 < ms || segment.next_offset() <= marks.log_start {
                continue;
            }
            let from = segment.floor_of_time(ms)?.max(marks.log_start);
            let wanted = |header: &BatchHeader| header.max_timestamp >= ms;
            let found = first(segment, from, limit, wanted, |offset, time| offset >= from && time >= ms)?;
            if let Some(found) = found {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The record with the largest time (ListOffsets, max timestamp); the first of several.
    pub fn max_timestamp(&self) -> Result<Option<TimedOffset>, ReadError> {
        let marks = self.readable()?;
        let segments = self.segments();
        let live = segments.iter().filter(|it| it.bytes() > 0 && it.next_offset() > marks.log_start);
        let mut best: Option<(i64, &Arc<Segment>)> = None;
        for segment in live.filter(|it| it.base < marks.high_watermark) {
            let time = served_max(segment, marks.high_watermark)?;
            // Of equal ones the first.
            best = best.filter(|(before, _)| *before >= time).or(Some((time, segment)));
        }
        let Some((time, segment)) = best else { return Ok(None) };
        let wanted = |header: &BatchHeader| header.max_timestamp >= time;
        let start = marks.log_start;
        let found = first(segment, start.max(segment.base), marks.high_watermark, wanted, |offset, at| {
            offset >= start && at >= time
        })?;
        Ok(found)
    }

    /// The largest epoch at or below this one, and the offset where it ends (OffsetForLeaderEpoch). `None`: there are only
    /// older ones, this one is in the future.
    #[must_use]
    pub fn end_of_epoch(&self, epoch: i32) -> Option<(i32, i64)> {
        let (end, current) = (self.end(), self.leader_epoch());
        if epoch < 0 || epoch > current {
            return None;
        }
        if epoch == current {
            return Some((epoch, end));
        }
        let epochs = self.epochs(end);
        let after = epochs.partition_point(|(it, _)| *it <= epoch);
        let next = epochs.get(after).map_or(end, |(_, first)| *first);
        // Kafka's LeaderEpochFileCache: before the first one there is, the one that was asked for ends where that begins.
        Some((after.checked_sub(1).map_or(epoch, |at| epochs[at].0), next))
    }

    /// The epoch of an offset, for the responses that tell it.
    #[must_use]
    pub fn epoch_of(&self, offset: i64) -> Option<i32> {
        let epochs = self.epochs(self.end());
        let after = epochs.partition_point(|(_, first)| *first <= offset);
        after.checked_sub(1).map(|at| epochs[at].0)
    }

    /// The epochs with their first offsets.
    fn epochs(&self, end: i64) -> Vec<(i32, i64)> {
        let log_start = self.marks().log_start;
        let mut epochs: Vec<(i32, i64)> = Vec::new();
        for segment in self.segments().iter() {
            for (epoch, first) in segment.facts().epochs {
                if epochs.last().is_none_or(|(last, _)| *last < epoch) {
                    epochs.push((epoch, first.max(log_start)));
                }
            }
        }
        let current = self.leader_epoch();
        if epochs.last().is_none_or(|(last, _)| *last < current) {
            epochs.push((current, end));
        }
        // What lies before the log's start has ended there.
        let live = epochs.partition_point(|(_, first)| *first <= log_start);
        epochs.split_off(live.saturating_sub(1))
    }
}

/// The largest time of the batches of a segment below the high watermark.
fn served_max(segment: &Arc<Segment>, high_watermark: i64) -> io::Result<i64> {
    let (time, offset) = segment.max_timestamp();
    if offset < high_watermark {
        return Ok(time);
    }
    // The batch that has it is not served yet: for a moment it must be looked for among the others.
    let mut scan = Scan::new(segment.file()?, 0, segment.bytes());
    let mut time = -1;
    while let Some((_, header, _)) = scan.next().map_err(|stop| io::Error::other(stop.reason()))? {
        if header.base_offset >= high_watermark {
            break;
        }
        time = time.max(header.max_timestamp);
    }
    Ok(time)
}

/// The first record of a segment that fits, in a batch that fits, from an offset on and below another.
fn first(
    segment: &Arc<Segment>,
    from: i64,
    limit: i64,
    batch_fits: impl Fn(&BatchHeader) -> bool,
    fits: impl Fn(i64, i64) -> bool,
) -> io::Result<Option<TimedOffset>> {
    let mut scan = Scan::new(segment.file()?, segment.floor(from)?, segment.bytes());
    let fault = |stop: Stop| io::Error::other(stop.reason());
    while let Some((_, header, batch)) = scan.next().map_err(fault)? {
        if header.base_offset >= limit {
            break;
        }
        if header.last_offset() < from || !batch_fits(&header) {
            continue;
        }
        let mut buffer = Vec::new();
        let compression = Compression::of(header.compression()).map_err(io::Error::other)?;
        let records = &batch[HEADER_BYTES..];
        let plain = if compression == Compression::None {
            records
        } else {
            compression.decompress(records, &mut buffer, DECOMPRESSED_MAX).map_err(io::Error::other)?;
            &buffer
        };
        for record in RawRecords::new(&header, plain) {
            let record = record.map_err(io::Error::other)?;
            if fits(record.offset, record.timestamp) {
                return Ok(Some(TimedOffset {
                    offset: record.offset,
                    timestamp: record.timestamp,
                    leader_epoch: header.leader_epoch,
                }));
            }
        }
    }
    Ok(None)
}
