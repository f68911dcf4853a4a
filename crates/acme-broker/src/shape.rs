//! The shapes of all requests that are served, and a walk along them that believes no length.
//!
//! One letter for each field: `1 2 4 8` so many bytes, `u` sixteen; `s` a string with a length of two bytes, `b` bytes with one
//! of four, `S` and `B` the same with a varint (KIP-482); `[…]` and `{…}` arrays with a count of four bytes or a varint; `(…)` a
//! struct that may be absent; `t` tagged fields. Source: the message definitions of Kafka 4.1.

use kafka_protocol::messages::ApiKey;

/// The bytes end before the message does, or a length in it is impossible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Short;

/// Request, first and last version, shape.
const SHAPES: &[(ApiKey, i16, i16, &str)] = &[
    (ApiKey::Produce, 3, 8, "s24[s[4b]]"),
    (ApiKey::Produce, 9, 12, "S24{S{4Bt}t}t"),
    (ApiKey::Produce, 13, 13, "S24{u{4Bt}t}t"),
    (ApiKey::Fetch, 4, 4, "44441[s[484]]"),
    (ApiKey::Fetch, 5, 6, "44441[s[4884]]"),
    (ApiKey::Fetch, 7, 8, "4444144[s[4884]][s[4]]"),
    (ApiKey::Fetch, 9, 10, "4444144[s[44884]][s[4]]"),
    (ApiKey::Fetch, 11, 11, "4444144[s[44884]][s[4]]s"),
    (ApiKey::Fetch, 12, 12, "4444144{S{448484t}t}{S{4}t}St"),
    (ApiKey::Fetch, 13, 14, "4444144{u{448484t}t}{u{4}t}St"),
    (ApiKey::Fetch, 15, 18, "444144{u{448484t}t}{u{4}t}St"),
    (ApiKey::ListOffsets, 1, 1, "4[s[48]]"),
    (ApiKey::ListOffsets, 2, 3, "41[s[48]]"),
    (ApiKey::ListOffsets, 4, 5, "41[s[448]]"),
    (ApiKey::ListOffsets, 6, 9, "41{S{448t}t}t"),
    (ApiKey::ListOffsets, 10, 10, "41{S{448t}t}4t"),
    (ApiKey::Metadata, 0, 3, "[s]"),
    (ApiKey::Metadata, 4, 7, "[s]1"),
    (ApiKey::Metadata, 8, 8, "[s]111"),
    (ApiKey::Metadata, 9, 9, "{St}111t"),
    (ApiKey::Metadata, 10, 10, "{uSt}111t"),
    (ApiKey::Metadata, 11, 13, "{uSt}11t"),
    (ApiKey::OffsetCommit, 2, 4, "s4s8[s[48s]]"),
    (ApiKey::OffsetCommit, 5, 5, "s4s[s[48s]]"),
    (ApiKey::OffsetCommit, 6, 6, "s4s[s[484s]]"),
    (ApiKey::OffsetCommit, 7, 7, "s4ss[s[484s]]"),
    (ApiKey::OffsetCommit, 8, 9, "S4SS{S{484St}t}t"),
    (ApiKey::OffsetFetch, 1, 5, "s[s[4]]"),
    (ApiKey::OffsetFetch, 6, 6, "S{S{4}t}t"),
    (ApiKey::OffsetFetch, 7, 7, "S{S{4}t}1t"),
    (ApiKey::OffsetFetch, 8, 8, "{S{S{4}t}t}1t"),
    (ApiKey::OffsetFetch, 9, 9, "{SS4{S{4}t}t}1t"),
    (ApiKey::FindCoordinator, 0, 0, "s"),
    (ApiKey::FindCoordinator, 1, 2, "s1"),
    (ApiKey::FindCoordinator, 3, 3, "S1t"),
    (ApiKey::FindCoordinator, 4, 6, "1{S}t"),
    (ApiKey::JoinGroup, 0, 0, "s4ss[sb]"),
    (ApiKey::JoinGroup, 1, 4, "s44ss[sb]"),
    (ApiKey::JoinGroup, 5, 5, "s44sss[sb]"),
    (ApiKey::JoinGroup, 6, 7, "S44SSS{SBt}t"),
    (ApiKey::JoinGroup, 8, 9, "S44SSS{SBt}St"),
    (ApiKey::Heartbeat, 0, 2, "s4s"),
    (ApiKey::Heartbeat, 3, 3, "s4ss"),
    (ApiKey::Heartbeat, 4, 4, "S4SSt"),
    (ApiKey::LeaveGroup, 0, 2, "ss"),
    (ApiKey::LeaveGroup, 3, 3, "s[ss]"),
    (ApiKey::LeaveGroup, 4, 4, "S{SSt}t"),
    (ApiKey::LeaveGroup, 5, 5, "S{SSSt}t"),
    (ApiKey::SyncGroup, 0, 2, "s4s[sb]"),
    (ApiKey::SyncGroup, 3, 3, "s4ss[sb]"),
    (ApiKey::SyncGroup, 4, 4, "S4SS{SBt}t"),
    (ApiKey::SyncGroup, 5, 5, "S4SSSS{SBt}t"),
    (ApiKey::DescribeGroups, 0, 2, "[s]"),
    (ApiKey::DescribeGroups, 3, 4, "[s]1"),
    (ApiKey::DescribeGroups, 5, 6, "{S}1t"),
    (ApiKey::ListGroups, 0, 2, ""),
    (ApiKey::ListGroups, 3, 3, "t"),
    (ApiKey::ListGroups, 4, 4, "{S}t"),
    (ApiKey::ListGroups, 5, 5, "{S}{S}t"),
    (ApiKey::SaslHandshake, 0, 1, "s"),
    (ApiKey::ApiVersions, 0, 2, ""),
    (ApiKey::ApiVersions, 3, 4, "SSt"),
    (ApiKey::CreateTopics, 2, 4, "[s42[4[4]][ss]]41"),
    (ApiKey::CreateTopics, 5, 7, "{S42{4{4}t}{SSt}t}41t"),
    (ApiKey::DeleteTopics, 1, 3, "[s]4"),
    (ApiKey::DeleteTopics, 4, 5, "{S}4t"),
    (ApiKey::DeleteTopics, 6, 6, "{Sut}4t"),
    (ApiKey::DeleteRecords, 0, 1, "[s[48]]4"),
    (ApiKey::DeleteRecords, 2, 2, "{S{48t}t}4t"),
    (ApiKey::InitProducerId, 0, 1, "s4"),
    (ApiKey::InitProducerId, 2, 2, "S4t"),
    (ApiKey::InitProducerId, 3, 5, "S482t"),
    (ApiKey::OffsetForLeaderEpoch, 2, 2, "[s[444]]"),
    (ApiKey::OffsetForLeaderEpoch, 3, 3, "4[s[444]]"),
    (ApiKey::OffsetForLeaderEpoch, 4, 4, "4{S{444t}t}t"),
    (ApiKey::AddPartitionsToTxn, 0, 2, "s82[s[4]]"),
    (ApiKey::AddPartitionsToTxn, 3, 3, "S82{S{4}t}t"),
    (ApiKey::AddPartitionsToTxn, 4, 5, "{S821{S{4}t}t}t"),
    (ApiKey::AddOffsetsToTxn, 0, 2, "s82s"),
    (ApiKey::AddOffsetsToTxn, 3, 4, "S82St"),
    (ApiKey::EndTxn, 0, 2, "s821"),
    (ApiKey::EndTxn, 3, 5, "S821t"),
    (ApiKey::WriteTxnMarkers, 1, 1, "{821{S{4}t}4t}t"),
    (ApiKey::TxnOffsetCommit, 0, 1, "ss82[s[48s]]"),
    (ApiKey::TxnOffsetCommit, 2, 2, "ss82[s[484s]]"),
    (ApiKey::TxnOffsetCommit, 3, 5, "SS824SS{S{484St}t}t"),
    (ApiKey::DescribeConfigs, 1, 2, "[1s[s]]1"),
    (ApiKey::DescribeConfigs, 3, 3, "[1s[s]]11"),
    (ApiKey::DescribeConfigs, 4, 4, "{1S{S}t}11t"),
    (ApiKey::AlterConfigs, 0, 1, "[1s[ss]]1"),
    (ApiKey::AlterConfigs, 2, 2, "{1S{SSt}t}1t"),
    (ApiKey::DescribeLogDirs, 1, 1, "[s[4]]"),
    (ApiKey::DescribeLogDirs, 2, 4, "{S{4}t}t"),
    (ApiKey::SaslAuthenticate, 0, 1, "b"),
    (ApiKey::SaslAuthenticate, 2, 2, "Bt"),
    (ApiKey::CreatePartitions, 0, 1, "[s4[[4]]]41"),
    (ApiKey::CreatePartitions, 2, 3, "{S4{{4}t}t}41t"),
    (ApiKey::DeleteGroups, 0, 1, "[s]"),
    (ApiKey::DeleteGroups, 2, 2, "{S}t"),
    (ApiKey::IncrementalAlterConfigs, 0, 0, "[1s[s1s]]1"),
    (ApiKey::IncrementalAlterConfigs, 1, 1, "{1S{S1St}t}1t"),
    (ApiKey::ListPartitionReassignments, 0, 0, "4{S{4}t}t"),
    (ApiKey::OffsetDelete, 0, 0, "s[s[4]]"),
    (ApiKey::DescribeCluster, 0, 0, "1t"),
    (ApiKey::DescribeCluster, 1, 1, "11t"),
    (ApiKey::DescribeCluster, 2, 2, "111t"),
    (ApiKey::DescribeProducers, 0, 0, "{S{4}t}t"),
    (ApiKey::DescribeTransactions, 0, 0, "{S}t"),
    (ApiKey::ListTransactions, 0, 0, "{S}{8}t"),
    (ApiKey::ListTransactions, 1, 1, "{S}{8}8t"),
    (ApiKey::ListTransactions, 2, 2, "{S}{8}8St"),
    (ApiKey::ConsumerGroupHeartbeat, 0, 0, "SS4SS4{S}S{u{4}t}t"),
    (ApiKey::ConsumerGroupHeartbeat, 1, 1, "SS4SS4{S}SS{u{4}t}t"),
    (ApiKey::ConsumerGroupDescribe, 0, 1, "{S}1t"),
    (ApiKey::DescribeTopicPartitions, 0, 0, "{St}4(S4t)t"),
];

