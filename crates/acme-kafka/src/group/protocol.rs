//! What the members of a classic group tell each other through the coordinator: `ConsumerProtocolSubscription` and
//! `ConsumerProtocolAssignment` of Kafka's own consumer.
//!
//! Read and written by hand: other members wrote these bytes, and no count of theirs is believed.

use crate::TopicPartition;
use crate::error::{Error, Result};
use bytes::{Buf, BufMut, Bytes, BytesMut, TryGetError};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The version that we write: owned partitions (1), generation (2), rack (3).
const VERSION: i16 = 3;

/// What a member brings to a join.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Subscription {
    /// The topics that it wants.
    pub(super) topics: BTreeSet<Arc<str>>,
    /// What it holds and will not let go of before it is asked.
    pub(super) owned: BTreeSet<TopicPartition>,
    /// The generation in which it came to hold that; -1 if it is in none.
    pub(super) generation: i32,
}

impl Subscription {
    pub(super) fn encode(&self) -> Bytes {
        let mut to = BytesMut::new();
        to.put_i16(VERSION);
        put_count(&mut to, self.topics.len());
        self.topics.iter().for_each(|topic| put_text(&mut to, topic));
        // The user data of Java's CooperativeStickyAssignor, for members that know version 1 only: the generation.
        to.put_i32(4);
        to.put_i32(self.generation);
        put_partitions(&mut to, &self.owned);
        to.put_i32(self.generation);
        // No rack.
        to.put_i16(-1);
        to.freeze()
    }

    pub(super) fn decode(bytes: &Bytes) -> Result<Self> {
        let mut from = Reader(bytes.clone());
        let mut read = || -> Result<Self, TryGetError> {
            let version = from.0.try_get_i16()?;
            let topics = from.list(Reader::text)?.into_iter().collect();
            let user_data = from.bytes()?;
            let owned = if version >= 1 { from.partitions()? } else { BTreeSet::new() };
            let generation = match user_data {
                _ if version >= 2 => from.0.try_get_i32()?,
                Some(mut data) if data.len() == 4 => data.get_i32(),
                _ => -1,
            };
            Ok(Self { topics, owned, generation })
        };
        read().map_err(|error| Error::protocol("the subscription of a group's member", error))
    }
}

/// Encodes what a member gets.
pub(super) fn encode_assignment(partitions: &BTreeSet<TopicPartition>) -> Bytes {
    let mut to = BytesMut::new();
    to.put_i16(VERSION);
    put_partitions(&mut to, partitions);
    to.put_i32(-1);
    to.freeze()
}

/// Decodes what we get. Nothing at all, as from a leader that does not know us, is no partition.
pub(super) fn decode_assignment(bytes: &Bytes) -> Result<BTreeSet<TopicPartition>> {
    if bytes.is_empty() {
        return Ok(BTreeSet::new());
    }
    let mut from = Reader(bytes.clone());
    let mut read = || {
        from.0.try_get_i16()?;
        from.partitions()
    };
    read().map_err(|error| Error::protocol("the assignment of a group's leader", error))
}

fn put_count(to: &mut BytesMut, count: usize) {
    to.put_i32(i32::try_from(count).expect("it was counted in memory that a request fits in"));
}

fn put_text(to: &mut BytesMut, text: &str) {
    to.put_i16(i16::try_from(text.len()).expect("a topic's name has at most 249 bytes"));
    to.put_slice(text.as_bytes());
}

fn put_partitions(to: &mut BytesMut, partitions: &BTreeSet<TopicPartition>) {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for partition in partitions {
        topics.entry(&partition.topic).or_default().push(partition.partition);
    }
    put_count(to, topics.len());
    for (topic, numbers) in topics {
        put_text(to, topic);
        put_count(to, numbers.len());
        numbers.into_iter().for_each(|number| to.put_i32(number));
    }
}

