//! Producer ids: nobody ever gets one that another has had, whatever dies.

use super::record;
use crate::error::Code;
use crate::journal::Journal;
use acme_records::Stamp;
use std::sync::Mutex;

/// Ids that are reserved at once, on the disk, before the first of them is given.
const BLOCK: i64 = 1_000;
/// With fewer left the next block is reserved.
const SPARE: i64 = 100;

#[derive(Debug, Default)]
struct Block {
    next: i64,
    /// Reserved are those below.
    end: i64,
}

/// Where producer ids come from.
#[derive(Debug, Default)]
pub(crate) struct Ids(Mutex<Block>);

impl Ids {
    /// An id up to which all may be in use: found when the topic is loaded.
    pub(crate) fn used(&self, id: i64) {
        let mut block = self.block();
        block.next = block.next.max(id.saturating_add(1));
        block.end = block.next;
    }

    fn block(&self) -> std::sync::MutexGuard<'_, Block> {
        self.0.lock().expect("nothing panics while it holds this")
    }

    /// Sees to it that there are some.
    pub(crate) async fn reserve(&self, journal: &Journal, now_ms: i64) -> Result<(), Code> {
        let end = {
            let block = self.block();
            if block.end - block.next >= SPARE {
                return Ok(());
            }
            block.end.max(block.next) + BLOCK
        };
        // Two at a time reserve the same block; it is used once.
        let appended = journal.append("", &[record::ids(end)], Stamp::NONE, now_ms)?;
        appended.durable().await.map_err(|_| Code::CoordinatorNotAvailable)?;
        let mut block = self.block();
        block.end = block.end.max(end);
        Ok(())
    }

    /// One that nobody has had.
    pub(crate) fn take(&self) -> Result<i64, Code> {
        let mut block = self.block();
        if block.next >= block.end {
            return Err(Code::CoordinatorLoadInProgress);
        }
        block.next += 1;
        Ok(block.next - 1)
    }
}
