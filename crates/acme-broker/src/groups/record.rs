//! Records of `__consumer_offsets`, in Kafka's own formats.
//!
//! Source: the schemas of Kafka's `group-coordinator` (`OffsetCommitKey` … `ConsumerGroupCurrentMemberAssignmentValue`);
//! the key's version is the kind of the record.

use crate::codec::{Entry, Malformed, Read, Reader, Writer};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

const OFFSET: i16 = 1;
const CLASSIC: i16 = 2;
const EPOCH: i16 = 3;
const TARGET_EPOCH: i16 = 6;
const MEMBER: i16 = 5;
const TARGET: i16 = 7;
const CURRENT: i16 = 8;

/// Partitions by topic.
pub(crate) type Parts = BTreeMap<Uuid, BTreeSet<i32>>;

/// A committed offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Committed {
    pub(crate) offset: i64,
    pub(crate) leader_epoch: i32,
    pub(crate) metadata: String,
    /// When, ms of the wall clock.
    pub(crate) at_ms: i64,
    /// When it expires, if its request said so.
    pub(crate) expires_ms: Option<i64>,
}

/// A member of a classic group as it survives a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClassicMember {
    pub(crate) member_id: String,
    pub(crate) instance_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(crate) rebalance_timeout_ms: i32,
    pub(crate) session_timeout_ms: i32,
    pub(crate) subscription: Bytes,
    pub(crate) assignment: Bytes,
}

/// A classic group's generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Classic {
    pub(crate) protocol_type: String,
    pub(crate) generation: i32,
    pub(crate) protocol: Option<String>,
    pub(crate) leader: Option<String>,
    pub(crate) since_ms: i64,
    pub(crate) members: Vec<ClassicMember>,
}

/// What a member of a consumer group has told of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Subscription {
    pub(crate) instance_id: Option<String>,
    pub(crate) rack_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(crate) topics: BTreeSet<String>,
    pub(crate) regex: Option<String>,
    pub(crate) rebalance_timeout_ms: i32,
    pub(crate) assignor: Option<String>,
}

/// Where a member of a consumer group is on its way to its target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Progress {
    /// It has all of its epoch.
    #[default]
    Stable = 1,
    /// It must give partitions up first.
    Unrevoked = 2,
    /// It waits for partitions that others have not given up.
    Unreleased = 3,
}

/// What a member of a consumer group has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Current {
    pub(crate) epoch: i32,
    pub(crate) previous_epoch: i32,
    pub(crate) progress: Progress,
    pub(crate) assigned: Parts,
    pub(crate) revoking: Parts,
}

/// What a record says; `None` ends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    Offset { group: String, topic: String, partition: i32, value: Option<Committed> },
    Classic { group: String, value: Option<Classic> },
    Epoch { group: String, value: Option<i32> },
    Member { group: String, member: String, value: Option<Subscription> },
    TargetEpoch { group: String, value: Option<i32> },
    Target { group: String, member: String, value: Option<Parts> },
    Current { group: String, member: String, value: Option<Current> },
    Unknown,
}

impl Record {
    /// The bytes.
    pub(crate) fn entry(&self) -> Entry {
        let key = |kind: i16, names: &[&str]| {
            let mut key = Writer::versioned(kind, false);
            names.iter().for_each(|name| key.string(name));
            key
        };
        let number = |value: &i32| {
            let mut out = Writer::versioned(0, true);
            out.i32(*value);
            out.tags(&[]);
            out.done()
        };
        let (key, value) = match self {
            Self::Offset { group, topic, partition, value } => {
                let mut key = key(OFFSET, &[group, topic]);
                key.i32(*partition);
                (key, value.as_ref().map(put_offset))
            }
            Self::Classic { group, value } => (key(CLASSIC, &[group]), value.as_ref().map(put_classic)),
            Self::Epoch { group, value } => (key(EPOCH, &[group]), value.as_ref().map(number)),
            Self::TargetEpoch { group, value } => (key(TARGET_EPOCH, &[group]), value.as_ref().map(number)),
            Self::Member { group, member, value } => {
                (key(MEMBER, &[group, member]), value.as_ref().map(put_member))
            }
            Self::Target { group, member, value } => {
                let value = value.as_ref().map(|parts| {
                    let mut out = Writer::versioned(0, true);
                    put_parts(&mut out, parts);
                    out.tags(&[]);
                    out.done()
                });
                (key(TARGET, &[group, member]), value)
            }
            Self::Current { group, member, value } => {
                (key(CURRENT, &[group, member]), value.as_ref().map(put_current))
            }
            Self::Unknown => (Writer::default(), None),
        };
        Entry { key: key.done(), value }
    }

