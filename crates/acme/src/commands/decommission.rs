//! `acme decommission NAME`: removes a pipeline for good.
//!
//! The order makes it repeatable: what is on servers goes first, the state, which says what that is, last.

use super::run::runtime;
use super::status::Output;
use super::stop::stop;
use super::{note, print};
use crate::remains::Left;
use crate::state::{self, Known, Lock};
use acme_connect::failpoint;
use acme_types::{Diagnostic, codes, disk_fault};
use clap::Args;
use connector_kafka::CommitTopic;
use connector_postgres::Remnant;
use std::io::{IsTerminal, Write};
use std::path::Path;

#[derive(Args)]
#[command(
    after_help = "Replication slots and publications are dropped only if Acme has created them, a publication only \
when no other slot may be read with it, a topic only if it is that of the pipeline's progress. What was delivered stays where it is. If it is interrupted, run it again."
)]
pub(super) struct Decommission {
    /// The name of the pipeline, or its file.
    pipeline: String,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    /// Remove the state even if the source's server cannot be reached or the pipeline file is gone; what is on the server
    /// stays there.
    #[arg(long)]
    force: bool,
    /// How many seconds to wait for a run to end.
    #[arg(long, default_value_t = 30)]
    timeout: u64,
    /// How it is printed.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

impl Decommission {
    pub(super) fn execute(self) -> Result<(), Vec<Diagnostic>> {
        let one = |diagnostic| vec![diagnostic];
        let left = self.find()?;
        let runtime = runtime().map_err(one)?;
        let leaving = left.slots();
        let (mut found, mut unreached) = (Vec::new(), Vec::new());
        let mut looked = |result: Result<Vec<Remnant>, Diagnostic>| match result {
            Ok(remnants) => {
                found.extend(remnants);
                Ok(())
            }
            Err(fault) if self.force => {
                unreached.push(Diagnostic { warning: true, ..fault });
                Ok(())
            }
            Err(fault) => {
                let help = "nothing was removed; --force removes the state and leaves the server as it is";
                let own = fault.help.as_ref().map_or_else(String::new, |help| format!("{help}; "));
                Err(vec![fault.help(format!("{own}{help}"))])
            }
        };
        for remains in &left.sources {
            looked(runtime.block_on(remains.look(&leaving)))?;
        }
        for remains in &left.topics {
            looked(runtime.block_on(remains.look()).map(remnants))?;
        }
        found.dedup_by(|one, other| (one.what, &one.name) == (other.what, &other.name));
        super::print_all(&unreached);
        self.ask(&left, &found)?;
        stop(&left.name, self.timeout).map_err(one)?;
        let directory = state::root().join(&left.name);
        // From here on it cannot be started.
        let _lock = Lock::take_soon(&directory, &left.name).map_err(one)?;
        failpoint("decommission.stopped");
        let mut done = Vec::new();
        for remains in &left.sources {
            match runtime.block_on(remains.remove(&leaving)) {
                Ok(remnants) => done.extend(remnants),
                Err(_) if self.force => {}
                Err(fault) => return Err(vec![fault]),
            }
        }
        for remains in &left.topics {
            match runtime.block_on(remains.remove()) {
                Ok(topic) => done.extend(remnants(topic)),
                Err(_) if self.force => {}
                Err(fault) => return Err(vec![fault]),
            }
        }
        failpoint("decommission.dropped");
        remove(&left.checkpoints).map_err(one)?;
        failpoint("decommission.checkpoints");
        state::forget(&directory).map_err(|error| vec![fault(&directory, &error)])?;
        self.report(&left, &done);
        Ok(())
    }

    /// By file or by name.
    fn find(&self) -> Result<Left, Vec<Diagnostic>> {
        let name = &self.pipeline;
        let Some(known) = Known::of(name) else {
            if Path::new(name).is_file() {
                return Left::of_file(name);
            }
            let message = format!("no pipeline \"{name}\" has state on this machine");
            let help = "give its file instead of its name, where nothing but its slot may be left";
            return Err(vec![Diagnostic::new(&codes::NOT_RUNNING, message).help(help)]);
        };
        match Left::of_name(name, &known) {
            Err(faults) if self.force => {
                super::print_all(
                    &faults
                        .into_iter()
                        .map(|fault| Diagnostic { warning: true, ..fault })
                        .collect::<Vec<_>>(),
                );
                let left = Left::of_state(name, &known);
                left.map_err(|fault| vec![fault])
            }
            left => left,
        }
    }

    /// Shows what will be done, and asks whether it shall.
    fn ask(&self, left: &Left, found: &[Remnant]) -> Result<(), Vec<Diagnostic>> {
        if self.yes {
            return Ok(());
        }
        note(&format!("pipeline \"{}\" is stopped, and this is removed for good:\n", left.name));
        found.iter().filter(|remnant| remnant.stays.is_none()).for_each(|remnant| {
            note(&format!("  {} \"{}\"\n", remnant.what, remnant.name));
        });
        note(&format!("  its state in {}\n", state::root().join(&left.name).display()));
        if !std::io::stdin().is_terminal() {
            let message = "nothing was removed: there is no terminal to ask on";
            return Err(vec![Diagnostic::new(&codes::CONFIRM, message).help("add --yes")]);
        }
        note("Remove it? [y/N] ");
        let _ = std::io::stderr().flush();
        let mut answer = String::new();
        let _ = std::io::stdin().read_line(&mut answer);
        if matches!(answer.trim(), "y" | "Y" | "yes") {
            return Ok(());
        }
        Err(vec![Diagnostic::new(&codes::CONFIRM, "nothing was removed")])
    }

    fn report(&self, left: &Left, done: &[Remnant]) {
        if self.output == Output::Json {
            let value = serde_json::json!({"pipeline": left.name, "remnants": done});
            return print(&format!("{value:#}\n"));
        }
        for Remnant { what, name, stays } in done {
            match stays {
                None => print(&format!("dropped {what} \"{name}\"\n")),
                Some(why) => print(&format!("left {what} \"{name}\": {why}\n")),
            }
        }
        print(&format!("removed the state of pipeline \"{}\"\n", left.name));
    }
}

/// A topic as what it is here.
fn remnants(topic: Option<CommitTopic>) -> Vec<Remnant> {
    let remnant = |CommitTopic { name, stays }| Remnant { what: "topic", name, stays };
    topic.map(remnant).into_iter().collect()
}

/// Removes a directory; one that is not there is no error.
fn remove(directory: &Path) -> Result<(), Diagnostic> {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(fault(directory, &error)),
        _ => Ok(()),
    }
}

fn fault(directory: &Path, error: &std::io::Error) -> Diagnostic {
    disk_fault(&format!("remove {}", directory.display()), error).help("remove it, or run this again")
}
