//! The clients that write and read, each told the same: ours, librdkafka's measure of itself, and Java's.

use super::client::{self, Load};
use acme_lab::{kafka, rdkafka, run};
use anyhow::{Context, Result};
use std::process::Command;

/// Who writes and reads.
#[derive(Clone, Copy, Debug)]
pub(super) enum Tool {
    Client,
    Rdkafka,
    Java,
}

impl Tool {
    pub(super) const ALL: [(&'static str, Self); 3] =
        [("client", Self::Client), ("rdkafka", Self::Rdkafka), ("java", Self::Java)];

    /// As the table calls it.
    pub(super) fn name(self, writes: bool) -> &'static str {
        match (self, writes) {
            (Self::Client, _) => "our client",
            (Self::Rdkafka, _) => "`rdkafka_performance`",
            (Self::Java, true) => "`kafka-producer-perf-test`",
            (Self::Java, false) => "`kafka-consumer-perf-test`",
        }
    }

    /// Writes with acks=all; records a second, by the tool's own clock.
    pub(super) fn write(self, bootstrap: &str, topic: &str, load: Load) -> Result<f64> {
        let (rows, size) = (load.rows.to_string(), load.size.to_string());
        match self {
            Self::Client => number(&run(&mut client::command("write", bootstrap, topic, load, None)?)?),
            Self::Rdkafka => {
                let mut command = Command::new(rdkafka::performance()?);
                command.args(["-P", "-a", "-1", "-s", &size, "-c", &rows, "-b", bootstrap, "-t", topic]);
                rdkafka_rate(&run(&mut command)?)
            }
            Self::Java => {
                let arguments = [
                    "--topic",
                    topic,
                    "--num-records",
                    &rows,
                    "--record-size",
                    &size,
                    "--throughput",
                    "-1",
                    "--command-property",
                    "acks=all",
                ];
                let class = "org.apache.kafka.tools.ProducerPerformance";
                let text = run(&mut kafka::fast_tool(class, &arguments, bootstrap)?)?;
                // "N records sent, 381000.5 records/sec (36.3 MB/sec), …"
                let last = text.lines().rev().find(|line| line.contains("99th")).unwrap_or_default();
                let rate = last.split(" records/sec").next().and_then(|before| before.rsplit(' ').next());
                rate.and_then(|rate| rate.replace(',', ".").parse().ok()).context(text)
            }
        }
    }

    /// Reads everything; records a second from the first fetch on, by the tool's own clock.
    pub(super) fn read(self, bootstrap: &str, topic: &str, load: Load) -> Result<f64> {
        let rows = load.rows.to_string();
        match self {
            Self::Client => number(&run(&mut client::command("read", bootstrap, topic, load, None)?)?),
            Self::Rdkafka => {
                let mut command = Command::new(rdkafka::performance()?);
                command.args(["-C", "-c", &rows, "-o", "beginning", "-b", bootstrap, "-t", topic]);
                (0..load.partitions).for_each(|partition| {
                    command.args(["-p", &partition.to_string()]);
                });
                rdkafka_rate(&run(&mut command)?)
            }
            Self::Java => {
                let class = "org.apache.kafka.tools.ConsumerPerformance";
                let arguments = ["--topic", topic, "--num-records", &rows];
                let text = run(&mut kafka::fast_tool(class, &arguments, bootstrap)?)?;
                // The last column is records a second without the time in which the group was formed.
                let last = text.lines().last().unwrap_or_default();
                let count = last.split(", ").nth(4).and_then(|count| count.parse::<u64>().ok());
                anyhow::ensure!(count >= Some(load.rows), "it has not read everything: {text}");
                last.rsplit(", ").next().and_then(|rate| rate.parse().ok()).context(text)
            }
        }
    }
}

/// The only number of a text.
fn number(text: &str) -> Result<f64> {
    text.trim().parse().with_context(|| text.to_owned())
}

/// The last "N msgs/s" that it has printed.
fn rdkafka_rate(text: &str) -> Result<f64> {
    let last = text.lines().rev().find(|line| line.contains(" msgs/s")).unwrap_or_default();
    let before = last.split(" msgs/s").next().and_then(|before| before.rsplit([' ', ':']).next());
    before.and_then(|rate| rate.trim().parse().ok()).with_context(|| text.to_owned())
}
