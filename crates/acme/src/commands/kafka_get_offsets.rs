//! `acme kafka-get-offsets`: the command of Kafka's distribution, word for word.

use super::tools::{Printed, finish_on_stderr, misuse, on_cluster, require};
use crate::kafka::Cluster;
use crate::kafka::failure::Failure;
use crate::kafka::get_offsets::{GetOffsets, Rule, get_offsets, time};
use clap::Args;
use std::process::ExitCode;

const TOOL: &str = "kafka-get-offsets";

#[derive(Args)]
pub(super) struct KafkaGetOffsets {
    #[command(flatten)]
    cluster: Cluster,
    #[command(flatten)]
    printed: Printed,
    /// The topic: a regular expression of the whole name; all without it.
    #[arg(long)]
    topic: Option<String>,
    /// The partitions: 0,1,2; all without it.
    #[arg(long)]
    partitions: Option<String>,
    /// Topics with their partitions: orders:1,users:0-3,clicks:5-,visits:-2,plain. The end of a range is not in it.
    #[arg(long)]
    topic_partitions: Option<String>,
    /// Which offset: a timestamp in ms since 1970, or -1 or latest, -2 or earliest, -3 or max-timestamp, -4 or earliest-local,
    /// -5 or latest-tiered, -6 or earliest-pending-upload.
    #[arg(long, default_value = "latest", allow_hyphen_values = true)]
    time: String,
    /// Without Kafka's own topics.
    #[arg(long)]
    exclude_internal_topics: bool,
}

impl KafkaGetOffsets {
    pub(super) fn execute(self) -> ExitCode {
        if let Err(said) = require(&[("bootstrap-server", self.cluster.bootstrap_server.is_some())]) {
            return misuse(TOOL, &said);
        }
        let result = self.asked().and_then(|asked| {
            let as_json = self.printed.as_json();
            on_cluster(&self.cluster, "GetOffsetShell", async |client| {
                get_offsets(client, &asked, as_json).await
            })
        });
        finish_on_stderr(result, |failure| format!("Error occurred: {}", failure.said))
    }

    fn asked(&self) -> Result<GetOffsets, Failure> {
        let at = time(&self.time)?;
        let rules = match &self.topic_partitions {
            Some(_) if self.topic.is_some() || self.partitions.is_some() => {
                let said = "--topic-partitions cannot be used with --topic or --partitions";
                return Err(Failure::user(said, "leave one of them out"));
            }
            Some(rules) => Rule::list(rules)?,
            None => vec![Rule::of(self.topic.as_deref(), self.partitions.as_deref())?],
        };
        Ok(GetOffsets { rules, at, exclude_internal: self.exclude_internal_topics })
    }
}
