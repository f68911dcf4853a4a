//! The binary as a user runs it.
#![expect(clippy::disallowed_methods, reason = "tests wait for real processes")]
#![expect(unreachable_pub, reason = "a test binary has no public items")]

mod changes;
mod copying;
mod docs;
mod errors;
mod explain;
mod files;
mod harness;
mod kills;
mod remains;
mod road;
mod schema_changes;
mod seeing;
