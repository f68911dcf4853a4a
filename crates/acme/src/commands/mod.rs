//! The commands: one file each.

mod configs;
mod consume;
mod decommission;
mod dry_run;
mod error;
mod explain;
mod groups;
mod json_schema;
mod kafka_configs;
mod kafka_consumer_perf;
mod kafka_delete_records;
mod kafka_get_offsets;
mod kafka_groups;
mod kafka_log_dirs;
mod kafka_producer_perf;
mod kafka_topics;
mod kafka_transactions;
mod log_dirs;
mod produce;
mod run;
mod server;
mod slots;
mod status;
mod stop;
mod tools;
mod topics;
mod transactions;
mod validate;

use acme_types::{Blame, Diagnostic};
use clap::{Parser, Subcommand};
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

/// The commands of Kafka's distribution that are taken word for word.
const KAFKA_TOOLS: [&str; 11] = [
    "kafka-topics",
    "kafka-consumer-groups",
    "kafka-console-producer",
    "kafka-console-consumer",
    "kafka-configs",
    "kafka-get-offsets",
    "kafka-delete-records",
    "kafka-transactions",
    "kafka-log-dirs",
    "kafka-producer-perf-test",
    "kafka-consumer-perf-test",
];

/// Real-time data in one binary: pipelines from sources through transforms to destinations.
#[derive(Parser)]
#[command(name = "acme", version, about, disable_help_subcommand = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a pipeline file until it ends or is stopped.
    Run(run::Run),
    /// Serve a durable log to any client of Kafka.
    Server(Box<server::Server>),
    /// Check pipeline files without running them.
    Validate(validate::Validate),
    /// Show what runs on this machine.
    Status(status::StatusOf),
    /// Commit what was read, then end a running pipeline.
    Stop(stop::StopRun),
    /// Remove a pipeline for good: its run, what it created on its source's server, its state.
    Decommission(decommission::Decommission),
    /// Show the replication slots of PostgreSQL servers, whose they are, and how much log they hold back.
    Slots(slots::Slots),
    /// Show what a pipeline does: its graph, what each step reads and keeps, what is guaranteed.
    Explain(explain::Explain),
    /// List, describe, create, alter and delete topics of a Kafka cluster.
    Topics(topics::Topics),
    /// List, describe and delete consumer groups of a Kafka cluster, and set their offsets.
    Groups(groups::ConsumerGroups),
    /// Write lines of standard input to a topic of a Kafka cluster.
    Produce(Box<produce::ProduceLines>),
    /// Print the records of a topic of a Kafka cluster.
    Consume(Box<consume::ConsumeTopic>),
    /// Show and change settings of a Kafka cluster's topics, brokers, groups, users and clients.
    Configs(configs::Configs),
    /// List, describe and end transactions of a Kafka cluster.
    Transactions(transactions::Transactions),
    /// Show what lies on the disks of a Kafka cluster's brokers.
    LogDirs(log_dirs::LogDirs),
    /// As kafka-topics.sh of Kafka's distribution.
    #[command(name = "kafka-topics", infer_long_args = true)]
    KafkaTopics(Box<kafka_topics::KafkaTopics>),
    /// As kafka-consumer-groups.sh of Kafka's distribution.
    #[command(name = "kafka-consumer-groups", infer_long_args = true)]
    KafkaGroups(Box<kafka_groups::KafkaGroups>),
    /// As kafka-console-producer.sh of Kafka's distribution.
    #[command(name = "kafka-console-producer", infer_long_args = true)]
    KafkaProducer(Box<produce::ConsoleProducer>),
    /// As kafka-console-consumer.sh of Kafka's distribution.
    #[command(name = "kafka-console-consumer", infer_long_args = true)]
    KafkaConsumer(Box<consume::ConsoleConsumer>),
    /// As kafka-configs.sh of Kafka's distribution.
    #[command(name = "kafka-configs", infer_long_args = true)]
    KafkaConfigs(Box<kafka_configs::KafkaConfigs>),
    /// As kafka-get-offsets.sh of Kafka's distribution.
    #[command(name = "kafka-get-offsets", infer_long_args = true)]
    KafkaGetOffsets(kafka_get_offsets::KafkaGetOffsets),
    /// As kafka-delete-records.sh of Kafka's distribution.
    #[command(name = "kafka-delete-records", infer_long_args = true)]
    KafkaDeleteRecords(kafka_delete_records::KafkaDeleteRecords),
    /// As kafka-transactions.sh of Kafka's distribution.
    #[command(name = "kafka-transactions", infer_long_args = true)]
    KafkaTransactions(kafka_transactions::KafkaTransactions),
    /// As kafka-log-dirs.sh of Kafka's distribution.
    #[command(name = "kafka-log-dirs", infer_long_args = true)]
    KafkaLogDirs(kafka_log_dirs::KafkaLogDirs),
    /// As kafka-producer-perf-test.sh of Kafka's distribution.
    #[command(name = "kafka-producer-perf-test", infer_long_args = true)]
    KafkaProducerPerf(Box<kafka_producer_perf::KafkaProducerPerf>),
    /// As kafka-consumer-perf-test.sh of Kafka's distribution.
    #[command(name = "kafka-consumer-perf-test", infer_long_args = true)]
    KafkaConsumerPerf(Box<kafka_consumer_perf::KafkaConsumerPerf>),
    /// Print the JSON Schema of pipeline files, for editors.
    JsonSchema,
    /// Explain an error code.
    Error(error::ErrorPage),
}

