//! What the binary does, reachable for tests.

pub mod commands;
mod connectors;
mod control;
mod environment;
mod kafka;
mod log;
mod pipeline;
mod progress;
pub mod reference;
mod remains;
mod state;
mod table;

pub use connectors::{CONNECTORS, specs};
