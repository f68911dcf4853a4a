//! The committed offsets of a group (OffsetCommit, OffsetFetch).

use super::GroupMetadata;
use crate::client::{Client, CoordinatorKind, Purpose, TopicPartition};
use crate::error::{Error, ErrorCode, Result};
use crate::wire::text;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::{
    GroupId, OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest, OffsetFetchResponse, TopicName,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A position to commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetAndMetadata {
    /// The next record to read.
    pub offset: i64,
    /// The leader epoch of the last record read, -1 if unknown (KIP-320).
    pub leader_epoch: i32,
    /// The committer's own note; brokers take 4,096 bytes unless told otherwise.
    pub metadata: String,
}

impl OffsetAndMetadata {
    /// A position without epoch and note.
    #[must_use]
    pub fn new(offset: i64) -> Self {
        Self { offset, leader_epoch: -1, metadata: String::new() }
    }
}

/// The committed positions of a group: those asked for that have one.
pub type Committed = BTreeMap<TopicPartition, OffsetAndMetadata>;

/// From this version on several groups are asked for at once (KIP-709).
const BATCHED: i16 = 8;

impl Client {
    /// Commits positions as `who`. Repeated while the coordinator moves or loads. Either all of them are committed, or
    /// an error says so; then some may be, if they were refused one by one (a note that is too long, a topic that is
    /// gone), and all of them if no answer came in time.
    ///
    /// # Errors
    /// [`Error::Broker`] with the first code that is none: ILLEGAL_GENERATION, STALE_MEMBER_EPOCH, UNKNOWN_MEMBER_ID and
    /// FENCED_INSTANCE_ID refuse the committer, REBALANCE_IN_PROGRESS asks it to join first.
    pub async fn commit_offsets(
        &self,
        who: &GroupMetadata,
        offsets: &[(TopicPartition, OffsetAndMetadata)],
    ) -> Result<()> {
        let request = commit_request(who, offsets);
        let mut tries = self.tries();
        loop {
            let response: OffsetCommitResponse = self
                .send_to_coordinator(
                    (CoordinatorKind::Group, &who.group),
                    Purpose::Control,
                    &request,
                    self.config().request_timeout,
                    first_code,
                )
                .await?;
            let Err(error) = check_commit(&response, who) else { return Ok(()) };
            tries.after(error).await?;
        }
    }

    /// What a group has committed: for these partitions, or for all. With `stable`, partitions with offsets in an open
    /// transaction are waited for (KIP-447): the last committed transaction counts, and no older one.
    ///
    /// # Errors
    /// What the coordinator says; UNSTABLE_OFFSET_COMMIT when a transaction stays open for `operation_timeout`.
    pub async fn committed(
        &self,
        group: &str,
        partitions: Option<&[TopicPartition]>,
        stable: bool,
    ) -> Result<Committed> {
        let mut tries = self.tries();
        loop {
            match self.committed_once(group, partitions, stable).await {
                Ok(committed) => return Ok(committed),
                Err(error) => {
                    if error.class() == crate::Class::Refresh {
                        self.forget_coordinator(CoordinatorKind::Group, group);
                    }
                    tries.after(error).await?;
                }
            }
        }
    }

    async fn committed_once(
        &self,
        group: &str,
        partitions: Option<&[TopicPartition]>,
        stable: bool,
    ) -> Result<Committed> {
        // The request looks different from one version on, so the connection is asked first.
        let broker = self.coordinator(CoordinatorKind::Group, group).await?;
        let connection = self.connection(broker, Purpose::Control).await?;
        let version = connection.version::<OffsetFetchRequest>()?;
        let request = fetch_request(group, partitions, version).with_require_stable(stable);
        let response = connection.send_at(&request, version, self.config().request_timeout).await?;
        read_committed(response, version, group)
    }
}

/// The partitions with what belongs to them, by topic.
fn by_topic<T>(all: impl Iterator<Item = (TopicPartition, T)>) -> BTreeMap<Arc<str>, Vec<(i32, T)>> {
    let mut topics: BTreeMap<Arc<str>, Vec<(i32, T)>> = BTreeMap::new();
    for (partition, value) in all {
        topics.entry(partition.topic).or_default().push((partition.partition, value));
    }
    topics
}

fn commit_request(
    who: &GroupMetadata,
    offsets: &[(TopicPartition, OffsetAndMetadata)],
) -> OffsetCommitRequest {
    let topics = by_topic(offsets.iter().map(|(partition, offset)| (partition.clone(), offset)));
    let topics = topics.into_iter().map(|(name, partitions)| {
        let partitions = partitions.into_iter().map(|(number, position)| {
            OffsetCommitRequestPartition::default()
                .with_partition_index(number)
                .with_committed_offset(position.offset)
                .with_committed_leader_epoch(position.leader_epoch)
                .with_committed_metadata(Some(text(&position.metadata)))
        });
        OffsetCommitRequestTopic::default()
            .with_name(TopicName(text(&name)))
            .with_partitions(partitions.collect())
    });
    OffsetCommitRequest::default()
        .with_group_id(GroupId(text(&who.group)))
        .with_generation_id_or_member_epoch(who.generation)
        .with_member_id(text(&who.member_id))
        .with_group_instance_id(who.instance_id.as_deref().map(text))
        .with_topics(topics.collect())
}

/// A commit has no code of its own: what concerns the whole group stands beside every partition.
fn first_code(response: &OffsetCommitResponse) -> ErrorCode {
    let codes =
        response.topics.iter().flat_map(|topic| &topic.partitions).map(|partition| partition.error_code);
    codes.map(ErrorCode).find(|code| !code.is_ok()).unwrap_or(ErrorCode::NONE)
}

fn check_commit(response: &OffsetCommitResponse, who: &GroupMetadata) -> Result<()> {
    for topic in &response.topics {
        for partition in &topic.partitions {
            let name = || format!("{}/{}", topic.name.as_str(), partition.partition_index);
            let what = || format!("offset commit of {} in group {}", name(), who.group);
            ErrorCode(partition.error_code).check(what)?;
        }
    }
    Ok(())
}

fn fetch_request(group: &str, partitions: Option<&[TopicPartition]>, version: i16) -> OffsetFetchRequest {
    use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
    let asked = partitions.map(|partitions| by_topic(partitions.iter().map(|it| (it.clone(), ()))));
    let numbers = |partitions: &[(i32, ())]| partitions.iter().map(|(number, ())| *number).collect();
    if version >= BATCHED {
        let topics = asked.map(|topics| {
            let topics = topics.iter().map(|(name, partitions)| {
                let topic = OffsetFetchRequestTopics::default().with_name(TopicName(text(name)));
                topic.with_partition_indexes(numbers(partitions))
            });
            topics.collect()
        });
        let group =
            OffsetFetchRequestGroup::default().with_group_id(GroupId(text(group))).with_topics(topics);
        return OffsetFetchRequest::default().with_groups(vec![group]);
    }
    let topics = asked.map(|topics| {
        let topics = topics.iter().map(|(name, partitions)| {
            let topic = OffsetFetchRequestTopic::default().with_name(TopicName(text(name)));
            topic.with_partition_indexes(numbers(partitions))
        });
        topics.collect()
    });
    OffsetFetchRequest::default().with_group_id(GroupId(text(group))).with_topics(topics)
}

fn read_committed(response: OffsetFetchResponse, version: i16, group: &str) -> Result<Committed> {
    let mut committed = Committed::new();
    let mut take = |topic: &str, number, code, offset, leader_epoch, metadata: Option<String>| {
        let partition = TopicPartition::new(topic, number);
        ErrorCode(code).check(|| format!("committed offset of {partition} in group {group}"))?;
        if offset >= 0 {
            let metadata = metadata.unwrap_or_default();
            committed.insert(partition, OffsetAndMetadata { offset, leader_epoch, metadata });
        }
        Ok::<_, Error>(())
    };
    let what = || format!("committed offsets of group {group}");
    if version >= BATCHED {
        for found in response.groups {
            ErrorCode(found.error_code).check(what)?;
            for topic in found.topics {
                for it in topic.partitions {
                    let note = it.metadata.map(|text| text.to_string());
                    let (offset, epoch) = (it.committed_offset, it.committed_leader_epoch);
                    take(&topic.name, it.partition_index, it.error_code, offset, epoch, note)?;
                }
            }
        }
        return Ok(committed);
    }
    ErrorCode(response.error_code).check(what)?;
    for topic in response.topics {
        for it in topic.partitions {
            let note = it.metadata.map(|text| text.to_string());
            let (offset, epoch) = (it.committed_offset, it.committed_leader_epoch);
            take(&topic.name, it.partition_index, it.error_code, offset, epoch, note)?;
        }
    }
    Ok(committed)
}
