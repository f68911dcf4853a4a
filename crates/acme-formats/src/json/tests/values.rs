//! The values of a log: each record is one document, wherever lines end.

use super::super::{As, Decoder, Wanted};
use crate::{Block, Cut, Decode, TypedDecoder, metadata};
use acme_types::{DocumentPath, LogRecord, Records};
use arrow::array::AsArray;
use arrow::datatypes::{Int32Type, Int64Type, TimestampMillisecondType};
use std::ops::Range;

/// Records with these keys and values, one after the other, with other bytes between them.
fn records(pairs: &[(Option<&str>, Option<&str>)]) -> Records {
    let (mut buffer, mut records) = (b"\x01}\n".to_vec(), Vec::new());
    let mut put = |text: &str| -> Range<u32> {
        let start = u32::try_from(buffer.len()).expect("short");
        buffer.extend_from_slice(text.as_bytes());
        let end = u32::try_from(buffer.len()).expect("short");
        buffer.extend_from_slice(b" }{\n");
        start..end
    };
    for (offset, (key, value)) in (1000..).step_by(3).zip(pairs) {
        let (key, value) = (key.map(&mut put), value.map(&mut put));
        // Two headers: `a` with `1`, and `b` without a value.
        let headers = put("\u{2}a\u{2}1\u{2}b\u{1}");
        let header_count = if offset % 2 == 0 { 2 } else { 0 };
        let timestamp_ms = i64::try_from(offset).expect("small") - 1003;
        records.push(LogRecord { offset, timestamp_ms, key, value, headers, header_count });
    }
    Records { topic: "events".into(), partition: 7, buffer: buffer.into(), records, hint: None }
}

fn number(name: &str) -> Wanted {
    Wanted { path: DocumentPath::field(name), kind: As::Number, column: name.to_owned() }
}

#[test]
fn a_value_is_one_document_and_its_bytes_are_kept() {
    let pretty = "{\n  \"n\": 2\n}\n";
    let values = ["{\"n\":1}", pretty, "{\"n\":3} ", "{\"n\":4}\n{\"n\":5}", "", "{\"n\":6", "{\"n\":\"7\"}"];
    let mut pairs: Vec<_> = values.iter().map(|value| (None, Some(*value))).collect();
    pairs.push((None, None));
    let records = records(&pairs);
    let mut decoder = Decoder::new(vec![number("n")]);
    let decoded = decoder.decode(Block { bytes: &records.buffer, cut: Cut::Values(&records.records) });
    let rows = &decoded.rows;
    assert_eq!(rows.column(0).as_primitive::<Int64Type>().values(), &[1, 2, 3]);
    assert_eq!(rows.column(1).as_primitive::<Int64Type>().values(), &[1000, 1003, 1006]);
    let raw: Vec<_> = rows.column(2).as_binary_view().iter().flatten().collect();
    assert_eq!(raw, values[..3].iter().map(|value| value.as_bytes()).collect::<Vec<_>>());
    let rejected: Vec<_> = (decoded.rejected.iter())
        .map(|bad| (bad.offset, String::from_utf8_lossy(&records.buffer[bad.bytes.clone()]), &*bad.cause))
        .collect();
    let causes: Vec<u64> = rejected.iter().map(|(offset, ..)| *offset).collect();
    assert_eq!(causes, [1009, 1012, 1015, 1018, 1021], "{rejected:?}");
    assert_eq!(rejected[0].1, values[3], "two documents are no document");
    assert_eq!(rejected[4].2, "has no value: it is a tombstone");
}

#[test]
fn metadata_belongs_to_its_row_also_where_rows_are_missing() {
    let records = records(&[
        (Some("a"), Some("{\"n\":1}")),
        (Some("b"), Some("no document")),
        (None, Some("{\"n\":3}")),
        (Some(""), Some("{\"n\":4}")),
    ]);
    let declared =
        crate::Declared { name: "n".to_owned(), kind: crate::SqlType::TinyInt, column: "typed".to_owned() };
    let inner = Box::new(Decoder::new(vec![declared.wanted()]));
    let mut decoder = TypedDecoder::new(inner, vec![declared]);
    let decoded = decoder.decode(Block { bytes: &records.buffer, cut: Cut::Values(&records.records) });
    assert_eq!(decoded.rejected.len(), 1);
    let rows = metadata::add(&decoded.rows, &records);
    let column = |name: &str| rows.column_by_name(&format!("_meta.{name}")).expect("it is there");
    assert_eq!(column("offset").as_primitive::<Int64Type>().values(), &[1000, 1006, 1009]);
    assert_eq!(column("partition").as_primitive::<Int32Type>().values(), &[7, 7, 7]);
    assert!(column("topic").as_string_view().iter().all(|topic| topic == Some("events")));
    let times: Vec<_> = column("timestamp").as_primitive::<TimestampMillisecondType>().iter().collect();
    assert_eq!(times, [None, Some(3), Some(6)]);
    let keys: Vec<_> = column("key").as_binary_view().iter().collect();
    assert_eq!(keys, [Some(&b"a"[..]), None, Some(b"")]);
    let headers: Vec<_> = column("headers").as_string_view().iter().flatten().collect();
    let two = "[[\"a\",\"1\"],[\"b\",null]]";
    assert_eq!(headers, [two, two, "[]"]);
    for field in metadata::fields() {
        assert_eq!(column(field.name()).data_type(), field.data_type(), "{}", field.name());
    }
}

#[test]
fn a_value_outside_of_the_declared_type_is_refused_with_its_bytes() {
    let records = records(&[(None, Some("{\"n\":1}")), (None, Some("{\"n\":300}"))]);
    let declared =
        crate::Declared { name: "n".to_owned(), kind: crate::SqlType::TinyInt, column: "t".to_owned() };
    let inner = Box::new(Decoder::new(vec![declared.wanted()]));
    let decoded = TypedDecoder::new(inner, vec![declared])
        .decode(Block { bytes: &records.buffer, cut: Cut::Values(&records.records) });
    let bad = &decoded.rejected[0];
    assert_eq!((bad.offset, &records.buffer[bad.bytes.clone()]), (1003, &b"{\"n\":300}"[..]));
}
