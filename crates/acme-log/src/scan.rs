//! Walks the batches of a segment file from the front, a piece of the file at a time.

use crate::disk::LogFile;
use acme_records::{BatchHeader, Fault, HEADER_BYTES};
use std::io;
use std::sync::Arc;

/// Bytes that are read at once.
const PIECE: usize = 1 << 20;

/// What stops a walk.
#[derive(Debug)]
pub(crate) enum Stop {
    /// What is there is no batch.
    Fault(Fault),
    /// The file ends inside of it.
    Torn,
    /// The disk refuses.
    Disk(io::Error),
}

impl Stop {
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Fault(fault) => format!("a batch cannot be read: {fault}"),
            Self::Torn => "the file ends inside a batch".to_owned(),
            Self::Disk(error) => error.to_string(),
        }
    }
}

/// A batch: its position, its header, all of its bytes.
pub(crate) type Found<'b> = (u64, BatchHeader, &'b [u8]);

/// A walk through a file.
pub(crate) struct Scan {
    file: Arc<dyn LogFile>,
    /// The first byte that does not belong to it.
    end: u64,
    /// Where the next batch begins.
    pub(crate) at: u64,
    piece: Vec<u8>,
    piece_at: u64,
}

impl Scan {
    /// From a position, where a batch begins, to another.
    pub(crate) fn new(file: Arc<dyn LogFile>, at: u64, end: u64) -> Self {
        Self { file, end, at, piece: Vec::new(), piece_at: at }
    }

    /// The next batch with its position; its checksum is not looked at.
    pub(crate) fn next(&mut self) -> Result<Option<Found<'_>>, Stop> {
        if self.at >= self.end {
            return Ok(None);
        }
        let front = self.bytes(HEADER_BYTES)?;
        let header = BatchHeader::parse(front).map_err(Stop::Fault)?.ok_or(Stop::Torn)?;
        let position = self.at;
        let length = header.bytes;
        self.bytes(length)?;
        self.at += length as u64;
        let from = usize::try_from(position - self.piece_at).expect("it lies in the piece");
        Ok(Some((position, header, &self.piece[from..from + length])))
    }

    /// So many bytes at the current place.
    fn bytes(&mut self, count: usize) -> Result<&[u8], Stop> {
        if count as u64 > self.end - self.at {
            return Err(Stop::Torn);
        }
        let from = usize::try_from(self.at - self.piece_at).expect("pieces are small");
        if from + count > self.piece.len() {
            // The length was compared with what the file has: nothing is allocated that is not there.
            let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
            self.piece.resize(count.max(PIECE).min(left), 0);
            self.piece_at = self.at;
            let filled = self.file.read_at(&mut self.piece, self.at).map_err(Stop::Disk)?;
            self.piece.truncate(filled);
            if filled < count {
                return Err(Stop::Torn);
            }
            return Ok(&self.piece[..count]);
        }
        Ok(&self.piece[from..from + count])
    }
}

/// Where the first batch of a segment begins that is not as it was written, as far as it tells by itself.
pub(crate) fn first_fault(segment: &crate::segment::Segment) -> Option<u64> {
    let file = segment.file().ok()?;
    let mut scan = Scan::new(file, 0, segment.bytes());
    let mut least = segment.base;
    loop {
        let at = scan.at;
        match scan.next() {
            Ok(None) => return None,
            Ok(Some((_, header, batch))) => {
                if acme_records::verify(batch).is_err() || header.base_offset < least {
                    return Some(at);
                }
                least = header.next_offset();
            }
            Err(_) => return Some(at),
        }
    }
}
