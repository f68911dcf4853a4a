//! What both sides of the connector are told alike: where the cluster is, and what a value is.

use crate::fault::fault;
use acme_connect::{Context, csv};
use acme_formats::csv::Dialect;
use acme_kafka::Client;
use acme_kafka::properties::{Fault, Properties};
use acme_types::{Config, Diagnostic, ValueKind, codes};

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
    pub(crate) properties: Properties,
}

impl Cluster {
    pub(crate) fn of(config: &Config, context: &Context) -> Result<Self, Diagnostic> {
        let mut given = Vec::new();
        for (name, value) in config.map("properties").into_iter().flatten() {
            if let ValueKind::Secret(value) = &value.kind {
                given.push((name.clone(), value.reveal().to_owned()));
            }
        }
        let place = |name: &str| {
            let values = config.map("properties").into_iter().flatten();
            values.clone().find(|(given, _)| given == name).map_or(&config.at, |(_, value)| &value.at)
        };
        let blame = |fault: Fault| {
            let diagnostic = Diagnostic::new(&codes::BAD_VALUE, fault.message).at(place(&fault.name));
            match fault.help {
                Some(help) => diagnostic.help(help),
                None => diagnostic,
            }
        };
        // One at a time: a connector reports one mistake of its keys.
        let properties = Properties::parse(given)
            .map_err(|faults| blame(faults.into_iter().next().expect("there is one")))?;
        let mut client = acme_kafka::Config::new(config.texts("brokers"));
        client.client_id = format!("acme-{}-{}", context.pipeline, context.item);
        properties.client(&mut client).map_err(blame)?;
        client.check().map_err(|error| {
            config.blame(
                "brokers",
                Diagnostic::new(&codes::BAD_VALUE, error.to_string())
                    .help("write each broker as `host:port`"),
            )
        })?;
        Ok(Self { config: client, properties })
    }

    pub(crate) async fn connect(&self) -> Result<Client, Diagnostic> {
        let client = Client::connect(self.config.clone()).await;
        client.map_err(|error| fault(&format!("reach Kafka at {}", self.config.bootstrap.join(", ")), &error))
    }
}
