//! `acme kafka-producer-perf-test`: the command of Kafka's distribution, word for word.

use super::run::runtime;
use super::tools::{Printed, finish_on_stderr, misuse, require_in, tell};
use super::{note, print};
use crate::kafka::failure::Failure;
use crate::kafka::perf::producer::{Payload, Perf, run};
use crate::kafka::{Cluster, Said, connect};
use acme_kafka::produce::Transactional;
use acme_kafka::properties::{Properties, Settings};
use acme_kafka::{ProducerOptions, Uuid};
use clap::Args;
use regex::bytes::Regex;
use std::io::stdout;
use std::process::ExitCode;
use std::time::Duration;

const TOOL: &str = "kafka-producer-perf-test";
/// How long a transaction is if nothing else is said.
const TRANSACTION_MS: u64 = 3_000;

#[derive(Args)]
pub(super) struct KafkaProducerPerf {
    #[command(flatten)]
    cluster: Cluster,
    #[command(flatten)]
    printed: Printed,
    /// The topic that is written.
    #[arg(long)]
    topic: Option<String>,
    /// How many records.
    #[arg(long, allow_negative_numbers = true)]
    num_records: Option<i64>,
    /// Bytes of a record.
    #[arg(long, allow_negative_numbers = true)]
    record_size: Option<i64>,
    /// A file with the records, of which one is chosen by chance each time.
    #[arg(long, value_name = "FILE")]
    payload_file: Option<String>,
    /// Records are their numbers.
    #[arg(long)]
    payload_monotonic: bool,
    /// What stands between the records of the file: a regular expression.
    #[arg(long, default_value = "\\n", allow_hyphen_values = true)]
    payload_delimiter: String,
    /// Records in a second; -1 for as many as possible.
    #[arg(long, allow_negative_numbers = true)]
    throughput: Option<f64>,
    /// Properties of the producer: NAME=VALUE NAME=VALUE.
    #[arg(long, num_args = 1.., value_name = "NAME=VALUE")]
    command_property: Vec<String>,
    /// As --command-property.
    #[arg(long, num_args = 1.., value_name = "NAME=VALUE")]
    producer_props: Vec<String>,
    /// As --command-config.
    #[arg(long = "producer.config", value_name = "FILE")]
    producer_config: Option<String>,
    /// Print the client's own numbers at the end.
    #[arg(long)]
    print_metrics: bool,
    /// Write in transactions of this id.
    #[arg(long, value_name = "ID")]
    transactional_id: Option<String>,
    /// Write in transactions that are so long, in ms.
    #[arg(long, value_name = "MS", allow_negative_numbers = true)]
    transaction_duration_ms: Option<i64>,
    /// The first records, which do not count in a second summary.
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    warmup_records: i64,
    /// How often a line is printed, in ms.
    #[arg(long, value_name = "MS", default_value_t = 5_000, allow_negative_numbers = true)]
    reporting_interval: i64,
}

impl KafkaProducerPerf {
    pub(super) fn execute(mut self) -> ExitCode {
        if let Err(said) = self.check() {
            return misuse(TOOL, &said);
        }
        finish_on_stderr(self.run(), |failure| failure.said.clone())
    }

    fn check(&mut self) -> Result<(), String> {
        require_in(
            TOOL,
            &[
                ("topic", self.topic.is_some()),
                ("num-records", self.num_records.is_some()),
                ("throughput", self.throughput.is_some()),
            ],
        )?;
        let payloads = [
            ("record-size", self.record_size.is_some()),
            ("payload-file", self.payload_file.is_some()),
            ("payload-monotonic", self.payload_monotonic),
        ];
        let given: Vec<&str> = payloads.iter().filter(|(_, given)| *given).map(|(name, _)| *name).collect();
        let fault = |said: &str| Err(format!("{TOOL}: error: {said}"));
        match given[..] {
            [_] => {}
            [one, other, ..] => {
                return fault(&format!("argument --{other}: not allowed with argument --{one}"));
            }
            [] => {
                let all = "--record-size --payload-file --payload-monotonic";
                return fault(&format!("one of the arguments {all} is required"));
            }
        }
        let records = self.num_records.unwrap_or(0);
        if records <= 0 {
            return fault("--num-records should be greater than zero.");
        }
        if self.warmup_records >= records {
            return fault(
                "The value for --warmup-records must be strictly fewer than the number of records in the test, \
                 --num-records.",
            );
        }
        if self.record_size.is_some_and(|size| size <= 0) {
            return fault("--record-size should be greater than zero.");
        }
        if self.throughput == Some(0.0) {
            return fault(
                "--throughput 0 would never send a second record; give -1 for as many as possible.",
            );
        }
        let servers = self.cluster.bootstrap_server.is_some() || self.cluster.command_config.is_some();
        if !servers
            && self.producer_config.is_none()
            && self.producer_props.is_empty()
            && self.command_property.is_empty()
        {
            return fault(
                "At least one of --bootstrap-server, --command-property, --producer-props, --producer.config or \
                 --command-config must be specified.",
            );
        }
        if !self.command_property.is_empty() && !self.producer_props.is_empty() {
            return fault("--command-property and --producer-props cannot be specified together.");
        }
        if self.cluster.command_config.is_some() && self.producer_config.is_some() {
            return fault("--command-config and --producer.config cannot be specified together.");
        }
        if self.transaction_duration_ms.is_some_and(|ms| ms <= 0) {
            return fault("--transaction-duration-ms should be greater than zero.");
        }
        if self.reporting_interval <= 0 {
            return fault("--reporting-interval should be greater than zero.");
        }
        self.rename();
        Ok(())
    }

