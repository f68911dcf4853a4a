//! `acme kafka-topics`: the command of Kafka's distribution, word for word.

use super::tools::{Printed, finish_as_kafka, misuse, on_cluster};
use crate::kafka::Cluster;
use crate::kafka::create::{Create, assignments, create};
use crate::kafka::describe::{Describe, Only, describe};
use crate::kafka::failure::Failure;
use crate::kafka::topics::{Alter, Which, alter, delete, list};
use clap::Args;
use std::process::ExitCode;

const TOOL: &str = "kafka-topics";
const ALTERING: &str = " (To alter topic configurations, the kafka-configs tool can be used.)";

#[derive(Args)]
pub(super) struct KafkaTopics {
    #[command(flatten)]
    cluster: Cluster,
    #[command(flatten)]
    printed: Printed,
    /// Create a topic.
    #[arg(long)]
    create: bool,
    /// List the topics.
    #[arg(long)]
    list: bool,
    /// Show partitions, replicas and settings.
    #[arg(long)]
    describe: bool,
    /// Change the number of partitions.
    #[arg(long)]
    alter: bool,
    /// Delete topics.
    #[arg(long)]
    delete: bool,
    /// The topic; a regular expression of the whole name, except with --create.
    #[arg(long)]
    topic: Option<String>,
    /// The id of the topic to describe.
    #[arg(long)]
    topic_id: Option<String>,
    /// The number of partitions.
    #[arg(long, allow_negative_numbers = true)]
    partitions: Option<String>,
    /// The number of replicas of each partition.
    #[arg(long, allow_negative_numbers = true)]
    replication_factor: Option<String>,
    /// The brokers of each partition, such as 1:2,2:3.
    #[arg(long)]
    replica_assignment: Option<String>,
    /// A setting of the topic that is created: NAME=VALUE.
    #[arg(long)]
    config: Vec<String>,
    /// No longer has a meaning.
    #[arg(long)]
    delete_config: Vec<String>,
    /// Create only if there is no such topic.
    #[arg(long)]
    if_not_exists: bool,
    /// Alter, delete or describe only if there is such a topic.
    #[arg(long)]
    if_exists: bool,
    /// List or describe without Kafka's own topics.
    #[arg(long)]
    exclude_internal: bool,
    #[command(flatten)]
    only: Only,
    /// The most partitions that one answer describes.
    #[arg(long, default_value_t = 2_000)]
    partition_size_limit_per_response: i32,
}

impl KafkaTopics {
    pub(super) fn execute(self) -> ExitCode {
        if let Err(said) = self.check() {
            return misuse(TOOL, &said);
        }
        let as_json = self.printed.as_json();
        let result = on_cluster(&self.cluster, "acme-topics", async |client| {
            let which = Which::matching(self.topic.clone());
            if self.create {
                create(client, &self.wanted()?, as_json).await
            } else if self.alter {
                alter(client, &self.change(which)?).await
            } else if self.list {
                list(client, &which, self.exclude_internal, as_json).await
            } else if self.describe {
                describe(client, &self.asked(which), as_json).await
            } else {
                delete(client, &which, self.if_exists, self.exclude_internal).await
            }
        });
        finish_as_kafka(result, |failure| format!("Error while executing topic command : {}", failure.said))
    }

    /// Which options go together.
    fn check(&self) -> Result<(), String> {
        let actions = [self.create, self.list, self.alter, self.describe, self.delete];
        if actions.iter().filter(|given| **given).count() != 1 {
            let actions = "--list, --describe, --create, --alter or --delete";
            return Err(format!("Command must include exactly one action: {actions}"));
        }
        if self.cluster.bootstrap_server.is_none() {
            return Err("--bootstrap-server must be specified".to_owned());
        }
        if self.topic.is_none() && !self.list && !self.describe {
            return Err("Missing required argument \"[topic]\"".to_owned());
        }
        if self.alter && !self.config.is_empty() {
            let options = "Option combination \"[[config], [bootstrap-server]]\"";
            return Err(format!("{options} can't be used with option \"[alter]\"{ALTERING}"));
        }
        if self.alter && self.partitions.is_none() {
            return Err("Missing required argument \"[partitions]\"".to_owned());
        }
        self.check_pairs()
    }

