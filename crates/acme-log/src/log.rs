//! A data directory: its topics, their settings, and the threads that look after them.

use crate::checkpoint::Checkpoint;
use crate::files::{Files, lock};
use crate::meta::{self, Meta, TopicMeta};
use crate::options::Mistake;
use crate::partition::{Identity, recover, remove_dir};
use crate::queue::Queue;
use crate::shared::Shared;
use crate::strict::Strict;
use crate::threads::Threads;
use crate::{Damage, Error, Options, Partition, Settings};
use std::any::Any;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use uuid::Uuid;

/// A data directory that is open. Clones share it. When the last one is dropped without [`Log::close`], it is as after a crash.
#[derive(Clone)]
pub struct Log(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    cluster_id: String,
    meta: Mutex<Meta>,
    topics: RwLock<Arc<Topics>>,
    threads: Threads,
    _lock: Box<dyn Any + Send + Sync>,
}

/// The topics at one moment.
#[derive(Clone, Debug, Default)]
pub struct Topics {
    by_name: BTreeMap<String, Arc<Topic>>,
    by_id: BTreeMap<Uuid, Arc<Topic>>,
}

/// A topic at one moment. Its partitions live on: the same ones are in the next [`Topics`].
#[derive(Clone, Debug)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// Its id: another topic of the same name has another.
    pub id: Uuid,
    /// Its partitions by their numbers.
    pub partitions: Vec<Arc<Partition>>,
    /// Its settings.
    pub settings: Arc<Settings>,
    /// Whether it is one of the broker's own.
    pub is_internal: bool,
}

impl Topics {
    /// The topic of a name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Arc<Topic>> {
        self.by_name.get(name)
    }

    /// The topic of an id.
    #[must_use]
    pub fn with_id(&self, id: Uuid) -> Option<&Arc<Topic>> {
        self.by_id.get(&id)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Topic>> {
        self.by_name.values()
    }

    /// A partition.
    #[must_use]
    pub fn partition(&self, name: &str, partition: i32) -> Option<&Arc<Partition>> {
        self.named(name)?.partitions.get(usize::try_from(partition).ok()?)
    }

    fn put(&mut self, topic: Topic) -> Arc<Topic> {
        let topic = Arc::new(topic);
        self.by_id.insert(topic.id, topic.clone());
        self.by_name.insert(topic.name.clone(), topic.clone());
        topic
    }

    fn take(&mut self, name: &str) -> Option<Arc<Topic>> {
        let topic = self.by_name.remove(name)?;
        self.by_id.remove(&topic.id);
        Some(topic)
    }
}

/// Partitions that a topic may have: each is a directory with files.
const PARTITIONS_MAX: u32 = 100_000;
/// Characters of a topic's name.
const NAME_MAX: usize = 249;

