//! `acme produce TOPIC`, and `acme kafka-console-producer`: the command of Kafka's distribution, word for word.

use super::consume::pair;
use super::run::runtime;
use super::tools::{Printed, misuse, renamed, renamed_file, tell};
use super::{note, print, print_all};
use crate::kafka::failure::Failure;
use crate::kafka::lines::Lines;
use crate::kafka::produce::{Produce, produce};
use crate::kafka::{Cluster, connect, file};
use acme_kafka::ProducerOptions;
use acme_kafka::properties::Properties;
use acme_types::Diagnostic;
use clap::Args;
use serde_json::json;
use std::io::{BufReader, IsTerminal, stdin, stdout};
use std::process::ExitCode;

const TOOL: &str = "kafka-console-producer";

/// `acme produce`.
#[derive(Args)]
pub(super) struct ProduceLines {
    /// The topic.
    topic: String,
    /// What stands between key and value; without it lines are values.
    #[arg(long, value_name = "TEXT")]
    key_separator: Option<String>,
    /// How a line is taken apart: parse.headers=true, null.marker=NULL and so on.
    #[arg(long, value_name = "NAME=VALUE")]
    reader_property: Vec<String>,
    /// A property of the producer: NAME=VALUE.
    #[arg(long, value_name = "NAME=VALUE")]
    command_property: Vec<String>,
    /// gzip, snappy, lz4 or zstd.
    #[arg(long, value_name = "CODEC")]
    compression: Option<String>,
    #[command(flatten)]
    cluster: Cluster,
    #[command(flatten)]
    printed: Printed,
}

/// `acme kafka-console-producer`.
#[derive(Args)]
pub(super) struct ConsoleProducer {
    /// The topic.
    #[arg(long)]
    topic: Option<String>,
    /// How a line is taken apart: parse.key=true, key.separator=: and so on.
    #[arg(long, value_name = "NAME=VALUE")]
    reader_property: Vec<String>,
    /// As --reader-property.
    #[arg(long, value_name = "NAME=VALUE")]
    property: Vec<String>,
    /// A file of properties of the reader.
    #[arg(long, value_name = "FILE")]
    reader_config: Option<String>,
    /// Kafka's class that reads; LineMessageReader is known.
    #[arg(long, value_name = "CLASS")]
    line_reader: Option<String>,
    /// A property of the producer: NAME=VALUE.
    #[arg(long, value_name = "NAME=VALUE")]
    command_property: Vec<String>,
    /// As --command-property.
    #[arg(long, value_name = "NAME=VALUE")]
    producer_property: Vec<String>,
    /// As --command-config.
    #[arg(long = "producer.config", value_name = "FILE")]
    producer_config: Option<String>,
    /// none, gzip, snappy, lz4 or zstd; gzip without a word.
    #[arg(long, num_args = 0..=1, default_missing_value = "gzip", value_name = "CODEC")]
    compression_codec: Option<String>,
    /// Wait for each record before the next one.
    #[arg(long)]
    sync: bool,
    /// batch.size
    #[arg(long)]
    batch_size: Option<String>,
    /// batch.size
    #[arg(long)]
    max_partition_memory_bytes: Option<String>,
    /// buffer.memory
    #[arg(long)]
    max_memory_bytes: Option<String>,
    /// linger.ms
    #[arg(long)]
    timeout: Option<String>,
    /// request.timeout.ms
    #[arg(long)]
    request_timeout_ms: Option<String>,
    /// retry.backoff.ms
    #[arg(long)]
    retry_backoff_ms: Option<String>,
    /// metadata.max.age.ms
    #[arg(long)]
    metadata_expiry_ms: Option<String>,
    /// Has no meaning here: tries are bounded by time.
    #[arg(long)]
    message_send_max_retries: Option<String>,
    /// Has no meaning here: standard input waits.
    #[arg(long)]
    max_block_ms: Option<String>,
    /// Has no meaning here: the system decides.
    #[arg(long)]
    socket_buffer_size: Option<String>,
    /// Has no meaning here: all replicas in sync acknowledge.
    #[arg(long, allow_negative_numbers = true)]
    request_required_acks: Option<String>,
    #[command(flatten)]
    cluster: Cluster,
    #[command(flatten)]
    printed: Printed,
}

impl ProduceLines {
    pub(super) fn execute(self) -> Result<ExitCode, Vec<Diagnostic>> {
        self.run().map_err(|failure| vec![failure.diagnostic()])
    }

