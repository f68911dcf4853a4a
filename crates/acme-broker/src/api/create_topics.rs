//! CreateTopics. Every topic has one replica: a factor above 1 is a warning, or Kafka's error if it is asked to be one.

use super::{Call, config};
use crate::context::NODE;
use crate::error::{self, Code};
use crate::frame::text;
use crate::{groups, transactions};
use acme_log::{Log, Settings, Topic};
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult};
use kafka_protocol::messages::{CreateTopicsRequest, CreateTopicsResponse};
use kafka_protocol::protocol::StrBytes;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Kafka's error and what it says.
pub(super) type Fault = (Code, String);

/// What a topic is to be.
struct Wanted {
    name: String,
    partitions: u32,
    settings: BTreeMap<String, String>,
}

pub(crate) async fn handle(call: &Call, request: CreateTopicsRequest) -> CreateTopicsResponse {
    let mut results = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        let is_twice = request.topics.iter().filter(|other| other.name == topic.name).count() > 1;
        let made = if is_twice {
            Err((Code::InvalidRequest, "Duplicate topic name.".to_owned()))
        } else {
            create(call, topic, request.validate_only).await
        };
        let result = CreatableTopicResult::default().with_name(topic.name.clone());
        results.push(match made {
            Ok((topic, settings, partitions)) => {
                succeeded(call, result, topic.as_deref(), &settings, partitions)
            }
            Err((code, message)) => {
                result.with_error_code(code.code()).with_error_message(Some(StrBytes::from_string(message)))
            }
        });
    }
    // Of a topic that is there twice, one answer is enough.
    let mut seen = std::collections::BTreeSet::new();
    results.retain(|result| seen.insert(result.name.clone()));
    CreateTopicsResponse::default().with_topics(results)
}

fn succeeded(
    call: &Call,
    result: CreatableTopicResult,
    topic: Option<&Topic>,
    settings: &Settings,
    partitions: u32,
) -> CreatableTopicResult {
    let result = result.with_error_message(None);
    if call.version < 5 {
        return result;
    }
    let configs = settings.shown().into_iter().map(|shown| {
        CreatableTopicConfigs::default()
            .with_name(text(shown.name))
            .with_config_source(config::source(shown.origin))
            .with_value(Some(StrBytes::from_string(shown.value)))
    });
    let result = result
        .with_num_partitions(i32::try_from(partitions).unwrap_or(i32::MAX))
        .with_replication_factor(1)
        .with_configs(Some(configs.collect()));
    match topic {
        Some(topic) if call.version >= 7 => result.with_topic_id(topic.id),
        _ => result,
    }
}

async fn create(
    call: &Call,
    topic: &CreatableTopic,
    only_validates: bool,
) -> Result<(Option<Arc<Topic>>, Arc<Settings>, u32), Fault> {
    let wanted = wanted(call, topic)?;
    let partitions = wanted.partitions;
    call.context
        .blocking(move |log| make(log, wanted, only_validates))
        .await
        .map(|(topic, settings)| (topic, settings, partitions))
}

fn make(
    log: &Log,
    wanted: Wanted,
    only_validates: bool,
) -> Result<(Option<Arc<Topic>>, Arc<Settings>), Fault> {
    let fault = |error: acme_log::Error| (error::of_log(&error), message(&error));
    if let Some(other) = colliding(log, &wanted.name) {
        let message = format!("Topic '{}' collides with existing topic: {other}", wanted.name);
        return Err((Code::InvalidTopicException, message));
    }
    if only_validates {
        log.check_topic(&wanted.name, wanted.partitions, &wanted.settings).map_err(fault)?;
        let settings = Settings::new(wanted.settings, &BTreeMap::new())
            .map_err(|faults| fault(acme_log::Error::InvalidSettings(faults)))?;
        return Ok((None, Arc::new(settings)));
    }
    // The coordinators' topics are the broker's own, whoever makes them.
    let is_internal = [groups::TOPIC, transactions::TOPIC].contains(&wanted.name.as_str());
    let topic = log.create_topic(&wanted.name, wanted.partitions, wanted.settings, is_internal);
    let topic = topic.map_err(fault)?;
    let settings = Arc::clone(&topic.settings);
    Ok((Some(topic), settings))
}

