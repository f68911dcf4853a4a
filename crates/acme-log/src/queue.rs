//! Partitions that wait for a sync, and the threads that do it: many appends to many partitions under one round.

use crate::Partition;
use crate::files::lock;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The queue. Its length is bounded by the number of partitions: each is in it once at most.
#[derive(Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    /// For the next round.
    waiting: Vec<Arc<Partition>>,
    /// Of this round.
    ready: VecDeque<Arc<Partition>>,
    /// Those of topics with `flush.ms`, and when.
    later: Vec<(Instant, Arc<Partition>)>,
    last_round: Option<Instant>,
    closed: bool,
}

#[expect(
    clippy::disallowed_methods,
    reason = "threads wait by the machine's own clock; no result depends on it"
)]
fn now() -> Instant {
    Instant::now()
}

impl Queue {
    pub(crate) fn push(&self, partition: Arc<Partition>) {
        let mut state = lock(&self.state);
        state.waiting.push(partition);
        // Who waits for the end of a round's interval looks by itself.
        if state.waiting.len() == 1 {
            self.wake.notify_one();
        }
    }

    pub(crate) fn push_in(&self, delay: Duration, partition: Arc<Partition>) {
        lock(&self.state).later.push((now() + delay, partition));
        self.wake.notify_one();
    }

    pub(crate) fn close(&self) {
        lock(&self.state).closed = true;
        self.wake.notify_all();
    }

    /// All that waits, for logs without threads.
    pub(crate) fn drain(&self) -> Vec<Arc<Partition>> {
        let mut state = lock(&self.state);
        let mut all: Vec<_> = std::mem::take(&mut state.waiting);
        all.extend(std::mem::take(&mut state.ready));
        all.extend(std::mem::take(&mut state.later).into_iter().map(|(_, partition)| partition));
        all
    }

    /// The work of one thread, until the queue is closed. A round begins `interval` after the one before, or at once after
    /// a pause; its partitions are synced side by side.
    pub(crate) fn work(&self, interval: Duration) {
        while let Some(partition) = self.next(interval) {
            partition.sync();
        }
    }

    fn next(&self, interval: Duration) -> Option<Arc<Partition>> {
        let mut state = lock(&self.state);
        loop {
            if state.closed {
                return None;
            }
            if let Some(partition) = state.ready.pop_front() {
                if !state.ready.is_empty() {
                    self.wake.notify_one();
                }
                return Some(partition);
            }
            let now = now();
            let State { later, waiting, .. } = &mut *state;
            later.retain(|(at, partition)| {
                let due = *at <= now;
                if due {
                    partition.timer_fired();
                    waiting.push(partition.clone());
                }
                !due
            });
            let round = state.last_round.map_or(now, |last| last + interval);
            if !state.waiting.is_empty() && round <= now {
                let waiting = std::mem::take(&mut state.waiting);
                state.ready = waiting.into();
                state.last_round = Some(now);
                continue;
            }
            let due = state.later.iter().map(|(at, _)| *at).min();
            let round = (!state.waiting.is_empty()).then_some(round);
            let until = due.into_iter().chain(round).min();
            state = match until {
                None => self.wake.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(until) => {
                    let wait = until.saturating_duration_since(now);
                    self.wake.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}
