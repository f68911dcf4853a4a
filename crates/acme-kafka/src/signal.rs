//! Telling tasks that something has changed, in the order in which they began to wait.
//!
//! A `tokio::sync::watch` would do, but wakes in a random order: a simulation could not be told again from its seed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::Notify;

/// Something that changes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Signal {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    count: AtomicU64,
    notify: Notify,
}

impl Signal {
    /// It has changed.
    pub(crate) fn raise(&self) {
        self.inner.count.fetch_add(1, Ordering::AcqRel);
        self.inner.notify.notify_waiters();
    }

    /// A view of it, which has seen what there is now.
    pub(crate) fn watch(&self) -> Watch {
        Watch { signal: self.clone(), seen: self.count() }
    }

    fn count(&self) -> u64 {
        self.inner.count.load(Ordering::Acquire)
    }

    /// Ends once it has changed at all.
    pub(crate) async fn raised(&self) {
        self.passed(0).await;
    }

    async fn passed(&self, seen: u64) {
        loop {
            // Made before the look, it misses no change after it.
            let notified = self.inner.notify.notified();
            if self.count() != seen {
                return;
            }
            notified.await;
        }
    }
}

/// How much of the changes somebody has seen.
#[derive(Debug)]
pub(crate) struct Watch {
    signal: Signal,
    seen: u64,
}

impl Watch {
    /// What has changed so far is no news.
    pub(crate) fn look(&mut self) {
        self.seen = self.signal.count();
    }

    /// Waits for news; dropping the wait loses none.
    pub(crate) async fn changed(&mut self) {
        self.signal.passed(self.seen).await;
        self.look();
    }
}
