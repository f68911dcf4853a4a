//! The pipeline file as a checked value: its items, how they are connected, and the settings.

use crate::check::{Checker, Spelling};
use crate::graph::{self, Graph};
use crate::interpolate::Environment;
use crate::suggest;
use crate::yaml::{self, Key, Node, NodeKind};
use acme_types::codes::{BAD_VALUE, DUPLICATE, MISSING_KEY, UNKNOWN_KEY, UNKNOWN_TYPE};
use acme_types::{Config, Diagnostic, Field, Kind, Place, Role, Spec, Value};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Whether a pipeline ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Runs until it is stopped.
    Streaming,
    /// Reads what is there and ends.
    Batch,
}

/// What happens to a row that cannot be processed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ErrorPolicy {
    /// The pipeline stops in front of it.
    Stop,
    /// It is counted and left out.
    Skip,
    /// It goes to the destination with this index.
    DeadLetter(usize),
}

/// A name as the user wrote it, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The name.
    pub name: String,
    /// Its place.
    pub at: Place,
}

/// A source, transform or destination.
#[derive(Clone, Debug)]
pub struct Item {
    /// The description of its type.
    pub spec: &'static Spec,
    /// The given name, or `type-N`.
    pub name: String,
    /// The keys of its type.
    pub config: Config,
    /// Explicit inputs; empty means "the step before".
    pub from: Vec<Reference>,
    /// Names of the outputs of a step that has several, such as `route`; of those beside the rows that it yields under its own
    /// name, such as `late` of `window`; empty for all others.
    pub outputs: Vec<Reference>,
    /// Of a source: what its event time is, if that is said ([`EVENT_TIME`]).
    pub event_time: Option<Config>,
    /// Where the item begins.
    pub at: Place,
}

/// `settings:`, with defaults filled in.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Lanes; `None` means one for each core.
    pub parallelism: Option<usize>,
    /// Time between commits in microseconds.
    pub checkpoint_interval_us: i64,
    /// URL of the checkpoint store; `None` means the state directory.
    pub checkpoint_store: Option<String>,
    /// What to do with rows that fail.
    pub errors: ErrorPolicy,
}

/// A whole pipeline.
#[derive(Clone, Debug)]
pub struct PipelineSpec {
    /// Its name: what `acme status` shows and its state is kept under.
    pub name: String,
    /// Whether it ends by itself.
    pub mode: Mode,
    /// Where rows come from.
    pub sources: Vec<Item>,
    /// What happens to them, in the order of the file.
    pub transforms: Vec<Item>,
    /// Where they go.
    pub destinations: Vec<Item>,
    /// How the steps are connected.
    pub graph: Graph,
    /// The settings.
    pub settings: Settings,
}

const CHECKPOINT: &[Field] = &[
    Field::defaulted("interval", Kind::Duration, "1s", "Time between two commits."),
    Field::optional(
        "store",
        Kind::Text,
        "Directory or `file://` URL where checkpoints are kept; default: the state directory.",
    ),
];
const ERRORS: &[Field] = &[
    Field::defaulted(
        "policy",
        Kind::Choice(&["stop", "skip", "dead_letter"]),
        "stop",
        "What happens to a row that cannot be decoded, processed or delivered.",
    ),
    Field::optional("to", Kind::Step, "The destination for `dead_letter`."),
];
/// The keys of a source's `event_time:`.
pub const EVENT_TIME: &[Field] = &[
    Field::optional(
        "column",
        Kind::Text,
        "The field that says when it happened: a timestamp, a text as of RFC 3339, or a number with `unit`. Default: the record's \
         own timestamp.",
    ),
    Field::optional("unit", Kind::Choice(&["s", "ms", "us", "ns"]), "What a number counts since 1970."),
    Field::defaulted(
        "max_out_of_orderness",
        Kind::Duration,
        "0s",
        "How much older than the latest row of its partition a row may be and still be on time.",
    ),
    Field::defaulted(
        "idle_after",
        Kind::Duration,
        "5s",
        "A partition that was at its end for so long, as its broker said, holds up no window until rows of it come.",
    ),
];
/// The keys of `settings:`.
pub(crate) const SETTINGS: &[Field] = &[
    Field::optional("parallelism", Kind::Int(1, 1024), "Number of lanes; default: one for each core."),
    Field::optional("checkpoint", Kind::Object(CHECKPOINT), "When and where progress is committed."),
    Field::optional("errors", Kind::Object(ERRORS), "What happens to rows that fail."),
];
/// The keys that every item has besides its own.
pub(crate) const COMMON: &[&str] = &["type", "name", "from"];
/// The keys that every source has besides its own.
const OF_SOURCES: &[&str] = &["type", "name", "from", "event_time"];
const TOP: &[&str] = &["name", "mode", "sources", "transforms", "destinations", "settings"];

