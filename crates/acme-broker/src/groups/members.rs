//! Requests of members: classic and consumer.

use super::classic::{self, Effect, State};
use super::consumer::{self, Beat, Beaten, Refusal};
use super::progress::Answers;
use super::record::Record;
use super::{Groups, Kind, Slot, Waiter, settled};
use crate::error::Code;
use kafka_protocol::messages::{JoinGroupResponse, SyncGroupResponse};
use std::hash::{BuildHasher, RandomState};
use tokio::sync::oneshot;

pub(crate) use super::classic::{Join as Joining, Sync as Syncing};

/// A random UUID, as member ids have it.
pub(crate) fn random_id() -> String {
    // The keys of a RandomState are the standard library's random numbers.
    let half = || RandomState::new().hash_one(0_u8);
    let bits = u128::from(half()) << 64 | u128::from(half());
    let version_4 = bits & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    uuid::Uuid::from_u128(version_4).to_string()
}

impl Groups {
    /// `JoinGroup`: answered when the group has gathered.
    pub(crate) async fn join(&self, id: &str, join: Joining) -> JoinGroupResponse {
        if id.is_empty() {
            return classic::join_error(&join.member_id, Code::InvalidGroupId);
        }
        let sessions = self.options.session_min_ms..=self.options.session_max_ms;
        if !sessions.contains(&join.session_timeout_ms) {
            return classic::join_error(&join.member_id, Code::InvalidSessionTimeout);
        }
        let (to, answer) = oneshot::channel();
        let (member_id, unknown) = (join.member_id.clone(), join.member_id.is_empty());
        let now = self.now();
        let found = self.with(id, unknown, |slot| {
            self.as_classic(id, slot)?;
            let token = self.waiter(slot, Waiter::Join(to));
            let Kind::Classic(group) = &mut slot.kind else {
                return Err(Code::InconsistentGroupProtocol);
            };
            let is_new = group.since_ms < 0 && group.state == State::Empty;
            let mut effects = group.join(join, token, now);
            if is_new && !effects.iter().any(|effect| matches!(effect, Effect::Store)) {
                // The group itself is known from its first member on.
                effects.insert(0, Effect::Store);
            }
            self.apply(id, slot, effects);
            Ok(())
        });
        match found {
            None => classic::join_error(&member_id, Code::UnknownMemberId),
            Some(Err(error)) => classic::join_error(&member_id, error),
            Some(Ok(())) => answer
                .await
                .unwrap_or_else(|_| classic::join_error(&member_id, Code::CoordinatorNotAvailable)),
        }
    }

    /// A consumer group that everybody has left may become a classic one.
    fn as_classic(&self, id: &str, slot: &mut Slot) -> Result<(), Code> {
        let Kind::Consumer(group) = &slot.kind else { return Ok(()) };
        if !group.members.is_empty() {
            return Err(Code::InconsistentGroupProtocol);
        }
        let records = group.tombstones();
        self.write(id, slot, &records)?;
        slot.kind = self.classic();
        Ok(())
    }

    /// `SyncGroup`: answered when the leader has assigned.
    pub(crate) async fn sync(&self, id: &str, sync: Syncing) -> SyncGroupResponse {
        let refused = |error: Code| SyncGroupResponse::default().with_error_code(error.code());
        if id.is_empty() {
            return refused(Code::InvalidGroupId);
        }
        let (to, answer) = oneshot::channel();
        let now = self.now();
        let known = self.with(id, false, |slot| {
            if !matches!(slot.kind, Kind::Classic(_)) {
                return false;
            }
            let token = self.waiter(slot, Waiter::Sync(to));
            let Kind::Classic(group) = &mut slot.kind else { return false };
            let effects = group.sync(sync, token, now);
            self.apply(id, slot, effects);
            true
        });
        if known != Some(true) {
            return refused(Code::UnknownMemberId);
        }
        answer.await.unwrap_or_else(|_| refused(Code::CoordinatorNotAvailable))
    }

