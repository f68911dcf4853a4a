//! Sending batches and reading what became of them.

use super::queue::{Sealed, Verdict};
use super::request::{self, Answer, Part};
use super::{Delivery, Producer, Target};
use crate::client::Tries;
use crate::error::{Class, Error, Result};
use crate::records::{BatchBuilder, Compression, Encoded};
use kafka_protocol::messages::{ProduceRequest, ProduceResponse};
use std::collections::BTreeMap;
use std::time::Duration;

/// An answered request: which batches it carried, by partition and first record.
pub(super) struct Outcome {
    broker: i32,
    batches: Vec<(Target, u64)>,
    result: Result<ProduceResponse>,
}

impl Producer {
    /// Does whatever can be done without waiting for an answer.
    pub(super) async fn pump(&mut self) -> Result<()> {
        self.due = false;
        while let Some(outcome) = self.under_way.try_join_next() {
            self.take(outcome);
        }
        self.seal_lingering()?;
        self.expire();
        self.renew_identities().await?;
        if let Err(error) = self.register_partitions().await {
            self.transaction.fail(error.clone());
            return Err(error);
        }
        if self.stale {
            // Without an answer the old leaders are tried again, later.
            self.stale = self.client.refresh(&[]).await.is_err_and(|error| error.class().is_transient());
        }
        // What belongs to a transaction that cannot be committed is not worth sending.
        if self.transaction.failure().is_none() {
            while self.send_round().await {}
        }
        Ok(())
    }

    /// Waits until an answer comes or a time is reached at which something is to be done.
    pub(super) async fn wait(&mut self) {
        let now = self.client.world().now();
        let mut until = now + Duration::from_secs(1);
        for (_, queue) in &self.parts {
            if let Some(open) = queue.open.as_ref().filter(|_| !queue.has_waiting()) {
                until = until.min(open.since + self.options.linger);
            }
            // A pause that is over keeps nothing back: what waits then waits for an answer.
            if let Some(at) = queue.not_before.filter(|at| queue.has_waiting() && *at > now) {
                until = until.min(at);
            }
        }
        if self.under_way.is_empty() {
            return self.client.world().sleep_until(until).await;
        }
        if let Ok(Some(outcome)) = self.client.world().timeout_at(until, self.under_way.join_next()).await {
            self.take(outcome);
        }
    }

    fn seal_lingering(&mut self) -> Result<()> {
        let now = self.client.world().now();
        for at in 0..self.parts.len() {
            let queue = &self.parts[at].1;
            // Behind one that cannot be sent yet a batch would only wait: it may as well grow.
            let open = queue.open.as_ref().filter(|_| !queue.has_waiting());
            if open.is_some_and(|open| open.since + self.options.linger <= now) {
                self.seal(Target(at))?;
            }
        }
        self.due = false;
        Ok(())
    }

    fn expire(&mut self) {
        let now = self.client.world().now();
        for at in 0..self.parts.len() {
            for batch in self.parts[at].1.expired(now) {
                let after = self.options.delivery_timeout;
                let what = format!("records for {}", self.parts[at].0);
                self.failed(Target(at), &batch, Error::Timeout { what, after }, &[]);
            }
        }
    }

    /// Gives a new epoch to partitions whose sequence numbers are of no use any more. In transactions that is for
    /// the abort to do.
    async fn renew_identities(&mut self) -> Result<()> {
        if self.transaction.is_used() {
            return Ok(());
        }
        for at in 0..self.parts.len() {
            if !self.parts[at].1.wants_identity() {
                continue;
            }
            // KIP-360: a producer without transactions raises its epoch by itself.
            match self.identity.epoch.checked_add(1).filter(|epoch| *epoch < i16::MAX) {
                Some(epoch) => self.identity.epoch = epoch,
                None => self.identity = super::init_producer(&self.client, None, None).await?,
            }
            self.parts[at].1.adopt(self.identity);
        }
        Ok(())
    }

