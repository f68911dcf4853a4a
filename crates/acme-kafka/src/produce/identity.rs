//! Who a producer is: InitProducerId (KIP-98, KIP-360).

use super::queue::Identity;
use crate::client::{Client, CoordinatorKind, Purpose};
use crate::error::{Error, ErrorCode, Result};
use crate::wire::text;
use kafka_protocol::messages::{InitProducerIdRequest, ProducerId, TransactionalId};
use std::time::Duration;

/// Under which name a producer's transactions go, and how long one may be open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transactional {
    /// The transactional id; a newer producer of the same id fences older ones.
    pub id: String,
    /// After this time the cluster aborts an open transaction.
    pub timeout: Duration,
}

/// Gets an identity. For a transactional id this fences every older producer of it and aborts what it left open, so it
/// serves to clear up after a dead worker, too. With `last` the cluster makes sure that nobody else took over since:
/// the same producer goes on with a higher epoch.
///
/// # Errors
/// PRODUCER_FENCED if somebody else took over; what the cluster says, when `operation_timeout` is up.
pub async fn init_producer(
    client: &Client,
    transactional: Option<&Transactional>,
    last: Option<Identity>,
) -> Result<Identity> {
    let timeout = transactional.map_or(Duration::from_secs(60), |of| of.timeout);
    let mut request = InitProducerIdRequest::default()
        .with_transactional_id(transactional.map(|of| TransactionalId(text(&of.id))))
        .with_transaction_timeout_ms(i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX))
        .with_producer_id(ProducerId(-1))
        .with_producer_epoch(-1);
    if let Some(last) = last {
        request.producer_id = ProducerId(last.producer_id);
        request.producer_epoch = last.epoch;
    }
    let mut tries = client.tries();
    loop {
        let response = match transactional {
            None => client.send_to_any(&request).await?,
            Some(of) => {
                let to = (CoordinatorKind::Transaction, of.id.as_str());
                let wait = client.config().request_timeout;
                client
                    .send_to_coordinator(to, Purpose::Control, &request, wait, |response| {
                        ErrorCode(response.error_code)
                    })
                    .await?
            }
        };
        let code = ErrorCode(response.error_code);
        if code.is_ok() {
            return Ok(Identity { producer_id: response.producer_id.0, epoch: response.producer_epoch });
        }
        let what =
            transactional.map_or_else(|| "producer id".to_owned(), |of| format!("producer id of {}", of.id));
        tries.after(Error::broker(code, what)).await?;
    }
}
