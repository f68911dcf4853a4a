//! As few partitions as possible move, and one that moves is given to nobody until its owner has let it go.
//!
//! Balanced: nobody has two partitions more than another one who could have one of them. The group's leader may be of
//! another make and choose otherwise; what all must agree on is only that a partition with an owner is not handed over
//! in the same generation (KIP-429).

use super::{Joined, Shares, partitions};
use crate::TopicPartition;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub(super) fn assign(members: &[Joined], topics: &BTreeMap<Arc<str>, i32>) -> Shares {
    let mut shares = place(members, topics);
    withhold(members, &mut shares);
    shares
}

/// Who should have what in the end, whoever has it now.
pub(super) fn place(members: &[Joined], topics: &BTreeMap<Arc<str>, i32>) -> Shares {
    let takers: BTreeMap<&Arc<str>, Vec<usize>> = topics
        .keys()
        .map(|topic| {
            let wants = |index: &usize| members[*index].subscription.topics.contains(topic);
            (topic, (0..members.len()).filter(wants).collect())
        })
        .collect();
    let mut shares = kept(members, topics);
    let placed: BTreeSet<TopicPartition> = shares.iter().flatten().cloned().collect();
    let mut free: Vec<TopicPartition> = topics
        .iter()
        .flat_map(|(topic, count)| partitions(topic, *count))
        .filter(|partition| !placed.contains(partition))
        .collect();
    // Those that few want first: the others can make up for it.
    free.sort_by_key(|partition| takers[&partition.topic].len());
    for partition in free {
        let least = takers[&partition.topic].iter().min_by_key(|index| shares[**index].len());
        if let Some(&least) = least {
            shares[least].insert(partition);
        }
    }
    balance(&mut shares, &takers);
    shares
}

/// What members hold and may keep. Of two that hold the same, the one of the later generation is right; of the same
/// generation, neither.
fn kept(members: &[Joined], topics: &BTreeMap<Arc<str>, i32>) -> Shares {
    let mut holders: BTreeMap<&TopicPartition, (i32, Option<usize>)> = BTreeMap::new();
    for (index, member) in members.iter().enumerate() {
        let subscription = &member.subscription;
        for partition in &subscription.owned {
            let exists =
                topics.get(&partition.topic).is_some_and(|count| (0..*count).contains(&partition.partition));
            if !exists || !subscription.topics.contains(&partition.topic) {
                continue;
            }
            let claim = (subscription.generation, Some(index));
            let holder = holders.entry(partition).or_insert(claim);
            if *holder != claim {
                match holder.0.cmp(&claim.0) {
                    std::cmp::Ordering::Less => *holder = claim,
                    std::cmp::Ordering::Equal => holder.1 = None,
                    std::cmp::Ordering::Greater => {}
                }
            }
        }
    }
    let mut shares = vec![BTreeSet::new(); members.len()];
    for (partition, (_, holder)) in holders {
        if let Some(index) = holder {
            shares[index].insert(partition.clone());
        }
    }
    shares
}

/// Moves partitions from those who have more to those who have less, one at a time. Every move makes the sum of the
/// squared shares smaller, so this ends.
fn balance(shares: &mut Shares, takers: &BTreeMap<&Arc<str>, Vec<usize>>) {
    let mut heavy: Vec<usize> = (0..shares.len()).collect();
    loop {
        heavy.sort_by_key(|index| std::cmp::Reverse(shares[*index].len()));
        let moving = heavy.iter().find_map(|&from| {
            shares[from].iter().rev().find_map(|partition| {
                let to = *takers[&partition.topic].iter().min_by_key(|index| shares[**index].len())?;
                (shares[to].len() + 1 < shares[from].len()).then(|| (from, to, partition.clone()))
            })
        });
        let Some((from, to, partition)) = moving else { return };
        shares[from].remove(&partition);
        shares[to].insert(partition);
    }
}

