//! The header of a batch, all of it, and what a log writes into one.

use crate::{BatchBuilder, CRC_FROM, Compression, Fault, HEADER_BYTES, PREFIX, Stamp};
use crate::{i16_at, i32_at, i64_at};

/// Bits of the attributes.
const COMPRESSION: i16 = 0x07;
const APPEND_TIME: i16 = 0x08;
const TRANSACTIONAL: i16 = 0x10;
const CONTROL: i16 = 0x20;
/// The base timestamp is the time from which on compaction takes tombstones out (KIP-534).
const DELETE_HORIZON: i16 = 0x40;

/// The header of one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the first record, even if compaction has removed it.
    pub base_offset: i64,
    /// Bytes of the whole batch.
    pub bytes: usize,
    /// The epoch of the leader that wrote it.
    pub leader_epoch: i32,
    /// The checksum of what follows it.
    pub crc: u32,
    /// Compression, kind of timestamp and so on.
    pub attributes: i16,
    /// How much larger the last offset is; never negative.
    pub last_offset_delta: i32,
    /// What the records' times count from, ms since 1970.
    pub base_timestamp: i64,
    /// The largest of the records' times, or the broker's.
    pub max_timestamp: i64,
    /// The producer, -1 without one.
    pub producer_id: i64,
    /// Its epoch, -1 without one.
    pub producer_epoch: i16,
    /// Number of the first record among those of this producer in this partition; -1 for none.
    pub base_sequence: i32,
    /// Number of records; never negative.
    pub count: i32,
}

impl BatchHeader {
    /// Reads the header at the front; the rest of the batch need not be there. `None`: the header itself is cut.
    ///
    /// # Errors
    /// [`Fault::Length`] or [`Fault::Magic`]; [`Fault::Record`] where the number of records is impossible.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, Fault> {
        if bytes.len() < HEADER_BYTES {
            return Ok(None);
        }
        let length = i32_at(bytes, 8);
        let magic = bytes[16].cast_signed();
        if magic != 2 {
            return Err(Fault::Magic(magic));
        }
        let total = usize::try_from(length).map_err(|_| Fault::Length(length))? + PREFIX;
        let (base_offset, delta, count) = (i64_at(bytes, 0), i32_at(bytes, 23), i32_at(bytes, 57));
        let last = base_offset.checked_add(i64::from(delta)).filter(|last| *last < i64::MAX);
        if total < HEADER_BYTES || delta < 0 || base_offset < 0 || last.is_none() {
            return Err(Fault::Length(length));
        }
        if count < 0 {
            return Err(Fault::Record(count));
        }
        Ok(Some(Self {
            base_offset,
            bytes: total,
            leader_epoch: i32_at(bytes, 12),
            crc: i32_at(bytes, 17).cast_unsigned(),
            attributes: i16_at(bytes, 21),
            last_offset_delta: delta,
            base_timestamp: i64_at(bytes, 27),
            max_timestamp: i64_at(bytes, 35),
            producer_id: i64_at(bytes, 43),
            producer_epoch: i16_at(bytes, 51),
            base_sequence: i32_at(bytes, 53),
            count,
        }))
    }

    /// Offset of the last record.
    #[must_use]
    pub fn last_offset(&self) -> i64 {
        self.base_offset + i64::from(self.last_offset_delta)
    }

    /// The offset after the last record.
    #[must_use]
    pub fn next_offset(&self) -> i64 {
        self.last_offset() + 1
    }

    /// Sequence of the last record; after the largest number comes 0.
    #[must_use]
    pub fn last_sequence(&self) -> i32 {
        let sum = i64::from(self.base_sequence) + i64::from(self.last_offset_delta);
        i32::try_from(sum % (i64::from(i32::MAX) + 1)).expect("it is below 2^31")
    }

    /// Number of its compression: [`Compression::of`].
    #[must_use]
    pub fn compression(&self) -> u8 {
        (self.attributes & COMPRESSION) as u8
    }

    /// Whether the producer is in a transaction.
    #[must_use]
    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }

    /// Whether it holds a marker instead of records.
    #[must_use]
    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }

    /// Whether its time is the broker's.
    #[must_use]
    pub fn is_append_time(&self) -> bool {
        self.attributes & APPEND_TIME != 0
    }

    /// From when on compaction takes its tombstones out, ms since 1970 (KIP-534).
    #[must_use]
    pub fn delete_horizon(&self) -> Option<i64> {
        (self.attributes & DELETE_HORIZON != 0).then_some(self.base_timestamp)
    }

    /// The header as bytes, for a batch that ends with these records, its checksum over both.
    pub fn with_records(mut self, records: &[u8]) -> Vec<u8> {
        self.bytes = HEADER_BYTES + records.len();
        let length = i32::try_from(self.bytes - PREFIX).expect("a batch is far below 2 GiB");
        let mut out = Vec::with_capacity(self.bytes);
        out.extend_from_slice(&self.base_offset.to_be_bytes());
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&self.leader_epoch.to_be_bytes());
        out.push(2);
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.attributes.to_be_bytes());
        out.extend_from_slice(&self.last_offset_delta.to_be_bytes());
        out.extend_from_slice(&self.base_timestamp.to_be_bytes());
        out.extend_from_slice(&self.max_timestamp.to_be_bytes());
        out.extend_from_slice(&self.producer_id.to_be_bytes());
        out.extend_from_slice(&self.producer_epoch.to_be_bytes());
        out.extend_from_slice(&self.base_sequence.to_be_bytes());
        out.extend_from_slice(&self.count.to_be_bytes());
        out.extend_from_slice(records);
        checksum(&mut out);
        out
    }

    /// Says from when on its tombstones may be taken out.
    pub(crate) fn set_delete_horizon(&mut self, ms: i64) {
        self.attributes |= DELETE_HORIZON;
        self.base_timestamp = ms;
    }

    /// Says how its records are compressed.
    pub(crate) fn set_compression(&mut self, compression: Compression) {
        self.attributes = (self.attributes & !COMPRESSION) | i16::from(compression.id());
    }
}

