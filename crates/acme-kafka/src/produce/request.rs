//! The Produce request, written by hand so that batches are sent as they lie in memory.

use crate::connection::Connection;
use crate::error::{Error, ErrorCode, Result};
use crate::wire::{Frame, put_varint};
use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::messages::{ApiKey, ProduceResponse};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A batch for a partition: header and records.
pub(super) struct Part {
    pub(super) topic: Arc<str>,
    pub(super) partition: i32,
    pub(super) batch: [Bytes; 2],
}

/// A request of versions 9 to 12, which look the same. `parts` are sorted by topic.
///
/// Source: Kafka protocol guide, "Produce API (Key: 0)"; acks are those of all in-sync replicas.
pub(super) fn frame(
    connection: &Connection,
    version: i16,
    transactional_id: Option<&str>,
    timeout: Duration,
    parts: &[Part],
) -> Result<Frame> {
    const ACKS_ALL: i16 = -1;
    let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    let mut out = BytesMut::with_capacity(64 + parts.len() * 32);
    match transactional_id {
        None => put_varint(&mut out, 0),
        Some(id) => put_string(&mut out, id),
    }
    out.extend_from_slice(&ACKS_ALL.to_be_bytes());
    out.extend_from_slice(&timeout_ms.to_be_bytes());
    let topics: Vec<&[Part]> = parts.chunk_by(|one, other| one.topic == other.topic).collect();
    put_count(&mut out, topics.len());
    let mut body = Vec::with_capacity(parts.len() * 3 + 1);
    for topic in topics {
        put_string(&mut out, &topic[0].topic);
        put_count(&mut out, topic.len());
        for part in topic {
            out.extend_from_slice(&part.partition.to_be_bytes());
            put_count(&mut out, part.batch.iter().map(Bytes::len).sum());
            body.push(out.split().freeze());
            body.extend(part.batch.iter().cloned());
            // No tagged fields of the partition.
            put_varint(&mut out, 0);
        }
        put_varint(&mut out, 0);
    }
    put_varint(&mut out, 0);
    body.push(out.freeze());
    connection.raw_frame(ApiKey::Produce as i16, version, body)
}

fn put_string(out: &mut BytesMut, text: &str) {
    put_count(out, text.len());
    out.extend_from_slice(text.as_bytes());
}

/// A compact length: one more than it is.
fn put_count(out: &mut BytesMut, count: usize) {
    put_varint(out, u32::try_from(count + 1).expect("a request is far below 4 GiB"));
}

/// What a broker says about one partition.
pub(super) struct Answer {
    pub(super) result: Result<i64>,
    /// Records that the broker names as the cause: their places in the batch, and why.
    pub(super) refused: Vec<(u32, String)>,
}

/// Sorts an answer by partition.
pub(super) fn answers(response: ProduceResponse) -> BTreeMap<(String, i32), Answer> {
    let topics = response.responses.into_iter();
    let answers = topics.flat_map(|topic| {
        let name = topic.name.to_string();
        let parts = topic.partition_responses.into_iter();
        parts.map(move |part| ((name.clone(), part.index), answer(&name, part)))
    });
    answers.collect()
}

fn answer(topic: &str, part: PartitionProduceResponse) -> Answer {
    let code = ErrorCode(part.error_code);
    let refused = part.record_errors.into_iter().map(|record| {
        let why = record
            .batch_index_error_message
            .map_or_else(|| code.message().to_owned(), |text| text.to_string());
        (record.batch_index.max(0).cast_unsigned(), why)
    });
    let refused = refused.collect();
    let result = if code.is_ok() {
        Ok(part.base_offset)
    } else {
        let what = format!("produce to {topic}/{}", part.index);
        let detail = part.error_message.map(|text| text.to_string()).filter(|text| !text.is_empty());
        Err(Error::Broker { code, what, detail })
    };
    Answer { result, refused }
}
