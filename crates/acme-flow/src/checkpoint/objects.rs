//! Checkpoints as objects of the store: put once, never changed, real only when a commit names them.

use super::format::{self, Kind};
use super::state::{self, TaskState};
use super::store::CheckpointStore;
use acme_connect::Prepared;
use acme_types::{Diagnostic, Epoch, Positions, codes, disk_fault};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// Identifies one life of one process; never used again by another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Writer(pub String);

/// Everything that is kept of one epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The epoch that it ends.
    pub epoch: Epoch,
    /// Positions of every split of every source, moved or not, by the source's name.
    pub sources: BTreeMap<String, Positions>,
    /// What each destination prepared, by its name.
    pub sinks: BTreeMap<String, Prepared>,
    /// The state of each step that keeps any, by its name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tasks: BTreeMap<String, TaskState>,
    /// The run had come to its end: the next one begins anew.
    pub closed: bool,
}

/// Checkpoints and links that are kept behind the committed one.
pub(super) const KEPT: u64 = 8;

pub(super) const PREFIX: &str = "checkpoint-";

/// Stores a checkpoint; the name holds its epoch, its writer and the hash of its content.
pub(crate) fn put(
    store: &dyn CheckpointStore,
    writer: &Writer,
    checkpoint: &Checkpoint,
) -> Result<String, Diagnostic> {
    let bytes = match checkpoint.tasks.is_empty() {
        true => format::write(Kind::Checkpoint, checkpoint),
        // Programs that do not know of state must not begin with an empty one.
        false => format::write_version(Kind::Checkpoint, format::WITH_STATE, checkpoint),
    };
    let hash: String = Sha256::digest(&bytes)[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    let name = format!("{PREFIX}{:020}-{}-{hash}", checkpoint.epoch.0, writer.0);
    // A name that is taken holds the same bytes, for it contains their hash.
    store.put_if_absent(&name, &bytes).map_err(|error| io_error("store a checkpoint", &error))?;
    Ok(name)
}

/// Reads a committed checkpoint. One that is missing or damaged stops the pipeline: it never starts empty instead.
pub(crate) fn read(store: &dyn CheckpointStore, name: &str) -> Result<Checkpoint, Diagnostic> {
    let bytes = store.get(name).map_err(|error| io_error("read the state", &error))?;
    let bytes = bytes.ok_or_else(|| damaged(name, "it is not there"))?;
    format::read(Kind::Checkpoint, &bytes).map_err(|cause| damaged(name, &cause))
}

/// Whether a checkpoint was stored behind the first one, which is done only when the first one is committed.
pub(crate) fn has_progress(store: &dyn CheckpointStore) -> Result<bool, Diagnostic> {
    let names = store.list(PREFIX).map_err(|error| io_error("read the state", &error))?;
    let epoch = |name: &String| name.strip_prefix(PREFIX)?.split('-').next()?.parse::<u64>().ok();
    Ok(names.iter().filter_map(epoch).any(|epoch| epoch > Epoch::default().next().0))
}

/// Removes checkpoints that no restart can need. Only the owner does, and only after a commit. Failing here harms nothing:
/// what stays is removed after the next commit.
pub(crate) fn tidy(store: &dyn CheckpointStore, committed: &str) {
    let kept = usize::try_from(KEPT).expect("a small number");
    let names = store.list(PREFIX).unwrap_or_default();
    for name in names.iter().rev().skip(kept).filter(|name| *name != committed) {
        let _ = store.delete(name);
    }
}

/// The state files that any stored checkpoint names; `None` where one cannot be read.
fn referenced(store: &dyn CheckpointStore) -> Option<BTreeSet<String>> {
    let names = store.list(PREFIX).ok()?;
    let mut files = BTreeSet::new();
    for name in names {
        let checkpoint = read(store, &name).ok()?;
        files.extend(checkpoint.tasks.into_values().flat_map(|task| task.files).flatten());
    }
    Some(files)
}

/// Removes state files that no stored checkpoint names. Only the owner does, and not while its shards store any.
pub(crate) fn tidy_state(store: &dyn CheckpointStore) {
    let Some(referenced) = referenced(store) else { return };
    for name in store.list(state::PREFIX).unwrap_or_default() {
        if !referenced.contains(&name) {
            let _ = store.delete(&name);
        }
    }
}

pub(super) fn damaged(name: &str, cause: &str) -> Diagnostic {
    Diagnostic::new(&codes::STATE, format!("the pipeline's state is damaged: {name}: {cause}")).help(
        "restore the state directory from a backup, or remove it to start again from the beginning of the sources",
    )
}

pub(super) fn io_error(what: &str, error: &std::io::Error) -> Diagnostic {
    disk_fault(what, error)
}
