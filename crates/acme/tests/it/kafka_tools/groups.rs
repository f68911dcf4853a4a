//! Groups with and without members.

use super::{CONSUMER, GROUPS, NODE, acme, acme_json, fill, topic, unique};
use crate::harness::{text, until};
use std::process::{Child, Stdio};

/// A consumer of Kafka's distribution in a group, until it is dropped.
struct Consumer(Child);

impl Consumer {
    fn start(arguments: &[&str]) -> Self {
        let mut command = NODE.tool(CONSUMER.1, arguments).expect("Java is there");
        Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it runs"))
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until every member of a group has its partitions.
fn stable(group: &str, members: u64, partitions: usize) {
    until("a stable group", || {
        let state = acme(&["groups", "describe", group, "--state", "--output", "json"]);
        let state: serde_json::Value = serde_json::from_slice(&state.stdout).unwrap_or_default();
        state[0]["state"] == "Stable" && state[0]["members"] == members
    });
    until("its partitions", || {
        let rows = acme_json(&["groups", "describe", group]);
        let rows = rows[0]["offsets"].as_array().cloned().unwrap_or_default();
        rows.iter().filter(|row| row["consumer_id"].is_string()).count() == partitions
    });
}

#[test]
fn groups_with_members_are_shown_as_by_kafkas_own_tool() {
    let (one, other) = (topic(3, &[]), topic(1, &[]));
    fill(&one, 0, "a:1\nb:2\n");
    let pattern = format!("{one}|{other}");
    let (classic, new, fixed) = (unique("classic-"), unique("new-"), unique("static-"));
    let _consumers = [
        Consumer::start(&["--topic", &one, "--group", &classic, "--from-beginning"]),
        Consumer::start(&["--topic", &one, "--group", &classic, "--from-beginning"]),
        Consumer::start(&[
            "--include",
            &pattern,
            "--group",
            &new,
            "--command-property",
            "group.protocol=consumer",
        ]),
        Consumer::start(&[
            "--include",
            &pattern,
            "--group",
            &fixed,
            "--command-property",
            "group.instance.id=i1",
            "--command-property",
            "partition.assignment.strategy=org.apache.kafka.clients.consumer.CooperativeStickyAssignor",
        ]),
    ];
    stable(&classic, 2, 3);
    stable(&new, 1, 4);
    stable(&fixed, 1, 4);
    for group in [&classic, &new, &fixed] {
        for about in ["--offsets", "--members", "--state"] {
            GROUPS.agree(&["--describe", "--group", group, about]);
            GROUPS.agree(&["--describe", "--group", group, about, "--verbose"]);
        }
    }
    let listed = GROUPS.ours(&["--list", "--state", "--type"]);
    let listed = text(&listed.stdout);
    let theirs = text(&GROUPS.theirs(&["--list", "--state", "--type"]).stdout);
    for group in [&classic, &new, &fixed] {
        let line = |all: &str| {
            let line = all.lines().find(|line| line.starts_with(group.as_str())).unwrap_or_default();
            line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(line(&listed), line(&theirs), "{group}");
    }

    // Nobody takes offsets from a group that is at work.
    for group in [&classic, &new] {
        let reset = ["--reset-offsets", "--group", group, "--topic", &one, "--to-earliest", "--execute"];
        assert!(GROUPS.agree(&reset).contains("is inactive, but the current state is Stable."));
        let reset = GROUPS.ours(&reset);
        assert_eq!(reset.status.code(), Some(1));
        assert!(text(&reset.stderr).contains("help: stop the group's consumers first"));
        GROUPS.agree(&["--delete", "--group", group]);
        let deletion = GROUPS.agree(&["--delete-offsets", "--group", group, "--topic", &one]);
        assert!(deletion.contains("GroupSubscribedToTopicException"), "{deletion}");
    }
    let refused = acme(&["groups", "delete", &classic]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stdout).contains("The group is not empty."));
}

#[test]
fn groups_without_members_are_shown_and_deleted_as_by_kafkas_own_tool() {
    let topic = topic(2, &[]);
    fill(&topic, 0, "a:1\nb:2\nc:3\n");
    let (one, other) = (unique("idle-"), unique("idle-"));
    for group in [&one, &other] {
        let read = CONSUMER.theirs(&[
            "--topic",
            &topic,
            "--group",
            group,
            "--from-beginning",
            "--max-messages",
            "3",
        ]);
        assert!(read.status.success());
    }
    for about in ["--offsets", "--members", "--state"] {
        let ours = GROUPS.ours(&["--describe", "--group", &one, about]);
        assert_eq!(text(&ours.stderr), format!("\nConsumer group '{one}' has no active members.\n"));
        GROUPS.agree(&["--describe", "--group", &one, about]);
        GROUPS.agree(&["--describe", "--group", &one, about, "--verbose"]);
    }
    GROUPS.agree(&["--describe", "--group", "nobody"]);
    assert_eq!(GROUPS.ours(&["--describe", "--group", "nobody"]).status.code(), Some(1));
    GROUPS.agree(&["--delete", "--group", "nobody"]);
    GROUPS.agree(&["--delete-offsets", "--group", "nobody", "--topic", &topic]);
    let deleted = GROUPS.ours(&["--delete-offsets", "--group", &one, "--topic", &format!("{topic}:0")]);
    let expected = format!("Request succeeded for deleting offsets from group {one}.\n");
    assert!(text(&deleted.stdout).starts_with(&expected), "{}", text(&deleted.stdout));
    assert!(deleted.status.success());
    let rows = acme_json(&["groups", "describe", &one]);
    assert_eq!(rows[0]["offsets"].as_array().map(Vec::len), Some(1), "{rows}");
    let ours = GROUPS.ours(&["--delete", "--group", &one]);
    let expected = format!("Deletion of requested consumer groups ('{one}') was successful.\n");
    assert_eq!(text(&ours.stdout), expected);
    let listed = text(&GROUPS.theirs(&["--list"]).stdout);
    assert!(!listed.lines().any(|line| line == one) && listed.lines().any(|line| line == other), "{listed}");
}
