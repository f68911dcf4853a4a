//! Runs a job: one thread for each source and destination, a pool of lanes between them, one coordinator.
//!
//! ```text
//! source thread ──► lanes (any takes the next chunk) ─────────► destination thread
//!       ▲  chunks are numbered     │            rows are put back  ▲ into their order  │
//!       │                          └──► shards of steps with state ┘                   │
//!       └────────────── coordinator: barrier, prepare, commit, release ◄───────────────┘
//! ```
//!
//! A shard is to what follows what a source is: an *origin*, which numbers what it sends and puts barriers between. Origins are
//! counted: the sources first, then the shards of each step.
//!
//! A barrier takes a number like a chunk, so each destination sees exactly the rows before it. Memory is bounded by the
//! chunks under way: a source reads on only when one of its permits is free, and a chunk gives its permit back when the
//! last destination has written it.

mod commit;
mod coordinator;
mod dead_letters;
mod deliver;
mod graph;
mod holder;
mod lanes;
mod merge;
mod order;
mod shards;
mod sink;
mod source;
mod task;

pub use coordinator::{Summary, run};
pub use dead_letters::dead_letter_shape;
pub use holder::{Candidate, Holder};

use crate::checkpoint::ShardFile;
use crate::checkpoint::{CheckpointStore, Writer};
use crate::program::Program;
use crate::stats::Stats;
use crate::task::TaskFactory;
use crate::time::SourceTime;
use acme_connect::{AnySink, DynSource, Format, Membership, Prepared, Rows};
use acme_types::{Clock, Diagnostic, Epoch, Positions, Rejected, SplitId};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, watch};

/// Everything that a run needs.
pub struct Job {
    /// The sources with what happens to their rows.
    pub sources: Vec<JobSource>,
    /// The steps with state, each behind those that feed it.
    pub tasks: Vec<JobTask>,
    /// The destinations. The first that can hold the commit point does; else it is a chain in the store.
    pub sinks: Vec<JobSink>,
    /// What to do with rows that fail.
    pub errors: Policy,
    /// Threads that process rows.
    pub lanes: usize,
    /// Time between commits. It is shorter where a destination's transaction may not be open for so long.
    pub interval: Duration,
    /// How often that time is halved, because epochs took too long.
    pub halved: u32,
    /// Where checkpoints are kept.
    pub store: Arc<dyn CheckpointStore>,
    /// Who writes them: this life of this process.
    pub writer: Writer,
    /// The name of this worker: the same in all its lives, and of no other that runs at the same time.
    pub worker: String,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// What is counted.
    pub stats: Arc<Stats>,
}

/// One source of a job.
pub struct JobSource {
    /// Its name.
    pub name: Arc<str>,
    /// The source.
    pub source: Box<dyn DynSource>,
    /// What happens to the rows of each of its streams.
    pub programs: Vec<Program>,
    /// How far its rows may be out of order in their event time, microseconds.
    pub disorder: i64,
    /// A split that has been at its end for so long is idle: it holds up no window.
    pub idle_after: Duration,
}

/// One step with state. Each of as many shards as there are lanes has the keys of some key groups.
pub struct JobTask {
    /// Its name.
    pub name: Arc<str>,
    /// How its shards are made.
    pub factory: Arc<dyn TaskFactory>,
    /// What happens to the rows of each of its outputs.
    pub programs: Vec<Program>,
}

/// One destination of a job.
pub struct JobSink {
    /// Its name.
    pub name: Arc<str>,
    /// The destination.
    pub sink: AnySink,
    /// The bytes that it takes, if it takes bytes.
    pub format: Option<Format>,
}

/// What happens to rows that fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// The run stops.
    Stop,
    /// They are counted.
    Skip,
    /// They go to the destination with this index.
    DeadLetter(usize),
}

impl Policy {
    /// The destination of the dead letters.
    fn dead_letters(self) -> Option<usize> {
        match self {
            Self::DeadLetter(index) => Some(index),
            Self::Stop | Self::Skip => None,
        }
    }
}

/// How a run is asked to end. Dropping the sender means nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// Go on.
    No,
    /// Read no more, commit what was read, end.
    Drain,
    /// End at once; what is not committed is read again by the next run.
    Now,
}

/// Chunks of one source that are under way at most, beyond one for each lane.
const AHEAD: usize = 2;

/// A chunk on its way through the lanes.
struct Work {
    source: usize,
    number: u64,
    chunk: acme_types::Chunk,
    tick: acme_types::EventTime,
    permit: Arc<OwnedSemaphorePermit>,
}