    /// Reads a record.
    pub(crate) fn parse(key: &[u8], value: Option<&[u8]>) -> Read<Self> {
        let mut key = Reader::new(key);
        let kind = key.i16()?;
        if ![0, OFFSET, CLASSIC, EPOCH, MEMBER, TARGET_EPOCH, TARGET, CURRENT].contains(&kind) {
            return Ok(Self::Unknown);
        }
        let group = key.string()?;
        Ok(match kind {
            0 | OFFSET => {
                let (topic, partition) = (key.string()?, key.i32()?);
                Self::Offset { group, topic, partition, value: value.map(offset).transpose()? }
            }
            CLASSIC => Self::Classic { group, value: value.map(classic).transpose()? },
            EPOCH => Self::Epoch { group, value: value.map(number).transpose()? },
            TARGET_EPOCH => Self::TargetEpoch { group, value: value.map(number).transpose()? },
            MEMBER => Self::Member { group, member: key.string()?, value: value.map(member).transpose()? },
            TARGET => Self::Target { group, member: key.string()?, value: value.map(target).transpose()? },
            _ => Self::Current { group, member: key.string()?, value: value.map(current).transpose()? },
        })
    }

    /// The group that it belongs to.
    pub(crate) fn group(&self) -> Option<&str> {
        match self {
            Self::Offset { group, .. }
            | Self::Classic { group, .. }
            | Self::Epoch { group, .. }
            | Self::Member { group, .. }
            | Self::TargetEpoch { group, .. }
            | Self::Target { group, .. }
            | Self::Current { group, .. } => Some(group),
            Self::Unknown => None,
        }
    }
}

fn put_offset(value: &Committed) -> Bytes {
    // Version 1 is the only one with a time of expiry.
    let version = if value.expires_ms.is_some() { 1 } else { 3 };
    let mut out = Writer::versioned(version, false);
    out.i64(value.offset);
    if version == 3 {
        out.i32(value.leader_epoch);
    }
    out.string(&value.metadata);
    out.i64(value.at_ms);
    if let Some(expires_ms) = value.expires_ms {
        out.i64(expires_ms);
    }
    out.done()
}

fn version(value: &mut Reader<'_>, max: i16) -> Read<i16> {
    value.i16().and_then(|version| if (0..=max).contains(&version) { Ok(version) } else { Err(Malformed) })
}

fn offset(bytes: &[u8]) -> Read<Committed> {
    let mut value = Reader::new(bytes);
    let version = version(&mut value, 4)?;
    value.flexible(version >= 4);
    let offset = value.i64()?;
    let leader_epoch = if version >= 3 { value.i32()? } else { -1 };
    let (metadata, at_ms) = (value.string()?, value.i64()?);
    let expires_ms = if version == 1 { Some(value.i64()?).filter(|at| *at != -1) } else { None };
    Ok(Committed { offset, leader_epoch, metadata, at_ms, expires_ms })
}

fn put_classic(value: &Classic) -> Bytes {
    let mut out = Writer::versioned(3, false);
    out.string(&value.protocol_type);
    out.i32(value.generation);
    out.nullable_string(value.protocol.as_deref());
    out.nullable_string(value.leader.as_deref());
    out.i64(value.since_ms);
    out.list(value.members.iter(), |out, member| {
        out.string(&member.member_id);
        out.nullable_string(member.instance_id.as_deref());
        out.string(&member.client_id);
        out.string(&member.client_host);
        out.i32(member.rebalance_timeout_ms);
        out.i32(member.session_timeout_ms);
        out.bytes(&member.subscription);
        out.bytes(&member.assignment);
    });
    out.done()
}

