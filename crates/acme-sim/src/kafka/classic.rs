//! The group's members by the classic protocol: joins that wait for each other, and shares that one member computes.
//!
//! Source: Kafka's `GroupMetadataManager`; KIP-62, KIP-394. What a coordinator has not written down (a rebalance under
//! way) is lost when the group moves to another.

use super::wire::text;
use super::{Cluster, Plant};
use acme_kafka::kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use acme_kafka::kafka_protocol::messages::leave_group_response::MemberResponse;
use acme_kafka::kafka_protocol::messages::{
    HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest,
    LeaveGroupResponse, SyncGroupRequest, SyncGroupResponse,
};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Empty,
    /// Members join, until then at the latest.
    Preparing(Duration),
    /// The leader computes, until then at the latest.
    Completing(Duration),
    Stable,
}

#[derive(Clone, Debug)]
struct Member {
    session: Duration,
    /// How long the others wait for it.
    patience: Duration,
    protocols: Vec<(String, Bytes)>,
    /// It has joined the round that is under way.
    joined: bool,
    synced: bool,
    share: Bytes,
    /// When it is given up.
    until: Duration,
}

#[derive(Clone, Debug, Default)]
struct Written {
    generation: i32,
    phase: Phase,
    leader: String,
    members: BTreeMap<String, Member>,
}

/// What the coordinator knows of the members, and what of that is written down.
#[derive(Debug, Default)]
pub(super) struct Classic {
    now: Written,
    written: Written,
    /// Given out, and not used yet.
    ids: BTreeSet<String>,
    next_id: u64,
}

impl Classic {
    /// Another coordinator reads what was written.
    pub(super) fn load(&mut self, now: Duration) {
        self.now = self.written.clone();
        self.ids.clear();
        for member in self.now.members.values_mut() {
            member.until = now + member.session;
        }
    }

    fn write(&mut self) {
        self.written = self.now.clone();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.now.members.is_empty()
    }

    /// Does what time asks for.
    fn look(&mut self, now: Duration) {
        let group = &mut self.now;
        let waits = |member: &Member| match group.phase {
            Phase::Preparing(_) => member.joined,
            Phase::Completing(_) => member.synced,
            Phase::Empty | Phase::Stable => false,
        };
        let gone: Vec<String> = group
            .members
            .iter()
            .filter(|(_, member)| now >= member.until && !waits(member))
            .map(|(id, _)| id.clone())
            .collect();
        self.remove(&gone, now);
        match self.now.phase {
            Phase::Preparing(until) if now >= until || self.now.members.values().all(|one| one.joined) => {
                self.complete(now);
            }
            Phase::Completing(until) if now >= until => {
                let idle = self.now.members.iter().filter(|(_, member)| !member.synced);
                let idle: Vec<String> = idle.map(|(id, _)| id.clone()).collect();
                self.remove(&idle, now);
            }
            _ => {}
        }
    }

    fn remove(&mut self, ids: &[String], now: Duration) {
        let before = self.now.members.len();
        self.now.members.retain(|id, _| !ids.contains(id));
        if self.now.members.len() < before && !matches!(self.now.phase, Phase::Preparing(_)) {
            self.prepare(now);
        }
    }

    fn prepare(&mut self, now: Duration) {
        let group = &mut self.now;
        let longest = group.members.values().map(|member| member.patience).max().unwrap_or_default();
        group.phase = Phase::Preparing(now + longest);
        group.members.values_mut().for_each(|member| (member.joined, member.synced) = (false, false));
    }

    /// Who has joined is the next generation.
    fn complete(&mut self, now: Duration) {
        let group = &mut self.now;
        group.members.retain(|_, member| member.joined);
        group.generation += 1;
        let Some(first) = group.members.keys().next().cloned() else {
            group.phase = Phase::Empty;
            return self.write();
        };
        if !group.members.contains_key(&group.leader) {
            group.leader = first;
        }
        let longest = group.members.values().map(|member| member.patience).max().unwrap_or_default();
        group.phase = Phase::Completing(now + longest);
        group.members.values_mut().for_each(|member| member.until = now + member.session);
    }

