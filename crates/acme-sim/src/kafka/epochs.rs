//! The group's members by the protocol of KIP-848: the coordinator computes the shares, and moves a partition when its holder
//! reports that it has let go of it.
//!
//! Source: Kafka's `GroupMetadataManager` and `CurrentAssignmentBuilder`. All of it is written down before it is
//! answered, so another coordinator goes on where the last one was.

use super::wire::text;
use super::{Cluster, PARTITIONS, Plant, TOPIC_ID};
use acme_kafka::kafka_protocol::messages::consumer_group_heartbeat_response::{Assignment, TopicPartitions};
use acme_kafka::kafka_protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// After how much silence a member is given up.
const SESSION: Duration = Duration::from_secs(6);
const INTERVAL_MS: i32 = 500;

#[derive(Debug, Default)]
struct Member {
    epoch: i32,
    /// The epoch before, for who did not hear of the present one.
    previous: i32,
    patience: Duration,
    /// What it may have.
    assigned: BTreeSet<i32>,
    /// What it has to let go of, until then at the latest.
    revoking: BTreeSet<i32>,
    revoked_until: Option<Duration>,
    until: Duration,
}

/// What the coordinator knows of the members.
#[derive(Debug, Default)]
pub(super) struct Epochs {
    epoch: i32,
    members: BTreeMap<String, Member>,
    /// Who is to have each partition.
    target: BTreeMap<i32, String>,
}

