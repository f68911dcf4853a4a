//! From file to file.

use crate::harness::{Place, text};
use expect_test::{Expect, expect};

#[track_caller]
fn check(transforms: &str, input: &str, expect: Expect) {
    let place = Place::new();
    place.write("in.jsonl", input);
    place.write("p.yaml", &pipeline(transforms));
    place.acme_ok(&["run", "p.yaml"]);
    expect.assert_eq(&place.read("out.jsonl"));
}

fn pipeline(transforms: &str) -> String {
    format!(
        "name: p\nmode: batch\nsources:\n  - {{type: file, path: in.jsonl}}\ntransforms:\n{transforms}\n\
         destinations:\n  - {{type: file, path: out.jsonl}}\n"
    )
}

const EVENTS: &str = r#"{"event_type":"purchase","amount":12.50,"user":{"id":"u1","tags":["a","b"]},"extra":{ "x" : 1 }}
{"event_type":"view","amount":null,"user":{"id":"u2"}}
{"event_type":"purchase","amount":7,"user":null}
"#;

#[test]
fn a_filter_forwards_the_original_bytes() {
    check(
        "  - {type: filter, condition: \"event_type = 'purchase'\"}",
        EVENTS,
        expect![[r#"
            {"event_type":"purchase","amount":12.50,"user":{"id":"u1","tags":["a","b"]},"extra":{ "x" : 1 }}
            {"event_type":"purchase","amount":7,"user":null}
        "#]],
    );
}

#[test]
fn a_map_adds_replaces_renames_and_drops() {
    check(
        r#"  - type: map
    fields:
      amount: "amount * 2"
      who: "upper(user.id)"
      second: "user['tags'][1]"
      kind: "CASE WHEN amount > 10 THEN 'big' ELSE 'small' END"
    rename: {event_type: type}
    drop: [user]"#,
        EVENTS,
        expect![[r#"
            {"type":"purchase","amount":25,"extra":{ "x" : 1 },"who":"U1","second":"b","kind":"big"}
            {"type":"view","amount":null,"who":"U2","second":null,"kind":"small"}
            {"type":"purchase","amount":14,"who":null,"second":null,"kind":"small"}
        "#]],
    );
}

#[test]
fn a_select_makes_rows_anew() {
    check(
        r#"  - type: select
    fields: [event_type, user.id, "amount / 4 AS quarter", "user AS whole"]"#,
        EVENTS,
        expect![[r#"
            {"event_type":"purchase","id":"u1","quarter":3.125,"whole":{"id":"u1","tags":["a","b"]}}
            {"event_type":"view","id":"u2","quarter":null,"whole":{"id":"u2"}}
            {"event_type":"purchase","id":null,"quarter":1.75,"whole":null}
        "#]],
    );
}

#[test]
fn members_of_a_computed_document_can_be_read() {
    check(
        r#"  - {type: map, only: [user, amount]}
  - {type: filter, condition: "user.id LIKE 'u%'"}
  - type: map
    fields: {id: "user['id']", first: "user.tags[0]", tags: user.tags, text: "CAST(user.tags AS VARCHAR)"}"#,
        EVENTS.lines().take(1).collect::<Vec<_>>().join("\n").as_str(),
        expect![[r#"
            {"user":{"id":"u1","tags":["a","b"]},"amount":12.50,"id":"u1","first":"a","tags":["a","b"],"text":"[\"a\",\"b\"]"}
        "#]],
    );
}

#[test]
fn only_keeps_what_is_listed() {
    check(
        "  - {type: map, only: [amount, missing]}",
        EVENTS,
        expect![[r#"
            {"amount":12.50,"missing":null}
            {"amount":null,"missing":null}
            {"amount":7,"missing":null}
        "#]],
    );
}

#[test]
fn a_route_sends_each_row_to_the_first_output_that_takes_it() {
    let place = Place::new();
    place.write("in.jsonl", "{\"n\":1}\n{\"n\":50}\n{\"n\":500}\n{\"n\":null}\n");
    place.write(
        "p.yaml",
        r#"
name: routes
mode: batch
sources: [{type: file, path: in.jsonl}]
transforms:
  - type: route
    routes: {huge: "n > 100", big: "n > 10"}
    default: rest
destinations:
  - {type: file, name: huge, path: huge.jsonl}
  - {type: file, name: big, path: big.jsonl}
  - {type: file, name: others, from: [rest, huge], path: others.jsonl}
"#,
    );
    place.acme_ok(&["run", "p.yaml"]);
    assert_eq!(place.read("huge.jsonl"), "{\"n\":500}\n");
    assert_eq!(place.read("big.jsonl"), "{\"n\":50}\n");
    assert_eq!(place.read("others.jsonl"), "{\"n\":500}\n{\"n\":1}\n{\"n\":null}\n");
}

#[test]
fn numbers_stay_exact() {
    check(
        r#"  - {type: map, fields: {sum: "a + b", product: "a * b", rest: "a % 7"}}"#,
        "{\"a\":9223372036854775807,\"b\":1}\n{\"a\":0.1,\"b\":0.2}\n{\"a\":18446744073709551615,\"b\":3}\n",
        expect![[r#"
            {"a":9223372036854775807,"b":1,"sum":9223372036854775808,"product":9223372036854775807,"rest":0}
            {"a":0.1,"b":0.2,"sum":0.3,"product":0.02,"rest":0.1}
            {"a":18446744073709551615,"b":3,"sum":18446744073709551618,"product":55340232221128654845,"rest":1}
        "#]],
    );
}

#[test]
fn now_is_the_tick_of_the_batch_and_not_of_the_plan() {
    let place = Place::new();
    place.write("in.jsonl", "{\"n\":1}\n");
    place.write(
        "p.yaml",
        "name: now\nsources: [{type: file, path: in.jsonl}]\ntransforms: [{type: map, fields: {at: \"NOW()\"}}]\n\
         destinations: [{type: file, path: out.jsonl}]\n",
    );
    let child = place.spawn(&["run", "p.yaml"]);
    std::thread::sleep(std::time::Duration::from_millis(1500));
    place.append("in.jsonl", "{\"n\":2}\n");
    std::thread::sleep(std::time::Duration::from_millis(500));
    let id = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &id]).status().expect("kill runs").success());
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let out = place.read("out.jsonl");
    let seconds: Vec<f64> = out.lines().map(seconds).collect();
    assert_eq!(seconds.len(), 2, "{out}");
    let apart = (seconds[1] - seconds[0]).rem_euclid(60.0);
    assert!((1.0..20.0).contains(&apart), "{out}");
}

/// The seconds of the minute in `"at":"2026-11-21T05:52:26.141629Z"`.
fn seconds(line: &str) -> f64 {
    let at = line.split("\"at\":\"").nth(1).expect("a time");
    at[17..].split('Z').next().and_then(|text| text.parse().ok()).expect("seconds")
}

#[test]
fn bad_rows_stop_are_skipped_or_go_to_the_dead_letters() {
    let place = Place::new();
    place.write("in.jsonl", "{\"n\":1}\n{\"n\":\"x\"}\n{\"n\":0}\nnonsense\n{\"n\":2}\n");
    let pipeline = |settings: &str| {
        format!(
            "name: bad\nmode: batch\nsources: [{{type: file, name: in, path: in.jsonl}}]\n\
             transforms: [{{type: map, name: div, fields: {{q: \"10 % n\"}}}}]\n\
             destinations:\n  - {{type: file, name: out, path: out.jsonl}}\n{settings}"
        )
    };
    place.write("stop.yaml", &pipeline(""));
    let error = place.acme_fails(&["run", "stop.yaml"]);
    assert!(
        error.contains("error[A0401]") && error.contains("in.jsonl@8") && error.contains("{\"n\":\"x\"}"),
        "{error}"
    );
    assert!(!place.path("out.jsonl").exists());

    place.write("skip.yaml", &pipeline("settings: {errors: {policy: skip}}\n"));
    let output = place.acme(&["run", "skip.yaml"]);
    assert!(output.status.success() && text(&output.stderr).contains("3 failed"), "{}", text(&output.stderr));
    assert_eq!(place.read("out.jsonl"), "{\"n\":1,\"q\":0}\n{\"n\":2,\"q\":0}\n");

    let letters = "  - {type: file, name: dead, path: dead.jsonl}\nsettings: {errors: {policy: dead_letter, to: dead}}\n";
    place.write("dead.yaml", &pipeline(letters));
    place.acme_ok(&["run", "dead.yaml"]);
    assert_eq!(place.read("out.jsonl"), "{\"n\":1,\"q\":0}\n{\"n\":2,\"q\":0}\n");
    expect![[r#"
        {"error_code":"A0401","error":"field \"n\" is text where the pipeline needs a number","step":"in","origin":"in.jsonl@8","original":"{\"n\":\"x\"}","original_bytes":null}
        {"error_code":"A0401","error":"is not a JSON object: expected ident at line 1 column 2","step":"in","origin":"in.jsonl@26","original":"nonsense","original_bytes":null}
        {"error_code":"A0402","error":"Divide by zero error","step":"div","origin":"in.jsonl@18","original":"{\"n\":0}","original_bytes":null}
    "#]]
    .assert_eq(&place.read("dead.jsonl"));
}

#[test]
fn a_finished_batch_starts_anew_and_replaces_its_output() {
    let place = Place::new();
    place.write("p.yaml", &pipeline("  - {type: filter, condition: \"n > 1\"}"));
    place.write("in.jsonl", "{\"n\":1}\n{\"n\":2}\n");
    place.acme_ok(&["run", "p.yaml"]);
    place.acme_ok(&["run", "p.yaml"]);
    assert_eq!(place.read("out.jsonl"), "{\"n\":2}\n");
    place.write("in.jsonl", "{\"n\":1}\n");
    place.acme_ok(&["run", "p.yaml"]);
    assert_eq!(place.read("out.jsonl"), "");
}

#[test]
fn the_quickstart_runs_as_it_stands() {
    let place = Place::new();
    let orders = include_str!("../../../../examples/orders.yaml");
    place.write("orders.yaml", &orders.replace("    rate: 50000\n", ""));
    place.write("quickstart.yaml", include_str!("../../../../examples/quickstart.yaml"));
    place.acme_ok(&["run", "orders.yaml", "quickstart.yaml"]);
    let count = |name: &str| place.read(&format!("out/quickstart/{name}.jsonl")).lines().count();
    assert_eq!((count("pending"), count("small")), (30_018, 89_995));
    let large = place.acme_ok(&["consume", "large-orders", "--from-beginning", "--timeout-ms", "5000"]);
    assert_eq!(large.lines().count(), 40_001);
}
