//! The one table of requests: versions, and the function that answers. ApiVersions is told from it.
//!
//! A handler is `async fn handle(call: &Call, request: XRequest) -> XResponse`. Requests of one connection are handled one
//! after the other, each to its end, as Kafka does it; only what follows a produce is not kept waiting for the disk.

mod add_offsets_to_txn;
mod add_partitions_to_txn;
mod alter_configs;
mod api_versions;
mod config;
mod consumer_group_describe;
mod consumer_group_heartbeat;
mod create_partitions;
mod create_topics;
mod delete_groups;
mod delete_records;
mod delete_topics;
mod describe_cluster;
mod describe_configs;
mod describe_groups;
mod describe_log_dirs;
mod describe_producers;
mod describe_topic_partitions;
mod describe_transactions;
mod end_txn;
mod fetch;
mod find_coordinator;
mod heartbeat;
mod incremental_alter_configs;
mod init_producer_id;
mod join_group;
mod leave_group;
mod list_groups;
mod list_offsets;
mod list_partition_reassignments;
mod list_transactions;
mod metadata;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod offset_for_leader_epoch;
mod produce;
mod sasl_authenticate;
mod sasl_handshake;
mod sync_group;
mod txn_offset_commit;
mod write_txn_markers;

use crate::connection::Session;
use crate::context::Context;
use crate::frame::{self, Head, Refused};
use bytes::{Bytes, BytesMut};
use kafka_protocol::messages as m;
use kafka_protocol::protocol::{Request, StrBytes};
use std::pin::Pin;
use std::sync::Arc;

/// What comes later.
pub(crate) type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// One request: who asks, and in which version.
pub(crate) struct Call {
    pub(crate) context: Arc<Context>,
    pub(crate) session: Arc<Session>,
    pub(crate) version: i16,
    pub(crate) correlation: i32,
    pub(crate) client_id: StrBytes,
}

/// An answer as it lies on the wire, its parts one behind the other.
#[derive(Default)]
pub(crate) struct Reply {
    pub(crate) parts: Vec<Bytes>,
    /// Counted until it is sent.
    pub(crate) held: Option<crate::context::Held>,
    /// The connection ends behind it.
    pub(crate) last: bool,
}

impl Reply {
    pub(crate) fn of(bytes: Bytes) -> Self {
        Self { parts: vec![bytes], ..Self::default() }
    }
}

/// How a request goes on.
pub(crate) enum Started {
    /// The next request waits for the end of this one.
    Alone(Later<Result<Reply, Refused>>),
    /// What must be in order is done; the answer (or none) comes when it is durable.
    Behind(Later<Result<Option<Reply>, Refused>>),
}

/// A request that is served, and its versions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Api {
    pub(crate) key: i16,
    pub(crate) min: i16,
    pub(crate) max: i16,
}

macro_rules! table {
    (own { $($own:ident $own_min:literal ..= $own_max:literal;)* }
     $($request:ident $min:literal ..= $max:literal $handler:path;)*) => {
        /// Everything that is served.
        pub(crate) const TABLE: &[Api] = &[
            $(Api { key: <m::$own as Request>::KEY, min: $own_min, max: $own_max },)*
            $(Api { key: <m::$request as Request>::KEY, min: $min, max: $max },)*
        ];

        /// Whether a body is that of a request of the table.
        #[cfg(any(test, fuzzing))]
        fn decodes(key: i16, version: i16, body: BytesMut) -> bool {
            match key {
                m::ProduceRequest::KEY => produce::reads(body, version),
                m::FetchRequest::KEY => frame::decode::<m::FetchRequest>(body.freeze(), version).is_ok(),
                $(<m::$request as Request>::KEY => frame::decode::<m::$request>(body.freeze(), version).is_ok(),)*
                _ => false,
            }
        }

        fn run(call: Call, key: i16, body: Bytes) -> Later<Result<Reply, Refused>> {
            match key {
                $(<m::$request as Request>::KEY => Box::pin(async move {
                    let request = frame::decode::<m::$request>(body, call.version)?;
                    let response = $handler(&call, request).await;
                    let mut reply = frame::encode(&response, key, call.version, call.correlation).map(Reply::of)?;
                    reply.last = call.session.exchange().is_failed();
                    Ok(reply)
                }),)*
                _ => Box::pin(async move { Err(Refused::Unknown(key, call.version)) }),
            }
        }
    };
}

