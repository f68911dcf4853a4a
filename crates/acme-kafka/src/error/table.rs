//! Every error code of the protocol: its number, its name, what a client does about it, and what it says.
//!
//! Source: Kafka protocol guide, "Error Codes". The class is what holds in general; where a request knows better
//! (an INVALID_PRODUCER_EPOCH of a producer without a transactional id, say), the code beside that request decides.

use super::Class::{self, Abort, Fatal, Fence, Ok, Refresh, Rejoin, Retry};

/// One line of the table.
pub(super) struct Row {
    #[cfg_attr(not(test), expect(dead_code, reason = "it makes the table readable, and is checked"))]
    pub(super) code: i16,
    pub(super) name: &'static str,
    pub(super) class: Class,
    pub(super) message: &'static str,
}

/// Sorted by code without a gap, from [`FIRST`] on.
#[rustfmt::skip]
pub(super) const TABLE: &[Row] = &[
    Row { code: -1, name: "UNKNOWN_SERVER_ERROR", class: Retry, message: "the broker failed in a way it did not expect" },
    Row { code: 0, name: "NONE", class: Ok, message: "no error" },
    Row { code: 1, name: "OFFSET_OUT_OF_RANGE", class: Fatal, message: "the offset is not in the log of the partition" },
    Row { code: 2, name: "CORRUPT_MESSAGE", class: Retry, message: "the checksum of a batch is wrong, or a compacted topic got a record without a key" },
    Row { code: 3, name: "UNKNOWN_TOPIC_OR_PARTITION", class: Refresh, message: "the broker does not have this topic or partition" },
    Row { code: 4, name: "INVALID_FETCH_SIZE", class: Fatal, message: "the fetch size is invalid" },
    Row { code: 5, name: "LEADER_NOT_AVAILABLE", class: Refresh, message: "the partition has no leader at the moment" },
    Row { code: 6, name: "NOT_LEADER_OR_FOLLOWER", class: Refresh, message: "the broker does not lead this partition" },
    Row { code: 7, name: "REQUEST_TIMED_OUT", class: Retry, message: "the broker ran out of time" },
    Row { code: 8, name: "BROKER_NOT_AVAILABLE", class: Refresh, message: "the broker is not available" },
    Row { code: 9, name: "REPLICA_NOT_AVAILABLE", class: Refresh, message: "the replica is not available" },
    Row { code: 10, name: "MESSAGE_TOO_LARGE", class: Fatal, message: "the batch is larger than the topic's max.message.bytes" },
    Row { code: 11, name: "STALE_CONTROLLER_EPOCH", class: Refresh, message: "the controller has moved" },
    Row { code: 12, name: "OFFSET_METADATA_TOO_LARGE", class: Fatal, message: "the metadata of the committed offset is larger than offset.metadata.max.bytes" },
    Row { code: 13, name: "NETWORK_EXCEPTION", class: Refresh, message: "the broker closed the connection before it answered" },
    Row { code: 14, name: "COORDINATOR_LOAD_IN_PROGRESS", class: Retry, message: "the coordinator is still loading" },
    Row { code: 15, name: "COORDINATOR_NOT_AVAILABLE", class: Refresh, message: "the coordinator is not available" },
    Row { code: 16, name: "NOT_COORDINATOR", class: Refresh, message: "the broker is not the coordinator" },
    Row { code: 17, name: "INVALID_TOPIC_EXCEPTION", class: Fatal, message: "the name of the topic is invalid" },
    Row { code: 18, name: "RECORD_LIST_TOO_LARGE", class: Fatal, message: "the batch is larger than the segment size of the topic" },
    Row { code: 19, name: "NOT_ENOUGH_REPLICAS", class: Retry, message: "fewer replicas are in sync than min.insync.replicas asks for" },
    Row { code: 20, name: "NOT_ENOUGH_REPLICAS_AFTER_APPEND", class: Retry, message: "the batch was written, but to fewer replicas than min.insync.replicas asks for" },
    Row { code: 21, name: "INVALID_REQUIRED_ACKS", class: Fatal, message: "acks must be -1, 0 or 1" },
    Row { code: 22, name: "ILLEGAL_GENERATION", class: Rejoin, message: "the generation of the group has passed" },
    Row { code: 23, name: "INCONSISTENT_GROUP_PROTOCOL", class: Fatal, message: "the members of the group have no assignor in common" },
    Row { code: 24, name: "INVALID_GROUP_ID", class: Fatal, message: "the group id is invalid" },
    Row { code: 25, name: "UNKNOWN_MEMBER_ID", class: Rejoin, message: "the coordinator does not know this member" },
    Row { code: 26, name: "INVALID_SESSION_TIMEOUT", class: Fatal, message: "the session timeout is outside of the broker's group.min/max.session.timeout.ms" },
    Row { code: 27, name: "REBALANCE_IN_PROGRESS", class: Rejoin, message: "the group is rebalancing" },
    Row { code: 28, name: "INVALID_COMMIT_OFFSET_SIZE", class: Fatal, message: "the committed offsets are too large for the offsets topic" },
    Row { code: 29, name: "TOPIC_AUTHORIZATION_FAILED", class: Fatal, message: "the user may not do this on the topic" },
    Row { code: 30, name: "GROUP_AUTHORIZATION_FAILED", class: Fatal, message: "the user may not use the group" },
    Row { code: 31, name: "CLUSTER_AUTHORIZATION_FAILED", class: Fatal, message: "the user may not do this on the cluster" },
    Row { code: 32, name: "INVALID_TIMESTAMP", class: Fatal, message: "the timestamp of a record is outside of the range that the topic allows" },
    Row { code: 33, name: "UNSUPPORTED_SASL_MECHANISM", class: Fatal, message: "the broker does not offer this SASL mechanism" },
    Row { code: 34, name: "ILLEGAL_SASL_STATE", class: Fatal, message: "the request does not fit the state of the SASL exchange" },
    Row { code: 35, name: "UNSUPPORTED_VERSION", class: Fatal, message: "the broker does not know this version of the request" },
    Row { code: 36, name: "TOPIC_ALREADY_EXISTS", class: Fatal, message: "a topic of this name exists" },
    Row { code: 37, name: "INVALID_PARTITIONS", class: Fatal, message: "the number of partitions is invalid" },
    Row { code: 38, name: "INVALID_REPLICATION_FACTOR", class: Fatal, message: "the replication factor is below 1 or above the number of brokers" },
    Row { code: 39, name: "INVALID_REPLICA_ASSIGNMENT", class: Fatal, message: "the assignment of replicas is invalid" },
    Row { code: 40, name: "INVALID_CONFIG", class: Fatal, message: "a setting is invalid" },
    Row { code: 41, name: "NOT_CONTROLLER", class: Refresh, message: "the broker is not the controller" },
    Row { code: 42, name: "INVALID_REQUEST", class: Fatal, message: "the broker finds the request malformed" },
    Row { code: 43, name: "UNSUPPORTED_FOR_MESSAGE_FORMAT", class: Fatal, message: "the message format of the topic is too old for the request" },
    Row { code: 44, name: "POLICY_VIOLATION", class: Fatal, message: "a policy of the cluster forbids it" },
    Row { code: 45, name: "OUT_OF_ORDER_SEQUENCE_NUMBER", class: Fatal, message: "the sequence number of the producer leaves a gap" },
    Row { code: 46, name: "DUPLICATE_SEQUENCE_NUMBER", class: Ok, message: "the batch is in the log already" },
    Row { code: 47, name: "INVALID_PRODUCER_EPOCH", class: Fence, message: "a newer instance of the producer exists" },
    Row { code: 48, name: "INVALID_TXN_STATE", class: Fatal, message: "the transaction is not in a state that allows this" },
    Row { code: 49, name: "INVALID_PRODUCER_ID_MAPPING", class: Fence, message: "the producer id does not belong to the transactional id any more" },
    Row { code: 50, name: "INVALID_TRANSACTION_TIMEOUT", class: Fatal, message: "the transaction timeout is above the broker's transaction.max.timeout.ms" },
    Row { code: 51, name: "CONCURRENT_TRANSACTIONS", class: Retry, message: "the last transaction of this id is still being completed" },
    Row { code: 52, name: "TRANSACTION_COORDINATOR_FENCED", class: Refresh, message: "the coordinator of the transaction has moved" },
    Row { code: 53, name: "TRANSACTIONAL_ID_AUTHORIZATION_FAILED", class: Fatal, message: "the user may not use the transactional id" },
    Row { code: 54, name: "SECURITY_DISABLED", class: Fatal, message: "the cluster has no authorizer" },
    Row { code: 55, name: "OPERATION_NOT_ATTEMPTED", class: Retry, message: "the broker left this part out because another part of the request failed" },
    Row { code: 56, name: "KAFKA_STORAGE_ERROR", class: Refresh, message: "the broker cannot read or write its log directory" },
    Row { code: 57, name: "LOG_DIR_NOT_FOUND", class: Fatal, message: "the broker does not have this log directory" },
    Row { code: 58, name: "SASL_AUTHENTICATION_FAILED", class: Fatal, message: "the broker rejects the credentials" },
    Row { code: 59, name: "UNKNOWN_PRODUCER_ID", class: Fatal, message: "the broker has forgotten the producer" },
    Row { code: 60, name: "REASSIGNMENT_IN_PROGRESS", class: Retry, message: "a reassignment of the partition is under way" },
    Row { code: 61, name: "DELEGATION_TOKEN_AUTH_DISABLED", class: Fatal, message: "the cluster has no delegation tokens" },
    Row { code: 62, name: "DELEGATION_TOKEN_NOT_FOUND", class: Fatal, message: "the delegation token is not known" },
    Row { code: 63, name: "DELEGATION_TOKEN_OWNER_MISMATCH", class: Fatal, message: "the delegation token belongs to another user" },
    Row { code: 64, name: "DELEGATION_TOKEN_REQUEST_NOT_ALLOWED", class: Fatal, message: "delegation tokens cannot be asked for over this connection" },
    Row { code: 65, name: "DELEGATION_TOKEN_AUTHORIZATION_FAILED", class: Fatal, message: "the user may not do this with delegation tokens" },
    Row { code: 66, name: "DELEGATION_TOKEN_EXPIRED", class: Fatal, message: "the delegation token has expired" },
    Row { code: 67, name: "INVALID_PRINCIPAL_TYPE", class: Fatal, message: "the type of principal is not supported" },
    Row { code: 68, name: "NON_EMPTY_GROUP", class: Fatal, message: "the group has members" },
    Row { code: 69, name: "GROUP_ID_NOT_FOUND", class: Fatal, message: "the group does not exist" },
    Row { code: 70, name: "FETCH_SESSION_ID_NOT_FOUND", class: Retry, message: "the broker has forgotten the fetch session" },
    Row { code: 71, name: "INVALID_FETCH_SESSION_EPOCH", class: Retry, message: "the epoch of the fetch session is not the expected one" },
    Row { code: 72, name: "LISTENER_NOT_FOUND", class: Refresh, message: "the leader has no listener of this name" },
    Row { code: 73, name: "TOPIC_DELETION_DISABLED", class: Fatal, message: "the cluster does not allow topics to be deleted" },
    Row { code: 74, name: "FENCED_LEADER_EPOCH", class: Refresh, message: "the partition has a newer leader" },
    Row { code: 75, name: "UNKNOWN_LEADER_EPOCH", class: Refresh, message: "the broker has not heard of this leader yet" },
    Row { code: 76, name: "UNSUPPORTED_COMPRESSION_TYPE", class: Fatal, message: "the compression is not supported" },
    Row { code: 77, name: "STALE_BROKER_EPOCH", class: Refresh, message: "the broker has restarted" },
    Row { code: 78, name: "OFFSET_NOT_AVAILABLE", class: Retry, message: "the new leader does not know the high watermark yet" },
    Row { code: 79, name: "MEMBER_ID_REQUIRED", class: Rejoin, message: "the member must join again with the id it was given" },
    Row { code: 80, name: "PREFERRED_LEADER_NOT_AVAILABLE", class: Retry, message: "the preferred leader is not available" },
    Row { code: 81, name: "GROUP_MAX_SIZE_REACHED", class: Fatal, message: "the group has as many members as group.max.size allows" },
    Row { code: 82, name: "FENCED_INSTANCE_ID", class: Fence, message: "another member uses the same group.instance.id" },
    Row { code: 83, name: "ELIGIBLE_LEADERS_NOT_AVAILABLE", class: Retry, message: "no replica may become leader at the moment" },
    Row { code: 84, name: "ELECTION_NOT_NEEDED", class: Ok, message: "the leader is the wanted one already" },
    Row { code: 85, name: "NO_REASSIGNMENT_IN_PROGRESS", class: Fatal, message: "no reassignment is under way" },
    Row { code: 86, name: "GROUP_SUBSCRIBED_TO_TOPIC", class: Fatal, message: "the group reads the topic, so its offsets cannot be deleted" },
    Row { code: 87, name: "INVALID_RECORD", class: Fatal, message: "the broker refuses a record" },
    Row { code: 88, name: "UNSTABLE_OFFSET_COMMIT", class: Retry, message: "an open transaction holds offsets of the group" },
    Row { code: 89, name: "THROTTLING_QUOTA_EXCEEDED", class: Retry, message: "a quota is used up" },
    Row { code: 90, name: "PRODUCER_FENCED", class: Fence, message: "a newer producer with the same transactional id exists" },
    Row { code: 91, name: "RESOURCE_NOT_FOUND", class: Fatal, message: "the resource does not exist" },
    Row { code: 92, name: "DUPLICATE_RESOURCE", class: Fatal, message: "the request names a resource twice" },
    Row { code: 93, name: "UNACCEPTABLE_CREDENTIAL", class: Fatal, message: "the credential does not meet the rules of the cluster" },
    Row { code: 94, name: "INCONSISTENT_VOTER_SET", class: Fatal, message: "the voters of the quorum differ" },
    Row { code: 95, name: "INVALID_UPDATE_VERSION", class: Fatal, message: "the version of the update is invalid" },
    Row { code: 96, name: "FEATURE_UPDATE_FAILED", class: Fatal, message: "the feature could not be updated" },
    Row { code: 97, name: "PRINCIPAL_DESERIALIZATION_FAILURE", class: Fatal, message: "a broker cannot read the principal that another one forwarded" },
    Row { code: 98, name: "SNAPSHOT_NOT_FOUND", class: Fatal, message: "the snapshot does not exist" },
    Row { code: 99, name: "POSITION_OUT_OF_RANGE", class: Fatal, message: "the position is not in the snapshot" },
    Row { code: 100, name: "UNKNOWN_TOPIC_ID", class: Refresh, message: "the broker does not have a topic of this id" },
    Row { code: 101, name: "DUPLICATE_BROKER_REGISTRATION", class: Fatal, message: "the broker id is in use" },
    Row { code: 102, name: "BROKER_ID_NOT_REGISTERED", class: Fatal, message: "the broker id is not registered" },
    Row { code: 103, name: "INCONSISTENT_TOPIC_ID", class: Refresh, message: "the log has another topic id than the request" },
    Row { code: 104, name: "INCONSISTENT_CLUSTER_ID", class: Fatal, message: "the broker belongs to another cluster" },
    Row { code: 105, name: "TRANSACTIONAL_ID_NOT_FOUND", class: Fatal, message: "the transactional id is not known" },
    Row { code: 106, name: "FETCH_SESSION_TOPIC_ID_ERROR", class: Retry, message: "the fetch session mixes topic ids and names" },
    Row { code: 107, name: "INELIGIBLE_REPLICA", class: Retry, message: "a replica may not join the in-sync set" },
    Row { code: 108, name: "NEW_LEADER_ELECTED", class: Refresh, message: "the partition has a new leader" },
    Row { code: 109, name: "OFFSET_MOVED_TO_TIERED_STORAGE", class: Fatal, message: "the offset lies in tiered storage" },
    Row { code: 110, name: "FENCED_MEMBER_EPOCH", class: Rejoin, message: "the coordinator has given the member's partitions away" },
    Row { code: 111, name: "UNRELEASED_INSTANCE_ID", class: Fatal, message: "another member still uses the group.instance.id" },
    Row { code: 112, name: "UNSUPPORTED_ASSIGNOR", class: Fatal, message: "the group does not support the assignor" },
    Row { code: 113, name: "STALE_MEMBER_EPOCH", class: Rejoin, message: "the member's epoch has passed; the next heartbeat brings the new one" },
    Row { code: 114, name: "MISMATCHED_ENDPOINT_TYPE", class: Fatal, message: "the request went to the wrong kind of endpoint" },
    Row { code: 115, name: "UNSUPPORTED_ENDPOINT_TYPE", class: Fatal, message: "the kind of endpoint is not supported" },
    Row { code: 116, name: "UNKNOWN_CONTROLLER_ID", class: Refresh, message: "the controller is not known" },
    Row { code: 117, name: "UNKNOWN_SUBSCRIPTION_ID", class: Fatal, message: "the telemetry subscription is outdated" },
    Row { code: 118, name: "TELEMETRY_TOO_LARGE", class: Fatal, message: "the telemetry is too large" },
    Row { code: 119, name: "INVALID_REGISTRATION", class: Fatal, message: "the controller refuses the registration of the broker" },
    Row { code: 120, name: "TRANSACTION_ABORTABLE", class: Abort, message: "the transaction cannot be committed; after an abort the producer can go on" },
    Row { code: 121, name: "INVALID_RECORD_STATE", class: Fatal, message: "the acknowledgement does not fit the state of the record" },
    Row { code: 122, name: "SHARE_SESSION_NOT_FOUND", class: Retry, message: "the share session does not exist" },
    Row { code: 123, name: "INVALID_SHARE_SESSION_EPOCH", class: Retry, message: "the epoch of the share session is not the expected one" },
    Row { code: 124, name: "FENCED_STATE_EPOCH", class: Fence, message: "the epoch of the share group's state has passed" },
    Row { code: 125, name: "INVALID_VOTER_KEY", class: Fatal, message: "the key of the voter does not match" },
    Row { code: 126, name: "DUPLICATE_VOTER", class: Fatal, message: "the voter is in the set already" },
    Row { code: 127, name: "VOTER_NOT_FOUND", class: Fatal, message: "the voter is not in the set" },
    Row { code: 128, name: "INVALID_REGULAR_EXPRESSION", class: Fatal, message: "the regular expression is invalid" },
    Row { code: 129, name: "REBOOTSTRAP_REQUIRED", class: Refresh, message: "the client must begin at its bootstrap servers again" },
    Row { code: 130, name: "STREAMS_INVALID_TOPOLOGY", class: Fatal, message: "the topology is invalid" },
    Row { code: 131, name: "STREAMS_INVALID_TOPOLOGY_EPOCH", class: Fatal, message: "the epoch of the topology is invalid" },
    Row { code: 132, name: "STREAMS_TOPOLOGY_FENCED", class: Fence, message: "a newer topology exists" },
    Row { code: 133, name: "SHARE_SESSION_LIMIT_REACHED", class: Retry, message: "the broker has as many share sessions as it allows" },
];

