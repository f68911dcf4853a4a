//! Rows, and the exact bytes that they become.

use super::*;
use crate::config::Login;
use acme_types::{Batch, EventTime, Shape};
use arrow::array::{ArrayRef, RecordBatch};
use expect_test::{Expect, expect};
use std::sync::Arc;
use std::time::Duration;

fn settings(index: &str, id_fields: &[&str]) -> Settings {
    Settings {
        urls: Vec::new(),
        index: IndexName::parse(index).expect("it is valid"),
        id_fields: id_fields.iter().map(|field| (*field).to_owned()).collect(),
        login: Login::None,
        roots: None,
        verify: true,
        batch_bytes: 1000,
        batch_rows: 10,
        timeout: Duration::from_secs(1),
        create_index: true,
        truncate: Truncate::Reject,
    }
}

fn rows(columns: Vec<(&str, ArrayRef)>, documents: &[&str]) -> Rows {
    let mut encoded = Encoded::default();
    for document in documents {
        encoded.bytes.extend_from_slice(document.as_bytes());
        encoded.ends.push(encoded.bytes.len());
    }
    let columns = RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, array)| (name, array, true)),
    );
    let batch = Batch { columns: columns.expect("the columns fit"), tick: EventTime(0) };
    Rows { batch, shape: Arc::new(Shape::default()), encoded: Some(encoded), hint: None }
}

/// All rows in one request; every index is taken for one that exists.
#[track_caller]
fn check(rows: &Rows, settings: &Settings, expect: &Expect) {
    let columns = Columns::new(rows, settings).expect("the columns are there");
    let (mut row, mut scratch, mut request, mut fates) =
        (0, Scratch::default(), Request::default(), Fates::new());
    let limits = Limits { bytes: 10_000, rows: 100 };
    loop {
        match columns.fill(&mut row, limits, &mut scratch, &mut request, &mut fates) {
            Stop::Index => scratch.accept(),
            Stop::End => break,
            other => panic!("{other:?}"),
        }
    }
    let mut text = String::from_utf8(request.body.to_vec()).expect("it is text");
    assert_eq!(request.items.last().map_or(0, |item| item.end), text.len());
    for (row, fate) in fates {
        writeln!(text, "row {row}: {fate:?}").expect("memory takes all");
    }
    expect.assert_eq(&text);
}

fn operations() -> Vec<(&'static str, ArrayRef)> {
    let operations = ["INSERT", "UPDATE", "DELETE", "TRUNCATE", "INSERT"];
    vec![
        (OPERATION, Arc::new(StringViewArray::from_iter_values(operations))),
        (VERSION, Arc::new(Int64Array::from(vec![Some(1), Some(i64::MAX), Some(3), Some(4), None]))),
        ("id", Arc::new(Int64Array::from(vec![1, -2, 3, 4, 5]))),
        ("name", Arc::new(StringViewArray::from(vec![Some("a"), Some("b_%"), Some("c\"\\\n"), None, None]))),
    ]
}

const DOCUMENTS: [&str; 5] = ["{\"n\":1}\n", "{\"n\":\n 2}\r\n", "{}\n", "{}\n", "{}\n"];

#[test]
fn changes_are_written_with_their_versions() {
    check(
        &rows(operations(), &DOCUMENTS),
        &settings("users", &["id"]),
        &expect![[r#"
        {"index":{"_id":"1","version":1,"version_type":"external"}}
        {"n":1}
        {"index":{"_id":"-2","version":9223372036854775807,"version_type":"external"}}
        {"n":  2}
        {"delete":{"_id":"3","version":3,"version_type":"external"}}
        row 3: Reject { reason: "the source was truncated; set `truncate: apply` or `truncate: ignore`" }
        row 4: Reject { reason: "the change has no version" }
    "#]],
    );
}

#[test]
fn a_key_of_several_fields_is_joined() {
    check(
        &rows(operations(), &DOCUMENTS),
        &settings("users", &["id", "name"]),
        &expect![[r#"
        {"index":{"_id":"1_a","version":1,"version_type":"external"}}
        {"n":1}
        {"index":{"_id":"-2_b%5F%25","version":9223372036854775807,"version_type":"external"}}
        {"n":  2}
        {"delete":{"_id":"3_c\"\\\u000a","version":3,"version_type":"external"}}
        row 3: Reject { reason: "the source was truncated; set `truncate: apply` or `truncate: ignore`" }
        row 4: Reject { reason: "the change has no version" }
    "#]],
    );
}

#[test]
fn a_name_with_placeholders_goes_into_each_line() {
    check(
        &rows(operations(), &DOCUMENTS),
        &settings("by-{name}", &["id"]),
        &expect![[r#"
        {"index":{"_index":"by-a","_id":"1","version":1,"version_type":"external"}}
        {"n":1}
        {"index":{"_index":"by-b_%","_id":"-2","version":9223372036854775807,"version_type":"external"}}
        {"n":  2}
        row 2: Reject { reason: "\"by-c\"\\\n\" cannot name an index: it contains one of \\ / * ? \" < > | , # : or a space" }
        row 3: Reject { reason: "the source was truncated; set `truncate: apply` or `truncate: ignore`" }
        row 4: Reject { reason: "the change has no version" }
    "#]],
    );
}

#[test]
fn rows_without_a_version_or_a_key_are_plain() {
    let columns = || operations().split_off(2);
    check(
        &rows(columns(), &DOCUMENTS),
        &settings("users", &["name"]),
        &expect![[r#"
        {"index":{"_id":"a"}}
        {"n":1}
        {"index":{"_id":"b_%"}}
        {"n":  2}
        {"index":{"_id":"c\"\\\u000a"}}
        {}
        row 3: Reject { reason: "the field of `id_field` is missing or NULL" }
        row 4: Reject { reason: "the field of `id_field` is missing or NULL" }
    "#]],
    );
    check(
        &rows(columns(), &DOCUMENTS),
        &settings("users", &[]),
        &expect![[r#"
        {"index":{}}
        {"n":1}
        {"index":{}}
        {"n":  2}
        {"index":{}}
        {}
        {"index":{}}
        {}
        {"index":{}}
        {}
    "#]],
    );
}

#[test]
fn a_request_ends_at_its_limits() {
    let rows = rows(operations().split_off(2), &DOCUMENTS);
    let settings = settings("users", &[]);
    let columns = Columns::new(&rows, &settings).expect("the columns are there");
    let counts = |limits: Limits| {
        let (mut row, mut scratch, mut fates) = (0, Scratch::default(), Fates::new());
        let mut counts = Vec::new();
        loop {
            let mut request = Request::default();
            let stop = columns.fill(&mut row, limits, &mut scratch, &mut request, &mut fates);
            counts.push(request.items.len());
            if stop == Stop::End {
                return counts;
            }
        }
    };
    assert_eq!(counts(Limits { bytes: 1000, rows: 2 }), [2, 2, 1]);
    assert_eq!(counts(Limits { bytes: 1, rows: 100 }), [1, 1, 1, 1, 1], "a single row may be larger");
    assert_eq!(counts(Limits { bytes: 1000, rows: 100 }), [5]);
}