table! {
    // These write their answers themselves.
    own {
        ProduceRequest 3..=13;
        FetchRequest 4..=17;
    }
    ApiVersionsRequest 0..=4 api_versions::handle;
    MetadataRequest 0..=13 metadata::handle;
    ListOffsetsRequest 1..=10 list_offsets::handle;
    OffsetForLeaderEpochRequest 2..=4 offset_for_leader_epoch::handle;
    SaslHandshakeRequest 0..=1 sasl_handshake::handle;
    SaslAuthenticateRequest 0..=2 sasl_authenticate::handle;
    CreateTopicsRequest 2..=7 create_topics::handle;
    DeleteTopicsRequest 1..=6 delete_topics::handle;
    CreatePartitionsRequest 0..=3 create_partitions::handle;
    DeleteRecordsRequest 0..=2 delete_records::handle;
    DescribeConfigsRequest 1..=4 describe_configs::handle;
    AlterConfigsRequest 0..=2 alter_configs::handle;
    IncrementalAlterConfigsRequest 0..=1 incremental_alter_configs::handle;
    DescribeLogDirsRequest 1..=4 describe_log_dirs::handle;
    DescribeClusterRequest 0..=2 describe_cluster::handle;
    DescribeProducersRequest 0..=0 describe_producers::handle;
    DescribeTopicPartitionsRequest 0..=0 describe_topic_partitions::handle;
    ListPartitionReassignmentsRequest 0..=0 list_partition_reassignments::handle;
    FindCoordinatorRequest 0..=6 find_coordinator::handle;
    JoinGroupRequest 0..=9 join_group::handle;
    SyncGroupRequest 0..=5 sync_group::handle;
    HeartbeatRequest 0..=4 heartbeat::handle;
    LeaveGroupRequest 0..=5 leave_group::handle;
    OffsetCommitRequest 2..=9 offset_commit::handle;
    OffsetFetchRequest 1..=9 offset_fetch::handle;
    OffsetDeleteRequest 0..=0 offset_delete::handle;
    DescribeGroupsRequest 0..=6 describe_groups::handle;
    ListGroupsRequest 0..=5 list_groups::handle;
    DeleteGroupsRequest 0..=2 delete_groups::handle;
    ConsumerGroupHeartbeatRequest 0..=1 consumer_group_heartbeat::handle;
    ConsumerGroupDescribeRequest 0..=1 consumer_group_describe::handle;
    InitProducerIdRequest 0..=5 init_producer_id::handle;
    AddPartitionsToTxnRequest 0..=5 add_partitions_to_txn::handle;
    AddOffsetsToTxnRequest 0..=4 add_offsets_to_txn::handle;
    TxnOffsetCommitRequest 0..=5 txn_offset_commit::handle;
    EndTxnRequest 0..=5 end_txn::handle;
    DescribeTransactionsRequest 0..=0 describe_transactions::handle;
    ListTransactionsRequest 0..=2 list_transactions::handle;
    WriteTxnMarkersRequest 1..=1 write_txn_markers::handle;
}

/// The entry of a request.
pub(crate) fn find(key: i16) -> Option<&'static Api> {
    TABLE.iter().find(|api| api.key == key)
}

/// Whether this is a request that would be handled.
#[cfg(any(test, fuzzing))]
pub(crate) fn reads(head: &Head, mut rest: BytesMut) -> bool {
    let api = find(head.key).filter(|api| (api.min..=api.max).contains(&head.version));
    let tags = if is_flexible(head.key, head.version) { frame::skip_tags(&mut rest) } else { Ok(()) };
    api.is_some() && tags.is_ok() && decodes(head.key, head.version, rest)
}

fn is_flexible(key: i16, version: i16) -> bool {
    m::ApiKey::try_from(key).is_ok_and(|api| api.request_header_version(version) >= 2)
}

/// Starts a request whose header has been read.
pub(crate) async fn start(
    context: &Arc<Context>,
    session: &Arc<Session>,
    head: Head,
    mut rest: BytesMut,
) -> Result<Started, Refused> {
    let Head { key, version, correlation, client_id } = head;
    let api = find(key).ok_or(Refused::Unknown(key, version))?;
    if !(api.min..=api.max).contains(&version) {
        if key == m::ApiVersionsRequest::KEY {
            return Ok(Started::Alone(Box::pin(async move { api_versions::unsupported(correlation) })));
        }
        return Err(Refused::Unknown(key, version));
    }
    if is_flexible(key, version) {
        frame::skip_tags(&mut rest)?;
    }
    let call =
        Call { context: Arc::clone(context), session: Arc::clone(session), version, correlation, client_id };
    if key == m::ProduceRequest::KEY {
        return produce::start(call, rest).await.map(Started::Behind);
    }
    let body = rest.freeze();
    if key == m::FetchRequest::KEY {
        return Ok(Started::Alone(Box::pin(async move {
            let request = frame::decode::<m::FetchRequest>(body, version)?;
            fetch::handle(&call, request).await
        })));
    }
    Ok(Started::Alone(run(call, key, body)))
}
