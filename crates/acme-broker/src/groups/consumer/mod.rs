//! The consumer group protocol of KIP-848 as a state machine: the server assigns, members follow one by one.
//!
//! No I/O and no clock. A heartbeat gives an answer and the records that must be written before it goes out; when they
//! cannot be written the caller goes back to the clone that it has made before. A partition is given to a member only
//! after its last owner has said that it has let go: `assigned` and `revoking` of all members never overlap.

pub(crate) mod assignor;
mod heartbeat;

use super::record::{Current, Parts, Progress, Record, Subscription};
use assignor::{Assignor, Subscriber};
pub(crate) use heartbeat::{Beat, Beaten, Refusal};
use kafka_protocol::ResponseError;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use uuid::Uuid;

/// A member that leaves for good.
pub(crate) const LEAVES: i32 = -1;
/// A static member that will come back.
pub(crate) const LEAVES_FOR_NOW: i32 = -2;

/// The topics that there are.
pub(crate) trait Catalog {
    /// Another number whenever anything has changed.
    fn version(&self) -> u64;
    /// Id and number of partitions.
    fn topic(&self, name: &str) -> Option<(Uuid, u32)>;
    /// Every topic that a pattern may choose.
    fn each(&self, visit: &mut dyn FnMut(&str, Uuid, u32));
}

/// Times of a group, ms.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) session_ms: i64,
    pub(crate) interval_ms: i32,
}

/// A member.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) subscription: Subscription,
    pub(crate) target: Parts,
    pub(crate) current: Current,
    /// The topics that it reads.
    resolved: BTreeSet<Uuid>,
    session: i64,
    /// Until when it must have let go.
    revoke_by: Option<i64>,
}

/// A group.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) id: Arc<str>,
    pub(crate) epoch: i32,
    pub(crate) target_epoch: i32,
    pub(crate) members: BTreeMap<Arc<str>, Arc<Member>>,
    statics: BTreeMap<String, Arc<str>>,
    /// The topics that anybody reads, with their number of partitions.
    topics: BTreeMap<Uuid, u32>,
    catalog: Option<u64>,
    times: Times,
}

/// The partitions of the first that are not in the second.
pub(crate) fn without(parts: &Parts, other: &Parts) -> Parts {
    let rest = |(topic, of): (&Uuid, &BTreeSet<i32>)| {
        let rest: BTreeSet<i32> = match other.get(topic) {
            None => of.clone(),
            Some(other) => of.difference(other).copied().collect(),
        };
        (!rest.is_empty()).then_some((*topic, rest))
    };
    parts.iter().filter_map(rest).collect()
}

pub(crate) fn union(mut parts: Parts, other: &Parts) -> Parts {
    for (topic, of) in other {
        parts.entry(*topic).or_default().extend(of);
    }
    parts
}

impl Group {
    pub(crate) fn new(id: &str, times: Times) -> Self {
        Self {
            id: id.into(),
            epoch: 0,
            target_epoch: 0,
            members: BTreeMap::new(),
            statics: BTreeMap::new(),
            topics: BTreeMap::new(),
            catalog: None,
            times,
        }
    }

