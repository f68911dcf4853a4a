//! All partitions in turn.

use super::{Joined, Shares, ordered, partitions};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub(super) fn assign(members: &[Joined], topics: &BTreeMap<Arc<str>, i32>) -> Shares {
    let order = ordered(members);
    let mut shares = vec![BTreeSet::new(); members.len()];
    let mut turn = order.iter().copied().cycle();
    for (topic, count) in topics {
        if !members.iter().any(|member| member.subscription.topics.contains(topic)) {
            continue;
        }
        for partition in partitions(topic, *count) {
            let taker = turn.find(|index| members[*index].subscription.topics.contains(topic));
            shares[taker.expect("somebody wants the topic, and the turns do not end")].insert(partition);
        }
    }
    shares
}
