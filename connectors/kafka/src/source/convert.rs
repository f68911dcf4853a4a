//! Fetched records as a chunk: nothing is copied but where each record lies.

use super::position::{Place, split};
use crate::ready::Ready;
use crate::settings::Values;
use acme_connect::metadata;
use acme_kafka::{Fetched, TopicPartition};
use acme_types::batch::META_PREFIX;
use acme_types::{Chunk, LogRecord, Origin, Payload, Records};
use arrow::array::{ArrayRef, BinaryViewBuilder, Int64Array, RecordBatch};
use arrow::buffer::Buffer;
use std::ops::Range;
use std::sync::Arc;

/// The chunk; `None` where there are no records, for a position alone is no reason to commit.
pub(super) fn chunk(fetched: Fetched, values: &Values) -> Option<Chunk> {
    let first = fetched.records.first()?.offset;
    let partition = TopicPartition { topic: fetched.topic.clone(), partition: fetched.partition };
    let place = Place { offset: fetched.next_offset, epoch: fetched.leader_epoch, topic: fetched.topic_id };
    let narrow = |range: Range<usize>| {
        let at = |index| u32::try_from(index).expect("a fetched buffer is below 4 GiB");
        at(range.start)..at(range.end)
    };
    let records = (fetched.records.iter())
        .map(|record| LogRecord {
            offset: u64::try_from(record.offset).unwrap_or(0),
            timestamp_ms: record.timestamp,
            key: record.key_range().map(narrow),
            value: record.value_range().map(narrow),
            headers: narrow(record.headers_range()),
            header_count: record.header_count(),
        })
        .collect();
    let hint = Ready::of(&fetched);
    let records = Records {
        topic: fetched.topic,
        partition: fetched.partition,
        buffer: Buffer::from(fetched.buffer),
        records,
        hint,
    };
    let payload = match values {
        Values::Raw => Payload::Batch(raw(&records)),
        Values::Json | Values::Csv(_) => Payload::Records(records),
    };
    let name = split(&partition).0.into();
    Some(Chunk {
        payload,
        stream: 0,
        split: split(&partition),
        position: place.position(),
        origin: Origin { name, offset: u64::try_from(first).unwrap_or(0) },
    })
}

/// One column with the values as they are, and the metadata.
fn raw(records: &Records) -> RecordBatch {
    let mut values = BinaryViewBuilder::with_capacity(records.records.len());
    let buffer = values.append_block(records.buffer.clone());
    for record in &records.records {
        match &record.value {
            None => values.append_null(),
            Some(value) => values
                .try_append_view(buffer, value.start, value.end - value.start)
                .expect("a value lies in its buffer"),
        }
    }
    let offsets = records.records.iter().map(|record| i64::try_from(record.offset).unwrap_or(i64::MAX));
    let columns: [(String, ArrayRef, bool); 2] = [
        ("value".to_owned(), Arc::new(values.finish()), true),
        (format!("{META_PREFIX}offset"), Arc::new(Int64Array::from_iter_values(offsets)), false),
    ];
    let rows = RecordBatch::try_from_iter_with_nullable(columns).expect("one value for each record");
    metadata::add(&rows, records)
}
