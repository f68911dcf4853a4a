//! Our client as a process of its own: it writes as fast as it can, reads, or writes at a fixed pace and times each
//! acknowledgement. And a process that keeps a core busy.

use crate::measure::Moment;
use acme_kafka::produce::Target;
use acme_kafka::{
    At, Client, Config, FetchOptions, Fetcher, Isolation, Position, Producer, ProducerOptions, TopicPartition,
};
use anyhow::{Context, Result, bail};
use std::process::Command;
use std::time::Duration;
use tokio::runtime::Builder;

/// The word that makes this program one of them.
pub(crate) const WORD: &str = "log-client";
/// How often the paced one sends what is due.
const TICK: Duration = Duration::from_millis(1);
/// Of its run, what goes by before it counts.
const UNCOUNTED: f64 = 0.25;

/// What is written or read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) partitions: u32,
    pub(crate) rows: u64,
    /// Of a record's value, in bytes.
    pub(crate) size: usize,
}

/// A process that does `what`: `write`, `read`, or `pace` with so many records a second.
pub(crate) fn command(
    what: &str,
    bootstrap: &str,
    topic: &str,
    load: Load,
    rate: Option<u32>,
) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args([WORD, what, bootstrap, topic]).args([
        load.partitions.to_string(),
        load.rows.to_string(),
        load.size.to_string(),
        rate.unwrap_or(0).to_string(),
    ]);
    Ok(command)
}

/// A process that computes for ever, a little less important than others, as a compiler would be.
pub(crate) fn busy() -> Result<Command> {
    let mut command = Command::new("nice");
    command.args(["-n", "5"]).arg(std::env::current_exe()?).args([WORD, "busy"]);
    Ok(command)
}

/// What these processes do; each prints its numbers.
#[expect(clippy::print_stdout, reason = "the result of the process")]
pub(crate) fn run(words: &[String]) -> Result<()> {
    if words == ["busy"] {
        busy_for_ever();
    }
    let [what, bootstrap, topic, partitions, rows, size, rate] = words else {
        bail!("{WORD} write|read|pace BOOTSTRAP TOPIC PARTITIONS ROWS SIZE RATE")
    };
    let load = Load { partitions: partitions.parse()?, rows: rows.parse()?, size: size.parse()? };
    let numbers = Builder::new_current_thread().enable_all().build()?.block_on(async {
        let client = connect(bootstrap).await?;
        match what.as_str() {
            "write" => write(client, topic, load).await.map(|rate| vec![rate]),
            "read" => read(client, topic, load).await.map(|rate| vec![rate]),
            "pace" => pace(client, topic, load, rate.parse()?).await,
            _ => bail!("{WORD} {what}"),
        }
    })?;
    let text: Vec<String> = numbers.iter().map(|number| format!("{number:.3}")).collect();
    println!("{}", text.join(" "));
    Ok(())
}

fn busy_for_ever() -> ! {
    let mut number = 0_u64;
    loop {
        number = std::hint::black_box(number.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1));
    }
}

pub(crate) async fn connect(bootstrap: &str) -> Result<Client> {
    Client::connect(Config::new(bootstrap.split(','))).await.context("the broker does not answer")
}

async fn producer(
    client: Client,
    topic: &str,
    partitions: u32,
    options: ProducerOptions,
) -> Result<(Producer, Vec<Target>)> {
    let mut producer = Producer::connect(client, options).await?;
    let mut targets = Vec::new();
    for partition in 0..i32::try_from(partitions)? {
        targets.push(producer.target(&TopicPartition::new(topic, partition)).await?);
    }
    Ok((producer, targets))
}

