//! Tests of the whole crate, on a disk that is simulated where that is enough.

mod basics;
mod compaction;
mod crash;
mod fuzzed;
mod leftovers;
mod real;
mod transactions;
mod upkeep;
mod worlds;

use crate::options::Mistake;
use crate::simulated::{Rng, SimDisk};
use crate::{Log, Options, Partition, Until, Writer};
use acme_records::{BatchBuilder, BatchHeader, Compression, RawRecords, Stamp};
use bytes::{Bytes, BytesMut};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

pub(crate) const CLIENT: Writer = Writer::Client { guard: None };

/// A machine with its clock.
#[derive(Clone, Default)]
pub(crate) struct Machine {
    pub(crate) disk: SimDisk,
    pub(crate) clock: Arc<AtomicI64>,
    pub(crate) mistake: Option<Mistake>,
}

impl Machine {
    pub(crate) fn options(&self) -> Options {
        let clock = self.clock.clone();
        let mut options = Options::new(Arc::new(move || 1_000_000 + clock.load(Ordering::Relaxed)));
        options.disk = Arc::new(self.disk.clone());
        options.sync_threads = 0;
        options.sync_failed = Arc::new(|_, _| ());
        let count = AtomicI64::new(1);
        options.random = Arc::new(move || u128::try_from(count.fetch_add(1, Ordering::Relaxed)).unwrap());
        options.mistake = self.mistake;
        options
    }

    pub(crate) fn now(&self) -> i64 {
        1_000_000 + self.clock.load(Ordering::Relaxed)
    }

    pub(crate) fn pass(&self, ms: i64) {
        self.clock.fetch_add(ms, Ordering::Relaxed);
    }

    pub(crate) fn open(&self) -> Log {
        Log::open(Path::new("/data"), self.options()).unwrap()
    }
}

pub(crate) fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// A log with one topic `t` of one partition.
pub(crate) fn one(machine: &Machine, settings: &[(&str, &str)]) -> (Log, Arc<Partition>) {
    let log = machine.open();
    let topic = log.create_topic("t", 1, map(settings), false).unwrap();
    let partition = topic.partitions[0].clone();
    (log, partition)
}

pub(crate) fn partition(log: &Log) -> Arc<Partition> {
    log.topics().partition("t", 0).unwrap().clone()
}

/// A batch of records with these keys and values.
pub(crate) fn batch(
    stamp: Stamp,
    compression: Compression,
    records: &[(i64, Option<&str>, Option<&str>)],
) -> BytesMut {
    let mut builder = BatchBuilder::with_capacity(100);
    for (time, key, value) in records {
        builder.push(*time, key.map(str::as_bytes), value.map(str::as_bytes), &[]);
    }
    let parts = builder.finish(compression).unwrap().stamped(stamp);
    BytesMut::from(&parts.concat()[..])
}

/// One record of a value.
pub(crate) fn value(time: i64, text: &str) -> BytesMut {
    batch(Stamp::NONE, Compression::None, &[(time, None, Some(text))])
}

pub(crate) fn producer(producer_id: i64, epoch: i16, sequence: i32, transactional: bool) -> Stamp {
    Stamp { producer_id, producer_epoch: epoch, base_sequence: sequence, is_transactional: transactional }
}

pub(crate) fn headers(mut bytes: &[u8]) -> Vec<BatchHeader> {
    let mut all = Vec::new();
    while let Some(header) = BatchHeader::parse(bytes).unwrap() {
        bytes = &bytes[header.bytes..];
        all.push(header);
    }
    assert!(bytes.is_empty(), "batches come whole");
    all
}

/// All batches from an offset on, in small reads.
pub(crate) fn all(partition: &Partition, until: Until) -> Bytes {
    let mut out = BytesMut::new();
    let mut from = partition.marks().log_start;
    loop {
        let slice = partition.read(from, 150, until).unwrap();
        let Some(last) = headers(&slice.bytes).last().copied() else { return out.freeze() };
        from = last.next_offset();
        out.extend_from_slice(&slice.bytes);
    }
}

/// Offset, key and value of all records, markers left out.
pub(crate) fn records(bytes: &[u8]) -> Vec<(i64, String, String)> {
    let mut found = Vec::new();
    let mut rest = bytes;
    for header in headers(bytes) {
        let (batch, after) = rest.split_at(header.bytes);
        rest = after;
        acme_records::verify(batch).unwrap();
        if header.is_control() {
            continue;
        }
        let mut plain = Vec::new();
        let compression = Compression::of(header.compression()).unwrap();
        compression.decompress(&batch[acme_records::HEADER_BYTES..], &mut plain, 1 << 20).unwrap();
        for record in RawRecords::new(&header, &plain) {
            let record = record.unwrap();
            let text =
                |it: Option<&[u8]>| it.map_or("-".to_owned(), |it| String::from_utf8_lossy(it).into_owned());
            found.push((record.offset, text(record.key), text(record.value)));
        }
    }
    found
}

pub(crate) fn values(bytes: &[u8]) -> Vec<String> {
    records(bytes).into_iter().map(|(_, _, value)| value).collect()
}
