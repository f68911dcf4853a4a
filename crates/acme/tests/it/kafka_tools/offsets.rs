//! Setting the offsets of groups, in every way.

use super::{CONSUMER, GROUPS, acme, acme_json, fill, topic, unique};
use crate::harness::{Place, text};

/// A group that has read a topic: 5 records in partition 0, 2 in partition 1, none in partition 2.
fn group() -> (String, String) {
    let (topic, group) = (topic(3, &[]), unique("reset-"));
    fill(&topic, 0, "a:1\na:2\na:3\na:4\na:5\n");
    fill(&topic, 1, "b:1\nb:2\n");
    let arguments = ["--topic", &topic, "--group", &group, "--from-beginning", "--max-messages", "7"];
    assert!(CONSUMER.theirs(&arguments).status.success());
    (topic, group)
}

fn offsets(group: &str) -> Vec<(i64, i64)> {
    let rows = acme_json(&["groups", "describe", group]);
    let rows = rows[0]["offsets"].as_array().cloned().unwrap_or_default();
    let number = |row: &serde_json::Value, name: &str| row[name].as_i64().unwrap_or(-1);
    let mut all: Vec<_> =
        rows.iter().map(|row| (number(row, "partition"), number(row, "current_offset"))).collect();
    all.sort_unstable();
    all
}

#[test]
fn every_mode_plans_what_kafkas_own_tool_plans() {
    let (topic, group) = group();
    let place = Place::new();
    place.write("plan.csv", &format!("\"{topic}\",0,1\n{topic},1,99\n"));
    let plan = place.path("plan.csv").display().to_string();
    let some = format!("{topic}:0,1");
    for mode in [
        &["--to-earliest"][..],
        &["--to-latest"],
        &["--to-current"],
        &["--to-offset", "1"],
        &["--to-offset", "100"],
        &["--shift-by", "-1"],
        &["--shift-by", "1"],
        &["--to-datetime", "2020-01-01T00:00:00.000"],
        &["--to-datetime", "2020-01-01T00:00:00.000+02:00"],
        &["--to-datetime", "2090-01-01T00:00:00.000Z"],
        &["--by-duration", "PT1H"],
        &["--by-duration", "P1DT0.5S"],
        &["--by-duration", "an hour"],
    ] {
        for scope in [&["--topic", &topic][..], &["--topic", &some], &["--all-topics"]] {
            let arguments = [&["--reset-offsets", "--dry-run", "--group", &group][..], mode, scope].concat();
            // One scope shows them all; the others differ in the scope only.
            if scope[0] == "--topic" && (scope[1] == topic || mode[0] == "--to-earliest") {
                GROUPS.agree(&arguments);
            } else {
                assert!(GROUPS.ours(&arguments).status.success() || mode[1] == "an hour", "{arguments:?}");
            }
        }
    }
    let base = ["--reset-offsets", "--group", &group, "--from-file", &plan];
    let planned = GROUPS.agree(&[&base[..], &["--dry-run"]].concat());
    assert!(planned.contains(" 2"), "an offset behind the end is the end: {planned}");
    GROUPS.agree(&["--reset-offsets", "--group", &group, "--topic", &topic, "--to-latest", "--export"]);
    GROUPS.agree(&["--reset-offsets", "--group", &group, "--topic", "nowhere", "--to-latest", "--dry-run"]);
    let wrong = format!("{topic}:77");
    GROUPS.agree(&["--reset-offsets", "--group", &group, "--topic", &wrong, "--to-latest", "--dry-run"]);
    // A group that does not exist yet gets its offsets before its first member comes.
    GROUPS.agree(&["--reset-offsets", "--group", "unborn", "--topic", &topic, "--to-latest", "--dry-run"]);
    assert_eq!(offsets(&group), [(0, 5), (1, 2), (2, 0)], "nothing was changed");
}

#[test]
fn what_was_planned_is_done_with_execute_only() {
    let (topic, group) = group();
    let base = ["--reset-offsets", "--group", &group, "--topic", &topic];
    let reset = |more: &[&str]| {
        let output = GROUPS.ours(&[&base[..], more].concat());
        assert!(output.status.success(), "{}", text(&output.stdout));
        text(&output.stderr)
    };
    assert!(reset(&["--to-earliest"]).starts_with("WARN: No action will be performed"));
    assert_eq!(offsets(&group), [(0, 5), (1, 2), (2, 0)]);
    assert_eq!(reset(&["--to-earliest", "--execute"]), "");
    assert_eq!(offsets(&group), [(0, 0), (1, 0), (2, 0)]);
    reset(&["--shift-by", "2", "--execute"]);
    assert_eq!(offsets(&group), [(0, 2), (1, 2), (2, 0)]);
    GROUPS.agree(&["--describe", "--group", &group]);

    let export = ["groups", "reset-offsets", &group, "--topic", &topic, "--to-offset", "1", "--export"];
    let plan = acme(&export);
    let place = Place::new();
    place.write("plan.csv", &text(&plan.stdout));
    let plan = place.path("plan.csv").display().to_string();
    let planned = acme(&["groups", "reset-offsets", &group, "--from-file", &plan]);
    assert!(text(&planned.stderr).contains("nothing was changed: add --execute"));
    let done = acme_json(&["groups", "reset-offsets", &group, "--from-file", &plan, "--execute"]);
    assert_eq!(done[0]["executed"], true);
    assert_eq!(offsets(&group), [(0, 1), (1, 1), (2, 0)]);
}

#[test]
fn a_reset_without_scope_or_mode_says_what_is_missing() {
    for arguments in [
        &["--reset-offsets", "--group", "g", "--to-earliest", "--dry-run"][..],
        &["--reset-offsets", "--group", "g", "--topic", "t", "--to-earliest", "--dry-run", "--execute"],
        &["--reset-offsets", "--topic", "t", "--to-earliest", "--dry-run"],
        &["--describe"],
        &["--describe", "--group", "g", "--members", "--state"],
        &["--delete", "--group", "g", "--topic", "t"],
        &["--list", "--group", "g"],
        &["--list", "--state", "wrong"],
        &["--list", "--type", "wrong"],
    ] {
        let (theirs, ours) = (GROUPS.theirs(arguments), GROUPS.ours(arguments));
        let first = |bytes: &[u8]| text(bytes).lines().next().unwrap_or_default().to_owned();
        // The names that a sentence ends with come in the order of a hash there.
        let words = |line: String| {
            let mut words: Vec<String> = line.replace(',', "").split(' ').map(str::to_owned).collect();
            words.sort();
            words
        };
        assert_eq!(words(first(&theirs.stderr)), words(first(&ours.stderr)), "{arguments:?}");
        assert_eq!((theirs.status.code(), ours.status.code()), (Some(1), Some(1)), "{arguments:?}");
    }
    let nothing = acme(&["groups", "reset-offsets", "g", "--topic", "t"]);
    assert_eq!(nothing.status.code(), Some(2));
    assert!(text(&nothing.stderr).contains("give one of --to-earliest"), "{}", text(&nothing.stderr));
}
