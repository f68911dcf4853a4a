//! A log judged by what its clients were told: a pure function over a history of sends, polls, transactions and offsets.
//!
//! The rules are those that Jepsen's Kafka workload states, and some of a log that survives its power: see [`Kind`]. The judge
//! knows nothing of clients, protocols or time: who records a history gives each moment a number that grows.

mod cycles;
mod index;
mod rules;
#[cfg(test)]
mod tests;

use std::fmt;

/// A partition, by numbers that the recorder has given to topic and partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Log {
    /// The topic.
    pub topic: u16,
    /// The partition.
    pub partition: u16,
}

/// What a record says. Each is sent once in a history.
pub type Value = u64;

/// Everything that clients of some logs did, and what was there in the end.
///
/// The logs keep what they are given: those with retention or compaction are judged elsewhere.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Those of one process in their order; processes in any.
    pub operations: Vec<Operation>,
    /// What there was when everybody had stopped, read from the first offset to the end.
    pub finals: Vec<Final>,
    /// The offsets that groups had then.
    pub offsets: Vec<FinalOffset>,
    /// Writes of several transactions never lay between each other: then the order of writes counts for cycles too. Kafka does
    /// not promise that.
    pub serial: bool,
}

/// A request, a transaction, or several polls; from its begin to its answer.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Who. A process does one thing after the other.
    pub process: u32,
    /// When it began.
    pub begun: u64,
    /// When it ended; [`NEVER`] where no answer came.
    pub ended: u64,
    /// What the process was told.
    pub outcome: Outcome,
    /// All of it takes effect or nothing.
    pub transactional: bool,
    /// What was done, in this order.
    pub steps: Vec<Step>,
}

/// After everything.
pub const NEVER: u64 = u64::MAX;

/// What a process was told of its operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was acknowledged.
    Done,
    /// The transaction was aborted: read_uncommitted may see it, read_committed never.
    RolledBack,
    /// It was refused: nothing of it is anywhere.
    Refused,
    /// Nothing, or nothing that says which.
    Unknown,
}

/// One thing that was done.
#[derive(Clone, Debug)]
pub enum Step {
    /// A record was sent.
    Send {
        /// Where to.
        log: Log,
        /// What.
        value: Value,
        /// The offset that was acknowledged, if it was told.
        offset: Option<i64>,
    },
    /// Records were read, after those of the last poll.
    Poll {
        /// Where.
        log: Log,
        /// With read_committed.
        committed: bool,
        /// Offsets and values.
        records: Vec<(i64, Value)>,
    },
    /// The next poll of this log begins here.
    Seek {
        /// Where.
        log: Log,
        /// The first offset that may come.
        offset: i64,
    },
    /// A group's offset was committed. Those of one group and log grow.
    Commit {
        /// The group.
        group: u16,
        /// What of.
        log: Log,
        /// How far.
        offset: i64,
    },
    /// A group's offset was asked for.
    Committed {
        /// The group.
        group: u16,
        /// What of.
        log: Log,
        /// The answer.
        offset: Option<i64>,
    },
}

/// All that is in a log in the end.
#[derive(Clone, Debug)]
pub struct Final {
    /// Which.
    pub log: Log,
    /// Read with read_committed.
    pub committed: bool,
    /// Offsets and values.
    pub records: Vec<(i64, Value)>,
}

/// A group's offset in the end.
#[derive(Clone, Copy, Debug)]
pub struct FinalOffset {
    /// The group.
    pub group: u16,
    /// What of.
    pub log: Log,
    /// How far; `None` for none.
    pub offset: Option<i64>,
}

/// What can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// It was acknowledged, later ones were read, it is nowhere.
    Lost,
    /// It was acknowledged, and is not there in the end, behind everything that was read.
    Unseen,
    /// It was read, and is not there in the end: it was served before it was durable.
    Vanished,
    /// read_committed saw what was rolled back.
    AbortedRead,
    /// A transaction saw its own records before it was committed.
    PrecommittedRead,
    /// What was refused is there.
    RefusedRead,
    /// What nobody has sent there, or not yet.
    Unsent,
    /// Two values have one offset.
    InconsistentOffset,
    /// One value has two offsets.
    Duplicate,
    /// A reader went back.
    NonMonotonicPoll,
    /// A reader did not get what it should have.
    SkippedPoll,
    /// A process's later record lies before an earlier one.
    NonMonotonicSend,
    /// Of a transaction a part is there.
    Torn,
    /// A group's offset is older than one that was acknowledged.
    OffsetMovedBack,
    /// A group's offset is one that nobody has committed, or that was rolled back.
    OffsetUnsent,
    /// Transactions have seen each other, around.
    Cycle,
}

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which rule is broken.
    pub kind: Kind,
    /// The particulars.
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.what)
    }
}

impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// Faults of one kind that are told.
const TOLD_MAX: usize = 5;

/// Everything that is wrong with a history; of each kind the first few.
///
/// **Cost** n log n of all records that were sent or read.
#[must_use]
pub fn faults(history: &History) -> Vec<Fault> {
    let mut faults = Faults::default();
    let index = index::Index::of(history, &mut faults);
    rules::check(history, &index, &mut faults);
    cycles::check(history, &index, &mut faults);
    faults.0
}

#[derive(Default)]
struct Faults(Vec<Fault>);

impl Faults {
    fn add(&mut self, kind: Kind, what: impl FnOnce() -> String) {
        if self.0.iter().filter(|it| it.kind == kind).count() < TOLD_MAX {
            self.0.push(Fault { kind, what: what() });
        }
    }
}
