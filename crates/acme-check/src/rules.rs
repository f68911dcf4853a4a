//! The rules, one after the other.

use crate::index::Index;
use crate::{Faults, Final, FinalOffset, History, Kind, Log, NEVER, Operation, Outcome, Step, Value};
use std::collections::{BTreeMap, BTreeSet};

pub(crate) fn check(history: &History, index: &Index, faults: &mut Faults) {
    let mut rules = Rules { history, index, faults };
    for (number, operation) in history.operations.iter().enumerate() {
        for step in &operation.steps {
            if let Step::Poll { log, committed, records } = step {
                records.iter().for_each(|it| rules.read(*log, *committed, *it, Some(number)));
            }
        }
    }
    for Final { log, committed, records } in &history.finals {
        records.iter().for_each(|it| rules.read(*log, *committed, *it, None));
    }
    rules.order_of_polls();
    rules.order_of_sends();
    let ends = Ends::of(history);
    rules.end(&ends);
    rules.transactions(&ends);
    rules.group_offsets();
}

struct Rules<'h> {
    history: &'h History,
    index: &'h Index,
    faults: &'h mut Faults,
}

/// What there is in the end, by log and isolation.
struct Ends(BTreeMap<(Log, bool), BTreeSet<Value>>);

impl Ends {
    fn of(history: &History) -> Self {
        let mut ends = BTreeMap::new();
        for Final { log, committed, records } in &history.finals {
            let values: &mut BTreeSet<Value> = ends.entry((*log, *committed)).or_default();
            values.extend(records.iter().map(|(_, value)| *value));
        }
        Self(ends)
    }

    /// Whether it is there; `None` where nobody has looked.
    fn has(&self, log: Log, committed: bool, value: Value) -> Option<bool> {
        self.0.get(&(log, committed)).map(|values| values.contains(&value))
    }
}

fn sends(operation: &Operation) -> impl Iterator<Item = (Log, Value)> {
    operation.steps.iter().filter_map(|step| match step {
        Step::Send { log, value, .. } => Some((*log, *value)),
        _ => None,
    })
}

fn isolation(committed: bool) -> &'static str {
    if committed { "read_committed" } else { "read_uncommitted" }
}

