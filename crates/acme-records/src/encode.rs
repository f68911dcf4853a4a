//! Batches being filled, and what is sent of them.

use crate::{Compression, Fault, HEADER_BYTES, Header, Record, Whole};
use bytes::Bytes;

/// More header bytes and varints of one record than there ever are.
const OVERHEAD: usize = 5 + 1 + 10 + 5 + 5 + 5 + 5;

/// A batch that takes records until it is full.
#[derive(Debug)]
pub struct BatchBuilder {
    records: Vec<u8>,
    count: i32,
    base_timestamp: i64,
    max_timestamp: i64,
}

/// A batch whose records are final, uncompressed and compressed only once; numbers are stamped on when it is sent.
#[derive(Clone, Debug)]
pub struct Encoded {
    records: Bytes,
    compression: Compression,
    /// Number of records.
    pub count: i32,
    base_timestamp: i64,
    max_timestamp: i64,
}

/// Who sends a batch, and the how manieth records of this producer it holds (KIP-98).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The producer, -1 without one.
    pub producer_id: i64,
    /// Its epoch: an older one is fenced.
    pub producer_epoch: i16,
    /// Number of the first record among those of this producer in this partition; -1 for none.
    pub base_sequence: i32,
    /// Whether it belongs to a transaction.
    pub is_transactional: bool,
}

impl Stamp {
    /// No producer: neither idempotent nor transactional.
    pub const NONE: Self =
        Self { producer_id: -1, producer_epoch: -1, base_sequence: -1, is_transactional: false };
}

