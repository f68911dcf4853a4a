//! How fast a cluster takes records.

use super::stats::Stats;
use super::{metrics, now_ms};
use crate::kafka::failure::Failure;
use acme_connect::SystemClock;
use acme_kafka::produce::Target;
use acme_kafka::{Client, Delivery, Error, ErrorCode, Producer, ProducerOptions, TopicPartition};
use acme_types::Clock;
use std::collections::VecDeque;
use std::io::Write;
use std::time::Duration;
use tokio::time::sleep;

/// Records between two looks at what became of earlier ones.
const LOOK_EVERY: u64 = 64;
/// The shortest pause that is worth one, in µs.
const PAUSE_MIN_US: i64 = 2_000;

/// What the records hold.
#[derive(Clone, Debug)]
pub(crate) enum Payload {
    /// So many letters, anew for each record.
    Random(usize),
    /// One of these.
    Of(Vec<Vec<u8>>),
    /// The number of the record.
    Number,
}

/// What is to be measured.
#[derive(Debug)]
pub(crate) struct Perf {
    pub(crate) topic: String,
    pub(crate) records: u64,
    /// The first ones, which do not count in the second summary.
    pub(crate) warmup: u64,
    pub(crate) payload: Payload,
    /// Records in a second; as many as possible if none.
    pub(crate) throughput: Option<f64>,
    pub(crate) options: ProducerOptions,
    /// With transactions: how long each is.
    pub(crate) transaction: Option<Duration>,
    pub(crate) interval_ms: i64,
    /// Print the client's own numbers, too.
    pub(crate) metrics: bool,
    pub(crate) as_json: bool,
}

/// Successive records of one partition that were sent in the same millisecond and have the same size.
#[derive(Debug)]
struct Run {
    sent_ms: i64,
    count: u64,
    bytes: u64,
    is_warmup: bool,
}

struct Measuring<'a, W> {
    perf: &'a Perf,
    producer: Producer,
    targets: Vec<Target>,
    /// What is under way, by partition.
    sent: Vec<VecDeque<Run>>,
    sticky: (usize, usize),
    stats: Stats,
    steady: Option<Stats>,
    lost: u64,
    fault: Option<Error>,
    clock: SystemClock,
    chance: u64,
    out: W,
}

/// Measures.
pub(crate) async fn run(client: &Client, perf: &Perf, out: impl Write) -> Result<(), Failure> {
    let metadata = client.metadata(&[&perf.topic]).await?;
    let topic = metadata.topics.get(perf.topic.as_str());
    let Some(topic) = topic.filter(|topic| topic.error != ErrorCode::UNKNOWN_TOPIC_OR_PARTITION) else {
        let name = &perf.topic;
        return Err(Failure::user(
            format!("Topic '{name}' does not exist"),
            format!("`acme topics create {name}` makes it"),
        ));
    };
    let mut producer = Producer::connect(client.clone(), perf.options.clone()).await?;
    let mut targets = Vec::new();
    for number in topic.partitions.keys() {
        targets.push(producer.target(&TopicPartition::new(perf.topic.as_str(), *number)).await?);
    }
    let clock = SystemClock::start();
    let began_ms = now_ms(&clock);
    let mut measuring = Measuring {
        perf,
        producer,
        sent: targets.iter().map(|_| VecDeque::new()).collect(),
        targets,
        sticky: (0, 0),
        stats: Stats::new(perf.records, perf.interval_ms, false, began_ms),
        steady: None,
        lost: 0,
        fault: None,
        clock,
        chance: 0x9e37_79b9_7f4a_7c15,
        out,
    };
    if perf.warmup > 0 {
        let text = "records. Steady state results will print after the complete test summary.";
        writeln!(measuring.out, "Warmup first {} {text}", perf.warmup).map_err(|error| unread(&error))?;
    }
    measuring.send_all().await?;
    measuring.finish(client)
}

fn unread(error: &std::io::Error) -> Failure {
    Failure::user(format!("standard output: {error}"), "let somebody read it")
}