/// Takes from everybody what another one still holds: it comes in the next generation.
pub(super) fn withhold(members: &[Joined], shares: &mut Shares) {
    for (index, share) in shares.iter_mut().enumerate() {
        let own = &members[index].subscription.owned;
        share.retain(|partition| {
            let elsewhere = |member: &Joined| member.subscription.owned.contains(partition);
            own.contains(partition) || !members.iter().any(elsewhere)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{member, shown, topics};
    use super::*;

    /// The next generation, in which everybody holds what it was given.
    fn after(members: &mut [Joined], shares: &Shares, generation: i32) {
        for (member, share) in members.iter_mut().zip(shares) {
            member.subscription.owned.clone_from(share);
            member.subscription.generation = generation;
        }
    }

    #[test]
    fn a_new_member_gets_its_share_after_the_others_have_let_go() {
        let all = topics(&[("t", 6)]);
        let mut members = vec![member("a", &["t"]), member("b", &["t"])];
        let shares = assign(&members, &all);
        assert_eq!(shown(&shares), "t0 t2 t4 | t1 t3 t5");
        after(&mut members, &shares, 1);
        members.push(member("c", &["t"]));
        let shares = assign(&members, &all);
        assert_eq!(shown(&shares), "t0 t2 | t1 t3 | ", "what moves is given to nobody yet");
        after(&mut members, &shares, 2);
        let shares = assign(&members, &all);
        assert_eq!(shown(&shares), "t0 t2 | t1 t3 | t4 t5");
        after(&mut members, &shares, 3);
        members.remove(0);
        let shares = assign(&members, &all);
        assert!(
            members.iter().zip(&shares).all(|(member, share)| share.is_superset(&member.subscription.owned))
        );
        assert!(shares.iter().all(|share| share.len() == 3));
    }

    #[test]
    fn of_two_holders_the_later_one_is_right() {
        let all = topics(&[("t", 2)]);
        let mut members = vec![member("a", &["t"]), member("b", &["t"])];
        let both: BTreeSet<TopicPartition> = [TopicPartition::new("t", 0)].into();
        members[0].subscription.owned.clone_from(&both);
        members[1].subscription.owned = both;
        members[0].subscription.generation = 4;
        members[1].subscription.generation = 5;
        assert_eq!(shown(&assign(&members, &all)), "t1 | t0");
        // In one generation, neither can be trusted, and the one that gets it has it already.
        members[0].subscription.generation = 5;
        let shares = assign(&members, &all);
        assert_eq!(shares.iter().map(BTreeSet::len).sum::<usize>(), 2);
    }

    #[test]
    fn members_with_other_topics_are_balanced_as_far_as_they_can_be() {
        let members = [member("a", &["t"]), member("b", &["t", "u"]), member("c", &["u"])];
        let shares = assign(&members, &topics(&[("t", 4), ("u", 2)]));
        let sizes: Vec<usize> = shares.iter().map(BTreeSet::len).collect();
        assert_eq!(sizes, [2, 2, 2]);
    }

    #[test]
    fn what_no_longer_exists_or_is_not_wanted_is_not_kept() {
        let mut members = vec![member("a", &["t"]), member("b", &["t"])];
        members[0].subscription.owned =
            [("t", 7), ("u", 0)].map(|(topic, n)| TopicPartition::new(topic, n)).into();
        assert_eq!(shown(&assign(&members, &topics(&[("t", 2), ("u", 1)]))), "t0 | t1");
    }

    #[test]
    fn many_partitions_are_divided_in_little_time() {
        let all = topics(&[("t", 4_000)]);
        let mut members: Vec<Joined> = (0..40).map(|index| member(&format!("m{index}"), &["t"])).collect();
        let shares = assign(&members[..1], &all);
        members[0].subscription.owned.clone_from(&shares[0]);
        let shares = assign(&members, &all);
        assert!(shares[0].len() == 100 && shares[1..].iter().all(BTreeSet::is_empty));
    }
}
