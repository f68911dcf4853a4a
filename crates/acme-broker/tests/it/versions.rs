//! Every request in every version that is offered: it is understood and answered in the shape of that version.

use crate::support::{Server, batch, text, topic};
use acme_records::{Compression, Stamp};
use bytes::Bytes;
use kafka_protocol::error::ResponseError as Code;
use kafka_protocol::messages as m;
use kafka_protocol::messages::{ApiKey, ApiVersionsRequest, BrokerId};
use kafka_protocol::protocol::Request;
use std::collections::BTreeSet;
use uuid::Uuid;

/// Requests with something in every list, for a topic `t` of one partition.
macro_rules! requests {
    ($($name:ident |$version:ident, $id:ident| $request:expr;)*) => {
        /// Asks everything in every version; the keys that were asked.
        async fn ask_all(server: &Server, offered: &[(i16, i16, i16)]) -> BTreeSet<i16> {
            let id = server.log.topics().named("t").unwrap().id;
            let mut asked = BTreeSet::new();
            $(
                let key = <m::$name as Request>::KEY;
                let (_, min, max) = *offered.iter().find(|(offered, ..)| *offered == key).expect(stringify!($name));
                // Produce is said to be served from 0 on, and is from 3 on.
                for version in if key == 0 { 3 } else { min }..=max {
                    let ($version, $id) = (version, id);
                    let _ = ($version, $id);
                    let mut wire = server.wire().await;
                    let response = wire.ask::<m::$name>(&$request, version).await;
                    let _ = response;
                    asked.insert(key);
                }
            )*
            asked
        }
    };
}

fn by_name<T: Default>(version: i16, until: i16, name: T) -> T {
    if version <= until { name } else { T::default() }
}

fn by_id(version: i16, from: i16, id: Uuid) -> Uuid {
    if version >= from { id } else { Uuid::nil() }
}

