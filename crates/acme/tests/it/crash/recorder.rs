//! What the clients of a server were told, for the judge.

use acme_check::{History, Log, NEVER, Operation, Outcome, Step};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// The topics that keep everything they are given, by the numbers that the judge knows them by. The second may lose what is not
/// synced when the power goes, though not when its process dies.
pub const TOPICS: [&str; 4] = ["plain", "relaxed", "atomic", "foreign"];
/// Partitions of each.
pub const PARTITIONS: i32 = 3;

/// A partition as the judge knows it.
pub fn log(topic: &str, partition: i32) -> Log {
    let topic = TOPICS.iter().position(|it| *it == topic).expect("it is one of them");
    Log { topic: u16::try_from(topic).unwrap(), partition: u16::try_from(partition).unwrap() }
}

#[derive(Default)]
pub struct Recorder {
    clock: AtomicU64,
    value: AtomicU64,
    process: AtomicU64,
    /// Acknowledged operations and records.
    done: AtomicU64,
    acknowledged: AtomicU64,
    under_way: AtomicU64,
    /// Acknowledgements that others than we were given.
    pub foreign: AtomicU64,
    operations: Mutex<Vec<Operation>>,
}

impl Recorder {
    /// The next moment.
    pub fn now(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The next value.
    pub fn value(&self) -> u64 {
        self.value.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub fn process(&self) -> u32 {
        u32::try_from(self.process.fetch_add(1, Ordering::Relaxed)).unwrap()
    }

    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Operations that write and wait for an answer now.
    pub fn under_way(&self) -> u64 {
        self.under_way.load(Ordering::Relaxed)
    }

    pub fn began(&self) -> u64 {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        self.now()
    }

    /// An operation that [`Recorder::began`] has come to its end.
    pub fn ended(&self) {
        self.under_way.fetch_sub(1, Ordering::Relaxed);
    }

    pub fn add(&self, process: u32, begun: u64, outcome: Outcome, transactional: bool, steps: Vec<Step>) {
        let ended = if outcome == Outcome::Unknown { NEVER } else { self.now() };
        if outcome == Outcome::Done {
            self.done.fetch_add(1, Ordering::Relaxed);
            let sent = steps.iter().filter(|step| matches!(step, Step::Send { .. })).count();
            self.acknowledged.fetch_add(sent as u64, Ordering::Relaxed);
        }
        let operation = Operation { process, begun, ended, outcome, transactional, steps };
        self.operations.lock().unwrap().push(operation);
    }

    /// Everything so far; what was there in the end is added by who has read it.
    pub fn history(&self) -> History {
        let operations = std::mem::take(&mut *self.operations.lock().unwrap());
        History { operations, ..History::default() }
    }
}
