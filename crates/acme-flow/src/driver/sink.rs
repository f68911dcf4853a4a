//! The thread of one destination: rows in the order of their sources, epochs, retries, the fate of each row.

use super::dead_letters::LetterWriter;
use super::lanes::stopped;
use super::merge::Merge;
use super::order::{Ordered, aligned};
use super::{Policy, Report, Then, ToSink};
use crate::operators::original;
use crate::stats::Stats;
use acme_connect::{AnySink, Backoff, Encoded, Fate, Prepared, Rows, failpoint};
use acme_types::batch::COMMITTED_AT;
use acme_types::{Batch, Blame, Clock, Diagnostic, EventTime, Rejected, codes};
use arrow::array::{AsArray, UInt64Array};
use arrow::compute::{min, take_record_batch};
use arrow::datatypes::TimestampMicrosecondType;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

pub(super) struct SinkTask {
    pub(super) index: usize,
    pub(super) name: Arc<str>,
    pub(super) sink: AnySink,
    pub(super) prepared: Option<Prepared>,
    pub(super) inbox: mpsc::Receiver<ToSink>,
    pub(super) reports: mpsc::Sender<Report>,
    /// Where this destination's own rejects go, when they go to a destination.
    pub(super) letters: Option<mpsc::Sender<ToSink>>,
    pub(super) errors: Policy,
    /// The run's commit point: nothing is written between its `prepare` and its commit.
    pub(super) holds_commit: bool,
    /// Prepared, and waiting for its commit.
    pub(super) held: bool,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) stats: Arc<Stats>,
    pub(super) letter_writer: LetterWriter,
    pub(super) streams: Vec<Ordered<ToSink>>,
}

impl SinkTask {
    pub(super) async fn run(mut self) -> Result<(), Diagnostic> {
        self.sink.sink().open(self.prepared.take().as_ref()).await?;
        let mut complete = self.errors != Policy::DeadLetter(self.index);
        let waits_for_letters = !complete;
        // What came while numbered messages were collected.
        let mut next = None;
        while let Some(message) = match next.take() {
            Some(message) => Some(message),
            None => self.inbox.recv().await,
        } {
            match message {
                ToSink::Letters(rejected) => self.write_letters(&rejected).await?,
                ToSink::Complete => complete = true,
                ToSink::CommitWith(epoch, checkpoint) => {
                    let point = self.sink.commit_point().expect("only a commit point is asked");
                    point.commit_with(epoch, &checkpoint).await?;
                    self.report(Report::Committed).await;
                    self.resume().await?;
                }
                ToSink::CommitOffsets { epoch, mut member, losses, positions, note } => {
                    let transaction =
                        self.sink.sink().offset_transaction().expect("only a commit point is asked");
                    transaction.commit_offsets(epoch, &mut member, losses, &positions, &note).await?;
                    self.report(Report::Committed).await;
                    self.resume().await?;
                }
                ToSink::Adopt(prepared) => {
                    self.sink.sink().adopt(&prepared).await?;
                    self.report(Report::Adopted).await;
                }
                ToSink::Skip => self.resume().await?,
                ToSink::Commit(epoch) => {
                    self.sink.sink().commit(epoch).await?;
                    self.report(Report::Committed).await;
                }
                numbered @ (ToSink::Rows { .. } | ToSink::Nothing { .. } | ToSink::Barrier { .. }) => {
                    next = self.collect(numbered);
                    for source in 0..self.streams.len() {
                        self.advance(source).await?;
                    }
                }
            }
            if complete
                && !self.held
                && let Some((epoch, then)) = aligned(self.streams.iter())
            {
                if then == Then::End {
                    self.sink.sink().sources_ended();
                }
                self.settle(true).await?;
                let prepared = self.sink.sink().prepare(epoch, then.is_last()).await?;
                self.report(Report::Prepared { sink: self.index, prepared }).await;
                complete = !waits_for_letters;
                self.held = self.holds_commit;
                if !self.held {
                    self.resume().await?;
                }
            }
        }
        Ok(())
    }

    /// Files a numbered message and all that wait behind it; returns the first of another kind.
    fn collect(&mut self, first: ToSink) -> Option<ToSink> {
        let mut message = Some(first);
        while let Some(numbered) = message {
            let (source, number) = match &numbered {
                ToSink::Rows { source, number, .. }
                | ToSink::Nothing { source, number }
                | ToSink::Barrier { source, number, .. } => (*source, *number),
                _ => return Some(numbered),
            };
            self.streams[source].file(number, numbered);
            message = self.inbox.try_recv().ok();
        }
        None
    }

    /// Goes on behind the barriers.
    async fn resume(&mut self) -> Result<(), Diagnostic> {
        self.held = false;
        for source in 0..self.streams.len() {
            self.streams[source].barrier = None;
            self.advance(source).await?;
        }
        Ok(())
    }

    /// Writes what has its turn, up to the next barrier. Small batches that follow each other are written as one.
    async fn advance(&mut self, source: usize) -> Result<(), Diagnostic> {
        let mut merge = Merge::default();
        loop {
            let stream = &mut self.streams[source];
            let Some(message) = stream.turn() else { return self.write_merged(&mut merge).await };
            match message {
                ToSink::Barrier { epoch, then, .. } => stream.barrier = Some((epoch, then)),
                ToSink::Rows { rows, rejected, permit, .. } => {
                    for rows in rows {
                        if !merge.takes(&rows) {
                            self.write_merged(&mut merge).await?;
                        }
                        merge.push(rows);
                    }
                    merge.hold(permit);
                    if !rejected.is_empty() {
                        self.write_letters(&rejected).await?;
                    }
                }
                _ => {}
            }
        }
    }

