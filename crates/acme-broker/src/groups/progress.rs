//! Committed offsets: commit, in a transaction or not, fetch and delete.

use super::offsets::METADATA_MAX;
use super::record::{Committed, Record};
use super::{Groups, Kind, Slot, lock, settled};
use crate::codec::Entry;
use crate::error::Code;
use acme_log::Appended;
use acme_records::Stamp;

/// Who commits, as he says; without a generation or epoch (-1) somebody who is no member.
#[derive(Clone, Debug)]
pub(crate) struct Committer {
    pub(crate) member_id: String,
    pub(crate) instance_id: Option<String>,
    pub(crate) epoch: i32,
}

/// One offset to be committed.
#[derive(Clone, Debug)]
pub(crate) struct Commit {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) leader_epoch: i32,
    pub(crate) metadata: String,
}

/// Which offsets are wanted.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) group: String,
    pub(crate) member_id: Option<String>,
    pub(crate) member_epoch: i32,
    /// All, if none.
    pub(crate) topics: Option<Vec<(String, Vec<i32>)>>,
    /// An offset that a transaction may still change is not told (KIP-447).
    pub(crate) stable: bool,
}

/// An answer for each, and what must be on the disk before they go out.
pub(crate) type Answers = (Vec<Result<(), Code>>, Option<Appended>);

/// Offsets by topic and partition; none where nothing is committed.
pub(crate) type Fetched = Vec<(String, Vec<(i32, Result<Option<Committed>, Code>)>)>;

impl Groups {
    /// `OffsetCommit`: an answer for each, in order; the outer error is everybody's.
    pub(crate) async fn commit(
        &self,
        id: &str,
        by: &Committer,
        commits: Vec<Commit>,
        retention_ms: Option<i64>,
        version: i16,
    ) -> Result<Vec<Result<(), Code>>, Code> {
        let now = self.now();
        let done = self.with(id, by.epoch < 0, |slot| {
            match &mut slot.kind {
                Kind::Classic(group) => {
                    group.may_commit(&by.member_id, by.instance_id.as_deref(), by.epoch, false)?;
                    group.committed(&by.member_id, now);
                }
                Kind::Consumer(group) => {
                    if version < 9 && group.members.contains_key(by.member_id.as_str()) {
                        return Err(Code::UnsupportedVersion);
                    }
                    group.may_commit(&by.member_id, by.epoch)?;
                }
            }
            self.store_offsets(id, slot, commits, retention_ms, Stamp::NONE)
        });
        let missing = if version >= 9 { Code::GroupIdNotFound } else { Code::IllegalGeneration };
        let (answers, last) = done.unwrap_or(Err(missing))?;
        settled(last).await?;
        Ok(answers)
    }

    /// `TxnOffsetCommit`: what is written waits for the producer's marker. The caller holds the transaction open.
    pub(crate) fn commit_pending(
        &self,
        id: &str,
        by: &Committer,
        (producer_id, producer_epoch): (i64, i16),
        commits: Vec<Commit>,
    ) -> Result<Answers, Code> {
        let done = self.with(id, by.epoch < 0, |slot| {
            let may = match &slot.kind {
                Kind::Classic(group) => {
                    group.may_commit(&by.member_id, by.instance_id.as_deref(), by.epoch, true)
                }
                Kind::Consumer(group) => group.may_commit(&by.member_id, by.epoch),
            };
            may.map_err(|error| match error {
                Code::StaleMemberEpoch => Code::IllegalGeneration,
                error => error,
            })?;
            let stamp = Stamp { producer_id, producer_epoch, base_sequence: -1, is_transactional: true };
            self.store_offsets(id, slot, commits, None, stamp)
        });
        done.unwrap_or(Err(Code::IllegalGeneration))
    }

