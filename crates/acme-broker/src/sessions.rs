//! Incremental fetch sessions (KIP-227), bounded: a client names its partitions once, then only what changes.

use crate::error::Code;
use kafka_protocol::messages::FetchRequest;
use kafka_protocol::protocol::StrBytes;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

/// A session that was used within this time is not taken from its client (`min.incremental.fetch.session.eviction.ms`).
const EVICTION: Duration = Duration::from_secs(120);
/// Partitions in all sessions.
const PARTITIONS_MAX: usize = 1_000_000;
/// The epoch of a request that wants all and begins a session.
const INITIAL: i32 = 0;
/// The epoch of a request that wants no session.
const FINAL: i32 = -1;

/// A partition as a client names it: by the topic's id from version 13 on, by its name before.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) name: StrBytes,
    pub(crate) id: Uuid,
    pub(crate) partition: i32,
}

/// What a client wants of a partition.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wish {
    pub(crate) offset: i64,
    pub(crate) max_bytes: i32,
    pub(crate) leader_epoch: i32,
    pub(crate) fetched_epoch: i32,
}

/// What a client knows of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Told {
    high_watermark: i64,
    log_start: i64,
}

#[derive(Debug)]
struct Entry {
    wish: Wish,
    told: Option<Told>,
    /// Its place in the order.
    turn: u64,
}

#[derive(Debug)]
struct Session {
    epoch: i32,
    used: Instant,
    by_id: bool,
    entries: BTreeMap<Key, Entry>,
    order: BTreeMap<u64, Key>,
    turn: u64,
}

#[derive(Debug, Default)]
struct All {
    by_id: BTreeMap<i32, Session>,
    partitions: usize,
}

/// All sessions.
#[derive(Debug)]
pub(crate) struct Sessions {
    max: usize,
    all: Mutex<All>,
}

/// What one request amounts to.
#[derive(Debug)]
pub(crate) struct Plan {
    /// In the order in which they are read.
    pub(crate) wishes: Vec<(Key, Wish)>,
    kind: Kind,
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Without,
    Full,
    Incremental(i32),
}

/// What is to be told of one partition.
#[derive(Clone, Copy, Debug)]
pub(crate) struct News {
    pub(crate) high_watermark: i64,
    pub(crate) log_start: i64,
    pub(crate) has_records: bool,
    /// An error, or an epoch that diverges.
    pub(crate) is_trouble: bool,
}

impl Sessions {
    pub(crate) fn new(max: usize) -> Self {
        Self { max, all: Mutex::default() }
    }

