use super::*;
use crate::json::Decoder;
use arrow::buffer::Buffer;
use arrow::util::pretty::pretty_format_batches;
use expect_test::{Expect, expect};

#[track_caller]
fn check(schema: &[(&str, &str)], lines: &str, expect: Expect) {
    let declared: Vec<Declared> = (schema.iter())
        .map(|(name, kind)| Declared {
            name: (*name).to_owned(),
            kind: SqlType::parse(kind).expect("a type"),
            column: (*name).to_owned(),
        })
        .collect();
    let wanted = declared.iter().map(Declared::wanted).collect();
    let mut decoder = TypedDecoder::new(Box::new(Decoder::new(wanted)), declared);
    let decoded = decoder.another().decode_bytes(&Buffer::from(lines.as_bytes()), 1000);
    assert_eq!(decoder.decode_bytes(&Buffer::from(lines.as_bytes()), 1000).rows, decoded.rows);
    let shown = decoded.rows.project(&(0..schema.len()).collect::<Vec<_>>()).expect("they come first");
    let rejected: String = decoded
        .rejected
        .iter()
        .map(|bad| format!("{}: {}\n", &lines[bad.bytes.clone()], bad.cause))
        .collect();
    expect.assert_eq(&format!("{}\n{rejected}", pretty_format_batches(&[shown]).expect("prints")));
}

#[test]
fn numbers_must_fit_their_type_exactly() {
    check(
        &[("i", "int"), ("d", "decimal(5,2)"), ("f", "float")],
        "{\"i\":1,\"d\":1.5,\"f\":0.1}\n{\"i\":2147483648}\n{\"i\":1.5}\n{\"i\":2e3,\"d\":-999.99}\n{\"d\":1.005}\n{\"d\":1000}\n\
         {\"f\":1e39}\n{\"i\":\"1\"}\n{\"i\":null}\n",
        expect![[r#"
            +------+---------+-----+
            | i    | d       | f   |
            +------+---------+-----+
            | 1    | 1.50    | 0.1 |
            | 2000 | -999.99 |     |
            |      |         |     |
            +------+---------+-----+
            {"i":2147483648}: field "i" is 2147483648 where the schema says int
            {"i":1.5}: field "i" is 1.5 where the schema says int
            {"d":1.005}: field "d" is 1.005 where the schema says decimal(5, 2)
            {"d":1000}: field "d" is 1000 where the schema says decimal(5, 2)
            {"f":1e39}: field "f" is 1000000000000000000000000000000000000000 where the schema says float
            {"i":"1"}: field "i" is text where the pipeline needs a number
        "#]],
    );
}

#[test]
fn times_must_say_what_their_type_says() {
    check(
        &[("day", "date"), ("at", "timestamp(3)"), ("z", "timestamptz")],
        "{\"day\":\"2024-02-29\",\"at\":\"2024-02-29 10:00:00.125\",\"z\":\"2024-02-29T10:00:00+02:00\"}\n\
         {\"day\":\"2023-02-29\"}\n{\"at\":\"2024-02-29T10:00:00Z\"}\n{\"at\":\"2024-02-29T10:00:00.0001\"}\n\
         {\"z\":\"2024-02-29T10:00:00\"}\n{\"z\":5}\n{\"at\":\"now\"}\n",
        expect![[r#"
            +------------+-------------------------+----------------------+
            | day        | at                      | z                    |
            +------------+-------------------------+----------------------+
            | 2024-02-29 | 2024-02-29T10:00:00.125 | 2024-02-29T08:00:00Z |
            +------------+-------------------------+----------------------+
            {"day":"2023-02-29"}: field "day" is "2023-02-29" where the pipeline needs a date
            {"at":"2024-02-29T10:00:00Z"}: field "at" has a time zone: 2024-02-29T10:00:00Z; declare it as timestamp with time zone
            {"at":"2024-02-29T10:00:00.0001"}: field "at" has more than 3 digits behind the second: 2024-02-29T10:00:00.0001
            {"z":"2024-02-29T10:00:00"}: field "z" has no time zone: 2024-02-29T10:00:00; declare it as timestamp
            {"z":5}: field "z" is a number where the pipeline needs text
            {"at":"now"}: field "at" is "now" where the pipeline needs a timestamp
        "#]],
    );
}

#[test]
fn arrays_documents_and_bytes() {
    check(
        &[("tags", "array<string>"), ("n", "array<array<bigint>>"), ("user", "json"), ("b", "bytes")],
        "{\"tags\":[\"a\",\"b,c\",null],\"n\":[[1],[],[2,3]],\"user\":{ \"x\":1 },\"b\":\"aGk=\"}\n\
         {\"tags\":\"a\"}\n{\"tags\":[1]}\n{\"n\":[[1.5]]}\n{\"b\":\"aGk\"}\n{\"b\":\"aGl=\"}\n{\"tags\":[],\"b\":\"\"}\n",
        expect![[r#"
            +------------+-------------------+-----------+------+
            | tags       | n                 | user      | b    |
            +------------+-------------------+-----------+------+
            | [a, b,c, ] | [[1], [], [2, 3]] | { "x":1 } | 6869 |
            | []         |                   |           |      |
            +------------+-------------------+-----------+------+
            {"tags":"a"}: field "tags" is ""a"" where the pipeline needs an array
            {"tags":[1]}: field "tags" member "v" is a number where the pipeline needs text
            {"n":[[1.5]]}: field "n" element 0 element 0 is 1.5 where the schema says bigint
            {"b":"aGk"}: field "b" is "aGk" where the pipeline needs base64
            {"b":"aGl="}: field "b" is "aGl=" where the pipeline needs base64
        "#]],
    );
}
