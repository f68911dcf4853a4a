//! Topics: made, looked at, made larger, deleted.

use super::side::Side;
use super::words::*;
use m::create_topics_request::{CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig};

fn creating(topics: Vec<CreatableTopic>, validate_only: bool) -> m::CreateTopicsRequest {
    m::CreateTopicsRequest::default()
        .with_topics(topics)
        .with_timeout_ms(30_000)
        .with_validate_only(validate_only)
}

fn assigned(name: &str, parts: &[(i32, &[i32])]) -> CreatableTopic {
    let part = |(index, brokers): &(i32, &[i32])| {
        CreatableReplicaAssignment::default()
            .with_partition_index(*index)
            .with_broker_ids(brokers.iter().map(|broker| BrokerId(*broker)).collect())
    };
    creatable(name, -1, -1, &[]).with_assignments(parts.iter().map(part).collect())
}

pub(super) async fn creation(side: &mut Side) {
    side.each("plain", |v| creating(vec![creatable(&format!("plain-{v}"), 3, 1, &[])], false)).await;
    side.each("again", |v| creating(vec![creatable(&format!("plain-{v}"), 3, 1, &[])], false)).await;
    side.each("with settings", |v| {
        let configs = [
            ("cleanup.policy", "compact,delete"),
            ("retention.ms", "86400000"),
            ("segment.bytes", "1048576"),
        ];
        creating(vec![creatable(&format!("set-{v}"), 1, 1, &configs)], false)
    })
    .await;
    side.each("only checked", |v| {
        creating(vec![creatable(&format!("checked-{v}"), 2, 1, &[("retention.ms", "5")])], true)
    })
    .await;
    side.each("nothing", |_| creating(Vec::new(), false)).await;
    side.each("assigned by hand", |v| {
        creating(vec![assigned(&format!("hand-{v}"), &[(0, &[1]), (1, &[1])])], false)
    })
    .await;
    side.each("by default", |v| {
        creating(
            vec![creatable(&format!("default-{v}"), since(v, 4, -2) + 1, since(v, 4, -2) + 1, &[])],
            false,
        )
    })
    .await;
    side.each("one good, one bad", |v| {
        creating(vec![creatable(&format!("good-{v}"), 1, 1, &[]), creatable("bad name", 1, 1, &[])], false)
    })
    .await;
    side.each("the same twice", |v| {
        let twice = creatable(&format!("twice-{v}"), 1, 1, &[]);
        creating(vec![twice.clone(), twice, creatable(&format!("once-{v}"), 1, 1, &[])], false)
    })
    .await;
}

/// What settings of topics may not be, and some that they may.
const SETTINGS: [(&str, &str); 37] = [
    ("no.such.setting", "1"),
    ("retention.ms", "soon"),
    ("retention.ms", "-2"),
    ("retention.ms", ""),
    ("retention.ms", " 7 "),
    ("retention.bytes", "-5"),
    ("cleanup.policy", "burn"),
    ("cleanup.policy", ""),
    ("cleanup.policy", "delete,compact"),
    ("compression.type", "brotli"),
    ("compression.gzip.level", "10"),
    ("compression.gzip.level", "0"),
    ("compression.lz4.level", "18"),
    ("compression.zstd.level", "23"),
    ("min.insync.replicas", "0"),
    ("min.insync.replicas", "2"),
    ("max.message.bytes", "-1"),
    ("segment.bytes", "13"),
    ("segment.bytes", "99999999999"),
    ("segment.ms", "0"),
    ("message.timestamp.type", "Sometime"),
    ("message.timestamp.before.max.ms", "-1"),
    ("min.cleanable.dirty.ratio", "1.5"),
    ("min.cleanable.dirty.ratio", "half"),
    ("preallocate", "yes"),
    ("preallocate", "TRUE"),
    ("flush.messages", "0"),
    ("index.interval.bytes", "-1"),
    ("min.compaction.lag.ms", "-1"),
    ("max.compaction.lag.ms", "0"),
    ("unclean.leader.election.enable", "true"),
    ("remote.storage.enable", "true"),
    ("message.format.version", "2.0"),
    ("message.downconversion.enable", "true"),
    ("leader.replication.throttled.replicas", "x"),
    ("leader.replication.throttled.replicas", "0:1"),
    ("local.retention.ms", "-3"),
];

