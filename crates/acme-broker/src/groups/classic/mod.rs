//! The classic group protocol as a state machine: members join, a leader assigns, everybody syncs.
//!
//! No I/O and no clock: a call takes the time in ms (monotonic) and leaves [`Effect`]s; requests that must wait are
//! tokens, answered by an effect later. [`Group::deadline`] says when [`Group::tick`] has something to do. Sources: the
//! consumer rebalance protocol, KIP-134 (initial delay), KIP-345 (static members), KIP-394 (member ids), KIP-814
//! (`skip_assignment`).

mod join;
mod serve;

pub(crate) use join::{Join, for_version};
pub(crate) use serve::Sync;

use super::record;
use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{JoinGroupResponse, SyncGroupResponse};
use kafka_protocol::protocol::StrBytes;
use std::collections::{BTreeMap, BTreeSet};

/// A new member that waits for the rebalance is given up after so long, although it cannot send heartbeats.
const NEW_MEMBER_MS: i64 = 5 * 60_000;
/// Members and those about to be in one group, at most.
pub(crate) const MEMBERS_MAX: usize = 10_000;

/// A request that waits for an answer.
pub(crate) type Token = u64;

/// Where a group is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Empty,
    PreparingRebalance,
    CompletingRebalance,
    Stable,
}

impl State {
    /// As `DescribeGroups` shows it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
        }
    }
}

/// What the caller has to do, in this order.
#[derive(Clone, Debug)]
pub(crate) enum Effect {
    /// Write the group as it is now, before any of the answers goes out.
    Store,
    /// Answer a `JoinGroup`.
    Joined(Token, JoinGroupResponse),
    /// Answer a `SyncGroup`.
    Synced(Token, SyncGroupResponse),
}

/// A member.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) instance_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(crate) rebalance_timeout_ms: i32,
    pub(crate) session_timeout_ms: i32,
    /// Name and metadata, the preferred first.
    pub(crate) protocols: Vec<(String, Bytes)>,
    pub(crate) assignment: Bytes,
    joining: Option<Token>,
    syncing: Option<Token>,
    is_new: bool,
    /// When its session ends; none while it waits for an answer.
    deadline: Option<i64>,
}

impl Member {
    pub(crate) fn metadata(&self, protocol: &str) -> Bytes {
        self.protocols
            .iter()
            .find(|(name, _)| name == protocol)
            .map_or_else(Bytes::new, |(_, bytes)| bytes.clone())
    }
}

/// What the group waits for as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Timer {
    None,
    /// The first members gather; the time that may still be added.
    Initial {
        at: i64,
        remaining: i64,
    },
    /// All members must have come again.
    Join(i64),
    /// All members must have synced.
    Sync(i64),
}

/// A group.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) state: State,
    pub(crate) generation: i32,
    pub(crate) protocol_type: Option<String>,
    pub(crate) protocol: Option<String>,
    pub(crate) leader: Option<String>,
    pub(crate) members: BTreeMap<String, Member>,
    statics: BTreeMap<String, String>,
    /// Ids that were given out and have not joined (KIP-394): until when.
    pending: BTreeMap<String, i64>,
    pending_sync: BTreeSet<String>,
    timer: Timer,
    gathered: bool,
    /// When the state was last stored, ms of the wall clock: since then it may be empty.
    pub(crate) since_ms: i64,
    initial_delay_ms: i64,
}

impl Group {
    /// Nobody in it.
    pub(crate) fn new(initial_delay_ms: i64) -> Self {
        Self {
            state: State::Empty,
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            statics: BTreeMap::new(),
            pending: BTreeMap::new(),
            pending_sync: BTreeSet::new(),
            timer: Timer::None,
            gathered: false,
            since_ms: -1,
            initial_delay_ms,
        }
    }

