//! Which broker keeps a group's offsets or a transactional id's state, and asking it.

use super::{Client, Purpose};
use crate::error::{Class, Error, ErrorCode, Result};
use crate::wire::text;
use kafka_protocol::messages::{FindCoordinatorRequest, FindCoordinatorResponse};
use kafka_protocol::protocol::Request;
use std::sync::PoisonError;
use std::time::Duration;

/// What is coordinated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CoordinatorKind {
    /// A consumer group, by its group id.
    Group = 0,
    /// Transactions, by the transactional id.
    Transaction = 1,
}

/// From this version on, several keys go into one request (KIP-699).
const BATCHED: i16 = 4;

impl Client {
    /// The broker that coordinates `key`: from what is known, else asked for until there is one.
    ///
    /// # Errors
    /// As [`Client::send_to_any`], or what the broker says, as GROUP_AUTHORIZATION_FAILED.
    pub async fn coordinator(&self, kind: CoordinatorKind, key: &str) -> Result<i32> {
        let known = self.coordinators().get(&(kind, key.to_owned())).copied();
        if let Some(broker) = known {
            return Ok(broker);
        }
        let mut tries = self.tries();
        loop {
            match self.find_coordinator(kind, key).await {
                Ok(broker) => return Ok(broker),
                Err(error) => tries.after(error).await?,
            }
        }
    }

    /// Forgets the coordinator, so that the next request asks for it.
    pub fn forget_coordinator(&self, kind: CoordinatorKind, key: &str) {
        self.coordinators().remove(&(kind, key.to_owned()));
    }

    fn coordinators(
        &self,
    ) -> std::sync::MutexGuard<'_, std::collections::BTreeMap<(CoordinatorKind, String), i32>> {
        self.inner.coordinators.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn find_coordinator(&self, kind: CoordinatorKind, key: &str) -> Result<i32> {
        // Which broker answers, and so which version is spoken, is known only when it is connected.
        let mut last = None;
        for broker in self.candidates() {
            match self.find_coordinator_at(broker, kind, key).await {
                Ok(found) => return Ok(found),
                Err(error) if error.code().is_none() && error.class().is_transient() => last = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(last.unwrap_or_else(|| Error::State("no broker is known".to_owned())))
    }

    async fn find_coordinator_at(&self, broker: i32, kind: CoordinatorKind, key: &str) -> Result<i32> {
        let connection = self.connection(broker, Purpose::Control).await?;
        let version = connection.version::<FindCoordinatorRequest>()?;
        let mut request = FindCoordinatorRequest::default().with_key_type(kind as i8);
        if version >= BATCHED {
            request.coordinator_keys = vec![text(key)];
        } else {
            request.key = text(key);
        }
        let response = connection.send_at(&request, version, self.config().request_timeout).await?;
        let (broker, host, port) = read(response, version, kind, key)?;
        let port = u16::try_from(port)
            .map_err(|_| Error::protocol("response FindCoordinator", format!("port {port}")))?;
        self.inner.pool.learn([(broker, (host, port))], true);
        self.coordinators().insert((kind, key.to_owned()), broker);
        Ok(broker)
    }

    /// Sends a request to the coordinator of `key`, over a connection of this purpose, and repeats it while the
    /// coordinator moves, loads or cannot be reached. `code` reads what the answer says; other codes than those are
    /// the caller's. `timeout` is how long one answer may take.
    ///
    /// # Errors
    /// As [`Client::coordinator`] and [`Client::send`], when `operation_timeout` is up.
    pub async fn send_to_coordinator<R: Request>(
        &self,
        (kind, key): (CoordinatorKind, &str),
        purpose: Purpose,
        request: &R,
        timeout: Duration,
        code: impl Fn(&R::Response) -> ErrorCode,
    ) -> Result<R::Response> {
        self.send_to_coordinator_at((kind, key), purpose, request, (timeout, i16::MAX), code, |_| {}).await
    }

    /// The same in a version of at most `version_max`, where a newer one would mean something else. `failed` hears why a
    /// try had no answer: the request may have arrived, or may arrive yet.
    ///
    /// # Errors
    /// As [`Client::send_to_coordinator`].
    pub async fn send_to_coordinator_at<R: Request>(
        &self,
        (kind, key): (CoordinatorKind, &str),
        purpose: Purpose,
        request: &R,
        (timeout, version_max): (Duration, i16),
        code: impl Fn(&R::Response) -> ErrorCode,
        mut failed: impl FnMut(&Error),
    ) -> Result<R::Response> {
        let mut tries = self.tries();
        loop {
            let sent = async {
                let broker = self.coordinator(kind, key).await?;
                let connection = self.connection(broker, purpose).await?;
                let version = connection.version::<R>()?.min(version_max);
                connection.send_at(request, version, timeout).await
            };
            let error = match sent.await {
                Ok(response) => match code(&response) {
                    // The coordinator has moved or is not ready; every other code means something to the caller.
                    code if matches!(code.0, 14..=16) => {
                        Error::broker(code, format!("request to the coordinator of {key}"))
                    }
                    _ => return Ok(response),
                },
                Err(error) => {
                    failed(&error);
                    error
                }
            };
            if error.class() == Class::Refresh {
                self.forget_coordinator(kind, key);
            }
            tries.after(error).await?;
        }
    }

    pub(crate) async fn send_once_to_coordinator<R: Request>(
        &self,
        (kind, key): (CoordinatorKind, &str),
        purpose: Purpose,
        request: &R,
        timeout: Duration,
    ) -> Result<R::Response> {
        let broker = self.coordinator(kind, key).await?;
        let connection = self.connection(broker, purpose).await?;
        connection.send_at(request, connection.version::<R>()?, timeout).await
    }
}

fn read(
    response: FindCoordinatorResponse,
    version: i16,
    kind: CoordinatorKind,
    key: &str,
) -> Result<(i32, String, i32)> {
    let what = || {
        let kind = if kind == CoordinatorKind::Group { "group" } else { "transactional id" };
        format!("coordinator of {kind} {key}")
    };
    let (code, detail, node, host, port) = if version >= BATCHED {
        let found = response.coordinators.into_iter().find(|found| found.key.as_str() == key);
        let found = found.ok_or_else(|| Error::protocol("response FindCoordinator", "the key is missing"))?;
        (found.error_code, found.error_message, found.node_id, found.host, found.port)
    } else {
        (response.error_code, response.error_message, response.node_id, response.host, response.port)
    };
    if code == 0 {
        return Ok((node.0, host.to_string(), port));
    }
    let detail = detail.map(|text| text.to_string()).filter(|text| !text.is_empty());
    Err(Error::Broker { code: ErrorCode(code), what: what(), detail })
}
