//! One response of each kind that the client decodes, with something in every list.

use super::{encoded, fetch, metadata, produce, topic};
use crate::wire::text;
use bytes::Bytes;
use kafka_protocol::messages as m;
use m::add_partitions_to_txn_response as adding;
use m::consumer_group_describe_response as consumers;
use m::describe_configs_response as configs;
use m::describe_groups_response as groups;
use m::describe_topic_partitions_response as parts;

/// Those that the codec does not read, byte for byte.
fn by_hand() -> [(&'static str, Vec<u8>); 2] {
    // An error, and two mechanisms.
    let handshake = [&[0, 0, 0, 1, 0, 33, 0, 0, 0, 2][..], b"\0\x05PLAIN\0\x05SCRAM"].concat();
    // An error, the time, and one topic with one partition.
    let start = [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    let deleted = [&start[..], b"\0\x01t", &[0, 0, 0, 1, 0, 0, 0, 3, 0, 0]].concat();
    [("SaslHandshakeRequest", handshake), ("OffsetDeleteRequest", deleted)]
}

/// Requests, the versions of their responses, and an example of each.
macro_rules! kinds {
    ($($request:ident $version:literal $response:expr;)*) => {
        /// Each kind with what `fuzz::response` takes for its example.
        pub(super) fn every() -> Vec<(String, Vec<u8>)> {
            let by_codec = [$((stringify!($request), encoded::<m::$request>(&$response, $version).to_vec())),*];
            let numbered = by_codec.into_iter().chain(by_hand()).zip(0_u8..);
            numbered.map(|((name, bytes), kind)| (name.to_owned(), [&[kind][..], &bytes].concat())).collect()
        }
    };
}

kinds! {
    MetadataRequest 12 metadata();
    FetchRequest 16 fetch();
    ProduceRequest 11 produce();
    ListOffsetsRequest 8 m::ListOffsetsResponse::default().with_topics(vec![
        m::list_offsets_response::ListOffsetsTopicResponse::default()
            .with_name(topic())
            .with_partitions(vec![Default::default(); 5]); 3]);
    FindCoordinatorRequest 4 m::FindCoordinatorResponse::default().with_coordinators(vec![
        m::find_coordinator_response::Coordinator::default().with_key(text("g")).with_host(text("kafka-1")); 5]);
    JoinGroupRequest 9 m::JoinGroupResponse::default()
        .with_protocol_type(Some(text("consumer")))
        .with_protocol_name(Some(text("range")))
        .with_members(vec![m::join_group_response::JoinGroupResponseMember::default()
            .with_member_id(text("m"))
            .with_metadata(Bytes::from_static(&[1; 40])); 5]);
    ApiVersionsRequest 3 m::ApiVersionsResponse::default()
        .with_api_keys(vec![Default::default(); 60])
        .with_finalized_features(vec![m::api_versions_response::FinalizedFeatureKey::default()
            .with_name(text("transaction.version")); 3]);
    OffsetFetchRequest 8 m::OffsetFetchResponse::default().with_groups(vec![
        m::offset_fetch_response::OffsetFetchResponseGroup::default().with_topics(vec![
            m::offset_fetch_response::OffsetFetchResponseTopics::default()
                .with_name(topic())
                .with_partitions(vec![m::offset_fetch_response::OffsetFetchResponsePartitions::default()
                    .with_metadata(Some(text("note"))); 4]); 3]); 2]);
    OffsetCommitRequest 8 m::OffsetCommitResponse::default().with_topics(vec![
        m::offset_commit_response::OffsetCommitResponseTopic::default()
            .with_name(topic())
            .with_partitions(vec![Default::default(); 4]); 3]);
    OffsetForLeaderEpochRequest 4 m::OffsetForLeaderEpochResponse::default().with_topics(vec![
        m::offset_for_leader_epoch_response::OffsetForLeaderTopicResult::default()
            .with_topic(topic())
            .with_partitions(vec![Default::default(); 4]); 3]);
    InitProducerIdRequest 4 m::InitProducerIdResponse::default();
    AddPartitionsToTxnRequest 3 m::AddPartitionsToTxnResponse::default().with_results_by_topic_v3_and_below(vec![
        adding::AddPartitionsToTxnTopicResult::default()
            .with_name(topic())
            .with_results_by_partition(vec![Default::default(); 4]); 3]);
    AddOffsetsToTxnRequest 3 m::AddOffsetsToTxnResponse::default();
    TxnOffsetCommitRequest 5 m::TxnOffsetCommitResponse::default().with_topics(vec![
        m::txn_offset_commit_response::TxnOffsetCommitResponseTopic::default()
            .with_name(topic())
            .with_partitions(vec![Default::default(); 4]); 3]);
    EndTxnRequest 5 m::EndTxnResponse::default();
    SyncGroupRequest 5 m::SyncGroupResponse::default()
        .with_protocol_type(Some(text("consumer")))
        .with_assignment(Bytes::from_static(&[1; 60]));
    HeartbeatRequest 4 m::HeartbeatResponse::default();
    LeaveGroupRequest 5 m::LeaveGroupResponse::default().with_members(vec![
        m::leave_group_response::MemberResponse::default().with_member_id(text("m")); 4]);
    ConsumerGroupHeartbeatRequest 0 m::ConsumerGroupHeartbeatResponse::default()
        .with_member_id(Some(text("m")))
        .with_assignment(Some(m::consumer_group_heartbeat_response::Assignment::default()
            .with_topic_partitions(vec![m::consumer_group_heartbeat_response::TopicPartitions::default()
                .with_partitions(vec![1, 2, 3]); 4])));
    ConsumerGroupDescribeRequest 0 m::ConsumerGroupDescribeResponse::default().with_groups(vec![
        consumers::DescribedGroup::default().with_members(vec![
            consumers::Member::default().with_subscribed_topic_names(vec![topic(); 2]); 3]); 2]);
    DescribeGroupsRequest 5 m::DescribeGroupsResponse::default().with_groups(vec![
        groups::DescribedGroup::default().with_members(vec![
            groups::DescribedGroupMember::default().with_member_assignment(Bytes::from_static(&[1; 30])); 3]); 2]);
    ListGroupsRequest 5 m::ListGroupsResponse::default().with_groups(vec![
        m::list_groups_response::ListedGroup::default().with_group_state(text("Stable")); 6]);
    DeleteGroupsRequest 2 m::DeleteGroupsResponse::default().with_results(vec![Default::default(); 6]);
    CreateTopicsRequest 7 m::CreateTopicsResponse::default().with_topics(vec![
        m::create_topics_response::CreatableTopicResult::default()
            .with_name(topic())
            .with_configs(Some(vec![Default::default(); 4])); 3]);
    CreatePartitionsRequest 3 m::CreatePartitionsResponse::default().with_results(vec![
        m::create_partitions_response::CreatePartitionsTopicResult::default().with_name(topic()); 4]);
    DeleteTopicsRequest 6 m::DeleteTopicsResponse::default().with_responses(vec![
        m::delete_topics_response::DeletableTopicResult::default().with_name(Some(topic())); 4]);
    DeleteRecordsRequest 2 m::DeleteRecordsResponse::default().with_topics(vec![
        m::delete_records_response::DeleteRecordsTopicResult::default()
            .with_name(topic())
            .with_partitions(vec![Default::default(); 4].into_iter().collect()); 3].into_iter().collect());
    DescribeConfigsRequest 4 m::DescribeConfigsResponse::default().with_results(vec![
        configs::DescribeConfigsResult::default().with_configs(vec![
            configs::DescribeConfigsResourceResult::default().with_synonyms(vec![Default::default(); 2]); 4]); 2]);
    IncrementalAlterConfigsRequest 1 m::IncrementalAlterConfigsResponse::default().with_responses(vec![
        m::incremental_alter_configs_response::AlterConfigsResourceResponse::default()
            .with_resource_name(text("orders")); 4]);
    DescribeTopicPartitionsRequest 0 m::DescribeTopicPartitionsResponse::default().with_topics(vec![
        parts::DescribeTopicPartitionsResponseTopic::default()
            .with_name(Some(topic()))
            .with_partitions(vec![parts::DescribeTopicPartitionsResponsePartition::default()
                .with_replica_nodes(vec![1.into(), 2.into()]); 4]); 2]);
    ListPartitionReassignmentsRequest 0 m::ListPartitionReassignmentsResponse::default().with_topics(vec![
        m::list_partition_reassignments_response::OngoingTopicReassignment::default()
            .with_name(topic())
            .with_partitions(vec![Default::default(); 4]); 2]);
    SaslAuthenticateRequest 2 m::SaslAuthenticateResponse::default().with_auth_bytes(Bytes::from_static(&[1; 40]));
    ListTransactionsRequest 1 m::ListTransactionsResponse::default().with_transaction_states(vec![
        m::list_transactions_response::TransactionState::default()
            .with_transactional_id(m::TransactionalId(text("acme-p/g/w")))
            .with_transaction_state(text("Ongoing")); 5]);
    DescribeTransactionsRequest 0 m::DescribeTransactionsResponse::default().with_transaction_states(vec![
        m::describe_transactions_response::TransactionState::default()
            .with_transactional_id(m::TransactionalId(text("acme-p/g/w")))
            .with_topics(vec![m::describe_transactions_response::TopicData::default()
                .with_topic(topic())
                .with_partitions(vec![1; 4]); 3]); 2]);
    DescribeLogDirsRequest 4 m::DescribeLogDirsResponse::default().with_results(vec![
        m::describe_log_dirs_response::DescribeLogDirsResult::default()
            .with_log_dir(text("/var/lib/kafka"))
            .with_topics(vec![m::describe_log_dirs_response::DescribeLogDirsTopic::default()
                .with_name(topic())
                .with_partitions(vec![Default::default(); 4]); 3]); 2]);
    DescribeProducersRequest 0 m::DescribeProducersResponse::default().with_topics(vec![
        m::describe_producers_response::TopicResponse::default()
            .with_name(topic())
            .with_partitions(vec![m::describe_producers_response::PartitionResponse::default()
                .with_error_message(Some(text("no")))
                .with_active_producers(vec![Default::default(); 3]); 3]); 2]);
    WriteTxnMarkersRequest 1 m::WriteTxnMarkersResponse::default().with_markers(vec![
        m::write_txn_markers_response::WritableTxnMarkerResult::default().with_topics(vec![
            m::write_txn_markers_response::WritableTxnMarkerTopicResult::default()
                .with_name(topic())
                .with_partitions(vec![Default::default(); 4]); 3]); 2]);
    DescribeClientQuotasRequest 1 m::DescribeClientQuotasResponse::default().with_entries(Some(vec![
        m::describe_client_quotas_response::EntryData::default()
            .with_entity(vec![m::describe_client_quotas_response::EntityData::default()
                .with_entity_type(text("user"))
                .with_entity_name(Some(text("u"))); 2])
            .with_values(vec![m::describe_client_quotas_response::ValueData::default()
                .with_key(text("producer_byte_rate")); 3]); 3]));
    AlterClientQuotasRequest 1 m::AlterClientQuotasResponse::default().with_entries(vec![
        m::alter_client_quotas_response::EntryData::default()
            .with_error_message(Some(text("no")))
            .with_entity(vec![m::alter_client_quotas_response::EntityData::default()
                .with_entity_type(text("user")); 2]); 3]);
    DescribeUserScramCredentialsRequest 0 m::DescribeUserScramCredentialsResponse::default().with_results(vec![
        m::describe_user_scram_credentials_response::DescribeUserScramCredentialsResult::default()
            .with_user(text("u"))
            .with_credential_infos(vec![Default::default(); 2]); 4]);
    AlterUserScramCredentialsRequest 0 m::AlterUserScramCredentialsResponse::default().with_results(vec![
        m::alter_user_scram_credentials_response::AlterUserScramCredentialsResult::default()
            .with_user(text("u"))
            .with_error_message(Some(text("no"))); 4]);
    ListConfigResourcesRequest 1 m::ListConfigResourcesResponse::default().with_config_resources(vec![
        m::list_config_resources_response::ConfigResource::default().with_resource_name(text("r")); 6]);
}
