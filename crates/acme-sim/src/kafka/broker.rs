//! Metadata, producing, and where logs and epochs end.

use super::log::{Appended, Batch};
use super::wire::text;
use super::{BROKERS, Cluster, Leadership, PARTITIONS, Plant, TOPIC, TOPIC_ID, index};
use acme_kafka::kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use acme_kafka::kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use acme_kafka::kafka_protocol::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderTopicResult,
};
use acme_kafka::kafka_protocol::messages::produce_request::PartitionProduceData;
use acme_kafka::kafka_protocol::messages::produce_response::{
    PartitionProduceResponse, TopicProduceResponse,
};
use acme_kafka::kafka_protocol::messages::{
    ListOffsetsRequest, ListOffsetsResponse, MetadataRequest, MetadataResponse, OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse, ProduceRequest, ProduceResponse, TopicName,
};
use std::sync::Arc;

/// How long the copies of a batch are waited for.
const COPY_MS: u64 = 800;

impl Cluster {
    pub(super) fn metadata(&self, broker: i32, request: &MetadataRequest) -> MetadataResponse {
        let state = self.lock();
        let brokers = (0..BROKERS).map(|id| {
            let host = text(&format!("broker{id}"));
            MetadataResponseBroker::default().with_node_id(id.into()).with_host(host).with_port(9092)
        });
        let partitions = (0..PARTITIONS).map(|number| {
            let view = state.partitions[index(number)].views[index(broker)];
            MetadataResponsePartition::default()
                .with_partition_index(number)
                .with_leader_id(view.leader.into())
                .with_leader_epoch(view.epoch)
                .with_replica_nodes((0..BROKERS).map(Into::into).collect())
        });
        let partitions: Vec<_> = partitions.collect();
        let names =
            request.topics.as_ref().map(|topics| topics.iter().filter_map(|topic| topic.name.clone()));
        let names: Vec<TopicName> = names.map_or(vec![TopicName(text(TOPIC))], Iterator::collect);
        let topics = names.into_iter().map(|name| {
            let topic = MetadataResponseTopic::default();
            if name.as_str() == TOPIC {
                topic.with_name(Some(name)).with_topic_id(TOPIC_ID).with_partitions(partitions.clone())
            } else {
                topic.with_name(Some(name)).with_error_code(3)
            }
        });
        MetadataResponse::default().with_brokers(brokers.collect()).with_topics(topics.collect())
    }

    /// Whether a broker may answer for a partition to somebody who knows this leader epoch (KIP-320).
    pub(super) fn may_answer(&self, broker: i32, partition: i32, epoch: i32) -> Result<Leadership, i16> {
        let state = self.lock();
        let known = usize::try_from(partition).ok().and_then(|number| state.partitions.get(number));
        let Some(found) = known else { return Err(3) };
        let view = found.views[index(broker)];
        if !found.leads(broker) {
            return Err(6);
        }
        if epoch >= 0 && epoch != view.epoch && self.options.plant != Plant::NoEpochs {
            return Err(if epoch < view.epoch { 74 } else { 75 });
        }
        Ok(view)
    }

    pub(super) async fn produce(
        self: &Arc<Self>,
        broker: i32,
        request: ProduceRequest,
        version: i16,
    ) -> ProduceResponse {
        let id = request.transactional_id.as_ref().map(|id| id.to_string());
        let mut responses = Vec::new();
        for topic in request.topic_data {
            let mut parts = Vec::new();
            for part in topic.partition_data {
                let number = part.index;
                let answer = PartitionProduceResponse::default().with_index(number);
                // From this version on the brokers add the partition to the transaction.
                let belongs = self.belongs(broker, id.as_deref(), &part, version >= 12);
                let appended = belongs.and_then(|()| self.append(broker, part));
                parts.push(match appended {
                    Ok((view, base, last)) => match self.copied(broker, number, view, last).await {
                        Ok(()) => answer.with_base_offset(base),
                        Err(code) => answer.with_error_code(code).with_base_offset(-1),
                    },
                    Err(code) => answer.with_error_code(code).with_base_offset(-1),
                });
            }
            let response = TopicProduceResponse::default().with_name(topic.name);
            responses.push(response.with_partition_responses(parts));
        }
        ProduceResponse::default().with_responses(responses)
    }

    /// Whether the partition is in the producer's transaction: added to it, or found there.
    fn belongs(
        &self,
        broker: i32,
        id: Option<&str>,
        part: &PartitionProduceData,
        adds: bool,
    ) -> Result<(), i16> {
        let Some(id) = id else { return Ok(()) };
        self.may_answer(broker, part.index, -1)?;
        let batch = part.records.as_ref().and_then(Batch::read).ok_or(2_i16)?;
        let (producer, epoch) = (batch.producer, batch.producer_epoch);
        if adds {
            self.join_transaction(id, producer, epoch, part.index)
        } else {
            self.may_write(id, producer, epoch, part.index)
        }
    }

