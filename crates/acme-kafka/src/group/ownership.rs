//! Which partitions a member holds: what the coordinator wants, and what the owner has been told.
//!
//! A state machine without clock or network. The owner asks for the next [`Change`]; changes that it has not asked for
//! yet melt together, so nothing here grows however slow the owner is. A partition that the coordinator takes away stays
//! with its owner until the owner gives it back, or until the deadline has passed: then it is lost.

use crate::TopicPartition;
use std::collections::{BTreeMap, BTreeSet};
use tokio::time::Instant;

/// What the owner has to be told.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// These are gone already, and others may have them.
    Lost(Vec<TopicPartition>),
    /// These are to be given back, under this number.
    Revoking(Vec<TopicPartition>, u64),
    /// These are the owner's from now on.
    Assigned(Vec<TopicPartition>),
}

/// A partition that the owner knows of.
#[derive(Debug, Default)]
struct Held {
    /// The number under which the owner was asked to give it back.
    asked: Option<u64>,
    /// When it is lost if the owner still has it.
    until: Option<Instant>,
}

#[derive(Debug, Default)]
pub(super) struct Ownership {
    /// What the coordinator has assigned.
    target: BTreeSet<TopicPartition>,
    /// What the owner was told of and has not given back.
    told: BTreeMap<TopicPartition, Held>,
    lost: BTreeSet<TopicPartition>,
    numbers: u64,
}

impl Ownership {
    /// The next thing to tell. What it returns counts as told.
    pub(super) fn next(&mut self) -> Option<Change> {
        if !self.lost.is_empty() {
            return Some(Change::Lost(std::mem::take(&mut self.lost).into_iter().collect()));
        }
        let number = self.numbers;
        let mut revoking = Vec::new();
        for (partition, held) in &mut self.told {
            if !self.target.contains(partition) && held.asked.is_none() {
                held.asked = Some(number);
                revoking.push(partition.clone());
            }
        }
        if !revoking.is_empty() {
            self.numbers += 1;
            return Some(Change::Revoking(revoking, number));
        }
        let assigned: Vec<TopicPartition> =
            self.target.iter().filter(|partition| !self.told.contains_key(partition)).cloned().collect();
        self.told.extend(assigned.iter().map(|partition| (partition.clone(), Held::default())));
        (!assigned.is_empty()).then_some(Change::Assigned(assigned))
    }

    /// The coordinator has decided. What the owner has beyond that is lost at `until`.
    pub(super) fn aim(&mut self, target: BTreeSet<TopicPartition>, until: Instant) {
        for (partition, held) in &mut self.told {
            if !target.contains(partition) {
                held.until.get_or_insert(until);
            } else if held.asked.is_none() {
                held.until = None;
            }
        }
        self.target = target;
    }

    /// The owner gives back what it was asked for under this number.
    pub(super) fn release(&mut self, number: u64) {
        self.told.retain(|_, held| held.asked != Some(number));
    }

    /// Everything is lost: the coordinator has given it to others, or will.
    pub(super) fn lose_all(&mut self) {
        self.target.clear();
        self.lost.extend(std::mem::take(&mut self.told).into_keys());
    }

    /// Takes what the owner should have given back by now. True if that was something.
    pub(super) fn expire(&mut self, now: Instant) -> bool {
        let late = |held: &Held| held.until.is_some_and(|until| until <= now);
        let before = self.lost.len();
        self.lost
            .extend(self.told.iter().filter(|(_, held)| late(held)).map(|(partition, _)| partition.clone()));
        self.told.retain(|_, held| !late(held));
        self.lost.len() > before
    }

