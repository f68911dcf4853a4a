//! The connections of a client: one per broker and purpose, made when needed, made again when broken.

use super::tries::Tries;
use crate::config::{Config, split_address};
use crate::connection::Connection;
use crate::error::{Error, Result};
use rustls::ClientConfig;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;

/// What a connection is for. A broker answers the requests of one connection one after the other, so whatever it
/// holds back (a fetch that waits for data, a join that waits for members) needs a connection of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// Metadata, offsets, administration: answered at once.
    Control,
    /// The fetches of one fetcher; the number comes from [`crate::Client::unique`].
    Fetch(u32),
    /// The batches of one producer.
    Produce(u32),
    /// One member of a group, or one transactional producer, at its coordinator.
    Coordinator(u32),
}

/// Where a broker is.
type Address = (String, u16);

/// One place for a connection.
#[derive(Default)]
struct Slot {
    connection: Option<(Address, Arc<Connection>)>,
    failures: u32,
    not_before: Option<Instant>,
}

/// A slot that is locked while its connection is made, so that many who need it make one.
type SharedSlot = Arc<tokio::sync::Mutex<Slot>>;

pub(super) struct Pool {
    config: Config,
    tls: Option<Arc<ClientConfig>>,
    /// Bootstrap servers have negative numbers: -1, -2, and so on.
    addresses: Mutex<BTreeMap<i32, Address>>,
    slots: Mutex<BTreeMap<(i32, Purpose), SharedSlot>>,
}

impl Pool {
    pub(super) fn new(config: Config, tls: Option<Arc<ClientConfig>>) -> Result<Self> {
        let mut addresses = BTreeMap::new();
        for (number, server) in (1..).zip(&config.bootstrap) {
            addresses.insert(-number, split_address(server)?);
        }
        Ok(Self { config, tls, addresses: Mutex::new(addresses), slots: Mutex::default() })
    }

    /// Remembers where brokers are; those that are not named and not in `others_stay` are forgotten.
    pub(super) fn learn(&self, brokers: impl IntoIterator<Item = (i32, Address)>, others_stay: bool) {
        let mut addresses = lock(&self.addresses);
        if !others_stay {
            addresses.retain(|id, _| *id < 0);
        }
        addresses.extend(brokers.into_iter().filter(|(id, _)| *id >= 0));
    }

    /// Everybody who may be asked: brokers first, then bootstrap servers.
    pub(super) fn everybody(&self) -> Vec<i32> {
        let addresses = lock(&self.addresses);
        let (brokers, servers): (Vec<i32>, Vec<i32>) = addresses.keys().partition(|id| **id >= 0);
        brokers.into_iter().chain(servers.into_iter().rev()).collect()
    }

    pub(super) fn address(&self, broker: i32) -> Option<String> {
        lock(&self.addresses).get(&broker).map(|(host, port)| format!("{host}:{port}"))
    }

    /// True if a connection for this exists and works; nothing is awaited.
    pub(super) fn is_connected(&self, broker: i32, purpose: Purpose) -> bool {
        let slot = lock(&self.slots).get(&(broker, purpose)).cloned();
        slot.is_some_and(|slot| {
            slot.try_lock()
                .is_ok_and(|slot| slot.connection.as_ref().is_some_and(|(_, open)| !open.is_closed()))
        })
    }

    /// The connection for this, made if there is none. After failures it first waits a while, at most
    /// `retry_backoff_max`.
    pub(super) async fn get(&self, broker: i32, purpose: Purpose) -> Result<Arc<Connection>> {
        let slot = lock(&self.slots).entry((broker, purpose)).or_default().clone();
        let mut slot = slot.lock().await;
        // Looked up with the slot in hand: a broker may have moved while others tried to reach it.
        let address = lock(&self.addresses).get(&broker).cloned();
        let address = address.ok_or_else(|| Error::Io {
            broker: format!("broker {broker}"),
            reason: "the cluster does not list it at the moment".to_owned(),
        })?;
        if let Some((at, connection)) = &slot.connection
            && *at == address
            && !connection.is_closed()
        {
            return Ok(connection.clone());
        }
        slot.connection = None;
        if let Some(at) = slot.not_before {
            self.config.world.sleep_until(at).await;
        }
        match Connection::open(&address.0, address.1, &self.config, self.tls.as_ref()).await {
            Ok(connection) => {
                let connection = Arc::new(connection);
                *slot = Slot { connection: Some((address, connection.clone())), ..Slot::default() };
                Ok(connection)
            }
            Err(error) => {
                let pause = Tries::pause(&self.config, slot.failures);
                slot.failures = slot.failures.saturating_add(1);
                slot.not_before = Some(self.config.world.now() + pause);
                Err(error)
            }
        }
    }

    /// Closes the connections of one purpose.
    pub(super) fn release(&self, purpose: Purpose) {
        lock(&self.slots).retain(|(_, of), _| *of != purpose);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