    /// As it was stored. Its members have a whole session to be heard of.
    pub(crate) fn load(stored: record::Classic, initial_delay_ms: i64, now: i64) -> Self {
        let mut group = Self::new(initial_delay_ms);
        group.generation = stored.generation;
        group.protocol_type = Some(stored.protocol_type).filter(|kind| !kind.is_empty());
        group.protocol.clone_from(&stored.protocol);
        group.leader = stored.leader;
        group.since_ms = stored.since_ms;
        for member in stored.members {
            if let Some(instance) = &member.instance_id {
                group.statics.insert(instance.clone(), member.member_id.clone());
            }
            let loaded = Member {
                instance_id: member.instance_id,
                client_id: member.client_id,
                client_host: member.client_host,
                rebalance_timeout_ms: member.rebalance_timeout_ms,
                session_timeout_ms: member.session_timeout_ms,
                protocols: vec![(stored.protocol.clone().unwrap_or_default(), member.subscription)],
                assignment: member.assignment,
                joining: None,
                syncing: None,
                is_new: false,
                deadline: Some(now + i64::from(member.session_timeout_ms)),
            };
            group.members.insert(member.member_id, loaded);
        }
        group.state = if group.members.is_empty() { State::Empty } else { State::Stable };
        group
    }

    /// What is to be stored of it.
    pub(crate) fn stored(&self, wall_ms: i64) -> record::Classic {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let member = |(id, member): (&String, &Member)| record::ClassicMember {
            member_id: id.clone(),
            instance_id: member.instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            rebalance_timeout_ms: member.rebalance_timeout_ms,
            session_timeout_ms: member.session_timeout_ms,
            subscription: member.metadata(protocol),
            assignment: member.assignment.clone(),
        };
        // A generation that is still being made survives no restart: its members join again.
        let complete = self.state == State::Stable;
        record::Classic {
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            generation: self.generation,
            protocol: self.protocol.clone().filter(|_| complete),
            leader: self.leader.clone().filter(|_| complete),
            since_ms: wall_ms,
            members: self.members.iter().filter(|_| complete).map(member).collect(),
        }
    }

    /// Whether it has nothing that anybody would miss.
    pub(crate) fn is_idle(&self) -> bool {
        self.state == State::Empty && self.pending.is_empty()
    }

    /// Whether one of its members reads the topic; members of other kinds than consumers tell nobody.
    pub(crate) fn is_subscribed(&self, topic: &str) -> bool {
        if self.protocol_type.as_deref() != Some(CONSUMER) {
            return false;
        }
        self.members.values().any(|member| {
            let protocol =
                self.protocol.as_deref().or(member.protocols.first().map(|(name, _)| name.as_str()));
            let metadata = member.metadata(protocol.unwrap_or_default());
            // What cannot be read may name any topic.
            topics(&metadata).is_none_or(|topics| topics.iter().any(|name| name == topic))
        })
    }

    /// When [`Self::tick`] is due.
    pub(crate) fn deadline(&self) -> Option<i64> {
        let timer = match self.timer {
            Timer::None => None,
            Timer::Initial { at, .. } | Timer::Join(at) | Timer::Sync(at) => Some(at),
        };
        let members = self.members.values().filter_map(|member| member.deadline);
        members.chain(self.pending.values().copied()).chain(timer).min()
    }

