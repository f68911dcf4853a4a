//! A client of Kafka's protocol, for brokers from 2.8 on.
//!
//! It moves bytes and knows nothing of rows: no Arrow occurs here. It never resets a position by itself, never
//! creates a topic by reading one, and believes no length that a broker sends.
//!
//! ```text
//! config ─► client ─┬─ pool ─► connection (TLS, SASL, versions; pipelined, bounded)
//!                   ├─ metadata (leaders), coordinators
//!                   ├─ group (members, committed offsets)
//!                   └─ offsets, admin, fetch, produce ─► records
//! ```

pub mod admin;
pub mod client;
pub mod config;
pub mod connection;
pub mod error;
pub mod fetch;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod group;
pub mod offsets;
pub mod produce;
pub mod properties;
mod signal;
mod token;
mod wire;
pub mod world;

#[cfg(test)]
mod damage;

pub use acme_records as records;
pub use client::{Client, CoordinatorKind, Leader, Metadata, Purpose, TopicPartition};
pub use config::{Config, Sasl, Security, Tls};
pub use error::{Class, Error, ErrorCode, Result};
pub use fetch::{FetchOptions, Fetched, Fetcher, Position};
pub use kafka_protocol;
pub use offsets::{At, Isolation, ListedOffset};
pub use produce::{Delivery, Producer, ProducerOptions};
pub use uuid::Uuid;
pub use world::World;
