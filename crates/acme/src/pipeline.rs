//! From a file to a job: read, check, plan, make the connectors.

use crate::connectors::{CONNECTORS, specs};
use crate::environment::{self, ProcessEnvironment};
use crate::{log, state};
use acme_connect::{Connector, Context, Maker, Notes, OsDisk, SinkParts, SourceParts, SystemClock};
use acme_flow::Stats;
use acme_flow::checkpoint::{LocalStore, Writer};
use acme_flow::driver::{Candidate, Holder, Job, JobSink, JobSource, JobTask, Policy};
use acme_plan::{DestinationInfo, Plan, TaskPlan, keeps_state, plan};
use acme_spec::{ErrorPolicy, Item, Mode, PipelineSpec, parse};
use acme_types::{Clock, Diagnostic, Place, Spec, codes};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The most bytes of a pipeline file.
const FILE_MAX: u64 = 16 << 20;

/// A pipeline that has passed every check that needs no connection.
pub(crate) struct Pipeline {
    pub(crate) spec: PipelineSpec,
    /// What can be planned without connecting; streams of the other sources are missing in it.
    pub(crate) offline: Plan,
    pub(crate) sources: Vec<SourceParts>,
    pub(crate) sinks: Vec<SinkParts>,
    pub(crate) warnings: Vec<Diagnostic>,
    pub(crate) clock: Arc<dyn Clock>,
}

/// Reads and checks a file; on errors everything that was found. Nothing is connected.
pub(crate) fn load(path: &str) -> Result<Pipeline, Vec<Diagnostic>> {
    check(path, &read(path)?)
}

/// The text of a file.
pub(crate) fn read(path: &str) -> Result<String, Vec<Diagnostic>> {
    let bytes = environment::read(path, FILE_MAX)
        .map_err(|error| vec![Diagnostic::new(&codes::FILE, format!("cannot read {path}: {error}"))])?;
    String::from_utf8(bytes).map_err(|error| {
        let whole = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = whole.rsplit(|&byte| byte == b'\n').next().unwrap_or_default();
        let place = Place {
            file: path.into(),
            line: 1 + whole.iter().filter(|&&byte| byte == b'\n').count(),
            column: 1 + String::from_utf8_lossy(line).chars().count(),
        };
        vec![Diagnostic::new(&codes::YAML, "the file is not UTF-8 text").at(&place)]
    })
}

/// Checks the text of a file.
pub(crate) fn check(path: &str, text: &str) -> Result<Pipeline, Vec<Diagnostic>> {
    let (spec, mut found) = parse(path, text, &specs(), &ProcessEnvironment);
    let Some(spec) = spec else { return Err(found) };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
    let notes = Notes::default();
    let context = |item: &Item| context(&spec, item, clock.clone(), &notes);
    let (mut sources, mut sinks) = (Vec::new(), Vec::new());
    for item in spec.sources.iter().chain(&spec.destinations) {
        let made = match &connector(item.spec).make {
            Maker::Source(make) => make(&item.config, &context(item)).map(|parts| sources.push(parts)),
            Maker::Sink(make) => make(&item.config, &context(item)).map(|parts| sinks.push(parts)),
        };
        found.extend(made.err());
    }
    found.extend(notes.take());
    if found.iter().any(|diagnostic| !diagnostic.warning) {
        return Err(found);
    }
    // What is known without connecting is planned now, so that its mistakes are found now.
    let known: Vec<_> = sources.iter().map(|parts| parts.streams.clone().unwrap_or_default()).collect();
    match plan(&spec, &known, &destinations(&sinks)) {
        Ok(offline) => Ok(Pipeline { spec, offline, sources, sinks, warnings: found, clock }),
        Err(faults) => Err(found.into_iter().chain(faults).collect()),
    }
}

/// What a connector may use of the world.
pub(crate) fn context(spec: &PipelineSpec, item: &Item, clock: Arc<dyn Clock>, notes: &Notes) -> Context {
    Context {
        disk: Arc::new(OsDisk),
        memory: Some(state::root().join(&spec.name).join("connectors")),
        log: Some(log::own(true)),
        clock,
        item: item.name.as_str().into(),
        pipeline: spec.name.as_str().into(),
        tells_ends: item.event_time.is_some(),
        batch_mode: spec.mode == Mode::Batch,
        notes: notes.clone(),
    }
}

/// Where its checkpoints lie.
pub(crate) fn checkpoints(spec: &PipelineSpec) -> PathBuf {
    match &spec.settings.checkpoint_store {
        Some(url) => PathBuf::from(url.strip_prefix("file://").unwrap_or(url)).join(&spec.name),
        None => state::root().join(&spec.name).join("checkpoints"),
    }
}

