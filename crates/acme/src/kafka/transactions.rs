//! Transactions: which are open, who has them, and ending those that nobody ends any more.

use super::failure::Failure;
use super::{Said, java, pretty};
use acme_connect::SystemClock;
use acme_kafka::admin::{ActiveProducer, OpenTransaction, TransactionDescription, TransactionFilter};
use acme_kafka::produce::{Transactional, init_producer};
use acme_kafka::{Client, TopicPartition};
use acme_types::Clock;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;

/// What a column shows where there is no open transaction.
const NONE: &str = "None";
/// Partitions that one request asks about, as Kafka's tool does.
const PARTITIONS_MAX: usize = 500;

fn now_ms() -> i64 {
    SystemClock::start().now().0 / 1_000
}

fn failed(what: impl std::fmt::Display, failure: Failure) -> Failure {
    failure.in_words(|said| format!("{what}: {said}"))
}

/// `list`.
pub(crate) async fn list(
    client: &Client,
    longer_than_ms: Option<i64>,
    pattern: Option<&str>,
    as_json: bool,
) -> Result<Said, Failure> {
    let longer_than_ms = longer_than_ms.filter(|ms| *ms >= 0);
    let filter = TransactionFilter { longer_than_ms, pattern, ..TransactionFilter::default() };
    let found = client.find_transactions(filter).await;
    let found = found.map_err(|error| failed("Failed to list transactions", error.into()))?;
    let all = found.iter().flat_map(|(broker, listed)| listed.iter().map(move |it| (broker, it)));
    if as_json {
        let all = all.map(|(broker, it)| {
            json!({
                "transactional_id": it.id,
                "coordinator": broker,
                "producer_id": it.producer_id,
                "state": it.state,
            })
        });
        return Ok(Said::json(&all.collect()));
    }
    let rows = all.map(|(broker, it)| {
        vec![it.id.clone(), broker.to_string(), it.producer_id.to_string(), it.state.clone()]
    });
    let headers = ["TransactionalId", "Coordinator", "ProducerId", "TransactionState"];
    Ok(Said::out(pretty::table(&headers, &rows.collect::<Vec<_>>())))
}

/// `describe`.
pub(crate) async fn describe(client: &Client, id: &str, as_json: bool) -> Result<Said, Failure> {
    let what = format!("Failed to describe transaction state of transactional-id `{id}`");
    let found = client.describe_transaction(id).await.map_err(|error| failed(&what, error.into()))?;
    let Some(found) = found else {
        let said = format!(
            "DescribeTransactions request for transactionalId `{id}` failed because the ID could not be found"
        );
        let help = "`acme transactions list` shows the transactional ids that there are";
        return Err(failed(&what, Failure::user(said, help)));
    };
    let began = Some(found.began_ms).filter(|ms| *ms >= 0);
    let took = began.map(|ms| now_ms() - ms);
    if as_json {
        let partitions =
            found.partitions.iter().map(|it| json!({ "topic": &*it.topic, "partition": it.partition }));
        return Ok(Said::json(&json!({
            "transactional_id": id,
            "coordinator": found.coordinator,
            "producer_id": found.producer.producer_id,
            "producer_epoch": found.producer.epoch,
            "state": found.state,
            "timeout_ms": found.timeout_ms,
            "start_time_ms": began,
            "duration_ms": took,
            "partitions": partitions.collect::<Vec<_>>(),
        })));
    }
    let or_none = |ms: Option<i64>| ms.map_or_else(|| NONE.to_owned(), |ms| ms.to_string());
    let partitions: Vec<String> = found.partitions.iter().map(java::partition).collect();
    let row = vec![
        found.coordinator.to_string(),
        id.to_owned(),
        found.producer.producer_id.to_string(),
        found.producer.epoch.to_string(),
        found.state,
        found.timeout_ms.to_string(),
        or_none(began),
        or_none(took),
        partitions.join(","),
    ];
    let headers = [
        "CoordinatorId",
        "TransactionalId",
        "ProducerId",
        "ProducerEpoch",
        "TransactionState",
        "TransactionTimeoutMs",
        "CurrentTransactionStartTimeMs",
        "TransactionDurationMs",
        "TopicPartitions",
    ];
    Ok(Said::out(pretty::table(&headers, &[row])))
}

fn producer_json(it: &ActiveProducer) -> serde_json::Value {
    json!({
        "producer_id": it.producer_id,
        "producer_epoch": it.epoch,
        "coordinator_epoch": Some(it.coordinator_epoch).filter(|epoch| *epoch >= 0),
        "last_sequence": it.last_sequence,
        "last_timestamp_ms": it.last_timestamp_ms,
        "transaction_start_offset": it.transaction_start,
    })
}

