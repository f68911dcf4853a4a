//! What the commands for Kafka share: connecting, printing, and the manners of Kafka's own tools.

use super::run::runtime;
use super::status::Output;
use super::{note, print};
use crate::kafka::failure::Failure;
use crate::kafka::{Cluster, Said, connect};
use acme_kafka::Client;
use acme_kafka::properties::Settings;
use acme_types::Diagnostic;
use clap::Args;
use std::process::ExitCode;

/// How the result is printed.
#[derive(Args, Clone, Copy)]
pub(super) struct Printed {
    /// How it is printed: as a table like Kafka's own, or for programs.
    #[arg(long, value_enum, default_value_t = Output::Table, global = true)]
    pub(super) output: Output,
}

impl Printed {
    pub(super) fn as_json(self) -> bool {
        self.output == Output::Json
    }
}

/// Runs an operation on a cluster to its end.
pub(super) fn on_cluster(
    cluster: &Cluster,
    client_id: &str,
    work: impl AsyncFnOnce(&Client) -> Result<Said, Failure>,
) -> Result<Said, Failure> {
    runtime().map_err(|fault| Failure::user(fault.message, "try it again"))?.block_on(async {
        let (client, settings) = connect(&cluster.properties()?, client_id).await?;
        tell(&settings);
        work(&client).await
    })
}

/// Says which properties were accepted and mean nothing here.
pub(super) fn tell(settings: &Settings) {
    settings.notes.iter().for_each(|said| note(&format!("note: {said}\n")));
}

fn show(said: &Said) {
    // The order in which a person reads it.
    note(&said.err);
    print(&said.out);
}

/// The result in the manner of Acme.
pub(super) fn finish(result: Result<Said, Failure>) -> Result<ExitCode, Vec<Diagnostic>> {
    let said = result.map_err(|failure| vec![failure.diagnostic()])?;
    show(&said);
    Ok(if said.failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The result in the manner of Kafka's tools: errors are on standard output, behind these words, and what to do is on
/// standard error.
pub(super) fn finish_as_kafka(
    result: Result<Said, Failure>,
    error: impl FnOnce(&Failure) -> String,
) -> ExitCode {
    match result {
        Ok(said) => {
            show(&said);
            if said.failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
        }
        Err(failure) => {
            print(&format!("{}\n", error(&failure)));
            if let Some(help) = &failure.help {
                note(&format!("help: {help}\n"));
            }
            ExitCode::FAILURE
        }
    }
}

/// The result in the manner of Kafka's newer tools: errors are on standard error, in these words.
pub(super) fn finish_on_stderr(
    result: Result<Said, Failure>,
    error: impl FnOnce(&Failure) -> String,
) -> ExitCode {
    match result {
        Ok(said) => {
            show(&said);
            if said.failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
        }
        Err(failure) => {
            let help = failure.help.as_ref().map(|help| format!("help: {help}\n"));
            note(&format!("{}\n{}", error(&failure), help.unwrap_or_default()));
            ExitCode::FAILURE
        }
    }
}

/// Says which option is missing, in the words of Kafka's tools.
pub(super) fn require(options: &[(&str, bool)]) -> Result<(), String> {
    match options.iter().find(|(_, given)| !given) {
        None => Ok(()),
        Some((name, _)) => Err(format!("Missing required argument \"[{name}]\"")),
    }
}

/// The same in the words of those that read their options as Python's tools do.
pub(super) fn require_in(tool: &str, options: &[(&str, bool)]) -> Result<(), String> {
    match options.iter().find(|(_, given)| !given) {
        None => Ok(()),
        Some((name, _)) => Err(format!("{tool}: error: argument --{name} is required")),
    }
}

/// A mistake in the options: one sentence, and where all options are.
pub(super) fn misuse(tool: &str, said: &str) -> ExitCode {
    note(&format!("{said}\nhelp: `acme {tool} --help` shows all options\n"));
    ExitCode::FAILURE
}

/// Takes what an option was given under its former name, and says so.
pub(super) fn renamed(
    old: &mut Vec<String>,
    new: &mut Vec<String>,
    (name, instead): (&str, &str),
    deprecated: fn(&str, &str),
) -> Result<(), String> {
    if old.is_empty() {
        return Ok(());
    }
    if !new.is_empty() {
        return Err(format!("Options --{name} and --{instead} cannot be specified together."));
    }
    deprecated(name, instead);
    *new = std::mem::take(old);
    Ok(())
}

/// The same for the file of the cluster's properties.
pub(super) fn renamed_file(
    old: &mut Option<String>,
    cluster: &mut Cluster,
    name: &str,
    deprecated: fn(&str, &str),
) -> Result<(), String> {
    let Some(file) = old.take() else { return Ok(()) };
    if cluster.command_config.is_some() {
        return Err(format!("Options --{name} and --command-config cannot be specified together."));
    }
    deprecated(name, "command-config");
    cluster.command_config = Some(file);
    Ok(())
}