impl Log {
    /// Opens a directory, or makes it; recovers what a crash has left. Blocks.
    ///
    /// A partition that is damaged below its recovery point is offline: [`Partition::damage`] says why; the others serve.
    pub fn open(dir: &Path, options: Options) -> Result<Self, Error> {
        let options = Options { disk: Strict::over(&options), ..options };
        let disk = options.disk.clone();
        disk.create_dir(dir).map_err(Error::disk("make", dir))?;
        let lock_path = dir.join("lock");
        let lock_file = disk.lock(&lock_path).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => Error::Locked(dir.to_owned()),
            _ => Error::disk("lock", &lock_path)(error),
        })?;
        let mut checkpoint = Checkpoint::new(dir);
        let mut meta = match meta::load(&*disk, dir)? {
            Some(meta) => {
                checkpoint.load(&*disk)?;
                meta
            }
            None => fresh(&*disk, dir, &options)?,
        };
        checkpoint.write(&*disk).map_err(Error::disk("write", dir))?;
        // From here on another life is written: its leader epoch is in no batch yet.
        if meta.life == 0 || !options.makes(Mistake::SameEpoch) {
            meta.life += 1;
        }
        meta.clean = false;
        meta::store(&*disk, dir, &meta)?;
        let shared = Arc::new(Shared {
            files: Arc::new(Files::new(disk, options.open_files)),
            options,
            queue: Queue::default(),
            dir: dir.to_owned(),
            epoch: meta.life,
            checkpoint: Mutex::new(checkpoint),
        });
        shared.passed("log.opening");
        let topics = open_topics(&shared, &meta)?;
        shared.passed("log.recovered");
        remove_deleted(&shared, &mut meta);
        let cluster_id = base64url(meta.cluster_id);
        let inner = Arc::new(Inner {
            shared: shared.clone(),
            cluster_id,
            meta: Mutex::new(meta),
            topics: RwLock::new(Arc::new(topics)),
            threads: Threads::default(),
            _lock: lock_file,
        });
        let log = Self(inner);
        // What was found is synced; a crash from now on must not cut it off.
        log.checkpoint().map_err(Error::disk("write", dir))?;
        let weak = Arc::downgrade(&log.0);
        log.0
            .threads
            .start(&shared, move |round| weak.upgrade().map(|inner| Self(inner).round(round)).is_some());
        Ok(log)
    }

    /// The wall clock that it was opened with, ms since 1970.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        self.0.shared.now_ms()
    }

    /// Tells those who handed [`Options::passed`] in that a place was passed which lies above the log.
    pub fn passed(&self, place: &'static str) {
        self.0.shared.passed(place);
    }

    /// The cluster's id, made once: a UUID in base64 for URLs, as Kafka's.
    #[must_use]
    pub fn cluster_id(&self) -> &str {
        &self.0.cluster_id
    }

    /// The leader epoch of every partition: it grows by one each time the directory is opened.
    #[must_use]
    pub fn leader_epoch(&self) -> i32 {
        self.0.shared.epoch
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.0.shared.dir
    }

    /// The topics now.
    #[must_use]
    pub fn topics(&self) -> Arc<Topics> {
        self.0.topics.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change_topics(&self, change: impl FnOnce(&mut Topics)) {
        let mut topics = self.0.topics.write().unwrap_or_else(PoisonError::into_inner);
        change(Arc::make_mut(&mut topics));
    }

    /// Makes a topic; durable when this returns. Blocks. `internal`: one of the broker's own.
    pub fn create_topic(
        &self,
        name: &str,
        partitions: u32,
        settings: BTreeMap<String, String>,
        internal: bool,
    ) -> Result<Arc<Topic>, Error> {
        let mut meta = lock(&self.0.meta);
        self.check_topic(name, partitions, &settings)?;
        let shared = &self.0.shared;
        let id = uuid::Builder::from_random_bytes((shared.options.random)().to_be_bytes()).into_uuid();
        let own = TopicMeta { id: id.as_u128(), partitions, is_internal: internal, settings };
        let topic = open_topic(shared, name, &own)?;
        shared.options.disk.sync_dir(&shared.dir).map_err(Error::disk("sync", &shared.dir))?;
        let mut changed = meta.clone();
        changed.topics.insert(name.to_owned(), own);
        if let Err(error) = meta::store(&*shared.options.disk, &shared.dir, &changed) {
            for partition in &topic.partitions {
                let _ = partition.remove();
            }
            return Err(error);
        }
        *meta = changed;
        let mut made = None;
        self.change_topics(|topics| made = Some(topics.put(topic)));
        Ok(made.expect("it was put"))
    }

    /// What [`Log::create_topic`] would refuse, without making anything.
    pub fn check_topic(
        &self,
        name: &str,
        partitions: u32,
        settings: &BTreeMap<String, String>,
    ) -> Result<(), Error> {
        check_name(name)?;
        if self.topics().named(name).is_some() {
            return Err(Error::TopicExists(name.to_owned()));
        }
        check_partitions(partitions)?;
        self.settings(settings.clone()).map(drop)
    }

    fn settings(&self, own: BTreeMap<String, String>) -> Result<Settings, Error> {
        Settings::new(own, &self.0.shared.options.defaults).map_err(Error::InvalidSettings)
    }

    /// Removes a topic; its partitions answer `Closed` from now on. Blocks.
    pub fn delete_topic(&self, name: &str) -> Result<(), Error> {
        let mut meta = lock(&self.0.meta);
        let shared = &self.0.shared;
        let mut changed = meta.clone();
        let own = changed.topics.remove(name).ok_or_else(|| Error::UnknownTopic(name.to_owned()))?;
        changed.deleted.push((own.id, own.partitions));
        meta::store(&*shared.options.disk, &shared.dir, &changed)?;
        *meta = changed;
        let mut taken = None;
        self.change_topics(|topics| taken = topics.take(name));
        let partitions = taken.map_or_else(Vec::new, |topic| topic.partitions.clone());
        // What is not removed now is removed at the next start.
        let removed = partitions.iter().filter(|it| it.remove().is_ok()).count();
        if removed == partitions.len() {
            meta.deleted.retain(|(id, _)| *id != own.id);
        }
        lock(&shared.checkpoint).retain(|(id, _)| *id != own.id);
        Ok(())
    }

    /// Adds partitions until there are `total`. Blocks.
    pub fn add_partitions(&self, name: &str, total: u32) -> Result<(), Error> {
        let mut meta = lock(&self.0.meta);
        let shared = &self.0.shared;
        let mut changed = meta.clone();
        let own = changed.topics.get_mut(name).ok_or_else(|| Error::UnknownTopic(name.to_owned()))?;
        let current = own.partitions;
        if total <= current {
            return Err(Error::InvalidPartitions(format!(
                "The topic {name} currently has {current} partition(s); {total} would not be an increase."
            )));
        }
        check_partitions(total)?;
        own.partitions = total;
        let topic = self.topics().named(name).cloned().ok_or_else(|| Error::UnknownTopic(name.to_owned()))?;
        let mut topic = Topic::clone(&topic);
        for number in current..total {
            topic.partitions.push(open_partition(shared, name, own.id, number, &topic.settings)?);
        }
        shared.options.disk.sync_dir(&shared.dir).map_err(Error::disk("sync", &shared.dir))?;
        meta::store(&*shared.options.disk, &shared.dir, &changed)?;
        *meta = changed;
        self.change_topics(|topics| drop(topics.put(topic)));
        Ok(())
    }

    /// Sets settings, or takes them back (`None`). All or nothing. Blocks.
    pub fn alter_settings(&self, name: &str, change: &[(String, Option<String>)]) -> Result<(), Error> {
        let mut meta = lock(&self.0.meta);
        let mut changed = meta.clone();
        let own = changed.topics.get_mut(name).ok_or_else(|| Error::UnknownTopic(name.to_owned()))?;
        for (key, value) in change {
            match value {
                Some(value) => own.settings.insert(key.clone(), value.clone()),
                None => own.settings.remove(key),
            };
        }
        let settings = Arc::new(self.settings(own.settings.clone())?);
        let shared = &self.0.shared;
        meta::store(&*shared.options.disk, &shared.dir, &changed)?;
        *meta = changed;
        self.change_topics(|topics| {
            let Some(topic) = topics.take(name) else { return };
            topic.partitions.iter().for_each(|it| it.set_settings(settings.clone()));
            topics.put(Topic { settings, ..Topic::clone(&topic) });
        });
        Ok(())
    }

    /// Syncs whatever was appended, in this thread. For logs without threads, and for who must know.
    pub fn sync_now(&self) {
        for partition in self.0.shared.queue.drain() {
            partition.sync();
        }
        for partition in self.partitions().filter(|it| it.is_dirty()) {
            partition.sync();
        }
    }

    fn partitions(&self) -> impl Iterator<Item = Arc<Partition>> {
        let topics = self.topics();
        let all: Vec<_> = topics.iter().flat_map(|topic| topic.partitions.clone()).collect();
        all.into_iter()
    }

    /// Retention, compaction, checks and recovery points, once, in this thread. For logs without threads.
    pub fn housekeep(&self) {
        self.partitions().for_each(|it| it.housekeep());
        // What the disk refuses now is written the next time.
        let _ = self.checkpoint();
    }

    /// What the housekeeping thread does.
    fn round(&self, round: crate::threads::Round) {
        match round {
            crate::threads::Round::Housekeep => self.partitions().for_each(|it| it.housekeep()),
            crate::threads::Round::Checkpoint => {
                // Relaxed topics too move their recovery points.
                self.partitions().filter(|it| it.is_dirty()).for_each(|it| it.sync());
                let _ = self.checkpoint();
            }
        }
    }

    fn checkpoint(&self) -> io::Result<()> {
        let partitions: Vec<_> = self.partitions().collect();
        let mut checkpoint = lock(&self.0.shared.checkpoint);
        for partition in partitions {
            if let Some(point) = partition.point() {
                checkpoint.set(partition.key(), point);
            }
        }
        checkpoint.write(&*self.0.shared.options.disk)?;
        self.0.shared.passed("log.checkpointed");
        Ok(())
    }

    /// Syncs everything, writes the mark of an orderly end, ends the threads. Appends and reads answer `Closed` afterwards.
    pub fn close(&self) {
        let shared = &self.0.shared;
        shared.queue.close();
        self.0.threads.stop();
        let mut meta = lock(&self.0.meta);
        if meta.clean {
            return;
        }
        let finished = self.partitions().filter(|it| it.finish().is_err()).count() == 0;
        if finished && self.checkpoint().is_ok() {
            meta.clean = true;
            // Without the mark the next start has more to read, no more.
            let _ = meta::store(&*shared.options.disk, &shared.dir, &meta);
        }
    }
}

