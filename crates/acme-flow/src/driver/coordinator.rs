//! The coordinator: starts the threads, ends epochs, commits them, ends the run.

use super::commit::{Commit, Pending};
use super::dead_letters::LetterWriter;
use super::deliver::Delivery;
use super::graph::Feeds;
use super::lanes::{Lane, LaneProgram};
use super::order::Ordered;
use super::shards::{Saving, Shards};
use super::sink::SinkTask;
use super::source::{self, SourceTask};
use super::{AHEAD, Job, JobSink, JobSource, Report, Stop, Then, ToSink, ToSource, Work};
use crate::checkpoint::note::Note;
use crate::checkpoint::{Checkpoint, CheckpointStore, objects};
use crate::stats::Stats;
use acme_connect::failpoint;
use acme_types::{Clock, Diagnostic, Epoch, Positions, codes};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::time::{Interval, MissedTickBehavior, interval};

/// How a run ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// All sources were read to their ends.
    pub complete: bool,
}

/// Runs a job to its end: until all sources end, `stop` asks for it, or something fails.
///
/// On an error nothing after the last commit has taken effect, except at destinations that are at least once. With
/// [`codes::SCHEMA_CHANGED`] everything before the change is committed, and the next run goes on behind it.
/// **Errors** whatever a source, destination, store or lane reports first.
pub async fn run(job: Job, mut stop: watch::Receiver<Stop>) -> Result<Summary, Diagnostic> {
    let (reports, inbox) = mpsc::channel(64);
    let (cancel, cancelled) = watch::channel(false);
    let mut threads = Threads { handles: Vec::new(), reports: reports.clone(), cancelled };
    let result = async {
        let mut coordinator = tokio::select! {
            biased;
            started = start(job, &mut threads, reports, inbox) => started?,
            // Nothing was read: a start that waits for a remote system is given up, as a crash would do it.
            () = asked(&mut stop, Stop::Drain) => return Ok(Summary { complete: false }),
        };
        coordinator.supervise(&mut stop).await
    }
    .await;
    // The senders to the threads are gone by now; those that wait for a remote system are interrupted.
    let _ = cancel.send(true);
    threads.join().await;
    result
}

/// A commit is repeated after so long although nothing has moved: a destination may forget what is never said again, as Kafka forgets
/// offsets after seven days.
const REPEATED: Duration = Duration::from_secs(12 * 3600);
/// How long threads have to end.
const PATIENCE: Duration = Duration::from_secs(2);

struct Threads {
    handles: Vec<JoinHandle<()>>,
    reports: mpsc::Sender<Report>,
    cancelled: watch::Receiver<bool>,
}

impl Threads {
    /// A thread for one connector: its future may block without holding up anyone else.
    fn connector<F>(&mut self, name: &str, task: impl FnOnce() -> F + Send + 'static)
    where
        F: Future<Output = Result<(), Diagnostic>>,
    {
        let (handle, reports) = (Handle::current(), self.reports.clone());
        let mut cancelled = self.cancelled.clone();
        self.spawn(name, move || {
            handle.block_on(async {
                let result = tokio::select! {
                    result = task() => result,
                    _ = cancelled.changed() => Ok(()),
                };
                if let Err(diagnostic) = result {
                    let _ = reports.send(Report::Failed(diagnostic)).await;
                }
            });
        });
    }

    fn spawn(&mut self, name: &str, body: impl FnOnce() + Send + 'static) {
        let reports = self.reports.clone();
        let shown = name.to_owned();
        let guarded = move || {
            if std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).is_err() {
                let message = format!("the thread of {shown} ended unexpectedly");
                let failed = Report::Failed(Diagnostic::new(&codes::INTERNAL, message));
                let _ = reports.blocking_send(failed);
            }
        };
        let thread = std::thread::Builder::new().name(name.chars().take(15).collect()).spawn(guarded);
        self.handles.push(thread.expect("the system can start a thread"));
    }

