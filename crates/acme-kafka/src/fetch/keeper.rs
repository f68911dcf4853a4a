//! The task that knows who leads each partition, starts a worker per leader, and finds what must be reported.

use super::state::{Part, Phase, Shared};
use super::worker;
use crate::client::{Leader, Metadata, TopicPartition};
use crate::error::{Error, ErrorCode, Result};
use crate::offsets::{At, Isolation};
use crate::signal::Watch;
use crate::wire::text;
use kafka_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use kafka_protocol::messages::offset_for_leader_epoch_response::EpochEndOffset;
use kafka_protocol::messages::{OffsetForLeaderEpochRequest, TopicName};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// Runs until it is aborted; its workers end with it.
pub(super) async fn keep(shared: Arc<Shared>) {
    let mut changes = shared.subscribe_work();
    let mut workers = JoinSet::new();
    let mut brokers = BTreeSet::new();
    let mut known = true;
    let config = shared.client.config().clone();
    let mut pause = config.retry_backoff;
    loop {
        changes.look();
        let lost = in_phase(&shared, Phase::Lost);
        if !lost.is_empty() {
            find_leaders(&shared, &lost, known).await;
        }
        check_truncation(&shared).await;
        for broker in sources(&shared) {
            if brokers.insert(broker) {
                workers.spawn(worker::work(shared.clone(), broker));
            }
        }
        shared.wake_tasks();
        // Our own waking is not news.
        changes.look();
        if in_phase(&shared, Phase::Lost).is_empty() && in_phase(&shared, Phase::Unchecked).is_empty() {
            pause = config.retry_backoff;
            // Nothing is due but to look, now and then, whether a topic is still the same.
            let due = wait_for_work(&shared, &mut changes, &brokers, config.metadata_max_age).await;
            // What was assigned may go by what is known; what was lost must not.
            known = due && in_phase(&shared, Phase::Lost).iter().all(|partition| is_new(&shared, partition));
            if !due {
                look_again(&shared).await;
            }
        } else {
            known = false;
            shared.client.world().sleep(pause).await;
            pause = (pause * 2).min(config.retry_backoff_max);
        }
    }
}

/// Waits until a partition needs a leader or a check, or is read from a broker without a worker; false when time is up.
async fn wait_for_work(
    shared: &Shared,
    changes: &mut Watch,
    brokers: &BTreeSet<i32>,
    time: Duration,
) -> bool {
    let work = async {
        while in_phase(shared, Phase::Lost).is_empty() && sources(shared).is_subset(brokers) {
            changes.changed().await;
        }
    };
    shared.client.world().timeout(time, work).await.is_ok()
}

fn in_phase(shared: &Shared, phase: Phase) -> Vec<TopicPartition> {
    let state = shared.lock();
    let parts = state.parts.iter().filter(|(_, part)| part.phase == phase);
    parts.map(|(partition, _)| partition.clone()).collect()
}

fn is_new(shared: &Shared, partition: &TopicPartition) -> bool {
    shared.lock().parts.get(partition).is_none_or(|part| part.leader.is_none())
}

/// The brokers that partitions are read from.
fn sources(shared: &Shared) -> BTreeSet<i32> {
    let state = shared.lock();
    let ready = state.parts.values().filter(|part| part.phase == Phase::Ready);
    ready.filter_map(Part::broker).collect()
}

/// Compares all partitions with fresh metadata: leaders that moved without a failure, topics that are not the same. Leaders are
/// asked anew which replica is the nearest.
async fn look_again(shared: &Shared) {
    for part in shared.lock().parts.values_mut() {
        part.near = None;
    }
    let topics = in_phase(shared, Phase::Ready);
    if topics.is_empty() {
        return;
    }
    if let Ok(metadata) = shared.client.refresh(&[]).await {
        for partition in topics {
            place(shared, &metadata, &partition);
        }
    }
}

/// Finds leaders: by what is known if that may do, else by asking.
async fn find_leaders(shared: &Shared, lost: &[TopicPartition], known: bool) {
    let cached = shared.client.cached();
    let metadata = if known && lost.iter().all(|partition| cached.leader(partition).is_ok()) {
        Ok(cached)
    } else {
        let mut topics: Vec<&str> = lost.iter().map(|partition| &*partition.topic).collect();
        topics.dedup();
        shared.client.refresh(&topics).await
    };
    match metadata {
        Ok(metadata) => lost.iter().for_each(|partition| place(shared, &metadata, partition)),
        Err(error) => {
            for partition in lost {
                let assignment = shared.lock().parts.get(partition).map(|part| part.assignment);
                if let Some(assignment) = assignment {
                    shared.failed(partition, assignment, error.clone());
                }
            }
        }
    }
}

/// Gives a partition its leader, or says what is wrong with it.
fn place(shared: &Shared, metadata: &Metadata, partition: &TopicPartition) {
    let (assignment, was, problem) = {
        let mut state = shared.lock();
        let Some(part) = state.parts.get_mut(partition) else { return };
        let problem = match metadata.leader(partition) {
            Ok(leader) if part.topic_id.is_nil() || part.topic_id == leader.topic_id => {
                part.topic_id = leader.topic_id;
                follow(part, leader);
                return;
            }
            Ok(leader) => Ok(leader.topic_id),
            Err(error) => Err(error),
        };
        (part.assignment, part.topic_id, problem)
    };
    match problem {
        Ok(now) => {
            let topic = partition.topic.to_string();
            shared.stop(partition, assignment, Error::TopicRecreated { topic, was, now });
        }
        Err(error) => shared.failed(partition, assignment, error),
    }
}

