//! A specification to one program for each source.

use crate::changes;
use crate::compile::Compiled;
use crate::event_time;
use crate::fields::Fields;
use crate::infer::{Resolved, resolve};
use crate::outlets;
use crate::path::path;
use crate::schema::DeclaredFields;
use crate::sql;
use crate::stream::{Column, Found, Origin, Stream};
use crate::tasks::{TaskPlan, Tasks};
use acme_connect::{Content, Format, StreamInfo};
use acme_flow::{Inlet, Operator, Outlet, Program, Step, Target};
use acme_formats::csv::CsvDecoder;
use acme_formats::json::{As, Decoder};
use acme_formats::{Decode, TypedDecoder};
use acme_spec::{Input, Item, PipelineSpec};
use acme_types::batch::{META_PREFIX, json_field};
use acme_types::codes::{BAD_VALUE, SQL, UNKNOWN_FIELD};
use acme_types::{Change, Diagnostic, DocumentPath, Place, Shape};
use arrow::datatypes::{DataType, Field};
use datafusion_sql::sqlparser::ast::{Expr as SqlExpr, SelectItem};
use std::sync::Arc;

/// What the plan needs to know of a destination.
#[derive(Clone, Debug)]
pub struct DestinationInfo {
    /// The bytes that it takes, if it takes bytes.
    pub format: Option<Format>,
    /// It takes unchanged documents where they lie instead.
    pub takes_documents: bool,
    /// Fields that it reads by itself.
    pub reads: Vec<String>,
    /// Expressions that it reads by itself.
    pub computed: Vec<(String, Place)>,
    /// Whether it applies changes of rows, or only adds rows.
    pub change: Change,
}

/// A planned pipeline.
pub struct Plan {
    /// One program for each stream of each source, in their order.
    pub programs: Vec<Vec<Program>>,
    /// How far the rows of each source may be out of order in their event time, microseconds.
    pub disorder: Vec<i64>,
    /// How long the splits of each source are at their ends before they are idle, microseconds.
    pub idle_after: Vec<i64>,
    /// The steps with state.
    pub tasks: Vec<TaskPlan>,
    /// The fields that each of them reads from records, and as what, for people.
    pub decoded: Vec<Vec<Vec<String>>>,
}

/// Plans a pipeline, or says everything that keeps it from running.
pub fn plan(
    spec: &PipelineSpec,
    sources: &[Vec<StreamInfo>],
    destinations: &[DestinationInfo],
) -> Result<Plan, Vec<Diagnostic>> {
    let mut found = Vec::new();
    let (mut programs, mut decoded) = (Vec::new(), Vec::new());
    let mut tasks = Tasks::default();
    for (index, streams) in sources.iter().enumerate() {
        let declared = DeclaredFields::of(&spec.sources[index], &mut found);
        let mut plan_stream =
            |info: &StreamInfo| program(spec, index, info, &declared, destinations, &mut tasks, &mut found);
        let (planned, wanted) = streams.iter().map(&mut plan_stream).unzip();
        programs.push(planned);
        decoded.push(wanted);
    }
    let tasks = tasks.planned(spec, destinations, &mut found);
    let all = programs.iter().flatten().chain(tasks.iter().flat_map(|task| &task.programs));
    outlets::check(spec, all, destinations, &mut found);
    let disorder = spec.sources.iter().map(event_time::disorder).collect();
    let idle_after = spec.sources.iter().map(event_time::idle_after).collect();
    // A step that several sources feed is planned for each of them; its faults are the same.
    found.sort_by_key(|diagnostic: &Diagnostic| diagnostic.at.as_ref().map(|at| (at.line, at.column)));
    found.dedup();
    if found.is_empty() { Ok(Plan { programs, disorder, idle_after, tasks, decoded }) } else { Err(found) }
}

fn program(
    spec: &PipelineSpec,
    index: usize,
    info: &StreamInfo,
    declared: &DeclaredFields,
    destinations: &[DestinationInfo],
    tasks: &mut Tasks,
    found: &mut Vec<Diagnostic>,
) -> (Program, Vec<String>) {
    declared.check(info, found);
    let mut planner = Planner::new(spec, destinations, tasks, found);
    let mut stream = Stream::of(info, &declared.columns);
    let event_time = planner.event_time(&spec.sources[index], &mut stream);
    let targets = planner.readers(Input::Source(index), &stream);
    let (fields, mut program) = planner.program(&spec.sources[index].name, targets);
    let (decoder, decoded) = decoder(fields, info, declared);
    program.decoder = decoder;
    program.event_time = event_time;
    (program, decoded)
}

