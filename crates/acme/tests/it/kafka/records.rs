//! What a record is: its value in each format, its key, headers and time; what is none.

use super::World;
use crate::harness::text;

#[test]
fn a_batch_reads_to_the_ends_and_keeps_bytes_keys_headers_and_times() {
    let world = World::start();
    world.topic("in", 2);
    world.topic("out", 2);
    let documents = "k1\t{\"n\": 1, \"s\":\"ü\" }\nk2\t{\"n\":2.50}\nk3\t{\"n\":null,\"x\":[1,2]}\n";
    world.produce(&["-t", "in", "-p", "0", "-K", "\t", "-H", "a=1", "-H", "b=zwei"], documents);
    world.pipeline(
        "p.yaml",
        r#"
name: p
mode: batch
sources: [{type: kafka, name: in, BROKERS, topic: in, start_offset: earliest}]
destinations:
  - {type: kafka, name: out, BROKERS, topic: out, key: "_meta.key", headers: {from: "_meta.topic || '-' || _meta.partition", h: _meta.headers, none: "CAST(NULL AS text)"}}
"#,
    );
    world.place.acme_ok(&["run", "p.yaml"]);
    let shown = world.consume("out", "%k|%h|%s\n");
    let mut lines: Vec<&str> = shown.lines().collect();
    lines.sort_unstable();
    let headers = r#"from=in-0,h=[["a","1"],["b","zwei"]]"#;
    let expected = documents.lines().map(|line| line.replace('\t', &format!("|{headers}|")));
    assert_eq!(lines, expected.collect::<Vec<_>>());
    let times = |topic: &str| {
        let mut times: Vec<String> = world.consume(topic, "%k %T\n").lines().map(str::to_owned).collect();
        times.sort_unstable();
        times
    };
    assert_eq!(times("out"), times("in"));
    // Another run goes on behind them.
    let output = world.place.acme(&["run", "p.yaml"]);
    assert!(text(&output.stderr).contains("complete: 0 rows in"), "{}", text(&output.stderr));
}

#[test]
fn csv_and_raw_values_are_read_and_written() {
    let world = World::start();
    for topic in ["csv", "raw", "csv-out", "raw-out"] {
        world.topic(topic, 1);
    }
    world.produce(&["-t", "csv"], "1,\"a, b\",2.5\n2,c,\n");
    world.produce(&["-t", "raw"], "any bytes\n{not json\n");
    world.pipeline(
        "csv.yaml",
        r#"
name: csv
mode: batch
sources: [{type: kafka, BROKERS, topic: csv, start_offset: earliest, format: csv, schema: {id: bigint, name: string, price: double}}]
transforms: [{type: filter, condition: "id > 0"}, {type: map, fields: {twice: "price * 2"}}]
destinations: [{type: kafka, BROKERS, topic: csv-out, format: csv}]
"#,
    );
    world.place.acme_ok(&["run", "csv.yaml"]);
    assert_eq!(world.consume("csv-out", "%s\n"), "1,\"a, b\",2.5,5.0\n2,c,,\n");
    world.pipeline(
        "raw.yaml",
        r#"
name: raw
mode: batch
sources: [{type: kafka, BROKERS, topic: raw, start_offset: earliest, format: raw}]
destinations: [{type: kafka, BROKERS, topic: raw-out, format: raw}]
"#,
    );
    world.place.acme_ok(&["run", "raw.yaml"]);
    assert_eq!(world.consume("raw-out", "%s\n"), "any bytes\n{not json\n");
}

#[test]
fn poison_goes_where_the_errors_go_with_its_place() {
    let world = World::start();
    world.topic("in", 1);
    let deep = format!("{{\"id\":{}1{}}}", "[".repeat(100), "]".repeat(100));
    let large = format!("{{\"id\":7,\"pad\":\"{}\"}}", "x".repeat(900_000));
    let lines = format!("{{\"id\":1}}\n{{bad\n\n{deep}\n{large}\n[1]\n{{\"id\":\"text\"}}\n{{\"id\":2}}\n");
    world.produce(&["-t", "in", "-X", "message.max.bytes=2000000"], &lines);
    world.produce(&["-t", "in", "-Z", "-K", ":"], "key:\n");
    std::fs::write(world.place.path("invalid"), b"{\"id\":\"\xff\"}").expect("written");
    let path = world.place.path("invalid");
    world.produce(&["-t", "in", path.to_str().expect("a path")], "");
    world.pipeline(
        "p.yaml",
        r#"
name: p
mode: batch
sources: [{type: kafka, name: in, BROKERS, topic: in, start_offset: earliest, schema: {id: bigint}}]
destinations: [{type: file, name: out, path: out.jsonl}, {type: file, name: dead, path: dead.jsonl}]
settings: {errors: {policy: dead_letter, to: dead}}
"#,
    );
    world.place.acme_ok(&["run", "p.yaml"]);
    let good = world.place.read("out.jsonl");
    let ids: Vec<&str> = good.lines().map(|line| &line[..8]).collect();
    assert_eq!(ids, ["{\"id\":1}", "{\"id\":7,", "{\"id\":2}"]);
    let dead = world.place.read("dead.jsonl");
    let letters: Vec<serde_json::Value> =
        dead.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let origins: Vec<&str> = letters.iter().map(|letter| letter["origin"].as_str().expect("text")).collect();
    assert_eq!(origins, ["in-0@1", "in-0@2", "in-0@4", "in-0@5", "in-0@7", "in-0@8"], "{dead}");
    assert!(dead.contains("it is a tombstone") && dead.contains("not valid UTF-8"), "{dead}");
}

