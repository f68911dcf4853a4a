//! What outlives workers: the group with its offsets, and what destinations hold.

use acme_connect::Membership;
use acme_sim::Rng;
use acme_types::{Diagnostic, Position, Positions, SplitId, codes};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

pub(super) const PARTITIONS: usize = 4;
/// Rows of each partition.
pub(super) const ROWS: i64 = 60;

/// What could be done wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mistake {
    /// A partition goes to the next worker as soon as the group wants it.
    EarlyLetGo,
    /// What others have left is not completed.
    NoAdoption,
    /// Positions are committed for whoever sends them.
    NoGeneration,
    /// A worker that was removed comes back as another member and goes on.
    SilentReturn,
    /// Rows are visible when they are prepared.
    EarlyRows,
}

/// Which partition, which row of it.
pub(super) type Row = (usize, i64);

#[derive(Default)]
pub(super) struct Store {
    generation: i32,
    members: BTreeMap<String, i32>,
    owners: [Option<String>; PARTITIONS],
    pub(super) committed: [(i64, String); PARTITIONS],
    prepared: BTreeMap<String, Vec<Row>>,
    pub(super) visible: Vec<Row>,
    /// How often each set of transactions was taken over.
    pub(super) claims: BTreeMap<String, u64>,
    /// What happened, by kind.
    pub(super) events: BTreeMap<String, u64>,
}

/// What a member learns from a heartbeat.
pub(super) struct Beat {
    pub(super) generation: i32,
    pub(super) revoked: Vec<usize>,
    pub(super) gained: Vec<(usize, i64, String)>,
}

impl Store {
    pub(super) fn count(&mut self, event: &str) {
        *self.events.entry(event.to_owned()).or_default() += 1;
    }

    pub(super) fn join(&mut self, member: &str) {
        self.generation += 1;
        self.members.insert(member.to_owned(), 0);
    }

    /// The partitions that it should have in the end.
    fn target(&self, member: &str) -> Vec<usize> {
        let rank = self.members.keys().position(|it| it == member).expect("it is a member");
        (0..PARTITIONS).filter(|it| it % self.members.len() == rank).collect()
    }

    /// Its epoch moves on as soon as it holds nothing that others are to have (KIP-848).
    pub(super) fn beat(&mut self, member: &str) -> Result<Beat, Diagnostic> {
        if !self.members.contains_key(member) {
            return Err(Diagnostic::new(&codes::LOST_SPLITS, "the group has removed this member"));
        }
        let target = self.target(member);
        let held = |owner: &Option<String>| owner.as_deref() == Some(member);
        let revoked: Vec<usize> =
            (0..PARTITIONS).filter(|it| held(&self.owners[*it]) && !target.contains(it)).collect();
        let mut gained = Vec::new();
        if revoked.is_empty() {
            self.members.insert(member.to_owned(), self.generation);
            for partition in target.into_iter().filter(|&it| self.owners[it].is_none()).collect::<Vec<_>>() {
                self.owners[partition] = Some(member.to_owned());
                let (position, note) = self.committed[partition].clone();
                gained.push((partition, position, note));
            }
        }
        Ok(Beat { generation: self.members[member], revoked, gained })
    }

    pub(super) fn let_go(&mut self, member: &str, partition: usize) {
        if self.owners[partition].as_deref() == Some(member) {
            self.owners[partition] = None;
        }
    }

    /// It leaves, its session ends, or somebody removes it; `false` where it is no member.
    pub(super) fn remove(&mut self, member: &str) -> bool {
        let was_there = self.members.remove(member).is_some();
        self.generation += i32::from(was_there);
        (0..PARTITIONS).for_each(|partition| self.let_go(member, partition));
        was_there
    }

    pub(super) fn removable(&self, rng: &mut Rng) -> Option<String> {
        let members: Vec<&String> = self.members.keys().collect();
        let chosen = usize::try_from(rng.below(members.len().max(1) as u64)).expect("few");
        members.get(chosen).map(|it| (*it).clone())
    }