/// Whether a body has the shape of its request; bytes behind it are nobody's.
pub(crate) fn check(key: i16, version: i16, body: &[u8]) -> Result<(), Short> {
    walk(of(key, version).ok_or(Short)?, &mut &body[..])
}

/// The shape of a request.
pub(crate) fn of(key: i16, version: i16) -> Option<&'static str> {
    let mut known =
        SHAPES.iter().filter(|(api, from, to, _)| *api as i16 == key && (*from..=*to).contains(&version));
    known.next().map(|(.., shape)| *shape)
}

/// Takes what has this shape off the front.
pub(crate) fn walk(shape: &str, bytes: &mut &[u8]) -> Result<(), Short> {
    let shape = shape.as_bytes();
    let mut at = 0;
    while at < shape.len() {
        let letter = shape[at];
        at += 1;
        match letter {
            b'[' | b'{' | b'(' => {
                let end = at + closing(&shape[at..]);
                let inner = std::str::from_utf8(&shape[at..end]).expect("shapes are ASCII");
                at = end + 1;
                let count = count(letter, bytes)?;
                if count.saturating_mul(least(inner)) > bytes.len() {
                    return Err(Short);
                }
                for _ in 0..count {
                    walk(inner, bytes)?;
                }
            }
            b't' => tags(bytes)?,
            _ => {
                let length = length(letter, bytes)?;
                skip(bytes, length)?;
            }
        }
    }
    Ok(())
}

