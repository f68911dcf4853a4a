//! How long to wait before trying again.

use std::time::Duration;

/// Exponential backoff with jitter, bounded in length and number.
///
/// Each wait is a random part, at least half, of a limit that doubles: retries of many clients spread out.
#[derive(Clone, Debug)]
pub struct Backoff {
    next: Duration,
    longest: Duration,
    left: u32,
    seed: u64,
}

impl Backoff {
    /// Ten tries from 100 ms to 30 s; `seed` spreads the waits.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { next: Duration::from_millis(100), longest: Duration::from_secs(30), left: 10, seed }
    }

    /// The next wait, or `None` when it has been tried often enough.
    pub fn wait(&mut self) -> Option<Duration> {
        self.left = self.left.checked_sub(1)?;
        // xorshift64: all that is asked of it is to differ between clients.
        self.seed = self.seed.max(1);
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        let limit = self.next;
        self.next = (limit * 2).min(self.longest);
        let share = u32::try_from(self.seed % 512).expect("below 512");
        Some(limit / 2 + limit / 1024 * share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_limit_and_end() {
        let mut backoff = Backoff::new(7);
        let waits: Vec<Duration> = std::iter::from_fn(|| backoff.wait()).collect();
        assert_eq!(waits.len(), 10);
        let bounds = |at: u32| Duration::from_millis(100 * (1 << at)).min(Duration::from_secs(30));
        for (at, wait) in (0..).zip(&waits) {
            assert!(*wait >= bounds(at) / 2 && *wait <= bounds(at), "{at}: {wait:?}");
        }
    }
}
