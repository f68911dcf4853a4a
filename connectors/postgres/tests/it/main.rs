//! The source against real servers.

mod capture;
mod errors;
mod harness;
mod restart;
mod values;
