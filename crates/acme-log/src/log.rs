//! A data directory: its topics, their settings, and the threads that look after them.

use crate::{Error, Options, Partition, Settings};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use uuid::Uuid;

/// A data directory that is open. Clones share it.
#[derive(Clone)]
pub struct Log(());

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
    /// Whether it is one of the broker's own: its name begins with `__` and the broker made it.
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
}

impl Log {
    /// Opens a directory, or makes it; recovers what a crash has left. Blocks.
    ///
    /// A partition that is damaged below its recovery point is offline: [`Partition::damage`] says why; the others serve.
    pub fn open(_dir: &Path, _options: Options) -> Result<Self, Error> {
        unreachable!("being built")
    }

    /// The cluster's id, made once: a UUID in base64 for URLs, as Kafka's.
    #[must_use]
    pub fn cluster_id(&self) -> &str {
        unreachable!("being built")
    }

    /// The leader epoch of every partition: it grows by one each time the directory is opened.
    #[must_use]
    pub fn leader_epoch(&self) -> i32 {
        unreachable!("being built")
    }

    /// The topics now.
    #[must_use]
    pub fn topics(&self) -> Arc<Topics> {
        unreachable!("being built")
    }

    /// Makes a topic; durable when this returns. Blocks. `internal`: one of the broker's own.
    pub fn create_topic(
        &self,
        _name: &str,
        _partitions: u32,
        _settings: BTreeMap<String, String>,
        _internal: bool,
    ) -> Result<Arc<Topic>, Error> {
        unreachable!("being built")
    }

    /// What [`Log::create_topic`] would refuse, without making anything.
    pub fn check_topic(
        &self,
        _name: &str,
        _partitions: u32,
        _settings: &BTreeMap<String, String>,
    ) -> Result<(), Error> {
        unreachable!("being built")
    }

    /// Removes a topic; its partitions answer `Closed` from now on. Blocks.
    pub fn delete_topic(&self, _name: &str) -> Result<(), Error> {
        unreachable!("being built")
    }

    /// Adds partitions until there are `total`. Blocks.
    pub fn add_partitions(&self, _name: &str, _total: u32) -> Result<(), Error> {
        unreachable!("being built")
    }

    /// Sets settings, or takes them back (`None`). All or nothing. Blocks.
    pub fn alter_settings(&self, _name: &str, _change: &[(String, Option<String>)]) -> Result<(), Error> {
        unreachable!("being built")
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        unreachable!("being built")
    }

    /// Syncs whatever was appended, in this thread. For logs without threads, and for who must know.
    pub fn sync_now(&self) {
        unreachable!("being built")
    }

    /// Retention, compaction, checks and recovery points, once, in this thread. For logs without threads.
    pub fn housekeep(&self) {
        unreachable!("being built")
    }

    /// Syncs everything, writes the mark of an orderly end, ends the threads. Appends and reads answer `Closed` afterwards.
    pub fn close(&self) {
        unreachable!("being built")
    }
}
