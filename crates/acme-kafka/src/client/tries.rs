//! How often something is tried again: with growing pauses, and never for ever.

use crate::config::Config;
use crate::error::{Error, Result};
use crate::world::World;
use std::time::Duration;
use tokio::time::Instant;

/// The tries of one operation. The pauses double, with 20 % of chance in them so that many clients do not march in
/// step, and end at the deadline.
#[derive(Debug)]
pub struct Tries {
    deadline: Instant,
    pause: Duration,
    pause_max: Duration,
    world: World,
}

impl Tries {
    pub(crate) fn new(config: &Config) -> Self {
        Self::within(config, config.operation_timeout)
    }

    pub(crate) fn within(config: &Config, time: Duration) -> Self {
        let (pause, pause_max) = (config.retry_backoff, config.retry_backoff_max);
        let world = config.world.clone();
        Self { deadline: world.now() + time, pause, pause_max, world }
    }

    /// The pause after so many failures in a row.
    pub(crate) fn pause(config: &Config, failures: u32) -> Duration {
        let pause = config.retry_backoff.saturating_mul(1 << failures.min(10)).min(config.retry_backoff_max);
        jittered(pause, &config.world)
    }

    /// Pauses if it makes sense to try again after this error.
    ///
    /// # Errors
    /// The error itself, if repeating does not help or no time is left.
    pub async fn after(&mut self, error: Error) -> Result<()> {
        if !error.class().is_transient() || self.world.now() + self.pause > self.deadline {
            return Err(error);
        }
        self.world.sleep(jittered(self.pause, &self.world)).await;
        self.pause = (self.pause * 2).min(self.pause_max);
        Ok(())
    }
}

/// The duration give or take 20 %.
pub(crate) fn jittered(pause: Duration, world: &World) -> Duration {
    let chance = world.chance() % 401;
    pause * (800 + u32::try_from(chance).unwrap_or(0)) / 1_000
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorCode;

    #[tokio::test]
    async fn tries_end_at_the_deadline_with_the_last_error() {
        let mut config = Config::new(["a:1"]);
        config.retry_backoff = Duration::from_millis(1);
        config.retry_backoff_max = Duration::from_millis(4);
        config.operation_timeout = Duration::from_millis(40);
        let mut tries = Tries::new(&config);
        let mut count = 0;
        let error = loop {
            count += 1;
            if let Err(error) = tries.after(Error::broker(ErrorCode(16), format!("try {count}"))).await {
                break error;
            }
        };
        assert!(count > 3, "{count} tries");
        assert!(error.to_string().starts_with(&format!("try {count}")));
    }

    #[tokio::test]
    async fn what_cannot_succeed_is_not_tried_again() {
        let mut tries = Tries::new(&Config::new(["a:1"]));
        assert!(tries.after(Error::broker(ErrorCode(29), "read".to_owned())).await.is_err());
    }
}
