//! What a log knows of each record beside its value, as hidden columns.

use acme_types::Records;
use acme_types::batch::META_PREFIX;
use acme_types::records::wide;
use arrow::array::{
    ArrayRef, AsArray, BinaryViewBuilder, Int32Array, RecordBatch, StringViewBuilder,
    TimestampMillisecondBuilder,
};
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type, Schema, TimeUnit};
use std::sync::Arc;

/// The hidden columns of a record, without their prefix: `offset`, `topic`, `partition`, `timestamp`, `key`, `headers`.
///
/// `headers` is a JSON array of `[name, value]`, as a name may come twice; a value that is not UTF-8 is shown with
/// replacement characters.
#[must_use]
pub fn fields() -> Vec<FieldRef> {
    let timestamp = DataType::Timestamp(TimeUnit::Millisecond, Some("+00:00".into()));
    let field = |name: &str, data_type: DataType, nullable| Arc::new(Field::new(name, data_type, nullable));
    vec![
        field("offset", DataType::Int64, false),
        field("topic", DataType::Utf8View, false),
        field("partition", DataType::Int32, false),
        field("timestamp", timestamp, true),
        field("key", DataType::BinaryView, true),
        Arc::new(acme_types::batch::json_field("headers")),
    ]
}

/// Adds them to rows that were decoded from these records; their `_meta.offset` says which.
#[must_use]
pub fn add(rows: &RecordBatch, records: &Records) -> RecordBatch {
    let offsets = rows.column_by_name(&format!("{META_PREFIX}offset")).expect("every decoder adds it");
    let offsets = offsets.as_primitive::<Int64Type>().values();
    let count = offsets.len();
    let mut topics = StringViewBuilder::with_capacity(count);
    let topic = topics.append_block(records.topic.as_bytes().to_vec().into());
    let topic_length = u32::try_from(records.topic.len()).expect("a topic's name is short");
    let mut keys = BinaryViewBuilder::with_capacity(count);
    let buffer = keys.append_block(records.buffer.clone());
    let mut timestamps = TimestampMillisecondBuilder::with_capacity(count);
    let mut headers = StringViewBuilder::with_capacity(count);
    // Rows come in the order of the records; some records have none.
    let mut all = records.records.iter();
    for offset in offsets {
        let record = all.find(|record| i64::try_from(record.offset) == Ok(*offset));
        let record = record.expect("each row was decoded from one of these records");
        topics.try_append_view(topic, 0, topic_length).expect("the view is the whole name");
        timestamps.append_option((record.timestamp_ms >= 0).then_some(record.timestamp_ms));
        match &record.key {
            None => keys.append_null(),
            Some(key) => keys
                .try_append_view(buffer, key.start, key.end - key.start)
                .expect("a key lies in its buffer"),
        }
        match record.header_count {
            0 => headers.append_value("[]"),
            count => headers.append_value(json(&records.buffer[wide(&record.headers)], count)),
        }
    }
    let partitions = Int32Array::from_value(records.partition, count);
    let added: [ArrayRef; 5] = [
        Arc::new(topics.finish()),
        Arc::new(partitions),
        Arc::new(timestamps.finish().with_timezone("+00:00")),
        Arc::new(keys.finish()),
        Arc::new(headers.finish()),
    ];
    let (mut schema, mut columns) = (rows.schema().fields().to_vec(), rows.columns().to_vec());
    for (field, column) in fields().into_iter().skip(1).zip(added) {
        let named = Field::clone(&field).with_name(format!("{META_PREFIX}{}", field.name()));
        schema.push(Arc::new(named));
        columns.push(column);
    }
    RecordBatch::try_new(Arc::new(Schema::new(schema)), columns).expect("one value for each row")
}

/// Headers as they are on the wire, each a name and a value with its length before it; the client has checked them.
///
/// Source: Kafka's record format, version 2.
fn json(mut wire: &[u8], count: u32) -> String {
    let mut pairs = Vec::new();
    for _ in 0..count {
        let (Some(name), Some(value)) = (part(&mut wire), part(&mut wire)) else { break };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        pairs.push((text(name.unwrap_or_default()), value.map(text)));
    }
    serde_json::to_string(&pairs).expect("texts are always valid JSON")
}

/// A length as a zigzag varint and so many bytes; a length of -1 is none. `None` where the bytes end before.
fn part<'a>(wire: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let (mut raw, mut shift) = (0_u32, 0);
    loop {
        let (&byte, rest) = wire.split_first()?;
        *wire = rest;
        raw |= u32::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            break;
        }
        shift += 7;
    }
    if raw & 1 == 1 {
        return Some(None);
    }
    let (bytes, rest) = wire.split_at_checked(usize::try_from(raw >> 1).ok()?)?;
    *wire = rest;
    Some(Some(bytes))
}