    /// As `ConsumerGroupDescribe` shows it.
    pub(crate) fn state(&self) -> &'static str {
        if self.members.is_empty() {
            "Empty"
        } else if self.epoch > self.target_epoch {
            "Assigning"
        } else if self.members.values().all(|member| {
            member.current.progress == Progress::Stable && member.current.epoch == self.target_epoch
        }) {
            "Stable"
        } else {
            "Reconciling"
        }
    }

    /// The assignor that most members want.
    pub(crate) fn assignor(&self) -> Assignor {
        let mut votes = [0_usize; Assignor::ALL.len()];
        for member in self.members.values() {
            let wanted = member.subscription.assignor.as_deref().and_then(Assignor::of);
            votes[wanted.unwrap_or(Assignor::Uniform) as usize] += usize::from(wanted.is_some());
        }
        if votes[Assignor::Range as usize] > votes[Assignor::Uniform as usize] {
            return Assignor::Range;
        }
        Assignor::Uniform
    }

    /// Whether anybody reads the topic.
    pub(crate) fn is_subscribed(&self, topic: &str, id: Option<Uuid>) -> bool {
        self.members.values().any(|member| {
            member.subscription.topics.contains(topic) || id.is_some_and(|id| member.resolved.contains(&id))
        })
    }

    /// A record from the log, at start. [`Self::loaded`] follows the last.
    pub(crate) fn load(&mut self, record: Record) {
        match record {
            Record::Epoch { value, .. } => self.epoch = value.unwrap_or(0),
            Record::TargetEpoch { value, .. } => self.target_epoch = value.unwrap_or(0),
            Record::Member { member, value: None, .. } => {
                self.members.remove(member.as_str());
            }
            Record::Member { member, value: Some(value), .. } => self.loading(member).subscription = value,
            Record::Target { member, value: Some(value), .. } => self.loading(member).target = value,
            Record::Current { member, value: Some(value), .. } => self.loading(member).current = value,
            _ => {}
        }
    }

    fn loading(&mut self, member: String) -> &mut Member {
        let fresh = || Arc::new(Member::new(Subscription::default()));
        Arc::make_mut(self.members.entry(Arc::from(member)).or_insert_with(fresh))
    }

    /// All records were read: every member has a whole session to be heard of.
    pub(crate) fn loaded(&mut self, now: i64) {
        let session = now + self.times.session_ms;
        for (id, member) in &mut self.members {
            let member = Arc::make_mut(member);
            member.session = session;
            member.watch_revocation(now);
            if let Some(instance) = &member.subscription.instance_id {
                self.statics.insert(instance.clone(), Arc::clone(id));
            }
        }
    }

    /// When [`Self::tick`] is due.
    pub(crate) fn deadline(&self) -> Option<i64> {
        let of = |member: &Arc<Member>| member.revoke_by.map_or(member.session, |by| by.min(member.session));
        self.members.values().map(of).min()
    }

    /// Members whose session or time to let go is over are out.
    pub(crate) fn tick(&mut self, now: i64) -> Vec<Record> {
        let over = |member: &Member| member.session <= now || member.revoke_by.is_some_and(|by| by <= now);
        let dead: Vec<Arc<str>> =
            self.members.iter().filter(|(_, member)| over(member)).map(|(id, _)| Arc::clone(id)).collect();
        let mut records = Vec::new();
        for id in &dead {
            self.remove(id, &mut records);
        }
        if !dead.is_empty() {
            self.raise(&mut records);
        }
        records
    }

    /// Records that end everything of the group but its offsets.
    pub(crate) fn tombstones(&self) -> Vec<Record> {
        let mut records = Vec::new();
        for id in self.members.keys() {
            forget(&self.id, id, &mut records);
        }
        records.push(Record::TargetEpoch { group: self.id.to_string(), value: None });
        records.push(Record::Epoch { group: self.id.to_string(), value: None });
        records
    }

    fn remove(&mut self, id: &str, records: &mut Vec<Record>) {
        let Some(member) = self.members.remove(id) else { return };
        if let Some(instance) = &member.subscription.instance_id
            && self.statics.get(instance).is_some_and(|current| &**current == id)
        {
            self.statics.remove(instance);
        }
        forget(&self.id, id, records);
    }

    /// The group has changed: everybody's assignment is to be thought over.
    fn raise(&mut self, records: &mut Vec<Record>) {
        self.epoch += 1;
        records.push(Record::Epoch { group: self.id.to_string(), value: Some(self.epoch) });
    }

    /// Finds out which topics are read; true if that has changed.
    fn resolve(&mut self, catalog: &dyn Catalog) -> bool {
        let mut topics = BTreeMap::new();
        for member in self.members.values_mut() {
            let resolved = resolved(&member.subscription, catalog, &mut topics);
            if resolved != member.resolved {
                Arc::make_mut(member).resolved = resolved;
            }
        }
        self.catalog = Some(catalog.version());
        let changed = topics != self.topics;
        self.topics = topics;
        changed
    }

    fn assign(&mut self, records: &mut Vec<Record>) {
        let subscriber = |(id, member): (&Arc<str>, &Arc<Member>)| Subscriber {
            id: Arc::clone(id),
            instance_id: member.subscription.instance_id.clone(),
            topics: member.resolved.clone(),
            target: member.target.clone(),
        };
        let subscribers: Vec<Subscriber> = self.members.iter().map(subscriber).collect();
        for (id, target) in self.assignor().assign(&subscribers, &self.topics) {
            let Some(member) = self.members.get_mut(&id) else { continue };
            if member.target != target {
                Arc::make_mut(member).target.clone_from(&target);
                let (group, member) = (self.id.to_string(), id.to_string());
                records.push(Record::Target { group, member, value: Some(target) });
            }
        }
        self.target_epoch = self.epoch;
        records.push(Record::TargetEpoch { group: self.id.to_string(), value: Some(self.target_epoch) });
    }

    /// What other members have, or have not yet let go.
    fn held_by_others(&self, id: &str) -> Parts {
        let others = self.members.iter().filter(|(other, _)| &***other != id);
        others.fold(Parts::new(), |held, (_, member)| {
            union(union(held, &member.current.assigned), &member.current.revoking)
        })
    }

    /// The next step of a member towards its target. `owned`: what it says it has.
    fn reconcile(&self, id: &str, member: &Member, owned: Option<&Parts>) -> Current {
        let current = &member.current;
        let still_owns = |parts: &Parts| owned.is_none_or(|owned| without(parts, owned) != *parts);
        let from = match current.progress {
            Progress::Stable if current.epoch == self.target_epoch => return current.clone(),
            Progress::Unrevoked if owned.is_none() || still_owns(&current.revoking) => {
                return current.clone();
            }
            // What it had to let go was the last thing that kept it in its epoch.
            Progress::Unrevoked => current.epoch + 1,
            Progress::Stable | Progress::Unreleased => current.epoch,
        };
        let revoking = without(&current.assigned, &member.target);
        let kept = without(&current.assigned, &revoking);
        let wanted = without(&member.target, &kept);
        if !revoking.is_empty() && still_owns(&revoking) {
            let previous_epoch = if from == current.epoch { current.previous_epoch } else { current.epoch };
            return Current {
                epoch: from,
                previous_epoch,
                progress: Progress::Unrevoked,
                assigned: kept,
                revoking,
            };
        }
        let free = if wanted.is_empty() { Parts::new() } else { without(&wanted, &self.held_by_others(id)) };
        let progress = if free == wanted { Progress::Stable } else { Progress::Unreleased };
        let epoch = self.target_epoch;
        let previous_epoch = if epoch == current.epoch { current.previous_epoch } else { current.epoch };
        Current { epoch, previous_epoch, progress, assigned: union(kept, &free), revoking: Parts::new() }
    }

    /// Whether a member may commit offsets; without an epoch only where nobody is a member.
    pub(crate) fn may_commit(&self, member_id: &str, epoch: i32) -> Result<(), ResponseError> {
        if epoch < 0 && self.members.is_empty() {
            return Ok(());
        }
        self.has_epoch(member_id, epoch)
    }

    /// Whether a member has this epoch.
    pub(crate) fn has_epoch(&self, member_id: &str, epoch: i32) -> Result<(), ResponseError> {
        let member = self.members.get(member_id).ok_or(ResponseError::UnknownMemberId)?;
        if member.current.epoch == epoch { Ok(()) } else { Err(ResponseError::StaleMemberEpoch) }
    }
}

