//! Records that are none, and rows that no topic takes: each policy for errors does what it says, and nothing else is lost.

use super::World;
use crate::harness::text;
use serde_json::Value;

const PIPELINE: &str = r#"
name: p
mode: batch
sources:
  - {type: kafka, name: in, BROKERS, topic: in, start_offset: earliest, schema: {id: bigint, pad: string},
     properties: {fetch.max.bytes: "1000000", max.partition.fetch.bytes: "1000000"}}
destinations: [{type: kafka, name: out, BROKERS, topic: out}DEAD]
settings: {errors: {ERRORS}}
"#;

fn text_of(errors: &str) -> String {
    let dead = if errors.contains("dead") { ", {type: kafka, name: dead, BROKERS, topic: dead}" } else { "" };
    PIPELINE.replace("ERRORS", errors).replace("DEAD", dead)
}

/// What is no document, with a word of the reason.
fn poison() -> Vec<(Vec<u8>, &'static str)> {
    vec![
        (b"{bad".to_vec(), "JSON"),
        (b"{\"id\":\"\xff\"}".to_vec(), "UTF-8"),
        (format!("{{\"id\":{}1{}}}", "[".repeat(100), "]".repeat(100)).into_bytes(), "id"),
        (b"[1]".to_vec(), "object"),
        (b"{\"id\":\"text\"}".to_vec(), "id"),
    ]
}

/// A topic with a good record before and behind each that is none, then a tombstone, then one with 10 MB.
fn poisoned() -> World {
    let world = World::start();
    let large = ["max.message.bytes=20000000"];
    world.kafka.create_topic("in", 1, &large).expect("the topic is made");
    world.kafka.create_topic("out", 1, &large).expect("the topic is made");
    world.topic("dead", 1);
    let settings = ["-t", "in", "-X", "message.max.bytes=20000000"];
    for (number, (bytes, _)) in poison().into_iter().enumerate() {
        world.produce(&["-t", "in"], &format!("{{\"id\":{number}}}\n"));
        let path = world.place.path("record");
        std::fs::write(&path, bytes).expect("it can be written");
        world.produce(&["-t", "in", path.to_str().expect("a path")], "");
    }
    world.produce(&["-t", "in", "-Z", "-K", ":"], "key:\n");
    let path = world.place.path("record");
    std::fs::write(&path, format!("{{\"id\":5,\"pad\":\"{}\"}}", "x".repeat(10 << 20)))
        .expect("it is written");
    world.produce(&[&settings[..], &[path.to_str().expect("a path")]].concat(), "");
    world
}

fn pipeline(world: &World, errors: &str) {
    world.pipeline("p.yaml", &text_of(errors));
}

