//! Settings of topics, brokers, groups and so on: what they are, where they come from, changing them.

use super::Said;
use super::failure::Failure;
use super::quotas::{self, Whose};
use acme_kafka::Client;
use acme_kafka::admin::{ConfigSource, DescribedConfig, Resource};
use serde_json::json;
use std::fmt::Write;

/// What has settings, in the order in which Kafka's tool lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Topics,
    Clients,
    Users,
    Brokers,
    Ips,
    ClientMetrics,
    Groups,
    BrokerLoggers,
}

impl Kind {
    pub(crate) const ALL: [Self; 8] = [
        Self::Topics,
        Self::Clients,
        Self::Users,
        Self::Brokers,
        Self::Ips,
        Self::ClientMetrics,
        Self::Groups,
        Self::BrokerLoggers,
    ];

    /// As `--entity-type` names it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Topics => "topics",
            Self::Clients => "clients",
            Self::Users => "users",
            Self::Brokers => "brokers",
            Self::Ips => "ips",
            Self::ClientMetrics => "client-metrics",
            Self::Groups => "groups",
            Self::BrokerLoggers => "broker-loggers",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// One of them: as Kafka's tool takes the last letter off, whatever it is.
    fn one(self) -> &'static str {
        let name = self.name();
        &name[..name.len() - 1]
    }

    /// It has quotas, and settings in the strict sense it has none.
    fn has_quotas(self) -> bool {
        matches!(self, Self::Users | Self::Clients | Self::Ips)
    }

    /// What is set for one of them, and not elsewhere.
    fn own_source(self, name: &str) -> Option<ConfigSource> {
        match self {
            Self::Topics => Some(ConfigSource::TOPIC),
            Self::Brokers if name.is_empty() => Some(ConfigSource::BROKER_DEFAULTS),
            Self::Brokers => Some(ConfigSource::BROKER),
            Self::ClientMetrics => Some(ConfigSource::CLIENT_METRICS),
            Self::Groups => Some(ConfigSource::GROUP),
            _ => None,
        }
    }

    fn resource(self, name: &str) -> Result<Resource, Failure> {
        let id = || {
            name.parse::<i32>().map_err(|_| {
                let kind = self.name();
                let said =
                    format!("The entity name for {kind} must be a valid integer broker id, found: {name}");
                Failure::user(said, "name a broker by its id")
            })
        };
        Ok(match self {
            Self::Brokers if name.is_empty() => Resource::BrokerDefaults,
            Self::Brokers => Resource::Broker(id()?),
            Self::BrokerLoggers => Resource::BrokerLogger(id()?),
            Self::ClientMetrics => Resource::ClientMetrics(name.to_owned()),
            Self::Groups => Resource::Group(name.to_owned()),
            _ => Resource::Topic(name.to_owned()),
        })
    }
}

/// What is to be set and to be taken away.
#[derive(Clone, Debug, Default)]
pub(crate) struct Change {
    pub(crate) add: Vec<(String, String)>,
    pub(crate) delete: Vec<String>,
}

impl Change {
    /// Takes `k1=v1,k2=[v1,v2]` apart, as Kafka's tool does.
    pub(crate) fn add(&mut self, text: &str) -> Result<(), Failure> {
        for part in split(text, ',') {
            let pair = split(part, '=');
            let [name, value] = pair[..] else {
                let said = "Invalid entity config: all configs to be added must be in the format \"key=val\" or  \
                            \"key=[val1,val2]\" to group values which contain commas.";
                return Err(Failure::user(
                    said,
                    "write it as retention.ms=604800000,cleanup.policy=[compact,delete]",
                ));
            };
            self.set(name.trim(), value.replace(['[', ']'], "").trim())?;
        }
        Ok(())
    }

