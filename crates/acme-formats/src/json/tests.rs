mod conformance;
mod equal;
mod grammar;
mod random;
mod values;

use super::*;
use crate::{Decode, Decoded, Encode, Encoded};
use acme_types::{Batch, DocumentEdits, DocumentPath, EventTime, PathStep, Shape};
use arrow::buffer::Buffer;
use arrow::util::pretty::pretty_format_batches;
use expect_test::{Expect, expect};

fn wanted(fields: &[(&str, As)]) -> Vec<Wanted> {
    let path = |name: &str| DocumentPath(name.split('.').map(|key| PathStep::Key(key.to_owned())).collect());
    fields
        .iter()
        .map(|(name, kind)| Wanted { path: path(name), kind: *kind, column: (*name).to_owned() })
        .collect()
}

fn decode(fields: &[(&str, As)], lines: &str) -> Decoded {
    Decoder::new(wanted(fields)).decode_bytes(&Buffer::from(lines.as_bytes()), 100)
}

#[track_caller]
fn check_decode(fields: &[(&str, As)], lines: &str, expect: Expect) {
    let decoded = decode(fields, lines);
    let columns: Vec<usize> = (0..fields.len()).collect();
    let shown = decoded.rows.project(&columns).expect("the wanted columns come first");
    let table = if fields.is_empty() {
        String::new()
    } else {
        pretty_format_batches(&[shown]).expect("prints").to_string()
    };
    let rejected: String = decoded
        .rejected
        .iter()
        .map(|line| format!("{}: {}\n", &lines[line.bytes.clone()], line.cause))
        .collect();
    expect.assert_eq(&format!("{table}\n{rejected}"));
}

#[track_caller]
fn check_encode(shape: Shape, fields: &[(&str, As)], lines: &str, expect: Expect) {
    let batch = Batch { columns: decode(fields, lines).rows, tick: EventTime(0) };
    let mut out = Encoded::default();
    JsonEncoder::new(shape).encode(&batch, &mut out).expect("encodes");
    assert_eq!(out.ends.len(), batch.rows());
    expect.assert_eq(&String::from_utf8(out.bytes).expect("JSON is UTF-8"));
}

#[test]
fn only_wanted_fields_are_read_wherever_they_stand() {
    check_decode(
        &[
            ("id", As::Number),
            ("user.name", As::Text),
            ("ok", As::Bool),
            ("tags", As::Json),
            ("score", As::Double),
        ],
        "{\"id\":1,\"user\":{\"x\":[1],\"name\":\"a\\\"b\"},\"ok\":true,\"tags\":[1, 2],\"score\":1e-3}\n\
         {\"score\":2,\"user\":null,\"id\":-9223372036854775808}\r\n\n\
         { \"user\" : {\"name\":\"\\u00fc\"} , \"i\\u0064\":7 }",
        expect![[r#"
            +----------------------+-----------+------+--------+-------+
            | id                   | user.name | ok   | tags   | score |
            +----------------------+-----------+------+--------+-------+
            | 1                    | a"b       | true | [1, 2] | 0.001 |
            | -9223372036854775808 |           |      |        | 2.0   |
            | 7                    | ü         |      |        |       |
            +----------------------+-----------+------+--------+-------+
        "#]],
    );
}

#[test]
fn a_number_that_is_no_integer_is_kept_exactly() {
    check_decode(
        &[("n", As::Number)],
        "{\"n\":1}\n{\"n\":0.1}\n{\"n\":null}\n{\"n\":18446744073709551615}\n",
        expect![[r#"
            +-----------------------------------------------+
            | n                                             |
            +-----------------------------------------------+
            | 1.000000000000000000000000                    |
            | 0.100000000000000000000000                    |
            |                                               |
            | 18446744073709551615.000000000000000000000000 |
            +-----------------------------------------------+
        "#]],
    );
}

#[test]
fn a_wrong_type_is_an_error_and_never_null() {
    check_decode(
        &[("a", As::Number), ("b", As::Text)],
        "{\"a\":\"5\",\"b\":\"x\"}\n{\"a\":1,\"b\":2}\n{\"a\":3,\"b\":\"good\"}\n[1]\n{\"a\":1\n{\"a\":1}x\n",
        expect![[r#"
            +---+------+
            | a | b    |
            +---+------+
            | 3 | good |
            +---+------+
            {"a":"5","b":"x"}: field "a" is text where the pipeline needs a number
            {"a":1,"b":2}: field "b" is a number where the pipeline needs text
            [1]: is not a JSON object: invalid type: sequence, expected a JSON object at line 1 column 0
            {"a":1: is not a JSON object: EOF while parsing an object at line 1 column 6
            {"a":1}x: is not a JSON object: trailing characters at line 1 column 8
        "#]],
    );
}

#[test]
fn an_unchanged_document_keeps_its_bytes() {
    let verbatim = Shape { document: Some(DocumentEdits::default()), ..Shape::default() };
    let text = "{ \"b\" : 1.50, \"a\":\"\\u0041\" }\n{}\n";
    check_encode(
        verbatim,
        &[],
        text,
        expect![[r#"
        { "b" : 1.50, "a":"\u0041" }
        {}
    "#]],
    );
}

#[test]
fn a_patched_document_changes_only_where_it_must() {
    let shape = Shape {
        columns: vec![("n".into(), "n".into()), ("new".into(), "t".into())],
        document: Some(DocumentEdits {
            removed: vec!["gone".into()],
            renamed: vec![("old".into(), "fresh".into())],
        }),
        ..Shape::default()
    };
    check_encode(
        shape,
        &[("n", As::Number), ("t", As::Text)],
        "{\"x\": 1.0,\"n\":2.50,\"gone\":1,\"old\":[ 1 ]}\n{\"t\":\"q\",\"n\":null}\n{}\n",
        expect![[r#"
            {"x":1.0,"n":2.5,"fresh":[ 1 ],"new":null}
            {"t":"q","n":null,"new":"q"}
            {"n":null,"new":null}
        "#]],
    );
}

#[test]
fn columns_become_an_object_in_their_order() {
    let shape =
        Shape { columns: vec![("b".into(), "n".into()), ("a\"".into(), "j".into())], ..Shape::default() };
    check_encode(
        shape,
        &[("n", As::Number), ("j", As::Json)],
        "{\"n\":3,\"j\":{\"x\":[ ]}}\n{}\n",
        expect![[r#"
        {"b":3,"a\"":{"x":[ ]}}
        {"b":null,"a\"":null}
    "#]],
    );
}
