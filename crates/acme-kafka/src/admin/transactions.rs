//! Looking at transactions (KIP-664, brokers from 3.0 on).

use crate::client::{Client, CoordinatorKind, Purpose};
use crate::error::{Error, ErrorCode, Result};
use crate::produce::Identity;
use crate::wire::text;
use kafka_protocol::messages::{
    DescribeTransactionsRequest, ListTransactionsRequest, ListTransactionsResponse, TransactionalId,
};

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
}

impl Client {
    /// The transactional ids that we may see and that are in one of these states; in any state if none is named.
    ///
    /// # Errors
    /// What a broker says; a broker that cannot be reached, for its ids would be missing; [`Error::Unsupported`].
    pub async fn list_transactions(&self, states: &[&str]) -> Result<Vec<ListedTransaction>> {
        let request = ListTransactionsRequest::default()
            .with_state_filters(states.iter().map(|state| text(state)).collect())
            .with_duration_filter(-1);
        let brokers: Vec<i32> = self.metadata(&[]).await?.brokers.keys().copied().collect();
        let mut listed = Vec::new();
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
            listed.extend(response.transaction_states.into_iter().map(|it| ListedTransaction {
                id: it.transactional_id.to_string(),
                producer_id: it.producer_id.0,
                state: it.transaction_state.to_string(),
            }));
        }
        listed.sort();
        listed.dedup();
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
        Ok(Some(TransactionDescription {
            state: found.transaction_state.to_string(),
            producer: Identity { producer_id: found.producer_id.0, epoch: found.producer_epoch },
            began_ms: found.transaction_start_time_ms,
            timeout_ms: found.transaction_timeout_ms,
        }))
    }
}