    /// Sets one.
    pub(crate) fn set(&mut self, name: &str, value: &str) -> Result<(), Failure> {
        let is_fit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '$' | '.' | '_' | '-');
        if !name.chars().all(is_fit) {
            let said = format!("Invalid character found for config key: {name}");
            return Err(Failure::user(said, "a name has letters, digits, '.', '_' and '-'"));
        }
        self.add.retain(|(known, _)| known != name);
        self.add.push((name.to_owned(), value.to_owned()));
        Ok(())
    }
}

/// The parts between separators that stand outside of brackets.
fn split(text: &str, separator: char) -> Vec<&str> {
    let is_outside = |rest: &str| !rest.find(['[', ']']).is_some_and(|at| rest[at..].starts_with(']'));
    let mut parts = Vec::new();
    let mut begin = 0;
    for (at, found) in text.char_indices() {
        if found == separator && is_outside(&text[at + 1..]) {
            parts.push(&text[begin..at]);
            begin = at + 1;
        }
    }
    parts.push(&text[begin..]);
    parts
}

/// `describe`. `all` shows what comes from elsewhere too.
pub(crate) async fn describe(
    client: &Client,
    whose: &Whose,
    all: bool,
    as_json: bool,
) -> Result<Said, Failure> {
    let (kind, name) = &whose[0];
    if kind.has_quotas() {
        return quotas::describe(client, whose, as_json).await;
    }
    let mut said = Said::default();
    let names = match name {
        Some(name) if !all && !exists(client, *kind, name).await? => {
            let one = kind.one();
            said.out = format!("The {one} '{name}' doesn't exist and doesn't have dynamic config.\n");
            said.err = format!("help: `acme configs describe {}` shows those that there are\n", kind.name());
            said.failed = true;
            if as_json {
                said.err = std::mem::take(&mut said.out) + &said.err;
                said.out = "[]\n".to_owned();
            }
            return Ok(said);
        }
        Some(name) => vec![name.clone()],
        None => names(client, *kind).await?,
    };
    let mut values = Vec::new();
    for name in names {
        let settings = settings(client, *kind, &name, all).await?;
        if as_json {
            values.push(value(*kind, &name, &settings));
            continue;
        }
        let _ = match name.as_str() {
            "" => writeln!(said.out, "Default configs for {} in the cluster are:", kind.name()),
            name => {
                let which = if all { "All" } else { "Dynamic" };
                writeln!(said.out, "{which} configs for {} {name} are:", kind.one())
            }
        };
        settings.iter().for_each(|setting| line(setting, &mut said.out));
    }
    if as_json {
        return Ok(Said::json(&values.into()));
    }
    Ok(said)
}

fn or_null(value: Option<&String>) -> &str {
    value.map_or("null", String::as_str)
}

fn line(setting: &DescribedConfig, out: &mut String) {
    let synonyms = setting.synonyms.iter().map(|synonym| {
        format!("{}:{}={}", synonym.source.name(), synonym.name, or_null(synonym.value.as_ref()))
    });
    let synonyms = synonyms.collect::<Vec<_>>().join(", ");
    let (name, value) = (&setting.name, or_null(setting.value.as_ref()));
    let _ = writeln!(out, "  {name}={value} sensitive={} synonyms={{{synonyms}}}", setting.is_sensitive);
}

fn value(kind: Kind, name: &str, settings: &[DescribedConfig]) -> serde_json::Value {
    let settings = settings.iter().map(|setting| {
        let synonyms = setting.synonyms.iter().map(|synonym| {
            json!({ "name": synonym.name, "value": synonym.value, "source": synonym.source.name() })
        });
        json!({
            "name": setting.name,
            "value": setting.value,
            "source": setting.source.name(),
            "sensitive": setting.is_sensitive,
            "synonyms": synonyms.collect::<Vec<_>>(),
        })
    });
    let name = Some(name).filter(|name| !name.is_empty());
    json!({ "type": kind.name(), "name": name, "settings": settings.collect::<Vec<_>>() })
}

async fn settings(
    client: &Client,
    kind: Kind,
    name: &str,
    all: bool,
) -> Result<Vec<DescribedConfig>, Failure> {
    let mut settings = client.settings(&kind.resource(name)?).await?;
    if let Some(source) = kind.own_source(name).filter(|_| !all) {
        settings.retain(|setting| setting.source == source);
    }
    Ok(settings)
}

