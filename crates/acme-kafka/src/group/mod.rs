//! Consumer groups: being a member, keeping offsets, looking at groups.
//!
//! A [`Member`] shares a group's partitions with others, by the classic protocol (Kafka's own assignors, KIP-429) or by
//! the one of KIP-848. It sends heartbeats from a task of its own, so slow work never costs the membership; what work a
//! rebalance takes away is given back when the owner says so, within a bound.
//!
//! ```text
//! Member ── event() ──► Lost | Revoking(token) | Assigned      computed when asked, so nothing queues
//!    │                        ▲
//!    │                   ownership: target (coordinator) against told (owner)
//!    │                        ▲
//!    └─ task: classic (join, sync, heartbeat) or consumer (heartbeat with epochs)
//! ```

mod admin;
mod assign;
mod classic;
mod consumer;
mod member;
mod offsets;
mod ownership;
mod protocol;

#[cfg(any(test, fuzzing))]
pub(crate) use admin::deleted_codes;
pub use admin::{GroupDescription, Lag, ListedGroup, MemberDescription};
pub use assign::Assignor;
pub use member::{Event, Identities, Member, Revocation};
pub use offsets::{Committed, OffsetAndMetadata};

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Who commits: the coordinator refuses whoever is not in the group's present generation (rule 10 of the commit).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMetadata {
    /// The group.
    pub group: String,
    /// The member's id, empty for somebody who is in no group and commits for one that has no members.
    pub member_id: String,
    /// The generation (classic) or the member's epoch (KIP-848); -1 outside of a group.
    pub generation: i32,
    /// The name of a static member (KIP-345).
    pub instance_id: Option<String>,
}

impl GroupMetadata {
    /// Somebody outside: may commit as long as the group has no members.
    #[must_use]
    pub fn outside(group: impl Into<String>) -> Self {
        Self { group: group.into(), member_id: String::new(), generation: -1, instance_id: None }
    }
}

/// Which topics a member wants.
#[derive(Clone)]
pub enum Subscription {
    /// These. One that does not exist yet is waited for.
    Topics(BTreeSet<Arc<str>>),
    /// All that a function says yes to; topics that come later too. Kafka's own topics are never asked about.
    Matching(Arc<dyn Fn(&str) -> bool + Send + Sync>),
}

impl Subscription {
    /// These topics.
    pub fn topics<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> Self {
        Self::Topics(names.into_iter().map(|name| Arc::from(name.as_ref())).collect())
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topics(names) => f.debug_tuple("Topics").field(names).finish(),
            Self::Matching(_) => f.write_str("Matching(..)"),
        }
    }
}

/// How the members of a group agree (`group.protocol`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// One member computes who gets what, by the first of these assignors that all members have.
    Classic(Vec<Assignor>),
    /// The coordinator computes it (KIP-848, brokers from 4.0 on), by this assignor (`uniform`, `range`) or its own
    /// choice.
    Consumer(Option<String>),
}

/// How a member is to be.
#[derive(Clone, Debug)]
pub struct MemberOptions {
    /// The group.
    pub group: String,
    /// The topics.
    pub subscription: Subscription,
    /// The protocol. All members of a group speak the same; a group may be moved from one to the other.
    pub protocol: Protocol,
    /// A name that outlives the process: a restart within `session_timeout` keeps the partitions (KIP-345).
    pub instance_id: Option<String>,
    /// A static member that leaves keeps its partitions for its session, as Kafka's own clients do. Otherwise the others get
    /// them at once, and only a death is waited for.
    pub stays: bool,
    /// After how much silence the coordinator gives a member up. The classic protocol only: with KIP-848 the broker
    /// decides.
    pub session_timeout: Duration,
    /// How often the member speaks. The classic protocol only.
    pub heartbeat_interval: Duration,
    /// How long the owner may take to give partitions back (`max.poll.interval.ms`). After nine tenths of it they are
    /// [`Event::Lost`].
    pub rebalance_timeout: Duration,
    /// How often topics are looked at for new partitions, and patterns for new topics.
    pub metadata_interval: Duration,
    /// For how long the member tries to reach its coordinator before [`Member::event`] returns the error.
    pub patience: Duration,
}

impl MemberOptions {
    /// Kafka's defaults, with the cooperative assignor.
    #[must_use]
    pub fn new(group: impl Into<String>, subscription: Subscription) -> Self {
        Self {
            group: group.into(),
            subscription,
            protocol: Protocol::Classic(vec![Assignor::CooperativeSticky]),
            instance_id: None,
            stays: true,
            session_timeout: Duration::from_secs(45),
            heartbeat_interval: Duration::from_secs(3),
            rebalance_timeout: Duration::from_secs(300),
            metadata_interval: Duration::from_secs(60),
            patience: Duration::from_secs(300),
        }
    }

    /// How long the owner has to give back what it is asked for.
    fn revoked_within(&self) -> Duration {
        self.rebalance_timeout.mul_f64(0.9)
    }
}

/// Milliseconds as the protocol has them.
fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}
