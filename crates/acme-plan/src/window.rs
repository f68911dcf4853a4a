//! `window`: from its keys to the step that the engine runs.

mod calls;

use crate::aggregate;
use crate::event_time;
use crate::infer::Resolved;
use crate::planner::{Planner, last_name};
use crate::sql;
use crate::stream::{Column, Found, Origin, Stream};
use crate::tasks::Draft;
use acme_flow::window::{Grid, LATE_REASON, Windows};
use acme_flow::{Aggregate, EVENT_TIME, Inlet, Operator, Step, Target, time_type};
use acme_formats::json::WIDE_NUMBER;
use acme_spec::Item;
use acme_types::batch::{META_PREFIX, OPERATION, RAW, VERSION, is_json, json_field};
use acme_types::codes::{BAD_VALUE, CHANGE_MODE, DUPLICATE, EVENT_TIME_MISSING, FIELD_USE, SQL};
use acme_types::{Change, Diagnostic, Place};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use calls::Output;
use datafusion_sql::sqlparser::ast::SelectItem;
use std::sync::Arc;

/// The columns that a step is fed with: first the key's.
#[derive(Default)]
struct Inputs {
    columns: Vec<String>,
    fields: Vec<Field>,
    computed: Vec<(FieldRef, Arc<dyn acme_flow::Expr>)>,
}

impl Inputs {
    /// A column of the batch as it is.
    fn column(&mut self, internal: &str, kind: DataType) -> usize {
        let name =
            if internal == EVENT_TIME { EVENT_TIME.to_owned() } else { format!("c{}", self.columns.len()) };
        self.columns.push(internal.to_owned());
        self.fields.push(Field::new(name, kind, true));
        self.columns.len() - 1
    }

    fn types(&self, count: usize) -> Vec<DataType> {
        self.fields[..count].iter().map(|field| field.data_type().clone()).collect()
    }
}

/// What a step is fed with, and what it makes of that.
struct Fed {
    /// The key's columns, as the output has them.
    keys: Vec<Column>,
    key_types: Vec<DataType>,
    /// Where the event time is in the input.
    time: usize,
    schema: SchemaRef,
    outputs: Vec<Output>,
    /// The rows as they came and their columns, where late ones have an output.
    late: Option<(Stream, Vec<usize>)>,
}

/// The rows that come out, and what is computed for them behind the step.
type Rows = (Stream, Vec<(FieldRef, Arc<dyn acme_flow::Expr>)>);