impl BatchBuilder {
    /// An empty batch with room for about so many bytes.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        let records = Vec::with_capacity(bytes);
        Self { records, count: 0, base_timestamp: 0, max_timestamp: i64::MIN }
    }

    /// Appends a record; `timestamp` is ms since 1970.
    pub fn push(&mut self, timestamp: i64, key: Option<&[u8]>, value: Option<&[u8]>, headers: &[Header<'_>]) {
        if self.count == 0 {
            self.base_timestamp = timestamp;
        }
        self.max_timestamp = self.max_timestamp.max(timestamp);
        let length = |field: Option<&[u8]>| field.map_or(0, <[u8]>::len);
        let timestamp_delta = timestamp.wrapping_sub(self.base_timestamp);
        let size = 1
            + varint_len(timestamp_delta)
            + varint_len(i64::from(self.count))
            + varint_len(key.map_or(-1, |key| key.len() as i64))
            + length(key)
            + varint_len(value.map_or(-1, |value| value.len() as i64))
            + length(value)
            + varint_len(headers.len() as i64)
            + headers.iter().map(|header| header_size(*header)).sum::<usize>();
        let out = &mut self.records;
        out.reserve(size + 5);
        // The small parts go in one piece: most of the time is spent on them, not on the value.
        let mut small = Small::new();
        small.put(size as i64);
        small.put(0);
        small.put(timestamp_delta);
        small.put(i64::from(self.count));
        small.put(key.map_or(-1, |key| key.len() as i64));
        if let Some(key) = key {
            small.flush(out);
            out.extend_from_slice(key);
        }
        small.put(value.map_or(-1, |value| value.len() as i64));
        small.flush(out);
        out.extend_from_slice(value.unwrap_or_default());
        put(out, headers.len() as i64);
        for (name, value) in headers {
            put_field(out, Some(name.as_bytes()));
            put_field(out, *value);
        }
        self.count += 1;
    }

    /// An upper bound of what a record adds.
    #[must_use]
    pub fn size_of(key: Option<&[u8]>, value: Option<&[u8]>, headers: &[Header<'_>]) -> usize {
        let length = |field: Option<&[u8]>| field.map_or(0, <[u8]>::len);
        let headers: usize = headers.iter().map(|header| header_size(*header)).sum();
        OVERHEAD + length(key) + length(value) + headers
    }

    /// Bytes of the batch so far, header included, before compression.
    #[must_use]
    pub fn bytes(&self) -> usize {
        HEADER_BYTES + self.records.len()
    }

    /// Number of records.
    #[must_use]
    pub fn count(&self) -> i32 {
        self.count
    }

    /// Compresses the records.
    pub fn finish(self, compression: Compression) -> Result<Encoded, Fault> {
        let records = match compression {
            Compression::None => self.records,
            _ => {
                let mut out = Vec::with_capacity(self.records.len() / 2 + 64);
                compression.compress(&self.records, &mut out)?;
                out
            }
        };
        Ok(Encoded {
            records: records.into(),
            compression,
            count: self.count,
            base_timestamp: self.base_timestamp,
            max_timestamp: self.max_timestamp,
        })
    }
}

impl Encoded {
    /// A batch whose records lie ready in memory.
    #[must_use]
    pub fn ready(whole: &Whole, records: Bytes) -> Self {
        debug_assert_eq!(records.len(), whole.bytes.len());
        let Whole { count, base_timestamp, max_timestamp, .. } = *whole;
        Self { records, compression: Compression::None, count, base_timestamp, max_timestamp }
    }

    /// Bytes on the wire.
    pub fn bytes(&self) -> usize {
        HEADER_BYTES + self.records.len()
    }

    /// The records again, and the buffer that they lie in.
    pub fn decode(&self) -> Result<(Vec<Record>, Vec<u8>), Fault> {
        let [header, records] = self.stamped(Stamp::NONE);
        let mut bytes = Bytes::from([header, records].concat());
        let batch = crate::next_batch(&mut bytes, false)?.ok_or(Fault::Length(0))?;
        let (mut records, mut buffer) = (Vec::new(), Vec::new());
        self.compression.decompress(&batch.records, &mut buffer, usize::MAX / 2)?;
        crate::index(&batch, &buffer, 0, 0, &mut records)?;
        Ok((records, buffer))
    }

    /// Header and records, ready to be sent; the records are shared, not copied.
    pub fn stamped(&self, stamp: Stamp) -> [Bytes; 2] {
        let length = i32::try_from(self.bytes() - crate::PREFIX).expect("a batch is far below 2 GiB");
        let transactional = if stamp.is_transactional { 0x10 } else { 0 };
        let attributes = i16::from(self.compression.id()) | transactional;
        let mut header = Vec::with_capacity(HEADER_BYTES);
        header.extend_from_slice(&0_i64.to_be_bytes());
        header.extend_from_slice(&length.to_be_bytes());
        // The broker writes its own leader epoch.
        header.extend_from_slice(&(-1_i32).to_be_bytes());
        header.push(2);
        header.extend_from_slice(&[0; 4]);
        header.extend_from_slice(&attributes.to_be_bytes());
        header.extend_from_slice(&(self.count - 1).to_be_bytes());
        header.extend_from_slice(&self.base_timestamp.to_be_bytes());
        header.extend_from_slice(&self.max_timestamp.to_be_bytes());
        header.extend_from_slice(&stamp.producer_id.to_be_bytes());
        header.extend_from_slice(&stamp.producer_epoch.to_be_bytes());
        header.extend_from_slice(&stamp.base_sequence.to_be_bytes());
        header.extend_from_slice(&self.count.to_be_bytes());
        let crc = crc32c::crc32c_append(crc32c::crc32c(&header[crate::CRC_FROM..]), &self.records);
        header[17..21].copy_from_slice(&crc.to_be_bytes());
        [header.into(), self.records.clone()]
    }
}

fn header_size((name, value): Header<'_>) -> usize {
    let value_length = value.map_or(0, <[u8]>::len);
    let value_prefix = varint_len(value.map_or(-1, |value| value.len() as i64));
    varint_len(name.len() as i64) + name.len() + value_prefix + value_length
}

pub(crate) fn varint_len(value: i64) -> usize {
    let zigzag = ((value << 1) ^ (value >> 63)).cast_unsigned();
    ((70 - (zigzag | 1).leading_zeros()) / 7) as usize
}

/// Varints that wait to be appended in one piece.
struct Small {
    bytes: [u8; Self::MAX],
    length: usize,
}

impl Small {
    /// More than six varints.
    const MAX: usize = 64;

    fn new() -> Self {
        Self { bytes: [0; Self::MAX], length: 0 }
    }

    #[inline]
    fn put(&mut self, value: i64) {
        let mut zigzag = ((value << 1) ^ (value >> 63)).cast_unsigned();
        while zigzag >= 0x80 {
            self.bytes[self.length] = (zigzag & 0x7f) as u8 | 0x80;
            self.length += 1;
            zigzag >>= 7;
        }
        self.bytes[self.length] = zigzag as u8;
        self.length += 1;
    }

    #[inline]
    fn flush(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.bytes[..self.length]);
        self.length = 0;
    }
}

pub(crate) fn put(out: &mut Vec<u8>, value: i64) {
    let mut small = Small::new();
    small.put(value);
    small.flush(out);
}

fn put_field(out: &mut Vec<u8>, field: Option<&[u8]>) {
    match field {
        None => put(out, -1),
        Some(bytes) => {
            put(out, bytes.len() as i64);
            out.extend_from_slice(bytes);
        }
    }
}