/// The code of the first row.
pub(super) const FIRST: i16 = -1;

/// The row of a code; codes of brokers newer than this table have none.
pub(super) fn row(code: i16) -> Option<&'static Row> {
    TABLE.get(usize::try_from(code.checked_sub(FIRST)?).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::error::ResponseError;

    #[test]
    fn the_table_is_sorted_without_a_gap() {
        for (index, entry) in TABLE.iter().enumerate() {
            assert_eq!(usize::try_from(entry.code - FIRST).unwrap(), index, "{}", entry.name);
        }
    }

    #[test]
    fn every_code_of_the_codec_has_a_row_with_its_name() {
        for code in -1..=133 {
            let Some(error) = ResponseError::try_from_code(code) else { continue };
            let name = row(code).unwrap().name.replace('_', "").to_lowercase();
            assert_eq!(name, error.to_string().to_lowercase(), "code {code}");
        }
        assert!(row(134).is_none());
        assert!(row(i16::MIN).is_none());
    }

    #[test]
    fn what_the_protocol_calls_retriable_is_not_fatal_here() {
        for entry in TABLE {
            let retriable =
                ResponseError::try_from_code(entry.code).is_some_and(|error| error.is_retriable());
            assert!(!retriable || entry.class != Fatal, "{} is fatal", entry.name);
        }
    }
}
