//! What a pipeline has left behind: its state on this machine, and what its sources and destinations keep on their servers.

use crate::connectors::specs;
use crate::environment::ProcessEnvironment;
use crate::pipeline;
use crate::state::Known;
use acme_connect::{OsDisk, SystemClock};
use acme_flow::checkpoint::{Chain, LocalStore};
use acme_spec::parse;
use acme_types::{Diagnostic, Positions, codes};
use connector_postgres::Remains;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A pipeline, as far as it can be found.
pub(crate) struct Left {
    pub(crate) name: String,
    /// Where its checkpoints lie.
    pub(crate) checkpoints: PathBuf,
    /// Its sources that keep something on a server.
    pub(crate) sources: Vec<Remains>,
    /// Its destinations that may have a topic of Acme's own on their clusters.
    pub(crate) topics: Vec<connector_kafka::Remains>,
    /// What its committed positions call their splits; of a replication slot, its name.
    pub(crate) splits: Vec<String>,
    /// It has state here.
    pub(crate) has_state: bool,
}

impl Left {
    /// Of a pipeline file.
    pub(crate) fn of_file(file: &str) -> Result<Self, Vec<Diagnostic>> {
        let text = pipeline::read(file)?;
        // Mistakes elsewhere in the file do not matter here.
        let (spec, faults) = parse(file, &text, &specs(), &ProcessEnvironment);
        let Some(spec) = spec else { return Err(faults) };
        let one = |diagnostic| vec![diagnostic];
        let checkpoints = pipeline::checkpoints(&spec);
        let positions = positions(&checkpoints).map_err(one)?;
        let clock = Arc::new(SystemClock::start());
        let mut sources = Vec::new();
        for item in &spec.sources {
            if std::ptr::eq(item.spec, connector_postgres::SOURCE.spec) {
                let context = pipeline::context(&spec, item, clock.clone(), &acme_connect::Notes::default());
                let known = positions.get(&item.name).cloned().unwrap_or_default();
                sources.extend(Remains::of(&item.config, &context, &known).map_err(one)?);
            }
        }
        let mut topics = Vec::new();
        for item in &spec.destinations {
            if std::ptr::eq(item.spec, connector_kafka::DESTINATION.spec) {
                let context = pipeline::context(&spec, item, clock.clone(), &acme_connect::Notes::default());
                topics.push(connector_kafka::Remains::of(&item.config, &context).map_err(one)?);
            }
        }
        let has_state = Known::of(&spec.name).is_some();
        Ok(Self { name: spec.name, checkpoints, sources, topics, splits: splits(&positions), has_state })
    }

    /// Of a name that has state here; without its file nothing is known of its servers.
    pub(crate) fn of_state(name: &str, known: &Known) -> Result<Self, Diagnostic> {
        let checkpoints = known.checkpoints.clone();
        let splits = splits(&positions(&checkpoints)?);
        let (sources, topics) = (Vec::new(), Vec::new());
        Ok(Self { name: name.to_owned(), checkpoints, sources, topics, splits, has_state: true })
    }

    /// By a name that has state here, with all that its file says.
    pub(crate) fn of_name(name: &str, known: &Known) -> Result<Self, Vec<Diagnostic>> {
        let file = known.file.to_string_lossy();
        if !known.file.is_file() {
            let message = format!("the file of pipeline \"{name}\" is not where it was: {file}");
            let help = "give the file instead of the name";
            return Err(vec![Diagnostic::new(&codes::FILE, message).help(help)]);
        }
        let left = Self::of_file(&file)?;
        if left.name == name {
            return Ok(left);
        }
        let message = format!("{file} holds pipeline \"{}\" now, not \"{name}\"", left.name);
        Err(vec![Diagnostic::new(&codes::FILE, message).help("give the file of the pipeline that is meant")])
    }

    /// Names of its replication slots.
    pub(crate) fn slots(&self) -> Vec<String> {
        let slots = self.sources.iter().flat_map(Remains::slots).map(str::to_owned);
        slots.collect()
    }
}

fn positions(checkpoints: &Path) -> Result<BTreeMap<String, Positions>, Diagnostic> {
    let peek = || {
        let store = LocalStore::new(Arc::new(OsDisk), checkpoints.to_owned(), String::new());
        Chain::peek(Arc::new(store))
    };
    // While the pipeline runs, what was listed may be gone a moment later.
    let found = peek().or_else(|_| peek())?;
    Ok(found.map(|checkpoint| checkpoint.sources).unwrap_or_default())
}

fn splits(positions: &BTreeMap<String, Positions>) -> Vec<String> {
    positions.values().flat_map(BTreeMap::keys).map(|split| split.0.clone()).collect()
}
