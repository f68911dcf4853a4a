//! The state of steps in the store: what has changed in an epoch, a file for each shard.

use super::format::{self, Kind};
use super::objects::{damaged, io_error};
use super::{CheckpointStore, Writer};
use crate::keyed::{key_group, shard_of};
use crate::task::{HASH, Task};
use crate::time::SourceTime;
use acme_types::{Diagnostic, Epoch, EventTime, codes};
use arrow::array::{AsArray, RecordBatch, UInt64Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::UInt64Type;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The names of state files begin so.
pub(super) const PREFIX: &str = "state-";

/// The state of a step in a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskState {
    /// Of what it is the state; see [`TaskFactory::fingerprint`](crate::TaskFactory::fingerprint).
    pub fingerprint: String,
    /// The files of each shard, the newest first. The last one has the whole state of its time, each other what has changed since.
    pub files: Vec<Vec<String>>,
    /// How far the sources that feed it are in event time, by their names.
    pub sources: BTreeMap<String, SourceTime>,
    /// Its watermark, microseconds.
    pub watermark: i64,
}

/// A file that a shard has stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ShardFile {
    pub(crate) name: String,
    /// It has the whole state: nothing older is needed.
    pub(crate) whole: bool,
}

/// Stores the snapshots of one shard.
pub(crate) struct Snapshots {
    store: Arc<dyn CheckpointStore>,
    writer: Writer,
    /// The step's index and the shard's.
    of: (usize, usize),
    /// Bytes of the last whole snapshot; none was stored in this life yet.
    whole: Option<usize>,
    /// Files and bytes since.
    changes: (usize, usize),
}

/// So many files are read at a restart at most, for one shard.
const FILES_MAX: usize = 64;
/// Changes of so many bytes are no reason to store everything again.
const SMALL: usize = 1 << 20;

impl Snapshots {
    pub(crate) fn new(store: Arc<dyn CheckpointStore>, writer: Writer, of: (usize, usize)) -> Self {
        Self { store, writer, of, whole: None, changes: (0, 0) }
    }

    /// Whether the next one is to have everything: the first of a life, which may have other shards than the life before, and
    /// whenever the changes have become larger than the whole.
    pub(crate) fn is_whole_due(&self) -> bool {
        let (files, bytes) = self.changes;
        self.whole.is_none_or(|whole| files + 1 >= FILES_MAX || bytes > whole.max(SMALL))
    }

    /// Whether nothing was stored in this life yet.
    pub(crate) fn is_first(&self) -> bool {
        self.whole.is_none()
    }

    /// Stores a snapshot; `None` where nothing has changed.
    pub(crate) fn put(
        &mut self,
        epoch: Epoch,
        whole: bool,
        batches: &[RecordBatch],
    ) -> Result<Option<ShardFile>, Diagnostic> {
        if batches.is_empty() && !whole {
            return Ok(None);
        }
        let bytes = format::write_bytes(Kind::State, &write(batches)?);
        let hash: String = Sha256::digest(&bytes)[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        let (task, shard) = self.of;
        let name = format!("{PREFIX}{:020}-{}-{task}-{shard}-{hash}", epoch.0, self.writer.0);
        self.store.put_if_absent(&name, &bytes).map_err(|error| io_error("store the state", &error))?;
        match whole {
            true => (self.whole, self.changes) = (Some(bytes.len()), (0, 0)),
            false => self.changes = (self.changes.0 + 1, self.changes.1 + bytes.len()),
        }
        Ok(Some(ShardFile { name, whole }))
    }
}

/// Fills a shard, one of so many, with its part of what a checkpoint has.
pub(crate) fn restore(
    store: &dyn CheckpointStore,
    state: &TaskState,
    (shard, shards): (usize, usize),
    task: &mut dyn Task,
) -> Result<(), Diagnostic> {
    // Shards had other keys perhaps, but each key was in one of them: its files in their order decide.
    for files in &state.files {
        for name in files {
            let bytes = store.get(name).map_err(|error| io_error("read the state", &error))?;
            let bytes = bytes.ok_or_else(|| damaged(name, "it is not there"))?;
            let body = format::read_bytes(Kind::State, &bytes).map_err(|cause| damaged(name, &cause))?;
            for rows in read(body).map_err(|cause| damaged(name, &cause))? {
                let hashes =
                    rows.column_by_name(HASH).and_then(|column| column.as_primitive_opt::<UInt64Type>());
                let hashes = hashes.ok_or_else(|| damaged(name, "a batch has no hashes"))?.values();
                let mine = |hash: u64| shard_of(key_group(hash), shards) == shard;
                let chosen: UInt64Array = (0..)
                    .zip(hashes)
                    .filter(|(_, hash)| mine(**hash))
                    .map(|(row, _): (u64, _)| row)
                    .collect();
                let hashes: Vec<u64> = hashes.iter().copied().filter(|hash| mine(*hash)).collect();
                if !hashes.is_empty() {
                    let rows = take_record_batch(&rows, &chosen).expect("the rows are the batch's own");
                    task.restore(&rows, &hashes)?;
                }
            }
        }
    }
    task.restored(EventTime(state.watermark))
}

/// Batches as bytes: each an Arrow IPC stream behind its length, for their columns may differ.
fn write(batches: &[RecordBatch]) -> Result<Vec<u8>, Diagnostic> {
    let mut bytes = Vec::new();
    for batch in batches {
        let start = bytes.len();
        bytes.extend_from_slice(&[0; 8]);
        let written = StreamWriter::try_new(&mut bytes, &batch.schema()).and_then(|mut writer| {
            writer.write(batch)?;
            writer.finish()
        });
        written.map_err(|error| {
            Diagnostic::new(&codes::INTERNAL, format!("the state cannot be written: {error}"))
        })?;
        let length = u64::try_from(bytes.len() - start - 8).expect("a length fits");
        bytes[start..start + 8].copy_from_slice(&length.to_be_bytes());
    }
    Ok(bytes)
}

fn read(mut body: &[u8]) -> Result<Vec<RecordBatch>, String> {
    let mut batches = Vec::new();
    while !body.is_empty() {
        let (length, rest) = body.split_first_chunk::<8>().ok_or("a length is cut")?;
        let length = usize::try_from(u64::from_be_bytes(*length)).map_err(|_| "a length is too large")?;
        let (stream, rest) = rest.split_at_checked(length).ok_or("a batch is cut")?;
        let reader = StreamReader::try_new(stream, None).map_err(|error| error.to_string())?;
        for batch in reader {
            batches.push(batch.map_err(|error| error.to_string())?);
        }
        body = rest;
    }
    Ok(batches)
}
