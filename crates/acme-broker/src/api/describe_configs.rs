//! DescribeConfigs (KIP-133, KIP-226, KIP-569): settings, who has set them, their types and what they are for.

use super::create_topics::Fault;
use super::{Call, config};
use crate::error::{self, Code};
use crate::frame::text;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use kafka_protocol::messages::{DescribeConfigsRequest, DescribeConfigsResponse};
use kafka_protocol::protocol::StrBytes;
use std::collections::BTreeMap;

pub(crate) async fn handle(call: &Call, request: DescribeConfigsRequest) -> DescribeConfigsResponse {
    let results = request.resources.iter().map(|resource| {
        let result = DescribeConfigsResult::default()
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name.clone());
        match one(call, &request, resource) {
            Ok(configs) => result.with_configs(configs),
            Err((code, message)) => {
                result.with_error_code(code.code()).with_error_message(Some(StrBytes::from_string(message)))
            }
        }
    });
    DescribeConfigsResponse::default().with_results(results.collect())
}

fn one(
    call: &Call,
    request: &DescribeConfigsRequest,
    resource: &DescribeConfigsResource,
) -> Result<Vec<DescribeConfigsResourceResult>, Fault> {
    let wants = |name: &str| match &resource.configuration_keys {
        None => true,
        Some(keys) if keys.is_empty() => true,
        Some(keys) => keys.iter().any(|key| &**key == name),
    };
    let mut configs = match resource.resource_type {
        config::TOPIC => topic(call, &resource.resource_name)?,
        config::BROKER => {
            config::check_broker(&resource.resource_name)?;
            // What all brokers have is what was set while they run: nothing here.
            if resource.resource_name.is_empty() { Vec::new() } else { broker(call) }
        }
        config::BROKER_LOGGER
            if config::check_broker(&resource.resource_name).is_err()
                || resource.resource_name.is_empty() =>
        {
            return Err((
                Code::InvalidRequest,
                "Broker id must not be empty, and that of this node".to_owned(),
            ));
        }
        config::CLIENT_METRICS | config::GROUP if resource.resource_name.is_empty() => {
            return Err((
                Code::InvalidRequest,
                "The name of a group or of a subscription to metrics must not be empty".to_owned(),
            ));
        }
        config::BROKER_LOGGER | config::CLIENT_METRICS | config::GROUP => Vec::new(),
        other => return Err((Code::InvalidRequest, format!("Unsupported resource type: {other}"))),
    };
    configs.retain(|config| wants(&config.name));
    for config in &mut configs {
        if !request.include_synonyms {
            config.synonyms.clear();
        }
        if call.version < 3 {
            config.config_type = 0;
            config.documentation = None;
        } else if !request.include_documentation {
            config.documentation = None;
        }
    }
    Ok(configs)
}

fn synonym(name: &str, value: &str, source: i8) -> DescribeConfigsSynonym {
    DescribeConfigsSynonym::default().with_name(text(name)).with_value(Some(text(value))).with_source(source)
}

fn topic(call: &Call, name: &str) -> Result<Vec<DescribeConfigsResourceResult>, Fault> {
    let topics = call.context.log.topics();
    let Some(topic) = topics.named(name) else {
        let invalid = call.context.log.check_topic(name, 1, &BTreeMap::new()).err();
        let code = invalid.map_or(Code::UnknownTopicOrPartition, |error| error::of_log(&error));
        return Err((code, "This server does not host this topic-partition.".to_owned()));
    };
    let configs = topic.settings.shown().into_iter().map(|shown| {
        let mut synonyms = Vec::new();
        if let Some(own) = topic.settings.own().get(shown.name) {
            synonyms.push(synonym(shown.name, own, config::source(acme_log::settings::Origin::Topic)));
        }
        if let Some(node) = &shown.node_value {
            synonyms.push(synonym(shown.broker_name, node, config::STATIC_BROKER));
        }
        if !shown.broker_name.is_empty() {
            synonyms.push(synonym(shown.broker_name, shown.default, config::DEFAULT));
        }
        DescribeConfigsResourceResult::default()
            .with_name(text(shown.name))
            .with_config_source(config::source(shown.origin))
            .with_config_type(config::kind(shown.kind))
            .with_documentation(Some(text(config::meaning(shown.name))))
            .with_synonyms(synonyms)
            .with_value(Some(StrBytes::from_string(shown.value)))
    });
    Ok(configs.collect())
}

fn broker(call: &Call) -> Vec<DescribeConfigsResourceResult> {
    let settings = config::of_broker(&call.context).into_iter().map(|setting| {
        let mut synonyms = vec![synonym(&setting.name, &setting.default, config::DEFAULT)];
        let is_default = setting.value == setting.default;
        if !is_default {
            synonyms.insert(0, synonym(&setting.name, &setting.value, config::STATIC_BROKER));
        }
        DescribeConfigsResourceResult::default()
            .with_name(StrBytes::from_string(setting.name))
            .with_value(Some(StrBytes::from_string(setting.value)))
            // What the broker is started with is not changed from outside.
            .with_read_only(true)
            .with_config_source(if is_default { config::DEFAULT } else { config::STATIC_BROKER })
            .with_config_type(config::kind(setting.kind))
            .with_documentation(Some(text(setting.meaning)))
            .with_synonyms(synonyms)
    });
    settings.collect()
}
