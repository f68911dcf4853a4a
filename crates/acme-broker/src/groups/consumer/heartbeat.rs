//! `ConsumerGroupHeartbeat`.

use super::assignor::Assignor;
use super::{Catalog, Group, LEAVES, LEAVES_FOR_NOW, Member, pattern, without};
use crate::groups::classic::MEMBERS_MAX;
use crate::groups::record::{Current, Parts, Record, Subscription};
use kafka_protocol::ResponseError;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A heartbeat as the request has it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Beat {
    pub(crate) member_id: String,
    pub(crate) epoch: i32,
    pub(crate) instance_id: Option<String>,
    pub(crate) rack_id: Option<String>,
    pub(crate) rebalance_timeout_ms: i32,
    pub(crate) topics: Option<BTreeSet<String>>,
    pub(crate) regex: Option<String>,
    pub(crate) assignor: Option<String>,
    pub(crate) owned: Option<Parts>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Beaten {
    pub(crate) member_id: String,
    pub(crate) epoch: i32,
    /// What it is to have now; none if that is as before.
    pub(crate) assignment: Option<Parts>,
    pub(crate) interval_ms: i32,
}

/// A refusal, and what a person reads.
pub(crate) type Refusal = (ResponseError, String);

fn refuse<T>(error: ResponseError, why: impl Into<String>) -> Result<T, Refusal> {
    Err((error, why.into()))
}

impl Beat {
    /// What is wrong with the request itself, whatever the group.
    pub(crate) fn check(&self) -> Result<(), Refusal> {
        let invalid = |why: &str| refuse(ResponseError::InvalidRequest, why);
        let empty = |text: &Option<String>| text.as_deref() == Some("");
        match self.epoch {
            _ if empty(&self.instance_id) => invalid("InstanceId can't be empty."),
            _ if empty(&self.rack_id) => invalid("RackId can't be empty."),
            LEAVES | LEAVES_FOR_NOW | 0.. if self.member_id.is_empty() => invalid("MemberId can't be empty."),
            LEAVES_FOR_NOW if self.instance_id.is_none() => invalid("InstanceId can't be null."),
            0 if self.rebalance_timeout_ms == -1 => {
                invalid("RebalanceTimeoutMs must be provided in first request.")
            }
            0 if self.owned.as_ref().is_none_or(|owned| !owned.is_empty()) => {
                invalid("TopicPartitions must be empty when (re-)joining.")
            }
            0 if self.topics.is_none() && self.regex.is_none() => invalid(
                "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.",
            ),
            LEAVES | LEAVES_FOR_NOW | 0.. => self.check_choices(),
            _ => invalid("MemberEpoch is invalid."),
        }
    }

    fn check_choices(&self) -> Result<(), Refusal> {
        if let Some(name) = self.assignor.as_deref().filter(|name| Assignor::of(name).is_none()) {
            let known = Assignor::ALL.map(Assignor::name).join(", ");
            let why = format!("ServerAssignor {name} is not supported. Supported assignors: {known}.");
            return refuse(ResponseError::UnsupportedAssignor, why);
        }
        if let Some(text) = self.regex.as_deref().filter(|text| pattern(text).is_none()) {
            let why = format!("SubscribedTopicRegex `{text}` is not a valid regular expression.");
            return refuse(ResponseError::InvalidRegularExpression, why);
        }
        Ok(())
    }
}

impl Group {
    /// A member tells that it is alive, what it wants and what it has. Nothing has changed where it is refused, but the
    /// caller must go back to what was before.
    pub(crate) fn heartbeat(
        &mut self,
        beat: &Beat,
        catalog: &dyn Catalog,
        now: i64,
    ) -> Result<(Beaten, Vec<Record>), Refusal> {
        if matches!(beat.epoch, LEAVES | LEAVES_FOR_NOW) {
            return self.leave(beat);
        }
        let mut records = Vec::new();
        let id: Arc<str> = Arc::from(beat.member_id.as_str());
        let mut member = self.admit(&id, beat, &mut records)?;
        let known = self.members.contains_key(&id);
        let subscription = subscription(&member.subscription, beat);
        let subscribes = !known
            || (&subscription.topics, &subscription.regex)
                != (&member.subscription.topics, &member.subscription.regex);
        if !known || subscription != member.subscription {
            let value = Some(subscription.clone());
            records.push(Record::Member { group: self.id.to_string(), member: id.to_string(), value });
        }
        member.subscription = subscription;
        member.session = now + self.times.session_ms;
        if let Some(instance) = &member.subscription.instance_id {
            self.statics.insert(instance.clone(), Arc::clone(&id));
        }
        let before = member.current.assigned.clone();
        self.members.insert(Arc::clone(&id), Arc::new(member));
        let moved = (subscribes || self.catalog != Some(catalog.version())) && self.resolve(catalog);
        // As in Kafka, another assignor is asked when the next assignment is made.
        if subscribes || moved {
            self.raise(&mut records);
        }
        if self.epoch > self.target_epoch {
            self.assign(&mut records);
        }
        let current = self.step(&id, beat.owned.as_ref(), now, &mut records);
        let is_full = beat.epoch == 0
            || (beat.owned.is_some()
                && beat.rebalance_timeout_ms != -1
                && (beat.topics.is_some() || beat.regex.is_some()));
        let tells = is_full || current.assigned != before;
        let answer = Beaten {
            member_id: beat.member_id.clone(),
            epoch: current.epoch,
            assignment: tells.then_some(current.assigned),
            interval_ms: self.times.interval_ms,
        };
        Ok((answer, records))
    }

    /// One step of a member towards its target.
    fn step(&mut self, id: &Arc<str>, owned: Option<&Parts>, now: i64, records: &mut Vec<Record>) -> Current {
        let Some(member) = self.members.get(id) else { return Current::default() };
        let next = self.reconcile(id, member, owned);
        let changed = next != member.current;
        if changed {
            let value = Some(next.clone());
            records.push(Record::Current { group: self.id.to_string(), member: id.to_string(), value });
        }
        if let Some(member) = self.members.get_mut(id).map(Arc::make_mut) {
            if changed {
                // The time to let go runs anew for each epoch, and not for each heartbeat.
                member.revoke_by = None;
                member.current = next.clone();
            }
            member.watch_revocation(now);
        }
        next
    }

    /// The member as it was until now, if it may go on; a new one if it joins.
    fn admit(&mut self, id: &Arc<str>, beat: &Beat, records: &mut Vec<Record>) -> Result<Member, Refusal> {
        let joins = beat.epoch == 0;
        let existing = beat.instance_id.as_ref().and_then(|instance| self.statics.get(instance)).cloned();
        if let (Some(instance), Some(existing)) = (&beat.instance_id, &existing) {
            if joins {
                return self.replace(existing, id, instance, records);
            }
            if existing != id {
                let why = format!(
                    "Static member {id} with instance id {instance} was fenced by member {existing}."
                );
                return refuse(ResponseError::FencedInstanceId, why);
            }
        }
        if let (Some(instance), None, false) = (&beat.instance_id, &existing, joins) {
            return refuse(ResponseError::UnknownMemberId, format!("Instance id {instance} is unknown."));
        }
        let Some(member) = self.members.get(id) else {
            if !joins {
                let why = format!("Member {id} is not a member of group {}.", self.id);
                return refuse(ResponseError::UnknownMemberId, why);
            }
            if self.members.len() >= MEMBERS_MAX {
                let why =
                    format!("The consumer group has reached its maximum capacity of {MEMBERS_MAX} members.");
                return refuse(ResponseError::GroupMaxSizeReached, why);
            }
            return Ok(Member::new(Subscription::default()));
        };
        check_epoch(member, beat)?;
        Ok((**member).clone())
    }

    /// A static member that said that it would come back is there again.
    fn replace(
        &mut self,
        old: &Arc<str>,
        id: &Arc<str>,
        instance: &str,
        records: &mut Vec<Record>,
    ) -> Result<Member, Refusal> {
        let Some(member) = self.members.get(old) else {
            return Ok(Member::new(Subscription::default()));
        };
        if member.current.epoch != LEAVES_FOR_NOW {
            let why = format!(
                "Static member {id} with instance id {instance} cannot join the group because the instance id is owned by {old}."
            );
            return refuse(ResponseError::UnreleasedInstanceId, why);
        }
        let mut member = (**member).clone();
        (member.current.epoch, member.current.previous_epoch) = (0, 0);
        if old != id {
            self.members.remove(old);
            super::forget(&self.id, old, records);
            let group = self.id.to_string();
            let value = Some(member.subscription.clone());
            records.push(Record::Member { group: group.clone(), member: id.to_string(), value });
            let value = Some(member.target.clone());
            records.push(Record::Target { group, member: id.to_string(), value });
            self.members.insert(Arc::clone(id), Arc::new(member.clone()));
        }
        Ok(member)
    }

    /// An administrator takes a member out, by its id or its instance's.
    pub(crate) fn expel(
        &mut self,
        member_id: &str,
        instance_id: Option<&str>,
    ) -> Result<Vec<Record>, ResponseError> {
        let id = match instance_id.map(|instance| self.statics.get(instance)) {
            Some(None) => return Err(ResponseError::UnknownMemberId),
            Some(Some(id)) if !member_id.is_empty() && **id != *member_id => {
                return Err(ResponseError::FencedInstanceId);
            }
            Some(Some(id)) => Arc::clone(id),
            None => Arc::from(member_id),
        };
        if !self.members.contains_key(&id) {
            return Err(ResponseError::UnknownMemberId);
        }
        let mut records = Vec::new();
        self.remove(&id, &mut records);
        self.raise(&mut records);
        Ok(records)
    }

    fn leave(&mut self, beat: &Beat) -> Result<(Beaten, Vec<Record>), Refusal> {
        let mut records = Vec::new();
        let unknown = || {
            refuse(
                ResponseError::UnknownMemberId,
                format!("Member {} is not a member of the group.", beat.member_id),
            )
        };
        if let Some(instance) = &beat.instance_id {
            let Some(existing) = self.statics.get(instance) else { return unknown() };
            if **existing != *beat.member_id {
                let why = format!("Static member {} was fenced by member {existing}.", beat.member_id);
                return refuse(ResponseError::FencedInstanceId, why);
            }
        }
        let Some(member) = self.members.get_mut(beat.member_id.as_str()) else { return unknown() };
        if beat.epoch == LEAVES_FOR_NOW && beat.instance_id.is_some() {
            let member = Arc::make_mut(member);
            member.current.epoch = LEAVES_FOR_NOW;
            member.current.revoking = Parts::new();
            member.current.progress = crate::groups::record::Progress::Stable;
            member.revoke_by = None;
            let (group, value) = (self.id.to_string(), Some(member.current.clone()));
            records.push(Record::Current { group, member: beat.member_id.clone(), value });
        } else {
            self.remove(&beat.member_id, &mut records);
            self.raise(&mut records);
        }
        let answer =
            Beaten { member_id: beat.member_id.clone(), epoch: beat.epoch, assignment: None, interval_ms: 0 };
        Ok((answer, records))
    }
}

/// The epoch must be the member's; or the one before, if the answer with the present one may have been lost.
fn check_epoch(member: &Member, beat: &Beat) -> Result<(), Refusal> {
    let current = &member.current;
    if beat.epoch > current.epoch {
        let why = format!(
            "The consumer group member has a greater member epoch ({}) than the one known by the group coordinator ({}). The member must abandon all its partitions and rejoin.",
            beat.epoch, current.epoch
        );
        return refuse(ResponseError::FencedMemberEpoch, why);
    }
    let owns_no_more = beat.owned.as_ref().is_some_and(|owned| without(owned, &current.assigned).is_empty());
    if beat.epoch < current.epoch && !(beat.epoch == current.previous_epoch && owns_no_more) {
        let why = format!(
            "The consumer group member has a smaller member epoch ({}) than the one known by the group coordinator ({}). The member must abandon all its partitions and rejoin.",
            beat.epoch, current.epoch
        );
        return refuse(ResponseError::FencedMemberEpoch, why);
    }
    Ok(())
}

fn subscription(before: &Subscription, beat: &Beat) -> Subscription {
    let mut next = before.clone();
    next.client_id.clone_from(&beat.client_id);
    next.client_host.clone_from(&beat.client_host);
    let set = |to: &mut Option<String>, from: &Option<String>| {
        if from.is_some() {
            to.clone_from(from);
        }
    };
    set(&mut next.instance_id, &beat.instance_id);
    set(&mut next.rack_id, &beat.rack_id);
    set(&mut next.assignor, &beat.assignor);
    set(&mut next.regex, &beat.regex);
    // An empty pattern takes the pattern back.
    next.regex = next.regex.filter(|pattern| !pattern.is_empty());
    if let Some(topics) = &beat.topics {
        next.topics.clone_from(topics);
    }
    if beat.rebalance_timeout_ms != -1 {
        next.rebalance_timeout_ms = beat.rebalance_timeout_ms;
    }
    next
}