    fn append(&self, broker: i32, part: PartitionProduceData) -> Result<(Leadership, i64, i64), i16> {
        if self.time.one_in(self.lock().faults.refuse) {
            self.count("refused");
            // Not the leader, timed out, too few in sync, unexpected: each may be made up.
            return Err([6, 7, 19, -1][index(i32::try_from(self.time.below(4)).expect("few"))]);
        }
        let view = self.may_answer(broker, part.index, -1)?;
        let batch = part.records.as_ref().and_then(Batch::read).ok_or(2_i16)?;
        let mut state = self.lock();
        let replica = &mut state.partitions[index(part.index)].replicas[index(broker)];
        match replica.append(batch, view.epoch, self.options.plant) {
            Appended::At(base, last) => Ok((view, base, last)),
            Appended::Refused(code) => Err(code),
        }
    }

    /// Waits until a batch is safe, or the broker hears that it no longer leads.
    pub(super) async fn copied(
        &self,
        broker: i32,
        partition: i32,
        view: Leadership,
        last: i64,
    ) -> Result<(), i16> {
        if self.options.plant == Plant::EarlyAck {
            return Ok(());
        }
        let mut waited_ms = 0;
        loop {
            let step_ms = 1 + self.time.below(if self.time.one_in(10) { 200 } else { 5 });
            waited_ms += step_ms;
            self.time.sleep_ms(step_ms).await;
            let mut state = self.lock();
            let partition = &mut state.partitions[index(partition)];
            if partition.views[index(broker)] != view {
                return Err(6);
            }
            partition.replicate();
            if partition.truth == view && partition.replicas[index(broker)].high_watermark > last {
                return Ok(());
            }
            if waited_ms > COPY_MS {
                return Err(7);
            }
        }
    }

    /// A record that somebody else writes, at once and safely.
    pub fn write(&self, partition: i32, batch: &[u8]) {
        let batch = Batch::read(&batch.to_vec().into()).expect("a whole batch");
        let mut state = self.lock();
        let partition = &mut state.partitions[index(partition)];
        let (leader, epoch) = (index(partition.truth.leader), partition.truth.epoch);
        partition.replicas[leader].append(batch, epoch, Plant::None);
        partition.replicate();
    }

    pub(super) fn list_offsets(&self, broker: i32, request: ListOffsetsRequest) -> ListOffsetsResponse {
        let committed = request.isolation_level == 1;
        let topics = request.topics.into_iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|asked| {
                let answer = ListOffsetsPartitionResponse::default()
                    .with_partition_index(asked.partition_index)
                    .with_offset(-1)
                    .with_timestamp(-1);
                match self.may_answer(broker, asked.partition_index, asked.current_leader_epoch) {
                    Err(code) => answer.with_error_code(code),
                    Ok(view) => {
                        let state = self.lock();
                        let replica = &state.partitions[index(asked.partition_index)].replicas[index(broker)];
                        let end =
                            if committed { replica.last_stable_offset() } else { replica.high_watermark };
                        let offset = if asked.timestamp == -1 { end } else { 0 };
                        answer.with_offset(offset).with_leader_epoch(view.epoch)
                    }
                }
            });
            let partitions = partitions.collect();
            ListOffsetsTopicResponse::default().with_name(topic.name).with_partitions(partitions)
        });
        ListOffsetsResponse::default().with_topics(topics.collect())
    }

    pub(super) fn epochs(
        &self,
        broker: i32,
        request: OffsetForLeaderEpochRequest,
    ) -> OffsetForLeaderEpochResponse {
        let topics = request.topics.into_iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|asked| {
                let answer = EpochEndOffset::default().with_partition(asked.partition);
                match self.may_answer(broker, asked.partition, asked.current_leader_epoch) {
                    Err(code) => answer.with_error_code(code),
                    Ok(_) if self.options.plant == Plant::NoEpochs => {
                        answer.with_leader_epoch(asked.leader_epoch).with_end_offset(i64::MAX)
                    }
                    Ok(_) => {
                        let state = self.lock();
                        let replica = &state.partitions[index(asked.partition)].replicas[index(broker)];
                        let (epoch, end) = replica.end_of_epoch(asked.leader_epoch);
                        answer.with_leader_epoch(epoch).with_end_offset(end)
                    }
                }
            });
            let partitions = partitions.collect();
            OffsetForLeaderTopicResult::default().with_topic(topic.topic).with_partitions(partitions)
        });
        OffsetForLeaderEpochResponse::default().with_topics(topics.collect())
    }
}