#[test]
fn poison_stops_at_its_place_until_it_may_be_skipped() {
    let world = poisoned();
    pipeline(&world, "policy: stop");
    for _ in 0..2 {
        let said = refused_row(&world);
        assert!(said.contains("in-0@1"), "the first one, with its place: {said}");
        assert!(world.ids("out").keys().all(|id| *id < 1), "nothing behind it");
    }
    // From there on everything that is good is delivered, once.
    pipeline(&world, "policy: skip");
    let output = world.place.acme(&["run", "p.yaml"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let ids = world.ids("out");
    assert_eq!(ids.keys().copied().collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5], "{}", text(&output.stderr));
    assert!(ids.values().all(|count| *count == 1), "{ids:?}");
    assert!(
        world
            .consume("out", "%S\n")
            .lines()
            .any(|size| size.parse::<usize>().is_ok_and(|size| size > 10 << 20))
    );
    assert_eq!(world.consume("dead", "%s\n"), "");
}

/// A run that stops at a row; its message has no remedy where only the row's sender knows one.
fn refused_row(world: &World) -> String {
    let output = world.place.acme(&["run", "p.yaml"]);
    let said = text(&output.stderr);
    assert!(
        !output.status.success() && said.matches("error[").count() == 1 && !said.contains("panicked"),
        "{said}"
    );
    said
}

#[test]
fn poison_lies_in_a_topic_of_letters_with_its_place_and_its_bytes() {
    let world = poisoned();
    pipeline(&world, "policy: dead_letter, to: dead");
    let output = world.place.acme(&["run", "p.yaml"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(
        world.ids("out").into_iter().collect::<Vec<_>>(),
        (0..6).map(|id| (id, 1)).collect::<Vec<_>>()
    );
    let dead = world.consume("dead", "%s\n");
    let letters: Vec<Value> = dead.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(letters.len(), poison().len() + 1, "{dead}");
    for (number, (bytes, reason)) in poison().into_iter().enumerate() {
        let letter = &letters[number];
        assert_eq!(letter["origin"], format!("in-0@{}", 2 * number + 1), "{letter}");
        assert!(letter.to_string().contains(reason), "{reason}: {letter}");
        match String::from_utf8(bytes) {
            Ok(text) => assert_eq!(letter["original"], text, "{letter}"),
            // Bytes that are no text stand there in base64.
            Err(_) => assert!(letter.to_string().contains("eyJpZCI6Iv8ifQ=="), "{letter}"),
        }
    }
    assert_eq!(letters[poison().len()]["origin"], format!("in-0@{}", 2 * poison().len()), "the tombstone");
}

#[test]
fn a_row_that_is_too_large_for_the_topic_goes_where_the_errors_go() {
    let world = World::start();
    world.topic("in", 1);
    world.topic("dead", 1);
    let lines: String = (0..5)
        .map(|id| {
            format!(
                "{{\"id\":{id},\"pad\":\"{}\"}}\n",
                if id == 2 { "x".repeat(50_000) } else { String::new() }
            )
        })
        .collect();
    world.produce(&["-t", "in"], &lines);
    for (errors, number) in [("policy: skip", 0), ("policy: dead_letter, to: dead", 1)] {
        let out = format!("out{number}");
        world.kafka.create_topic(&out, 1, &["max.message.bytes=10000"]).expect("the topic is made");
        let text = text_of(errors).replace("topic: out", &format!("topic: {out}"));
        world.pipeline("p.yaml", &text.replace("name: p\n", &format!("name: p{number}\n")));
        world.place.acme_ok(&["run", "p.yaml"]);
        assert_eq!(world.ids(&out).into_iter().collect::<Vec<_>>(), [(0, 1), (1, 1), (3, 1), (4, 1)]);
        let dead = world.consume("dead", "%s\n");
        assert_eq!(dead.lines().count(), number, "{dead}");
        assert!(
            number == 0 || (dead.contains("of 50053 bytes") && dead.contains("max.message.bytes")),
            "{dead}"
        );
    }
    world.kafka.create_topic("out2", 1, &["max.message.bytes=10000"]).expect("the topic is made");
    let text = text_of("policy: stop").replace("topic: out", "topic: out2");
    world.pipeline("p.yaml", &text.replace("name: p\n", "name: p2\n"));
    for _ in 0..2 {
        let said = refused_row(&world);
        assert!(said.contains("of 50053 bytes") && said.contains("'s max.message.bytes"), "{said}");
    }
    assert!(world.ids("out2").keys().all(|id| *id < 2));
    // It can be mended in the topic: then it goes on exactly there.
    let mut tool = world
        .kafka
        .tool(
            "kafka.admin.ConfigCommand",
            &["--alter", "--topic", "out2", "--add-config", "max.message.bytes=100000"],
        )
        .expect("it is there");
    acme_lab::run(&mut tool).expect("it is changed");
    world.place.acme_ok(&["run", "p.yaml"]);
    assert_eq!(
        world.ids("out2").into_iter().collect::<Vec<_>>(),
        (0..5).map(|id| (id, 1)).collect::<Vec<_>>()
    );
}
