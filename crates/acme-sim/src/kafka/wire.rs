//! Frames to messages and back, by the codec's side for brokers.

use super::Cluster;
use acme_kafka::kafka_protocol::messages::api_versions_response::{ApiVersion, FinalizedFeatureKey};
use acme_kafka::kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, ApiKey, ApiVersionsRequest, ApiVersionsResponse,
    ConsumerGroupHeartbeatRequest, EndTxnRequest, FetchRequest, FindCoordinatorRequest, HeartbeatRequest,
    InitProducerIdRequest, JoinGroupRequest, LeaveGroupRequest, ListOffsetsRequest, MetadataRequest,
    OffsetCommitRequest, OffsetFetchRequest, OffsetForLeaderEpochRequest, ProduceRequest, RequestHeader,
    SyncGroupRequest, TxnOffsetCommitRequest,
};
use acme_kafka::kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use bytes::{BufMut, Bytes, BytesMut};
use std::sync::Arc;

/// A text as the codec wants it.
pub(super) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// What a broker can do: key, first and last version.
fn known(cluster: &Cluster) -> Vec<(ApiKey, i16, i16)> {
    let newer = |old, new| if cluster.options.implicit { new } else { old };
    vec![
        (ApiKey::ApiVersions, 0, 3),
        (ApiKey::Metadata, 9, 12),
        (ApiKey::Produce, 9, newer(11, 12)),
        (ApiKey::Fetch, 12, cluster.options.fetch_max),
        (ApiKey::ListOffsets, 6, 8),
        (ApiKey::OffsetForLeaderEpoch, 4, 4),
        (ApiKey::InitProducerId, 4, 4),
        (ApiKey::FindCoordinator, 3, newer(3, 4)),
        (ApiKey::OffsetCommit, 8, 8),
        (ApiKey::OffsetFetch, 7, newer(7, 8)),
        (ApiKey::AddPartitionsToTxn, 3, 3),
        (ApiKey::AddOffsetsToTxn, 3, 3),
        (ApiKey::TxnOffsetCommit, 3, newer(4, 5)),
        (ApiKey::EndTxn, 3, newer(4, 5)),
        (ApiKey::JoinGroup, 5, newer(7, 9)),
        (ApiKey::SyncGroup, 5, 5),
        (ApiKey::Heartbeat, 4, 4),
        (ApiKey::LeaveGroup, 4, newer(4, 5)),
        (ApiKey::ConsumerGroupHeartbeat, 0, newer(0, 1)),
    ]
}

fn versions(cluster: &Cluster) -> ApiVersionsResponse {
    let api = |(key, min, max): (ApiKey, i16, i16)| {
        ApiVersion::default().with_api_key(key as i16).with_min_version(min).with_max_version(max)
    };
    let feature = FinalizedFeatureKey::default().with_name(text("transaction.version"));
    let features =
        cluster.options.implicit.then(|| feature.with_max_version_level(2).with_min_version_level(2));
    ApiVersionsResponse::default()
        .with_api_keys(known(cluster).into_iter().map(api).collect())
        .with_finalized_features(features.into_iter().collect())
        .with_finalized_features_epoch(0)
}

/// What a broker makes of a request; `None` closes the connection.
pub(super) async fn handle(cluster: &Arc<Cluster>, broker: i32, mut frame: Bytes) -> Option<Bytes> {
    let (key, version) = (frame.get(..2)?, frame.get(2..4)?);
    let key = ApiKey::try_from(i16::from_be_bytes(key.try_into().ok()?)).ok()?;
    let version = i16::from_be_bytes(version.try_into().ok()?);
    let may =
        known(cluster).iter().any(|(known, min, max)| *known == key && (*min..=*max).contains(&version));
    assert!(may, "{key:?} {version} was not offered");
    let header = RequestHeader::decode(&mut frame, key.request_header_version(version)).expect("a header");
    let question = Question { correlation: header.correlation_id, version, body: frame };
    Some(match key {
        ApiKey::ApiVersions => question.answer::<ApiVersionsRequest>(&versions(cluster)),
        ApiKey::Metadata => {
            let request = question.read::<MetadataRequest>();
            question.answer::<MetadataRequest>(&cluster.metadata(broker, &request))
        }
        ApiKey::Produce => {
            let request = question.read::<ProduceRequest>();
            question.answer::<ProduceRequest>(&cluster.produce(broker, request, version).await)
        }
        ApiKey::Fetch => {
            let request = question.read::<FetchRequest>();
            question.answer::<FetchRequest>(&cluster.fetch(broker, request, version).await)
        }
        ApiKey::ListOffsets => {
            let request = question.read::<ListOffsetsRequest>();
            question.answer::<ListOffsetsRequest>(&cluster.list_offsets(broker, request))
        }
        ApiKey::OffsetForLeaderEpoch => {
            let request = question.read::<OffsetForLeaderEpochRequest>();
            question.answer::<OffsetForLeaderEpochRequest>(&cluster.epochs(broker, request))
        }
        _ => match of_group(cluster, broker, key, &question).await {
            Some(answer) => answer,
            None => transactional(cluster, broker, key, &question),
        },
    })
}