/// What reads the records of a stream, and the fields that it reads. Declared fields are read whether or not they are used:
/// a record that contradicts its schema is an error.
fn decoder(
    fields: Fields,
    info: &StreamInfo,
    declared: &DeclaredFields,
) -> (Option<Box<dyn Decode>>, Vec<String>) {
    let mut wanted = fields.wanted();
    let mut shown: Vec<String> = (wanted.iter())
        .map(|field| format!("{} as {}", field.path, format!("{:?}", field.kind).to_lowercase()))
        .collect();
    shown.extend(declared.fields.iter().map(|field| format!("{} as {}", field.name, field.kind)));
    wanted.extend(declared.fields.iter().map(acme_formats::Declared::wanted));
    let inner: Box<dyn Decode> = match &info.content {
        Content::Documents(_) => Box::new(Decoder::new(wanted)),
        Content::Fields(dialect, names) => Box::new(CsvDecoder::new(dialect.clone(), names, wanted)),
        Content::Columns(_) => return (None, Vec::new()),
    };
    if declared.fields.is_empty() {
        return (Some(inner), shown);
    }
    (Some(Box::new(TypedDecoder::new(inner, declared.fields.clone()))), shown)
}

pub(crate) struct Planner<'a> {
    pub(crate) spec: &'a PipelineSpec,
    destinations: &'a [DestinationInfo],
    pub(crate) fields: Fields,
    pub(crate) steps: Vec<Step>,
    outlets: Vec<Outlet>,
    pub(crate) inlets: Vec<Inlet>,
    /// The steps with state that have been met.
    pub(crate) tasks: &'a mut Tasks,
    pub(crate) found: &'a mut Vec<Diagnostic>,
}

impl<'a> Planner<'a> {
    pub(crate) fn new(
        spec: &'a PipelineSpec,
        destinations: &'a [DestinationInfo],
        tasks: &'a mut Tasks,
        found: &'a mut Vec<Diagnostic>,
    ) -> Self {
        let (fields, steps, outlets, inlets) = (Fields::default(), Vec::new(), Vec::new(), Vec::new());
        Self { spec, destinations, fields, steps, outlets, inlets, tasks, found }
    }

    /// What was planned, and the fields that are to be decoded for it.
    pub(crate) fn program(self, source: &str, targets: Vec<Target>) -> (Fields, Program) {
        let Self { fields, steps, outlets, inlets, .. } = self;
        let (decoder, event_time) = (None, None);
        (fields, Program { source: source.into(), decoder, event_time, steps, targets, outlets, inlets })
    }
}

