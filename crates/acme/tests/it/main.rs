//! The binary as a user runs it.
#![expect(clippy::disallowed_methods, reason = "tests wait for real processes")]
#![expect(unreachable_pub, reason = "a test binary has no public items")]

mod bigquery;
mod changes;
mod copying;
mod crash;
mod csv;
mod disk;
mod docs;
mod errors;
mod exactness;
mod explain;
mod expressions;
mod files;
mod garbage;
mod harness;
mod kafka;
mod kafka_events;
mod kafka_tools;
mod kills;
mod lives;
mod local_log;
mod online;
mod remains;
mod replica;
mod replica_faults;
mod road;
mod rotation;
mod schema;
mod schema_changes;
mod secrets;
mod seeing;
mod server;
mod signals;
mod together;
mod tour;
mod unfinished;
mod windows;
