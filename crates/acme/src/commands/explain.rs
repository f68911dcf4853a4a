//! `acme explain FILE`: the graph, what each step reads and keeps, what is guaranteed and what limits it.

use super::print;
use crate::pipeline::{self, Pipeline};
use acme_connect::{Content, StreamInfo};
use acme_flow::Outlet;
use acme_spec::{ErrorPolicy, Input, Item};
use acme_types::{Change, Delivery, Diagnostic, ValueKind};
use clap::Args;
use std::fmt::Write;

#[derive(Args)]
pub(super) struct Explain {
    /// The pipeline file.
    file: String,
}

impl Explain {
    pub(super) fn execute(self) -> Result<(), Vec<Diagnostic>> {
        let mut pipeline = pipeline::load(&self.file)?;
        let (holder, group) = (pipeline.holder().sink(), pipeline.group());
        print(&Text { pipeline: &pipeline, holder, group, out: String::new() }.whole());
        Ok(())
    }
}

struct Text<'a> {
    pipeline: &'a Pipeline,
    /// The destination in whose transaction the pipeline commits.
    holder: Option<usize>,
    /// The group that its workers are in, and that keeps its progress.
    group: Option<String>,
    out: String,
}

impl Text<'_> {
    fn whole(mut self) -> String {
        let pipeline = self.pipeline;
        let spec = &pipeline.spec;
        self.line(format_args!("pipeline {} ({})", spec.name, pipeline.mode()));
        for (index, item) in spec.sources.iter().enumerate() {
            self.source(index, item);
        }
        for (index, item) in spec.transforms.iter().enumerate() {
            self.heading("transform", item, &spec.graph.transforms[index]);
            self.keys(item);
            let task = pipeline.offline.tasks.iter().find(|task| *task.name == *item.name);
            self.line(format_args!("  state     {}", task.map_or("none", |task| &task.keeps)));
        }
        for (index, item) in spec.destinations.iter().enumerate() {
            self.destination(index, item);
        }
        let interval = spec.settings.checkpoint_interval_us;
        self.line(format_args!(
            "\ncommit      every {}, where something moved",
            crate::table::short_time(interval.cast_unsigned())
        ));
        if let (Some(group), Some(source)) = (self.group.take(), spec.sources.first()) {
            self.line(format_args!("progress    the committed offsets of the group \"{group}\""));
            self.line(format_args!(
                "workers     those that run this file share the partitions of \"{}\"",
                source.name
            ));
        }
        let policy = match spec.settings.errors {
            ErrorPolicy::Stop => "stop in front of it".to_owned(),
            ErrorPolicy::Skip => "skip and count it".to_owned(),
            ErrorPolicy::DeadLetter(to) => {
                format!("send it to \"{}\" with its cause", spec.destinations[to].name)
            }
        };
        self.line(format_args!("bad rows    {policy}"));
        let (overall, limit) = self.guarantee();
        self.line(format_args!("end to end  {overall}{limit}"));
        self.copies();
        self.clock();
        self.out
    }

    fn source(&mut self, index: usize, item: &Item) {
        self.heading("source", item, &[]);
        let pipeline = self.pipeline;
        let Some(streams) = &pipeline.sources[index].streams else {
            return self.line(format_args!("  yields    what its tables hold; known once it is connected"));
        };
        for (at, stream) in streams.iter().enumerate() {
            self.line(format_args!("  yields    {}", content(stream)));
            let decoded = &pipeline.offline.decoded[index][at];
            let fields = if decoded.is_empty() { "nothing".to_owned() } else { decoded.join(", ") };
            match stream.content {
                Content::Documents(_) => {
                    self.line(format_args!("  decodes   {fields}; the document travels as it came"));
                }
                Content::Fields(..) => self.line(format_args!("  decodes   {fields}")),
                Content::Columns(_) => {}
            }
        }
    }

    fn destination(&mut self, index: usize, item: &Item) {
        let spec = &self.pipeline.spec;
        self.heading("destination", item, &spec.graph.destinations[index]);
        if spec.graph.dead_letter == Some(index) {
            self.line(format_args!(
                "  receives  rows that failed, with code, cause, step, origin and original"
            ));
        }
        let programs = self.pipeline.offline.programs.iter().flatten();
        let outlets: Vec<&Outlet> =
            programs.flat_map(|program| &program.outlets).filter(|outlet| outlet.sink == index).collect();
        for outlet in outlets {
            let names: Vec<&str> = outlet.shape.columns.iter().map(|(name, _)| &**name).collect();
            let text = match &outlet.shape.document {
                Some(_) if outlet.shape.is_verbatim() => "the original bytes of each document".to_owned(),
                Some(edits) => {
                    let mut text = "each document".to_owned();
                    if !names.is_empty() {
                        let _ = write!(text, ", with {}", names.join(", "));
                    }
                    if !edits.removed.is_empty() {
                        let _ = write!(text, ", without {}", edits.removed.join(", "));
                    }
                    for (old, new) in &edits.renamed {
                        let _ = write!(text, ", {old} as {new}");
                    }
                    text
                }
                None => names.join(", "),
            };
            self.line(format_args!("  receives  {text}"));
        }
        if std::ptr::eq(item.spec, connector_bigquery::DESTINATION.spec) {
            let text = |key: &str| item.config.text(key).map(String::as_str);
            let table = [text("dataset"), text("table")].into_iter().flatten().collect::<Vec<_>>().join(".");
            let interval = item.config.int("flush_interval").map_or(0, |us| us.cast_unsigned());
            let interval = crate::table::short_time(interval);
            self.line(format_args!("  table     {table}; rows become visible every {interval}"));
        }
        self.line(format_args!("  promises  {}", self.promise(index)));
    }

    fn delivery(&self, index: usize) -> Delivery {
        match self.holder {
            Some(holder) if holder == index => Delivery::ExactlyOnce,
            _ => self.pipeline.sinks[index].delivery,
        }
    }

    fn promise(&self, index: usize) -> &'static str {
        match self.delivery(index) {
            Delivery::ExactlyOnce if self.holder == Some(index) => {
                "exactly once: rows and the pipeline's progress take effect in one transaction"
            }
            Delivery::ExactlyOnce => "exactly once: rows are prepared and take effect with the commit",
            Delivery::Idempotent => {
                "exactly once in effect: a row that comes again after a crash changes nothing"
            }
            Delivery::AtLeastOnce => "at least once: rows since the last commit come again after a crash",
        }
    }

    fn guarantee(&self) -> (&'static str, String) {
        let items = self.pipeline.spec.destinations.iter().enumerate();
        let named = |delivery: Delivery| {
            let names = items.clone().filter(|(index, _)| self.delivery(*index) == delivery);
            names.map(|(_, item)| format!("\"{}\"", item.name)).collect::<Vec<_>>()
        };
        let repeating = named(Delivery::AtLeastOnce);
        if !repeating.is_empty() {
            return ("at least once", format!(", because of {}", repeating.join(", ")));
        }
        let keyed = named(Delivery::Idempotent);
        match keyed.is_empty() {
            true => ("exactly once", String::new()),
            false => (
                "exactly once in effect",
                format!(": a row that comes again changes nothing at {}", keyed.join(", ")),
            ),
        }
    }

    /// A copy that was interrupted is made again: what was committed of it is added twice where rows are only added.
    fn copies(&mut self) {
        let sources = self.pipeline.spec.sources.iter().zip(&self.pipeline.sources);
        let copied: Vec<&str> = sources
            .filter(|(_, parts)| parts.source.may_repeat_its_copy())
            .map(|(item, _)| item.name.as_str())
            .collect();
        let sinks = self.pipeline.spec.destinations.iter().zip(&self.pipeline.sinks).enumerate();
        let added: Vec<&str> = sinks
            .filter(|(index, (item, parts))| {
                // A topic shows every record that was ever written.
                let is_topic = std::ptr::eq(item.spec, connector_kafka::DESTINATION.spec);
                (is_topic || parts.change == Change::Append) && self.delivery(*index) == Delivery::ExactlyOnce
            })
            .map(|(_, (item, _))| item.name.as_str())
            .collect();
        if !copied.is_empty() && !added.is_empty() {
            self.line(format_args!(
                "  but       rows that \"{}\" copies are at least once at \"{}\": a copy that was interrupted is made again",
                copied.join("\", \""),
                added.join("\", \"")
            ));
        }
    }

    /// What is delivered again after a crash is computed again: where the clock decides, it may be decided otherwise.
    fn clock(&mut self) {
        let keyed = (0..self.pipeline.sinks.len()).any(|index| self.delivery(index) == Delivery::Idempotent);
        let programs = self.pipeline.offline.programs.iter().flatten();
        let mut judges: Vec<&str> = programs.flat_map(|program| program.judged_by_the_clock()).collect();
        judges.sort_unstable();
        judges.dedup();
        if keyed && !judges.is_empty() {
            self.line(format_args!(
                "  but       \"{}\" decides by NOW(): a row that comes again after a crash may be kept or dropped otherwise than before",
                judges.join("\", \"")
            ));
        }
    }

    fn heading(&mut self, noun: &str, item: &Item, inputs: &[Input]) {
        let from: Vec<String> = inputs.iter().map(|input| self.input(*input)).collect();
        let from = if from.is_empty() { String::new() } else { format!(" ← {}", from.join(", ")) };
        self.line(format_args!("\n{noun} {} ({}){from}", item.name, item.spec.name));
    }

    fn input(&self, input: Input) -> String {
        let spec = &self.pipeline.spec;
        match input {
            Input::Source(index) => spec.sources[index].name.clone(),
            Input::Transform(index, None) => spec.transforms[index].name.clone(),
            Input::Transform(index, Some(output)) => {
                let item = &spec.transforms[index];
                format!("{}.{}", item.name, item.outputs[output].name)
            }
        }
    }

    /// The keys of a transform as they were given.
    fn keys(&mut self, item: &Item) {
        for (key, value) in &item.config.values {
            let text = match &value.kind {
                ValueKind::Map(entries) => {
                    let entry = |(name, value): &(String, acme_types::Value)| {
                        format!("{name} = {}", value.text().unwrap_or_default())
                    };
                    entries.iter().map(entry).collect::<Vec<_>>().join(", ")
                }
                ValueKind::List(items) => {
                    items.iter().filter_map(|value| value.text()).collect::<Vec<_>>().join(", ")
                }
                _ => value.text().unwrap_or_default().to_owned(),
            };
            self.line(format_args!("  {key:<9} {text}"));
        }
    }

    fn line(&mut self, text: std::fmt::Arguments<'_>) {
        let _ = writeln!(self.out, "{text}");
    }
}

fn content(stream: &StreamInfo) -> String {
    match &stream.content {
        Content::Documents(format) => format!("{format:?} documents").to_lowercase().replace("json", "JSON"),
        Content::Fields(_, names) => format!("CSV records of {}", names.join(", ")),
        Content::Columns(schema) => {
            let visible = schema.fields().iter().filter(|field| !field.name().starts_with("_meta."));
            visible
                .map(|field| format!("{} {}", field.name(), field.data_type()))
                .collect::<Vec<_>>()
                .join(", ")
        }
    }
}
