//! `acme stop NAME`: commits what was read, then ends the run.

use crate::control::{ask, running};
use acme_types::{Diagnostic, codes};
use clap::Args;
use std::time::Duration;

#[derive(Args)]
pub(super) struct StopRun {
    /// The name of the pipeline.
    name: String,
    /// How many seconds to wait for the run to end.
    #[arg(long, default_value_t = 30)]
    timeout: u64,
}

/// How often is looked whether the run has ended.
const POLL: Duration = Duration::from_millis(50);

impl StopRun {
    pub(super) fn execute(self) -> Result<(), Vec<Diagnostic>> {
        if stop(&self.name, self.timeout).map_err(|diagnostic| vec![diagnostic])? {
            return Ok(());
        }
        let message = format!("no pipeline \"{}\" is running", self.name);
        Err(vec![Diagnostic::new(&codes::NOT_RUNNING, message).help("`acme status` lists what runs")])
    }
}

/// Stops every run of that name and waits for its end; `false` where there is none.
#[expect(clippy::disallowed_methods, reason = "a command that waits for another process")]
pub(super) fn stop(name: &str, timeout: u64) -> Result<bool, Diagnostic> {
    let runs: Vec<_> = running().into_iter().filter(|(_, status)| status.name == name).collect();
    for (socket, _) in &runs {
        // One that ends in this moment has nothing left to be asked.
        let _ = ask(socket, "stop");
    }
    let polls = u128::from(timeout) * 1000 / POLL.as_millis();
    for _ in 0..=polls {
        if runs.iter().all(|(socket, _)| !socket.exists()) {
            return Ok(!runs.is_empty());
        }
        std::thread::sleep(POLL);
    }
    let message = format!("\"{name}\" has not ended after {timeout} s");
    let help = "its destinations may be unreachable; a second SIGTERM ends it at once and loses nothing";
    Err(Diagnostic::new(&codes::CONNECT, message).help(help))
}