/// What a coordinator makes of a request about the group; `None` if it is about something else.
async fn of_group(cluster: &Arc<Cluster>, broker: i32, key: ApiKey, question: &Question) -> Option<Bytes> {
    Some(match key {
        ApiKey::FindCoordinator => {
            let request = question.read::<FindCoordinatorRequest>();
            question.answer::<FindCoordinatorRequest>(&cluster.find_coordinator(request))
        }
        ApiKey::OffsetCommit => {
            let request = question.read::<OffsetCommitRequest>();
            question.answer::<OffsetCommitRequest>(&cluster.offset_commit(broker, request))
        }
        ApiKey::OffsetFetch => {
            let request = question.read::<OffsetFetchRequest>();
            question.answer::<OffsetFetchRequest>(&cluster.offset_fetch(broker, request, question.version))
        }
        ApiKey::JoinGroup => {
            let request = question.read::<JoinGroupRequest>();
            question.answer::<JoinGroupRequest>(&cluster.join_group(broker, request).await)
        }
        ApiKey::SyncGroup => {
            let request = question.read::<SyncGroupRequest>();
            question.answer::<SyncGroupRequest>(&cluster.sync_group(broker, request).await)
        }
        ApiKey::Heartbeat => {
            let request = question.read::<HeartbeatRequest>();
            question.answer::<HeartbeatRequest>(&cluster.heartbeat(broker, &request))
        }
        ApiKey::LeaveGroup => {
            let request = question.read::<LeaveGroupRequest>();
            question.answer::<LeaveGroupRequest>(&cluster.leave_group(broker, &request))
        }
        ApiKey::ConsumerGroupHeartbeat => {
            let request = question.read::<ConsumerGroupHeartbeatRequest>();
            question.answer::<ConsumerGroupHeartbeatRequest>(&cluster.group_heartbeat(broker, &request))
        }
        _ => return None,
    })
}

fn transactional(cluster: &Arc<Cluster>, broker: i32, key: ApiKey, question: &Question) -> Bytes {
    match key {
        ApiKey::InitProducerId => {
            let request = question.read::<InitProducerIdRequest>();
            question.answer::<InitProducerIdRequest>(&cluster.init_producer(broker, &request))
        }
        ApiKey::AddPartitionsToTxn => {
            let request = question.read::<AddPartitionsToTxnRequest>();
            question.answer::<AddPartitionsToTxnRequest>(&cluster.add_partitions(broker, request))
        }
        ApiKey::AddOffsetsToTxn => {
            let request = question.read::<AddOffsetsToTxnRequest>();
            question.answer::<AddOffsetsToTxnRequest>(&cluster.add_offsets(broker, &request))
        }
        ApiKey::TxnOffsetCommit => {
            let request = question.read::<TxnOffsetCommitRequest>();
            question.answer::<TxnOffsetCommitRequest>(&cluster.txn_offset_commit(
                broker,
                request,
                question.version,
            ))
        }
        ApiKey::EndTxn => {
            let request = question.read::<EndTxnRequest>();
            question.answer::<EndTxnRequest>(&cluster.end_transaction(broker, &request, question.version))
        }
        other => panic!("{other:?} was not offered"),
    }
}

struct Question {
    correlation: i32,
    version: i16,
    body: Bytes,
}

impl Question {
    fn read<R: Request>(&self) -> R {
        let mut body = self.body.clone();
        let request = R::decode(&mut body, self.version).expect("the client follows the protocol");
        assert!(body.is_empty(), "request {} has bytes left over", R::KEY);
        request
    }

    fn answer<R: Request>(&self, response: &R::Response) -> Bytes {
        let mut bytes = BytesMut::new();
        bytes.put_i32(self.correlation);
        if R::Response::header_version(self.version) >= 1 {
            bytes.put_u8(0);
        }
        response.encode(&mut bytes, self.version).expect("it fits its version");
        bytes.freeze()
    }
}
