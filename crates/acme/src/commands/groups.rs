//! `acme groups`: the consumer groups of a Kafka cluster.

use super::tools::{Printed, finish, on_cluster};
use crate::kafka::Cluster;
use crate::kafka::failure::Failure;
use crate::kafka::groups::{About, Groups, List, delete, delete_offsets, describe, list};
use crate::kafka::reset::{Reset, Scope, To, plan, reset};
use crate::kafka::time::datetime_ms;
use acme_connect::SystemClock;
use acme_kafka::properties::iso_duration;
use acme_types::{Clock, Diagnostic};
use clap::{Args, Subcommand};
use std::process::ExitCode;

#[derive(Args)]
#[command(disable_help_subcommand = true)]
pub(super) struct ConsumerGroups {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    cluster: Cluster,
    #[command(flatten)]
    printed: Printed,
}

#[derive(Subcommand)]
enum Action {
    /// List the groups.
    List {
        /// With their states; only those in these states, such as stable,empty.
        #[arg(long, num_args = 0..=1, default_missing_value = "", value_name = "STATES")]
        state: Option<String>,
        /// With their types; only those of these types: classic, consumer.
        #[arg(long, num_args = 0..=1, default_missing_value = "", value_name = "TYPES")]
        r#type: Option<String>,
    },
    /// Show how far groups have come, who is in them, what state they are in.
    Describe {
        /// The groups; all without any.
        groups: Vec<String>,
        /// Who is in them, instead of how far they have come.
        #[arg(long)]
        members: bool,
        /// What state they are in, instead of how far they have come.
        #[arg(long, conflicts_with = "members")]
        state: bool,
        /// With epochs, and the partitions of each member.
        #[arg(long)]
        verbose: bool,
    },
    /// Set committed offsets of groups that have no members. Only shows them unless --execute is given.
    ResetOffsets(ResetOffsets),
    /// Delete groups that have no members, with their offsets.
    Delete {
        /// The groups.
        #[arg(required = true)]
        groups: Vec<String>,
    },
    /// Delete committed offsets of topics that nobody in the group reads.
    DeleteOffsets {
        /// The group.
        group: String,
        /// A topic, or partitions of it: orders or orders:0,1.
        #[arg(long, required = true)]
        topic: Vec<String>,
    },
}

#[derive(Args)]
struct ResetOffsets {
    /// The groups.
    #[arg(required_unless_present = "all_groups", conflicts_with = "all_groups")]
    groups: Vec<String>,
    /// All groups.
    #[arg(long)]
    all_groups: bool,
    #[command(flatten)]
    offsets: Offsets,
    /// Do it.
    #[arg(long)]
    execute: bool,
}

/// Which offsets, and where they are set to.
#[derive(Args)]
pub(super) struct Offsets {
    /// A topic, or partitions of it: orders or orders:0,1.
    #[arg(long)]
    pub(super) topic: Vec<String>,
    /// All topics for which the group has offsets.
    #[arg(long)]
    pub(super) all_topics: bool,
    /// To the first record that there is.
    #[arg(long)]
    pub(super) to_earliest: bool,
    /// To the end.
    #[arg(long)]
    pub(super) to_latest: bool,
    /// To where they are; to the end where there is none.
    #[arg(long)]
    pub(super) to_current: bool,
    /// To this offset.
    #[arg(long, value_name = "OFFSET", allow_negative_numbers = true)]
    pub(super) to_offset: Option<i64>,
    /// By so many records forward, or back.
    #[arg(long, value_name = "RECORDS", allow_negative_numbers = true)]
    pub(super) shift_by: Option<i64>,
    /// To the first record that is not older: YYYY-MM-DDThh:mm:ss.sss, UTC unless an offset such as +02:00 follows.
    #[arg(long, value_name = "TIME")]
    pub(super) to_datetime: Option<String>,
    /// To the first record that is not older than so long ago: PnDTnHnMnS.
    #[arg(long, value_name = "DURATION")]
    pub(super) by_duration: Option<String>,
    /// To what a file says that --export has written.
    #[arg(long, value_name = "FILE")]
    pub(super) from_file: Option<String>,
    /// Print lines for --from-file.
    #[arg(long)]
    pub(super) export: bool,
}

