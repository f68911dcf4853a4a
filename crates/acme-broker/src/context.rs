//! What all connections share.

use crate::error::Code;
use crate::groups::Groups;
use crate::options::Options;
use crate::sessions::Sessions;
use crate::transactions::Transactions;
use crate::transactions::state::Protocol;
use acme_log::Log;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{Semaphore, watch};

/// The id of the one node.
pub(crate) const NODE: i32 = 1;

/// What all connections share.
pub(crate) struct Context {
    pub(crate) log: Log,
    pub(crate) options: Options,
    pub(crate) sessions: Sessions,
    pub(crate) groups: Arc<Groups>,
    pub(crate) transactions: Arc<Transactions>,
    /// KiB that may still be received.
    pub(crate) receiving: Arc<Semaphore>,
    /// Bytes of answers that nobody has taken yet.
    sending: AtomicUsize,
    /// True when the broker is to stop.
    pub(crate) stopping: watch::Receiver<bool>,
}

/// What a transactional produce asks the coordinator before its first batch in a partition (KIP-890).
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    pub(crate) transactional_id: String,
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    pub(crate) topic: String,
    pub(crate) partition: i32,
    /// The partition becomes part of the transaction by this (version 2), instead of having to be so already.
    pub(crate) adds: bool,
}

impl Context {
    /// Whether a producer may write to a partition in its transaction.
    pub(crate) async fn admit(&self, admission: Admission) -> Result<(), Code> {
        let identity = (admission.producer_id, admission.producer_epoch);
        let part = (Arc::from(admission.topic), admission.partition);
        let id = &admission.transactional_id;
        if admission.adds {
            return self
                .transactions
                .add(id, identity, &[part], Protocol::V2, crate::transactions::IMPLICIT)
                .await;
        }
        self.transactions.verify(id, identity, &part)
    }

    pub(crate) fn new(log: Log, options: Options, stopping: watch::Receiver<bool>) -> Self {
        let groups = Groups::new(log.clone(), options.groups.clone());
        Self {
            transactions: Transactions::new(log.clone(), Arc::clone(&groups)),
            groups,
            log,
            sessions: Sessions::new(options.sessions_max),
            receiving: Arc::new(Semaphore::new(options.receiving_bytes_max >> 10)),
            sending: AtomicUsize::new(0),
            stopping,
            options,
        }
    }

    /// Reads what the coordinators have written, and lets them keep their deadlines until the broker stops.
    pub(crate) async fn start_coordinators(self: &Arc<Self>) -> Result<(), String> {
        let context = Arc::clone(self);
        let load = move || context.groups.load().and_then(|()| context.transactions.load());
        tokio::task::spawn_blocking(load).await.map_err(|error| error.to_string())??;
        let context = Arc::clone(self);
        tokio::spawn(async move {
            tokio::select! {
                () = Arc::clone(&context.groups).run() => {}
                () = Arc::clone(&context.transactions).run() => {}
                () = context.stopped() => {}
            }
        });
        Ok(())
    }

    /// Does what may wait for the disk where nobody else waits for it.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Log) -> T + Send + 'static,
    ) -> T {
        let log = self.log.clone();
        tokio::task::spawn_blocking(move || work(&log)).await.expect("the log does not panic")
    }

    /// Tells a person.
    pub(crate) fn warn(&self, text: &str) {
        (self.options.warn)(text);
    }

    /// Counts bytes of an answer until it is gone.
    pub(crate) fn hold(self: &Arc<Self>, bytes: usize) -> Held {
        self.sending.fetch_add(bytes, Ordering::Relaxed);
        Held { context: Arc::clone(self), bytes }
    }

    /// Resolves when the broker is to stop.
    pub(crate) async fn stopped(&self) {
        let mut stopping = self.stopping.clone();
        // Who could have said so is gone: that is a stop as well.
        let _ = stopping.wait_for(|stop| *stop).await;
    }
}

/// Bytes of an answer that is on its way.
pub(crate) struct Held {
    context: Arc<Context>,
    bytes: usize,
}

impl Held {
    /// Bytes that this answer may have more.
    pub(crate) fn room(&self) -> usize {
        let context = &self.context;
        context.options.sending_bytes_max.saturating_sub(context.sending.load(Ordering::Relaxed))
    }

    /// So many they are now; never fewer than before.
    pub(crate) fn set(&mut self, bytes: usize) {
        self.context.sending.fetch_add(bytes.saturating_sub(self.bytes), Ordering::Relaxed);
        self.bytes = bytes.max(self.bytes);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.context.sending.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
