//! A clock that moves only when it is told to.

use acme_types::{Clock, EventTime};
use std::sync::atomic::{AtomicU64, Ordering};

/// Microseconds that a test counts.
#[derive(Debug, Default)]
pub struct SimClock(AtomicU64);

impl SimClock {
    /// Lets time pass.
    pub fn advance(&self, us: u64) {
        self.0.fetch_add(us, Ordering::Relaxed);
    }
}

impl Clock for SimClock {
    fn now(&self) -> EventTime {
        EventTime(i64::try_from(self.monotonic_us()).expect("tests are short"))
    }

    fn monotonic_us(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
