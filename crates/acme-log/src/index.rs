//! The sparse indexes of a segment, in Kafka's own layouts: what is between two entries is found by walking batches.
//!
//! An index only says where to begin to walk. Whoever uses an entry looks at the batch it names first.

use crate::disk::LogFile;
use std::io;

/// Bytes of an entry: offset less the segment's, and position.
const OFFSET_ENTRY: usize = 8;
/// Bytes of an entry: time, and offset less the segment's.
const TIME_ENTRY: usize = 12;

/// The indexes of a segment that is being written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    /// Last offset of a batch less the segment's base, and the position of that batch.
    offsets: Vec<(u32, u32)>,
    /// The largest time so far, and the last offset of the batch that has it.
    times: Vec<(i64, u32)>,
    /// Bytes appended since the last entry.
    since: u64,
}

impl Index {
    /// Takes a batch in; an entry is made every `interval` bytes.
    pub(crate) fn appended(
        &mut self,
        (last, position): (u32, u32),
        bytes: u64,
        (time, time_offset): (i64, u32),
        interval: u64,
    ) {
        if self.since > interval {
            self.offsets.push((last, position));
            self.time(time, time_offset);
            self.since = 0;
        }
        self.since += bytes;
    }

    fn time(&mut self, time: i64, offset: u32) {
        if self.times.last().is_none_or(|(last, _)| time > *last) {
            self.times.push((time, offset));
        }
    }

    /// The segment gets no more batches: its largest time becomes the last entry.
    pub(crate) fn finish(&mut self, time: i64, offset: u32) {
        self.time(time, offset);
    }

    /// Where to begin to walk for the batch that holds an offset.
    pub(crate) fn floor(&self, offset: u32) -> u32 {
        let after = self.offsets.partition_point(|(last, _)| *last <= offset);
        after.checked_sub(1).map_or(0, |at| self.offsets[at].1)
    }

    /// An offset (less the base) from which on to look for a record of at least this time.
    pub(crate) fn floor_of_time(&self, time: i64) -> u32 {
        let after = self.times.partition_point(|(at, _)| *at < time);
        after.checked_sub(1).map_or(0, |at| self.times[at].1)
    }

    /// The content of the two files.
    pub(crate) fn encode(&self) -> (Vec<u8>, Vec<u8>) {
        let mut offsets = Vec::with_capacity(self.offsets.len() * OFFSET_ENTRY);
        for (offset, position) in &self.offsets {
            offsets.extend_from_slice(&offset.to_be_bytes());
            offsets.extend_from_slice(&position.to_be_bytes());
        }
        let mut times = Vec::with_capacity(self.times.len() * TIME_ENTRY);
        for (time, offset) in &self.times {
            times.extend_from_slice(&time.to_be_bytes());
            times.extend_from_slice(&offset.to_be_bytes());
        }
        (offsets, times)
    }
}

/// The floor of a number in a file of sorted entries, by halves: an index on the disk needs no memory. `key` and `value` cut
/// an entry of `N` bytes.
fn floor_in<const N: usize, K: Ord>(
    file: &dyn LogFile,
    below: impl Fn(&K) -> bool,
    key: impl Fn(&[u8; N]) -> K,
) -> io::Result<Option<[u8; N]>> {
    let (mut low, mut high) = (0, file.len()? / N as u64);
    let mut found = None;
    while low < high {
        let middle = u64::midpoint(low, high);
        let mut entry = [0; N];
        if file.read_at(&mut entry, middle * N as u64)? < N {
            return Ok(None);
        }
        if below(&key(&entry)) {
            found = Some(entry);
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(found)
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes.try_into().expect("four bytes were cut out"))
}

/// As [`Index::floor`], from a file.
pub(crate) fn floor(file: &dyn LogFile, offset: u32) -> io::Result<u32> {
    let entry = floor_in::<OFFSET_ENTRY, _>(file, |last| *last <= offset, |entry| number(&entry[..4]))?;
    Ok(entry.map_or(0, |entry| number(&entry[4..])))
}

/// As [`Index::floor_of_time`], from a file.
pub(crate) fn floor_of_time(file: &dyn LogFile, time: i64) -> io::Result<u32> {
    let key = |entry: &[u8; TIME_ENTRY]| i64::from_be_bytes(entry[..8].try_into().expect("eight bytes"));
    let entry = floor_in::<TIME_ENTRY, _>(file, |at| *at < time, key)?;
    Ok(entry.map_or(0, |entry| number(&entry[8..])))
}
