//! The commands for Kafka, side by side with those of Kafka's distribution on the same cluster.

mod configs;
mod consuming;
mod faults;
mod groups;
mod log_dirs;
mod names;
mod offsets;
mod own;
mod perf;
mod producing;
mod records;
mod topics;
mod transactions;

use crate::harness::{Place, text};
use acme_kafka::admin::NewTopic;
use acme_kafka::{Client, Config};
use acme_lab::Server;
use acme_lab::kafka::{self, Kafka};
use anyhow::Result;
use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// One node for all tests that neither disturb it nor need another: of Apache Kafka, or where [`own::DATA`] says so of Acme.
pub static NODE: LazyLock<Node> = LazyLock::new(|| match std::env::var_os(own::DATA) {
    None => Node::Kafka(Kafka::start().expect("Kafka starts")),
    Some(data) => own::start(data.as_ref()),
});

/// Whoever answers the tools.
pub enum Node {
    Kafka(Kafka),
    Acme { bootstrap: String, _server: Server },
}

impl Node {
    pub fn bootstrap(&self) -> String {
        match self {
            Self::Kafka(kafka) => kafka.bootstrap(),
            Self::Acme { bootstrap, .. } => bootstrap.clone(),
        }
    }

    /// A command of Kafka's distribution.
    pub fn tool(&self, class: &str, arguments: &[&str]) -> Result<Command> {
        kafka::tool(class, arguments, &self.bootstrap())
    }

    pub fn kcat(&self, arguments: &[&str]) -> Result<Command> {
        kafka::install_kcat()?;
        let mut command = Command::new("kcat");
        command.args(["-b", &self.bootstrap()]).args(arguments);
        Ok(command)
    }
}

