//! The properties of a command: of its files and its options. What the pipelines say in other words is said here as in
//! Kafka.

use super::failure::Failure;
use super::time::duration;
use acme_kafka::Config;
use acme_kafka::properties::{Fault, Properties, read_file};
use std::time::Duration;

/// Names and values; of a name that occurs twice, the last value counts.
#[derive(Default)]
pub(crate) struct Given(Vec<(String, String)>);

/// What the properties say besides how to connect.
pub(crate) struct Settings {
    pub(crate) properties: Properties,
    pub(crate) group: Option<String>,
    pub(crate) reset: Option<Reset>,
}

/// Where a consumer begins without a committed offset (`auto.offset.reset`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reset {
    Earliest,
    Latest,
    /// Nowhere: it is an error.
    None,
    /// With what is not older than this (KIP-1106).
    ByDuration(Duration),
}

/// Properties that a command reads by itself.
const OURS: [&str; 6] =
    ["bootstrap.servers", "group.id", "auto.offset.reset", "acks", "enable.idempotence", "transactional.id"];

impl Given {
    /// Adds the properties of a file.
    pub(crate) fn read(&mut self, path: &str) -> Result<(), Failure> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            Failure::file(format!("{path}: {error}"), "name a file of Kafka's properties")
        })?;
        self.0.extend(read_file(&text));
        Ok(())
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.0.push((name.to_owned(), value.to_owned()));
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.trim())
    }

    pub(crate) fn into_pairs(self) -> Vec<(String, String)> {
        self.0
    }

    /// Checks everything, and sets what concerns the connection.
    pub(crate) fn settings(&self, config: &mut Config) -> Result<Settings, Failure> {
        let ours = |name: &str| OURS.contains(&name);
        let others = self.0.iter().filter(|(name, _)| !ours(name)).cloned().collect();
        let properties = Properties::parse(others);
        let mut faults: Vec<Fault> = properties.as_ref().err().cloned().unwrap_or_default();
        let reset = self.reset().unwrap_or_else(|fault| {
            faults.push(fault);
            None
        });
        let properties = match properties {
            Ok(properties) if faults.is_empty() => properties,
            _ => return Err(Failure::properties(&faults)),
        };
        properties.client(config).map_err(|fault| Failure::properties(&[fault]))?;
        let servers = self.get("bootstrap.servers").unwrap_or_default().split(',').map(str::trim);
        config.bootstrap = servers.filter(|server| !server.is_empty()).map(str::to_owned).collect();
        let group = self.get("group.id").filter(|group| !group.is_empty()).map(str::to_owned);
        Ok(Settings { properties, group, reset })
    }

    fn reset(&self) -> Result<Option<Reset>, Fault> {
        const NAME: &str = "auto.offset.reset";
        let Some(text) = self.get(NAME) else { return Ok(None) };
        let by_duration =
            |text: &str| text.strip_prefix("by_duration:").and_then(duration).map(Reset::ByDuration);
        let reset = match text.to_lowercase().as_str() {
            "earliest" => Some(Reset::Earliest),
            "latest" => Some(Reset::Latest),
            "none" => Some(Reset::None),
            _ => by_duration(text),
        };
        reset.map(Some).ok_or_else(|| Fault {
            name: NAME.to_owned(),
            message: format!("\"{text}\" is no value of \"{NAME}\""),
            help: Some("use one of earliest, latest, none, by_duration:PT1H".to_owned()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commands_own_properties_are_kafkas() {
        let mut given = Given::default();
        for (name, value) in [
            ("bootstrap.servers", "a:1, b:2"),
            ("group.id", "g"),
            ("auto.offset.reset", "by_duration:PT1H"),
            ("acks", "1"),
            ("client.id", "me"),
        ] {
            given.set(name, value);
        }
        let mut config = Config::new(["x:1"]);
        let settings = given.settings(&mut config).unwrap();
        assert_eq!(config.bootstrap, ["a:1", "b:2"]);
        assert_eq!(config.client_id, "me");
        assert_eq!(settings.group.as_deref(), Some("g"));
        assert_eq!(settings.reset, Some(Reset::ByDuration(Duration::from_secs(3_600))));
    }

    #[test]
    fn all_mistakes_are_said() {
        let mut given = Given::default();
        given.set("secruity.protocol", "SSL");
        given.set("auto.offset.reset", "soon");
        let said = given.settings(&mut Config::new(["x:1"])).err().unwrap().diagnostic().to_string();
        assert!(
            said.contains("secruity.protocol") && said.contains("did you mean \"security.protocol\"?"),
            "{said}"
        );
        assert!(said.contains("\"soon\" is no value of \"auto.offset.reset\""), "{said}");
    }
}