impl Member {
    fn new(subscription: Subscription) -> Self {
        let (target, resolved) = (Parts::new(), BTreeSet::new());
        Self {
            subscription,
            target,
            current: Current::default(),
            resolved,
            session: i64::MAX,
            revoke_by: None,
        }
    }

    /// It has its own rebalance time-out to let go of partitions, from when it is told.
    fn watch_revocation(&mut self, now: i64) {
        self.revoke_by = match self.current.progress {
            Progress::Unrevoked => {
                let by = now + i64::from(self.subscription.rebalance_timeout_ms.max(0));
                Some(self.revoke_by.unwrap_or(by))
            }
            _ => None,
        };
    }
}

/// The topics that a member reads, added to those of the group.
fn resolved(
    subscription: &Subscription,
    catalog: &dyn Catalog,
    topics: &mut BTreeMap<Uuid, u32>,
) -> BTreeSet<Uuid> {
    let mut resolved = BTreeSet::new();
    for (id, partitions) in subscription.topics.iter().filter_map(|name| catalog.topic(name)) {
        topics.insert(id, partitions);
        resolved.insert(id);
    }
    let pattern = subscription.regex.as_deref().filter(|pattern| !pattern.is_empty()).and_then(pattern);
    if let Some(pattern) = pattern {
        catalog.each(&mut |name, id, partitions| {
            if pattern.is_match(name) {
                topics.insert(id, partitions);
                resolved.insert(id);
            }
        });
    }
    resolved
}

/// A pattern that the whole name must match, by an engine whose time is bounded by the lengths (as RE2 is).
fn pattern(pattern: &str) -> Option<regex::Regex> {
    regex::RegexBuilder::new(&format!("^(?:{pattern})$")).size_limit(1 << 20).build().ok()
}

fn forget(group: &str, member: &str, records: &mut Vec<Record>) {
    let (group, member) = (group.to_owned(), member.to_owned());
    records.push(Record::Current { group: group.clone(), member: member.clone(), value: None });
    records.push(Record::Target { group: group.clone(), member: member.clone(), value: None });
    records.push(Record::Member { group, member, value: None });
}

#[cfg(test)]
mod tests;
