//! One pipeline's run, from its first look at the sources to its summary.

use crate::commands::note;
use crate::control::{self, Monitor};
use crate::pipeline::{self, Pipeline};
use crate::progress;
use crate::state::{self, Known, Lock, Running};
use acme_connect::{Backoff, failpoint};
use acme_flow::Stats;
use acme_flow::driver::{Job, Stop, Summary, run};
use acme_spec::Mode;
use acme_types::{Clock, Diagnostic, codes};
use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How often the live line changes.
const REFRESH: Duration = Duration::from_millis(250);
/// How often a line is written where there is no terminal.
const LOG_EVERY: Duration = Duration::from_secs(10);
/// How long a destination may take for what was read when the run was asked to end. With what it takes to leave a call that
/// does not return, it stays below the ten seconds after which supervisors kill.
const DRAIN_MAX: Duration = Duration::from_secs(7);
/// After these a run goes on by itself, from its last commit.
const RESUMED: [&codes::Code; 3] = [&codes::SCHEMA_CHANGED, &codes::LOST_SPLITS, &codes::EPOCH_TOO_LONG];
const CLEAR_LINE: &str = "\r\x1b[K";

/// A pipeline that is this process's to run.
pub(super) struct Life {
    file: String,
    text: String,
    name: String,
    mode: &'static str,
    pipeline: Pipeline,
    /// What this run keeps in the state directory.
    own: PathBuf,
    worker: String,
    /// What is asked of the run: by signals, by `acme stop`, by the end of another run.
    stop: watch::Sender<Stop>,
    /// What asks `stop`, while it runs.
    listening: JoinSet<()>,
    _locks: Vec<Lock>,
}

impl Life {
    /// Takes what only one run may have.
    pub(super) fn claim(file: String, text: String, mut pipeline: Pipeline) -> Result<Self, Diagnostic> {
        let (name, mode) = (pipeline.spec.name.clone(), pipeline.mode());
        let directory = pipeline.directory();
        let (locks, own) = match pipeline.is_shared() {
            true => Lock::join(&directory, &name).map(|(locks, own)| (locks.into(), own)),
            false => Lock::take_soon(&directory, &name).map(|lock| (vec![lock], directory.clone())),
        }?;
        Known::note(&directory, &file, &pipeline::checkpoints(&pipeline.spec))?;
        let worker = state::worker(&own)?;
        let stop = watch::Sender::new(Stop::No);
        Ok(Self {
            file,
            text,
            name,
            mode,
            pipeline,
            own,
            worker,
            stop,
            listening: JoinSet::new(),
            _locks: locks,
        })
    }

    /// What asks the run to end.
    pub(super) fn stop(&self) -> watch::Sender<Stop> {
        self.stop.clone()
    }

    /// Whether it ends by itself.
    pub(super) fn is_batch(&self) -> bool {
        self.pipeline.spec.mode == Mode::Batch
    }

    /// Listens for signals from now on: the first drains, the second ends at once. However it was asked for, a drain does not
    /// take for ever.
    pub(super) fn listen(&mut self) -> Result<(), Diagnostic> {
        let fault = |error: std::io::Error| {
            Diagnostic::new(&codes::INTERNAL, format!("cannot listen for signals: {error}"))
        };
        let mut term = signal(SignalKind::terminate()).map_err(fault)?;
        let mut int = signal(SignalKind::interrupt()).map_err(fault)?;
        let heard = self.stop.clone();
        self.listening.spawn(async move {
            loop {
                tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
                heard.send_modify(|stop| *stop = if *stop == Stop::No { Stop::Drain } else { Stop::Now });
            }
        });
        let (name, stop, mut asked) = (self.name.clone(), self.stop.clone(), self.stop.subscribe());
        self.listening.spawn(async move {
            if asked.wait_for(|stop| *stop == Stop::Drain).await.is_err() {
                return;
            }
            tokio::time::sleep(DRAIN_MAX).await;
            let what = "what could not be delivered and committed comes again with the next start";
            note(&format!("{name}: not drained within {} s: {what}\n", DRAIN_MAX.as_secs()));
            stop.send_replace(Stop::Now);
        });
        Ok(())
    }

    /// Runs it. With `is_alone` the terminal is its own while it runs.
    pub(super) async fn run(self, is_alone: bool) -> Result<Summary, Vec<Diagnostic>> {
        let Self { file, text, name, mode, pipeline, own, worker, stop, listening: _listening, _locks } =
            self;
        let running = Running::begin(&own, mode).map_err(|diagnostic| vec![diagnostic])?;
        let asked = stop.subscribe();
        let mut early = asked.clone();
        let job = tokio::select! {
            biased;
            _ = early.wait_for(|stop| *stop != Stop::No) => {
                note(&format!("{name}: stopped before anything was read\n"));
                running.end();
                return Ok(Summary { complete: false });
            }
            job = job(pipeline, &worker) => job?,
        };
        let again = || pipeline::check(&file, &text);
        let terminal = is_alone && std::io::stderr().is_terminal();
        let result = supervise(&name, mode, terminal, job, (stop, asked), again).await;
        if result.is_ok() {
            running.end();
        }
        result
    }
}

/// Asks the sources what there is, plans, and makes the job.
async fn job(mut pipeline: Pipeline, worker: &str) -> Result<Job, Vec<Diagnostic>> {
    let plan = pipeline.connect().await?;
    // No two lives are alike.
    Ok(pipeline.into_job(plan, &state::random(), worker))
}

