//! What a response holds of one partition, until it is decoded: batches, and which of them were aborted.

use super::Fetched;
use crate::client::TopicPartition;
use crate::error::{Error, Result};
use crate::records::{Compression, Fault, Record, Whole, index, marker_is_abort, next_batch};
use bytes::Bytes;
use std::collections::{BTreeSet, VecDeque};
use uuid::Uuid;

/// Batches of one partition out of one response.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) partition: TopicPartition,
    pub(super) topic_id: Uuid,
    /// Which assignment of the partition it was fetched for.
    pub(super) assignment: u64,
    pub(super) broker: i32,
    /// Bytes that count against the budget until this is decoded.
    pub(super) bytes: usize,
    /// Records below are not wanted: a batch may begin before the position.
    pub(super) first: i64,
    pub(super) records: Bytes,
    pub(super) aborted: Aborted,
    pub(super) high_watermark: i64,
    pub(super) last_stable_offset: i64,
    pub(super) log_start: i64,
}

/// How much is decoded at once, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Decompressed bytes after which a [`Fetched`] ends.
    pub(super) target_bytes: usize,
    /// Decompressed bytes that a single batch may have.
    pub(super) batch_bytes_max: usize,
    pub(super) check_crcs: bool,
    pub(super) read_committed: bool,
}

/// Which producers are in a transaction that was aborted, at the place that the decoding has reached.
///
/// Source: KIP-98, "Reading data with transactions": the broker lists the aborted transactions of the range with
/// their first offsets; each lasts until its abort marker.
#[derive(Debug, Default)]
pub(super) struct Aborted {
    /// (first offset, producer), by offset.
    coming: VecDeque<(i64, i64)>,
    open: BTreeSet<i64>,
}

impl Aborted {
    pub(super) fn new(mut transactions: Vec<(i64, i64)>) -> Self {
        transactions.sort_unstable();
        Self { coming: transactions.into(), open: BTreeSet::new() }
    }

    fn advance(&mut self, last_offset: i64) {
        while let Some((first, producer)) = self.coming.front().copied()
            && first <= last_offset
        {
            self.coming.pop_front();
            self.open.insert(producer);
        }
    }
}

/// Records decoded so far, and what they lie in.
enum Buffer {
    Nothing,
    /// The chunk itself.
    Shared,
    /// What came out of compressed batches.
    Owned(Vec<u8>),
}

impl Chunk {
    /// Decodes batches until enough has come out; what is left stays. Batches without a record for us move the
    /// position, so the result may hold none.
    pub(super) fn decode(&mut self, limits: Limits) -> Result<Fetched> {
        let whole = self.records.clone();
        let (mut records, mut ready) = (Vec::new(), Vec::new());
        let mut buffer = Buffer::Nothing;
        let (mut next_offset, mut leader_epoch) = (self.first, -1);
        let mut progress = false;
        loop {
            let before = self.records.clone();
            match self.batch(&whole, limits, &mut buffer, &mut records, &mut ready) {
                Ok(Some((end, epoch))) => {
                    (next_offset, leader_epoch) = (end.max(next_offset), epoch);
                    progress = true;
                }
                Ok(None) if self.records.len() == before.len() => {
                    // A cut tail: the next fetch brings it whole.
                    self.records = Bytes::new();
                    break;
                }
                Ok(None) => {
                    self.records = before;
                    break;
                }
                // What was read before it is given out first.
                Err(_) if progress => {
                    self.records = before;
                    break;
                }
                Err(fault) => return Err(self.fault(before.first_chunk().copied(), &fault)),
            }
            let size = match &buffer {
                Buffer::Owned(bytes) => bytes.len(),
                Buffer::Shared => whole.len() - self.records.len(),
                Buffer::Nothing => 0,
            };
            if self.records.is_empty() || size >= limits.target_bytes {
                break;
            }
        }
        self.first = next_offset;
        let buffer = match buffer {
            Buffer::Nothing => Bytes::new(),
            Buffer::Shared => whole,
            Buffer::Owned(bytes) => bytes.into(),
        };
        Ok(Fetched {
            topic: self.partition.topic.clone(),
            topic_id: self.topic_id,
            partition: self.partition.partition,
            records,
            buffer,
            ready,
            leader_epoch,
            next_offset,
            high_watermark: self.high_watermark,
            last_stable_offset: self.last_stable_offset,
            log_start: self.log_start,
        })
    }

    /// One batch: the offset after it and its epoch. `None` if it is not whole, or needs the other kind of buffer; in
    /// the latter case the chunk has moved on.
    fn batch(
        &mut self,
        whole: &Bytes,
        limits: Limits,
        buffer: &mut Buffer,
        records: &mut Vec<Record>,
        ready: &mut Vec<Whole>,
    ) -> Result<Option<(i64, i32)>, Fault> {
        let Some(batch) = next_batch(&mut self.records, limits.check_crcs)? else { return Ok(None) };
        let end = Some((batch.last_offset + 1, batch.leader_epoch));
        if limits.read_committed {
            self.aborted.advance(batch.last_offset);
        }
        if batch.is_control {
            if marker_is_abort(&batch)? == Some(true) {
                self.aborted.open.remove(&batch.producer_id);
            }
            return Ok(end);
        }
        let is_aborted = batch.is_transactional && self.aborted.open.contains(&batch.producer_id);
        if is_aborted || batch.last_offset < self.first {
            return Ok(end);
        }
        let compression = Compression::of(batch.compression)?;
        match (&mut *buffer, compression) {
            (Buffer::Owned(_), Compression::None) => return Ok(None),
            (Buffer::Shared, other) if other != Compression::None => return Ok(None),
            (_, Compression::None) => {
                let to = whole.len() - self.records.len();
                let (from, known) = (to - batch.records.len(), records.len());
                let result = index(&batch, &whole[..to], from, self.first, records);
                if result.is_err() {
                    // Half a batch is not given out.
                    records.truncate(known);
                }
                result?;
                ready.extend(Whole::of(&batch, &records[known..], from..to));
                *buffer = Buffer::Shared;
            }
            (Buffer::Owned(out), _) => self.inflate(&batch, compression, limits, out, records)?,
            (_, _) => {
                let mut out =
                    Vec::with_capacity(batch.records.len().saturating_mul(2).min(limits.target_bytes));
                self.inflate(&batch, compression, limits, &mut out, records)?;
                *buffer = Buffer::Owned(out);
            }
        }
        Ok(end)
    }

    fn inflate(
        &self,
        batch: &crate::records::Batch,
        compression: Compression,
        limits: Limits,
        out: &mut Vec<u8>,
        records: &mut Vec<Record>,
    ) -> Result<(), Fault> {
        let (from, known) = (out.len(), records.len());
        let result = compression
            .decompress(&batch.records, out, limits.batch_bytes_max)
            .and_then(|()| index(batch, out, from, self.first, records));
        if result.is_err() {
            out.truncate(from);
            records.truncate(known);
        }
        result
    }

    fn fault(&self, base: Option<[u8; 8]>, fault: &Fault) -> Error {
        Error::Corrupt {
            topic: self.partition.topic.to_string(),
            partition: self.partition.partition,
            offset: base.map_or(self.first, i64::from_be_bytes),
            reason: fault.to_string(),
        }
    }
}
