//! A Kafka cluster that exists only in memory, speaks the real protocol, and does everything wrong that a cluster may do.
//!
//! Connections are cut before and after a request took effect, requests wait in dead connections and take effect late,
//! leaders and coordinators move and not every broker knows, tails that nobody copied are lost. What it must not do
//! it does not, unless a [`Plant`] says so: that is for the checkers to find.
//!
//! ```text
//! client ─ dial ─► network (delays, cuts) ─► wire (frames) ─► broker (leaders, logs) | groups, transactions
//!                              time: passes when all tasks wait
//! ```

mod broker;
mod classic;
mod epochs;
mod fetch;
mod group;
mod log;
mod network;
mod time;
mod transaction;
mod wire;

pub use group::Commit;
pub use log::Batch;
pub use network::Faults;
pub use time::{Sleep, Time, run};

use acme_kafka::{Config, Uuid, World};
use log::Replica;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The topic that there is.
pub const TOPIC: &str = "orders";
/// Its partitions.
pub const PARTITIONS: i32 = 3;
/// The brokers are 0, 1 and 2.
pub const BROKERS: i32 = 3;
/// The id of the topic.
const TOPIC_ID: Uuid = Uuid::from_u128(0x0123_4567_89ab_cdef);

/// A mistake of the cluster, or of something between it and the client, that a checker must notice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Plant {
    /// None.
    #[default]
    None,
    /// Sequence numbers are not looked at: a retry is written again.
    NoDedup,
    /// Every batch gets a new sequence number on its way, as if the client numbered its retries anew.
    NewSequence,
    /// A batch is acknowledged before it is copied.
    EarlyAck,
    /// The epoch that a client knows is not compared, and no log was ever cut, as if the client did not ask.
    NoEpochs,
    /// After an error, a fetch begins one batch later, as if the client had gone on.
    SkipAfterError,
    /// Aborted transactions are not listed.
    NoAborted,
    /// Open transactions do not hold the end back.
    NoStableEnd,
    /// Half of a transaction's partitions get the other marker.
    TornEnd,
    /// Offsets of aborted transactions count.
    AbortedOffsets,
    /// Whoever commits is not asked for its generation.
    NoGenerations,
    /// A partition moves though its holder has not let go of it.
    EarlyMove,
}

/// What kind of cluster it is.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Leaders move to brokers that lack records.
    pub unclean: bool,
    /// Brokers add partitions to transactions by themselves, and each end raises the epoch (KIP-890).
    pub implicit: bool,
    /// The newest version of Fetch: 12 names topics, 13 and later use ids.
    pub fetch_max: i16,
    /// A mistake.
    pub plant: Plant,
}

/// Who leads a partition, as somebody knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Leadership {
    leader: i32,
    epoch: i32,
}

#[derive(Debug)]
struct Partition {
    truth: Leadership,
    /// What each broker believes.
    views: Vec<Leadership>,
    replicas: Vec<Replica>,
    /// A fetch was refused since the last one that was not.
    error_seen: bool,
    /// Who copies; the others lag.
    in_sync: BTreeSet<i32>,
}

impl Partition {
    fn leads(&self, broker: i32) -> bool {
        self.views[index(broker)].leader == broker
    }

    fn true_log(&self) -> &Replica {
        &self.replicas[index(self.truth.leader)]
    }

    /// Those in sync that have heard of the leader copy what it has; what all of them have is safe.
    fn replicate(&mut self) {
        let leader = index(self.truth.leader);
        if self.views[leader] != self.truth {
            return;
        }
        if self.in_sync.iter().all(|broker| self.views[index(*broker)] == self.truth) {
            self.replicas[leader].high_watermark = self.replicas[leader].end();
        }
        let copy = self.replicas[leader].clone();
        for broker in self.in_sync.iter().map(|broker| index(*broker)) {
            if broker != leader && self.views[broker] == self.truth {
                self.replicas[broker].follow(&copy);
            }
        }
    }
}

fn index(broker: i32) -> usize {
    usize::try_from(broker).expect("brokers count from 0")
}

struct State {
    partitions: Vec<Partition>,
    down: BTreeSet<i32>,
    /// How often each broker has died.
    lives: Vec<u64>,
    sessions: BTreeMap<i32, fetch::Session>,
    next_session: i32,
    next_producer: i64,
    group: group::Group,
    transactions: transaction::Transactions,
    faults: Faults,
    counts: BTreeMap<&'static str, u64>,
    undisturbed: bool,
    calm: bool,
    /// Clients whose network is gone until then, by their names.
    cut_off: BTreeMap<String, Duration>,
}