/// Those that there are.
async fn names(client: &Client, kind: Kind) -> Result<Vec<String>, Failure> {
    Ok(match kind {
        Kind::Brokers | Kind::BrokerLoggers => {
            let brokers = client.metadata(&[]).await?;
            let ids = brokers.brokers.keys().map(i32::to_string);
            // All brokers together have settings too; their loggers have none together.
            ids.chain((kind == Kind::Brokers).then(String::new)).collect()
        }
        Kind::ClientMetrics => client.configured_client_metrics().await?,
        Kind::Groups => {
            let mut ids: Vec<String> =
                client.list_groups().await?.into_iter().map(|group| group.group).collect();
            ids.extend(client.configured_groups().await?);
            ids.sort();
            ids.dedup();
            ids
        }
        _ => client.all_topics().await?.topics.keys().map(|name| name.to_string()).collect(),
    })
}

async fn exists(client: &Client, kind: Kind, name: &str) -> Result<bool, Failure> {
    // It must be a name of its kind at all.
    kind.resource(name)?;
    let is_default = kind == Kind::Brokers && name.is_empty();
    Ok(is_default || names(client, kind).await?.iter().any(|known| known == name))
}

/// `alter`.
pub(crate) async fn alter(
    client: &Client,
    whose: &Whose,
    change: &Change,
    as_json: bool,
) -> Result<Said, Failure> {
    let (kind, name) = &whose[0];
    let name = name.as_deref().unwrap_or_default();
    if kind.has_quotas() {
        quotas::alter(client, whose, change).await?;
    } else {
        let resource = kind.resource(name)?;
        if *kind == Kind::BrokerLoggers {
            let known = client.settings(&resource).await?;
            let named = change.delete.iter().chain(change.add.iter().map(|(name, _)| name));
            let strangers: Vec<&str> =
                named.filter(|name| !known.iter().any(|it| it.name == **name)).map(String::as_str).collect();
            if !strangers.is_empty() {
                let said = format!("Invalid broker logger(s): {}", strangers.join(","));
                return Err(Failure::user(said, "`acme configs describe broker-loggers` shows them"));
            }
        }
        let add = change.add.iter().map(|(name, value)| (name.as_str(), Some(value.as_str())));
        let delete = change.delete.iter().map(|name| (name.as_str(), None));
        client.alter_configs(&resource, &add.chain(delete).collect::<Vec<_>>()).await?;
    }
    if as_json {
        let names: Vec<&str> = change.add.iter().map(|(name, _)| name.as_str()).collect();
        let whose = whose.iter().map(|(kind, name)| {
            json!({ "type": kind.name(), "name": name.as_ref().filter(|name| !name.is_empty()) })
        });
        return Ok(Said::json(&json!({
            "entity": whose.collect::<Vec<_>>(),
            "set": names,
            "deleted": change.delete,
        })));
    }
    Ok(Said::out(match name {
        "" => format!("Completed updating default config for {} in the cluster.\n", kind.name()),
        name => format!("Completed updating config for {} {name}.\n", kind.one()),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_hold_commas_and_equals_signs_together() {
        let mut change = Change::default();
        change.add("a=1, b = [x,y] ,SCRAM-SHA-256=[iterations=8192,password=p],c=").unwrap();
        let pairs: Vec<(&str, &str)> =
            change.add.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let password = ("SCRAM-SHA-256", "iterations=8192,password=p");
        assert_eq!(pairs, [("a", "1"), ("b", "x,y"), password, ("c", "")]);
        for wrong in ["a", "a=b=c", "a=1,b"] {
            assert!(change.add(wrong).unwrap_err().said.starts_with("Invalid entity config"), "{wrong}");
        }
        let said = change.add("a b=1").unwrap_err().said;
        assert_eq!(said, "Invalid character found for config key: a b");
    }
}
