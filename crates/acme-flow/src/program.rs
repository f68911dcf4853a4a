//! What one lane does with one chunk: decode, the steps that follow, encode.

use crate::expr::{Expr, TICK};
use crate::keyed::hashes;
use crate::operators;
use crate::task::{EVENT_TIME, time_type};
use acme_connect::{Block, Cut, Decode, Encode, Encoded, Format, Rows, metadata};
use acme_types::{Batch, Chunk, Diagnostic, EventTime, Hint, Origin, Payload, Rejected, Shape, codes};
use arrow::array::{AsArray, RecordBatch, RecordBatchOptions};
use arrow::compute::{cast, max};
use arrow::datatypes::{Field, FieldRef, SchemaRef, TimestampMicrosecondType};
use std::sync::Arc;

/// The steps between one source and the destinations that it feeds. A lane runs its own [`Program::instance`].
pub struct Program {
    /// The name of the source.
    pub source: Arc<str>,
    /// For sources that yield bytes.
    pub decoder: Option<Box<dyn Decode>>,
    /// The event time of each row, where the source says what it is: becomes the column [`EVENT_TIME`].
    pub event_time: Option<Arc<dyn Expr>>,
    /// The steps, each behind those that read it.
    pub steps: Vec<Step>,
    /// What reads the source itself.
    pub targets: Vec<Target>,
    /// The destinations, and what is delivered to each.
    pub outlets: Vec<Outlet>,
    /// The steps with state, and what each is given.
    pub inlets: Vec<Inlet>,
}

/// A step of the pipeline.
#[derive(Clone)]
pub struct Step {
    /// Its name.
    pub name: Arc<str>,
    /// What it does.
    pub operator: Operator,
    /// What the user sees of a row behind it.
    pub shape: Arc<Shape>,
    /// Who reads each of its outputs.
    pub outputs: Vec<Vec<Target>>,
}

/// What a step does. None of these has state.
#[derive(Clone)]
pub enum Operator {
    /// Keeps the rows for which the condition is true.
    Filter(Arc<dyn Expr>),
    /// Over changes of rows: keeps the rows for which a condition on their columns is true. A row that an update takes out of
    /// it goes on as a DELETE.
    FilterChanges(Arc<dyn Expr>),
    /// Adds columns. Of a field the name and metadata count; its type is what the expression yields.
    Map(Vec<(FieldRef, Arc<dyn Expr>)>),
    /// Sends each row to the first output whose condition is true; to the last output, if it has one more than
    /// conditions, where none is.
    Route(Vec<Arc<dyn Expr>>),
    /// The same over changes of rows, where a condition may read the row's columns: then a row that an update moves to another
    /// output goes on as a DELETE in the first.
    RouteChanges(Vec<(Arc<dyn Expr>, bool)>),
}

/// The reader of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A step, by its index.
    Step(usize),
    /// An outlet, by its index.
    Outlet(usize),
    /// An inlet, by its index.
    Inlet(usize),
}

/// The way to one destination.
#[derive(Clone)]
pub struct Outlet {
    /// The destination's index in the job.
    pub sink: usize,
    /// What its rows are made of.
    pub shape: Arc<Shape>,
    /// The bytes that it takes, if it takes bytes; none where it takes the rows' documents as they lie.
    pub format: Option<Format>,
}

/// The way to a step with state.
#[derive(Clone)]
pub struct Inlet {
    /// The step's index in the job.
    pub task: usize,
    /// Which of its inputs this is.
    pub input: usize,
    /// The columns that it takes: their names in the batch.
    pub columns: Vec<String>,
    /// Their names and types as the step knows them.
    pub schema: SchemaRef,
    /// How many of them are its key: the first ones.
    pub keys: usize,
}

/// Rows for a step with state.
#[derive(Clone, Debug)]
pub struct Keyed {
    /// The rows.
    pub rows: RecordBatch,
    /// The hash of each row's key.
    pub hashes: Vec<u64>,
}

/// What became of a chunk.
#[derive(Default)]
pub struct Outcome {
    /// Rows by outlet.
    pub rows: Vec<Vec<Rows>>,
    /// Rows by inlet.
    pub inlets: Vec<Vec<Keyed>>,
    /// The latest event time of all rows, where they have one.
    pub latest: Option<EventTime>,
    /// Rows that failed.
    pub rejected: Vec<Rejected>,
    /// Rows that the source delivered, good or bad.
    pub read: usize,
    /// What went into each step and came out of it, where that was asked for.
    pub trace: Option<Vec<Trace>>,
}