impl Epochs {
    /// Another coordinator goes on.
    pub(super) fn load(&mut self, now: Duration) {
        self.members.values_mut().for_each(|member| member.until = now + SESSION);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    fn look(&mut self, now: Duration) {
        let late =
            |member: &Member| now >= member.until || member.revoked_until.is_some_and(|until| now >= until);
        let gone: Vec<String> =
            self.members.iter().filter(|(_, member)| late(member)).map(|(id, _)| id.clone()).collect();
        gone.iter().for_each(|id| self.remove(id));
    }

    fn remove(&mut self, id: &str) {
        if self.members.remove(id).is_some() {
            self.aim();
        }
    }

    /// Shares of the same size, that move as little as can be.
    fn aim(&mut self) {
        self.epoch += 1;
        self.target.retain(|_, owner| self.members.contains_key(owner));
        if self.members.is_empty() {
            return;
        }
        let all = usize::try_from(PARTITIONS).expect("some");
        let most = all.div_ceil(self.members.len());
        let mut counts: BTreeMap<&str, usize> = self.members.keys().map(|id| (id.as_str(), 0)).collect();
        let mut target = BTreeMap::new();
        for (partition, owner) in &self.target {
            let count = counts.get_mut(owner.as_str()).expect("a member");
            if *count < most {
                *count += 1;
                target.insert(*partition, owner.clone());
            }
        }
        for partition in 0..PARTITIONS {
            if !target.contains_key(&partition) {
                let (owner, count) = counts.iter_mut().min_by_key(|(_, count)| **count).expect("a member");
                *count += 1;
                target.insert(partition, (*owner).to_owned());
            }
        }
        self.target = target;
    }

    /// Whether somebody may commit.
    pub(super) fn may_commit(&mut self, id: &str, epoch: i32, now: Duration, plant: Plant) -> i16 {
        self.look(now);
        match self.members.get(id) {
            _ if plant == Plant::NoGenerations => 0,
            None => 25,
            Some(member) if member.epoch != epoch => 113,
            Some(_) => 0,
        }
    }

    fn beat(
        &mut self,
        request: &ConsumerGroupHeartbeatRequest,
        now: Duration,
        plant: Plant,
    ) -> Result<(i32, Option<BTreeSet<i32>>), i16> {
        self.look(now);
        let (id, epoch) = (request.member_id.as_str(), request.member_epoch);
        let owned: Option<BTreeSet<i32>> = request
            .topic_partitions
            .as_ref()
            .map(|topics| topics.iter().flat_map(|topic| topic.partitions.iter().copied()).collect());
        if epoch < 0 {
            if !self.members.contains_key(id) {
                return Err(25);
            }
            self.remove(id);
            return Ok((epoch, None));
        }
        if epoch == 0
            && (request.subscribed_topic_names.is_none() || !owned.as_ref().is_some_and(BTreeSet::is_empty))
        {
            return Err(42);
        }
        if epoch == 0 && !self.members.contains_key(id) {
            let patience = Duration::from_millis(u64::try_from(request.rebalance_timeout_ms).unwrap_or(0));
            let member = Member { patience, ..Member::default() };
            self.members.insert(id.to_owned(), member);
            self.aim();
        }
        let member = self.members.get_mut(id).ok_or(25_i16)?;
        let is_retry =
            epoch == member.previous && owned.as_ref().is_some_and(|owned| owned.is_subset(&member.assigned));
        // So one that was fenced and comes anew under its name waits for the end of its session.
        if epoch != member.epoch && !is_retry {
            return Err(110);
        }
        member.until = now + SESSION;
        let before = (member.assigned.clone(), member.epoch);
        self.reconcile(id, owned.as_ref(), now, plant);
        let member = &self.members[id];
        let tells = epoch == 0 || owned.is_some() || before != (member.assigned.clone(), member.epoch);
        Ok((member.epoch, tells.then(|| member.assigned.clone())))
    }

    /// Brings a member nearer to its target.
    fn reconcile(&mut self, id: &str, owned: Option<&BTreeSet<i32>>, now: Duration, plant: Plant) {
        let wanted: BTreeSet<i32> =
            self.target.iter().filter(|(_, owner)| *owner == id).map(|(partition, _)| *partition).collect();
        let others = self.members.iter().filter(|(other, _)| *other != id);
        let taken: BTreeSet<i32> =
            others.flat_map(|(_, member)| member.assigned.iter().chain(&member.revoking)).copied().collect();
        let (group, member) = (self.epoch, self.members.get_mut(id).expect("it speaks"));
        if !member.revoking.is_empty() {
            let lets_go = owned.is_some_and(|owned| owned.is_disjoint(&member.revoking));
            if !lets_go && plant != Plant::EarlyMove {
                return;
            }
            member.revoking.clear();
            member.revoked_until = None;
        }
        let goes: BTreeSet<i32> = member.assigned.difference(&wanted).copied().collect();
        let has = owned.is_none_or(|owned| !owned.is_disjoint(&goes));
        member.assigned.retain(|partition| wanted.contains(partition));
        if !goes.is_empty() && has {
            member.revoking = goes;
            member.revoked_until = Some(now + member.patience);
            return;
        }
        member.assigned.extend(wanted.difference(&taken));
        if member.epoch != group {
            (member.previous, member.epoch) = (member.epoch, group);
        }
    }
}

impl Cluster {
    pub(super) fn group_heartbeat(
        &self,
        broker: i32,
        request: &ConsumerGroupHeartbeatRequest,
    ) -> ConsumerGroupHeartbeatResponse {
        let (code, now) = (self.group_ready(broker), self.time.elapsed());
        let answer =
            ConsumerGroupHeartbeatResponse::default().with_member_id(Some(request.member_id.clone()));
        if code != 0 {
            return answer.with_error_code(code);
        }
        let plant = self.options.plant;
        match self.lock().group.epochs.beat(request, now, plant) {
            Err(code) => answer.with_error_code(code).with_error_message(Some(text("refused"))),
            Ok((epoch, assigned)) => {
                let assignment = assigned.map(|assigned| {
                    let topic = TopicPartitions::default().with_topic_id(TOPIC_ID);
                    let topic = topic.with_partitions(assigned.into_iter().collect());
                    let topics = if topic.partitions.is_empty() { Vec::new() } else { vec![topic] };
                    Assignment::default().with_topic_partitions(topics)
                });
                answer
                    .with_member_epoch(epoch)
                    .with_heartbeat_interval_ms(INTERVAL_MS)
                    .with_assignment(assignment)
            }
        }
    }
}
