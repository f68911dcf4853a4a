//! `acme log-dirs`: what lies on the disks of a Kafka cluster's brokers.

use super::tools::{Printed, finish, on_cluster};
use crate::kafka::Cluster;
use crate::kafka::log_dirs::{As, LogDirs as Asked, describe};
use acme_types::Diagnostic;
use clap::Args;
use std::process::ExitCode;

#[derive(Args)]
pub(super) struct LogDirs {
    /// The topics; all without any.
    topics: Vec<String>,
    /// A broker by its id; all without any.
    #[arg(long, value_name = "ID")]
    broker: Vec<i32>,
    #[command(flatten)]
    cluster: Cluster,
    #[command(flatten)]
    printed: Printed,
}

impl LogDirs {
    pub(super) fn execute(self) -> Result<ExitCode, Vec<Diagnostic>> {
        let printed = if self.printed.as_json() { As::Json } else { As::Table };
        let asked =
            Asked { brokers: self.broker.into_iter().collect(), topics: self.topics.into_iter().collect() };
        finish(on_cluster(&self.cluster.or_own_log(), "acme-log-dirs", async |client| {
            describe(client, &asked, printed).await
        }))
    }
}
