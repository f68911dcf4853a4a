//! Neighbouring partitions of each topic.

use super::{Joined, Shares, ordered, partitions};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub(super) fn assign(members: &[Joined], topics: &BTreeMap<Arc<str>, i32>) -> Shares {
    let order = ordered(members);
    let mut shares = vec![BTreeSet::new(); members.len()];
    for (topic, count) in topics {
        let mut takers: Vec<usize> = order
            .iter()
            .copied()
            .filter(|index| members[*index].subscription.topics.contains(topic))
            .collect();
        let mut rest = partitions(topic, *count);
        let mut left = usize::try_from(*count).unwrap_or(0);
        // The first ones take the partitions that do not divide evenly.
        takers.reverse();
        while let Some(taker) = takers.pop() {
            let share = left.div_ceil(takers.len() + 1);
            left -= share;
            shares[taker].extend(rest.by_ref().take(share));
        }
    }
    shares
}