    /// Waits for the threads, but not for ever: one may be inside a call of the operating system that does not return. It
    /// holds nothing that is committed, so it may be left behind.
    async fn join(self) {
        let ended = async {
            while !self.handles.iter().all(JoinHandle::is_finished) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let _ = tokio::time::timeout(PATIENCE, ended).await;
    }
}

struct Coordinator {
    commit: Commit,
    epoch: Epoch,
    positions: BTreeMap<String, Positions>,
    /// What was committed last.
    committed: Checkpoint,
    source_names: Vec<Arc<str>>,
    sink_names: Vec<Arc<str>>,
    sources: Vec<mpsc::Sender<ToSource>>,
    sinks: Vec<mpsc::Sender<ToSink>>,
    /// What the shards of steps have stored.
    saving: Saving,
    store: Arc<dyn CheckpointStore>,
    dead_letters: Option<usize>,
    inbox: mpsc::Receiver<Report>,
    ended: usize,
    /// What a source has said of a change of its tables.
    changed: Option<Diagnostic>,
    /// What other workers have left and destinations are completing.
    adopting: usize,
    /// A shared source is to let splits go.
    leaving: bool,
    ticks: Interval,
    clock: Arc<dyn Clock>,
    /// When it was committed last.
    committed_us: u64,
    stats: Arc<Stats>,
}

async fn start(
    mut job: Job,
    threads: &mut Threads,
    reports: mpsc::Sender<Report>,
    inbox: mpsc::Receiver<Report>,
) -> Result<Coordinator, Diagnostic> {
    let (me, letters) = ((job.writer.clone(), &*job.worker), job.errors.dead_letters());
    let stateful = !job.tasks.is_empty();
    let claim = Commit::claim(job.store.clone(), me, &mut job.sources, &mut job.sinks, letters, stateful);
    let claimed = claim.await?;
    let (mut commit, before) = claimed;
    let before = before.unwrap_or_default();
    // A run that had come to its end is not resumed: the next one begins anew.
    let restored = match before.closed {
        true => Checkpoint { epoch: before.epoch, ..Checkpoint::default() },
        false => before,
    };
    job.stats.watch(&job.sources);
    let positions = match commit.gives_positions() {
        true => job.sources.iter().map(|source| (source.name.to_string(), Positions::new())).collect(),
        false => open_sources(&mut job.sources, &restored).await?,
    };
    let first = Checkpoint { epoch: restored.epoch.next(), sources: positions, ..restored };
    commit.first(&first, &mut job.sinks).await?;
    objects::tidy_state(job.store.as_ref());

    let ticks = ticks(job.interval, job.halved, &mut job.sinks);
    let feeds = Feeds::of(&job);
    let room = feeds.origins() * (job.lanes + AHEAD + 2) + 16;
    let (sinks, inboxes): (Vec<_>, Vec<_>) = job.sinks.iter().map(|_| mpsc::channel(room)).unzip();
    let dead_letters = job.errors.dead_letters();
    let source_names = job.sources.iter().map(|source| source.name.clone()).collect();
    let sink_names = job.sinks.iter().map(|sink| sink.name.clone()).collect();
    let (errors, stats, clock) = (job.errors, job.stats, job.clock);
    let (tasks, shards) = Shards::new(&job.tasks, &feeds, room, job.store.clone(), job.writer.clone());
    let delivery =
        Delivery { sinks: sinks.clone(), tasks, reports: reports.clone(), errors, stats: stats.clone() };
    let shards = shards.restored(&job.tasks, &job.sources, &first)?;
    let saving = shards.saving();
    for shard in shards.made(&job.tasks, &delivery) {
        threads.spawn(&format!("{}-{}", job.tasks[shard.task].name, shard.shard), move || shard.run());
    }
    let work = start_lanes(threads, &job.sources, job.lanes, &delivery, &feeds);
    for (index, (sink, inbox)) in job.sinks.into_iter().zip(inboxes).enumerate() {
        let letters = dead_letters.filter(|&to| to != index).map(|to| sinks[to].clone());
        let task = SinkTask {
            index,
            prepared: first.sinks.get(&*sink.name).cloned(),
            inbox,
            reports: reports.clone(),
            letters,
            errors,
            holds_commit: commit.is_at(index),
            held: false,
            clock: clock.clone(),
            stats: stats.clone(),
            letter_writer: LetterWriter::new(sink.format.as_ref()),
            streams: (0..feeds.origins()).map(|_| Ordered::default()).collect(),
            name: sink.name.clone(),
            sink: sink.sink,
        };
        threads.connector(&sink.name, move || task.run());
    }
    let time = clock.clone();
    let source_threads =
        SourceThreads { clock, lanes: work, lane_count: job.lanes, delivery: &delivery, feeds: &feeds };
    let sources = source_threads.start(threads, job.sources, &first.sources);
    drop(delivery);
    let (epoch, positions) = (first.epoch, first.sources.clone());
    Ok(Coordinator {
        commit,
        epoch,
        positions,
        committed: first,
        source_names,
        sink_names,
        sources,
        sinks,
        saving,
        store: job.store,
        dead_letters,
        inbox,
        ended: 0,
        changed: None,
        adopting: 0,
        leaving: false,
        ticks,
        committed_us: time.monotonic_us(),
        clock: time,
        stats,
    })
}

/// The ends of epochs.
fn ticks(wanted: Duration, halved: u32, sinks: &mut [JobSink]) -> Interval {
    let longest = sinks.iter_mut().filter_map(|it| it.sink.sink().epoch_max()).min();
    let length = wanted.min(longest.unwrap_or(wanted)) / 2_u32.saturating_pow(halved);
    let mut ticks = interval(length.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.reset();
    ticks
}

/// Starts the lanes; what is sent into the result is done by one of them.
fn start_lanes(
    threads: &mut Threads,
    sources: &[JobSource],
    lanes: usize,
    delivery: &Delivery,
    feeds: &Feeds,
) -> crossbeam_channel::Sender<Work> {
    let (work, queue) = crossbeam_channel::bounded(sources.len() * (lanes + AHEAD));
    let programs = |source: &JobSource| source.programs.iter().map(LaneProgram::new).collect();
    for lane in 0..lanes {
        let task = Lane {
            programs: sources.iter().map(programs).collect(),
            feeds: (0..sources.len()).map(|source| feeds.of_source(source).to_vec()).collect(),
            work: queue.clone(),
            delivery: delivery.clone(),
        };
        threads.spawn(&format!("lane-{lane}"), move || task.run());
    }
    work
}

/// What the threads of all sources share.
struct SourceThreads<'a> {
    clock: Arc<dyn Clock>,
    lanes: crossbeam_channel::Sender<Work>,
    lane_count: usize,
    delivery: &'a Delivery,
    feeds: &'a Feeds,
}

impl SourceThreads<'_> {
    /// Starts one thread for each source; through the results they take orders.
    fn start(
        &self,
        threads: &mut Threads,
        sources: Vec<JobSource>,
        positions: &BTreeMap<String, Positions>,
    ) -> Vec<mpsc::Sender<ToSource>> {
        let mut senders = Vec::new();
        for (index, JobSource { name, source, idle_after, .. }) in sources.into_iter().enumerate() {
            let (sender, orders) = mpsc::channel(4);
            senders.push(sender);
            let stream = source::Stream {
                index,
                positions: positions[&*name].clone(),
                sinks: self.delivery.sinks.clone(),
                shards: self
                    .feeds
                    .of_source(index)
                    .iter()
                    .flat_map(|&task| self.delivery.tasks[task].clone())
                    .collect(),
                reports: self.delivery.reports.clone(),
                number: 0,
                moved: false,
                ended: false,
                losses: None,
                ends: source::Ends::new(idle_after),
                leaving: Vec::new(),
                left: Vec::new(),
            };
            let (clock, lanes, lane_count) = (self.clock.clone(), self.lanes.clone(), self.lane_count);
            let task = SourceTask { source, clock, lanes, lane_count, orders, stream };
            threads.connector(&name, move || task.run());
        }
        senders
    }
}

