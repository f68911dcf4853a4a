//! Where partitions begin and end, and cutting their beginnings off.

use super::{DELETE_RECORDS, NODE, OFFSETS, fill, topic};
use crate::harness::{Place, text};

#[test]
fn offsets_are_those_of_kafkas_own_tool() {
    let name = topic(11, &[]);
    fill(&name, 0, "a:1\na:2\na:3\n");
    fill(&name, 10, "b:1\n");
    let all = OFFSETS.agree(&["--topic", &name]);
    // Sorted as text, as Java does it.
    let lines: Vec<&str> = all.lines().take(3).collect();
    assert_eq!(lines, [format!("{name}:0:3"), format!("{name}:1:0"), format!("{name}:10:1")]);
    let rules = format!("{name}:0-2,{name}:10");
    assert_eq!(OFFSETS.agree(&["--topic-partitions", &rules, "--time", "-2"]).lines().count(), 3);
    assert_eq!(OFFSETS.agree(&["--topic", &name, "--time", "-3"]).lines().count(), 2, "the others are empty");
    for time in ["earliest-local", "-5", "0", "99999999999999"] {
        OFFSETS.agree(&["--topic", &name, "--partitions", "0,1", "--time", time]);
    }
    let json = OFFSETS.ours(&["--topic", &name, "--partitions", "10", "--output", "json"]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).expect("it is JSON");
    assert_eq!(json, serde_json::json!([{ "topic": name, "partition": 10, "offset": 1 }]));
}

#[test]
fn mistakes_about_offsets_are_said_as_by_kafkas_own_tool() {
    for arguments in [
        &["--topic", "nowhere"][..],
        &["--topic", "x", "--time", "soon"],
        &["--topic", "x", "--partitions", "0,x"],
        &["--topic-partitions", "x", "--topic", "x"],
    ] {
        OFFSETS.refuse(arguments);
    }
    // The codec does not know the version of the request that could ask for it: that is said, and once.
    let name = topic(3, &[]);
    let refused = OFFSETS.ours(&["--topic", &name, "--time", "earliest-pending-upload"]);
    assert_eq!(refused.status.code(), Some(1));
    assert_eq!(text(&refused.stderr).lines().count(), 1, "{}", text(&refused.stderr));
}

#[test]
fn records_are_deleted_as_by_kafkas_own_tool() {
    let name = topic(3, &[]);
    fill(&name, 0, "a:1\na:2\na:3\n");
    fill(&name, 1, "b:1\nb:2\n");
    let place = Place::new();
    let plan = |text: &str| {
        place.write("plan.json", &text.replace("TOPIC", &name));
        place.path("plan.json").display().to_string()
    };
    let file = plan(
        r#"{"partitions": [{"topic": "TOPIC", "partition": 0, "offset": 2}, {"topic": "TOPIC", "partition": 1, "offset": -1}]}"#,
    );
    let deleted = DELETE_RECORDS.agree(&["--offset-json-file", &file]);
    assert!(deleted.contains(&format!("partition: {name}-0\tlow_watermark: 2\n")), "{deleted}");
    assert_eq!(
        text(&OFFSETS.ours(&["--topic", &name, "--time", "-2"]).stdout),
        format!("{name}:0:2\n{name}:1:2\n{name}:2:0\n")
    );
    let file = plan(r#"{"partitions": [{"topic": "TOPIC", "partition": 0, "offset": 99}], "version": 1}"#);
    let refused = DELETE_RECORDS.agree(&["--offset-json-file", &file]);
    assert!(
        refused.contains("error: org.apache.kafka.common.errors.OffsetOutOfRangeException: "),
        "{refused}"
    );
    let ours = DELETE_RECORDS.ours(&["--offset-json-file", &file]);
    assert_eq!(ours.status.code(), Some(1));
    assert!(text(&ours.stderr).starts_with("help: `acme kafka-get-offsets`"), "{}", text(&ours.stderr));

    // Java asks for a minute for a topic that is not there.
    let file = plan(r#"{"partitions": [{"topic": "nowhere", "partition": 0, "offset": 0}], "version": 1}"#);
    let ours = DELETE_RECORDS.ours(&["--offset-json-file", &file]);
    assert_eq!(ours.status.code(), Some(1));
    assert!(text(&ours.stdout).contains("partition: nowhere-0\terror: "), "{}", text(&ours.stdout));
    for (wrong, both) in [
        ("{", true),
        (r#"{"partitions": [{"topic": "t", "partition": "x", "offset": 0}]}"#, true),
        (r#"{"partitions": [{"topic": "t", "partition": 0}]}"#, false),
        (r#"{"partitions": [], "version": 2}"#, false),
    ] {
        let file = plan(wrong);
        if both {
            DELETE_RECORDS.refuse(&["--offset-json-file", &file]);
        }
        let ours = DELETE_RECORDS.ours(&["--offset-json-file", &file]);
        assert_eq!(ours.status.code(), Some(1), "{wrong}");
        assert_eq!(text(&ours.stderr).lines().count(), 2, "a message and a remedy: {}", text(&ours.stderr));
    }
    DELETE_RECORDS.refuse(&["--offset-json-file", "/nowhere.json"]);
    DELETE_RECORDS.refuse(&["--bootstrap-server", &NODE.bootstrap()]);
}
