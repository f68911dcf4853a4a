//! The destination: one record for each row.
//!
//! By itself it is idempotent: a record that was acknowledged is there once, and a crash may bring rows of an epoch that was
//! not committed again. Where the rows come from a group on the same cluster, each epoch is a transaction that carries the
//! positions too: rows and positions take effect together.

mod cells;
mod fencing;
mod topic;

use crate::fault::fault;
use crate::settings::{Cluster, Values};
use crate::worker::transactions_of;
use acme_connect::{
    AnySink, Context, Fate, Fates, Format, Membership, OffsetTransaction, Pending, Prepared, Rows, Sink,
    SinkParts, failpoint,
};
use acme_kafka::group::{GroupMetadata, OffsetAndMetadata};
use acme_kafka::produce::{Delivery, Producer, ProducerOptions, Target, Transactional, partition_for_key};
use acme_kafka::{Class, Error, ErrorCode, TopicPartition};
use acme_types::codes::LOST_SPLITS;
use acme_types::{Change, Clock, Config, Delivery as Promise, Diagnostic, Epoch, Place, Positions};
use cells::Records;
use fencing::Fencing;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use topic::Topic;

/// How long a transaction may be open; one that takes longer is aborted by the broker.
const TRANSACTION_MAX: Duration = Duration::from_secs(60);
/// How long a commit waits for the generation that follows a rebalance.
const REBALANCE_MAX: Duration = Duration::from_secs(60);

pub(crate) fn make(config: &Config, context: &Context) -> Result<SinkParts, Diagnostic> {
    let cluster = Cluster::of(config, context)?;
    let format = match Values::of(config)? {
        Values::Json => Some(Format::Json),
        Values::Csv(dialect) => Some(Format::Csv(dialect)),
        Values::Raw => None,
    };
    let key = config.text("key").map(|text| (text.clone(), config.place("key").clone()));
    let headers = config.map("headers").into_iter().flatten();
    let (names, headers): (Vec<String>, Vec<(String, Place)>) = headers
        .map(|(name, value)| (name.clone(), (value.text().unwrap_or_default().to_owned(), value.at.clone())))
        .unzip();
    let reads = if format.is_none() { vec!["value".to_owned()] } else { Vec::new() };
    let sink = KafkaSink {
        topic: Topic::of(config),
        pipeline: context.pipeline.clone(),
        clock: context.clock.clone(),
        keyed: key.is_some(),
        names,
        cluster,
        transactional: None,
        fencing: None,
        open: None,
    };
    Ok(SinkParts {
        sink: AnySink::Plain(Box::new(sink)),
        format,
        reads,
        computed: key.into_iter().chain(headers).collect(),
        change: Change::Upsert,
        delivery: Promise::AtLeastOnce,
    })
}

struct KafkaSink {
    cluster: Cluster,
    topic: Topic,
    pipeline: Arc<str>,
    clock: Arc<dyn Clock>,
    /// There is an expression for the key.
    keyed: bool,
    /// The names of the headers.
    names: Vec<String>,
    /// Its transactions commit the positions of the source: whose they are.
    transactional: Option<Transactional>,
    fencing: Option<Fencing>,
    open: Option<Open>,
}

/// What it has once it is connected.
struct Open {
    producer: Producer,
    targets: Vec<Target>,
    /// The partition of the next records without a key.
    next: usize,
    in_transaction: bool,
}

impl KafkaSink {
    async fn connect(&mut self) -> Result<(), Diagnostic> {
        let client = self.cluster.connect().await?;
        let partitions = self.topic.ensure(&client).await?;
        let mut options = ProducerOptions::of(&self.cluster.producer);
        options.transactional.clone_from(&self.transactional);
        options.record_bytes_max = options.record_bytes_max.min(self.topic.record_max(&client).await);
        options.batch_bytes = options.batch_bytes.min(options.record_bytes_max);
        let what = format!("write to topic \"{}\"", self.topic.name);
        let producer = Producer::connect(client.clone(), options).await;
        let mut producer = producer.map_err(|error| fault(&what, &error))?;
        let mut targets = Vec::new();
        for partition in 0..partitions {
            let target = producer.target(&TopicPartition::new(&*self.topic.name, partition)).await;
            targets.push(target.map_err(|error| fault(&what, &error))?);
        }
        self.open = Some(Open { producer, targets, next: 0, in_transaction: false });
        Ok(())
    }

