//! Kafka's own client properties, by the names that its documentation gives them.
//!
//! What means something to this client acts; what only means something to a Java process is accepted with a note; everything
//! else is an error with the nearest known name. Names and defaults: the configuration reference of Apache Kafka 4.1.

mod jaas;
mod table;

use crate::config::{Config, Identity, Pem, Security, Tls};
use crate::fetch::FetchOptions;
use crate::group::{Assignor, MemberOptions, Protocol};
use crate::offsets::Isolation;
use crate::records::Compression;
use acme_types::Secret;
use std::time::Duration;
use table::Use;

/// A property that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Its name.
    pub name: String,
    /// Why, in one clause; no value is shown.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

/// Properties that were understood.
#[derive(Clone, Debug, Default)]
pub struct Properties {
    given: Vec<(String, String)>,
    /// What is accepted and does nothing, with the reason.
    pub notes: Vec<(String, &'static str)>,
}

/// Settings of a producer that properties can change; `None` leaves the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProducerProperties {
    /// `linger.ms`
    pub linger: Option<Duration>,
    /// `batch.size`
    pub batch_bytes: Option<usize>,
    /// `compression.type`
    pub compression: Option<Compression>,
    /// `max.request.size`
    pub request_bytes_max: Option<usize>,
    /// `delivery.timeout.ms`
    pub delivery_timeout: Option<Duration>,
    /// `max.in.flight.requests.per.connection`
    pub in_flight: Option<usize>,
    /// `buffer.memory`
    pub buffer_bytes: Option<usize>,
    /// `transaction.timeout.ms`
    pub transaction_timeout: Option<Duration>,
}

