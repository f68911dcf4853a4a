//! `acme kafka-consumer-groups`: the command of Kafka's distribution, word for word.

use super::groups::Offsets;
use super::note;
use super::tools::{Printed, finish_as_kafka, misuse, on_cluster};
use crate::kafka::failure::Failure;
use crate::kafka::groups::{About, Groups, List, delete, delete_offsets, describe, list};
use crate::kafka::reset::{Reset, reset};
use crate::kafka::{Cluster, Said};
use acme_kafka::Client;
use clap::Args;
use std::process::ExitCode;

const TOOL: &str = "kafka-consumer-groups";
const DRY: &str = "WARN: No action will be performed as the --execute option is missing. In version 5.0, this command \
will require either --dry-run or --execute to be specified. You should add the --dry-run option explicitly if you are \
scripting this command and want to keep the current default behavior without prompting.\n";

#[derive(Args)]
pub(super) struct KafkaGroups {
    #[command(flatten)]
    cluster: Cluster,
    #[command(flatten)]
    printed: Printed,
    /// List the groups.
    #[arg(long)]
    list: bool,
    /// Show how far groups have come, who is in them, what state they are in.
    #[arg(long)]
    describe: bool,
    /// Delete groups with their offsets.
    #[arg(long)]
    delete: bool,
    /// Set committed offsets.
    #[arg(long)]
    reset_offsets: bool,
    /// Delete committed offsets.
    #[arg(long)]
    delete_offsets: bool,
    /// Check a regular expression.
    #[arg(long, value_name = "REGEX")]
    validate_regex: Option<String>,
    /// A group.
    #[arg(long)]
    group: Vec<String>,
    /// All groups.
    #[arg(long)]
    all_groups: bool,
    /// Describe who is in the group.
    #[arg(long)]
    members: bool,
    /// Describe how far the group has come, which is the default.
    #[arg(long)]
    offsets: bool,
    /// Describe the group's state; list with states, or only those in these states.
    #[arg(long, num_args = 0..=1, default_missing_value = "", value_name = "STATES")]
    state: Option<String>,
    /// List with types, or only those of these types.
    #[arg(long, num_args = 0..=1, default_missing_value = "", value_name = "TYPES")]
    r#type: Option<String>,
    /// Describe with epochs and assignments.
    #[arg(long)]
    verbose: bool,
    #[command(flatten)]
    which: Offsets,
    /// Reset: only show what would be done, which is the default.
    #[arg(long)]
    dry_run: bool,
    /// Reset: do it.
    #[arg(long)]
    execute: bool,
    /// How long one request may take, in ms.
    #[arg(long, default_value_t = 30_000)]
    timeout: u64,
}

impl KafkaGroups {
    pub(super) fn execute(self) -> ExitCode {
        if let Some(regex) = &self.validate_regex {
            return validate(regex);
        }
        if let Err(said) = self.check() {
            return misuse(TOOL, &said);
        }
        if self.reset_offsets && !self.dry_run && !self.execute {
            note(DRY);
        }
        let result = on_cluster(&self.cluster, "acme-groups", async |client| self.run(client).await);
        // What concerns a group that is described comes with the exception's name there.
        let named = self.describe;
        finish_as_kafka(result, |failure| {
            let said = if named { failure.with_exception() } else { failure.said.clone() };
            format!("\nError: Executing consumer group command failed due to {said}")
        })
    }

