//! Transactions.

use super::{NODE, TRANSACTIONS, acme, acme_json, topic, unique};
use crate::harness::{Place, text};
use acme_kafka::kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use acme_kafka::kafka_protocol::messages::{ProduceRequest, TopicName, TransactionalId};
use acme_kafka::kafka_protocol::protocol::StrBytes;
use acme_kafka::produce::Transactional;
use acme_kafka::records::{BatchBuilder, Compression, Stamp};
use acme_kafka::{Client, Config, Producer, ProducerOptions, Purpose, TopicPartition};
use acme_lab::kafka::Kafka;
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

/// Writes a record in a transaction that no coordinator knows, as brokers without KIP-890 let it happen; long ago.
async fn hang(client: &Client, topic: &str) -> bool {
    let mut batch = BatchBuilder::with_capacity(100);
    batch.push(1_700_000_000_000, None, Some(b"x"), &[]);
    let stamp = Stamp { producer_id: 77_777, producer_epoch: 3, base_sequence: 0, is_transactional: true };
    let records = batch.finish(Compression::None).expect("it fits").stamped(stamp).concat();
    let partition = PartitionProduceData::default().with_records(Some(records.into()));
    let name = |name: &str| StrBytes::from_string(name.to_owned());
    let data =
        TopicProduceData::default().with_name(TopicName(name(topic))).with_partition_data(vec![partition]);
    let request = ProduceRequest::default()
        .with_acks(-1)
        .with_timeout_ms(10_000)
        .with_transactional_id(Some(TransactionalId(name("nobody's"))))
        .with_topic_data(vec![data]);
    let leader = client.leader(&TopicPartition::new(topic, 0)).await.expect("it has one").broker;
    let connection = client.connection(leader, Purpose::Control).await.expect("it answers");
    // The last version of the older dialect: newer ones tell the coordinator.
    let answer = connection.send_at(&request, 11, Duration::from_secs(30)).await.expect("it answers");
    answer.responses[0].partition_responses[0].error_code == 0
}

#[test]
fn a_transaction_that_hangs_is_found_and_aborted() {
    let kafka =
        Kafka::options().set("transaction.partition.verification.enable", false).start().expect("it starts");
    kafka.create_topic("hung", 1, &[]).expect("it is made");
    let bootstrap = kafka.bootstrap();
    let runtime = Runtime::new().expect("it starts");
    runtime.block_on(async {
        let client = Client::connect(Config::new([bootstrap.clone()])).await.expect("it answers");
        assert!(hang(&client, "hung").await, "it is written");
    });
    let place = Place::new();
    let acme = |arguments: &[&str]| place.acme_ok(&[arguments, &["--bootstrap-server", &bootstrap]].concat());
    let find = ["--bootstrap-server", &bootstrap, "find-hanging", "--topic", "hung"];
    let theirs =
        acme_lab::run(&mut kafka.tool(TRANSACTIONS.1, &find).expect("Java is there")).expect("it runs");
    let ours = acme(&["kafka-transactions", "find-hanging", "--topic", "hung"]);
    // How long it hangs is counted in minutes.
    let row = |out: &str| -> Vec<String> {
        out.lines().nth(1).unwrap_or_default().split_whitespace().take(7).map(str::to_owned).collect()
    };
    assert_eq!(row(&theirs), row(&ours));
    assert_eq!(row(&ours), ["hung", "0", "77777", "3", "-1", "0", "1700000000000"]);
    let found = acme(&["transactions", "hanging", "--broker", "1", "--output", "json"]);
    let found: serde_json::Value = serde_json::from_str(&found).expect("it is JSON");
    assert_eq!(
        (&found[0]["producer_id"], &found[0]["transaction_start_offset"]),
        (&77_777.into(), &0.into())
    );
    acme(&["transactions", "abort", "hung", "0", "--start-offset", "0"]);
    assert_eq!(acme(&["kafka-transactions", "find-hanging", "--topic", "hung"]).lines().count(), 1);
}
