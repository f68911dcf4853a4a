//! What both sides of the connector are told alike: where the cluster is, and what a value is.

use crate::fault::fault;
use acme_connect::{Context, csv};
use acme_formats::csv::Dialect;
use acme_kafka::group::{Assignor, MemberOptions, Protocol, Subscription};
use acme_kafka::properties::{ConsumerSettings, Fault, ProducerSettings, Properties, Settings};
use acme_kafka::world::{LOCAL, Local};
use acme_kafka::{Client, Error, FetchOptions, World};
use acme_types::{Config, Diagnostic, Place, ValueKind, codes};
use std::sync::Arc;
use std::time::Duration;

/// How long it is waited for a cluster before anything runs, unless `default.api.timeout.ms` says otherwise.
const PATIENCE: Duration = Duration::from_secs(15);

/// What the value of a record is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Values {
    Json,
    Csv(Dialect),
    Raw,
}

impl Values {
    pub(crate) fn of(config: &Config) -> Result<Self, Diagnostic> {
        let format = config.text("format").map_or("json", String::as_str);
        match (format, config.object("csv")) {
            ("csv", Some(keys)) => {
                csv::dialect(keys).map(|dialect| Self::Csv(Dialect { header: false, ..dialect }))
            }
            ("csv", None) => Ok(Self::Csv(Dialect { header: false, ..Dialect::default() })),
            (format, Some(_)) => {
                let message = format!("`csv` has no meaning for the format {format}");
                Err(config
                    .blame("csv", Diagnostic::new(&codes::BAD_VALUE, message).help("add `format: csv`")))
            }
            ("raw", None) => Ok(Self::Raw),
            _ => Ok(Self::Json),
        }
    }
}

/// How the cluster is reached, and what `properties` change.
#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    pub(crate) config: acme_kafka::Config,
    pub(crate) consumer: ConsumerSettings,
    pub(crate) producer: ProducerSettings,
    /// It is the log of this machine.
    is_local: bool,
    /// Where the brokers and the properties stand.
    at: Place,
    properties_at: Place,
    /// How long it is waited for the first answer of a look.
    patience: Duration,
}

/// Properties that a pipeline says in another way.
const ELSEWHERE: [(&str, &str); 4] = [
    ("bootstrap.servers", "name them under `brokers`"),
    ("group.id", "say it as `group_id`"),
    ("transactional.id", "leave it out: Acme names the transactions of each worker by itself"),
    ("auto.offset.reset", "say it as `start_offset`, which counts once; nothing is reset later"),
];

impl Cluster {
    pub(crate) fn of(config: &Config, context: &Context) -> Result<Self, Diagnostic> {
        let values = || config.map("properties").into_iter().flatten();
        let place =
            |name: &str| values().find(|(given, _)| given == name).map_or(&config.at, |(_, value)| &value.at);
        let bad = |name: &str, message: String, help: Option<String>| {
            let diagnostic = Diagnostic::new(&codes::BAD_VALUE, message).at(place(name));
            match help {
                Some(help) => diagnostic.help(help),
                None => diagnostic,
            }
        };
        let mut properties = Properties::default();
        for (name, value) in values() {
            if let Some((_, instead)) = ELSEWHERE.iter().find(|(elsewhere, _)| elsewhere == name) {
                return Err(bad(
                    name,
                    format!("\"{name}\" is not a property here"),
                    Some((*instead).to_owned()),
                ));
            }
            if let ValueKind::Secret(value) = &value.kind {
                properties.set(name, value.reveal());
            }
        }
        // One at a time: a connector reports one mistake of its keys.
        let Settings { mut client, consumer, producer, notes } = properties.settings().map_err(|faults| {
            let Fault { name, message, help } = faults.into_iter().next().expect("there is one");
            bad(&name, message, help)
        })?;
        let lossy = [
            ("acks", producer.acks.is_some_and(|acks| acks != -1), "an acknowledged record could be lost"),
            (
                "enable.idempotence",
                producer.enable_idempotence == Some(false),
                "a retry could write a record twice",
            ),
            (
                "max.in.flight.requests.per.connection",
                producer.max_in_flight.is_some_and(|requests| requests > 5),
                "a retry could write a record twice: brokers remember five batches",
            ),
        ];
        if let Some((name, _, why)) = lossy.into_iter().find(|(_, is_set, _)| *is_set) {
            return Err(bad(
                name,
                format!("with this value of \"{name}\" {why}"),
                Some("remove it".to_owned()),
            ));
        }
        for note in notes {
            context.notes.add(Diagnostic::warning(&codes::BAD_VALUE, note).at(config.place("properties")));
        }
        let is_local = config.get("brokers").is_none();
        if is_local {
            client = local(client, config, context)?;
        } else {
            client.bootstrap = config.texts("brokers").map(str::to_owned).collect();
        }
        if !values().any(|(name, _)| name == "client.id") {
            client.client_id = format!("acme-{}-{}", context.pipeline, context.item);
        }
        client.check().map_err(|error| {
            config.blame(
                "brokers",
                Diagnostic::new(&codes::BAD_VALUE, error.to_string())
                    .help("write each broker as `host:port`"),
            )
        })?;
        let patient = values().any(|(name, _)| name == "default.api.timeout.ms");
        let patience = if patient { client.operation_timeout } else { PATIENCE };
        let (at, properties_at) = (config.place("brokers").clone(), config.place("properties").clone());
        Ok(Self { config: client, consumer, producer, is_local, at, properties_at, patience })
    }

