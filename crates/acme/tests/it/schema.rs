//! `schema:` of a source: what is declared holds for every record.

use crate::harness::Place;
use expect_test::{Expect, expect};

fn pipeline(schema: &str, transforms: &str, rest: &str) -> String {
    format!(
        "name: p\nmode: batch\nsources:\n  - type: file\n    name: in\n    path: in.jsonl\n    schema: {schema}\n\
         transforms: [{transforms}]\ndestinations:\n  - {{type: file, name: out, path: out.jsonl}}\n{rest}"
    )
}

const SCHEMA: &str =
    "{id: bigint, price: \"decimal(10,2)\", at: timestamp, tags: \"array<string>\", user: json, ok: boolean}";

#[track_caller]
fn refused(schema: &str, transforms: &str, expect: Expect) {
    let place = Place::new();
    place.write("in.jsonl", "{}\n");
    place.write("p.yaml", &pipeline(schema, transforms, ""));
    let error = place.acme_fails(&["validate", "p.yaml"]);
    expect.assert_eq(&error);
    assert_eq!(place.acme_fails(&["run", "p.yaml"]), error, "run finds what validate finds");
}

#[test]
fn declared_fields_have_their_types_and_documents_their_bytes() {
    let place = Place::new();
    place.write(
        "in.jsonl",
        "{\"id\":7,\"price\":1.50,\"at\":\"2024-05-01T12:30:00\",\"tags\":[\"a\"],\"user\":{ \"n\" : 1 },\"extra\":[ 1 ]}\n{\"id\":8}\n",
    );
    place.write("p.yaml", &pipeline(SCHEMA, "{type: filter, condition: \"id > 0\"}", ""));
    place.acme_ok(&["run", "p.yaml"]);
    assert_eq!(place.read("out.jsonl"), place.read("in.jsonl"), "a filter forwards the original bytes");
    place.write(
        "q.yaml",
        &pipeline(
            SCHEMA,
            "{type: map, fields: {half: \"id / 2\", sum: \"price + 1\", hour: \"date_part('hour', at)\", late: \"at > '2024-05-01'\", \
             many: \"array_length(tags)\", n: \"user.n + 1\", whole: user}, rename: {id: number}, drop: [tags]}",
            "",
        ),
    );
    place.acme_ok(&["run", "q.yaml"]);
    expect![[r#"
        {"number":7,"price":1.50,"at":"2024-05-01T12:30:00","user":{ "n" : 1 },"extra":[ 1 ],"half":3,"sum":2.50,"hour":12,"late":true,"many":1,"n":2,"whole":{ "n" : 1 }}
        {"number":8,"half":4,"sum":null,"hour":null,"late":null,"many":null,"n":null,"whole":null}
    "#]].assert_eq(&place.read("out.jsonl"));
    expect!["  decodes   user.n as number, id as bigint, price as decimal(10, 2), at as timestamp(6), tags as array<string>, user as json, ok as boolean; the document travels as it came"].assert_eq(place.acme_ok(&["explain", "q.yaml"]).lines().nth(4).unwrap_or_default());
}

#[test]
fn a_wrong_type_is_an_error_of_its_record_wherever_it_is_used() {
    let place = Place::new();
    place.write(
        "in.jsonl",
        "{\"id\":1}\n{\"id\":\"2\"}\n{\"id\":1.5}\n{\"price\":1.005}\n{\"at\":\"yesterday\"}\n{\"tags\":\"x\"}\n{\"ok\":1,\"id\":\"x\"}\n{\"user\":5}\n",
    );
    let rest = "  - {type: file, name: dead, path: dead.jsonl}\nsettings: {errors: {policy: dead_letter, to: dead}}\n";
    // No step uses any of the fields.
    place.write("p.yaml", &pipeline(SCHEMA, "", rest));
    place.acme_ok(&["run", "p.yaml"]);
    assert_eq!(place.read("out.jsonl"), "{\"id\":1}\n{\"user\":5}\n");
    expect![[r#"
        {"error_code":"A0401","error":"field \"id\" is text where the pipeline needs a number","step":"in","origin":"in.jsonl@9","original":"{\"id\":\"2\"}","original_bytes":null}
        {"error_code":"A0401","error":"field \"id\" is 1.5 where the schema says bigint","step":"in","origin":"in.jsonl@20","original":"{\"id\":1.5}","original_bytes":null}
        {"error_code":"A0401","error":"field \"price\" is 1.005 where the schema says decimal(10, 2)","step":"in","origin":"in.jsonl@31","original":"{\"price\":1.005}","original_bytes":null}
        {"error_code":"A0401","error":"field \"at\" is \"yesterday\" where the pipeline needs a timestamp","step":"in","origin":"in.jsonl@47","original":"{\"at\":\"yesterday\"}","original_bytes":null}
        {"error_code":"A0401","error":"field \"tags\" is \"\"x\"\" where the pipeline needs an array","step":"in","origin":"in.jsonl@66","original":"{\"tags\":\"x\"}","original_bytes":null}
        {"error_code":"A0401","error":"field \"ok\" is a number where the pipeline needs true or false","step":"in","origin":"in.jsonl@79","original":"{\"ok\":1,\"id\":\"x\"}","original_bytes":null}
    "#]].assert_eq(&place.read("dead.jsonl"));
}

#[test]
fn a_use_that_contradicts_the_schema_is_found_at_its_place() {
    refused(
        SCHEMA,
        "{type: filter, condition: \"id = 'abc'\"}, {type: filter, condition: \"ok\"}, {type: filter, condition: \"id\"}, \
         {type: filter, condition: \"tags = 5 OR price LIKE 'a%'\"}, {type: map, fields: {x: \"ok + 1\", y: \"id.x\", z: \"CAST(id AS VARCHAR) = '5'\"}}, \
         {type: filter, condition: \"id IN (1, 2) AND at < '2024-01-01' AND ok = 'true'\"}",
        expect![[r#"
            error[A0203]: field "id" is used as text here and declared as a number at p.yaml:7:18
              --> p.yaml:8:40
              help: mend one of them, or cast it where it is used, such as CAST(field AS VARCHAR)
            error[A0203]: field "id" is used as true or false here and declared as a number at p.yaml:7:18
              --> p.yaml:8:114
              help: mend one of them, or cast it where it is used, such as CAST(field AS VARCHAR)
            error[A0201]: Cannot infer common argument type for comparison operation List(Utf8View) = Int64
              --> p.yaml:8:147
            error[A0203]: field "ok" is used as a number here and declared as true or false at p.yaml:7:104
              --> p.yaml:8:203
              help: mend one of them, or cast it where it is used, such as CAST(field AS VARCHAR)
            error[A0202]: field "id" is no document, it has no members
              --> p.yaml:8:216
            error[A0203]: field "ok" is used as text here and declared as true or false at p.yaml:7:104
              --> p.yaml:8:284
              help: mend one of them, or cast it where it is used, such as CAST(field AS VARCHAR)
        "#]],
    );
}

#[test]
fn a_schema_that_cannot_be_read_says_so_at_its_place() {
    refused(
        "{id: bigintt, price: \"decimal(50, 2)\", at: timestamp(12), a: array<nothing>}",
        "",
        expect![[r#"
            error[A0104]: field "id": "bigintt" is no type; known are boolean, tinyint, smallint, int, bigint, float, double, decimal(p, s), string, date, timestamp(p), timestamp(p) with time zone, bytes, json, array<…>
              --> p.yaml:7:18
            error[A0104]: field "price": a decimal has 1 to 38 digits, and not more of them behind the point
              --> p.yaml:7:34
            error[A0104]: field "at": a timestamp has 0 to 9 digits behind the second
              --> p.yaml:7:56
            error[A0104]: field "a": "nothing" is no type; known are boolean, tinyint, smallint, int, bigint, float, double, decimal(p, s), string, date, timestamp(p), timestamp(p) with time zone, bytes, json, array<…>
              --> p.yaml:7:74
        "#]],
    );
    refused(
        "{b: {c: int}}",
        "",
        expect![[r#"
        error[A0104]: "b" must be a single value, not a mapping
          --> p.yaml:7:17
    "#]],
    );
}

#[test]
fn the_editors_schema_knows_the_key() {
    let schema: serde_json::Value =
        serde_json::from_str(&Place::new().acme_ok(&["json-schema"])).expect("it is JSON");
    let sources = schema["properties"]["sources"]["items"]["oneOf"].as_array().expect("a list");
    let file = sources.iter().find(|item| item["properties"]["type"]["const"] == "file").expect("a source");
    for key in ["schema", "csv", "format"] {
        assert!(file["properties"][key].is_object(), "{key}");
    }
}
