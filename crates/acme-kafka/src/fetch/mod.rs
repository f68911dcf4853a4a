//! Reading: assigned partitions with positions go in, records come out, and nothing is ever reset by itself.
//!
//! One task per broker fetches ahead while the budget of bytes lasts; one more finds leaders and checks, when a leader
//! changes, that the log was not cut below a position (KIP-320). What comes out is decoded by whoever calls
//! [`Fetcher::next`], so that a slow reader slows the fetching.

mod chunk;
mod keeper;
mod session;
mod state;
mod worker;

use crate::client::{Client, TopicPartition};
use crate::error::Result;
use crate::offsets::Isolation;
use crate::records::{Record, Whole};
use bytes::Bytes;
use chunk::Limits;
use state::Shared;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use uuid::Uuid;

/// Settings of a [`Fetcher`]; the names in brackets are those of Kafka's consumer.
#[derive(Clone, Debug)]
pub struct FetchOptions {
    /// Where this reader is (`client.rack`): brokers that know name a replica of the same rack, which is read in the leader's
    /// place (KIP-392).
    pub rack: Option<String>,
    /// Which transactional records are seen (`isolation.level`).
    pub isolation: Isolation,
    /// How long a broker may wait for `min_bytes` (`fetch.max.wait.ms`).
    pub max_wait: Duration,
    /// What a broker should have before it answers (`fetch.min.bytes`).
    pub min_bytes: i32,
    /// The most bytes of one response (`fetch.max.bytes`); a single batch may be larger (KIP-74).
    pub max_bytes: i32,
    /// The most bytes of one partition in a response (`max.partition.fetch.bytes`).
    pub partition_max_bytes: i32,
    /// Bytes that are fetched ahead, all brokers together. One batch per broker may come on top.
    pub prefetch_bytes: usize,
    /// Whether checksums are verified (`check.crcs`); it costs next to nothing.
    pub check_crcs: bool,
    /// Decompressed bytes after which a [`Fetched`] ends.
    pub decoded_bytes: usize,
    /// The most bytes that may come out of one compressed batch.
    pub batch_bytes_max: usize,
}

impl Default for FetchOptions {
    fn default() -> Self {
        Self {
            rack: None,
            isolation: Isolation::default(),
            max_wait: Duration::from_millis(500),
            min_bytes: 1,
            max_bytes: 2 * 1024 * 1024,
            partition_max_bytes: 1024 * 1024,
            prefetch_bytes: 8 * 1024 * 1024,
            check_crcs: true,
            decoded_bytes: 4 * 1024 * 1024,
            batch_bytes_max: 256 * 1024 * 1024,
        }
    }
}

/// Where reading begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The offset of the next record.
    pub offset: i64,
    /// The leader epoch of the record before it, -1 if unknown. Known, it shows whether the log was cut since.
    pub leader_epoch: i32,
    /// The id of the topic that the offset belongs to, nil if unknown.
    pub topic_id: Uuid,
}

impl Position {
    /// A position of which only the offset is known.
    #[must_use]
    pub fn at(offset: i64) -> Self {
        Self { offset, leader_epoch: -1, topic_id: Uuid::nil() }
    }
}

/// Records of one partition, in offset order. Gaps come from compaction and from what an isolation level hides.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The name of the topic.
    pub topic: Arc<str>,
    /// The id of the topic, nil on clusters without ids.
    pub topic_id: Uuid,
    /// The number of the partition.
    pub partition: i32,
    /// The records; none if only the position has moved (markers, aborted or compacted records).
    pub records: Vec<Record>,
    /// What the records lie in: a slice of the response, or what was decompressed.
    pub buffer: Bytes,
    /// Batches of the buffer that may be written again as they are: see [`Producer::send_whole`](crate::Producer::send_whole).
    pub ready: Vec<Whole>,
    /// The leader epoch of the last batch, -1 if there was none.
    pub leader_epoch: i32,
    /// The position after this.
    pub next_offset: i64,
    /// The offset after the last replicated record, when this was fetched.
    pub high_watermark: i64,
    /// The offset of the first record of an open transaction, or the high watermark.
    pub last_stable_offset: i64,
    /// The first offset of the log.
    pub log_start: i64,
}

