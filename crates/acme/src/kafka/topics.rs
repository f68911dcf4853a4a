//! Topics: which there are, changing and deleting them.

use super::Said;
use super::failure::Failure;
use acme_kafka::admin::Resource;
use acme_kafka::{Client, ErrorCode, Metadata};
use regex::Regex;
use serde_json::json;

/// Topics of Kafka itself.
const INTERNAL: [&str; 3] = ["__consumer_offsets", "__transaction_state", "__share_group_state"];

/// Which topics are meant.
#[derive(Clone, Debug)]
pub(crate) enum Which {
    /// All.
    All,
    /// Exactly these.
    Named(Vec<String>),
    /// Those whose whole name matches: Kafka's own tools take every name as a pattern.
    Matching(String),
}

impl Which {
    pub(crate) fn named(names: Vec<String>) -> Self {
        if names.is_empty() { Self::All } else { Self::Named(names) }
    }

    pub(crate) fn matching(pattern: Option<String>) -> Self {
        pattern.map_or(Self::All, Self::Matching)
    }

    /// The names of the topics that are meant and exist, in order.
    pub(crate) fn of(
        &self,
        metadata: &Metadata,
        exclude_internal: bool,
        must_exist: bool,
    ) -> Result<Vec<String>, Failure> {
        let pattern = match self {
            Self::Matching(text) => Some(pattern(text)?),
            _ => None,
        };
        let wanted = |name: &str| match self {
            Self::All => true,
            Self::Named(names) => names.iter().any(|known| known == name),
            Self::Matching(_) => pattern.as_ref().is_some_and(|pattern| pattern.is_match(name)),
        };
        let hidden = |name: &str| exclude_internal && INTERNAL.contains(&name);
        let names = metadata.topics.keys().filter(|name| wanted(name) && !hidden(name));
        let found: Vec<String> = names.map(|name| name.to_string()).collect();
        let missing = match self {
            Self::All => None,
            Self::Named(names) => names.iter().find(|name| !found.contains(name)),
            Self::Matching(text) => Some(text).filter(|text| !text.is_empty() && found.is_empty()),
        };
        match missing {
            Some(name) if must_exist => Err(unknown(name, metadata)),
            _ => Ok(found),
        }
    }
}

fn unknown(name: &str, metadata: &Metadata) -> Failure {
    let near = acme_spec::nearest(name, metadata.topics.keys().map(|known| &**known));
    let help = near.map_or_else(
        || "`acme topics list` shows the topics that there are".to_owned(),
        |near| format!("did you mean \"{near}\"?"),
    );
    Failure::user(format!("Topic '{name}' does not exist as expected"), help)
}

/// The pattern of `--topic` and `--include`: a comma is an or, quotes at the ends do not count.
pub(crate) fn pattern(text: &str) -> Result<Regex, Failure> {
    let plain = text.trim().replace(',', "|").replace(' ', "");
    let plain = plain.trim_matches(['"', '\'']);
    Regex::new(&format!("^(?:{plain})$")).map_err(|error| {
        let reason = error.to_string();
        let reason = reason.lines().last().unwrap_or_default();
        Failure::user(
            format!("{text} is an invalid regex: {reason}"),
            "look around and back references are unknown here",
        )
    })
}

/// `list`.
pub(crate) async fn list(
    client: &Client,
    which: &Which,
    exclude_internal: bool,
    as_json: bool,
) -> Result<Said, Failure> {
    let metadata = client.all_topics().await?;
    let names = which.of(&metadata, exclude_internal, false)?;
    if !as_json {
        return Ok(Said::out(format!("{}\n", names.join("\n"))));
    }
    let topics = names.iter().filter_map(|name| {
        let topic = metadata.topics.get(name.as_str())?;
        Some(json!({
            "name": name,
            "id": topic_id(topic.id),
            "partitions": topic.partitions.len(),
            "internal": topic.is_internal,
        }))
    });
    Ok(Said::json(&topics.collect()))
}

/// A topic's id as Kafka writes it: base64 for URLs.
pub(crate) fn topic_id(id: acme_kafka::Uuid) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    // 128 bits, and four zeros behind them, are 22 digits.
    let mut bits = id.as_u128();
    let digit = |bits: u128| char::from(DIGITS[(bits & 63) as usize]);
    let mut text = vec![digit((bits & 3) << 4)];
    bits >>= 2;
    for _ in 0..21 {
        text.push(digit(bits));
        bits >>= 6;
    }
    text.iter().rev().collect()
}

/// What is to become of topics.
#[derive(Debug)]
pub(crate) struct Alter {
    pub(crate) which: Which,
    pub(crate) partitions: Option<i32>,
    /// The brokers of all partitions, those that there are included.
    pub(crate) assignments: Vec<Vec<i32>>,
    /// Settings to set, and to reset where there is no value.
    pub(crate) settings: Vec<(String, Option<String>)>,
    pub(crate) if_exists: bool,
    pub(crate) exclude_internal: bool,
}

/// `alter`.
pub(crate) async fn alter(client: &Client, alter: &Alter) -> Result<Said, Failure> {
    let metadata = client.all_topics().await?;
    let names = alter.which.of(&metadata, alter.exclude_internal, !alter.if_exists)?;
    for name in &names {
        if let Some(count) = alter.partitions {
            let known = metadata.topics.get(name.as_str()).map_or(0, |topic| topic.partitions.len());
            let new = alter.assignments.get(known..).unwrap_or_default();
            client.create_partitions_at(name, count, new).await?;
        }
        if !alter.settings.is_empty() {
            let settings: Vec<_> =
                alter.settings.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
            client.alter_configs(&Resource::Topic(name.clone()), &settings).await?;
        }
    }
    Ok(Said::default())
}

/// `delete`.
pub(crate) async fn delete(
    client: &Client,
    which: &Which,
    if_exists: bool,
    exclude_internal: bool,
) -> Result<Said, Failure> {
    let metadata = client.all_topics().await?;
    for name in which.of(&metadata, exclude_internal, !if_exists)? {
        match client.delete_topic(&name).await {
            Err(error) if if_exists && error.code() == Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION) => {}
            result => result?,
        }
    }
    Ok(Said::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_written_as_kafka_writes_it() {
        assert_eq!(topic_id(acme_kafka::Uuid::from_u128(1)), "AAAAAAAAAAAAAAAAAAAAAQ");
        assert_eq!(topic_id(acme_kafka::Uuid::from_u128(u128::MAX)), "_____________________w");
    }

    #[test]
    fn a_pattern_means_the_whole_name_and_a_comma_is_an_or() {
        let pattern = pattern("\"ord.*, my.topic\"").unwrap();
        for (name, expected) in
            [("orders", true), ("my.topic", true), ("myxtopic", true), ("reorders", false)]
        {
            assert_eq!(pattern.is_match(name), expected, "{name}");
        }
        assert!(super::pattern("(").unwrap_err().said.starts_with("( is an invalid regex"));
    }
}