fn classic(bytes: &[u8]) -> Read<Classic> {
    let mut value = Reader::new(bytes);
    let version = version(&mut value, 4)?;
    value.flexible(version >= 4);
    let (protocol_type, generation) = (value.string()?, value.i32()?);
    let (protocol, leader) = (value.nullable_string()?, value.nullable_string()?);
    let since_ms = if version >= 2 { value.i64()? } else { -1 };
    let members = value.list(|value| {
        let member_id = value.string()?;
        let instance_id = if version >= 3 { value.nullable_string()? } else { None };
        let (client_id, client_host) = (value.string()?, value.string()?);
        let rebalance = if version >= 1 { value.i32()? } else { -1 };
        let session_timeout_ms = value.i32()?;
        let member = ClassicMember {
            member_id,
            instance_id,
            client_id,
            client_host,
            rebalance_timeout_ms: if rebalance == -1 { session_timeout_ms } else { rebalance },
            session_timeout_ms,
            subscription: value.bytes()?,
            assignment: value.bytes()?,
        };
        value.skip_tags()?;
        Ok(member)
    })?;
    Ok(Classic { protocol_type, generation, protocol, leader, since_ms, members })
}

fn number(bytes: &[u8]) -> Read<i32> {
    let mut value = Reader::new(bytes);
    version(&mut value, 0)?;
    value.i32()
}

fn put_member(value: &Subscription) -> Bytes {
    let mut out = Writer::versioned(0, true);
    out.nullable_string(value.instance_id.as_deref());
    out.nullable_string(value.rack_id.as_deref());
    out.string(&value.client_id);
    out.string(&value.client_host);
    out.list(value.topics.iter(), |out, topic| out.string(topic));
    out.nullable_string(value.regex.as_deref());
    out.i32(value.rebalance_timeout_ms);
    out.nullable_string(value.assignor.as_deref());
    out.tags(&[]);
    out.done()
}

fn member(bytes: &[u8]) -> Read<Subscription> {
    let mut value = Reader::new(bytes);
    version(&mut value, 0)?;
    value.flexible(true);
    Ok(Subscription {
        instance_id: value.nullable_string()?,
        rack_id: value.nullable_string()?,
        client_id: value.string()?,
        client_host: value.string()?,
        topics: value.list(Reader::string)?.into_iter().collect(),
        regex: value.nullable_string()?,
        rebalance_timeout_ms: value.i32()?,
        assignor: value.nullable_string()?,
    })
}

fn put_parts(out: &mut Writer, parts: &Parts) {
    out.list(parts.iter(), |out, (topic, partitions)| {
        out.uuid(*topic);
        out.list(partitions.iter(), |out, partition| out.i32(*partition));
        out.tags(&[]);
    });
}

fn parts(value: &mut Reader<'_>) -> Read<Parts> {
    let topics = value.list(|value| {
        let topic = (value.uuid()?, value.list(Reader::i32)?.into_iter().collect());
        value.skip_tags()?;
        Ok(topic)
    })?;
    Ok(topics.into_iter().collect())
}

fn target(bytes: &[u8]) -> Read<Parts> {
    let mut value = Reader::new(bytes);
    version(&mut value, 0)?;
    value.flexible(true);
    parts(&mut value)
}

fn put_current(value: &Current) -> Bytes {
    let mut out = Writer::versioned(0, true);
    out.i32(value.epoch);
    out.i32(value.previous_epoch);
    out.i8(value.progress as i8);
    put_parts(&mut out, &value.assigned);
    put_parts(&mut out, &value.revoking);
    out.tags(&[]);
    out.done()
}

