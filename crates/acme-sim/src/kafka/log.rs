//! One replica of a partition: its batches, what a producer may append, what a reader may see.
//!
//! Everything that a broker knows of producers and transactions is read off the batches each time, so that nothing can
//! be left over when a log is cut.

use super::Plant;
use acme_kafka::kafka_protocol::records::{Record, RecordBatchDecoder};
use bytes::{Bytes, BytesMut};
use std::collections::{BTreeMap, BTreeSet};

/// Bytes of a batch before its records.
const HEADER: usize = 61;
/// As many batches of a producer as a broker remembers.
const REMEMBERED: usize = 5;

/// A batch as it lies in the log.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Offset of the first record.
    pub base: i64,
    /// Offset of the last record.
    pub last: i64,
    /// The leader epoch it was written in.
    pub epoch: i32,
    pub(super) producer: i64,
    pub(super) producer_epoch: i16,
    pub(super) sequence: i32,
    pub(super) transactional: bool,
    /// A marker: whether it commits.
    pub(super) marker: Option<bool>,
    pub(super) bytes: Bytes,
}

impl Batch {
    /// Reads the header; `None` if it is not whole or its checksum is wrong.
    pub(super) fn read(bytes: &Bytes) -> Option<Self> {
        let i32_at =
            |at: usize| bytes.get(at..at + 4).map(|four| i32::from_be_bytes(four.try_into().expect("four")));
        let i64_at = |at: usize| {
            bytes.get(at..at + 8).map(|eight| i64::from_be_bytes(eight.try_into().expect("eight")))
        };
        let i16_at =
            |at: usize| bytes.get(at..at + 2).map(|two| i16::from_be_bytes(two.try_into().expect("two")));
        let whole =
            bytes.len() >= HEADER && usize::try_from(i32_at(8)?).ok()? + 12 == bytes.len() && bytes[16] == 2;
        if !whole || i32_at(17)?.cast_unsigned() != crc32c::crc32c(&bytes[21..]) {
            return None;
        }
        let (base, attributes) = (i64_at(0)?, i16_at(21)?);
        Some(Self {
            base,
            last: base + i64::from(i32_at(23)?),
            epoch: i32_at(12)?,
            producer: i64_at(43)?,
            producer_epoch: i16_at(51)?,
            sequence: i32_at(53)?,
            transactional: attributes & 0x10 != 0,
            marker: None,
            bytes: bytes.clone(),
        })
    }

    fn count(&self) -> i32 {
        i32::try_from(self.last - self.base + 1).expect("batches are small")
    }

    fn last_sequence(&self) -> i32 {
        self.sequence.wrapping_add(self.count() - 1) & i32::MAX
    }

    /// Gives the batch its place. The checksum covers neither.
    fn placed(mut self, base: i64, epoch: i32) -> Self {
        let mut bytes = BytesMut::from(&self.bytes[..]);
        bytes[..8].copy_from_slice(&base.to_be_bytes());
        bytes[12..16].copy_from_slice(&epoch.to_be_bytes());
        self.last = base + i64::from(self.count() - 1);
        (self.base, self.epoch, self.bytes) = (base, epoch, bytes.freeze());
        self
    }

