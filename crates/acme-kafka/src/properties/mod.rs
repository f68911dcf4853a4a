//! Kafka's own client properties (`security.protocol`, `sasl.jaas.config`, `fetch.min.bytes` …), word for word.
//!
//! What means something here acts; what only concerns Java's client is accepted with a note; what nobody knows is an
//! error with the nearest name. All faults are reported, not the first.

mod file;
mod jaas;
mod security;
mod table;

use crate::config::Config;
use crate::offsets::Isolation;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;
use table::{Use, known, nearest};

/// Names and values in the order in which they were given; of a name that occurs twice, the last value counts.
#[derive(Clone, Default)]
pub struct Properties {
    entries: Vec<(String, String)>,
}

/// One property that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The property.
    pub name: String,
    /// What is wrong with it, without any secret.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// What the properties say.
#[derive(Clone, Debug)]
pub struct Settings {
    /// For every client.
    pub client: Config,
    /// For consumers; what is not set is none.
    pub consumer: ConsumerSettings,
    /// For producers; what is not set is none.
    pub producer: ProducerSettings,
    /// One sentence for each property that was accepted and means nothing here.
    pub notes: Vec<String>,
}

/// Properties of consumers, as far as they were given.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "each field is the property of the same name")]
pub struct ConsumerSettings {
    pub group_id: Option<String>,
    pub group_instance_id: Option<String>,
    /// `classic` or `consumer`.
    pub group_protocol: Option<String>,
    pub group_remote_assignor: Option<String>,
    /// Short names such as `range` or `cooperative-sticky`.
    pub partition_assignment_strategy: Vec<String>,
    pub auto_offset_reset: Option<Reset>,
    pub isolation_level: Option<Isolation>,
    pub fetch_min_bytes: Option<i32>,
    pub fetch_max_bytes: Option<i32>,
    pub fetch_max_wait: Option<Duration>,
    pub max_partition_fetch_bytes: Option<i32>,
    pub session_timeout: Option<Duration>,
    pub heartbeat_interval: Option<Duration>,
    pub max_poll_interval: Option<Duration>,
    pub client_rack: Option<String>,
}

/// Where a consumer begins without a committed offset (`auto.offset.reset`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    /// At the first record that there is.
    Earliest,
    /// With what comes from now on.
    Latest,
    /// Nowhere: it is an error.
    None,
    /// With what is not older than this (KIP-1106).
    ByDuration(Duration),
}

/// Properties of producers, as far as they were given.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "each field is the property of the same name")]
pub struct ProducerSettings {
    /// -1 for `all`.
    pub acks: Option<i16>,
    pub linger: Option<Duration>,
    pub batch_size: Option<usize>,
    /// `none`, `gzip`, `snappy`, `lz4` or `zstd`.
    pub compression_type: Option<String>,
    pub delivery_timeout: Option<Duration>,
    pub max_request_size: Option<usize>,
    pub buffer_memory: Option<usize>,
    pub max_in_flight: Option<usize>,
    pub enable_idempotence: Option<bool>,
    pub transactional_id: Option<String>,
    pub transaction_timeout: Option<Duration>,
}

impl Properties {
    /// Reads the text of a `.properties` file: `name=value`, `name: value`, comments, continued lines, escapes.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Self { entries: file::entries(text) }
    }

    /// Sets a property.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.entries.push((name.into(), value.into()));
    }

    /// The value of a property.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.entries.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// What the properties mean together. `bootstrap.servers` may be missing: then the list is empty.
    ///
    /// # Errors
    /// All faults, in the order of the properties.
    pub fn settings(&self) -> Result<Settings, Vec<Fault>> {
        let mut reading = Reading { properties: self, faults: Vec::new() };
        let servers = reading.properties.get("bootstrap.servers").unwrap_or_default();
        let mut client = Config::new(list(servers));
        let mut notes = Vec::new();
        for (name, _) in &self.entries {
            match known(name) {
                Some(Use::Acts) => {}
                Some(Use::Ignored(why)) => notes.push(format!("{name} has no effect: {why}")),
                None => reading.unknown(name),
            }
        }
        reading.common(&mut client);
        client.security = reading.security();
        let (consumer, producer) = (reading.consumer(), reading.producer());
        if reading.faults.is_empty() {
            Ok(Settings { client, consumer, producer, notes })
        } else {
            Err(reading.faults)
        }
    }
}

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.entries.iter().map(|(name, _)| name)).finish()
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Properties {
    fn from_iter<T: IntoIterator<Item = (N, V)>>(pairs: T) -> Self {
        Self { entries: pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect() }
    }
}