/// A name that no other test has.
pub fn unique(prefix: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{prefix}{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A tool of the distribution and the class behind it.
#[derive(Clone, Copy)]
pub struct Tool(&'static str, &'static str);

pub const TOPICS: Tool = Tool("kafka-topics", "org.apache.kafka.tools.TopicCommand");
pub const GROUPS: Tool =
    Tool("kafka-consumer-groups", "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand");
pub const PRODUCER: Tool = Tool("kafka-console-producer", "org.apache.kafka.tools.ConsoleProducer");
pub const CONSUMER: Tool = Tool("kafka-console-consumer", "org.apache.kafka.tools.consumer.ConsoleConsumer");
pub const CONFIGS: Tool = Tool("kafka-configs", "kafka.admin.ConfigCommand");
pub const OFFSETS: Tool = Tool("kafka-get-offsets", "org.apache.kafka.tools.GetOffsetShell");
pub const DELETE_RECORDS: Tool = Tool("kafka-delete-records", "org.apache.kafka.tools.DeleteRecordsCommand");
pub const TRANSACTIONS: Tool = Tool("kafka-transactions", "org.apache.kafka.tools.TransactionsCommand");
pub const LOG_DIRS: Tool = Tool("kafka-log-dirs", "org.apache.kafka.tools.LogDirsCommand");
pub const PRODUCER_PERF: Tool =
    Tool("kafka-producer-perf-test", "org.apache.kafka.tools.ProducerPerformance");
pub const CONSUMER_PERF: Tool =
    Tool("kafka-consumer-perf-test", "org.apache.kafka.tools.ConsumerPerformance");

impl Tool {
    /// Kafka's own.
    pub fn theirs(self, arguments: &[&str]) -> Output {
        NODE.tool(self.1, arguments).expect("Java is there").stdin(Stdio::null()).output().expect("it runs")
    }

    /// Ours.
    pub fn ours(self, arguments: &[&str]) -> Output {
        let bootstrap = NODE.bootstrap();
        let arguments = match arguments.contains(&"--bootstrap-server") {
            true => [&[self.0][..], arguments].concat(),
            false => [&[self.0, "--bootstrap-server", &bootstrap], arguments].concat(),
        };
        Place::new().command(&arguments).stdin(Stdio::null()).output().expect("it runs")
    }

    /// Both print the same, but for the widths of columns and the order of lines, which is chance in Java.
    #[track_caller]
    pub fn agree(self, arguments: &[&str]) -> String {
        let (theirs, ours) = (self.theirs(arguments), self.ours(arguments));
        let said = text(&ours.stdout);
        let context = format!("{} {}\n{}", self.0, arguments.join(" "), text(&ours.stderr));
        assert_eq!(lines(&text(&theirs.stdout)), lines(&said), "{context}");
        if !theirs.status.success() {
            assert!(!ours.status.success(), "{context}");
        }
        said
    }

    /// Both refuse, with the same first words on standard error, and ours with a remedy behind them; what ours says.
    #[track_caller]
    pub fn refuse(self, arguments: &[&str]) -> String {
        let bootstrap = NODE.bootstrap();
        let arguments = match arguments.contains(&"--bootstrap-server") {
            true => arguments.to_vec(),
            false => [arguments, &["--bootstrap-server", &bootstrap]].concat(),
        };
        let theirs = self.theirs(&arguments);
        let ours = Place::new().acme(&[&[self.0][..], &arguments].concat());
        let said = text(&ours.stderr);
        let first = |bytes: &[u8]| {
            let all = text(bytes);
            // What the client logs, and how its options are used, comes before what it says; some tools fold long lines.
            let mut lines =
                all.lines().filter(|line| !line.starts_with(['[', ' ']) && !line.starts_with("usage:"));
            let mut line = lines.next().unwrap_or_default().to_owned();
            if line.contains(": ") && line.contains("error:") {
                let folded = lines.take_while(|line| !line.starts_with("help: "));
                folded.for_each(|more| line.push_str(&format!(" {more}")));
            }
            let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
            line.replace(" Enable debug logging for additional detail.", "")
                .replace("requirement failed: ", "")
        };
        assert_eq!(
            first(&theirs.stderr).trim_end_matches('.'),
            first(&ours.stderr).trim_end_matches('.'),
            "{arguments:?}"
        );
        assert_eq!((theirs.status.code(), ours.status.code()), (Some(1), Some(1)), "{arguments:?}");
        assert!(said.contains("help: "), "{said}");
        said
    }
}

fn lines(text: &str) -> Vec<String> {
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut lines: Vec<String> = text.lines().map(words).filter(|line| !line.is_empty()).collect();
    lines.sort();
    lines
}

/// `acme` with these words, and where the node is.
pub fn acme(arguments: &[&str]) -> Output {
    let bootstrap = NODE.bootstrap();
    let arguments = [arguments, &["--bootstrap-server", &bootstrap]].concat();
    Place::new().command(&arguments).stdin(Stdio::null()).output().expect("it runs")
}

#[track_caller]
pub fn acme_json(arguments: &[&str]) -> serde_json::Value {
    let output = acme(&[arguments, &["--output", "json"]].concat());
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("it is JSON")
}

/// A topic of the node, with a name of its own.
pub fn topic(partitions: i32, configs: &[(&str, &str)]) -> String {
    let name = unique("topic-");
    let mut topic = NewTopic::new(&name, partitions);
    for (name, value) in configs {
        topic = topic.with(name, value);
    }
    let runtime = tokio::runtime::Runtime::new().expect("it starts");
    runtime.block_on(async {
        let client = Client::connect(Config::new([NODE.bootstrap()])).await.expect("it answers");
        client.create_topic(&topic).await.expect("it is made");
    });
    name
}

/// Writes lines `key:value` to a partition of a topic.
pub fn fill(topic: &str, partition: i32, lines: &str) {
    let partition = partition.to_string();
    let arguments = ["-P", "-t", topic, "-p", &partition, "-K", ":", "-X", "acks=all"];
    feed(NODE.kcat(&arguments).expect("kcat is there"), lines);
}

pub fn feed(mut command: Command, lines: &str) {
    let mut child = command.stdin(Stdio::piped()).spawn().expect("it runs");
    child.stdin.take().expect("it is piped").write_all(lines.as_bytes()).expect("it reads");
    assert!(child.wait().expect("it ends").success());
}