    async fn run(&self, client: &Client) -> Result<Said, Failure> {
        let as_json = self.printed.as_json();
        if self.list {
            let filters = List { states: self.state.clone(), types: self.r#type.clone() };
            return list(client, &filters, as_json).await;
        }
        if self.describe {
            let about = if self.members {
                About::Members
            } else if self.state.is_some() {
                About::State
            } else {
                About::Offsets
            };
            return describe(client, &self.groups(), about, self.verbose, as_json).await;
        }
        if self.delete {
            return delete(client, &self.groups(), as_json).await;
        }
        if self.delete_offsets {
            let group = self.group.first().map_or("", String::as_str);
            return delete_offsets(client, group, &self.which.topic, as_json).await;
        }
        let (Some(scope), Some(to)) = (self.which.scope(), self.which.to()?) else {
            return Err(Failure::missing("the scope or the mode is missing", "see --help"));
        };
        let (execute, export) = (self.execute, self.which.export);
        reset(client, &Reset { groups: self.groups(), scope, to, execute, export }, as_json).await
    }

    fn groups(&self) -> Groups {
        if self.all_groups { Groups::All } else { Groups::Named(self.group.clone()) }
    }

    /// Which options go together.
    fn check(&self) -> Result<(), String> {
        let actions = [
            ("list", self.list),
            ("describe", self.describe),
            ("delete", self.delete),
            ("reset-offsets", self.reset_offsets),
            ("delete-offsets", self.delete_offsets),
        ];
        let given: Vec<&str> = actions.iter().filter(|(_, given)| *given).map(|(name, _)| *name).collect();
        if self.cluster.bootstrap_server.is_none() {
            return Err("Missing required argument \"[bootstrap-server]\"".to_owned());
        }
        let [action] = given[..] else {
            let actions: Vec<String> = actions.iter().map(|(name, _)| format!("--{name}")).collect();
            return Err(format!("Command must include exactly one action: {}", actions.join(", ")));
        };
        let has_group = !self.group.is_empty() || self.all_groups;
        if ["describe", "delete", "reset-offsets"].contains(&action) && !has_group {
            return Err(format!("Option [{action}] takes one of these options: [group], [all-groups]"));
        }
        if !self.group.is_empty() && self.all_groups {
            return Err("Option \"[group]\" can't be used with option \"[all-groups]\"".to_owned());
        }
        if self.list && !self.group.is_empty() {
            return Err("Option \"[group]\" can't be used with option \"[list]\"".to_owned());
        }
        if !self.which.topic.is_empty() && (self.list || self.describe) {
            return Err(format!("Option \"[topic]\" can't be used with option \"[{action}]\""));
        }
        match action {
            "describe" => self.check_describe(),
            "delete" if !self.which.topic.is_empty() => {
                Err("The consumer does not support topic-specific offset deletion from a consumer group."
                    .to_owned())
            }
            "delete-offsets" if self.group.is_empty() || self.which.topic.is_empty() => {
                Err("Option [delete-offsets] takes the following options: [group], [topic]".to_owned())
            }
            "reset-offsets" => self.check_reset(),
            _ => Ok(()),
        }
    }

    fn check_describe(&self) -> Result<(), String> {
        let about = [self.members, self.offsets, self.state.is_some()];
        if about.iter().filter(|given| **given).count() > 1 {
            let options = "[members], [offsets], [state]";
            return Err(format!("Option [describe] takes at most one of these options: {options}"));
        }
        if self.state.as_ref().is_some_and(|state| !state.is_empty()) {
            return Err("Option [describe] does not take a value for [state]".to_owned());
        }
        Ok(())
    }

    fn check_reset(&self) -> Result<(), String> {
        if self.dry_run && self.execute {
            return Err("Option [reset-offsets] only accepts one of [execute] and [dry-run]".to_owned());
        }
        let modes = self.which.modes();
        if let [one, other, ..] = modes[..] {
            return Err(format!("Option \"[{one}]\" can't be used with option \"[{other}]\""));
        }
        if self.which.scope().is_none() {
            return Err("One of the reset scopes should be defined: --all-topics, --topic.".to_owned());
        }
        if modes.is_empty() {
            let modes = "[[to-datetime], [from-file], [shift-by], [to-offset], [to-earliest], [to-current], \
                         [to-latest], [by-duration]]";
            return Err(format!("Option '[reset-offsets]' requires one of the following scenarios: {modes}"));
        }
        Ok(())
    }
}

fn validate(regex: &str) -> ExitCode {
    match regex::Regex::new(regex) {
        Ok(_) => {
            super::print(&format!("The regular expression `{regex}` is valid.\n"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            let reason = error.to_string();
            let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ");
            super::print(&format!("The regular expression `{regex}` is invalid: {reason}.\n"));
            ExitCode::FAILURE
        }
    }
}
