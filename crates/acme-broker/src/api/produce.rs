//! Produce: batches go from the socket's buffer into the log as they came, and are answered when they are durable.

use super::{Call, Later, Reply};
use crate::context::{Admission, NODE};
use crate::error::{self, Code};
use crate::frame::{self, Refused};
use crate::shape::{self, varint};
use acme_log::{AppendError, Appended, Partition, Topics, Verification, Writer};
use bytes::{Buf, BytesMut};
use kafka_protocol::messages::produce_response::{
    BatchIndexAndErrorMessage, LeaderIdAndEpoch, NodeEndpoint, PartitionProduceResponse, TopicProduceResponse,
};
use kafka_protocol::messages::{BrokerId, ProduceRequest, ProduceResponse, TopicName};
use kafka_protocol::protocol::{Request, StrBytes};
use std::sync::Arc;
use uuid::Uuid;

/// Partitions of one request.
const PARTITIONS_MAX: usize = 100_000;
/// Bytes of a batch before its records.
const HEADER: usize = acme_records::HEADER_BYTES;
/// How often the coordinator is asked about one batch at most.
const ASKED_MAX: usize = 8;
/// zstd, as batches name it.
const ZSTD: u8 = 4;

struct Produce {
    transactional_id: Option<StrBytes>,
    acks: i16,
    topics: Vec<TopicData>,
}

struct TopicData {
    name: StrBytes,
    id: Uuid,
    partitions: Vec<(i32, Option<BytesMut>)>,
}

/// What became of the batches of one partition.
struct Outcome {
    index: i32,
    result: Result<Appended, Fault>,
    leader_epoch: i32,
}

/// Appends everything in the order in which it came; what is left to do is to wait for the disk.
pub(crate) async fn start(
    call: Call,
    body: BytesMut,
) -> Result<Later<Result<Option<Reply>, Refused>>, Refused> {
    let malformed = || Refused::Malformed(ProduceRequest::KEY, call.version);
    let request = parse(body, call.version).ok_or_else(malformed)?;
    let topics = call.context.log.topics();
    let mut outcomes = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let mut parts = Vec::with_capacity(topic.partitions.len());
        for (index, records) in topic.partitions {
            let found = find(&topics, call.version, &topic.name, topic.id, index);
            let leader_epoch = found.as_ref().map_or(-1, |partition| partition.leader_epoch());
            let result = match (found, records) {
                (Err(code), _) => Err(code.into()),
                _ if !matches!(request.acks, -1..=1) => Err(Code::InvalidRequiredAcks.into()),
                (Ok(partition), Some(records)) => {
                    append(&call, request.transactional_id.as_ref(), &partition, records).await
                }
                (Ok(_), None) => Err(not_one(call.version)),
            };
            parts.push(Outcome { index, result, leader_epoch });
        }
        outcomes.push((topic.name, topic.id, parts));
    }
    let acks = request.acks;
    Ok(Box::pin(async move {
        if acks == 0 {
            let failed = outcomes.iter().flat_map(|(.., parts)| parts).any(|part| part.result.is_err());
            return if failed { Err(Refused::Unacknowledged) } else { Ok(None) };
        }
        answer(&call, outcomes).await.map(Some)
    }))
}

async fn answer(call: &Call, outcomes: Vec<(StrBytes, Uuid, Vec<Outcome>)>) -> Result<Reply, Refused> {
    let mut response = ProduceResponse::default();
    for (name, id, parts) in outcomes.into_iter().filter(|(.., parts)| !parts.is_empty()) {
        let mut answers = Vec::with_capacity(parts.len());
        for part in parts {
            answers.push(partition_answer(call, part, &mut response).await);
        }
        let topic = TopicProduceResponse::default().with_partition_responses(answers);
        response.responses.push(if call.version >= 13 {
            topic.with_topic_id(id)
        } else {
            topic.with_name(TopicName(name))
        });
    }
    frame::encode(&response, ProduceRequest::KEY, call.version, call.correlation).map(Reply::of)
}

