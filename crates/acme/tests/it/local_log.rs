//! Pipelines whose Kafka items name no brokers: the log of this machine, carried by whoever needs it first.

use crate::harness::{Place, text};
use crate::server::Server;
use std::collections::BTreeSet;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

const ROWS: usize = 20_000;

const FILL: &str = "\
name: fill
mode: batch
sources:
  - {type: generator, rows: 20000, seed: 42, fields: {order_id: sequence, status: 'choice(paid, pending)'}}
destinations:
  - {type: kafka, topic: orders, key: order_id, create: {partitions: 4}}
";

const SPLIT: &str = "\
name: split
mode: batch
sources:
  - {type: kafka, topic: orders, start_offset: earliest}
transforms:
  - {type: filter, condition: \"status = 'paid'\"}
destinations:
  - {type: kafka, name: topic, topic: paid, create: {partitions: 2}}
  - {type: file, name: file, path: paid.jsonl}
";

fn numbers(lines: &str) -> BTreeSet<usize> {
    let number = |line: &str| {
        let rest = line.strip_prefix("{\"order_id\":").unwrap_or_else(|| panic!("{line}"));
        rest.split(',').next().and_then(|number| number.parse().ok()).expect("a number")
    };
    let numbers: Vec<usize> = lines.lines().map(number).collect();
    let distinct: BTreeSet<usize> = numbers.iter().copied().collect();
    assert_eq!(distinct.len(), numbers.len(), "each comes once");
    distinct
}

/// All that is committed in a topic; nothing while there is no such topic.
fn consumed(place: &Place, topic: &str) -> String {
    let words =
        ["consume", topic, "--from-beginning", "--timeout-ms", "3000", "--isolation-level", "read_committed"];
    let output = place.acme(&words);
    let (printed, said) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success() || said.contains("does not exist"), "{said}");
    printed
}

fn end(mut child: Child) {
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().expect("there is `kill`").success());
    child.wait().expect("it has ended");
}

#[test]
fn events_go_through_topics_into_a_topic_and_a_file_without_any_server() {
    let place = Place::new();
    place.write("fill.yaml", FILL);
    place.write("split.yaml", SPLIT);
    place.acme_ok(&["validate", "fill.yaml", "split.yaml"]);
    place.acme_ok(&["run", "fill.yaml"]);
    place.acme_ok(&["run", "split.yaml"]);
    assert_eq!(numbers(&consumed(&place, "orders")), (1..=ROWS).collect());
    let paid = numbers(&place.read("paid.jsonl"));
    assert!(paid.len() > ROWS / 3 && paid.len() < ROWS, "{}", paid.len());
    assert_eq!(numbers(&consumed(&place, "paid")), paid);
    let groups = place.acme_ok(&["groups", "describe", "acme-split"]);
    assert_eq!(groups.lines().filter(|line| line.contains(" orders ")).count(), 4, "{groups}");
    // Any client of Kafka sees the same.
    let server = Server::with(&place, &[]);
    let read = server.kcat(&["-C", "-t", "paid", "-o", "beginning", "-e", "-q"], "");
    assert_eq!(numbers(&text(&read.stdout)), paid);
}

#[test]
fn the_log_of_this_machine_wants_no_login_and_says_so() {
    let place = Place::new();
    let secured = "key: order_id, properties: {security.protocol: SASL_SSL, sasl.mechanism: PLAIN, \
                   sasl.jaas.config: 'org.apache.kafka.common.security.plain.PlainLoginModule required username=\"u\" password=\"p\";'}";
    place.write("fill.yaml", &FILL.replace("key: order_id", secured));
    let said = place.acme_fails(&["validate", "fill.yaml"]);
    assert!(said.contains("the log of this machine is reached without encryption and login"), "{said}");
    assert!(said.contains("fill.yaml:6:") && said.contains("name the `brokers`"), "{said}");
}

#[test]
fn who_carries_the_log_may_be_killed_and_the_others_go_on() {
    const FOLLOW: &str = "\
name: follow
sources:
  - {type: kafka, topic: orders, start_offset: earliest}
transforms:
  - {type: filter, condition: \"status = 'paid'\"}
destinations:
  - {type: kafka, topic: paid, create: {partitions: 2}}
";
    let place = Place::new();
    place.write("fill.yaml", FILL);
    place.write("follow.yaml", FOLLOW);
    // A server carries the log for one run that writes and one that reads on.
    let mut server = Server::with(&place, &[]);
    place.acme_ok(&["run", "fill.yaml"]);
    let paid = consumed(&place, "orders").lines().filter(|line| line.contains("\"paid\"")).count();
    let follower = place.spawn(&["run", "follow.yaml"]);
    let follows = |wanted: usize| {
        let (began, mut found) = (Instant::now(), 0);
        while found < wanted {
            assert!(began.elapsed() < Duration::from_secs(120), "{found} of {wanted}");
            found = consumed(&place, "paid").lines().count();
        }
        assert_eq!(found, wanted);
    };
    follows(paid);
    server.signal("KILL");
    server.child.wait().expect("it has ended");
    // Whoever of these two needs it first carries it now.
    place.write("more.yaml", &FILL.replace("name: fill", "name: more"));
    place.acme_ok(&["run", "more.yaml"]);
    follows(2 * paid);
    end(follower);
    follows(2 * paid);
}
