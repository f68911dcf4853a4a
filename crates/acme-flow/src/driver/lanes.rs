//! The lanes: threads that take the next chunk, run it through the program of its source, and hand on what came out.

use super::{Policy, Report, ToSink, Work};
use crate::program::{Instance, Outcome, Program};
use crate::stats::Stats;
use acme_types::{Diagnostic, Rejected, codes};
use crossbeam_channel::Receiver;
use std::sync::Arc;
use tokio::sync::mpsc;

pub(super) struct Lane {
    /// The program of each stream of each source.
    pub(super) programs: Vec<Vec<LaneProgram>>,
    pub(super) work: Receiver<Work>,
    pub(super) sinks: Vec<mpsc::Sender<ToSink>>,
    pub(super) reports: mpsc::Sender<Report>,
    pub(super) errors: Policy,
    pub(super) stats: Arc<Stats>,
}

/// A program as one lane runs it.
pub(super) struct LaneProgram {
    instance: Instance,
    /// Which destination each outlet leads to.
    sinks: Vec<usize>,
}

impl LaneProgram {
    pub(super) fn new(program: &Program) -> Self {
        let sinks = program.outlets.iter().map(|outlet| outlet.sink).collect();
        Self { instance: program.instance(), sinks }
    }
}

impl Lane {
    /// Works until the sources are gone.
    pub(super) fn run(mut self) {
        while let Ok(work) = self.work.recv() {
            let outcome =
                match self.programs[work.source][work.chunk.stream].instance.run(&work.chunk, work.tick) {
                    Ok(outcome) => outcome,
                    Err(diagnostic) => return self.fail(diagnostic),
                };
            self.stats.sources[work.source].1.add(outcome.read);
            self.stats.bytes.add(work.chunk.payload.size());
            if !self.hand_on(&work, outcome) {
                return;
            }
        }
    }

    fn hand_on(&self, work: &Work, outcome: Outcome) -> bool {
        let mut letters = Vec::new();
        if !outcome.rejected.is_empty() {
            match self.errors {
                Policy::Stop => {
                    self.fail(stopped(&outcome.rejected[0]));
                    return false;
                }
                Policy::Skip => self.stats.rejected.add(outcome.rejected.len()),
                Policy::DeadLetter(_) => {
                    self.stats.rejected.add(outcome.rejected.len());
                    letters = outcome.rejected;
                }
            }
        }
        let mut rows: Vec<_> = self.sinks.iter().map(|_| Vec::new()).collect();
        for (outlet, batches) in self.programs[work.source][work.chunk.stream].sinks.iter().zip(outcome.rows)
        {
            rows[*outlet].extend(batches);
        }
        for (sink, (sender, rows)) in self.sinks.iter().zip(rows).enumerate() {
            let rejected = if self.errors == Policy::DeadLetter(sink) {
                std::mem::take(&mut letters)
            } else {
                Vec::new()
            };
            let permit = work.permit.clone();
            let message = ToSink::Rows { source: work.source, number: work.number, rows, rejected, permit };
            if sender.blocking_send(message).is_err() {
                return false;
            }
        }
        true
    }

    fn fail(&self, diagnostic: Diagnostic) {
        // The coordinator is gone only when the run has failed already.
        let _ = self.reports.blocking_send(Report::Failed(diagnostic));
    }
}

/// The error policy `stop`, as the user sees it.
pub(super) fn stopped(rejected: &Rejected) -> Diagnostic {
    const SHOWN: usize = 200;
    let code = codes::find(rejected.code).unwrap_or(&codes::INTERNAL);
    let text = String::from_utf8_lossy(&rejected.original);
    let mut shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    let Rejected { step, origin, cause, .. } = rejected;
    Diagnostic::new(
        code,
        format!("step \"{step}\" cannot process the record at {origin}: {cause}\n  record: {shown}"),
    )
    .help("mend the record, or set `settings.errors.policy` to skip or dead_letter")
}
