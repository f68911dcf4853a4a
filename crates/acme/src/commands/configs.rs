//! `acme configs`: the settings of a Kafka cluster's topics, brokers, groups, users and clients.

use super::tools::{Printed, finish, on_cluster};
use crate::kafka::Cluster;
use crate::kafka::configs::{Change, Kind, alter, describe};
use crate::kafka::failure::Failure;
use crate::kafka::quotas::Whose;
use acme_types::Diagnostic;
use clap::{Args, Subcommand};
use std::process::ExitCode;

#[derive(Args)]
#[command(disable_help_subcommand = true)]
pub(super) struct Configs {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    cluster: Cluster,
    #[command(flatten)]
    printed: Printed,
}

#[derive(Subcommand)]
enum Action {
    /// Show what is set, and where it comes from.
    Describe {
        /// topics, brokers, broker-loggers, groups, client-metrics, users, clients or ips.
        kind: String,
        /// Its name; all without it.
        name: Option<String>,
        /// What is set for all that have nothing of their own.
        #[arg(long, conflicts_with = "name")]
        default: bool,
        /// What comes from elsewhere, too.
        #[arg(long)]
        all: bool,
    },
    /// Change settings.
    Alter {
        /// topics, brokers, broker-loggers, groups, client-metrics, users, clients or ips.
        kind: String,
        /// Its name.
        name: Option<String>,
        /// For all that have nothing of their own.
        #[arg(long, conflicts_with = "name")]
        default: bool,
        /// A setting, such as retention.ms=604800000.
        #[arg(long, value_name = "NAME=VALUE")]
        config: Vec<String>,
        /// A setting to be as if nobody had set it.
        #[arg(long, value_name = "NAME")]
        delete_config: Vec<String>,
    },
}

impl Configs {
    pub(super) fn execute(self) -> Result<ExitCode, Vec<Diagnostic>> {
        let as_json = self.printed.as_json();
        finish(on_cluster(&self.cluster.or_own_log(), "acme-configs", async |client| match self.action {
            Action::Describe { kind, name, default, all } => {
                describe(client, &whose(&kind, name, default)?, all, as_json).await
            }
            Action::Alter { kind, name, default, config, delete_config } => {
                let whose = whose(&kind, name, default)?;
                if whose[0].1.is_none() {
                    let help = "give its name, or --default";
                    return Err(Failure::missing(format!("which of the {kind} is meant is missing"), help));
                }
                let mut change = Change { delete: delete_config, ..Change::default() };
                for setting in &config {
                    let Some((name, value)) = setting.split_once('=') else {
                        let said = format!("\"{setting}\" is not NAME=VALUE");
                        return Err(Failure::user(said, "write it as retention.ms=604800000"));
                    };
                    change.set(name.trim(), value.trim())?;
                }
                if change.add.is_empty() && change.delete.is_empty() {
                    return Err(Failure::user("nothing is to be changed", "add --config or --delete-config"));
                }
                alter(client, &whose, &change, as_json).await
            }
        }))
    }
}

fn whose(kind: &str, name: Option<String>, default: bool) -> Result<Whose, Failure> {
    let Some(found) = Kind::named(kind) else {
        let names = Kind::ALL.map(Kind::name);
        let near = acme_spec::nearest(kind, names);
        let help = near.map_or_else(
            || format!("use one of {}", names.join(", ")),
            |near| format!("did you mean \"{near}\"?"),
        );
        return Err(Failure::user(format!("\"{kind}\" is nothing that has settings"), help));
    };
    if default && !matches!(found, Kind::Brokers | Kind::Users | Kind::Clients | Kind::Ips) {
        let said = format!("{kind} have no defaults that are set while the cluster runs");
        return Err(Failure::user(said, "leave --default out"));
    }
    Ok(vec![(found, name.or(default.then(String::new)))])
}
