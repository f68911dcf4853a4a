//! `acme consume TOPIC`, and `acme kafka-console-consumer`: the command of Kafka's distribution, word for word.

use super::run::runtime;
use super::tools::{Printed, misuse, renamed, renamed_file, tell};
use super::{note, print_all};
use crate::kafka::consume::{Consume, From, Print, Wanted, consume};
use crate::kafka::failure::Failure;
use crate::kafka::format::Format;
use crate::kafka::{Cluster, connect, file};
use acme_connect::SystemClock;
use acme_kafka::Isolation;
use acme_kafka::properties::Properties;
use acme_types::{Clock, Diagnostic};
use clap::Args;
use std::io::{BufWriter, stdout};
use std::process::ExitCode;
use std::time::Duration;

const TOOL: &str = "kafka-console-consumer";

/// What both spellings have.
#[derive(Args)]
struct Common {
    /// Take part in this group, and commit what was printed.
    #[arg(long)]
    group: Option<String>,
    /// Begin with the first record where no offset is committed, instead of with what comes.
    #[arg(long)]
    from_beginning: bool,
    /// Only this partition.
    #[arg(long)]
    partition: Option<i32>,
    /// Where to begin in that partition: earliest, latest or an offset.
    #[arg(long)]
    offset: Option<String>,
    /// End after so many records.
    #[arg(long)]
    max_messages: Option<i64>,
    /// End when no record has come for so long.
    #[arg(long)]
    timeout_ms: Option<i64>,
    /// read_committed hides records of transactions that are open or were aborted.
    #[arg(long, value_name = "LEVEL")]
    isolation_level: Option<String>,
    /// A property of the consumer: NAME=VALUE.
    #[arg(long, value_name = "NAME=VALUE")]
    command_property: Vec<String>,
    /// What is printed: print.key=true, print.offset=true, key.separator=: and so on.
    #[arg(long, value_name = "NAME=VALUE")]
    formatter_property: Vec<String>,
    /// Kafka's class for keys, such as org.apache.kafka.common.serialization.LongDeserializer.
    #[arg(long, value_name = "CLASS")]
    key_deserializer: Option<String>,
    /// Kafka's class for values.
    #[arg(long, value_name = "CLASS")]
    value_deserializer: Option<String>,
}

/// `acme consume`.
#[derive(Args)]
pub(super) struct ConsumeTopic {
    /// The topic; with --include a regular expression of topics.
    topic: String,
    /// Read all topics whose whole name matches.
    #[arg(long)]
    include: bool,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    cluster: Cluster,
    #[command(flatten)]
    printed: Printed,
}

/// `acme kafka-console-consumer`.
#[derive(Args)]
pub(super) struct ConsoleConsumer {
    /// The topic.
    #[arg(long)]
    topic: Option<String>,
    /// A regular expression of topics.
    #[arg(long, value_name = "REGEX")]
    include: Option<String>,
    #[command(flatten)]
    common: Common,
    /// As --formatter-property.
    #[arg(long, value_name = "NAME=VALUE")]
    property: Vec<String>,
    /// As --command-property.
    #[arg(long, value_name = "NAME=VALUE")]
    consumer_property: Vec<String>,
    /// As --command-config.
    #[arg(long = "consumer.config", value_name = "FILE")]
    consumer_config: Option<String>,
    /// Kafka's class that prints; DefaultMessageFormatter and NoOpMessageFormatter are known.
    #[arg(long, value_name = "CLASS")]
    formatter: Option<String>,
    /// A file of properties of the formatter.
    #[arg(long, value_name = "FILE")]
    formatter_config: Option<String>,
    /// Has no meaning here: what cannot be read is shown as it is.
    #[arg(long)]
    skip_message_on_error: bool,
    /// Has no meaning here.
    #[arg(long)]
    enable_systest_events: bool,
    #[command(flatten)]
    cluster: Cluster,
    #[command(flatten)]
    printed: Printed,
}

impl ConsumeTopic {
    pub(super) fn execute(self) -> Result<ExitCode, Vec<Diagnostic>> {
        let wanted = if self.include {
            Wanted::Matching(self.topic.clone())
        } else {
            Wanted::Topic(self.topic.clone())
        };
        let work = || {
            let mut format = Format::new(self.printed.as_json());
            let properties = self.common.properties(&self.cluster.or_own_log(), &mut format, &[])?;
            self.common.run(wanted, format, &properties)
        };
        work().map_err(|failure| vec![failure.diagnostic()])
    }
}

impl ConsoleConsumer {
    pub(super) fn execute(mut self) -> ExitCode {
        if let Err(said) = self.check() {
            return misuse(TOOL, &said);
        }
        match self.run() {
            Ok(code) => code,
            Err(failure) => {
                print_all(&[failure.diagnostic()]);
                ExitCode::FAILURE
            }
        }
    }

    fn check(&mut self) -> Result<(), String> {
        let common = &mut self.common;
        if self.cluster.bootstrap_server.is_none() {
            return Err("Missing required argument \"[bootstrap-server]\"".to_owned());
        }
        for (old, new, name, instead) in [
            (&mut self.property, &mut common.formatter_property, "property", "formatter-property"),
            (
                &mut self.consumer_property,
                &mut common.command_property,
                "consumer-property",
                "command-property",
            ),
        ] {
            renamed(old, new, (name, instead), deprecated)?;
        }
        renamed_file(&mut self.consumer_config, &mut self.cluster, "consumer.config", deprecated)?;
        if self.topic.is_some() == self.include.is_some() {
            return Err("Exactly one of --include/--topic is required.".to_owned());
        }
        if common.partition.is_some() {
            if self.topic.is_none() {
                return Err("The topic is required when partition is specified.".to_owned());
            }
            if common.group.is_some() {
                return Err("Options group and partition cannot be specified together.".to_owned());
            }
            if common.from_beginning && common.offset.is_some() {
                return Err("Options from-beginning and offset cannot be specified together.".to_owned());
            }
        } else if common.offset.is_some() {
            return Err("The partition is required when offset is specified.".to_owned());
        }
        Ok(())
    }