async fn partition_answer(
    call: &Call,
    part: Outcome,
    response: &mut ProduceResponse,
) -> PartitionProduceResponse {
    let answer = PartitionProduceResponse::default().with_index(part.index);
    let durable = match part.result {
        Ok(appended) => match appended.durable().await {
            Ok(()) => Ok(appended),
            Err(error) => Err(error::of_append(&error).into()),
        },
        Err(fault) => Err(fault),
    };
    match durable {
        Ok(appended) => answer
            .with_base_offset(appended.base_offset)
            .with_log_append_time_ms(appended.append_time.unwrap_or(-1))
            .with_log_start_offset(if call.version >= 5 { appended.log_start } else { -1 }),
        Err(Fault { code, message, records, log_start }) => {
            let answer = answer
                .with_error_code(code.code())
                .with_base_offset(-1)
                .with_log_append_time_ms(-1)
                .with_log_start_offset(if call.version >= 5 { log_start } else { -1 });
            if code == Code::NotLeaderOrFollower && call.version >= 10 {
                // KIP-951: where the leader is.
                let (host, port) = call.session.advertised.clone();
                let here =
                    NodeEndpoint::default().with_node_id(BrokerId(NODE)).with_host(host).with_port(port);
                response.node_endpoints = vec![here];
                let leader = LeaderIdAndEpoch::default().with_leader_id(BrokerId(NODE));
                return answer.with_current_leader(leader.with_leader_epoch(part.leader_epoch));
            }
            if call.version < 8 {
                return answer;
            }
            answer.with_error_message(message.map(StrBytes::from_string)).with_record_errors(records)
        }
    }
}

fn find(topics: &Topics, version: i16, name: &str, id: Uuid, index: i32) -> Result<Arc<Partition>, Code> {
    let (topic, unknown) = if version >= 13 {
        (topics.with_id(id), Code::UnknownTopicId)
    } else {
        (topics.named(name), Code::UnknownTopicOrPartition)
    };
    let topic = topic.ok_or(unknown)?;
    let index = usize::try_from(index).map_err(|_| Code::UnknownTopicOrPartition)?;
    let partition = topic.partitions.get(index).ok_or(Code::UnknownTopicOrPartition)?;
    if topic.is_internal {
        return Err(Code::InvalidTopicException);
    }
    Ok(Arc::clone(partition))
}

/// Why the batches of a partition were not appended.
struct Fault {
    code: Code,
    message: Option<String>,
    /// Which records are at fault, where not the whole batch is (KIP-467).
    records: Vec<BatchIndexAndErrorMessage>,
    /// The first offset of the partition, where it has looked at what the batch says.
    log_start: i64,
}

impl Fault {
    fn new(code: Code, message: &str) -> Self {
        Self { message: Some(message.to_owned()), ..code.into() }
    }

    /// Kafka's words: LogValidator.processRecordErrors.
    fn keyless(partition: &Partition, records: &[i32], total: usize) -> Self {
        let (topic, number) = (partition.topic(), partition.number());
        let why =
            format!("Compacted topic cannot accept message without key in topic partition {topic}-{number}");
        let shown: Vec<String> = records
            .iter()
            .take(3)
            .map(|index| format!("RecordError(batchIndex={index}, message='{why}')"))
            .collect();
        let message = format!(
            "One or more records have been rejected due to {total} record errors in total, and only showing the first three errors at most: [{}]",
            shown.join(", ")
        );
        let why = StrBytes::from_string(why);
        let records = records.iter().map(|index| at_fault(*index, why.clone())).collect();
        Self { code: Code::InvalidRecord, message: Some(message), records, log_start: -1 }
    }

    /// As Kafka says it. A batch begins at offset 0, so the index is the offset that the client has given.
    fn misdated(records: &[(i32, i64)], earliest: i64, latest: i64) -> Self {
        let one = |(index, time): &(i32, i64)| {
            let why = format!(
                "Timestamp {time} of message with offset {index} is out of range. The timestamp should be within [{earliest}, {latest}]"
            );
            at_fault(*index, StrBytes::from_string(why))
        };
        let message = "One or more records have been rejected due to invalid timestamp";
        Self { records: records.iter().map(one).collect(), ..Self::new(Code::InvalidTimestamp, message) }
    }
}