    async fn write_merged(&mut self, merge: &mut Merge) -> Result<(), Diagnostic> {
        // The permits go back when the rows are written.
        let (rows, _permits) = merge.take();
        let Some(rows) = rows else { return Ok(()) };
        let count = rows.batch.rows();
        let lag = &self.stats.lags[self.index];
        lag.begin(oldest(&rows.batch));
        let refused = self.write(rows).await?;
        self.stats.lags[self.index].end(self.clock.now());
        self.stats.sinks[self.index].1.add(count - refused);
        self.settle(false).await
    }

    /// Rows that were refused since they were written.
    async fn settle(&mut self, all: bool) -> Result<(), Diagnostic> {
        let refused = self.sink.sink().settle(all).await?;
        self.stats.sinks[self.index].1.take_back(refused.len());
        let rejected = refused.into_iter().map(|refusal| Rejected {
            code: codes::DELIVER.id,
            cause: refusal.reason,
            step: self.name.clone(),
            origin: "delivery".to_owned(),
            original: refusal.original,
        });
        let rejected = rejected.collect();
        self.reject(rejected).await
    }

    async fn report(&self, report: Report) {
        // The coordinator is gone only when the run has failed already.
        let _ = self.reports.send(report).await;
    }

    /// Writes rows until each has been written or refused; returns how many were refused.
    async fn write(&mut self, mut rows: Rows) -> Result<usize, Diagnostic> {
        let mut backoff = Backoff::new(self.clock.monotonic_us());
        let mut refused = 0;
        loop {
            failpoint("sink.write");
            let written = self.sink.sink().write(&rows).await;
            failpoint("sink.written");
            let (again, wait) = match written {
                Ok(fates) if fates.is_empty() => return Ok(refused),
                Ok(fates) => {
                    let (again, after, rejects) = sort_out(&self.name, &rows, fates);
                    refused += rejects.len();
                    self.reject(rejects).await?;
                    if again.is_empty() {
                        return Ok(refused);
                    }
                    (Some(again), after)
                }
                Err(diagnostic) if diagnostic.blame == Blame::Remote && !ends_the_life(&diagnostic) => {
                    match backoff.clone().wait() {
                        Some(_) => (None, Duration::ZERO),
                        None => return Err(diagnostic),
                    }
                }
                Err(diagnostic) => return Err(diagnostic),
            };
            let Some(pause) = backoff.wait() else {
                let message = format!("destination \"{}\" is still too busy after many tries", self.name);
                return Err(Diagnostic::new(&codes::CONNECT, message));
            };
            self.stats.retries.add(1);
            tokio::time::sleep(pause.max(wait)).await;
            if let Some(again) = again {
                rows = subset(&rows, &again);
            }
        }
    }

    async fn reject(&mut self, rejected: Vec<Rejected>) -> Result<(), Diagnostic> {
        let Some(first) = rejected.first() else { return Ok(()) };
        match (self.errors, &self.letters) {
            (Policy::Skip, _) => self.stats.rejected.add(rejected.len()),
            (Policy::DeadLetter(_), Some(letters)) => {
                self.stats.rejected.add(rejected.len());
                // A destination that is gone has reported why.
                let _ = letters.send(ToSink::Letters(rejected)).await;
            }
            // A dead letter that is itself refused has nowhere to go.
            (Policy::Stop | Policy::DeadLetter(_), _) => return Err(stopped(first)),
        }
        Ok(())
    }

    async fn write_letters(&mut self, rejected: &[Rejected]) -> Result<(), Diagnostic> {
        let rows = self.letter_writer.rows(rejected, self.clock.now())?;
        let refused = self.write(rows).await?;
        self.stats.sinks[self.index].1.add(rejected.len() - refused);
        Ok(())
    }
}

/// Whether nothing that was read since the last commit can be committed any more.
fn ends_the_life(diagnostic: &Diagnostic) -> bool {
    [&codes::LOST_SPLITS, &codes::EPOCH_TOO_LONG].contains(&diagnostic.code)
}

/// When the oldest row was committed in its source; when it was read, where the source does not say.
fn oldest(batch: &Batch) -> EventTime {
    let committed = batch.column(COMMITTED_AT);
    let committed = committed.and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>());
    committed.and_then(min).map_or(batch.tick, EventTime)
}

/// Rows to be written again, the shortest wait before that, and rows that are refused for good.
fn sort_out(
    name: &Arc<str>,
    rows: &Rows,
    fates: Vec<(usize, Fate)>,
) -> (Vec<usize>, Duration, Vec<Rejected>) {
    let (mut again, mut wait, mut rejected) = (Vec::new(), Duration::ZERO, Vec::new());
    for (row, fate) in fates {
        match fate {
            Fate::Retry { after } => {
                again.push(row);
                wait = wait.max(after);
            }
            Fate::Reject { reason } => rejected.push(Rejected {
                code: codes::DELIVER.id,
                cause: reason,
                step: name.clone(),
                origin: "delivery".to_owned(),
                original: original(&rows.batch, row),
            }),
        }
    }
    (again, wait, rejected)
}

fn subset(rows: &Rows, chosen: &[usize]) -> Rows {
    let indices = UInt64Array::from_iter_values(chosen.iter().map(|&row| row as u64));
    let columns = take_record_batch(&rows.batch.columns, &indices).expect("the rows are the batch's own");
    let encoded = rows.encoded.as_ref().map(|all| {
        let mut some = Encoded::default();
        for &row in chosen {
            some.bytes.extend_from_slice(all.row(row));
            some.ends.push(some.bytes.len());
        }
        some
    });
    Rows { batch: rows.batch.with(columns), shape: rows.shape.clone(), encoded, hint: None }
}
