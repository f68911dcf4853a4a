//! The file of recovery points: for each partition what is synced for certain, and where it begins.
//!
//! What lies below a recovery point was acknowledged perhaps, so a recovery never cuts it off. Log starts are in it because
//! records that were deleted must not come back.

use crate::Error;
use crate::disk::LogDisk;
use crate::format::{self, Mark, Reader, Unreadable};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const MARK: Mark = Mark(b"ARCP", 1);

/// What is known for certain of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Point {
    /// What is below is synced.
    pub(crate) recovery_point: i64,
    /// The leader epoch of the last batch below it, -1 for none.
    pub(crate) epoch: i32,
    /// The first offset that there is.
    pub(crate) log_start: i64,
}

/// A partition: its topic's id and its number.
pub(crate) type Key = (u128, i32);

/// The file, and what it holds.
pub(crate) struct Checkpoint {
    path: PathBuf,
    points: BTreeMap<Key, Point>,
    /// What is in the file.
    written: Option<BTreeMap<Key, Point>>,
}

impl Checkpoint {
    /// Before the first file.
    pub(crate) fn new(dir: &Path) -> Self {
        Self { path: dir.join("recovery-points"), points: BTreeMap::new(), written: None }
    }

    /// Reads the file.
    pub(crate) fn load(&mut self, disk: &dyn LogDisk) -> Result<(), Error> {
        let content = match format::read(disk, &self.path, MARK) {
            Ok(content) => content,
            Err(Unreadable::Disk(error)) => return Err(Error::disk("read", &self.path)(error)),
            Err(Unreadable::Missing) => return Err(self.damaged("it is missing")),
            Err(Unreadable::Damaged(reason)) => return Err(self.damaged(reason)),
        };
        let points = decode(&content).ok_or_else(|| self.damaged("it is malformed"))?;
        self.written = Some(points.clone());
        self.points = points;
        Ok(())
    }

    fn damaged(&self, reason: &str) -> Error {
        Error::Meta { path: self.path.clone(), reason: reason.to_owned() }
    }

    pub(crate) fn get(&self, key: Key) -> Option<Point> {
        self.points.get(&key).copied()
    }

    pub(crate) fn set(&mut self, key: Key, point: Point) {
        self.points.insert(key, point);
    }

    /// Forgets the partitions that are no more.
    pub(crate) fn retain(&mut self, keep: impl Fn(&Key) -> bool) {
        self.points.retain(|key, _| keep(key));
    }

    /// Writes the file if anything has changed; durable when it returns.
    pub(crate) fn write(&mut self, disk: &dyn LogDisk) -> std::io::Result<()> {
        if self.written.as_ref() == Some(&self.points) {
            return Ok(());
        }
        format::write(disk, &self.path, MARK, &encode(&self.points))?;
        disk.sync_dir(self.path.parent().expect("it lies in the data directory"))?;
        self.written = Some(self.points.clone());
        Ok(())
    }
}

fn encode(points: &BTreeMap<Key, Point>) -> Vec<u8> {
    let mut out = Vec::with_capacity(points.len() * 40);
    for ((id, number), point) in points {
        out.extend_from_slice(&id.to_be_bytes());
        out.extend_from_slice(&number.to_be_bytes());
        out.extend_from_slice(&point.recovery_point.to_be_bytes());
        out.extend_from_slice(&point.epoch.to_be_bytes());
        out.extend_from_slice(&point.log_start.to_be_bytes());
    }
    out
}

fn decode(content: &[u8]) -> Option<BTreeMap<Key, Point>> {
    let mut reader = Reader(content);
    let mut points = BTreeMap::new();
    while !reader.0.is_empty() {
        let key = (reader.u128()?, reader.i32()?);
        let point = Point { recovery_point: reader.i64()?, epoch: reader.i32()?, log_start: reader.i64()? };
        // Nothing is deleted that is not synced.
        if !(0..=point.recovery_point).contains(&point.log_start) {
            return None;
        }
        points.insert(key, point);
    }
    Some(points)
}
