//! Several pipelines in one run.

use crate::harness::{Place, stop, text, until};
use std::process::Child;

/// Fills a file without an end.
fn endless(name: &str) -> String {
    format!(
        "name: {name}\nmode: streaming\nsources:\n  - {{type: generator, rate: 500, fields: {{id: sequence}}}}\n\
         destinations:\n  - {{type: file, path: {name}/part.jsonl, rotate: {{every: 1s}}}}\n"
    )
}

fn copy(name: &str, from: &str, to: &str) -> String {
    format!(
        "name: {name}\nmode: batch\nsources:\n  - {{type: file, path: {from}}}\n\
         transforms:\n  - {{type: filter, condition: \"n > 0\"}}\n\
         destinations:\n  - {{type: file, path: {to}}}\n"
    )
}

/// The pipelines that run.
fn running(place: &Place) -> Vec<String> {
    let status = place.acme_ok(&["status", "--output", "json"]);
    let status: serde_json::Value = serde_json::from_str(&status).expect("it is JSON");
    let all = status.as_array().expect("a list").iter();
    all.map(|it| format!("{} {}", it["name"].as_str().unwrap(), it["status"].as_str().unwrap())).collect()
}

fn alive(child: &mut Child) -> bool {
    child.try_wait().expect("it can be asked").is_none()
}

#[test]
fn batch_pipelines_run_one_after_another_and_each_sees_all_that_came_before() {
    let place = Place::new();
    place.write("in.jsonl", "{\"n\":1}\n{\"n\":2}\n");
    // In this order, though no name and no time would say so.
    place.write("z.yaml", &copy("z", "in.jsonl", "middle.jsonl"));
    place.write("a.yaml", &copy("a", "middle.jsonl", "out.jsonl"));
    let output = place.acme(&["run", "z.yaml", "a.yaml"]);
    let said = text(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert_eq!(place.read("out.jsonl"), "{\"n\":1}\n{\"n\":2}\n");
    let at = |what: &str| said.find(what).unwrap_or_else(|| panic!("{what}: {said}"));
    assert!(at("z: complete: 2 rows in") < at("a: complete: 2 rows in"), "{said}");
}

#[test]
fn every_mistake_of_every_file_is_said_before_the_first_row_moves() {
    let place = Place::new();
    place.write("in.jsonl", "{\"n\":1}\n");
    place.write("good.yaml", &copy("good", "in.jsonl", "out.jsonl"));
    place.write("twin.yaml", &copy("good", "in.jsonl", "other.jsonl"));
    place.write("bad.yaml", &copy("bad", "in.jsonl", "out.jsonl").replace("condition", "conditon"));
    let said = place.acme_fails(&["run", "good.yaml", "twin.yaml", "bad.yaml", "missing.yaml"]);
    for what in [
        "error[A0107]: twin.yaml and good.yaml are both named \"good\"",
        "error[A0102]: unknown key \"conditon\" in transform \"filter\"",
        "--> bad.yaml:6:20",
        "error[A0111]: cannot read missing.yaml",
    ] {
        assert!(said.contains(what), "{what}: {said}");
    }
    assert!(!place.path("out.jsonl").exists(), "something ran");
}

#[test]
fn endless_pipelines_run_side_by_side_are_seen_and_stopped_singly_and_end_together() {
    let place = Place::new();
    place.write("in.jsonl", "{\"n\":1}\n");
    for name in ["one", "two"] {
        place.write(&format!("{name}.yaml"), &endless(name));
    }
    place.write("copy.yaml", &copy("copy", "in.jsonl", "out.jsonl"));
    let mut child = place.spawn(&["run", "one.yaml", "copy.yaml", "two.yaml"]);
    until("both to run", || running(&place) == ["one running", "two running"]);
    assert_eq!(place.read("out.jsonl"), "{\"n\":1}\n", "the batch between them has run");
    place.acme_ok(&["stop", "one"]);
    until("one to end", || running(&place) == ["two running"]);
    assert!(alive(&mut child));
    let ended = stop(child);
    let said = text(&ended.stderr);
    assert!(ended.status.success(), "{said}");
    for name in ["one", "copy", "two"] {
        let how = if name == "copy" { "complete" } else { "stopped" };
        assert!(said.contains(&format!("{name}: {how}: ")), "{said}");
    }
    assert_eq!(running(&place), Vec::<String>::new());
}

#[test]
fn when_one_fails_the_others_are_stopped_and_the_rest_is_not_begun() {
    let place = Place::new();
    place.write("in.jsonl", "{\"n\":1}\n{\"n\":\"much\"}\n");
    place.write("one.yaml", &endless("one"));
    place.write("copy.yaml", &copy("copy", "in.jsonl", "out.jsonl"));
    place.write("next.yaml", &copy("next", "out.jsonl", "next.jsonl"));
    let said = place.acme_fails(&["run", "one.yaml", "copy.yaml", "next.yaml"]);
    assert!(said.contains("copy: failed: "), "{said}");
    assert!(said.contains("one: stopped"), "{said}");
    assert!(said.contains("next: stopped before anything was read"), "{said}");
    assert!(said.contains("error[A0401]") && said.contains("in.jsonl@8"), "{said}");
    assert!(!place.path("next.jsonl").exists());
}

#[test]
fn a_batch_that_is_stopped_does_not_let_the_next_begin() {
    let place = Place::new();
    let slow = endless("slow").replace("streaming", "batch").replace("rate: 500", "rate: 500, rows: 1000000");
    place.write("slow.yaml", &slow);
    place.write("in.jsonl", "{\"n\":1}\n");
    place.write("next.yaml", &copy("next", "in.jsonl", "next.jsonl"));
    let child = place.spawn(&["run", "slow.yaml", "next.yaml"]);
    until("the first to run", || running(&place) == ["slow running"]);
    place.acme_ok(&["stop", "slow"]);
    let ended = child.wait_with_output().expect("it ends");
    let said = text(&ended.stderr);
    assert!(ended.status.success(), "{said}");
    assert!(said.contains("slow: stopped") && !place.path("next.jsonl").exists(), "{said}");
}
