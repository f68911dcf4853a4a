//! Settings of topics, of the broker, of groups; and the cluster.

use super::side::Side;
use super::words::*;
use m::describe_configs_request::DescribeConfigsResource;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const LOGGER: i8 = 8;
const METRICS: i8 = 16;
const GROUP: i8 = 32;

fn resource(kind: i8, name: &str, keys: Option<&[&str]>) -> DescribeConfigsResource {
    DescribeConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_configuration_keys(keys.map(|keys| keys.iter().map(|key| text(key)).collect()))
}

fn describing(resources: Vec<DescribeConfigsResource>) -> m::DescribeConfigsRequest {
    m::DescribeConfigsRequest::default().with_resources(resources)
}

/// Settings that both brokers have.
const OF_BROKER: &[&str] = &[
    "node.id",
    "broker.id",
    "num.partitions",
    "auto.create.topics.enable",
    "log.retention.ms",
    "message.max.bytes",
    "log.cleanup.policy",
    "connections.max.idle.ms",
    "fetch.max.bytes",
    "default.replication.factor",
    "log.segment.bytes",
    "compression.type",
    "min.insync.replicas",
    "max.connections",
    "log.roll.ms",
    "log.message.timestamp.type",
    "socket.request.max.bytes",
    "log.flush.interval.messages",
];

/// What has no settings to show.
const ABSENT: [(i8, &str); 17] = [
    (TOPIC, "unseen"),
    (TOPIC, ""),
    (TOPIC, "a b"),
    (BROKER, "7"),
    (BROKER, "x"),
    (BROKER, "-1"),
    (0, "x"),
    (1, "x"),
    (3, "x"),
    (99, "x"),
    (-1, "x"),
    (METRICS, "m"),
    (METRICS, ""),
    (GROUP, "g"),
    (GROUP, ""),
    (LOGGER, "7"),
    (LOGGER, ""),
];

pub(super) async fn describe(side: &mut Side) {
    create(side, &[("shown", 1, &[("retention.ms", "1000"), ("cleanup.policy", "compact")])]).await;
    side.each("all of a topic", |_| describing(vec![resource(TOPIC, "shown", None)])).await;
    side.each("with synonyms", |_| {
        describing(vec![resource(TOPIC, "shown", None)]).with_include_synonyms(true)
    })
    .await;
    let described = describing(vec![resource(TOPIC, "shown", None)]).with_include_documentation(true);
    side.newly("with documentation", described).await;
    side.each("some of a topic", |_| {
        describing(vec![resource(TOPIC, "shown", Some(&["retention.ms", "segment.ms", "no.such"]))])
    })
    .await;
    let keys = [("no keys", &[][..]), ("broker", OF_BROKER), ("unknown keys", &["no.such"])];
    for (label, keys) in keys {
        side.newly(&format!("{label} of the broker"), describing(vec![resource(BROKER, "1", Some(keys))]))
            .await;
        let named = describing(vec![resource(BROKER, "1", Some(keys))]).with_include_synonyms(true);
        side.newly(&format!("{label} of the broker, with synonyms"), named).await;
        side.newly(&format!("{label} of all brokers"), describing(vec![resource(BROKER, "", Some(keys))]))
            .await;
        side.newly(&format!("{label} of a topic"), describing(vec![resource(TOPIC, "shown", Some(keys))]))
            .await;
    }
    side.newly("all of all brokers", describing(vec![resource(BROKER, "", None)])).await;
    for (kind, name) in ABSENT {
        side.newly(&format!("{kind} {name:?}"), describing(vec![resource(kind, name, None)])).await;
        side.ask(&format!("{kind} {name:?}"), 1, &describing(vec![resource(kind, name, None)])).await;
    }
    let twice = vec![
        resource(TOPIC, "shown", Some(&["retention.ms"])),
        resource(TOPIC, "shown", Some(&["segment.ms"])),
    ];
    side.newly("the same twice", describing(twice)).await;
    side.each("nothing", |_| describing(Vec::new())).await;
    let mixed = vec![resource(TOPIC, "shown", Some(&["retention.ms"])), resource(TOPIC, "unseen", None)];
    side.newly("one good, one bad", describing(mixed)).await;
}