impl Planner<'_> {
    /// Plans everything that reads a stream. The graph has no circles, so this ends.
    pub(crate) fn readers(&mut self, input: Input, stream: &Stream) -> Vec<Target> {
        let spec = self.spec;
        let mut targets = Vec::new();
        for (index, item) in spec.transforms.iter().enumerate() {
            if spec.graph.transforms[index].contains(&input) {
                targets.extend(self.transform(index, item, stream));
            }
        }
        for (sink, inputs) in spec.graph.destinations.iter().enumerate() {
            if inputs.contains(&input) {
                let mut shape = self.shape(sink, stream);
                let computed = self.computed(sink, stream, &mut shape);
                let shape = Arc::new(shape);
                let info = &self.destinations[sink];
                let lies_ready = info.takes_documents && shape.is_verbatim();
                let format = info.format.clone().filter(|_| !lies_ready);
                self.outlets.push(Outlet { sink, shape: shape.clone(), format });
                let outlet = Target::Outlet(self.outlets.len() - 1);
                targets.push(match computed.is_empty() {
                    true => outlet,
                    false => {
                        let name = spec.destinations[sink].name.as_str().into();
                        let (operator, outputs) = (Operator::Map(computed), vec![vec![outlet]]);
                        self.steps.push(Step { name, operator, shape, outputs });
                        Target::Step(self.steps.len() - 1)
                    }
                });
            }
        }
        targets
    }

    /// The expressions that a destination reads by itself: what is still to be computed of them, in hidden columns.
    fn computed(
        &mut self,
        sink: usize,
        stream: &Stream,
        shape: &mut Shape,
    ) -> Vec<(Arc<Field>, Arc<dyn acme_flow::Expr>)> {
        let mut columns = Vec::new();
        for (number, (text, at)) in self.destinations[sink].computed.clone().into_iter().enumerate() {
            if let Some(column) = open_column(&text, stream)
                && let Origin::Open(field) = &column.origin
            {
                let wanted = self.fields.want(DocumentPath::field(field), As::Scalar, &at);
                let column = wanted.map_err(|diagnostic| self.found.push(diagnostic));
                shape.computed.extend(column.map(|column| column.internal));
                continue;
            }
            let Some(resolved) = self.resolve(&text, stream, None, &at) else { continue };
            if let Some(column) = &resolved.column {
                shape.computed.push(column.internal.clone());
                continue;
            }
            let internal = format!("{META_PREFIX}computed.{sink}.{number}");
            let field = match resolved.json {
                true => json_field(&internal),
                false => Field::new(internal.clone(), resolved.data_type.clone(), true),
            };
            if let Some(expr) = self.compile(resolved, &at) {
                columns.push((Arc::new(field), expr));
                shape.computed.push(internal);
            }
        }
        columns
    }

    /// What a destination delivers, with the columns of the fields that it reads by itself.
    fn shape(&mut self, sink: usize, stream: &Stream) -> Shape {
        let at = self.spec.destinations[sink].at.clone();
        let format = self.destinations[sink].format.as_ref();
        let mut shape = match format.is_some_and(Format::has_columns) && stream.document.is_some() {
            true => match outlets::columns(stream, &at) {
                Ok(stream) => self.visible(&stream, &at),
                Err(diagnostic) => {
                    self.found.push(diagnostic);
                    Shape::default()
                }
            },
            false => self.visible(stream, &at),
        };
        self.found.extend(changes::refusal(stream, &self.destinations[sink], &shape, &at));
        for name in self.destinations[sink].reads.clone() {
            let column = match stream.find(&name) {
                Found::Column(Column { origin: Origin::Open(field), .. }) => {
                    self.fields.want(DocumentPath::field(field), As::Scalar, &at)
                }
                Found::Column(column) | Found::Declared(column) => Ok(column.clone()),
                Found::Member(member) => self.fields.want(DocumentPath::field(&member), As::Scalar, &at),
                Found::Nothing(known) => {
                    let message = format!("the rows have no field \"{name}\", which this destination needs");
                    let help = format!("known fields: {}", known.join(", "));
                    Err(Diagnostic::new(&UNKNOWN_FIELD, message).at(&at).help(help))
                }
            };
            match column {
                Ok(column) => shape.reads.push((name, column.internal)),
                Err(diagnostic) => self.found.push(diagnostic),
            }
        }
        shape
    }

    /// What the user sees of a row.
    pub(crate) fn visible(&mut self, stream: &Stream, at: &Place) -> Shape {
        let mut columns = Vec::with_capacity(stream.columns.len());
        for column in &stream.columns {
            let internal = match &column.origin {
                Origin::Open(field) => {
                    // Texts that pass through contradict no other use.
                    let wanted = self.fields.want(DocumentPath::field(field), As::Scalar, at);
                    wanted.map_or_else(|_| String::new(), |column| column.internal)
                }
                _ => column.internal.clone(),
            };
            columns.push((column.name.clone(), internal));
        }
        Shape {
            columns,
            document: stream.document.clone(),
            reads: Vec::new(),
            computed: Vec::new(),
            key: stream.key.clone(),
        }
    }

    fn transform(&mut self, index: usize, item: &Item, stream: &Stream) -> Vec<Target> {
        if item.spec.name == "window" {
            return self.window(index, item, stream).into_iter().collect();
        }
        let mut output = stream.clone();
        let operators: Vec<Operator> = match item.spec.name {
            "filter" => self.filter(item, stream, &mut output),
            "route" => self.route(item, stream).into_iter().collect(),
            "map" => self.map(index, item, stream, &mut output).into_iter().collect(),
            "select" => self.select(index, item, stream, &mut output).into_iter().collect(),
            other => unreachable!("transform {other} has a SPEC but no plan"),
        };
        // What follows is planned even where this step is at fault, so that its faults are found as well.
        let outputs = match item.outputs.len() {
            0 => vec![self.readers(Input::Transform(index, None), &output)],
            n => (0..n).map(|at| self.readers(Input::Transform(index, Some(at)), &output)).collect(),
        };
        if operators.is_empty() {
            return Vec::new();
        }
        if matches!(operators.as_slice(), [Operator::Map(columns)] if columns.is_empty()) {
            return outputs.into_iter().flatten().collect();
        }
        let shape = Arc::new(self.visible(&output, &item.at));
        // The last operator has the outputs; each before it has the next one.
        let mut outputs = outputs;
        for operator in operators.into_iter().rev() {
            let step = Step { name: item.name.as_str().into(), operator, shape: shape.clone(), outputs };
            self.steps.push(step);
            outputs = vec![vec![Target::Step(self.steps.len() - 1)]];
        }
        vec![Target::Step(self.steps.len() - 1)]
    }

    fn map(&mut self, index: usize, item: &Item, stream: &Stream, output: &mut Stream) -> Option<Operator> {
        let mut columns = Vec::new();
        let mut whole = true;
        for (name, value) in item.config.map("fields").into_iter().flatten() {
            whole &= self.put(
                index,
                name,
                value.text().unwrap_or_default(),
                &value.at,
                stream,
                output,
                &mut columns,
            );
        }
        for (old, value) in item.config.map("rename").into_iter().flatten() {
            self.rename(old, value.text().unwrap_or_default(), &value.at, output);
        }
        for value in item.config.list("drop").into_iter().flatten() {
            self.remove(value.text().unwrap_or_default(), &value.at, output);
        }
        if let Some(only) = item.config.list("only") {
            let mut kept = output.bare();
            for value in only {
                self.keep(value.text().unwrap_or_default(), &value.at, output, &mut kept);
            }
            *output = kept;
        }
        whole.then_some(Operator::Map(columns))
    }

    fn select(
        &mut self,
        index: usize,
        item: &Item,
        stream: &Stream,
        output: &mut Stream,
    ) -> Option<Operator> {
        *output = stream.bare();
        let mut columns = Vec::new();
        let mut whole = true;
        for value in item.config.list("fields").into_iter().flatten() {
            let text = value.text().unwrap_or_default();
            match sql::parse_item(text) {
                Ok(SelectItem::ExprWithAlias { expr, alias }) => {
                    whole &= self.put(
                        index,
                        &alias.value,
                        &expr.to_string(),
                        &value.at,
                        stream,
                        output,
                        &mut columns,
                    );
                }
                Ok(SelectItem::UnnamedExpr(expr)) => {
                    let name = last_name(&expr.to_string());
                    whole &=
                        self.put(index, &name, &expr.to_string(), &value.at, stream, output, &mut columns);
                }
                Ok(_) => {
                    let help = "list the fields, or use `map` to keep all and change some";
                    let message = "select takes no `*`";
                    self.found.push(Diagnostic::new(&SQL, message).at(&value.at).help(help));
                    whole = false;
                }
                Err(cause) => {
                    self.found.push(Diagnostic::new(&SQL, cause).at(&value.at));
                    whole = false;
                }
            }
        }
        whole.then_some(Operator::Map(columns))
    }

    /// Makes `name` visible with the value of an expression over `stream`.
    #[expect(
        clippy::too_many_arguments,
        reason = "input, output and place of one field; a struct would only rename them"
    )]
    fn put(
        &mut self,
        index: usize,
        name: &str,
        text: &str,
        at: &Place,
        stream: &Stream,
        output: &mut Stream,
        columns: &mut Vec<(Arc<Field>, Arc<dyn acme_flow::Expr>)>,
    ) -> bool {
        if let Some(column) = open_column(text, stream) {
            output.put(Column { name: name.to_owned(), ..column.clone() });
            return true;
        }
        let Some(resolved) = self.resolve(text, stream, None, at) else {
            // Known by name all the same, so that later steps are not blamed for this one.
            output.put(Column {
                name: name.to_owned(),
                internal: name.to_owned(),
                data_type: DataType::Null,
                json: false,
                number: false,
                origin: Origin::Fixed,
            });
            return false;
        };
        if let Some(column) = &resolved.column {
            output.put(Column { name: name.to_owned(), ..column.clone() });
            return true;
        }
        let internal = format!("{name}@{index}");
        output.put(Column {
            name: name.to_owned(),
            internal: internal.clone(),
            data_type: resolved.data_type.clone(),
            json: resolved.json,
            number: false,
            origin: Origin::Fixed,
        });
        let field = match resolved.json {
            true => json_field(&internal),
            false => Field::new(internal, resolved.data_type.clone(), true),
        };
        match self.compile(resolved, at) {
            Some(expr) => columns.push((Arc::new(field), expr)),
            None => return false,
        }
        true
    }

    fn rename(&mut self, old: &str, new: &str, at: &Place, output: &mut Stream) {
        if let Some(column) = output.columns.iter_mut().find(|column| column.name == old) {
            new.clone_into(&mut column.name);
        } else if let Some(member) = output.member_name(old) {
            let edits = output.document.as_mut().expect("only a document has members");
            edits.renamed.push((member, new.to_owned()));
        } else {
            self.unknown(old, at, output);
        }
    }

    fn remove(&mut self, name: &str, at: &Place, output: &mut Stream) {
        let before = output.columns.len();
        output.columns.retain(|column| column.name != name);
        let had = output.columns.len() < before;
        if let Some(edits) = &mut output.document {
            match edits.renamed.iter().position(|(_, new)| new == name) {
                Some(renamed) => {
                    let (old, _) = edits.renamed.remove(renamed);
                    edits.removed.push(old);
                }
                None => edits.removed.push(name.to_owned()),
            }
        } else if !had {
            self.unknown(name, at, output);
        }
    }

    fn keep(&mut self, name: &str, at: &Place, stream: &Stream, kept: &mut Stream) {
        match stream.find(name) {
            Found::Column(column) | Found::Declared(column) => {
                kept.put(Column { name: name.to_owned(), ..column.clone() });
            }
            Found::Member(member) => match self.fields.want(DocumentPath::field(&member), As::Json, at) {
                Ok(column) => kept.put(Column { name: name.to_owned(), ..column }),
                Err(diagnostic) => self.found.push(diagnostic),
            },
            Found::Nothing(_) => self.unknown(name, at, stream),
        }
    }

    fn unknown(&mut self, name: &str, at: &Place, stream: &Stream) {
        let known: Vec<&str> = stream.columns.iter().map(|column| &*column.name).collect();
        let message = format!("there is no field \"{name}\" at this step");
        let help = format!("known fields: {}", known.join(", "));
        self.found.push(Diagnostic::new(&UNKNOWN_FIELD, message).at(at).help(help));
    }

    pub(crate) fn resolve(
        &mut self,
        text: &str,
        stream: &Stream,
        expected: Option<&DataType>,
        at: &Place,
    ) -> Option<Resolved> {
        if text.trim().is_empty() {
            self.found.push(Diagnostic::new(&BAD_VALUE, "the expression is empty").at(at));
            return None;
        }
        let parsed = sql::parse(text)
            .map_err(|cause| Diagnostic::new(&SQL, format!("`{text}` is not valid SQL: {cause}")).at(at));
        let expr = parsed.map_err(|diagnostic| self.found.push(diagnostic)).ok()?;
        self.resolve_expr(expr, stream, expected, at)
    }

    pub(crate) fn resolve_expr(
        &mut self,
        expr: SqlExpr,
        stream: &Stream,
        expected: Option<&DataType>,
        at: &Place,
    ) -> Option<Resolved> {
        let resolved = resolve(expr, stream, &mut self.fields, expected, at);
        resolved.map_err(|diagnostic| self.found.push(diagnostic)).ok()
    }

    pub(crate) fn compile(&mut self, resolved: Resolved, at: &Place) -> Option<Arc<dyn acme_flow::Expr>> {
        let Resolved { logical, schema, columns, .. } = resolved;
        let is_number = |name: &str| columns.iter().any(|column| column.internal == name && column.number);
        match Compiled::new(logical, &schema, is_number) {
            Ok(compiled) => Some(Arc::new(compiled)),
            Err(cause) => {
                self.found.push(Diagnostic::new(&SQL, cause).at(at));
                None
            }
        }
    }
}

/// The text field whose type is still open, if an expression is nothing but its name: under another name it stays open.
fn open_column<'s>(text: &str, stream: &'s Stream) -> Option<&'s Column> {
    let (root, steps) = path(&sql::parse(text).ok()?)?;
    match stream.find(&root) {
        Found::Column(column) if steps.is_empty() && matches!(column.origin, Origin::Open(_)) => Some(column),
        _ => None,
    }
}

/// The name of an item without `AS`: the last name of a path, or the expression itself.
pub(crate) fn last_name(text: &str) -> String {
    let plain = text.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.'));
    if plain { text.rsplit('.').next().unwrap_or(text).to_owned() } else { text.to_owned() }
}
