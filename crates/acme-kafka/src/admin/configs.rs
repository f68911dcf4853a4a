//! Settings with where they come from, of everything that has some.

use super::{Resource, check, only};
use crate::client::Client;
use crate::error::Result;
use crate::wire::text;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsSynonym,
};
use kafka_protocol::messages::{DescribeConfigsRequest, ListConfigResourcesRequest};
use kafka_protocol::protocol::StrBytes;

/// Where a setting comes from: a number of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfigSource(pub i8);

impl ConfigSource {
    /// Set for a topic.
    pub const TOPIC: Self = Self(1);
    /// Set for a broker while it runs.
    pub const BROKER: Self = Self(2);
    /// Set for all brokers while they run.
    pub const BROKER_DEFAULTS: Self = Self(3);
    /// Set for a resource of client metrics.
    pub const CLIENT_METRICS: Self = Self(7);
    /// Set for a group.
    pub const GROUP: Self = Self(8);

    /// As Kafka's tools name it (`ConfigEntry.ConfigSource`).
    #[must_use]
    pub fn name(self) -> &'static str {
        match self.0 {
            1 => "DYNAMIC_TOPIC_CONFIG",
            2 => "DYNAMIC_BROKER_CONFIG",
            3 => "DYNAMIC_DEFAULT_BROKER_CONFIG",
            4 => "STATIC_BROKER_CONFIG",
            5 => "DEFAULT_CONFIG",
            6 => "DYNAMIC_BROKER_LOGGER_CONFIG",
            7 => "DYNAMIC_CLIENT_METRICS_CONFIG",
            8 => "DYNAMIC_GROUP_CONFIG",
            _ => "UNKNOWN",
        }
    }
}

/// A setting with everything that is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedConfig {
    /// Its name.
    pub name: String,
    /// Its value; none where it is secret or unset.
    pub value: Option<String>,
    /// Who has set it.
    pub source: ConfigSource,
    /// Its value is a secret.
    pub is_sensitive: bool,
    /// All values that it has somewhere, the one that counts first.
    pub synonyms: Vec<Synonym>,
}

/// A value of a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synonym {
    /// The setting's name there.
    pub name: String,
    /// The value; none where it is secret or unset.
    pub value: Option<String>,
    /// Who has set it.
    pub source: ConfigSource,
}

impl Client {
    /// All settings of a resource, by name.
    ///
    /// # Errors
    /// As [`Self::describe_configs`].
    pub async fn settings(&self, resource: &Resource) -> Result<Vec<DescribedConfig>> {
        let (kind, name) = resource.parts();
        let wanted = DescribeConfigsResource::default()
            .with_resource_type(kind)
            .with_resource_name(text(&name))
            .with_configuration_keys(None);
        let request =
            DescribeConfigsRequest::default().with_resources(vec![wanted]).with_include_synonyms(true);
        let response = match resource.broker() {
            Some(id) => self.send(id, &request).await?,
            None => self.send_to_any(&request).await?,
        };
        let result = only(response.results, "DescribeConfigs")?;
        check(result.error_code, result.error_message, || format!("settings of {name}"))?;
        let mut settings: Vec<DescribedConfig> = result.configs.into_iter().map(described).collect();
        settings.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(settings)
    }

    /// The names of resources of client metrics that have settings (KIP-714, brokers from 3.7 on).
    ///
    /// # Errors
    /// As [`Client::send_to_any`]; [`crate::Error::Unsupported`].
    pub async fn configured_client_metrics(&self) -> Result<Vec<String>> {
        self.configured(16).await
    }

    /// The ids of groups that have settings (KIP-1142, brokers from 4.1 on; older ones tell none).
    ///
    /// # Errors
    /// As [`Client::send_to_any`]; [`crate::Error::Unsupported`].
    pub async fn configured_groups(&self) -> Result<Vec<String>> {
        self.configured(32).await
    }

    async fn configured(&self, kind: i8) -> Result<Vec<String>> {
        let response = self.send_to_any(&ListConfigResourcesRequest::default()).await?;
        check(response.error_code, None, || "resources with settings".to_owned())?;
        let resources = response.config_resources.into_iter();
        let mut names: Vec<String> = resources
            .filter(|resource| resource.resource_type == kind)
            .map(|resource| resource.resource_name.to_string())
            .collect();
        names.sort();
        Ok(names)
    }
}

fn owned(text: Option<StrBytes>) -> Option<String> {
    text.map(|text| text.to_string())
}

fn described(told: DescribeConfigsResourceResult) -> DescribedConfig {
    let synonym = |told: DescribeConfigsSynonym| Synonym {
        name: told.name.to_string(),
        value: owned(told.value),
        source: ConfigSource(told.source),
    };
    DescribedConfig {
        name: told.name.to_string(),
        value: owned(told.value),
        source: ConfigSource(told.config_source),
        is_sensitive: told.is_sensitive,
        synonyms: told.synonyms.into_iter().map(synonym).collect(),
    }
}