async fn open_sources(
    sources: &mut [JobSource],
    restored: &Checkpoint,
) -> Result<BTreeMap<String, Positions>, Diagnostic> {
    let nowhere = Positions::new();
    let mut positions = BTreeMap::new();
    for JobSource { name, source, .. } in sources {
        let opened = source.open(restored.sources.get(&**name).unwrap_or(&nowhere)).await?;
        positions.insert(name.to_string(), opened);
    }
    Ok(positions)
}

impl Coordinator {
    async fn supervise(&mut self, stop: &mut watch::Receiver<Stop>) -> Result<Summary, Diagnostic> {
        loop {
            if let Some(changed) = self.changed.take() {
                let committed = self.end_epoch(Then::Pause, stop).await?;
                return if committed { Err(changed) } else { Ok(Summary { complete: false }) };
            }
            if self.ended == self.sources.len() {
                let complete = self.end_epoch(Then::End, stop).await? && self.close(stop).await?;
                return Ok(Summary { complete });
            }
            if self.leaving {
                self.end_epoch(Then::Epoch, stop).await?;
            }
            let wish = *stop.borrow_and_update();
            match wish {
                Stop::No => {}
                Stop::Drain => {
                    let _ = self.end_epoch(Then::Pause, stop).await? && self.leave(stop).await?;
                    return Ok(Summary { complete: false });
                }
                Stop::Now => return Ok(Summary { complete: false }),
            }
            tokio::select! {
                _ = self.ticks.tick() => { self.end_epoch(Then::Epoch, stop).await?; }
                report = self.inbox.recv() => match report.expect("this side holds a sender") {
                    Report::Ended => self.ended += 1,
                    Report::Changed(diagnostic) => self.changed = Some(diagnostic),
                    Report::Failed(diagnostic) => return Err(diagnostic),
                    Report::Gained { notes, losses } => self.gain(&notes, losses).await?,
                    Report::Adopted => self.adopting -= 1,
                    Report::Leaving => self.leaving = true,
                    _ => return Err(Diagnostic::new(&codes::INTERNAL, "a report came outside of an epoch's end")),
                },
                () = asked(stop, Stop::Drain) => {}
            }
        }
    }

