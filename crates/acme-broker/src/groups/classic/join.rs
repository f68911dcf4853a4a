//! `JoinGroup`.

use super::{Effect, Group, MEMBERS_MAX, Member, State, Token, join_error, refuse, supports, text};
use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::JoinGroupResponse;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;

/// Who joins, as the request has it.
#[derive(Clone, Debug)]
pub(crate) struct Join {
    pub(crate) member_id: String,
    pub(crate) instance_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(crate) rebalance_timeout_ms: i32,
    pub(crate) session_timeout_ms: i32,
    pub(crate) protocol_type: String,
    pub(crate) protocols: Vec<(String, Bytes)>,
    /// From version 4 on a member is given its id before it joins (KIP-394).
    pub(crate) needs_id: bool,
    /// From version 9 on the leader may be told that everybody keeps what he has (KIP-814).
    pub(crate) may_skip: bool,
    /// The id that a member without one is given.
    pub(crate) fresh_id: String,
}

impl Group {
    /// A member joins; the answer comes now or later.
    pub(crate) fn join(&mut self, join: Join, token: Token, now: i64) -> Vec<Effect> {
        let mut effects = Vec::new();
        if !self.has_room_for(&join.member_id) {
            self.remove(&join.member_id, ResponseError::UnknownMemberId, &mut effects);
            effects.push(Effect::Joined(token, join_error("", ResponseError::GroupMaxSizeReached)));
        } else if !self.knows_protocols(&join) {
            let error = ResponseError::InconsistentGroupProtocol;
            effects.push(Effect::Joined(token, join_error(&join.member_id, error)));
        } else if join.member_id.is_empty() {
            self.join_new(join, token, now, &mut effects);
        } else {
            self.join_known(join, token, now, &mut effects);
        }
        effects
    }

    fn has_room_for(&self, member_id: &str) -> bool {
        self.members.contains_key(member_id)
            || self.pending.contains_key(member_id)
            || self.members.len() + self.pending.len() < MEMBERS_MAX
    }

    fn knows_protocols(&self, join: &Join) -> bool {
        if self.state == State::Empty {
            return !join.protocol_type.is_empty() && !join.protocols.is_empty();
        }
        let common = |name: &str| self.members.values().all(|member| supports(member, name));
        self.protocol_type.as_deref() == Some(join.protocol_type.as_str())
            && join.protocols.iter().any(|(name, _)| common(name))
    }

    fn join_new(&mut self, join: Join, token: Token, now: i64, effects: &mut Vec<Effect>) {
        let id = join.fresh_id.clone();
        let existing = join.instance_id.as_ref().and_then(|instance| self.statics.get(instance)).cloned();
        match existing {
            Some(old) => self.replace_static(&old, id, join, token, now, effects),
            None if join.instance_id.is_none() && join.needs_id => {
                self.pending.insert(id.clone(), now + i64::from(join.session_timeout_ms));
                effects.push(Effect::Joined(token, join_error(&id, ResponseError::MemberIdRequired)));
            }
            None => self.add(id, join, token, now, effects),
        }
    }

    fn add(&mut self, id: String, join: Join, token: Token, now: i64, effects: &mut Vec<Effect>) {
        if self.members.is_empty() {
            self.protocol_type = Some(join.protocol_type);
        }
        self.leader.get_or_insert_with(|| id.clone());
        if let Some(instance) = &join.instance_id {
            self.statics.insert(instance.clone(), id.clone());
        }
        self.pending.remove(&id);
        let member = Member {
            instance_id: join.instance_id,
            client_id: join.client_id,
            client_host: join.client_host,
            rebalance_timeout_ms: join.rebalance_timeout_ms,
            session_timeout_ms: join.session_timeout_ms,
            protocols: join.protocols,
            assignment: Bytes::new(),
            joining: Some(token),
            syncing: None,
            is_new: true,
            deadline: None,
        };
        self.members.insert(id.clone(), member);
        self.gathered = true;
        self.session(&id, now);
        self.rebalance(now, effects);
    }

    fn rebalance(&mut self, now: i64, effects: &mut Vec<Effect>) {
        match self.state {
            State::PreparingRebalance => self.maybe_complete_join(now, effects),
            _ => self.prepare(now, effects),
        }
    }

