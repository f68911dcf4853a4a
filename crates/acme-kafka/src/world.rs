//! The network and the time that a client lives in: the real ones, or those of a simulation.
//!
//! Everything in this crate that dials, waits or asks how late it is does so here, so that a simulation can hold
//! back, lose and reorder whatever it likes, and tell it all again from its seed.

use std::fmt;
use std::future::Future;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

/// Both directions of a connection.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// What a simulation does later.
pub type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A world that somebody has thought out. Asked once per connection, wait and pause, never per record.
pub trait Simulation: Send + Sync + fmt::Debug {
    /// A connection to a broker.
    fn dial(&self, host: &str, port: u16) -> Later<io::Result<Box<dyn Stream>>>;

    /// How late it is.
    fn now(&self) -> Instant;

    /// Ends when it is this late.
    fn sleep_until(&self, at: Instant) -> Later<()>;

    /// A random number.
    fn chance(&self) -> u64;
}

/// Stands where a client wants an address and has a [`Local`] world: nobody looks it up.
pub const LOCAL: &str = "local:9092";

/// The real clock and, instead of the network, something else that connections come from: a broker of this process.
pub struct Local<F>(pub F);

impl<F> fmt::Debug for Local<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Local")
    }
}

impl<S, D, F> Simulation for Local<F>
where
    S: Stream + 'static,
    D: Future<Output = io::Result<S>> + Send + 'static,
    F: Fn() -> D + Send + Sync,
{
    fn dial(&self, _host: &str, _port: u16) -> Later<io::Result<Box<dyn Stream>>> {
        let dialled = (self.0)();
        Box::pin(async move { Ok(Box::new(dialled.await?) as Box<dyn Stream>) })
    }

    fn now(&self) -> Instant {
        Instant::now()
    }

    fn sleep_until(&self, at: Instant) -> Later<()> {
        Box::pin(tokio::time::sleep_until(at))
    }

    fn chance(&self) -> u64 {
        World::Real.chance()
    }
}

/// Where a client lives.
#[derive(Clone, Debug, Default)]
pub enum World {
    /// TCP and the system's clock.
    #[default]
    Real,
    /// Somebody's idea. Without TLS.
    Simulated(Arc<dyn Simulation>),
}

/// The time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expired;

impl World {
    pub(crate) fn now(&self) -> Instant {
        match self {
            Self::Real => Instant::now(),
            Self::Simulated(simulation) => simulation.now(),
        }
    }

    pub(crate) fn since(&self, at: Instant) -> Duration {
        self.now().saturating_duration_since(at)
    }

    pub(crate) async fn sleep(&self, time: Duration) {
        self.sleep_until(self.now() + time).await;
    }

    pub(crate) async fn sleep_until(&self, at: Instant) {
        match self {
            Self::Real => tokio::time::sleep_until(at).await,
            Self::Simulated(simulation) => simulation.sleep_until(at).await,
        }
    }

    /// What comes of the work, unless the time is over before it comes.
    pub(crate) async fn timeout<F: Future>(&self, time: Duration, work: F) -> Result<F::Output, Expired> {
        self.timeout_at(self.now() + time, work).await
    }

    pub(crate) async fn timeout_at<F: Future>(&self, at: Instant, work: F) -> Result<F::Output, Expired> {
        match self {
            Self::Real => tokio::time::timeout_at(at, work).await.map_err(|_| Expired),
            Self::Simulated(simulation) => {
                let (mut work, mut end) = (pin!(work), simulation.sleep_until(at));
                std::future::poll_fn(|context| match work.as_mut().poll(context) {
                    Poll::Ready(output) => Poll::Ready(Ok(output)),
                    Poll::Pending => end.as_mut().poll(context).map(|()| Err(Expired)),
                })
                .await
            }
        }
    }

    pub(crate) fn chance(&self) -> u64 {
        match self {
            // The keys of a RandomState are the standard library's random numbers.
            Self::Real => RandomState::new().build_hasher().finish(),
            Self::Simulated(simulation) => simulation.chance(),
        }
    }
}