fn current(bytes: &[u8]) -> Read<Current> {
    let mut value = Reader::new(bytes);
    version(&mut value, 0)?;
    value.flexible(true);
    Ok(Current {
        epoch: value.i32()?,
        previous_epoch: value.i32()?,
        progress: match value.i8()? {
            1 => Progress::Stable,
            2 => Progress::Unrevoked,
            3 => Progress::Unreleased,
            _ => return Err(Malformed),
        },
        assigned: parts(&mut value)?,
        revoking: parts(&mut value)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> Vec<Record> {
        let group = || "g".to_owned();
        let parts: Parts = [(Uuid::from_u128(7), [0, 3].into())].into();
        let committed = |expires_ms| Committed {
            offset: 42,
            leader_epoch: if Option::is_none(&expires_ms) { 3 } else { -1 },
            metadata: "checkpoint 7".to_owned(),
            at_ms: 1_000,
            expires_ms,
        };
        let member = ClassicMember {
            member_id: "m-1".to_owned(),
            instance_id: Some("i".to_owned()),
            client_id: "c".to_owned(),
            client_host: "/127.0.0.1".to_owned(),
            rebalance_timeout_ms: 300_000,
            session_timeout_ms: 45_000,
            subscription: Bytes::from_static(b"\0\x01"),
            assignment: Bytes::new(),
        };
        let classic = Classic {
            protocol_type: "consumer".to_owned(),
            generation: 4,
            protocol: Some("range".to_owned()),
            leader: None,
            since_ms: 17,
            members: vec![member],
        };
        let subscription = Subscription {
            topics: ["a".to_owned(), "b".to_owned()].into(),
            regex: Some("o.*".to_owned()),
            rebalance_timeout_ms: 5,
            ..Subscription::default()
        };
        let current = Current {
            epoch: 3,
            previous_epoch: 2,
            progress: Progress::Unrevoked,
            assigned: parts.clone(),
            revoking: Parts::new(),
        };
        let (topic, name) = ("t".to_owned(), "m".to_owned());
        vec![
            Record::Offset {
                group: group(),
                topic: topic.clone(),
                partition: 1,
                value: Some(committed(None)),
            },
            Record::Offset {
                group: group(),
                topic: topic.clone(),
                partition: 1,
                value: Some(committed(Some(9))),
            },
            Record::Offset { group: group(), topic, partition: 1, value: None },
            Record::Classic { group: group(), value: Some(classic) },
            Record::Epoch { group: group(), value: Some(5) },
            Record::TargetEpoch { group: group(), value: None },
            Record::Member { group: group(), member: name.clone(), value: Some(subscription) },
            Record::Target { group: group(), member: name.clone(), value: Some(parts) },
            Record::Current { group: group(), member: name, value: Some(current) },
        ]
    }

    #[test]
    fn every_kind_of_record_is_read_as_it_was_written() {
        for record in samples() {
            let entry = record.entry();
            assert_eq!(Record::parse(&entry.key, entry.value.as_deref()), Ok(record));
        }
    }

    #[test]
    fn a_cut_record_is_malformed_and_an_unknown_kind_is_passed_over() {
        for entry in samples().iter().map(Record::entry) {
            for cut in 0..entry.value.as_ref().map_or(0, |value| value.len().saturating_sub(1)) {
                let value = entry.value.as_ref().map(|value| &value[..cut]);
                assert!(Record::parse(&entry.key, value).is_err());
            }
        }
        assert_eq!(Record::parse(&[0, 99], None), Ok(Record::Unknown));
    }

    #[test]
    fn an_offset_has_the_very_bytes_that_kafka_writes() {
        let value =
            Committed { offset: 1, leader_epoch: 2, metadata: "m".to_owned(), at_ms: 3, expires_ms: None };
        let record =
            Record::Offset { group: "g".to_owned(), topic: "t".to_owned(), partition: 5, value: Some(value) };
        let entry = record.entry();
        assert_eq!(&entry.key[..], b"\0\x01\0\x01g\0\x01t\0\0\0\x05");
        assert_eq!(&entry.value.unwrap()[..], b"\0\x03\0\0\0\0\0\0\0\x01\0\0\0\x02\0\x01m\0\0\0\0\0\0\0\x03");
    }
}
