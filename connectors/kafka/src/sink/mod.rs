//! The destination: one record for each row.
//!
//! By itself it is idempotent: a record that was acknowledged is there once, and a crash may bring rows of an epoch that was
//! not committed again. Where it holds the commit, each epoch is a transaction: with the positions of a group on the same
//! cluster (`group.rs`), or with the name of the checkpoint (`progress.rs`). Then rows and progress take effect together.

mod cells;
mod fencing;
mod group;
mod progress;
mod topic;
mod write;

use crate::fault::fault;
use crate::settings::{Cluster, Values};
use acme_connect::{
    AnySink, Context, Fates, Format, OffsetTransaction, Prepared, Refusal, Rows, Sink, SinkParts, failpoint,
};
use acme_kafka::produce::{
    Delivery, Producer, ProducerOptions, Refused, Target, Transactional, init_producer,
};
use acme_kafka::{Class, CoordinatorKind, Error, ErrorCode, TopicPartition};
use acme_types::codes::{EPOCH_TOO_LONG, LOST_OWNERSHIP, LOST_SPLITS};
use acme_types::{Change, Clock, Config, Delivery as Promise, Diagnostic, Epoch, Place};
use cells::Records;
use fencing::Fencing;
use progress::Progress;
pub(crate) use progress::commit_topic;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use topic::Topic;
use write::Writer;

