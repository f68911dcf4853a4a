//! Topics.

use super::{NODE, TOPICS, acme, acme_json, topic, unique};
use crate::harness::{Place, text};
use acme_lab::kafka::{Kafka, OLD_VERSION};
use std::process::Command;

#[test]
fn a_topic_lives_as_with_kafkas_own_tool() {
    let name = unique("life-");
    let create = [
        "--create",
        "--topic",
        &name,
        "--partitions",
        "12",
        "--replication-factor",
        "1",
        "--config",
        "retention.ms=604800000",
        "--config",
        "cleanup.policy=delete",
        "--config",
        "min.insync.replicas=1",
    ];
    let created = TOPICS.ours(&create);
    assert_eq!(text(&created.stdout), format!("Created topic {name}.\n"), "{}", text(&created.stderr));
    // The order of the settings is that of Java too, and so are the ids.
    let described = TOPICS.agree(&["--describe", "--topic", &name]);
    let first = described.lines().next().unwrap_or_default();
    assert!(first.contains("PartitionCount: 12\tReplicationFactor: 1\tConfigs: "), "{first}");
    assert!(first.contains("retention.ms=604800000"), "{first}");
    TOPICS.agree(&create);
    TOPICS.agree(&["--create", "--if-not-exists", "--topic", &name]);
    TOPICS.agree(&["--alter", "--topic", &name, "--partitions", "11"]);
    let altered = TOPICS.ours(&["--alter", "--topic", &name, "--partitions", "13"]);
    assert!(altered.status.success() && altered.stdout.is_empty(), "{}", text(&altered.stdout));
    assert!(TOPICS.agree(&["--describe", "--topic", &name]).contains("PartitionCount: 13"));
    for report in ["--under-replicated-partitions", "--unavailable-partitions", "--under-min-isr-partitions"]
    {
        assert_eq!(TOPICS.agree(&["--describe", "--topic", &name, report]), "");
    }
    let at_least = TOPICS.agree(&["--describe", "--topic", &name, "--at-min-isr-partitions"]);
    assert_eq!(at_least.lines().count(), 13);
    assert_eq!(TOPICS.agree(&["--describe", "--topic", &name, "--topics-with-overrides"]).lines().count(), 1);
    let id = first.split("TopicId: ").nth(1).and_then(|rest| rest.split('\t').next()).unwrap_or_default();
    assert!(TOPICS.agree(&["--describe", "--topic-id", id]).contains("Elr: N/A"));
    assert!(TOPICS.ours(&["--delete", "--topic", &name]).status.success());
    TOPICS.agree(&["--delete", "--topic", &name]);
    TOPICS.agree(&["--delete", "--topic", &name, "--if-exists"]);
}

#[test]
fn a_name_is_a_pattern_for_the_script_and_a_name_for_acme() {
    let one = unique("pat.x-");
    for name in [&one, &one.replace("pat.x", "patzx")] {
        let created = acme(&["topics", "create", name]);
        assert!(created.status.success(), "{}", text(&created.stderr));
    }
    let both = TOPICS.agree(&["--list", "--topic", &one]);
    assert_eq!(both.lines().count(), 2, "{both}");
    TOPICS.agree(&["--describe", "--topic", &format!("\"{one}, nothing\"")]);
    assert!(acme(&["topics", "delete", &one]).status.success());
    assert_eq!(TOPICS.agree(&["--list", "--topic", &one]), one.replace("pat.x", "patzx") + "\n");
}