    /// Another sequence number, with the checksum that it needs.
    fn renumbered(mut self, sequence: i32) -> Self {
        let mut bytes = BytesMut::from(&self.bytes[..]);
        bytes[53..57].copy_from_slice(&sequence.to_be_bytes());
        let checksum = crc32c::crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&checksum.to_be_bytes());
        (self.sequence, self.bytes) = (sequence, bytes.freeze());
        self
    }

    /// A batch of these values, of no producer.
    #[must_use]
    pub fn plain(values: &[String]) -> Vec<u8> {
        let mut records = Vec::new();
        for (delta, value) in values.iter().enumerate() {
            // Lengths are zigzag: small ones of one byte, twice what they are.
            let byte = |number: usize| u8::try_from(number).expect("values are short");
            let body =
                [&[0, 0, byte(delta * 2), 1, byte(value.len() * 2)][..], value.as_bytes(), &[0]].concat();
            records.push(byte(body.len() * 2));
            records.extend_from_slice(&body);
        }
        let count = i32::try_from(values.len()).expect("they are few");
        Self::framed(0, -1, -1, count, &records)
    }

    fn framed(attributes: u8, producer: i64, producer_epoch: i16, count: i32, records: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&0_i64.to_be_bytes());
        let length = i32::try_from(HEADER - 12 + records.len()).expect("it is small");
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(&[0, 0, 0, 0, 2, 0, 0, 0, 0, 0, attributes]);
        bytes.extend_from_slice(&(count - 1).to_be_bytes());
        bytes.extend_from_slice(&[0; 16]);
        bytes.extend_from_slice(&producer.to_be_bytes());
        bytes.extend_from_slice(&producer_epoch.to_be_bytes());
        bytes.extend_from_slice(&(-1_i32).to_be_bytes());
        bytes.extend_from_slice(&count.to_be_bytes());
        bytes.extend_from_slice(records);
        let checksum = crc32c::crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&checksum.to_be_bytes());
        bytes
    }

    /// A marker that ends a producer's transaction (KIP-98, "Control Messages").
    pub(super) fn end_of(producer: i64, producer_epoch: i16, commits: bool) -> Self {
        // Length, attributes, two deltas, a key of four bytes, a value of six, no headers; lengths are zigzag.
        let record = [&[32, 0, 0, 0, 8, 0, 0, 0, u8::from(commits), 12][..], &[0; 6], &[0]].concat();
        let bytes = Self::framed(0x30, producer, producer_epoch, 1, &record);
        let batch = Self::read(&bytes.into()).expect("it was just written");
        Self { marker: Some(commits), ..batch }
    }

    /// Its records, read by another decoder than the client's; none of a marker.
    fn records(&self) -> Vec<Record> {
        if self.marker.is_some() {
            return Vec::new();
        }
        RecordBatchDecoder::decode(&mut self.bytes.clone()).expect("its checksum was right").records
    }
}

/// What became of an append.
pub(super) enum Appended {
    /// It is, or was already, in the log, from here to there.
    At(i64, i64),
    Refused(i16),
}

/// The copy of a partition that one broker has.
#[derive(Clone, Debug, Default)]
pub(super) struct Replica {
    pub(super) batches: Vec<Batch>,
    /// Leader epochs and where they begin.
    epochs: Vec<(i32, i64)>,
    pub(super) high_watermark: i64,
}

impl Replica {
    pub(super) fn end(&self) -> i64 {
        self.batches.last().map_or(0, |batch| batch.last + 1)
    }

    /// The broker begins to lead.
    pub(super) fn lead(&mut self, epoch: i32) {
        let end = self.end();
        self.epochs.retain(|(known, start)| *known < epoch && *start < end);
        self.epochs.push((epoch, end));
    }

    /// Where an epoch ends: the largest one known that is not above, and its end (KIP-101, KIP-279).
    pub(super) fn end_of_epoch(&self, epoch: i32) -> (i32, i64) {
        let next = self.epochs.iter().find(|(known, _)| *known > epoch);
        let end = next.map_or(self.end(), |(_, start)| *start);
        match self.epochs.iter().rev().find(|(known, _)| *known <= epoch) {
            Some((known, _)) => (*known, end),
            None if self.epochs.is_empty() => (-1, -1),
            None => (epoch, end),
        }
    }

    /// Becomes what the leader has.
    pub(super) fn follow(&mut self, leader: &Self) {
        self.batches.clone_from(&leader.batches);
        self.epochs.clone_from(&leader.epochs);
        self.high_watermark = leader.high_watermark.min(self.end());
    }

    /// Appends what a producer sends if its numbers allow it.
    ///
    /// Source: Kafka's `ProducerAppendInfo` and `ProducerStateEntry`.
    pub(super) fn append(&mut self, batch: Batch, epoch: i32, plant: Plant) -> Appended {
        let batch = match (plant, self.state_of(batch.producer)) {
            (Plant::NewSequence, Some((known, last, _)))
                if known == batch.producer_epoch && batch.sequence >= 0 =>
            {
                batch.renumbered(last.wrapping_add(1) & i32::MAX)
            }
            _ => batch,
        };
        if batch.producer >= 0
            && plant != Plant::NoDedup
            && let Some(answer) = self.judge(&batch)
        {
            return answer;
        }
        let base = self.end();
        let batch = batch.placed(base, epoch);
        let last = batch.last;
        self.batches.push(batch);
        Appended::At(base, last)
    }

