//! The coordinator of transactions.
//!
//! Source: Kafka's `TransactionCoordinator` and `TransactionMetadata`; KIP-98, KIP-360, KIP-890.

use super::log::Batch;
use super::{Cluster, Leadership, Plant, index};
use acme_kafka::kafka_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnTopicResult,
};
use acme_kafka::kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddOffsetsToTxnResponse, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse,
    EndTxnRequest, EndTxnResponse, InitProducerIdRequest, InitProducerIdResponse,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Empty,
    Ongoing,
    Preparing(bool),
    Complete(bool),
}

#[derive(Debug)]
struct Transaction {
    producer: i64,
    epoch: i16,
    /// The epoch before the present one, for those who did not hear of it; -1 is none.
    last_epoch: i16,
    stage: Stage,
    partitions: BTreeSet<i32>,
    has_offsets: bool,
}

/// What the coordinator keeps.
#[derive(Debug, Default)]
pub(super) struct Transactions {
    pub(super) coordinator: i32,
    pub(super) loads_until: Duration,
    by_id: BTreeMap<String, Transaction>,
}

impl Transactions {
    /// The transaction of a producer that may still speak, and not while it is being ended.
    fn of(&mut self, id: &str, producer: i64, epoch: i16) -> Result<&mut Transaction, i16> {
        let found = self.by_id.get_mut(id).filter(|found| found.producer == producer).ok_or(49_i16)?;
        if found.epoch != epoch {
            return Err(90);
        }
        if matches!(found.stage, Stage::Preparing(_)) {
            return Err(51);
        }
        Ok(found)
    }
}

impl Transaction {
    fn begin(&mut self) {
        if self.stage != Stage::Ongoing {
            self.stage = Stage::Ongoing;
            self.partitions.clear();
            self.has_offsets = false;
        }
    }
}

impl Cluster {
    fn transactions_ready(&self, broker: i32) -> i16 {
        let now = self.time.elapsed();
        let state = self.lock();
        match state.transactions.coordinator {
            other if other != broker => 16,
            _ if now < state.transactions.loads_until => 14,
            _ => 0,
        }
    }

    pub(super) fn init_producer(
        self: &Arc<Self>,
        broker: i32,
        request: &InitProducerIdRequest,
    ) -> InitProducerIdResponse {
        let answer = InitProducerIdResponse::default();
        let result = match &request.transactional_id {
            None => {
                let mut state = self.lock();
                state.next_producer += 1;
                Ok((state.next_producer, 0))
            }
            Some(id) => match self.transactions_ready(broker) {
                0 => self.init_transactional(id, request),
                code => Err(code),
            },
        };
        match result {
            Ok((producer, epoch)) => answer.with_producer_id(producer.into()).with_producer_epoch(epoch),
            Err(code) => answer.with_producer_id((-1).into()).with_producer_epoch(-1).with_error_code(code),
        }
    }

    fn init_transactional(
        self: &Arc<Self>,
        id: &str,
        request: &InitProducerIdRequest,
    ) -> Result<(i64, i16), i16> {
        let mut state = self.lock();
        let fresh = state.next_producer + 1;
        let Some(known) = state.transactions.by_id.get_mut(id) else {
            let begun = Transaction {
                producer: fresh,
                epoch: 0,
                last_epoch: -1,
                stage: Stage::Empty,
                partitions: BTreeSet::new(),
                has_offsets: false,
            };
            state.transactions.by_id.insert(id.to_owned(), begun);
            state.next_producer = fresh;
            return Ok((fresh, 0));
        };
        let expected = (request.producer_id.0 >= 0).then_some(request.producer_epoch);
        if expected.is_some() && request.producer_id.0 != known.producer {
            return Err(90);
        }
        match known.stage {
            Stage::Preparing(_) => Err(51),
            Stage::Ongoing => {
                if expected.is_some_and(|expected| expected != known.epoch) {
                    return Err(90);
                }
                // This epoch is given to nobody: whoever asks again gets the next one.
                (known.epoch, known.last_epoch) = (known.epoch + 1, -1);
                known.stage = Stage::Preparing(false);
                drop(state);
                self.finish(id);
                Err(51)
            }
            Stage::Empty | Stage::Complete(_) => match expected {
                Some(expected) if expected == known.last_epoch => Ok((known.producer, known.epoch)),
                Some(expected) if expected != known.epoch => Err(90),
                _ => {
                    (known.last_epoch, known.epoch) = (expected.unwrap_or(-1), known.epoch + 1);
                    known.stage = Stage::Empty;
                    Ok((known.producer, known.epoch))
                }
            },
        }
    }

