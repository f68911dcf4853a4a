//! `acme slots [FILE…]`: replication slots, whose they are, and how much log they hold back.

use super::run::runtime;
use super::status::Output;
use super::{note, print, print_all};
use crate::remains::Left;
use crate::state::Known;
use crate::table::{render, size};
use acme_types::{Diagnostic, codes};
use clap::Args;
use connector_postgres::{Remains, SlotInfo};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Args)]
#[command(
    after_help = "A slot makes its server keep all log that was not read through it. One that nobody reads any \
more fills the server's disk: `acme decommission` removes the slot of a pipeline that goes for good. An orphan looks \
like a slot of Acme, and no pipeline on this machine reads it."
)]
pub(super) struct Slots {
    /// Pipeline files whose servers are asked; without any, those of all pipelines that have state on this machine.
    files: Vec<String>,
    /// Ask this server: postgres://USER:PASSWORD@HOST:PORT/DATABASE.
    #[arg(long, value_name = "URL", conflicts_with = "files")]
    connection: Option<String>,
    /// How it is printed.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// One slot as it is printed.
#[derive(Serialize)]
struct Line {
    server: String,
    #[serde(flatten)]
    info: SlotInfo,
    /// The pipeline that it belongs to.
    pipeline: Option<String>,
    orphan: bool,
}

/// The pipelines that are known.
#[derive(Default)]
struct Owners {
    /// By slot.
    pipelines: BTreeMap<String, String>,
    /// Slots that a state on this machine needs.
    needed: BTreeSet<String>,
}

/// What is to be asked.
#[derive(Default)]
struct Servers {
    /// By host and port.
    servers: BTreeMap<String, Remains>,
    owners: Owners,
    /// What could not be read.
    faults: Vec<Diagnostic>,
}

impl Servers {
    fn add(&mut self, sources: impl IntoIterator<Item = Remains>) {
        for remains in sources {
            self.servers.entry(remains.server()).or_insert(remains);
        }
    }
}

impl Owners {
    fn add(&mut self, left: &Left) {
        for slot in left.slots().into_iter().chain(left.splits.iter().cloned()) {
            if left.has_state {
                self.needed.insert(slot.clone());
            }
            self.pipelines.insert(slot, left.name.clone());
        }
    }

    fn line(&self, server: &str, info: SlotInfo) -> Line {
        let pipeline = self.pipelines.get(&info.slot).cloned();
        let ours = pipeline.is_some() || info.slot.starts_with("acme_");
        let orphan = ours && !self.needed.contains(&info.slot);
        Line { server: server.to_owned(), info, pipeline, orphan }
    }
}

impl Slots {
    pub(super) fn execute(self) -> Result<(), Vec<Diagnostic>> {
        let Servers { servers, owners, mut faults } = self.servers()?;
        if servers.is_empty() {
            if faults.is_empty() {
                let message = "no pipeline with a replication slot has state on this machine";
                let help = "name pipeline files, or a server with --connection";
                faults.push(Diagnostic::new(&codes::NOT_RUNNING, message).help(help));
            }
            return Err(faults);
        }
        let runtime = runtime().map_err(|diagnostic| vec![diagnostic])?;
        let mut lines = Vec::new();
        for (server, remains) in &servers {
            match runtime.block_on(remains.list()) {
                Ok(slots) => lines.extend(slots.into_iter().map(|info| owners.line(server, info))),
                Err(fault) => faults.push(fault),
            }
        }
        self.show(&servers, &lines);
        if faults.iter().all(|fault| fault.warning) {
            print_all(&faults);
            return Ok(());
        }
        Err(faults)
    }

    fn servers(&self) -> Result<Servers, Vec<Diagnostic>> {
        let mut all = Servers::default();
        for (name, known) in Known::all() {
            let ask = self.files.is_empty() && self.connection.is_none();
            match Left::of_name(&name, &known) {
                Ok(left) => {
                    all.owners.add(&left);
                    all.add(left.sources.into_iter().filter(|_| ask));
                }
                Err(found) => {
                    // Its file is gone or wrong, but its state says what it needs.
                    if let Ok(left) = Left::of_state(&name, &known) {
                        all.owners.add(&left);
                    }
                    let as_warning = |fault| Diagnostic { warning: true, ..fault };
                    all.faults.extend(found.into_iter().filter(|_| ask).map(as_warning));
                }
            }
        }
        for file in &self.files {
            match Left::of_file(file) {
                Ok(left) => {
                    all.owners.add(&left);
                    all.add(left.sources);
                }
                Err(found) => all.faults.extend(found),
            }
        }
        if let Some(url) = &self.connection {
            all.add([Remains::at(url).map_err(|diagnostic| vec![diagnostic])?]);
        }
        Ok(all)
    }

    fn show(&self, servers: &BTreeMap<String, Remains>, lines: &[Line]) {
        if self.output == Output::Json {
            return print(&format!("{:#}\n", serde_json::json!(lines)));
        }
        for server in servers.keys() {
            if servers.len() > 1 {
                print(&format!("{server}\n"));
            }
            let rows: Vec<_> = lines.iter().filter(|line| line.server == *server).map(row).collect();
            print(&render(&["Slot", "Database", "Pipeline", "Active", "Retained", "Status"], &[], &rows));
        }
        for line in lines.iter().filter(|line| line.orphan) {
            note(&format!(
                "{0}: no pipeline on this machine reads it; if none elsewhere does: SELECT pg_drop_replication_slot('{0}');\n",
                line.info.slot
            ));
        }
    }
}

fn row(line: &Line) -> Vec<String> {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let pipeline = match (&line.pipeline, line.orphan) {
        (Some(pipeline), true) => format!("{pipeline} (orphan)"),
        (None, true) => "orphan".to_owned(),
        (pipeline, false) => or_dash(pipeline.clone()),
    };
    vec![
        line.info.slot.clone(),
        or_dash(line.info.database.clone()),
        pipeline,
        if line.info.active { "yes" } else { "no" }.to_owned(),
        or_dash(line.info.retained_bytes.map(size)),
        or_dash(line.info.wal_status.clone()),
    ]
}