impl Rules<'_> {
    /// A record that was read: by an operation, or in the end.
    fn read(&mut self, log: Log, committed: bool, (offset, value): (i64, Value), reader: Option<usize>) {
        let Some(sent) = self.index.sent.get(&value).filter(|sent| sent.log == log) else {
            self.faults
                .add(Kind::Unsent, || format!("{value} at {offset} of {log}: nobody has sent it there"));
            return;
        };
        let writer = &self.history.operations[sent.operation];
        let ended = reader.map_or(NEVER, |it| self.history.operations[it].ended);
        if ended < writer.begun {
            self.faults
                .add(Kind::Unsent, || format!("{value} at {offset} of {log} was read before it was sent"));
        }
        let what = || format!("{value} at {offset} of {log}");
        match writer.outcome {
            Outcome::Refused => self.faults.add(Kind::RefusedRead, what),
            Outcome::RolledBack if committed => self.faults.add(Kind::AbortedRead, what),
            _ if committed && writer.transactional && reader == Some(sent.operation) => {
                self.faults.add(Kind::PrecommittedRead, what);
            }
            _ => {}
        }
    }

    /// Whether a reader that passes it must see it.
    fn visible(&self, value: Value, committed: bool) -> bool {
        let Some(sent) = self.index.sent.get(&value).filter(|_| committed) else { return !committed };
        let writer = &self.history.operations[sent.operation];
        writer.outcome == Outcome::Done || self.index.read_committed.contains(&value)
    }

    fn order_of_polls(&mut self) {
        // The offset that comes next, by process, log and isolation.
        let mut next: BTreeMap<(u32, Log, bool), i64> = BTreeMap::new();
        for operation in &self.history.operations {
            for step in &operation.steps {
                match step {
                    Step::Seek { log, offset } => {
                        next.insert((operation.process, *log, false), *offset);
                        next.insert((operation.process, *log, true), *offset);
                    }
                    Step::Poll { log, committed, records } => {
                        let next = next.entry((operation.process, *log, *committed)).or_default();
                        self.poll(operation.process, *log, *committed, records, next);
                    }
                    _ => {}
                }
            }
        }
        for Final { log, committed, records } in &self.history.finals {
            // What is missing there has rules of its own.
            let falls = records.windows(2).find(|pair| pair[1].0 <= pair[0].0);
            if let Some([(before, _), (offset, value)]) = falls {
                let isolation = isolation(*committed);
                self.faults.add(Kind::NonMonotonicPoll, || {
                    format!("{isolation} got {value} at {offset} of {log} after {before} in the end")
                });
            }
        }
    }

    fn poll(&mut self, process: u32, log: Log, committed: bool, records: &[(i64, Value)], next: &mut i64) {
        for (offset, value) in records {
            if offset < next {
                let after = *next - 1;
                self.faults.add(Kind::NonMonotonicPoll, || {
                    format!("process {process} got {value} at {offset} of {log} after {after}")
                });
                continue;
            }
            let between = self.index.places.range((log, *next)..(log, *offset));
            let skipped = between.map(|(_, it)| *it).find(|it| self.visible(*it, committed));
            if let Some(skipped) = skipped {
                self.faults.add(Kind::SkippedPoll, || {
                    format!("process {process} got {value} at {offset} of {log}, but not {skipped} before it")
                });
            }
            *next = offset + 1;
        }
    }

    fn order_of_sends(&mut self) {
        let mut last: BTreeMap<(u32, Log), i64> = BTreeMap::new();
        for operation in &self.history.operations {
            for (log, value) in sends(operation) {
                let Some(offset) = self.index.offsets.get(&value) else { continue };
                let last = last.entry((operation.process, log)).or_insert(-1);
                if offset <= last {
                    let (process, last) = (operation.process, *last);
                    self.faults.add(Kind::NonMonotonicSend, || {
                        format!("process {process} sent {value} after another, but it lies at {offset} of {log}, and that at {last}")
                    });
                }
                *last = (*last).max(*offset);
            }
        }
    }

    /// What was acknowledged or read is there.
    fn end(&mut self, ends: &Ends) {
        for operation in self.history.operations.iter().filter(|it| it.outcome == Outcome::Done) {
            for (log, value) in sends(operation) {
                for committed in [false, true] {
                    if ends.has(log, committed, value) == Some(false) {
                        self.missing(log, committed, value);
                    }
                }
            }
        }
        let read = [(false, &self.index.read), (true, &self.index.read_committed)];
        for (committed, values) in read {
            for value in values {
                let Some(sent) = self.index.sent.get(value) else { continue };
                if ends.has(sent.log, committed, *value) == Some(false) {
                    let log = sent.log;
                    self.faults.add(Kind::Vanished, || format!("{value} of {log} was read, and is gone"));
                }
            }
        }
    }

    fn missing(&mut self, log: Log, committed: bool, value: Value) {
        let highest = self.index.highest.get(&log).copied().unwrap_or(-1);
        let below = self.index.offsets.get(&value).is_none_or(|offset| *offset < highest);
        let kind = if below { Kind::Lost } else { Kind::Unseen };
        let isolation = isolation(committed);
        self.faults.add(kind, || format!("{value} of {log} was acknowledged; {isolation} does not find it"));
    }

    /// A transaction whose end is not known is there whole, with its offsets, or not at all.
    fn transactions(&mut self, ends: &Ends) {
        let unknown = |it: &&Operation| it.transactional && it.outcome == Outcome::Unknown;
        for operation in self.history.operations.iter().filter(unknown) {
            let mut found: Vec<bool> =
                sends(operation).filter_map(|(log, value)| ends.has(log, true, value)).collect();
            found.extend(operation.steps.iter().filter_map(|step| self.effect(step)));
            if found.contains(&true) && found.contains(&false) {
                let process = operation.process;
                let (there, all) = (found.iter().filter(|it| **it).count(), found.len());
                self.faults.add(Kind::Torn, || {
                    format!("of a transaction of process {process} {there} of {all} steps took effect: {operation:?}")
                });
            }
        }
    }

    /// Whether an offset was committed, where the final one tells: it is this one, or is older.
    fn effect(&self, step: &Step) -> Option<bool> {
        let Step::Commit { group, log, offset } = step else { return None };
        let last = self.history.offsets.iter().find(|it| (it.group, it.log) == (*group, *log))?.offset;
        match last {
            Some(last) if last == *offset => Some(true),
            Some(last) if last > *offset => None,
            _ => Some(false),
        }
    }

    fn group_offsets(&mut self) {
        let mut commits: BTreeMap<(u16, Log), Vec<(&Operation, i64)>> = BTreeMap::new();
        for operation in &self.history.operations {
            for step in &operation.steps {
                if let Step::Commit { group, log, offset } = step {
                    commits.entry((*group, *log)).or_default().push((operation, *offset));
                }
            }
        }
        for operation in self.history.operations.iter().filter(|it| it.outcome == Outcome::Done) {
            for step in &operation.steps {
                if let Step::Committed { group, log, offset } = step {
                    let commits = commits.get(&(*group, *log)).map_or(&[][..], Vec::as_slice);
                    self.group_offset((*group, *log, *offset), (operation.begun, operation.ended), commits);
                }
            }
        }
        for FinalOffset { group, log, offset } in &self.history.offsets {
            let commits = commits.get(&(*group, *log)).map_or(&[][..], Vec::as_slice);
            self.group_offset((*group, *log, *offset), (NEVER, NEVER), commits);
        }
    }

    fn group_offset(
        &mut self,
        (group, log, offset): (u16, Log, Option<i64>),
        (begun, ended): (u64, u64),
        commits: &[(&Operation, i64)],
    ) {
        let before = commits.iter().filter(|(it, _)| it.outcome == Outcome::Done && it.ended < begun);
        let floor = before.map(|(_, offset)| *offset).max();
        if offset < floor {
            self.faults.add(Kind::OffsetMovedBack, || {
                format!("group {group} had {floor:?} of {log} committed, and has {offset:?}")
            });
        }
        let possible = |(it, committed): &(&Operation, i64)| {
            Some(*committed) == offset
                && it.begun <= ended
                && matches!(it.outcome, Outcome::Done | Outcome::Unknown)
        };
        if offset.is_some() && !commits.iter().any(possible) {
            self.faults.add(Kind::OffsetUnsent, || format!("group {group} has {offset:?} of {log}"));
        }
    }
}