#[test]
fn explain_says_what_a_topic_gets_from_where() {
    let place = crate::harness::Place::new();
    let explain = |from: &str, to: &str| {
        let text = format!(
            "name: p\nsources: [{{type: kafka, brokers: [{from}], topic: in}}]\n\
             destinations: [{{type: kafka, brokers: [{to}], topic: out}}]\n"
        );
        place.write("p.yaml", &text);
        place.acme_ok(&["explain", "p.yaml"])
    };
    let same = explain("\"a:1\", \"b:1\"", "\"b:1\", \"a:1\"");
    assert!(same.contains("end to end  exactly once"), "{same}");
    let other = explain("\"a:1\"", "\"b:1\"");
    assert!(other.contains("end to end  exactly once"), "{other}");
}

#[test]
fn another_cluster_gets_every_record_once() {
    let (world, other) = (World::start(), World::start());
    world.topic("in", 1);
    other.topic("out", 1);
    let lines: String = (0..100).map(|id| format!("{{\"id\":{id}}}\n")).collect();
    world.produce(&["-t", "in"], &lines);
    world.pipeline(
        "p.yaml",
        &"{name: p, mode: batch, sources: [{type: kafka, BROKERS, topic: in, start_offset: earliest}], \
          destinations: [{type: kafka, OTHER, topic: out}]}"
            .replace("OTHER", &format!("brokers: [\"{}\"]", other.kafka.bootstrap())),
    );
    world.place.acme_ok(&["run", "p.yaml"]);
    assert_eq!(other.consume("out", "%s\n"), lines);
}

/// Large batches go on without being taken apart, where nothing of them changes; what differs in anything is made anew.
#[test]
fn batches_that_pass_as_they_are_and_those_that_do_not_say_the_same() {
    let world = World::start();
    for topic in ["in", "out", "some"] {
        world.topic(topic, 1);
    }
    let large = ["-X", "batch.size=900000", "-X", "batch.num.messages=100000", "-X", "linger.ms=2000"];
    let mut next = 0;
    let mut write = |count: usize, more: &[&str], key: &str| {
        let note = "x".repeat(200);
        let line = |id| format!("{key}{{\"id\":{id},\"even\":{},\"note\":\"{note}\"}}\n", id % 2 == 0);
        let lines: String = (next..next + count).map(line).collect();
        next += count;
        world.produce(&[&["-t", "in"], &large[..], more].concat(), &lines);
    };
    // Whole; small; with keys; with headers; compressed; whole again, twice.
    write(3_000, &[], "");
    write(10, &[], "");
    write(3_000, &["-K", "\t"], "k\t");
    write(3_000, &["-H", "a=b"], "");
    write(3_000, &["-z", "lz4"], "");
    write(6_000, &[], "");
    world.pipeline(
        "p.yaml",
        r#"
name: p
mode: batch
sources: [{type: kafka, name: in, BROKERS, topic: in, start_offset: earliest}]
transforms:
  - {type: filter, name: all, from: in, condition: "note IS NOT NULL"}
  - {type: filter, name: even, from: all, condition: "even"}
destinations:
  - {type: kafka, name: out, from: all, BROKERS, topic: out}
  - {type: kafka, name: some, from: even, BROKERS, topic: some}
"#,
    );
    world.place.acme_ok(&["run", "p.yaml"]);
    let read = |topic: &str, format: &str| world.consume(topic, format);
    assert!(read("out", "%T %s\n") == read("in", "%T %s\n"), "every document in its place, with its time");
    assert_eq!(read("out", "%k%h").len(), 0, "keys and headers are given where they are asked for");
    let all = read("in", "%T %s\n");
    let even: String =
        all.lines().filter(|line| line.contains("true")).map(|line| format!("{line}\n")).collect();
    assert!(read("some", "%T %s\n") == even);
}