    /// Enters a member, and says for which generation it waits.
    fn enter(&mut self, request: &JoinGroupRequest, now: Duration) -> Result<(String, i32), (i16, String)> {
        let mut id = request.member_id.to_string();
        if id.is_empty() {
            self.next_id += 1;
            id = format!("member-{}", self.next_id);
            self.ids.insert(id.clone());
            return Err((79, id));
        }
        let known = self.now.members.get(&id);
        if known.is_none() && !self.ids.remove(&id) {
            return Err((25, id));
        }
        let millis = |ms: i32| Duration::from_millis(u64::try_from(ms).unwrap_or(0));
        let protocols: Vec<(String, Bytes)> =
            request.protocols.iter().map(|it| (it.name.to_string(), it.metadata.clone())).collect();
        let is_same = known.is_some_and(|known| known.protocols == protocols);
        let share = known.map(|known| known.share.clone()).unwrap_or_default();
        let leads = self.now.leader == id && !self.now.members.is_empty();
        let session = millis(request.session_timeout_ms);
        let patience = millis(request.rebalance_timeout_ms);
        let member =
            Member { session, patience, protocols, joined: true, synced: false, share, until: now + session };
        self.now.members.insert(id.clone(), member);
        // Who repeats itself gets the present generation again.
        let again = match self.now.phase {
            Phase::Stable => is_same && !leads,
            Phase::Completing(_) => is_same,
            Phase::Empty | Phase::Preparing(_) => false,
        };
        if again {
            return Ok((id, self.now.generation));
        }
        if !matches!(self.now.phase, Phase::Preparing(_)) {
            self.prepare(now);
            self.now.members.get_mut(&id).expect("it was entered").joined = true;
        }
        Ok((id, self.now.generation + 1))
    }

    /// Whether a member of a generation may speak.
    fn check(&self, id: &str, generation: i32) -> i16 {
        match self.now.members.contains_key(id) {
            false => 25,
            true if generation != self.now.generation => 22,
            true => 0,
        }
    }

    /// Whether somebody may commit.
    pub(super) fn may_commit(&mut self, id: &str, generation: i32, now: Duration, plant: Plant) -> i16 {
        self.look(now);
        let code = self.check(id, generation);
        if plant == Plant::NoGenerations {
            return 0;
        }
        if code != 0 {
            return code;
        }
        if matches!(self.now.phase, Phase::Completing(_)) {
            return 27;
        }
        self.refresh(id, now);
        0
    }

    fn refresh(&mut self, id: &str, now: Duration) {
        if let Some(member) = self.now.members.get_mut(id) {
            member.until = now + member.session;
        }
    }

    fn joined(&self, id: String) -> JoinGroupResponse {
        let group = &self.now;
        let name = group.members[&id].protocols.first().map(|(name, _)| text(name));
        let metadata =
            |member: &Member| member.protocols.first().map(|(_, it)| it.clone()).unwrap_or_default();
        let members = group.members.iter().map(|(id, member)| {
            let one = JoinGroupResponseMember::default().with_member_id(text(id));
            one.with_metadata(metadata(member))
        });
        let members = if group.leader == id { members.collect() } else { Vec::new() };
        JoinGroupResponse::default()
            .with_generation_id(group.generation)
            .with_protocol_type(Some(text("consumer")))
            .with_protocol_name(name)
            .with_leader(text(&group.leader))
            .with_member_id(text(&id))
            .with_members(members)
    }

    /// The leader's shares, if it is the leader who says so.
    fn share_out(&mut self, request: &SyncGroupRequest, now: Duration) {
        let (id, group) = (request.member_id.as_str(), &mut self.now);
        if let Some(member) = group.members.get_mut(id) {
            (member.synced, member.until) = (true, now + member.session);
        }
        if id != group.leader || !matches!(group.phase, Phase::Completing(_)) {
            return;
        }
        for one in &request.assignments {
            if let Some(member) = group.members.get_mut(one.member_id.as_str()) {
                member.share = one.assignment.clone();
            }
        }
        group.phase = Phase::Stable;
        group.members.values_mut().for_each(|member| member.until = now + member.session);
        self.write();
    }
}

