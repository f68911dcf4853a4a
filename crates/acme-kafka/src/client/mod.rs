//! The client: whom to ask, and asking again when the answer is "not me".
//!
//! Cheap to clone; every clone shares connections and metadata. Everything here is bounded by the time-outs of
//! [`Config`]; nothing runs in the background but the two tasks of each connection.

mod coordinator;
mod metadata;
mod pool;
mod tries;

pub use coordinator::CoordinatorKind;
pub use metadata::{Broker, Leader, Metadata, Partition, Topic, TopicPartition};
pub use pool::Purpose;
pub use tries::Tries;

use crate::config::Config;
use crate::connection::{Connection, client_config};
use crate::error::{Error, ErrorCode, Result};
use crate::wire::text;
use crate::world::World;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{MetadataRequest, MetadataResponse, TopicName};
use kafka_protocol::protocol::Request;
use pool::Pool;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;
use tokio::time::Instant;

/// A client of one cluster.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    pool: Pool,
    metadata: RwLock<Snapshot>,
    /// Held while metadata is asked for, so that many who need it ask once.
    refreshing: tokio::sync::Mutex<()>,
    coordinators: Mutex<BTreeMap<(CoordinatorKind, String), i32>>,
    unique: AtomicU32,
}

/// Metadata and how old it is.
#[derive(Clone)]
struct Snapshot {
    metadata: Arc<Metadata>,
    generation: u64,
    at: Instant,
}

impl Client {
    /// Reads certificates, reaches the cluster and learns its brokers.
    ///
    /// # Errors
    /// [`Error::Config`] and [`Error::Tls`] for settings, [`Error::Auth`] for a refused login, [`Error::NoBroker`] if
    /// nobody answers within `operation_timeout`.
    pub async fn connect(config: Config) -> Result<Self> {
        let patience = config.operation_timeout;
        Self::connect_within(config, patience).await
    }

