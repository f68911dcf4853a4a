//! The binary: one file for each command, the one list of connectors, the only place where errors are printed.

use acme::commands::{Cli, dispatch};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    dispatch(Cli::of_process())
}
