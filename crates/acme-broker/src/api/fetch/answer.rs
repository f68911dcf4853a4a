//! The answer to a fetch, written by hand around the batches: they are sent from where they were read.

use super::Part;
use crate::api::{Call, Reply};
use crate::context::{Held, NODE};
use crate::error::Code;
use crate::frame::{self, Refused};
use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::fetch_request::FetchPartition;
use kafka_protocol::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use kafka_protocol::messages::{FetchRequest, FetchResponse};
use kafka_protocol::protocol::{HeaderVersion, Request};

/// An answer without any partition.
pub(super) fn of_error(call: &Call, code: Code) -> Result<Reply, Refused> {
    let response = FetchResponse::default().with_error_code(code.code());
    frame::encode(&response, FetchRequest::KEY, call.version, call.correlation).map(Reply::of)
}

/// An answer to what cannot be understood: as Kafka, for each partition where topics have names, and as a whole from 7 on.
pub(super) fn of_failure(call: &Call, request: &FetchRequest) -> Result<Reply, Refused> {
    let code = Code::UnknownServerError.code();
    let mut response = FetchResponse::default();
    if call.version >= 7 {
        response.error_code = code;
    }
    let named = request.topics.iter().filter(|_| call.version < 13);
    response.responses = named
        .map(|topic| {
            let part = |part: &FetchPartition| {
                PartitionData::default()
                    .with_partition_index(part.partition)
                    .with_error_code(code)
                    .with_high_watermark(-1)
                    .with_aborted_transactions(Some(Vec::new()))
                    .with_records(Some(Bytes::new()))
            };
            let parts = topic.partitions.iter().map(part).collect();
            FetchableTopicResponse::default().with_topic(topic.topic.clone()).with_partitions(parts)
        })
        .collect();
    frame::encode(&response, FetchRequest::KEY, call.version, call.correlation).map(Reply::of)
}

/// Codes of what is not there: Kafka answers them without asking a log.
const UNKNOWN: [i16; 2] = [Code::UnknownTopicOrPartition.code(), Code::UnknownTopicId.code()];

/// Codes with which who asks is told where the leader is (KIP-951).
const MOVED: [i16; 2] = [Code::FencedLeaderEpoch.code(), Code::NotLeaderOrFollower.code()];

/// Bytes under construction, with batches between them.
struct Rope {
    bytes: BytesMut,
    /// What is sent before the byte of this number.
    between: Vec<(usize, Vec<Bytes>)>,
    version: i16,
}

/// The whole answer.
pub(super) fn of(call: &Call, session_id: i32, parts: Vec<Part>, is_committed: bool, held: Held) -> Reply {
    let bytes = frame::answer_head(call.correlation, FetchResponse::header_version(call.version));
    let mut rope = Rope { bytes, between: Vec::new(), version: call.version };
    rope.bytes.put_i32(0);
    if call.version >= 7 {
        rope.bytes.put_i16(0);
        rope.bytes.put_i32(session_id);
    }
    // Who wants to follow knows the nodes.
    let is_moved = parts.iter().any(|part| part.code == Code::FencedLeaderEpoch.code());
    let same = |a: &Part, b: &Part| a.key.name == b.key.name && a.key.id == b.key.id;
    rope.count(parts.chunk_by(same).count());
    let mut parts = parts.into_iter().peekable();
    while let Some(first) = parts.next() {
        let mut topic = vec![first];
        while let Some(next) = parts.next_if(|next| same(&topic[0], next)) {
            topic.push(next);
        }
        rope.topic(topic, is_committed);
    }
    if call.version >= 12 {
        if is_moved && call.version >= 16 {
            rope.endpoint(call);
        } else {
            rope.bytes.put_u8(0);
        }
    }
    rope.reply(held)
}

impl Rope {
    fn is_flexible(&self) -> bool {
        self.version >= 12
    }

