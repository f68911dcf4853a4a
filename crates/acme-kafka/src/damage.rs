//! Tests: responses that were damaged on the way are errors, and nothing worse. No panic, no abort, no large allocation.

use crate::wire;
use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::api_versions_response::{ApiVersion, FinalizedFeatureKey};
use kafka_protocol::messages::fetch_response::{AbortedTransaction, FetchableTopicResponse, PartitionData};
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::produce_response::{
    BatchIndexAndErrorMessage, PartitionProduceResponse, TopicProduceResponse,
};
use kafka_protocol::messages::{
    ApiVersionsRequest, ApiVersionsResponse, FetchRequest, FetchResponse, FindCoordinatorRequest,
    FindCoordinatorResponse, JoinGroupRequest, JoinGroupResponse, ListOffsetsRequest, ListOffsetsResponse,
    MetadataRequest, MetadataResponse, ProduceRequest, ProduceResponse, TopicName,
};
use kafka_protocol::protocol::{Encodable, HeaderVersion, Request};
use std::process::Command;

/// xorshift: the seed tells everything.
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    /// Flips, overwrites, cuts or doubles some bytes.
    pub(crate) fn damage(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(4) {
            if bytes.is_empty() {
                return;
            }
            let at = self.below(bytes.len());
            match self.below(6) {
                0 => bytes[at] ^= 1 << self.below(8),
                1 => bytes[at] = [0, 0x7f, 0x80, 0xff][self.below(4)],
                2 => bytes.truncate(at),
                3 => {
                    // Four of these and a small byte are the largest lengths there are.
                    let end = (at + 1 + self.below(8)).min(bytes.len());
                    bytes[at..end].fill(0xff);
                }
                4 => {
                    bytes.remove(at);
                }
                _ => bytes.insert(at, self.below(256) as u8),
            }
        }
    }
}

/// A response as it lies on the wire.
fn encoded<R: Request>(response: &R::Response, version: i16) -> Bytes {
    let mut bytes = BytesMut::from(&[0, 0, 0, 1][..]);
    if R::Response::header_version(version) >= 1 {
        bytes.extend_from_slice(&[0]);
    }
    response.encode(&mut bytes, version).unwrap();
    bytes.freeze()
}

/// Decodes many damaged forms of a response; returns how many were refused.
fn refused<R: Request>(response: &R::Response, version: i16, salt: u64) -> usize {
    let whole = encoded::<R>(response, version);
    assert!(wire::decode::<R>(whole.clone(), version).is_ok(), "undamaged it is read");
    let mut refused = 0;
    for seed in 1..=2_000_u64 {
        let mut chance = Chance((seed ^ (salt << 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut bytes = whole.to_vec();
        chance.damage(&mut bytes);
        refused += usize::from(wire::decode::<R>(bytes.into(), version).is_err());
    }
    refused
}

fn topic() -> TopicName {
    TopicName(wire::text("orders"))
}

fn metadata() -> MetadataResponse {
    let broker = MetadataResponseBroker::default().with_host(wire::text("kafka-1.example")).with_port(9_092);
    let partition =
        MetadataResponsePartition::default().with_replica_nodes(vec![1.into(), 2.into(), 3.into()]);
    let topic = MetadataResponseTopic::default().with_name(Some(topic())).with_partitions(vec![partition; 9]);
    MetadataResponse::default().with_brokers(vec![broker; 3]).with_topics(vec![topic; 4])
}

fn fetch() -> FetchResponse {
    let aborted = AbortedTransaction::default().with_producer_id(7.into());
    let partition = PartitionData::default()
        .with_aborted_transactions(Some(vec![aborted; 3]))
        .with_records(Some(Bytes::from_static(&[3; 300])));
    let topic = FetchableTopicResponse::default().with_partitions(vec![partition; 5]);
    FetchResponse::default().with_responses(vec![topic; 3])
}

fn produce() -> ProduceResponse {
    let record = BatchIndexAndErrorMessage::default().with_batch_index_error_message(Some(wire::text("no")));
    let partition = PartitionProduceResponse::default().with_record_errors(vec![record; 3]);
    let topic =
        TopicProduceResponse::default().with_name(topic()).with_partition_responses(vec![partition; 4]);
    ProduceResponse::default().with_responses(vec![topic; 3])
}

fn every_kind() -> usize {
    let listed = ListOffsetsTopicResponse::default()
        .with_name(topic())
        .with_partitions(vec![ListOffsetsPartitionResponse::default(); 5]);
    let coordinator = Coordinator::default().with_key(wire::text("g")).with_host(wire::text("kafka-1"));
    let member = JoinGroupResponseMember::default()
        .with_member_id(wire::text("m"))
        .with_metadata(Bytes::from_static(&[1; 40]));
    let feature = FinalizedFeatureKey::default().with_name(wire::text("transaction.version"));
    let versions = ApiVersionsResponse::default()
        .with_api_keys(vec![ApiVersion::default(); 60])
        .with_finalized_features(vec![feature; 3]);
    let found = FindCoordinatorResponse::default().with_coordinators(vec![coordinator; 5]);
    let joined = JoinGroupResponse::default()
        .with_protocol_type(Some(wire::text("consumer")))
        .with_protocol_name(Some(wire::text("range")))
        .with_members(vec![member; 5]);
    refused::<MetadataRequest>(&metadata(), 12, 1)
        + refused::<FetchRequest>(&fetch(), 16, 2)
        + refused::<ProduceRequest>(&produce(), 11, 3)
        + refused::<ListOffsetsRequest>(&ListOffsetsResponse::default().with_topics(vec![listed; 3]), 8, 4)
        + refused::<FindCoordinatorRequest>(&found, 4, 5)
        + refused::<JoinGroupRequest>(&joined, 9, 6)
        + refused::<ApiVersionsRequest>(&versions, 3, 7)
}

/// Runs itself in a process of little memory: an allocation of what a damaged length announces would end it.
#[test]
fn damaged_responses_and_batches_are_errors_and_nothing_worse() {
    const WITHIN: &str = "ACME_KAFKA_LITTLE_MEMORY";
    const NAME: &str = "damage::damaged_responses_and_batches_are_errors_and_nothing_worse";
    if std::env::var_os(WITHIN).is_some() {
        crate::records::tests::read_damaged();
        let refused = every_kind();
        assert!(refused > 3_000, "{refused} of 14,000");
        return;
    }
    let me = std::env::current_exe().unwrap();
    // KiB of address space: the process itself needs some ten MiB and a stack.
    let script = "ulimit -v 131072 && exec \"$0\" --exact \"$1\" --test-threads 1";
    let output = Command::new("sh").args(["-c", script]).arg(me).arg(NAME).env(WITHIN, "1").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("1 passed"), "{text}");
}
