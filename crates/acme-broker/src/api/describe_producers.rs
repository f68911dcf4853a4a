//! DescribeProducers (KIP-664): who has written to a partition lately, and whose transaction is open there.

use super::Call;
use crate::error::{self, Code};
use acme_log::ActiveProducer;
use kafka_protocol::messages::describe_producers_response::{
    PartitionResponse, ProducerState, TopicResponse,
};
use kafka_protocol::messages::{DescribeProducersRequest, DescribeProducersResponse, ProducerId};
use std::collections::BTreeMap;

pub(crate) async fn handle(call: &Call, request: DescribeProducersRequest) -> DescribeProducersResponse {
    let topics = call.context.log.topics();
    let described = request.topics.iter().map(|topic| {
        let parts = topic.partition_indexes.iter().map(|number| {
            let part = PartitionResponse::default().with_partition_index(*number).with_error_message(None);
            match topics.partition(&topic.name, *number) {
                None if topics.named(&topic.name).is_some() => {
                    part.with_error_code(Code::UnknownTopicOrPartition.code())
                }
                None => {
                    let invalid = call.context.log.check_topic(&topic.name, 1, &BTreeMap::new()).err();
                    let code = invalid.map_or(Code::UnknownTopicOrPartition, |error| error::of_log(&error));
                    part.with_error_code(code.code())
                }
                Some(partition) => {
                    part.with_active_producers(partition.producers().into_iter().map(state).collect())
                }
            }
        });
        TopicResponse::default().with_name(topic.name.clone()).with_partitions(parts.collect())
    });
    DescribeProducersResponse::default().with_topics(described.collect())
}

fn state(producer: ActiveProducer) -> ProducerState {
    ProducerState::default()
        .with_producer_id(ProducerId(producer.producer_id))
        .with_producer_epoch(i32::from(producer.producer_epoch))
        .with_last_sequence(producer.last_sequence)
        .with_last_timestamp(producer.last_timestamp)
        .with_coordinator_epoch(producer.coordinator_epoch)
        .with_current_txn_start_offset(producer.transaction_start)
}
