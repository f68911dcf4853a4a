//! Puts the messages of one origin back into the order of their numbers, up to the next barrier.

use super::Then;
use acme_types::Epoch;
use std::collections::BTreeMap;

/// What has arrived from one origin and had no turn yet.
pub(super) struct Ordered<M> {
    /// The number that comes next.
    next: u64,
    /// What came before its turn.
    early: BTreeMap<u64, M>,
    /// The barrier at which it waits for the other origins.
    pub(super) barrier: Option<(Epoch, Then)>,
}

impl<M> Default for Ordered<M> {
    fn default() -> Self {
        Self { next: 0, early: BTreeMap::new(), barrier: None }
    }
}

impl<M> Ordered<M> {
    pub(super) fn file(&mut self, number: u64, message: M) {
        self.early.insert(number, message);
    }

    /// The message that has its turn; none behind a barrier.
    pub(super) fn turn(&mut self) -> Option<M> {
        if self.barrier.is_some() {
            return None;
        }
        let message = self.early.remove(&self.next)?;
        self.next += 1;
        Some(message)
    }
}

/// The barrier that all origins have reached.
pub(super) fn aligned<'a, M: 'a>(mut origins: impl Iterator<Item = &'a Ordered<M>>) -> Option<(Epoch, Then)> {
    let first = origins.next()?.barrier?;
    origins.all(|origin| origin.barrier == Some(first)).then_some(first)
}