/// How long a transaction may be open; one that takes longer is aborted by the broker.
const TRANSACTION_MAX: Duration = Duration::from_secs(60);

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
        progress: None,
        open: None,
    };
    Ok(SinkParts {
        sink: AnySink::CommitPoint(Box::new(sink)),
        takes_documents: format == Some(Format::Json),
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
    /// Its transactions hold the commit: whose they are.
    transactional: Option<Transactional>,
    /// They commit the positions of a group: it ends those of dead workers.
    fencing: Option<Fencing>,
    /// They commit the names of checkpoints.
    progress: Option<Progress>,
    open: Option<Open>,
}

/// What it has once it is connected.
struct Open {
    producer: Producer,
    targets: Vec<Target>,
    /// The partition of the next records without a key.
    next: usize,
    /// When the brokers abort the open transaction.
    until: Option<Instant>,
}

impl Open {
    /// Begins a transaction, unless one is open.
    fn begin(&mut self, timeout: Duration) -> Result<(), Error> {
        if self.until.is_none() {
            self.producer.begin()?;
            self.until = Some(Instant::now() + timeout);
        }
        Ok(())
    }
}

impl KafkaSink {
    /// From now on rows are written in transactions of this id; what a former life had open is aborted.
    async fn own(&mut self, id: String) -> Result<Transactional, Diagnostic> {
        let timeout = self.cluster.producer.transaction_timeout.unwrap_or(TRANSACTION_MAX);
        let own = Transactional { id, timeout };
        self.transactional = Some(own.clone());
        self.connect().await?;
        Ok(own)
    }

    async fn connect(&mut self) -> Result<(), Diagnostic> {
        let client = self.cluster.connect().await?;
        let partitions = self.topic.ensure(&client).await?;
        let mut options = ProducerOptions::of(&self.cluster.producer);
        options.transactional.clone_from(&self.transactional);
        options.sorts_out = true;
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
        self.open = Some(Open { producer, targets, next: 0, until: None });
        Ok(())
    }

    fn what(&self) -> String {
        format!("write to topic \"{}\"", self.topic.name)
    }
}

impl Sink for KafkaSink {
    async fn check(&mut self) -> Vec<Diagnostic> {
        let found = async {
            let client = self.cluster.look().await?;
            self.topic.check(&client).await?;
            // Which group it would be is known when the source is.
            let any = crate::worker::transactions_of(&self.pipeline, "");
            let transactions = client.coordinator(CoordinatorKind::Transaction, &any).await;
            Ok(transactions.err().filter(|error| error.class() == Class::Fatal))
        };
        match found.await {
            Ok(None) => Vec::new(),
            // Whether transactions are needed is known when the source is.
            Ok(Some(error)) => {
                let what =
                    "open a transaction, which is needed where the rows come from a topic of this cluster";
                let mut warning = fault(what, &error);
                warning.warning = true;
                vec![warning]
            }
            Err(diagnostic) => vec![diagnostic],
        }
    }

    async fn open(&mut self, _: Option<&Prepared>) -> Result<(), Diagnostic> {
        if self.open.is_none() {
            self.connect().await?;
        }
        Ok(())
    }

    async fn write(&mut self, rows: &Rows) -> Result<Fates, Diagnostic> {
        let what = self.what();
        let records = Records::new(rows, self.keyed)?;
        let open = self.open.as_mut().expect("it is opened first");
        if let Some(of) = &self.transactional {
            open.begin(of.timeout).map_err(|error| fault(&what, &error))?;
        }
        let writer = Writer {
            producer: &mut open.producer,
            targets: &open.targets,
            next: open.next,
            now_ms: self.clock.now().0.div_euclid(1000),
            headers: &self.names,
            fates: Fates::new(),
        };
        let written = writer.write(rows, &records).await;
        // Records without a key fill the batch of one partition after the other.
        open.next = (open.next + 1) % open.targets.len();
        match written {
            Ok(fates) => Ok(fates),
            Err(error) => Err(self.lost(&what, &error).await),
        }
    }

    async fn settle(&mut self, all: bool) -> Result<Vec<Refusal>, Diagnostic> {
        if all {
            let flushed = self.open.as_mut().expect("it is opened first").producer.flush().await;
            failpoint("kafka.flushed");
            self.judge(flushed).await?;
        }
        let open = self.open.as_mut().expect("it is opened first");
        let refused = open.producer.take_refused().into_iter();
        let refusal =
            |it: Refused| Refusal { reason: it.reason, original: it.value.or(it.key).unwrap_or_default() };
        Ok(refused.map(refusal).collect())
    }

    async fn prepare(&mut self, _: Epoch, _: bool) -> Result<Prepared, Diagnostic> {
        // All is in the log since `settle`.
        Ok(Prepared::new())
    }

    async fn commit(&mut self, _: Epoch) -> Result<(), Diagnostic> {
        Ok(())
    }

    fn epoch_max(&self) -> Option<Duration> {
        // What was read until then is still to be written when the epoch closes.
        self.transactional.as_ref().map(|of| of.timeout / 3)
    }

    fn offset_transaction(&mut self) -> Option<&mut dyn OffsetTransaction> {
        Some(self)
    }
}

impl KafkaSink {
    /// Whether all records are in the log.
    async fn judge(&mut self, deliveries: Result<Vec<Delivery>, Error>) -> Result<(), Diagnostic> {
        let what = self.what();
        let failed = match deliveries {
            Err(error) => return Err(self.lost(&what, &error).await),
            Ok(deliveries) => deliveries.into_iter().find_map(|it| Some((it.result.err()?, it.refused))),
        };
        let Some((error, refused)) = failed else { return Ok(()) };
        let mut diagnostic = self.lost(&what, &error).await;
        let reasons: Vec<&str> = refused.iter().map(|(_, reason)| reason.as_str()).collect();
        if !reasons.is_empty() {
            diagnostic.message = format!("{}: {}", diagnostic.message, reasons.join("; "));
        }
        Err(diagnostic)
    }

    /// What ends an epoch, and with it this life. A worker of a group that was fenced was removed from it; another life begins. Who
    /// is fenced without a group has a successor, unless the transaction took too long. What is not known to have happened is done
    /// again by a new producer.
    async fn lost(&mut self, what: &str, error: &Error) -> Diagnostic {
        let message = format!("cannot {what}: {error}");
        // The coordinator says no more than that the epoch is over, or knows of no transaction.
        let is_over = error.class() == Class::Fence || error.code() == Some(ErrorCode::INVALID_TXN_STATE);
        let until = self.open.as_ref().and_then(|open| open.until);
        let is_late = is_over && until.is_some_and(|until| Instant::now() >= until);
        if is_over && self.progress.is_some() && !(is_late && self.has_no_successor().await) {
            let help = "a successor has its place: nothing that was not committed takes effect";
            return Diagnostic::new(&LOST_OWNERSHIP, message).help(help);
        }
        match error.class() {
            _ if is_late => Diagnostic::new(&EPOCH_TOO_LONG, message),
            _ if is_over => Diagnostic::new(&LOST_SPLITS, message),
            Class::Abort | Class::Retry | Class::Refresh | Class::Rejoin => {
                Diagnostic::new(&LOST_SPLITS, message)
            }
            _ => fault(what, error),
        }
    }

    /// Whether its producer is still the last one of its transactional id. The next life claims that anew.
    async fn has_no_successor(&self) -> bool {
        let (Some(of), Some(open)) = (&self.transactional, &self.open) else { return false };
        let Ok(client) = self.cluster.connect().await else { return false };
        init_producer(&client, Some(of), Some(open.producer.identity())).await.is_ok()
    }
}