    /// Appends a marker.
    pub(super) fn mark(&mut self, marker: Batch, epoch: i32) -> i64 {
        let marker = marker.placed(self.end(), epoch);
        let last = marker.last;
        self.batches.push(marker);
        last
    }

    /// Epoch, last sequence number and remembered batches of a producer.
    fn state_of(&self, producer: i64) -> Option<(i16, i32, Vec<&Batch>)> {
        let own = self.batches.iter().rev().filter(|batch| batch.producer == producer);
        let epoch = own.clone().next()?.producer_epoch;
        let data = own.filter(|batch| batch.marker.is_none() && batch.producer_epoch == epoch);
        let remembered: Vec<&Batch> = data.take(REMEMBERED).collect();
        let last = remembered.first().map_or(-1, |batch| batch.last_sequence());
        Some((epoch, last, remembered))
    }

    fn judge(&self, batch: &Batch) -> Option<Appended> {
        let (epoch, last, remembered) = self.state_of(batch.producer)?;
        if batch.producer_epoch < epoch {
            return Some(Appended::Refused(47));
        }
        if batch.producer_epoch > epoch {
            return (batch.sequence != 0).then_some(Appended::Refused(45));
        }
        let same = |known: &&&Batch| known.sequence == batch.sequence && known.count() == batch.count();
        if let Some(known) = remembered.iter().find(same) {
            return Some(Appended::At(known.base, known.last));
        }
        let next = if last < 0 { 0 } else { last.wrapping_add(1) & i32::MAX };
        (batch.sequence != next).then_some(Appended::Refused(45))
    }

    /// The first offset of each open transaction, by producer.
    fn open(&self) -> BTreeMap<i64, i64> {
        let mut open = BTreeMap::new();
        for batch in self.batches.iter().filter(|batch| batch.transactional) {
            if batch.marker.is_some() {
                open.remove(&batch.producer);
            } else {
                open.entry(batch.producer).or_insert(batch.base);
            }
        }
        open
    }

    pub(super) fn last_stable_offset(&self) -> i64 {
        self.open().into_values().chain([self.high_watermark]).min().unwrap_or(0).min(self.high_watermark)
    }

    /// Aborted transactions of which something lies between: producer and first offset.
    pub(super) fn aborted(&self, from: i64, to: i64) -> Vec<(i64, i64)> {
        let (mut open, mut aborted) = (BTreeMap::new(), Vec::new());
        for batch in self.batches.iter().filter(|batch| batch.transactional) {
            match batch.marker {
                None => {
                    open.entry(batch.producer).or_insert(batch.base);
                }
                Some(commits) => {
                    let first = open.remove(&batch.producer);
                    if let Some(first) = first.filter(|first| !commits && batch.last >= from && *first < to) {
                        aborted.push((batch.producer, first));
                    }
                }
            }
        }
        aborted
    }

    /// Whole batches from the one that holds `from`, below `to`, up to so many bytes, but one at least.
    pub(super) fn read(&self, from: i64, to: i64, bytes_max: usize) -> Vec<&Batch> {
        let mut bytes = 0;
        let wanted = self.batches.iter().filter(|batch| batch.last >= from && batch.last < to);
        let fits = |batch: &&Batch| {
            let fits = bytes == 0 || bytes + batch.bytes.len() <= bytes_max;
            bytes += batch.bytes.len();
            fits
        };
        wanted.take_while(fits).collect()
    }

    /// What the records say, with their offsets: those of committed transactions, or all.
    pub(super) fn values(&self, committed: bool) -> Vec<(i64, String)> {
        let mut ends: BTreeMap<i64, Vec<(i64, bool)>> = BTreeMap::new();
        for batch in &self.batches {
            ends.entry(batch.producer).or_default().extend(batch.marker.map(|commits| (batch.base, commits)));
        }
        let visible = |batch: &&Batch| {
            let end = ends[&batch.producer].iter().find(|(at, _)| *at > batch.base);
            !committed || !batch.transactional || end.is_some_and(|(_, commits)| *commits)
        };
        let records = self.batches.iter().filter(visible).flat_map(Batch::records);
        let text = |record: Record| {
            let value = record.value.unwrap_or_default();
            (record.offset, String::from_utf8_lossy(&value).into_owned())
        };
        records.map(text).collect()
    }

    /// Producers with an open transaction.
    pub(super) fn open_producers(&self) -> BTreeSet<i64> {
        self.open().into_keys().collect()
    }
}