/// Writes, partitions in turn, a batch each; returns records a second.
async fn write(client: Client, topic: &str, load: Load) -> Result<f64> {
    let options = ProducerOptions::default();
    let per_batch = u64::try_from(options.batch_bytes / load.size)?;
    let (mut producer, targets) = producer(client, topic, load.partitions, options).await?;
    let mut value = vec![b'x'; load.size];
    let began = Moment::now();
    for number in 0..load.rows {
        // So that no two records are the same.
        value[..8].copy_from_slice(&number.to_le_bytes());
        let target = targets[usize::try_from(number / per_batch)? % targets.len()];
        producer.send(target, 0, None, Some(&value), &[]).await?;
    }
    let mut written = 0;
    for delivery in producer.flush().await? {
        delivery.result?;
        written += delivery.count;
    }
    let ms = began.ms();
    anyhow::ensure!(written == load.rows, "wrote {written} of {}", load.rows);
    Ok(load.rows as f64 / ms * 1e3)
}

/// Reads all partitions from their beginning; returns records a second.
async fn read(client: Client, topic: &str, load: Load) -> Result<f64> {
    let mut fetcher = Fetcher::new(client, FetchOptions::default());
    let begin = |partition| Ok((TopicPartition::new(topic, i32::try_from(partition)?), Position::at(0)));
    let began = Moment::now();
    fetcher.assign(&(0..load.partitions).map(begin).collect::<Result<Vec<_>>>()?);
    let (mut rows, mut bytes) = (0, 0);
    while rows < load.rows {
        let fetched = fetcher.next().await?;
        rows += fetched.records.len() as u64;
        let values =
            fetched.records.iter().map(|record| record.value(&fetched.buffer).map_or(0, <[u8]>::len));
        bytes += values.sum::<usize>() as u64;
    }
    let ms = began.ms();
    anyhow::ensure!(
        (rows, bytes) == (load.rows, load.rows * load.size as u64),
        "read {rows} records, {bytes} bytes"
    );
    Ok(rows as f64 / ms * 1e3)
}

/// Writes so many records a second to partition 0, each when it is due, however late earlier ones are answered; returns
/// p50, p99 and p999 of the milliseconds from when a record was due to its acknowledgement.
async fn pace(client: Client, topic: &str, load: Load, rate: u32) -> Result<Vec<f64>> {
    let options = ProducerOptions { linger: Duration::ZERO, ..ProducerOptions::default() };
    let (mut producer, targets) = producer(client, topic, 1, options).await?;
    let mut value = vec![b'x'; load.size];
    let mut latencies: Vec<f64> = Vec::with_capacity(usize::try_from(load.rows)?);
    let per_ms = f64::from(rate) / 1e3;
    let (mut sent, mut answered) = (0_u64, 0_u64);
    let began = Moment::now();
    while answered < load.rows {
        // A tick's records are due when it begins.
        let due = ((began.ms().floor() + 1.0) * per_ms) as u64;
        while sent < due.min(load.rows) {
            value[..8].copy_from_slice(&sent.to_le_bytes());
            producer.push(targets[0], 0, None, Some(&value), &[])?;
            sent += 1;
        }
        tokio::select! {
            biased;
            polled = producer.poll() => polled?,
            () = tokio::time::sleep(TICK) => {}
        }
        let now_ms = began.ms();
        for delivery in producer.take_deliveries() {
            delivery.result?;
            for _ in 0..delivery.count {
                latencies.push(now_ms - (answered as f64 / per_ms).floor());
                answered += 1;
            }
        }
    }
    let mut counted = latencies.split_off((latencies.len() as f64 * UNCOUNTED) as usize);
    counted.sort_by(f64::total_cmp);
    let at = |part: f64| counted[((counted.len() as f64 * part) as usize).min(counted.len() - 1)];
    Ok(vec![at(0.5), at(0.99), at(0.999)])
}

/// How many records a topic has got.
pub(crate) fn written(bootstrap: &str, topic: &str, partitions: u32) -> Result<u64> {
    block_on(async {
        let client = connect(bootstrap).await?;
        let all =
            (0..i32::try_from(partitions)?).map(|number| (TopicPartition::new(topic, number), At::Latest));
        let ends = client.list_offsets(&all.collect::<Vec<_>>(), Isolation::ReadUncommitted).await?;
        Ok(ends.values().map(|end| end.offset.unsigned_abs()).sum())
    })
}

/// Waits for a task on a runtime of its own.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    Builder::new_current_thread().enable_all().build()?.block_on(work)
}
