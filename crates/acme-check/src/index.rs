//! Where each value is, and who has seen it.

use crate::{Faults, Final, History, Kind, Log, Operation, Step, Value};
use std::collections::{BTreeMap, BTreeSet};

/// A record as it was sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    pub(crate) log: Log,
    /// Number of its operation.
    pub(crate) operation: usize,
}

/// A history from the point of view of its values.
#[derive(Default)]
pub(crate) struct Index {
    pub(crate) sent: BTreeMap<Value, Sent>,
    /// What lies where, as somebody was told.
    pub(crate) places: BTreeMap<(Log, i64), Value>,
    pub(crate) offsets: BTreeMap<Value, i64>,
    /// Somebody has read them.
    pub(crate) read: BTreeSet<Value>,
    /// Somebody has read them with read_committed.
    pub(crate) read_committed: BTreeSet<Value>,
    /// The largest offset that was read.
    pub(crate) highest: BTreeMap<Log, i64>,
}

impl Index {
    pub(crate) fn of(history: &History, faults: &mut Faults) -> Self {
        let mut index = Self::default();
        for (number, operation) in history.operations.iter().enumerate() {
            for step in &operation.steps {
                if let Step::Send { log, value, .. } = step {
                    let twice = index.sent.insert(*value, Sent { log: *log, operation: number });
                    assert!(twice.is_none(), "a history sends a value once: {value}");
                }
            }
        }
        for operation in &history.operations {
            index.operation(operation, faults);
        }
        for Final { log, committed, records } in &history.finals {
            index.records(*log, *committed, records, faults);
        }
        index
    }

    fn operation(&mut self, operation: &Operation, faults: &mut Faults) {
        for step in &operation.steps {
            match step {
                Step::Send { log, value, offset: Some(offset) } => {
                    self.place(*log, *offset, *value, faults);
                }
                Step::Poll { log, committed, records } => self.records(*log, *committed, records, faults),
                _ => {}
            }
        }
    }

    fn records(&mut self, log: Log, committed: bool, records: &[(i64, Value)], faults: &mut Faults) {
        for (offset, value) in records {
            self.place(log, *offset, *value, faults);
            if self.is_sent(log, *value) {
                self.read.insert(*value);
            }
            if committed && self.is_sent(log, *value) {
                self.read_committed.insert(*value);
            }
            let highest = self.highest.entry(log).or_insert(*offset);
            *highest = (*highest).max(*offset);
        }
    }

    /// Whether a value was sent to this log.
    fn is_sent(&self, log: Log, value: Value) -> bool {
        self.sent.get(&value).is_some_and(|sent| sent.log == log)
    }

    fn place(&mut self, log: Log, offset: i64, value: Value, faults: &mut Faults) {
        let there = *self.places.entry((log, offset)).or_insert(value);
        if there != value {
            faults.add(Kind::InconsistentOffset, || format!("{log} has {there} and {value} at {offset}"));
        }
        if !self.is_sent(log, value) {
            return;
        }
        let before = *self.offsets.entry(value).or_insert(offset);
        if before != offset {
            faults.add(Kind::Duplicate, || format!("{value} lies at {before} and at {offset} of {log}"));
        }
    }
}
