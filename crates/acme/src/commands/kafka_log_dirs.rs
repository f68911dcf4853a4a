//! `acme kafka-log-dirs`: the command of Kafka's distribution, word for word.

use super::tools::{Printed, finish_on_stderr, misuse, on_cluster, require};
use crate::kafka::Cluster;
use crate::kafka::failure::Failure;
use crate::kafka::log_dirs::{As, LogDirs, describe};
use clap::Args;
use std::collections::BTreeSet;
use std::process::ExitCode;

const TOOL: &str = "kafka-log-dirs";

#[derive(Args)]
pub(super) struct KafkaLogDirs {
    #[command(flatten)]
    cluster: Cluster,
    #[command(flatten)]
    printed: Printed,
    /// Look into the directories; there is nothing else to do.
    #[arg(long)]
    describe: bool,
    /// The topics: orders,users; all without it.
    #[arg(long, default_value = "", hide_default_value = true)]
    topic_list: String,
    /// The brokers' ids: 0,1,2; all without it.
    #[arg(long, default_value = "", hide_default_value = true)]
    broker_list: String,
}

impl KafkaLogDirs {
    pub(super) fn execute(self) -> ExitCode {
        let needed =
            [("bootstrap-server", self.cluster.bootstrap_server.is_some()), ("describe", self.describe)];
        if let Err(said) = require(&needed) {
            return misuse(TOOL, &said);
        }
        let printed = if self.printed.as_json() { As::Json } else { As::Kafka };
        let result = self.asked().and_then(|asked| {
            on_cluster(&self.cluster, "log-dirs-tool", async |client| describe(client, &asked, printed).await)
        });
        finish_on_stderr(result, |failure| failure.said.clone())
    }

    fn asked(&self) -> Result<LogDirs, Failure> {
        let parts = |text: &str| -> Vec<String> {
            text.split(',').filter(|part| !part.is_empty()).map(str::to_owned).collect()
        };
        let ids = parts(&self.broker_list).into_iter().map(|part| {
            let fault =
                |_| Failure::user(format!("For input string: \"{part}\""), "write --broker-list as 1,2,3");
            part.parse().map_err(fault)
        });
        let brokers = ids.collect::<Result<BTreeSet<i32>, Failure>>()?;
        Ok(LogDirs { brokers, topics: parts(&self.topic_list).into_iter().collect() })
    }
}
