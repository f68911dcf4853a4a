//! The group coordinator: who reads what together, and how far they are.
//!
//! [`classic`] and [`consumer`] decide, this writes what they have decided to `__consumer_offsets`, waits for the disk and
//! releases the answers. A group has a lock of its own; nothing waits while it is held.

mod admin;
pub(crate) mod classic;
pub(crate) mod consumer;
mod members;
pub(crate) mod offsets;
mod progress;
pub(crate) mod record;
mod timer;

use crate::codec::Entry;
use crate::error::Code;
use crate::journal::{Found, Journal};
use acme_log::{Appended, Log, Topics};
use acme_records::Stamp;
use classic::{Effect, Token};
use consumer::Times;
use kafka_protocol::messages::{JoinGroupResponse, SyncGroupResponse};
use offsets::Offsets;
use record::Record;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::oneshot;
use tokio::time::Instant;
use uuid::Uuid;

pub(crate) use members::{Joining, Syncing, fresh_member_id, random_id};
pub(crate) use progress::{Asked, Commit, Committer};

/// The topic.
pub(crate) const TOPIC: &str = "__consumer_offsets";

/// How groups are run: Kafka's settings of the same meaning.
#[derive(Clone, Debug)]
pub struct GroupOptions {
    /// `group.initial.rebalance.delay.ms`; 0 as in the properties that Kafka is shipped with.
    pub initial_delay_ms: i64,
    /// `group.min.session.timeout.ms`
    pub session_min_ms: i32,
    /// `group.max.session.timeout.ms`
    pub session_max_ms: i32,
    /// `group.consumer.session.timeout.ms`
    pub consumer_session_ms: i64,
    /// `group.consumer.heartbeat.interval.ms`
    pub consumer_interval_ms: i32,
}

impl Default for GroupOptions {
    fn default() -> Self {
        Self {
            initial_delay_ms: 0,
            session_min_ms: 6_000,
            session_max_ms: 1_800_000,
            consumer_session_ms: 45_000,
            consumer_interval_ms: 5_000,
        }
    }
}

/// The members of a group, by protocol. A group that only has offsets is an empty classic one.
#[derive(Debug)]
enum Kind {
    Classic(classic::Group),
    Consumer(consumer::Group),
}

impl Kind {
    fn deadline(&self) -> Option<i64> {
        match self {
            Self::Classic(group) => group.deadline(),
            Self::Consumer(group) => group.deadline(),
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::Classic(group) => group.state == classic::State::Empty,
            Self::Consumer(group) => group.members.is_empty(),
        }
    }
}

enum Waiter {
    Join(oneshot::Sender<JoinGroupResponse>),
    Sync(oneshot::Sender<SyncGroupResponse>),
}

/// A group behind its lock.
struct Slot {
    kind: Kind,
    offsets: Offsets,
    waiting: HashMap<Token, Waiter>,
    /// The last record of it that was written: nobody is told of anything that is not on the disk.
    last: Option<Appended>,
    /// Taken out of the table: whoever has it looks there once more.
    gone: bool,
    /// When the timer will look at it.
    due: Option<i64>,
}

type Shared = Arc<Mutex<Slot>>;

/// The coordinator of all groups.
pub(crate) struct Groups {
    log: Log,
    journal: Journal,
    options: GroupOptions,
    table: Mutex<BTreeMap<String, Shared>>,
    /// The groups in which a producer's transaction has offsets.
    pending: Mutex<BTreeMap<i64, BTreeSet<String>>>,
    tokens: AtomicU64,
    timer: timer::Timer,
    catalog: Mutex<(Arc<Topics>, u64)>,
    started: Instant,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nothing panics while it holds this")
}

impl Groups {
    pub(crate) fn new(log: Log, options: GroupOptions) -> Arc<Self> {
        Arc::new(Self {
            journal: Journal::new(log.clone(), TOPIC),
            catalog: Mutex::new((log.topics(), 0)),
            log,
            options,
            table: Mutex::default(),
            pending: Mutex::default(),
            tokens: AtomicU64::new(1),
            timer: timer::Timer::default(),
            started: Instant::now(),
        })
    }

