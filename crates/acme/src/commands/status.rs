//! `acme status`: what runs on this machine, and what should run but failed.

use super::{is_printed, print};
use crate::control::{self, Split, Status};
use crate::state;
use crate::table::{duration, render, short_time};
use acme_types::Diagnostic;
use clap::{Args, ValueEnum};
use std::io::IsTerminal;
use std::time::Duration;

/// The least widths of the columns.
const WIDTHS: [usize; 5] = [14, 8, 9, 8, 9];

#[derive(Args)]
pub(super) struct StatusOf {
    /// Only pipelines in streaming mode.
    #[arg(long)]
    streaming: bool,
    /// Show it again every second; with `--output json` a line each.
    #[arg(long)]
    watch: bool,
    /// How it is printed.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Table,
    /// For programs.
    Json,
}

impl StatusOf {
    #[expect(clippy::disallowed_methods, reason = "a command that waits for nothing but the next second")]
    pub(super) fn execute(self) -> Result<(), Vec<Diagnostic>> {
        loop {
            let text = self.text();
            if !self.watch {
                print(&text);
                return Ok(());
            }
            // On a terminal each takes the place of the one before.
            let clear = if std::io::stdout().is_terminal() { "\x1b[H\x1b[2J" } else { "" };
            if !is_printed(&format!("{clear}{text}")) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_secs(1));
        }
    }

    fn text(&self) -> String {
        let mut all: Vec<Status> = control::running().into_iter().map(|(_, status)| status).collect();
        all.extend(state::failed(&all.iter().map(|status| &*status.name).collect::<Vec<_>>()));
        all.retain(|status| !self.streaming || status.mode == "streaming");
        if self.output == Output::Json {
            let all = serde_json::json!(all);
            return if self.watch { format!("{all}\n") } else { format!("{all:#}\n") };
        }
        let rows: Vec<Vec<String>> = all.iter().map(row).collect();
        let table = render(&["Pipeline", "Status", "Rows/sec", "Lag", "Uptime"], &WIDTHS, &rows);
        let workers: Vec<Vec<String>> = all.iter().flat_map(workers).collect();
        match workers.is_empty() {
            true => table,
            false => {
                let headers = ["Pipeline", "Worker", "Partition", "Offset", "Log end", "Lag", "Time lag"];
                table + &render(&headers, &[14, 7, 14], &workers)
            }
        }
    }
}

/// What a worker of a group reads; one that has nothing to read is shown too.
fn workers(status: &Status) -> Vec<Vec<String>> {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let line = |split: Option<&Split>| {
        let number = |of: fn(&Split) -> u64| or_dash(split.map(|split| of(split).to_string()));
        vec![
            status.name.clone(),
            status.pid.to_string(),
            or_dash(split.map(|split| split.split.clone())),
            number(|split| split.offset),
            number(|split| split.end),
            number(|split| split.lag_records),
            or_dash(split.and_then(|split| split.lag_ms).map(|ms| short_time(ms * 1000))),
        ]
    };
    match &status.splits {
        None => Vec::new(),
        Some(splits) if splits.is_empty() => vec![line(None)],
        Some(splits) => splits.iter().map(|split| line(Some(split))).collect(),
    }
}

fn row(status: &Status) -> Vec<String> {
    let alive = status.status != "failed";
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    vec![
        status.name.clone(),
        status.status.clone(),
        or_dash(alive.then(|| format!("{:.1}", status.rows_per_second))),
        or_dash(status.lag_us.filter(|_| alive).map(short_time)),
        or_dash(alive.then(|| duration(status.uptime_seconds))),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_the_guides() {
        let status = Status {
            name: "realtime-users".to_owned(),
            status: "running".to_owned(),
            mode: "streaming".to_owned(),
            pid: 1,
            uptime_seconds: 3 * 86_400 + 14 * 3600,
            rows_per_second: 45.2,
            lag_us: Some(12_000),
            rows_in: 0,
            rows_out: 0,
            failed_rows: 0,
            retries: 0,
            commits: 0,
            read_rows: None,
            expected_rows: None,
            read_bytes: None,
            expected_bytes: None,
            seconds_left: None,
            splits: None,
        };
        let table = render(&["Pipeline", "Status", "Rows/sec", "Lag", "Uptime"], &WIDTHS, &[row(&status)]);
        assert_eq!(
            table,
            "\
┌────────────────┬──────────┬───────────┬──────────┬───────────┐
│ Pipeline       │ Status   │ Rows/sec  │ Lag      │ Uptime    │
├────────────────┼──────────┼───────────┼──────────┼───────────┤
│ realtime-users │ running  │ 45.2      │ 12ms     │ 3d 14h    │
└────────────────┴──────────┴───────────┴──────────┴───────────┘
"
        );
    }
}
