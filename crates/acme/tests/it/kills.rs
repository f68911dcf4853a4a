//! SIGKILL at random moments: what comes out is what an undisturbed run makes.

use crate::harness::{Place, links};
use std::time::Duration;

const PIPELINE: &str = r#"
name: killed
mode: batch
sources:
  - {type: file, path: in.jsonl}
transforms:
  - {type: filter, condition: "n % 3 <> 0"}
  - {type: map, fields: {double: "n * 2"}}
destinations:
  - {type: file, path: out.jsonl}
settings: {checkpoint: {interval: 5ms}}
"#;

/// When a life ends: early, wherever that is, or just after it has committed something.
fn wait(checkpoints: &std::path::Path, before: u64, kill: u64) {
    if kill.is_multiple_of(3) {
        return std::thread::sleep(Duration::from_millis(5 + kill));
    }
    // A claim and the starting position are two links; one more is an epoch with rows.
    for _ in 0..10_000 {
        if links(checkpoints) > before + 2 {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    std::thread::sleep(Duration::from_millis(kill % 5));
}

#[test]
fn thirty_kills_change_nothing_in_the_output() {
    let place = Place::new();
    let rows = 3_000_000;
    let input: String =
        (0..rows).map(|n| format!("{{\"n\":{n},\"text\":\"some text for row {n}\"}}\n")).collect();
    place.write("in.jsonl", &input);
    place.write("p.yaml", PIPELINE);
    let (mut with_progress, mut before) = (0, 0);
    let checkpoints = place.path("state/killed/checkpoints");
    for kill in 0..30 {
        let mut child = place.spawn(&["run", "p.yaml"]);
        wait(&checkpoints, before, kill);
        let alive = child.try_wait().expect("it can be asked").is_none();
        child.kill().expect("it can be killed");
        child.wait().expect("it ends");
        assert!(alive, "the run ended before kill {kill}: the input is too small to be killed thirty times");
        let now = links(&checkpoints);
        with_progress += usize::from(now > before + 2);
        before = now;
        assert!(!place.path("out.jsonl").exists(), "nothing is published before the end");
    }
    assert!(with_progress >= 20, "only {with_progress} of 30 lives committed rows");
    place.acme_ok(&["run", "p.yaml"]);
    let expected: String = (0..rows)
        .filter(|n| n % 3 != 0)
        .map(|n| format!("{{\"n\":{n},\"text\":\"some text for row {n}\",\"double\":{}}}\n", n * 2))
        .collect();
    let found = place.read("out.jsonl");
    assert_eq!(found.len(), expected.len());
    assert!(found == expected, "the output differs from an undisturbed run's");
    println!("30 kills, {with_progress} of them in lives that had committed rows");
}