/// The parts of a list with commas.
fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty())
}

struct Reading<'a> {
    properties: &'a Properties,
    faults: Vec<Fault>,
}

impl<'a> Reading<'a> {
    fn text(&self, name: &str) -> Option<&'a str> {
        self.properties.get(name).map(str::trim)
    }

    fn owned(&self, name: &str) -> Option<String> {
        self.text(name).filter(|text| !text.is_empty()).map(str::to_owned)
    }

    fn fault(&mut self, name: &str, message: String, help: Option<String>) {
        self.faults.push(Fault { name: name.to_owned(), message, help });
    }

    fn unknown(&mut self, name: &str) {
        let help = nearest(name).map_or_else(
            || "only names of Kafka's own clients are taken here".to_owned(),
            |near| format!("did you mean \"{near}\"?"),
        );
        self.fault(name, format!("unknown property \"{name}\""), Some(help));
    }

    /// A number that is at least `least`.
    fn number<T: FromStr + PartialOrd + fmt::Display>(&mut self, name: &str, least: T) -> Option<T> {
        let text = self.text(name)?;
        let number = text.parse().ok().filter(|number| *number >= least);
        if number.is_none() {
            self.fault(name, format!("{name} is \"{text}\", which is no whole number from {least} on"), None);
        }
        number
    }

    fn millis(&mut self, name: &str) -> Option<Duration> {
        // Kafka's own limit for most of them is that of a signed integer.
        self.number::<u64>(name, 0).map(|ms| Duration::from_millis(ms.min(u64::from(u32::MAX))))
    }

    fn choice<T: Copy>(&mut self, name: &str, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text(name)?;
        let found = choices.iter().find(|(word, _)| word.eq_ignore_ascii_case(text));
        if found.is_none() {
            let words: Vec<&str> =
                choices.iter().map(|(word, _)| *word).filter(|it| !it.is_empty()).collect();
            let message = format!("{name} is \"{text}\", which is none of {}", words.join(", "));
            self.fault(name, message, None);
        }
        found.map(|(_, value)| *value)
    }

    fn flag(&mut self, name: &str) -> Option<bool> {
        self.choice(name, &[("true", true), ("false", false)])
    }

    fn common(&mut self, config: &mut Config) {
        if let Some(id) = self.owned("client.id") {
            config.client_id = id;
        }
        let mut time = |name: &str, field: &mut Duration| {
            if let Some(value) = self.millis(name) {
                *field = value;
            }
        };
        time("request.timeout.ms", &mut config.request_timeout);
        time("default.api.timeout.ms", &mut config.operation_timeout);
        time("socket.connection.setup.timeout.ms", &mut config.connect_timeout);
        time("retry.backoff.ms", &mut config.retry_backoff);
        time("retry.backoff.max.ms", &mut config.retry_backoff_max);
        time("metadata.max.age.ms", &mut config.metadata_max_age);
    }

    fn consumer(&mut self) -> ConsumerSettings {
        let isolation =
            [("read_uncommitted", Isolation::ReadUncommitted), ("read_committed", Isolation::ReadCommitted)];
        let protocol = self.choice("group.protocol", &[("classic", "classic"), ("consumer", "consumer")]);
        ConsumerSettings {
            group_id: self.owned("group.id"),
            group_instance_id: self.owned("group.instance.id"),
            group_protocol: protocol.map(str::to_owned),
            group_remote_assignor: self.owned("group.remote.assignor"),
            partition_assignment_strategy: self.assignors(),
            auto_offset_reset: self.reset(),
            isolation_level: self.choice("isolation.level", &isolation),
            fetch_min_bytes: self.number("fetch.min.bytes", 0),
            fetch_max_bytes: self.number("fetch.max.bytes", 0),
            fetch_max_wait: self.millis("fetch.max.wait.ms"),
            max_partition_fetch_bytes: self.number("max.partition.fetch.bytes", 0),
            session_timeout: self.millis("session.timeout.ms"),
            heartbeat_interval: self.millis("heartbeat.interval.ms"),
            max_poll_interval: self.millis("max.poll.interval.ms"),
            client_rack: self.owned("client.rack"),
        }
    }

    fn assignors(&mut self) -> Vec<String> {
        const NAME: &str = "partition.assignment.strategy";
        const ASSIGNORS: [(&str, &str); 8] = [
            ("RangeAssignor", "range"),
            ("CooperativeStickyAssignor", "cooperative-sticky"),
            ("RoundRobinAssignor", "roundrobin"),
            ("StickyAssignor", "sticky"),
            ("range", "range"),
            ("cooperative-sticky", "cooperative-sticky"),
            ("roundrobin", "roundrobin"),
            ("sticky", "sticky"),
        ];
        let mut names = Vec::new();
        for part in list(self.text(NAME).unwrap_or_default()) {
            let class = part.strip_prefix("org.apache.kafka.clients.consumer.").unwrap_or(part);
            match ASSIGNORS.iter().find(|(known, _)| *known == class) {
                Some((_, name)) => names.push((*name).to_owned()),
                None => {
                    let help = "use RangeAssignor or CooperativeStickyAssignor".to_owned();
                    self.fault(
                        NAME,
                        format!("{NAME} names \"{part}\", which only Java can load"),
                        Some(help),
                    );
                }
            }
        }
        names
    }

    fn reset(&mut self) -> Option<Reset> {
        const NAME: &str = "auto.offset.reset";
        let text = self.text(NAME)?;
        if let Some(duration) = text.strip_prefix("by_duration:") {
            let parsed = iso_duration(duration);
            if parsed.is_none() {
                let message = format!("{NAME} is \"{text}\", which is no duration such as by_duration:PT1H");
                self.fault(NAME, message, None);
            }
            return parsed.map(Reset::ByDuration);
        }
        self.choice(NAME, &[("earliest", Reset::Earliest), ("latest", Reset::Latest), ("none", Reset::None)])
    }

    fn producer(&mut self) -> ProducerSettings {
        let codecs = ["none", "gzip", "snappy", "lz4", "zstd"].map(|word| (word, word));
        ProducerSettings {
            acks: self.choice("acks", &[("all", -1), ("-1", -1), ("0", 0), ("1", 1)]),
            linger: self.millis("linger.ms"),
            batch_size: self.number("batch.size", 0),
            compression_type: self.choice("compression.type", &codecs).map(str::to_owned),
            delivery_timeout: self.millis("delivery.timeout.ms"),
            max_request_size: self.number("max.request.size", 0),
            buffer_memory: self.number("buffer.memory", 0),
            max_in_flight: self.number("max.in.flight.requests.per.connection", 1),
            enable_idempotence: self.flag("enable.idempotence"),
            transactional_id: self.owned("transactional.id"),
            transaction_timeout: self.millis("transaction.timeout.ms"),
        }
    }
}

