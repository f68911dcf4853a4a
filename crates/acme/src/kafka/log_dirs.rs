//! What lies in the brokers' directories.

use super::failure::{Failure, words};
use super::java::{self, hash_order};
use super::{Said, pretty};
use acme_kafka::Client;
use acme_kafka::admin::{LogDir, LogDirReplica};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Which brokers' directories, and which topics in them; all where none is named.
#[derive(Debug)]
pub(crate) struct LogDirs {
    pub(crate) brokers: BTreeSet<i32>,
    pub(crate) topics: BTreeSet<String>,
}

/// How it is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum As {
    /// As Kafka's tool: one line of JSON behind two lines of text.
    Kafka,
    /// JSON alone.
    Json,
    /// A table.
    Table,
}

/// Looks into the directories.
pub(crate) async fn describe(client: &Client, asked: &LogDirs, printed: As) -> Result<Said, Failure> {
    let there: BTreeSet<i32> = client.metadata(&[]).await?.brokers.keys().copied().collect();
    let strangers: Vec<i32> = asked.brokers.difference(&there).copied().collect();
    if !strangers.is_empty() {
        let (strangers, there) = (joined(&strangers), joined(&there));
        let said = "The given brokers do not exist from --broker-list:";
        return Err(Failure::user(
            format!("ERROR: {said} {strangers}. Current existent brokers: {there}"),
            "name brokers by their ids",
        ));
    }
    let brokers = if asked.brokers.is_empty() { &there } else { &asked.brokers };
    let mut found = BTreeMap::new();
    for broker in brokers {
        let mut directories = client.log_dirs(*broker).await?;
        for directory in &mut directories {
            directory.replicas.retain(|replica| {
                asked.topics.is_empty() || asked.topics.contains(&*replica.partition.topic)
            });
            directory.replicas.sort_by(|one, other| one.partition.cmp(&other.partition));
        }
        found.insert(*broker, directories);
    }
    Ok(match printed {
        As::Kafka => {
            let (brokers, json) = (joined(brokers), as_java(&found));
            Said::out(format!(
                "Querying brokers for log directories information\nReceived log directory information from brokers \
                 {brokers}\n{json}\n"
            ))
        }
        As::Json => Said::json(&value(&found)),
        As::Table => table(&found),
    })
}

fn joined<'a>(ids: impl IntoIterator<Item = &'a i32>) -> String {
    ids.into_iter().map(i32::to_string).collect::<Vec<_>>().join(",")
}

/// The name of the exception, as Java has it.
fn error(directory: &LogDir) -> Option<String> {
    const STORAGE: i16 = 56;
    if directory.error.is_ok() {
        return None;
    }
    let name = match directory.error.0 {
        STORAGE => Some("KafkaStorageException"),
        _ => words(directory.error).0,
    };
    Some(format!("org.apache.kafka.common.errors.{}", name.unwrap_or("UnknownServerException")))
}

/// An object whose members stand in the order of Java's `HashMap`.
fn object(members: Vec<(&str, String)>) -> String {
    let members = hash_order(members, |(name, _)| name);
    let members: Vec<String> = members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}", members.join(","))
}

fn array(values: impl Iterator<Item = String>) -> String {
    format!("[{}]", values.collect::<Vec<_>>().join(","))
}

/// The line of Kafka's tool, member by member.
fn as_java(found: &BTreeMap<i32, Vec<LogDir>>) -> String {
    let text = |text: &str| Value::from(text).to_string();
    let replica = |replica: &LogDirReplica| {
        let name = java::partition(&replica.partition);
        object(vec![
            ("partition", text(&name)),
            ("size", replica.bytes.to_string()),
            ("offsetLag", replica.lag.to_string()),
            ("isFuture", replica.is_future.to_string()),
        ])
    };
    let directory = |directory: &LogDir| {
        object(vec![
            ("logDir", text(&directory.path)),
            ("error", error(directory).map_or_else(|| "null".to_owned(), |name| text(&name))),
            ("partitions", array(directory.replicas.iter().map(replica))),
        ])
    };
    let broker = |(id, directories): (&i32, &Vec<LogDir>)| {
        object(vec![("broker", id.to_string()), ("logDirs", array(directories.iter().map(directory)))])
    };
    object(vec![("version", "1".to_owned()), ("brokers", array(found.iter().map(broker)))])
}

fn value(found: &BTreeMap<i32, Vec<LogDir>>) -> Value {
    let replica = |replica: &LogDirReplica| {
        json!({
            "topic": &*replica.partition.topic,
            "partition": replica.partition.partition,
            "bytes": replica.bytes,
            "offset_lag": replica.lag,
            "is_future": replica.is_future,
        })
    };
    let directories = found.iter().flat_map(|(broker, directories)| {
        directories.iter().map(move |directory| {
            json!({
                "broker": broker,
                "log_dir": directory.path,
                "error": error(directory),
                "total_bytes": Some(directory.total_bytes).filter(|bytes| *bytes >= 0),
                "usable_bytes": Some(directory.usable_bytes).filter(|bytes| *bytes >= 0),
                "partitions": directory.replicas.iter().map(replica).collect::<Value>(),
            })
        })
    });
    directories.collect()
}

fn table(found: &BTreeMap<i32, Vec<LogDir>>) -> Said {
    let mut rows = Vec::new();
    let mut said = Said::default();
    for (broker, directories) in found {
        for directory in directories {
            if !directory.error.is_ok() {
                said.err.push_str(&format!("broker {broker}: {}: {}\n", directory.path, directory.error));
                said.failed = true;
            }
            rows.extend(directory.replicas.iter().map(|replica| {
                vec![
                    broker.to_string(),
                    directory.path.clone(),
                    replica.partition.topic.to_string(),
                    replica.partition.partition.to_string(),
                    replica.bytes.to_string(),
                    replica.lag.to_string(),
                    if replica.is_future { "yes" } else { "no" }.to_owned(),
                ]
            }));
        }
    }
    let headers = ["BROKER", "LOG-DIR", "TOPIC", "PARTITION", "BYTES", "OFFSET-LAG", "FUTURE"];
    said.out = pretty::table(&headers, &rows);
    said
}
