//! Time that passes only when nobody has anything left to do.

use crate::Rng;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::time::Instant;

/// The clock and the dice of one world.
#[derive(Debug)]
pub struct Time {
    start: Instant,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    now: Duration,
    /// Who waits, by time and by the order in which they began to.
    sleepers: BTreeMap<(Duration, u64), Waker>,
    number: u64,
    rng: Rng,
}

/// Runs a task in a world of its own, with others that it spawns, until it ends.
///
/// There is one thread, and it looks at its clock only when every task waits: the clock then shows the time at which
/// the first of them wants to be woken. So hours pass in milliseconds, and in the same way each time.
///
/// # Panics
/// When the work takes longer than `limit`: that is how a standstill shows.
pub fn run<T, F: Future<Output = T>>(seed: u64, limit: Duration, work: impl FnOnce(Arc<Time>) -> F) -> T {
    let rng = Rng(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let state = State { now: Duration::ZERO, sleepers: BTreeMap::new(), number: 0, rng };
    let time = Arc::new(Time { start: Instant::now(), state: Mutex::new(state) });
    let of_thread = time.clone();
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.on_thread_park(move || of_thread.advance()).build().expect("a runtime");
    let work = work(time.clone());
    runtime.block_on(async {
        tokio::select! {
            biased;
            result = work => result,
            () = time.sleep(limit) => panic!("seed {seed}: it stands still"),
        }
    })
}

impl Time {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes whoever waits for the earliest time.
    fn advance(&self) {
        let first = {
            let mut state = self.lock();
            let first = state.sleepers.pop_first();
            if let Some(((at, _), _)) = &first {
                state.now = state.now.max(*at);
            }
            first
        };
        if let Some((_, waker)) = first {
            waker.wake();
        }
    }

    /// How long the world exists.
    pub fn elapsed(&self) -> Duration {
        self.lock().now
    }

    pub(super) fn now(&self) -> Instant {
        self.start + self.elapsed()
    }

    /// Lets time pass.
    pub fn sleep(self: &Arc<Self>, time: Duration) -> Sleep {
        self.sleep_to(self.elapsed() + time)
    }

    /// The same in milliseconds.
    pub fn sleep_ms(self: &Arc<Self>, time_ms: u64) -> Sleep {
        self.sleep(Duration::from_millis(time_ms))
    }

    pub(super) fn sleep_until(self: &Arc<Self>, at: Instant) -> Sleep {
        self.sleep_to(at.saturating_duration_since(self.start))
    }

    fn sleep_to(self: &Arc<Self>, at: Duration) -> Sleep {
        Sleep { time: self.clone(), at, number: None }
    }

    /// 64 random bits.
    pub fn bits(&self) -> u64 {
        self.lock().rng.bits()
    }

    /// A random number below `limit`.
    pub fn below(&self, limit: u64) -> u64 {
        self.lock().rng.below(limit)
    }

    /// True once in `n` times; never if `n` is 0.
    pub fn one_in(&self, n: u64) -> bool {
        n > 0 && self.lock().rng.one_in(n)
    }
}

/// Ends at a time.
#[derive(Debug)]
pub struct Sleep {
    time: Arc<Time>,
    at: Duration,
    number: Option<u64>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let mut state = this.time.lock();
        if state.now >= this.at {
            return Poll::Ready(());
        }
        let number = *this.number.get_or_insert_with(|| {
            state.number += 1;
            state.number
        });
        let before = state.sleepers.insert((this.at, number), context.waker().clone());
        drop(state);
        // What is dropped with it may sleep, too.
        drop(before);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            let waker = self.time.lock().sleepers.remove(&(self.at, number));
            drop(waker);
        }
    }
}