/// Reads a pipeline file.
///
/// `file` is the name for messages. The specification comes back only when no error was found; warnings may stand
/// beside it.
pub fn parse(
    file: &str,
    text: &str,
    specs: &[&'static Spec],
    environment: &dyn Environment,
) -> (Option<PipelineSpec>, Vec<Diagnostic>) {
    let mut checker = Checker { environment, spelling: Spelling::Yaml, found: Vec::new() };
    let spec = yaml::parse(&Arc::from(file), text, &mut checker.found)
        .and_then(|root| Reader { specs, checker: &mut checker }.pipeline(&root));
    let mut found = checker.found;
    found.sort_by_key(|diagnostic| diagnostic.at.as_ref().map(|at| (at.line, at.column)));
    let failed = found.iter().any(|diagnostic| !diagnostic.warning);
    (spec.filter(|_| !failed), found)
}

struct Reader<'a, 'c> {
    specs: &'a [&'static Spec],
    checker: &'a mut Checker<'c>,
}

impl Reader<'_, '_> {
    fn pipeline(&mut self, root: &Node) -> Option<PipelineSpec> {
        let entries = self.checker.entries(root, "a pipeline")?;
        for (key, _) in entries.iter().filter(|(key, _)| !TOP.contains(&&*key.name)) {
            let help = suggest::help(&key.name, TOP, "keys");
            let message = format!("unknown key \"{}\" in the pipeline", key.name);
            self.checker.push(Diagnostic::new(&UNKNOWN_KEY, message).at(&key.at).help(help));
        }
        let name = self.name(entries, root);
        let mode = match self.scalar(entries, "mode", &Kind::Choice(&["streaming", "batch"])) {
            Some(value) if value.text() == Some("batch") => Mode::Batch,
            _ => Mode::Streaming,
        };
        let mut taken = BTreeSet::new();
        let sources = self.items(entries, "sources", Role::Source, &mut taken, root);
        let transforms = self.items(entries, "transforms", Role::Transform, &mut taken, root);
        // Destinations have names of their own: one may be called like the output that it takes.
        let destinations = self.items(entries, "destinations", Role::Destination, &mut BTreeSet::new(), root);
        let node = entries.iter().find(|(key, _)| key.name == "settings").map(|(_, node)| node);
        let given = node.and_then(|node| match node.kind {
            NodeKind::Null => None,
            _ => self.checker.entries(node, "\"settings\""),
        });
        let at = node.map_or(&root.at, |node| &node.at);
        let (settings, dead_letter) = settings(self.checker, given.unwrap_or_default(), at);
        let graph = graph::connect(&sources, &transforms, &destinations, dead_letter.as_ref(), self.checker);
        let errors = match (settings.errors, graph.dead_letter) {
            (ErrorPolicy::DeadLetter(_), Some(index)) => ErrorPolicy::DeadLetter(index),
            (policy, _) => policy,
        };
        let settings = Settings { errors, ..settings };
        Some(PipelineSpec { name: name?, mode, sources, transforms, destinations, graph, settings })
    }

    fn name(&mut self, entries: &[(Key, Node)], root: &Node) -> Option<String> {
        if !entries.iter().any(|(key, _)| key.name == "name") {
            let help = "add `name: my-pipeline` at the top: its state is kept under this name";
            self.checker
                .push(Diagnostic::new(&MISSING_KEY, "the pipeline has no name").at(&root.at).help(help));
            return None;
        }
        let value = self.scalar(entries, "name", &Kind::Text)?;
        let name = value.text()?.to_owned();
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let usable = name.chars().all(fits) && name.starts_with(|c: char| c.is_ascii_alphanumeric());
        if !usable || name.len() > 200 {
            let help = "use letters, digits, `-`, `_` and `.`, at most 200, beginning with a letter or digit";
            let message = format!("\"{name}\" cannot be the name of a pipeline");
            self.checker.push(Diagnostic::new(&BAD_VALUE, message).at(&value.at).help(help));
            return None;
        }
        Some(name)
    }

