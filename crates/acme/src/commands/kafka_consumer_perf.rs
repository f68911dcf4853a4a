//! `acme kafka-consumer-perf-test`: the command of Kafka's distribution, word for word.

use super::consume::pair;
use super::run::runtime;
use super::tools::{Printed, finish_on_stderr, misuse, require, tell};
use super::{note, print};
use crate::kafka::consume::{Consume, From, Wanted};
use crate::kafka::failure::Failure;
use crate::kafka::perf::consumer::{Perf, run};
use crate::kafka::perf::date::Pattern;
use crate::kafka::{Cluster, Said, connect};
use acme_kafka::Isolation;
use clap::Args;
use std::io::stdout;
use std::process::ExitCode;
use std::time::Duration;

const TOOL: &str = "kafka-consumer-perf-test";

#[derive(Args)]
pub(super) struct KafkaConsumerPerf {
    #[command(flatten)]
    cluster: Cluster,
    #[command(flatten)]
    printed: Printed,
    /// The topic that is read.
    #[arg(long)]
    topic: Option<String>,
    /// A regular expression of topics.
    #[arg(long, value_name = "REGEX")]
    include: Option<String>,
    /// The group that reads; one of its own without it.
    #[arg(long)]
    group: Option<String>,
    /// The most bytes of one partition in an answer.
    #[arg(long, default_value_t = 1024 * 1024)]
    fetch_size: i32,
    /// A property of the consumer: NAME=VALUE.
    #[arg(long, value_name = "NAME=VALUE")]
    command_property: Vec<String>,
    /// Begin with what comes, where no offset is committed.
    #[arg(long)]
    from_latest: bool,
    /// Has no meaning here: the system decides.
    #[arg(long)]
    socket_buffer_size: Option<String>,
    /// As --command-config.
    #[arg(long = "consumer.config", value_name = "FILE")]
    consumer_config: Option<String>,
    /// Print the client's own numbers at the end.
    #[arg(long)]
    print_metrics: bool,
    /// A line for each interval instead of one about all.
    #[arg(long)]
    show_detailed_stats: bool,
    /// How long no record may come, in ms.
    #[arg(long, value_name = "MS", num_args = 0..=1, default_value_t = 10_000, default_missing_value = "10000")]
    timeout: u64,
    /// As --num-records.
    #[arg(long)]
    messages: Option<u64>,
    /// How many records are read.
    #[arg(long)]
    num_records: Option<u64>,
    /// The length of an interval, in ms.
    #[arg(long, value_name = "MS", default_value_t = 5_000)]
    reporting_interval: u32,
    /// How points in time are written: a pattern of y, M, d, H, m, s and S; in UTC.
    #[arg(long, value_name = "PATTERN", default_value = "yyyy-MM-dd HH:mm:ss:SSS")]
    date_format: String,
    /// Without the names of the columns.
    #[arg(long)]
    hide_header: bool,
}

impl KafkaConsumerPerf {
    pub(super) fn execute(mut self) -> ExitCode {
        if let Err(said) = self.check() {
            return misuse(TOOL, &said);
        }
        finish_on_stderr(self.run(), |failure| failure.said.clone())
    }

    fn check(&mut self) -> Result<(), String> {
        require(&[("bootstrap-server", self.cluster.bootstrap_server.is_some())])?;
        let one_of =
            |options: &str| Err(format!("Exactly one of the following arguments is required: {options}"));
        if self.messages.is_some() == self.num_records.is_some() {
            return one_of("[num-records], [messages]");
        }
        if self.topic.is_some() == self.include.is_some() {
            return one_of("[topic], [include]");
        }
        if self.consumer_config.is_some() && self.cluster.command_config.is_some() {
            return Err(
                "Option \"[consumer.config]\" can't be used with option \"[command-config]\"".to_owned()
            );
        }
        if self.reporting_interval == 0 {
            return Err("Reporting interval must be greater than 0.".to_owned());
        }
        if let Some(count) = self.messages.take() {
            print("Warning: --messages is deprecated. Use --num-records instead.\n");
            self.num_records = Some(count);
        }
        if let Some(file) = self.consumer_config.take() {
            print("Warning: --consumer.config is deprecated. Use --command-config instead.\n");
            self.cluster.command_config = Some(file);
        }
        Ok(())
    }

    fn run(&self) -> Result<Said, Failure> {
        let dates = Pattern::parse(&self.date_format)?;
        let mut properties = self.cluster.properties()?;
        for (name, value) in self.command_property.iter().map(|text| pair(text)) {
            properties.set(name, value);
        }
        // As in Kafka's tool these win over properties.
        if let Some(servers) = &self.cluster.bootstrap_server {
            properties.set("bootstrap.servers", servers);
        }
        properties.set("max.partition.fetch.bytes", self.fetch_size.to_string());
        if self.socket_buffer_size.is_some() {
            note("note: --socket-buffer-size has no effect: the operating system decides\n");
        }
        let records = self.num_records.unwrap_or(0);
        let runtime = runtime().map_err(|fault| Failure::user(fault.message, "try it again"))?;
        runtime.block_on(async {
            let (client, settings) = connect(&properties, "perf-consumer-client").await?;
            tell(&settings);
            let settings = settings.consumer;
            let wanted = match (&self.topic, &self.include) {
                (Some(topic), _) => Wanted::Topic(topic.clone()),
                (None, include) => Wanted::Matching(include.clone().unwrap_or_default()),
            };
            let group = self.group.clone().unwrap_or_else(|| format!("perf-consumer-{}", chance() % 100_000));
            let consume = Consume {
                wanted,
                from: if self.from_latest { From::Latest } else { From::Earliest },
                group: Some(group),
                messages_max: Some(records),
                idle_max: Some(Duration::from_millis(self.timeout)),
                isolation: settings.isolation_level.unwrap_or(Isolation::ReadUncommitted),
                settings,
            };
            let perf = Perf {
                consume,
                records,
                timeout_ms: i64::try_from(self.timeout).unwrap_or(i64::MAX),
                interval_ms: self.reporting_interval.into(),
                detailed: self.show_detailed_stats,
                header: !self.hide_header,
                dates,
                metrics: self.print_metrics,
                as_json: self.printed.as_json(),
            };
            run(&client, &perf, stdout(), note).await
        })?;
        Ok(Said::default())
    }
}

fn chance() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    // The keys of a RandomState are the standard library's random numbers.
    RandomState::new().build_hasher().finish()
}
