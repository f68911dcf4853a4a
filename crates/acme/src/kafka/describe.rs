//! Describing topics.

use super::Said;
use super::failure::Failure;
use super::java::hash_order;
use super::topics::{Which, topic_id};
use acme_kafka::admin::{Reassignment, Setting, TopicDescription, TopicPartitionDescription};
use acme_kafka::{Client, TopicPartition};
use clap::Args;
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Which of them.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Only {
    /// Only partitions that lack replicas in sync.
    #[arg(long)]
    pub(crate) under_replicated_partitions: bool,
    /// Only partitions whose leader is not available.
    #[arg(long)]
    pub(crate) unavailable_partitions: bool,
    /// Only partitions with fewer replicas in sync than min.insync.replicas: they take no acks=all.
    #[arg(long)]
    pub(crate) under_min_isr_partitions: bool,
    /// Only partitions with exactly min.insync.replicas replicas in sync.
    #[arg(long)]
    pub(crate) at_min_isr_partitions: bool,
    /// Only topics with settings of their own, without their partitions.
    #[arg(long)]
    pub(crate) topics_with_overrides: bool,
}

impl Only {
    /// Only some partitions are asked for.
    fn is_report(self) -> bool {
        self.under_replicated_partitions
            || self.unavailable_partitions
            || self.under_min_isr_partitions
            || self.at_min_isr_partitions
    }
}

/// What is to be described.
#[derive(Debug)]
pub(crate) struct Describe {
    pub(crate) which: Which,
    /// Instead of `which`: the id of one topic.
    pub(crate) id: Option<String>,
    pub(crate) exclude_internal: bool,
    pub(crate) if_exists: bool,
    pub(crate) only: Only,
    pub(crate) partitions_per_answer: i32,
}

/// A topic with all that is known of it.
struct Full {
    topic: TopicDescription,
    settings: Vec<Setting>,
}

/// `describe`.
pub(crate) async fn describe(client: &Client, describe: &Describe, as_json: bool) -> Result<Said, Failure> {
    let metadata = client.all_topics().await?;
    let topics = match &describe.id {
        Some(id) => {
            let found = metadata.topics.iter().find(|(_, topic)| topic_id(topic.id) == *id);
            match found {
                Some((name, _)) => client.describe_by_metadata(&[name]).await?,
                None if describe.if_exists => Vec::new(),
                None => {
                    let said = format!("TopicId '{id}' does not exist as expected");
                    let help = "`acme topics list --output json` shows the ids that there are";
                    return Err(Failure::user(said, help));
                }
            }
        }
        None => {
            let names = describe.which.of(&metadata, describe.exclude_internal, !describe.if_exists)?;
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            // Without a name the request would mean all topics.
            if names.is_empty() {
                Vec::new()
            } else {
                client.describe_topics(&names, describe.partitions_per_answer).await?
            }
        }
    };
    let names: Vec<&str> = topics.iter().map(|topic| topic.name.as_str()).collect();
    let settings = if names.is_empty() { Vec::new() } else { client.topic_settings(&names).await? };
    let moving = client.reassignments().await?;
    let brokers: Vec<i32> = client.cached().brokers.keys().copied().collect();
    let full = topics.into_iter().zip(settings).map(|(topic, settings)| Full { topic, settings });
    let view = View { describe, moving, brokers };
    if as_json {
        return Ok(Said::json(&full.filter_map(|full| view.value(&full)).collect()));
    }
    let mut out = String::new();
    full.for_each(|full| view.text(&full, &mut out));
    Ok(Said::out(out))
}

struct View<'a> {
    describe: &'a Describe,
    moving: BTreeMap<TopicPartition, Reassignment>,
    brokers: Vec<i32>,
}