    /// Time for sessions: it does not jump.
    fn now(&self) -> i64 {
        i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    fn times(&self) -> Times {
        Times { session_ms: self.options.consumer_session_ms, interval_ms: self.options.consumer_interval_ms }
    }

    fn slot(&self, kind: Kind) -> Shared {
        let offsets = Offsets::default();
        Arc::new(Mutex::new(Slot {
            kind,
            offsets,
            waiting: HashMap::new(),
            last: None,
            gone: false,
            due: None,
        }))
    }

    fn classic(&self) -> Kind {
        Kind::Classic(classic::Group::new(self.options.initial_delay_ms))
    }

    /// Reads what an earlier life has left. Blocks.
    pub(crate) fn load(&self) -> Result<(), String> {
        let (now, mut fault) = (self.now(), None);
        self.journal.load(|_, found| match found {
            Found::Marker { producer, commit } => self.transaction_ended(producer, commit),
            Found::Record { offset, producer, key, value } => match Record::parse(key, value) {
                Ok(record) => self.load_record(record, offset, producer, now),
                Err(_) => fault = Some(format!("{TOPIC}: the record at offset {offset} cannot be read")),
            },
        })?;
        if let Some(fault) = fault {
            return Err(fault);
        }
        let mut table = lock(&self.table);
        table.retain(|_, shared| {
            let slot = lock(shared);
            let nothing = match &slot.kind {
                Kind::Classic(group) => group.members.is_empty() && group.since_ms < 0,
                Kind::Consumer(group) => group.members.is_empty() && group.epoch == 0,
            };
            !(nothing && slot.offsets.is_empty())
        });
        for (id, shared) in table.iter() {
            let mut slot = lock(shared);
            if let Kind::Consumer(group) = &mut slot.kind {
                group.loaded(now);
            }
            self.schedule(id, &mut slot);
        }
        Ok(())
    }

    fn load_record(&self, record: Record, offset: i64, producer: Option<i64>, now: i64) {
        let Some(id) = record.group().map(str::to_owned) else { return };
        let shared =
            Arc::clone(lock(&self.table).entry(id.clone()).or_insert_with(|| self.slot(self.classic())));
        let mut slot = lock(&shared);
        match record {
            Record::Offset { topic, partition, value, .. } => {
                slot.offsets.replay(producer, offset, topic, partition, value);
                if let Some(producer) = producer {
                    lock(&self.pending).entry(producer).or_default().insert(id);
                }
            }
            Record::Classic { value, .. } => {
                slot.kind = match value {
                    Some(value) => {
                        Kind::Classic(classic::Group::load(value, self.options.initial_delay_ms, now))
                    }
                    None => self.classic(),
                };
            }
            // The last of the tombstones of a group: it may be of the other kind from here on.
            Record::Epoch { value: None, .. } => slot.kind = self.classic(),
            record => {
                if matches!(slot.kind, Kind::Classic(_)) {
                    slot.kind = Kind::Consumer(consumer::Group::new(&id, self.times()));
                }
                if let Kind::Consumer(group) = &mut slot.kind {
                    group.load(record);
                }
            }
        }
    }

    fn existing(&self, id: &str) -> Option<Shared> {
        lock(&self.table).get(id).cloned()
    }

    /// Does something with a group under its lock; `None` if there is none and none is to be made.
    fn with<T>(&self, id: &str, create: bool, work: impl FnOnce(&mut Slot) -> T) -> Option<T> {
        loop {
            let shared = match self.existing(id) {
                Some(shared) => shared,
                None if create => {
                    let mut table = lock(&self.table);
                    Arc::clone(table.entry(id.to_owned()).or_insert_with(|| self.slot(self.classic())))
                }
                None => return None,
            };
            let mut slot = lock(&shared);
            if slot.gone {
                continue;
            }
            let outcome = work(&mut slot);
            self.schedule(id, &mut slot);
            return Some(outcome);
        }
    }

    fn schedule(&self, id: &str, slot: &mut Slot) {
        let Some(deadline) = slot.kind.deadline() else { return };
        if slot.due.is_none_or(|due| deadline < due) {
            slot.due = Some(deadline);
            self.timer.at(deadline, id);
        }
    }

    /// Writes records of a group as one batch.
    fn write(&self, id: &str, slot: &mut Slot, records: &[Record]) -> Result<Option<Appended>, Code> {
        if records.is_empty() {
            return Ok(slot.last.clone());
        }
        let entries: Vec<Entry> = records.iter().map(Record::entry).collect();
        let appended = self.journal.append(id, &entries, Stamp::NONE, self.log.now_ms())?;
        slot.last = Some(appended.clone());
        Ok(Some(appended))
    }

    fn waiter(&self, slot: &mut Slot, waiter: Waiter) -> Token {
        let token = self.tokens.fetch_add(1, Ordering::Relaxed);
        slot.waiting.insert(token, waiter);
        token
    }

    /// Does what a classic group asks for.
    fn apply(&self, id: &str, slot: &mut Slot, effects: Vec<Effect>) {
        let (mut failed, mut stored) = (None, None);
        let mut answers = Vec::new();
        for effect in effects {
            match effect {
                Effect::Store => match self.store(id, slot) {
                    Ok(appended) => stored = appended,
                    Err(error) => failed = Some(error),
                },
                Effect::Joined(token, answer) => answers.extend(joined(slot, token, answer)),
                Effect::Synced(token, answer) => answers.extend(synced(slot, token, answer)),
            }
        }
        if let Some(error) = failed {
            answers.iter_mut().for_each(|answer| answer.fail(error));
            let now = self.now();
            if let Kind::Classic(group) = &mut slot.kind {
                for effect in group.not_stored(now) {
                    match effect {
                        Effect::Joined(token, answer) => answers.extend(joined(slot, token, answer)),
                        Effect::Synced(token, answer) => answers.extend(synced(slot, token, answer)),
                        Effect::Store => {}
                    }
                }
            }
        }
        release(answers, stored);
    }

    fn store(&self, id: &str, slot: &mut Slot) -> Result<Option<Appended>, Code> {
        let wall_ms = self.log.now_ms();
        let Kind::Classic(group) = &mut slot.kind else { return Ok(None) };
        group.since_ms = wall_ms;
        let record = Record::Classic { group: id.to_owned(), value: Some(group.stored(wall_ms)) };
        self.write(id, slot, &[record])
    }

    /// A producer's transaction has ended: its offsets count, or are gone.
    pub(crate) fn transaction_ended(&self, producer: i64, commit: bool) {
        let groups = lock(&self.pending).remove(&producer).unwrap_or_default();
        for id in groups {
            if let Some(shared) = self.existing(&id) {
                lock(&shared).offsets.end(producer, commit);
            }
        }
    }

    /// The number of the partition of the topic that a group belongs to.
    pub(crate) fn number(&self, id: &str) -> Result<i32, Code> {
        self.journal.number(id)
    }

    /// The topics as a consumer group sees them.
    fn catalog(&self) -> Catalog {
        let topics = self.log.topics();
        let mut last = lock(&self.catalog);
        if !Arc::ptr_eq(&last.0, &topics) {
            *last = (Arc::clone(&topics), last.1 + 1);
        }
        Catalog { topics, version: last.1 }
    }
}

/// A moment of the topics.
struct Catalog {
    topics: Arc<Topics>,
    version: u64,
}

fn count(topic: &acme_log::Topic) -> u32 {
    u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX)
}

