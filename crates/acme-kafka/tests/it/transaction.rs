//! Transactions: all or nothing, with offsets and their metadata, and one producer at a time.

use crate::produce::consume;
use crate::{NODE, client, topic};
use acme_kafka::admin::{NewTopic, ONGOING};
use acme_kafka::group::{GroupMetadata, OffsetAndMetadata};
use acme_kafka::produce::{Producer, ProducerOptions, Transactional, init_producer};
use acme_kafka::{
    Class, Client, Config, ErrorCode, FetchOptions, Fetcher, Isolation, Position, TopicPartition,
};
use acme_lab::kafka::{Kafka, OLD_VERSION};
use std::time::Duration;

fn options(id: &str, timeout: Duration) -> ProducerOptions {
    let transactional = Some(Transactional { id: id.to_owned(), timeout });
    ProducerOptions { transactional, batch_bytes: 1_000, ..ProducerOptions::default() }
}

async fn producer(client: &Client, id: &str) -> Producer {
    Producer::connect(client.clone(), options(id, Duration::from_secs(60))).await.unwrap()
}

async fn write(producer: &mut Producer, topic: &str, range: std::ops::Range<usize>) {
    let target = producer.target(&TopicPartition::new(topic, 0)).await.unwrap();
    for number in range {
        producer.send(target, 0, None, Some(number.to_string().as_bytes()), &[]).await.unwrap();
    }
}

fn committed(kafka: &Kafka, topic: &str) -> Vec<usize> {
    let lines = consume(kafka, topic, "%s\n", &["-X", "isolation.level=read_committed"]);
    lines.iter().map(|line| line.parse().unwrap()).collect()
}

