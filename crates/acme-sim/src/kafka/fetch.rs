//! Fetching: long polls, sessions, cut tails.

use super::{Cluster, Plant, TOPIC, TOPIC_ID, index};
use crate::kafka::wire::text;
use acme_kafka::kafka_protocol::messages::fetch_request::FetchPartition;
use acme_kafka::kafka_protocol::messages::fetch_response::{
    AbortedTransaction, FetchableTopicResponse, PartitionData,
};
use acme_kafka::kafka_protocol::messages::{FetchRequest, FetchResponse, TopicName};
use bytes::{Bytes, BytesMut};
use std::collections::BTreeMap;

/// From this version on topics go by their ids.
const TOPIC_IDS: i16 = 13;

/// What a broker remembers of a client's fetches (KIP-227).
#[derive(Debug, Default)]
pub(super) struct Session {
    broker: i32,
    epoch: i32,
    partitions: BTreeMap<i32, FetchPartition>,
    /// High watermark and stable end as last told.
    told: BTreeMap<i32, (i64, i64)>,
}

impl Cluster {
    pub(super) async fn fetch(&self, broker: i32, request: FetchRequest, version: i16) -> FetchResponse {
        let (id, wanted) = match self.session(broker, &request) {
            Ok(found) => found,
            Err(code) => return FetchResponse::default().with_error_code(code),
        };
        let mut waited_ms = 0;
        let max_ms = u64::from(request.max_wait_ms.unsigned_abs());
        let committed = request.isolation_level == 1;
        let incremental = request.session_epoch > 0;
        let answers = loop {
            let read = |asked: &FetchPartition| self.read(broker, asked, committed);
            let answers: Vec<PartitionData> = wanted.values().map(read).collect();
            let is_news = |data: &PartitionData| {
                data.error_code != 0 || data.records.as_ref().is_some_and(|r| !r.is_empty())
            };
            if answers.iter().any(is_news) || waited_ms >= max_ms {
                break answers;
            }
            let step_ms = 20 + self.time.below(60);
            waited_ms += step_ms;
            self.time.sleep_ms(step_ms).await;
        };
        let answers: Vec<_> =
            answers.into_iter().filter(|data| self.is_told(id, incremental, data)).collect();
        let topic = FetchableTopicResponse::default().with_partitions(answers);
        let topic = if version >= TOPIC_IDS {
            topic.with_topic_id(TOPIC_ID)
        } else {
            topic.with_topic(TopicName(text(TOPIC)))
        };
        let topics = if topic.partitions.is_empty() { Vec::new() } else { vec![topic] };
        FetchResponse::default().with_session_id(id).with_responses(topics)
    }

    /// The session's id, 0 without one, and what is wanted.
    fn session(
        &self,
        broker: i32,
        request: &FetchRequest,
    ) -> Result<(i32, BTreeMap<i32, FetchPartition>), i16> {
        let is_ours = |topic: &str, id| topic == TOPIC || id == TOPIC_ID;
        let named = request.topics.iter().filter(|topic| is_ours(&topic.topic, topic.topic_id));
        let named = named.flat_map(|topic| &topic.partitions).map(|asked| (asked.partition, asked.clone()));
        let full = request.session_epoch <= 0;
        let has_room = self.time.one_in(2);
        let mut state = self.lock();
        if full {
            state.sessions.remove(&request.session_id);
            let partitions: BTreeMap<i32, FetchPartition> = named.collect();
            if request.session_epoch < 0 || !has_room {
                return Ok((0, partitions));
            }
            let id = state.next_session;
            state.next_session += 1;
            let session = Session { broker, epoch: 0, partitions: partitions.clone(), told: BTreeMap::new() };
            state.sessions.insert(id, session);
            return Ok((id, partitions));
        }
        let found = state.sessions.get_mut(&request.session_id).filter(|session| session.broker == broker);
        let session = found.ok_or(70_i16)?;
        if request.session_epoch != session.epoch + 1 {
            return Err(71);
        }
        session.epoch += 1;
        for gone in request.forgotten_topics_data.iter().flat_map(|topic| &topic.partitions) {
            session.partitions.remove(gone);
            session.told.remove(gone);
        }
        session.partitions.extend(named);
        Ok((request.session_id, session.partitions.clone()))
    }

    /// Whether a partition is in the answer: within a session only if there is something new.
    fn is_told(&self, id: i32, incremental: bool, data: &PartitionData) -> bool {
        let ends = (data.high_watermark, data.last_stable_offset);
        let mut state = self.lock();
        let Some(session) = state.sessions.get_mut(&id) else { return true };
        let known = session.told.insert(data.partition_index, ends);
        let has_records = data.records.as_ref().is_some_and(|records| !records.is_empty());
        !incremental || data.error_code != 0 || has_records || known != Some(ends)
    }

    fn read(&self, broker: i32, asked: &FetchPartition, committed: bool) -> PartitionData {
        let answer = PartitionData::default()
            .with_partition_index(asked.partition)
            .with_high_watermark(-1)
            .with_last_stable_offset(-1)
            .with_records(Some(Bytes::new()));
        let made_up = self.time.one_in(self.lock().faults.refuse.saturating_mul(4));
        let may = self.may_answer(broker, asked.partition, asked.current_leader_epoch);
        let code = if made_up {
            Some([6, 78, -1][index(i32::try_from(self.time.below(3)).expect("few"))])
        } else {
            may.err()
        };
        let bytes_max = if self.time.one_in(4) { 1 } else { index(asked.partition_max_bytes) };
        let cut = self.time.one_in(4);
        let mut state = self.lock();
        if let Some(code) = code {
            if let Some(partition) = state.partitions.get_mut(index(asked.partition.max(0))) {
                partition.error_seen = true;
            }
            return answer.with_error_code(code);
        }
        let partition = &mut state.partitions[index(asked.partition)];
        let skips = std::mem::take(&mut partition.error_seen) && self.options.plant == Plant::SkipAfterError;
        let replica = &partition.replicas[index(broker)];
        if asked.fetch_offset > replica.end() || asked.fetch_offset < 0 {
            return answer.with_error_code(1);
        }
        let stable = match self.options.plant {
            Plant::NoStableEnd => replica.high_watermark,
            _ => replica.last_stable_offset(),
        };
        let end = if committed { stable } else { replica.high_watermark };
        let batches = replica.read(asked.fetch_offset, end, bytes_max);
        let mut records = BytesMut::new();
        for batch in batches.iter().skip(usize::from(skips)) {
            records.extend_from_slice(&batch.bytes);
        }
        let next = batches.last().map_or(asked.fetch_offset, |batch| batch.last + 1);
        if cut && let Some(batch) = replica.read(next, end, 1).first() {
            // A batch that does not fit may be there in part (KIP-74).
            records.extend_from_slice(&batch.bytes[..batch.bytes.len() - 7]);
        }
        let aborted = match self.options.plant {
            Plant::NoAborted => Vec::new(),
            _ => replica.aborted(asked.fetch_offset, next),
        };
        let aborted = aborted.into_iter().map(|(producer, first)| {
            AbortedTransaction::default().with_producer_id(producer.into()).with_first_offset(first)
        });
        answer
            .with_high_watermark(replica.high_watermark)
            .with_last_stable_offset(stable)
            .with_log_start_offset(0)
            .with_aborted_transactions(committed.then(|| aborted.collect()))
            .with_records(Some(records.freeze()))
    }
}
