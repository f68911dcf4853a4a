//! `acme kafka-configs`: the command of Kafka's distribution, word for word.

use super::tools::{Printed, finish_on_stderr, misuse, on_cluster};
use crate::kafka::configs::{Change, Kind, alter, describe};
use crate::kafka::failure::Failure;
use crate::kafka::quotas::Whose;
use crate::kafka::{Cluster, file};
use clap::{ArgAction, ArgMatches, Args, Command, FromArgMatches};
use std::net::ToSocketAddrs;
use std::process::ExitCode;

const TOOL: &str = "kafka-configs";

#[derive(Args)]
pub(super) struct KafkaConfigs {
    #[command(flatten)]
    cluster: Cluster,
    #[command(flatten)]
    printed: Printed,
    /// Has no meaning here: controllers are asked through the brokers.
    #[arg(long, value_name = "SERVERS")]
    bootstrap_controller: Option<String>,
    /// Show settings.
    #[arg(long)]
    describe: bool,
    /// Change settings.
    #[arg(long)]
    alter: bool,
    /// Show also what comes from elsewhere.
    #[arg(long)]
    all: bool,
    /// What has the settings: topics, clients, users, brokers, broker-loggers, ips, client-metrics or groups.
    #[arg(long, value_name = "TYPE")]
    entity_type: Vec<String>,
    #[command(flatten)]
    names: Names,
    /// Settings to set: k1=v1,k2=[v1,v2],k3=v3.
    #[arg(long, value_name = "SETTINGS")]
    add_config: Option<String>,
    /// A file of properties to set.
    #[arg(long, value_name = "FILE")]
    add_config_file: Option<String>,
    /// Settings to take away: k1,k2.
    #[arg(long, value_name = "NAMES")]
    delete_config: Vec<String>,
    #[command(flatten)]
    flags: Flags,
}

/// One option for each kind of entity.
#[derive(Args)]
struct Flags {
    /// A topic.
    #[arg(long)]
    topic: Option<String>,
    /// A client's id.
    #[arg(long)]
    client: Option<String>,
    /// What holds for clients without settings of their own.
    #[arg(long)]
    client_defaults: bool,
    /// A user.
    #[arg(long)]
    user: Option<String>,
    /// What holds for users without settings of their own.
    #[arg(long)]
    user_defaults: bool,
    /// A broker's id.
    #[arg(long)]
    broker: Option<String>,
    /// What holds for brokers without settings of their own.
    #[arg(long)]
    broker_defaults: bool,
    /// The id of a broker whose loggers are meant.
    #[arg(long)]
    broker_logger: Option<String>,
    /// An address.
    #[arg(long)]
    ip: Option<String>,
    /// What holds for addresses without settings of their own.
    #[arg(long)]
    ip_defaults: bool,
    /// A group's id.
    #[arg(long)]
    group: Option<String>,
    /// A resource of client metrics.
    #[arg(long)]
    client_metrics: Option<String>,
}

impl Flags {
    /// Kinds and names; the empty name is the default.
    fn given(&self) -> Whose {
        let named = [
            (Kind::Topics, &self.topic),
            (Kind::Clients, &self.client),
            (Kind::Users, &self.user),
            (Kind::Brokers, &self.broker),
            (Kind::BrokerLoggers, &self.broker_logger),
            (Kind::Ips, &self.ip),
            (Kind::ClientMetrics, &self.client_metrics),
            (Kind::Groups, &self.group),
        ];
        let defaults = [
            (Kind::Clients, self.client_defaults),
            (Kind::Users, self.user_defaults),
            (Kind::Brokers, self.broker_defaults),
            (Kind::Ips, self.ip_defaults),
        ];
        let named = named.into_iter().filter_map(|(kind, name)| Some((kind, Some(name.clone()?))));
        let defaults = defaults.into_iter().filter(|(_, given)| *given);
        named.chain(defaults.map(|(kind, _)| (kind, Some(String::new())))).collect()
    }
}