/// A duration as ISO 8601 and `java.time.Duration` write it, without sign: `PnDTnHnMn.nS`.
#[must_use]
pub fn iso_duration(text: &str) -> Option<Duration> {
    let upper = text.to_ascii_uppercase();
    let rest = upper.strip_prefix('P')?;
    let (days, time) = match rest.split_once('T') {
        Some((_, "")) => return None,
        Some((days, time)) => (days, time),
        None => (rest, ""),
    };
    let mut seconds = 0.0_f64;
    let mut found = false;
    let mut take = |mut part: &str, units: &[(char, f64)]| -> Option<()> {
        for (unit, length) in units {
            if let Some((number, rest)) = part.split_once(*unit) {
                let plain = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
                // Only seconds may have a fraction.
                if !plain || number.is_empty() || (*unit != 'S' && number.contains('.')) {
                    return None;
                }
                seconds += number.parse::<f64>().ok()? * length;
                found = true;
                part = rest;
            }
        }
        part.is_empty().then_some(())
    };
    take(days, &[('D', 86_400.0)])?;
    take(time, &[('H', 3_600.0), ('M', 60.0), ('S', 1.0)])?;
    if found { Duration::try_from_secs_f64(seconds).ok() } else { None }
}

#[cfg(test)]
mod tests;