requests! {
    ProduceRequest |version, id| m::ProduceRequest::default().with_acks(-1).with_topic_data(vec![
        m::produce_request::TopicProduceData::default()
            .with_name(by_name(version, 12, topic("t")))
            .with_topic_id(by_id(version, 13, id))
            .with_partition_data(vec![m::produce_request::PartitionProduceData::default()
                .with_records(Some(batch(&[b"x"], Compression::None, Stamp::NONE)))])]);
    FetchRequest |version, id| m::FetchRequest::default()
        .with_max_bytes(1 << 20)
        .with_session_epoch(-1)
        .with_rack_id(if version >= 11 { text("r") } else { text("") })
        .with_topics(vec![m::fetch_request::FetchTopic::default()
            .with_topic(by_name(version, 12, topic("t")))
            .with_topic_id(by_id(version, 13, id))
            .with_partitions(vec![m::fetch_request::FetchPartition::default()
                .with_current_leader_epoch(-1)
                .with_partition_max_bytes(1 << 20)])]);
    ListOffsetsRequest |version, id| m::ListOffsetsRequest::default().with_topics(vec![
        m::list_offsets_request::ListOffsetsTopic::default().with_name(topic("t")).with_partitions(vec![
            m::list_offsets_request::ListOffsetsPartition::default().with_current_leader_epoch(-1).with_timestamp(-1)])]);
    MetadataRequest |version, id| m::MetadataRequest::default().with_topics(Some(vec![
        m::metadata_request::MetadataRequestTopic::default().with_name(Some(topic("t")))]));
    ApiVersionsRequest |version, id| ApiVersionsRequest::default()
        .with_client_software_name(by_name(-version, -3, text("test")))
        .with_client_software_version(by_name(-version, -3, text("1.0")));
    OffsetForLeaderEpochRequest |version, id| m::OffsetForLeaderEpochRequest::default().with_topics(vec![
        m::offset_for_leader_epoch_request::OffsetForLeaderTopic::default().with_topic(topic("t")).with_partitions(vec![
            m::offset_for_leader_epoch_request::OffsetForLeaderPartition::default().with_current_leader_epoch(-1)])]);
    CreateTopicsRequest |version, id| m::CreateTopicsRequest::default().with_topics(vec![
        m::create_topics_request::CreatableTopic::default()
            .with_name(topic(&format!("created-{version}")))
            .with_num_partitions(2)
            .with_replication_factor(1)
            .with_configs(vec![m::create_topics_request::CreatableTopicConfig::default()
                .with_name(text("retention.ms")).with_value(Some(text("5000")))])]);
    CreatePartitionsRequest |version, id| m::CreatePartitionsRequest::default().with_topics(vec![
        m::create_partitions_request::CreatePartitionsTopic::default()
            .with_name(topic(&format!("created-{}", version + 2)))
            .with_count(3)
            .with_assignments(Some(vec![
                m::create_partitions_request::CreatePartitionsAssignment::default().with_broker_ids(vec![BrokerId(1)])]))]);
    DescribeTopicPartitionsRequest |version, id| m::DescribeTopicPartitionsRequest::default()
        .with_topics(vec![m::describe_topic_partitions_request::TopicRequest::default().with_name(topic("t"))])
        .with_response_partition_limit(5)
        .with_cursor(Some(m::describe_topic_partitions_request::Cursor::default().with_topic_name(topic("t"))));
    DeleteTopicsRequest |version, id| m::DeleteTopicsRequest::default()
        .with_topic_names(by_name(version, 5, vec![topic(&format!("created-{version}")), topic("u")]))
        .with_topics(by_name(-version, -6, vec![
            m::delete_topics_request::DeleteTopicState::default().with_name(Some(topic("created-6"))),
            m::delete_topics_request::DeleteTopicState::default().with_topic_id(Uuid::from_u128(5)).with_name(None)]));
    DeleteRecordsRequest |version, id| m::DeleteRecordsRequest::default().with_topics(vec![
        m::delete_records_request::DeleteRecordsTopic::default().with_name(topic("t")).with_partitions(vec![
            m::delete_records_request::DeleteRecordsPartition::default().with_offset(1)])]);
    DescribeConfigsRequest |version, id| m::DescribeConfigsRequest::default()
        .with_include_synonyms(true)
        .with_include_documentation(version >= 3)
        .with_resources(vec![
            m::describe_configs_request::DescribeConfigsResource::default()
                .with_resource_type(2).with_resource_name(text("t")).with_configuration_keys(None),
            m::describe_configs_request::DescribeConfigsResource::default()
                .with_resource_type(4).with_resource_name(text("1"))
                .with_configuration_keys(Some(vec![text("node.id")])),
            m::describe_configs_request::DescribeConfigsResource::default()
                .with_resource_type(4).with_resource_name(text("7"))]);
    AlterConfigsRequest |version, id| m::AlterConfigsRequest::default().with_resources(vec![
        m::alter_configs_request::AlterConfigsResource::default().with_resource_type(2).with_resource_name(text("t"))
            .with_configs(vec![m::alter_configs_request::AlterableConfig::default()
                .with_name(text("retention.ms")).with_value(Some(text("900000")))])]);
    IncrementalAlterConfigsRequest |version, id| m::IncrementalAlterConfigsRequest::default().with_resources(vec![
        m::incremental_alter_configs_request::AlterConfigsResource::default()
            .with_resource_type(2).with_resource_name(text("t"))
            .with_configs(vec![m::incremental_alter_configs_request::AlterableConfig::default()
                .with_name(text("retention.ms")).with_config_operation(1).with_value(None)])]);
    DescribeLogDirsRequest |version, id| m::DescribeLogDirsRequest::default().with_topics(Some(vec![
        m::describe_log_dirs_request::DescribableLogDirTopic::default().with_topic(topic("t")).with_partitions(vec![0, 5])]));
    DescribeClusterRequest |version, id| m::DescribeClusterRequest::default();
    DescribeProducersRequest |version, id| m::DescribeProducersRequest::default().with_topics(vec![
        m::describe_producers_request::TopicRequest::default().with_name(topic("t")).with_partition_indexes(vec![0, 5])]);
    ListPartitionReassignmentsRequest |version, id| m::ListPartitionReassignmentsRequest::default();
    SaslHandshakeRequest |version, id| m::SaslHandshakeRequest::default().with_mechanism(text("PLAIN"));
    SaslAuthenticateRequest |version, id| m::SaslAuthenticateRequest::default()
        .with_auth_bytes(Bytes::from_static(b"\0a\0b"));
}

