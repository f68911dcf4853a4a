//! What administrators ask: describe, list and delete groups; and what time does to groups that nobody is in.

use super::classic::State;
use super::record::Record;
use super::{Groups, Kind, Shared, Slot, consumer, lock, settled};
use crate::error::Code;
use acme_log::Appended;
use bytes::Bytes;
use std::sync::Arc;

/// A member of a classic group as it is shown.
#[derive(Clone, Debug)]
pub(crate) struct ShownMember {
    pub(crate) member_id: String,
    pub(crate) instance_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(crate) metadata: Bytes,
    pub(crate) assignment: Bytes,
}

/// A classic group as it is shown.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    pub(crate) state: &'static str,
    pub(crate) protocol_type: String,
    pub(crate) protocol: String,
    pub(crate) members: Vec<ShownMember>,
}

/// A group in a list.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    pub(crate) id: String,
    pub(crate) protocol_type: String,
    pub(crate) state: &'static str,
    pub(crate) kind: &'static str,
}

impl Groups {
    fn all(&self) -> Vec<(String, Shared)> {
        lock(&self.table).iter().map(|(id, shared)| (id.clone(), Arc::clone(shared))).collect()
    }

    /// `DescribeGroups`; none if there is no classic group of that name.
    pub(crate) fn describe(&self, id: &str) -> Option<Shown> {
        self.with(id, false, |slot| {
            let Kind::Classic(group) = &slot.kind else { return None };
            let stable = group.state == State::Stable;
            let protocol = group.protocol.clone().filter(|_| stable).unwrap_or_default();
            let members = group.members.iter().map(|(id, member)| ShownMember {
                member_id: id.clone(),
                instance_id: member.instance_id.clone(),
                client_id: member.client_id.clone(),
                client_host: member.client_host.clone(),
                metadata: if stable { member.metadata(&protocol) } else { Bytes::new() },
                assignment: member.assignment.clone(),
            });
            Some(Shown {
                state: group.state.name(),
                protocol_type: group.protocol_type.clone().unwrap_or_default(),
                members: members.collect(),
                protocol,
            })
        })?
    }

    /// `ConsumerGroupDescribe`; none if there is no consumer group of that name.
    pub(crate) fn describe_consumer(&self, id: &str) -> Option<consumer::Group> {
        self.with(id, false, |slot| match &slot.kind {
            Kind::Consumer(group) => Some(group.clone()),
            Kind::Classic(_) => None,
        })?
    }

    /// `ListGroups`.
    pub(crate) fn list(&self) -> Vec<Listed> {
        let listed = |(id, shared): (String, Shared)| {
            let slot = lock(&shared);
            let (protocol_type, state, kind) = match &slot.kind {
                Kind::Classic(group) => {
                    (group.protocol_type.clone().unwrap_or_default(), group.state.name(), "classic")
                }
                Kind::Consumer(group) => ("consumer".to_owned(), group.state(), "consumer"),
            };
            (!slot.gone).then_some(Listed { id, protocol_type, state, kind })
        };
        self.all().into_iter().filter_map(listed).collect()
    }

    /// `DeleteGroups`, one of them.
    pub(crate) async fn delete(&self, id: &str) -> Result<(), Code> {
        let deleted = self.with(id, false, |slot| {
            if !slot.kind.is_empty() {
                return Err(Code::NonEmptyGroup);
            }
            self.remove(id, slot)
        });
        settled(deleted.unwrap_or(Err(Code::GroupIdNotFound))?).await
    }

    /// Takes a group out for good.
    fn remove(&self, id: &str, slot: &mut Slot) -> Result<Option<Appended>, Code> {
        let mut records = slot.offsets.tombstones(id);
        match &slot.kind {
            Kind::Classic(_) => records.push(Record::Classic { group: id.to_owned(), value: None }),
            Kind::Consumer(group) => records.extend(group.tombstones()),
        }
        let last = self.write(id, slot, &records)?;
        slot.gone = true;
        lock(&self.table).remove(id);
        Ok(last)
    }

    /// Offsets whose time is over go, and groups that have nothing any more.
    pub(super) fn clean(&self, now_ms: i64) {
        let topics = self.log.topics();
        for (id, _) in self.all() {
            self.with(&id, false, |slot| {
                let idle = slot.kind.is_empty();
                let since = match &slot.kind {
                    Kind::Classic(group) => (idle && group.protocol_type.is_some())
                        .then_some(group.since_ms)
                        .filter(|at| *at >= 0),
                    Kind::Consumer(_) => None,
                };
                let is_read = |topic: &str| match &slot.kind {
                    Kind::Classic(group) => group.is_subscribed(topic),
                    Kind::Consumer(group) => {
                        group.is_subscribed(topic, topics.named(topic).map(|topic| topic.id))
                    }
                };
                let readable = matches!(&slot.kind, Kind::Classic(group)
                    if !idle && group.protocol_type.as_deref() != Some(super::classic::CONSUMER));
                if !readable {
                    let records = slot.offsets.expired(&id, since, is_read, now_ms);
                    // What the disk refuses now is tried again next time.
                    let _ = self.write_tombstones(&id, slot, &records);
                }
                let pending = matches!(&slot.kind, Kind::Classic(group) if !group.is_idle());
                if slot.kind.is_empty() && !pending && slot.offsets.is_empty() {
                    let _ = self.remove(&id, slot);
                }
            });
        }
    }
}
