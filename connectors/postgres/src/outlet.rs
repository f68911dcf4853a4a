//! The way from the tasks that read the server to [`Source::read`](acme_connect::Source::read): a short channel, so that
//! a pipeline that stands still stops them too.

use crate::catalog::Table;
use crate::position::{Phase, Place};
use acme_types::{Chunk, Diagnostic, Origin, Payload, SplitId};
use arrow::array::RecordBatch;
use std::sync::Arc;
use tokio::sync::mpsc::{Permit, Sender};

/// Chunks that wait to be read.
pub(crate) const CHUNKS: usize = 4;

/// What a reader receives.
pub(crate) type Sent = Result<Chunk, Diagnostic>;

/// The sending side, with all that a chunk needs besides its rows.
pub(crate) struct Outlet {
    pub(crate) sender: Sender<Sent>,
    pub(crate) split: SplitId,
    /// The place as it was opened; chunks differ from it in their phase.
    place: Place,
    names: Vec<Arc<str>>,
}

impl Outlet {
    pub(crate) fn new(sender: Sender<Sent>, split: SplitId, place: Place, tables: &[Arc<Table>]) -> Self {
        let names = tables.iter().map(|table| table.name.to_string().into()).collect();
        Self { sender, split, place, names }
    }

    /// Room for one chunk; `None` when nobody will read it.
    pub(crate) async fn reserve(&self) -> Option<Permit<'_, Sent>> {
        self.sender.reserve().await.ok()
    }

    /// Packs rows.
    pub(crate) fn chunk(&self, stream: usize, batch: RecordBatch, phase: Phase, offset: u64) -> Chunk {
        Chunk {
            payload: Payload::Batch(batch),
            stream,
            split: self.split.clone(),
            position: self.place.then(phase).position(),
            origin: Origin { name: self.names[stream].clone(), offset },
        }
    }

    /// Waits for room and sends; `false` when nobody will read it.
    pub(crate) async fn send(&self, read: Sent) -> bool {
        self.sender.send(read).await.is_ok()
    }
}
