//! The binary: one file for each command, the one list of connectors, the only place where errors are printed.

use acme::commands::{Cli, dispatch};
use std::process::ExitCode;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    acme_raw::give_memory_back_after(Duration::from_millis(10));
    dispatch(Cli::of_process())
}
