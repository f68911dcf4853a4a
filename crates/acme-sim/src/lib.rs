//! Simulated disk and clock, workloads and checkers: the product's own code in a world that dies on command.
//!
//! It is never shipped. Every failure message carries the seed that replays it.

mod clock;
mod disk;
pub mod kafka;
mod rng;

pub use clock::SimClock;
pub use disk::{Crash, SimDisk};
pub use rng::Rng;
