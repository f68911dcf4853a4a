//! Windows that cannot be: said before the first row moves, all at once.

use crate::harness::Place;
use crate::lives::{Life, until};
use std::collections::BTreeSet;

const PIPELINE: &str = "\
name: faulty
mode: batch
sources:
  - {type: file, path: in.jsonl, SOURCE}
transforms:
  - {type: window, name: w, WINDOW}
destinations:
  - {type: file, path: out.jsonl}
";

const TIME: &str = "event_time: {column: ts, unit: ms}";

fn says(source: &str, window: &str) -> String {
    let place = Place::new();
    place.write("in.jsonl", "{\"ts\":1,\"n\":1}\n");
    place.write("p.yaml", &PIPELINE.replace("SOURCE", source).replace("WINDOW", window));
    place.acme_fails(&["validate", "p.yaml"])
}

const COUNT: &str = "aggregates: {n: 'count(*)'}";
const TUMBLING: &str = "window: {type: tumbling, size: 1m}";

#[test]
fn a_window_that_cannot_be_is_said_with_a_remedy() {
    let (tumbling, count) = (TUMBLING, COUNT);
    check(&[
        ("", format!("{tumbling}, {count}"), "needs to know when things happened", "add `event_time:"),
        (
            TIME,
            format!("window: {{type: tumbling, size: 1m, hop: 1m}}, {count}"),
            "a tumbling window has no \"hop\"",
            "remove it",
        ),
        (
            TIME,
            format!("window: {{type: hopping, size: 1m}}, {count}"),
            "a hopping window needs \"hop\"",
            "add `hop:`",
        ),
        (
            TIME,
            format!("window: {{type: sliding, size: 1m, slide: 2m}}, {count}"),
            "\"slide\" is longer than \"size\"",
            "`hopping`",
        ),
        (
            TIME,
            format!("window: {{type: cumulative, size: 1m, step: 7s}}, {count}"),
            "does not divide",
            "whole number of steps",
        ),
        (
            TIME,
            format!("window: {{type: tumbling, size: 10us}}, {count}"),
            "shorter than a millisecond",
            "take 1ms",
        ),
        (TIME, format!("window: {{type: tumbling, size: 5}}, {count}"), "must be a duration", "5m"),
        (TIME, format!("window: {{type: round, size: 1m}}, {count}"), "cannot be \"round\"", "tumbling"),
    ]);
}

#[test]
fn what_a_window_cannot_aggregate_is_said_with_a_remedy() {
    let (tumbling, count) = (TUMBLING, COUNT);
    check(&[
        (
            TIME,
            format!("{tumbling}, aggregates: {{n: 'n + 1'}}"),
            "`n + 1` aggregates nothing",
            "aggregates are",
        ),
        (
            TIME,
            format!("{tumbling}, aggregates: {{n: 'sum(count(n))'}}"),
            "takes no aggregate as its argument",
            "aggregate once",
        ),
        (TIME, format!("{tumbling}, aggregates: {{n: 'sum('}}"), "is not valid SQL", ""),
        (
            TIME,
            format!("{tumbling}, aggregates: {{window_start: 'count(*)'}}"),
            "\"window_start\" twice",
            "another name",
        ),
        (TIME, format!("{tumbling}, group_by: [n, n], {count}"), "\"n\" twice", "AS"),
        (
            TIME,
            format!("{tumbling}, {count}, late: {{to: late}}"),
            "nothing reads the output \"late\"",
            "destination",
        ),
        (
            "event_time: {column: ts, unit: weeks}",
            format!("{tumbling}, {count}"),
            "cannot be \"weeks\"",
            "ms",
        ),
        (
            "event_time: {unit: ms}",
            format!("{tumbling}, {count}"),
            "no time of their own",
            "event_time: {column",
        ),
        (
            "schema: {ts: bigint}, event_time: {column: ts}",
            format!("{tumbling}, {count}"),
            "cannot be the event time",
            "add `unit:`",
        ),
        (
            "schema: {ts: boolean}, event_time: {column: ts}",
            format!("{tumbling}, {count}"),
            "cannot be the event time",
            "timestamp",
        ),
    ]);
}

/// Source, window, and what the message and its help contain.
fn check(table: &[(&str, String, &str, &str)]) {
    for (source, window, message, help) in table {
        let source = if source.is_empty() { "format: json" } else { source };
        let said = says(source, window);
        assert!(said.contains(message) && said.contains(help), "{source} {window}: {said}");
        assert!(said.contains("p.yaml:"), "{said}");
    }
}

#[test]
fn a_row_without_event_time_follows_the_error_policy() {
    let place = Place::new();
    place.write("in.jsonl", "{\"ts\":1,\"n\":1}\n{\"n\":2}\n{\"ts\":null,\"n\":3}\n{\"ts\":2,\"n\":4}\n");
    let text = PIPELINE
        .replace("SOURCE", TIME)
        .replace("WINDOW", "window: {type: tumbling, size: 1m}, aggregates: {total: 'sum(n)'}");
    place.write("p.yaml", &text);
    let said = place.acme_fails(&["run", "p.yaml"]);
    assert!(said.contains("it has no event time: \"ts\" is missing or null"), "{said}");
    place.write("p.yaml", &format!("{text}settings: {{errors: {{policy: skip}}}}\n"));
    place.acme_ok(&["run", "p.yaml"]);
    assert!(place.read("out.jsonl").contains("\"total\":5"), "{}", place.read("out.jsonl"));
}

#[test]
fn another_computation_does_not_begin_with_the_state_of_the_former() {
    let place = Place::new();
    place.write("in.jsonl", "{\"ts\":1,\"n\":1}\n");
    let text = PIPELINE
        .replace("mode: batch", "mode: streaming")
        .replace("SOURCE", TIME)
        .replace("WINDOW", "window: {type: tumbling, size: 1m}, aggregates: {total: 'sum(n)'}");
    place.write("p.yaml", &text);
    run_until_it_has_stored(&place, 1);
    for (before, after) in [
        ("size: 1m", "size: 2m"),
        ("sum(n)", "sum(n + 1)"),
        ("aggregates:", "group_by: [n % 2 AS odd], aggregates:"),
    ] {
        place.write("p.yaml", &text.replace(before, after));
        let said = place.acme_fails(&["run", "p.yaml"]);
        assert!(
            said.contains("the state of step \"w\" is that of another computation") && said.contains("A0411"),
            "{said}"
        );
    }
    // What it says helps: under another name it begins anew.
    place.write("p.yaml", &text.replace("size: 1m", "size: 2m").replace("name: w,", "name: w2,"));
    run_until_it_has_stored(&place, 2);
}

/// Runs until the state has been stored by so many lives.
fn run_until_it_has_stored(place: &Place, lives: usize) {
    let life = Life::start(place, "p.yaml", &[], "");
    let states = place.path("state/faulty/checkpoints");
    until("a state is stored", || {
        let names = std::fs::read_dir(&states).into_iter().flatten().flatten();
        let names = names.filter_map(|entry| entry.file_name().into_string().ok());
        let writer = |name: String| Some(name.split('-').nth(2)?.to_owned());
        let writers: BTreeSet<String> =
            names.filter(|name| name.starts_with("state-")).filter_map(writer).collect();
        writers.len() >= lives
    });
    life.stop();
}
