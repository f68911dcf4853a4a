//! `acme kafka-delete-records`: the command of Kafka's distribution, word for word.

use super::tools::{Printed, finish_on_stderr, misuse, on_cluster, require};
use crate::kafka::Cluster;
use crate::kafka::delete_records::{delete_records, plan};
use crate::kafka::failure::Failure;
use clap::Args;
use std::process::ExitCode;

const TOOL: &str = "kafka-delete-records";

#[derive(Args)]
pub(super) struct KafkaDeleteRecords {
    #[command(flatten)]
    cluster: Cluster,
    #[command(flatten)]
    printed: Printed,
    /// A file that names for each partition the first offset that stays:
    /// {"partitions": [{"topic": "orders", "partition": 0, "offset": 42}], "version": 1}
    #[arg(long, value_name = "FILE")]
    offset_json_file: Option<String>,
}

impl KafkaDeleteRecords {
    pub(super) fn execute(self) -> ExitCode {
        let needed = [
            ("bootstrap-server", self.cluster.bootstrap_server.is_some()),
            ("offset-json-file", self.offset_json_file.is_some()),
        ];
        if let Err(said) = require(&needed) {
            return misuse(TOOL, &said);
        }
        let path = self.offset_json_file.as_deref().unwrap_or_default();
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failure::file(format!("Unable to read file {path}"), error.to_string()));
        let result = text.and_then(|text| plan(&text)).and_then(|plan| {
            let as_json = self.printed.as_json();
            on_cluster(&self.cluster, "acme-delete-records", async |client| {
                Ok(delete_records(client, &plan, as_json).await)
            })
        });
        finish_on_stderr(result, |failure| failure.said.clone())
    }
}
