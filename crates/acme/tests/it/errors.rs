//! What a user reads who made a mistake.

use crate::harness::Place;
use expect_test::{Expect, expect};

#[track_caller]
fn check(pipeline: &str, expect: Expect) {
    let place = Place::new();
    place.write("p.yaml", pipeline);
    let error = place.acme_fails(&["validate", "p.yaml"]);
    expect.assert_eq(&error);
    assert_eq!(place.acme_fails(&["run", "p.yaml"]), error, "run finds what validate finds");
}

#[test]
fn every_mistake_is_found_at_once() {
    check(
        r#"name: p
mode: batsch
sources:
  - {type: fil, path: in.jsonl}
  - {type: file, pat: in.jsonl}
  - {type: file, path: "${NOPE}"}
transforms:
  - {type: filter, conditon: "event_type = 'purchase'"}
destinations:
  - {type: stdout, from: nowhere}
  - {type: file}
settings:
  checkpoint: {interval: 10}
"#,
        expect![[r#"
            error[A0104]: "mode" cannot be "batsch"
              --> p.yaml:2:7
              help: did you mean "batch"?
            error[A0105]: there is no source of type "fil"
              --> p.yaml:4:12
              help: did you mean "file"?
            error[A0102]: unknown key "pat" in source "file"
              --> p.yaml:5:18
              help: did you mean "path"?
            error[A0108]: variable NOPE is not set
              --> p.yaml:6:24
              help: set NOPE in the environment, or give a default: ${NOPE:-value}
            error[A0102]: unknown key "conditon" in transform "filter"
              --> p.yaml:8:20
              help: did you mean "condition"?
            error[A0106]: there is no step "nowhere" to read from
              --> p.yaml:10:26
              help: known steps: file-2, file-3, filter-1
            error[A0103]: destination "file" needs the key "path"
              --> p.yaml:11:5
              help: add `path:` (The file)
            error[A0104]: "interval" must be a duration such as 500ms, 10s, 5m, 1h, not "10"
              --> p.yaml:13:26
        "#]],
    );
}

#[test]
fn checkpoints_are_not_kept_where_nobody_looks_for_them() {
    check(
        "name: p\nsources: [{type: generator, fields: {n: sequence}, rows: 1}]\ndestinations: [{type: stdout}]\nsettings:\n  checkpoint: {store: \"s3://key:word@bucket/p\"}\n",
        expect![[r#"
            error[A0104]: checkpoints can be kept in directories only
              --> p.yaml:5:23
              help: give a directory that outlives the machine's restarts, or leave `store:` out
        "#]],
    );
}

#[test]
fn expressions_are_checked_before_the_start() {
    check(
        r#"name: p
mode: batch
sources:
  - {type: generator, fields: {id: sequence, status: "choice(a, b)"}, rows: 1}
transforms:
  - {type: filter, condition: "staus = 'a'"}
  - {type: filter, condition: "id +"}
  - {type: filter, condition: "id"}
  - {type: map, fields: {x: "nosuch(id)"}}
destinations:
  - {type: stdout}
"#,
        expect![[r#"
            error[A0202]: there is no field "staus" at this step
              --> p.yaml:6:31
              help: did you mean "status"?
            error[A0201]: `id +` is not valid SQL: Expected: an expression, found: EOF
              --> p.yaml:7:31
            error[A0201]: the condition is Int64, not true or false
              --> p.yaml:8:31
              help: compare it with something
            error[A0201]: Invalid function 'nosuch'
              --> p.yaml:9:29
        "#]],
    );
}

#[test]
fn a_field_that_is_used_as_two_types_is_refused() {
    check(
        r#"name: p
mode: batch
sources:
  - {type: file, path: in.jsonl}
transforms:
  - {type: filter, condition: "a = 'x'"}
  - {type: filter, condition: "a > 5"}
  - {type: filter, condition: "b < c"}
  - {type: map, fields: {t: "to_timestamp(d)"}}
destinations:
  - {type: stdout}
"#,
        expect![[r#"
            error[A0203]: field "a" is used as a number here and as text at p.yaml:6:31
              --> p.yaml:7:31
              help: cast it where it is used, such as CAST(field AS VARCHAR)
            error[A0203]: nothing says how "b" and "c" are ordered
              --> p.yaml:8:31
              help: cast one of them, such as CAST(field AS BIGINT)
            error[A0203]: nothing says what the fields in `to_timestamp(d)` are
              --> p.yaml:9:29
              help: cast them, such as CAST(field AS VARCHAR) or CAST(field AS BIGINT)
        "#]],
    );
}

#[test]
fn text_that_is_no_pipeline_is_refused() {
    check(
        "",
        expect![[r#"
        error[A0101]: the file is empty
          --> p.yaml:1:1
          help: start with `name:`, `sources:` and `destinations:`
    "#]],
    );
    check(
        "name: [",
        expect![[r#"
        error[A0101]: not valid YAML: while parsing a node, did not find expected node content
          --> p.yaml:2:1
    "#]],
    );
    check(
        "- a\n- b\n",
        expect![[r#"
        error[A0104]: a pipeline must be a mapping, not a list
          --> p.yaml:1:1
    "#]],
    );
    check(
        "name: p\nname: q\nsources: 5\ndestinations: []\n",
        expect![[r#"
        error[A0107]: key "name" stands twice in one mapping
          --> p.yaml:2:1
        error[A0104]: "sources" must be a list of sources, not a single value
          --> p.yaml:3:10
          help: begin each item with `- type:`
        error[A0103]: the pipeline has no destinations
          --> p.yaml:4:15
    "#]],
    );
}

#[test]
fn steps_in_a_circle_are_refused() {
    check(
        r#"name: p
sources: [{type: file, path: in.jsonl}]
transforms:
  - {type: filter, name: a, from: b, condition: "true"}
  - {type: filter, name: b, from: a, condition: "true"}
destinations: [{type: stdout}]
"#,
        expect![[r#"
            error[A0109]: step "a" reads, directly or through others, its own rows
              --> p.yaml:4:5
            error[A0109]: step "b" reads, directly or through others, its own rows
              --> p.yaml:5:5
        "#]],
    );
}

#[test]
fn a_missing_input_is_an_error_with_its_place() {
    let place = Place::new();
    place.write("p.yaml", "name: p\nmode: batch\nsources:\n  - {type: file, path: no/such.jsonl}\ndestinations: [{type: stdout}]\n");
    let error = place.acme_fails(&["run", "p.yaml"]);
    assert!(error.contains("no file matches no/such.jsonl") && error.contains("p.yaml:4:"), "{error}");
}

#[test]
fn a_source_that_shrank_stops_the_pipeline() {
    let place = Place::new();
    place.write("in.jsonl", "{\"n\":1}\n{\"n\":2}\n");
    place.write(
        "p.yaml",
        "name: p\nsources: [{type: file, path: in.jsonl}]\ndestinations: [{type: file, path: out.jsonl}]\n",
    );
    let child = place.spawn(&["run", "p.yaml"]);
    std::thread::sleep(std::time::Duration::from_millis(800));
    let id = child.id().to_string();
    std::process::Command::new("kill").args(["-TERM", &id]).status().expect("kill runs");
    child.wait_with_output().expect("it ends");
    assert_eq!(place.read("out.jsonl").lines().count(), 2);
    place.write("in.jsonl", "{\"n\":1}\n");
    let error = place.acme_fails(&["run", "p.yaml"]);
    assert!(error.contains("error[A0303]"), "{error}");
}

#[test]
fn the_same_name_twice_is_refused() {
    let place = Place::new();
    place.write("p.yaml", "name: p\nsources: [{type: generator, rate: 10, fields: {n: sequence}}]\ndestinations: [{type: file, path: out.jsonl}]\n");
    let mut child = place.spawn(&["run", "p.yaml"]);
    std::thread::sleep(std::time::Duration::from_millis(500));
    let error = place.acme_fails(&["run", "p.yaml"]);
    assert!(error.contains("error[A0404]"), "{error}");
    child.kill().expect("it runs");
    child.wait().expect("it ends");
}

#[test]
fn every_code_has_a_page() {
    let place = Place::new();
    for line in place.acme_ok(&["error"]).lines() {
        let code = line.split(' ').next().expect("a code");
        assert!(place.acme_ok(&["error", code]).starts_with(code));
    }
    assert!(place.acme_fails(&["error", "A9999"]).contains("no error code"));
}

#[test]
fn the_schema_for_editors_is_json() {
    let schema = Place::new().acme_ok(&["json-schema"]);
    let schema: serde_json::Value = serde_json::from_str(&schema).expect("it is JSON");
    assert!(schema["properties"]["sources"]["items"]["oneOf"].as_array().is_some_and(|all| all.len() > 1));
}