    /// Takes what was given under former names.
    fn rename(&mut self) {
        let deprecated = |name: &str, instead: &str| {
            print(&format!(
                "Option --{name} has been deprecated and will be removed in a future version. Use --{instead} instead.\n"
            ));
        };
        if !self.producer_props.is_empty() {
            deprecated("producer-props", "command-property");
            self.command_property = std::mem::take(&mut self.producer_props);
        }
        if let Some(file) = self.producer_config.take() {
            deprecated("producer.config", "command-config");
            self.cluster.command_config = Some(file);
        }
    }

    fn properties(&self) -> Result<Properties, Failure> {
        let file = Cluster { bootstrap_server: None, ..self.cluster.clone() };
        let mut properties = file.properties()?;
        for text in &self.command_property {
            match text.split_once('=') {
                Some((name, value)) if !value.is_empty() && !value.contains('=') => {
                    properties.set(name, value);
                }
                _ => {
                    return Err(Failure::user(
                        format!("Invalid property: {text}"),
                        "write it as linger.ms=10",
                    ));
                }
            }
        }
        if let Some(servers) = &self.cluster.bootstrap_server {
            properties.set("bootstrap.servers", servers);
        }
        if let Some(id) = &self.transactional_id {
            properties.set("transactional.id", id);
        }
        Ok(properties)
    }

    fn run(&self) -> Result<Said, Failure> {
        let properties = self.properties()?;
        let payload = self.payload()?;
        let runtime = runtime().map_err(|fault| Failure::user(fault.message, "try it again"))?;
        runtime.block_on(async {
            let (client, settings) = connect(&properties, "perf-producer-client").await?;
            tell(&settings);
            if let Some(acks) = settings.producer.acks.filter(|acks| *acks >= 0) {
                note(&format!("note: acks={acks} has no effect: all replicas in sync acknowledge\n"));
            }
            let perf = self.perf(payload, &settings);
            run(&client, &perf, stdout()).await
        })?;
        Ok(Said::default())
    }

    fn payload(&self) -> Result<Payload, Failure> {
        if let Some(size) = self.record_size {
            return Ok(Payload::Random(usize::try_from(size).unwrap_or(usize::MAX)));
        }
        let Some(path) = &self.payload_file else { return Ok(Payload::Number) };
        let shown =
            std::path::absolute(path).map_or_else(|_| path.clone(), |path| path.display().to_string());
        self.say(&format!("Reading payloads from: {shown}\n"));
        let bytes = std::fs::read(path).unwrap_or_default();
        if bytes.is_empty() {
            return Err(Failure::file("File does not exist or empty file provided.", "name a file of lines"));
        }
        let delimiter = Regex::new(&self.payload_delimiter).map_err(|error| {
            let reason = error.to_string();
            let reason = reason.lines().last().unwrap_or_default().to_owned();
            Failure::user(
                format!("--payload-delimiter is an invalid regex: {reason}"),
                "write it as \\n or ;",
            )
        })?;
        let mut all: Vec<Vec<u8>> = delimiter.split(&bytes).map(<[u8]>::to_vec).collect();
        // What ends the last record begins no other one.
        if all.len() > 1 && all.last().is_some_and(Vec::is_empty) {
            all.pop();
        }
        self.say(&format!("Number of records read: {}\n", all.len()));
        Ok(Payload::Of(all))
    }

    /// Tells what a program that reads JSON does not want between.
    fn say(&self, text: &str) {
        if self.printed.as_json() { note(text) } else { print(text) }
    }

    fn perf(&self, payload: Payload, settings: &Settings) -> Perf {
        let given = &settings.producer;
        let is_transactional = given.transactional_id.is_some() || self.transaction_duration_ms.is_some();
        let length_ms = self.transaction_duration_ms.and_then(|ms| u64::try_from(ms).ok());
        let transaction =
            is_transactional.then(|| Duration::from_millis(length_ms.unwrap_or(TRANSACTION_MS)));
        let mut options = ProducerOptions::of(given);
        options.transactional = is_transactional.then(|| Transactional {
            id: given
                .transactional_id
                .clone()
                .unwrap_or_else(|| format!("performance-producer-{}", random_id())),
            timeout: given.transaction_timeout.unwrap_or(Duration::from_secs(60)),
        });
        Perf {
            topic: self.topic.clone().unwrap_or_default(),
            records: self.num_records.and_then(|count| u64::try_from(count).ok()).unwrap_or(0),
            warmup: u64::try_from(self.warmup_records).unwrap_or(0),
            payload,
            throughput: self.throughput.filter(|throughput| *throughput > 0.0),
            options,
            transaction,
            interval_ms: self.reporting_interval,
            metrics: self.print_metrics,
            as_json: self.printed.as_json(),
        }
    }
}

/// An id that nobody else has.
fn random_id() -> String {
    use std::hash::{BuildHasher, Hasher, RandomState};
    // The keys of a RandomState are the standard library's random numbers.
    let random = || RandomState::new().build_hasher().finish();
    crate::kafka::topics::topic_id(Uuid::from_u64_pair(random(), random()))
}