async fn shown(side: &mut Side, kind: i8, name: &str, keys: &[&str]) {
    // Kafka answers before all of it knows of a change. It learns of changes in their order: who knows this topic knows the change.
    let later = format!("later-{}", side.exchanges.len());
    create(side, &[(&later, 1, &[])]).await;
    let keys = (!keys.is_empty()).then_some(keys);
    let request = describing(vec![resource(kind, name, keys)]).with_include_synonyms(true);
    side.newly(&format!("then {name} has"), request).await;
}

pub(super) async fn alter(side: &mut Side) {
    use m::alter_configs_request::{AlterConfigsResource, AlterableConfig};
    create(side, &[("altered", 1, &[("retention.ms", "1000")])]).await;
    let altering = |kind: i8, name: &str, configs: &[(&str, Option<&str>)], only: bool| {
        let config = |(name, value): &(&str, Option<&str>)| {
            AlterableConfig::default().with_name(text(name)).with_value(value.map(text))
        };
        let one = AlterConfigsResource::default()
            .with_resource_type(kind)
            .with_resource_name(text(name))
            .with_configs(configs.iter().map(config).collect());
        m::AlterConfigsRequest::default().with_resources(vec![one]).with_validate_only(only)
    };
    side.each("all at once", |_| {
        altering(TOPIC, "altered", &[("segment.ms", Some("70000")), ("retention.bytes", Some("5"))], false)
    })
    .await;
    shown(side, TOPIC, "altered", &["retention.ms", "segment.ms", "retention.bytes"]).await;
    side.each("only checked", |_| altering(TOPIC, "altered", &[("segment.ms", Some("80000"))], true)).await;
    for (label, kind, name, configs) in [
        ("unknown", TOPIC, "altered", &[("no.such", Some("1"))][..]),
        ("wrong", TOPIC, "altered", &[("retention.ms", Some("x"))]),
        ("no value", TOPIC, "altered", &[("retention.ms", None)]),
        ("twice", TOPIC, "altered", &[("retention.ms", Some("1")), ("retention.ms", Some("2"))]),
        ("an unknown topic", TOPIC, "unseen", &[("retention.ms", Some("1"))]),
        ("a bad name", TOPIC, "a b", &[("retention.ms", Some("1"))]),
        ("another broker", BROKER, "7", &[("retention.ms", Some("1"))]),
        ("no kind", 0, "x", &[("retention.ms", Some("1"))]),
        ("a new kind", 99, "x", &[]),
        ("back to what it was", TOPIC, "altered", &[]),
    ] {
        side.newly(label, altering(kind, name, configs, false)).await;
    }
    shown(side, TOPIC, "altered", &["retention.ms", "segment.ms", "retention.bytes"]).await;
    side.each("nothing", |_| m::AlterConfigsRequest::default()).await;
}

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

fn incrementing(
    kind: i8,
    name: &str,
    configs: &[(&str, i8, Option<&str>)],
) -> m::IncrementalAlterConfigsRequest {
    use m::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
    let config = |(name, operation, value): &(&str, i8, Option<&str>)| {
        AlterableConfig::default()
            .with_name(text(name))
            .with_config_operation(*operation)
            .with_value(value.map(text))
    };
    let one = AlterConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_configs(configs.iter().map(config).collect());
    m::IncrementalAlterConfigsRequest::default().with_resources(vec![one])
}

