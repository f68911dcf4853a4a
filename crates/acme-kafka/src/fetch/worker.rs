//! The task that fetches from one broker, one request after the other, while there is room.

use super::chunk::{Aborted, Chunk};
use super::session::{Session, TOPIC_IDS, Want};
use super::state::{Answer, Shared};
use crate::client::TopicPartition;
use crate::error::{Class, Error, ErrorCode, Result};
use crate::offsets::Isolation;
use crate::records::end_offset;
use crate::wire::text;
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::{FetchRequest, FetchResponse};
use std::collections::BTreeMap;
use std::sync::Arc;

type Wanted = BTreeMap<TopicPartition, Want>;

/// Fetches from a broker until it is aborted.
pub(super) async fn work(shared: Arc<Shared>, broker: i32) {
    let mut changes = shared.subscribe_work();
    let mut session = Session::default();
    loop {
        changes.look();
        let Some((wanted, max_bytes)) = shared.wanted(broker) else {
            changes.changed().await;
            continue;
        };
        if let Err(error) = round(&shared, broker, &mut session, &wanted, max_bytes).await {
            session.reset();
            for (partition, want) in &wanted {
                if let Some(assignment) = shared.current(partition, want) {
                    shared.failed(partition, assignment, error.clone());
                }
            }
        }
    }
}

/// One request and its answer.
async fn round(
    shared: &Shared,
    broker: i32,
    session: &mut Session,
    wanted: &Wanted,
    max_bytes: i32,
) -> Result<()> {
    let connection = shared.client.connection(broker, shared.purpose).await?;
    let version = connection.version::<FetchRequest>()?;
    // A topic without an id can only be asked for by name.
    let has_ids = wanted.values().all(|want| !want.topic_id.is_nil());
    let version = if has_ids { version } else { version.min(TOPIC_IDS - 1) };
    let options = &shared.options;
    let mut request = FetchRequest::default()
        .with_max_wait_ms(i32::try_from(options.max_wait.as_millis()).unwrap_or(i32::MAX))
        .with_min_bytes(options.min_bytes)
        .with_max_bytes(max_bytes)
        .with_isolation_level(options.isolation as i8)
        .with_rack_id(text(options.rack.as_deref().unwrap_or_default()));
    session.fill(&mut request, wanted, version);
    let patience = options.max_wait + shared.client.config().request_timeout;
    let response = connection.send_at(&request, version, patience).await?;
    let code = ErrorCode(response.error_code);
    match code {
        ErrorCode::NONE => session.answered(response.session_id),
        // The session is gone or muddled; a new one makes it good.
        ErrorCode::FETCH_SESSION_ID_NOT_FOUND
        | ErrorCode::INVALID_FETCH_SESSION_EPOCH
        | ErrorCode::FETCH_SESSION_TOPIC_ID_ERROR => {
            session.reset();
            return Ok(());
        }
        _ => return Err(Error::broker(code, format!("fetch from {}", connection.address()))),
    }
    take(shared, broker, session, wanted, response).await
}

async fn take(
    shared: &Shared,
    broker: i32,
    session: &Session,
    wanted: &Wanted,
    response: FetchResponse,
) -> Result<()> {
    let mut silent: BTreeMap<&TopicPartition, &Want> = wanted.iter().collect();
    for topic in response.responses {
        let name = if topic.topic_id.is_nil() {
            Some(Arc::<str>::from(topic.topic.as_str()))
        } else {
            session.name_of(topic.topic_id).map(|partition| partition.topic.clone())
        };
        // A topic that was taken away while the request was under way.
        let Some(name) = name else { continue };
        for data in topic.partitions {
            let partition = TopicPartition::new(name.clone(), data.partition_index);
            let Some(want) = silent.remove(&partition) else { continue };
            if let Some(assignment) = shared.current(&partition, want) {
                one(shared, broker, &partition, assignment, want, data).await;
            }
        }
    }
    for (partition, want) in silent {
        if let Some(assignment) = shared.current(partition, want) {
            shared.unchanged(partition, assignment);
        }
    }
    Ok(())
}

/// What the broker said about one partition.
async fn one(
    shared: &Shared,
    broker: i32,
    partition: &TopicPartition,
    assignment: u64,
    want: &Want,
    data: PartitionData,
) {
    let code = ErrorCode(data.error_code);
    if !code.is_ok() && shared.leaves(partition, assignment, broker) {
        return;
    }
    if code.is_ok() && data.preferred_read_replica.0 >= 0 && data.preferred_read_replica.0 != broker {
        return shared.prefer(partition, assignment, data.preferred_read_replica.0);
    }
    if code == ErrorCode::OFFSET_OUT_OF_RANGE {
        let error = super::keeper::out_of_range(shared, partition, want.offset).await;
        return shared.failed(partition, assignment, error);
    }
    if !code.is_ok() {
        let error = Error::broker(code, format!("fetch of {partition}"));
        return match error.class() {
            // Whatever it is, asking anew who leads the partition does no harm and takes its time.
            Class::Retry | Class::Refresh => shared.lost(partition, assignment, error),
            _ => shared.stop(partition, assignment, error),
        };
    }
    let end = match shared.options.isolation {
        Isolation::ReadCommitted if data.last_stable_offset >= 0 => data.last_stable_offset,
        _ => data.high_watermark,
    };
    let records = data.records.unwrap_or_default();
    // A batch that cannot be walked is found again, and reported, when it is decoded.
    let next = end_offset(&records).unwrap_or(Some((want.offset.saturating_add(1), -1)));
    let next = next.filter(|(next, _)| *next > want.offset);
    let chunk = next.map(|_| Chunk {
        partition: partition.clone(),
        topic_id: want.topic_id,
        assignment,
        broker,
        bytes: records.len(),
        first: want.offset,
        records,
        aborted: Aborted::new(
            data.aborted_transactions
                .unwrap_or_default()
                .iter()
                .map(|aborted| (aborted.first_offset, aborted.producer_id.0))
                .collect(),
        ),
        high_watermark: data.high_watermark,
        last_stable_offset: data.last_stable_offset,
        log_start: data.log_start_offset,
    });
    shared.answered(partition, assignment, Answer { end, next, chunk });
}