    /// Barrier, prepare, commit, release. Nothing is committed where nothing moved. `false` where the run is to end at once.
    async fn end_epoch(&mut self, then: Then, stop: &mut watch::Receiver<Stop>) -> Result<bool, Diagnostic> {
        let epoch = self.epoch.next();
        // What is said from here on of splits that leave, the barrier may not have seen.
        let leaving = std::mem::take(&mut self.leaving);
        failpoint("epoch.barrier");
        for source in &self.sources {
            let _ = source.send(ToSource::Barrier { epoch, then }).await;
        }
        let mut passed = 0;
        let mut any_moved = false;
        let mut prepared: BTreeMap<String, String> = BTreeMap::new();
        // What others have left is complete before their notes are overwritten.
        while passed < self.sources.len()
            || prepared.len() < self.sinks.len()
            || !self.saving.is_complete()
            || self.adopting > 0
        {
            match self.report(stop).await? {
                None => return Ok(false),
                Some(Report::Passed { source, positions, moved }) => {
                    passed += 1;
                    any_moved |= moved;
                    self.positions.insert(self.source_names[source].to_string(), positions);
                }
                Some(Report::Saved(saved)) => {
                    any_moved |= saved.moved;
                    self.saving.take(saved, &self.source_names);
                }
                Some(Report::Prepared { sink, prepared: handle }) => {
                    prepared.insert(self.sink_names[sink].to_string(), handle);
                }
                Some(Report::Adopted) => {}
                Some(_) => return Err(Diagnostic::new(&codes::INTERNAL, "a report came out of turn")),
            }
            let others = self.sinks.len() - usize::from(self.dead_letters.is_some());
            if let Some(index) = self.dead_letters
                && prepared.len() == others
                && !prepared.contains_key(&*self.sink_names[index])
                && passed == self.sources.len()
                && self.saving.is_complete()
            {
                let _ = self.sinks[index].send(ToSink::Complete).await;
            }
        }
        self.epoch = epoch;
        self.saving.begin();
        if !any_moved && !then.is_last() && !leaving && !self.has_finished(&prepared) && !self.is_old() {
            self.commit.skip(&self.sinks).await;
            return Ok(true);
        }
        failpoint("epoch.prepared");
        let (sources, tasks) = (self.positions.clone(), self.saving.tasks().clone());
        let checkpoint = Checkpoint { epoch, sources, sinks: prepared, tasks, closed: false };
        if !self.commit(&checkpoint, stop).await? {
            return Ok(false);
        }
        self.stats.commits.add(1);
        if self.saving.is_tidy_due() {
            objects::tidy_state(self.store.as_ref());
        }
        self.committed_us = self.clock.monotonic_us();
        failpoint("epoch.committed");
        for sink in &self.sinks {
            let _ = sink.send(ToSink::Commit(epoch)).await;
        }
        let mut committed = 0;
        while committed < self.sinks.len() {
            match self.report(stop).await? {
                None => return Ok(false),
                Some(Report::Committed) => committed += 1,
                Some(Report::Adopted) => {}
                Some(_) => return Err(Diagnostic::new(&codes::INTERNAL, "a report came out of turn")),
            }
        }
        failpoint("epoch.published");
        for (name, source) in self.source_names.iter().zip(&self.sources) {
            let _ = source.send(ToSource::Release(self.positions[&**name].clone())).await;
        }
        self.committed = checkpoint;
        Ok(true)
    }

