//! The source and the destination against real servers.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail like the test")]
#![expect(clippy::disallowed_methods, reason = "tests wait for real processes")]

mod capture;
mod errors;
mod faults;
mod harness;
mod proxy;
mod restart;
mod schema;
mod sink_commit;
mod sink_harness;
mod sink_values;
mod sink_write;
mod types;
mod values;
mod versions;
