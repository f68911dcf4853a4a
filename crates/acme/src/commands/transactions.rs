//! `acme transactions`: the transactions of a Kafka cluster.

use super::tools::{Printed, finish, on_cluster};
use crate::kafka::Cluster;
use crate::kafka::transactions::{
    Abort, Where, abort, describe, describe_producers, find_hanging, list, terminate,
};
use acme_kafka::TopicPartition;
use acme_types::Diagnostic;
use clap::{Args, Subcommand};
use std::process::ExitCode;

#[derive(Args)]
#[command(disable_help_subcommand = true)]
pub(super) struct Transactions {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    cluster: Cluster,
    #[command(flatten)]
    printed: Printed,
}

#[derive(Subcommand)]
enum Action {
    /// List transactional ids and the states of their transactions.
    List {
        /// Only those whose transaction has been open for longer, in ms.
        #[arg(long, value_name = "MS")]
        longer_than_ms: Option<i64>,
        /// Only ids that match this regular expression of RE2.
        #[arg(long, value_name = "REGEX")]
        matching: Option<String>,
    },
    /// Show the state of a transactional id.
    Describe {
        /// The transactional id.
        id: String,
    },
    /// Show the producers that write to a partition, and where their open transactions begin.
    Producers {
        /// The topic.
        topic: String,
        /// The number of the partition.
        partition: i32,
        /// As this broker's replica knows them, instead of the leader.
        #[arg(long, value_name = "ID")]
        broker: Option<i32>,
    },
    /// Find transactions that are open in a partition, and of which no coordinator knows.
    Hanging {
        /// Only this topic.
        topic: Option<String>,
        /// Only partitions with a replica on this broker.
        #[arg(long, value_name = "ID")]
        broker: Option<i32>,
        /// How long a transaction may be open, in minutes.
        #[arg(long, value_name = "MINUTES", default_value_t = 15)]
        timeout_max: i64,
    },
    /// Abort a hanging transaction in a partition.
    Abort {
        /// The topic.
        topic: String,
        /// The number of the partition.
        partition: i32,
        /// Where the transaction begins in the partition.
        #[arg(long, value_name = "OFFSET")]
        start_offset: i64,
    },
    /// Abort the open transaction of a transactional id, and fence its producer.
    Terminate {
        /// The transactional id.
        id: String,
    },
}

impl Transactions {
    pub(super) fn execute(self) -> Result<ExitCode, Vec<Diagnostic>> {
        let as_json = self.printed.as_json();
        finish(on_cluster(&self.cluster.or_own_log(), "acme-transactions", async |client| {
            match self.action {
                Action::List { longer_than_ms, matching } => {
                    list(client, longer_than_ms, matching.as_deref(), as_json).await
                }
                Action::Describe { id } => describe(client, &id, as_json).await,
                Action::Producers { topic, partition, broker } => {
                    let partition = TopicPartition::new(topic, partition);
                    describe_producers(client, &partition, broker, as_json).await
                }
                Action::Hanging { topic, broker, timeout_max } => {
                    let at = Where { broker, topic, partition: None, timeout_max_minutes: timeout_max };
                    find_hanging(client, &at, as_json).await
                }
                Action::Abort { topic, partition, start_offset } => {
                    let partition = TopicPartition::new(topic, partition);
                    abort(client, &partition, Abort::At(start_offset), as_json).await
                }
                Action::Terminate { id } => terminate(client, &id, as_json).await,
            }
        }))
    }
}
