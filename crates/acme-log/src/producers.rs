//! What a partition remembers of its producers: sequences, epochs, open transactions. No disk, no clock.
//!
//! Source: KIP-98, KIP-360, KIP-890; Kafka's ProducerStateManager and ProducerAppendInfo decide where those are silent.

use crate::partition::ActiveProducer;
use crate::{Aborted, AppendError};
use acme_records::BatchHeader;
use std::collections::{BTreeMap, VecDeque};

/// Batches of a producer whose repetition is recognised: what a producer may have in flight.
const KEPT: usize = 5;

/// A batch that is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kept {
    first_sequence: i32,
    last_sequence: i32,
    first_offset: i64,
    last_offset: i64,
    timestamp: i64,
}

/// What is known of one producer.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Producer {
    /// -1 before its first batch.
    epoch: i16,
    /// Its last batches, oldest first, all of `epoch`.
    batches: VecDeque<Kept>,
    coordinator_epoch: i32,
    last_timestamp: i64,
    transaction_start: Option<i64>,
}

impl Producer {
    const NEW: Self = Self {
        epoch: -1,
        batches: VecDeque::new(),
        coordinator_epoch: -1,
        last_timestamp: -1,
        transaction_start: None,
    };

    fn last_sequence(&self) -> i32 {
        self.batches.back().map_or(-1, |batch| batch.last_sequence)
    }
}

/// An aborted transaction, as the index of a segment has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AbortedRange {
    pub(crate) producer_id: i64,
    pub(crate) first_offset: i64,
    /// That of the marker.
    pub(crate) last_offset: i64,
    /// When the marker was written.
    pub(crate) last_stable: i64,
}

impl AbortedRange {
    pub(crate) fn public(&self) -> Aborted {
        Aborted { producer_id: self.producer_id, first_offset: self.first_offset }
    }
}

/// What a batch of a producer is to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// To be appended.
    New,
    /// It is there, as these offsets.
    Duplicate {
        /// First.
        first_offset: i64,
        /// Last.
        last_offset: i64,
        /// The time it was appended with.
        timestamp: i64,
    },
}

/// All producers of a partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Producers {
    /// By id; ordered, so that a snapshot of the same state has the same bytes.
    all: BTreeMap<i64, Producer>,
    /// First offsets of open transactions.
    open: BTreeMap<i64, i64>,
    /// First offsets of transactions whose markers may not be synced yet, with the offset of the marker.
    ended: BTreeMap<i64, i64>,
}

impl Producers {
    /// Judges a batch that a producer sends. Changes nothing.
    pub(crate) fn judge(&self, header: &BatchHeader) -> Result<Verdict, AppendError> {
        let (producer_id, epoch) = (header.producer_id, header.producer_epoch);
        let known = self.all.get(&producer_id).unwrap_or(const { &Producer::NEW });
        let (first, last) = (header.base_sequence, header.last_sequence());
        if epoch == known.epoch
            && let Some(kept) =
                known.batches.iter().find(|kept| (kept.first_sequence, kept.last_sequence) == (first, last))
        {
            return Ok(Verdict::Duplicate {
                first_offset: kept.first_offset,
                last_offset: kept.last_offset,
                timestamp: kept.timestamp,
            });
        }
        if epoch < known.epoch {
            return Err(AppendError::InvalidProducerEpoch {
                producer_id,
                found: epoch,
                current: known.epoch,
            });
        }
        let follows = if known.epoch == -1 || first < 0 {
            // A producer that was forgotten, or never was: whatever it begins with. Coordinators have no sequences.
            true
        } else if epoch > known.epoch {
            first == 0
        } else {
            follows(known.last_sequence(), first)
        };
        if !follows {
            let last = if epoch == known.epoch { known.last_sequence() } else { -1 };
            return Err(AppendError::OutOfOrderSequence { producer_id, found: first, last });
        }
        if known.transaction_start.is_some() && !header.is_transactional() {
            let reason = format!("producer {producer_id} has a transaction and sends a batch outside of it");
            return Err(AppendError::InvalidTransactionState(reason));
        }
        Ok(Verdict::New)
    }

    /// Judges a marker. Changes nothing.
    pub(crate) fn judge_marker(
        &self,
        producer_id: i64,
        epoch: i16,
        coordinator_epoch: i32,
    ) -> Result<(), AppendError> {
        let known = self.all.get(&producer_id).unwrap_or(const { &Producer::NEW });
        if epoch < known.epoch {
            let current = known.epoch;
            return Err(AppendError::InvalidProducerEpoch { producer_id, found: epoch, current });
        }
        if coordinator_epoch < known.coordinator_epoch {
            let current = known.coordinator_epoch;
            return Err(AppendError::CoordinatorFenced { found: coordinator_epoch, current });
        }
        Ok(())
    }

    /// Takes a batch of records in, whose offsets are final. Batches without a producer change nothing.
    pub(crate) fn appended(&mut self, header: &BatchHeader) {
        if header.producer_id < 0 || header.is_control() {
            return;
        }
        let producer = self.all.entry(header.producer_id).or_insert(Producer::NEW);
        if header.producer_epoch != producer.epoch {
            producer.epoch = header.producer_epoch;
            producer.batches.clear();
        }
        if header.base_sequence >= 0 {
            producer.batches.push_back(Kept {
                first_sequence: header.base_sequence,
                last_sequence: header.last_sequence(),
                first_offset: header.base_offset,
                last_offset: header.last_offset(),
                timestamp: header.max_timestamp,
            });
            if producer.batches.len() > KEPT {
                producer.batches.pop_front();
            }
        }
        producer.last_timestamp = header.max_timestamp;
        if header.is_transactional() && producer.transaction_start.is_none() {
            producer.transaction_start = Some(header.base_offset);
            self.open.insert(header.base_offset, header.producer_id);
        }
    }