    pub(super) fn add_partitions(
        &self,
        broker: i32,
        request: AddPartitionsToTxnRequest,
    ) -> AddPartitionsToTxnResponse {
        let id = request.v3_and_below_transactional_id.to_string();
        let (producer, epoch) = (request.v3_and_below_producer_id.0, request.v3_and_below_producer_epoch);
        let mut code = self.transactions_ready(broker);
        let mut state = self.lock();
        let topics = request.v3_and_below_topics;
        if code == 0 {
            match state.transactions.of(&id, producer, epoch) {
                Ok(found) => {
                    found.begin();
                    found.partitions.extend(topics.iter().flat_map(|topic| &topic.partitions));
                }
                Err(refused) => code = refused,
            }
        }
        let results = topics.into_iter().map(|topic| {
            let one = |partition: &i32| {
                let result = AddPartitionsToTxnPartitionResult::default();
                result.with_partition_index(*partition).with_partition_error_code(code)
            };
            let results = topic.partitions.iter().map(one).collect();
            AddPartitionsToTxnTopicResult::default().with_name(topic.name).with_results_by_partition(results)
        });
        AddPartitionsToTxnResponse::default().with_results_by_topic_v3_and_below(results.collect())
    }

    pub(super) fn add_offsets(
        &self,
        broker: i32,
        request: &AddOffsetsToTxnRequest,
    ) -> AddOffsetsToTxnResponse {
        let mut code = self.transactions_ready(broker);
        if code == 0 {
            let id = request.transactional_id.to_string();
            let mut state = self.lock();
            match state.transactions.of(&id, request.producer_id.0, request.producer_epoch) {
                Ok(found) => {
                    found.begin();
                    found.has_offsets = true;
                }
                Err(refused) => code = refused,
            }
        }
        AddOffsetsToTxnResponse::default().with_error_code(code)
    }

    /// Whether a producer may write to a partition, which a leader asks before it does (KIP-890, first part).
    pub(super) fn may_write(&self, id: &str, producer: i64, epoch: i16, partition: i32) -> Result<(), i16> {
        let mut state = self.lock();
        let found = state.transactions.of(id, producer, epoch).map_err(of_log)?;
        let in_it = found.stage == Stage::Ongoing && found.partitions.contains(&partition);
        if in_it { Ok(()) } else { Err(48) }
    }

    /// A leader adds its partition to the transaction (KIP-890, second part).
    pub(super) fn join_transaction(
        &self,
        id: &str,
        producer: i64,
        epoch: i16,
        partition: i32,
    ) -> Result<(), i16> {
        let mut state = self.lock();
        let found = state.transactions.of(id, producer, epoch).map_err(of_log)?;
        found.begin();
        found.partitions.insert(partition);
        Ok(())
    }

    pub(super) fn offsets_belong(&self, id: &str, producer: i64, epoch: i16, adds: bool) -> i16 {
        let mut state = self.lock();
        match state.transactions.of(id, producer, epoch).map_err(of_log) {
            Ok(found) if adds => {
                found.begin();
                found.has_offsets = true;
                0
            }
            Ok(found) if found.stage == Stage::Ongoing && found.has_offsets => 0,
            Ok(_) => 48,
            Err(code) => code,
        }
    }