    /// Time has passed.
    pub(crate) fn tick(&mut self, now: i64) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.pending.retain(|_, at| *at > now);
        let over = |member: &Member| member.deadline.is_some_and(|at| at <= now);
        let dead: Vec<String> =
            self.members.iter().filter(|(_, member)| over(member)).map(|(id, _)| id.clone()).collect();
        for id in &dead {
            self.remove(id, ResponseError::UnknownMemberId, &mut effects);
        }
        if dead.is_empty() {
            // An id that nobody came with was all that was waited for.
            self.maybe_complete_join(now, &mut effects);
        } else {
            self.after_leaving(now, &mut effects);
        }
        match self.timer {
            Timer::Initial { at, remaining } if at <= now => {
                if self.gathered && remaining > 0 {
                    self.gathered = false;
                    let delay = self.initial_delay_ms.min(remaining);
                    self.timer = Timer::Initial { at: now + delay, remaining: remaining - delay };
                } else {
                    self.complete_join(now, &mut effects);
                }
            }
            Timer::Join(at) if at <= now => self.complete_join(now, &mut effects),
            Timer::Sync(at) if at <= now => {
                self.timer = Timer::None;
                for id in std::mem::take(&mut self.pending_sync) {
                    self.remove(&id, ResponseError::UnknownMemberId, &mut effects);
                }
                self.prepare(now, &mut effects);
            }
            _ => {}
        }
        effects
    }

    /// Kafka's check of a member that says who it is.
    pub(crate) fn validate(&self, member_id: &str, instance_id: Option<&str>) -> Result<(), ResponseError> {
        if let Some(instance) = instance_id {
            match self.statics.get(instance) {
                None => return Err(ResponseError::UnknownMemberId),
                Some(current) if current != member_id => return Err(ResponseError::FencedInstanceId),
                Some(_) => {}
            }
        }
        if self.members.contains_key(member_id) { Ok(()) } else { Err(ResponseError::UnknownMemberId) }
    }

    fn session(&mut self, member_id: &str, now: i64) {
        if let Some(member) = self.members.get_mut(member_id) {
            member.deadline = match (member.joining, member.syncing) {
                (Some(_), _) if member.is_new => Some(now + NEW_MEMBER_MS),
                (Some(_), _) | (_, Some(_)) => None,
                _ => Some(now + i64::from(member.session_timeout_ms)),
            };
        }
    }

    /// Takes a member out; whatever it waits for is answered with the error.
    fn remove(&mut self, id: &str, error: ResponseError, effects: &mut Vec<Effect>) {
        let Some(mut member) = self.members.remove(id) else { return };
        // Kafka tells one that is thrown out while it joins to come with no id at all.
        refuse(&mut member, "", error, effects);
        if let Some(instance) = &member.instance_id
            && self.statics.get(instance).is_some_and(|current| current == id)
        {
            self.statics.remove(instance);
        }
        self.pending_sync.remove(id);
        if self.leader.as_deref() == Some(id) {
            self.leader = self.members.keys().next().cloned();
        }
    }

    fn after_leaving(&mut self, now: i64, effects: &mut Vec<Effect>) {
        match self.state {
            State::Stable | State::CompletingRebalance => self.prepare(now, effects),
            State::PreparingRebalance => self.maybe_complete_join(now, effects),
            State::Empty => {}
        }
    }

    fn rebalance_timeout(&self) -> i64 {
        self.members.values().map(|member| i64::from(member.rebalance_timeout_ms)).max().unwrap_or(0)
    }

    /// A new generation begins to be made.
    fn prepare(&mut self, now: i64, effects: &mut Vec<Effect>) {
        if self.state == State::CompletingRebalance {
            for member in self.members.values_mut() {
                member.assignment = Bytes::new();
            }
            self.refuse_syncs(ResponseError::RebalanceInProgress, now, effects);
        }
        self.pending_sync.clear();
        let first = self.state == State::Empty;
        self.state = State::PreparingRebalance;
        if first {
            let delay = self.initial_delay_ms;
            let remaining = (self.rebalance_timeout() - delay).max(0);
            self.gathered = false;
            self.timer = Timer::Initial { at: now + delay, remaining };
            if delay == 0 && self.pending.is_empty() {
                self.complete_join(now, effects);
            }
        } else {
            self.timer = Timer::Join(now + self.rebalance_timeout());
            self.maybe_complete_join(now, effects);
        }
    }

    fn refuse_syncs(&mut self, error: ResponseError, now: i64, effects: &mut Vec<Effect>) {
        let waiting: Vec<String> = self
            .members
            .iter()
            .filter(|(_, member)| member.syncing.is_some())
            .map(|(id, _)| id.clone())
            .collect();
        for id in waiting {
            if let Some(token) = self.members.get_mut(&id).and_then(|member| member.syncing.take()) {
                effects
                    .push(Effect::Synced(token, SyncGroupResponse::default().with_error_code(error.code())));
            }
            self.session(&id, now);
        }
    }

    /// What was to be stored could not be: nobody gets an assignment, and the members try again.
    pub(crate) fn not_stored(&mut self, now: i64) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.refuse_syncs(ResponseError::CoordinatorNotAvailable, now, &mut effects);
        if self.state != State::Empty && self.state != State::PreparingRebalance {
            self.prepare(now, &mut effects);
        }
        effects
    }

    fn maybe_complete_join(&mut self, now: i64, effects: &mut Vec<Effect>) {
        let everybody =
            self.pending.is_empty() && self.members.values().all(|member| member.joining.is_some());
        if self.state == State::PreparingRebalance && matches!(self.timer, Timer::Join(_)) && everybody {
            self.complete_join(now, effects);
        }
    }

    fn complete_join(&mut self, now: i64, effects: &mut Vec<Effect>) {
        let late = |member: &Member| member.joining.is_none() && member.instance_id.is_none();
        let late: Vec<String> =
            self.members.iter().filter(|(_, member)| late(member)).map(|(id, _)| id.clone()).collect();
        for id in late {
            self.remove(&id, ResponseError::UnknownMemberId, effects);
        }
        let has_joined = |id: &String| self.members.get(id).is_some_and(|member| member.joining.is_some());
        if !self.leader.as_ref().is_some_and(has_joined) {
            match self.members.iter().find(|(_, member)| member.joining.is_some()) {
                Some((id, _)) => self.leader = Some(id.clone()),
                None if !self.members.is_empty() => {
                    // Static members only, and none is there: they are waited for once more.
                    self.timer = Timer::Join(now + self.rebalance_timeout());
                    return;
                }
                None => {}
            }
        }
        self.generation = self.generation.wrapping_add(1).max(1);
        self.pending_sync.clear();
        if self.members.is_empty() {
            (self.state, self.timer, self.protocol, self.leader) = (State::Empty, Timer::None, None, None);
            effects.push(Effect::Store);
            return;
        }
        self.protocol = self.select_protocol();
        self.state = State::CompletingRebalance;
        self.timer = Timer::Sync(now + self.rebalance_timeout());
        for id in self.members.keys().cloned().collect::<Vec<_>>() {
            let answer = self.joined(&id, self.leader.as_deref() == Some(&id));
            if let Some(member) = self.members.get_mut(&id) {
                member.is_new = false;
                effects.extend(member.joining.take().map(|token| Effect::Joined(token, answer)));
            }
            self.pending_sync.insert(id.clone());
            self.session(&id, now);
        }
    }

    fn joined(&self, member_id: &str, with_members: bool) -> JoinGroupResponse {
        let mut answer = JoinGroupResponse::default();
        answer.generation_id = self.generation;
        answer.protocol_type = self.protocol_type.as_deref().map(text);
        answer.protocol_name = self.protocol.as_deref().map(text);
        answer.leader = text(self.leader.as_deref().unwrap_or_default());
        answer.member_id = text(member_id);
        if with_members {
            answer.members = self.listed();
        }
        answer
    }

    /// The protocol that all members know and most prefer.
    fn select_protocol(&self) -> Option<String> {
        let all = |name: &str| self.members.values().all(|member| supports(member, name));
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for member in self.members.values() {
            if let Some((name, _)) = member.protocols.iter().find(|(name, _)| all(name)) {
                *votes.entry(name).or_default() += 1;
            }
        }
        let best = votes.values().copied().max()?;
        votes.into_iter().find(|(_, count)| *count == best).map(|(name, _)| name.to_owned())
    }
}