    /// Whether a destination has something to make visible although no row moved, such as a file whose time is over. A
    /// destination's own transaction is not begun for that.
    fn has_finished(&self, prepared: &BTreeMap<String, String>) -> bool {
        let before = &self.committed.sinks;
        let other = |(name, now): (&String, &String)| before.get(name).is_some_and(|before| before != now);
        self.commit.is_cheap() && prepared.iter().any(other)
    }

    /// Whether the last commit is so old that it is repeated.
    fn is_old(&self) -> bool {
        Duration::from_micros(self.clock.monotonic_us().saturating_sub(self.committed_us)) >= REPEATED
    }

    /// Makes a checkpoint the committed one; `false` where the run is to end at once instead.
    async fn commit(
        &mut self,
        checkpoint: &Checkpoint,
        stop: &mut watch::Receiver<Stop>,
    ) -> Result<bool, Diagnostic> {
        let pending = self.commit.epoch(checkpoint, &self.sources, &self.sinks).await?;
        if matches!(pending, Pending::Until(_)) {
            loop {
                match self.report(stop).await? {
                    None => return Ok(false),
                    Some(Report::Adopted) => {}
                    Some(report) => break pending.ends_with(&report)?,
                }
            }
            self.commit.done(&pending);
        }
        Ok(true)
    }

    /// Notes that the run is over, so that the next one begins anew. Until then a restart only completes what is missing.
    async fn close(&mut self, stop: &mut watch::Receiver<Stop>) -> Result<bool, Diagnostic> {
        if self.commit.gives_positions() {
            return self.leave(stop).await;
        }
        let closed = Checkpoint { epoch: self.epoch.next(), closed: true, ..self.committed.clone() };
        self.commit(&closed, stop).await
    }

    /// Leaves the group that shares the source, if there is one, so that the other workers need not wait for its time-out.
    async fn leave(&mut self, stop: &mut watch::Receiver<Stop>) -> Result<bool, Diagnostic> {
        if self.commit.gives_positions() {
            let _ = self.sources[0].send(ToSource::Leave).await;
            loop {
                match self.report(stop).await? {
                    None => return Ok(false),
                    Some(Report::Left) => break,
                    Some(_) => {}
                }
            }
        }
        Ok(true)
    }

    /// The next report that is about the epoch; `None` when the run is to end at once.
    async fn report(&mut self, stop: &mut watch::Receiver<Stop>) -> Result<Option<Report>, Diagnostic> {
        loop {
            tokio::select! {
                biased;
                () = asked(stop, Stop::Now) => return Ok(None),
                report = self.inbox.recv() => match report.expect("this side holds a sender") {
                    Report::Ended => self.ended += 1,
                    Report::Changed(diagnostic) => self.changed = Some(diagnostic),
                    Report::Failed(diagnostic) => return Err(diagnostic),
                    Report::Gained { notes, losses } => self.gain(&notes, losses).await?,
                    Report::Adopted => {
                        self.adopting -= 1;
                        return Ok(Some(Report::Adopted));
                    }
                    Report::Leaving => self.leaving = true,
                    report => return Ok(Some(report)),
                },
            }
        }
    }

    /// Has the destinations complete what the workers have left that committed these notes.
    async fn gain(&mut self, notes: &[String], losses: u64) -> Result<(), Diagnostic> {
        self.commit.gained_after(losses);
        for note in notes {
            let Some(note) = Note::read(note)? else { continue };
            for (name, sink) in self.sink_names.iter().zip(&self.sinks) {
                if let Some(prepared) = note.sinks.get(&**name) {
                    self.adopting += 1;
                    // A destination that is gone has reported why.
                    let _ = sink.send(ToSink::Adopt(prepared.clone())).await;
                }
            }
        }
        Ok(())
    }
}

/// Waits until the run is asked to end at least so firmly; for ever where nobody can ask any more.
async fn asked(stop: &mut watch::Receiver<Stop>, how: Stop) {
    if stop.wait_for(|stop| *stop >= how).await.is_err() {
        std::future::pending::<()>().await;
    }
}