    /// Like a broker it looks at member and generation, not at who holds the partitions.
    pub(super) fn commit(
        &mut self,
        mistake: Option<Mistake>,
        member: &Membership,
        positions: &Positions,
        note: &str,
    ) -> Result<(), Diagnostic> {
        let is_current = self.members.get(&member.member) == Some(&member.generation);
        if !is_current && mistake != Some(Mistake::NoGeneration) {
            self.count("refused commits");
            return Err(Diagnostic::new(&codes::LOST_SPLITS, "the generation is over"));
        }
        for (split, Position(position)) in positions {
            self.committed[partition(split)] = (position.parse().expect("a number"), note.to_owned());
        }
        Ok(())
    }

    pub(super) fn prepare(&mut self, handle: &str, rows: Vec<Row>) {
        self.prepared.insert(handle.to_owned(), rows);
    }

    /// Completes what was prepared under this handle; once.
    pub(super) fn complete(&mut self, handle: &str) -> bool {
        let rows = self.prepared.remove(handle);
        self.visible.extend(rows.iter().flatten());
        rows.is_some()
    }

    pub(super) fn is_committed(&self) -> bool {
        self.committed.iter().all(|(position, _)| *position == ROWS)
    }

    /// Whether it is alone and has everything. One that has died may look so until its session ends.
    pub(super) fn holds_all(&self, member: &str) -> bool {
        self.members.len() == 1 && self.owners.iter().all(|owner| owner.as_deref() == Some(member))
    }

    /// Rows that are missing, and rows that are there more than once.
    pub(super) fn faults(&self) -> (usize, usize) {
        let distinct: BTreeSet<&Row> = self.visible.iter().collect();
        let all = PARTITIONS * usize::try_from(ROWS).expect("few");
        (all - distinct.len(), self.visible.len() - distinct.len())
    }

    pub(super) fn is_in_order(&self) -> bool {
        (0..PARTITIONS).all(|partition| self.visible.iter().filter(|row| row.0 == partition).is_sorted())
    }
}

/// The name under which a removed member comes back.
pub(super) fn returned(member: &str) -> String {
    format!("{member}+")
}

pub(super) fn is_returned(member: &str) -> bool {
    member.ends_with('+')
}

pub(super) fn split(partition: usize) -> SplitId {
    SplitId(partition.to_string())
}

pub(super) fn partition(split: &SplitId) -> usize {
    split.0.parse().expect("a number")
}

/// The world, and the moment at which one worker in it dies.
#[derive(Clone)]
pub(super) struct Life {
    pub(super) store: Arc<Mutex<Store>>,
    pub(super) mistake: Option<Mistake>,
    left: Arc<Mutex<Option<u64>>>,
}

impl Life {
    pub(super) fn new(store: &Arc<Mutex<Store>>, mistake: Option<Mistake>, steps: Option<u64>) -> Self {
        Self { store: store.clone(), mistake, left: Arc::new(Mutex::new(steps)) }
    }

    pub(super) fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().expect("not poisoned")
    }

    /// One operation more; it may be the one at which the worker dies.
    pub(super) fn step(&self, operation: &str) -> Result<(), Diagnostic> {
        let mut left = self.left.lock().expect("not poisoned");
        match left.as_mut() {
            None => Ok(()),
            Some(0) => Err(Diagnostic::new(&codes::INTERNAL, "the worker is dead")),
            Some(1) => {
                *left = Some(0);
                self.store().count(&format!("dies at {operation}"));
                Err(Diagnostic::new(&codes::INTERNAL, "the worker is dead"))
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
        }
    }

    /// For what happens in idle moments: it takes part only in being dead.
    pub(super) fn idle_step(&self) -> Result<(), Diagnostic> {
        match *self.left.lock().expect("not poisoned") {
            Some(0) => Err(Diagnostic::new(&codes::INTERNAL, "the worker is dead")),
            _ => Ok(()),
        }
    }
}
