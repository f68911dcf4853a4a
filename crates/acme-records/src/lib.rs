//! Record batches: what a partition consists of, from bytes and to bytes.
//!
//! Only the format that every topic has had since 0.11 (magic 2). Nothing here does I/O.
//! Source: Kafka documentation, "Message Format"; KIP-98.

mod compression;
mod decode;
mod encode;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod header;
mod raw;
mod whole;

pub use compression::Compression;
pub use decode::{Header, Headers, Record, index, marker_is_abort};
pub use encode::{BatchBuilder, Encoded, Stamp};
pub use header::{BatchHeader, marker, marker_of, stamp, stamp_append_time, verify};
pub use raw::{RawRecord, RawRecords, rebuild};
pub use whole::Whole;

use bytes::Bytes;

/// Bytes of a batch before its records.
pub const HEADER_BYTES: usize = 61;
/// Bytes before those that the length counts.
const PREFIX: usize = 12;
/// What the checksum covers begins here.
const CRC_FROM: usize = 21;

/// What can be wrong with a batch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A length is impossible.
    #[error("its length of {0} bytes is impossible")]
    Length(i32),
    /// Another format.
    #[error("its format {0} is not 2; brokers write nothing else since 0.11")]
    Magic(i8),
    /// It was damaged on the way or on the disk.
    #[error("its checksum is {found:#010x} and should be {expected:#010x}")]
    Checksum {
        /// What the batch says.
        expected: u32,
        /// What its bytes have.
        found: u32,
    },
    /// A compression that is not defined.
    #[error("its compression {0} is not known")]
    UnknownCompression(u8),
    /// The compressed bytes cannot be read.
    #[error("its {0} bytes cannot be decompressed: {1}")]
    Compressed(&'static str, String),
    /// More than is allowed comes out of it.
    #[error("more than {0} bytes come out of it: raise the limit or do not read it")]
    TooLarge(usize),
    /// Its records do not fill it, or more.
    #[error("record {0} of it is malformed")]
    Record(i32),
}

/// The header of one batch, and its records as they lie on the wire.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Offset of the first record, even if compaction has removed it.
    pub base_offset: i64,
    /// The epoch of the leader that wrote it.
    pub leader_epoch: i32,
    /// Offset of the last record, even if compaction has removed it.
    pub last_offset: i64,
    /// The producer, -1 without one.
    pub producer_id: i64,
    /// Whether the producer is in a transaction.
    pub is_transactional: bool,
    /// Whether it holds a marker instead of records.
    pub is_control: bool,
    /// Number of its compression: [`Compression::of`].
    pub compression: u8,
    /// The broker's time for all records, instead of the producer's.
    pub append_time: Option<i64>,
    /// What the records' times count from, ms since 1970.
    pub base_timestamp: i64,
    /// Number of records.
    pub count: i32,
    /// The records, still compressed.
    pub records: Bytes,
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("the header was found to be whole")
}

fn i16_at(bytes: &[u8], at: usize) -> i16 {
    i16::from_be_bytes(field(bytes, at))
}

fn i32_at(bytes: &[u8], at: usize) -> i32 {
    i32::from_be_bytes(field(bytes, at))
}

fn i64_at(bytes: &[u8], at: usize) -> i64 {
    i64::from_be_bytes(field(bytes, at))
}

/// The length of the batch at the front, if all of it is there. A cut tail is none (KIP-74).
///
/// # Errors
/// [`Fault::Length`] or [`Fault::Magic`].
pub fn whole(bytes: &[u8]) -> Result<Option<usize>, Fault> {
    if bytes.len() < HEADER_BYTES {
        return Ok(None);
    }
    let length = i32_at(bytes, 8);
    let magic = bytes[16].cast_signed();
    if magic != 2 {
        return Err(Fault::Magic(magic));
    }
    let total = usize::try_from(length).map_err(|_| Fault::Length(length))?.saturating_add(PREFIX);
    if total < HEADER_BYTES {
        return Err(Fault::Length(length));
    }
    Ok((total <= bytes.len()).then_some(total))
}

/// The offset after the last whole batch, found without looking into any.
///
/// # Errors
/// As [`whole`].
pub fn end_offset(bytes: &[u8]) -> Result<Option<(i64, i32)>, Fault> {
    let (mut rest, mut end) = (bytes, None);
    while let Some(length) = whole(rest)? {
        let next =
            i64_at(rest, 0).checked_add(i64::from(i32_at(rest, 23))).and_then(|last| last.checked_add(1));
        end = Some((next.ok_or(Fault::Length(i32_at(rest, 8)))?, i32_at(rest, 12)));
        rest = &rest[length..];
    }
    Ok(end)
}

/// Takes the batch off the front, or none if the rest is a cut tail. Nothing is copied.
///
/// # Errors
/// Any [`Fault`] of the header; [`Fault::Checksum`] if `verify`.
pub fn next_batch(bytes: &mut Bytes, verify: bool) -> Result<Option<Batch>, Fault> {
    let Some(length) = whole(bytes)? else { return Ok(None) };
    let batch = bytes.split_to(length);
    if verify {
        let (expected, found) = (i32_at(&batch, 17).cast_unsigned(), crc32c::crc32c(&batch[CRC_FROM..]));
        if expected != found {
            return Err(Fault::Checksum { expected, found });
        }
    }
    let attributes = i16::from_be_bytes(field(&batch, 21));
    let (base_offset, delta, count) = (i64_at(&batch, 0), i32_at(&batch, 23), i32_at(&batch, 57));
    let last_offset = base_offset.checked_add(i64::from(delta)).filter(|_| delta >= 0 && base_offset >= 0);
    let last_offset = last_offset.filter(|last| *last < i64::MAX).ok_or(Fault::Length(delta))?;
    Ok(Some(Batch {
        base_offset,
        leader_epoch: i32_at(&batch, 12),
        last_offset,
        producer_id: i64_at(&batch, 43),
        is_transactional: attributes & 0x10 != 0,
        is_control: attributes & 0x20 != 0,
        compression: (attributes & 7) as u8,
        append_time: (attributes & 8 != 0).then(|| i64_at(&batch, 35)),
        base_timestamp: i64_at(&batch, 27),
        count,
        records: batch.slice(HEADER_BYTES..),
    }))
}

#[cfg(test)]
mod tests;