/// The files of a new directory.
fn fresh(disk: &dyn crate::LogDisk, dir: &Path, options: &Options) -> Result<Meta, Error> {
    let names = disk.list(dir).map_err(Error::disk("list", dir))?;
    // A crash may have come before the first file was whole.
    if let Some(name) = names.iter().find(|name| {
        !matches!(name.as_str(), "lock" | "meta.tmp" | "recovery-points" | "recovery-points.tmp")
    }) {
        let reason = format!("it is missing, but there is {name}");
        return Err(Error::Meta { path: dir.join("meta"), reason });
    }
    let cluster_id = uuid::Builder::from_random_bytes((options.random)().to_be_bytes()).into_uuid().as_u128();
    Ok(Meta { cluster_id, life: 0, clean: false, topics: BTreeMap::new(), deleted: Vec::new() })
}

fn open_topics(shared: &Arc<Shared>, meta: &Meta) -> Result<Topics, Error> {
    let mut topics = Topics::default();
    for (name, own) in &meta.topics {
        topics.put(open_topic(shared, name, own)?);
    }
    Ok(topics)
}

fn open_topic(shared: &Arc<Shared>, name: &str, own: &TopicMeta) -> Result<Topic, Error> {
    let settings = Settings::new(own.settings.clone(), &shared.options.defaults);
    let settings = Arc::new(settings.map_err(Error::InvalidSettings)?);
    let open = |number| open_partition(shared, name, own.id, number, &settings);
    let partitions = (0..own.partitions).map(open).collect::<Result<_, _>>()?;
    let id = Uuid::from_u128(own.id);
    Ok(Topic { name: name.to_owned(), id, partitions, settings, is_internal: own.is_internal })
}

