//! Records one after the other without an index, and batches made of some records of another.

use crate::decode::Cursor;
use crate::encode::{put, varint_len};
use crate::{BatchHeader, Compression, Fault};

/// A record as it lies in its batch.
#[derive(Clone, Copy, Debug)]
pub struct RawRecord<'b> {
    /// Its offset in the partition.
    pub offset: i64,
    /// Its time, ms since 1970.
    pub timestamp: i64,
    /// The key; `None` is null.
    pub key: Option<&'b [u8]>,
    /// The value; `None` is null.
    pub value: Option<&'b [u8]>,
    /// What follows the time: the offset's difference, key, value, headers.
    rest: &'b [u8],
}

/// The records of a batch, which are decompressed. It ends after the first fault, or when the bytes and the number of records
/// end at the same place; anything else is a fault.
#[derive(Clone, Debug)]
pub struct RawRecords<'b> {
    header: BatchHeader,
    cursor: Cursor<'b>,
    number: i32,
    last_delta: i64,
}

impl<'b> RawRecords<'b> {
    /// `records`: those of the batch with this header, and nothing after them.
    #[must_use]
    pub fn new(header: &BatchHeader, records: &'b [u8]) -> Self {
        Self { header: *header, cursor: Cursor { bytes: records, at: 0 }, number: 0, last_delta: -1 }
    }

    fn record(&mut self) -> Option<RawRecord<'b>> {
        let cursor = &mut self.cursor;
        let length = usize::try_from(cursor.varint()?).ok()?;
        let end = cursor.at.checked_add(length).filter(|end| *end <= cursor.bytes.len())?;
        // Attributes: none are defined.
        cursor.at += 1;
        let time = cursor.varlong()?;
        let rest = cursor.bytes.get(cursor.at..end)?;
        let delta = i64::from(cursor.varint()?);
        let key = cursor.field()?.of(cursor.bytes);
        let value = cursor.field()?.of(cursor.bytes);
        if cursor.varint()? < 0 || cursor.at > end {
            return None;
        }
        cursor.at = end;
        if delta <= self.last_delta || delta > i64::from(self.header.last_offset_delta) {
            return None;
        }
        self.last_delta = delta;
        let timestamp = match self.header.is_append_time() {
            true => self.header.max_timestamp,
            false => self.header.base_timestamp.checked_add(time)?,
        };
        Some(RawRecord { offset: self.header.base_offset + delta, timestamp, key, value, rest })
    }
}

impl<'b> Iterator for RawRecords<'b> {
    type Item = Result<RawRecord<'b>, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.number < 0 {
            return None;
        }
        if self.number == self.header.count {
            let fault =
                (self.cursor.at != self.cursor.bytes.len()).then_some(Err(Fault::Record(self.number)));
            self.number = -1;
            return fault;
        }
        match self.record() {
            Some(record) => {
                self.number += 1;
                Some(Ok(record))
            }
            None => {
                let fault = Fault::Record(self.number);
                self.number = -1;
                Some(Err(fault))
            }
        }
    }
}

/// A batch with these records of another one: its offsets, producer and sequence stay, so that a gap is where records are missing.
/// `compression`: with its level, as [`Compression::compress_at`] takes it.
/// `delete_horizon`: from when on its tombstones may be taken out (KIP-534).
///
/// # Errors
/// [`Fault::Compressed`]
pub fn rebuild(
    header: &BatchHeader,
    records: &[RawRecord<'_>],
    (compression, level): (Compression, Option<i32>),
    delete_horizon: Option<i64>,
) -> Result<Vec<u8>, Fault> {
    let mut header = *header;
    header.count = i32::try_from(records.len()).map_err(|_| Fault::Record(i32::MAX))?;
    header.set_compression(compression);
    match delete_horizon {
        Some(ms) => header.set_delete_horizon(ms),
        None if header.delete_horizon().is_none() && !records.is_empty() && !header.is_append_time() => {
            header.base_timestamp = records[0].timestamp;
        }
        None => {}
    }
    if !header.is_append_time() {
        header.max_timestamp =
            records.iter().map(|record| record.timestamp).max().unwrap_or(header.max_timestamp);
    }
    let mut plain = Vec::new();
    for record in records {
        let delta = record.timestamp.wrapping_sub(header.base_timestamp);
        put(&mut plain, (1 + varint_len(delta) + record.rest.len()) as i64);
        plain.push(0);
        put(&mut plain, delta);
        plain.extend_from_slice(record.rest);
    }
    if compression == Compression::None {
        return Ok(header.with_records(&plain));
    }
    let mut compressed = Vec::with_capacity(plain.len() / 2 + 64);
    compression.compress_at(level, &plain, &mut compressed)?;
    Ok(header.with_records(&compressed))
}