    pub(super) fn end_transaction(
        self: &Arc<Self>,
        broker: i32,
        request: &EndTxnRequest,
        version: i16,
    ) -> EndTxnResponse {
        let answer = EndTxnResponse::default().with_producer_id((-1).into()).with_producer_epoch(-1);
        let code = self.transactions_ready(broker);
        if code != 0 {
            return answer.with_error_code(code);
        }
        match self.try_end(request, version >= 5) {
            Err(code) => answer.with_error_code(code),
            Ok((producer, epoch)) if version >= 5 => {
                answer.with_producer_id(producer.into()).with_producer_epoch(epoch)
            }
            Ok(_) => answer,
        }
    }

    fn try_end(self: &Arc<Self>, request: &EndTxnRequest, raises: bool) -> Result<(i64, i16), i16> {
        let (id, commits) = (request.transactional_id.to_string(), request.committed);
        let mut state = self.lock();
        let known = state.transactions.by_id.get_mut(&id);
        let known = known.filter(|known| known.producer == request.producer_id.0).ok_or(49_i16)?;
        let is_present = known.epoch == request.producer_epoch;
        let is_repeated = raises && known.last_epoch == request.producer_epoch;
        let ends = match known.stage {
            Stage::Ongoing if is_present => true,
            Stage::Preparing(was) if is_present || is_repeated => {
                return Err(if was == commits { 51 } else { 48 });
            }
            Stage::Complete(was) if is_repeated || (is_present && !raises) => {
                return if was == commits { Ok((known.producer, known.epoch)) } else { Err(48) };
            }
            // With the newer dialect even nothing can be aborted.
            Stage::Empty | Stage::Complete(_) if is_present && raises && !commits => {
                known.begin();
                true
            }
            Stage::Empty | Stage::Complete(_) if is_present => return Err(48),
            _ => return Err(90),
        };
        debug_assert!(ends);
        if raises {
            (known.last_epoch, known.epoch) = (known.epoch, known.epoch + 1);
        }
        known.stage = Stage::Preparing(commits);
        let identity = (known.producer, known.epoch);
        drop(state);
        self.finish(&id);
        Ok(identity)
    }

    /// Writes the markers, in whatever order; then the transaction is complete.
    fn finish(self: &Arc<Self>, id: &str) {
        let (cluster, id) = (self.clone(), id.to_owned());
        tokio::spawn(async move {
            let (producer, epoch, partitions, commits) = {
                let state = cluster.lock();
                let found = &state.transactions.by_id[&id];
                let commits = found.stage == Stage::Preparing(true);
                (found.producer, found.epoch, found.partitions.clone(), commits)
            };
            for partition in partitions {
                let torn = cluster.options.plant == Plant::TornEnd && partition == 1;
                cluster.mark(partition, Batch::end_of(producer, epoch, commits != torn)).await;
            }
            cluster.time.sleep_ms(cluster.time.below(100)).await;
            let mut state = cluster.lock();
            state.group.end(producer, commits);
            if let Some(found) = state.transactions.by_id.get_mut(&id) {
                found.stage = Stage::Complete(commits);
            }
        });
    }

    /// Writes a marker until it is safe.
    async fn mark(self: &Arc<Self>, partition: i32, marker: Batch) {
        loop {
            self.time.sleep_ms(1 + self.time.below(50)).await;
            let Some(view) = self.marker_place(partition) else { continue };
            let last = {
                let mut state = self.lock();
                let Leadership { leader, epoch } = view;
                state.partitions[index(partition)].replicas[index(leader)].mark(marker.clone(), epoch)
            };
            if self.copied(view.leader, partition, view, last).await.is_ok() {
                return;
            }
        }
    }
}

/// A producer's log says INVALID_PRODUCER_EPOCH where the coordinator says PRODUCER_FENCED.
fn of_log(code: i16) -> i16 {
    if code == 90 { 47 } else { code }
}