async fn supervise(
    name: &str,
    mode: &'static str,
    terminal: bool,
    job: Job,
    (stop, asked): (watch::Sender<Stop>, watch::Receiver<Stop>),
    again: impl Fn() -> Result<Pipeline, Vec<Diagnostic>>,
) -> Result<Summary, Vec<Diagnostic>> {
    let (stats, clock) = (job.stats.clone(), job.clock.clone());
    let began = clock.monotonic_us();
    let _socket = control::serve(Monitor {
        name: name.to_owned(),
        mode,
        stats: stats.clone(),
        clock: clock.clone(),
        began_us: began,
        stop,
        samples: Mutex::default(),
    })
    .map_err(|diagnostic| vec![diagnostic])?;
    let shown = tokio::spawn(show(name.to_owned(), terminal, stats.clone(), clock.clone(), began));
    let result = carry_on(name, job, asked, again).await;
    shown.abort();
    if terminal {
        note(CLEAR_LINE);
    }
    let elapsed = Duration::from_micros(clock.monotonic_us() - began);
    let how = match &result {
        Ok(Summary { complete: true }) => "complete",
        Ok(Summary { complete: false }) => "stopped",
        Err(_) => "failed",
    };
    note(&format!("{name}: {how}: {}", progress::summary(&stats, elapsed)));
    result
}

/// Runs a job; when a table of its sources has changed, it is planned again and goes on behind the change, and when its splits
/// have gone to other workers, with what it is given then.
async fn carry_on(
    name: &str,
    mut job: Job,
    asked: watch::Receiver<Stop>,
    again: impl Fn() -> Result<Pipeline, Vec<Diagnostic>>,
) -> Result<Summary, Vec<Diagnostic>> {
    let (stats, clock, worker) = (job.stats.clone(), job.clock.clone(), job.worker.clone());
    // The changes since a row came last. One that comes twice among them is not mended by planning again.
    let (mut changes, mut rows, mut halved) = (BTreeSet::new(), 0, 0);
    let mut backoff = Backoff::new(u64::from(std::process::id()));
    loop {
        let changed = match run(job, asked.clone()).await {
            Err(diagnostic) if RESUMED.contains(&diagnostic.code) => diagnostic,
            result => return result.map_err(|diagnostic| vec![diagnostic]),
        };
        if stats.rows_in() > rows {
            rows = stats.rows_in();
            changes.clear();
            backoff = Backoff::new(u64::from(std::process::id()));
        }
        let altered = *changed.code == codes::SCHEMA_CHANGED;
        let wait = if altered {
            changes.insert(changed.message.clone()).then_some(Duration::ZERO)
        } else {
            backoff.wait()
        };
        halved += u32::from(*changed.code == codes::EPOCH_TOO_LONG);
        let Some(wait) = wait else { return Err(vec![changed]) };
        failpoint("run.changed");
        if *asked.borrow() != Stop::No {
            return Ok(Summary { complete: false });
        }
        let going_on = match changed.code {
            _ if altered => "going on with the table as it is now",
            code if *code == codes::EPOCH_TOO_LONG => {
                "going on from the last commit, in epochs of half the length"
            }
            _ => "joining the group again",
        };
        note(&format!("{name}: {}; {going_on}\n", changed.message));
        tokio::time::sleep(wait).await;
        job = match planned(asked.clone(), &again, &worker).await {
            Ok(Some(job)) => job,
            Ok(None) => return Ok(Summary { complete: false }),
            Err(faults) => {
                let help = "correct the pipeline file and start it again: it goes on exactly here";
                return Err(std::iter::once(changed.help(help)).chain(faults).collect());
            }
        };
        failpoint("run.planned");
        // One run to whoever watches it.
        (job.stats, job.clock, job.halved) = (stats.clone(), clock.clone(), halved);
    }
}

/// The job anew. A server that cannot be reached is tried again, as it is while the job runs; `None` when it is to stop.
async fn planned(
    mut asked: watch::Receiver<Stop>,
    again: impl Fn() -> Result<Pipeline, Vec<Diagnostic>>,
    worker: &str,
) -> Result<Option<Job>, Vec<Diagnostic>> {
    let mut backoff = Backoff::new(u64::from(std::process::id()));
    loop {
        let planned = async { job(again()?, worker).await };
        let faults = match planned.await {
            Ok(job) => return Ok(Some(job)),
            Err(faults) => faults,
        };
        let away = faults.iter().any(|fault| *fault.code == codes::CONNECT);
        let wait = if away { backoff.wait() } else { None };
        let Some(wait) = wait else { return Err(faults) };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            stopped = asked.wait_for(|stop| *stop != Stop::No) => if stopped.is_ok() { return Ok(None) },
        }
    }
}

/// A line that changes in place on a terminal, a line now and then anywhere else.
async fn show(name: String, terminal: bool, stats: Arc<Stats>, clock: Arc<dyn Clock>, began: u64) {
    loop {
        tokio::time::sleep(if terminal { REFRESH } else { LOG_EVERY }).await;
        let elapsed = Duration::from_micros(clock.monotonic_us() - began);
        let line = progress::line(&stats, elapsed);
        match terminal {
            true => note(&format!("{CLEAR_LINE}{line}")),
            false => note(&format!("{name}: {line}\n")),
        }
    }
}
