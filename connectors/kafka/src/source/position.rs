//! A place in a partition, as it is kept by the engine.

use acme_kafka::{TopicPartition, Uuid};
use acme_types::{Diagnostic, Position, SplitId, codes};
use serde::{Deserialize, Serialize};

/// The next offset to read. Offsets mean nothing without the topic's id: under the same name another topic may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) offset: i64,
    /// The leader epoch of the record before, -1 where it is not known.
    pub(crate) epoch: i32,
    /// The id of the topic; nil on clusters without ids.
    #[serde(default, skip_serializing_if = "Uuid::is_nil", with = "text")]
    pub(crate) topic: Uuid,
}

/// How long a topic's id is as text.
const ID: usize = 36;
/// What [`Place::metadata`] puts before a note.
pub(super) const BEFORE_NOTE: usize = ID + 1;

mod text {
    use acme_kafka::Uuid;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(id: &Uuid, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(id)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Uuid, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl Place {
    pub(crate) fn position(&self) -> Position {
        Position(serde_json::to_string(self).expect("numbers and ids are always valid JSON"))
    }

    /// What is committed with the offset in a group: the topic's id names it, then comes the engine's note.
    pub(crate) fn metadata(&self, note: &str) -> String {
        if note.is_empty() { self.topic.to_string() } else { format!("{} {note}", self.topic) }
    }

    /// The topic's id and the note of an offset that was committed so; `None` where another program has set it.
    pub(crate) fn named(metadata: &str) -> Option<(Uuid, &str)> {
        let (id, note) = metadata.split_once(' ').unwrap_or((metadata, ""));
        Some((id.parse().ok().filter(|_| id.len() == ID)?, note))
    }

    pub(crate) fn parse(position: &Position) -> Result<Self, Diagnostic> {
        serde_json::from_str(&position.0).map_err(|error| {
            let message = format!("the position \"{}\" cannot be read: {error}", position.0);
            Diagnostic::new(&codes::STATE, message)
        })
    }
}

/// `events-3`, as brokers name a partition's directory.
pub(crate) fn split(partition: &TopicPartition) -> SplitId {
    SplitId(format!("{}-{}", partition.topic, partition.partition))
}

pub(crate) fn partition(SplitId(name): &SplitId) -> Result<TopicPartition, Diagnostic> {
    let parts = name.rsplit_once('-').and_then(|(topic, number)| Some((topic, number.parse().ok()?)));
    let (topic, number) = parts.ok_or_else(|| {
        Diagnostic::new(&codes::STATE, format!("the state names the partition \"{name}\", which is none"))
    })?;
    Ok(TopicPartition::new(topic, number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_reads_back_what_it_writes() {
        for (place, text) in [
            (Place { offset: 7, epoch: 2, topic: Uuid::nil() }, r#"{"offset":7,"epoch":2}"#),
            (
                Place { offset: 0, epoch: -1, topic: Uuid::from_u128(1) },
                r#"{"offset":0,"epoch":-1,"topic":"00000000-0000-0000-0000-000000000001"}"#,
            ),
        ] {
            assert_eq!(place.position().0, text);
            assert_eq!(Place::parse(&place.position()), Ok(place));
        }
        let place = Place { offset: 0, epoch: -1, topic: Uuid::from_u128(1) };
        for note in ["", r#"{"acme":1,"epoch":7}"#] {
            let metadata = place.metadata(note);
            assert_eq!(metadata.len(), if note.is_empty() { ID } else { BEFORE_NOTE + note.len() });
            assert_eq!(Place::named(&metadata), Some((place.topic, note)));
        }
        for other in ["", "x", r#"{"acme":1}"#, "consumer-1 x", "00000000000000000000000000000001"] {
            assert_eq!(Place::named(other), None, "{other}");
        }
        let name = TopicPartition::new("a-b.c", 12);
        assert_eq!(partition(&split(&name)), Ok(name));
        for bad in ["events", "events-x", ""] {
            assert!(partition(&SplitId(bad.to_owned())).is_err());
        }
    }
}