    fn what(&self) -> String {
        format!("write to topic \"{}\"", self.topic.name)
    }
}

impl Sink for KafkaSink {
    async fn check(&mut self) -> Vec<Diagnostic> {
        let found = async {
            let client = self.cluster.connect().await?;
            match self.topic.partitions(&client).await? {
                None if !self.topic.is_created() => Err(self.topic.missing()),
                _ => Ok(()),
            }
        };
        found.await.err().into_iter().collect()
    }

    async fn open(&mut self, _: Option<&Prepared>) -> Result<(), Diagnostic> {
        if self.open.is_none() {
            self.connect().await?;
        }
        Ok(())
    }

    async fn write(&mut self, rows: &Rows) -> Result<Fates, Diagnostic> {
        let what = self.what();
        let now_ms = self.clock.now().0.div_euclid(1000);
        let records = Records::new(rows, self.keyed)?;
        let Open { producer, targets, next, in_transaction } =
            self.open.as_mut().expect("it is opened first");
        if self.transactional.is_some() && !*in_transaction {
            producer.begin().map_err(|error| commit_fault(&what, &error))?;
            *in_transaction = true;
        }
        let partitions = i32::try_from(targets.len()).expect("partitions have 32-bit numbers");
        let mut fates = Fates::new();
        let (mut key_bytes, mut value_bytes) = (Vec::new(), Vec::new());
        let mut header_bytes: Vec<Vec<u8>> = vec![Vec::new(); self.names.len()];
        for row in 0..rows.batch.rows() {
            let (key, value) = match (records.key(row, &mut key_bytes), records.value(row, &mut value_bytes))
            {
                (Ok(None), _) if records.is_tombstone(row) => {
                    let reason =
                        "a DELETE without a key deletes nothing: give the destination a `key`".to_owned();
                    fates.push((row, Fate::Reject { reason }));
                    continue;
                }
                (Ok(key), Ok(value)) => (key, value),
                (Err(reason), _) | (_, Err(reason)) => {
                    fates.push((row, Fate::Reject { reason }));
                    continue;
                }
            };
            let target = match key {
                Some(key) => {
                    targets[usize::try_from(partition_for_key(key, partitions)).expect("it is a partition")]
                }
                None => targets[*next],
            };
            let mut headers = Vec::with_capacity(self.names.len());
            for (number, bytes) in header_bytes.iter_mut().enumerate() {
                bytes.clear();
                if records.header(number, row, bytes) {
                    headers.push(number);
                }
            }
            let headers: Vec<_> = headers
                .into_iter()
                .map(|number| (&*self.names[number], Some(header_bytes[number].as_slice())))
                .collect();
            let timestamp = records.timestamp_ms(row).unwrap_or(now_ms);
            match producer.send(target, timestamp, key, value, &headers).await {
                Ok(_) => {}
                Err(error) if error.code() == Some(ErrorCode::MESSAGE_TOO_LARGE) => {
                    fates.push((row, Fate::Reject { reason: error.to_string() }));
                }
                Err(error) => return Err(commit_fault(&what, &error)),
            }
        }
        // Records without a key fill the batch of one partition after the other.
        *next = (*next + 1) % targets.len();
        Ok(fates)
    }

    async fn prepare(&mut self, _: Epoch, _: bool) -> Result<Prepared, Diagnostic> {
        let what = self.what();
        let open = self.open.as_mut().expect("it is opened first");
        let deliveries = open.producer.flush().await.map_err(|error| commit_fault(&what, &error))?;
        failpoint("kafka.flushed");
        judge(&what, deliveries)?;
        Ok(Prepared::new())
    }

    async fn commit(&mut self, _: Epoch) -> Result<(), Diagnostic> {
        Ok(())
    }

    fn offset_transaction(&mut self) -> Option<&mut dyn OffsetTransaction> {
        Some(self)
    }
}

/// The first record that is not in the log.
fn judge(what: &str, deliveries: Vec<Delivery>) -> Result<(), Diagnostic> {
    for delivery in deliveries {
        if let Err(error) = delivery.result {
            let reasons: Vec<&str> = delivery.refused.iter().map(|(_, reason)| reason.as_str()).collect();
            let mut diagnostic = commit_fault(what, &error);
            if !reasons.is_empty() {
                diagnostic.message = format!("{}: {}", diagnostic.message, reasons.join("; "));
            }
            return Err(diagnostic);
        }
    }
    Ok(())
}

