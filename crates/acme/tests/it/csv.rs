//! CSV in and out, and between CSV and JSON.

use crate::harness::{Place, stop, text, until};
use expect_test::{Expect, expect};
use std::fmt::Write;

const ORDERS: &str =
    "id,customer,amount,note\n1,ann,12.50,\"say \"\"hi\"\", twice\"\n2,bob,,\"two\nlines\"\n3,,7,\"\"\n";

fn pipeline(source: &str, transforms: &str, destination: &str) -> String {
    format!(
        "name: p\nmode: batch\nsources:\n  - {{type: file, name: in, {source}}}\ntransforms: [{transforms}]\n\
         destinations:\n  - {{type: file, name: out, {destination}}}\n"
    )
}

const CSV: &str = "path: in.csv, format: csv";

#[track_caller]
fn check(input: &str, source: &str, transforms: &str, destination: &str, expect: Expect) {
    let place = Place::new();
    place.write("in.csv", input);
    place.write("p.yaml", &pipeline(source, transforms, destination));
    place.acme_ok(&["run", "p.yaml"]);
    expect.assert_eq(&place.read("out"));
}

#[track_caller]
fn refused(files: &[(&str, &str)], pipeline: &str, expect: Expect) {
    let place = Place::new();
    for (name, content) in files {
        place.write(name, content);
    }
    place.write("p.yaml", pipeline);
    let error = place.acme_fails(&["validate", "p.yaml"]);
    expect.assert_eq(&error);
    assert_eq!(place.acme_fails(&["run", "p.yaml"]), error, "run finds what validate finds");
}