impl Planner<'_> {
    /// Feeds a window with a stream; the target that takes its rows.
    pub(crate) fn window(&mut self, index: usize, item: &Item, stream: &Stream) -> Option<Target> {
        let before = self.found.len();
        let grid = self.grid(item);
        self.takes_windows(item, stream);
        let mut inputs = Inputs::default();
        let keys = self.keys(index, item, stream, &mut inputs);
        let key_count = inputs.columns.len();
        let time = inputs.column(EVENT_TIME, time_type());
        let (outputs, calls) = self.aggregates(index, item, stream, &mut inputs);
        let late = (!item.outputs.is_empty()).then(|| self.late(stream, &mut inputs, &item.at));
        if self.found.len() > before {
            return None;
        }
        let (grid, schema) = (grid?, aggregate::input_schema(inputs.fields.clone()));
        let task = match self.tasks.find(index) {
            Some((task, draft)) if same_types(&draft.input, &schema) && same_rows(&draft.late, &late) => task,
            Some(_) => {
                let message = format!("the streams that feed \"{}\" have fields of other types", item.name);
                let help =
                    "declare the fields of each source under `schema:`, or cast them in a `map` before";
                self.found.push(Diagnostic::new(&FIELD_USE, message).at(&item.at).help(help));
                return None;
            }
            None => {
                let (functions, key_types) = (self.functions(calls, &schema)?, inputs.types(key_count));
                let fed = Fed { keys, key_types, time, schema: schema.clone(), outputs, late };
                let draft = self.draft(index, item, grid, fed, functions)?;
                self.tasks.add(draft)
            }
        };
        let Inputs { columns, computed, .. } = inputs;
        self.inlets.push(Inlet { task, input: 0, columns, schema, keys: key_count });
        let inlet = Target::Inlet(self.inlets.len() - 1);
        if computed.is_empty() {
            return Some(inlet);
        }
        let shape = Arc::new(self.visible(stream, &item.at));
        let (name, operator, outputs) =
            (item.name.as_str().into(), Operator::Map(computed), vec![vec![inlet]]);
        self.steps.push(Step { name, operator, shape, outputs });
        Some(Target::Step(self.steps.len() - 1))
    }

    /// The step, fed for the first time.
    fn draft(
        &mut self,
        index: usize,
        item: &Item,
        grid: Grid,
        fed: Fed,
        aggregates: Vec<Arc<dyn Aggregate>>,
    ) -> Option<Draft> {
        let window = item.config.object("window")?;
        let lateness = window.int("allowed_lateness").copied().unwrap_or(0);
        let is_final = item.config.text("emit").is_some_and(|emit| emit == "final");
        let updates = lateness > 0 && !is_final;
        let mut fields: Vec<FieldRef> = Vec::new();
        for (key, field) in fed.keys.iter().zip(fed.schema.fields()) {
            fields.push(match key.json {
                true => Arc::new(json_field(&key.internal)),
                false => Arc::new(field.as_ref().clone().with_name(&key.internal)),
            });
        }
        fields.extend(Windows::output_fields(START, END, &aggregates, updates));
        let (output, computed) = self.output(fed.keys, &fed.outputs, &aggregates, updates)?;
        let windows = Windows {
            name: item.name.as_str().into(),
            computes: computes(item),
            grid,
            lateness,
            is_final,
            keys: fed.key_types,
            time: fed.time,
            aggregates,
            late: fed.late.as_ref().map(|(_, columns)| columns.clone()),
            output: Arc::new(Schema::new(fields)),
        };
        let keeps = format!(
            "one row for each key and {}, until the watermark is {} past the last window of its time",
            match grid {
                Grid::Hopping { size, hop, .. } if size == hop => "window",
                _ => "slice of its windows",
            },
            match lateness {
                0 => "just".to_owned(),
                lateness => format!("{} s", lateness / 1_000_000),
            }
        );
        let late = fed.late.map(|(stream, _)| stream);
        let factory = Arc::new(Arc::new(windows));
        Some(Draft { transform: index, factory, input: fed.schema, late, output, computed, keeps })
    }

    fn takes_windows(&mut self, item: &Item, stream: &Stream) {
        if stream.change != Change::Append {
            let message = format!("\"{}\" aggregates new rows, and these are changes of rows", item.name);
            let help = "keep the inserts only: `condition: \"operation = 'INSERT'\"` in a filter before";
            self.found.push(Diagnostic::new(&CHANGE_MODE, message).at(&item.at).help(help));
        }
        if matches!(stream.find_meta("event_time"), Found::Nothing(_)) {
            let message = format!(
                "\"{}\" needs to know when things happened, and a source that feeds it does not say",
                item.name
            );
            let help = "add `event_time: {column: …, max_out_of_orderness: 10s}` to the source";
            self.found.push(Diagnostic::new(&EVENT_TIME_MISSING, message).at(&item.at).help(help));
        }
    }

    fn grid(&mut self, item: &Item) -> Option<Grid> {
        const LEAST: i64 = 1000;
        let config = item.config.object("window")?;
        let kind = config.text("type")?.as_str();
        let own = match kind {
            "hopping" => Some("hop"),
            "sliding" => Some("slide"),
            "cumulative" => Some("step"),
            _ => None,
        };
        let mut fault = |key: &str, message: String, help: String| {
            self.found.push(Diagnostic::new(&BAD_VALUE, message).at(config.place(key)).help(help));
        };
        for key in
            ["hop", "slide", "step"].into_iter().filter(|key| Some(*key) != own && config.get(key).is_some())
        {
            fault(
                key,
                format!("a {kind} window has no \"{key}\""),
                "remove it, or choose another type of window".to_owned(),
            );
        }
        let (size, offset) = (*config.int("size")?, *config.int("offset")?);
        let step = match own {
            None => size,
            Some(key) => match config.int(key) {
                Some(step) => *step,
                None => {
                    fault(
                        key,
                        format!("a {kind} window needs \"{key}\""),
                        format!("add `{key}:` with a duration"),
                    );
                    return None;
                }
            },
        };
        for (key, length) in [("size", size), (own.unwrap_or("size"), step)] {
            if length < LEAST {
                fault(key, format!("\"{key}\" is shorter than a millisecond"), "take 1ms or more".to_owned());
                return None;
            }
        }
        match kind {
            "cumulative" if size % step != 0 => {
                fault(
                    "step",
                    "\"step\" does not divide \"size\"".to_owned(),
                    "the longest window has a whole number of steps".to_owned(),
                );
                None
            }
            "cumulative" => Some(Grid::Cumulative { size, step, offset }),
            "sliding" if step > size => {
                fault(
                    "slide",
                    "\"slide\" is longer than \"size\"".to_owned(),
                    "for windows with gaps between them take `hopping`".to_owned(),
                );
                None
            }
            _ => Some(Grid::Hopping { size, hop: step, offset }),
        }
    }

    /// The key's columns as the output has them; they come first in the input.
    fn keys(&mut self, index: usize, item: &Item, stream: &Stream, inputs: &mut Inputs) -> Vec<Column> {
        let mut keys: Vec<Column> = Vec::new();
        for value in item.config.list("group_by").into_iter().flatten() {
            let text = value.text().unwrap_or_default();
            let (name, expr) = match sql::parse_item(text) {
                Ok(SelectItem::ExprWithAlias { expr, alias }) => (alias.value, expr),
                Ok(SelectItem::UnnamedExpr(expr)) => (last_name(&expr.to_string()), expr),
                Ok(_) => {
                    self.fault(&SQL, "`group_by` takes no `*`".to_owned(), &value.at, "name the fields");
                    continue;
                }
                Err(cause) => {
                    self.fault(
                        &SQL,
                        format!("`{text}` is not valid SQL: {cause}"),
                        &value.at,
                        "name a field, or `expression AS name`",
                    );
                    continue;
                }
            };
            if keys.iter().any(|key| key.name == name) || [START, END].contains(&&*name) {
                self.fault(
                    &DUPLICATE,
                    format!("the output has the field \"{name}\" twice"),
                    &value.at,
                    "name it with `AS`",
                );
                continue;
            }
            let Some(resolved) = self.resolve_expr(expr, stream, None, &value.at) else { continue };
            let (json, data_type) = (is_json_text(&resolved), stored(&resolved));
            if self.input(index, inputs, resolved, data_type.clone(), &value.at).is_some() {
                let internal = name.clone();
                keys.push(Column { name, internal, data_type, json, number: false, origin: Origin::Fixed });
            }
        }
        keys
    }

    /// A column of the input with the values of an expression, as this type.
    fn input(
        &mut self,
        index: usize,
        inputs: &mut Inputs,
        resolved: Resolved,
        kind: DataType,
        at: &Place,
    ) -> Option<usize> {
        if let Some(column) = &resolved.column {
            return Some(inputs.column(&column.internal.clone(), kind));
        }
        let internal = format!("{META_PREFIX}input.{index}.{}", inputs.computed.len());
        let field = Arc::new(Field::new(&internal, resolved.data_type.clone(), true));
        let expr = self.compile(resolved, at)?;
        inputs.computed.push((field, expr));
        Some(inputs.column(&internal, kind))
    }

    /// The rows that come out, and what is computed of the aggregates.
    fn output(
        &mut self,
        keys: Vec<Column>,
        outputs: &[Output],
        aggregates: &[Arc<dyn Aggregate>],
        updates: bool,
    ) -> Option<Rows> {
        let fixed = |name: &str, data_type: DataType| Column {
            name: name.to_owned(),
            internal: name.to_owned(),
            data_type,
            json: false,
            number: false,
            origin: Origin::Fixed,
        };
        let mut columns = keys;
        columns.extend([fixed(START, time_type()), fixed(END, time_type())]);
        let key =
            if updates { columns.iter().map(|column| column.internal.clone()).collect() } else { Vec::new() };
        let mut meta = vec![event_time::column()];
        if updates {
            let hidden = |internal: &str, kind| Column {
                internal: internal.to_owned(),
                ..fixed(&internal[META_PREFIX.len()..], kind)
            };
            meta.extend([hidden(OPERATION, DataType::Utf8View), hidden(VERSION, DataType::Int64)]);
        }
        let change = if updates { Change::Upsert } else { Change::Append };
        let mut known = Stream { columns, meta, document: None, declared: Vec::new(), change, key };
        let mut stream = known.clone();
        for function in aggregates {
            let field = function.result();
            known
                .columns
                .push(Column { json: is_json(&field), ..fixed(field.name(), field.data_type().clone()) });
        }
        let mut computed: Vec<(FieldRef, Arc<dyn acme_flow::Expr>)> = Vec::new();
        for Output { name, expr, at } in outputs {
            if stream.columns.iter().any(|column| column.name == *name) {
                self.fault(
                    &DUPLICATE,
                    format!("the output has the field \"{name}\" twice"),
                    at,
                    "give the aggregate another name",
                );
                continue;
            }
            let resolved = self.resolve_expr(expr.clone(), &known, None, at)?;
            let column = match &resolved.column {
                Some(column) => Column { name: name.clone(), ..column.clone() },
                None => {
                    let internal = format!("{name}@{}", computed.len());
                    let column =
                        Column { internal: internal.clone(), ..fixed(name, resolved.data_type.clone()) };
                    let field = Arc::new(Field::new(internal, resolved.data_type.clone(), true));
                    computed.push((field, self.compile(resolved, at)?));
                    column
                }
            };
            stream.columns.push(column);
        }
        Some((stream, computed))
    }

    /// The rows as they came, for those that come too late, and where their columns are in the input.
    fn late(&mut self, stream: &Stream, inputs: &mut Inputs, at: &Place) -> (Stream, Vec<usize>) {
        let shape = self.visible(stream, at);
        let mut late = stream.clone();
        let mut columns = Vec::new();
        let kind_of = |internal: &str| {
            let known = stream.columns.iter().chain(&stream.meta).find(|column| column.internal == internal);
            known.map_or(DataType::Utf8View, |column| column.data_type.clone())
        };
        for (column, (_, internal)) in late.columns.iter_mut().zip(&shape.columns) {
            let at = inputs.column(internal, kind_of(internal));
            column.internal = inputs.fields[at].name().clone();
            column.origin = Origin::Fixed;
            columns.push(at);
        }
        late.meta = vec![event_time::column()];
        columns.push(inputs.columns.iter().position(|column| column == EVENT_TIME).expect("it is an input"));
        if late.document.is_some() {
            let at = inputs.column(RAW, DataType::BinaryView);
            inputs.fields[at] = Field::new(RAW, DataType::BinaryView, true);
            columns.push(at);
        }
        late.meta.push(Column {
            name: LATE_REASON[META_PREFIX.len()..].to_owned(),
            internal: LATE_REASON.to_owned(),
            data_type: DataType::Utf8View,
            json: false,
            number: false,
            origin: Origin::Fixed,
        });
        (late, columns)
    }

    fn fault(
        &mut self,
        code: &'static acme_types::codes::Code,
        message: String,
        at: &Place,
        help: &'static str,
    ) {
        self.found.push(Diagnostic::new(code, message).at(at).help(help));
    }
}

