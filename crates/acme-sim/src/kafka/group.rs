//! Coordinators, and the offsets of the one group.

use super::classic::Classic;
use super::epochs::Epochs;
use super::wire::text;
use super::{Cluster, Plant, TOPIC, index};
use acme_kafka::kafka_protocol::messages::find_coordinator_response::Coordinator;
use acme_kafka::kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use acme_kafka::kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use acme_kafka::kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use acme_kafka::kafka_protocol::messages::{
    FindCoordinatorRequest, FindCoordinatorResponse, GroupId, OffsetCommitRequest, OffsetCommitResponse,
    OffsetFetchRequest, OffsetFetchResponse, TopicName, TxnOffsetCommitRequest, TxnOffsetCommitResponse,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Offset, leader epoch, note.
type Committed = (i64, i32, String);

/// What the coordinator of the group keeps.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) coordinator: i32,
    pub(super) loads_until: Duration,
    pub(super) committed: BTreeMap<i32, Committed>,
    /// Offsets in open transactions, by producer.
    pending: BTreeMap<i64, BTreeMap<i32, Committed>>,
    pub(super) classic: Classic,
    pub(super) epochs: Epochs,
    /// How often it has changed its coordinator: whoever waits then waits in vain.
    pub(super) moves: u64,
    commits: Vec<Commit>,
}

/// A commit that the coordinator took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The partition.
    pub partition: i32,
    /// The position.
    pub offset: i64,
    /// The committer's note.
    pub note: String,
    /// The committer, empty if it was no member.
    pub member: String,
}

impl Group {
    /// A transaction ends.
    pub(super) fn end(&mut self, producer: i64, commits: bool) {
        let pending = self.pending.remove(&producer).unwrap_or_default();
        if commits {
            self.committed.extend(pending);
        }
    }

    /// Another broker coordinates, or the same one after its death.
    pub(super) fn load(&mut self, broker: i32, now: Duration, until: Duration) {
        (self.coordinator, self.loads_until) = (broker, until);
        self.moves += 1;
        self.classic.load(now);
        self.epochs.load(now);
    }

    /// Whether somebody may commit: a member of the present generation, or anybody while there is no member.
    fn may_commit(&mut self, request: &OffsetCommitRequest, now: Duration, plant: Plant) -> i16 {
        let (id, generation) = (request.member_id.as_str(), request.generation_id_or_member_epoch);
        match (self.classic.is_empty(), self.epochs.is_empty()) {
            (false, _) => self.classic.may_commit(id, generation, now, plant),
            (_, false) => self.epochs.may_commit(id, generation, now, plant),
            _ if generation < 0 || plant == Plant::NoGenerations => 0,
            _ => 25,
        }
    }
}

impl Cluster {
    pub(super) fn find_coordinator(&self, request: FindCoordinatorRequest) -> FindCoordinatorResponse {
        let state = self.lock();
        let is_group = request.key_type == 0;
        let node = if is_group { state.group.coordinator } else { state.transactions.coordinator };
        let host = text(&format!("broker{node}"));
        let found = |key| {
            let found = Coordinator::default().with_key(key).with_node_id(node.into());
            found.with_host(host.clone()).with_port(9092)
        };
        let response = FindCoordinatorResponse::default();
        if request.coordinator_keys.is_empty() {
            return response.with_node_id(node.into()).with_host(host).with_port(9092);
        }
        response.with_coordinators(request.coordinator_keys.into_iter().map(found).collect())
    }

    /// Whether the broker coordinates the group, and is ready to.
    pub(super) fn group_ready(&self, broker: i32) -> i16 {
        let now = self.time.elapsed();
        let state = self.lock();
        match state.group.coordinator {
            other if other != broker => 16,
            _ if now < state.group.loads_until => 14,
            _ => 0,
        }
    }

    pub(super) fn offset_commit(&self, broker: i32, request: OffsetCommitRequest) -> OffsetCommitResponse {
        let mut code = self.group_ready(broker);
        let (now, plant) = (self.time.elapsed(), self.options.plant);
        let mut state = self.lock();
        if code == 0 {
            code = state.group.may_commit(&request, now, plant);
        }
        let mut topics = Vec::new();
        for topic in request.topics {
            let mut partitions = Vec::new();
            for one in topic.partitions {
                if code == 0 {
                    let note = one.committed_metadata.map(|note| note.to_string()).unwrap_or_default();
                    let (partition, offset) = (one.partition_index, one.committed_offset);
                    let member = request.member_id.to_string();
                    state.group.commits.push(Commit { partition, offset, note: note.clone(), member });
                    state.group.committed.insert(partition, (offset, one.committed_leader_epoch, note));
                }
                let answer =
                    OffsetCommitResponsePartition::default().with_partition_index(one.partition_index);
                partitions.push(answer.with_error_code(code));
            }
            topics
                .push(OffsetCommitResponseTopic::default().with_name(topic.name).with_partitions(partitions));
        }
        OffsetCommitResponse::default().with_topics(topics)
    }

