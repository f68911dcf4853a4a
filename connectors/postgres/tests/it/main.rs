//! The source against real servers.

mod capture;
mod harness;
