//! Writing: an idempotent producer, and transactions on top of it.
//!
//! Whoever owns the producer drives it: [`Producer::push`] fills batches, and [`Producer::send`], [`Producer::poll`]
//! and [`Producer::flush`] send them and read answers. Up to five requests per broker are under way meanwhile. Each
//! record is in the log once and in the order of `push`, through retries and new leaders.

mod identity;
mod partitioner;
mod pump;
mod queue;
mod refused;
mod request;
mod transaction;

pub use identity::{Transactional, init_producer};
pub use partitioner::{murmur2, partition_for_key};
pub use queue::Identity;
pub use refused::Refused;

use crate::client::{Client, Purpose, TopicPartition};
use crate::error::{Error, ErrorCode, Result};
use crate::properties::ProducerSettings;
use crate::records::{BatchBuilder, Compression, Encoded, HEADER_BYTES, Header, Whole};
use bytes::Bytes;
use pump::Outcome;
use queue::{Open, Queue, Sealed};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;
use tokio::task::JoinSet;
use transaction::Transaction;

/// Deliveries that may wait to be taken.
const DELIVERIES_MAX: usize = 65_536;

/// Settings of a [`Producer`]; the names in brackets are those of Kafka's producer.
#[derive(Clone, Debug)]
pub struct ProducerOptions {
    /// How batches are compressed (`compression.type`).
    pub compression: Compression,
    /// Bytes at which a batch is full, before compression (`batch.size`). Large ones cost the broker least.
    pub batch_bytes: usize,
    /// How long a batch that is not full waits for more records (`linger.ms`).
    pub linger: Duration,
    /// Requests under way per broker, at most 5 (`max.in.flight.requests.per.connection`).
    pub in_flight_max: usize,
    /// Bytes that may wait in all batches (`buffer.memory`).
    pub buffer_bytes: usize,
    /// Bytes of one request (`max.request.size`); a single batch may be larger.
    pub request_bytes: usize,
    /// Bytes that one record may have.
    pub record_bytes_max: usize,
    /// How long a record may take from full batch to acknowledgement (`delivery.timeout.ms`).
    pub delivery_timeout: Duration,
    /// A record that the broker refuses for what it is fails by itself: it is told by [`Producer::take_refused`], and the others
    /// of its batch, and its transaction, go on. Otherwise its batch fails, and with it the transaction.
    pub sorts_out: bool,
    /// The transactional id and time-out, for transactions (`transactional.id`, `transaction.timeout.ms`).
    pub transactional: Option<Transactional>,
}

impl Default for ProducerOptions {
    fn default() -> Self {
        Self {
            compression: Compression::None,
            // Just below the default of `message.max.bytes`.
            batch_bytes: 1_000_000,
            linger: Duration::from_millis(5),
            in_flight_max: 5,
            buffer_bytes: 8 * 1024 * 1024,
            request_bytes: 4 * 1024 * 1024,
            record_bytes_max: 64 * 1024 * 1024,
            delivery_timeout: Duration::from_secs(120),
            sorts_out: false,
            transactional: None,
        }
    }
}

impl ProducerOptions {
    /// The defaults but for what Kafka's properties say.
    #[must_use]
    pub fn of(properties: &ProducerSettings) -> Self {
        let default = Self::default();
        let compression = properties.compression_type.as_deref().and_then(Compression::named);
        Self {
            compression: compression.unwrap_or(default.compression),
            batch_bytes: properties.batch_size.filter(|bytes| *bytes > 0).unwrap_or(default.batch_bytes),
            linger: properties.linger.unwrap_or(default.linger),
            in_flight_max: properties.max_in_flight.unwrap_or(default.in_flight_max),
            buffer_bytes: properties.buffer_memory.unwrap_or(default.buffer_bytes),
            request_bytes: properties.max_request_size.unwrap_or(default.request_bytes),
            record_bytes_max: properties.max_request_size.unwrap_or(default.record_bytes_max),
            delivery_timeout: properties.delivery_timeout.unwrap_or(default.delivery_timeout),
            sorts_out: false,
            transactional: None,
        }
    }
}

/// A partition as this producer knows it; only of use with the producer that gave it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target(usize);

/// What became of successive records of one partition.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Where they went.
    pub partition: TopicPartition,
    /// The number of the first one, as [`Producer::push`] returned it.
    pub first: u64,
    /// How many they are.
    pub count: u64,
    /// The offset of the first one (-1: they were in the log already, and the broker does not tell where), or why
    /// they are not in the log. After a [`crate::Class::Refresh`] error nobody knows whether they are.
    pub result: Result<i64>,
    /// The numbers of the records that the broker names as the cause, and why. Empty if it names none.
    pub refused: Vec<(u64, String)>,
}