    /// The same with another patience for the first answer. A try that has begun is not cut short.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub async fn connect_within(config: Config, patience: Duration) -> Result<Self> {
        config.check()?;
        let tls = match config.security.tls.clone() {
            None => None,
            Some(tls) => {
                let reading = tokio::task::spawn_blocking(move || client_config(&tls));
                Some(reading.await.map_err(|error| Error::State(error.to_string()))??)
            }
        };
        let inner = Inner {
            pool: Pool::new(config.clone(), tls)?,
            metadata: RwLock::new(Snapshot {
                metadata: Arc::default(),
                generation: 0,
                at: config.world.now(),
            }),
            config,
            refreshing: tokio::sync::Mutex::default(),
            coordinators: Mutex::default(),
            unique: AtomicU32::new(0),
        };
        let client = Self { inner: Arc::new(inner) };
        let tries = Tries::within(client.config(), patience);
        client.ask(Some(&[]), tries).await?;
        Ok(client)
    }

    /// The settings that it was made with.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    pub(crate) fn world(&self) -> &World {
        &self.inner.config.world
    }

    /// A number that no other call on this client returns, to tell connections of the same kind apart.
    #[must_use]
    pub fn unique(&self) -> u32 {
        self.inner.unique.fetch_add(1, Ordering::Relaxed)
    }

    /// A new series of tries within `operation_timeout`.
    #[must_use]
    pub fn tries(&self) -> Tries {
        Tries::new(&self.inner.config)
    }

    /// The connection to a broker for a purpose, made if there is none.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Timeout`], [`Error::Tls`], [`Error::Auth`], [`Error::Unsupported`].
    pub async fn connection(&self, broker: i32, purpose: Purpose) -> Result<Arc<Connection>> {
        self.inner.pool.get(broker, purpose).await
    }

    /// Closes the connections of one purpose, once its user is gone.
    pub fn release(&self, purpose: Purpose) {
        self.inner.pool.release(purpose);
    }

    /// Sends one request to one broker, once, in the highest common version. Codes in the answer are the caller's.
    ///
    /// # Errors
    /// As [`Self::connection`], and [`Error::Protocol`].
    pub async fn send<R: Request>(&self, broker: i32, request: &R) -> Result<R::Response> {
        self.connection(broker, Purpose::Control).await?.send(request).await
    }

    /// Sends a request that any broker can answer. Each known broker and bootstrap server is tried, those with an
    /// open connection first, again and again within `operation_timeout`.
    ///
    /// # Errors
    /// [`Error::NoBroker`], or at once what no repetition mends.
    pub async fn send_to_any<R: Request>(&self, request: &R) -> Result<R::Response> {
        let mut tries = self.tries();
        loop {
            match self.send_once_to_any(request).await {
                Ok(response) => return Ok(response),
                Err(error) => tries.after(error).await?,
            }
        }
    }

    async fn send_once_to_any<R: Request>(&self, request: &R) -> Result<R::Response> {
        let mut tried = Vec::new();
        let mut last = None;
        for broker in self.candidates() {
            match self.send(broker, request).await {
                Ok(response) => return Ok(response),
                Err(error) if error.class().is_transient() => {
                    tried.extend(self.inner.pool.address(broker));
                    last = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        let last = Box::new(last.unwrap_or_else(|| Error::State("no broker is known".to_owned())));
        Err(Error::NoBroker { tried: tried.join(", "), last })
    }

    /// Everybody who may be asked, those first whose connection stands.
    fn candidates(&self) -> Vec<i32> {
        let mut brokers = self.inner.pool.everybody();
        // A stable sort: brokers before bootstrap servers among equals.
        brokers.sort_by_key(|broker| !self.inner.pool.is_connected(*broker, Purpose::Control));
        brokers
    }

    /// Sends an administrative request to the controller and, as long as `code` reads NOT_CONTROLLER out of the
    /// answer or the controller cannot be reached, finds it again.
    ///
    /// # Errors
    /// As [`Self::send`], when time is up.
    pub async fn send_to_controller<R: Request>(
        &self,
        request: &R,
        code: impl Fn(&R::Response) -> ErrorCode,
    ) -> Result<R::Response> {
        let mut tries = self.tries();
        loop {
            let controller = self.cached().controller;
            let result = if controller >= 0 {
                self.send(controller, request).await
            } else {
                self.send_once_to_any(request).await
            };
            let error = match result {
                Ok(response) if code(&response) != ErrorCode::NOT_CONTROLLER => return Ok(response),
                Ok(response) => Error::broker(code(&response), "request to the controller".to_owned()),
                Err(error) => error,
            };
            tries.after(error).await?;
            self.refresh(&[]).await?;
        }
    }

    /// What is known of the cluster without asking.
    #[must_use]
    pub fn cached(&self) -> Arc<Metadata> {
        self.snapshot().metadata
    }

    fn snapshot(&self) -> Snapshot {
        self.inner.metadata.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks for brokers and these topics now. Topics that do not exist are in the result with their error; none is
    /// created by asking.
    ///
    /// # Errors
    /// As [`Self::send_to_any`].
    pub async fn metadata(&self, topics: &[&str]) -> Result<Arc<Metadata>> {
        let _alone = self.inner.refreshing.lock().await;
        self.ask(Some(topics), self.tries()).await
    }

    /// Asks for brokers and all topics that we may see.
    ///
    /// # Errors
    /// As [`Self::send_to_any`].
    pub async fn all_topics(&self) -> Result<Arc<Metadata>> {
        let _alone = self.inner.refreshing.lock().await;
        self.ask(None, self.tries()).await
    }

    /// Makes metadata newer than what was known when this was called: for all topics known, and these. Those who call
    /// at the same time share one request.
    ///
    /// # Errors
    /// As [`Self::send_to_any`].
    pub async fn refresh(&self, topics: &[&str]) -> Result<Arc<Metadata>> {
        let before = self.snapshot().generation;
        let _alone = self.inner.refreshing.lock().await;
        let now = self.snapshot();
        if now.generation > before && topics.iter().all(|topic| now.metadata.topics.contains_key(*topic)) {
            return Ok(now.metadata);
        }
        let mut names: Vec<&str> = now.metadata.topics.keys().map(|name| &**name).collect();
        names.extend(topics.iter().filter(|name| !now.metadata.topics.contains_key(**name)));
        self.ask(Some(&names), self.tries()).await
    }

    /// The same if what is known is older than `metadata_max_age`.
    ///
    /// # Errors
    /// As [`Self::refresh`].
    pub async fn refresh_if_old(&self) -> Result<()> {
        if self.world().since(self.snapshot().at) >= self.inner.config.metadata_max_age {
            self.refresh(&[]).await?;
        }
        Ok(())
    }

    async fn ask(&self, topics: Option<&[&str]>, mut tries: Tries) -> Result<Arc<Metadata>> {
        let named = |name: &&str| MetadataRequestTopic::default().with_name(Some(TopicName(text(name))));
        let request = MetadataRequest::default()
            .with_topics(topics.map(|topics| topics.iter().map(named).collect()))
            .with_allow_auto_topic_creation(false);
        let response: MetadataResponse = loop {
            let answer = self.send_once_to_any(&request).await.and_then(|response| {
                ErrorCode(response.error_code).check(|| "metadata".to_owned())?;
                match response.brokers.is_empty() {
                    true => Err(Error::broker(
                        ErrorCode::LEADER_NOT_AVAILABLE,
                        "metadata without a broker".to_owned(),
                    )),
                    false => Ok(response),
                }
            });
            match answer {
                Ok(response) => break response,
                Err(error) => tries.after(error).await?,
            }
        };
        let mut snapshot = self.inner.metadata.write().unwrap_or_else(PoisonError::into_inner);
        let metadata = Arc::new(snapshot.metadata.merged(response, topics.is_none())?);
        let brokers = metadata.brokers.iter();
        let brokers = brokers.map(|(id, broker)| (*id, (broker.host.clone(), broker.port)));
        self.inner.pool.learn(brokers, false);
        let generation = snapshot.generation + 1;
        *snapshot = Snapshot { metadata: metadata.clone(), generation, at: self.world().now() };
        Ok(metadata)
    }

    /// The leader of a partition: from what is known, else asked for until there is one.
    ///
    /// # Errors
    /// [`Error::Broker`] with UNKNOWN_TOPIC_OR_PARTITION after a few tries (a topic that was just created is not known
    /// everywhere at once), with LEADER_NOT_AVAILABLE after `operation_timeout`.
    pub async fn leader(&self, partition: &TopicPartition) -> Result<Leader> {
        /// Tries for a topic that does not seem to exist.
        const UNKNOWN_MAX: u32 = 5;
        let mut tries = self.tries();
        let mut unknown = 0;
        if let Ok(leader) = self.cached().leader(partition) {
            return Ok(leader);
        }
        loop {
            let error = match self.refresh(&[&*partition.topic]).await?.leader(partition) {
                Ok(leader) => return Ok(leader),
                Err(error) => error,
            };
            unknown += u32::from(error.code() == Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
            if unknown >= UNKNOWN_MAX {
                return Err(error);
            }
            tries.after(error).await?;
        }
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Client({})", self.inner.config.bootstrap.join(","))
    }
}
