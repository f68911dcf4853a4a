//! IncrementalAlterConfigs (KIP-339): single settings are set, taken back, or their lists made longer or shorter.

use super::alter_configs::{absent, replace, twice, unalterable};
use super::create_topics::Fault;
use super::{Call, config};
use crate::error::Code;
use acme_log::settings::{KNOWN, SettingKind};
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::{IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse};
use kafka_protocol::protocol::StrBytes;
use std::collections::BTreeMap;

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

pub(crate) async fn handle(
    call: &Call,
    request: IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
    let mut responses = Vec::with_capacity(request.resources.len());
    for resource in &request.resources {
        let same = |other: &&AlterConfigsResource| {
            (other.resource_type, &other.resource_name) == (resource.resource_type, &resource.resource_name)
        };
        let altered = match resource.resource_type {
            _ if request.resources.iter().filter(same).count() > 1 => Err(twice()),
            config::TOPIC => topic(call, resource, request.validate_only).await,
            other => Err(unalterable(other, &resource.resource_name)),
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
    IncrementalAlterConfigsResponse::default().with_responses(responses)
}

async fn topic(call: &Call, resource: &AlterConfigsResource, only_validates: bool) -> Result<(), Fault> {
    let name = &*resource.resource_name;
    let Some(topic) = call.context.log.topics().named(name).cloned() else {
        return Err(absent(call, name));
    };
    let mut own = topic.settings.own().clone();
    for config in &resource.configs {
        if resource.configs.iter().filter(|other| other.name == config.name).count() > 1 {
            return Err((Code::InvalidRequest, "Error due to duplicate config keys".to_owned()));
        }
        let shown = topic.settings.shown();
        let now = shown.iter().find(|shown| shown.name == &*config.name).map_or("", |shown| &shown.value);
        apply(&mut own, config, now)?;
    }
    replace(call, name, own, only_validates).await
}

/// One change; `now` is the value in force.
fn apply(own: &mut BTreeMap<String, String>, config: &AlterableConfig, now: &str) -> Result<(), Fault> {
    let name = config.name.to_string();
    if config.config_operation == DELETE {
        own.remove(&name);
        return Ok(());
    }
    let Some(value) = &config.value else {
        return Err((Code::InvalidRequest, format!("Null value not supported for : {name}")));
    };
    let word = match config.config_operation {
        SET => {
            own.insert(name, value.to_string());
            return Ok(());
        }
        APPEND => "APPEND",
        SUBTRACT => "SUBTRACT",
        other => return Err((Code::InvalidRequest, format!("Unknown operation type {other}"))),
    };
    if !KNOWN.iter().any(|known| known.name == name && known.kind == SettingKind::List) {
        return Err((
            Code::InvalidConfig,
            format!("Can't {word} to key {name} because its type is not LIST."),
        ));
    }
    let words = |text: &str| -> Vec<String> {
        text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
    };
    let mut list = words(now);
    for word in words(value) {
        match config.config_operation {
            SUBTRACT => list.retain(|other| *other != word),
            _ if list.contains(&word) => {}
            _ => list.push(word),
        }
    }
    own.insert(name, list.join(","));
    Ok(())
}
