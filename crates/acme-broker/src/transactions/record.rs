//! Records of `__transaction_state`, in Kafka's own formats (`TransactionLogKey`, `TransactionLogValue`).
//!
//! One kind of record is ours: the end of the block of producer ids that may be in use, under a key version that
//! Kafka does not have and its tools pass over.

use super::state::{NO_EPOCH, NO_ID, Phase, Protocol, Transaction};
use crate::codec::{Entry, Malformed, Read, Reader, Writer};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;

const KEY: i16 = 0;
/// The first flexible version: what Kafka writes since `transaction.version` 1.
const VALUE: i16 = 1;
const IDS_KEY: i16 = 0x4163;
const TAG_PREVIOUS: u32 = 0;
const TAG_NEXT: u32 = 1;
const TAG_PROTOCOL: u32 = 2;

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// The state of a transactional id, or that it is forgotten.
    State(String, Option<Transaction>),
    /// Producer ids from here on were never given to anybody.
    Ids(i64),
    /// Of a kind that this version does not know.
    Unknown,
}

/// The record of a state; `None` forgets the id.
pub(crate) fn entry(id: &str, state: Option<&Transaction>) -> Entry {
    let mut key = Writer::versioned(KEY, false);
    key.string(id);
    Entry { key: key.done(), value: state.map(value) }
}

/// The record that reserves all producer ids below.
pub(crate) fn ids(end: i64) -> Entry {
    let mut value = Writer::versioned(0, false);
    value.i64(end);
    Entry { key: Writer::versioned(IDS_KEY, false).done(), value: Some(value.done()) }
}

fn value(state: &Transaction) -> Bytes {
    let mut out = Writer::versioned(VALUE, true);
    out.i64(state.producer_id);
    out.i16(state.epoch);
    out.i32(state.timeout_ms);
    out.i8(state.phase as i8);
    let mut topics: BTreeMap<&Arc<str>, Vec<i32>> = BTreeMap::new();
    for (topic, partition) in &state.partitions {
        topics.entry(topic).or_default().push(*partition);
    }
    out.list(topics.iter(), |out, (topic, partitions)| {
        out.string(topic);
        out.list(partitions.iter(), |out, partition| out.i32(*partition));
        out.tags(&[]);
    });
    out.i64(state.updated_ms);
    out.i64(state.started_ms);
    let id = |id: i64| Bytes::copy_from_slice(&id.to_be_bytes());
    let mut tags = Vec::new();
    if state.previous_id != NO_ID {
        tags.push((TAG_PREVIOUS, id(state.previous_id)));
    }
    if state.next_id != NO_ID {
        tags.push((TAG_NEXT, id(state.next_id)));
    }
    if state.protocol == Protocol::V2 {
        tags.push((TAG_PROTOCOL, Bytes::from_static(&[0, 2])));
    }
    out.tags(&tags);
    out.done()
}

/// Reads a record.
pub(crate) fn parse(key: &[u8], value: Option<&[u8]>) -> Read<Record> {
    let mut key = Reader::new(key);
    match key.i16()? {
        KEY => Ok(Record::State(key.string()?, value.map(parse_value).transpose()?)),
        IDS_KEY => {
            let mut value = Reader::new(value.ok_or(Malformed)?);
            value.i16()?;
            Ok(Record::Ids(value.i64()?))
        }
        _ => Ok(Record::Unknown),
    }
}

fn parse_value(bytes: &[u8]) -> Read<Transaction> {
    let mut value = Reader::new(bytes);
    let version = value.i16()?;
    if !(0..=VALUE).contains(&version) {
        return Err(Malformed);
    }
    value.flexible(version >= 1);
    let mut state = Transaction::new(value.i64()?, 0, 0);
    state.epoch = value.i16()?;
    state.timeout_ms = value.i32()?;
    let phase = value.i8()?;
    state.phase = *usize::try_from(phase).ok().and_then(|phase| Phase::ALL.get(phase)).ok_or(Malformed)?;
    let topics = value.list(|value| {
        let (topic, partitions) = (Arc::from(value.string()?), value.list(Reader::i32)?);
        value.skip_tags()?;
        Ok((topic, partitions))
    })?;
    for (topic, partitions) in topics {
        state.partitions.extend(partitions.into_iter().map(|partition| (Arc::clone(&topic), partition)));
    }
    state.updated_ms = value.i64()?;
    state.started_ms = value.i64()?;
    value.tags(|tag, content| {
        match tag {
            TAG_PREVIOUS => state.previous_id = content.i64()?,
            TAG_NEXT => state.next_id = content.i64()?,
            TAG_PROTOCOL if content.i16()? >= 2 => state.protocol = Protocol::V2,
            _ => {}
        }
        Ok(())
    })?;
    // Kafka does not store the last epoch either. With V2 it follows: each end raises the epoch by one.
    state.last_epoch = match (state.protocol, state.phase) {
        (Protocol::V2, phase) if phase != Phase::Empty && phase != Phase::Ongoing && state.epoch > 0 => {
            state.epoch - 1
        }
        _ => NO_EPOCH,
    };
    Ok(state)
}
