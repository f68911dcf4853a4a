//! A broker that any Kafka client takes for Kafka: the protocol over [`acme_log`], on a socket and within the process.
//!
//! It looks at the header of a record batch and never at a record. One node is the whole cluster: leader of everything,
//! coordinator of everything, controller.
//!
//! ```text
//! server ─► connection ─► frame, shape ─► api (one file for each request) ─► groups, transactions ─► acme_log
//! ```

mod api;
mod codec;
mod connection;
mod context;
mod error;
mod frame;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
#[cfg(test)]
mod fuzz_tests;
mod groups;
mod journal;
mod options;
#[cfg(test)]
mod random;
mod sasl;
mod server;
mod sessions;
mod shape;
mod transactions;

pub use groups::GroupOptions;
pub use options::{Options, Tls, Warn};
pub use server::{Broker, Error};
