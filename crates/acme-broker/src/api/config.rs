//! The settings that clients see: those of topics, with a sentence for each, and those of the broker.

use crate::context::{Context, NODE};
use crate::error::Code;
use crate::options::Options;
use acme_log::settings::{Origin, SettingKind};
use std::collections::BTreeMap;

/// Kinds of resources (ConfigResource.Type).
pub(super) const TOPIC: i8 = 2;
pub(super) const BROKER: i8 = 4;
pub(super) const BROKER_LOGGER: i8 = 8;
pub(super) const CLIENT_METRICS: i8 = 16;
pub(super) const GROUP: i8 = 32;

/// Who has set a value (DescribeConfigsResponse.ConfigSource).
const DYNAMIC_TOPIC: i8 = 1;
pub(super) const STATIC_BROKER: i8 = 4;
pub(super) const DEFAULT: i8 = 5;

pub(super) fn source(origin: Origin) -> i8 {
    match origin {
        Origin::Topic => DYNAMIC_TOPIC,
        Origin::Node => STATIC_BROKER,
        Origin::Default => DEFAULT,
    }
}

/// DescribeConfigsResponse.ConfigType
pub(super) fn kind(kind: SettingKind) -> i8 {
    match kind {
        SettingKind::Boolean => 1,
        SettingKind::Text => 2,
        SettingKind::Int => 3,
        SettingKind::Long => 5,
        SettingKind::Double => 6,
        SettingKind::List => 7,
    }
}

/// What a setting of a topic is for.
#[rustfmt::skip]
const MEANINGS: &[(&str, &str)] = &[
    ("cleanup.policy", "What happens to old segments: `delete` removes them by time and size, `compact` keeps the last record of each key."),
    ("compression.gzip.level", "The level, if `compression.type` is gzip."),
    ("compression.lz4.level", "The level, if `compression.type` is lz4."),
    ("compression.type", "How batches are compressed in the log; `producer` keeps what the producer has chosen."),
    ("compression.zstd.level", "The level, if `compression.type` is zstd."),
    ("delete.retention.ms", "How long the marks of deleted keys stay in a compacted topic."),
    ("file.delete.delay.ms", "How long a removed segment's file stays."),
    ("flush.messages", "Acknowledgements wait for the disk, unless this or `flush.ms` is set: then it is synced after so many records."),
    ("flush.ms", "Acknowledgements wait for the disk, unless this or `flush.messages` is set: then it is synced after this time."),
    ("follower.replication.throttled.replicas", "Kept and shown; a single node replicates nothing."),
    ("index.interval.bytes", "How many bytes lie between two entries of an index."),
    ("leader.replication.throttled.replicas", "Kept and shown; a single node replicates nothing."),
    ("local.retention.bytes", "Kept and shown; all segments are local."),
    ("local.retention.ms", "Kept and shown; all segments are local."),
    ("max.compaction.lag.ms", "The longest that a record stays out of compaction."),
    ("max.message.bytes", "The largest batch, after compression."),
    ("message.timestamp.after.max.ms", "How far a record's time may be ahead of the broker's clock."),
    ("message.timestamp.before.max.ms", "How far a record's time may be behind the broker's clock."),
    ("message.timestamp.type", "Whether records have the producer's time or that of the append."),
    ("min.cleanable.dirty.ratio", "How much of a log must be new before it is compacted."),
    ("min.compaction.lag.ms", "The shortest that a record stays out of compaction."),
    ("min.insync.replicas", "Kept and shown; a single node has one replica, in sync."),
    ("preallocate", "Whether a segment's file is made in its full size."),
    ("remote.log.copy.disable", "Kept and shown; all segments are local."),
    ("remote.log.delete.on.disable", "Kept and shown; all segments are local."),
    ("remote.storage.enable", "Kept and shown; all segments are local."),
    ("retention.bytes", "How many bytes a partition keeps; -1 for no limit."),
    ("retention.ms", "How long a record is kept; -1 for ever."),
    ("segment.bytes", "The size of a segment."),
    ("segment.index.bytes", "The largest size of an index."),
    ("segment.jitter.ms", "By how much the end of segments is spread."),
    ("segment.ms", "After this time a segment ends, even if it is not full."),
    ("unclean.leader.election.enable", "Kept and shown; a single node has no other leader."),
];

