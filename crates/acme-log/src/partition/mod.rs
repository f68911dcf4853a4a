//! One partition: what is appended to it and read from it.

use crate::{AppendError, Damage, ReadError};
use bytes::{Bytes, BytesMut};
use std::sync::Arc;
use tokio::sync::watch;

/// A partition. All of its methods may be called from any thread; [`Partition::append`] and [`Partition::read`] do one
/// write or read of a file each, which the page cache answers: a call from an async task is short.
#[derive(Debug)]
pub struct Partition(());

/// The borders of a partition at one moment. They only grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marks {
    /// The first offset that there is.
    pub log_start: i64,
    /// What is below is served: it is synced, or the topic's `flush.*` are relaxed.
    pub high_watermark: i64,
    /// What is below belongs to no open transaction (read_committed).
    pub last_stable: i64,
    /// What is below survives a power cut.
    pub synced: i64,
    /// Nothing moves any more: the topic was deleted, the log closed, the partition is offline.
    pub closed: bool,
}

/// Where batches come from, which decides what is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    /// A client. Its first batch of a transaction needs a guard (KIP-890): see [`Partition::verification`].
    Client {
        /// From before the transaction's coordinator was asked.
        guard: Option<Guard>,
    },
    /// The coordinators, into their own topics; transactions need no guard.
    Coordinator,
}

/// A proof that the coordinator was asked about a producer's transaction, void when that has ended meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guard(u64);

/// Whether the coordinator must be asked before a transactional batch is appended (KIP-890, part 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verification {
    /// The producer's transaction is open in this partition: append with `guard: None`.
    Open,
    /// Ask the coordinator, then append with this.
    Ask(Guard),
}

/// Batches that are in the log, though perhaps not yet on the disk.
#[derive(Clone, Debug)]
pub struct Appended {
    /// Offset of the first record.
    pub base_offset: i64,
    /// Offset of the last record.
    pub last_offset: i64,
    /// The time that was stamped on them, if the topic says `LogAppendTime`.
    pub append_time: Option<i64>,
    /// The first offset of the partition.
    pub log_start: i64,
    /// They had been appended before, as these very offsets (idempotence).
    pub duplicate: bool,
}

impl Appended {
    /// Waits until they may be acknowledged: they survive a power cut, or the topic's `flush.*` say that this need not be waited
    /// for. Cancel-safe.
    ///
    /// # Errors
    /// The sync failed, or the partition was closed before.
    pub async fn durable(&self) -> Result<(), AppendError> {
        unreachable!("being built")
    }
}

/// How far is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// To the high watermark (read_uncommitted).
    HighWatermark,
    /// To the last stable offset (read_committed).
    LastStable,
    /// To the end, synced or not: for coordinators that read back what they have written.
    End,
}

/// A transaction that was aborted: what the producer wrote from `first_offset` to its marker is skipped by readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aborted {
    /// Who.
    pub producer_id: i64,
    /// Its first offset in the partition.
    pub first_offset: i64,
}

/// Whole batches as they lie in the log.
#[derive(Clone, Debug)]
pub struct Slice {
    /// The batches; the first may begin below the offset that was asked for. Empty at the end.
    pub bytes: Bytes,
    /// The marks when it was read.
    pub marks: Marks,
    /// The aborted transactions in it, by their first offsets; only for [`Until::LastStable`].
    pub aborted: Vec<Aborted>,
}

/// An offset with its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedOffset {
    /// The offset.
    pub offset: i64,
    /// ms since 1970.
    pub timestamp: i64,
    /// The leader epoch of its batch.
    pub leader_epoch: i32,
}

/// A producer that the partition remembers (DescribeProducers).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActiveProducer {
    /// Who.
    pub producer_id: i64,
    /// Its epoch.
    pub producer_epoch: i16,
    /// Its last sequence, -1 for none.
    pub last_sequence: i32,
    /// When it wrote last, ms since 1970.
    pub last_timestamp: i64,
    /// The epoch of the coordinator that ended its last transaction, -1 for none.
    pub coordinator_epoch: i32,
    /// Where its open transaction begins, -1 for none.
    pub transaction_start: i64,
}