    /// One request to each broker that may have one more. True if any was sent.
    async fn send_round(&mut self) -> bool {
        let metadata = self.client.cached();
        let mut by_broker: BTreeMap<i32, Vec<Target>> = BTreeMap::new();
        let now = self.client.world().now();
        // In the order of topics, which the request wants.
        for (partition, target) in &self.targets {
            let queue = &mut self.parts[target.0].1;
            if queue.sendable(self.options.in_flight_max, now).is_none() {
                continue;
            }
            match metadata.leader(partition) {
                Ok(leader) => by_broker.entry(leader.broker).or_default().push(*target),
                Err(_) => {
                    queue.not_before = Some(now + self.client.config().retry_backoff);
                    self.stale = true;
                }
            }
        }
        let mut any = false;
        for (broker, targets) in by_broker {
            if self.per_broker.get(&broker).copied().unwrap_or(0) < self.options.in_flight_max {
                any |= self.send_to(broker, &targets).await;
            }
        }
        any
    }

    async fn send_to(&mut self, broker: i32, targets: &[Target]) -> bool {
        let now = self.client.world().now();
        let (mut parts, mut chosen, mut bytes) = (Vec::new(), Vec::new(), 0);
        for target in targets {
            let (partition, queue) = &mut self.parts[target.0];
            let Some(size) = queue.sendable(self.options.in_flight_max, now) else { continue };
            // What has a number and was not sent would count as sent before: only what goes gets one.
            if bytes > 0 && bytes + size > self.options.request_bytes {
                continue;
            }
            let Some((encoded, stamp)) = queue.stamp(self.transaction.is_used()) else { continue };
            bytes += size;
            let batch = encoded.stamped(stamp);
            parts.push(Part { topic: partition.topic.clone(), partition: partition.partition, batch });
            chosen.push(*target);
        }
        let client = self.client.clone();
        let timeout = client.config().request_timeout;
        let transactional_id = self.options.transactional.as_ref().map(|of| of.id.as_str());
        let submitted = async {
            let connection = client.connection(broker, self.purpose).await?;
            let version = self.transaction.produce_version(connection.version::<ProduceRequest>()?);
            let frame = request::frame(&connection, version, transactional_id, timeout, &parts)?;
            // The connection lives as long as somebody waits for an answer.
            Ok((connection.submit(frame).await?, version, connection))
        };
        let submitted: Result<_> = submitted.await;
        match submitted {
            Ok((reply, version, connection)) => {
                let sent = chosen.iter().filter_map(|target| Some((*target, self.parts[target.0].1.sent()?)));
                let batches = sent.collect();
                *self.per_broker.entry(broker).or_default() += 1;
                self.under_way.spawn(async move {
                    // The broker gives up after `timeout`; its answer needs time to arrive.
                    let result = reply.wait::<ProduceRequest>(version, timeout + timeout / 2).await;
                    drop(connection);
                    Outcome { broker, batches, result }
                });
                true
            }
            Err(error) => {
                for target in chosen {
                    self.unsent(target, &error);
                }
                false
            }
        }
    }

    /// The batch at the front could not be sent. What cannot be mended by trying again is given up.
    fn unsent(&mut self, target: Target, error: &Error) {
        if error.class().is_transient() {
            return self.back_off(target, error.class());
        }
        if let Some(first) = self.parts[target.0].1.sent() {
            self.one(target, first, Answer { result: Err(error.clone()), refused: Vec::new() });
        }
    }

    fn take(&mut self, outcome: std::result::Result<Outcome, tokio::task::JoinError>) {
        // A task ends only with its outcome: it has nothing that panics, and nobody aborts it but our drop.
        let Ok(Outcome { broker, batches, result }) = outcome else { return };
        if let Some(count) = self.per_broker.get_mut(&broker) {
            *count = count.saturating_sub(1);
        }
        self.due = true;
        let mut answers = result.map(request::answers);
        for (target, first) in batches {
            let partition = &self.parts[target.0].0;
            let answer = match &mut answers {
                Ok(answers) => {
                    let key = (partition.topic.to_string(), partition.partition);
                    answers.remove(&key).unwrap_or_else(|| {
                        let error = Error::protocol("response Produce", format!("{partition} is missing"));
                        Answer { result: Err(error), refused: Vec::new() }
                    })
                }
                Err(error) => Answer { result: Err(error.clone()), refused: Vec::new() },
            };
            self.one(target, first, answer);
        }
    }