    fn check_pairs(&self) -> Result<(), String> {
        let action = [
            ("create", self.create),
            ("list", self.list),
            ("alter", self.alter),
            ("describe", self.describe),
            ("delete", self.delete),
        ];
        let action = action.iter().find(|(_, given)| *given).map_or("", |(name, _)| name);
        let only: [(&str, bool, &[&str]); 12] = [
            ("config", !self.config.is_empty(), &["alter", "create"]),
            ("partitions", self.partitions.is_some(), &["alter", "create"]),
            ("replication-factor", self.replication_factor.is_some(), &["create"]),
            ("replica-assignment", self.replica_assignment.is_some(), &["alter", "create"]),
            ("under-replicated-partitions", self.only.under_replicated_partitions, &["describe"]),
            ("under-min-isr-partitions", self.only.under_min_isr_partitions, &["describe"]),
            ("at-min-isr-partitions", self.only.at_min_isr_partitions, &["describe"]),
            ("unavailable-partitions", self.only.unavailable_partitions, &["describe"]),
            ("topics-with-overrides", self.only.topics_with_overrides, &["describe"]),
            ("if-exists", self.if_exists, &["alter", "delete", "describe"]),
            ("if-not-exists", self.if_not_exists, &["create"]),
            ("exclude-internal", self.exclude_internal, &["list", "describe"]),
        ];
        for (option, given, actions) in only {
            if given && !actions.contains(&action) {
                return Err(format!("Option \"[{option}]\" can't be used with option \"[{action}]\""));
            }
        }
        let both = |one: &str, other: &str| {
            Err(format!("Option \"[{one}]\" can't be used with option \"[{other}]\""))
        };
        if self.create && self.replica_assignment.is_some() {
            if self.partitions.is_some() {
                return both("replica-assignment", "partitions");
            }
            if self.replication_factor.is_some() {
                return both("replica-assignment", "replication-factor");
            }
        }
        if self.only.topics_with_overrides {
            let reports = [
                ("under-replicated-partitions", self.only.under_replicated_partitions),
                ("under-min-isr-partitions", self.only.under_min_isr_partitions),
                ("at-min-isr-partitions", self.only.at_min_isr_partitions),
                ("unavailable-partitions", self.only.unavailable_partitions),
            ];
            if let Some((report, _)) = reports.iter().find(|(_, given)| *given) {
                return both(report, "topics-with-overrides");
            }
        }
        Ok(())
    }

    fn wanted(&self) -> Result<Create, Failure> {
        Ok(Create {
            name: self.topic.clone().unwrap_or_default(),
            partitions: number(self.partitions.as_deref(), "partitions")?,
            replication_factor: number(self.replication_factor.as_deref(), "replication-factor")?,
            assignment: self.replica_assignment.clone(),
            configs: self.config.clone(),
            if_not_exists: self.if_not_exists,
        })
    }

    fn change(&self, which: Which) -> Result<Alter, Failure> {
        let partitions = number(self.partitions.as_deref(), "partitions")?;
        Ok(Alter {
            which,
            partitions: partitions.map(|count| i32::try_from(count).unwrap_or(i32::MAX)),
            assignments: assignments(self.replica_assignment.as_deref())?,
            settings: Vec::new(),
            if_exists: self.if_exists,
            exclude_internal: self.exclude_internal,
        })
    }

    fn asked(&self, which: Which) -> Describe {
        // The id of nothing is no id.
        let id = self.topic_id.clone().filter(|id| id != "AAAAAAAAAAAAAAAAAAAAAA");
        Describe {
            which,
            id,
            exclude_internal: self.exclude_internal,
            if_exists: self.if_exists,
            only: self.only,
            partitions_per_answer: self.partition_size_limit_per_response,
        }
    }
}

fn number(text: Option<&str>, option: &str) -> Result<Option<i64>, Failure> {
    let fault = |text: &str| {
        Failure::user(format!("Cannot parse argument '{text}' of option {option}"), "give a whole number")
    };
    text.map(|text| text.trim().parse().map_err(|_| fault(text))).transpose()
}
