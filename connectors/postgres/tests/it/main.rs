//! The source against real servers.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail like the test")]

mod capture;
mod errors;
mod faults;
mod harness;
mod restart;
mod schema;
mod types;
mod values;
mod versions;