    fn one(&mut self, target: Target, first: u64, answer: Answer) {
        let class = answer.result.as_ref().map_or_else(Error::class, |_| Class::Ok);
        let told = answer.result.as_ref().err().map(ToString::to_string).unwrap_or_default();
        let transactional = self.transaction.is_used();
        let queue = &mut self.parts[target.0].1;
        match queue.answered(first, answer.result, self.client.world().now(), transactional) {
            Some(Verdict::Done(batch, offset)) => self.delivered(target, &batch, offset),
            Some(Verdict::Again) => self.back_off(target, class),
            Some(Verdict::Split) => self.split(target, first),
            Some(Verdict::Refused) => self.sort_out(target, first, &told, &answer.refused),
            Some(Verdict::Failed(batch, error)) => self.failed(target, &batch, error, &answer.refused),
            None => {}
        }
    }

    fn back_off(&mut self, target: Target, class: Class) {
        self.stale |= class == Class::Refresh;
        let queue = &mut self.parts[target.0].1;
        let pause = Tries::pause(self.client.config(), queue.failures);
        queue.failures = queue.failures.saturating_add(1);
        queue.not_before = Some(self.client.world().now() + pause);
    }

    fn delivered(&mut self, target: Target, batch: &Sealed, offset: i64) {
        self.buffered = self.buffered.saturating_sub(batch.encoded.bytes());
        let count = u64::from(batch.encoded.count.unsigned_abs());
        let partition = &self.parts[target.0].0;
        // Successive batches of a partition that nobody else writes to are one delivery.
        let last = self.deliveries.iter_mut().rev().take(self.parts.len());
        if let Some(known) = last.into_iter().find(|known| known.partition == *partition)
            && known.first + known.count == batch.first
            && matches!(known.result, Ok(base) if base >= 0 && base + known.count.cast_signed() == offset)
        {
            known.count += count;
            return;
        }
        let partition = partition.clone();
        self.deliveries.push(Delivery {
            partition,
            first: batch.first,
            count,
            result: Ok(offset),
            refused: Vec::new(),
        });
    }

    pub(super) fn failed(&mut self, target: Target, batch: &Sealed, error: Error, refused: &[(u32, String)]) {
        self.buffered = self.buffered.saturating_sub(batch.encoded.bytes());
        self.transaction.fail(error.clone());
        let refused = refused.iter().map(|(place, why)| (batch.first + u64::from(*place), why.clone()));
        self.deliveries.push(Delivery {
            partition: self.parts[target.0].0.clone(),
            first: batch.first,
            count: u64::from(batch.encoded.count.unsigned_abs()),
            result: Err(error),
            refused: refused.collect(),
        });
    }

    /// The topic allows smaller batches only: halves of the batch take its place. A batch of one record is not split.
    fn split(&mut self, target: Target, first: u64) {
        let Some(whole) = self.parts[target.0].1.take_front(first) else { return };
        match halves(&whole.encoded, self.options.compression) {
            Ok(halves) => {
                let after = halves.iter().map(Encoded::bytes).sum::<usize>();
                self.buffered = (self.buffered + after).saturating_sub(whole.encoded.bytes());
                self.parts[target.0].1.put_halves(&whole, halves);
            }
            Err(fault) => self.failed(target, &whole, Error::State(fault.to_string()), &[]),
        }
    }
}

/// The records of a batch in two batches.
fn halves(whole: &Encoded, compression: Compression) -> Result<[Encoded; 2], crate::records::Fault> {
    let (records, buffer) = whole.decode()?;
    let mut halves =
        [BatchBuilder::with_capacity(buffer.len() / 2), BatchBuilder::with_capacity(buffer.len() / 2)];
    for (at, record) in records.iter().enumerate() {
        let headers: Vec<_> = record.headers(&buffer).collect();
        let half = &mut halves[usize::from(at >= records.len() / 2)];
        half.push(record.timestamp, record.key(&buffer), record.value(&buffer), &headers);
    }
    let [one, two] = halves;
    Ok([one.finish(compression)?, two.finish(compression)?])
}
