//! The settings of a topic: Kafka's names, defaults and limits (4.1), and who has set what.
//!
//! What a single node with local storage cannot act on (replication, remote storage) is kept and shown.

use std::collections::BTreeMap;
use std::fmt;

/// The type of a value, as Kafka tells it to clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingKind {
    /// true or false
    Boolean,
    /// Text.
    Text,
    /// 32 bits.
    Int,
    /// 64 bits.
    Long,
    /// A fraction.
    Double,
    /// Words between commas.
    List,
}

/// Who has set a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The topic: DYNAMIC_TOPIC_CONFIG.
    Topic,
    /// The node's own defaults: STATIC_BROKER_CONFIG.
    Node,
    /// Nobody: DEFAULT_CONFIG.
    Default,
}

/// A setting that there is.
#[derive(Debug)]
pub struct Known {
    /// Its name on a topic.
    pub name: &'static str,
    /// Its name on a broker, where it is the default of topics.
    pub broker_name: &'static str,
    /// Its type.
    pub kind: SettingKind,
    /// Its default.
    pub default: &'static str,
    /// What else a value must be.
    limit: Limit,
}

#[derive(Debug)]
enum Limit {
    Any,
    AtLeast(i64),
    Between(f64, f64),
    OneOf(&'static [&'static str]),
    EachOf(&'static [&'static str]),
    Level(i64, i64),
    /// `*`, or pairs of numbers.
    Replicas,
}

use Limit::{Any, AtLeast, Between, EachOf, Level, OneOf, Replicas};
use SettingKind::{Boolean, Double, Int, List, Long, Text};

const fn known(
    name: &'static str,
    broker_name: &'static str,
    kind: SettingKind,
    default: &'static str,
    limit: Limit,
) -> Known {
    Known { name, broker_name, kind, default, limit }
}

const FOREVER: &str = "9223372036854775807";
const CODECS: &[&str] = &["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"];

/// All settings of topics, in the order of their names. Source: Kafka 4.1, "Topic Configs".
#[rustfmt::skip]
pub const KNOWN: &[Known] = &[
    known("cleanup.policy", "log.cleanup.policy", List, "delete", EachOf(&["compact", "delete"])),
    known("compression.gzip.level", "compression.gzip.level", Int, "-1", Level(1, 9)),
    known("compression.lz4.level", "compression.lz4.level", Int, "9", Level(1, 17)),
    known("compression.type", "compression.type", Text, "producer", OneOf(CODECS)),
    known("compression.zstd.level", "compression.zstd.level", Int, "3", Level(-131_072, 22)),
    known("delete.retention.ms", "log.cleaner.delete.retention.ms", Long, "86400000", AtLeast(0)),
    known("file.delete.delay.ms", "log.segment.delete.delay.ms", Long, "60000", AtLeast(0)),
    known("flush.messages", "log.flush.interval.messages", Long, FOREVER, AtLeast(1)),
    known("flush.ms", "log.flush.interval.ms", Long, FOREVER, AtLeast(0)),
    known("follower.replication.throttled.replicas", "", List, "", Replicas),
    known("index.interval.bytes", "log.index.interval.bytes", Int, "4096", AtLeast(0)),
    known("leader.replication.throttled.replicas", "", List, "", Replicas),
    known("local.retention.bytes", "log.local.retention.bytes", Long, "-2", AtLeast(-2)),
    known("local.retention.ms", "log.local.retention.ms", Long, "-2", AtLeast(-2)),
    known("max.compaction.lag.ms", "log.cleaner.max.compaction.lag.ms", Long, FOREVER, AtLeast(1)),
    known("max.message.bytes", "message.max.bytes", Int, "1048588", AtLeast(0)),
    known("message.timestamp.after.max.ms", "log.message.timestamp.after.max.ms", Long, "3600000", AtLeast(0)),
    known("message.timestamp.before.max.ms", "log.message.timestamp.before.max.ms", Long, FOREVER, AtLeast(0)),
    known("message.timestamp.type", "log.message.timestamp.type", Text, "CreateTime", OneOf(&["CreateTime", "LogAppendTime"])),
    known("min.cleanable.dirty.ratio", "log.cleaner.min.cleanable.ratio", Double, "0.5", Between(0.0, 1.0)),
    known("min.compaction.lag.ms", "log.cleaner.min.compaction.lag.ms", Long, "0", AtLeast(0)),
    known("min.insync.replicas", "min.insync.replicas", Int, "1", AtLeast(1)),
    known("preallocate", "log.preallocate", Boolean, "false", Any),
    known("remote.log.copy.disable", "", Boolean, "false", Any),
    known("remote.log.delete.on.disable", "", Boolean, "false", Any),
    known("remote.storage.enable", "", Boolean, "false", Any),
    known("retention.bytes", "log.retention.bytes", Long, "-1", Any),
    known("retention.ms", "log.retention.ms", Long, "604800000", AtLeast(-1)),
    known("segment.bytes", "log.segment.bytes", Int, "1073741824", AtLeast(1_048_576)),
    known("segment.index.bytes", "log.index.size.max.bytes", Int, "10485760", AtLeast(4)),
    known("segment.jitter.ms", "log.roll.jitter.ms", Long, "0", AtLeast(0)),
    known("segment.ms", "log.roll.ms", Long, "604800000", AtLeast(1)),
    known("unclean.leader.election.enable", "unclean.leader.election.enable", Boolean, "false", Any),
];