pub(super) async fn create_invalid(side: &mut Side) {
    let long = "x".repeat(250);
    for name in ["", ".", "..", "a b", "a/b", "é", "a:b", long.as_str(), "__cluster_metadata"] {
        for only in [false, true] {
            let label = format!("name {:?} {only}", name.chars().take(20).collect::<String>());
            side.newly(&label, creating(vec![creatable(name, 1, 1, &[])], only)).await;
        }
    }
    let edge = "y".repeat(249);
    side.newly("the longest name", creating(vec![creatable(&edge, 1, 1, &[])], false)).await;
    for (partitions, factor) in [(0, 1), (-2, 1), (-1, -1), (1, 0), (1, -2), (1, 2), (1, 3), (0, 0), (-1, 5)]
    {
        let label = format!("{partitions} partitions, {factor} replicas");
        let name = format!("counts{partitions}{factor}");
        side.newly(&label, creating(vec![creatable(&name, partitions, factor, &[])], false)).await;
    }
    for (label, parts) in [
        ("no replica", &[(0, &[][..])][..]),
        ("an unknown broker", &[(0, &[7])]),
        ("a broker twice", &[(0, &[1, 1])]),
        ("a gap", &[(0, &[1]), (2, &[1])]),
        ("not from 0", &[(1, &[1])]),
        ("a partition twice", &[(0, &[1]), (0, &[1])]),
        ("a negative partition", &[(-1, &[1])]),
        ("a negative broker", &[(0, &[-1])]),
        ("fewer replicas in the second", &[(0, &[1]), (1, &[])]),
    ] {
        side.newly(label, creating(vec![assigned("by-hand", parts)], false)).await;
    }
    let both = assigned("both", &[(0, &[1])]);
    side.newly("assigned and counted", creating(vec![both.clone().with_num_partitions(1)], false)).await;
    side.newly("assigned and replicated", creating(vec![both.with_replication_factor(1)], false)).await;
    for (name, value) in SETTINGS {
        let name_of = format!("set-{name}-{}", value.trim().replace([',', ':'], "_"));
        let request = creating(vec![creatable(&name_of, 1, 1, &[(name, value)])], false);
        side.newly(&format!("{name}={value}"), request).await;
    }
    let lags = [("min.compaction.lag.ms", "10"), ("max.compaction.lag.ms", "5")];
    side.newly("lags that contradict", creating(vec![creatable("lags", 1, 1, &lags)], false)).await;
    let null = CreatableTopicConfig::default().with_name(text("retention.ms")).with_value(None);
    side.newly("no value", creating(vec![creatable("null", 1, 1, &[]).with_configs(vec![null])], false))
        .await;
    let double = [("retention.ms", "1000"), ("retention.ms", "2000")];
    side.newly("a setting twice", creating(vec![creatable("double", 1, 1, &double)], false)).await;
    create(side, &[("dots.and_lines", 1, &[])]).await;
    side.newly("a name that collides", creating(vec![creatable("dots_and.lines", 1, 1, &[])], false)).await;
    side.newly("an internal one", creating(vec![creatable("__consumer_offsets", 1, 1, &[])], false)).await;
    side.newly("too many partitions", creating(vec![creatable("many", 2_000_000, 1, &[])], true)).await;
}

fn asking(version: i16, names: &[&str], auto: bool) -> m::MetadataRequest {
    let one = |name: &&str| m::metadata_request::MetadataRequestTopic::default().with_name(Some(topic(name)));
    m::MetadataRequest::default()
        .with_topics(Some(names.iter().map(one).collect()))
        .with_allow_auto_topic_creation(version < 4 || auto)
}

fn by_ids(ids: &[Uuid]) -> m::MetadataRequest {
    let one =
        |id: &Uuid| m::metadata_request::MetadataRequestTopic::default().with_topic_id(*id).with_name(None);
    m::MetadataRequest::default()
        .with_topics(Some(ids.iter().map(one).collect()))
        .with_allow_auto_topic_creation(false)
}

