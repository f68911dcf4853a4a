//! Reading: everything once, nothing reset, whatever happens to brokers and topics.

use crate::client::{feed, produce};
use crate::{NODE, client, topic};
use acme_kafka::admin::NewTopic;
use acme_kafka::{Client, Config, Error, FetchOptions, Fetched, Fetcher, Position, TopicPartition};
use acme_lab::kafka::Kafka;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long anything here may take.
const PATIENCE: Duration = Duration::from_secs(60);

async fn next(fetcher: &mut Fetcher) -> acme_kafka::Result<Fetched> {
    tokio::time::timeout(PATIENCE, fetcher.next()).await.expect("something comes within a minute")
}

fn values(fetched: &Fetched) -> impl Iterator<Item = (i64, String)> {
    fetched.records.iter().map(|record| {
        let value = record.value(&fetched.buffer).unwrap_or_default();
        (record.offset, String::from_utf8(value.to_vec()).unwrap())
    })
}

/// Reads until `count` records have come; each partition's must come in order, without a gap, once.
async fn read(fetcher: &mut Fetcher, count: usize) -> BTreeMap<i32, Vec<String>> {
    let mut seen: BTreeMap<i32, Vec<String>> = BTreeMap::new();
    let mut total = 0;
    while total < count {
        let fetched = match next(fetcher).await {
            Err(error) if error.class().is_transient() => continue,
            result => result.unwrap(),
        };
        let known = seen.entry(fetched.partition).or_default();
        for (offset, value) in values(&fetched) {
            assert_eq!(offset, known.len() as i64, "partition {}", fetched.partition);
            known.push(value);
            total += 1;
        }
        assert_eq!(fetched.next_offset, known.len() as i64);
    }
    seen
}

fn beginning(topic: &str, partitions: i32) -> Vec<(TopicPartition, Position)> {
    (0..partitions).map(|number| (TopicPartition::new(topic, number), Position::at(0))).collect()
}

fn lines(range: std::ops::Range<usize>) -> String {
    range.map(|number| format!("record {number}\n")).collect()
}

