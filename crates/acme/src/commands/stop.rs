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
    #[expect(clippy::disallowed_methods, reason = "a command that waits for another process")]
    pub(super) fn execute(self) -> Result<(), Vec<Diagnostic>> {
        let runs: Vec<_> = running().into_iter().filter(|(_, status)| status.name == self.name).collect();
        if runs.is_empty() {
            let message = format!("no pipeline \"{}\" is running", self.name);
            return Err(vec![
                Diagnostic::new(&codes::NOT_RUNNING, message).help("`acme status` lists what runs"),
            ]);
        }
        for (socket, _) in &runs {
            // One that ends in this moment has nothing left to be asked.
            let _ = ask(socket, "stop");
        }
        let polls = u128::from(self.timeout) * 1000 / POLL.as_millis();
        for _ in 0..=polls {
            if runs.iter().all(|(socket, _)| !socket.exists()) {
                return Ok(());
            }
            std::thread::sleep(POLL);
        }
        let message = format!("\"{}\" has not ended after {} s", self.name, self.timeout);
        let help = "its destinations may be unreachable; a second SIGTERM ends it at once and loses nothing";
        Err(vec![Diagnostic::new(&codes::CONNECT, message).help(help)])
    }
}