/// `describe-producers`.
pub(crate) async fn describe_producers(
    client: &Client,
    partition: &TopicPartition,
    broker: Option<i32>,
    as_json: bool,
) -> Result<Said, Failure> {
    let at = broker.map_or_else(|| "leader".to_owned(), |id| format!("broker {id}"));
    let what =
        || format!("Failed to describe producers for partition {} on {at}", java::partition(partition));
    let found = client.producers(std::slice::from_ref(partition), broker).await;
    let found = found.map_err(|error| failed(what(), error.into()))?;
    let producers = found.into_values().flatten();
    if as_json {
        return Ok(Said::json(&producers.map(|it| producer_json(&it)).collect()));
    }
    let rows = producers.map(|it| {
        vec![
            it.producer_id.to_string(),
            it.epoch.to_string(),
            it.coordinator_epoch.to_string(),
            it.last_sequence.to_string(),
            it.last_timestamp_ms.to_string(),
            it.transaction_start.map_or_else(|| NONE.to_owned(), |offset| offset.to_string()),
        ]
    });
    let headers = [
        "ProducerId",
        "ProducerEpoch",
        "LatestCoordinatorEpoch",
        "LastSequence",
        "LastTimestamp",
        "CurrentTransactionStartOffset",
    ];
    Ok(Said::out(pretty::table(&headers, &rows.collect::<Vec<_>>())))
}

/// Which transaction is to be aborted.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Abort {
    /// The one that begins at this offset.
    At(i64),
    /// The one of this producer.
    Of(OpenTransaction),
}

/// `abort`.
pub(crate) async fn abort(
    client: &Client,
    partition: &TopicPartition,
    abort: Abort,
    as_json: bool,
) -> Result<Said, Failure> {
    let name = java::partition(partition);
    let open = match abort {
        Abort::Of(open) => open,
        Abort::At(start) => {
            let what = || format!("Failed to validate producer state for partition {name}");
            let found = client.producers(std::slice::from_ref(partition), None).await;
            let found = found.map_err(|error| failed(what(), error.into()))?;
            let producer = found.into_values().flatten().find(|it| it.transaction_start == Some(start));
            let Some(producer) = producer else {
                let said = format!(
                    "Could not find any open transactions starting at offset {start} on partition {name}"
                );
                let help = "`acme transactions producers` shows the open transactions of a partition";
                return Err(Failure::user(said, help));
            };
            OpenTransaction {
                producer_id: producer.producer_id,
                epoch: i16::try_from(producer.epoch).unwrap_or(i16::MAX),
                // One that never saw a marker has none; 0 is below that of any coordinator.
                coordinator_epoch: producer.coordinator_epoch.max(0),
            }
        }
    };
    let what = || {
        format!(
            "Failed to abort transaction AbortTransactionSpec(topicPartition={name}, producerId={}, producerEpoch={}, \
             coordinatorEpoch={})",
            open.producer_id, open.epoch, open.coordinator_epoch
        )
    };
    client.abort_transaction(partition, open).await.map_err(|error| failed(what(), error.into()))?;
    if as_json {
        return Ok(Said::json(&json!({
            "topic": &*partition.topic,
            "partition": partition.partition,
            "producer_id": open.producer_id,
            "producer_epoch": open.epoch,
            "aborted": true,
        })));
    }
    Ok(Said::default())
}

/// `forceTerminateTransaction`: whoever has the id is fenced, and what is open is aborted (KIP-939).
pub(crate) async fn terminate(client: &Client, id: &str, as_json: bool) -> Result<Said, Failure> {
    let of = Transactional { id: id.to_owned(), timeout: Duration::from_millis(1) };
    let what = || format!("Failed to force terminate transactionalId `{id}`");
    init_producer(client, Some(&of), None).await.map_err(|error| failed(what(), error.into()))?;
    Ok(if as_json {
        Said::json(&json!({ "transactional_id": id, "terminated": true }))
    } else {
        Said::default()
    })
}

/// Where `find-hanging` looks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Where {
    pub(crate) broker: Option<i32>,
    pub(crate) topic: Option<String>,
    pub(crate) partition: Option<i32>,
    /// Transactions may be open for so long.
    pub(crate) timeout_max_minutes: i64,
}