/// Writes records. Dropping it loses what was not flushed.
pub struct Producer {
    client: Client,
    options: ProducerOptions,
    purpose: Purpose,
    identity: Identity,
    targets: BTreeMap<TopicPartition, Target>,
    parts: Vec<(TopicPartition, Queue)>,
    under_way: JoinSet<Outcome>,
    per_broker: BTreeMap<i32, usize>,
    buffered: usize,
    /// A batch was sealed or something else happened that asks for sending.
    due: bool,
    /// Leaders must be looked up.
    stale: bool,
    deliveries: Vec<Delivery>,
    refused: Vec<Refused>,
    transaction: Transaction,
}

impl Producer {
    /// Gets an identity from the cluster. A transactional producer thereby fences older ones of the same id and aborts
    /// what they left open.
    ///
    /// # Errors
    /// What the cluster says, as TRANSACTIONAL_ID_AUTHORIZATION_FAILED or INVALID_TRANSACTION_TIMEOUT.
    pub async fn connect(client: Client, mut options: ProducerOptions) -> Result<Self> {
        // The broker remembers the last five batches of a producer; with more, a retry could double.
        options.in_flight_max = options.in_flight_max.clamp(1, 5);
        let identity = init_producer(&client, options.transactional.as_ref(), None).await?;
        let transaction = Transaction::new(&client, options.transactional.as_ref()).await?;
        let purpose = Purpose::Produce(client.unique());
        Ok(Self {
            client,
            options,
            purpose,
            identity,
            targets: BTreeMap::new(),
            parts: Vec::new(),
            under_way: JoinSet::new(),
            per_broker: BTreeMap::new(),
            buffered: 0,
            due: false,
            stale: false,
            deliveries: Vec::new(),
            refused: Vec::new(),
            transaction,
        })
    }

    /// What the cluster calls this producer.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Looks a partition up, for [`Self::push`].
    ///
    /// # Errors
    /// As [`Client::leader`].
    pub async fn target(&mut self, partition: &TopicPartition) -> Result<Target> {
        if let Some(target) = self.targets.get(partition) {
            return Ok(*target);
        }
        self.client.leader(partition).await?;
        let target = Target(self.parts.len());
        self.parts.push((partition.clone(), Queue::new(self.identity, self.options.sorts_out)));
        self.targets.insert(partition.clone(), target);
        Ok(target)
    }

    /// Copies a record into the batch of its partition; `timestamp` is ms since 1970. Returns the record's number in
    /// the partition, counted from 0 over the life of this producer. Never waits: call [`Self::send`] instead, or
    /// [`Self::poll`] now and then, so that batches go out and memory stays bounded.
    ///
    /// Brokers reckon a producer's age by the timestamps of its records: outside of transactions, records that are older
    /// than `producer.id.expiration.ms` (a day) may be there twice, when a leader restarts while they are sent again.
    ///
    /// # Errors
    /// MESSAGE_TOO_LARGE above `record_bytes_max`; [`Error::State`] outside of a transaction; what failed the
    /// transaction.
    pub fn push(
        &mut self,
        target: Target,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header<'_>],
    ) -> Result<u64> {
        self.transaction.check_writable()?;
        let size = BatchBuilder::size_of(key, value, headers);
        let (partition, queue) = &self.parts[target.0];
        if size > self.options.record_bytes_max {
            let what = format!("record {} for {partition}, of {size} bytes", queue.next);
            return Err(Error::broker(ErrorCode::MESSAGE_TOO_LARGE, what));
        }
        self.check_deliveries()?;
        if queue.open.as_ref().is_some_and(|open| open.builder.bytes() + size > self.options.batch_bytes) {
            self.seal(target)?;
        }
        let queue = &mut self.parts[target.0].1;
        let number = queue.next;
        queue.next += 1;
        let open = queue.open.get_or_insert_with(|| Open {
            builder: BatchBuilder::with_capacity(size.max(4_096).max(queue.usual)),
            first: number,
            since: self.client.world().now(),
        });
        let before = open.builder.bytes();
        open.builder.push(timestamp, key, value, headers);
        self.buffered += open.builder.bytes() - before;
        Ok(number)
    }

    /// [`Self::push`], which first sends full batches and waits while `buffer_bytes` are taken.
    ///
    /// # Errors
    /// As [`Self::push`]. What becomes of a record later is told by [`Self::flush`].
    pub async fn send(
        &mut self,
        target: Target,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header<'_>],
    ) -> Result<u64> {
        if self.due || self.buffered >= self.options.buffer_bytes {
            self.make_room().await?;
        }
        self.push(target, timestamp, key, value, headers)
    }