fn destinations(sinks: &[SinkParts]) -> Vec<DestinationInfo> {
    let info = |parts: &SinkParts| DestinationInfo {
        format: parts.format.clone(),
        takes_documents: parts.takes_documents,
        reads: parts.reads.clone(),
        computed: parts.computed.clone(),
        change: parts.change,
    };
    sinks.iter().map(info).collect()
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

    /// Whether several runs of it share its source as the workers of a group, which is then the commit point.
    pub(crate) fn is_shared(&mut self) -> bool {
        matches!(self.holder(), Holder::Group { .. })
    }

    /// The group whose members its workers are, where several may run at once.
    pub(crate) fn group(&mut self) -> Option<String> {
        let is_shared = self.is_shared();
        let shared = self.sources.first_mut().filter(|_| is_shared)?.source.shared()?;
        Some(shared.membership().borrow().group.clone())
    }

    /// Who commits for it. Nothing is connected yet: a destination that names the source's brokers is on its cluster.
    pub(crate) fn holder(&mut self) -> Holder {
        let stateful = self.spec.transforms.iter().any(|item| keeps_state(item.spec));
        let is_shared = match self.sources.as_mut_slice() {
            // State belongs to one worker: it reads everything.
            [only] if !stateful => only.source.shared().is_some(),
            _ => false,
        };
        let from = self.spec.sources.first().and_then(brokers);
        let letters = self.spec.graph.dead_letter;
        let sinks = self.sinks.iter_mut().zip(&self.spec.destinations).enumerate();
        let candidates = sinks.map(|(index, (SinkParts { sink, .. }, item))| Candidate {
            is_shareable: sink.sink().is_shareable(),
            is_beside: sink.sink().offset_transaction().is_some() && brokers(item) == from,
            can_hold: sink.can_hold_commit(),
            takes_letters: Some(index) == letters,
        });
        Holder::of(is_shared, &candidates.collect::<Vec<_>>())
    }

    /// The word that its file has for the mode.
    pub(crate) fn mode(&self) -> &'static str {
        match self.spec.mode {
            Mode::Streaming => "streaming",
            Mode::Batch => "batch",
        }
    }

    /// Asks the sources what there is to read, and plans it.
    pub(crate) async fn connect(&mut self) -> Result<Plan, Vec<Diagnostic>> {
        let (mut streams, mut faults) = (Vec::new(), Vec::new());
        for (parts, item) in self.sources.iter_mut().zip(&self.spec.sources) {
            match parts.source.describe().await {
                Ok(described) => streams.push(described),
                Err(diagnostic) => {
                    let at = diagnostic.at.clone().unwrap_or_else(|| item.at.clone());
                    faults.push(diagnostic.at(&at));
                }
            }
        }
        if faults.is_empty() { plan(&self.spec, &streams, &destinations(&self.sinks)) } else { Err(faults) }
    }

    /// Looks whether the destinations are ready.
    pub(crate) async fn check_sinks(&mut self) -> Vec<Diagnostic> {
        let mut found: Vec<Diagnostic> = Vec::new();
        for (parts, item) in self.sinks.iter_mut().zip(&self.spec.destinations) {
            for diagnostic in parts.sink.sink().check().await {
                // What several destinations need is asked for once.
                let is_known = |known: &Diagnostic| {
                    known.code.id == diagnostic.code.id
                        && known.message == diagnostic.message
                        && known.help == diagnostic.help
                };
                if found.iter().any(is_known) {
                    continue;
                }
                let at = diagnostic.at.clone().unwrap_or_else(|| item.at.clone());
                found.push(diagnostic.at(&at));
            }
        }
        found
    }

    /// The job that a run of it is.
    pub(crate) fn into_job(self, plan: Plan, writer: &str, worker: &str) -> Job {
        let checkpoints = checkpoints(&self.spec);
        let store = Arc::new(LocalStore::new(Arc::new(OsDisk), checkpoints, writer.to_owned()));
        let settings = &self.spec.settings;
        let names =
            |items: &[Item]| items.iter().map(|item| Arc::from(&*item.name)).collect::<Vec<Arc<str>>>();
        let (source_names, sink_names) = (names(&self.spec.sources), names(&self.spec.destinations));
        let interval = u64::try_from(settings.checkpoint_interval_us).unwrap_or(1_000_000);
        Job {
            errors: match settings.errors {
                ErrorPolicy::Stop => Policy::Stop,
                ErrorPolicy::Skip => Policy::Skip,
                ErrorPolicy::DeadLetter(index) => Policy::DeadLetter(index),
            },
            lanes: settings.parallelism.unwrap_or_else(cores),
            interval: Duration::from_micros(interval),
            halved: 0,
            store,
            writer: Writer(writer.to_owned()),
            worker: worker.to_owned(),
            clock: self.clock,
            stats: Arc::new(Stats::new(source_names.clone(), sink_names.clone())),
            sources: (self.sources.into_iter().zip(source_names).zip(plan.programs))
                .zip(plan.disorder.into_iter().zip(plan.idle_after))
                .map(|(((parts, name), programs), (disorder, idle_after))| JobSource {
                    name,
                    source: parts.source,
                    programs,
                    disorder,
                    idle_after: Duration::from_micros(u64::try_from(idle_after).unwrap_or(0)),
                })
                .collect(),
            tasks: (plan.tasks.into_iter())
                .map(|TaskPlan { name, factory, programs, .. }| JobTask { name, factory, programs })
                .collect(),
            sinks: (self.sinks.into_iter().zip(sink_names))
                .map(|(parts, name)| JobSink { name, sink: parts.sink, format: parts.format })
                .collect(),
        }
    }
}

/// The brokers that an item names, sorted: none for the log of this machine. `None` where it is no item of Kafka's.
fn brokers(item: &Item) -> Option<Vec<String>> {
    item.spec.fields.iter().any(|field| field.name == "brokers").then(|| {
        let mut names: Vec<String> = item.config.texts("brokers").map(str::to_owned).collect();
        names.sort_unstable();
        names
    })
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