    fn run(&self) -> Result<ExitCode, Failure> {
        let mut format = Format::new(self.printed.as_json());
        match self.formatter.as_deref().map(|class| class.rsplit('.').next().unwrap_or_default()) {
            None | Some("DefaultMessageFormatter") => {}
            Some("NoOpMessageFormatter") => format.silent = true,
            Some(class) => {
                let help = "leave --formatter out, or use --output json";
                return Err(Failure::user(
                    format!("the formatter {class} is a class that only Java can load"),
                    help,
                ));
            }
        }
        let formatter = match &self.formatter_config {
            None => Vec::new(),
            Some(path) => file(path)?.into_iter().collect(),
        };
        let properties = self.common.properties(&self.cluster, &mut format, &formatter)?;
        let wanted = match (&self.topic, &self.include) {
            (Some(topic), _) => Wanted::Topic(topic.clone()),
            (None, include) => Wanted::Matching(include.clone().unwrap_or_default()),
        };
        self.common.run(wanted, format, &properties)
    }
}

fn deprecated(name: &str, instead: &str) {
    note(&format!(
        "Option --{name} is deprecated and will be removed in a future version. Use --{instead} instead.\n"
    ));
}

/// The parts of NAME=VALUE; a name alone has an empty value.
pub(super) fn pair(text: &str) -> (&str, &str) {
    text.split_once('=').unwrap_or((text, ""))
}

impl Common {
    /// The consumer's properties, and the formatter's go into `format`.
    fn properties(
        &self,
        cluster: &Cluster,
        format: &mut Format,
        formatter: &[(String, String)],
    ) -> Result<Properties, Failure> {
        let classes =
            [("key.deserializer", &self.key_deserializer), ("value.deserializer", &self.value_deserializer)];
        let classes = classes.iter().filter_map(|(name, class)| Some((*name, class.as_deref()?)));
        let of_file = formatter.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let given = self.formatter_property.iter().map(|text| pair(text));
        for (name, value) in of_file.chain(given).chain(classes) {
            if let Some(said) = format.set(name, value)? {
                note(&format!("{said}\n"));
            }
        }
        let mut properties = cluster.properties()?;
        for (name, value) in self.command_property.iter().map(|text| pair(text)) {
            properties.set(name, value);
        }
        Ok(properties)
    }

    fn isolation(&self) -> Result<Option<Isolation>, Failure> {
        match self.isolation_level.as_deref() {
            None => Ok(None),
            Some("read_committed") => Ok(Some(Isolation::ReadCommitted)),
            Some("read_uncommitted") => Ok(Some(Isolation::ReadUncommitted)),
            Some(other) => {
                let help = "use read_committed or read_uncommitted";
                Err(Failure::user(format!("there is no isolation level {other}"), help))
            }
        }
    }

    fn from(&self) -> Result<Option<From>, Failure> {
        if let Some(text) = &self.offset {
            let from = match text.to_lowercase().as_str() {
                "earliest" => From::Earliest,
                "latest" => From::Latest,
                number => match number.parse() {
                    Ok(offset) if offset >= 0 => From::Offset(offset),
                    _ => {
                        let valid = "Valid values are 'earliest', 'latest', or a non-negative long.";
                        let said = format!("The provided offset value '{text}' is incorrect. {valid}");
                        return Err(Failure::user(said, "use earliest, latest or a number"));
                    }
                },
            };
            return Ok(Some(from));
        }
        Ok(self.from_beginning.then_some(From::Earliest))
    }

    fn run(&self, wanted: Wanted, format: Format, properties: &Properties) -> Result<ExitCode, Failure> {
        let wanted = match (wanted, self.partition) {
            (Wanted::Topic(topic), Some(partition)) => Wanted::Partition(topic, partition),
            (wanted, _) => wanted,
        };
        let (isolation, from) = (self.isolation()?, self.from()?);
        let runtime = runtime().map_err(|fault| Failure::user(fault.message, "try it again"))?;
        runtime.block_on(async {
            let (client, settings) = connect(properties, "console-consumer").await?;
            tell(&settings);
            let settings = settings.consumer;
            let reset = settings.auto_offset_reset;
            let now_ms = SystemClock::start().now().0 / 1_000;
            let consume_this = Consume {
                from: from.or(reset.map(|reset| From::of(reset, now_ms))).unwrap_or(From::Latest),
                group: self.group.clone().or_else(|| settings.group_id.clone()),
                messages_max: self.max_messages.and_then(|max| u64::try_from(max).ok()),
                idle_max: self.timeout_ms.and_then(|ms| u64::try_from(ms).ok()).map(Duration::from_millis),
                // As Kafka's own tool and consumer.
                isolation: isolation.or(settings.isolation_level).unwrap_or(Isolation::ReadUncommitted),
                wanted,
                settings,
            };
            let mut print = Print { format, out: BufWriter::with_capacity(64 * 1024, stdout()) };
            let (count, result) = consume(&client, &consume_this, &mut print, note).await;
            // A reader that has gone away cannot be told the rest.
            let _ = print.out.into_parts();
            result?;
            note(&format!("Processed a total of {count} messages\n"));
            Ok(ExitCode::SUCCESS)
        })
    }
}