    /// Whether a batch may be sent as it is: as the options would have it made, and not so small that copying its records to others
    /// costs less than a batch of its own.
    #[must_use]
    pub fn takes_whole(&self, whole: &Whole) -> bool {
        let ProducerOptions { compression, batch_bytes, record_bytes_max, .. } = self.options;
        let bytes = whole.bytes.len() + HEADER_BYTES;
        let fits = bytes <= batch_bytes.min(record_bytes_max) && bytes >= batch_bytes / 4;
        fits && compression == Compression::None
    }

    /// Sends the records of a batch that [`Self::takes_whole`], without a copy; `buffer` is what it lies in, and is kept until they
    /// are acknowledged. Returns the number of the first one.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn send_whole(&mut self, target: Target, whole: &Whole, buffer: &Bytes) -> Result<u64> {
        self.transaction.check_writable()?;
        self.check_deliveries()?;
        self.seal(target)?;
        let encoded = Encoded::ready(whole, buffer.slice(whole.bytes.clone()));
        let queue = &mut self.parts[target.0].1;
        let first = queue.next;
        queue.next += u64::from(encoded.count.unsigned_abs());
        self.buffered += encoded.bytes();
        let deadline = self.client.world().now() + self.options.delivery_timeout;
        queue.seal(Sealed { encoded, first, deadline, sequence: None, unsure: false });
        self.make_room().await?;
        Ok(first)
    }

    async fn make_room(&mut self) -> Result<()> {
        self.pump().await?;
        // A caller that never waits would keep the connections of its own thread from moving.
        tokio::task::yield_now().await;
        while self.buffered >= self.options.buffer_bytes {
            self.transaction.check_writable()?;
            self.seal_all()?;
            self.pump().await?;
            if self.buffered >= self.options.buffer_bytes {
                self.wait().await;
            }
        }
        Ok(())
    }

    /// Lets time pass: sends what has waited for `linger`, reads answers, tries again what failed. Returns after
    /// something has happened, or never if nothing can; dropping the wait loses nothing.
    ///
    /// # Errors
    /// What failed the transaction; what keeps an identity from being renewed.
    pub async fn poll(&mut self) -> Result<()> {
        self.pump().await?;
        if let Some(error) = self.transaction.failure() {
            return Err(error.clone());
        }
        if self.is_idle() {
            return std::future::pending().await;
        }
        self.wait().await;
        self.pump().await
    }

    /// Sends everything and waits until the fate of each record is known; returns what became of all records since the
    /// last call.
    ///
    /// # Errors
    /// What keeps the producer as a whole from going on. Refused records are in the result, not an error.
    pub async fn flush(&mut self) -> Result<Vec<Delivery>> {
        self.seal_all()?;
        loop {
            self.pump().await?;
            if self.is_idle() {
                return Ok(std::mem::take(&mut self.deliveries));
            }
            if let Some(error) = self.transaction.failure()
                && self.under_way.is_empty()
            {
                return Err(error.clone());
            }
            self.wait().await;
        }
    }

    /// What became of records so far, without waiting.
    pub fn take_deliveries(&mut self) -> Vec<Delivery> {
        std::mem::take(&mut self.deliveries)
    }

    /// The records that the broker has refused so far, without waiting: only where the options ask for them.
    pub fn take_refused(&mut self) -> Vec<Refused> {
        std::mem::take(&mut self.refused)
    }

    /// Bytes that wait in batches or are under way.
    #[must_use]
    pub fn buffered_bytes(&self) -> usize {
        self.buffered
    }

    fn check_deliveries(&self) -> Result<()> {
        if self.deliveries.len() >= DELIVERIES_MAX {
            return Err(Error::State(format!("{DELIVERIES_MAX} deliveries were not taken: call flush")));
        }
        Ok(())
    }

    fn is_idle(&self) -> bool {
        self.under_way.is_empty()
            && self.parts.iter().all(|(_, queue)| queue.is_idle() && queue.open.is_none())
    }

    fn seal_all(&mut self) -> Result<()> {
        (0..self.parts.len()).try_for_each(|at| self.seal(Target(at)))
    }

    /// Ends the open batch of a partition.
    fn seal(&mut self, target: Target) -> Result<()> {
        let (partition, queue) = &mut self.parts[target.0];
        let Some(open) = queue.open.take() else { return Ok(()) };
        let before = open.builder.bytes();
        queue.usual = before;
        let encoded = open
            .builder
            .finish(self.options.compression)
            .map_err(|fault| Error::State(format!("a batch for {partition}: {fault}")))?;
        self.buffered = (self.buffered + encoded.bytes()).saturating_sub(before - HEADER_BYTES);
        let deadline = self.client.world().now() + self.options.delivery_timeout;
        queue.seal(Sealed { encoded, first: open.first, deadline, sequence: None, unsure: false });
        self.due = true;
        Ok(())
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Producer({:?}, {} bytes waiting)", self.identity, self.buffered)
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.client.release(self.purpose);
        self.transaction.release(&self.client);
    }
}
