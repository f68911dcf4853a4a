//! The committed offsets of one group, and those that wait for the end of a transaction.
//!
//! A pure store: requests are checked by the group before, records are written by the coordinator; [`Offsets::replay`]
//! is the only way in, for what was just written as for what is loaded at start.

use super::record::{Committed, Record};
use std::collections::BTreeMap;

/// More characters of metadata are refused (`offset.metadata.max.bytes`).
pub(crate) const METADATA_MAX: usize = 4096;
/// A group without members keeps its offsets so long (`offsets.retention.minutes`).
pub(crate) const RETENTION_MS: i64 = 7 * 24 * 3_600_000;

/// An offset, and where its record lies in the log: what was written later wins.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stored {
    at: i64,
    value: Committed,
}

type ByPartition = BTreeMap<String, BTreeMap<i32, Stored>>;

/// All offsets of a group.
#[derive(Clone, Debug, Default)]
pub(crate) struct Offsets {
    committed: ByPartition,
    /// By producer id.
    pending: BTreeMap<i64, ByPartition>,
}

fn take(offsets: &mut ByPartition, topic: &str, partition: i32) {
    if let Some(partitions) = offsets.get_mut(topic) {
        partitions.remove(&partition);
        if partitions.is_empty() {
            offsets.remove(topic);
        }
    }
}

fn parts(offsets: &ByPartition) -> impl Iterator<Item = (&str, i32)> {
    offsets.iter().flat_map(|(topic, of)| of.keys().map(move |partition| (topic.as_str(), *partition)))
}

impl Offsets {
    /// A record at an offset of the log; with a producer it waits for that producer's marker.
    pub(crate) fn replay(
        &mut self,
        producer: Option<i64>,
        at: i64,
        topic: String,
        partition: i32,
        value: Option<Committed>,
    ) {
        let Some(value) = value else {
            take(&mut self.committed, &topic, partition);
            self.pending.values_mut().for_each(|pending| take(pending, &topic, partition));
            self.pending.retain(|_, pending| !pending.is_empty());
            return;
        };
        let offsets = match producer {
            None => &mut self.committed,
            Some(producer) => self.pending.entry(producer).or_default(),
        };
        offsets.entry(topic).or_default().insert(partition, Stored { at, value });
    }

    /// The producer's transaction has ended: its offsets count, or are gone.
    pub(crate) fn end(&mut self, producer: i64, commit: bool) {
        let Some(pending) = self.pending.remove(&producer) else { return };
        for (topic, partitions) in pending.into_iter().filter(|_| commit) {
            let committed = self.committed.entry(topic).or_default();
            for (partition, stored) in partitions {
                // Markers may come in another order than the offsets were written.
                if committed.get(&partition).is_none_or(|present| present.at < stored.at) {
                    committed.insert(partition, stored);
                }
            }
        }
    }

    pub(crate) fn get(&self, topic: &str, partition: i32) -> Option<&Committed> {
        Some(&self.committed.get(topic)?.get(&partition)?.value)
    }