impl Properties {
    /// Checks names and values.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn parse(given: Vec<(String, String)>) -> Result<Self, Vec<Fault>> {
        let (mut notes, mut faults) = (Vec::new(), Vec::new());
        for (name, _) in &given {
            match table::find(name) {
                Some(Use::Acts) => {}
                Some(Use::Note(reason)) => notes.push((name.clone(), reason)),
                Some(Use::Elsewhere(instead)) => faults.push(Fault {
                    name: name.clone(),
                    message: format!("\"{name}\" is not set here"),
                    help: Some(instead.to_owned()),
                }),
                None => faults.push(Fault {
                    name: name.clone(),
                    message: format!("Kafka's clients have no property \"{name}\""),
                    help: table::nearest(name).map(|near| format!("did you mean \"{near}\"?")),
                }),
            }
        }
        let this = Self { given, notes };
        let mut probe = Config::new(["127.0.0.1:9092"]);
        this.check(&mut faults, |this| this.client(&mut probe));
        this.check(&mut faults, |this| this.fetch(&mut FetchOptions::default()));
        let nothing = crate::group::Subscription::topics(Vec::<String>::new());
        this.check(&mut faults, |this| this.member(&mut MemberOptions::new("", nothing)));
        this.check(&mut faults, |this| this.producer().map(drop));
        if faults.is_empty() { Ok(this) } else { Err(faults) }
    }

    fn check(&self, faults: &mut Vec<Fault>, read: impl FnOnce(&Self) -> Result<(), Fault>) {
        faults.extend(read(self).err());
    }

    fn get(&self, name: &str) -> Option<&str> {
        // As in a properties file, the last one counts.
        self.given.iter().rev().find(|(given, _)| given == name).map(|(_, value)| value.trim())
    }

    fn number<T: TryFrom<i64>>(&self, name: &str, least: i64) -> Result<Option<T>, Fault> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let number = text.parse().ok().filter(|number: &i64| *number >= least);
        match number.and_then(|number| T::try_from(number).ok()) {
            Some(number) => Ok(Some(number)),
            None => Err(fault(name, format!("\"{name}\" must be a whole number of at least {least}"), None)),
        }
    }

    fn millis(&self, name: &str, into: &mut Duration) -> Result<(), Fault> {
        if let Some(ms) = self.number(name, 1)? {
            *into = Duration::from_millis(ms);
        }
        Ok(())
    }

    fn word<'a>(&'a self, name: &str, allowed: &[&str]) -> Result<Option<&'a str>, Fault> {
        let Some(word) = self.get(name) else { return Ok(None) };
        match allowed.iter().find(|allowed| allowed.eq_ignore_ascii_case(word)) {
            Some(_) => Ok(Some(word)),
            None => {
                let help = format!("use one of {}", allowed.join(", "));
                Err(fault(name, format!("\"{word}\" is no value of \"{name}\""), Some(help)))
            }
        }
    }

    fn flag(&self, name: &str) -> Result<Option<bool>, Fault> {
        Ok(self.word(name, &["true", "false"])?.map(|word| word.eq_ignore_ascii_case("true")))
    }

    /// Settings of the connection.
    ///
    /// # Errors
    /// The first value that cannot be used.
    pub fn client(&self, config: &mut Config) -> Result<(), Fault> {
        if let Some(id) = self.get("client.id") {
            id.clone_into(&mut config.client_id);
        }
        self.millis("request.timeout.ms", &mut config.request_timeout)?;
        self.millis("default.api.timeout.ms", &mut config.operation_timeout)?;
        self.millis("socket.connection.setup.timeout.ms", &mut config.connect_timeout)?;
        self.millis("retry.backoff.ms", &mut config.retry_backoff)?;
        self.millis("retry.backoff.max.ms", &mut config.retry_backoff_max)?;
        self.millis("metadata.max.age.ms", &mut config.metadata_max_age)?;
        let protocols = ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"];
        let protocol =
            self.word("security.protocol", &protocols)?.unwrap_or("PLAINTEXT").to_ascii_uppercase();
        config.security = Security {
            tls: if protocol.ends_with("SSL") { Some(self.tls()?) } else { None },
            sasl: if protocol.starts_with("SASL") { Some(self.sasl()?) } else { None },
        };
        let stray = |prefix: &str| {
            self.given
                .iter()
                .map(|(name, _)| name)
                .find(|name| name.starts_with(prefix) && matches!(table::find(name), Some(Use::Acts)))
        };
        for (given, prefix, needed) in [
            (config.security.tls.is_some(), "ssl.", "SSL or SASL_SSL"),
            (config.security.sasl.is_some(), "sasl.", "SASL_SSL or SASL_PLAINTEXT"),
        ] {
            if let (false, Some(name)) = (given, stray(prefix)) {
                let message = format!("\"{name}\" has no effect, as security.protocol is {protocol}");
                return Err(fault(
                    name,
                    message,
                    Some(format!("set security.protocol to {needed}, or remove it")),
                ));
            }
        }
        Ok(())
    }

    fn tls(&self) -> Result<Tls, Fault> {
        for store in ["ssl.truststore", "ssl.keystore"] {
            let (kind, location) = (format!("{store}.type"), format!("{store}.location"));
            let is_pem = self.get(&kind).is_some_and(|kind| kind.eq_ignore_ascii_case("PEM"));
            let looks_pem =
                self.get(&location).is_some_and(|path| path.ends_with(".pem") || path.ends_with(".crt"));
            if self.get(&location).is_some() && !is_pem && !looks_pem {
                let message = format!("\"{location}\" names a Java key store, which only Java reads");
                let help = format!(
                    "convert it with `keytool -importkeystore -deststoretype PKCS12` and `openssl pkcs12`, and set {kind} to PEM"
                );
                return Err(fault(&location, message, Some(help)));
            }
        }
        if self.get("ssl.key.password").is_some() {
            let help = "decrypt the key with `openssl pkey`, keep the file readable by its user only, and remove the password";
            return Err(fault(
                "ssl.key.password",
                "encrypted keys are not read".to_owned(),
                Some(help.to_owned()),
            ));
        }
        let pem = |text: &str, path: &str| {
            let text = self.get(text).map(|text| Pem::Text(Secret::new(text.to_owned())));
            text.or_else(|| self.get(path).map(|path| Pem::File(path.to_owned())))
        };
        let identity = match (
            pem("ssl.keystore.certificate.chain", "ssl.keystore.location"),
            pem("ssl.keystore.key", "ssl.keystore.location"),
        ) {
            (Some(certificates), Some(key)) => Some(Identity { certificates, key }),
            (None, None) => None,
            (has_chain, _) => {
                let (given, missing) = match has_chain {
                    Some(_) => ("ssl.keystore.certificate.chain", "ssl.keystore.key"),
                    None => ("ssl.keystore.key", "ssl.keystore.certificate.chain"),
                };
                return Err(fault(given, format!("\"{given}\" needs \"{missing}\""), None));
            }
        };
        let verify_host = match self.get("ssl.endpoint.identification.algorithm") {
            None => true,
            Some(word) if word.eq_ignore_ascii_case("https") => true,
            Some("") => false,
            Some(_) => {
                let name = "ssl.endpoint.identification.algorithm";
                return Err(fault(name, format!("\"{name}\" is `https`, or empty for no check"), None));
            }
        };
        Ok(Tls {
            authorities: pem("ssl.truststore.certificates", "ssl.truststore.location"),
            identity,
            verify_host,
        })
    }

    /// Settings of reading.
    ///
    /// # Errors
    /// The first value that cannot be used.
    pub fn fetch(&self, options: &mut FetchOptions) -> Result<(), Fault> {
        self.millis("fetch.max.wait.ms", &mut options.max_wait)?;
        for (name, into) in [
            ("fetch.min.bytes", &mut options.min_bytes),
            ("fetch.max.bytes", &mut options.max_bytes),
            ("max.partition.fetch.bytes", &mut options.partition_max_bytes),
        ] {
            *into = self.number(name, 1)?.unwrap_or(*into);
        }
        options.check_crcs = self.flag("check.crcs")?.unwrap_or(options.check_crcs);
        if let Some(level) = self.word("isolation.level", &["read_committed", "read_uncommitted"])? {
            let committed = level.eq_ignore_ascii_case("read_committed");
            options.isolation = if committed { Isolation::ReadCommitted } else { Isolation::ReadUncommitted };
        }
        Ok(())
    }

    /// Settings of a member of a group.
    ///
    /// # Errors
    /// The first value that cannot be used.
    pub fn member(&self, options: &mut MemberOptions) -> Result<(), Fault> {
        self.millis("session.timeout.ms", &mut options.session_timeout)?;
        self.millis("heartbeat.interval.ms", &mut options.heartbeat_interval)?;
        self.millis("max.poll.interval.ms", &mut options.rebalance_timeout)?;
        self.millis("metadata.max.age.ms", &mut options.metadata_interval)?;
        options.instance_id = self.get("group.instance.id").map(str::to_owned);
        let consumer = self.word("group.protocol", &["classic", "consumer"])?;
        if consumer.is_some_and(|word| word.eq_ignore_ascii_case("consumer")) {
            options.protocol = Protocol::Consumer(self.get("group.remote.assignor").map(str::to_owned));
            if let Some((name, _)) = self.given.iter().find(|(name, _)| {
                ["session.timeout.ms", "heartbeat.interval.ms", "partition.assignment.strategy"]
                    .contains(&name.as_str())
            }) {
                let message =
                    format!("\"{name}\" has no effect with group.protocol=consumer: the broker decides");
                return Err(fault(name, message, Some("remove it".to_owned())));
            }
        } else if let Some(classes) = self.get("partition.assignment.strategy") {
            let name = "partition.assignment.strategy";
            let assignor = |class: &str| {
                let class = class.trim().trim_start_matches("org.apache.kafka.clients.consumer.");
                match class {
                    "CooperativeStickyAssignor" => Some(Assignor::CooperativeSticky),
                    "RangeAssignor" => Some(Assignor::Range),
                    "RoundRobinAssignor" => Some(Assignor::RoundRobin),
                    other => Assignor::named(other),
                }
            };
            let assignors: Option<Vec<Assignor>> = classes.split(',').map(assignor).collect();
            let assignors = assignors.ok_or_else(|| {
                let help = "use CooperativeStickyAssignor, RangeAssignor or RoundRobinAssignor";
                fault(name, "an assignor is not known".to_owned(), Some(help.to_owned()))
            })?;
            options.protocol = Protocol::Classic(assignors);
        }
        if options.heartbeat_interval >= options.session_timeout {
            let message = "\"heartbeat.interval.ms\" must be less than session.timeout.ms".to_owned();
            return Err(fault("heartbeat.interval.ms", message, Some("a third of it is usual".to_owned())));
        }
        Ok(())
    }

    /// Settings of writing.
    ///
    /// # Errors
    /// The first value that cannot be used.
    pub fn producer(&self) -> Result<ProducerProperties, Fault> {
        let span =
            |name: &str, least| self.number(name, least).map(|ms: Option<u64>| ms.map(Duration::from_millis));
        if let Some(acks) = self.word("acks", &["all", "-1", "0", "1"])?
            && matches!(acks, "0" | "1")
        {
            let message = format!("\"acks\" is {acks}, so that an acknowledged record could be lost");
            return Err(fault(
                "acks",
                message,
                Some("remove it: records are acknowledged by all replicas in sync".to_owned()),
            ));
        }
        if self.flag("enable.idempotence")? == Some(false) {
            let message =
                "\"enable.idempotence\" is false, so that a retry could write a record twice".to_owned();
            return Err(fault("enable.idempotence", message, Some("remove it".to_owned())));
        }
        let in_flight = self.number("max.in.flight.requests.per.connection", 1)?;
        if in_flight.is_some_and(|requests: usize| requests > 5) {
            let name = "max.in.flight.requests.per.connection";
            return Err(fault(name, format!("\"{name}\" is at most 5: brokers remember five batches"), None));
        }
        let compression = self.word("compression.type", &["none", "gzip", "snappy", "lz4", "zstd"])?;
        Ok(ProducerProperties {
            linger: span("linger.ms", 0)?,
            batch_bytes: self.number("batch.size", 1)?,
            compression: compression.and_then(|word| Compression::named(&word.to_ascii_lowercase())),
            request_bytes_max: self.number("max.request.size", 1)?,
            delivery_timeout: span("delivery.timeout.ms", 1)?,
            in_flight,
            buffer_bytes: self.number("buffer.memory", 1)?,
            transaction_timeout: span("transaction.timeout.ms", 1)?,
        })
    }
}

fn fault(name: &str, message: String, help: Option<String>) -> Fault {
    Fault { name: name.to_owned(), message, help }
}

/// Reads a properties file as `java.util.Properties` does: `name=value`, `name: value`, comments by `#` and `!`, a line that
/// ends in `\` goes on.
#[must_use]
pub fn read_file(text: &str) -> Vec<(String, String)> {
    let mut lines = text.lines();
    let mut pairs = Vec::new();
    while let Some(line) = lines.next() {
        let mut line = line.trim_start().to_owned();
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        while ends_open(&line) {
            line.pop();
            line.push_str(lines.next().unwrap_or_default().trim_start());
        }
        let end = line.find(['=', ':', ' ', '\t']).unwrap_or(line.len());
        let (name, rest) = line.split_at(end);
        let rest = rest.trim_start();
        let value = rest.strip_prefix(['=', ':']).unwrap_or(rest).trim_start();
        pairs.push((name.to_owned(), unescaped(value)));
    }
    pairs
}

fn ends_open(line: &str) -> bool {
    line.chars().rev().take_while(|c| *c == '\\').count() % 2 == 1
}

fn unescaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some('r') => out.push('\r'),
                Some(other) => out.push(other),
                None => {}
            },
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests;
