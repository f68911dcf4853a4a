//! The shards of the steps with state: how they are made and restored, and what they have stored of an epoch.

use super::deliver::Delivery;
use super::graph::Feeds;
use super::lanes::LaneProgram;
use super::order::Ordered;
use super::task::{Shard, Ways};
use super::{JobSource, JobTask, Saved, ToTask};
use crate::checkpoint::{Checkpoint, CheckpointStore, Snapshots, TaskState, Writer, restore};
use crate::task::Task;
use crate::time::{SourceTime, Watermarks};
use acme_types::{Diagnostic, EventTime, codes};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::mpsc;

/// State files are looked through after so many commits.
const TIDY: u32 = 32;

/// All shards, before they run.
pub(super) struct Shards<'a> {
    feeds: &'a Feeds,
    inboxes: Vec<Vec<mpsc::Receiver<ToTask>>>,
    store: Arc<dyn CheckpointStore>,
    writer: Writer,
    restored: Vec<Vec<(Box<dyn Task>, Watermarks)>>,
    saving: Saving,
}

impl<'a> Shards<'a> {
    /// The ways to the shards of each step, and the shards.
    pub(super) fn new(
        tasks: &[JobTask],
        feeds: &'a Feeds,
        room: usize,
        store: Arc<dyn CheckpointStore>,
        writer: Writer,
    ) -> (Vec<Vec<mpsc::Sender<ToTask>>>, Self) {
        let channels = |_: &JobTask| (0..feeds.shards()).map(|_| mpsc::channel(room)).unzip();
        let (senders, inboxes) = tasks.iter().map(channels).unzip();
        let saving = Saving::new(tasks, feeds.shards());
        (senders, Self { feeds, inboxes, store, writer, restored: Vec::new(), saving })
    }

    /// Fills each with its part of the checkpoint's state.
    pub(super) fn restored(
        mut self,
        tasks: &[JobTask],
        sources: &[JobSource],
        checkpoint: &Checkpoint,
    ) -> Result<Self, Diagnostic> {
        for (index, task) in tasks.iter().enumerate() {
            let state = checkpoint.tasks.get(&*task.name);
            if let Some(state) = state {
                fits(task, state)?;
                self.saving.tasks.insert(task.name.to_string(), state.clone());
            }
            let shards = (0..self.feeds.shards()).map(|shard| {
                let mut made = task.factory.make();
                if let Some(state) = state {
                    restore(self.store.as_ref(), state, (shard, self.feeds.shards()), made.as_mut())?;
                }
                Ok((made, self.watermarks(index, sources, state)))
            });
            let shards = shards.collect::<Result<_, Diagnostic>>()?;
            self.restored.push(shards);
        }
        Ok(self)
    }

    fn watermarks(&self, task: usize, sources: &[JobSource], state: Option<&TaskState>) -> Watermarks {
        let (feeding, steps) = self.feeds.feeders(task);
        let known = |source: usize| -> SourceTime {
            let of_source = state.and_then(|state| state.sources.get(&*sources[source].name));
            of_source.cloned().unwrap_or_default()
        };
        let feeding = feeding.into_iter().map(|source| (source, sources[source].disorder, known(source)));
        let merged = EventTime(state.map_or(i64::MIN, |state| state.watermark));
        Watermarks::new(feeding, steps, merged)
    }

    pub(super) fn saving(&self) -> Saving {
        self.saving.clone()
    }

    /// The shards, ready to run.
    pub(super) fn made(self, tasks: &[JobTask], delivery: &Delivery) -> Vec<Shard> {
        let mut made = Vec::new();
        for (task, (inboxes, states)) in self.inboxes.into_iter().zip(self.restored).enumerate() {
            for (shard, (inbox, (state, time))) in inboxes.into_iter().zip(states).enumerate() {
                let (sources, steps) = self.feeds.feeders(task);
                made.push(Shard {
                    task,
                    shard,
                    origin: self.feeds.origin(task, shard),
                    state,
                    outputs: tasks[task].programs.iter().map(LaneProgram::new).collect(),
                    feeds: self.feeds.of_task(task).to_vec(),
                    inbox,
                    delivery: delivery.clone(),
                    origins: sources
                        .into_iter()
                        .chain(steps)
                        .map(|origin| (origin, Ordered::default()))
                        .collect(),
                    time,
                    snapshots: Snapshots::new(self.store.clone(), self.writer.clone(), (task, shard)),
                    ways: Ways::new(self.feeds.shards()),
                });
            }
        }
        made
    }
}

/// A state is that of the step as it is now, or the pipeline does not start.
fn fits(task: &JobTask, state: &TaskState) -> Result<(), Diagnostic> {
    if state.fingerprint == task.factory.fingerprint() {
        return Ok(());
    }
    let message =
        format!("the state of step \"{}\" is that of another computation than the file has now", task.name);
    let help = "undo the change of the step; or give it another name, so that it begins with an empty state; or remove the pipeline's \
                state to start again from the beginning of the sources";
    Err(Diagnostic::new(&codes::STATE_DIFFERS, message).help(help))
}

/// What the shards have stored: the state of the next checkpoint.
#[derive(Clone)]
pub(super) struct Saving {
    names: Vec<String>,
    tasks: BTreeMap<String, TaskState>,
    /// The files of each shard in this life, the newest first. In its first epoch each stores everything.
    files: Vec<Vec<Vec<String>>>,
    /// Shards that have passed the barrier.
    saved: usize,
    commits: u32,
}

impl Saving {
    fn new(tasks: &[JobTask], shards: usize) -> Self {
        let names = tasks.iter().map(|task| task.name.to_string()).collect();
        let empty = |task: &JobTask| {
            let (fingerprint, watermark) = (task.factory.fingerprint(), i64::MIN);
            let state = TaskState { fingerprint, files: Vec::new(), sources: BTreeMap::new(), watermark };
            (task.name.to_string(), state)
        };
        let files = tasks.iter().map(|_| vec![Vec::new(); shards]).collect();
        Self { names, tasks: tasks.iter().map(empty).collect(), files, saved: 0, commits: 0 }
    }

    /// Whether all shards have passed the barrier.
    pub(super) fn is_complete(&self) -> bool {
        self.saved == self.files.iter().map(Vec::len).sum::<usize>()
    }

    /// The next epoch.
    pub(super) fn begin(&mut self) {
        self.saved = 0;
    }

    pub(super) fn take(&mut self, saved: Saved, source_names: &[Arc<str>]) {
        self.saved += 1;
        let files = &mut self.files[saved.task];
        if let Some(file) = saved.file {
            if file.whole {
                files[saved.shard].clear();
            }
            files[saved.shard].insert(0, file.name);
        }
        let state = self.tasks.get_mut(&self.names[saved.task]).expect("each step has an entry");
        if files.iter().all(|files| !files.is_empty()) {
            state.files.clone_from(files);
        }
        state.watermark = saved.watermark.0;
        let named = |(source, time): (usize, SourceTime)| (source_names[source].to_string(), time);
        state.sources = saved.time.into_iter().map(named).collect();
    }

    pub(super) fn tasks(&self) -> &BTreeMap<String, TaskState> {
        &self.tasks
    }

    /// Counts a commit; whether it is time to remove files that are of no use any more.
    pub(super) fn is_tidy_due(&mut self) -> bool {
        self.commits += 1;
        !self.names.is_empty() && self.commits.is_multiple_of(TIDY)
    }
}