impl<W: Write> Measuring<'_, W> {
    async fn send_all(&mut self) -> Result<(), Failure> {
        let began_us = self.clock.now().0;
        let mut record = match self.perf.payload {
            Payload::Random(size) => vec![0; size],
            _ => Vec::new(),
        };
        let mut transaction_began_ms = None;
        for number in 0..self.perf.records {
            self.fill(number, &mut record);
            let sent_ms = now_ms(&self.clock);
            if self.perf.transaction.is_some() && transaction_began_ms.is_none() {
                self.producer.begin()?;
                transaction_began_ms = Some(sent_ms);
            }
            if self.perf.warmup > 0 && number == self.perf.warmup {
                let (count, interval_ms) = (self.perf.records - self.perf.warmup, self.perf.interval_ms);
                self.steady = Some(Stats::new(count, interval_ms, true, sent_ms));
                self.stats.silent = true;
            }
            let at = self.partition(record.len());
            self.producer.send(self.targets[at], sent_ms, None, Some(&record), &[]).await?;
            self.note_sent(at, sent_ms, record.len(), number < self.perf.warmup);
            if number % LOOK_EVERY == 0 {
                let deliveries = self.producer.take_deliveries();
                self.account(deliveries)?;
            }
            if let (Some(long), Some(began_ms)) = (self.perf.transaction, transaction_began_ms)
                && u128::try_from(sent_ms - began_ms).is_ok_and(|open_ms| open_ms >= long.as_millis())
            {
                let deliveries = self.producer.commit().await?;
                self.account(deliveries)?;
                transaction_began_ms = None;
            }
            self.keep_pace(number + 1, began_us).await?;
        }
        let deliveries = match transaction_began_ms {
            Some(_) => self.producer.commit().await?,
            None => self.producer.flush().await?,
        };
        self.account(deliveries)
    }

    /// Waits until the next record is due; what is under way goes on meanwhile.
    async fn keep_pace(&mut self, sent: u64, began_us: i64) -> Result<(), Failure> {
        let Some(throughput) = self.perf.throughput else { return Ok(()) };
        loop {
            // Beyond what a clock can show it is as good as never.
            let due_us = began_us + (sent as f64 / throughput * 1e6) as i64;
            let early_us = due_us - self.clock.now().0;
            if early_us < PAUSE_MIN_US {
                return Ok(());
            }
            tokio::select! {
                biased;
                polled = self.producer.poll() => polled?,
                () = sleep(Duration::from_micros(early_us.unsigned_abs())) => {}
            }
            let deliveries = self.producer.take_deliveries();
            self.account(deliveries)?;
        }
    }

    /// The next random number.
    fn next(&mut self) -> u64 {
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        self.chance
    }

    fn fill(&mut self, number: u64, record: &mut Vec<u8>) {
        match &self.perf.payload {
            Payload::Random(_) => {
                for letters in record.chunks_mut(8) {
                    for (letter, chance) in letters.iter_mut().zip(self.next().to_le_bytes()) {
                        *letter = b'A' + ((u16::from(chance) * 26) >> 8) as u8;
                    }
                }
            }
            Payload::Of(all) => {
                let count = u64::try_from(all.len()).unwrap_or(1).max(1);
                let at = usize::try_from(self.next() % count).unwrap_or(0);
                if let Payload::Of(all) = &self.perf.payload {
                    record.clone_from(&all[at]);
                }
            }
            Payload::Number => {
                record.clear();
                record.extend_from_slice(number.to_string().as_bytes());
            }
        }
    }

    /// Partitions take turns, a batch each, as with Kafka's own producer.
    fn partition(&mut self, size: usize) -> usize {
        let (at, bytes) = self.sticky;
        self.sticky = if bytes + size > self.perf.options.batch_bytes {
            ((at + 1) % self.targets.len(), size)
        } else {
            (at, bytes + size)
        };
        self.sticky.0
    }

    fn note_sent(&mut self, at: usize, sent_ms: i64, size: usize, is_warmup: bool) {
        let bytes = u64::try_from(size).unwrap_or(0);
        match self.sent[at].back_mut() {
            Some(run) if run.sent_ms == sent_ms && run.bytes == bytes && run.is_warmup == is_warmup => {
                run.count += 1;
            }
            _ => self.sent[at].push_back(Run { sent_ms, count: 1, bytes, is_warmup }),
        }
    }

    /// Counts what the cluster has taken.
    fn account(&mut self, deliveries: Vec<Delivery>) -> Result<(), Failure> {
        if deliveries.is_empty() {
            return Ok(());
        }
        let now_ms = now_ms(&self.clock);
        for delivery in deliveries {
            let at = usize::try_from(delivery.partition.partition).unwrap_or(0);
            let mut left = delivery.count;
            let is_taken = delivery.result.is_ok();
            if let Err(error) = delivery.result {
                self.lost += left;
                self.fault.get_or_insert(error);
            }
            while left > 0 {
                let Some(run) = self.sent.get_mut(at).and_then(VecDeque::front_mut) else { break };
                let count = left.min(run.count);
                let latency_ms = u64::try_from(now_ms - run.sent_ms).unwrap_or(0);
                let (bytes, is_warmup) = (run.bytes * count, run.is_warmup);
                run.count -= count;
                left -= count;
                if run.count == 0 {
                    self.sent[at].pop_front();
                }
                if !is_taken {
                    continue;
                }
                let some = (count, bytes, latency_ms);
                self.stats.add(some, now_ms, &mut self.out).map_err(|error| unread(&error))?;
                if let Some(steady) = self.steady.as_mut().filter(|_| !is_warmup) {
                    steady.add(some, now_ms, &mut self.out).map_err(|error| unread(&error))?;
                }
            }
        }
        Ok(())
    }

    fn finish(&mut self, client: &Client) -> Result<(), Failure> {
        let now_ms = now_ms(&self.clock);
        if self.perf.as_json {
            let mut value = self.stats.value(now_ms);
            value["lost"] = self.lost.into();
            value["steady_state"] = self.steady.as_mut().map(|steady| steady.value(now_ms)).into();
            writeln!(self.out, "{value:#}").map_err(|error| unread(&error))?;
        } else {
            let stats = std::iter::once(&mut self.stats).chain(&mut self.steady);
            for stats in stats {
                stats.print_total(now_ms, &mut self.out).map_err(|error| unread(&error))?;
            }
            if self.perf.metrics {
                let mut values = self.stats.metrics(now_ms);
                values.push(("record-error-total", self.lost as f64));
                let text = metrics("producer-metrics", &client.config().client_id, &values);
                write!(self.out, "{text}").map_err(|error| unread(&error))?;
            }
        }
        match self.fault.take() {
            None => Ok(()),
            Some(error) => {
                let (lost, all) = (self.lost, self.lost + self.stats.count());
                let words = |said: &str| format!("{lost} of {all} records were not written: {said}");
                Err(Failure::from(error).in_words(words))
            }
        }
    }
}
