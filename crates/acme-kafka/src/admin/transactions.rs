//! Looking at transactions (KIP-664, brokers from 3.0 on).

use crate::client::{Client, CoordinatorKind, Purpose, TopicPartition};
use crate::error::{Error, ErrorCode, Result};
use crate::produce::Identity;
use crate::wire::text;
use kafka_protocol::messages::{
    DescribeTransactionsRequest, ListTransactionsRequest, ListTransactionsResponse, ProducerId,
    TransactionalId,
};
use std::collections::BTreeMap;

/// The state of a transaction that is open: neither committed nor aborted.
pub const ONGOING: &str = "Ongoing";

/// A transactional id in a list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListedTransaction {
    /// The transactional id.
    pub id: String,
    /// The producer that has it.
    pub producer_id: i64,
    /// `Empty`, `Ongoing`, `PrepareCommit`, `PrepareAbort`, `CompleteCommit`, `CompleteAbort`, `Dead`,
    /// `PrepareEpochFence`.
    pub state: String,
}

/// Which transactional ids are listed; by default all.
#[derive(Clone, Copy, Debug, Default)]
pub struct TransactionFilter<'a> {
    /// Those in one of these states.
    pub states: &'a [&'a str],
    /// Those of one of these producers.
    pub producer_ids: &'a [i64],
    /// Those whose transaction has been open for longer, in ms (KIP-994, brokers from 3.8 on).
    pub longer_than_ms: Option<i64>,
    /// Those that match this regular expression of RE2 (KIP-1152, brokers from 4.1 on).
    pub pattern: Option<&'a str>,
}

/// A transactional id as its coordinator knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionDescription {
    /// As [`ListedTransaction::state`].
    pub state: String,
    /// The producer that has it.
    pub producer: Identity,
    /// When its open transaction began, in ms since 1970; -1 where none is open.
    pub began_ms: i64,
    /// After how long an open transaction is aborted, in ms.
    pub timeout_ms: i32,
    /// The broker that coordinates it.
    pub coordinator: i32,
    /// The partitions in the open transaction, or those that lack their marker yet.
    pub partitions: Vec<TopicPartition>,
}

impl Client {
    /// The transactional ids that we may see and that are in one of these states; in any state if none is named.
    ///
    /// # Errors
    /// What a broker says; a broker that cannot be reached, for its ids would be missing; [`Error::Unsupported`].
    pub async fn list_transactions(&self, states: &[&str]) -> Result<Vec<ListedTransaction>> {
        let found = self.find_transactions(TransactionFilter { states, ..Default::default() }).await?;
        let mut listed: Vec<ListedTransaction> = found.into_values().flatten().collect();
        listed.sort();
        listed.dedup();
        Ok(listed)
    }

    /// The transactional ids that we may see and that the filter lets through, by the brokers that coordinate them.
    ///
    /// # Errors
    /// As [`Self::list_transactions`]; INVALID_REGULAR_EXPRESSION.
    pub async fn find_transactions(
        &self,
        filter: TransactionFilter<'_>,
    ) -> Result<BTreeMap<i32, Vec<ListedTransaction>>> {
        let request = ListTransactionsRequest::default()
            .with_state_filters(filter.states.iter().map(|state| text(state)).collect())
            .with_producer_id_filters(filter.producer_ids.iter().map(|id| ProducerId(*id)).collect())
            .with_duration_filter(filter.longer_than_ms.unwrap_or(-1))
            .with_transactional_id_pattern(filter.pattern.map(text));
        let brokers: Vec<i32> = self.metadata(&[]).await?.brokers.keys().copied().collect();
        let mut listed = BTreeMap::new();
        for broker in brokers {
            let mut tries = self.tries();
            let response: ListTransactionsResponse = loop {
                let answer = self.send(broker, &request).await.and_then(|response| {
                    ErrorCode(response.error_code).check(|| format!("transactions of broker {broker}"))?;
                    Ok(response)
                });
                match answer {
                    Ok(response) => break response,
                    Err(error) => tries.after(error).await?,
                }
            };
            let told = response.transaction_states.into_iter().map(|it| ListedTransaction {
                id: it.transactional_id.to_string(),
                producer_id: it.producer_id.0,
                state: it.transaction_state.to_string(),
            });
            let mut told: Vec<ListedTransaction> = told.collect();
            told.sort();
            listed.insert(broker, told);
        }
        Ok(listed)
    }

    /// What the coordinator of a transactional id knows of it; nothing if it does not know it.
    ///
    /// # Errors
    /// What the coordinator says; [`Error::Unsupported`].
    pub async fn describe_transaction(&self, id: &str) -> Result<Option<TransactionDescription>> {
        let request =
            DescribeTransactionsRequest::default().with_transactional_ids(vec![TransactionalId(text(id))]);
        let (to, wait) = ((CoordinatorKind::Transaction, id), self.config().request_timeout);
        let response = self.send_to_coordinator(to, Purpose::Control, &request, wait, |response| {
            response.transaction_states.first().map_or(ErrorCode::NONE, |it| ErrorCode(it.error_code))
        });
        let response = response.await?;
        let Some(found) = response.transaction_states.into_iter().next() else {
            return Err(Error::protocol("response DescribeTransactions", format!("{id} is missing")));
        };
        if found.error_code == ErrorCode::TRANSACTIONAL_ID_NOT_FOUND.0 {
            return Ok(None);
        }
        ErrorCode(found.error_code).check(|| format!("description of transaction {id}"))?;
        let partitions = found.topics.iter().flat_map(|topic| {
            let of = |number: &i32| TopicPartition::new(topic.topic.as_str(), *number);
            topic.partitions.iter().map(of)
        });
        Ok(Some(TransactionDescription {
            coordinator: self.coordinator(CoordinatorKind::Transaction, id).await?,
            partitions: partitions.collect(),
            state: found.transaction_state.to_string(),
            producer: Identity { producer_id: found.producer_id.0, epoch: found.producer_epoch },
            began_ms: found.transaction_start_time_ms,
            timeout_ms: found.transaction_timeout_ms,
        }))
    }
}