    fn scalar(&mut self, entries: &[(Key, Node)], key: &str, kind: &Kind) -> Option<Value> {
        let (_, node) = entries.iter().find(|(known, _)| known.name == key)?;
        self.checker.value(node, kind, key)
    }

    fn items(
        &mut self,
        entries: &[(Key, Node)],
        key: &str,
        role: Role,
        taken: &mut BTreeSet<String>,
        root: &Node,
    ) -> Vec<Item> {
        let noun = match role {
            Role::Source => "source",
            Role::Transform => "transform",
            Role::Destination => "destination",
        };
        let Some((_, node)) = entries.iter().find(|(known, _)| known.name == key) else {
            if role != Role::Transform {
                let message = format!("the pipeline has no {key}");
                let help = format!("add `{key}:` with at least one item");
                self.checker.push(Diagnostic::new(&MISSING_KEY, message).at(&root.at).help(help));
            }
            return Vec::new();
        };
        let NodeKind::List(nodes) = &node.kind else {
            if !(role == Role::Transform && matches!(node.kind, NodeKind::Null)) {
                let message = format!("\"{key}\" must be a list of {noun}s, not {}", node.noun());
                let help = "begin each item with `- type:`";
                self.checker.push(Diagnostic::new(&BAD_VALUE, message).at(&node.at).help(help));
            }
            return Vec::new();
        };
        if nodes.is_empty() && role != Role::Transform {
            let message = format!("the pipeline has no {key}");
            self.checker.push(Diagnostic::new(&MISSING_KEY, message).at(&node.at));
        }
        let items = nodes.iter().enumerate();
        items.filter_map(|(index, node)| self.item(node, index, role, noun, taken)).collect()
    }

    fn item(
        &mut self,
        node: &Node,
        index: usize,
        role: Role,
        noun: &str,
        taken: &mut BTreeSet<String>,
    ) -> Option<Item> {
        let entries = self.checker.entries(node, &format!("a {noun}"))?;
        if !entries.iter().any(|(key, _)| key.name == "type") {
            let message = format!("the {noun} has no type");
            let help = format!("add `type:`; known types: {}", self.types(role).join(", "));
            self.checker.push(Diagnostic::new(&MISSING_KEY, message).at(&node.at).help(help));
            return None;
        }
        let kind = self.scalar(entries, "type", &Kind::Text)?;
        let word = kind.text()?.to_owned();
        let Some(spec) = self.specs.iter().find(|spec| spec.role == role && spec.name == word) else {
            let message = format!("there is no {noun} of type \"{word}\"");
            let help = suggest::help(&word, &self.types(role), "types");
            self.checker.push(Diagnostic::new(&UNKNOWN_TYPE, message).at(&kind.at).help(help));
            return None;
        };
        let owner = format!("{noun} \"{word}\"");
        let common = if role == Role::Source { OF_SOURCES } else { COMMON };
        let config = self.checker.object(entries, spec.fields, common, &owner, &node.at);
        let name = match self.scalar(entries, "name", &Kind::Text) {
            Some(value) => value.text()?.to_owned(),
            None => format!("{word}-{}", index + 1),
        };
        if !taken.insert(name.clone()) {
            let message = format!("the name \"{name}\" is used twice");
            let help = "give each step a name of its own with `name:`";
            self.checker.push(Diagnostic::new(&DUPLICATE, message).at(&node.at).help(help));
        }
        let event_time = entries.iter().find(|(key, _)| role == Role::Source && key.name == "event_time");
        let event_time = event_time
            .and_then(|(_, node)| self.checker.value(node, &Kind::Object(EVENT_TIME), "event_time"))
            .and_then(|value| match value.kind {
                acme_types::ValueKind::Object(config) => Some(config),
                _ => None,
            });
        let from = self.references(entries, role);
        let outputs = outputs(spec, &config);
        for output in &outputs {
            if !taken.insert(output.name.clone()) {
                let message = format!("the name \"{}\" is used twice", output.name);
                self.checker.push(Diagnostic::new(&DUPLICATE, message).at(&output.at));
            }
        }
        Some(Item { spec, name, config, from, outputs, event_time, at: node.at.clone() })
    }

