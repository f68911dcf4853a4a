//! What all partitions of a log share.

use crate::checkpoint::Checkpoint;
use crate::files::Files;
use crate::queue::Queue;
use crate::{NowMs, Options};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// What all partitions of a log share.
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) files: Arc<Files>,
    pub(crate) queue: Queue,
    pub(crate) dir: PathBuf,
    /// The leader epoch: the number of this life of the log.
    pub(crate) epoch: i32,
    pub(crate) checkpoint: Mutex<Checkpoint>,
}

impl Shared {
    pub(crate) fn now_ms(&self) -> i64 {
        let clock: &NowMs = &self.options.now_ms;
        clock()
    }

    /// A named place.
    pub(crate) fn passed(&self, place: &'static str) {
        (self.options.passed)(place);
    }
}
