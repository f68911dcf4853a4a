//! Hands on what came out of a program: rows to destinations, and to the shards of steps with state.

use super::lanes::stopped;
use super::{Policy, Progress, Report, ToSink, ToTask};
use crate::keyed::{key_group, shard_of};
use crate::program::{Keyed, Outcome, Program};
use crate::stats::Stats;
use acme_types::{Diagnostic, EventTime, Rejected};
use arrow::array::UInt64Array;
use arrow::compute::take_record_batch;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

/// The ways to everything behind the programs.
#[derive(Clone)]
pub(super) struct Delivery {
    pub(super) sinks: Vec<mpsc::Sender<ToSink>>,
    /// The shards of each step.
    pub(super) tasks: Vec<Vec<mpsc::Sender<ToTask>>>,
    pub(super) reports: mpsc::Sender<Report>,
    pub(super) errors: Policy,
    pub(super) stats: Arc<Stats>,
}

/// Where the outputs of one program lead.
#[derive(Clone)]
pub(super) struct Routes {
    /// The destination of each outlet.
    sinks: Vec<usize>,
    /// The step and its input, of each inlet.
    inlets: Vec<(usize, usize)>,
}

impl Routes {
    pub(super) fn of(program: &Program) -> Self {
        Self {
            sinks: program.outlets.iter().map(|outlet| outlet.sink).collect(),
            inlets: program.inlets.iter().map(|inlet| (inlet.task, inlet.input)).collect(),
        }
    }
}

/// Rows of one input of a step, with the hashes of their keys.
pub(super) struct Part {
    pub(super) input: usize,
    pub(super) keyed: Keyed,
}

/// Who sends, and what the receivers must know beside the rows.
pub(super) struct From<'a> {
    pub(super) origin: usize,
    pub(super) to_sinks: u64,
    pub(super) to_tasks: u64,
    /// The steps that the origin feeds.
    pub(super) feeds: &'a [usize],
    pub(super) progress: Option<Progress>,
    pub(super) tick: EventTime,
    pub(super) permit: Arc<OwnedSemaphorePermit>,
}

impl Delivery {
    /// `false` where the run has failed or its end is near.
    pub(super) fn hand_on(&self, from: &From<'_>, routes: &Routes, outcome: Outcome) -> bool {
        let Some(letters) = self.judge(outcome.rejected) else { return false };
        self.to_sinks(from, routes, outcome.rows, letters) && self.to_tasks(from, routes, outcome.inlets)
    }

    /// What is to become of rows that failed: the dead letters, or `None` where the run stops.
    fn judge(&self, rejected: Vec<Rejected>) -> Option<Vec<Rejected>> {
        let Some(first) = rejected.first() else { return Some(rejected) };
        if self.errors == Policy::Stop {
            self.fail(stopped(first));
            return None;
        }
        self.stats.rejected.add(rejected.len());
        Some(if self.errors == Policy::Skip { Vec::new() } else { rejected })
    }

    /// One message to each destination, perhaps empty: it counts on the numbers.
    fn to_sinks(
        &self,
        from: &From<'_>,
        routes: &Routes,
        outlets: Vec<Vec<acme_connect::Rows>>,
        mut letters: Vec<Rejected>,
    ) -> bool {
        let mut rows: Vec<_> = self.sinks.iter().map(|_| Vec::new()).collect();
        for (sink, batches) in routes.sinks.iter().zip(outlets) {
            rows[*sink].extend(batches);
        }
        for (sink, (sender, rows)) in self.sinks.iter().zip(rows).enumerate() {
            let rejected = match self.errors == Policy::DeadLetter(sink) {
                true => std::mem::take(&mut letters),
                false => Vec::new(),
            };
            let (source, number, permit) = (from.origin, from.to_sinks, from.permit.clone());
            if sender.blocking_send(ToSink::Rows { source, number, rows, rejected, permit }).is_err() {
                return false;
            }
        }
        true
    }

    /// One message to each shard that the origin feeds, perhaps empty.
    pub(super) fn to_tasks(&self, from: &From<'_>, routes: &Routes, inlets: Vec<Vec<Keyed>>) -> bool {
        let mut parts: Vec<Vec<Vec<Part>>> =
            self.tasks.iter().map(|shards| shards.iter().map(|_| Vec::new()).collect()).collect();
        for (&(task, input), batches) in routes.inlets.iter().zip(inlets) {
            let shards = parts[task].len();
            for keyed in batches {
                for (shard, keyed) in divide(keyed, shards) {
                    parts[task][shard].push(Part { input, keyed });
                }
            }
        }
        for &task in from.feeds {
            for (sender, parts) in self.tasks[task].iter().zip(std::mem::take(&mut parts[task])) {
                let message = ToTask::Rows {
                    origin: from.origin,
                    number: from.to_tasks,
                    parts,
                    progress: from.progress.clone(),
                    tick: from.tick,
                    permit: from.permit.clone(),
                };
                if sender.blocking_send(message).is_err() {
                    return false;
                }
            }
        }
        true
    }

    pub(super) fn fail(&self, diagnostic: Diagnostic) {
        // The coordinator is gone only when the run has failed already.
        let _ = self.reports.blocking_send(Report::Failed(diagnostic));
    }
}

/// The rows of each shard; shards without any are left out.
fn divide(keyed: Keyed, shards: usize) -> Vec<(usize, Keyed)> {
    if shards == 1 || keyed.hashes.is_empty() {
        return if keyed.hashes.is_empty() { Vec::new() } else { vec![(0, keyed)] };
    }
    let mut chosen: Vec<Vec<u64>> = vec![Vec::new(); shards];
    for (row, &hash) in (0..).zip(&keyed.hashes) {
        chosen[shard_of(key_group(hash), shards)].push(row);
    }
    let of_shard = |(shard, rows): (usize, Vec<u64>)| {
        let hashes =
            rows.iter().map(|&row| keyed.hashes[usize::try_from(row).expect("it is a row")]).collect();
        let rows =
            take_record_batch(&keyed.rows, &UInt64Array::from(rows)).expect("the rows are the batch's own");
        (shard, Keyed { rows, hashes })
    };
    chosen.into_iter().enumerate().filter(|(_, rows)| !rows.is_empty()).map(of_shard).collect()
}
