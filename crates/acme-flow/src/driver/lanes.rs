//! The lanes: threads that take the next chunk, run it through the program of its source, and hand on what came out.

use super::deliver::{Delivery, From, Routes};
use super::{Progress, Work};
use crate::program::{Instance, Program};
use acme_types::{Diagnostic, Rejected, codes};
use crossbeam_channel::Receiver;

pub(super) struct Lane {
    /// The program of each stream of each source.
    pub(super) programs: Vec<Vec<LaneProgram>>,
    /// The steps with state that each source feeds.
    pub(super) feeds: Vec<Vec<usize>>,
    pub(super) work: Receiver<Work>,
    pub(super) delivery: Delivery,
}

/// A program as one lane runs it.
pub(super) struct LaneProgram {
    pub(super) instance: Instance,
    pub(super) routes: Routes,
}

impl LaneProgram {
    pub(super) fn new(program: &Program) -> Self {
        Self { instance: program.instance(), routes: Routes::of(program) }
    }
}

impl Lane {
    /// Works until the sources are gone.
    pub(super) fn run(mut self) {
        while let Ok(work) = self.work.recv() {
            let program = &mut self.programs[work.source][work.chunk.stream];
            let outcome = match program.instance.run(&work.chunk, work.tick) {
                Ok(outcome) => outcome,
                Err(diagnostic) => return self.delivery.fail(diagnostic),
            };
            self.delivery.stats.sources[work.source].1.add(outcome.read);
            self.delivery.stats.bytes.add(work.chunk.payload.size());
            let from = From {
                origin: work.source,
                to_sinks: work.number,
                to_tasks: work.number,
                feeds: &self.feeds[work.source],
                progress: outcome.latest.map(|latest| Progress::Saw(work.chunk.split.clone(), latest)),
                tick: work.tick,
                permit: work.permit.clone(),
            };
            if !self.delivery.hand_on(&from, &program.routes, outcome) {
                return;
            }
        }
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
