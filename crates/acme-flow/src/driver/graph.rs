//! Who feeds which step with state, and how origins are counted: the sources, then the shards of each step.

use super::Job;
use crate::program::Program;

pub(super) struct Feeds {
    sources: Vec<Vec<usize>>,
    tasks: Vec<Vec<usize>>,
    /// Shards of each step.
    shards: usize,
}

impl Feeds {
    pub(super) fn of(job: &Job) -> Self {
        Self {
            sources: job.sources.iter().map(|source| fed(&source.programs)).collect(),
            tasks: job.tasks.iter().map(|task| fed(&task.programs)).collect(),
            shards: job.lanes,
        }
    }

    /// The steps that a source feeds.
    pub(super) fn of_source(&self, source: usize) -> &[usize] {
        &self.sources[source]
    }

    /// The steps that a step feeds.
    pub(super) fn of_task(&self, task: usize) -> &[usize] {
        &self.tasks[task]
    }

    /// How many shards each step has.
    pub(super) fn shards(&self) -> usize {
        self.shards
    }

    /// How many origins there are.
    pub(super) fn origins(&self) -> usize {
        self.sources.len() + self.tasks.len() * self.shards
    }

    /// The number of a shard among the origins.
    pub(super) fn origin(&self, task: usize, shard: usize) -> usize {
        self.sources.len() + task * self.shards + shard
    }

    /// The sources that feed a step, and the shards of other steps that do, as origins.
    pub(super) fn feeders(&self, task: usize) -> (Vec<usize>, Vec<usize>) {
        let sources = (0..self.sources.len()).filter(|&source| self.sources[source].contains(&task));
        let tasks = (0..self.tasks.len()).filter(|&other| self.tasks[other].contains(&task));
        let shards = tasks.flat_map(|other| (0..self.shards).map(move |shard| self.origin(other, shard)));
        (sources.collect(), shards.collect())
    }
}

fn fed(programs: &[Program]) -> Vec<usize> {
    let mut tasks: Vec<usize> =
        programs.iter().flat_map(|program| program.inlets.iter().map(|inlet| inlet.task)).collect();
    tasks.sort_unstable();
    tasks.dedup();
    tasks
}