impl View<'_> {
    fn moving(&self, full: &Full, partition: &TopicPartitionDescription) -> Option<&Reassignment> {
        self.moving.get(&TopicPartition::new(full.topic.name.as_str(), partition.partition))
    }

    /// The number of replicas that are wanted.
    fn factor(&self, full: &Full, partition: &TopicPartitionDescription) -> usize {
        let under_way = self.moving(full, partition).filter(|moving| {
            partition.replicas.iter().any(|id| moving.adding.contains(id) || moving.removing.contains(id))
        });
        match under_way {
            Some(moving) => moving.replicas.len() - moving.adding.len().min(moving.replicas.len()),
            None => partition.replicas.len(),
        }
    }

    fn is_shown(&self, full: &Full, partition: &TopicPartitionDescription) -> bool {
        let describe = self.describe;
        let least = full.settings.iter().find(|setting| setting.name == "min.insync.replicas");
        let least = least.and_then(|setting| setting.value.as_deref()?.parse::<usize>().ok()).unwrap_or(1);
        let in_sync = partition.in_sync.len();
        let led = partition.leader.is_some_and(|leader| self.brokers.contains(&leader));
        !describe.only.is_report()
            || (describe.only.under_replicated_partitions && self.factor(full, partition) > in_sync)
            || (describe.only.unavailable_partitions && !led)
            || (describe.only.under_min_isr_partitions && (partition.leader.is_none() || in_sync < least))
            || (describe.only.at_min_isr_partitions && in_sync == least)
    }

    fn has_heading(&self, full: &Full) -> bool {
        let overridden = full.settings.iter().any(|setting| !setting.is_default);
        !self.describe.only.is_report() && (overridden || !self.describe.only.topics_with_overrides)
    }

    fn text(&self, full: &Full, out: &mut String) {
        let topic = &full.topic;
        if self.has_heading(full) {
            let factor = topic.partitions.first().map_or(0, |partition| self.factor(full, partition));
            let _ = write!(out, "Topic: {}", topic.name);
            if !topic.id.is_nil() {
                let _ = write!(out, "\tTopicId: {}", topic_id(topic.id));
            }
            let settings = hash_order(full.settings.iter().collect(), |setting| &setting.name);
            let settings: Vec<String> = settings
                .iter()
                .filter(|setting| !setting.is_default)
                .map(|setting| format!("{}={}", setting.name, setting.value.as_deref().unwrap_or("null")))
                .collect();
            let _ = writeln!(
                out,
                "\tPartitionCount: {}\tReplicationFactor: {factor}\tConfigs: {}",
                topic.partitions.len(),
                settings.join(",")
            );
        }
        if self.describe.only.topics_with_overrides {
            return;
        }
        for partition in topic.partitions.iter().filter(|partition| self.is_shown(full, partition)) {
            let leader = partition.leader.map_or_else(|| "none".to_owned(), |leader| leader.to_string());
            let _ = write!(
                out,
                "\tTopic: {}\tPartition: {}\tLeader: {leader}\tReplicas: {}\tIsr: {}",
                topic.name,
                partition.partition,
                joined(&partition.replicas),
                joined(&partition.in_sync)
            );
            if let Some(moving) = self.moving(full, partition) {
                let _ = write!(
                    out,
                    "\tAdding Replicas: {}\tRemoving Replicas: {}",
                    joined(&moving.adding),
                    joined(&moving.removing)
                );
            }
            let or_unknown = |ids: &Option<Vec<i32>>| ids.as_deref().map_or_else(|| "N/A".to_owned(), joined);
            let _ = writeln!(
                out,
                "\tElr: {}\tLastKnownElr: {}",
                or_unknown(&partition.eligible),
                or_unknown(&partition.last_known_eligible)
            );
        }
    }

    fn value(&self, full: &Full) -> Option<serde_json::Value> {
        let topic = &full.topic;
        let partitions = topic.partitions.iter().filter(|partition| self.is_shown(full, partition));
        let partitions: Vec<_> = partitions
            .map(|partition| {
                let moving = self.moving(full, partition);
                json!({
                    "partition": partition.partition,
                    "leader": partition.leader,
                    "replicas": partition.replicas,
                    "isr": partition.in_sync,
                    "elr": partition.eligible,
                    "last_known_elr": partition.last_known_eligible,
                    "adding_replicas": moving.map(|moving| &moving.adding),
                    "removing_replicas": moving.map(|moving| &moving.removing),
                })
            })
            .collect();
        let empty_report = self.describe.only.is_report() && partitions.is_empty();
        if empty_report || (self.describe.only.topics_with_overrides && !self.has_heading(full)) {
            return None;
        }
        let set = full.settings.iter().filter(|setting| !setting.is_default);
        let configs: BTreeMap<_, _> = set.map(|setting| (&setting.name, &setting.value)).collect();
        let factor = topic.partitions.first().map_or(0, |partition| self.factor(full, partition));
        Some(json!({
            "name": topic.name,
            "id": topic_id(topic.id),
            "internal": topic.is_internal,
            "replication_factor": factor,
            "configs": configs,
            "partitions": partitions,
        }))
    }
}

fn joined(ids: &[i32]) -> String {
    ids.iter().map(i32::to_string).collect::<Vec<_>>().join(",")
}