/// What one step did with one batch.
#[derive(Clone, Debug)]
pub struct Trace {
    /// The step.
    pub step: Arc<str>,
    /// Rows that went in.
    pub rows_in: usize,
    /// What came out, by output.
    pub outputs: Vec<Batch>,
    /// What the user sees of a row that came out.
    pub shape: Arc<Shape>,
}

/// What an outlet delivers, and how it is written as bytes if it is.
type LaneOutlet = (Arc<Shape>, Option<Box<dyn Encode>>);

/// A program as one lane runs it.
pub(crate) struct Instance {
    source: Arc<str>,
    decoder: Option<Box<dyn Decode>>,
    event_time: Option<Arc<dyn Expr>>,
    steps: Arc<[Step]>,
    targets: Vec<Target>,
    outlets: Vec<LaneOutlet>,
    inlets: Arc<[Inlet]>,
}

impl Program {
    /// Runs one chunk and keeps what each step did with it.
    pub fn trace(&self, chunk: &Chunk, tick: EventTime) -> Result<Outcome, Diagnostic> {
        self.instance().run_into(Outcome { trace: Some(Vec::new()), ..Outcome::default() }, chunk, tick)
    }

    /// The filters and routes that decide by the clock: by `NOW()` itself, or by a column that was computed with it.
    pub fn judged_by_the_clock(&self) -> Vec<&str> {
        let mut clocked = vec![TICK];
        let mut judges = Vec::new();
        for step in self.steps.iter().rev() {
            let by_clock =
                |expr: &Arc<dyn Expr>, clocked: &[&str]| clocked.iter().any(|column| expr.reads(column));
            let judges_so = match &step.operator {
                Operator::Filter(condition) | Operator::FilterChanges(condition) => {
                    by_clock(condition, &clocked)
                }
                Operator::Route(conditions) => conditions.iter().any(|one| by_clock(one, &clocked)),
                Operator::RouteChanges(conditions) => {
                    conditions.iter().any(|(one, _)| by_clock(one, &clocked))
                }
                Operator::Map(fields) => {
                    let made = fields.iter().filter(|(_, expr)| by_clock(expr, &clocked));
                    let made: Vec<&str> = made.map(|(field, _)| field.name().as_str()).collect();
                    clocked.extend(made);
                    false
                }
            };
            if judges_so {
                judges.push(&*step.name);
            }
        }
        judges
    }

    pub(crate) fn instance(&self) -> Instance {
        let outlet = |outlet: &Outlet| {
            (outlet.shape.clone(), outlet.format.as_ref().map(|format| format.encoder(&outlet.shape)))
        };
        Instance {
            source: self.source.clone(),
            decoder: self.decoder.as_ref().map(|decoder| decoder.another()),
            event_time: self.event_time.clone(),
            inlets: self.inlets.clone().into(),
            steps: self.steps.clone().into(),
            targets: self.targets.clone(),
            outlets: self.outlets.iter().map(outlet).collect(),
        }
    }
}

impl Instance {
    pub(crate) fn run(&mut self, chunk: &Chunk, tick: EventTime) -> Result<Outcome, Diagnostic> {
        self.run_into(Outcome::default(), chunk, tick)
    }