    /// `Heartbeat`.
    pub(crate) fn heartbeat(
        &self,
        id: &str,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
    ) -> Result<(), Code> {
        if id.is_empty() {
            return Err(Code::InvalidGroupId);
        }
        let now = self.now();
        let beat = self.with(id, false, |slot| match &mut slot.kind {
            Kind::Classic(group) => group.heartbeat(member_id, instance_id, generation, now),
            Kind::Consumer(_) => Err(Code::UnknownMemberId),
        });
        beat.unwrap_or(Err(Code::UnknownMemberId))
    }

    /// `LeaveGroup`: an answer for each.
    pub(crate) async fn leave(
        &self,
        id: &str,
        members: &[(String, Option<String>)],
    ) -> Result<Vec<Result<(), Code>>, Code> {
        if id.is_empty() {
            return Err(Code::InvalidGroupId);
        }
        let now = self.now();
        let left = self.with(id, false, |slot| match &mut slot.kind {
            Kind::Classic(group) => {
                let (answers, effects) = group.leave(members, now);
                self.apply(id, slot, effects);
                Ok((answers, slot.last.clone()))
            }
            Kind::Consumer(_) => self.leave_consumer(id, slot, members),
        });
        let Some(left) = left else {
            return Ok(members.iter().map(|_| Err(Code::UnknownMemberId)).collect());
        };
        let (answers, last) = left?;
        settled(last).await?;
        Ok(answers)
    }

    /// An administrator takes members out of a consumer group.
    fn leave_consumer(
        &self,
        id: &str,
        slot: &mut Slot,
        members: &[(String, Option<String>)],
    ) -> Result<Answers, Code> {
        let Kind::Consumer(group) = &mut slot.kind else { return Err(Code::UnknownMemberId) };
        let before = group.clone();
        let (mut answers, mut records) = (Vec::new(), Vec::new());
        for (member_id, instance_id) in members {
            let left = group.expel(member_id, instance_id.as_deref());
            answers.push(left.map(|of| records.extend(of)));
        }
        match self.write(id, slot, &records) {
            Ok(last) => Ok((answers, last)),
            Err(error) => {
                slot.kind = Kind::Consumer(before);
                Err(error)
            }
        }
    }

    /// `ConsumerGroupHeartbeat`.
    pub(crate) async fn beat(&self, id: &str, beat: Beat) -> Result<Beaten, Refusal> {
        if id.trim().is_empty() {
            return Err((Code::InvalidRequest, "GroupId can't be empty.".to_owned()));
        }
        beat.check()?;
        let (catalog, now) = (self.catalog(), self.now());
        let beaten = self.with(id, beat.epoch == 0, |slot| {
            if beat.epoch == 0 {
                self.as_consumer(id, slot)?;
            }
            let Kind::Consumer(group) = &mut slot.kind else { return Err(not_consumer(id)) };
            let before = group.clone();
            let outcome = match group.heartbeat(&beat, &catalog, now) {
                Ok((beaten, records)) => match self.write(id, slot, &records) {
                    Ok(last) => Ok((beaten, last)),
                    Err(error) => Err((error, String::new())),
                },
                Err(refusal) => Err(refusal),
            };
            if outcome.is_err() {
                slot.kind = Kind::Consumer(before);
            }
            outcome
        });
        let (beaten, last) = beaten.unwrap_or_else(|| Err(not_consumer(id)))?;
        settled(last).await.map_err(|error| (error, String::new()))?;
        Ok(beaten)
    }

    /// A classic group that everybody has left may become a consumer group.
    fn as_consumer(&self, id: &str, slot: &mut Slot) -> Result<(), Refusal> {
        let Kind::Classic(group) = &slot.kind else { return Ok(()) };
        if !group.is_idle() {
            return Err((Code::GroupIdNotFound, format!("Group {id} is not a consumer group.")));
        }
        if group.since_ms >= 0 {
            let record = Record::Classic { group: id.to_owned(), value: None };
            self.write(id, slot, &[record]).map_err(|error| (error, String::new()))?;
        }
        slot.kind = Kind::Consumer(consumer::Group::new(id, self.times()));
        Ok(())
    }
}

fn not_consumer(id: &str) -> Refusal {
    (Code::GroupIdNotFound, format!("Group {id} not found."))
}

/// The id that a member is given: its own name in front, for people.
pub(crate) fn fresh_member_id(client_id: &str, instance_id: Option<&str>) -> String {
    format!("{}-{}", instance_id.unwrap_or(client_id), random_id())
}
