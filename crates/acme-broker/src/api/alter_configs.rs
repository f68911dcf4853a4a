//! AlterConfigs: a topic's settings as a whole; and what the two requests that change settings have in common.

use super::create_topics::{Fault, message};
use super::{Call, config};
use crate::error::{self, Code};
use acme_log::Settings;
use kafka_protocol::messages::alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::{AlterConfigsRequest, AlterConfigsResponse};
use kafka_protocol::protocol::StrBytes;
use std::collections::BTreeMap;

pub(crate) async fn handle(call: &Call, request: AlterConfigsRequest) -> AlterConfigsResponse {
    let mut responses = Vec::with_capacity(request.resources.len());
    for resource in &request.resources {
        let same = |kind: i8, name: &str| kind == resource.resource_type && *name == *resource.resource_name;
        let count =
            request.resources.iter().filter(|other| same(other.resource_type, &other.resource_name)).count();
        let wanted: Result<BTreeMap<String, String>, Fault> = resource
            .configs
            .iter()
            .map(|config| match &config.value {
                Some(value) => Ok((config.name.to_string(), value.to_string())),
                None => {
                    Err((Code::InvalidRequest, format!("Null value not supported for : {}", config.name)))
                }
            })
            .collect();
        let altered = match wanted {
            _ if count > 1 => Err(twice()),
            Ok(wanted) if wanted.len() < resource.configs.len() => {
                Err((Code::InvalidRequest, "Error due to duplicate config keys".to_owned()))
            }
            Err(fault) => Err(fault),
            Ok(wanted) => {
                let name = &*resource.resource_name;
                match resource.resource_type {
                    config::TOPIC => replace(call, name, wanted, request.validate_only).await,
                    other => Err(unalterable(other, name)),
                }
            }
        };
        let response = AlterConfigsResourceResponse::default()
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name.clone());
        responses.push(match altered {
            Ok(()) => response.with_error_message(None),
            Err((code, message)) => {
                response.with_error_code(code.code()).with_error_message(Some(StrBytes::from_string(message)))
            }
        });
    }
    AlterConfigsResponse::default().with_responses(responses)
}

pub(super) fn twice() -> Fault {
    (Code::InvalidRequest, "Each resource must appear at most once.".to_owned())
}

/// Why the settings of something that is no topic are not changed.
pub(super) fn unalterable(kind: i8, name: &str) -> Fault {
    match kind {
        config::BROKER => match config::check_broker(name) {
            Ok(()) => {
                let message =
                    "The settings of this broker are given at its start and cannot be changed while it runs.";
                (Code::InvalidRequest, message.to_owned())
            }
            Err(fault) => fault,
        },
        other => (Code::InvalidRequest, format!("Unsupported resource type: {other}")),
    }
}

/// Why the settings of a topic that is not there are not changed.
pub(super) fn absent(call: &Call, name: &str) -> Fault {
    match call.context.log.check_topic(name, 1, &BTreeMap::new()) {
        Ok(()) => (Code::UnknownTopicOrPartition, format!("The topic '{name}' does not exist.")),
        Err(error) => (error::of_log(&error), message(&error)),
    }
}

/// Gives a topic exactly these settings.
pub(super) async fn replace(
    call: &Call,
    name: &str,
    wanted: BTreeMap<String, String>,
    only_validates: bool,
) -> Result<(), Fault> {
    let Some(topic) = call.context.log.topics().named(name).cloned() else {
        return Err(absent(call, name));
    };
    if only_validates {
        let invalid = |faults| {
            let error = acme_log::Error::InvalidSettings(faults);
            (error::of_log(&error), message(&error))
        };
        return Settings::new(wanted, &BTreeMap::new()).map(drop).map_err(invalid);
    }
    let gone = topic.settings.own().keys().filter(|name| !wanted.contains_key(*name));
    let mut changes: Vec<(String, Option<String>)> = gone.map(|name| (name.clone(), None)).collect();
    changes.extend(wanted.into_iter().map(|(name, value)| (name, Some(value))));
    let name = name.to_owned();
    let altered = call.context.blocking(move |log| log.alter_settings(&name, &changes)).await;
    altered.map_err(|error| (error::of_log(&error), message(&error)))
}