    fn varint(&mut self, mut value: usize) {
        while value >= 0x80 {
            self.bytes.put_u8((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.put_u8(value as u8);
    }

    /// The number of elements, or of bytes.
    fn count(&mut self, count: usize) {
        if self.is_flexible() {
            self.varint(count + 1);
        } else {
            self.bytes.put_i32(i32::try_from(count).expect("answers are smaller than 2 GiB"));
        }
    }

    fn null(&mut self) {
        if self.is_flexible() { self.bytes.put_u8(0) } else { self.bytes.put_i32(-1) }
    }

    fn tags(&mut self) {
        if self.is_flexible() {
            self.bytes.put_u8(0);
        }
    }

    fn topic(&mut self, parts: Vec<Part>, is_committed: bool) {
        let key = &parts[0].key;
        if self.version >= 13 {
            self.bytes.put_u128(key.id.as_u128());
        } else if self.is_flexible() {
            self.varint(key.name.len() + 1);
            self.bytes.put_slice(key.name.as_bytes());
        } else {
            self.bytes.put_i16(i16::try_from(key.name.len()).expect("it came with such a length"));
            self.bytes.put_slice(key.name.as_bytes());
        }
        self.count(parts.len());
        for part in parts {
            self.part(part, is_committed);
        }
        self.tags();
    }

    fn part(&mut self, part: Part, is_committed: bool) {
        self.bytes.put_i32(part.key.partition);
        self.bytes.put_i16(part.code);
        let marks = part.marks.filter(|_| part.code == 0);
        self.bytes.put_i64(marks.map_or(-1, |marks| marks.high_watermark));
        self.bytes.put_i64(marks.map_or(-1, |marks| marks.last_stable));
        if self.version >= 5 {
            self.bytes.put_i64(marks.map_or(-1, |marks| marks.log_start));
        }
        if is_committed && part.code == 0 {
            self.count(part.aborted.len());
            for aborted in &part.aborted {
                self.bytes.put_i64(aborted.producer_id);
                self.bytes.put_i64(aborted.first_offset);
                self.tags();
            }
        } else if UNKNOWN.contains(&part.code) {
            self.count(0);
        } else {
            self.null();
        }
        if self.version >= 11 {
            // No other replica is preferred.
            self.bytes.put_i32(-1);
        }
        self.count(part.bytes);
        if part.bytes > 0 {
            self.between.push((self.bytes.len(), part.records));
        }
        if self.is_flexible() {
            self.part_tags(&part.diverging, part.code, part.leader_epoch);
        }
    }

    fn part_tags(&mut self, diverging: &Option<(i32, i64)>, code: i16, leader_epoch: i32) {
        match diverging {
            Some((epoch, end)) => {
                // One tag, number 0, of 13 bytes.
                self.bytes.put_slice(&[1, 0, 13]);
                self.bytes.put_i32(*epoch);
                self.bytes.put_i64(*end);
                self.bytes.put_u8(0);
            }
            None if MOVED.contains(&code) && self.version >= 16 => {
                // The leader, tag 1, of 9 bytes.
                self.bytes.put_slice(&[1, 1, 9]);
                self.bytes.put_i32(NODE);
                self.bytes.put_i32(leader_epoch);
                self.bytes.put_u8(0);
            }
            None => self.bytes.put_u8(0),
        }
    }

    /// One tag, number 0: where the leader of all is.
    fn endpoint(&mut self, call: &Call) {
        let (host, port) = &call.session.advertised;
        let mut inner = Self { bytes: BytesMut::new(), between: Vec::new(), version: self.version };
        inner.count(1);
        inner.bytes.put_i32(NODE);
        inner.varint(host.len() + 1);
        inner.bytes.put_slice(host.as_bytes());
        inner.bytes.put_i32(*port);
        inner.null();
        inner.tags();
        self.bytes.put_slice(&[1, 0]);
        self.varint(inner.bytes.len());
        self.bytes.put_slice(&inner.bytes);
    }

    fn reply(self, held: Held) -> Reply {
        let records: usize = self.between.iter().flat_map(|(_, records)| records).map(Bytes::len).sum();
        let mut rest = frame::seal(self.bytes, records);
        let mut parts = Vec::with_capacity(2 * self.between.len() + 1);
        let mut taken = 0;
        for (at, records) in self.between {
            parts.push(rest.split_to(at - taken));
            taken = at;
            parts.extend(records);
        }
        parts.push(rest);
        Reply { parts, held: Some(held), last: false }
    }
}
