//! Every kind of window over the same rows: in order, shuffled within the disorder, by one lane and by several, killed and resumed.

use super::{Windows, assert_same, clicks, found, lines, mixed, reckoned};
use crate::harness::Place;
use crate::lives::{Hits, Life, clear_marks};

const PIPELINE: &str = "\
name: windows
mode: batch
sources:
  - {type: file, path: in.jsonl, event_time: {column: ts, unit: ms, max_out_of_orderness: 20s}}
transforms:
  - type: window
    name: sums
    window: WINDOW
    group_by: [CAST(user AS VARCHAR) AS user]
    aggregates: {clicks: 'count(*)', total: 'sum(n)'}
destinations:
  - {type: file, path: out.jsonl}
settings: {parallelism: LANES, checkpoint: {interval: 20ms}}
";

const MINUTE: i64 = 60_000;

/// The windows of a hop that contain a moment, each looked at.
fn hops(size: i64, hop: i64, offset: i64) -> Box<Windows> {
    Box::new(move |ts| {
        let newest = (ts - offset).div_euclid(hop);
        let starts = (newest - size / hop - 1..=newest).map(|k| k * hop + offset);
        starts.filter(|start| *start <= ts && ts < start + size).map(|start| (start, start + size)).collect()
    })
}

fn kinds() -> Vec<(&'static str, Box<Windows>)> {
    vec![
        ("{type: tumbling, size: 1m}", hops(MINUTE, MINUTE, 0)),
        ("{type: tumbling, size: 7s, offset: 3s}", hops(7000, 7000, 3000)),
        ("{type: hopping, size: 6m, hop: 10m}", hops(6 * MINUTE, 10 * MINUTE, 0)),
        ("{type: hopping, size: 10s, hop: 4s}", hops(10_000, 4000, 0)),
        ("{type: sliding, size: 6m, slide: 2m}", hops(6 * MINUTE, 2 * MINUTE, 0)),
        (
            "{type: cumulative, size: 5m, step: 1m}",
            Box::new(|ts| {
                let start = ts - ts.rem_euclid(5 * MINUTE);
                (1..=5).map(|n| (start, start + n * MINUTE)).filter(|(_, end)| ts < *end).collect()
            }),
        ),
    ]
}

fn pipeline(window: &str, lanes: usize) -> String {
    PIPELINE.replace("WINDOW", window).replace("LANES", &lanes.to_string())
}

#[test]
fn every_kind_of_window_is_what_a_plain_reckoning_makes_of_the_rows() {
    let (in_order, disordered) = (clicks(60_000, 0), clicks(60_000, 19_000));
    for (window, windows) in kinds() {
        for (rows, lanes) in [(&in_order, 1), (&disordered, 2), (&disordered, 5)] {
            let place = Place::new();
            place.write("in.jsonl", &lines(rows));
            place.write("p.yaml", &pipeline(window, lanes));
            place.acme_ok(&["run", "p.yaml"]);
            assert_same(&found(&place.read("out.jsonl")), &reckoned(rows, &windows));
        }
    }
}

#[test]
fn times_before_1970_and_texts_are_times_like_others() {
    let place = Place::new();
    let row = |at: &str| format!("{{\"user\":\"a\",\"at\":\"{at}\",\"n\":1}}\n");
    let before = ["1969-12-31T23:58:59Z", "1969-12-31T23:59:00Z", "1970-01-01T00:59:59.999+01:00"].map(row);
    let behind = ["1970-01-01T00:00:00Z", "1970-01-01T00:00:59.999999Z"].map(row);
    place.write("in.jsonl", &[before.concat(), behind.concat()].concat());
    let text = pipeline("{type: tumbling, size: 1m}", 1).replace("column: ts, unit: ms", "column: at");
    place.write("p.yaml", &text);
    place.acme_ok(&["run", "p.yaml"]);
    let expected = [(-2, 1), (-1, 2), (0, 2)];
    let expected =
        expected.map(|(minute, n)| ((minute * MINUTE, (minute + 1) * MINUTE, "a".to_owned()), (n, n)));
    assert_same(&found(&place.read("out.jsonl")), &expected.into());
}

/// Where a run is held, so that its death has a name.
const PHASES: [&str; 5] =
    ["epoch.barrier", "task.saved", "epoch.prepared", "epoch.stored", "epoch.committed"];