    /// Takes a marker in, whose offset is final. Returns what readers must skip from now on.
    pub(crate) fn ended(
        &mut self,
        header: &BatchHeader,
        commit: bool,
        coordinator_epoch: i32,
    ) -> Option<AbortedRange> {
        let producer = self.all.entry(header.producer_id).or_insert(Producer::NEW);
        if header.producer_epoch != producer.epoch {
            producer.epoch = header.producer_epoch;
            producer.batches.clear();
        }
        producer.coordinator_epoch = coordinator_epoch;
        producer.last_timestamp = header.max_timestamp;
        // A transaction without records here holds nobody up.
        let first_offset = producer.transaction_start.take()?;
        let marker = header.base_offset;
        self.open.remove(&first_offset);
        let last_stable = self.open.first_key_value().map_or(marker + 1, |(first, _)| *first);
        self.ended.insert(first_offset, marker);
        let producer_id = header.producer_id;
        (!commit).then_some(AbortedRange { producer_id, first_offset, last_offset: marker, last_stable })
    }

    /// The last stable offset, if this is the high watermark: the first offset of a transaction that is open, or whose marker is
    /// not below it.
    pub(crate) fn last_stable(&mut self, high_watermark: i64) -> i64 {
        self.ended.retain(|_, marker| *marker >= high_watermark);
        let open = self.open.first_key_value().map(|(first, _)| *first);
        let ended = self.ended.first_key_value().map(|(first, _)| *first);
        high_watermark.min(open.unwrap_or(i64::MAX)).min(ended.unwrap_or(i64::MAX))
    }

    /// Whether the producer's transaction of this epoch is open.
    pub(crate) fn is_open(&self, producer_id: i64, epoch: i16) -> bool {
        self.all.get(&producer_id).is_some_and(|it| it.transaction_start.is_some() && it.epoch == epoch)
    }

    /// Forgets who has not written for so long, unless it has a transaction.
    pub(crate) fn expire(&mut self, before_ms: i64) -> usize {
        let count = self.all.len();
        self.all.retain(|_, it| it.transaction_start.is_some() || it.last_timestamp >= before_ms);
        count - self.all.len()
    }

    /// Last offsets of the last batches of all producers: compaction keeps these batches, for their sequences.
    pub(crate) fn last_batches(&self) -> Vec<i64> {
        self.all.values().filter_map(|it| it.batches.back()).map(|kept| kept.last_offset).collect()
    }

    /// As it is shown.
    pub(crate) fn shown(&self) -> Vec<ActiveProducer> {
        let one = |(producer_id, it): (&i64, &Producer)| ActiveProducer {
            producer_id: *producer_id,
            producer_epoch: it.epoch,
            last_sequence: it.last_sequence(),
            last_timestamp: it.last_timestamp,
            coordinator_epoch: it.coordinator_epoch,
            transaction_start: it.transaction_start.unwrap_or(-1),
        };
        self.all.iter().map(one).collect()
    }

    /// The state as bytes, for a snapshot.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64 * self.all.len() + 8);
        out.extend_from_slice(&(self.all.len() as u64).to_be_bytes());
        for (producer_id, it) in &self.all {
            out.extend_from_slice(&producer_id.to_be_bytes());
            out.extend_from_slice(&it.epoch.to_be_bytes());
            out.extend_from_slice(&it.coordinator_epoch.to_be_bytes());
            out.extend_from_slice(&it.last_timestamp.to_be_bytes());
            out.extend_from_slice(&it.transaction_start.unwrap_or(-1).to_be_bytes());
            out.push(it.batches.len() as u8);
            for kept in &it.batches {
                out.extend_from_slice(&kept.first_sequence.to_be_bytes());
                out.extend_from_slice(&kept.last_sequence.to_be_bytes());
                out.extend_from_slice(&kept.first_offset.to_be_bytes());
                out.extend_from_slice(&kept.last_offset.to_be_bytes());
                out.extend_from_slice(&kept.timestamp.to_be_bytes());
            }
        }
        out
    }

    /// The state from bytes whose checksum was right; `None` if they are malformed all the same.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = crate::format::Reader(bytes);
        let mut producers = Self::default();
        for _ in 0..reader.u64()? {
            let producer_id = reader.i64()?;
            let epoch = reader.i16()?;
            let coordinator_epoch = reader.i32()?;
            let last_timestamp = reader.i64()?;
            let transaction_start = Some(reader.i64()?).filter(|offset| *offset >= 0);
            let mut batches = VecDeque::new();
            for _ in 0..reader.u8()? {
                batches.push_back(Kept {
                    first_sequence: reader.i32()?,
                    last_sequence: reader.i32()?,
                    first_offset: reader.i64()?,
                    last_offset: reader.i64()?,
                    timestamp: reader.i64()?,
                });
            }
            if let Some(first) = transaction_start {
                producers.open.insert(first, producer_id);
            }
            let it = Producer { epoch, batches, coordinator_epoch, last_timestamp, transaction_start };
            producers.all.insert(producer_id, it);
        }
        reader.0.is_empty().then_some(producers)
    }
}

/// After the largest sequence comes 0.
fn follows(last: i32, next: i32) -> bool {
    if last == i32::MAX { next == 0 } else { next == last + 1 }
}
