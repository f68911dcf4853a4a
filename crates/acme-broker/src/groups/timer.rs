//! Deadlines of all groups, and the task that keeps them.

use super::{Groups, Kind, lock};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;

/// How often groups that nobody is in, and offsets that nobody needs, are looked for
/// (`offsets.retention.check.interval.ms`).
const CLEAN_MS: i64 = 600_000;

/// When which group has something to do. A group may stand here more than once: the earliest counts.
#[derive(Debug, Default)]
pub(super) struct Timer {
    heap: Mutex<BinaryHeap<Reverse<(i64, String)>>>,
    earlier: Notify,
}

impl Timer {
    pub(super) fn at(&self, deadline: i64, group: &str) {
        let mut heap = lock(&self.heap);
        let first = heap.peek().is_none_or(|Reverse((at, _))| deadline < *at);
        heap.push(Reverse((deadline, group.to_owned())));
        drop(heap);
        if first {
            self.earlier.notify_one();
        }
    }

    fn next(&self) -> Option<i64> {
        lock(&self.heap).peek().map(|Reverse((at, _))| *at)
    }

    fn due(&self, now: i64) -> Option<String> {
        let mut heap = lock(&self.heap);
        if heap.peek().is_some_and(|Reverse((at, _))| *at <= now) {
            heap.pop().map(|Reverse((_, id))| id)
        } else {
            None
        }
    }
}

impl Groups {
    /// Keeps deadlines, until the broker stops.
    pub(crate) async fn run(self: Arc<Self>) {
        let mut clean = self.now() + CLEAN_MS;
        loop {
            let next = self.timer.next().unwrap_or(clean).min(clean);
            let wait = Duration::from_millis(next.saturating_sub(self.now()).max(0).cast_unsigned());
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.timer.earlier.notified() => {}
            }
            while let Some(id) = self.timer.due(self.now()) {
                self.tick(&id);
            }
            if self.now() >= clean {
                self.clean(self.log.now_ms());
                clean = self.now() + CLEAN_MS;
            }
        }
    }

    fn tick(&self, id: &str) {
        let now = self.now();
        self.with(id, false, |slot| {
            slot.due = None;
            match &mut slot.kind {
                Kind::Classic(group) => {
                    let effects = group.tick(now);
                    self.apply(id, slot, effects);
                }
                Kind::Consumer(group) => {
                    if group.deadline().is_none_or(|deadline| deadline > now) {
                        return;
                    }
                    let before = group.clone();
                    let records = group.tick(now);
                    if self.write(id, slot, &records).is_err() {
                        // Whoever is to be taken out stays until it can be written, and is looked at again soon.
                        slot.kind = Kind::Consumer(before);
                        slot.due = Some(now + 1_000);
                        self.timer.at(now + 1_000, id);
                    }
                }
            }
        });
    }
}