impl Offsets {
    /// The modes that were given.
    pub(super) fn modes(&self) -> Vec<&'static str> {
        let all = [
            ("to-offset", self.to_offset.is_some()),
            ("shift-by", self.shift_by.is_some()),
            ("to-datetime", self.to_datetime.is_some()),
            ("by-duration", self.by_duration.is_some()),
            ("to-earliest", self.to_earliest),
            ("to-latest", self.to_latest),
            ("to-current", self.to_current),
            ("from-file", self.from_file.is_some()),
        ];
        all.iter().filter(|(_, given)| *given).map(|(name, _)| *name).collect()
    }

    pub(super) fn scope(&self) -> Option<Scope> {
        if self.all_topics {
            Some(Scope::Committed)
        } else if !self.topic.is_empty() {
            Some(Scope::Topics(self.topic.clone()))
        } else {
            self.from_file.is_some().then_some(Scope::File)
        }
    }

    pub(super) fn to(&self) -> Result<Option<To>, Failure> {
        if let Some(path) = &self.from_file {
            let text = std::fs::read_to_string(path)
                .map_err(|error| Failure::file(format!("{path}: {error}"), "make a plan with --export"))?;
            return plan(&text).map(Some);
        }
        if let Some(text) = &self.to_datetime {
            let ms = datetime_ms(text).ok_or_else(|| {
                let help =
                    "write it as 2026-01-31T12:00:00.000, with an offset such as +02:00 if it is not UTC";
                Failure::user(format!("Unparseable date: \"{text}\""), help)
            })?;
            return Ok(Some(To::Time(ms)));
        }
        if let Some(text) = &self.by_duration {
            let duration = iso_duration(text).ok_or_else(|| {
                Failure::user("Text cannot be parsed to a Duration", "write it as P1DT2H30M or PT15M")
            })?;
            let now_ms = SystemClock::start().now().0 / 1_000;
            let ago_ms = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
            return Ok(Some(To::Time(now_ms.saturating_sub(ago_ms).max(0))));
        }
        let plain =
            [(self.to_earliest, To::Earliest), (self.to_latest, To::Latest), (self.to_current, To::Current)];
        let plain = plain.into_iter().find(|(given, _)| *given).map(|(_, to)| to);
        Ok(plain.or(self.to_offset.map(To::Offset)).or(self.shift_by.map(To::Shift)))
    }
}

impl ConsumerGroups {
    pub(super) fn execute(self) -> Result<ExitCode, Vec<Diagnostic>> {
        let as_json = self.printed.as_json();
        finish(on_cluster(&self.cluster.or_own_log(), "acme-groups", async |client| match self.action {
            Action::List { state, r#type } => {
                list(client, &List { states: state, types: r#type }, as_json).await
            }
            Action::Describe { groups, members, state, verbose } => {
                let about = match (members, state) {
                    (true, _) => About::Members,
                    (_, true) => About::State,
                    _ => About::Offsets,
                };
                let groups = if groups.is_empty() { Groups::All } else { Groups::Named(groups) };
                describe(client, &groups, about, verbose, as_json).await
            }
            Action::ResetOffsets(asked) => {
                let export = asked.offsets.export;
                let mut said = reset(client, &asked.asked()?, as_json).await?;
                if !asked.execute && !export {
                    said.err.push_str("nothing was changed: add --execute to do it\n");
                }
                Ok(said)
            }
            Action::Delete { groups } => delete(client, &Groups::Named(groups), as_json).await,
            Action::DeleteOffsets { group, topic } => delete_offsets(client, &group, &topic, as_json).await,
        }))
    }
}

impl ResetOffsets {
    fn asked(&self) -> Result<Reset, Failure> {
        let modes = self.offsets.modes();
        let (Some(to), 1) = (self.offsets.to()?, modes.len()) else {
            let said = if modes.is_empty() {
                "where the offsets are to be set to is missing".to_owned()
            } else {
                format!("--{} cannot be used together", modes.join(" and --"))
            };
            let help = "give one of --to-earliest, --to-latest, --to-current, --to-offset, --shift-by, --to-datetime, \
                        --by-duration, --from-file";
            return Err(Failure::missing(said, help));
        };
        let scope = self.offsets.scope().ok_or_else(|| {
            Failure::missing("which topics are meant is missing", "give --topic TOPIC or --all-topics")
        })?;
        let groups = if self.all_groups { Groups::All } else { Groups::Named(self.groups.clone()) };
        Ok(Reset { groups, scope, to, execute: self.execute, export: self.offsets.export })
    }
}