impl Cluster {
    pub(super) async fn join_group(&self, broker: i32, request: JoinGroupRequest) -> JoinGroupResponse {
        let refused = |code, id: &str| {
            JoinGroupResponse::default().with_error_code(code).with_generation_id(-1).with_member_id(text(id))
        };
        let code = self.group_ready(broker);
        if code != 0 {
            return refused(code, "");
        }
        let moves = self.lock().group.moves;
        let entered = self.lock().group.classic.enter(&request, self.time.elapsed());
        let (id, generation) = match entered {
            Ok(entered) => entered,
            Err((code, id)) => return refused(code, &id),
        };
        loop {
            {
                let mut state = self.lock();
                if state.group.moves != moves {
                    return refused(16, &id);
                }
                let classic = &mut state.group.classic;
                classic.look(self.time.elapsed());
                if !classic.now.members.contains_key(&id) {
                    return refused(25, &id);
                }
                if classic.now.generation > generation {
                    // A late request, whose round has passed.
                    return refused(22, &id);
                }
                if classic.now.generation == generation && !matches!(classic.now.phase, Phase::Preparing(_)) {
                    return classic.joined(id);
                }
            }
            self.time.sleep_ms(1 + self.time.below(20)).await;
        }
    }

    pub(super) async fn sync_group(&self, broker: i32, request: SyncGroupRequest) -> SyncGroupResponse {
        let refused = |code| SyncGroupResponse::default().with_error_code(code);
        let code = self.group_ready(broker);
        if code != 0 {
            return refused(code);
        }
        let moves = self.lock().group.moves;
        let mut is_first = true;
        loop {
            {
                let mut state = self.lock();
                if state.group.moves != moves {
                    return refused(16);
                }
                let classic = &mut state.group.classic;
                classic.look(self.time.elapsed());
                let code = classic.check(&request.member_id, request.generation_id);
                if code != 0 {
                    return refused(code);
                }
                if std::mem::take(&mut is_first) {
                    classic.share_out(&request, self.time.elapsed());
                }
                match classic.now.phase {
                    Phase::Stable => {
                        let share = classic.now.members[request.member_id.as_str()].share.clone();
                        return SyncGroupResponse::default()
                            .with_protocol_type(request.protocol_type)
                            .with_protocol_name(request.protocol_name)
                            .with_assignment(share);
                    }
                    Phase::Completing(_) => {}
                    Phase::Empty | Phase::Preparing(_) => return refused(27),
                }
            }
            self.time.sleep_ms(1 + self.time.below(20)).await;
        }
    }

    pub(super) fn heartbeat(&self, broker: i32, request: &HeartbeatRequest) -> HeartbeatResponse {
        let (mut code, now) = (self.group_ready(broker), self.time.elapsed());
        if code == 0 {
            let mut state = self.lock();
            let classic = &mut state.group.classic;
            classic.look(now);
            code = classic.check(&request.member_id, request.generation_id);
            if code == 0 {
                classic.refresh(&request.member_id, now);
                code = if matches!(classic.now.phase, Phase::Preparing(_)) { 27 } else { 0 };
            }
        }
        HeartbeatResponse::default().with_error_code(code)
    }

    pub(super) fn leave_group(&self, broker: i32, request: &LeaveGroupRequest) -> LeaveGroupResponse {
        let (code, now) = (self.group_ready(broker), self.time.elapsed());
        if code != 0 {
            return LeaveGroupResponse::default().with_error_code(code);
        }
        let mut state = self.lock();
        let classic = &mut state.group.classic;
        let members = request.members.iter().map(|member| {
            let is_known = classic.now.members.contains_key(member.member_id.as_str());
            classic.remove(&[member.member_id.to_string()], now);
            let one = MemberResponse::default().with_member_id(member.member_id.clone());
            one.with_error_code(if is_known { 0 } else { 25 })
        });
        LeaveGroupResponse::default().with_members(members.collect())
    }
}