#[test]
fn kills_change_nothing_nor_does_another_number_of_lanes() {
    let rows = clicks(1_500_000, 19_000);
    let text = lines(&rows);
    let mut hits = Hits::default();
    for (window, windows) in kinds().into_iter().skip(3) {
        let place = Place::new();
        place.write("in.jsonl", &text);
        for (number, phase) in (0..).zip(PHASES) {
            // Another number of shards in each life: the keys are divided anew.
            place.write("p.yaml", &pipeline(window, 1 + usize::try_from(mixed(number) % 5).expect("small")));
            clear_marks(&place.path("marks"));
            let point = format!("{phase}@{}", 2 + number % 3);
            let mut life = Life::start(&place, "p.yaml", &[], &point);
            life.reach(&place, &point);
            life.kill();
            hits.add(phase);
            assert!(!place.path("out.jsonl").exists(), "nothing is published before the end");
        }
        place.write("p.yaml", &pipeline(window, 2));
        place.acme_ok(&["run", "p.yaml"]);
        assert_same(&found(&place.read("out.jsonl")), &reckoned(&rows, &windows));
    }
    hits.require(&PHASES);
}

#[test]
fn aggregates_filters_and_expressions_are_those_of_sql() {
    let place = Place::new();
    let rows = [(1, "b", "x", 4), (3, "a", "y", 1), (2, "a", "x", 3), (9, "b", "x", 4), (70, "a", "z", 8)];
    let row = |(ts, user, page, n): (i64, &str, &str, i64)| {
        format!("{{\"ts\":{ts},\"user\":\"{user}\",\"page\":\"{page}\",\"n\":{n},\"cost\":{n}.25}}\n")
    };
    place.write("in.jsonl", &rows.map(row).concat());
    place.write(
        "p.yaml",
        r#"
name: aggregates
mode: batch
sources:
  - type: file
    path: in.jsonl
    event_time: {column: ts, unit: s, max_out_of_orderness: 1m}
transforms:
  - type: window
    window: {type: tumbling, size: 1m}
    group_by: [user]
    aggregates:
      rows: "count(*)"
      pages: "count(DISTINCT page)"
      first: "first_value(page)"
      last: "last_value(page)"
      all_pages: "string_agg(page, '-')"
      total: "sum(n)"
      mean: "avg(n)"
      least: "min(cost)"
      most: "max(cost)"
      large: "count(*) FILTER (WHERE n > 3)"
      per_page: "sum(cost) / count(DISTINCT page)"
destinations:
  - {type: file, path: out.jsonl}
settings: {parallelism: 1}
"#,
    );
    place.acme_ok(&["run", "p.yaml"]);
    let mut lines: Vec<String> = place.read("out.jsonl").lines().map(str::to_owned).collect();
    lines.sort_unstable();
    let times = |minute: &str, next: &str| {
        format!(
            "\"window_start\":\"1970-01-01T00:0{minute}:00Z\",\"window_end\":\"1970-01-01T00:0{next}:00Z\""
        )
    };
    let (first, second) = (times("0", "1"), times("1", "2"));
    assert_eq!(
        lines,
        [
            format!(
                "{{\"user\":\"a\",{first},\"rows\":2,\"pages\":2,\"first\":\"x\",\"last\":\"y\",\"all_pages\":\"x-y\",\"total\":4,\
                 \"mean\":2,\"least\":1.25,\"most\":3.25,\"large\":0,\"per_page\":2.25}}"
            ),
            format!(
                "{{\"user\":\"a\",{second},\"rows\":1,\"pages\":1,\"first\":\"z\",\"last\":\"z\",\"all_pages\":\"z\",\"total\":8,\
                 \"mean\":8,\"least\":8.25,\"most\":8.25,\"large\":1,\"per_page\":8.25}}"
            ),
            format!(
                "{{\"user\":\"b\",{first},\"rows\":2,\"pages\":1,\"first\":\"x\",\"last\":\"x\",\"all_pages\":\"x-x\",\"total\":8,\
                 \"mean\":4,\"least\":4.25,\"most\":4.25,\"large\":2,\"per_page\":8.5}}"
            ),
        ]
    );
}
