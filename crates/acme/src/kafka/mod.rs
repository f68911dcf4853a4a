//! What the commands do with a Kafka cluster: topics, groups, records, settings, transactions. The texts are those of the commands of
//! Kafka's distribution, so that scripts that read them go on working.

pub(crate) mod configs;
pub(crate) mod consume;
pub(crate) mod create;
pub(crate) mod delete_records;
pub(crate) mod describe;
pub(crate) mod failure;
pub(crate) mod format;
pub(crate) mod get_offsets;
pub(crate) mod groups;
pub(crate) mod java;
pub(crate) mod lines;
pub(crate) mod log_dirs;
pub(crate) mod members;
pub(crate) mod perf;
pub(crate) mod pretty;
pub(crate) mod produce;
pub(crate) mod quotas;
pub(crate) mod reset;
pub(crate) mod time;
pub(crate) mod topics;
pub(crate) mod transactions;

use crate::log;
use acme_kafka::properties::{Properties, Settings};
use acme_kafka::world::{LOCAL, Local};
use acme_kafka::{Client, Config, World};
use clap::Args;
use failure::Failure;
use std::sync::Arc;
use std::time::Duration;

/// How long a cluster may be looked for, and one operation may take with its repetitions, unless properties say
/// otherwise: somebody waits for it.
const PATIENCE: Duration = Duration::from_secs(15);

/// Where the cluster is and how to log in.
#[derive(Args, Clone, Debug)]
pub(crate) struct Cluster {
    /// Some of the cluster's brokers: HOST:PORT,HOST:PORT.
    #[arg(long, value_name = "SERVERS", global = true)]
    pub(crate) bootstrap_server: Option<String>,
    /// A file of Kafka's client properties: security.protocol, sasl.*, ssl.* and so on.
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) command_config: Option<String>,
}

/// What a command has to say.
#[derive(Debug, Default)]
pub(crate) struct Said {
    /// For standard output.
    pub(crate) out: String,
    /// For standard error.
    pub(crate) err: String,
    /// Some part of it failed, and `out` says which.
    pub(crate) failed: bool,
}

impl Said {
    pub(crate) fn out(text: impl Into<String>) -> Self {
        Self { out: text.into(), ..Self::default() }
    }

    pub(crate) fn json(value: &serde_json::Value) -> Self {
        Self::out(format!("{value:#}\n"))
    }
}

impl Cluster {
    /// The same, or the log of this machine where no cluster is named.
    pub(crate) fn or_own_log(&self) -> Self {
        let is_named = self.bootstrap_server.is_some() || self.command_config.is_some();
        let servers = self.bootstrap_server.clone().or_else(|| (!is_named).then(|| LOCAL.to_owned()));
        Self { bootstrap_server: servers, ..self.clone() }
    }

    /// The properties of the file, and the servers.
    pub(crate) fn properties(&self) -> Result<Properties, Failure> {
        let mut properties = match &self.command_config {
            None => Properties::default(),
            Some(path) => file(path)?,
        };
        if let Some(servers) = &self.bootstrap_server {
            properties.set("bootstrap.servers", servers);
        }
        Ok(properties)
    }
}

/// The properties of a file.
pub(crate) fn file(path: &str) -> Result<Properties, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::file(format!("{path}: {error}"), "name a file of Kafka's properties"))?;
    Ok(Properties::parse(&text))
}

/// Connects with these properties; `client_id` is the name unless they have one.
pub(crate) async fn connect(properties: &Properties, client_id: &str) -> Result<(Client, Settings), Failure> {
    let settings = properties.settings().map_err(|faults| Failure::properties(&faults))?;
    if settings.client.bootstrap.is_empty() {
        return Err(Failure::missing(
            "--bootstrap-server must be specified",
            "add --bootstrap-server HOST:PORT",
        ));
    }
    let named = properties.get("client.id").is_some();
    let patient = properties.get("default.api.timeout.ms").is_some();
    let config = Config {
        client_id: if named { settings.client.client_id.clone() } else { client_id.to_owned() },
        operation_timeout: if patient { settings.client.operation_timeout } else { PATIENCE },
        world: if settings.client.bootstrap == [LOCAL] {
            let log = log::own(false);
            World::Simulated(Arc::new(Local(move || log.dial())))
        } else {
            World::Real
        },
        ..settings.client.clone()
    };
    Ok((Client::connect(config).await?, settings))
}
