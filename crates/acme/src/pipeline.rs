//! From a file to a job: read, check, plan, make the connectors.

use crate::connectors::{CONNECTORS, specs};
use crate::environment::ProcessEnvironment;
use crate::state;
use acme_connect::{Connector, Context, Maker, OsDisk, SinkParts, SourceParts, SystemClock};
use acme_flow::Stats;
use acme_flow::checkpoint::{Chain, LocalStore, Writer};
use acme_flow::driver::{Job, JobSink, JobSource, Policy};
use acme_plan::{DestinationInfo, Plan, plan};
use acme_spec::{ErrorPolicy, Item, Mode, PipelineSpec, parse};
use acme_types::{Clock, Diagnostic, Spec, codes};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A pipeline that has passed every check that needs no connection.
pub(crate) struct Pipeline {
    pub(crate) spec: PipelineSpec,
    pub(crate) plan: Plan,
    sources: Vec<SourceParts>,
    sinks: Vec<SinkParts>,
    pub(crate) warnings: Vec<Diagnostic>,
    clock: Arc<dyn Clock>,
}

/// Reads and checks a file; on errors everything that was found.
pub(crate) fn load(path: &str) -> Result<Pipeline, Vec<Diagnostic>> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| vec![Diagnostic::new(&codes::FILE, format!("cannot read {path}: {error}"))])?;
    let (spec, mut found) = parse(path, &text, &specs(), &ProcessEnvironment);
    let Some(spec) = spec else { return Err(found) };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
    let context = |item: &Item| Context {
        disk: Arc::new(OsDisk),
        clock: clock.clone(),
        item: item.name.as_str().into(),
        batch_mode: spec.mode == Mode::Batch,
    };
    let (mut sources, mut sinks) = (Vec::new(), Vec::new());
    for item in &spec.sources {
        match &connector(item.spec).make {
            Maker::Source(make) => match make(&item.config, &context(item)) {
                Ok(parts) => sources.push(parts),
                Err(diagnostic) => found.push(diagnostic),
            },
            Maker::Sink(_) => unreachable!("the role was checked"),
        }
    }
    for item in &spec.destinations {
        match &connector(item.spec).make {
            Maker::Sink(make) => match make(&item.config, &context(item)) {
                Ok(parts) => sinks.push(parts),
                Err(diagnostic) => found.push(diagnostic),
            },
            Maker::Source(_) => unreachable!("the role was checked"),
        }
    }
    if found.iter().any(|diagnostic| !diagnostic.warning) {
        return Err(found);
    }
    let streams: Vec<_> = sources.iter().map(|parts| parts.stream.clone()).collect();
    let destinations: Vec<_> = sinks.iter().map(|parts| DestinationInfo { format: parts.format }).collect();
    match plan(&spec, &streams, &destinations) {
        Ok(plan) => Ok(Pipeline { spec, plan, sources, sinks, warnings: found, clock }),
        Err(faults) => {
            found.extend(faults);
            Err(found)
        }
    }
}

fn connector(spec: &'static Spec) -> &'static Connector {
    CONNECTORS
        .iter()
        .find(|connector| std::ptr::eq(connector.spec, spec))
        .expect("the specs come from this list")
}

impl Pipeline {
    /// Where its state lies.
    pub(crate) fn directory(&self) -> PathBuf {
        state::root().join(&self.spec.name)
    }

    /// Takes the commit point over and makes the job.
    pub(crate) fn into_job(self, writer: &str) -> Result<Job, Diagnostic> {
        let directory = self.directory();
        let checkpoints = match &self.spec.settings.checkpoint_store {
            Some(url) => PathBuf::from(url.strip_prefix("file://").unwrap_or(url)).join(&self.spec.name),
            None => directory.join("checkpoints"),
        };
        let store = Arc::new(LocalStore::new(Arc::new(OsDisk), checkpoints, writer.to_owned()));
        let (chain, committed) = Chain::claim(store, Writer(writer.to_owned()))?;
        let settings = &self.spec.settings;
        let names =
            |items: &[Item]| items.iter().map(|item| Arc::from(&*item.name)).collect::<Vec<Arc<str>>>();
        let (source_names, sink_names) = (names(&self.spec.sources), names(&self.spec.destinations));
        let interval = u64::try_from(settings.checkpoint_interval_us).unwrap_or(1_000_000);
        Ok(Job {
            errors: match settings.errors {
                ErrorPolicy::Stop => Policy::Stop,
                ErrorPolicy::Skip => Policy::Skip,
                ErrorPolicy::DeadLetter(index) => Policy::DeadLetter(index),
            },
            lanes: settings.parallelism.unwrap_or_else(cores),
            interval: Duration::from_micros(interval),
            chain,
            committed,
            clock: self.clock,
            stats: Arc::new(Stats::new(source_names.clone(), sink_names.clone())),
            sources: (self.sources.into_iter().zip(source_names).zip(self.plan.programs))
                .map(|((parts, name), program)| JobSource { name, source: parts.source, program })
                .collect(),
            sinks: (self.sinks.into_iter().zip(sink_names))
                .map(|(parts, name)| JobSink { name, sink: parts.sink, format: parts.format })
                .collect(),
        })
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
