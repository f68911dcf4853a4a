//! Writing lines to a topic.

use super::failure::Failure;
use super::lines::{Lines, Parsed};
use acme_connect::SystemClock;
use acme_kafka::produce::Target;
use acme_kafka::{Client, Error, ErrorCode, Producer, ProducerOptions, TopicPartition};
use acme_types::Clock;
use std::io::{BufRead, Write};
use tokio::sync::mpsc;

/// Blocks of lines that may wait between reading and writing.
const BLOCKS_MAX: usize = 8;
/// What is read at once; a line may be longer.
const BLOCK_BYTES: usize = 64 * 1024;
/// Bytes without keys that go to one partition before the next one gets some, as Kafka's producer does it.
const STICKY_BYTES: usize = 16 * 1024;

/// What is to be written and how.
pub(crate) struct Produce {
    pub(crate) topic: String,
    pub(crate) lines: Lines,
    /// Wait for each record before the next one.
    pub(crate) sync: bool,
    pub(crate) options: ProducerOptions,
    /// Show that a line is expected.
    pub(crate) prompt: bool,
}

/// What became of it.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// Records that the cluster has.
    pub(crate) records: u64,
    /// Records that it does not have, and why the first one of them.
    pub(crate) lost: u64,
    pub(crate) first_fault: Option<Error>,
}

/// Writes lines until they end.
pub(crate) async fn produce(
    client: &Client,
    produce: Produce,
    input: impl BufRead + Send + 'static,
    out: impl Write + Send + 'static,
) -> Result<Written, Failure> {
    let metadata = client.metadata(&[&produce.topic]).await?;
    let topic = metadata.topics.get(produce.topic.as_str());
    let unknown = topic.is_none_or(|topic| topic.error == ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    if unknown {
        let name = &produce.topic;
        let help = format!(
            "`acme topics list` shows the topics that there are; `acme topics create {name}` makes it"
        );
        return Err(Failure::user(format!("Topic '{name}' does not exist"), help));
    }
    let partitions = topic.map_or(0, |topic| topic.partitions.len());
    let mut producer = Producer::connect(client.clone(), produce.options.clone()).await?;
    let mut targets = Vec::with_capacity(partitions);
    for number in 0..partitions {
        let number = i32::try_from(number).unwrap_or(i32::MAX);
        targets.push(producer.target(&TopicPartition::new(produce.topic.as_str(), number)).await?);
    }
    let (sender, receiver) = mpsc::channel(BLOCKS_MAX);
    let prompt = produce.prompt;
    let reading = tokio::task::spawn_blocking(move || read(input, out, prompt, &sender));
    let mut writing = Writing { producer, targets, produce, sticky: (0, 0), clock: SystemClock::start() };
    let result = writing.run(receiver).await;
    match result {
        // Whoever reads the terminal ends with the process; nothing waits for him.
        Err(failure) => Err(failure),
        Ok(written) => {
            let read = reading.await.map_err(|error| Failure::user(error.to_string(), "report it"))?;
            read.map_err(|error| Failure::file(format!("standard input: {error}"), "give lines of text"))?;
            Ok(written)
        }
    }
}

/// Hands over blocks of whole lines as they come.
fn read(
    mut input: impl BufRead,
    mut out: impl Write,
    prompt: bool,
    sender: &mpsc::Sender<Vec<u8>>,
) -> std::io::Result<()> {
    let mut block = Vec::new();
    loop {
        if prompt {
            out.write_all(b">")?;
            out.flush()?;
        }
        let there = input.fill_buf()?;
        let count = there.len().min(BLOCK_BYTES);
        let end = count == 0;
        block.extend_from_slice(&there[..count]);
        input.consume(count);
        let whole = if end {
            block.len()
        } else {
            block.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1)
        };
        let rest = block.split_off(whole);
        let lines = std::mem::replace(&mut block, rest);
        // Nobody listens any more once writing has failed.
        let gone = !lines.is_empty() && sender.blocking_send(lines).is_err();
        if gone || end {
            return Ok(());
        }
    }
}

struct Writing {
    producer: Producer,
    targets: Vec<Target>,
    produce: Produce,
    /// The partition for records without a key, and the bytes that it got.
    sticky: (usize, usize),
    clock: SystemClock,
}

impl Writing {
    async fn run(&mut self, mut blocks: mpsc::Receiver<Vec<u8>>) -> Result<Written, Failure> {
        let mut written = Written::default();
        loop {
            tokio::select! {
                biased;
                block = blocks.recv() => match block {
                    Some(block) => {
                        if let Err(failure) = self.block(&block, &mut written).await {
                            // What came before the fault is written.
                            count(self.producer.flush().await?, &mut written);
                            return Err(failure);
                        }
                    }
                    None => break,
                },
                polled = self.producer.poll() => polled?,
            }
            self.account(&mut written);
        }
        let deliveries = self.producer.flush().await?;
        count(deliveries, &mut written);
        Ok(written)
    }

    fn account(&mut self, written: &mut Written) {
        count(self.producer.take_deliveries(), written);
    }

    async fn block(&mut self, block: &[u8], written: &mut Written) -> Result<(), Failure> {
        for line in block.split_inclusive(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let now_ms = self.clock.now().0 / 1_000;
            let Parsed { key, value, headers } = self.produce.lines.parse(line)?;
            let size = key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len);
            let target = self.target(key, size);
            self.producer.send(target, now_ms, key, value, &headers).await?;
            if self.produce.sync {
                let deliveries = self.producer.flush().await?;
                count(deliveries, written);
            }
        }
        Ok(())
    }

    fn target(&mut self, key: Option<&[u8]>, size: usize) -> Target {
        let partitions = self.targets.len();
        let Some(key) = key else {
            let (at, bytes) = self.sticky;
            self.sticky =
                if bytes + size > STICKY_BYTES { ((at + 1) % partitions, 0) } else { (at, bytes + size) };
            return self.targets[self.sticky.0];
        };
        let number =
            acme_kafka::produce::partition_for_key(key, i32::try_from(partitions).unwrap_or(i32::MAX));
        self.targets[usize::try_from(number).unwrap_or(0)]
    }
}

fn count(deliveries: Vec<acme_kafka::Delivery>, written: &mut Written) {
    for delivery in deliveries {
        match delivery.result {
            Ok(_) => written.records += delivery.count,
            Err(error) => {
                written.lost += delivery.count;
                written.first_fault.get_or_insert(error);
            }
        }
    }
}
