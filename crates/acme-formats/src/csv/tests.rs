use super::*;
use crate::json::{As, Wanted};
use crate::{Decode, Decoded, Encode, Encoded};
use acme_types::{Batch, DocumentPath, EventTime, Shape};
use arrow::buffer::Buffer;
use arrow::util::pretty::pretty_format_batches;
use expect_test::{Expect, expect};

fn decode(dialect: &Dialect, fields: &[(&str, As)], text: &[u8]) -> Decoded {
    let names: Vec<String> = fields.iter().map(|(name, _)| (*name).to_owned()).collect();
    let wanted = (fields.iter())
        .map(|(name, kind)| Wanted {
            path: DocumentPath::field(name),
            kind: *kind,
            column: (*name).to_owned(),
        })
        .collect();
    CsvDecoder::new(dialect.clone(), &names, wanted).another().decode_bytes(&Buffer::from(text), 100)
}

#[track_caller]
fn check(dialect: &Dialect, fields: &[(&str, As)], text: &str, expect: Expect) {
    let decoded = decode(dialect, fields, text.as_bytes());
    let shown = decoded.rows.project(&(0..fields.len()).collect::<Vec<_>>()).expect("they come first");
    let rejected: String = decoded
        .rejected
        .iter()
        .map(|bad| format!("{:?}: {}\n", &text[bad.bytes.clone()], bad.cause))
        .collect();
    expect.assert_eq(&format!("{}\n{rejected}", pretty_format_batches(&[shown]).expect("prints")));
}