/// What our own fetcher sees up to the end.
async fn fetched(client: &Client, topic: &str, isolation: Isolation) -> Vec<usize> {
    let partition = TopicPartition::new(topic, 0);
    let mut fetcher = Fetcher::new(client.clone(), FetchOptions { isolation, ..FetchOptions::default() });
    fetcher.assign(&[(partition.clone(), Position::at(0))]);
    let mut seen = Vec::new();
    let reading = async {
        loop {
            match tokio::time::timeout(Duration::from_millis(20), fetcher.next()).await {
                Ok(fetched) => {
                    let fetched = fetched.unwrap();
                    let values = fetched.records.iter().map(|record| {
                        std::str::from_utf8(record.value(&fetched.buffer).unwrap()).unwrap().parse().unwrap()
                    });
                    seen.extend(values.collect::<Vec<usize>>());
                }
                Err(_) if fetcher.at_end(&partition) => return,
                Err(_) => {}
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), reading).await.unwrap();
    seen
}

/// Offset and metadata that a group has committed for partition 0.
async fn offset_of(client: &Client, group: &str, topic: &str) -> (i64, String) {
    let partition = TopicPartition::new(topic, 0);
    let committed = client.committed(group, Some(std::slice::from_ref(&partition)), true).await.unwrap();
    (committed[&partition].offset, committed[&partition].metadata.clone())
}

fn offset(offset: i64, metadata: &str) -> OffsetAndMetadata {
    OffsetAndMetadata { metadata: metadata.to_owned(), ..OffsetAndMetadata::new(offset) }
}

/// Both dialects of transactions: brokers that add partitions by themselves, and those that want to be told.
#[tokio::test]
async fn records_and_offsets_are_committed_together_or_not_at_all_in_both_dialects() {
    let old = Kafka::options().version(OLD_VERSION).start().unwrap();
    for kafka in [&*NODE, &old] {
        let client = Client::connect(Config::new([kafka.bootstrap()])).await.unwrap();
        client.create_topic(&NewTopic::new("both", 1)).await.unwrap();
        let source = TopicPartition::new("both", 0);
        let group = GroupMetadata::outside("readers");
        let mut producer = producer(&client, "writer").await;
        assert!(producer.begin().is_ok());
        write(&mut producer, "both", 0..300).await;
        producer.send_offsets(&group, &[(source.clone(), offset(10, "{\"checkpoint\":1}"))]).await.unwrap();
        producer.commit().await.unwrap();
        assert_eq!(offset_of(&client, "readers", "both").await, (10, "{\"checkpoint\":1}".to_owned()));

        producer.begin().unwrap();
        write(&mut producer, "both", 300..600).await;
        producer.flush().await.unwrap();
        producer.send_offsets(&group, &[(source.clone(), offset(20, "lost"))]).await.unwrap();
        producer.abort().await.unwrap();
        assert_eq!(offset_of(&client, "readers", "both").await.0, 10);

        // An abort with records that were never sent, and some under way.
        producer.begin().unwrap();
        write(&mut producer, "both", 600..900).await;
        producer.abort().await.unwrap();

        producer.begin().unwrap();
        write(&mut producer, "both", 900..1_200).await;
        producer.send_offsets(&group, &[(source, offset(30, "three"))]).await.unwrap();
        producer.commit().await.unwrap();
        assert_eq!(offset_of(&client, "readers", "both").await, (30, "three".to_owned()));
        let expected: Vec<usize> = (0..300).chain(900..1_200).collect();
        assert_eq!(committed(kafka, "both"), expected, "for another client");
        assert_eq!(fetched(&client, "both", Isolation::ReadCommitted).await, expected);
        let all = fetched(&client, "both", Isolation::ReadUncommitted).await;
        assert!(all.len() >= 900, "the aborted ones are there too: {}", all.len());
        // An empty one costs nothing and breaks nothing.
        producer.begin().unwrap();
        producer.commit().await.unwrap();
    }
}

#[tokio::test]
async fn an_open_transaction_is_unseen_and_holds_the_end_back() {
    let client = client().await;
    let topic = topic(&client, 1).await;
    let mut producer = producer(&client, &format!("open-{topic}")).await;
    producer.begin().unwrap();
    write(&mut producer, &topic, 0..100).await;
    producer.flush().await.unwrap();
    assert_eq!(fetched(&client, &topic, Isolation::ReadCommitted).await, [0; 0]);
    assert_eq!(fetched(&client, &topic, Isolation::ReadUncommitted).await.len(), 100);
    producer.commit().await.unwrap();
    assert_eq!(fetched(&client, &topic, Isolation::ReadCommitted).await.len(), 100);
}

#[tokio::test]
async fn an_open_transaction_is_listed_and_can_be_ended_by_whoever_knows_its_producer() {
    let client = client().await;
    let topic = topic(&client, 1).await;
    let id = format!("listed-{topic}");
    let mut producer = producer(&client, &id).await;
    let is_listed = async || {
        let open = client.list_transactions(&[ONGOING]).await.unwrap();
        open.iter().any(|it| it.id == id)
    };
    producer.begin().unwrap();
    assert!(!is_listed().await, "nothing is in it");
    write(&mut producer, &topic, 0..10).await;
    producer.flush().await.unwrap();
    assert!(is_listed().await);
    let found = client.describe_transaction(&id).await.unwrap().unwrap();
    assert_eq!((&*found.state, found.producer, found.timeout_ms), (ONGOING, producer.identity(), 60_000));
    let of = Transactional { id: id.clone(), timeout: Duration::from_secs(60) };
    init_producer(&client, Some(&of), Some(found.producer)).await.ok();
    assert!(!is_listed().await, "it is aborted");
    write(&mut producer, &topic, 10..20).await;
    assert!(producer.commit().await.is_err(), "its producer is fenced");
    assert_eq!(client.describe_transaction("no such transaction").await.unwrap(), None);
}

#[tokio::test]
async fn a_newer_producer_of_the_same_name_fences_the_older_one() {
    let client = client().await;
    let topic = topic(&client, 1).await;
    let id = format!("zombie-{topic}");
    let mut old = producer(&client, &id).await;
    old.begin().unwrap();
    write(&mut old, &topic, 0..100).await;
    old.flush().await.unwrap();
    let mut new = producer(&client, &id).await;
    new.begin().unwrap();
    write(&mut new, &topic, 500..600).await;
    new.commit().await.unwrap();
    let error = old.commit().await.unwrap_err();
    assert_eq!(error.class(), Class::Fence, "{error}");
    // Whether by a successor or by a time-out is told by the abort.
    let error = old.abort().await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::PRODUCER_FENCED), "{error}");
    assert!(old.begin().is_err());
    assert_eq!(committed(&NODE, &topic), (500..600).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_transaction_that_took_too_long_is_taken_back_and_the_producer_goes_on() {
    let kafka = Kafka::options().set("transaction.abort.timed.out.transaction.cleanup.interval.ms", 200);
    let kafka = kafka.start().unwrap();
    let client = Client::connect(Config::new([kafka.bootstrap()])).await.unwrap();
    client.create_topic(&NewTopic::new("slow", 1)).await.unwrap();
    let mut producer =
        Producer::connect(client.clone(), options("slow", Duration::from_millis(1_000))).await.unwrap();
    producer.begin().unwrap();
    write(&mut producer, "slow", 0..100).await;
    producer.flush().await.unwrap();
    // The coordinator has given up when the last stable offset moves past the records.
    let partition = TopicPartition::new("slow", 0);
    let waiting = async {
        let asked = [(partition.clone(), acme_kafka::At::Latest)];
        while client.list_offsets(&asked, Isolation::ReadCommitted).await.unwrap()[&partition].offset < 100 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waiting).await.unwrap();
    let error = producer.commit().await.unwrap_err();
    assert_ne!(error.class(), Class::Ok, "{error}");
    producer.abort().await.unwrap();
    producer.begin().unwrap();
    write(&mut producer, "slow", 100..200).await;
    producer.commit().await.unwrap();
    assert_eq!(committed(&kafka, "slow"), (100..200).collect::<Vec<_>>());
}

#[tokio::test]
async fn offsets_of_a_generation_that_has_passed_are_refused_and_the_transaction_lives() {
    let client = client().await;
    let topic = topic(&client, 1).await;
    let mut producer = producer(&client, &format!("member-{topic}")).await;
    producer.begin().unwrap();
    write(&mut producer, &topic, 0..10).await;
    let stranger = GroupMetadata {
        group: format!("group-{topic}"),
        generation: 7,
        member_id: "nobody".to_owned(),
        instance_id: None,
    };
    let offsets = [(TopicPartition::new(topic.as_str(), 0), offset(1, ""))];
    let error = producer.send_offsets(&stranger, &offsets).await.unwrap_err();
    assert_eq!(error.class(), Class::Rejoin, "{error}");
    let group = GroupMetadata::outside(stranger.group.clone());
    producer.send_offsets(&group, &offsets).await.unwrap();
    producer.commit().await.unwrap();
    assert_eq!(offset_of(&client, &stranger.group, &topic).await.0, 1);
}

#[tokio::test]
async fn a_refused_record_fails_the_transaction_and_is_named() {
    let client = client().await;
    let topic = topic(&client, 1).await;
    let mut producer = producer(&client, &format!("large-{topic}")).await;
    producer.begin().unwrap();
    write(&mut producer, &topic, 0..10).await;
    let target = producer.target(&TopicPartition::new(topic.as_str(), 0)).await.unwrap();
    producer.send(target, 0, None, Some(&vec![b'x'; 2_000_000]), &[]).await.unwrap();
    let error = producer.commit().await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::MESSAGE_TOO_LARGE), "{error}");
    let deliveries = producer.take_deliveries();
    let lost = deliveries.iter().find(|one| one.result.is_err()).unwrap();
    assert_eq!((lost.first, lost.count), (10, 1));
    producer.abort().await.unwrap();
    producer.begin().unwrap();
    write(&mut producer, &topic, 20..30).await;
    producer.commit().await.unwrap();
    assert_eq!(committed(&NODE, &topic), (20..30).collect::<Vec<_>>());
}

