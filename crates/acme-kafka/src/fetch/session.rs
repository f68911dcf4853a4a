//! A fetch session (KIP-227): after the first request only what has changed is named.

use crate::client::TopicPartition;
use crate::wire::text;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
use kafka_protocol::messages::{FetchRequest, TopicName};
use std::collections::BTreeMap;
use uuid::Uuid;

/// From this version on topics go by their ids (KIP-516).
pub(super) const TOPIC_IDS: i16 = 13;

/// What is wanted of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Want {
    pub(super) topic_id: Uuid,
    pub(super) offset: i64,
    pub(super) leader_epoch: i32,
    pub(super) bytes_max: i32,
}

/// What one broker remembers for us, as far as we know.
#[derive(Debug, Default)]
pub(super) struct Session {
    id: i32,
    /// 0 asks for a new session; the broker counts from 1.
    epoch: i32,
    known: BTreeMap<TopicPartition, Want>,
    rotation: usize,
}

impl Session {
    /// Adds session and partitions to a request. The session is then one in which the broker knows `wanted`: it must
    /// be told how the request ended.
    pub(super) fn fill(
        &mut self,
        request: &mut FetchRequest,
        wanted: &BTreeMap<TopicPartition, Want>,
        version: i16,
    ) {
        let same_topic = |(partition, want): (&TopicPartition, &Want)| {
            self.known.get(partition).is_none_or(|known| known.topic_id == want.topic_id)
        };
        if !wanted.iter().all(same_topic) {
            self.epoch = 0;
        }
        request.session_id = self.id;
        request.session_epoch = self.epoch;
        if self.epoch == 0 {
            // Without a session the broker serves the partitions in our order: let each be the first at times. In a
            // session it sees to that itself.
            self.rotation = self.rotation.wrapping_add(1);
            let at = self.rotation % wanted.len().max(1);
            request.topics = topics(wanted.iter().skip(at).chain(wanted.iter().take(at)), version);
        } else {
            let changed = wanted.iter().filter(|(partition, want)| self.known.get(partition) != Some(want));
            request.topics = topics(changed, version);
            let gone = self.known.iter().filter(|(partition, _)| !wanted.contains_key(partition));
            request.forgotten_topics_data = forgotten(gone, version);
        }
        self.known.clone_from(wanted);
    }

    /// The broker has answered without an error of the session.
    pub(super) fn answered(&mut self, session_id: i32) {
        if self.epoch == 0 {
            // 0 means that the broker has no room for another session.
            self.id = session_id;
            self.epoch = i32::from(session_id != 0);
        } else {
            self.epoch = self.epoch.checked_add(1).unwrap_or(1);
        }
    }

    /// It is not certain what the broker remembers: the next request says everything again and closes what there was.
    pub(super) fn reset(&mut self) {
        self.epoch = 0;
        self.known.clear();
    }

    /// The name of a topic of the session.
    pub(super) fn name_of(&self, id: Uuid) -> Option<&TopicPartition> {
        self.known.iter().find(|(_, want)| want.topic_id == id).map(|(partition, _)| partition)
    }
}

fn topics<'a>(wanted: impl Iterator<Item = (&'a TopicPartition, &'a Want)>, version: i16) -> Vec<FetchTopic> {
    let mut topics: Vec<FetchTopic> = Vec::new();
    let mut last: Option<&str> = None;
    for (partition, want) in wanted {
        if last != Some(&*partition.topic) {
            let topic = FetchTopic::default();
            topics.push(if version >= TOPIC_IDS {
                topic.with_topic_id(want.topic_id)
            } else {
                topic.with_topic(TopicName(text(&partition.topic)))
            });
            last = Some(&*partition.topic);
        }
        let wanted = FetchPartition::default()
            .with_partition(partition.partition)
            .with_current_leader_epoch(want.leader_epoch)
            .with_fetch_offset(want.offset)
            .with_last_fetched_epoch(-1)
            .with_log_start_offset(-1)
            .with_partition_max_bytes(want.bytes_max);
        topics.last_mut().expect("one was pushed").partitions.push(wanted);
    }
    topics
}

fn forgotten<'a>(
    gone: impl Iterator<Item = (&'a TopicPartition, &'a Want)>,
    version: i16,
) -> Vec<ForgottenTopic> {
    let forget = |(partition, want): (&TopicPartition, &Want)| {
        let topic = ForgottenTopic::default().with_partitions(vec![partition.partition]);
        if version >= TOPIC_IDS {
            topic.with_topic_id(want.topic_id)
        } else {
            topic.with_topic(TopicName(text(&partition.topic)))
        }
    };
    gone.map(forget).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn want(offset: i64) -> Want {
        Want { topic_id: Uuid::from_u128(1), offset, leader_epoch: 0, bytes_max: 1 }
    }

    fn wanted(list: &[(i32, i64)]) -> BTreeMap<TopicPartition, Want> {
        list.iter().map(|(number, offset)| (TopicPartition::new("t", *number), want(*offset))).collect()
    }

    /// Session id and epoch, partitions named, partitions forgotten.
    fn next(session: &mut Session, list: &[(i32, i64)]) -> (i32, i32, Vec<i32>, Vec<i32>) {
        let mut request = FetchRequest::default();
        session.fill(&mut request, &wanted(list), 13);
        let named = request.topics.iter().flat_map(|topic| &topic.partitions).map(|one| one.partition);
        let gone = request.forgotten_topics_data.iter().flat_map(|topic| &topic.partitions).copied();
        (request.session_id, request.session_epoch, named.collect(), gone.collect())
    }

    #[test]
    fn only_changes_are_named_once_the_broker_remembers() {
        let mut session = Session::default();
        assert_eq!(next(&mut session, &[(0, 5), (1, 7)]).1, 0);
        session.answered(44);
        assert_eq!(next(&mut session, &[(0, 5), (1, 8)]), (44, 1, vec![1], vec![]));
        session.answered(44);
        assert_eq!(next(&mut session, &[(0, 5)]), (44, 2, vec![], vec![1]));
        session.reset();
        let (id, epoch, named, _) = next(&mut session, &[(0, 5)]);
        assert_eq!((id, epoch, named), (44, 0, vec![0]), "the old one is closed, all is said again");
    }

    #[test]
    fn without_a_session_each_partition_comes_first_at_times() {
        let mut session = Session::default();
        let mut firsts = std::collections::BTreeSet::new();
        for _ in 0..3 {
            firsts.insert(next(&mut session, &[(0, 1), (1, 1), (2, 1)]).2[0]);
            session.answered(0);
        }
        assert_eq!(firsts.len(), 3);
    }

    #[test]
    fn a_topic_of_another_id_needs_a_new_session() {
        let mut session = Session::default();
        next(&mut session, &[(0, 1)]);
        session.answered(9);
        let mut request = FetchRequest::default();
        let other = Want { topic_id: Uuid::from_u128(2), ..want(1) };
        session.fill(&mut request, &BTreeMap::from([(TopicPartition::new("t", 0), other)]), 13);
        assert_eq!(request.session_epoch, 0);
    }
}
