//! `acme server`: the embedded log, for any client of Kafka.

use super::note;
use crate::log::{self, Storage};
use acme_broker::{Broker, Error as StartError, Options, Tls};
use acme_types::{Diagnostic, Secret, codes};
use clap::Args;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// A durable log in one process that Kafka's clients take for Kafka: `kcat -b 127.0.0.1:9092 -L`.
///
/// What is acknowledged is on the disk. A second server on the same directory is refused; SIGTERM ends it in order, and after
/// SIGKILL everything that was acknowledged is there again. It listens on the loopback alone; elsewhere it wants TLS and
/// users, or --expose.
#[derive(Args)]
pub(super) struct Server {
    /// The directory of the data; made if it is not there. Default: this machine's log, which pipelines use where they name
    /// no brokers.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where to listen.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9092")]
    listen: SocketAddr,
    /// The host and port that clients are told, if they reach this server by another name.
    #[arg(long, value_name = "HOST:PORT", value_parser = advertised)]
    advertise: Option<(String, u16)>,
    /// Speak TLS with this chain of certificates, in PEM.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_certificates: Option<PathBuf>,
    /// The key of the first of them, in PEM.
    #[arg(long, value_name = "FILE", requires = "tls_certificates")]
    tls_key: Option<PathBuf>,
    /// Let in only who is in this file, a line `name:password` each (SASL PLAIN).
    #[arg(long, value_name = "FILE")]
    users: Option<PathBuf>,
    /// Listen elsewhere than on the loopback even without TLS and users: whoever reaches the address reads and writes.
    #[arg(long)]
    expose: bool,
    /// A setting by the name that Kafka gives it, as num.partitions=3 or log.retention.ms=86400000. May be repeated.
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = setting)]
    settings: Vec<(String, String)>,
}

fn advertised(text: &str) -> Result<(String, u16), String> {
    let parts = text.rsplit_once(':').and_then(|(host, port)| Some((host.to_owned(), port.parse().ok()?)));
    parts.ok_or_else(|| "it is a host and a port, as log.example:9092".to_owned())
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("it is a name, `=` and a value")?;
    Ok((name.to_owned(), value.to_owned()))
}

impl Server {
    pub(super) fn execute(self) -> Result<(), Vec<Diagnostic>> {
        let one = |diagnostic| vec![diagnostic];
        let (options, storage) = self.options()?;
        let runtime = super::run::runtime().map_err(one)?;
        runtime.block_on(async {
            let fault = |error: std::io::Error| {
                Diagnostic::new(&codes::INTERNAL, format!("cannot listen for signals: {error}"))
            };
            let mut term = signal(SignalKind::terminate()).map_err(|error| one(fault(error)))?;
            let mut int = signal(SignalKind::interrupt()).map_err(|error| one(fault(error)))?;
            let data = self.data.clone().unwrap_or_else(log::directory);
            let place = data.clone();
            let opened = tokio::task::spawn_blocking(move || log::open(&place, storage));
            let log = opened.await.expect("opening a log does not panic");
            let log = log.map_err(|error| one(log::refused(&error)))?;
            let broker = Broker::start(log.clone(), options).await.map_err(|error| one(refused(&error)))?;
            let address = broker.address().expect("it listens");
            log::announce(&data, address).map_err(one)?;
            note(&format!("acme server: listening on {address}, data in {}\n", data.display()));
            tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
            broker.stop().await;
            log::retract(&data);
            let closed = tokio::task::spawn_blocking(move || log.close()).await;
            closed.expect("closing a log does not panic");
            note("acme server: stopped\n");
            Ok(())
        })
    }

