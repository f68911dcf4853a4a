//! Snapshots of the producers beside the segments: the state at an offset, so that a restart need not read all batches.

use crate::disk::LogDisk;
use crate::format::{self, Mark, Unreadable};
use crate::producers::Producers;
use crate::segment::{base_of, file_name};
use std::io;
use std::path::Path;

const MARK: Mark = Mark(b"APRD", 1);
const EXTENSION: &str = "snapshot";
/// Snapshots that are kept: the newest, and one in case that it is damaged.
pub(crate) const KEPT: usize = 2;

/// Writes the state at an offset; durable when the directory is synced. Older ones are removed.
pub(crate) fn write(disk: &dyn LogDisk, dir: &Path, offset: i64, producers: &[u8]) -> io::Result<()> {
    format::write(disk, &dir.join(file_name(offset, EXTENSION)), MARK, producers)?;
    let mut all = offsets(disk, dir)?;
    all.retain(|it| *it < offset);
    for old in all.iter().rev().skip(KEPT - 1) {
        disk.remove(&dir.join(file_name(*old, EXTENSION)))?;
    }
    Ok(())
}

fn offsets(disk: &dyn LogDisk, dir: &Path) -> io::Result<Vec<i64>> {
    Ok(disk.list(dir)?.iter().filter_map(|name| base_of(name, EXTENSION)).collect())
}

/// The newest state at an offset that is not above this one. One that is damaged is not used: what it says lies in the batches
/// too.
pub(crate) fn latest(disk: &dyn LogDisk, dir: &Path, not_above: i64) -> io::Result<Option<(i64, Producers)>> {
    for offset in offsets(disk, dir)?.into_iter().rev().filter(|offset| *offset <= not_above) {
        match format::read(disk, &dir.join(file_name(offset, EXTENSION)), MARK) {
            Ok(content) => {
                if let Some(producers) = Producers::decode(&content) {
                    return Ok(Some((offset, producers)));
                }
            }
            Err(Unreadable::Disk(error)) => return Err(error),
            Err(Unreadable::Missing | Unreadable::Damaged(_)) => {}
        }
    }
    Ok(None)
}

/// Removes those above an offset: they speak of batches that are no more.
pub(crate) fn remove_above(disk: &dyn LogDisk, dir: &Path, end: i64) -> io::Result<()> {
    for offset in offsets(disk, dir)?.into_iter().filter(|offset| *offset > end) {
        disk.remove(&dir.join(file_name(offset, EXTENSION)))?;
    }
    Ok(())
}
