//! The coordinator: starts the threads, ends epochs, commits them, ends the run.

use super::dead_letters::LetterWriter;
use super::lanes::{Lane, LaneProgram};
use super::sink::{SinkTask, Stream};
use super::source::SourceTask;
use super::{AHEAD, Job, JobSource, Policy, Report, Stop, ToSink, ToSource, Work};
use crate::checkpoint::{Chain, Checkpoint};
use crate::stats::Stats;
use acme_types::{Diagnostic, Epoch, Positions, codes};
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
/// On an error nothing after the last commit has taken effect, except at destinations that are at least once.
/// **Errors** whatever a source, destination, store or lane reports first.
pub async fn run(job: Job, mut stop: watch::Receiver<Stop>) -> Result<Summary, Diagnostic> {
    let (reports, inbox) = mpsc::channel(64);
    let (cancel, cancelled) = watch::channel(false);
    let mut threads = Threads { handles: Vec::new(), reports: reports.clone(), cancelled };
    let result = async {
        let mut coordinator = start(job, &mut threads, reports, inbox).await?;
        coordinator.supervise(&mut stop).await
    }
    .await;
    // The senders to the threads are gone by now; those that wait for a remote system are interrupted.
    let _ = cancel.send(true);
    threads.join().await;
    result
}

/// Milliseconds that threads have to end.
const PATIENCE: u32 = 2_000;

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
        for _ in 0..PATIENCE {
            if self.handles.iter().all(JoinHandle::is_finished) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

struct Coordinator {
    chain: Chain,
    epoch: Epoch,
    positions: BTreeMap<String, Positions>,
    source_names: Vec<Arc<str>>,
    sink_names: Vec<Arc<str>>,
    sources: Vec<mpsc::Sender<ToSource>>,
    sinks: Vec<mpsc::Sender<ToSink>>,
    dead_letters: Option<usize>,
    inbox: mpsc::Receiver<Report>,
    ended: usize,
    ticks: Interval,
    stats: Arc<Stats>,
}

async fn start(
    mut job: Job,
    threads: &mut Threads,
    reports: mpsc::Sender<Report>,
    inbox: mpsc::Receiver<Report>,
) -> Result<Coordinator, Diagnostic> {
    let before = std::mem::take(&mut job.committed.checkpoint).unwrap_or_default();
    // A run that had come to its end is not resumed: the next one begins anew.
    let restored = match before.complete {
        true => Checkpoint { epoch: before.epoch, ..Checkpoint::default() },
        false => before,
    };
    let positions = open_sources(&mut job.sources, &restored).await?;
    let first = Checkpoint { epoch: restored.epoch.next(), sources: positions, complete: false, ..restored };
    job.chain.commit(&first)?;

    let room = job.sources.len() * (job.lanes + AHEAD + 2) + 16;
    let (sinks, inboxes): (Vec<_>, Vec<_>) = job.sinks.iter().map(|_| mpsc::channel(room)).unzip();
    let dead_letters = job.errors.dead_letters();
    let source_names = job.sources.iter().map(|source| source.name.clone()).collect();
    let sink_names = job.sinks.iter().map(|sink| sink.name.clone()).collect();
    let (errors, stats, clock) = (job.errors, job.stats, job.clock);

    let work = start_lanes(threads, &job.sources, job.lanes, &sinks, errors, &stats);
    for (index, (sink, inbox)) in job.sinks.into_iter().zip(inboxes).enumerate() {
        let task = SinkTask {
            index,
            prepared: first.sinks.get(&*sink.name).cloned(),
            inbox,
            reports: reports.clone(),
            letters: dead_letters.filter(|&to| to != index).map(|to| sinks[to].clone()),
            errors,
            clock: clock.clone(),
            stats: stats.clone(),
            letter_writer: LetterWriter::new(sink.format),
            streams: job.sources.iter().map(|_| Stream::default()).collect(),
            name: sink.name.clone(),
            sink: sink.sink,
        };
        threads.connector(&sink.name, move || task.run());
    }
    let mut sources = Vec::new();
    for (index, JobSource { name, source, .. }) in job.sources.into_iter().enumerate() {
        let (sender, orders) = mpsc::channel(4);
        sources.push(sender);
        let task = SourceTask {
            index,
            source,
            positions: first.sources[&*name].clone(),
            clock: clock.clone(),
            lanes: work.clone(),
            lane_count: job.lanes,
            sinks: sinks.clone(),
            orders,
            reports: reports.clone(),
        };
        threads.connector(&name, move || task.run());
    }
    let mut ticks = interval(job.interval.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.reset();
    let (epoch, positions, chain) = (first.epoch, first.sources, job.chain);
    Ok(Coordinator {
        chain,
        epoch,
        positions,
        source_names,
        sink_names,
        sources,
        sinks,
        dead_letters,
        inbox,
        ended: 0,
        ticks,
        stats,
    })
}

/// Starts the lanes; what is sent into the result is done by one of them.
fn start_lanes(
    threads: &mut Threads,
    sources: &[JobSource],
    lanes: usize,
    sinks: &[mpsc::Sender<ToSink>],
    errors: Policy,
    stats: &Arc<Stats>,
) -> crossbeam_channel::Sender<Work> {
    let (work, queue) = crossbeam_channel::bounded(sources.len() * (lanes + AHEAD));
    let programs = |source: &JobSource| source.programs.iter().map(LaneProgram::new).collect();
    for lane in 0..lanes {
        let task = Lane {
            programs: sources.iter().map(programs).collect(),
            work: queue.clone(),
            sinks: sinks.to_vec(),
            reports: threads.reports.clone(),
            errors,
            stats: stats.clone(),
        };
        threads.spawn(&format!("lane-{lane}"), move || task.run());
    }
    work
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
            if self.ended == self.sources.len() {
                self.end_epoch(true, true, stop).await?;
                return Ok(Summary { complete: true });
            }
            let wish = *stop.borrow_and_update();
            match wish {
                Stop::No => {}
                Stop::Drain => {
                    self.end_epoch(true, false, stop).await?;
                    return Ok(Summary { complete: false });
                }
                Stop::Now => return Ok(Summary { complete: false }),
            }
            tokio::select! {
                _ = self.ticks.tick() => self.end_epoch(false, false, stop).await?,
                report = self.inbox.recv() => match report.expect("this side holds a sender") {
                    Report::Ended => self.ended += 1,
                    Report::Failed(diagnostic) => return Err(diagnostic),
                    _ => return Err(Diagnostic::new(&codes::INTERNAL, "a report came outside of an epoch's end")),
                },
                () = asked(stop, Stop::Drain) => {}
            }
        }
    }

    /// Barrier, prepare, commit, release. Nothing is committed where nothing moved.
    async fn end_epoch(
        &mut self,
        last: bool,
        complete: bool,
        stop: &mut watch::Receiver<Stop>,
    ) -> Result<(), Diagnostic> {
        let epoch = self.epoch.next();
        for source in &self.sources {
            let _ = source.send(ToSource::Barrier { epoch, last }).await;
        }
        let mut passed = 0;
        let mut any_moved = false;
        let mut prepared: BTreeMap<String, String> = BTreeMap::new();
        while passed < self.sources.len() || prepared.len() < self.sinks.len() {
            match self.report(stop).await? {
                None => return Ok(()),
                Some(Report::Passed { source, positions, moved }) => {
                    passed += 1;
                    any_moved |= moved;
                    self.positions.insert(self.source_names[source].to_string(), positions);
                }
                Some(Report::Prepared { sink, prepared: handle }) => {
                    prepared.insert(self.sink_names[sink].to_string(), handle);
                }
                Some(_) => return Err(Diagnostic::new(&codes::INTERNAL, "a report came out of turn")),
            }
            let others = self.sinks.len() - usize::from(self.dead_letters.is_some());
            if let Some(index) = self.dead_letters
                && prepared.len() == others
                && !prepared.contains_key(&*self.sink_names[index])
                && passed == self.sources.len()
            {
                let _ = self.sinks[index].send(ToSink::Complete).await;
            }
        }
        self.epoch = epoch;
        if !any_moved && !last {
            return Ok(());
        }
        self.chain.commit(&Checkpoint {
            epoch,
            sources: self.positions.clone(),
            sinks: prepared,
            complete,
        })?;
        self.stats.commits.add(1);
        for sink in &self.sinks {
            let _ = sink.send(ToSink::Commit(epoch)).await;
        }
        let mut committed = 0;
        while committed < self.sinks.len() {
            match self.report(stop).await? {
                None => return Ok(()),
                Some(Report::Committed) => committed += 1,
                Some(_) => return Err(Diagnostic::new(&codes::INTERNAL, "a report came out of turn")),
            }
        }
        for (name, source) in self.source_names.iter().zip(&self.sources) {
            let _ = source.send(ToSource::Release(self.positions[&**name].clone())).await;
        }
        Ok(())
    }

    /// The next report that is about the epoch; `None` when the run is to end at once.
    async fn report(&mut self, stop: &mut watch::Receiver<Stop>) -> Result<Option<Report>, Diagnostic> {
        loop {
            tokio::select! {
                biased;
                () = asked(stop, Stop::Now) => return Ok(None),
                report = self.inbox.recv() => match report.expect("this side holds a sender") {
                    Report::Ended => self.ended += 1,
                    Report::Failed(diagnostic) => return Err(diagnostic),
                    report => return Ok(Some(report)),
                },
            }
        }
    }
}

/// Waits until the run is asked to end at least so firmly; for ever where nobody can ask any more.
async fn asked(stop: &mut watch::Receiver<Stop>, how: Stop) {
    if stop.wait_for(|stop| *stop >= how).await.is_err() {
        std::future::pending::<()>().await;
    }
}