    /// When [`Self::expire`] has something to do next.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.told.values().filter_map(|held| held.until).min()
    }

    /// What nobody else may have: told or about to be.
    pub(super) fn held(&self) -> BTreeSet<TopicPartition> {
        self.told.keys().chain(&self.target).cloned().collect()
    }

    /// What the owner may work on and commit: told and not lost. What it was asked to give back is still among it.
    pub(super) fn told(&self) -> impl Iterator<Item = &TopicPartition> {
        self.told.keys()
    }

    /// True if the owner has nothing that the coordinator wants back.
    pub(super) fn is_settled(&self) -> bool {
        self.told.keys().all(|partition| self.target.contains(partition))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn set(numbers: &[i32]) -> BTreeSet<TopicPartition> {
        list(numbers).into_iter().collect()
    }

    fn list(numbers: &[i32]) -> Vec<TopicPartition> {
        numbers.iter().map(|number| TopicPartition::new("t", *number)).collect()
    }

    fn later(seconds: u64) -> Instant {
        Instant::now() + Duration::from_secs(seconds)
    }

    #[test]
    fn what_is_taken_away_stays_until_it_is_given_back() {
        let mut owned = Ownership::default();
        owned.aim(set(&[0, 1]), later(9));
        assert_eq!(owned.next(), Some(Change::Assigned(list(&[0, 1]))));
        assert_eq!(owned.next(), None);
        owned.aim(set(&[1, 2]), later(9));
        assert_eq!(owned.next(), Some(Change::Revoking(list(&[0]), 0)));
        assert_eq!(owned.next(), Some(Change::Assigned(list(&[2]))));
        assert!(!owned.is_settled());
        assert_eq!(owned.held(), set(&[0, 1, 2]));
        owned.release(0);
        assert!(owned.is_settled());
        assert_eq!(owned.held(), set(&[1, 2]));
        assert_eq!(owned.next(), None);
    }

    #[test]
    fn changes_that_nobody_asked_for_melt_together() {
        let mut owned = Ownership::default();
        owned.aim(set(&[0, 1]), later(9));
        owned.aim(set(&[1, 2]), later(9));
        assert_eq!(owned.held(), set(&[1, 2]), "what was never told is given back at once");
        assert_eq!(owned.next(), Some(Change::Assigned(list(&[1, 2]))));
        owned.aim(set(&[]), later(9));
        owned.aim(set(&[1, 2]), later(9));
        assert_eq!(owned.next(), None);
        assert_eq!(owned.deadline(), None);
    }

    #[test]
    fn what_comes_back_while_it_is_given_back_is_assigned_anew() {
        let mut owned = Ownership::default();
        owned.aim(set(&[0]), later(9));
        owned.next();
        owned.aim(set(&[]), later(9));
        assert_eq!(owned.next(), Some(Change::Revoking(list(&[0]), 0)));
        owned.aim(set(&[0]), later(9));
        assert_eq!(owned.next(), None, "the owner is still giving it back");
        owned.release(0);
        assert_eq!(owned.next(), Some(Change::Assigned(list(&[0]))));
        owned.release(0);
        assert_eq!(owned.held(), set(&[0]), "a number counts once");
        owned.aim(set(&[]), later(9));
        assert_eq!(owned.next(), Some(Change::Revoking(list(&[0]), 1)));
    }

    #[test]
    fn an_owner_that_does_not_give_back_loses() {
        let mut owned = Ownership::default();
        owned.aim(set(&[0, 1]), later(9));
        owned.next();
        owned.aim(set(&[1]), later(5));
        assert_eq!(owned.next(), Some(Change::Revoking(list(&[0]), 0)));
        assert!(!owned.expire(later(4)));
        assert!(owned.deadline().is_some());
        assert!(owned.expire(later(6)));
        assert_eq!(owned.next(), Some(Change::Lost(list(&[0]))));
        assert_eq!(owned.told().count(), 1);
        owned.release(0);
        assert_eq!(owned.held(), set(&[1]));
    }

    #[test]
    fn what_is_lost_is_told_before_it_comes_again() {
        let mut owned = Ownership::default();
        owned.aim(set(&[0, 1]), later(9));
        owned.next();
        owned.lose_all();
        owned.aim(set(&[1]), later(9));
        assert_eq!(owned.next(), Some(Change::Lost(list(&[0, 1]))));
        assert_eq!(owned.next(), Some(Change::Assigned(list(&[1]))));
    }
}