impl Partition {
    /// The topic's name.
    #[must_use]
    pub fn topic(&self) -> &str {
        unreachable!("being built")
    }

    /// Its number.
    #[must_use]
    pub fn number(&self) -> i32 {
        unreachable!("being built")
    }

    /// Appends one or more whole batches as they came from a client: all of them or none. They are in the log when this
    /// returns, and may be acknowledged when [`Appended::durable`] does (acks=0: nobody waits).
    ///
    /// A batch that is there already (idempotence) is answered with the offsets it has.
    pub fn append(&self, _batches: BytesMut, _from: Writer) -> Result<Appended, AppendError> {
        unreachable!("being built")
    }

    /// Asks whether a producer's transaction is open here; see [`Verification`].
    #[must_use]
    pub fn verification(&self, _producer_id: i64, _epoch: i16) -> Verification {
        unreachable!("being built")
    }

    /// Writes the marker that ends a producer's transaction here.
    ///
    /// `epoch`: the producer's, or one more with transaction.version 2 (KIP-890), which then fences what it sent before.
    pub fn end_transaction(
        &self,
        _producer_id: i64,
        _epoch: i16,
        _commit: bool,
        _coordinator_epoch: i32,
    ) -> Result<Appended, AppendError> {
        unreachable!("being built")
    }

    /// Waits until everything appended so far survives a power cut, also where the topic's `flush.*` are relaxed.
    pub async fn flushed(&self) -> Result<(), AppendError> {
        unreachable!("being built")
    }

    /// Reads whole batches from the one that holds `from`, at most `max_bytes` of them, but at least one if there is one
    /// (KIP-74). At the end the slice is empty: wait with [`Partition::watch`].
    pub fn read(&self, _from: i64, _max_bytes: usize, _until: Until) -> Result<Slice, ReadError> {
        unreachable!("being built")
    }

    /// The marks now.
    #[must_use]
    pub fn marks(&self) -> Marks {
        unreachable!("being built")
    }

    /// Wakes whenever a mark moves.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Marks> {
        unreachable!("being built")
    }

    /// The offset that the next record gets.
    #[must_use]
    pub fn end(&self) -> i64 {
        unreachable!("being built")
    }

    /// The current leader epoch.
    #[must_use]
    pub fn leader_epoch(&self) -> i32 {
        unreachable!("being built")
    }

    /// Why it is offline, if it is.
    #[must_use]
    pub fn damage(&self) -> Option<Arc<Damage>> {
        unreachable!("being built")
    }

    /// The first record at or after a time, below the high watermark (ListOffsets).
    pub fn offset_of_time(&self, _ms: i64) -> Result<Option<TimedOffset>, ReadError> {
        unreachable!("being built")
    }

    /// The record with the largest time (ListOffsets, max timestamp); the first of several.
    pub fn max_timestamp(&self) -> Result<Option<TimedOffset>, ReadError> {
        unreachable!("being built")
    }

    /// The largest epoch at or below this one, and the offset where it ends (OffsetForLeaderEpoch). `None`: no epoch is that old,
    /// or this one is in the future.
    #[must_use]
    pub fn end_of_epoch(&self, _epoch: i32) -> Option<(i32, i64)> {
        unreachable!("being built")
    }

    /// The epoch of an offset, for the responses that tell it.
    #[must_use]
    pub fn epoch_of(&self, _offset: i64) -> Option<i32> {
        unreachable!("being built")
    }

    /// Deletes what lies below an offset (DeleteRecords); -1: below the high watermark. Durable when it returns. Returns the new
    /// log start.
    pub fn delete_before(&self, _offset: i64) -> Result<i64, ReadError> {
        unreachable!("being built")
    }

    /// The producers that it remembers.
    #[must_use]
    pub fn producers(&self) -> Vec<ActiveProducer> {
        unreachable!("being built")
    }

    /// Bytes of its segments.
    #[must_use]
    pub fn size(&self) -> u64 {
        unreachable!("being built")
    }
}