/// What ends an epoch, and with it this life of the worker. Who was fenced was removed from the group, or took longer than the
/// transaction's time-out; what is not known to have happened is done again by a new producer.
fn commit_fault(what: &str, error: &Error) -> Diagnostic {
    match error.class() {
        Class::Fence | Class::Retry | Class::Refresh | Class::Rejoin => {
            Diagnostic::new(&LOST_SPLITS, format!("cannot {what}: {error}"))
        }
        _ => fault(what, error),
    }
}

impl OffsetTransaction for KafkaSink {
    fn cluster(&mut self) -> Pending<'_, Result<String, Diagnostic>> {
        Box::pin(async move {
            let client = self.cluster.connect().await?;
            Ok(client.cached().cluster_id.clone().unwrap_or_default())
        })
    }

    fn claim<'a>(
        &'a mut self,
        worker: &'a str,
        member: watch::Receiver<Membership>,
    ) -> Pending<'a, Result<(), Diagnostic>> {
        Box::pin(async move {
            let id = format!("{}{worker}", transactions_of(&self.pipeline, &member.borrow().group));
            let timeout = self.cluster.producer.transaction_timeout.unwrap_or(TRANSACTION_MAX);
            let own = Transactional { id, timeout };
            self.transactional = Some(own.clone());
            self.connect().await?;
            let client = self.cluster.connect().await?;
            self.fencing = Some(Fencing::start(client, &self.pipeline, own, member));
            Ok(())
        })
    }

    fn commit_offsets<'a>(
        &'a mut self,
        _: Epoch,
        member: &'a mut watch::Receiver<Membership>,
        losses: u64,
        positions: &'a Positions,
        note: &'a str,
    ) -> Pending<'a, Result<(), Diagnostic>> {
        Box::pin(async move {
            let what = format!("commit a transaction of topic \"{}\"", self.topic.name);
            let lost = |error: &Error| commit_fault(&what, error);
            let open = self.open.as_mut().expect("it is opened first");
            if !open.in_transaction {
                open.producer.begin().map_err(|error| lost(&error))?;
                open.in_transaction = true;
            }
            let mut offsets = Vec::with_capacity(positions.len());
            for (split, position) in positions {
                let place = crate::source::Place::parse(position)?;
                let committed = OffsetAndMetadata {
                    offset: place.offset,
                    leader_epoch: place.epoch,
                    metadata: note.to_owned(),
                };
                offsets.push((crate::source::partition(split)?, committed));
            }
            if !offsets.is_empty() {
                let sent = send_offsets(&mut open.producer, member, losses, &offsets).await;
                if !sent.map_err(|error| lost(&error))? {
                    let message = format!("cannot {what}: the group has removed this worker");
                    return Err(Diagnostic::new(&LOST_SPLITS, message));
                }
            }
            failpoint("kafka.offsets_sent");
            let deliveries = open.producer.commit().await.map_err(|error| lost(&error))?;
            failpoint("kafka.committed");
            open.in_transaction = false;
            judge(&what, deliveries)
        })
    }
}

/// Sends the offsets as the member; when a rebalance has moved the generation on meanwhile, as the same member in the new one.
/// The partitions are still its own: it gives none back before their rows are committed. `false` where the group has taken
/// them away meanwhile: the generation may then be that of a member that has come back, and nothing is sent for it.
async fn send_offsets(
    producer: &mut Producer,
    member: &mut watch::Receiver<Membership>,
    losses: u64,
    offsets: &[(TopicPartition, OffsetAndMetadata)],
) -> Result<bool, Error> {
    loop {
        let who = member.borrow_and_update().clone();
        if who.losses != losses {
            return Ok(false);
        }
        let group = GroupMetadata {
            group: who.group.clone(),
            generation: who.generation,
            member_id: who.member.clone(),
            instance_id: who.instance.clone(),
        };
        let error = match producer.send_offsets(&group, offsets).await {
            Err(error) if error.class() == Class::Rejoin => error,
            result => return result.map(|()| true),
        };
        let moved = member.wait_for(|now| now.member != who.member || now.generation != who.generation);
        match tokio::time::timeout(REBALANCE_MAX, moved).await {
            Ok(Ok(_)) => {}
            _ => return Err(error),
        }
    }
}
