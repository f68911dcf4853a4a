//! The thread of one shard of a step with state: rows in the order of their origins, time, snapshots.

use super::deliver::{Delivery, From};
use super::lanes::LaneProgram;
use super::order::{Ordered, aligned};
use super::{AHEAD, Progress, Report, Saved, Then, ToSink, ToTask};
use crate::checkpoint::{ShardFile, Snapshots};
use crate::task::{Emitted, Task};
use crate::time::Watermarks;
use acme_connect::failpoint;
use acme_types::{Batch, Diagnostic, Epoch, EventTime};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

pub(super) struct Shard {
    pub(super) task: usize,
    pub(super) shard: usize,
    /// What it is to those that it feeds.
    pub(super) origin: usize,
    pub(super) state: Box<dyn Task>,
    /// The program of each output.
    pub(super) outputs: Vec<LaneProgram>,
    /// The steps that it feeds.
    pub(super) feeds: Vec<usize>,
    pub(super) inbox: mpsc::Receiver<ToTask>,
    pub(super) delivery: Delivery,
    /// What has arrived, by origin.
    pub(super) origins: BTreeMap<usize, Ordered<ToTask>>,
    pub(super) time: Watermarks,
    pub(super) snapshots: Snapshots,
    pub(super) ways: Ways,
}

/// What a shard counts of what it sends.
pub(super) struct Ways {
    pub(super) to_sinks: u64,
    pub(super) to_tasks: u64,
    /// One for each batch that is under way to those behind it.
    pub(super) permits: Arc<Semaphore>,
    pub(super) handle: Handle,
    pub(super) tick: EventTime,
    /// The last watermark that was passed on.
    pub(super) said: EventTime,
    /// Something has come since the last barrier.
    pub(super) moved: bool,
}

impl Ways {
    pub(super) fn new(lanes: usize) -> Self {
        Self {
            to_sinks: 0,
            to_tasks: 0,
            permits: Arc::new(Semaphore::new(lanes + AHEAD)),
            handle: Handle::current(),
            tick: EventTime(0),
            said: EventTime(i64::MIN),
            moved: false,
        }
    }

    fn permit(&self) -> Arc<OwnedSemaphorePermit> {
        let permit = self.handle.block_on(self.permits.clone().acquire_owned());
        Arc::new(permit.expect("the semaphore is never closed"))
    }
}

/// The run has failed or is over; why, was reported.
struct Over;

impl Shard {
    /// Works until the origins are gone.
    pub(super) fn run(mut self) {
        if self.pass_time_on().is_err() {
            return;
        }
        while let Some(message) = self.inbox.blocking_recv() {
            self.collect(message);
            if self.work().is_err() {
                return;
            }
        }
    }

    fn collect(&mut self, first: ToTask) {
        let mut next = Some(first);
        while let Some(message) = next {
            let (ToTask::Rows { origin, number, .. }
            | ToTask::Time { origin, number, .. }
            | ToTask::Barrier { origin, number, .. }) = &message;
            let (origin, number) = (*origin, *number);
            self.origins.get_mut(&origin).expect("only who feeds the step sends to it").file(number, message);
            next = self.inbox.try_recv().ok();
        }
    }

    /// Does what has its turn; at a barrier of all origins it ends the epoch and goes on.
    fn work(&mut self) -> Result<(), Over> {
        loop {
            let numbers: Vec<usize> = self.origins.keys().copied().collect();
            for origin in numbers {
                while let Some(message) = self.origins.get_mut(&origin).expect("it is one").turn() {
                    self.take(origin, message)?;
                }
            }
            let Some((epoch, then)) = aligned(self.origins.values()) else { return Ok(()) };
            self.end_epoch(epoch, then)?;
            self.origins.values_mut().for_each(|origin| origin.barrier = None);
        }
    }

    fn take(&mut self, origin: usize, message: ToTask) -> Result<(), Over> {
        let mut emitted = Emitted::default();
        match message {
            ToTask::Barrier { epoch, then, .. } => {
                self.origins.get_mut(&origin).expect("it is one").barrier = Some((epoch, then));
                return Ok(());
            }
            ToTask::Time { progress, .. } => self.note(origin, progress),
            ToTask::Rows { parts, progress, tick, permit, .. } => {
                self.ways.tick = tick;
                // Rows are judged by the time before them: a batch makes none of its own rows late.
                for part in parts {
                    let (rows, hashes) = (&part.keyed.rows, &part.keyed.hashes);
                    let taken = self.state.rows(part.input, rows, hashes, &mut emitted);
                    self.check(taken)?;
                    self.ways.moved = true;
                }
                drop(permit);
                if let Some(progress) = progress {
                    self.note(origin, progress);
                }
            }
        }
        let advanced = match self.time.merged() > self.ways.said {
            true => self.state.advance(self.time.merged(), &mut emitted),
            false => Ok(()),
        };
        self.check(advanced)?;
        self.send(emitted)?;
        self.pass_time_on()
    }