/// Keys whose requests the coordinators serve; their own tests ask them.
const COORDINATORS: &[ApiKey] = &[
    ApiKey::FindCoordinator,
    ApiKey::JoinGroup,
    ApiKey::SyncGroup,
    ApiKey::Heartbeat,
    ApiKey::LeaveGroup,
    ApiKey::OffsetCommit,
    ApiKey::OffsetFetch,
    ApiKey::OffsetDelete,
    ApiKey::DescribeGroups,
    ApiKey::ListGroups,
    ApiKey::DeleteGroups,
    ApiKey::ConsumerGroupHeartbeat,
    ApiKey::ConsumerGroupDescribe,
    ApiKey::InitProducerId,
    ApiKey::AddPartitionsToTxn,
    ApiKey::AddOffsetsToTxn,
    ApiKey::TxnOffsetCommit,
    ApiKey::EndTxn,
    ApiKey::WriteTxnMarkers,
    ApiKey::DescribeTransactions,
    ApiKey::ListTransactions,
];

#[tokio::test(flavor = "multi_thread")]
async fn every_request_is_answered_in_every_version_that_is_offered() {
    let server = Server::start().await;
    server.topic("t", 1, &[]);
    let versions = server.wire().await.ask(&ApiVersionsRequest::default(), 0).await;
    let offered: Vec<(i16, i16, i16)> =
        versions.api_keys.iter().map(|api| (api.api_key, api.min_version, api.max_version)).collect();
    let asked = ask_all(&server, &offered).await;
    let others = offered.iter().filter(|(key, ..)| !asked.contains(key));
    let missing: Vec<i16> = others
        .map(|(key, ..)| *key)
        .filter(|key| !COORDINATORS.iter().any(|other| *other as i16 == *key))
        .collect();
    assert!(missing.is_empty(), "add them to the table above: {missing:?}");
    assert!(asked.len() >= 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_of_the_future_is_answered_with_those_of_today() {
    let server = Server::start().await;
    let mut wire = server.wire().await;
    let mut frame = crate::support::frame(&ApiVersionsRequest::default(), 3, 1);
    frame[6..8].copy_from_slice(&77_i16.to_be_bytes());
    tokio::io::AsyncWriteExt::write_all(&mut wire.stream, &frame).await.unwrap();
    let mut answer = wire.frame().await.unwrap();
    let _ = answer.split_to(4);
    let response =
        <m::ApiVersionsResponse as kafka_protocol::protocol::Decodable>::decode(&mut answer, 0).unwrap();
    assert_eq!(response.error_code, Code::UnsupportedVersion.code());
    assert_eq!(response.api_keys.len(), 1);
    assert_eq!((response.api_keys[0].api_key, response.api_keys[0].max_version), (18, 4));
    // The connection goes on.
    let mut named = ApiVersionsRequest::default();
    named.client_software_name = text("bad name");
    let answer = wire.receive_after(&named, 3).await;
    assert_eq!(answer.error_code, Code::InvalidRequest.code());
    named.client_software_name = text("good-name");
    named.client_software_version = text("1");
    let old = wire.receive_after(&named, 3).await;
    let new = wire.receive_after(&named, 4).await;
    let level = |response: &m::ApiVersionsResponse, name: &str| {
        let found = response.finalized_features.iter().find(|feature| &*feature.name == name);
        found.map(|feature| feature.max_version_level)
    };
    assert_eq!((level(&old, "transaction.version"), level(&old, "group.version")), (Some(2), Some(1)));
    assert_eq!((old.supported_features.len(), new.supported_features.len()), (1, 3));
}

impl crate::support::Wire<tokio::net::TcpStream> {
    async fn receive_after(&mut self, request: &ApiVersionsRequest, version: i16) -> m::ApiVersionsResponse {
        self.ask(request, version).await
    }
}
