//! `acme kafka-transactions`: the command of Kafka's distribution, word for word.

use super::tools::{Printed, finish_on_stderr, misuse, on_cluster, require_in};
use crate::kafka::failure::Failure;
use crate::kafka::transactions::{
    Abort, Where, abort, describe, describe_producers, find_hanging, list, terminate,
};
use crate::kafka::{Cluster, Said};
use acme_kafka::admin::OpenTransaction;
use acme_kafka::{Client, TopicPartition};
use clap::{Args, Subcommand};
use std::process::ExitCode;

const TOOL: &str = "kafka-transactions";
const SCRIPT: &str = "kafka-transactions.sh";

#[derive(Args)]
#[command(disable_help_subcommand = true)]
pub(super) struct KafkaTransactions {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    cluster: Cluster,
    #[command(flatten)]
    printed: Printed,
}

#[derive(Subcommand)]
enum Action {
    /// List transactional ids.
    List {
        /// Only transactions that have been open for longer, in ms; all if it is negative.
        #[arg(long, allow_negative_numbers = true)]
        duration_filter: Option<i64>,
        /// Only ids that match this regular expression of RE2.
        #[arg(long)]
        transactional_id_pattern: Option<String>,
    },
    /// Describe the state of a transactional id.
    Describe {
        /// The transactional id.
        #[arg(long)]
        transactional_id: String,
    },
    /// Describe the producers that write to a partition.
    DescribeProducers {
        /// As this broker's replica knows them, instead of the leader.
        #[arg(long)]
        broker_id: Option<i32>,
        /// The topic.
        #[arg(long)]
        topic: String,
        /// The number of the partition.
        #[arg(long, allow_negative_numbers = true)]
        partition: i32,
    },
    /// Abort a hanging transaction in a partition.
    Abort(AbortOne),
    /// Find transactions that are open in a partition, and of which no coordinator knows.
    FindHanging {
        /// Only partitions with a replica on this broker.
        #[arg(long)]
        broker_id: Option<i32>,
        /// How long a transaction may be open, in minutes.
        #[arg(long, default_value_t = 15, allow_negative_numbers = true)]
        max_transaction_timeout: i64,
        /// Only this topic.
        #[arg(long)]
        topic: Option<String>,
        /// Only this partition.
        #[arg(long, allow_negative_numbers = true)]
        partition: Option<i32>,
    },
    /// Abort the open transaction of a transactional id, and fence its producer.
    #[command(name = "forceTerminateTransaction")]
    Terminate {
        /// The transactional id.
        #[arg(long = "transactionalId")]
        transactional_id: String,
    },
}

/// Which transaction.
#[derive(Args)]
struct AbortOne {
    /// The topic.
    #[arg(long)]
    topic: String,
    /// The number of the partition.
    #[arg(long, allow_negative_numbers = true)]
    partition: i32,
    /// Where the transaction begins in the partition; brokers from 3.0 on.
    #[arg(long, allow_negative_numbers = true)]
    start_offset: Option<i64>,
    /// The producer's id.
    #[arg(long, allow_negative_numbers = true)]
    producer_id: Option<i64>,
    /// The producer's epoch.
    #[arg(long, allow_negative_numbers = true)]
    producer_epoch: Option<i16>,
    /// The epoch of the transaction's coordinator.
    #[arg(long, allow_negative_numbers = true)]
    coordinator_epoch: Option<i32>,
}

impl KafkaTransactions {
    pub(super) fn execute(self) -> ExitCode {
        let needed = [("bootstrap-server", self.cluster.bootstrap_server.is_some())];
        if let Err(said) = require_in(SCRIPT, &needed) {
            return misuse(TOOL, &said);
        }
        if let Action::FindHanging { broker_id, topic, partition, .. } = &self.action {
            if topic.is_none() && broker_id.is_none() {
                let said = "The `find-hanging` command requires either --topic or --broker-id to limit the scope of the \
                            search";
                return misuse(TOOL, said);
            }
            if partition.is_some() && topic.is_none() {
                return misuse(TOOL, "The --partition argument requires --topic to be provided");
            }
        }
        let result = match &self.action {
            Action::Abort(one) => one.asked().map(Some),
            _ => Ok(None),
        };
        let result = result.and_then(|aborted| {
            on_cluster(&self.cluster, "acme-transactions", async |client| self.run(client, aborted).await)
        });
        finish_on_stderr(result, |failure| failure.said.clone())
    }

    async fn run(&self, client: &Client, aborted: Option<Abort>) -> Result<Said, Failure> {
        let as_json = self.printed.as_json();
        match &self.action {
            Action::List { duration_filter, transactional_id_pattern } => {
                list(client, *duration_filter, transactional_id_pattern.as_deref(), as_json).await
            }
            Action::Describe { transactional_id } => describe(client, transactional_id, as_json).await,
            Action::DescribeProducers { broker_id, topic, partition } => {
                let partition = TopicPartition::new(topic.as_str(), *partition);
                describe_producers(client, &partition, *broker_id, as_json).await
            }
            Action::Abort(one) => {
                let partition = TopicPartition::new(one.topic.as_str(), one.partition);
                match aborted {
                    Some(aborted) => abort(client, &partition, aborted, as_json).await,
                    None => Ok(Said::default()),
                }
            }
            Action::FindHanging { broker_id, max_transaction_timeout, topic, partition } => {
                let at = Where {
                    broker: *broker_id,
                    topic: topic.clone(),
                    partition: *partition,
                    timeout_max_minutes: *max_transaction_timeout,
                };
                find_hanging(client, &at, as_json).await
            }
            Action::Terminate { transactional_id } => terminate(client, transactional_id, as_json).await,
        }
    }
}

impl AbortOne {
    fn asked(&self) -> Result<Abort, Failure> {
        let help = "`acme transactions producers` shows what a partition knows of its producers";
        if let Some(offset) = self.start_offset {
            return Ok(Abort::At(offset));
        }
        let Some(producer_id) = self.producer_id else {
            let said = "The transaction to abort must be identified either with --start-offset (for brokers on 3.0 or above) \
                        or with --producer-id, --producer-epoch, and --coordinator-epoch (for older brokers)";
            return Err(Failure::missing(said, help));
        };
        let missing = |option: &str| Failure::missing(format!("Missing required argument --{option}"), help);
        let epoch = self.producer_epoch.ok_or_else(|| missing("producer-epoch"))?;
        let coordinator_epoch = self.coordinator_epoch.ok_or_else(|| missing("coordinator-epoch"))?;
        let coordinator_epoch = coordinator_epoch.max(0);
        Ok(Abort::Of(OpenTransaction { producer_id, epoch, coordinator_epoch }))
    }
}