    /// How records are fetched.
    pub(crate) fn fetch(&self) -> FetchOptions {
        let (given, default) = (&self.consumer, FetchOptions::default());
        FetchOptions {
            rack: given.client_rack.clone(),
            isolation: given.isolation_level.unwrap_or(default.isolation),
            max_wait: given.fetch_max_wait.unwrap_or(default.max_wait),
            min_bytes: given.fetch_min_bytes.unwrap_or(default.min_bytes),
            max_bytes: given.fetch_max_bytes.unwrap_or(default.max_bytes),
            partition_max_bytes: given.max_partition_fetch_bytes.unwrap_or(default.partition_max_bytes),
            ..default
        }
    }

    /// How a member of the group is.
    pub(crate) fn member(&self, group: &str, subscription: Subscription) -> MemberOptions {
        let given = &self.consumer;
        let mut options = MemberOptions::new(group, subscription);
        let assignors: Vec<Assignor> =
            given.partition_assignment_strategy.iter().filter_map(|name| Assignor::named(name)).collect();
        if given.group_protocol.as_deref() == Some("consumer") {
            options.protocol = Protocol::Consumer(given.group_remote_assignor.clone());
        } else if !assignors.is_empty() {
            options.protocol = Protocol::Classic(assignors);
        }
        options.instance_id = given.group_instance_id.clone();
        options.session_timeout = given.session_timeout.unwrap_or(options.session_timeout);
        options.heartbeat_interval = given.heartbeat_interval.unwrap_or(options.heartbeat_interval);
        options.rebalance_timeout = given.max_poll_interval.unwrap_or(options.rebalance_timeout);
        options
    }

    pub(crate) async fn connect(&self) -> Result<Client, Diagnostic> {
        self.connect_with(self.config.clone(), self.config.operation_timeout).await
    }

    /// As the worker of this name: its client id says so.
    pub(crate) async fn connect_as(&self, worker: &str) -> Result<Client, Diagnostic> {
        let mut config = self.config.clone();
        config.client_id = crate::worker::client_id(&config.client_id, worker);
        self.connect_with(config, self.config.operation_timeout).await
    }

    /// The same before anything runs: who does not answer soon is named, rather than waited for.
    pub(crate) async fn look(&self) -> Result<Client, Diagnostic> {
        self.connect_with(self.config.clone(), self.patience).await
    }

    async fn connect_with(
        &self,
        config: acme_kafka::Config,
        patience: Duration,
    ) -> Result<Client, Diagnostic> {
        let client = Client::connect_within(config, patience).await;
        client.map_err(|error| {
            let at = match error {
                Error::Auth { .. } | Error::Tls { .. } => &self.properties_at,
                _ => &self.at,
            };
            let what = match self.is_local {
                true => "reach the log of this machine".to_owned(),
                false => format!("reach Kafka at {}", self.config.bootstrap.join(", ")),
            };
            fault(&what, &error).at(at)
        })
    }
}

/// The client for the log of this machine: every connection is one to that.
fn local(
    client: acme_kafka::Config,
    config: &Config,
    context: &Context,
) -> Result<acme_kafka::Config, Diagnostic> {
    let missing = |message: &'static str, help: &'static str| {
        Err(Diagnostic::new(&codes::BAD_VALUE, message).at(&config.at).help(help))
    };
    let Some(log) = context.log.clone() else {
        return missing("`brokers` is missing", "name some brokers of the cluster, each as `host:port`");
    };
    if client.security.tls.is_some() || client.security.sasl.is_some() {
        return missing(
            "the log of this machine is reached without encryption and login",
            "remove these properties, or name the `brokers` that they are for",
        );
    }
    let world = World::Simulated(Arc::new(Local(move || log.dial())));
    Ok(acme_kafka::Config { bootstrap: vec![LOCAL.to_owned()], world, ..client })
}