/// What the connector does: copy from one topic to another, offsets and records in one transaction, begin again at the
/// committed offset after whatever fails.
#[tokio::test]
async fn a_copy_is_exact_though_brokers_are_killed_and_the_producer_is_replaced() {
    let mut kafka = Kafka::cluster(3).unwrap();
    let mut config = Config::new(kafka.bootstrap().split(',').map(str::to_owned).collect::<Vec<_>>());
    config.request_timeout = Duration::from_secs(5);
    let client = Client::connect(config).await.unwrap();
    for topic in ["from", "to"] {
        client.create_topic(&NewTopic::new(topic, 1)).await.unwrap();
    }
    let options = ProducerOptions { batch_bytes: 2_000, ..ProducerOptions::default() };
    let mut writer = Producer::connect(client.clone(), options).await.unwrap();
    write(&mut writer, "from", 0..20_000).await;
    writer.flush().await.unwrap();
    let (source, target) = (TopicPartition::new("from", 0), TopicPartition::new("to", 0));
    let group = GroupMetadata::outside("copiers");
    let (mut commits, mut failures) = (0, 0);
    let mut restarts = 0;
    loop {
        // InitProducerId first, then the committed offset: nothing of an older life can come after it.
        let mut producer = producer(&client, "copier").await;
        restarts += 1;
        let committed = client.committed("copiers", None, true).await.unwrap();
        let mut position = committed.get(&source).map_or(0, |committed| committed.offset);
        let mut fetcher =
            Fetcher::new(client.clone(), FetchOptions { decoded_bytes: 1_000, ..FetchOptions::default() });
        fetcher.assign(&[(source.clone(), Position::at(position))]);
        let result: acme_kafka::Result<()> = async {
            let place = producer.target(&target).await?;
            while position < 20_000 {
                producer.begin()?;
                let mut count = 0;
                while count < 500 && position < 20_000 {
                    let fetched = fetcher.next().await?;
                    for record in &fetched.records {
                        producer.send(place, 0, None, record.value(&fetched.buffer), &[]).await?;
                    }
                    count += fetched.records.len();
                    position = fetched.next_offset;
                }
                producer.send_offsets(&group, &[(source.clone(), offset(position, ""))]).await?;
                commits += 1;
                if commits == 3 {
                    let leader = client.leader(&target).await?.broker;
                    kafka.kill(u8::try_from(leader).unwrap()).unwrap();
                }
                if commits % 4 == 0 {
                    return Err(acme_kafka::Error::State("this life ends in an open transaction".to_owned()));
                }
                producer.commit().await?;
            }
            Ok(())
        }
        .await;
        match result {
            Ok(()) => break,
            Err(error) => failures += usize::from(!error.to_string().is_empty()),
        }
    }
    assert!(
        restarts > 3 && failures > 2 && commits > 8,
        "{restarts} lives, {failures} failures, {commits} commits"
    );
    assert_eq!(committed(&kafka, "to"), (0..20_000).collect::<Vec<_>>());
}
