//! Reading: whole batches as they lie.

use super::{Partition, Slice, Until};
use crate::files::lock;
use crate::segment::Segment;
use crate::{Aborted, ReadError};
use acme_records::{BatchHeader, HEADER_BYTES};
use bytes::Bytes;
use std::io;
use std::sync::Arc;

/// Readers whose places are remembered.
const HINTS: usize = 16;
/// Bytes that are read beyond those asked for, where a read begins a little before its first batch.
const SLACK: usize = 8 << 10;

/// Where former reads have ended, so that who goes on reading needs no index.
#[derive(Default)]
pub(super) struct Hints {
    /// Offset, serial of the segment, position in it.
    places: Vec<(i64, u64, u64)>,
    next: usize,
}

impl Hints {
    fn find(&self, offset: i64, serial: u64) -> Option<u64> {
        self.places.iter().find(|place| (place.0, place.1) == (offset, serial)).map(|place| place.2)
    }

    fn put(&mut self, from: i64, place: (i64, u64, u64)) {
        // A reader's next place takes its last one.
        let old = self.places.iter().position(|it| it.0 == from && it.1 == place.1);
        match old {
            Some(at) => self.places[at] = place,
            None if self.places.len() < HINTS => self.places.push(place),
            None => {
                self.next = (self.next + 1) % HINTS;
                self.places[self.next] = place;
            }
        }
    }
}

/// Part of a segment, whole batches.
struct Piece {
    bytes: Bytes,
    /// After the last batch.
    next_offset: i64,
    position: u64,
}

impl Partition {
    /// Reads whole batches from the one that holds `from`, at most `max_bytes` of them, but at least one if there is one
    /// (KIP-74). At the end the slice is empty: wait with [`Partition::watch`].
    pub fn read(&self, from: i64, max_bytes: usize, until: Until) -> Result<Slice, ReadError> {
        let marks = self.readable()?;
        let end = self.end();
        if from < marks.log_start || from > end {
            return Err(ReadError::OutOfRange { asked: from, log_start: marks.log_start, end });
        }
        let limit = match until {
            Until::HighWatermark => marks.high_watermark,
            Until::LastStable => marks.last_stable,
            Until::End => end,
        };
        let mut slice = Slice { bytes: Bytes::new(), marks, aborted: Vec::new() };
        if from >= limit {
            return Ok(slice);
        }
        let segments = self.segments();
        let first = segments.partition_point(|segment| segment.base <= from).saturating_sub(1);
        for segment in &segments[first..] {
            if segment.base >= limit {
                break;
            }
            let read = self.read_segment(segment, from, max_bytes, limit);
            let Some(piece) = read.map_err(|error| self.gone(from, error))? else { continue };
            if until == Until::LastStable {
                slice.aborted = aborted(&segments[first..], from, piece.next_offset);
            }
            let place = (piece.next_offset, segment.serial, piece.position);
            lock(&self.hints).put(from, place);
            slice.bytes = piece.bytes;
            break;
        }
        Ok(slice)
    }

    /// Retention may have taken the segment away meanwhile: then the offset is out of range.
    fn gone(&self, from: i64, error: io::Error) -> ReadError {
        match self.readable() {
            Ok(marks) if from < marks.log_start => {
                ReadError::OutOfRange { asked: from, log_start: marks.log_start, end: self.end() }
            }
            Ok(_) => error.into(),
            Err(error) => error,
        }
    }

    fn read_segment(
        &self,
        segment: &Arc<Segment>,
        from: i64,
        max_bytes: usize,
        limit: i64,
    ) -> io::Result<Option<Piece>> {
        let hint = lock(&self.hints).find(from, segment.serial);
        let mut at = match hint {
            Some(position) => position,
            None => segment.floor(from)?,
        };
        let slack = if hint.is_some() { 0 } else { SLACK };
        let end = segment.bytes();
        let file = segment.file()?;
        while at < end {
            let left = usize::try_from(end - at).unwrap_or(usize::MAX);
            let mut buffer = vec![0; max_bytes.saturating_add(slack).max(HEADER_BYTES).min(left)];
            fill(&*file, &mut buffer, at)?;
            let skipped = skip(&buffer, from)?;
            let Some((start, header)) = skipped.first else {
                // The batches before it fill the buffer.
                at += skipped.bytes as u64;
                continue;
            };
            if header.base_offset >= limit {
                return Ok(None);
            }
            let position = at + start as u64;
            if header.bytes > buffer.len() - start {
                // The first batch is given whole. Its length is compared with what is there before memory is taken.
                if header.bytes as u64 > end - position {
                    return Err(io::Error::other("a batch is longer than its segment"));
                }
                let mut whole = vec![0; header.bytes];
                fill(&*file, &mut whole, position)?;
                let position = position + header.bytes as u64;
                return Ok(Some(Piece { bytes: whole.into(), next_offset: header.next_offset(), position }));
            }
            let (length, next_offset) = whole(&buffer[start..], max_bytes, limit)?;
            let bytes = Bytes::from(buffer).slice(start..start + length);
            return Ok(Some(Piece { bytes, next_offset, position: position + length as u64 }));
        }
        Ok(None)
    }
}

fn fill(file: &dyn crate::LogFile, buffer: &mut [u8], at: u64) -> io::Result<()> {
    let filled = file.read_at(buffer, at)?;
    if filled == buffer.len() { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

fn header(bytes: &[u8]) -> io::Result<Option<BatchHeader>> {
    BatchHeader::parse(bytes).map_err(io::Error::other)
}

/// What lies before the batch that holds an offset.
struct Skipped {
    /// Bytes of whole batches.
    bytes: usize,
    /// Where the batch begins, if its header is in the buffer.
    first: Option<(usize, BatchHeader)>,
}

fn skip(buffer: &[u8], from: i64) -> io::Result<Skipped> {
    let mut at = 0;
    while let Some(rest) = buffer.get(at..)
        && let Some(header) = header(rest)?
    {
        if header.last_offset() >= from {
            return Ok(Skipped { bytes: at, first: Some((at, header)) });
        }
        at += header.bytes;
    }
    Ok(Skipped { bytes: at, first: None })
}

/// The bytes of the whole batches at the front that begin below the limit, and the offset after them; the first one is whole.
fn whole(bytes: &[u8], max_bytes: usize, limit: i64) -> io::Result<(usize, i64)> {
    let (mut at, mut next_offset) = (0, 0);
    while let Some(header) = header(&bytes[at..])? {
        let end = at + header.bytes;
        if end > bytes.len() || header.base_offset >= limit || (at > 0 && end > max_bytes) {
            break;
        }
        (at, next_offset) = (end, header.next_offset());
    }
    Ok((at, next_offset))
}

/// The aborted transactions with records between two offsets. Those that ended later were written later.
///
/// Source: Kafka, LogSegment.collectAbortedTxns: an entry whose last stable offset is not below `end` says that all that
/// follow began behind.
fn aborted(segments: &[Arc<Segment>], from: i64, end: i64) -> Vec<Aborted> {
    let mut found = Vec::new();
    'all: for segment in segments {
        for range in segment.aborted().iter() {
            if range.last_offset >= from && range.first_offset < end {
                found.push(range.public());
            }
            if range.last_stable >= end {
                break 'all;
            }
        }
    }
    found.sort_by_key(|it| it.first_offset);
    found
}