    fn run_into(
        &mut self,
        mut outcome: Outcome,
        chunk: &Chunk,
        tick: EventTime,
    ) -> Result<Outcome, Diagnostic> {
        self.begin(&mut outcome);
        let columns = match (&chunk.payload, &mut self.decoder) {
            (Payload::Batch(batch), _) => batch.clone(),
            (Payload::Bytes(bytes), Some(decoder)) => {
                let cut = Cut::ByFormat(chunk.origin.offset);
                decode(decoder.as_mut(), Block { bytes, cut }, &self.source, chunk, &mut outcome.rejected)
            }
            (Payload::Records(records), Some(decoder)) => {
                let block = Block { bytes: &records.buffer, cut: Cut::Values(&records.records) };
                let rows = decode(decoder.as_mut(), block, &self.source, chunk, &mut outcome.rejected);
                metadata::add(&rows, records)
            }
            (Payload::Bytes(_) | Payload::Records(_), None) => {
                let message = format!("source \"{}\" yields bytes without a format", self.source);
                return Err(Diagnostic::new(&codes::INTERNAL, message));
            }
        };
        outcome.read = columns.num_rows() + outcome.rejected.len();
        let mut batch = Batch { columns, tick };
        if let Some(event_time) = &self.event_time {
            let field = Arc::new(Field::new(EVENT_TIME, time_type(), false));
            batch = operators::timed(
                &batch,
                field,
                event_time.as_ref(),
                &self.source,
                &chunk.origin,
                &mut outcome.rejected,
            );
            let times = batch
                .column(EVENT_TIME)
                .and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>());
            outcome.latest = times.and_then(max).map(EventTime);
        }
        let targets = self.targets.clone();
        self.push(&batch, &targets, (&chunk.origin, Some(&chunk.payload)), &mut outcome)?;
        Ok(outcome)
    }

    /// Runs rows that a step with state has put out.
    pub(crate) fn run_rows(&mut self, batch: &Batch) -> Result<Outcome, Diagnostic> {
        let mut outcome = Outcome::default();
        self.begin(&mut outcome);
        let (targets, origin) = (self.targets.clone(), Origin { name: self.source.clone(), offset: 0 });
        self.push(batch, &targets, (&origin, None), &mut outcome)?;
        Ok(outcome)
    }

    fn begin(&self, outcome: &mut Outcome) {
        outcome.rows = self.outlets.iter().map(|_| Vec::new()).collect();
        outcome.inlets = self.inlets.iter().map(|_| Vec::new()).collect();
    }

    fn push(
        &mut self,
        batch: &Batch,
        targets: &[Target],
        from: (&Origin, Option<&Payload>),
        outcome: &mut Outcome,
    ) -> Result<(), Diagnostic> {
        if batch.rows() == 0 {
            return Ok(());
        }
        for target in targets {
            match *target {
                Target::Outlet(at) => {
                    let (shape, encoder) = &mut self.outlets[at];
                    let encoded = match encoder {
                        Some(encoder) => {
                            let mut encoded = Encoded::default();
                            encoder.encode(batch, &mut encoded)?;
                            Some(encoded)
                        }
                        None => None,
                    };
                    let hint = from.1.and_then(|payload| hint(payload, batch));
                    outcome.rows[at].push(Rows { batch: batch.clone(), shape: shape.clone(), encoded, hint });
                }
                Target::Inlet(at) => outcome.inlets[at].push(self.inlets[at].keyed(batch)?),
                Target::Step(at) => {
                    let steps = self.steps.clone();
                    let step = &steps[at];
                    let outputs = operators::apply(step, batch, from.0, &mut outcome.rejected);
                    if let Some(trace) = &mut outcome.trace {
                        trace.push(Trace {
                            step: step.name.clone(),
                            rows_in: batch.rows(),
                            outputs: outputs.clone(),
                            shape: step.shape.clone(),
                        });
                    }
                    for (output, targets) in outputs.iter().zip(&step.outputs) {
                        self.push(output, targets, from, outcome)?;
                    }
                }
            }
        }
        Ok(())
    }
}

impl Inlet {
    /// The step's columns of a batch. Numbers that the documents leave open come in two types, and become the wider.
    fn keyed(&self, batch: &Batch) -> Result<Keyed, Diagnostic> {
        let fault =
            |cause: String| Diagnostic::new(&codes::INTERNAL, format!("rows for a step with state: {cause}"));
        let typed = |(name, field): (&String, &FieldRef)| {
            let column =
                batch.column(name).ok_or_else(|| fault(format!("the column \"{name}\" is missing")))?;
            match column.data_type() == field.data_type() {
                true => Ok(column.clone()),
                false => cast(column, field.data_type()).map_err(|error| fault(error.to_string())),
            }
        };
        let columns =
            self.columns.iter().zip(self.schema.fields()).map(typed).collect::<Result<Vec<_>, _>>()?;
        let hashes = hashes(&columns[..self.keys], batch.rows());
        let options = RecordBatchOptions::new().with_row_count(Some(batch.rows()));
        let rows = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options);
        Ok(Keyed { rows: rows.map_err(|error| fault(error.to_string()))?, hashes })
    }
}

/// What the source knows of the chunk, if these are all of its rows.
fn hint(payload: &Payload, batch: &Batch) -> Option<Hint> {
    match payload {
        Payload::Records(records) if records.records.len() == batch.rows() => records.hint.clone(),
        _ => None,
    }
}

/// The rows of a block; what cannot be decoded joins the rejected rows.
fn decode(
    decoder: &mut dyn Decode,
    block: Block<'_>,
    source: &Arc<str>,
    chunk: &Chunk,
    rejected: &mut Vec<Rejected>,
) -> RecordBatch {
    let decoded = decoder.decode(block);
    rejected.extend(decoded.rejected.into_iter().map(|bad| Rejected {
        code: codes::DECODE.id,
        step: source.clone(),
        origin: format!("{}@{}", chunk.origin.name, bad.offset),
        original: block.bytes[bad.bytes].to_vec(),
        cause: bad.cause,
    }));
    decoded.rows
}
