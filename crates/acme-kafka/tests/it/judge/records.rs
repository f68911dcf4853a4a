//! Records of every shape, there and back; transactions; where keys go.

use super::{Line, Writer, read_by_judge, read_by_us, write_by_judge};
use crate::{NODE, client, topic};
use acme_kafka::admin::NewTopic;
use acme_kafka::produce::{ProducerOptions, Transactional, partition_for_key};
use acme_kafka::records::Compression;
use acme_kafka::{Client, Isolation};
use std::collections::BTreeMap;
use std::time::Duration;

const COMPRESSIONS: [Compression; 5] =
    [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

/// Records of every shape, as they stand in the log of a new partition.
fn every_shape() -> Vec<Line> {
    let bytes: Vec<u8> = (0..=255).collect();
    let fields = [None, Some(Vec::new()), Some(b"\0".to_vec()), Some(bytes.clone())];
    let header = |name: &str, value: Option<&[u8]>| (name.to_owned(), value.map(<[u8]>::to_vec));
    let headers = [
        Vec::new(),
        vec![header("one", Some(b"1"))],
        vec![header("twice", Some(b"a")), header("other", None), header("twice", Some(b"b"))],
        vec![header("empty", Some(b"")), header("null", None), header("schlüssel ☃", Some(&bytes))],
    ];
    let mut lines = Vec::new();
    for key in &fields {
        for value in &fields {
            for headers in &headers {
                let (key, value, headers) = (key.clone(), value.clone(), headers.clone());
                lines.push(Line { key, value, headers, ..Line::default() });
            }
        }
    }
    // More than a batch holds, what compresses well and what does not, and one that is large alone.
    for number in 0..600_u32 {
        let noise = (0..100).flat_map(|at| (number * 7_919 + at).wrapping_mul(2_654_435_761).to_le_bytes());
        let value = if number % 2 == 0 { vec![b'x'; 400] } else { noise.collect() };
        lines.push(Line { key: Some(number.to_string().into()), value: Some(value), ..Line::default() });
    }
    lines.push(Line { value: Some(bytes.repeat(1_200)), ..Line::default() });
    for (number, line) in lines.iter_mut().enumerate() {
        let number = number as i64;
        // Times of all sizes, and back and forth.
        line.timestamp =
            [1, 1_000 + number, 1_700_000_000_123 - number, 1_700_000_000_000][number as usize % 4];
        line.offset = number;
    }
    lines
}

/// A topic that keeps records however old they say they are.
async fn archive(client: &Client, name: &str) {
    client.create_topic(&NewTopic::new(name, 1).with("retention.ms", "-1")).await.unwrap();
}

#[track_caller]
fn same(read: &[Line], expected: &[Line], of: Compression) {
    assert_eq!(read.len(), expected.len(), "{of:?}");
    for (read, expected) in read.iter().zip(expected) {
        assert_eq!(read.text(), expected.text(), "{of:?}");
    }
}

#[tokio::test]
async fn what_we_write_librdkafka_reads_byte_for_byte() {
    let client = client().await;
    let lines = every_shape();
    for compression in COMPRESSIONS {
        let name = format!("ours-{}", compression.name());
        archive(&client, &name).await;
        let options = ProducerOptions { compression, batch_bytes: 50_000, ..ProducerOptions::default() };
        let mut writer = Writer::connect(&client, &name, options).await;
        for line in &lines {
            writer.write(line).await;
        }
        writer.flush().await;
        same(&read_by_judge(&NODE, &name, &["check.crcs=true"]), &lines, compression);
    }
}

#[tokio::test]
async fn what_librdkafka_writes_we_read_byte_for_byte() {
    let client = client().await;
    let lines = every_shape();
    for compression in COMPRESSIONS {
        let name = format!("theirs-{}", compression.name());
        archive(&client, &name).await;
        let codec = format!("compression.type={}", compression.name());
        let properties = [&*codec, "enable.idempotence=true", "batch.size=50000"];
        write_by_judge(&NODE, &name, &properties, lines.iter().map(Line::text));
        same(&read_by_us(&client, &name, 1, Isolation::ReadCommitted).await, &lines, compression);
    }
}

/// The values of a topic of one partition, as numbers.
fn numbers(lines: &[Line]) -> Vec<usize> {
    let number = |line: &Line| String::from_utf8(line.value.clone().unwrap()).unwrap().parse().unwrap();
    lines.iter().map(number).collect()
}

fn numbered(range: std::ops::Range<usize>) -> impl Iterator<Item = Line> {
    let line = |number: usize| Line {
        value: Some(number.to_string().into()),
        timestamp: 1_700_000_000_000,
        ..Line::default()
    };
    range.map(line)
}

const COMMITTED: &str = "isolation.level=read_committed";
const ALL: &str = "isolation.level=read_uncommitted";

#[tokio::test]
async fn librdkafka_sees_what_we_committed_and_nothing_else() {
    let client = client().await;
    let name = topic(&client, 1).await;
    let transactional =
        Some(Transactional { id: format!("judged-{name}"), timeout: Duration::from_secs(60) });
    let options = ProducerOptions { transactional, batch_bytes: 1_000, ..ProducerOptions::default() };
    let mut writer = Writer::connect(&client, &name, options).await;
    for (range, commits) in [(0..300, true), (300..600, false), (600..601, true), (601..900, false)] {
        writer.producer.begin().unwrap();
        for line in numbered(range) {
            writer.write(&line).await;
        }
        writer.flush().await;
        if commits {
            writer.producer.commit().await.unwrap();
        } else {
            writer.producer.abort().await.unwrap();
        }
    }
    writer.producer.begin().unwrap();
    for line in numbered(900..1_000) {
        writer.write(&line).await;
    }
    writer.flush().await;
    let committed: Vec<usize> = (0..300).chain(600..601).collect();
    assert_eq!(numbers(&read_by_judge(&NODE, &name, &[COMMITTED])), committed, "one is open");
    let all = read_by_judge(&NODE, &name, &[ALL]);
    assert_eq!(numbers(&all), (0..1_000).collect::<Vec<_>>(), "the aborted ones are there");
    writer.producer.commit().await.unwrap();
    let read = read_by_judge(&NODE, &name, &[COMMITTED]);
    assert_eq!(numbers(&read), committed.into_iter().chain(900..1_000).collect::<Vec<_>>());
    assert_eq!(read, read_by_us(&client, &name, 1, Isolation::ReadCommitted).await, "offsets and all");
}

#[tokio::test]
async fn we_see_what_librdkafka_committed_and_nothing_else() {
    let client = client().await;
    let name = topic(&client, 1).await;
    let id = format!("transactional.id=judge-{name}");
    let mut lines = Vec::new();
    for (range, end) in [(0..300, "commit"), (300..600, "abort"), (600..601, "abort"), (601..900, "commit")] {
        lines.push("begin".to_owned());
        lines.extend(numbered(range).map(|line| line.text()));
        lines.push(end.to_owned());
    }
    write_by_judge(&NODE, &name, &[&id, "batch.num.messages=50"], lines.into_iter());
    let read = read_by_us(&client, &name, 1, Isolation::ReadCommitted).await;
    assert_eq!(numbers(&read), (0..300).chain(601..900).collect::<Vec<_>>());
    assert_eq!(read, read_by_judge(&NODE, &name, &[COMMITTED]), "offsets and all");
    let all = read_by_us(&client, &name, 1, Isolation::ReadUncommitted).await;
    assert_eq!(numbers(&all), (0..900).collect::<Vec<_>>(), "the aborted ones are there");
}

#[tokio::test]
async fn the_same_key_goes_to_the_same_partition_whoever_writes_it() {
    const PARTITIONS: i32 = 7;
    let client = client().await;
    let (ours, theirs) = (topic(&client, PARTITIONS).await, topic(&client, PARTITIONS).await);
    // Of all lengths from none, and with bytes that no text has.
    let key = |number: u32| {
        let bytes = (0..number % 23).map(|at| (number * 31 + at * 7).to_le_bytes()[0]);
        bytes.collect::<Vec<u8>>()
    };
    let lines: Vec<Line> = (0..500)
        .map(|number| {
            let key = key(number);
            let partition = partition_for_key(&key, PARTITIONS);
            let (key, value) = (Some(key), Some(number.to_string().into()));
            Line { partition, key, value, timestamp: 1_700_000_000_000, ..Line::default() }
        })
        .collect();
    let mut writer = Writer::connect(&client, &ours, ProducerOptions::default()).await;
    for line in &lines {
        writer.write(line).await;
    }
    writer.flush().await;
    let unplaced = lines.iter().map(|line| Line { partition: -1, ..line.clone() }.text());
    write_by_judge(&NODE, &theirs, &["partitioner=murmur2_random"], unplaced);
    let places = |topic: &str| {
        let lines = read_by_judge(&NODE, topic, &[]);
        let place = |line: Line| (line.value.unwrap(), line.partition);
        lines.into_iter().map(place).collect::<BTreeMap<Vec<u8>, i32>>()
    };
    let (ours, theirs) = (places(&ours), places(&theirs));
    assert_eq!(ours.len(), 500);
    assert_eq!(ours, theirs);
    let used: std::collections::BTreeSet<&i32> = ours.values().collect();
    assert_eq!(used.len(), 7, "else nothing was compared");
}
