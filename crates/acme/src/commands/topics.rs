//! `acme topics`: the topics of a Kafka cluster.

use super::tools::{Printed, finish, on_cluster};
use crate::kafka::Cluster;
use crate::kafka::create::{Create, assignments, create};
use crate::kafka::describe::{Describe, Only, describe};
use crate::kafka::failure::Failure;
use crate::kafka::topics::{Alter, Which, alter, delete, list};
use acme_types::Diagnostic;
use clap::{Args, Subcommand};
use std::process::ExitCode;

#[derive(Args)]
#[command(disable_help_subcommand = true)]
pub(super) struct Topics {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    cluster: Cluster,
    #[command(flatten)]
    printed: Printed,
}

#[derive(Subcommand)]
enum Action {
    /// List the topics.
    List {
        /// Without Kafka's own topics.
        #[arg(long)]
        exclude_internal: bool,
    },
    /// Show partitions, replicas and settings.
    Describe(DescribeTopics),
    /// Create a topic.
    Create(CreateTopic),
    /// Add partitions, change settings.
    Alter(AlterTopic),
    /// Delete topics with all of their records.
    Delete {
        /// The topics.
        #[arg(required = true)]
        topics: Vec<String>,
        /// Do not fail for a topic that does not exist.
        #[arg(long)]
        if_exists: bool,
    },
}

#[derive(Args)]
struct DescribeTopics {
    /// The topics; all without any.
    topics: Vec<String>,
    /// Without Kafka's own topics.
    #[arg(long)]
    exclude_internal: bool,
    #[command(flatten)]
    only: Only,
}

#[derive(Args)]
struct CreateTopic {
    /// Its name.
    topic: String,
    /// The number of partitions; the cluster's default without it.
    #[arg(long, allow_negative_numbers = true)]
    partitions: Option<i64>,
    /// The number of replicas of each partition; the cluster's default without it.
    #[arg(long, allow_negative_numbers = true)]
    replication_factor: Option<i64>,
    /// The brokers of each partition, such as 1:2,2:3.
    #[arg(long, value_name = "BROKERS", conflicts_with_all = ["partitions", "replication_factor"])]
    replica_assignment: Option<String>,
    /// A setting, such as retention.ms=604800000.
    #[arg(long, value_name = "NAME=VALUE")]
    config: Vec<String>,
    /// Do not fail if there is one of this name.
    #[arg(long)]
    if_not_exists: bool,
}

#[derive(Args)]
struct AlterTopic {
    /// The topics.
    #[arg(required = true)]
    topics: Vec<String>,
    /// The number of partitions, larger than now. Keys go to other partitions from then on.
    #[arg(long)]
    partitions: Option<i32>,
    /// The brokers of all partitions, such as 1:2,2:3.
    #[arg(long, value_name = "BROKERS", requires = "partitions")]
    replica_assignment: Option<String>,
    /// A setting, such as retention.ms=604800000.
    #[arg(long, value_name = "NAME=VALUE")]
    config: Vec<String>,
    /// A setting to be the cluster's again.
    #[arg(long, value_name = "NAME")]
    delete_config: Vec<String>,
    /// Do not fail for a topic that does not exist.
    #[arg(long)]
    if_exists: bool,
}

impl Topics {
    pub(super) fn execute(self) -> Result<ExitCode, Vec<Diagnostic>> {
        let as_json = self.printed.as_json();
        finish(on_cluster(&self.cluster.or_own_log(), "acme-topics", async |client| match self.action {
            Action::List { exclude_internal } => list(client, &Which::All, exclude_internal, as_json).await,
            Action::Describe(topics) => describe(client, &topics.asked(), as_json).await,
            Action::Create(topic) => create(client, &topic.asked(), as_json).await,
            Action::Alter(topics) => alter(client, &topics.asked()?).await,
            Action::Delete { topics, if_exists } => {
                delete(client, &Which::Named(topics), if_exists, false).await
            }
        }))
    }
}

impl DescribeTopics {
    fn asked(self) -> Describe {
        Describe {
            which: Which::named(self.topics),
            id: None,
            exclude_internal: self.exclude_internal,
            if_exists: false,
            only: self.only,
            partitions_per_answer: 2_000,
        }
    }
}

impl CreateTopic {
    fn asked(self) -> Create {
        Create {
            name: self.topic,
            partitions: self.partitions,
            replication_factor: self.replication_factor,
            assignment: self.replica_assignment,
            configs: self.config,
            if_not_exists: self.if_not_exists,
        }
    }
}

impl AlterTopic {
    fn asked(self) -> Result<Alter, Failure> {
        let mut settings: Vec<(String, Option<String>)> = Vec::new();
        for setting in &self.config {
            let Some((name, value)) = setting.split_once('=') else {
                let said = format!("\"{setting}\" is not NAME=VALUE");
                return Err(Failure::user(said, "write it as retention.ms=604800000"));
            };
            settings.push((name.trim().to_owned(), Some(value.trim().to_owned())));
        }
        settings.extend(self.delete_config.into_iter().map(|name| (name, None)));
        if self.partitions.is_none() && settings.is_empty() {
            return Err(Failure::user(
                "nothing is to be changed",
                "add --partitions, --config or --delete-config",
            ));
        }
        Ok(Alter {
            which: Which::Named(self.topics),
            partitions: self.partitions,
            assignments: assignments(self.replica_assignment.as_deref())?,
            settings,
            if_exists: self.if_exists,
            exclude_internal: false,
        })
    }
}