    fn references(&mut self, entries: &[(Key, Node)], role: Role) -> Vec<Reference> {
        let Some((key, node)) = entries.iter().find(|(key, _)| key.name == "from") else { return Vec::new() };
        if role == Role::Source {
            let message = "a source reads no other step, so it takes no \"from\"";
            self.checker.push(Diagnostic::new(&UNKNOWN_KEY, message).at(&key.at));
            return Vec::new();
        }
        let value = self.checker.value(node, &Kind::List(&Kind::Step), "from");
        let list = value.map(|value| match value.kind {
            acme_types::ValueKind::List(list) => list,
            _ => Vec::new(),
        });
        let named = |value: Value| Some(Reference { name: value.text()?.to_owned(), at: value.at });
        list.into_iter().flatten().filter_map(named).collect()
    }

    fn types(&self, role: Role) -> Vec<&'static str> {
        self.specs.iter().filter(|spec| spec.role == role).map(|spec| spec.name).collect()
    }
}

/// The settings of a pipeline, and the destination that its dead letters name.
pub(crate) fn settings(
    checker: &mut Checker<'_>,
    entries: &[(Key, Node)],
    at: &Place,
) -> (Settings, Option<Reference>) {
    let config = checker.object(entries, SETTINGS, &[], "\"settings\"", at);
    let checkpoint = config.object("checkpoint");
    let errors = config.object("errors");
    let to = errors.and_then(|errors| {
        Some(Reference { name: errors.text("to")?.clone(), at: errors.place("to").clone() })
    });
    let policy = errors.and_then(|errors| errors.text("policy")).map_or("stop", |policy| policy);
    let errors = match (policy, &to) {
        ("skip", _) => ErrorPolicy::Skip,
        // The index is filled in once the destinations are known.
        ("dead_letter", Some(_)) => ErrorPolicy::DeadLetter(usize::MAX),
        ("dead_letter", None) => {
            let at = errors.map_or(at, |errors| errors.place("policy"));
            let help = match checker.spelling {
                Spelling::Yaml => "add `to:` with the name of a destination",
                Spelling::Sql => "add SET 'settings.errors.to' = '…' with the name of a table",
            };
            let message = "the policy dead_letter needs to know where to";
            checker.push(Diagnostic::new(&MISSING_KEY, message).at(at).help(help));
            ErrorPolicy::Stop
        }
        _ => ErrorPolicy::Stop,
    };
    let store = checkpoint.and_then(|it| it.text("store"));
    if store.is_some_and(|store| store.contains("://") && !store.starts_with("file://")) {
        let at = checkpoint.map_or(at, |checkpoint| checkpoint.place("store"));
        let message = "checkpoints can be kept in directories only";
        let help = "give a directory that outlives the machine's restarts, or leave `store:` out";
        checker.push(Diagnostic::new(&BAD_VALUE, message).at(at).help(help));
    }
    let settings = Settings {
        parallelism: config.int("parallelism").and_then(|lanes| usize::try_from(*lanes).ok()),
        checkpoint_interval_us: checkpoint.and_then(|it| it.int("interval")).copied().unwrap_or(1_000_000),
        checkpoint_store: store.cloned(),
        errors,
    };
    (settings, to)
}

impl Item {
    /// Whether its outputs stand beside the rows that it yields under its own name, and do not take their place.
    #[must_use]
    pub fn has_main_output(&self) -> bool {
        !self.spec.fields.iter().any(|field| field.name == "routes")
    }
}

/// The named outputs of a `route`: its routes and, where given, the rest; of another step the one for late rows.
fn outputs(spec: &Spec, config: &Config) -> Vec<Reference> {
    if spec.fields.iter().any(|field| field.name == "late") {
        let late = config.object("late");
        let to = late.and_then(|late| {
            Some(Reference { name: late.text("to")?.clone(), at: late.place("to").clone() })
        });
        return to.into_iter().collect();
    }
    if spec.role != Role::Transform || !spec.fields.iter().any(|field| field.name == "routes") {
        return Vec::new();
    }
    let routes = config.map("routes").into_iter().flatten();
    let mut outputs: Vec<Reference> =
        routes.map(|(name, value)| Reference { name: name.clone(), at: value.at.clone() }).collect();
    outputs.extend(
        config
            .text("default")
            .map(|name| Reference { name: name.clone(), at: config.place("default").clone() }),
    );
    outputs
}