/// Where the bracket that is open at the front is closed.
fn closing(shape: &[u8]) -> usize {
    let mut depth = 0;
    let end = shape.iter().position(|letter| match letter {
        b'[' | b'{' | b'(' => {
            depth += 1;
            false
        }
        b']' | b'}' | b')' => {
            depth -= 1;
            depth < 0
        }
        _ => false,
    });
    end.expect("brackets of shapes are closed")
}

fn count(letter: u8, bytes: &mut &[u8]) -> Result<usize, Short> {
    match letter {
        b'[' => Ok(match i32::from_be_bytes(take(bytes)?) {
            -1 => 0,
            count => usize::try_from(count).map_err(|_| Short)?,
        }),
        b'{' => Ok(varint(bytes)?.saturating_sub(1)),
        // -1 is an absent struct.
        _ => Ok(usize::from(i8::from_be_bytes(take(bytes)?) >= 0)),
    }
}

fn length(letter: u8, bytes: &mut &[u8]) -> Result<usize, Short> {
    match letter {
        b's' => match i16::from_be_bytes(take(bytes)?) {
            -1 => Ok(0),
            length => usize::try_from(length).map_err(|_| Short),
        },
        b'b' => match i32::from_be_bytes(take(bytes)?) {
            -1 => Ok(0),
            length => usize::try_from(length).map_err(|_| Short),
        },
        b'S' | b'B' => Ok(varint(bytes)?.saturating_sub(1)),
        b'u' => Ok(16),
        digit => Ok(usize::from(digit - b'0')),
    }
}

/// The fewest bytes that something of this shape has, on its top level.
fn least(shape: &str) -> usize {
    let mut depth = 0;
    let bytes = shape.bytes().map(|letter| {
        let outer = depth == 0;
        let bytes = match letter {
            b'[' => 4,
            b'{' | b'(' | b't' | b'S' | b'B' => 1,
            b's' => 2,
            b'b' => 4,
            b'u' => 16,
            b']' | b'}' | b')' => 0,
            digit => usize::from(digit - b'0'),
        };
        match letter {
            b'[' | b'{' | b'(' => depth += 1,
            b']' | b'}' | b')' => depth -= 1,
            _ => {}
        }
        if outer { bytes } else { 0 }
    });
    bytes.sum::<usize>().max(1)
}

fn tags(bytes: &mut &[u8]) -> Result<(), Short> {
    for _ in 0..varint(bytes)? {
        varint(bytes)?;
        let length = varint(bytes)?;
        skip(bytes, length)?;
    }
    Ok(())
}

fn skip(bytes: &mut &[u8], length: usize) -> Result<(), Short> {
    *bytes = bytes.get(length..).ok_or(Short)?;
    Ok(())
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], Short> {
    let (first, rest) = bytes.split_first_chunk::<N>().ok_or(Short)?;
    *bytes = rest;
    Ok(*first)
}

/// An unsigned varint of at most 32 bits.
pub(crate) fn varint(bytes: &mut &[u8]) -> Result<usize, Short> {
    let mut value = 0_u32;
    for shift in [0, 7, 14, 21, 28] {
        let [byte] = take(bytes)?;
        value |= u32::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value as usize);
        }
    }
    Err(Short)
}