    /// The committed ones, by topic and partition.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, impl Iterator<Item = (i32, &Committed)>)> {
        self.committed.iter().map(|(topic, of)| {
            (topic.as_str(), of.iter().map(|(partition, stored)| (*partition, &stored.value)))
        })
    }

    /// Whether a transaction may still change the offset (`UNSTABLE_OFFSET_COMMIT`, KIP-447).
    pub(crate) fn is_unstable(&self, topic: &str, partition: i32) -> bool {
        self.pending.values().any(|pending| pending.get(topic).is_some_and(|of| of.contains_key(&partition)))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.committed.is_empty() && self.pending.is_empty()
    }

    /// Whether there is something of the partition that a tombstone would end.
    pub(crate) fn has(&self, topic: &str, partition: i32) -> bool {
        self.get(topic, partition).is_some() || self.is_unstable(topic, partition)
    }

    /// Tombstones for all.
    pub(crate) fn tombstones(&self, group: &str) -> Vec<Record> {
        let mut all: Vec<(&str, i32)> =
            parts(&self.committed).chain(self.pending.values().flat_map(parts)).collect();
        all.sort_unstable();
        all.dedup();
        all.into_iter().map(|(topic, partition)| tombstone(group, topic, partition)).collect()
    }

    /// Tombstones for those of topics that nobody reads any more and whose time is over. `idle_since_ms` is when the
    /// group lost its last member; without, each commit counts by itself. Source: KIP-211.
    pub(crate) fn expired(
        &self,
        group: &str,
        idle_since_ms: Option<i64>,
        is_read: impl Fn(&str) -> bool,
        now_ms: i64,
    ) -> Vec<Record> {
        let over = |topic: &str, partition: i32, value: &Committed| {
            let end = value.expires_ms.unwrap_or(
                idle_since_ms.unwrap_or(value.at_ms).max(value.at_ms).saturating_add(RETENTION_MS),
            );
            end <= now_ms && !self.is_unstable(topic, partition)
        };
        let of = |topic: &String, partitions: &BTreeMap<i32, Stored>| {
            let ended =
                partitions.iter().filter(|(partition, stored)| over(topic, **partition, &stored.value));
            ended.map(|(partition, _)| tombstone(group, topic, *partition)).collect::<Vec<_>>()
        };
        self.committed
            .iter()
            .filter(|(topic, _)| !is_read(topic))
            .flat_map(|(topic, partitions)| of(topic, partitions))
            .collect()
    }
}

/// The record that ends an offset.
pub(crate) fn tombstone(group: &str, topic: &str, partition: i32) -> Record {
    Record::Offset { group: group.to_owned(), topic: topic.to_owned(), partition, value: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(offset: i64) -> Option<Committed> {
        Some(Committed { offset, leader_epoch: -1, metadata: String::new(), at_ms: 0, expires_ms: None })
    }

    fn at(offsets: &Offsets) -> Option<i64> {
        offsets.get("t", 0).map(|value| value.offset)
    }

    #[test]
    fn offsets_of_a_transaction_count_when_it_is_committed_and_in_the_order_in_which_they_were_written() {
        let mut offsets = Offsets::default();
        offsets.replay(Some(1), 10, "t".to_owned(), 0, value(100));
        offsets.replay(Some(2), 11, "t".to_owned(), 0, value(200));
        assert_eq!((at(&offsets), offsets.is_unstable("t", 0)), (None, true));
        offsets.end(2, true);
        offsets.end(1, true);
        assert_eq!((at(&offsets), offsets.is_unstable("t", 0)), (Some(200), false));
        offsets.replay(Some(3), 12, "t".to_owned(), 0, value(300));
        offsets.end(3, false);
        assert_eq!((at(&offsets), offsets.is_unstable("t", 0)), (Some(200), false));
    }

    #[test]
    fn a_tombstone_also_ends_what_is_pending() {
        let mut offsets = Offsets::default();
        offsets.replay(None, 9, "t".to_owned(), 0, value(1));
        offsets.replay(Some(1), 10, "t".to_owned(), 0, value(100));
        assert_eq!(offsets.tombstones("g"), [tombstone("g", "t", 0)]);
        offsets.replay(None, 11, "t".to_owned(), 0, None);
        offsets.end(1, true);
        assert!(offsets.is_empty());
    }

    #[test]
    fn an_offset_expires_a_week_after_the_group_was_left_unless_its_topic_is_read() {
        let mut offsets = Offsets::default();
        offsets.replay(None, 9, "t".to_owned(), 0, value(1));
        let expired = |since, read: bool, now| offsets.expired("g", since, |_| read, now).len();
        assert_eq!(expired(None, false, RETENTION_MS - 1), 0);
        assert_eq!(expired(None, false, RETENTION_MS), 1);
        assert_eq!(expired(None, true, RETENTION_MS), 0);
        assert_eq!(expired(Some(5), false, RETENTION_MS), 0);
        assert_eq!(expired(Some(5), false, RETENTION_MS + 5), 1);
    }
}