#[test]
fn a_filter_keeps_records_as_they_are() {
    check(
        ORDERS,
        CSV,
        "{type: filter, condition: \"amount > 10 OR customer = 'bob'\"}",
        "path: out, format: csv",
        expect![[r#"
            id,customer,amount,note
            1,ann,12.50,"say ""hi"", twice"
            2,bob,,"two
            lines"
        "#]],
    );
}

#[test]
fn undeclared_fields_are_text_unless_their_use_says_otherwise() {
    check(
        ORDERS,
        CSV,
        "{type: map, fields: {double: \"amount * 2\", big: \"amount > 10\", Who: \"upper(customer)\"}, rename: {id: order_id}, drop: [note]}",
        "path: out",
        expect![[r#"
            {"order_id":"1","customer":"ann","amount":"12.50","double":25,"big":true,"Who":"ANN"}
            {"order_id":"2","customer":"bob","amount":null,"double":null,"big":null,"Who":"BOB"}
            {"order_id":"3","customer":null,"amount":"7","double":14,"big":false,"Who":null}
        "#]],
    );
}

#[test]
fn a_declared_schema_types_the_fields() {
    check(
        ORDERS,
        "path: in.csv, format: csv, schema: {id: bigint, amount: \"decimal(10, 2)\"}",
        "{type: map, fields: {half: \"id / 2\"}}",
        "path: out",
        expect![[r#"
            {"id":1,"customer":"ann","amount":12.50,"note":"say \"hi\", twice","half":0}
            {"id":2,"customer":"bob","amount":null,"note":"two\nlines","half":1}
            {"id":3,"customer":null,"amount":7.00,"note":"","half":1}
        "#]],
    );
}

#[test]
fn documents_become_records_after_a_select() {
    let json = "{\"id\":1,\"user\":{\"name\":\"a,b\"},\"tags\":[1,\"x\"],\"ok\":true}\n{\"id\":\"q\",\"user\":null,\"ok\":false}\n";
    check(
        json,
        "path: in.csv",
        "{type: select, fields: [id, \"user.name AS name\", tags, \"ok = true AS fine\", \"1.50 AS price\"]}",
        "path: out, format: csv, csv: {delimiter: \";\", null: NA}",
        expect![[r#"
            id;name;tags;fine;price
            1;a,b;"[1,""x""]";true;1.50
            q;NA;NA;false;1.50
        "#]],
    );
}

#[test]
fn documents_with_a_schema_become_records() {
    check(
        "{\"id\":1,\"at\":\"2024-01-01T10:00:00Z\",\"tags\":[\"a\",\"b\"],\"other\":5}\n{\"id\":2}\n",
        "path: in.csv, schema: {id: int, at: timestamp with time zone, tags: array<string>}",
        "{type: map, rename: {id: number}, fields: {twice: \"id * 2\"}}",
        "path: out, format: csv",
        expect![[r#"
            number,at,tags,twice
            1,2024-01-01T10:00:00Z,"[""a"",""b""]",2
            2,,,4
        "#]],
    );
}

#[test]
fn a_destination_of_csv_must_know_its_columns() {
    refused(
        &[],
        &pipeline("path: in.jsonl", "{type: filter, condition: \"a > 5\"}", "path: out, format: csv"),
        expect![[r#"
            error[A0205]: the rows are documents, and a CSV file must know its columns
              --> p.yaml:7:5
              help: put a `select` with the fields in front of it, or declare them under `schema:` of the source
        "#]],
    );
    refused(
        &[("in.csv", ORDERS)],
        "name: p\nmode: batch\nsources: [{type: file, name: in, path: in.csv, format: csv}]\ntransforms:\n  \
         - {type: select, name: one, from: in, fields: [id]}\n  - {type: select, name: two, from: in, fields: [amount, id]}\n\
         destinations:\n  - {type: file, name: out, from: [one, two], path: out.csv, format: csv}\n",
        expect![[r#"
            error[A0205]: "out" receives rows with the columns id and rows with amount, id
              --> p.yaml:8:5
              help: give each of them a destination of its own, or a `select` of the same fields
        "#]],
    );
}

#[test]
fn names_are_known_before_the_start() {
    refused(
        &[("in.csv", ORDERS)],
        &pipeline(
            "path: in.csv, format: csv, schema: {idd: bigint, note: array<string>, amount: nmber}",
            "{type: filter, condition: \"amuont > 5 AND id > 0\"}",
            "path: out, format: csv",
        ),
        expect![[r#"
            error[A0202]: the records have no field "idd", which the schema declares
              --> p.yaml:4:69
              help: known fields: id, customer, amount, note
            error[A0104]: field "note" cannot be an array: the fields of CSV are text
              --> p.yaml:4:83
              help: declare it as json where it holds JSON, else as string
            error[A0104]: field "amount": "nmber" is no type; known are boolean, tinyint, smallint, int, bigint, float, double, decimal(p, s), string, date, timestamp(p), timestamp(p) with time zone, bytes, json, array<…>
              --> p.yaml:4:106
            error[A0202]: there is no field "amuont" at this step
              --> p.yaml:5:40
              help: did you mean "amount"?
        "#]],
    );
    refused(
        &[("in.csv", "a,b,a\n")],
        &pipeline(CSV, "", "path: out"),
        expect![[r#"
        error[A0401]: two fields of the header are called "a"
          --> in.csv:1:1
          help: give them different names, or set `header: false` and name them under `schema:`
    "#]],
    );
    refused(
        &[("in.csv", "a,\"b\"c\n")],
        &pipeline(CSV, "", "path: out"),
        expect![[r#"
            error[A0401]: the first record is not valid: field 2 has text behind its closing quote
              --> in.csv:1:1
        "#]],
    );
    refused(
        &[],
        &pipeline(
            "path: in.csv, csv: {delimiter: x}",
            "",
            "path: out, format: csv, csv: {delimiter: ab, quote: none}",
        ),
        expect![[r#"
            error[A0104]: `csv` has no meaning for the format json
              --> p.yaml:4:47
              help: add `format: csv`
            error[A0104]: "delimiter" must be one ASCII character, not "ab"
              --> p.yaml:7:70
        "#]],
    );
}

#[test]
fn a_field_that_is_no_number_is_an_error_of_its_record() {
    let place = Place::new();
    place.write("in.csv", "id,amount\n1,5\n2,\"abc\"\n3,\n4\n5,1,2\n\"6\"x,1\n7,8\n");
    let letters = "  - {type: file, name: dead, path: dead.jsonl}\nsettings: {errors: {policy: dead_letter, to: dead}}\n";
    place.write(
        "p.yaml",
        &(pipeline(
            CSV,
            "{type: filter, condition: \"amount > 1 OR amount IS NULL\"}",
            "path: out, format: csv",
        ) + letters),
    );
    place.acme_ok(&["run", "p.yaml"]);
    assert_eq!(place.read("out"), "id,amount\n1,5\n3,\n7,8\n");
    expect![[r#"
        {"error_code":"A0401","error":"field \"amount\" is \"abc\" where the pipeline needs a number","step":"in","origin":"in.csv@14","original":"2,\"abc\"","original_bytes":null}
        {"error_code":"A0401","error":"has 1 field where the file has 2 fields","step":"in","origin":"in.csv@25","original":"4","original_bytes":null}
        {"error_code":"A0401","error":"has 3 fields where the file has 2 fields","step":"in","origin":"in.csv@27","original":"5,1,2","original_bytes":null}
        {"error_code":"A0401","error":"field 1 has text behind its closing quote","step":"in","origin":"in.csv@33","original":"\"6\"x,1","original_bytes":null}
    "#]].assert_eq(&place.read("dead.jsonl"));
    // The same without a place for them: the run stops and shows the record.
    place.write("stop.yaml", &pipeline(CSV, "{type: filter, condition: \"amount > 1\"}", "path: out2"));
    let error = place.acme_fails(&["run", "stop.yaml"]);
    assert!(
        error.contains("in.csv@14")
            && error.contains("2,\"abc\"")
            && error.contains("where the pipeline needs a number"),
        "{error}"
    );
}

#[test]
fn files_of_a_glob_have_one_header() {
    let place = Place::new();
    place.write("a.csv", "id,n\n1,2\n");
    place.write("b.csv", "id,n\r\n3,4\r\n");
    place.write("c.csv", "\u{feff}id,n\n5,6");
    place.write("d.csv", "id,n\n");
    place.write("e.csv", "");
    let source = "path: \"*.csv\", format: csv";
    place.write("p.yaml", &pipeline(source, "", "path: out"));
    place.acme_ok(&["run", "p.yaml"]);
    let rows = "{\"id\":\"1\",\"n\":\"2\"}\n{\"id\":\"3\",\"n\":\"4\"}\n{\"id\":\"5\",\"n\":\"6\"}\n";
    assert_eq!(place.read("out"), rows);
    place.write("f.csv", "id,m\n7,8\n");
    let error = place.acme_fails(&["run", "p.yaml"]);
    expect![[r#"
        p: failed: 0 rows in (0/s), 0 out (0/s), 0 commits in 0.0 s
          from in: 0 rows
          to   out: 0 rows
        error[A0401]: the header is id, m, and the pipeline reads id, n
          --> f.csv:1:1
          help: all files of a source have the same header: give this one a source of its own
    "#]]
    .assert_eq(&error);
    assert_eq!(place.read("out"), rows, "nothing was published");
}

#[test]
fn without_a_header_fields_are_numbered_or_named_by_the_schema() {
    let bare = "1,x\n2,y\n";
    check(
        bare,
        "path: in.csv, format: csv, csv: {header: false}",
        "{type: filter, condition: \"column_1 > 1\"}",
        "path: out, format: csv, csv: {header: false, delimiter: \"\\\\t\"}",
        expect![[r#"
            2	y
        "#]],
    );
    check(
        bare,
        "path: in.csv, format: csv, csv: {header: false}, schema: {id: int, name: string}",
        "",
        "path: out, format: csv",
        expect![[r#"
            id,name
            1,x
            2,y
        "#]],
    );
}

/// Quoted line ends everywhere, over many blocks, by several lanes.
#[test]
fn records_are_never_split_between_blocks() {
    let (mut input, mut expected) = (String::from("id,text\n"), String::from("id,text\n"));
    for id in 0..200_000 {
        let line = match id % 4 {
            0 => format!("{id},\"line\nof \"\"{id}\"\"\n\"\n"),
            1 => format!("{id},plain {id}\n"),
            2 => format!("{id},\"{}\"\n", "x\n".repeat(id % 50)),
            _ => format!("{id},inch\"{id}\n"),
        };
        input.push_str(&line);
        let shown = match id % 4 {
            2 if id % 50 == 0 => format!("{id},\"\"\n"),
            3 => format!("{id},\"inch\"\"{id}\"\n"),
            _ => line,
        };
        expected.push_str(&shown);
    }
    let place = Place::new();
    place.write("in.csv", &input);
    place.write("p.yaml", &(pipeline(CSV, "", "path: out, format: csv") + "settings: {parallelism: 4}\n"));
    place.acme_ok(&["run", "p.yaml"]);
    assert!(input.len() > 5 << 20, "several blocks");
    assert!(place.read("out") == expected, "the output differs");
}

#[test]
fn a_tail_waits_for_the_end_of_a_record() {
    let place = Place::new();
    place.write("in.csv", "id,te");
    place.write(
        "p.yaml",
        "name: p\nsources: [{type: file, path: \"*.csv\", format: csv, schema: {id: int, text: string}}]\n\
         destinations: [{type: file, path: out/out.csv, format: csv}]\nsettings: {checkpoint: {interval: 20ms}}\n",
    );
    let child = place.spawn(&["run", "p.yaml"]);
    let hidden = place.path("out/.out.csv.in-progress-1");
    let so_far = || std::fs::read_to_string(&hidden).unwrap_or_default();
    let (mut input, mut expected) = (String::from("id,te"), String::new());
    let _ = writeln!(expected, "id,text");
    for (more, row) in [
        ("xt\n1,one\n", "1,one\n"),
        ("2,\"two", ""),
        ("\nhalves\"", ""),
        ("\n3,x\n4", "2,\"two\nhalves\"\n3,x\n"),
        (",\"\"\"\"\n", "4,\"\"\"\"\n"),
    ] {
        input.push_str(more);
        place.append("in.csv", more);
        expected.push_str(row);
        until("the records that are whole", || {
            so_far() == expected || (row.is_empty() && !so_far().is_empty())
        });
    }
    // A file that comes later has its header checked as well.
    place.write("new.csv", "id,text\n9,late\n");
    expected.push_str("9,late\n");
    until("the new file", || so_far() == expected);
    let output = stop(child);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(place.read("out/out.csv"), expected);
    // A second life goes on behind the first, and begins its own file with a header.
    let child = place.spawn(&["run", "p.yaml"]);
    place.append("in.csv", "5,five\n");
    let hidden = place.path("out/.out.csv.in-progress-2");
    until("the row", || std::fs::read_to_string(&hidden).is_ok_and(|text| text == "id,text\n5,five\n"));
    place.write("other.csv", "text,id\nx,1\n");
    let output = child.wait_with_output().expect("it ends");
    let error = text(&output.stderr);
    assert!(!output.status.success() && error.contains("--> other.csv:1:1"), "{error}");
}

#[test]
fn a_dry_run_shows_whole_records() {
    let place = Place::new();
    place.write("in.csv", ORDERS);
    place.write("p.yaml", &pipeline(CSV, "", "path: out, format: csv"));
    expect![[r#"
        source in (in.csv): 2 rows

        destination out would receive 2 rows
          {"id":"1","customer":"ann","amount":"12.50","note":"say \"hi\", twice"}
          {"id":"2","customer":"bob","amount":null,"note":"two\nlines"}
    "#]]
    .assert_eq(&place.acme_ok(&["run", "p.yaml", "--dry-run", "--limit", "2"]));
    expect![[r#"
        pipeline p (batch)

        source in (file)
          yields    CSV records of id, customer, amount, note
          decodes   id as scalar, customer as scalar, amount as scalar, note as scalar

        destination out (file) ← in
          receives  id, customer, amount, note
          promises  exactly once: rows are prepared and take effect with the commit

        commit      every 1.0s, where something moved
        bad rows    stop in front of it
        end to end  exactly once
    "#]]
    .assert_eq(&place.acme_ok(&["explain", "p.yaml"]));
}