/// Reads bytes of others, and no more of them than there are.
pub(super) struct Reader(pub(super) Bytes);

impl Reader {
    /// A count of elements, none of which is shorter than a byte.
    fn count(&mut self) -> Result<usize, TryGetError> {
        let count = self.0.try_get_i32()?;
        self.fits(i64::from(count))
    }

    fn fits(&self, count: i64) -> Result<usize, TryGetError> {
        let requested = usize::try_from(count).unwrap_or(usize::MAX);
        let available = self.0.len();
        if requested > available { Err(TryGetError { requested, available }) } else { Ok(requested) }
    }

    pub(super) fn list<T>(
        &mut self,
        item: impl Fn(&mut Self) -> Result<T, TryGetError>,
    ) -> Result<Vec<T>, TryGetError> {
        (0..self.count()?).map(|_| item(self)).collect()
    }

    pub(super) fn text(&mut self) -> Result<Arc<str>, TryGetError> {
        let length = self.0.try_get_i16()?;
        let length = self.fits(i64::from(length))?;
        Ok(String::from_utf8_lossy(&self.0.split_to(length)).into())
    }

    fn bytes(&mut self) -> Result<Option<Bytes>, TryGetError> {
        let length = self.0.try_get_i32()?;
        if length < 0 {
            return Ok(None);
        }
        let length = self.fits(i64::from(length))?;
        Ok(Some(self.0.split_to(length)))
    }

    fn partitions(&mut self) -> Result<BTreeSet<TopicPartition>, TryGetError> {
        let topics = self.list(|from| Ok((from.text()?, from.list(|from| from.0.try_get_i32())?)))?;
        Ok(topics
            .into_iter()
            .flat_map(|(topic, numbers)| {
                numbers.into_iter().map(move |partition| TopicPartition { topic: topic.clone(), partition })
            })
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned() -> BTreeSet<TopicPartition> {
        [("orders", 0), ("orders", 3), ("users", 1)]
            .map(|(topic, number)| TopicPartition::new(topic, number))
            .into()
    }

    #[test]
    fn a_subscription_comes_back_as_it_was_sent() {
        let sent =
            Subscription { topics: ["orders", "users"].map(Arc::from).into(), owned: owned(), generation: 7 };
        assert_eq!(Subscription::decode(&sent.encode()).unwrap(), sent);
        assert_eq!(decode_assignment(&encode_assignment(&owned())).unwrap(), owned());
        assert_eq!(decode_assignment(&Bytes::new()).unwrap(), BTreeSet::new());
    }

    #[test]
    fn older_members_are_understood() {
        // Version 0 with user data of another assignor, version 1 with the generation as user data.
        let zero = Bytes::from_static(b"\0\0\0\0\0\x01\0\x01t\0\0\0\x05other");
        let read = Subscription::decode(&zero).unwrap();
        assert_eq!((read.topics.len(), read.owned.len(), read.generation), (1, 0, -1));
        let one = Bytes::from_static(
            b"\0\x01\0\0\0\x01\0\x01t\0\0\0\x04\0\0\0\x09\0\0\0\x01\0\x01t\0\0\0\x01\0\0\0\x02",
        );
        let read = Subscription::decode(&one).unwrap();
        assert_eq!((read.owned, read.generation), ([TopicPartition::new("t", 2)].into(), 9));
    }

    #[test]
    fn cut_and_boastful_bytes_are_errors() {
        let whole = Subscription { topics: ["t".into()].into(), owned: owned(), generation: 1 }.encode();
        for length in 0..whole.len() - 2 {
            assert!(Subscription::decode(&whole.slice(..length)).is_err(), "{length} bytes");
        }
        let boast = Bytes::from_static(b"\0\x03\x7f\xff\xff\xff\0\x01t");
        assert!(
            Subscription::decode(&boast).unwrap_err().to_string().contains("does not follow the protocol")
        );
        assert!(decode_assignment(&boast).is_err());
    }
}
