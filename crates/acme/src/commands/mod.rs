//! The commands: one file each.

mod decommission;
mod dry_run;
mod error;
mod explain;
mod json_schema;
mod run;
mod slots;
mod status;
mod stop;
mod validate;

use acme_types::{Blame, Diagnostic};
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Real-time data in one binary: pipelines from sources through transforms to destinations.
#[derive(Parser)]
#[command(name = "acme", version, about, disable_help_subcommand = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a pipeline file until it ends or is stopped.
    Run(run::Run),
    /// Check pipeline files without running them.
    Validate(validate::Validate),
    /// Show what runs on this machine.
    Status(status::StatusOf),
    /// Commit what was read, then end a running pipeline.
    Stop(stop::StopRun),
    /// Remove a pipeline for good: its run, what it created on its source's server, its state.
    Decommission(decommission::Decommission),
    /// Show the replication slots of PostgreSQL servers, whose they are, and how much log they hold back.
    Slots(slots::Slots),
    /// Show what a pipeline does: its graph, what each step reads and keeps, what is guaranteed.
    Explain(explain::Explain),
    /// Print the JSON Schema of pipeline files, for editors.
    JsonSchema,
    /// Explain an error code.
    Error(error::ErrorPage),
}

/// Runs the chosen command: exit code 0 for success, 1 for a failure, 2 for a mistake of the user.
pub fn dispatch(cli: Cli) -> ExitCode {
    let result = match cli.command {
        Command::Run(run) => run.execute(),
        Command::Validate(validate) => validate.execute(),
        Command::Status(status) => status.execute(),
        Command::Stop(stop) => stop.execute(),
        Command::Decommission(decommission) => decommission.execute(),
        Command::Slots(slots) => slots.execute(),
        Command::Explain(explain) => explain.execute(),
        Command::JsonSchema => json_schema::execute(),
        Command::Error(page) => page.execute(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(diagnostics) => {
            let user = diagnostics.iter().all(|it| it.warning || it.blame == Blame::User);
            print_all(&diagnostics);
            ExitCode::from(if user { 2 } else { 1 })
        }
    }
}

#[expect(clippy::print_stderr, reason = "the one place where errors are printed")]
fn print_all(diagnostics: &[Diagnostic]) {
    // Nobody reads more, and a file that is no pipeline at all may be wrong in every line.
    const SHOWN_MAX: usize = 50;
    for diagnostic in diagnostics.iter().take(SHOWN_MAX) {
        eprintln!("{diagnostic}");
    }
    if let Some(more) = diagnostics.len().checked_sub(SHOWN_MAX + 1) {
        eprintln!("and {} more", more + 1);
    }
}

/// Writes a command's result to standard output.
fn print(text: &str) {
    use std::io::Write;
    // A reader that has gone away wants no more.
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

/// Writes progress to standard error, which leaves standard output to the rows.
fn note(text: &str) {
    use std::io::Write;
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}
