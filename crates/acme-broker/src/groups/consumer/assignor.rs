//! Server-side assignors: who is to have which partitions. Pure functions of the subscriptions and of what was before.

use super::super::record::Parts;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use uuid::Uuid;

/// What an assignor knows of a member.
#[derive(Clone, Debug)]
pub(crate) struct Subscriber {
    pub(crate) id: Arc<str>,
    pub(crate) instance_id: Option<String>,
    pub(crate) topics: BTreeSet<Uuid>,
    /// What it was to have before.
    pub(crate) target: Parts,
}

/// How partitions are given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Assignor {
    /// As evenly as can be, and as much as possible stays where it is.
    Uniform,
    /// A contiguous part of each topic.
    Range,
}

impl Assignor {
    /// All, the default first.
    pub(crate) const ALL: [Self; 2] = [Self::Uniform, Self::Range];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Range => "range",
        }
    }

    pub(crate) fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|assignor| assignor.name() == name)
    }

    /// The target of every member; `topics` has the number of partitions.
    pub(crate) fn assign(
        self,
        members: &[Subscriber],
        topics: &BTreeMap<Uuid, u32>,
    ) -> BTreeMap<Arc<str>, Parts> {
        match self {
            Self::Uniform => uniform(members, topics),
            Self::Range => range(members, topics),
        }
    }
}

fn partitions(count: u32) -> std::ops::Range<i32> {
    0..i32::try_from(count).unwrap_or(i32::MAX)
}

fn range(members: &[Subscriber], topics: &BTreeMap<Uuid, u32>) -> BTreeMap<Arc<str>, Parts> {
    let mut targets: BTreeMap<Arc<str>, Parts> =
        members.iter().map(|member| (Arc::clone(&member.id), Parts::new())).collect();
    for (topic, count) in topics {
        let mut subscribed: Vec<&Subscriber> =
            members.iter().filter(|member| member.topics.contains(topic)).collect();
        // Static members keep their place when they start again.
        subscribed.sort_by_key(|member| (member.instance_id.is_none(), &member.instance_id, &member.id));
        if subscribed.is_empty() {
            continue;
        }
        let (each, more) = (*count as usize / subscribed.len(), *count as usize % subscribed.len());
        let mut all = partitions(*count);
        for (at, member) in subscribed.into_iter().enumerate() {
            let mine: BTreeSet<i32> = all.by_ref().take(each + usize::from(at < more)).collect();
            if let Some(target) = targets.get_mut(&member.id).filter(|_| !mine.is_empty()) {
                target.insert(*topic, mine);
            }
        }
    }
    targets
}

/// Partitions while they are being given out; members by their index.
struct Plan<'a> {
    members: &'a [Subscriber],
    owned: Vec<BTreeSet<(Uuid, i32)>>,
}

impl Plan<'_> {
    /// The subscribed member that has least.
    fn least(&self, topic: Uuid) -> Option<usize> {
        let subscribed = (0..self.members.len()).filter(|at| self.members[*at].topics.contains(&topic));
        subscribed.min_by_key(|at| (self.owned[*at].len(), *at))
    }

    /// Moves one partition from a member that has two more than another that could take it.
    fn improve(&mut self) -> bool {
        let mut from: Vec<usize> = (0..self.members.len()).collect();
        from.sort_by_key(|at| std::cmp::Reverse(self.owned[*at].len()));
        for at in from {
            let better = |(topic, _): &(Uuid, i32)| {
                self.least(*topic).filter(|to| self.owned[*to].len() + 1 < self.owned[at].len())
            };
            let topics: BTreeSet<Uuid> = self.owned[at].iter().map(|(topic, _)| *topic).collect();
            let found = topics.iter().find_map(|topic| better(&(*topic, 0)).map(|to| (*topic, to)));
            if let Some((topic, to)) = found {
                let last = self.owned[at].iter().rev().find(|(of, _)| *of == topic).copied();
                if let Some(part) = last {
                    self.owned[at].remove(&part);
                    self.owned[to].insert(part);
                    return true;
                }
            }
        }
        false
    }
}

