//! The bare client: records in, records out, and nothing between. It runs as a process of its own, so that its time and
//! memory are measured like everybody else's.

use acme_kafka::admin::NewTopic;
use acme_kafka::produce::Target;
use acme_kafka::{
    Client, Config, FetchOptions, Fetcher, Position, Producer, ProducerOptions, TopicPartition,
};
use anyhow::{Context, Result, bail};
use std::process::Command;
use tokio::runtime::Builder;

/// The words that make this program the client.
pub(crate) const WRITE: &str = "raw-write";
pub(crate) const COPY: &str = "raw-copy";
/// Bytes of an event.
const BYTES: usize = 250;
/// One event of so many is a purchase.
pub(crate) const PURCHASE_EVERY: u64 = 8;

/// A process that writes the events with the numbers from 0 to `rows`, evenly over the partitions.
pub(crate) fn writer(bootstrap: &str, topic: &str, partitions: u32, rows: u64) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args([WRITE, bootstrap, topic, &partitions.to_string(), &rows.to_string()]);
    Ok(command)
}

/// A process that writes the `rows` records of a topic to another one, each to the same partition, without a look at them.
pub(crate) fn copier(bootstrap: &str, from: &str, to: &str, partitions: u32, rows: u64) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args([COPY, bootstrap, from, to, &partitions.to_string(), &rows.to_string()]);
    Ok(command)
}

/// What the first of these processes does.
pub(crate) fn write(words: &[String]) -> Result<()> {
    let [bootstrap, topic, partitions, rows] = words else {
        bail!("{WRITE} BOOTSTRAP TOPIC PARTITIONS ROWS")
    };
    let (partitions, rows): (i32, u64) = (partitions.parse()?, rows.parse()?);
    block_on(async {
        let (mut producer, targets) = producer(connect(bootstrap).await?, topic, partitions).await?;
        let mut value = Vec::with_capacity(BYTES);
        for number in 0..rows {
            event(number, &mut value);
            let target = targets[usize::try_from(number)? % targets.len()];
            producer.send(target, 0, None, Some(&value), &[]).await?;
        }
        let written: u64 = producer.flush().await?.iter().map(|one| one.count).sum();
        if written == rows { Ok(()) } else { bail!("wrote {written} of {rows}") }
    })
}

async fn producer(client: Client, topic: &str, partitions: i32) -> Result<(Producer, Vec<Target>)> {
    let mut producer = Producer::connect(client, ProducerOptions::default()).await?;
    let mut targets = Vec::new();
    for partition in 0..partitions {
        targets.push(producer.target(&TopicPartition::new(topic, partition)).await?);
    }
    Ok((producer, targets))
}

/// What the second does.
pub(crate) fn copy(words: &[String]) -> Result<()> {
    let [bootstrap, from, to, partitions, rows] = words else {
        bail!("{COPY} BOOTSTRAP FROM TO PARTITIONS ROWS")
    };
    let (partitions, rows): (i32, u64) = (partitions.parse()?, rows.parse()?);
    // Both cores, as everybody else has them.
    Builder::new_multi_thread().worker_threads(1).enable_all().build()?.block_on(async {
        let client = connect(bootstrap).await?;
        let (mut producer, targets) = producer(client.clone(), to, partitions).await?;
        let mut fetcher = Fetcher::new(client, FetchOptions::default());
        let begin = |partition| (TopicPartition::new(from.as_str(), partition), Position::at(0));
        fetcher.assign(&(0..partitions).map(begin).collect::<Vec<_>>());
        let mut read = 0;
        while read < rows {
            let fetched = fetcher.next().await?;
            let target = targets[usize::try_from(fetched.partition)?];
            for record in &fetched.records {
                let (key, value) = (record.key(&fetched.buffer), record.value(&fetched.buffer));
                let headers: Vec<_> = record.headers(&fetched.buffer).collect();
                producer.send(target, record.timestamp, key, value, &headers).await?;
            }
            read += fetched.records.len() as u64;
        }
        let written: u64 = producer.flush().await?.iter().map(|one| one.count).sum();
        if written == rows { Ok(()) } else { bail!("copied {written} of {rows}") }
    })
}

/// An event of [`BYTES`]: one of [`PURCHASE_EVERY`] is a purchase.
fn event(number: u64, into: &mut Vec<u8>) {
    use std::io::Write;
    into.clear();
    let kind = if number.is_multiple_of(PURCHASE_EVERY) { "purchase" } else { "view" };
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let (user, price) = (mixed % 99_991, mixed >> 50);
    write!(
        into,
        "{{\"id\":{number},\"event_type\":\"{kind}\",\"user\":{{\"id\":{user},\"name\":\"user {user}\"}},\"price\":{price}.5,\"note\":\""
    )
    .expect("a vector takes all bytes");
    into.resize(BYTES - 2, b'x');
    into.extend_from_slice(b"\"}");
}

/// Creates topics, and removes others with their data.
pub(crate) fn topics(bootstrap: &str, create: &[&str], remove: &[String], partitions: u32) -> Result<()> {
    block_on(async {
        let client = connect(bootstrap).await?;
        for name in create {
            // The events are of 1970.
            let topic = NewTopic::new(*name, i32::try_from(partitions)?).with("retention.ms", "-1");
            client.create_topic(&topic).await?;
        }
        for name in remove {
            client.delete_topic(name).await?;
        }
        Ok(())
    })
}

async fn connect(bootstrap: &str) -> Result<Client> {
    Client::connect(Config::new(bootstrap.split(','))).await.context("Kafka does not answer")
}

fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    Builder::new_current_thread().enable_all().build()?.block_on(work)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_documents_of_one_length() -> Result<()> {
        let mut value = Vec::new();
        for number in [0, 1, 1_999_999] {
            event(number, &mut value);
            let document: serde_json::Value = serde_json::from_slice(&value)?;
            assert_eq!((value.len(), document["id"].as_u64()), (BYTES, Some(number)));
            assert_eq!(document["event_type"] == "purchase", number % PURCHASE_EVERY == 0);
        }
        Ok(())
    }
}
