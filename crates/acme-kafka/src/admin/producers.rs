//! Who writes to a partition, and ending a transaction that nobody ends any more (KIP-664, brokers from 3.0 on).

use super::{check, only};
use crate::client::{Client, TopicPartition};
use crate::error::{Class, Error, ErrorCode, Result};
use crate::wire::text;
use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::describe_producers_response::ProducerState;
use kafka_protocol::messages::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
use kafka_protocol::messages::{DescribeProducersRequest, ProducerId, TopicName, WriteTxnMarkersRequest};
use std::collections::BTreeMap;

/// A producer as a partition knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActiveProducer {
    /// Its id.
    pub producer_id: i64,
    /// Its epoch.
    pub epoch: i32,
    /// The epoch of the coordinator that wrote its last marker, -1 if there was none.
    pub coordinator_epoch: i32,
    /// The sequence number of its last record, -1 if there is none.
    pub last_sequence: i32,
    /// The timestamp of its last batch in ms since 1970, -1 if there is none.
    pub last_timestamp_ms: i64,
    /// The first offset of its open transaction.
    pub transaction_start: Option<i64>,
}

/// A transaction as a partition knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenTransaction {
    /// The producer's id.
    pub producer_id: i64,
    /// The producer's epoch.
    pub epoch: i16,
    /// The epoch of its coordinator; 0 if there never was a marker.
    pub coordinator_epoch: i32,
}

impl Client {
    /// The producers that each of these partitions knows, as their leaders tell, or as this broker's replicas tell.
    ///
    /// # Errors
    /// What a broker says about a partition; [`Error::Unsupported`].
    pub async fn producers(
        &self,
        partitions: &[TopicPartition],
        broker: Option<i32>,
    ) -> Result<BTreeMap<TopicPartition, Vec<ActiveProducer>>> {
        let mut found = BTreeMap::new();
        let mut tries = self.tries();
        loop {
            let mut by_broker: BTreeMap<i32, Vec<&TopicPartition>> = BTreeMap::new();
            for partition in partitions.iter().filter(|partition| !found.contains_key(*partition)) {
                let of = match broker {
                    Some(id) => id,
                    None => self.leader(partition).await?.broker,
                };
                by_broker.entry(of).or_default().push(partition);
            }
            let mut failure = None;
            for (broker, partitions) in by_broker {
                match self.producers_at(broker, &partitions, &mut found).await {
                    Ok(()) => {}
                    Err(error) => failure = Some(error),
                }
            }
            let Some(error) = failure else { return Ok(found) };
            // Another broker than the leader is asked by name: where it has no replica now it will have none later.
            if broker.is_some() && error.code().is_some() {
                return Err(error);
            }
            let stale = error.class() == Class::Refresh;
            tries.after(error).await?;
            if stale {
                self.refresh(&[]).await?;
            }
        }
    }

    async fn producers_at(
        &self,
        broker: i32,
        partitions: &[&TopicPartition],
        found: &mut BTreeMap<TopicPartition, Vec<ActiveProducer>>,
    ) -> Result<()> {
        let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
        for partition in partitions {
            topics.entry(&partition.topic).or_default().push(partition.partition);
        }
        let topics = topics.into_iter().map(|(name, numbers)| {
            TopicRequest::default().with_name(TopicName(text(name))).with_partition_indexes(numbers)
        });
        let request = DescribeProducersRequest::default().with_topics(topics.collect());
        let response = self.send(broker, &request).await?;
        let mut failure = None;
        for topic in response.topics {
            for answer in topic.partitions {
                let partition = TopicPartition::new(topic.name.as_str(), answer.partition_index);
                match check(answer.error_code, answer.error_message, || format!("producers of {partition}")) {
                    Ok(()) => {
                        found.insert(partition, answer.active_producers.iter().map(producer).collect());
                    }
                    Err(error) => failure = Some(error),
                }
            }
        }
        match failure {
            Some(error) => Err(error),
            None if partitions.iter().all(|partition| found.contains_key(*partition)) => Ok(()),
            None => Err(Error::protocol("response DescribeProducers", "a partition is missing")),
        }
    }

    /// Writes the marker of an abort into a partition, past the coordinator: for a transaction that has none any more.
    ///
    /// # Errors
    /// INVALID_PRODUCER_EPOCH, TRANSACTION_COORDINATOR_FENCED, CLUSTER_AUTHORIZATION_FAILED and the like.
    pub async fn abort_transaction(&self, partition: &TopicPartition, open: OpenTransaction) -> Result<()> {
        let topic = WritableTxnMarkerTopic::default()
            .with_name(TopicName(text(&partition.topic)))
            .with_partition_indexes(vec![partition.partition]);
        let marker = WritableTxnMarker::default()
            .with_producer_id(ProducerId(open.producer_id))
            .with_producer_epoch(open.epoch)
            .with_coordinator_epoch(open.coordinator_epoch)
            .with_transaction_result(false)
            .with_topics(vec![topic]);
        let request = WriteTxnMarkersRequest::default().with_markers(vec![marker]);
        let mut tries = self.tries();
        loop {
            let leader = self.leader(partition).await?.broker;
            let result = match self.send(leader, &request).await {
                Ok(response) => {
                    let marker = only(response.markers, "WriteTxnMarkers")?;
                    let topic = only(marker.topics, "WriteTxnMarkers")?;
                    let answer = only(topic.partitions, "WriteTxnMarkers")?;
                    ErrorCode(answer.error_code).check(|| format!("abort of a transaction in {partition}"))
                }
                Err(error) => Err(error),
            };
            match result {
                Ok(()) => return Ok(()),
                Err(error) => tries.after(error).await?,
            }
            self.refresh(&[]).await?;
        }
    }
}

fn producer(told: &ProducerState) -> ActiveProducer {
    ActiveProducer {
        producer_id: told.producer_id.0,
        epoch: told.producer_epoch,
        coordinator_epoch: told.coordinator_epoch,
        last_sequence: told.last_sequence,
        last_timestamp_ms: told.last_timestamp,
        transaction_start: Some(told.current_txn_start_offset).filter(|offset| *offset >= 0),
    }
}