pub(super) async fn incremental(side: &mut Side) {
    create(side, &[("changed", 1, &[])]).await;
    side.each("set", |v| {
        let value = format!("{}", 100_000 + i32::from(v));
        incrementing(TOPIC, "changed", &[("retention.ms", SET, Some(&value))])
    })
    .await;
    side.each("only checked", |_| {
        incrementing(TOPIC, "changed", &[("retention.ms", SET, Some("5"))]).with_validate_only(true)
    })
    .await;
    for (label, configs) in [
        ("append", &[("cleanup.policy", APPEND, Some("compact"))][..]),
        ("append what is there", &[("cleanup.policy", APPEND, Some("compact"))]),
        ("subtract", &[("cleanup.policy", SUBTRACT, Some("delete"))]),
        ("subtract what is not there", &[("cleanup.policy", SUBTRACT, Some("delete"))]),
        ("subtract the last", &[("cleanup.policy", SUBTRACT, Some("compact"))]),
        ("append to what is no list", &[("retention.ms", APPEND, Some("1"))]),
        ("subtract from what is no list", &[("retention.ms", SUBTRACT, Some("1"))]),
        ("set without a value", &[("retention.ms", SET, None)]),
        ("append without a value", &[("cleanup.policy", APPEND, None)]),
        ("an unknown operation", &[("retention.ms", 9, Some("1"))]),
        ("an unknown setting", &[("no.such", SET, Some("1"))]),
        ("an unknown setting taken back", &[("no.such", DELETE, None)]),
        ("a wrong value", &[("retention.ms", SET, Some("never"))]),
        ("twice", &[("retention.ms", SET, Some("1")), ("retention.ms", DELETE, None)]),
        ("one good, one bad", &[("segment.ms", SET, Some("1")), ("no.such", SET, Some("1"))]),
        ("take back", &[("retention.ms", DELETE, None)]),
        ("take back again", &[("retention.ms", DELETE, None)]),
        ("take back with a value", &[("segment.ms", DELETE, Some("7"))]),
        ("nothing", &[]),
    ] {
        side.newly(label, incrementing(TOPIC, "changed", configs)).await;
        shown(side, TOPIC, "changed", &["cleanup.policy", "retention.ms", "segment.ms"]).await;
    }
    side.newly("an unknown topic", incrementing(TOPIC, "unseen", &[("retention.ms", SET, Some("1"))])).await;
    side.newly("a bad name", incrementing(TOPIC, "a b", &[("retention.ms", SET, Some("1"))])).await;
    side.newly("an unknown kind", incrementing(99, "x", &[("retention.ms", SET, Some("1"))])).await;
    side.newly("no kind", incrementing(0, "x", &[("retention.ms", SET, Some("1"))])).await;
    let one = incrementing(TOPIC, "changed", &[("retention.ms", SET, Some("1"))]).resources[0].clone();
    let twice = m::IncrementalAlterConfigsRequest::default().with_resources(vec![one.clone(), one]);
    side.newly("the same twice", twice).await;
    side.each("nothing at all", |_| m::IncrementalAlterConfigsRequest::default()).await;
    of_broker(side).await;
    of_groups(side).await;
}

/// What may be changed while it runs, and what not.
async fn of_broker(side: &mut Side) {
    for name in ["1", ""] {
        for (label, configs) in [
            ("what only the start sets", &[("node.id", SET, Some("2"))][..]),
            ("what only the start sets", &[("auto.create.topics.enable", SET, Some("false"))]),
            ("unknown", &[("no.such", SET, Some("1"))]),
            ("wrong", &[("log.retention.ms", SET, Some("x"))]),
            ("a default of topics", &[("log.retention.ms", SET, Some("777777"))]),
        ] {
            side.newly(&format!("{label} of broker {name:?}"), incrementing(BROKER, name, configs)).await;
        }
        shown(side, BROKER, name, &["log.retention.ms"]).await;
        shown(side, TOPIC, "changed", &["retention.ms"]).await;
        let back = incrementing(BROKER, name, &[("log.retention.ms", DELETE, None)]);
        side.newly(&format!("taken back of broker {name:?}"), back).await;
        shown(side, BROKER, name, &["log.retention.ms"]).await;
    }
    side.newly("another broker", incrementing(BROKER, "7", &[("log.retention.ms", SET, Some("1"))])).await;
    side.newly("no broker", incrementing(BROKER, "x", &[("log.retention.ms", SET, Some("1"))])).await;
}

