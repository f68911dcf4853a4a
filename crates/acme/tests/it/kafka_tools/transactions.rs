//! Transactions.

use super::{NODE, TRANSACTIONS, acme, acme_json, topic, unique};
use crate::harness::text;
use acme_kafka::produce::Transactional;
use acme_kafka::{Client, Config, Producer, ProducerOptions, TopicPartition};
use std::time::Duration;
use tokio::runtime::Runtime;

/// A transaction that stays open.
struct Open {
    runtime: Runtime,
    producer: Producer,
    id: String,
}

impl Open {
    fn begin(topic: &str) -> Self {
        let runtime = Runtime::new().expect("it starts");
        let id = unique("open-");
        let producer = runtime.block_on(async {
            let client = Client::connect(Config::new([NODE.bootstrap()])).await.expect("it answers");
            let timeout = Duration::from_secs(600);
            let transactional = Some(Transactional { id: id.clone(), timeout });
            let options = ProducerOptions { transactional, ..ProducerOptions::default() };
            let mut producer = Producer::connect(client, options).await.expect("it enters");
            producer.begin().expect("it begins");
            let target = producer.target(&TopicPartition::new(topic, 0)).await.expect("it is there");
            producer.push(target, 1_700_000_000_000, None, Some(b"x"), &[]).expect("it is taken");
            producer.flush().await.expect("it is written");
            producer
        });
        Self { runtime, producer, id }
    }
}

/// Both tools; Java's wants to know the cluster before its command.
fn agree(arguments: &[&str]) -> String {
    let bootstrap = NODE.bootstrap();
    TRANSACTIONS.agree(&[&["--bootstrap-server", &bootstrap][..], arguments].concat())
}

fn refuse(arguments: &[&str]) -> String {
    let bootstrap = NODE.bootstrap();
    TRANSACTIONS.refuse(&[&["--bootstrap-server", &bootstrap][..], arguments].concat())
}

#[test]
fn transactions_are_shown_and_ended_as_by_kafkas_own_tool() {
    let topic = topic(2, &[]);
    let mut open = Open::begin(&topic);
    let id = open.id.clone();
    // Other tests have transactions, too.
    let listed = agree(&["list", "--transactional-id-pattern", &format!("{id}.*")]);
    assert_eq!(listed.lines().count(), 2, "{listed}");
    assert_eq!(
        agree(&["list", "--transactional-id-pattern", &id, "--duration-filter", "6000000"]).lines().count(),
        1
    );

    let describe = ["describe", "--transactional-id", &id];
    let row = |out: &str| {
        let row = out.lines().nth(1).unwrap_or_default();
        let mut cells: Vec<String> = row.split_whitespace().map(str::to_owned).collect();
        // How long it has been open by now.
        cells.remove(7);
        cells
    };
    let bootstrap = NODE.bootstrap();
    let theirs = TRANSACTIONS.theirs(&[&["--bootstrap-server", &bootstrap][..], &describe[..]].concat());
    let ours = TRANSACTIONS.ours(&describe);
    assert_eq!(text(&theirs.stdout).lines().next(), text(&ours.stdout).lines().next());
    assert_eq!(row(&text(&theirs.stdout)), row(&text(&ours.stdout)));
    assert_eq!(row(&text(&ours.stdout)).last().map(String::as_str), Some(format!("{topic}-0").as_str()));

    let producers = ["describe-producers", "--topic", &topic, "--partition", "0"];
    let shown = agree(&producers);
    assert_eq!(shown.lines().nth(1).and_then(|row| row.split_whitespace().last()), Some("0"), "{shown}");
    agree(&[&producers[..], &["--broker-id", "1"]].concat());
    // It is old, but its coordinator knows it.
    assert_eq!(agree(&["find-hanging", "--topic", &topic]).lines().count(), 1);
    let hanging = acme_json(&["transactions", "hanging", &topic]);
    assert_eq!(hanging, serde_json::json!([]));
    let known = acme_json(&["transactions", "describe", &id]);
    assert_eq!(
        (&known["state"], &known["partitions"][0]["topic"]),
        (&"Ongoing".into(), &topic.as_str().into())
    );

    refuse(&["abort", "--topic", &topic, "--partition", "0", "--start-offset", "777"]);
    let abort = ["abort", "--topic", &topic, "--partition", "0", "--start-offset", "0"];
    let aborted = TRANSACTIONS.ours(&abort);
    assert!(aborted.status.success(), "{}", text(&aborted.stderr));
    assert!(agree(&producers).contains("None"));
    refuse(&abort);
    // Nothing of it is left for its producer to commit.
    let terminated = TRANSACTIONS.ours(&["forceTerminateTransaction", "--transactionalId", &id]);
    assert!(terminated.status.success(), "{}", text(&terminated.stderr));
    let known = acme_json(&["transactions", "describe", &id]);
    assert_ne!(known["state"], "Ongoing", "{known}");
    assert!(open.runtime.block_on(open.producer.commit()).is_err());
}

#[test]
fn mistakes_about_transactions_are_said_as_by_kafkas_own_tool() {
    for arguments in [
        &["describe", "--transactional-id", "nobody"][..],
        &["find-hanging"],
        &["find-hanging", "--partition", "1", "--broker-id", "1"],
        &["abort", "--topic", "t", "--partition", "0"],
        &["abort", "--topic", "t", "--partition", "0", "--producer-id", "5"],
    ] {
        refuse(arguments);
    }
    let cases: [(&[&str], &str); 3] = [
        (
            &["describe-producers", "--topic", "nowhere", "--partition", "0"],
            "for partition nowhere-0 on leader: ",
        ),
        (&["find-hanging", "--topic", "nowhere"], "Failed to describe 1 topics: "),
        (&["list", "--transactional-id-pattern", "("], "Failed to list transactions: "),
    ];
    for (arguments, expected) in cases {
        let ours = TRANSACTIONS.ours(arguments);
        assert_eq!(ours.status.code(), Some(1), "{arguments:?}");
        assert!(text(&ours.stderr).contains(expected), "{arguments:?}: {}", text(&ours.stderr));
    }
    assert_eq!(acme(&["transactions", "describe", "nobody"]).status.code(), Some(2));
}
