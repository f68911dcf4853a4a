//! What the pipeline has read before, kept on this machine: a group forgets, and then nothing else would tell.
//!
//! Brokers remove a group's offsets with the topic, with the group, and when nobody was in it for a week. Who then begins anew
//! without a word repeats records or leaves them out.

use acme_kafka::group::Committed;
use acme_types::{Diagnostic, Disk, codes, disk_fault};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

const VERSION: u8 = 1;

/// Where it is kept; without a directory nothing is.
pub(super) struct Memory {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) directory: Option<PathBuf>,
    /// The name of the source.
    pub(super) item: Arc<str>,
}

/// A topic as it was read last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Topic {
    /// Its id as text.
    pub(super) id: String,
    /// How many of its partitions had offsets.
    pub(super) partitions: i32,
}

/// The topics of a group, by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Known {
    acme: u8,
    pub(super) cluster: String,
    pub(super) group: String,
    pub(super) topics: BTreeMap<String, Topic>,
}

impl Known {
    pub(super) fn new(cluster: &str, group: &str) -> Self {
        let (cluster, group) = (cluster.to_owned(), group.to_owned());
        Self { acme: VERSION, cluster, group, topics: BTreeMap::new() }
    }

    /// Adds what has offsets now; `id` tells a topic's id.
    pub(super) fn add(&mut self, committed: &Committed, id: impl Fn(&str) -> String) {
        for partition in committed.keys() {
            let new = Topic { id: id(&partition.topic), partitions: 0 };
            let topic = self.topics.entry(partition.topic.to_string()).or_insert_with(|| new.clone());
            if topic.id != new.id {
                *topic = new;
            }
            topic.partitions = topic.partitions.max(partition.partition + 1);
        }
    }
}

impl Memory {
    fn path(&self) -> Option<PathBuf> {
        Some(self.directory.as_ref()?.join(format!("{}.topics.json", self.item)))
    }

    /// What is known of a group on a cluster; empty where that is nothing.
    pub(super) fn read(&self, cluster: &str, group: &str) -> Result<Known, Diagnostic> {
        let nothing = Known::new(cluster, group);
        let Some(path) = self.path() else { return Ok(nothing) };
        let bytes = match self.disk.read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(nothing),
            result => result.map_err(|error| disk_fault(&format!("read {}", path.display()), &error))?,
        };
        let known: Option<Known> = serde_json::from_slice(&bytes).ok();
        let known = known.filter(|known| known.acme == VERSION).ok_or_else(|| {
            let message = format!("the pipeline's state is damaged: {} cannot be read", path.display());
            Diagnostic::new(&codes::STATE, message)
                .help("remove the file if the group still has the offsets of the topics")
        })?;
        let same = known.cluster == cluster && known.group == group;
        Ok(if same { known } else { nothing })
    }

    /// Replaces it.
    pub(super) fn write(&self, known: &Known) -> Result<(), Diagnostic> {
        let (Some(path), Some(directory)) = (self.path(), &self.directory) else { return Ok(()) };
        let text = serde_json::to_string(known).expect("texts and numbers are always valid JSON");
        // Workers of the same machine write the same.
        let new = path.with_extension(format!("{}.new", std::process::id()));
        let write = || {
            self.disk.create_dirs(directory)?;
            let mut file = self.disk.append(&new, true)?;
            file.truncate(0)?;
            file.write(text.as_bytes())?;
            file.sync()?;
            self.disk.rename(&new, &path)?;
            self.disk.sync_dir(directory)
        };
        write().map_err(|error| disk_fault(&format!("write {}", path.display()), &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use acme_connect::OsDisk;
    use acme_kafka::TopicPartition;
    use acme_kafka::group::OffsetAndMetadata;

    #[test]
    fn what_was_read_is_known_for_its_group_and_cluster_only() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let memory = Memory {
            disk: Arc::new(OsDisk),
            directory: Some(directory.path().join("deep")),
            item: "in".into(),
        };
        assert_eq!(memory.read("c", "g"), Ok(Known::new("c", "g")));
        let mut known = Known::new("c", "g");
        let committed: Committed =
            [0, 2].map(|number| (TopicPartition::new("t", number), OffsetAndMetadata::new(5))).into();
        known.add(&committed, |_| "id".to_owned());
        assert_eq!(known.topics["t"], Topic { id: "id".to_owned(), partitions: 3 });
        for _ in 0..2 {
            memory.write(&known).expect("it can be written");
            assert_eq!(memory.read("c", "g"), Ok(known.clone()));
        }
        assert_eq!(memory.read("c", "other"), Ok(Known::new("c", "other")));
        assert_eq!(memory.read("other", "g"), Ok(Known::new("other", "g")));
        // Another topic of the same name has another history.
        let one: Committed = [(TopicPartition::new("t", 0), OffsetAndMetadata::new(0))].into();
        known.add(&one, |_| "new".to_owned());
        assert_eq!(known.topics["t"], Topic { id: "new".to_owned(), partitions: 1 });
        let path = memory.path().expect("it has one");
        std::fs::write(path, "{").expect("it can be written");
        assert!(memory.read("c", "g").is_err(), "damage is no beginning");
    }
}
