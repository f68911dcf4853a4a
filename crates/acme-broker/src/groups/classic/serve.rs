//! `SyncGroup`, `Heartbeat`, `LeaveGroup`, and who may commit offsets.

use super::{CONSUMER, Effect, Group, State, Timer, Token, text};
use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::SyncGroupResponse;
use std::collections::BTreeMap;

/// A `SyncGroup` as the request has it.
#[derive(Clone, Debug)]
pub(crate) struct Sync {
    pub(crate) member_id: String,
    pub(crate) instance_id: Option<String>,
    pub(crate) generation: i32,
    pub(crate) protocol_type: Option<String>,
    pub(crate) protocol: Option<String>,
    pub(crate) assignments: BTreeMap<String, Bytes>,
}

impl Group {
    /// A member wants its assignment; the leader brings everybody's.
    pub(crate) fn sync(&mut self, mut sync: Sync, token: Token, now: i64) -> Vec<Effect> {
        let refused = |error: ResponseError| {
            vec![Effect::Synced(token, SyncGroupResponse::default().with_error_code(error.code()))]
        };
        if let Err(error) = self.check_sync(&sync) {
            return refused(error);
        }
        let id = sync.member_id.clone();
        match self.state {
            State::Empty => return refused(ResponseError::UnknownMemberId),
            State::PreparingRebalance => return refused(ResponseError::RebalanceInProgress),
            State::Stable => {
                self.synced_from(&id);
                self.session(&id, now);
                return vec![Effect::Synced(token, self.assignment(&id))];
            }
            State::CompletingRebalance => {}
        }
        let mut effects = Vec::new();
        if let Some(member) = self.members.get_mut(&id)
            && let Some(earlier) = member.syncing.replace(token)
        {
            let error = ResponseError::RebalanceInProgress.code();
            effects.push(Effect::Synced(earlier, SyncGroupResponse::default().with_error_code(error)));
        }
        self.synced_from(&id);
        self.session(&id, now);
        if self.leader.as_deref() == Some(&id) {
            for (member_id, member) in &mut self.members {
                member.assignment = sync.assignments.remove(member_id).unwrap_or_default();
            }
            self.state = State::Stable;
            effects.push(Effect::Store);
            for id in self.members.keys().cloned().collect::<Vec<_>>() {
                let answer = self.assignment(&id);
                if let Some(token) = self.members.get_mut(&id).and_then(|member| member.syncing.take()) {
                    effects.push(Effect::Synced(token, answer));
                    self.session(&id, now);
                }
            }
        }
        effects
    }

    fn check_sync(&self, sync: &Sync) -> Result<(), ResponseError> {
        if self.state == State::Empty {
            return Err(ResponseError::UnknownMemberId);
        }
        self.validate(&sync.member_id, sync.instance_id.as_deref())?;
        if sync.generation != self.generation {
            return Err(ResponseError::IllegalGeneration);
        }
        let differs = |asked: &Option<String>, ours: &Option<String>| {
            asked.is_some() && ours.is_some() && asked != ours
        };
        if differs(&sync.protocol_type, &self.protocol_type) || differs(&sync.protocol, &self.protocol) {
            return Err(ResponseError::InconsistentGroupProtocol);
        }
        Ok(())
    }

    fn synced_from(&mut self, id: &str) {
        self.pending_sync.remove(id);
        if self.pending_sync.is_empty() && matches!(self.timer, Timer::Sync(_)) {
            self.timer = Timer::None;
        }
    }

    fn assignment(&self, id: &str) -> SyncGroupResponse {
        let mut answer = SyncGroupResponse::default();
        answer.protocol_type = self.protocol_type.as_deref().map(text);
        answer.protocol_name = self.protocol.as_deref().map(text);
        answer.assignment = self.members.get(id).map_or_else(Bytes::new, |member| member.assignment.clone());
        answer
    }

    /// A member is alive.
    pub(crate) fn heartbeat(
        &mut self,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
        now: i64,
    ) -> Result<(), ResponseError> {
        self.validate(member_id, instance_id)?;
        if generation != self.generation {
            return Err(ResponseError::IllegalGeneration);
        }
        self.session(member_id, now);
        match self.state {
            State::Empty => Err(ResponseError::UnknownMemberId),
            State::PreparingRebalance => Err(ResponseError::RebalanceInProgress),
            State::CompletingRebalance | State::Stable => Ok(()),
        }
    }

    /// Members leave, or are taken out by their instance id; one answer for each, in order.
    pub(crate) fn leave(
        &mut self,
        members: &[(String, Option<String>)],
        now: i64,
    ) -> (Vec<Result<(), ResponseError>>, Vec<Effect>) {
        let (mut answers, mut effects) = (Vec::new(), Vec::new());
        for (member_id, instance_id) in members {
            answers.push(self.leave_one(member_id, instance_id.as_deref(), &mut effects));
        }
        if answers.iter().any(Result::is_ok) {
            self.after_leaving(now, &mut effects);
        }
        (answers, effects)
    }

    fn leave_one(
        &mut self,
        member_id: &str,
        instance_id: Option<&str>,
        effects: &mut Vec<Effect>,
    ) -> Result<(), ResponseError> {
        let id = if member_id.is_empty() {
            let instance = instance_id.ok_or(ResponseError::UnknownMemberId)?;
            self.statics.get(instance).cloned().ok_or(ResponseError::UnknownMemberId)?
        } else if self.pending.remove(member_id).is_some() {
            return Ok(());
        } else {
            self.validate(member_id, instance_id)?;
            member_id.to_owned()
        };
        self.remove(&id, ResponseError::UnknownMemberId, effects);
        Ok(())
    }

    /// Whether this member may commit offsets now.
    pub(crate) fn may_commit(
        &self,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
        in_transaction: bool,
    ) -> Result<(), ResponseError> {
        // Without a generation it is a tool, or a consumer with its own assignment.
        if generation < 0 && self.state == State::Empty {
            return Ok(());
        }
        if generation >= 0 || !member_id.is_empty() || instance_id.is_some() {
            self.validate(member_id, instance_id)?;
            if generation != self.generation {
                return Err(ResponseError::IllegalGeneration);
            }
        } else if !in_transaction && self.state != State::Empty {
            return Err(ResponseError::UnknownMemberId);
        }
        if !in_transaction && self.state == State::CompletingRebalance {
            return Err(ResponseError::RebalanceInProgress);
        }
        Ok(())
    }

    /// A commit keeps a session alive as a heartbeat does.
    pub(crate) fn committed(&mut self, member_id: &str, now: i64) {
        if matches!(self.state, State::Stable | State::PreparingRebalance) {
            self.session(member_id, now);
        }
    }

    /// Whether offsets may be deleted: of groups that are no consumers' only while nobody is in them.
    pub(crate) fn may_delete_offsets(&self) -> Result<(), ResponseError> {
        match self.state {
            State::Empty => Ok(()),
            _ if self.protocol_type.as_deref() == Some(CONSUMER) => Ok(()),
            _ => Err(ResponseError::NonEmptyGroup),
        }
    }
}