fn uniform(members: &[Subscriber], topics: &BTreeMap<Uuid, u32>) -> BTreeMap<Arc<str>, Parts> {
    let mut plan = Plan { members, owned: vec![BTreeSet::new(); members.len()] };
    let mut free: BTreeSet<(Uuid, i32)> = topics
        .iter()
        .flat_map(|(topic, count)| partitions(*count).map(move |partition| (*topic, partition)))
        .collect();
    let same = members.windows(2).all(|pair| pair[0].topics == pair[1].topics);
    // Where everybody reads the same, nobody keeps more than his share; the rest is moved one by one below.
    let share = if same && !members.is_empty() { free.len().div_ceil(members.len()) } else { usize::MAX };
    for (at, member) in members.iter().enumerate() {
        for (topic, mine) in member.target.iter().filter(|(topic, _)| member.topics.contains(*topic)) {
            for partition in mine {
                if plan.owned[at].len() < share && free.remove(&(*topic, *partition)) {
                    plan.owned[at].insert((*topic, *partition));
                }
            }
        }
    }
    // Those that few can take come first.
    let readers = |topic: Uuid| members.iter().filter(|member| member.topics.contains(&topic)).count();
    let mut rest: Vec<(usize, (Uuid, i32))> = free.into_iter().map(|part| (readers(part.0), part)).collect();
    rest.sort_unstable();
    for (_, part) in rest {
        if let Some(at) = plan.least(part.0) {
            plan.owned[at].insert(part);
        }
    }
    // Each step narrows the spread, so it ends; the bound is for the case that this sentence is wrong.
    for _ in 0..topics.values().map(|count| *count as usize).sum::<usize>().saturating_mul(2) {
        if !plan.improve() {
            break;
        }
    }
    let parts = |owned: BTreeSet<(Uuid, i32)>| {
        let mut parts = Parts::new();
        owned.into_iter().for_each(|(topic, partition)| {
            parts.entry(topic).or_default().insert(partition);
        });
        parts
    };
    members.iter().zip(plan.owned).map(|(member, owned)| (Arc::clone(&member.id), parts(owned))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Uuid = Uuid::from_u128(1);
    const B: Uuid = Uuid::from_u128(2);

    fn member(id: &str, topics: &[Uuid], target: &[(Uuid, &[i32])]) -> Subscriber {
        let target = target.iter().map(|(topic, parts)| (*topic, parts.iter().copied().collect())).collect();
        Subscriber { id: id.into(), instance_id: None, topics: topics.iter().copied().collect(), target }
    }

    fn count(parts: &Parts) -> usize {
        parts.values().map(BTreeSet::len).sum()
    }

    #[test]
    fn range_gives_contiguous_parts_and_the_first_get_one_more() {
        let members = [member("a", &[A], &[]), member("b", &[A], &[]), member("c", &[B], &[])];
        let targets = Assignor::Range.assign(&members, &[(A, 5), (B, 1)].into());
        assert_eq!(targets["a"], [(A, [0, 1, 2].into())].into());
        assert_eq!(targets["b"], [(A, [3, 4].into())].into());
        assert_eq!(targets["c"], [(B, [0].into())].into());
    }

    #[test]
    fn uniform_moves_no_more_than_a_new_member_needs() {
        let before: &[(Uuid, &[i32])] = &[(A, &[0, 1, 2, 3, 4, 5])];
        let members = [member("a", &[A], before), member("b", &[A], &[])];
        let targets = Assignor::Uniform.assign(&members, &[(A, 6)].into());
        assert_eq!((count(&targets["a"]), count(&targets["b"])), (3, 3));
        assert_eq!(targets["a"], [(A, [0, 1, 2].into())].into(), "three stay");
    }

    #[test]
    fn uniform_is_even_also_where_members_read_different_topics() {
        let members =
            [member("a", &[A, B], &[(A, &[0, 1, 2, 3])]), member("b", &[B], &[]), member("c", &[A], &[])];
        let targets = Assignor::Uniform.assign(&members, &[(A, 4), (B, 2)].into());
        assert_eq!([count(&targets["a"]), count(&targets["b"]), count(&targets["c"])], [2, 2, 2]);
    }

    #[test]
    fn every_partition_has_exactly_one_owner_who_reads_it_and_the_spread_is_at_most_one() {
        for seed in 0..2_000_u64 {
            let mut random = crate::random::Random(seed);
            let topics: BTreeMap<Uuid, u32> = (0..random.below(4))
                .map(|at| (Uuid::from_u128(u128::from(at)), random.below(9) as u32))
                .collect();
            let all: Vec<Uuid> = topics.keys().copied().collect();
            let same = random.below(2) == 0;
            let mut members: Vec<Subscriber> = Vec::new();
            for at in 0..1 + random.below(6) {
                let reads: Vec<Uuid> = all.iter().copied().filter(|_| same || random.below(2) == 0).collect();
                members.push(member(&format!("m{at}"), &reads, &[]));
            }
            for assignor in Assignor::ALL {
                let targets = assignor.assign(&members, &topics);
                for (topic, partitions) in &topics {
                    for partition in 0..*partitions as i32 {
                        let owners = members.iter().filter(|member| {
                            targets[&member.id].get(topic).is_some_and(|of| of.contains(&partition))
                        });
                        let readers = members.iter().filter(|member| member.topics.contains(topic)).count();
                        let owners: Vec<&Subscriber> = owners.collect();
                        assert_eq!(owners.len(), readers.min(1), "seed {seed}");
                        assert!(owners.iter().all(|owner| owner.topics.contains(topic)), "seed {seed}");
                    }
                }
                let counts = || targets.values().map(count);
                if same && assignor == Assignor::Uniform {
                    assert!(counts().max().unwrap() - counts().min().unwrap() <= 1, "seed {seed}");
                }
                // Given again, nothing moves.
                for member in &mut members {
                    member.target = targets[&member.id].clone();
                }
                assert_eq!(assignor.assign(&members, &topics), targets, "seed {seed}");
            }
        }
    }
}