/// Reads assigned partitions. Dropping it ends its tasks and closes its connections.
#[derive(Debug)]
pub struct Fetcher {
    shared: Arc<Shared>,
    keeper: AbortHandle,
    limits: Limits,
}

impl Fetcher {
    /// The broker that a partition is read from at the moment: its leader, or a replica that is nearer.
    #[must_use]
    pub fn broker(&self, partition: &TopicPartition) -> Option<i32> {
        self.shared.lock().parts.get(partition)?.broker()
    }

    /// A fetcher without partitions. Must be called on a runtime.
    #[must_use]
    pub fn new(client: Client, options: FetchOptions) -> Self {
        let limits = Limits {
            target_bytes: options.decoded_bytes,
            batch_bytes_max: options.batch_bytes_max,
            check_crcs: options.check_crcs,
            read_committed: options.isolation == Isolation::ReadCommitted,
        };
        let shared = Arc::new(Shared::new(client, options));
        let keeper = tokio::spawn(keeper::keep(shared.clone())).abort_handle();
        Self { shared, keeper, limits }
    }

    /// Adds partitions. One that is assigned already begins anew at the position.
    pub fn assign(&mut self, partitions: &[(TopicPartition, Position)]) {
        self.shared.assign(partitions);
    }

    /// Takes partitions away; nothing of them comes out any more.
    pub fn revoke(&mut self, partitions: &[TopicPartition]) {
        self.shared.revoke(partitions);
    }

    /// Stops fetching partitions, and holds back what was fetched of them.
    pub fn pause(&mut self, partitions: &[TopicPartition]) {
        self.shared.pause(partitions, true);
    }

    /// Goes on with paused partitions.
    pub fn resume(&mut self, partitions: &[TopicPartition]) {
        self.shared.pause(partitions, false);
    }

    /// The partitions that are assigned.
    #[must_use]
    pub fn assignment(&self) -> Vec<TopicPartition> {
        self.shared.assignment()
    }

    /// The next records, of any partition. Waits for them; dropping the wait loses nothing.
    ///
    /// # Errors
    /// [`crate::Error::OutOfRange`], [`crate::Error::Truncated`], [`crate::Error::TopicRecreated`],
    /// [`crate::Error::Corrupt`] or a fatal [`crate::Error::Broker`]: the partition is no longer fetched until it is
    /// assigned anew; others go on. A transient error (see [`crate::Class::is_transient`]) is a report that a partition
    /// could not be fetched for `operation_timeout`; it is still being tried.
    pub async fn next(&mut self) -> Result<Fetched> {
        let mut ready = self.shared.subscribe_ready();
        loop {
            ready.look();
            if let Some(result) = self.try_next() {
                return result;
            }
            ready.changed().await;
        }
    }

    /// The next records if some are there already.
    pub fn try_next(&mut self) -> Option<Result<Fetched>> {
        if let Some(error) = self.shared.take_error() {
            return Some(Err(error));
        }
        let mut chunk = self.shared.take_chunk()?;
        match chunk.decode(self.limits) {
            Ok(fetched) => {
                self.shared.give_back(chunk);
                Some(Ok(fetched))
            }
            Err(error) => {
                self.shared.stop_after_damage(&chunk);
                Some(Err(error))
            }
        }
    }

    /// True if an answered fetch showed that there is nothing after what has come out of [`Self::next`]. Never true
    /// merely because nothing was fetched.
    #[must_use]
    pub fn at_end(&self, partition: &TopicPartition) -> bool {
        self.shared.at_end(partition)
    }

    /// When a broker last answered for the partition.
    #[must_use]
    pub fn answered_at(&self, partition: &TopicPartition) -> Option<Instant> {
        self.shared.answered_at(partition)
    }

    /// Bytes that were fetched and not yet decoded.
    #[must_use]
    pub fn prefetched_bytes(&self) -> usize {
        self.shared.prefetched_bytes()
    }
}

impl Drop for Fetcher {
    fn drop(&mut self) {
        self.keeper.abort();
        self.shared.release();
    }
}

#[cfg(test)]
mod tests;