/// As Kafka says it, where it says more than the kind of error.
pub(super) fn message(error: &acme_log::Error) -> String {
    match error {
        acme_log::Error::TopicExists(name) => format!("Topic '{name}' already exists."),
        acme_log::Error::UnknownTopic(_) => "This server does not host this topic-partition.".to_owned(),
        other => other.to_string(),
    }
}

/// Names that differ in `.` and `_` alone have the same metrics.
fn colliding(log: &Log, name: &str) -> Option<String> {
    let plain = |name: &str| name.replace('.', "_");
    let topics = log.topics();
    let other = topics.iter().find(|topic| topic.name != name && plain(&topic.name) == plain(name));
    other.map(|topic| topic.name.clone())
}

/// What a request says of a topic, as Kafka checks it.
fn wanted(call: &Call, topic: &CreatableTopic) -> Result<Wanted, Fault> {
    let name = topic.name.to_string();
    if name == "__cluster_metadata" {
        let message = "Creation of internal topic __cluster_metadata is prohibited.";
        return Err((Code::InvalidRequest, message.to_owned()));
    }
    let mut settings = BTreeMap::new();
    for config in &topic.configs {
        let Some(value) = &config.value else {
            let message = format!("Null value not supported for topic configs: {}", config.name);
            return Err((Code::InvalidConfig, message));
        };
        settings.insert(config.name.to_string(), value.to_string());
    }
    let partitions = if topic.assignments.is_empty() { counted(call, topic)? } else { assigned(topic)? };
    Ok(Wanted { name, partitions, settings })
}

fn counted(call: &Call, topic: &CreatableTopic) -> Result<u32, Fault> {
    match topic.replication_factor {
        -1 | 1 => {}
        ..=0 => {
            let message = "Replication factor must be larger than 0, or -1 to use the default value.";
            return Err((Code::InvalidReplicationFactor, message.to_owned()));
        }
        factor if call.context.options.replication_strict => {
            let message = format!(
                "Unable to replicate the partition {factor} time(s): The target replication factor of {factor} \
                 cannot be reached because only 1 broker(s) are registered."
            );
            return Err((Code::InvalidReplicationFactor, message));
        }
        factor => call.context.warn(&format!(
            "topic {} was asked for with {factor} replicas and has one: this log is a single node",
            &*topic.name
        )),
    }
    match topic.num_partitions {
        -1 => Ok(call.context.options.partitions),
        count => u32::try_from(count).ok().filter(|count| *count > 0).ok_or_else(|| {
            (
                Code::InvalidPartitions,
                "Number of partitions was set to an invalid non-positive value.".to_owned(),
            )
        }),
    }
}

fn assigned(topic: &CreatableTopic) -> Result<u32, Fault> {
    let said = |what: &str| {
        let message = format!("A manual partition assignment was specified, but {what} was not set to -1.");
        Err((Code::InvalidRequest, message))
    };
    if topic.replication_factor != -1 {
        return said("replication factor");
    }
    if topic.num_partitions != -1 {
        return said("numPartitions");
    }
    let mut numbers: Vec<i32> = topic.assignments.iter().map(|part| part.partition_index).collect();
    numbers.sort_unstable();
    if !numbers.iter().zip(0..).all(|(number, expected)| *number == expected) {
        let message = "partitions should be a consecutive 0-based integer sequence";
        return Err((Code::InvalidReplicaAssignment, message.to_owned()));
    }
    for part in &topic.assignments {
        let brokers: Vec<i32> = part.broker_ids.iter().map(|broker| broker.0).collect();
        replicas(&brokers)?;
    }
    Ok(u32::try_from(numbers.len()).unwrap_or(u32::MAX))
}

/// The replicas of one partition, which can only be this node.
pub(super) fn replicas(brokers: &[i32]) -> Result<(), Fault> {
    let message = match brokers {
        [NODE] => return Ok(()),
        [] => "The manual partition assignment includes an empty replica list.".to_owned(),
        several => match several.iter().find(|broker| **broker != NODE) {
            Some(other) => format!(
                "The manual partition assignment includes broker {other}, but no such broker is registered."
            ),
            None => format!("The manual partition assignment includes the broker {NODE} more than once."),
        },
    };
    Err((Code::InvalidReplicaAssignment, message))
}