pub(super) async fn metadata(side: &mut Side) {
    let ids = create(side, &[("seen", 3, &[]), ("other", 1, &[])]).await;
    side.each("one", |v| asking(v, &["seen"], false)).await;
    side.each("two", |v| asking(v, &["seen", "other"], false)).await;
    side.each("the same twice", |v| asking(v, &["seen", "seen"], false)).await;
    for v in side.versions::<m::MetadataRequest>() {
        let none = m::MetadataRequest::default().with_topics(Some(Vec::new()));
        side.ask("none, or all in the oldest", v, &none).await;
        if v >= 1 {
            side.ask("all", v, &m::MetadataRequest::default().with_topics(None)).await;
        }
        if v >= 4 {
            side.ask("an unknown one", v, &asking(v, &["unseen"], false)).await;
            side.ask("a bad name", v, &asking(v, &["a b"], false)).await;
            side.ask("a bad name that may be made", v, &asking(v, &["a b"], true)).await;
            side.ask("no name at all", v, &asking(v, &[""], false)).await;
        }
    }
    side.newly("by id", by_ids(&ids)).await;
    side.newly("by an unknown id", by_ids(&[Uuid::from_u128(7)])).await;
    side.newly("by no id", by_ids(&[Uuid::nil()])).await;
    side.ask(
        "by id and name",
        12,
        &by_ids(&ids[..1]).with_topics(Some(vec![
            m::metadata_request::MetadataRequestTopic::default()
                .with_topic_id(ids[0])
                .with_name(Some(topic("seen"))),
        ])),
    )
    .await;
    side.ask("null name in an old version", 9, &asking(9, &["seen", "a b", "unseen"], false)).await;
    let rights = |v: i16| {
        asking(v, &["seen"], false)
            .with_include_cluster_authorized_operations(v <= 10)
            .with_include_topic_authorized_operations(true)
    };
    for v in [8, 10, 11, side.newest::<m::MetadataRequest>()] {
        side.ask("with rights", v, &rights(v)).await;
    }
    side.newly("made by asking", asking(12, &["made-by-asking"], true)).await;
    loop {
        let quiet = asking(12, &["made-by-asking"], false);
        let answer = side.newly("made by asking, again", quiet).await;
        if answer.topics.first().is_none_or(|topic| topic.error_code == 0) {
            break;
        }
        side.exchanges.pop();
    }
    describe_partitions(side).await;
}

async fn describe_partitions(side: &mut Side) {
    use m::describe_topic_partitions_request::{Cursor, TopicRequest};
    let asking = |names: &[&str], limit: i32, cursor: Option<(&str, i32)>| {
        let names = names.iter().map(|name| TopicRequest::default().with_name(topic(name)));
        let cursor = cursor
            .map(|(name, part)| Cursor::default().with_topic_name(topic(name)).with_partition_index(part));
        m::DescribeTopicPartitionsRequest::default()
            .with_topics(names.collect())
            .with_response_partition_limit(limit)
            .with_cursor(cursor)
    };
    for (label, request) in [
        ("two", asking(&["seen", "other"], 2_000, None)),
        ("a page", asking(&["other", "seen"], 2, None)),
        ("the page behind", asking(&["other", "seen"], 2, Some(("seen", 1)))),
        ("a cursor behind the end", asking(&["seen"], 2, Some(("seen", 9)))),
        ("a cursor at another", asking(&["other", "seen"], 9, Some(("zzz", 0)))),
        ("a negative cursor", asking(&["seen"], 9, Some(("seen", -1)))),
        ("an unknown one", asking(&["unseen"], 9, None)),
        ("a bad name", asking(&["a b"], 9, None)),
        ("no room", asking(&["seen"], 0, None)),
        ("negative room", asking(&["seen"], -1, None)),
        ("the same twice", asking(&["seen", "seen"], 9, None)),
    ] {
        side.newly(label, request).await;
    }
}