/// The type of groups whose metadata can be read.
pub(crate) const CONSUMER: &str = "consumer";

fn supports(member: &Member, protocol: &str) -> bool {
    member.protocols.iter().any(|(name, _)| name == protocol)
}

fn refuse(member: &mut Member, id: &str, error: ResponseError, effects: &mut Vec<Effect>) {
    if let Some(token) = member.joining.take() {
        effects.push(Effect::Joined(token, join_error(id, error)));
    }
    if let Some(token) = member.syncing.take() {
        effects.push(Effect::Synced(token, SyncGroupResponse::default().with_error_code(error.code())));
    }
}

/// A `JoinGroup` that is refused.
pub(crate) fn join_error(member_id: &str, error: ResponseError) -> JoinGroupResponse {
    let mut answer = JoinGroupResponse::default();
    answer.error_code = error.code();
    answer.generation_id = -1;
    answer.member_id = text(member_id);
    answer.protocol_name = Some(StrBytes::default());
    answer
}

pub(crate) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// The topics of a consumer's subscription: `ConsumerProtocolSubscription`, of which every version begins alike.
fn topics(metadata: &[u8]) -> Option<Vec<String>> {
    let mut reader = crate::codec::Reader::new(metadata);
    reader.i16().ok()?;
    reader.list(crate::codec::Reader::string).ok()
}

#[cfg(test)]
mod tests;