    /// How the broker is to be run, and how its log is kept.
    fn options(&self) -> Result<(Options, Storage), Vec<Diagnostic>> {
        let mut options = Options {
            listen: Some(self.listen),
            advertised: self.advertise.clone(),
            exposed: self.expose,
            warn: Arc::new(|text| note(&format!("acme server: {text}\n"))),
            ..Options::default()
        };
        if let (Some(certificates), Some(key)) = (&self.tls_certificates, &self.tls_key) {
            options.tls = Some(Tls { certificates: certificates.clone(), key: key.clone() });
        }
        if let Some(path) = &self.users {
            options.users = users(path).map_err(|diagnostic| vec![diagnostic])?;
        }
        let (mut storage, mut faults) = (Storage::default(), Vec::new());
        for (name, value) in &self.settings {
            if let Err(reason) = set(&mut options, &mut storage, name, value) {
                let message = format!("--set {name}: {reason}");
                faults.push(Diagnostic::new(&codes::BAD_VALUE, message));
            }
        }
        if faults.is_empty() { Ok((options, storage)) } else { Err(faults) }
    }
}

fn refused(error: &StartError) -> Diagnostic {
    match error {
        StartError::Exposed(_) => Diagnostic::new(&codes::BAD_VALUE, error.to_string()).help(
            "give it --tls-certificates, --tls-key and --users, or say --expose if everybody who reaches it may read and write",
        ),
        StartError::Listen(..) => Diagnostic::new(&codes::LISTEN, error.to_string())
            .help("choose another address with --listen, or stop what listens there"),
        _ => Diagnostic::new(&codes::BAD_VALUE, error.to_string()),
    }
}

fn users(path: &Path) -> Result<BTreeMap<String, Secret>, Diagnostic> {
    let fault =
        |reason: String| Diagnostic::new(&codes::BAD_VALUE, format!("--users {}: {reason}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| fault(error.to_string()))?;
    let mut users = BTreeMap::new();
    let lines = text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty() && !line.starts_with('#'));
    for (line, number) in lines {
        let pair = line.split_once(':').filter(|(name, password)| !name.is_empty() && !password.is_empty());
        let (name, password) = pair.ok_or_else(|| fault(format!("line {number} is not `name:password`")))?;
        users.insert(name.to_owned(), Secret::new(password.to_owned()));
    }
    if users.is_empty() { Err(fault("there is nobody in it".to_owned())) } else { Ok(users) }
}

/// One of Kafka's settings of a broker: ours, or the default of one of a topic's.
fn set(options: &mut Options, storage: &mut Storage, name: &str, value: &str) -> Result<(), String> {
    fn number<T: std::str::FromStr>(value: &str) -> Result<T, String> {
        value.parse().map_err(|_| format!("{value} is not a number that it can be"))
    }
    let period = |value: &str| number::<u64>(value).map(|ms| Duration::from_millis(ms.max(1)));
    let flag = |value: &str| value.parse::<bool>().map_err(|_| format!("{value} is neither true nor false"));
    match name {
        "auto.create.topics.enable" => options.auto_create_topics = flag(value)?,
        "num.partitions" => options.partitions = number::<u32>(value)?.max(1),
        "replication.strict" => options.replication_strict = flag(value)?,
        "max.connections" => options.connections_max = number(value)?,
        "max.connections.per.ip" => options.per_address_max = number(value)?,
        "socket.request.max.bytes" => options.produce_bytes_max = number(value)?,
        "fetch.max.bytes" => options.fetch_bytes_max = number(value)?,
        "max.incremental.fetch.session.cache.slots" => options.sessions_max = number(value)?,
        "connections.max.idle.ms" => options.idle = Duration::from_millis(number(value)?),
        "log.retention.check.interval.ms" => storage.housekeeping = Some(period(value)?),
        "log.flush.offset.checkpoint.interval.ms" => storage.checkpoint = Some(period(value)?),
        _ => {
            let known = acme_log::settings::KNOWN.iter().find(|known| known.broker_name == name);
            let known = known.ok_or("there is no such setting")?;
            acme_log::settings::check(known.name, value).map_err(|fault| fault.to_string())?;
            storage.defaults.insert(known.name.to_owned(), value.to_owned());
        }
    }
    Ok(())
}