async fn of_groups(side: &mut Side) {
    for (label, kind, name, configs) in [
        ("set", GROUP, "g", &[("consumer.session.timeout.ms", SET, Some("50000"))][..]),
        ("set another", GROUP, "g", &[("consumer.heartbeat.interval.ms", SET, Some("6000"))]),
        ("out of bounds", GROUP, "g", &[("consumer.session.timeout.ms", SET, Some("1"))]),
        ("wrong", GROUP, "g", &[("consumer.session.timeout.ms", SET, Some("x"))]),
        ("unknown", GROUP, "g", &[("no.such", SET, Some("1"))]),
        ("no name", GROUP, "", &[("consumer.session.timeout.ms", SET, Some("50000"))]),
        ("take back", GROUP, "g", &[("consumer.session.timeout.ms", DELETE, None)]),
        ("set", METRICS, "m", &[("interval.ms", SET, Some("60000"))]),
        ("a list", METRICS, "m", &[("metrics", SET, Some("org.apache.kafka.producer."))]),
        ("unknown", METRICS, "m", &[("no.such", SET, Some("1"))]),
        ("wrong", METRICS, "m", &[("interval.ms", SET, Some("5"))]),
        ("wrong", METRICS, "m", &[("match", SET, Some("nonsense"))]),
        ("no name", METRICS, "", &[("interval.ms", SET, Some("60000"))]),
        ("take back", METRICS, "m", &[("interval.ms", DELETE, None), ("metrics", DELETE, None)]),
        ("a logger", LOGGER, "1", &[("no.such.logger", SET, Some("DEBUG"))]),
        ("a logger elsewhere", LOGGER, "7", &[("root", SET, Some("DEBUG"))]),
    ] {
        side.newly(&format!("{label} of {kind} {name:?}"), incrementing(kind, name, configs)).await;
        if kind == GROUP || kind == METRICS {
            shown(side, kind, name, &[]).await;
        }
    }
}

pub(super) async fn cluster(side: &mut Side) {
    side.each("the cluster", |_| m::DescribeClusterRequest::default()).await;
    side.each("with rights", |_| {
        m::DescribeClusterRequest::default().with_include_cluster_authorized_operations(true)
    })
    .await;
    for kind in [0, 2, 3] {
        let request = m::DescribeClusterRequest::default().with_endpoint_type(kind);
        side.newly(&format!("endpoints {kind}"), request).await;
    }
    side.newly("fenced ones too", m::DescribeClusterRequest::default().with_include_fenced_brokers(true))
        .await;
    let id = create(side, &[("lies", 2, &[])]).await[0];
    let records = batch(1_000, &["a", "b"], acme_records::Stamp::NONE);
    let version = side.newest::<m::ProduceRequest>();
    side.ask("something", version, &produce(version, ("lies", id), &[(0, Some(records))])).await;
    let dirs = |name: &str, parts: &[i32]| {
        let one = m::describe_log_dirs_request::DescribableLogDirTopic::default()
            .with_topic(topic(name))
            .with_partitions(parts.to_vec());
        m::DescribeLogDirsRequest::default().with_topics(Some(vec![one]))
    };
    side.each("where it lies", |_| dirs("lies", &[0, 1])).await;
    side.each("where nothing lies", |_| dirs("unseen", &[0])).await;
    side.each("a partition that is not there", |_| dirs("lies", &[5])).await;
    side.each("no partition", |_| dirs("lies", &[])).await;
    side.each("nothing", |_| m::DescribeLogDirsRequest::default().with_topics(Some(Vec::new()))).await;
}