fn checksum(batch: &mut [u8]) {
    let crc = crc32c::crc32c(&batch[CRC_FROM..]);
    batch[17..CRC_FROM].copy_from_slice(&crc.to_be_bytes());
}

/// Whether the bytes of a whole batch have its checksum.
///
/// # Errors
/// [`Fault::Checksum`]
pub fn verify(batch: &[u8]) -> Result<(), Fault> {
    let (expected, found) = (i32_at(batch, 17).cast_unsigned(), crc32c::crc32c(&batch[CRC_FROM..]));
    if expected == found { Ok(()) } else { Err(Fault::Checksum { expected, found }) }
}

/// Gives a whole batch its place in the log; the checksum covers neither.
pub fn stamp(batch: &mut [u8], base_offset: i64, leader_epoch: i32) {
    batch[..8].copy_from_slice(&base_offset.to_be_bytes());
    batch[12..16].copy_from_slice(&leader_epoch.to_be_bytes());
}

/// Gives all records of a batch the broker's time (LogAppendTime), and the batch the checksum that belongs to it.
pub fn stamp_append_time(batch: &mut [u8], now_ms: i64) {
    let attributes = i16_at(batch, 21) | APPEND_TIME;
    batch[21..23].copy_from_slice(&attributes.to_be_bytes());
    batch[35..43].copy_from_slice(&now_ms.to_be_bytes());
    checksum(batch);
}

/// A batch with the marker that ends a transaction.
///
/// Source: KIP-98, "Control Messages": the key is version and type (0 aborts, 1 commits), the value is version and the epoch of the
/// coordinator.
#[must_use]
pub fn marker(producer_id: i64, epoch: i16, commit: bool, coordinator_epoch: i32, now_ms: i64) -> Vec<u8> {
    let key = [0, 0, 0, u8::from(commit)];
    let mut value = [0; 6];
    value[2..].copy_from_slice(&coordinator_epoch.to_be_bytes());
    let mut builder = BatchBuilder::with_capacity(32);
    builder.push(now_ms, Some(&key), Some(&value), &[]);
    let encoded = builder.finish(Compression::None).expect("nothing is compressed");
    let stamp = Stamp { producer_id, producer_epoch: epoch, base_sequence: -1, is_transactional: true };
    let mut bytes = encoded.stamped(stamp).concat();
    let attributes = i16_at(&bytes, 21) | CONTROL;
    bytes[21..23].copy_from_slice(&attributes.to_be_bytes());
    checksum(&mut bytes);
    bytes
}

/// What the marker in a control batch says: whether it commits, and the coordinator's epoch. `None`: another kind of
/// marker.
///
/// # Errors
/// [`Fault::Record`] where there is no record that can be read.
pub fn marker_of(batch: &[u8]) -> Result<Option<(bool, i32)>, Fault> {
    let header = BatchHeader::parse(batch)?.ok_or(Fault::Length(0))?;
    let record = crate::RawRecords::new(&header, &batch[HEADER_BYTES..]).next().ok_or(Fault::Record(0))??;
    let kind = record.key.and_then(|key| key.get(2..4));
    let epoch = record.value.and_then(|value| value.get(2..6));
    let epoch = epoch.map_or(-1, |bytes| i32_at(bytes, 0));
    Ok(match kind {
        Some([0, 0]) => Some((false, epoch)),
        Some([0, 1]) => Some((true, epoch)),
        _ => None,
    })
}
