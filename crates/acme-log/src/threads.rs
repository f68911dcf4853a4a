//! The threads of a log: so many that sync, and one that keeps house. Their number does not depend on that of partitions.

use crate::files::lock;
use crate::shared::Shared;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// What the housekeeping thread is told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Round {
    /// Retention, compaction, checks.
    Housekeep,
    /// Recovery points.
    Checkpoint,
}

/// The threads, to be ended.
#[derive(Default)]
pub(crate) struct Threads {
    running: Mutex<Vec<JoinHandle<()>>>,
    stop: Arc<(Mutex<bool>, Condvar)>,
    shared: Mutex<Option<Arc<Shared>>>,
}

impl Threads {
    /// Starts them; `round` is called until it answers false.
    pub(crate) fn start(&self, shared: &Arc<Shared>, round: impl Fn(Round) -> bool + Send + 'static) {
        let options = &shared.options;
        if options.sync_threads == 0 {
            return;
        }
        let mut running = lock(&self.running);
        for _ in 0..options.sync_threads {
            let (shared, interval) = (shared.clone(), options.sync_interval);
            running.extend(spawn("acme-log-sync", move || shared.queue.work(interval)));
        }
        let stop = self.stop.clone();
        let (housekeeping, checkpoint) = (options.housekeeping, options.checkpoint);
        running.extend(spawn("acme-log-upkeep", move || keep_house(&stop, housekeeping, checkpoint, round)));
        *lock(&self.shared) = Some(shared.clone());
    }

    /// Ends them and waits for it.
    pub(crate) fn stop(&self) {
        *lock(&self.stop.0) = true;
        self.stop.1.notify_all();
        let me = std::thread::current().id();
        for thread in std::mem::take(&mut *lock(&self.running)) {
            // The last clone of a log may be dropped by the housekeeping thread itself.
            if thread.thread().id() != me {
                let _ = thread.join();
            }
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        let shared = lock(&self.shared).take();
        if let Some(shared) = &shared {
            shared.queue.close();
        }
        self.stop();
        if let Some(shared) = &shared {
            // What waits there would hold the log.
            drop(shared.queue.drain());
        }
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Option<JoinHandle<()>> {
    Builder::new().name(name.to_owned()).spawn(work).ok()
}

fn keep_house(
    stop: &(Mutex<bool>, Condvar),
    housekeeping: Duration,
    checkpoint: Duration,
    round: impl Fn(Round) -> bool,
) {
    // Both go on from now; whichever is due first.
    let (mut to_house, mut to_checkpoint) = (housekeeping, checkpoint);
    loop {
        let wait = to_house.min(to_checkpoint);
        let stopped = lock(&stop.0);
        let (stopped, _) = stop
            .1
            .wait_timeout_while(stopped, wait, |stopped| !*stopped)
            .unwrap_or_else(PoisonError::into_inner);
        if *stopped {
            return;
        }
        drop(stopped);
        to_house -= wait;
        to_checkpoint -= wait;
        let mut alive = true;
        if to_house.is_zero() {
            to_house = housekeeping;
            alive &= round(Round::Housekeep);
        }
        if to_checkpoint.is_zero() {
            to_checkpoint = checkpoint;
            alive &= round(Round::Checkpoint);
        }
        if !alive {
            return;
        }
    }
}
