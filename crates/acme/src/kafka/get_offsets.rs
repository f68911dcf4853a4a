//! The offsets of partitions at a time or a place.

use super::failure::Failure;
use super::topics::pattern;
use super::{Said, java};
use acme_kafka::{At, Client, Error, Isolation, TopicPartition};
use regex::Regex;
use serde_json::json;
use std::collections::BTreeSet;
use std::fmt::Write;

const TIMES: &str = "-1 or latest / -2 or earliest / -3 or max-timestamp / -4 or earliest-local / -5 or latest-tiered / \
                     -6 or earliest-pending-upload";

/// What is asked for.
#[derive(Debug)]
pub(crate) struct GetOffsets {
    pub(crate) rules: Vec<Rule>,
    pub(crate) at: At,
    pub(crate) exclude_internal: bool,
}

/// Some partitions of some topics.
#[derive(Debug)]
pub(crate) struct Rule {
    topics: Regex,
    partitions: Partitions,
}

#[derive(Debug, PartialEq, Eq)]
enum Partitions {
    /// These; all if there are none.
    Set(BTreeSet<i32>),
    /// From the first to below the second.
    Range(i32, i32),
}

impl Partitions {
    fn contains(&self, number: i32) -> bool {
        match self {
            Self::Set(numbers) => numbers.is_empty() || numbers.contains(&number),
            Self::Range(from, to) => (*from..*to).contains(&number),
        }
    }
}

impl Rule {
    /// A pattern of topics, all without one, and a list of partitions, all without one.
    pub(crate) fn of(topic: Option<&str>, partitions: Option<&str>) -> Result<Self, Failure> {
        let text = partitions.unwrap_or_default();
        let numbers = text.split(',').filter(|part| !part.is_empty()).map(str::parse);
        let numbers = numbers.collect::<Result<BTreeSet<i32>, _>>().map_err(|_| {
            let said = "--partitions expects a comma separated list of numeric partition ids, but received:";
            Failure::user(format!("{said} {text}"), "write it as 0,1,2")
        })?;
        Ok(Self { topics: pattern(topic.unwrap_or(".*"))?, partitions: Partitions::Set(numbers) })
    }

    /// Rules such as `orders:0-3,users:5-,payments:-2,clicks:1,:0`.
    pub(crate) fn list(text: &str) -> Result<Vec<Self>, Failure> {
        text.split(',').map(Self::parse).collect()
    }

    fn parse(text: &str) -> Result<Self, Failure> {
        let fault = || {
            let help = "write it as TOPIC, TOPIC:1, TOPIC:0-3 (3 is not in it), TOPIC:5- or TOPIC:-3";
            Failure::user(format!("Invalid rule specification: {text}"), help)
        };
        let number = |text: &str, otherwise: i32| match text {
            "" => Ok(otherwise),
            text if text.bytes().all(|it| it.is_ascii_digit()) => text.parse().map_err(|_| fault()),
            _ => Err(fault()),
        };
        let (topic, rest) = text.split_once(':').unwrap_or((text, ""));
        let partitions = match rest.split_once('-') {
            Some((from, to)) => Partitions::Range(number(from, 0)?, number(to, i32::MAX)?),
            None if rest.is_empty() => Partitions::Range(0, i32::MAX),
            None => Partitions::Set(BTreeSet::from([number(rest, 0)?])),
        };
        let topics = pattern(if topic.is_empty() { ".*" } else { topic })?;
        Ok(Self { topics, partitions })
    }
}

/// What `--time` says.
pub(crate) fn time(text: &str) -> Result<At, Failure> {
    Ok(match text {
        "latest" | "-1" => At::Latest,
        "earliest" | "-2" => At::Earliest,
        "max-timestamp" | "-3" => At::MaxTimestamp,
        "earliest-local" | "-4" => At::EarliestLocal,
        "latest-tiered" | "-5" => At::LatestTiered,
        "earliest-pending-upload" | "-6" => At::EarliestPendingUpload,
        number => match number.parse() {
            Ok(ms) => At::Time(ms),
            Err(_) => {
                let said = format!(
                    "Malformed time argument {text}. Please use {TIMES}, or a specified long format timestamp"
                );
                return Err(Failure::user(said, "a timestamp is a number of milliseconds since 1970"));
            }
        },
    })
}

/// Lists the offsets.
pub(crate) async fn get_offsets(client: &Client, asked: &GetOffsets, as_json: bool) -> Result<Said, Failure> {
    let metadata = client.all_topics().await?;
    let topics = metadata.topics.iter().filter(|(_, topic)| !(asked.exclude_internal && topic.is_internal));
    let all = topics.flat_map(|(name, topic)| topic.partitions.keys().map(move |number| (name, *number)));
    let is_meant = |name: &str, number: i32| {
        asked.rules.iter().any(|rule| rule.topics.is_match(name) && rule.partitions.contains(number))
    };
    let meant = all.filter(|(name, number)| is_meant(name, *number));
    let meant: Vec<(TopicPartition, At)> =
        meant.map(|(name, number)| (TopicPartition::new(name.clone(), number), asked.at)).collect();
    if meant.is_empty() {
        let help = "`acme topics describe` shows the topics that there are, and their partitions";
        return Err(Failure::user("Could not match any topic-partitions with the specified filters", help));
    }
    let found = client.find_offsets(&meant, Isolation::ReadUncommitted).await?;
    if let Some(Err(error @ Error::Unsupported { .. })) =
        found.values().find(|result| matches!(result, Err(Error::Unsupported { .. })))
    {
        return Err(error.clone().into());
    }
    let mut said = Said::default();
    let mut lines: Vec<(String, &TopicPartition, i64)> = Vec::new();
    for (partition, result) in &found {
        let name = java::partition(partition);
        match result {
            Ok(Some(listed)) => lines.push((name, partition, listed.offset)),
            Ok(None) => {}
            Err(error) => {
                let why = Failure::from(error.clone()).with_exception();
                let text = "Skip getting offsets for topic-partition";
                let _ = writeln!(said.err, "{text} {name} due to error: {why}");
                said.failed = true;
            }
        }
    }
    // The order of names as Java writes partitions.
    lines.sort();
    if as_json {
        let lines = lines.iter().map(|(_, partition, offset)| {
            json!({ "topic": &*partition.topic, "partition": partition.partition, "offset": offset })
        });
        said.out = format!("{:#}\n", lines.collect::<serde_json::Value>());
    } else {
        for (_, partition, offset) in lines {
            let _ = writeln!(said.out, "{}:{}:{offset}", partition.topic, partition.partition);
        }
    }
    Ok(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_name_topics_and_partitions() {
        let rules = Rule::list("a:1,b:0-2,c.*,d:5-,e:-3,:7").unwrap();
        let is_meant = |name: &str, number: i32| {
            rules.iter().any(|rule| rule.topics.is_match(name) && rule.partitions.contains(number))
        };
        for (name, yes, no) in [("a", 1, 0), ("b", 1, 2), ("d", 5, 4), ("e", 2, 3), ("x", 7, 6)] {
            assert!(is_meant(name, yes), "{name}:{yes}");
            assert!(!is_meant(name, no), "{name}:{no}");
        }
        assert!(is_meant("clicks", 99));
        for wrong in ["a:b", "a:1:2", "a:1-2-3", "a:99999999999"] {
            assert!(Rule::list(wrong).unwrap_err().said.starts_with("Invalid rule"), "{wrong}");
        }
        assert!(Rule::of(None, Some("0,x")).unwrap_err().said.ends_with("received: 0,x"));
    }
}