fn at_fault(index: i32, why: StrBytes) -> BatchIndexAndErrorMessage {
    BatchIndexAndErrorMessage::default().with_batch_index(index).with_batch_index_error_message(Some(why))
}

impl From<Code> for Fault {
    fn from(code: Code) -> Self {
        Self { code, message: None, records: Vec::new(), log_start: -1 }
    }
}

fn not_one(version: i16) -> Fault {
    let message =
        format!("Produce requests with version {version} must have exactly one record batch per partition");
    Fault::new(Code::InvalidRecord, &message)
}

/// What the versions of the request say about batches, then the append. Source: ProduceRequest.validateRecords.
async fn append(
    call: &Call,
    transactional_id: Option<&StrBytes>,
    partition: &Partition,
    records: BytesMut,
) -> Result<Appended, Fault> {
    if records.is_empty() {
        return Err(not_one(call.version));
    }
    let mut guard = None;
    let whole = acme_records::whole(&records);
    if let Err(acme_records::Fault::Magic(0 | 1)) = whole {
        let message = "Produce requests are only allowed to contain record batches with magic version 2";
        return Err(Fault::new(Code::InvalidRecord, message));
    }
    if let Ok(length) = whole {
        if length != Some(records.len()) {
            return Err(not_one(call.version));
        }
        if (&records[..]).get_i64() != 0 {
            let log_start = partition.marks().log_start;
            return Err(Fault { log_start, ..Fault::new(Code::InvalidRecord, "A batch begins at offset 0") });
        }
        let attributes = records[22];
        if attributes & 7 == ZSTD && call.version < 7 {
            let message =
                "Produce requests with version under 7 are not allowed to use ZStandard compression";
            return Err(Fault::new(Code::UnsupportedCompressionType, message));
        }
        if attributes & 0x10 != 0 {
            guard = admitted(call, transactional_id, partition, &records[..HEADER]).await?;
        }
    }
    partition.append(records, Writer::Client { guard }).map_err(|error| {
        let fault = match &error {
            AppendError::InvalidRecord(reason) => Fault::new(Code::InvalidRecord, reason),
            AppendError::Keyless { records, total } => Fault::keyless(partition, records, *total),
            AppendError::InvalidTimestamp { records, earliest, latest, .. } if !records.is_empty() => {
                Fault::misdated(records, *earliest, *latest)
            }
            error => error::of_append(error).into(),
        };
        // Kafka tells it with every error but these: ReplicaManager.appendToLocalLog.
        let log_start = match &error {
            AppendError::Corrupt(_)
            | AppendError::TooLarge { .. }
            | AppendError::UnsupportedFormat(_)
            | AppendError::DiskFull(_)
            | AppendError::Disk(_)
            | AppendError::Offline(_)
            | AppendError::Closed => -1,
            _ => partition.marks().log_start,
        };
        Fault { log_start, ..fault }
    })
}

/// Asks the coordinator about the first batch of a transaction in a partition (KIP-890).
async fn admitted(
    call: &Call,
    transactional_id: Option<&StrBytes>,
    partition: &Partition,
    header: &[u8],
) -> Result<Option<acme_log::Guard>, Fault> {
    let transactional_id = transactional_id.ok_or(Code::TransactionalIdAuthorizationFailed)?;
    let (producer_id, producer_epoch) = ((&header[43..]).get_i64(), (&header[51..]).get_i16());
    let admission = Admission {
        transactional_id: transactional_id.to_string(),
        producer_id,
        producer_epoch,
        topic: partition.topic().to_owned(),
        partition: partition.number(),
        // Producers of transactions of version 2 do not name their partitions beforehand.
        adds: call.version >= 12,
    };
    let mut asked = None;
    for _ in 0..ASKED_MAX {
        match partition.verification(producer_id, producer_epoch) {
            Verification::Open => return Ok(None),
            // Nothing has ended here since the coordinator was asked.
            Verification::Ask(guard) if asked == Some(guard) => return Ok(Some(guard)),
            // The coordinator lets who begins a transaction wait for the markers of the one before, and such a marker takes
            // back what was given here: then it is asked once more.
            Verification::Ask(guard) => asked = Some(guard),
        }
        let admitted = call.context.admit(admission.clone()).await;
        admitted.map_err(|code| refusal(code, call.version))?;
    }
    Ok(asked)
}