const START: &str = "window_start";
const END: &str = "window_end";

/// The expressions of the key and of the aggregates, as the file has them.
fn computes(item: &Item) -> String {
    let keys = item.config.texts("group_by").map(str::trim);
    let aggregates =
        item.config.map("aggregates").into_iter().flatten().filter_map(|(_, value)| value.text());
    keys.chain(["aggregated:"]).chain(aggregates.map(str::trim)).collect::<Vec<_>>().join("; ")
}

/// Whether its values are JSON text.
fn is_json_text(resolved: &Resolved) -> bool {
    resolved.column.as_ref().map_or(resolved.json, |column| column.json)
}

/// The type of a value in the state: undeclared numbers may need the widest.
fn stored(resolved: &Resolved) -> DataType {
    let open = resolved.columns.iter().any(|column| column.number);
    match &resolved.data_type {
        kind if open && kind.is_integer() => WIDE_NUMBER,
        kind => kind.clone(),
    }
}

fn same_types(one: &Schema, other: &Schema) -> bool {
    one.fields()
        .iter()
        .map(|field| field.data_type())
        .eq(other.fields().iter().map(|field| field.data_type()))
}

fn same_rows(one: &Option<Stream>, other: &Option<(Stream, Vec<usize>)>) -> bool {
    match (one, other) {
        (None, None) => true,
        (Some(one), Some((other, _))) => one.columns == other.columns && one.document == other.document,
        _ => false,
    }
}