fn text(names: &[&'static str]) -> Vec<(&'static str, As)> {
    names.iter().map(|name| (*name, As::Scalar)).collect()
}

#[test]
fn fields_are_split_as_the_rfc_says() {
    check(
        &Dialect::default(),
        &text(&["a", "b", "c"]),
        "1,x,y\r\n\"q\",\"a,b\",\"say \"\"hi\"\"\"\n\n,\"\",\" s \"\n5\" pipe, \"x\",\"two\nlines\"\nlast,,é",
        expect![[r#"
            +---------+------+----------+
            | a       | b    | c        |
            +---------+------+----------+
            | 1       | x    | y        |
            | q       | a,b  | say "hi" |
            |         |      |  s       |
            | 5" pipe |  "x" | two      |
            |         |      | lines    |
            | last    |      | é        |
            +---------+------+----------+
        "#]],
    );
}

#[test]
fn a_record_that_is_malformed_is_an_error_of_its_own() {
    check(
        &Dialect::default(),
        &text(&["a", "b"]),
        "1,2\n1\n1,2,3\n\"a\"b,2\nok,ok\n\"never closed,2\nmore\n",
        expect![[r#"
            +----+----+
            | a  | b  |
            +----+----+
            | 1  | 2  |
            | ok | ok |
            +----+----+
            "1": has 1 field where the file has 2 fields
            "1,2,3": has 3 fields where the file has 2 fields
            "\"a\"b,2": field 1 has text behind its closing quote
            "\"never closed,2\nmore": field 1 begins with a quote that is never closed
        "#]],
    );
}

#[test]
fn fields_are_read_as_their_use_asks() {
    check(
        &Dialect::default(),
        &[("n", As::Number), ("f", As::Double), ("b", As::Bool), ("t", As::Text)],
        "1,1.5,true,x\n 2 ,, False ,y\n\"3\",2e1,,\"\"\nx,1,true,z\n4,x,true,z\n5,1,1,z\n\"\",,,\n6,,,\n",
        expect![[r#"
            +---+------+-------+---+
            | n | f    | b     | t |
            +---+------+-------+---+
            | 1 | 1.5  | true  | x |
            | 2 |      | false | y |
            | 3 | 20.0 |       |   |
            | 6 |      |       |   |
            +---+------+-------+---+
            "x,1,true,z": field "n" is "x" where the pipeline needs a number
            "4,x,true,z": field "f" is "x" where the pipeline needs a number
            "5,1,1,z": field "b" is "1" where the pipeline needs true or false
            "\"\",,,": field "n" is "" where the pipeline needs a number
        "#]],
    );
}

#[test]
fn other_delimiters_quotes_and_nulls() {
    let tabs = Dialect { delimiter: b'\t', quote: None, header: false, null: "\\N".to_owned() };
    check(
        &tabs,
        &text(&["a", "b"]),
        "\"x\t\\N\n\ty\"\n",
        expect![[r#"
        +----+----+
        | a  | b  |
        +----+----+
        | "x |    |
        |    | y" |
        +----+----+
    "#]],
    );
    let single = Dialect { delimiter: b';', quote: Some(b'\''), null: "NA".to_owned(), ..Dialect::default() };
    check(
        &single,
        &text(&["a", "b"]),
        "'a;b';NA\n'NA';\"\n",
        expect![[r#"
        +-----+---+
        | a   | b |
        +-----+---+
        | a;b |   |
        | NA  | " |
        +-----+---+
    "#]],
    );
}

#[test]
fn bytes_that_are_no_text_are_an_error_of_their_record() {
    let decoded = decode(&Dialect::default(), &text(&["a", "b"]), b"1,2\n\xff,3\n4,\"\xc3\"\n5,6\0\n");
    assert_eq!((decoded.rows.num_rows(), decoded.rejected.len()), (2, 2));
    assert_eq!(decoded.rejected[0].bytes, 4..7);
}

#[test]
fn a_blank_line_is_a_record_only_of_one_field() {
    assert_eq!(decode(&Dialect::default(), &text(&["a"]), b"x\n\ny\n").rows.num_rows(), 3);
    assert_eq!(decode(&Dialect::default(), &text(&["a", "b"]), b"x,1\n\ny,2\n").rows.num_rows(), 2);
}

/// Blocks cut at every byte hold the same records as the whole text.
#[test]
fn a_cut_never_splits_a_record() {
    let dialect = Dialect::default();
    let fields = text(&["a", "b"]);
    let text = "a,\"x\ny\"\n\"\"\"\",\"\"\nb\"c,\"d\"\"\n\"\"e\"\n,\nlast,\"1,2\"\n".as_bytes();
    let ends: Vec<usize> = {
        let (mut ends, mut at) = (vec![0], 0);
        while let Some(end) = split::record_end(text, at, &dialect) {
            ends.push(end);
            at = end;
        }
        ends
    };
    assert_eq!(ends.len(), 6);
    assert_eq!(ends.last(), Some(&text.len()));
    for cut in 0..=text.len() {
        let expected = ends.iter().copied().filter(|end| *end <= cut).max().unwrap_or(0);
        // Inside a record nothing may be taken for its end; behind a quote that may be one of a pair, nothing is certain.
        assert_eq!(whole_records(&text[..cut], &dialect), expected, "cut at {cut}");
    }
    for (size, rows) in (1..40).map(|size| (size, 5)) {
        let (mut at, mut found) = (0, 0);
        let mut length = size;
        while at < text.len() {
            let block = &text[at..(at + length).min(text.len())];
            match whole_records(block, &dialect) {
                0 => length += size,
                whole => {
                    let decoded = decode(&dialect, &fields, &block[..whole]);
                    assert!(decoded.rejected.is_empty(), "{:?}", decoded.rejected);
                    found += decoded.rows.num_rows();
                    at += whole;
                    length = size;
                }
            }
        }
        assert_eq!(found, rows, "blocks of {size}");
    }
}

#[test]
fn what_is_written_is_read_back() {
    let dialect = Dialect::default();
    let fields = text(&["a", "b"]);
    let source = "\"x,y\",\"\"\n,\"q\"\"q\"\n\"two\r\nlines\",plain\n\" \",é\n";
    let batch = Batch { columns: decode(&dialect, &fields, source.as_bytes()).rows, tick: EventTime(0) };
    let shape = Shape {
        columns: vec![("b".into(), "b".into()), ("a".into(), "a".into())],
        document: None,
        reads: vec![],
        ..Shape::default()
    };
    let mut out = Encoded::default();
    CsvEncoder::new(dialect.clone(), shape).encode(&batch, &mut out).expect("encodes");
    assert_eq!(out.ends.len(), 4);
    let written = String::from_utf8(out.bytes).expect("UTF-8");
    assert_eq!(written, "\"\",\"x,y\"\n\"q\"\"q\",\nplain,\"two\r\nlines\"\né, \n");
    let again = decode(&dialect, &text(&["b", "a"]), written.as_bytes()).rows;
    for column in ["a", "b"] {
        assert_eq!(again.column_by_name(column), batch.columns.column_by_name(column), "{column}");
    }
    let shown = String::from_utf8(header(&dialect, ["id", "a,b", "c\"d"].into_iter())).expect("UTF-8");
    assert_eq!(shown, "id,\"a,b\",\"c\"\"d\"\n");
}

#[test]
fn the_first_record_names_the_fields() {
    let dialect = Dialect::default();
    let first = |text: &str, end| first_record(text.as_bytes(), &dialect, end);
    let names = |names: &[&str], length| Ok(Some((names.iter().map(|n| (*n).to_owned()).collect(), length)));
    assert_eq!(first("\u{feff}id,\"na\nme\"\r\n1,2\n", false), names(&["id", "na\nme"], 15));
    assert_eq!(first("\n\nid\n", false), names(&["id"], 5));
    assert_eq!(first("id,n", false), Ok(None), "the line has no end yet");
    assert_eq!(first("id,n", true), names(&["id", "n"], 4));
    assert_eq!(first("", true), Ok(None));
    assert!(first("\"id\"x\n", true).is_err());
}

#[test]
fn a_value_of_a_log_is_one_record() {
    let buffer = Buffer::from(b"\x001,a\x002,\"b\nc\"\n\x003,d\n4,e\x005\xff".as_slice());
    let record = |offset, value: Option<std::ops::Range<u32>>| acme_types::LogRecord {
        offset,
        timestamp_ms: 0,
        key: None,
        value,
        headers: 0..0,
        header_count: 0,
    };
    let records = [
        record(10, Some(1..4)),
        record(11, None),
        record(12, Some(5..13)),
        record(13, Some(14..21)),
        record(14, Some(22..24)),
    ];
    let names = ["n", "t"].map(str::to_owned);
    let wanted = Wanted { path: DocumentPath::field("t"), kind: As::Text, column: "t".to_owned() };
    let mut decoder = CsvDecoder::new(Dialect::default(), &names, vec![wanted]);
    let decoded = decoder.decode(crate::Block { bytes: &buffer, cut: crate::Cut::Values(&records) });
    let texts: Vec<_> = arrow::array::AsArray::as_string_view(decoded.rows.column(0)).iter().collect();
    assert_eq!(texts, [Some("a"), Some("b\nc")]);
    let causes: Vec<_> = decoded.rejected.iter().map(|bad| format!("{} {}", bad.offset, bad.cause)).collect();
    assert_eq!(causes[..2], ["11 has no value: it is a tombstone", "13 holds more than one record"]);
    assert!(causes[2].starts_with("14 is not valid UTF-8"), "{causes:?}");
}