fn follow(part: &mut Part, leader: Leader) {
    let is_new = part.leader.is_none_or(|known| known.epoch != leader.epoch);
    if is_new {
        part.near = None;
    }
    part.leader = Some(leader);
    if part.phase == Phase::Stopped {
        return;
    }
    part.phase = if is_new && part.epoch >= 0 { Phase::Unchecked } else { Phase::Ready };
}

/// Asks the new leaders where the epochs of our positions end (KIP-320).
async fn check_truncation(shared: &Shared) {
    let unchecked = in_phase(shared, Phase::Unchecked);
    let mut by_leader: BTreeMap<i32, Vec<Check>> = BTreeMap::new();
    for partition in unchecked {
        let state = shared.lock();
        let Some(part) = state.parts.get(&partition) else { continue };
        let Some(leader) = part.leader else { continue };
        let check =
            Check { assignment: part.assignment, offset: part.offset, epoch: part.epoch, leader, partition };
        by_leader.entry(leader.broker).or_default().push(check);
    }
    for (broker, checks) in by_leader {
        let answers = shared.client.send(broker, &epoch_request(&checks)).await;
        let answers = answers.map(|response| {
            let topics = response.topics.into_iter();
            let answers = topics.flat_map(|topic| {
                let name: Arc<str> = topic.topic.as_str().into();
                let answers = topic.partitions.into_iter();
                answers.map(move |answer| (TopicPartition::new(name.clone(), answer.partition), answer))
            });
            answers.collect::<BTreeMap<_, _>>()
        });
        for check in checks {
            let verdict = match &answers {
                Ok(answers) => check.judge(answers.get(&check.partition)),
                Err(error) => Err(error.clone()),
            };
            match verdict {
                Ok(()) => {
                    if let Some(part) = shared.lock().part(&check.partition, check.assignment)
                        && part.phase == Phase::Unchecked
                    {
                        part.phase = Phase::Ready;
                    }
                }
                Err(error) => {
                    // The check is due again once the leader is found.
                    if let Some(part) = shared.lock().part(&check.partition, check.assignment) {
                        part.leader = None;
                    }
                    shared.failed(&check.partition, check.assignment, error);
                }
            }
        }
    }
}

/// A position whose epoch is looked up in the log of a new leader.
struct Check {
    partition: TopicPartition,
    assignment: u64,
    offset: i64,
    epoch: i32,
    leader: Leader,
}

impl Check {
    fn judge(&self, answer: Option<&EpochEndOffset>) -> Result<()> {
        let what = || format!("check of the epoch of {}", self.partition);
        let answer = answer
            .ok_or_else(|| Error::protocol("response OffsetForLeaderEpoch", "a partition is missing"))?;
        ErrorCode(answer.error_code).check(what)?;
        // The epoch's end, or that of the largest one below; -1 if the log knows none that is as old.
        // An epoch that we have read of and the log does not have was cut off, whatever came in its place: Java's client goes on
        // where that is long enough, with other records than those it has read. The price is a false alarm where a replica was
        // built anew after all records of the epoch were compacted away, and we have read nothing since.
        if answer.end_offset >= self.offset && answer.leader_epoch == self.epoch {
            return Ok(());
        }
        Err(Error::Truncated {
            topic: self.partition.topic.to_string(),
            partition: self.partition.partition,
            offset: self.offset,
            epoch: self.epoch,
            end: answer.end_offset,
            end_epoch: answer.leader_epoch,
        })
    }
}

fn epoch_request(checks: &[Check]) -> OffsetForLeaderEpochRequest {
    let mut topics: BTreeMap<&str, Vec<OffsetForLeaderPartition>> = BTreeMap::new();
    for check in checks {
        let wanted = OffsetForLeaderPartition::default()
            .with_partition(check.partition.partition)
            .with_current_leader_epoch(check.leader.epoch)
            .with_leader_epoch(check.epoch);
        topics.entry(&check.partition.topic).or_default().push(wanted);
    }
    let topics = topics.into_iter().map(|(name, partitions)| {
        OffsetForLeaderTopic::default().with_topic(TopicName(text(name))).with_partitions(partitions)
    });
    OffsetForLeaderEpochRequest::default().with_replica_id((-1).into()).with_topics(topics.collect())
}

/// Says which offsets there are, so that whoever chooses a new position knows between what.
pub(super) async fn out_of_range(shared: &Shared, partition: &TopicPartition, offset: i64) -> Error {
    let at = async |at| {
        let asked = [(partition.clone(), at)];
        let listed = shared.client.list_offsets(&asked, Isolation::ReadUncommitted).await;
        listed.map(|listed| listed.get(partition).map_or(-1, |listed| listed.offset))
    };
    let (log_start, log_end) = match (at(At::Earliest).await, at(At::Latest).await) {
        (Ok(start), Ok(end)) => (start, end),
        (Err(error), _) | (_, Err(error)) => return error,
    };
    if (log_start..=log_end).contains(&offset) {
        // A leader that had not caught up; it is in range now.
        return Error::broker(ErrorCode::LEADER_NOT_AVAILABLE, format!("fetch of {partition}"));
    }
    Error::OutOfRange {
        topic: partition.topic.to_string(),
        partition: partition.partition,
        offset,
        log_start,
        log_end,
    }
}