    fn run(&self) -> Result<ExitCode, Failure> {
        let mut lines = Lines::default();
        if let Some(separator) = &self.key_separator {
            lines.set("parse.key", "true");
            lines.set("key.separator", separator);
        }
        set(&mut lines, self.reader_property.iter().map(|text| pair(text)));
        let mut given = self.cluster.or_own_log().properties()?;
        for (name, value) in self.command_property.iter().map(|text| pair(text)) {
            given.set(name, value);
        }
        if let Some(codec) = &self.compression {
            given.set("compression.type", codec);
        }
        run(&self.topic, lines, false, &given, self.printed)
    }
}

fn set<'a>(lines: &mut Lines, properties: impl Iterator<Item = (&'a str, &'a str)>) {
    for (name, value) in properties {
        if let Some(said) = lines.set(name, value) {
            note(&format!("{said}\n"));
        }
    }
}

impl ConsoleProducer {
    pub(super) fn execute(mut self) -> ExitCode {
        if let Err(said) = self.check() {
            return misuse(TOOL, &said);
        }
        self.run().unwrap_or_else(|failure| {
            print_all(&[failure.diagnostic()]);
            ExitCode::FAILURE
        })
    }

    fn check(&mut self) -> Result<(), String> {
        if self.cluster.bootstrap_server.is_none() {
            return Err("Missing required argument \"[bootstrap-server]\"".to_owned());
        }
        if self.topic.is_none() {
            return Err("Missing required argument \"[topic]\"".to_owned());
        }
        for (old, new, name, instead) in [
            (&mut self.property, &mut self.reader_property, "property", "reader-property"),
            (
                &mut self.producer_property,
                &mut self.command_property,
                "producer-property",
                "command-property",
            ),
        ] {
            renamed(old, new, (name, instead), deprecated)?;
        }
        renamed_file(&mut self.producer_config, &mut self.cluster, "producer.config", deprecated)?;
        Ok(())
    }

    fn run(&self) -> Result<ExitCode, Failure> {
        if let Some(class) =
            self.line_reader.as_deref().filter(|class| !class.ends_with(".LineMessageReader"))
        {
            let said = format!("the reader {class} is a class that only Java can load");
            return Err(Failure::user(said, "leave --line-reader out"));
        }
        let mut lines = Lines::default();
        if let Some(path) = &self.reader_config {
            let pairs: Vec<(String, String)> = file(path)?.into_iter().collect();
            set(&mut lines, pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        }
        set(&mut lines, self.reader_property.iter().map(|text| pair(text)));
        let mut given = self.cluster.properties()?;
        for (name, value) in [
            ("compression.type", &self.compression_codec),
            ("batch.size", &self.batch_size),
            ("batch.size", &self.max_partition_memory_bytes),
            ("buffer.memory", &self.max_memory_bytes),
            ("linger.ms", &self.timeout),
            ("request.timeout.ms", &self.request_timeout_ms),
            ("retry.backoff.ms", &self.retry_backoff_ms),
            ("metadata.max.age.ms", &self.metadata_expiry_ms),
        ] {
            if let Some(value) = value {
                given.set(name, value);
            }
        }
        for (name, value) in self.command_property.iter().map(|text| pair(text)) {
            given.set(name, value);
        }
        run(self.topic.as_deref().unwrap_or_default(), lines, self.sync, &given, self.printed)
    }
}

fn deprecated(name: &str, instead: &str) {
    print(&format!(
        "Warning: --{name} is deprecated and will be removed in a future version. Use --{instead} instead.\n"
    ));
}

fn run(
    topic: &str,
    lines: Lines,
    sync: bool,
    given: &Properties,
    printed: Printed,
) -> Result<ExitCode, Failure> {
    lines.check()?;
    let runtime = runtime().map_err(|fault| Failure::user(fault.message, "try it again"))?;
    let result = runtime.block_on(async {
        let (client, settings) = connect(given, "console-producer").await?;
        tell(&settings);
        let produce_this = Produce {
            topic: topic.to_owned(),
            lines,
            sync,
            options: ProducerOptions::of(&settings.producer),
            prompt: stdin().is_terminal() && stdout().is_terminal(),
        };
        produce(&client, produce_this, BufReader::with_capacity(64 * 1024, stdin()), stdout()).await
    });
    // A terminal that is still being read must not hold up the end.
    runtime.shutdown_background();
    let written = result?;
    if printed.as_json() {
        print(&format!(
            "{:#}\n",
            json!({ "topic": topic, "records": written.records, "lost": written.lost })
        ));
    }
    match written.first_fault {
        None => Ok(ExitCode::SUCCESS),
        Some(error) => {
            note(&format!(
                "{} of {} records were not written\n",
                written.lost,
                written.lost + written.records
            ));
            Err(error.into())
        }
    }
}
