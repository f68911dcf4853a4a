//! Sticky, with partitions of equal number kept together: task n has partition n of every topic.
//!
//! Topics with the same subscribers are a family; each family's tasks are divided as the partitions of one topic are.
//! Members of a newer configuration may want other topics for a while: then there are more families, and still every
//! partition is somebody's.

use super::sticky::{place, withhold};
use super::{Joined, Shares};
use crate::TopicPartition;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub(super) fn assign(members: &[Joined], topics: &BTreeMap<Arc<str>, i32>) -> Shares {
    let families = families(members, topics);
    // A family goes by the name of its first topic, and is as long as its longest.
    let mut counts: BTreeMap<Arc<str>, i32> = BTreeMap::new();
    for (topic, family) in &families {
        let count = counts.entry(family.clone()).or_insert(0);
        *count = topics[topic].max(*count);
    }
    let family_of = |topic: &Arc<str>| families.get(topic).cloned();
    let as_families = members.iter().map(|member| {
        let mut member = member.clone();
        let subscription = &mut member.subscription;
        subscription.topics = subscription.topics.iter().filter_map(family_of).collect();
        subscription.owned = subscription
            .owned
            .iter()
            .filter_map(|owned| {
                Some(TopicPartition { topic: family_of(&owned.topic)?, partition: owned.partition })
            })
            .collect();
        member
    });
    let placed = place(&as_families.collect::<Vec<_>>(), &counts);
    let expanded = placed.iter().map(|tasks| {
        let partitions = |task: &TopicPartition| {
            let of_family = families.iter().filter(|(_, family)| **family == task.topic);
            let long_enough = of_family.filter(|(topic, _)| topics[*topic] > task.partition);
            let number = task.partition;
            long_enough.map(|(topic, _)| TopicPartition::new(topic.clone(), number)).collect::<Vec<_>>()
        };
        tasks.iter().flat_map(partitions).collect::<BTreeSet<_>>()
    });
    let mut shares: Shares = expanded.collect();
    withhold(members, &mut shares);
    shares
}

/// The family of each topic that somebody wants: the first topic with the same subscribers.
fn families(members: &[Joined], topics: &BTreeMap<Arc<str>, i32>) -> BTreeMap<Arc<str>, Arc<str>> {
    let mut firsts: BTreeMap<Vec<bool>, Arc<str>> = BTreeMap::new();
    let mut families = BTreeMap::new();
    for topic in topics.keys() {
        let wants: Vec<bool> =
            members.iter().map(|member| member.subscription.topics.contains(topic)).collect();
        if wants.contains(&true) {
            let first = firsts.entry(wants).or_insert_with(|| topic.clone());
            families.insert(topic.clone(), first.clone());
        }
    }
    families
}

#[cfg(test)]
mod tests {
    use super::super::tests::{member, shown, topics};
    use super::*;

    #[test]
    fn equal_numbers_stay_together_when_a_member_comes() {
        let all = topics(&[("clicks", 3), ("orders", 4)]);
        let mut members = vec![member("a", &["clicks", "orders"])];
        let shares = assign(&members, &all);
        assert_eq!(shares[0].len(), 7);
        members[0].subscription.owned.clone_from(&shares[0]);
        members[0].subscription.generation = 1;
        members.push(member("b", &["clicks", "orders"]));
        let shares = assign(&members, &all);
        assert_eq!(shown(&shares), "clicks0 clicks1 orders0 orders1 | ", "what moves is given to nobody yet");
        members[0].subscription.owned.clone_from(&shares[0]);
        let shares = assign(&members, &all);
        assert_eq!(shown(&shares), "clicks0 clicks1 orders0 orders1 | clicks2 orders2 orders3");
    }

    #[test]
    fn a_topic_that_only_newer_members_want_is_a_family_of_its_own() {
        let members = [member("a", &["orders"]), member("b", &["clicks", "orders"])];
        let shares = assign(&members, &topics(&[("clicks", 2), ("orders", 2), ("other", 9)]));
        let all: BTreeSet<TopicPartition> = shares.iter().flatten().cloned().collect();
        assert_eq!(all.len(), 4);
        assert!(shares[0].iter().all(|partition| &*partition.topic == "orders"));
    }

    #[test]
    fn halves_of_a_task_at_two_members_come_together() {
        let all = topics(&[("clicks", 1), ("orders", 1)]);
        let mut members = vec![member("a", &["clicks", "orders"]), member("b", &["clicks", "orders"])];
        members[0].subscription.owned = [TopicPartition::new("clicks", 0)].into();
        members[1].subscription.owned = [TopicPartition::new("orders", 0)].into();
        for generation in 1..4 {
            let shares = assign(&members, &all);
            for (member, share) in members.iter_mut().zip(&shares) {
                // What is not in the share is given back before the next join.
                member.subscription.owned.clone_from(share);
                member.subscription.generation = generation;
            }
        }
        let mut sizes: Vec<usize> = members.iter().map(|member| member.subscription.owned.len()).collect();
        sizes.sort_unstable();
        assert_eq!(sizes, [0, 2]);
    }
}