    fn store_offsets(
        &self,
        id: &str,
        slot: &mut Slot,
        commits: Vec<Commit>,
        retention_ms: Option<i64>,
        stamp: Stamp,
    ) -> Result<Answers, Code> {
        let at_ms = self.log.now_ms();
        let fits = |commit: &Commit| commit.metadata.chars().count() <= METADATA_MAX;
        let answers = commits
            .iter()
            .map(|commit| if fits(commit) { Ok(()) } else { Err(Code::OffsetMetadataTooLarge) })
            .collect();
        let kept: Vec<(String, i32, Committed)> = commits
            .into_iter()
            .filter(fits)
            .map(|commit| {
                let value = Committed {
                    offset: commit.offset,
                    leader_epoch: commit.leader_epoch,
                    metadata: commit.metadata,
                    at_ms,
                    expires_ms: retention_ms.map(|retention| at_ms.saturating_add(retention)),
                };
                (commit.topic, commit.partition, value)
            })
            .collect();
        if kept.is_empty() {
            return Ok((answers, None));
        }
        let entry = |(topic, partition, value): &(String, i32, Committed)| -> Entry {
            let (topic, value) = (topic.clone(), Some(value.clone()));
            Record::Offset { group: id.to_owned(), topic, partition: *partition, value }.entry()
        };
        let entries: Vec<Entry> = kept.iter().map(entry).collect();
        let appended = self.journal.append(id, &entries, stamp, at_ms)?;
        let producer = stamp.is_transactional.then_some(stamp.producer_id);
        for (offset, (topic, partition, value)) in (appended.base_offset..).zip(kept) {
            slot.offsets.replay(producer, offset, topic, partition, Some(value));
        }
        if let Some(producer) = producer {
            lock(&self.pending).entry(producer).or_default().insert(id.to_owned());
        }
        slot.last = Some(appended.clone());
        Ok((answers, Some(appended)))
    }

    /// `OffsetFetch`.
    pub(crate) async fn fetch(&self, asked: &Asked) -> Result<Fetched, Code> {
        let found = self.with(&asked.group, false, |slot| {
            if let Kind::Consumer(group) = &slot.kind
                && (asked.member_id.is_some() || asked.member_epoch >= 0)
            {
                group.has_epoch(asked.member_id.as_deref().unwrap_or_default(), asked.member_epoch)?;
            }
            Ok((fetched(slot, asked), slot.last.clone()))
        });
        let Some(found) = found else {
            let nothing =
                |partitions: &Vec<i32>| partitions.iter().map(|number| (*number, Ok(None))).collect();
            let topics = asked.topics.iter().flatten();
            return Ok(topics.map(|(topic, partitions)| (topic.clone(), nothing(partitions))).collect());
        };
        let (fetched, last) = found?;
        settled(last).await?;
        Ok(fetched)
    }

    /// `OffsetDelete`: an answer for each.
    pub(crate) async fn delete_offsets(
        &self,
        id: &str,
        parts: &[(String, i32)],
    ) -> Result<Vec<Result<(), Code>>, Code> {
        let topics = self.log.topics();
        let deleted = self.with(id, false, |slot| {
            if let Kind::Classic(group) = &slot.kind {
                group.may_delete_offsets()?;
            }
            let is_read = |topic: &str| match &slot.kind {
                Kind::Classic(group) => group.is_subscribed(topic),
                Kind::Consumer(group) => {
                    group.is_subscribed(topic, topics.named(topic).map(|topic| topic.id))
                }
            };
            let (mut answers, mut records) = (Vec::new(), Vec::new());
            for (topic, partition) in parts {
                if is_read(topic) {
                    answers.push(Err(Code::GroupSubscribedToTopic));
                    continue;
                }
                answers.push(Ok(()));
                if slot.offsets.has(topic, *partition) {
                    records.push(super::offsets::tombstone(id, topic, *partition));
                }
            }
            let last = self.write_tombstones(id, slot, &records)?;
            Ok((answers, last))
        });
        let (answers, last) = deleted.unwrap_or(Err(Code::GroupIdNotFound))?;
        settled(last).await?;
        Ok(answers)
    }

    /// Writes tombstones of offsets, and forgets these.
    pub(super) fn write_tombstones(
        &self,
        id: &str,
        slot: &mut Slot,
        records: &[Record],
    ) -> Result<Option<Appended>, Code> {
        let appended = self.write(id, slot, records)?;
        let base = appended.as_ref().map_or(0, |appended| appended.base_offset);
        for (offset, record) in (base..).zip(records) {
            if let Record::Offset { topic, partition, .. } = record {
                slot.offsets.replay(None, offset, topic.clone(), *partition, None);
            }
        }
        Ok(appended)
    }
}

fn fetched(slot: &Slot, asked: &Asked) -> Fetched {
    let one = |topic: &str, partition: i32| {
        if asked.stable && slot.offsets.is_unstable(topic, partition) {
            return (partition, Err(Code::UnstableOffsetCommit));
        }
        (partition, Ok(slot.offsets.get(topic, partition).cloned()))
    };
    match &asked.topics {
        Some(topics) => topics
            .iter()
            .map(|(topic, partitions)| {
                (topic.clone(), partitions.iter().map(|partition| one(topic, *partition)).collect())
            })
            .collect(),
        None => slot
            .offsets
            .all()
            .map(|(topic, of)| (topic.to_owned(), of.map(|(partition, _)| one(topic, partition)).collect()))
            .collect(),
    }
}