/// What comes behind an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// The next one.
    Epoch,
    /// The end of this run; another goes on.
    Pause,
    /// Nothing: all sources have ended.
    End,
}

impl Then {
    /// Whether no row follows in this run.
    fn is_last(self) -> bool {
        self != Self::Epoch
    }
}

/// What a destination's thread receives.
enum ToSink {
    /// The part of a chunk that goes there, perhaps nothing.
    Rows {
        source: usize,
        number: u64,
        rows: Vec<Rows>,
        rejected: Vec<Rejected>,
        /// Kept until the rows are written.
        permit: Arc<OwnedSemaphorePermit>,
    },
    /// A number without rows.
    Nothing { source: usize, number: u64 },
    /// The end of an epoch of one source.
    Barrier { source: usize, number: u64, epoch: Epoch, then: Then },
    /// Dead letters from another destination, of the present epoch.
    Letters(Vec<Rejected>),
    /// All other destinations have prepared: the dead letters are complete.
    Complete,
    /// To the destination that holds the commit point: commit the epoch with this checkpoint.
    CommitWith(Epoch, String),
    /// To the destination that holds the commit point: nothing happened in the epoch, so nothing is committed.
    Skip,
    /// To the destination whose transaction commits for a shared source.
    CommitOffsets {
        epoch: Epoch,
        member: watch::Receiver<Membership>,
        /// The source's losses when it was given the splits.
        losses: u64,
        positions: Positions,
        note: String,
    },
    /// The epoch is committed.
    Commit(Epoch),
    /// Another worker has left this, and it is committed.
    Adopt(Prepared),
}

/// What a shard of a step with state receives.
enum ToTask {
    /// The part of a chunk that goes there, perhaps nothing.
    Rows {
        origin: usize,
        number: u64,
        parts: Vec<deliver::Part>,
        progress: Option<Progress>,
        tick: acme_types::EventTime,
        /// Kept until the rows are in the state.
        permit: Arc<OwnedSemaphorePermit>,
    },
    /// Something about the time of an origin.
    Time { origin: usize, number: u64, progress: Progress },
    /// The end of an epoch of one origin.
    Barrier { origin: usize, number: u64, epoch: Epoch, then: Then },
}

/// How far an origin is in event time.
#[derive(Clone, Debug)]
enum Progress {
    /// A source has these splits.
    Splits(Vec<SplitId>),
    /// Nothing is expected from these splits until rows of them come.
    Idle(Vec<SplitId>),
    /// Rows of this split, the latest of this time.
    Saw(SplitId, acme_types::EventTime),
    /// Nothing more comes from the source.
    End,
    /// The watermark of a shard.
    Watermark(acme_types::EventTime),
}

/// What a shard has saved of an epoch.
struct Saved {
    task: usize,
    shard: usize,
    /// Something came since the last barrier, or the time has moved.
    moved: bool,
    /// What has changed in its state, where anything has.
    file: Option<ShardFile>,
    /// How far the sources that feed it are in event time, by their index.
    time: Vec<(usize, SourceTime)>,
    watermark: acme_types::EventTime,
}

/// What a source's thread receives.
enum ToSource {
    Barrier {
        epoch: Epoch,
        then: Then,
    },
    Release(Positions),
    /// To a shared source that holds the commit point: commit these positions with a note.
    CommitWith(Positions, String),
    /// To a shared source: leave the group.
    Leave,
}

/// What the coordinator receives.
enum Report {
    /// A source has come to its end.
    Ended,
    /// A source has passed a barrier; `moved` says whether anything was read since the one before.
    Passed { source: usize, positions: Positions, moved: bool },
    /// A shard has passed a barrier.
    Saved(Saved),
    /// A destination has prepared an epoch.
    Prepared { sink: usize, prepared: String },
    /// A destination has committed an epoch, or a shared source its positions.
    Committed,
    /// A shared source has been given splits, with which these notes were committed, after so many losses.
    Gained { notes: Vec<String>, losses: u64 },
    /// A destination has completed what another worker had left.
    Adopted,
    /// A shared source has left its group.
    Left,
    /// A shared source is to let splits go as soon as all that was read is committed.
    Leaving,
    /// A source has come to a change of its tables: all before it is to be committed, then the run ends with this.
    Changed(Diagnostic),
    /// Something failed: the run ends.
    Failed(Diagnostic),
}