/// As Kafka's own, for tests: it replaces `segment.bytes` without its lower limit, and is never shown.
const SEGMENT_BYTES_INTERNAL: Known = known("internal.segment.bytes", "", Int, "", AtLeast(128));

/// A value that a setting cannot have, or a setting that there is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettingFault {
    /// There is no such setting.
    Unknown(String),
    /// Its value is not one. As Kafka says it.
    Invalid {
        /// The setting.
        name: String,
        /// The value.
        value: String,
        /// What it must be.
        reason: String,
    },
}

impl fmt::Display for SettingFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(name) => write!(f, "Unknown topic config name: {name}"),
            Self::Invalid { name, value, reason } => {
                write!(f, "Invalid value {value} for configuration {name}: {reason}")
            }
        }
    }
}

/// A setting as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Its name.
    pub name: &'static str,
    /// The name of the broker's setting that is its default; empty if there is none.
    pub broker_name: &'static str,
    /// The value in force.
    pub value: String,
    /// Who has set it.
    pub origin: Origin,
    /// Its type.
    pub kind: SettingKind,
    /// What the node sets, if it does.
    pub node_value: Option<String>,
    /// Kafka's default.
    pub default: &'static str,
}

/// The settings of a topic in force: those it was given, else the node's, else Kafka's.
#[derive(Clone, Debug)]
pub struct Settings {
    own: BTreeMap<String, String>,
    node: BTreeMap<String, String>,
    /// `cleanup.policy` has `compact`.
    pub compact: bool,
    /// `cleanup.policy` has `delete`.
    pub delete: bool,
    /// `compression.type`; `None` keeps what comes.
    pub compression: Option<acme_records::Compression>,
    /// The level of that compression, where the topic or the node sets one (`compression.gzip.level`, `compression.zstd.level`).
    pub compression_level: Option<i32>,
    /// `message.timestamp.type` is `LogAppendTime`.
    pub append_time: bool,
    /// `max.message.bytes`
    pub max_message_bytes: usize,
    /// Whether acknowledgements do not wait for the disk: `flush.messages` above 1 or `flush.ms` is set, by the topic or the node.
    pub relaxed: bool,
    /// `flush.messages`, records.
    pub flush_messages: i64,
    /// `flush.ms`
    pub flush_ms: i64,
    /// `segment.bytes`
    pub segment_bytes: u64,
    /// `segment.ms`
    pub segment_ms: i64,
    /// `segment.jitter.ms`
    pub segment_jitter_ms: i64,
    /// `index.interval.bytes`
    pub index_interval_bytes: u64,
    /// `retention.ms`, -1 for ever.
    pub retention_ms: i64,
    /// `retention.bytes`, -1 without limit.
    pub retention_bytes: i64,
    /// `delete.retention.ms`
    pub delete_retention_ms: i64,
    /// `min.compaction.lag.ms`
    pub min_compaction_lag_ms: i64,
    /// `max.compaction.lag.ms`
    pub max_compaction_lag_ms: i64,
    /// `min.cleanable.dirty.ratio`
    pub min_cleanable_ratio: f64,
    /// `message.timestamp.before.max.ms`
    pub before_max_ms: i64,
    /// `message.timestamp.after.max.ms`
    pub after_max_ms: i64,
}