#[tokio::test]
async fn everything_that_another_client_wrote_is_read_in_every_compression() {
    let client = client().await;
    let topic = topic(&client, 4).await;
    let mut expected = Vec::new();
    for (at, codec) in ["none", "gzip", "snappy", "lz4", "zstd"].into_iter().enumerate() {
        let text = lines(at * 5_000..(at + 1) * 5_000);
        feed(&NODE, &["-t", &topic, "-z", codec], &text);
        expected.extend(text.lines().map(str::to_owned));
    }
    let mut fetcher = Fetcher::new(client, FetchOptions::default());
    fetcher.assign(&beginning(&topic, 4));
    let mut seen: Vec<String> = read(&mut fetcher, 25_000).await.into_values().flatten().collect();
    seen.sort();
    expected.sort();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn small_limits_read_the_same() {
    let client = client().await;
    let topic = topic(&client, 2).await;
    produce(&NODE, &topic, &lines(0..20_000));
    let options = FetchOptions {
        max_bytes: 3_000,
        partition_max_bytes: 1_000,
        prefetch_bytes: 5_000,
        decoded_bytes: 100,
        ..FetchOptions::default()
    };
    let mut fetcher = Fetcher::new(client, options);
    fetcher.assign(&beginning(&topic, 2));
    let seen = read(&mut fetcher, 20_000).await;
    assert_eq!(seen.values().map(Vec::len).sum::<usize>(), 20_000);
}

#[tokio::test]
async fn the_end_is_seen_by_an_answered_fetch_and_left_by_new_records() {
    let client = client().await;
    let topic = topic(&client, 1).await;
    let partition = TopicPartition::new(topic.as_str(), 0);
    let mut fetcher = Fetcher::new(client, FetchOptions::default());
    fetcher.assign(&beginning(&topic, 1));
    assert!(!fetcher.at_end(&partition), "nothing was asked yet");
    let empty = tokio::time::timeout(Duration::from_millis(200), fetcher.next()).await;
    assert!(empty.is_err(), "nothing is there");
    until(|| fetcher.at_end(&partition)).await;
    produce(&NODE, &topic, "a\n");
    read(&mut fetcher, 1).await;
    until(|| fetcher.at_end(&partition)).await;
    assert!(fetcher.answered_at(&partition).is_some());
}

async fn until(mut condition: impl FnMut() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("the condition comes true within a minute");
}

#[tokio::test]
async fn a_paused_partition_holds_its_records_back_and_a_revoked_one_forgets_them() {
    let client = client().await;
    let topic = topic(&client, 2).await;
    for partition in ["0", "1"] {
        feed(&NODE, &["-t", &topic, "-p", partition], "a\nb\n");
    }
    let mut fetcher = Fetcher::new(client, FetchOptions::default());
    fetcher.assign(&beginning(&topic, 2));
    let [zero, one] = [0, 1].map(|number| TopicPartition::new(topic.as_str(), number));
    until(|| fetcher.prefetched_bytes() > 130).await;
    fetcher.pause(std::slice::from_ref(&zero));
    assert_eq!(next(&mut fetcher).await.unwrap().partition, 1);
    let nothing = tokio::time::timeout(Duration::from_millis(100), fetcher.next()).await;
    assert!(nothing.is_err(), "{nothing:?}");
    fetcher.resume(std::slice::from_ref(&zero));
    assert_eq!(next(&mut fetcher).await.unwrap().partition, 0);
    // Both from the beginning again, but one is taken away before it is read.
    fetcher.assign(&beginning(&topic, 2));
    until(|| fetcher.prefetched_bytes() > 130).await;
    fetcher.revoke(std::slice::from_ref(&one));
    assert_eq!(next(&mut fetcher).await.unwrap().partition, 0);
    let nothing = tokio::time::timeout(Duration::from_millis(100), fetcher.next()).await;
    assert!(nothing.is_err(), "{nothing:?}");
    assert_eq!(fetcher.assignment(), [zero]);
}

#[tokio::test]
async fn a_position_out_of_range_is_reported_and_never_reset() {
    let client = client().await;
    let topic = topic(&client, 1).await;
    let partition = TopicPartition::new(topic.as_str(), 0);
    produce(&NODE, &topic, "a\nb\nc\n");
    client.delete_records(&partition, 2).await.unwrap();
    let mut fetcher = Fetcher::new(client, FetchOptions::default());
    for offset in [0, 9] {
        fetcher.assign(&[(partition.clone(), Position::at(offset))]);
        let error = next(&mut fetcher).await.unwrap_err();
        let Error::OutOfRange { offset: at, log_start: 2, log_end: 3, .. } = error else { panic!("{error}") };
        assert_eq!(at, offset);
        let nothing = tokio::time::timeout(Duration::from_millis(300), fetcher.next()).await;
        assert!(nothing.is_err(), "the partition stands still: {nothing:?}");
    }
    fetcher.assign(&[(partition, Position::at(2))]);
    assert_eq!(next(&mut fetcher).await.unwrap().records[0].offset, 2);
}

#[tokio::test]
async fn a_log_that_was_cut_below_the_position_is_reported() {
    let client = client().await;
    let topic = topic(&client, 1).await;
    let partition = TopicPartition::new(topic.as_str(), 0);
    produce(&NODE, &topic, "a\nb\nc\n");
    let mut fetcher = Fetcher::new(client, FetchOptions::default());
    // Epoch 0 ends at 3: whoever has read up to 7 in it has read what no longer exists.
    let position = |offset| Position { leader_epoch: 0, ..Position::at(offset) };
    fetcher.assign(&[(partition.clone(), position(7))]);
    let error = next(&mut fetcher).await.unwrap_err();
    let Error::Truncated { offset: 7, epoch: 0, end: 3, end_epoch: 0, .. } = error else { panic!("{error}") };
    fetcher.assign(&[(partition, position(2))]);
    assert_eq!(next(&mut fetcher).await.unwrap().records[0].offset, 2);
}

#[tokio::test]
async fn a_topic_that_was_created_anew_is_noticed_at_the_start_and_while_reading() {
    let client = client().await;
    let name = topic(&client, 1).await;
    let partition = TopicPartition::new(name.as_str(), 0);
    produce(&NODE, &name, "a\n");
    let mut fetcher = Fetcher::new(client.clone(), FetchOptions::default());
    fetcher.assign(&[(partition.clone(), Position::at(0))]);
    let first = next(&mut fetcher).await.unwrap();
    client.delete_topic(&name).await.unwrap();
    let created = async {
        while client.create_topic(&NewTopic::new(&name, 1)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, created).await.unwrap();
    produce(&NODE, &name, "x\ny\n");
    let while_reading = next(&mut fetcher).await.unwrap_err();
    assert!(matches!(while_reading, Error::TopicRecreated { .. }), "{while_reading}");
    let position = Position { offset: 1, leader_epoch: first.leader_epoch, topic_id: first.topic_id };
    fetcher.assign(&[(partition, position)]);
    let at_start = next(&mut fetcher).await.unwrap_err();
    assert!(matches!(at_start, Error::TopicRecreated { .. }), "{at_start}");
}

#[tokio::test]
async fn reading_goes_on_without_loss_or_double_when_leaders_die() {
    let mut kafka = Kafka::cluster(3).unwrap();
    let mut config = Config::new(kafka.bootstrap().split(',').map(str::to_owned).collect::<Vec<_>>());
    config.request_timeout = Duration::from_secs(5);
    let client = Client::connect(config).await.unwrap();
    client.create_topic(&NewTopic::new("orders", 6)).await.unwrap();
    for partition in 0..6 {
        // Small batches, as fetches never split one.
        let arguments = ["-t", "orders", "-p", &partition.to_string(), "-X", "batch.num.messages=100"];
        feed(&kafka, &arguments, &lines(0..5_000));
    }
    let mut fetcher = Fetcher::new(
        client.clone(),
        FetchOptions { partition_max_bytes: 2_000, prefetch_bytes: 30_000, ..FetchOptions::default() },
    );
    fetcher.assign(&beginning("orders", 6));
    let mut seen: BTreeMap<i32, i64> = BTreeMap::new();
    let mut total = 0;
    let mut kills = 0;
    let victim = TopicPartition::new("orders", 0);
    while total < 30_000 {
        let fetched = match next(&mut fetcher).await {
            Err(error) if error.class().is_transient() => continue,
            result => result.unwrap(),
        };
        let expected = seen.entry(fetched.partition).or_default();
        for record in &fetched.records {
            assert_eq!(record.offset, *expected, "partition {}", fetched.partition);
            *expected += 1;
            total += 1;
        }
        if kills == 0 && seen.get(&0).is_some_and(|read| *read > 0) {
            assert!(seen[&0] < 3_000, "there is something left to read of the partition whose leader dies");
            let leader = client.cached().leader(&victim).unwrap().broker;
            kafka.kill(u8::try_from(leader).unwrap()).unwrap();
            kills += 1;
        }
    }
    assert_eq!((total, kills), (30_000, 1));
    // Positions were checked against the new leaders' epochs, and the log was found whole.
    assert!(client.cached().leader(&victim).unwrap().epoch > 0);
}

#[tokio::test]
async fn a_replica_in_the_readers_rack_is_read_until_it_dies() {
    const TOPIC: &str = "near";
    let selector = "org.apache.kafka.common.replica.RackAwareReplicaSelector";
    let mut kafka = Kafka::options().nodes(3).set("replica.selector.class", selector).start().unwrap();
    let mut config = Config::new(kafka.bootstrap().split(',').map(str::to_owned).collect::<Vec<_>>());
    config.request_timeout = Duration::from_secs(5);
    let client = Client::connect(config).await.unwrap();
    client.create_topic(&NewTopic::new(TOPIC, 1)).await.unwrap();
    feed(&kafka, &["-t", TOPIC, "-X", "batch.num.messages=100"], &lines(0..2_000));
    let partition = TopicPartition::new(TOPIC, 0);
    let leader = client.leader(&partition).await.unwrap().broker;
    // A rack without a broker changes nothing.
    let options = |rack: String| FetchOptions { rack: Some(rack), ..FetchOptions::default() };
    let mut elsewhere = Fetcher::new(client.clone(), options("rack9".to_owned()));
    elsewhere.assign(&beginning(TOPIC, 1));
    assert_eq!(read(&mut elsewhere, 2_000).await[&0].len(), 2_000);
    assert_eq!(elsewhere.broker(&partition), Some(leader));
    let near = if leader == 1 { 2 } else { 1 };
    let mut fetcher = Fetcher::new(client.clone(), options(format!("rack{near}")));
    fetcher.assign(&beginning(TOPIC, 1));
    let mut seen = 0;
    let mut follow = async |fetcher: &mut Fetcher, upto: i64| {
        while seen < upto {
            let fetched = match next(fetcher).await {
                Err(error) if error.class().is_transient() => continue,
                result => result.unwrap(),
            };
            for record in &fetched.records {
                assert_eq!(record.offset, seen, "once and in order");
                seen += 1;
            }
        }
    };
    follow(&mut fetcher, 2_000).await;
    assert_eq!(fetcher.broker(&partition), Some(near), "the leader is {leader}");
    kafka.kill(u8::try_from(near).unwrap()).unwrap();
    feed(&kafka, &["-t", TOPIC], &lines(2_000..4_000));
    follow(&mut fetcher, 4_000).await;
    assert_ne!(fetcher.broker(&partition), Some(near));
}