/// A cluster and the network in front of it.
pub struct Cluster {
    time: Arc<Time>,
    options: Options,
    state: Mutex<State>,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cluster({:?})", self.options)
    }
}

impl Cluster {
    /// A cluster in which everything works until somebody says otherwise.
    #[must_use]
    pub fn new(time: &Arc<Time>, options: Options) -> Arc<Self> {
        let partition = |number: i32| {
            let truth = Leadership { leader: number % BROKERS, epoch: 0 };
            let mut replicas = vec![Replica::default(); index(BROKERS)];
            replicas.iter_mut().for_each(|replica| replica.lead(0));
            Partition {
                truth,
                views: vec![truth; index(BROKERS)],
                replicas,
                error_seen: false,
                in_sync: (0..BROKERS).collect(),
            }
        };
        let state = State {
            partitions: (0..PARTITIONS).map(partition).collect(),
            down: BTreeSet::new(),
            lives: vec![0; index(BROKERS)],
            sessions: BTreeMap::new(),
            next_session: 1,
            next_producer: 1_000,
            group: group::Group::default(),
            transactions: transaction::Transactions::default(),
            faults: Faults::default(),
            counts: BTreeMap::new(),
            undisturbed: false,
            calm: false,
            cut_off: BTreeMap::new(),
        };
        Arc::new(Self { time: time.clone(), options, state: Mutex::new(state) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How a client reaches it; impatient, so that it gives up and tries again often.
    #[must_use]
    pub fn config(self: &Arc<Self>) -> Config {
        self.config_of("acme")
    }

    /// The same for a client of this name, which [`Self::cut_off`] knows it by.
    #[must_use]
    pub fn config_of(self: &Arc<Self>, client: &str) -> Config {
        let mut config = Config::new((0..BROKERS).map(|broker| format!("broker{broker}:9092")));
        config.request_timeout = Duration::from_secs(1);
        config.operation_timeout = Duration::from_secs(10);
        config.connect_timeout = Duration::from_secs(1);
        config.retry_backoff = Duration::from_millis(20);
        config.retry_backoff_max = Duration::from_millis(200);
        config.metadata_max_age = Duration::from_secs(3);
        client.clone_into(&mut config.client_id);
        config.world = World::Simulated(Arc::new(network::Network::new(self, client)));
        config
    }

    /// What goes wrong from now on.
    pub fn faults(&self, faults: Faults) {
        self.lock().faults = faults;
    }

    /// For so long, or for ever, nothing reaches a client and nothing comes from it; what was under way is lost.
    pub fn cut_off(&self, client: &str, time: Option<Duration>) {
        let until = time.map_or(Duration::MAX, |time| self.time.elapsed() + time);
        self.lock().cut_off.insert(client.to_owned(), until);
    }

    /// True once nothing goes wrong any more and nobody writes.
    pub fn is_calm(&self) -> bool {
        self.lock().calm
    }

    /// True once nothing goes wrong any more.
    pub fn is_undisturbed(&self) -> bool {
        self.lock().undisturbed
    }

    /// Nobody writes any more.
    pub fn finished(&self) {
        self.lock().calm = true;
    }

    /// Counts something that a checker saw.
    pub fn note(&self, what: &'static str) {
        self.count(what);
    }

    fn count(&self, what: &'static str) {
        *self.lock().counts.entry(what).or_default() += 1;
    }

    /// How often what has gone wrong.
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.lock().counts.clone()
    }

    /// What the log of a partition's leader says, with offsets: all of it, or what transactions have committed.
    pub fn values(&self, partition: i32, committed: bool) -> Vec<(i64, String)> {
        self.lock().partitions[index(partition)].true_log().values(committed)
    }

    /// Where the log of a partition's leader ends.
    pub fn end(&self, partition: i32) -> i64 {
        self.lock().partitions[index(partition)].true_log().end()
    }

    /// True while the log of a partition's leader has an open transaction.
    pub fn has_open(&self, partition: i32) -> bool {
        !self.lock().partitions[index(partition)].true_log().open_producers().is_empty()
    }

    /// What the group has committed for a partition.
    pub fn committed(&self, partition: i32) -> Option<i64> {
        self.lock().group.committed.get(&partition).map(|(offset, ..)| *offset)
    }
}