/// The directory of a partition: the topic's id, so that another topic of the same name never finds its files.
fn partition_dir(dir: &Path, id: u128, number: u32) -> PathBuf {
    dir.join(format!("{}-{number}", Uuid::from_u128(id).simple()))
}

fn open_partition(
    shared: &Arc<Shared>,
    topic: &str,
    id: u128,
    number: u32,
    settings: &Arc<Settings>,
) -> Result<Arc<Partition>, Error> {
    let dir: Arc<Path> = partition_dir(&shared.dir, id, number).into();
    let number = i32::try_from(number).expect("the number of partitions was checked");
    let point = lock(&shared.checkpoint).get((id, number));
    let found = match recover(shared, &dir, settings, point) {
        Ok(found) => Ok(found),
        Err(crate::partition::Lost::Damage(damage)) => Err(damage),
        // A disk that cannot be read: this partition is offline, the others are not.
        Err(crate::partition::Lost::Disk(error)) if point.is_some() => {
            Err(Damage { file: dir.to_path_buf(), at: 0, reason: error.to_string() })
        }
        Err(crate::partition::Lost::Disk(error)) => return Err(Error::disk("open", &*dir)(error)),
    };
    let identity = Identity { topic: topic.to_owned(), id: Uuid::from_u128(id), number, dir };
    Ok(Partition::new(identity, shared, settings.clone(), found))
}

/// Removes what is left of deleted topics.
fn remove_deleted(shared: &Shared, meta: &mut Meta) {
    let disk = &*shared.options.disk;
    meta.deleted.retain(|(id, partitions)| {
        let dirs = (0..*partitions).map(|number| partition_dir(&shared.dir, *id, number));
        let left = dirs.filter(|dir| remove_dir(disk, dir).is_err()).count();
        left > 0
    });
}

/// Source: Kafka, Topic.validate.
fn check_name(name: &str) -> Result<(), Error> {
    let legal = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let reason = if name.is_empty() {
        "the empty string is not allowed".to_owned()
    } else if name == "." || name == ".." {
        "'.' or '..' is not allowed".to_owned()
    } else if name.len() > NAME_MAX {
        format!("the length of '{name}' is longer than the max allowed length {NAME_MAX}")
    } else if !name.as_bytes().iter().all(legal) {
        format!("'{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'")
    } else {
        return Ok(());
    };
    Err(Error::InvalidTopic(format!("Topic name is invalid: {reason}")))
}

fn check_partitions(partitions: u32) -> Result<(), Error> {
    if partitions == 0 {
        return Err(Error::InvalidPartitions("Number of partitions must be larger than 0.".to_owned()));
    }
    if partitions > PARTITIONS_MAX {
        return Err(Error::InvalidPartitions(format!(
            "Number of partitions must not be larger than {PARTITIONS_MAX}."
        )));
    }
    Ok(())
}

/// 22 characters, without padding.
fn base64url(id: u128) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    // 128 bits are 21 digits of six, and two bits with four zeros behind.
    let digit = |number: u32| match number {
        21 => (id & 3) << 4,
        _ => id >> (122 - 6 * number) & 63,
    };
    (0..22).map(|number| char::from(DIGITS[usize::try_from(digit(number)).expect("six bits")])).collect()
}