/// `--entity-name` and `--entity-default` in the order given, in which they belong to `--entity-type`.
struct Names(Vec<String>);

impl Args for Names {
    fn augment_args(command: Command) -> Command {
        let name = clap::Arg::new("entity-name").long("entity-name").value_name("NAME");
        let default =
            clap::Arg::new("entity-default").long("entity-default").num_args(0).default_missing_value("");
        command
            .arg(name.action(ArgAction::Append).help("The name of what has the settings"))
            .arg(default.action(ArgAction::Append).help("What holds for those without settings of their own"))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Names {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut names: Vec<(usize, String)> = Vec::new();
        for id in ["entity-name", "entity-default"] {
            let given = matches.get_many::<String>(id).into_iter().flatten().cloned();
            names.extend(matches.indices_of(id).into_iter().flatten().zip(given));
        }
        names.sort();
        Ok(Self(names.into_iter().map(|(_, name)| name).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl KafkaConfigs {
    pub(super) fn execute(self) -> ExitCode {
        let whose = match self.check() {
            Ok(whose) => whose,
            Err(said) => return misuse(TOOL, &said),
        };
        let result = self.change().and_then(|change| {
            let as_json = self.printed.as_json();
            on_cluster(&self.cluster, "acme-configs", async |client| {
                if self.describe {
                    describe(client, &whose, self.all, as_json).await
                } else {
                    alter(client, &whose, &change, as_json).await
                }
            })
        });
        finish_on_stderr(result, |failure| match failure.exception {
            None => failure.said.clone(),
            // What the cluster has said.
            Some(_) => {
                let words = words();
                format!(
                    "Error while executing config command with args '{words}'\n{}",
                    failure.with_exception()
                )
            }
        })
    }

    fn change(&self) -> Result<Change, Failure> {
        let mut change = Change::default();
        if let Some(path) = &self.add_config_file {
            for (name, value) in file(path)? {
                change.set(&name, &value)?;
            }
        }
        if let Some(text) = &self.add_config {
            change.add(text)?;
        }
        let deleted = self.delete_config.iter().flat_map(|text| text.split(','));
        change.delete = deleted.map(|name| name.trim().to_owned()).collect();
        Ok(change)
    }

    /// Whose settings are meant, and which options go together.
    fn check(&self) -> Result<Whose, String> {
        if self.describe == self.alter {
            return Err("Command must include exactly one action: --describe, --alter".to_owned());
        }
        let adds =
            [("add-config", self.add_config.is_some()), ("delete-config", !self.delete_config.is_empty())];
        if let Some((option, _)) = adds.iter().find(|(_, given)| self.describe && *given) {
            return Err(format!("Option \"[describe]\" can't be used with option \"[{option}]\""));
        }
        match (&self.cluster.bootstrap_server, &self.bootstrap_controller) {
            (Some(_), None) => {}
            (None, None) => {
                return Err(
                    "Either --bootstrap-server or --bootstrap-controller must be specified.".to_owned()
                );
            }
            (Some(_), Some(_)) => {
                let said = "Only one of --bootstrap-server or --bootstrap-controller can be specified";
                return Err(said.to_owned());
            }
            (None, Some(_)) => {
                return Err(
                    "--bootstrap-controller is not understood here: name brokers with --bootstrap-server"
                        .to_owned(),
                );
            }
        }
        let whose = self.whose()?;
        let kinds: Vec<&str> = whose.iter().map(|(kind, _)| kind.name()).collect();
        self.check_names(&whose, &kinds.join(","))?;
        if self.alter && whose.iter().any(|(_, name)| name.is_none()) {
            return Err("An entity name must be specified for every entity type".to_owned());
        }
        Ok(whose)
    }

    fn whose(&self) -> Result<Whose, String> {
        let flags = self.flags.given();
        let mut kinds = Vec::new();
        for text in &self.entity_type {
            let kind = Kind::named(text).ok_or_else(|| {
                let known = Kind::ALL.map(Kind::name).join(", ");
                let with = "with a --bootstrap-server or --bootstrap-controller argument";
                format!("Invalid entity type {text}, the entity type must be one of {known} {with}")
            })?;
            kinds.push(kind);
        }
        kinds.extend(flags.iter().map(|(kind, _)| *kind));
        let mut sorted = kinds.clone();
        sorted.sort_unstable();
        if let Some(twice) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(format!("Duplicate entity type(s) specified: {}", twice[0].name()));
        }
        if kinds.is_empty() {
            return Err("At least one entity type must be specified".to_owned());
        }
        if kinds.len() > 1 && sorted != [Kind::Clients, Kind::Users] {
            return Err("Only 'users' and 'clients' entity types may be specified together".to_owned());
        }
        let by_type = !self.entity_type.is_empty() || !self.names.0.is_empty();
        if !flags.is_empty() && by_type {
            let said =
                "--entity-{type,name,default} should not be used in conjunction with specific entity flags";
            return Err(said.to_owned());
        }
        if !flags.is_empty() {
            return Ok(flags);
        }
        if self.names.0.len() > kinds.len() {
            return Err("More entity names specified than entity types".to_owned());
        }
        let mut names = self.names.0.iter().cloned();
        Ok(kinds.into_iter().map(|kind| (kind, names.next())).collect())
    }

    fn check_names(&self, whose: &Whose, kinds: &str) -> Result<(), String> {
        for (kind, name) in whose {
            let Some(name) = name.as_deref().filter(|name| !name.is_empty()) else { continue };
            let is_broker = matches!(kind, Kind::Brokers | Kind::BrokerLoggers);
            if is_broker && name.parse::<i32>().is_err() {
                let kind = kind.name();
                return Err(format!(
                    "The entity name for {kind} must be a valid integer broker id, but it is: {name}"
                ));
            }
            if *kind == Kind::Ips && (name, 0).to_socket_addrs().is_err() {
                return Err(format!(
                    "The entity name for ips must be a valid IP or resolvable host, but it is: {name}"
                ));
            }
        }
        let has = |some: &[Kind]| whose.iter().any(|(kind, _)| some.contains(kind));
        let has_defaults = has(&[Kind::Users, Kind::Clients, Kind::Brokers, Kind::Ips]);
        let names = || whose.iter().filter_map(|(_, name)| name.as_deref());
        let (has_name, has_default) = (names().any(|it| !it.is_empty()), names().any(str::is_empty));
        if self.describe {
            if has_default && !has_defaults {
                return Err(format!("--entity-default must not be specified with --describe of {kinds}"));
            }
            if has(&[Kind::BrokerLoggers]) && !has_name {
                return Err(format!("An entity name must be specified with --describe of {kinds}"));
            }
            return Ok(());
        }
        if has_defaults && !has_name && !has_default {
            let said = "An entity-name or default entity must be specified with --alter of users, clients, brokers or ips";
            return Err(said.to_owned());
        }
        if !has_defaults && !has_name {
            return Err(format!("An entity name must be specified with --alter of {kinds}"));
        }
        if self.add_config.is_some() && self.add_config_file.is_some() {
            return Err("Only one of --add-config or --add-config-file must be specified".to_owned());
        }
        if self.add_config.is_none() && self.add_config_file.is_none() && self.delete_config.is_empty() {
            let said = "At least one of --add-config, --add-config-file, or --delete-config must be specified with --alter";
            return Err(said.to_owned());
        }
        Ok(())
    }
}

/// The words of the command line, without passwords.
fn words() -> String {
    let words = std::env::args().skip(1).filter(|word| word != TOOL);
    let hidden = words.map(|word| match word.split_once("password=") {
        Some((before, after)) => {
            let rest = after.find([',', ']']).map_or("", |at| &after[at..]);
            format!("{before}password=[hidden]{rest}")
        }
        None => word,
    });
    hidden.collect::<Vec<_>>().join(" ")
}