    fn all(&self) -> MutexGuard<'_, All> {
        self.all.lock().expect("nothing panics while it holds this")
    }

    /// What a request wants, all in all.
    pub(crate) fn begin(&self, version: i16, request: &FetchRequest) -> Result<Plan, Code> {
        let (id, epoch) = (request.session_id, request.session_epoch);
        if version < 7 {
            return Ok(Plan { wishes: wishes(request), kind: Kind::Without });
        }
        let mut all = self.all();
        if epoch == INITIAL || epoch == FINAL {
            if id != 0 {
                all.remove(id);
            }
            let kind = if epoch == INITIAL { Kind::Full } else { Kind::Without };
            return Ok(Plan { wishes: wishes(request), kind });
        }
        let All { by_id, partitions } = &mut *all;
        let session = by_id.get_mut(&id).ok_or(Code::FetchSessionIdNotFound)?;
        if session.epoch != epoch {
            return Err(Code::InvalidFetchSessionEpoch);
        }
        let names = request.topics.len() + request.forgotten_topics_data.len() > 0;
        if names && session.by_id != (version >= 13) {
            return Err(Code::FetchSessionTopicIdError);
        }
        let before = session.entries.len();
        session.update(request);
        *partitions = *partitions + session.entries.len() - before;
        if session.entries.is_empty() {
            all.remove(id);
            return Ok(Plan { wishes: Vec::new(), kind: Kind::Without });
        }
        session.epoch = if epoch == i32::MAX { 1 } else { epoch + 1 };
        session.used = Instant::now();
        let wishes = session.order.values().map(|key| (key.clone(), session.entries[key].wish)).collect();
        Ok(Plan { wishes, kind: Kind::Incremental(id) })
    }

    /// The id for the answer, and which partitions are in it.
    pub(crate) fn finish(&self, version: i16, plan: &Plan, news: &[News]) -> (i32, Vec<bool>) {
        let everything = || vec![true; news.len()];
        match plan.kind {
            Kind::Without => (0, everything()),
            Kind::Full => (self.created(version, plan, news), everything()),
            Kind::Incremental(id) => {
                let mut all = self.all();
                let Some(session) = all.by_id.get_mut(&id) else { return (id, everything()) };
                let told = plan.wishes.iter().zip(news).map(|((key, _), news)| session.tell(key, *news));
                (id, told.collect())
            }
        }
    }

    /// Makes a session, if there is room for it.
    fn created(&self, version: i16, plan: &Plan, news: &[News]) -> i32 {
        let now = Instant::now();
        let mut all = self.all();
        if plan.wishes.is_empty() || self.max == 0 {
            return 0;
        }
        if all.by_id.len() >= self.max || all.partitions + plan.wishes.len() > PARTITIONS_MAX {
            let oldest = all.by_id.iter().min_by_key(|(_, session)| session.used);
            match oldest.map(|(id, session)| (*id, session.used)) {
                Some((id, used)) if now.duration_since(used) > EVICTION => all.remove(id),
                _ => return 0,
            }
        }
        let mut session = Session {
            epoch: 1,
            used: now,
            by_id: version >= 13,
            entries: BTreeMap::new(),
            order: BTreeMap::new(),
            turn: 0,
        };
        for (key, wish) in &plan.wishes {
            session.put(key.clone(), *wish);
        }
        for ((key, _), news) in plan.wishes.iter().zip(news) {
            session.tell(key, *news);
        }
        // Nobody finds another's session by counting.
        let id = loop {
            let id = (RandomState::new().hash_one(0) as i32) & i32::MAX;
            if id != 0 && !all.by_id.contains_key(&id) {
                break id;
            }
        };
        all.partitions += session.entries.len();
        all.by_id.insert(id, session);
        id
    }
}

impl All {
    fn remove(&mut self, id: i32) {
        if let Some(session) = self.by_id.remove(&id) {
            self.partitions -= session.entries.len();
        }
    }
}

impl Session {
    fn put(&mut self, key: Key, wish: Wish) {
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.wish = wish;
            return;
        }
        self.turn += 1;
        self.order.insert(self.turn, key.clone());
        self.entries.insert(key, Entry { wish, told: None, turn: self.turn });
    }

    fn update(&mut self, request: &FetchRequest) {
        for (key, wish) in wishes(request) {
            self.put(key, wish);
        }
        for topic in &request.forgotten_topics_data {
            for partition in &topic.partitions {
                let key = Key { name: topic.topic.0.clone(), id: topic.topic_id, partition: *partition };
                if let Some(entry) = self.entries.remove(&key) {
                    self.order.remove(&entry.turn);
                }
            }
        }
    }

    /// Whether there is anything that the client does not know. A partition with records goes to the end of the order, so
    /// that each has its turn.
    fn tell(&mut self, key: &Key, news: News) -> bool {
        let Some(entry) = self.entries.get_mut(key) else { return true };
        let told = Told { high_watermark: news.high_watermark, log_start: news.log_start };
        let is_news = news.has_records || news.is_trouble || entry.told != Some(told);
        // After an error the next answer tells everything again.
        entry.told = (!news.is_trouble).then_some(told);
        if news.has_records {
            self.turn += 1;
            self.order.remove(&entry.turn);
            entry.turn = self.turn;
            self.order.insert(self.turn, key.clone());
        }
        is_news
    }
}

fn wishes(request: &FetchRequest) -> Vec<(Key, Wish)> {
    let topics =
        request.topics.iter().flat_map(|topic| topic.partitions.iter().map(move |part| (topic, part)));
    let wishes = topics.map(|(topic, part)| {
        let key = Key { name: topic.topic.0.clone(), id: topic.topic_id, partition: part.partition };
        let wish = Wish {
            offset: part.fetch_offset,
            max_bytes: part.partition_max_bytes,
            leader_epoch: part.current_leader_epoch,
            fetched_epoch: part.last_fetched_epoch,
        };
        (key, wish)
    });
    wishes.collect()
}