#[test]
fn mistakes_are_said_as_by_kafkas_own_tool_and_with_a_remedy() {
    let name = topic(1, &[]);
    for (arguments, help) in [
        (&["--create", "--topic", "n1", "--replication-factor", "5"][..], "replication factor"),
        (&["--create", "--topic", "n1", "--replication-factor", "0"], "cluster's default"),
        (&["--create", "--topic", "n1", "--partitions", "-1"], "cluster's default"),
        (&["--create", "--topic", "n1", "--partitions", "many"], "whole number"),
        (&["--create", "--topic", "n1", "--config", "bad=1"], "settings"),
        (&["--create", "--topic", "n1", "--config", "retention.ms=soon"], "settings"),
        (&["--create", "--topic", "n1", "--config", "retention.ms"], "retention.ms=604800000"),
        (&["--create", "--topic", "n 1"], "letters, digits"),
        (&["--create", "--topic", &name], "--if-not-exists"),
        (&["--describe", "--topic", "nowhere"], "acme topics list"),
        (&["--alter", "--topic", &name, "--partitions", "1"], "larger number"),
        (&["--describe", "--topic-id", "AAAAAAAAAAAAAAAAAAAAAQ"], "ids"),
        (&["--create", "--topic", "n1", "--replica-assignment", "1:1"], "brokers of each partition"),
    ] {
        TOPICS.agree(arguments);
        let ours = TOPICS.ours(arguments);
        assert!(text(&ours.stderr).contains("help: "), "{arguments:?}");
        assert!(text(&ours.stderr).contains(help), "{arguments:?}: {}", text(&ours.stderr));
    }
    // What is wrong with the options themselves: the same first line, and not the whole manual.
    for arguments in [
        &["--list", "--create"][..],
        &["--create"],
        &["--alter", "--topic", "x"],
        &["--alter", "--topic", "x", "--config", "a=b"],
        &["--delete", "--topic", "x", "--partitions", "3"],
        &["--create", "--topic", "x", "--if-exists"],
        &["--describe", "--if-not-exists"],
    ] {
        let (theirs, ours) = (TOPICS.theirs(arguments), TOPICS.ours(arguments));
        // Java lists the options that contradict in any order, inside of one pair of quotes.
        let first = |bytes: &[u8]| {
            let line = text(bytes).lines().next().unwrap_or_default().to_owned();
            let mut words: Vec<String> =
                line.split([' ', ',']).map(|word| word.replace(['[', ']', '"'], "")).collect();
            words.sort_unstable();
            words
        };
        assert_eq!(first(&theirs.stderr), first(&ours.stderr), "{arguments:?}");
        assert_eq!((theirs.status.code(), ours.status.code()), (Some(1), Some(1)), "{arguments:?}");
    }
}

#[test]
fn the_name_of_the_script_is_enough() {
    let place = Place::new();
    for name in ["kafka-topics.sh", "kafka-topics"] {
        let link = place.path(name);
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_acme"), &link).expect("it can be made");
        let output = Command::new(link)
            .args(["--bootstrap-server", &NODE.bootstrap(), "--describe", "--topic", "nowhere"])
            .output()
            .expect("it runs");
        let expected = "Error while executing topic command : Topic 'nowhere' does not exist as expected\n";
        assert_eq!(text(&output.stdout), expected);
        assert_eq!(output.status.code(), Some(1));
    }
}

#[test]
fn acmes_own_words_do_the_same_and_print_json() {
    let name = unique("own-");
    let created =
        acme_json(&["topics", "create", &name, "--partitions", "2", "--config", "retention.ms=1000"]);
    assert_eq!(created["name"], name.as_str());
    let all = acme_json(&["topics", "describe", &name]);
    assert_eq!(all[0]["id"], created["id"]);
    assert_eq!(all[0]["configs"]["retention.ms"], "1000");
    assert_eq!(all[0]["partitions"][1]["leader"], 1);
    let changes =
        ["topics", "alter", &name, "--config", "retention.bytes=5", "--delete-config", "retention.ms"];
    assert!(acme(&changes).status.success());
    let configs = &acme_json(&["topics", "describe", &name])[0]["configs"];
    assert_eq!((configs["retention.bytes"].as_str(), configs["retention.ms"].as_str()), (Some("5"), None));
    let listed = acme_json(&["topics", "list"]);
    assert!(listed.as_array().is_some_and(|all| all.iter().any(|it| it["name"] == name.as_str())));
    let wrong = acme(&["topics", "describe", &name.replace("own", "owm")]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(text(&wrong.stderr).contains(&format!("did you mean \"{name}\"?")), "{}", text(&wrong.stderr));
}

#[test]
fn a_cluster_of_kafka_3_is_served_too() {
    let old = Kafka::options().version(OLD_VERSION).start().expect("it starts");
    let bootstrap = old.bootstrap();
    let place = Place::new();
    let acme = |arguments: &[&str]| place.acme_ok(&[arguments, &["--bootstrap-server", &bootstrap]].concat());
    acme(&["topics", "create", "old", "--partitions", "2"]);
    let theirs = old.tool("org.apache.kafka.tools.TopicCommand", &["--describe", "--topic", "old"]);
    let theirs = acme_lab::run(&mut theirs.expect("Java is there")).expect("it runs");
    assert_eq!(acme(&["topics", "describe", "old"]).lines().count(), theirs.lines().count());
    acme(&["groups", "reset-offsets", "g", "--topic", "old", "--to-offset", "0", "--execute"]);
    assert_eq!(acme(&["groups", "list"]), "g\n");
    assert!(acme(&["groups", "describe", "g"]).contains("old             1          0"));
    acme(&["groups", "delete-offsets", "g", "--topic", "old:0"]);
    acme(&["groups", "delete", "g"]);
    assert_eq!(acme(&["groups", "list"]), "");
}
