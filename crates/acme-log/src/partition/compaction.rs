//! Compaction.

use super::Partition;
use crate::Settings;
use std::io;

impl Partition {
    /// Compacts what is due.
    pub(super) fn compact(&self, _settings: &Settings, _now_ms: i64) -> io::Result<()> {
        Ok(())
    }
}