impl Settings {
    /// Checks the topic's own settings and the node's; every fault is returned.
    ///
    /// # Errors
    /// What is unknown or out of its limits.
    pub fn new(
        own: BTreeMap<String, String>,
        node: &BTreeMap<String, String>,
    ) -> Result<Self, Vec<SettingFault>> {
        let faults: Vec<_> =
            own.iter().chain(node).filter_map(|(name, value)| check(name, value).err()).collect();
        let faults = if faults.is_empty() { contradictions(&own) } else { faults };
        if !faults.is_empty() {
            return Err(faults);
        }
        let get = |name: &str| {
            own.get(name).or_else(|| node.get(name)).map_or_else(|| default(name), String::as_str)
        };
        let long = |name: &str| get(name).trim().parse::<i64>().expect("it was checked");
        let set = |name: &str| own.contains_key(name) || node.contains_key(name);
        let policy = words(get("cleanup.policy"));
        let size = |name: &str| u64::try_from(long(name)).expect("it was checked");
        let internal = SEGMENT_BYTES_INTERNAL.name;
        let segment_bytes = if own.contains_key(internal) { size(internal) } else { size("segment.bytes") };
        let relaxed = (set("flush.messages") && long("flush.messages") > 1)
            || (set("flush.ms") && long("flush.ms") > 0);
        let level = match get("compression.type") {
            "gzip" => Some("compression.gzip.level"),
            "zstd" => Some("compression.zstd.level"),
            _ => None,
        };
        let settings = Self {
            compact: policy.contains(&"compact"),
            delete: policy.contains(&"delete"),
            compression: match get("compression.type") {
                "producer" => None,
                "uncompressed" => Some(acme_records::Compression::None),
                name => acme_records::Compression::named(name),
            },
            compression_level: level
                .filter(|name| set(name))
                .map(|name| i32::try_from(long(name)).expect("it was checked")),
            append_time: get("message.timestamp.type") == "LogAppendTime",
            max_message_bytes: usize::try_from(long("max.message.bytes")).expect("it was checked"),
            relaxed,
            flush_messages: long("flush.messages"),
            flush_ms: long("flush.ms"),
            segment_bytes,
            segment_ms: long("segment.ms"),
            segment_jitter_ms: long("segment.jitter.ms"),
            index_interval_bytes: size("index.interval.bytes"),
            retention_ms: long("retention.ms"),
            retention_bytes: long("retention.bytes"),
            delete_retention_ms: long("delete.retention.ms"),
            min_compaction_lag_ms: long("min.compaction.lag.ms"),
            max_compaction_lag_ms: long("max.compaction.lag.ms"),
            min_cleanable_ratio: get("min.cleanable.dirty.ratio").trim().parse().expect("it was checked"),
            before_max_ms: long("message.timestamp.before.max.ms"),
            after_max_ms: long("message.timestamp.after.max.ms"),
            node: node.clone(),
            own: BTreeMap::new(),
        };
        Ok(Self { own, ..settings })
    }

    /// After what time a segment gets no more batches, so that it can be deleted or compacted.
    pub(crate) fn roll_ms(&self) -> i64 {
        if self.compact { self.segment_ms.min(self.max_compaction_lag_ms) } else { self.segment_ms }
    }

    /// How much earlier a segment ends, so that not all partitions begin new ones at once; `chance` is one of the segment.
    pub(crate) fn roll_jitter_ms(&self, chance: u64) -> i64 {
        match u64::try_from(self.segment_jitter_ms.min(self.segment_ms)) {
            Ok(0) | Err(_) => 0,
            Ok(bound) => i64::try_from(chance % bound).expect("it is below an i64"),
        }
    }

    /// What the topic itself was given.
    #[must_use]
    pub fn own(&self) -> &BTreeMap<String, String> {
        &self.own
    }

    /// Every setting, in the order of their names.
    #[must_use]
    pub fn shown(&self) -> Vec<Shown> {
        KNOWN.iter().map(|known| self.show(known)).collect()
    }

    fn show(&self, known: &Known) -> Shown {
        let (own, node) = (self.own.get(known.name), self.node.get(known.name));
        let (value, origin) = match (own, node) {
            (Some(value), _) => (value.as_str(), Origin::Topic),
            (None, Some(value)) => (value.as_str(), Origin::Node),
            (None, None) => (known.default, Origin::Default),
        };
        Shown {
            name: known.name,
            broker_name: known.broker_name,
            value: value.to_owned(),
            origin,
            kind: known.kind,
            node_value: node.cloned(),
            default: known.default,
        }
    }
}

fn default(name: &str) -> &'static str {
    KNOWN.iter().find(|known| known.name == name).map_or("", |known| known.default)
}

fn words(text: &str) -> Vec<&str> {
    text.split(',').map(str::trim).filter(|word| !word.is_empty()).collect()
}

/// Whether there is such a setting, and its value is one.
///
/// # Errors
/// What Kafka says of it.
pub fn check(name: &str, value: &str) -> Result<(), SettingFault> {
    let internal = (name == SEGMENT_BYTES_INTERNAL.name).then_some(&SEGMENT_BYTES_INTERNAL);
    let known = KNOWN.iter().find(|known| known.name == name).or(internal);
    let known = known.ok_or_else(|| SettingFault::Unknown(name.to_owned()))?;
    known.check(value.trim()).map_err(|reason| SettingFault::Invalid {
        name: name.to_owned(),
        value: value.to_owned(),
        reason,
    })
}

