//! Who gets which partition: computed by the member that the coordinator has made the leader.

mod range;
mod round_robin;
mod sticky;
mod tasks;

use super::protocol::Subscription;
use crate::TopicPartition;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A way to divide partitions among the members of a classic group. Unless said otherwise the names are
/// those of Kafka's own assignors, so members of other makes can be in the same group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assignor {
    /// As few partitions as possible move, and those that stay are not interrupted (KIP-429).
    CooperativeSticky,
    /// The same, and partitions of equal number of all topics of the same subscribers go together: for joins of topics
    /// that are partitioned alike. Ours alone, so the group has members of ours only.
    CooperativeTasks,
    /// Neighbouring partitions of each topic; equal numbers of all topics at the same member. Every rebalance takes
    /// all partitions away for a moment.
    Range,
    /// All partitions in turn. Every rebalance takes all partitions away for a moment.
    RoundRobin,
}

impl Assignor {
    const ALL: [Self; 4] = [Self::CooperativeSticky, Self::CooperativeTasks, Self::Range, Self::RoundRobin];

    /// The name in the protocol.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::CooperativeSticky => "cooperative-sticky",
            Self::CooperativeTasks => "acme-cooperative-tasks",
            Self::Range => "range",
            Self::RoundRobin => "roundrobin",
        }
    }

    /// The assignor of a name in the protocol.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }

    /// True if members keep what they have while they join again.
    #[must_use]
    pub fn is_cooperative(self) -> bool {
        matches!(self, Self::CooperativeSticky | Self::CooperativeTasks)
    }
}

/// A member as its leader sees it.
#[derive(Clone, Debug)]
pub(super) struct Joined {
    pub(super) id: String,
    /// The name of a static member, which keeps its place in the order over restarts.
    pub(super) instance: Option<String>,
    pub(super) subscription: Subscription,
}

/// What each member gets, in the order of the members.
pub(super) type Shares = Vec<BTreeSet<TopicPartition>>;

/// Divides the partitions of the topics, given as their counts, among members. Partitions of topics that nobody wants
/// go to nobody.
pub(super) fn assign(assignor: Assignor, members: &[Joined], topics: &BTreeMap<Arc<str>, i32>) -> Shares {
    match assignor {
        Assignor::CooperativeSticky => sticky::assign(members, topics),
        Assignor::CooperativeTasks => tasks::assign(members, topics),
        Assignor::Range => range::assign(members, topics),
        Assignor::RoundRobin => round_robin::assign(members, topics),
    }
}

/// The members' indexes, static ones first by name, then the others by id: as Kafka's own assignors order them.
fn ordered(members: &[Joined]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..members.len()).collect();
    order.sort_by_key(|index| {
        let member = &members[*index];
        (member.instance.is_none(), member.instance.as_deref(), member.id.as_str())
    });
    order
}

fn partitions<'a>(topic: &'a Arc<str>, count: i32) -> impl Iterator<Item = TopicPartition> + 'a {
    (0..count).map(|partition| TopicPartition { topic: topic.clone(), partition })
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn member(id: &str, topics: &[&str]) -> Joined {
        let topics = topics.iter().map(|topic| Arc::from(*topic)).collect();
        let subscription = Subscription { topics, owned: BTreeSet::new(), generation: -1 };
        Joined { id: id.to_owned(), instance: None, subscription }
    }

    pub(super) fn topics(counts: &[(&str, i32)]) -> BTreeMap<Arc<str>, i32> {
        counts.iter().map(|(topic, count)| (Arc::from(*topic), *count)).collect()
    }

    /// Shares as text: `t0 t1 | t2`.
    pub(super) fn shown(shares: &Shares) -> String {
        let share = |share: &BTreeSet<TopicPartition>| {
            let words: Vec<String> =
                share.iter().map(|partition| format!("{}{}", partition.topic, partition.partition)).collect();
            words.join(" ")
        };
        shares.iter().map(share).collect::<Vec<_>>().join(" | ")
    }

    #[test]
    fn static_members_keep_their_place() {
        let mut members = vec![member("b", &["t"]), member("c", &["t"]), member("a", &["t"])];
        members[1].instance = Some("z".into());
        assert_eq!(ordered(&members), [1, 2, 0]);
    }

    #[test]
    fn range_keeps_equal_numbers_together() {
        let members = [member("a", &["t", "u"]), member("b", &["t", "u"]), member("c", &["u"])];
        let shares = assign(Assignor::Range, &members, &topics(&[("t", 3), ("u", 4), ("v", 9)]));
        assert_eq!(shown(&shares), "t0 t1 u0 u1 | t2 u2 | u3");
    }

    #[test]
    fn round_robin_passes_over_those_who_do_not_want_a_topic() {
        let members = [member("a", &["t"]), member("b", &["t", "u"]), member("c", &["t"])];
        let shares = assign(Assignor::RoundRobin, &members, &topics(&[("t", 2), ("u", 2)]));
        assert_eq!(shown(&shares), "t0 | t1 u0 u1 | ");
    }

    #[test]
    fn names_are_those_of_the_protocol() {
        for assignor in Assignor::ALL {
            assert_eq!(Assignor::named(assignor.name()), Some(assignor));
        }
        assert_eq!(Assignor::named("sticky"), None);
    }
}
