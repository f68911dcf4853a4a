//! The file that names the topics: one, replaced as a whole, so that a topic is there or not.

use crate::Error;
use crate::disk::LogDisk;
use crate::format::{self, Mark, Reader, Unreadable, put_text};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const MARK: Mark = Mark(b"AMTA", 1);

/// What the file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Meta {
    /// The cluster's id.
    pub(crate) cluster_id: u128,
    /// The number of the life that wrote it: the leader epoch.
    pub(crate) life: i32,
    /// That life has ended in order: everything is synced and sealed.
    pub(crate) clean: bool,
    /// By name.
    pub(crate) topics: BTreeMap<String, TopicMeta>,
    /// Topics whose files are still to be removed: id and number of partitions.
    pub(crate) deleted: Vec<(u128, u32)>,
}

/// A topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TopicMeta {
    pub(crate) id: u128,
    pub(crate) partitions: u32,
    pub(crate) is_internal: bool,
    pub(crate) settings: BTreeMap<String, String>,
}

fn path(dir: &Path) -> PathBuf {
    dir.join("meta")
}

/// Reads the file; `None` in a directory that is new.
pub(crate) fn load(disk: &dyn LogDisk, dir: &Path) -> Result<Option<Meta>, Error> {
    let path = path(dir);
    let damaged = |reason: &str| Error::Meta { path: path.clone(), reason: reason.to_owned() };
    match format::read(disk, &path, MARK) {
        Ok(content) => decode(&content).ok_or_else(|| damaged("it is malformed")).map(Some),
        Err(Unreadable::Missing) => Ok(None),
        Err(Unreadable::Damaged(reason)) => Err(damaged(reason)),
        Err(Unreadable::Disk(error)) => Err(Error::disk("read", &path)(error)),
    }
}

/// Replaces the file; durable when it returns.
pub(crate) fn store(disk: &dyn LogDisk, dir: &Path, meta: &Meta) -> Result<(), Error> {
    let path = path(dir);
    let written = format::write(disk, &path, MARK, &encode(meta)).and_then(|()| disk.sync_dir(dir));
    written.map_err(Error::disk("write", &path))
}

fn encode(meta: &Meta) -> Vec<u8> {
    let mut out = Vec::new();
    let count = |number: usize| u32::try_from(number).expect("there are far fewer").to_be_bytes();
    out.extend_from_slice(&meta.cluster_id.to_be_bytes());
    out.extend_from_slice(&meta.life.to_be_bytes());
    out.push(u8::from(meta.clean));
    out.extend_from_slice(&count(meta.topics.len()));
    for (name, topic) in &meta.topics {
        put_text(&mut out, name);
        out.extend_from_slice(&topic.id.to_be_bytes());
        out.extend_from_slice(&topic.partitions.to_be_bytes());
        out.push(u8::from(topic.is_internal));
        out.extend_from_slice(&count(topic.settings.len()));
        for (name, value) in &topic.settings {
            put_text(&mut out, name);
            put_text(&mut out, value);
        }
    }
    out.extend_from_slice(&count(meta.deleted.len()));
    for (id, partitions) in &meta.deleted {
        out.extend_from_slice(&id.to_be_bytes());
        out.extend_from_slice(&partitions.to_be_bytes());
    }
    out
}

fn decode(content: &[u8]) -> Option<Meta> {
    let mut reader = Reader(content);
    let (cluster_id, life, clean) = (reader.u128()?, reader.i32()?, reader.u8()? != 0);
    let mut topics = BTreeMap::new();
    for _ in 0..reader.u32()? {
        let name = reader.text()?;
        let (id, partitions, is_internal) = (reader.u128()?, reader.u32()?, reader.u8()? != 0);
        let mut settings = BTreeMap::new();
        for _ in 0..reader.u32()? {
            settings.insert(reader.text()?, reader.text()?);
        }
        topics.insert(name, TopicMeta { id, partitions, is_internal, settings });
    }
    let mut deleted = Vec::new();
    for _ in 0..reader.u32()? {
        deleted.push((reader.u128()?, reader.u32()?));
    }
    reader.0.is_empty().then_some(Meta { cluster_id, life, clean, topics, deleted })
}
