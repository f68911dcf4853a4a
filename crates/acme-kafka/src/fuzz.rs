//! Everything that reads what a broker sends, as functions of bytes: for `fuzz/`, and for the tests that run its corpus.
//!
//! They must come back, whatever the bytes are, without a panic and without a large allocation.

use crate::wire;
use bytes::Bytes;
use kafka_protocol::messages as m;

/// Requests, and the version in which their responses are read.
macro_rules! kinds {
    ($($request:ident $version:literal)*) => {
        /// The requests whose responses the codec reads, in the order of [`response`].
        pub const KINDS: &[&str] = &[$(stringify!($request)),*];

        fn decode(kind: usize, bytes: Bytes) -> bool {
            let mut number = 0;
            $(
                if kind == number {
                    return wire::decode::<m::$request>(bytes, $version).is_ok();
                }
                number += 1;
            )*
            let _ = number;
            false
        }
    };
}

kinds! {
    MetadataRequest 12
    FetchRequest 16
    ProduceRequest 11
    ListOffsetsRequest 8
    FindCoordinatorRequest 4
    JoinGroupRequest 9
    ApiVersionsRequest 3
    OffsetFetchRequest 8
    OffsetCommitRequest 8
    OffsetForLeaderEpochRequest 4
    InitProducerIdRequest 4
    AddPartitionsToTxnRequest 3
    AddOffsetsToTxnRequest 3
    TxnOffsetCommitRequest 5
    EndTxnRequest 5
    SyncGroupRequest 5
    HeartbeatRequest 4
    LeaveGroupRequest 5
    ConsumerGroupHeartbeatRequest 0
    ConsumerGroupDescribeRequest 0
    DescribeGroupsRequest 5
    ListGroupsRequest 5
    DeleteGroupsRequest 2
    CreateTopicsRequest 7
    CreatePartitionsRequest 3
    DeleteTopicsRequest 6
    DeleteRecordsRequest 2
    DescribeConfigsRequest 4
    IncrementalAlterConfigsRequest 1
    DescribeTopicPartitionsRequest 0
    ListPartitionReassignmentsRequest 0
    SaslAuthenticateRequest 2
    ListTransactionsRequest 1
    DescribeTransactionsRequest 0
    DescribeLogDirsRequest 4
    DescribeProducersRequest 0
    WriteTxnMarkersRequest 1
    DescribeClientQuotasRequest 1
    AlterClientQuotasRequest 1
    DescribeUserScramCredentialsRequest 0
    AlterUserScramCredentialsRequest 0
    ListConfigResourcesRequest 1
}

/// The requests whose responses are read by hand, behind those of [`KINDS`].
pub const BY_HAND: &[&str] = &["SaslHandshakeRequest", "OffsetDeleteRequest"];

/// A response: its kind in the first byte, then what lies on the wire. True if it was read.
#[must_use]
pub fn response(data: &[u8]) -> bool {
    let Some((kind, bytes)) = data.split_first() else { return false };
    let (kind, bytes) = (usize::from(*kind) % (KINDS.len() + BY_HAND.len()), Bytes::copy_from_slice(bytes));
    match kind.checked_sub(KINDS.len()) {
        None => decode(kind, bytes),
        Some(0) => crate::connection::read_handshake(bytes).is_ok(),
        Some(_) => crate::group::deleted_codes(bytes).is_ok(),
    }
}