    fn note(&mut self, origin: usize, progress: Progress) {
        match progress {
            Progress::Splits(splits) => self.time.announce(origin, splits),
            Progress::Idle(splits) => splits.into_iter().for_each(|split| self.time.idle(origin, split)),
            Progress::Saw(split, latest) => self.time.saw(origin, split, latest),
            Progress::End => self.time.end(origin),
            Progress::Watermark(watermark) => self.time.step(origin, watermark),
        }
    }

    /// Hands on what the step has put out.
    fn send(&mut self, emitted: Emitted) -> Result<(), Over> {
        self.delivery.stats.late.add(emitted.late);
        for (output, rows) in emitted.batches {
            let batch = Batch { columns: rows, tick: self.ways.tick };
            let program = &mut self.outputs[output];
            let outcome = program.instance.run_rows(&batch);
            let outcome = outcome.map_err(|diagnostic| {
                self.delivery.fail(diagnostic);
                Over
            })?;
            let (to_sinks, to_tasks) = (self.ways.to_sinks, self.ways.to_tasks);
            self.ways.to_sinks += 1;
            self.ways.to_tasks += 1;
            let from = From {
                origin: self.origin,
                to_sinks,
                to_tasks,
                feeds: &self.feeds,
                progress: None,
                tick: batch.tick,
                permit: self.ways.permit(),
            };
            if !self.delivery.hand_on(&from, &self.outputs[output].routes, outcome) {
                return Err(Over);
            }
        }
        Ok(())
    }

    /// Tells those behind how far the time is here, behind all rows that are due by then.
    fn pass_time_on(&mut self) -> Result<(), Over> {
        let now = self.time.merged();
        if now == self.ways.said {
            return Ok(());
        }
        self.ways.said = now;
        self.ways.moved = true;
        for &task in &self.feeds {
            for sender in &self.delivery.tasks[task] {
                let (origin, number) = (self.origin, self.ways.to_tasks);
                let message = ToTask::Time { origin, number, progress: Progress::Watermark(now) };
                sender.blocking_send(message).map_err(|_| Over)?;
            }
        }
        self.ways.to_tasks += 1;
        Ok(())
    }

    fn end_epoch(&mut self, epoch: Epoch, then: Then) -> Result<(), Over> {
        let mut emitted = Emitted::default();
        let settled = self.state.settle(&mut emitted);
        self.check(settled)?;
        self.send(emitted)?;
        let moved = std::mem::take(&mut self.ways.moved);
        let file = match moved || self.snapshots.is_first() {
            true => {
                let saved = self.save(epoch);
                self.check(saved)?
            }
            false => None,
        };
        failpoint("task.saved");
        let saved = Saved {
            task: self.task,
            shard: self.shard,
            moved,
            file,
            time: self.time.sources().map(|(origin, time)| (origin, time.clone())).collect(),
            watermark: self.time.merged(),
        };
        self.delivery.reports.blocking_send(Report::Saved(saved)).map_err(|_| Over)?;
        let source = self.origin;
        for sink in &self.delivery.sinks {
            let barrier = ToSink::Barrier { source, number: self.ways.to_sinks, epoch, then };
            sink.blocking_send(barrier).map_err(|_| Over)?;
        }
        for &task in &self.feeds {
            for sender in &self.delivery.tasks[task] {
                let barrier = ToTask::Barrier { origin: source, number: self.ways.to_tasks, epoch, then };
                sender.blocking_send(barrier).map_err(|_| Over)?;
            }
        }
        self.ways.to_sinks += 1;
        self.ways.to_tasks += 1;
        Ok(())
    }

    /// Stores what has changed in the state.
    fn save(&mut self, epoch: Epoch) -> Result<Option<ShardFile>, Diagnostic> {
        let whole = self.snapshots.is_whole_due();
        let batches = self.state.snapshot(whole)?;
        self.snapshots.put(epoch, whole, &batches)
    }

    fn check<T>(&self, result: Result<T, Diagnostic>) -> Result<T, Over> {
        result.map_err(|diagnostic| {
            self.delivery.fail(diagnostic);
            Over
        })
    }
}