impl consumer::Catalog for Catalog {
    fn version(&self) -> u64 {
        self.version
    }

    fn topic(&self, name: &str) -> Option<(Uuid, u32)> {
        self.topics.named(name).map(|topic| (topic.id, count(topic)))
    }

    fn each(&self, visit: &mut dyn FnMut(&str, Uuid, u32)) {
        // A pattern may mean the broker's own topics: Kafka's coordinator leaves none out.
        self.topics.iter().for_each(|topic| visit(&topic.name, topic.id, count(topic)));
    }
}

/// An answer that may go out.
enum Answer {
    Join(oneshot::Sender<JoinGroupResponse>, JoinGroupResponse),
    Sync(oneshot::Sender<SyncGroupResponse>, SyncGroupResponse),
}

impl Answer {
    fn fail(&mut self, error: Code) {
        match self {
            Self::Join(_, answer) => *answer = classic::join_error(&answer.member_id, error),
            Self::Sync(_, answer) => *answer = SyncGroupResponse::default().with_error_code(error.code()),
        }
    }

    /// Who does not wait any more has lost nothing.
    fn send(self) {
        match self {
            Self::Join(to, answer) => drop(to.send(answer)),
            Self::Sync(to, answer) => drop(to.send(answer)),
        }
    }
}

fn joined(slot: &mut Slot, token: Token, answer: JoinGroupResponse) -> Option<Answer> {
    match slot.waiting.remove(&token)? {
        Waiter::Join(to) => Some(Answer::Join(to, answer)),
        Waiter::Sync(_) => None,
    }
}

fn synced(slot: &mut Slot, token: Token, answer: SyncGroupResponse) -> Option<Answer> {
    match slot.waiting.remove(&token)? {
        Waiter::Sync(to) => Some(Answer::Sync(to, answer)),
        Waiter::Join(_) => None,
    }
}

/// Sends answers, behind what they rest upon.
fn release(answers: Vec<Answer>, stored: Option<Appended>) {
    let Some(stored) = stored.filter(|_| !answers.is_empty()) else {
        return answers.into_iter().for_each(Answer::send);
    };
    tokio::spawn(async move {
        let durable = stored.durable().await.is_ok();
        for mut answer in answers {
            if !durable {
                answer.fail(Code::CoordinatorNotAvailable);
            }
            answer.send();
        }
    });
}

/// Waits until what was written may be told of.
async fn settled(last: Option<Appended>) -> Result<(), Code> {
    match last {
        Some(appended) => appended.durable().await.map_err(|_| Code::CoordinatorNotAvailable),
        None => Ok(()),
    }
}
