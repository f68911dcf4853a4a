//! WriteTxnMarkers: an administrator ends a transaction that hangs (`kafka-transactions.sh abort`).

use super::Call;
use crate::error::Code;
use kafka_protocol::messages::write_txn_markers_response::{
    WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
};
use kafka_protocol::messages::{WriteTxnMarkersRequest, WriteTxnMarkersResponse};

pub(crate) async fn handle(call: &Call, request: WriteTxnMarkersRequest) -> WriteTxnMarkersResponse {
    let mut markers = Vec::with_capacity(request.markers.len());
    for marker in request.markers {
        let mut topics = Vec::with_capacity(marker.topics.len());
        for topic in marker.topics {
            let mut partitions = Vec::with_capacity(topic.partition_indexes.len());
            for index in topic.partition_indexes {
                let partition = call.context.log.topics().partition(&topic.name, index).cloned();
                let ended = match &partition {
                    None => Err(Code::UnknownTopicOrPartition),
                    Some(partition) => {
                        let (id, epoch) = (marker.producer_id.0, marker.producer_epoch);
                        let (commit, coordinator) = (marker.transaction_result, marker.coordinator_epoch);
                        call.context.transactions.end_in(partition, id, epoch, commit, coordinator).await
                    }
                };
                partitions.push(
                    WritableTxnMarkerPartitionResult::default()
                        .with_partition_index(index)
                        .with_error_code(ended.err().map_or(0, |error| error.code())),
                );
            }
            topics.push(
                WritableTxnMarkerTopicResult::default().with_name(topic.name).with_partitions(partitions),
            );
        }
        markers.push(
            WritableTxnMarkerResult::default().with_producer_id(marker.producer_id).with_topics(topics),
        );
    }
    WriteTxnMarkersResponse::default().with_markers(markers)
}