    pub(super) fn offset_fetch(
        &self,
        broker: i32,
        request: OffsetFetchRequest,
        version: i16,
    ) -> OffsetFetchResponse {
        let mut code = self.group_ready(broker);
        let state = self.lock();
        if code == 0 && request.require_stable && !state.group.pending.is_empty() {
            code = 88;
        }
        let committed = if code == 0 { state.group.committed.clone() } else { BTreeMap::new() };
        let name = || TopicName(text(TOPIC));
        if version >= 8 {
            let partitions = committed.into_iter().map(|(partition, (offset, epoch, note))| {
                OffsetFetchResponsePartitions::default()
                    .with_partition_index(partition)
                    .with_committed_offset(offset)
                    .with_committed_leader_epoch(epoch)
                    .with_metadata(Some(text(&note)))
            });
            let topic =
                OffsetFetchResponseTopics::default().with_name(name()).with_partitions(partitions.collect());
            let id = request.groups.first().map(|group| group.group_id.clone()).unwrap_or(GroupId(text("")));
            let group = OffsetFetchResponseGroup::default().with_group_id(id).with_error_code(code);
            return OffsetFetchResponse::default().with_groups(vec![group.with_topics(vec![topic])]);
        }
        let partitions = committed.into_iter().map(|(partition, (offset, epoch, note))| {
            OffsetFetchResponsePartition::default()
                .with_partition_index(partition)
                .with_committed_offset(offset)
                .with_committed_leader_epoch(epoch)
                .with_metadata(Some(text(&note)))
        });
        let topic =
            OffsetFetchResponseTopic::default().with_name(name()).with_partitions(partitions.collect());
        OffsetFetchResponse::default().with_error_code(code).with_topics(vec![topic])
    }

    pub(super) fn txn_offset_commit(
        self: &Arc<Self>,
        broker: i32,
        request: TxnOffsetCommitRequest,
        version: i16,
    ) -> TxnOffsetCommitResponse {
        let (producer, epoch) = (request.producer_id.0, request.producer_epoch);
        let id = request.transactional_id.to_string();
        let mut code = self.group_ready(broker);
        if code == 0 {
            // From this version on the brokers add the group to the transaction; before it they ask (KIP-890).
            code = self.offsets_belong(&id, producer, epoch, version >= 5);
        }
        let mut state = self.lock();
        let mut topics = Vec::new();
        for topic in request.topics {
            let mut partitions = Vec::new();
            for one in topic.partitions {
                if code == 0 {
                    let note = one.committed_metadata.map(|note| note.to_string()).unwrap_or_default();
                    let committed = (one.committed_offset, one.committed_leader_epoch, note);
                    if self.options.plant == Plant::AbortedOffsets {
                        state.group.committed.insert(one.partition_index, committed.clone());
                    }
                    state.group.pending.entry(producer).or_default().insert(one.partition_index, committed);
                }
                let answer = TxnOffsetCommitResponsePartition::default();
                partitions.push(answer.with_partition_index(one.partition_index).with_error_code(code));
            }
            topics.push(
                TxnOffsetCommitResponseTopic::default().with_name(topic.name).with_partitions(partitions),
            );
        }
        TxnOffsetCommitResponse::default().with_topics(topics)
    }

    /// All commits of offsets that were taken, in their order; those of transactions are not among them.
    pub fn commits(&self) -> Vec<Commit> {
        self.lock().group.commits.clone()
    }

    /// Where the true log of a partition leads, for markers.
    pub(super) fn marker_place(&self, partition: i32) -> Option<super::Leadership> {
        let state = self.lock();
        let partition = &state.partitions[index(partition)];
        let leader = partition.truth.leader;
        let can = !state.down.contains(&leader) && partition.views[index(leader)] == partition.truth;
        can.then_some(partition.truth)
    }
}