impl Known {
    fn check(&self, value: &str) -> Result<(), String> {
        let number = match self.kind {
            Boolean if !value.eq_ignore_ascii_case("true") && !value.eq_ignore_ascii_case("false") => {
                return Err("Expected value to be either true or false".to_owned());
            }
            Int => i64::from(value.parse::<i32>().map_err(|_| "Not a number of type INT".to_owned())?),
            Long => value.parse().map_err(|_| "Not a number of type LONG".to_owned())?,
            Double => {
                let value: f64 = value.parse().map_err(|_| "Not a number of type DOUBLE".to_owned())?;
                return match self.limit {
                    Between(low, _) if value < low || value.is_nan() => {
                        Err(format!("Value must be at least {low}"))
                    }
                    Between(_, high) if value > high => Err(format!("Value must be no more than {high}")),
                    _ => Ok(()),
                };
            }
            Boolean | Text | List => 0,
        };
        match self.limit {
            AtLeast(least) if number < least => Err(format!("Value must be at least {least}")),
            // Gzip's own default has a number outside of its levels.
            Level(low, high) if (number < low || number > high) && value != self.default => {
                Err(format!("Value must be between {low} and {high}"))
            }
            OneOf(all) if !all.contains(&value) => Err(format!("String must be one of: {}", all.join(", "))),
            EachOf(all) => match words(value).iter().find(|word| !all.contains(word)) {
                Some(_) => Err(format!("String must be one of: {}", all.join(", "))),
                None => Ok(()),
            },
            Replicas if value != "*" && !words(value).into_iter().all(is_replica) => {
                Err("It must be the literal '*' or a list of replicas: [partitionId]:[brokerId],…".to_owned())
            }
            _ => Ok(()),
        }
    }
}

fn is_replica(word: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    word.split_once(':').is_some_and(|(partition, broker)| is_number(partition) && is_number(broker))
}

/// What is right by itself, and wrong beside the others or on this node.
fn contradictions(own: &BTreeMap<String, String>) -> Vec<SettingFault> {
    let get = |name: &str| own.get(name).map_or_else(|| default(name), String::as_str).trim();
    let lag = |name: &str| get(name).parse::<i64>().unwrap_or(0);
    let fault = |name: &str, reason: &str| SettingFault::Invalid {
        name: name.to_owned(),
        value: get(name).to_owned(),
        reason: reason.to_owned(),
    };
    let mut faults = Vec::new();
    if lag("min.compaction.lag.ms") > lag("max.compaction.lag.ms") {
        faults.push(fault("min.compaction.lag.ms", "it must not be larger than max.compaction.lag.ms"));
    }
    if get("remote.storage.enable").eq_ignore_ascii_case("true") {
        faults.push(fault("remote.storage.enable", "there is no remote storage"));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(own: &[(&str, &str)]) -> Result<Settings, Vec<SettingFault>> {
        let map = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        Settings::new(map(own), &map(&[("retention.ms", "1000")]))
    }

    #[test]
    fn a_topic_has_its_own_settings_then_the_nodes_then_the_defaults() {
        let it = settings(&[("cleanup.policy", "compact, delete"), ("flush.ms", "5")]).unwrap();
        assert!(it.compact && it.delete && it.relaxed);
        assert_eq!((it.retention_ms, it.segment_bytes), (1000, 1 << 30));
        let shown = it.shown();
        assert!(shown.windows(2).all(|pair| pair[0].name < pair[1].name));
        let origin = |name| shown.iter().find(|it| it.name == name).unwrap().origin;
        assert_eq!(origin("cleanup.policy"), Origin::Topic);
        assert_eq!(origin("retention.ms"), Origin::Node);
        assert_eq!(origin("retention.bytes"), Origin::Default);
        assert!(!settings(&[("flush.messages", "1")]).unwrap().relaxed);
    }

    #[test]
    fn every_default_passes_its_own_check_and_every_fault_is_named() {
        for known in KNOWN {
            check(known.name, known.default).unwrap();
        }
        let wrong = [
            ("cleanup.policy", "shrink"),
            ("max.message.bytes", "3000000000"),
            ("min.cleanable.dirty.ratio", "1.5"),
            ("preallocate", "yes"),
            ("leader.replication.throttled.replicas", "0:x"),
            ("retention.mss", "1"),
            ("segment.bytes", "1000"),
        ];
        assert_eq!(settings(&wrong).unwrap_err().len(), wrong.len());
        assert!(
            settings(&[("preallocate", "TRUE"), ("leader.replication.throttled.replicas", "0:1,1:1")])
                .is_ok()
        );
        let contradicting = [
            ("min.compaction.lag.ms", "10"),
            ("max.compaction.lag.ms", "5"),
            ("remote.storage.enable", "true"),
        ];
        assert_eq!(settings(&contradicting).unwrap_err().len(), 2);
        let fault = check("segment.bytes", "1000").unwrap_err();
        assert_eq!(
            fault.to_string(),
            "Invalid value 1000 for configuration segment.bytes: Value must be at least 1048576"
        );
    }
}