/// What the coordinator's refusal is called in the answer to a produce: Kafka's own translation.
fn refusal(code: Code, version: i16) -> Code {
    match code {
        Code::ProducerFenced => Code::InvalidProducerEpoch,
        Code::TransactionAbortable if version < 11 => Code::InvalidTxnState,
        Code::ConcurrentTransactions if version < 12 => Code::NotEnoughReplicas,
        Code::CoordinatorNotAvailable | Code::CoordinatorLoadInProgress | Code::NotCoordinator => {
            Code::NotEnoughReplicas
        }
        code => code,
    }
}

/// Whether a body is a produce request.
#[cfg(any(test, fuzzing))]
pub(super) fn reads(body: BytesMut, version: i16) -> bool {
    parse(body, version).is_some()
}

/// Decodes by hand: the batches stay where they are in the buffer, and can be stamped there.
fn parse(mut body: BytesMut, version: i16) -> Option<Produce> {
    shape::check(ProduceRequest::KEY, version, &body).ok()?;
    let flexible = version >= 9;
    let transactional_id = string(&mut body, flexible)?;
    let acks = body.try_get_i16().ok()?;
    body.try_get_i32().ok()?;
    let count = count(&mut body, flexible)?;
    let (mut topics, mut partitions_total) = (Vec::new(), 0);
    for _ in 0..count {
        let (name, id) = match version {
            13.. => (StrBytes::new(), Uuid::from_u128(body.try_get_u128().ok()?)),
            _ => (string(&mut body, flexible)??, Uuid::nil()),
        };
        let parts = self::count(&mut body, flexible)?;
        partitions_total += parts;
        if partitions_total > PARTITIONS_MAX {
            return None;
        }
        let mut partitions = Vec::with_capacity(parts);
        for _ in 0..parts {
            let index = body.try_get_i32().ok()?;
            partitions.push((index, records(&mut body, flexible)?));
            tags(&mut body, flexible)?;
        }
        tags(&mut body, flexible)?;
        topics.push(TopicData { name, id, partitions });
    }
    Some(Produce { transactional_id, acks, topics })
}

fn unsigned(body: &mut BytesMut) -> Option<usize> {
    let before = body.len();
    let mut rest = &body[..];
    let value = varint(&mut rest).ok()?;
    let taken = before - rest.len();
    body.advance(taken);
    Some(value)
}

/// A length or count; outer `None`: malformed, inner: null.
fn length(body: &mut BytesMut, flexible: bool) -> Option<Option<usize>> {
    if flexible {
        return Some(unsigned(body)?.checked_sub(1));
    }
    match body.try_get_i32().ok()? {
        -1 => Some(None),
        length => Some(Some(usize::try_from(length).ok()?)),
    }
}

fn count(body: &mut BytesMut, flexible: bool) -> Option<usize> {
    length(body, flexible)?
}

fn records(body: &mut BytesMut, flexible: bool) -> Option<Option<BytesMut>> {
    let Some(length) = length(body, flexible)? else { return Some(None) };
    (length <= body.len()).then(|| Some(body.split_to(length)))
}

fn string(body: &mut BytesMut, flexible: bool) -> Option<Option<StrBytes>> {
    let length = if flexible {
        unsigned(body)?.checked_sub(1)
    } else {
        match body.try_get_i16().ok()? {
            -1 => None,
            length => Some(usize::try_from(length).ok()?),
        }
    };
    let Some(length) = length else { return Some(None) };
    if length > body.len() {
        return None;
    }
    let bytes = bytes::Bytes::copy_from_slice(&body.split_to(length));
    StrBytes::from_utf8(bytes).ok().map(Some)
}

fn tags(body: &mut BytesMut, flexible: bool) -> Option<()> {
    if flexible { frame::skip_tags(body).ok() } else { Some(()) }
}
