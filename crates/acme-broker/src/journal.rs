//! A topic of the broker's own: what coordinators write so that a restart finds it again.

use crate::codec::Entry;
use crate::error::{self, Code};
use acme_log::{Appended, Log, Partition, Topic, Until, Writer};
use acme_records::{BatchBuilder, Compression, Stamp, index, marker_is_abort, next_batch};
use bytes::BytesMut;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Bytes read at once when a topic is loaded.
const READ: usize = 4 << 20;
/// Bytes that a batch may decompress to: nobody but the broker writes here, and it does not compress.
const DECOMPRESSED_MAX: usize = 256 << 20;
/// How Kafka sets up its own topics; a group of thousands of members is one record.
const SETTINGS: [(&str, &str); 3] =
    [("cleanup.policy", "compact"), ("segment.bytes", "104857600"), ("max.message.bytes", "104857588")];
/// Partitions of a topic of the broker's own. Kafka has 50, to spread them over brokers. Here one file is synced for
/// everybody's acknowledgement instead of fifty; what a topic of another number says is read all the same.
const PARTITIONS: u32 = 1;

/// One of the broker's own topics. It is made when it is first written to.
pub(crate) struct Journal {
    log: Log,
    name: &'static str,
}

/// What lies in a topic.
pub(crate) enum Found<'a> {
    /// A record; with the producer if it waits for the end of a transaction.
    Record { offset: i64, producer: Option<i64>, key: &'a [u8], value: Option<&'a [u8]> },
    /// The end of a transaction.
    Marker { producer: i64, commit: bool },
}

impl Journal {
    pub(crate) fn new(log: Log, name: &'static str) -> Self {
        Self { log, name }
    }

    fn topic(&self) -> Result<Arc<Topic>, Code> {
        if let Some(topic) = self.log.topics().named(self.name) {
            return Ok(Arc::clone(topic));
        }
        let settings: BTreeMap<String, String> =
            SETTINGS.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        match self.log.create_topic(self.name, PARTITIONS, settings, true) {
            Ok(topic) => Ok(topic),
            Err(acme_log::Error::TopicExists(_)) => {
                self.log.topics().named(self.name).cloned().ok_or(Code::CoordinatorNotAvailable)
            }
            Err(_) => Err(Code::CoordinatorNotAvailable),
        }
    }

    /// The number of the partition that a name belongs to, as Kafka computes it.
    pub(crate) fn number(&self, name: &str) -> Result<i32, Code> {
        let count = i32::try_from(self.topic()?.partitions.len()).unwrap_or(i32::MAX).max(1);
        let hash =
            name.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
        // `Utils.abs` of Kafka: the smallest number becomes 0.
        Ok(if hash == i32::MIN { 0 } else { hash.abs() } % count)
    }

    pub(crate) fn partition(&self, name: &str) -> Result<Arc<Partition>, Code> {
        let number = usize::try_from(self.number(name)?).unwrap_or(0);
        self.topic()?.partitions.get(number).cloned().ok_or(Code::CoordinatorNotAvailable)
    }

    /// Appends records as one batch: all or none of them survive.
    pub(crate) fn append(
        &self,
        name: &str,
        entries: &[Entry],
        stamp: Stamp,
        now_ms: i64,
    ) -> Result<Appended, Code> {
        let partition = self.partition(name)?;
        let size =
            entries.iter().map(|entry| entry.key.len() + entry.value.as_ref().map_or(0, |v| v.len()) + 40);
        let mut batch = BatchBuilder::with_capacity(size.sum());
        for entry in entries {
            batch.push(now_ms, Some(&entry.key), entry.value.as_deref(), &[]);
        }
        let batch = batch.finish(Compression::None).map_err(|_| Code::UnknownServerError)?;
        let mut bytes = BytesMut::with_capacity(batch.bytes());
        batch.stamped(stamp).iter().for_each(|part| bytes.extend_from_slice(part));
        partition
            .append(bytes, Writer::Coordinator)
            .map_err(|fault| coordinator_error(error::of_append(&fault)))
    }

    /// Reads everything, oldest first. What is damaged ends the start: a coordinator that has forgotten something would
    /// answer wrongly for ever.
    pub(crate) fn load(&self, mut each: impl FnMut(i32, Found<'_>)) -> Result<(), String> {
        let topics = self.log.topics();
        let Some(topic) = topics.named(self.name) else { return Ok(()) };
        for partition in &topic.partitions {
            self.load_partition(partition, &mut |found| each(partition.number(), found))
                .map_err(|why| format!("{}-{}: {why}", self.name, partition.number()))?;
        }
        Ok(())
    }

    fn load_partition(&self, partition: &Partition, each: &mut dyn FnMut(Found<'_>)) -> Result<(), String> {
        let mut at = partition.marks().log_start;
        loop {
            let slice = partition.read(at, READ, Until::End).map_err(|error| error.to_string())?;
            let mut bytes = slice.bytes;
            let before = at;
            while let Some(batch) = next_batch(&mut bytes, true).map_err(|error| error.to_string())? {
                at = batch.last_offset + 1;
                if batch.is_control {
                    if let Some(abort) = marker_is_abort(&batch).map_err(|error| error.to_string())? {
                        each(Found::Marker { producer: batch.producer_id, commit: !abort });
                    }
                    continue;
                }
                let (mut records, mut buffer) = (Vec::new(), Vec::new());
                let compression = Compression::of(batch.compression).map_err(|error| error.to_string())?;
                compression
                    .decompress(&batch.records, &mut buffer, DECOMPRESSED_MAX)
                    .map_err(|error| error.to_string())?;
                index(&batch, &buffer, 0, before, &mut records).map_err(|error| error.to_string())?;
                let producer = batch.is_transactional.then_some(batch.producer_id);
                for record in &records {
                    let (key, value) = (record.key(&buffer), record.value(&buffer));
                    let key = key.unwrap_or_default();
                    each(Found::Record { offset: record.offset, producer, key, value });
                }
            }
            if at == before {
                return Ok(());
            }
        }
    }
}

/// What a client is told when a coordinator cannot write: something that it tries again.
fn coordinator_error(code: Code) -> Code {
    match code {
        Code::InvalidProducerEpoch | Code::InvalidTxnState | Code::TransactionCoordinatorFenced => code,
        Code::MessageTooLarge => Code::UnknownServerError,
        Code::NotLeaderOrFollower => Code::NotCoordinator,
        _ => Code::CoordinatorNotAvailable,
    }
}