impl Cli {
    /// Reads the command line of the process. Called by the name of one of Kafka's scripts, it is that.
    #[must_use]
    pub fn of_process() -> Self {
        let mut words: Vec<OsString> = std::env::args_os().collect();
        let tool = words.first().and_then(|program| kafka_tool(Path::new(program)));
        if let Some(tool) = tool {
            words.insert(1, tool.into());
        }
        Self::try_parse_from(words.clone()).unwrap_or_else(|error| {
            let is_tool = words.get(1).is_some_and(|word| KAFKA_TOOLS.iter().any(|tool| word == tool));
            // Kafka's tools know one exit code for what goes wrong.
            let code = if is_tool && error.use_stderr() { 1 } else { error.exit_code() };
            // Nobody is left to be told if this fails.
            let _ = error.print();
            std::process::exit(code);
        })
    }
}

/// The tool whose script has this name, with or without `.sh`.
fn kafka_tool(program: &Path) -> Option<&'static str> {
    let name = program.file_name()?.to_str()?;
    let name = name.strip_suffix(".sh").unwrap_or(name);
    KAFKA_TOOLS.into_iter().find(|tool| *tool == name)
}

/// Runs the chosen command: exit code 0 for success, 1 for a failure, 2 for a mistake of the user.
pub fn dispatch(cli: Cli) -> ExitCode {
    let code = execute(cli.command);
    crate::log::leave();
    code
}

fn execute(command: Command) -> ExitCode {
    let result = match command {
        Command::Run(run) => run.execute(),
        Command::Server(server) => server.execute(),
        Command::Validate(validate) => validate.execute(),
        Command::Status(status) => status.execute(),
        Command::Stop(stop) => stop.execute(),
        Command::Decommission(decommission) => decommission.execute(),
        Command::Slots(slots) => slots.execute(),
        Command::Explain(explain) => explain.execute(),
        Command::Topics(topics) => return exit(topics.execute()),
        Command::Groups(groups) => return exit(groups.execute()),
        Command::Consume(consume) => return exit(consume.execute()),
        Command::Produce(produce) => return exit(produce.execute()),
        Command::KafkaProducer(tool) => return tool.execute(),
        Command::KafkaConsumer(tool) => return tool.execute(),
        Command::KafkaTopics(tool) => return tool.execute(),
        Command::KafkaGroups(tool) => return tool.execute(),
        Command::Configs(configs) => return exit(configs.execute()),
        Command::Transactions(transactions) => return exit(transactions.execute()),
        Command::LogDirs(directories) => return exit(directories.execute()),
        Command::KafkaConfigs(tool) => return tool.execute(),
        Command::KafkaGetOffsets(tool) => return tool.execute(),
        Command::KafkaDeleteRecords(tool) => return tool.execute(),
        Command::KafkaTransactions(tool) => return tool.execute(),
        Command::KafkaLogDirs(tool) => return tool.execute(),
        Command::KafkaProducerPerf(tool) => return tool.execute(),
        Command::KafkaConsumerPerf(tool) => return tool.execute(),
        Command::JsonSchema => json_schema::execute(),
        Command::Error(page) => page.execute(),
    };
    exit(result.map(|()| ExitCode::SUCCESS))
}

fn exit(result: Result<ExitCode, Vec<Diagnostic>>) -> ExitCode {
    match result {
        Ok(code) => code,
        Err(diagnostics) => {
            let user = diagnostics.iter().all(|it| it.warning || it.blame == Blame::User);
            print_all(&diagnostics);
            ExitCode::from(if user { 2 } else { 1 })
        }
    }
}

#[expect(clippy::print_stderr, reason = "the one place where errors are printed")]
fn print_all(diagnostics: &[Diagnostic]) {
    // Nobody reads more, and a file that is no pipeline at all may be wrong in every line.
    const SHOWN_MAX: usize = 50;
    for diagnostic in diagnostics.iter().take(SHOWN_MAX) {
        eprintln!("{diagnostic}");
    }
    if let Some(more) = diagnostics.len().checked_sub(SHOWN_MAX + 1) {
        eprintln!("and {} more", more + 1);
    }
}

/// Writes a command's result to standard output.
fn print(text: &str) {
    // A reader that has gone away wants no more.
    let _ = is_printed(text);
}

/// Writes to standard output; whether somebody still reads it.
fn is_printed(text: &str) -> bool {
    use std::io::Write;
    std::io::stdout().lock().write_all(text.as_bytes()).is_ok()
}

/// Writes progress to standard error, which leaves standard output to the rows.
pub(crate) fn note(text: &str) {
    use std::io::Write;
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}