pub(super) async fn partitions(side: &mut Side) {
    use m::create_partitions_request::{CreatePartitionsAssignment, CreatePartitionsTopic};
    create(side, &[("grows", 2, &[]), ("grows-too", 1, &[])]).await;
    let growing = |name: &str, count: i32, by_hand: Option<&[&[i32]]>| {
        let hand = |brokers: &&[i32]| {
            CreatePartitionsAssignment::default()
                .with_broker_ids(brokers.iter().map(|id| BrokerId(*id)).collect())
        };
        CreatePartitionsTopic::default()
            .with_name(topic(name))
            .with_count(count)
            .with_assignments(by_hand.map(|all| all.iter().map(hand).collect()))
    };
    let asking = |topics: Vec<CreatePartitionsTopic>, only: bool| {
        m::CreatePartitionsRequest::default()
            .with_topics(topics)
            .with_timeout_ms(30_000)
            .with_validate_only(only)
    };
    side.each("more", |v| asking(vec![growing("grows", i32::from(v) + 3, None)], false)).await;
    side.each("only checked", |_| asking(vec![growing("grows", 20, None)], true)).await;
    side.each("nothing", |_| asking(Vec::new(), false)).await;
    for (label, topics) in [
        ("as many", vec![growing("grows-too", 1, None)]),
        ("fewer", vec![growing("grows", 2, None)]),
        ("none", vec![growing("grows", 0, None)]),
        ("negative", vec![growing("grows", -1, None)]),
        ("an unknown one", vec![growing("unseen", 3, None)]),
        ("a bad name", vec![growing("a b", 3, None)]),
        ("no name", vec![growing("", 3, None)]),
        ("by hand", vec![growing("grows-too", 3, Some(&[&[1], &[1]]))]),
        ("by hand, too few", vec![growing("grows-too", 6, Some(&[&[1]]))]),
        ("by hand, too many", vec![growing("grows-too", 4, Some(&[&[1], &[1]]))]),
        ("by hand, an unknown broker", vec![growing("grows-too", 4, Some(&[&[7]]))]),
        ("by hand, a broker twice", vec![growing("grows-too", 4, Some(&[&[1, 1]]))]),
        ("by hand, no broker", vec![growing("grows-too", 4, Some(&[&[]]))]),
        ("by hand, none", vec![growing("grows-too", 4, Some(&[]))]),
        ("the same twice", vec![growing("grows-too", 8, None), growing("grows-too", 9, None)]),
        ("one good, one bad", vec![growing("grows-too", 5, None), growing("unseen", 5, None)]),
    ] {
        side.newly(label, asking(topics, false)).await;
    }
    side.led("grows-too", 5).await;
    side.newly("what has become of them", super::topics::asking(12, &["grows", "grows-too"], false)).await;
    let moving = m::ListPartitionReassignmentsRequest::default().with_timeout_ms(1_000);
    side.newly("nothing moves", moving.clone().with_topics(None)).await;
    let named = |name: &str, parts: &[i32]| {
        m::list_partition_reassignments_request::ListPartitionReassignmentsTopics::default()
            .with_name(topic(name))
            .with_partition_indexes(parts.to_vec())
    };
    side.newly("nor does this", moving.clone().with_topics(Some(vec![named("grows", &[0, 1])]))).await;
    side.newly("nor what is not there", moving.with_topics(Some(vec![named("unseen", &[0])]))).await;
}

pub(super) async fn delete(side: &mut Side) {
    use m::delete_topics_request::DeleteTopicState;
    let names: Vec<String> = (0..8).map(|n| format!("gone-{n}")).collect();
    let topics: Vec<Wanted<'_>> = names.iter().map(|name| (name.as_str(), 1, &[][..])).collect();
    let ids = create(side, &topics).await;
    let deleting = |v: i16, names: &[&str]| {
        let states = names.iter().map(|name| DeleteTopicState::default().with_name(Some(topic(name))));
        m::DeleteTopicsRequest::default()
            .with_timeout_ms(30_000)
            .with_topic_names(until(v, 5, names.iter().map(|name| topic(name)).collect()))
            .with_topics(since(v, 6, states.collect()))
    };
    let by_id = |id: Uuid| DeleteTopicState::default().with_topic_id(id).with_name(None);
    side.each("one", |v| deleting(v, &[&format!("gone-{v}")])).await;
    side.each("again", |v| deleting(v, &[&format!("gone-{v}")])).await;
    side.each("nothing", |v| deleting(v, &[])).await;
    side.each("a bad name", |v| deleting(v, &["a b"])).await;
    side.each("no name", |v| deleting(v, &[""])).await;
    side.each("the same twice", |v| deleting(v, &["gone-7", "gone-7"])).await;
    let ids_of = |states: Vec<DeleteTopicState>| {
        m::DeleteTopicsRequest::default().with_timeout_ms(30_000).with_topics(states)
    };
    side.newly("by id", ids_of(vec![by_id(ids[5])])).await;
    side.newly("by id again", ids_of(vec![by_id(ids[5])])).await;
    side.newly("by no id", ids_of(vec![by_id(Uuid::nil())])).await;
    side.newly("by id and name", ids_of(vec![by_id(ids[7]).with_name(Some(topic("gone-7")))])).await;
    side.newly("by id, twice", ids_of(vec![by_id(ids[7]), by_id(ids[7])])).await;
    let twice = vec![by_id(ids[7]), DeleteTopicState::default().with_name(Some(topic("gone-7")))];
    side.newly("by id, and by name", ids_of(twice)).await;
    // Kafka answers that a topic is deleted before everybody knows.
    let left = asking(12, &["gone-1", "gone-5", "gone-7"], false);
    loop {
        let answer = side.newly("what is left", left.clone()).await;
        let gone = |name: &str| {
            answer
                .topics
                .iter()
                .any(|one| one.error_code != 0 && one.name.as_ref().is_some_and(|known| &*known.0 == name))
        };
        if gone("gone-1") && gone("gone-5") {
            break;
        }
        side.exchanges.pop();
    }
}