/// `find-hanging`: transactions that are open in a partition, and of which no coordinator knows.
pub(crate) async fn find_hanging(client: &Client, at: &Where, as_json: bool) -> Result<Said, Failure> {
    let partitions = partitions(client, at).await?;
    let mut open: Vec<(TopicPartition, ActiveProducer)> = Vec::new();
    let limit_ms = at.timeout_max_minutes.saturating_mul(60_000);
    for some in partitions.chunks(PARTITIONS_MAX) {
        let broker = at.broker.map_or_else(|| "leader".to_owned(), |id| id.to_string());
        let what =
            || format!("Failed to describe producers for {} partitions on broker {broker}", some.len());
        let found = client.producers(some, at.broker).await;
        let found = found.map_err(|error| failed(what(), error.into()))?;
        let now_ms = now_ms();
        for (partition, producers) in found {
            let old = producers
                .into_iter()
                .filter(|it| it.transaction_start.is_some() && now_ms - it.last_timestamp_ms > limit_ms);
            open.extend(old.map(|producer| (partition.clone(), producer)));
        }
    }
    if !open.is_empty() {
        let known = coordinated(client, &open).await?;
        open.retain(|(partition, producer)| {
            let of = known.get(&producer.producer_id);
            !of.is_some_and(|it| it.partitions.contains(partition))
        });
    }
    open.sort_by(|one, other| (&one.0, one.1.producer_id).cmp(&(&other.0, other.1.producer_id)));
    Ok(hanging(&open, as_json))
}

/// The partitions to look at.
async fn partitions(client: &Client, at: &Where) -> Result<Vec<TopicPartition>, Failure> {
    if let (Some(topic), Some(number)) = (&at.topic, at.partition) {
        return Ok(vec![TopicPartition::new(topic.as_str(), number)]);
    }
    let metadata = match &at.topic {
        Some(topic) => client.metadata(&[topic]).await?,
        None => client.all_topics().await?,
    };
    let mut partitions = Vec::new();
    for (name, topic) in &metadata.topics {
        if at.topic.as_ref().is_some_and(|wanted| **wanted != **name) {
            continue;
        }
        let described = topic.error.check(|| format!("topic {name}"));
        described.map_err(|error| failed("Failed to describe 1 topics", error.into()))?;
        let here = topic
            .partitions
            .iter()
            .filter(|(_, partition)| at.broker.is_none_or(|broker| partition.replicas.contains(&broker)));
        partitions.extend(here.map(|(number, _)| TopicPartition::new(name.clone(), *number)));
    }
    Ok(partitions)
}

/// What coordinators know of the transactions of these producers.
async fn coordinated(
    client: &Client,
    open: &[(TopicPartition, ActiveProducer)],
) -> Result<BTreeMap<i64, TransactionDescription>, Failure> {
    let mut ids: Vec<i64> = open.iter().map(|(_, producer)| producer.producer_id).collect();
    ids.sort_unstable();
    ids.dedup();
    let filter = TransactionFilter { producer_ids: &ids, ..TransactionFilter::default() };
    let what = || format!("Failed to list transactions for {} producers", ids.len());
    let listed = client.find_transactions(filter).await;
    let listed = listed.map_err(|error| failed(what(), error.into()))?;
    let mut known = BTreeMap::new();
    for listed in listed.into_values().flatten() {
        let found = client.describe_transaction(&listed.id).await;
        let found = found.map_err(|error| failed("Failed to describe 1 transactions", error.into()))?;
        known.extend(found.map(|found| (listed.producer_id, found)));
    }
    Ok(known)
}

fn hanging(open: &[(TopicPartition, ActiveProducer)], as_json: bool) -> Said {
    let now_ms = now_ms();
    if as_json {
        let all = open.iter().map(|(partition, producer)| {
            let mut value = producer_json(producer);
            value["topic"] = (*partition.topic).into();
            value["partition"] = partition.partition.into();
            value["duration_ms"] = (now_ms - producer.last_timestamp_ms).into();
            value
        });
        return Said::json(&all.collect());
    }
    let rows = open.iter().map(|(partition, it)| {
        vec![
            partition.topic.to_string(),
            partition.partition.to_string(),
            it.producer_id.to_string(),
            it.epoch.to_string(),
            it.coordinator_epoch.to_string(),
            it.transaction_start.unwrap_or(-1).to_string(),
            it.last_timestamp_ms.to_string(),
            ((now_ms - it.last_timestamp_ms) / 60_000).to_string(),
        ]
    });
    let headers = [
        "Topic",
        "Partition",
        "ProducerId",
        "ProducerEpoch",
        "CoordinatorEpoch",
        "StartOffset",
        "LastTimestamp",
        "Duration(min)",
    ];
    Said::out(pretty::table(&headers, &rows.collect::<Vec<_>>()))
}