pub(super) fn meaning(name: &str) -> &'static str {
    MEANINGS.iter().find(|(known, _)| *known == name).map_or("", |(_, text)| text)
}

/// A setting of the broker: name, type, value, its default, what it is for. All are given at its start.
pub(super) struct BrokerSetting {
    pub(super) name: String,
    pub(super) kind: SettingKind,
    pub(super) value: String,
    pub(super) default: String,
    pub(super) meaning: &'static str,
}

/// The broker's own settings.
#[rustfmt::skip]
fn own(context: &Context) -> Vec<(&'static str, SettingKind, String, &'static str, &'static str)> {
    use SettingKind::{Boolean, Int, List, Long, Text};
    let options = &context.options;
    let mechanisms = if options.users.is_empty() { "" } else { crate::sasl::MECHANISM };
    vec![
        ("auto.create.topics.enable", Boolean, options.auto_create_topics.to_string(), "true", "Whether a topic is made when somebody asks for it."),
        ("broker.id", Int, NODE.to_string(), "-1", "The id of this node."),
        ("connections.max.idle.ms", Long, options.idle.as_millis().to_string(), "600000", "A connection without a request for so long is closed."),
        ("default.replication.factor", Int, "1".to_owned(), "1", "A single node has one replica."),
        ("fetch.max.bytes", Int, options.fetch_bytes_max.to_string(), "57671680", "The most bytes that one fetch returns."),
        ("listeners", List, listeners(options), "PLAINTEXT://:9092", "Where this node listens."),
        ("log.dirs", Text, context.log.dir().display().to_string(), "/tmp/kafka-logs", "Where the data lies."),
        ("max.connections", Int, options.connections_max.to_string(), "2147483647", "The most connections at a time."),
        ("max.connections.per.ip", Int, options.per_address_max.to_string(), "2147483647", "The most connections of one address at a time."),
        ("max.incremental.fetch.session.cache.slots", Int, options.sessions_max.to_string(), "1000", "The most fetch sessions at a time."),
        ("node.id", Int, NODE.to_string(), "-1", "The id of this node."),
        ("num.partitions", Int, options.partitions.to_string(), "1", "Partitions of a topic of which nobody says how many."),
        ("process.roles", List, "broker,controller".to_owned(), "", "This node is the whole cluster."),
        ("sasl.enabled.mechanisms", List, mechanisms.to_owned(), "GSSAPI", "How clients say who they are."),
        ("socket.request.max.bytes", Int, options.produce_bytes_max.to_string(), "104857600", "The largest request."),
    ]
}

fn listeners(options: &Options) -> String {
    let protocol = match (options.tls.is_some(), options.users.is_empty()) {
        (false, true) => "PLAINTEXT",
        (true, true) => "SSL",
        (false, false) => "SASL_PLAINTEXT",
        (true, false) => "SASL_SSL",
    };
    options.listen.map_or(String::new(), |at| format!("{protocol}://{at}"))
}

/// The settings of the broker, in the order of their names.
pub(super) fn of_broker(context: &Context) -> Vec<BrokerSetting> {
    let own = own(context).into_iter().map(|(name, kind, value, default, meaning)| BrokerSetting {
        name: name.to_owned(),
        kind,
        value,
        default: default.to_owned(),
        meaning,
    });
    let topics = acme_log::Settings::new(BTreeMap::new(), &BTreeMap::new()).map(|settings| settings.shown());
    let topics = topics.unwrap_or_default().into_iter().filter(|shown| !shown.broker_name.is_empty());
    let defaults = topics.map(|shown| BrokerSetting {
        name: shown.broker_name.to_owned(),
        kind: shown.kind,
        value: shown.value,
        default: shown.default.to_owned(),
        meaning: meaning(shown.name),
    });
    let mut all: Vec<BrokerSetting> = own.chain(defaults).collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

/// Whether this is the node whose settings are asked for.
pub(super) fn check_broker(name: &str) -> Result<(), (Code, String)> {
    if name.is_empty() || name == NODE.to_string() {
        return Ok(());
    }
    let message = format!("Unexpected broker id, expected {NODE} or empty string, but received {name}");
    Err((Code::InvalidRequest, message))
}
