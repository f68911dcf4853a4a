//! Topics and settings as administrators see them.

use crate::produce::produce;
use crate::support::{Server, batch, text, topic};
use acme_records::{Compression, Stamp};
use kafka_protocol::error::ResponseError as Code;
use kafka_protocol::messages as m;
use kafka_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{BrokerId, CreateTopicsRequest, MetadataRequest};
use std::sync::{Arc, Mutex};

fn wanted(name: &str, partitions: i32, factor: i16) -> CreatableTopic {
    CreatableTopic::default()
        .with_name(topic(name))
        .with_num_partitions(partitions)
        .with_replication_factor(factor)
}

fn assigned(parts: &[(i32, &[i32])]) -> CreatableTopic {
    let parts = parts.iter().map(|(index, brokers)| {
        let brokers = brokers.iter().map(|broker| BrokerId(*broker)).collect();
        CreatableReplicaAssignment::default().with_partition_index(*index).with_broker_ids(brokers)
    });
    wanted("assigned", -1, -1).with_assignments(parts.collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_are_made_as_asked_or_refused_as_kafka_does() {
    let warnings: Arc<Mutex<Vec<String>>> = Arc::default();
    let heard = Arc::clone(&warnings);
    let server = Server::with(move |options| {
        options.warn = Arc::new(move |text| heard.lock().unwrap().push(text.to_owned()));
        options.partitions = 3;
    })
    .await;
    server.topic("there", 1, &[]);
    server.topic("a.b", 1, &[]);
    let mut wire = server.wire().await;
    let with = |name: &str, value: Option<&str>| {
        let config = CreatableTopicConfig::default().with_name(text(name)).with_value(value.map(text));
        wanted(&format!("configured-{name}-{}", value.unwrap_or("null")), 1, 1).with_configs(vec![config])
    };
    let cases = [
        (wanted("plain", 2, 1), Code::Unknown(0), 2),
        (wanted("defaults", -1, -1), Code::Unknown(0), 3),
        (wanted("replicated", 1, 3), Code::Unknown(0), 1),
        (assigned(&[(0, &[1]), (1, &[1])]), Code::Unknown(0), 2),
        (with("retention.ms", Some("5")), Code::Unknown(0), 1),
        (wanted("there", 1, 1), Code::TopicAlreadyExists, 0),
        (wanted("a_b", 1, 1), Code::InvalidTopicException, 0),
        (wanted("with space", 1, 1), Code::InvalidTopicException, 0),
        (wanted("..", 1, 1), Code::InvalidTopicException, 0),
        (wanted("../up", 1, 1), Code::InvalidTopicException, 0),
        (wanted("", 1, 1), Code::InvalidTopicException, 0),
        (wanted(&"x".repeat(250), 1, 1), Code::InvalidTopicException, 0),
        (wanted("__cluster_metadata", 1, 1), Code::InvalidRequest, 0),
        (wanted("none", 0, 1), Code::InvalidPartitions, 0),
        (wanted("negative", -2, 1), Code::InvalidPartitions, 0),
        (wanted("zero", 1, 0), Code::InvalidReplicationFactor, 0),
        (with("retention.mss", Some("5")), Code::InvalidConfig, 0),
        (with("retention.ms", Some("soon")), Code::InvalidConfig, 0),
        (with("retention.ms", None), Code::InvalidConfig, 0),
        (assigned(&[(1, &[1])]), Code::InvalidReplicaAssignment, 0),
        (assigned(&[(0, &[])]), Code::InvalidReplicaAssignment, 0),
        (assigned(&[(0, &[2])]), Code::InvalidReplicaAssignment, 0),
        (assigned(&[(0, &[1, 1])]), Code::InvalidReplicaAssignment, 0),
        (assigned(&[(0, &[1])]).with_num_partitions(1), Code::InvalidRequest, 0),
    ];
    for (case, code, partitions) in cases {
        for only_validates in [true, false] {
            let request = CreateTopicsRequest::default()
                .with_topics(vec![case.clone()])
                .with_validate_only(only_validates);
            let result = wire.ask(&request, 7).await.topics[0].clone();
            assert_eq!(result.error_code, code.code(), "{case:?}: {result:?}");
            assert_eq!(result.error_message.is_none(), code.code() == 0, "{result:?}");
            if code.code() == 0 {
                assert_eq!((result.num_partitions, result.replication_factor), (partitions, 1));
                assert!(result.configs.unwrap().len() > 20);
                assert_eq!(result.topic_id.is_nil(), only_validates);
            }
        }
    }
    assert!(warnings.lock().unwrap().iter().any(|text| text.contains("replicated")));
    let twice =
        CreateTopicsRequest::default().with_topics(vec![wanted("twice", 1, 1), wanted("twice", 2, 1)]);
    let answer = wire.ask(&twice, 5).await;
    assert_eq!((answer.topics.len(), answer.topics[0].error_code), (1, Code::InvalidRequest.code()));

    let strict = Server::with(|options| options.replication_strict = true).await;
    let request = CreateTopicsRequest::default().with_topics(vec![wanted("t", 1, 3)]);
    let result = strict.wire().await.ask(&request, 5).await.topics[0].clone();
    assert_eq!(result.error_code, Code::InvalidReplicationFactor.code());
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_makes_topics_only_where_it_may() {
    let server = Server::start().await;
    let mut wire = server.wire().await;
    let ask = |name: &str, may: bool| {
        let topics = vec![MetadataRequestTopic::default().with_name(Some(topic(name)))];
        MetadataRequest::default().with_topics(Some(topics)).with_allow_auto_topic_creation(may)
    };
    let refused = wire.ask(&ask("a", false), 12).await.topics[0].clone();
    assert_eq!(refused.error_code, Code::UnknownTopicOrPartition.code());
    let invalid = wire.ask(&ask("no/slash", true), 12).await.topics[0].clone();
    assert_eq!(invalid.error_code, Code::InvalidTopicException.code());
    let made = wire.ask(&ask("a", true), 12).await.topics[0].clone();
    assert_eq!((made.error_code, made.partitions.len()), (0, 1));
    assert_eq!((made.partitions[0].leader_id, made.partitions[0].isr_nodes.len()), (BrokerId(1), 1));
    let all = wire.ask(&MetadataRequest::default().with_topics(None), 9).await;
    assert_eq!(
        (all.topics.len(), all.brokers[0].port),
        (1, i32::from(server.broker.address().unwrap().port()))
    );
    assert_eq!(wire.ask(&MetadataRequest::default().with_topics(Some(vec![])), 9).await.topics.len(), 0);
    assert_eq!(wire.ask(&MetadataRequest::default().with_topics(Some(vec![])), 0).await.topics.len(), 1);

    let never = Server::with(|options| options.auto_create_topics = false).await;
    let refused = never.wire().await.ask(&ask("a", true), 12).await.topics[0].clone();
    assert_eq!(refused.error_code, Code::UnknownTopicOrPartition.code());
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_tells_of_topics_by_their_ids() {
    let server = Server::start().await;
    server.topic("a", 1, &[]);
    let mut wire = server.wire().await;
    let id = wire.ask(&MetadataRequest::default().with_topics(None), 12).await.topics[0].topic_id;
    // The Java client sends an empty name with each id.
    for name in [None, Some(topic("")), Some(topic("b"))] {
        let of = |id| MetadataRequestTopic::default().with_topic_id(id).with_name(name.clone());
        let mut topics = vec![of(id), of(uuid::Uuid::from_u128(3))];
        topics.push(MetadataRequestTopic::default().with_name(Some(topic("passed-over"))));
        let request =
            MetadataRequest::default().with_topics(Some(topics)).with_allow_auto_topic_creation(true);
        let found = wire.ask(&request, 12).await.topics;
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].error_code, found[0].topic_id, &found[0].name), (0, id, &Some(topic("a"))));
        assert_eq!((found[1].error_code, &found[1].name), (Code::UnknownTopicId.code(), &None));
    }
    let early = vec![MetadataRequestTopic::default().with_topic_id(id).with_name(Some(topic("a")))];
    let refused = wire.ask(&MetadataRequest::default().with_topics(Some(early)), 11).await.topics;
    assert_eq!(refused[0].error_code, Code::InvalidRequest.code());
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_shown_with_who_set_them_and_changed_one_by_one() {
    let server = Server::start().await;
    server.topic("t", 1, &[("retention.ms", "1000")]);
    let mut wire = server.wire().await;
    let alter = |name: &str, operation: i8, value: Option<&str>| {
        let config = AlterableConfig::default().with_name(text(name)).with_config_operation(operation);
        let config = config.with_value(value.map(text));
        let resource = AlterConfigsResource::default().with_resource_type(2).with_resource_name(text("t"));
        m::IncrementalAlterConfigsRequest::default().with_resources(vec![resource.with_configs(vec![config])])
    };
    let cases = [
        (alter("retention.ms", 0, Some("2000")), 0),
        (alter("cleanup.policy", 2, Some("compact")), 0),
        (alter("cleanup.policy", 3, Some("delete")), 0),
        (alter("segment.ms", 1, None), 0),
        (alter("retention.ms", 2, Some("1")), Code::InvalidConfig.code()),
        (alter("retention.ms", 0, None), Code::InvalidRequest.code()),
        (alter("retention.ms", 0, Some("x")), Code::InvalidConfig.code()),
        (alter("no.such", 0, Some("1")), Code::InvalidConfig.code()),
    ];
    for (request, code) in cases {
        assert_eq!(wire.ask(&request, 1).await.responses[0].error_code, code, "{request:?}");
    }
    let resource = |kind, name: &str| {
        let resource = DescribeConfigsResource::default().with_resource_type(kind);
        resource.with_resource_name(text(name)).with_configuration_keys(None)
    };
    let request = m::DescribeConfigsRequest::default()
        .with_include_synonyms(true)
        .with_include_documentation(true)
        .with_resources(vec![resource(2, "t"), resource(2, "u"), resource(4, "1"), resource(4, "2")]);
    let results = wire.ask(&request, 4).await.results;
    let find =
        |at: usize, name: &str| results[at].configs.iter().find(|it| &*it.name == name).unwrap().clone();
    let retention = find(0, "retention.ms");
    assert_eq!(
        (&**retention.value.as_ref().unwrap(), retention.config_source, retention.config_type),
        ("2000", 1, 5)
    );
    let synonyms: Vec<(&str, i8)> = retention.synonyms.iter().map(|it| (&*it.name, it.source)).collect();
    assert_eq!(synonyms, [("retention.ms", 1), ("log.retention.ms", 5)]);
    assert_eq!(&**find(0, "cleanup.policy").value.as_ref().unwrap(), "compact");
    assert!(
        results[0].configs.iter().all(|it| it.documentation.as_ref().is_some_and(|text| text.len() > 10))
    );
    assert_eq!(results[1].error_code, Code::UnknownTopicOrPartition.code());
    assert!(find(2, "num.partitions").read_only);
    assert_eq!(results[3].error_code, Code::InvalidRequest.code());
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_are_found_by_all_special_times_and_records_are_deleted() {
    let server = Server::start().await;
    server.topic("t", 1, &[]);
    server.topic("compacted", 1, &[("cleanup.policy", "compact")]);
    let mut wire = server.wire().await;
    let at = |timestamp: i64| {
        let mut builder = acme_records::BatchBuilder::with_capacity(64);
        builder.push(timestamp, None, Some(b"x"), &[]);
        bytes::Bytes::from(builder.finish(Compression::None).unwrap().stamped(Stamp::NONE).concat())
    };
    for timestamp in [1_000, 5_000, 3_000] {
        produce(&mut wire, "t", at(timestamp)).await;
    }
    let mut ask = async |timestamp: i64, version: i16| {
        let part = ListOffsetsPartition::default().with_timestamp(timestamp).with_current_leader_epoch(-1);
        let topic = ListOffsetsTopic::default().with_name(topic("t")).with_partitions(vec![part]);
        let response = wire.ask(&m::ListOffsetsRequest::default().with_topics(vec![topic]), version).await;
        let part = &response.topics[0].partitions[0];
        (part.error_code, part.offset, part.timestamp)
    };
    assert_eq!(ask(-1, 9).await, (0, 3, -1));
    assert_eq!(ask(-2, 9).await, (0, 0, -1));
    assert_eq!(ask(-3, 9).await, (0, 1, 5_000));
    assert_eq!(ask(-3, 6).await.0, Code::UnsupportedVersion.code());
    assert_eq!(ask(-4, 9).await, (0, 0, -1));
    assert_eq!(ask(-5, 9).await, (0, -1, -1));
    assert_eq!(ask(-9, 9).await.0, Code::UnsupportedVersion.code());
    assert_eq!(ask(1_001, 1).await, (0, 1, 5_000));
    assert_eq!(ask(6_000, 9).await, (0, -1, -1));

    let delete = async |name: &str, partition: i32, offset: i64| {
        let part = m::delete_records_request::DeleteRecordsPartition::default()
            .with_partition_index(partition)
            .with_offset(offset);
        let topic = m::delete_records_request::DeleteRecordsTopic::default().with_name(topic(name));
        let request = m::DeleteRecordsRequest::default().with_topics(vec![topic.with_partitions(vec![part])]);
        let response = server.wire().await.ask(&request, 2).await;
        let part = &response.topics[0].partitions[0];
        (part.error_code, part.low_watermark)
    };
    assert_eq!(delete("t", 0, 4).await, (Code::OffsetOutOfRange.code(), -1));
    assert_eq!(delete("t", 0, -2).await, (Code::OffsetOutOfRange.code(), -1));
    assert_eq!(delete("t", 1, 0).await, (Code::UnknownTopicOrPartition.code(), -1));
    assert_eq!(delete("compacted", 0, 0).await, (Code::PolicyViolation.code(), -1));
    assert_eq!(delete("t", 0, 2).await, (0, 2));
    assert_eq!(delete("t", 0, -1).await, (0, 3));
    let _ = batch;
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_are_described_in_pages() {
    let server = Server::start().await;
    for name in ["a", "b", "c"] {
        server.topic(name, 3, &[]);
    }
    let mut wire = server.wire().await;
    let mut cursor = None;
    let mut seen = Vec::new();
    loop {
        let request = m::DescribeTopicPartitionsRequest::default().with_response_partition_limit(4);
        let response = wire.ask(&request.with_cursor(cursor), 0).await;
        for topic in &response.topics {
            let name = topic.name.clone().unwrap().to_string();
            seen.extend(topic.partitions.iter().map(|part| format!("{name}{}", part.partition_index)));
        }
        let Some(next) = response.next_cursor else { break };
        let at = m::describe_topic_partitions_request::Cursor::default().with_topic_name(next.topic_name);
        cursor = Some(at.with_partition_index(next.partition_index));
    }
    assert_eq!(seen, ["a0", "a1", "a2", "b0", "b1", "b2", "c0", "c1", "c2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_asked_for_twice_is_answered_once_and_a_cursor_stands_at_one_that_is_asked_for() {
    let server = Server::start().await;
    server.topic("t", 1, &[]);
    let mut wire = server.wire().await;
    let asked = MetadataRequestTopic::default().with_name(Some(topic("t")));
    let twice = MetadataRequest::default().with_topics(Some(vec![asked.clone(), asked]));
    for version in [1, 12] {
        assert_eq!(wire.ask(&twice, version).await.topics.len(), 1);
    }
    for (name, code) in [("t", 0), ("elsewhere", Code::InvalidRequest.code())] {
        let asked = m::describe_topic_partitions_request::TopicRequest::default().with_name(topic("t"));
        let cursor = m::describe_topic_partitions_request::Cursor::default().with_topic_name(topic(name));
        let request = m::DescribeTopicPartitionsRequest::default()
            .with_topics(vec![asked])
            .with_response_partition_limit(9)
            .with_cursor(Some(cursor));
        assert_eq!(wire.ask(&request, 0).await.topics[0].error_code, code, "a cursor at {name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_of_the_coordinators_is_internal_whoever_makes_it() {
    let server = Server::start().await;
    let mut wire = server.wire().await;
    let request = CreateTopicsRequest::default().with_topics(vec![
        wanted("__consumer_offsets", 3, 1),
        wanted("__transaction_state", 2, 1),
        wanted("__mine", 1, 1),
    ]);
    let answer = wire.ask(&request, 7).await;
    assert!(answer.topics.iter().all(|topic| topic.error_code == 0), "{answer:?}");
    let answer = wire.ask(&MetadataRequest::default().with_topics(None), 12).await;
    for topic in answer.topics {
        let name = topic.name.unwrap().to_string();
        assert_eq!(topic.is_internal, name != "__mine", "{name}");
    }
}