    fn join_known(&mut self, join: Join, token: Token, now: i64, effects: &mut Vec<Effect>) {
        let id = join.member_id.clone();
        if self.pending.contains_key(&id) {
            return self.add(id, join, token, now, effects);
        }
        if let Err(error) = self.validate(&id, join.instance_id.as_deref()) {
            let mut answer = join_error(&id, error);
            answer.protocol_name = None;
            return effects.push(Effect::Joined(token, answer));
        }
        let same = self.members.get(&id).is_some_and(|member| member.protocols == join.protocols);
        let leads = self.leader.as_deref() == Some(&id);
        match self.state {
            State::Empty => {
                effects.push(Effect::Joined(token, join_error(&id, ResponseError::UnknownMemberId)));
            }
            // It has not got the answer: the generation is told again.
            State::CompletingRebalance if same => {
                effects.push(Effect::Joined(token, self.joined(&id, leads)));
            }
            State::Stable if same && !leads => effects.push(Effect::Joined(token, self.joined(&id, false))),
            _ => {
                self.update(&id, join, token, now, effects);
                self.rebalance(now, effects);
            }
        }
    }

    fn update(&mut self, id: &str, join: Join, token: Token, now: i64, effects: &mut Vec<Effect>) {
        let Some(member) = self.members.get_mut(id) else { return };
        // An earlier request of its own that nobody waits for any more.
        if let Some(earlier) = member.joining.replace(token) {
            effects.push(Effect::Joined(earlier, join_error(id, ResponseError::RebalanceInProgress)));
        }
        member.protocols = join.protocols;
        member.rebalance_timeout_ms = join.rebalance_timeout_ms;
        member.session_timeout_ms = join.session_timeout_ms;
        self.session(id, now);
    }

    /// A static member that starts again takes its former place (KIP-345).
    fn replace_static(
        &mut self,
        old: &str,
        id: String,
        join: Join,
        token: Token,
        now: i64,
        effects: &mut Vec<Effect>,
    ) {
        let Some(mut member) = self.members.remove(old) else { return };
        refuse(&mut member, old, ResponseError::FencedInstanceId, effects);
        let leader = self.leader.clone();
        if leader.as_deref() == Some(old) {
            self.leader = Some(id.clone());
        }
        if self.pending_sync.remove(old) {
            self.pending_sync.insert(id.clone());
        }
        self.statics.extend(join.instance_id.clone().map(|instance| (instance, id.clone())));
        member.client_id.clone_from(&join.client_id);
        member.client_host.clone_from(&join.client_host);
        self.members.insert(id.clone(), member);
        let may_skip = join.may_skip;
        self.update(&id, join, token, now, effects);
        if self.state != State::Stable || self.select_protocol() != self.protocol {
            return self.rebalance(now, effects);
        }
        // It goes on with what it had: nobody else notices.
        let mut answer = self.joined(&id, may_skip && self.leader.as_deref() == Some(&id));
        answer.skip_assignment = may_skip && self.leader.as_deref() == Some(&id);
        if !may_skip {
            // Older clients would assign anew if they knew that they lead.
            answer.leader = text(leader.as_deref().unwrap_or_default());
        }
        if let Some(member) = self.members.get_mut(&id) {
            member.joining = None;
        }
        self.session(&id, now);
        effects.push(Effect::Store);
        effects.push(Effect::Joined(token, answer));
    }

    pub(super) fn listed(&self) -> Vec<JoinGroupResponseMember> {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let member = |(id, member): (&String, &Member)| {
            let mut listed = JoinGroupResponseMember::default();
            listed.member_id = text(id);
            listed.group_instance_id = member.instance_id.as_deref().map(text);
            listed.metadata = member.metadata(protocol);
            listed
        };
        self.members.iter().map(member).collect()
    }
}

/// The answer, as older versions of it must have it.
pub(crate) fn for_version(mut answer: JoinGroupResponse, version: i16) -> JoinGroupResponse {
    if version < 7 {
        answer.protocol_type = None;
        // Until version 6 the name may not be null.
        answer.protocol_name = Some(answer.protocol_name.unwrap_or_default());
    } else if answer.error_code != 0 {
        answer.protocol_name = None;
    }
    answer
}
