//! What the binary does, reachable for tests.

pub mod commands;
mod connectors;
mod environment;
mod pipeline;
mod progress;
mod state;

pub use connectors::{CONNECTORS, specs};
