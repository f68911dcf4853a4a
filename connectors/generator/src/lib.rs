//! `generator`: rows from a description and a seed, for demonstrations, tests and load.
//!
//! A row depends on the seed and its number alone, so a restart goes on with exactly the rows that would have come.

mod field;

use acme_connect::{Connector, Content, Context, Extent, Maker, Read, Source, SourceParts, StreamInfo, Unit};
use acme_types::batch::META_PREFIX;
use acme_types::{
    Change, Chunk, Clock, Config, Delivery, Diagnostic, Field, Kind, Origin, Payload, Position, Positions,
    Role, Spec, SplitId, codes,
};
use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field as ArrowField, Schema, SchemaRef};
use field::Generated;
use std::sync::Arc;
use std::time::Duration;

/// Rows in one batch at most.
const BATCH: u64 = 8192;
/// A batch leaves after this time even if it is not full.
const LATENCY: Duration = Duration::from_millis(20);

static SPEC: Spec = Spec {
    name: "generator",
    role: Role::Source,
    summary: "Makes rows from a description and a seed.",
    fields: &[
        Field::required(
            "fields",
            Kind::Map(&Kind::Text),
            "The fields, each with what it holds: `sequence`, `int(1, 100)`, `decimal(1, 500, 2)`, `double(0, 1)`, \
             `choice(a, b, c)`, `bool(0.5)`, `text(12)`, `uuid`, `timestamp(2026-01-01T00:00:00Z, 1s)`.",
        ),
        Field::optional(
            "rows",
            Kind::Int(0, i64::MAX),
            "How many rows there are; without it they never end.",
        ),
        Field::optional(
            "rate",
            Kind::Int(1, 1_000_000_000),
            "Rows a second; without it as many as are taken.",
        ),
        Field::defaulted("seed", Kind::Int(0, i64::MAX), "0", "Another seed makes other rows."),
    ],
    delivery: Delivery::ExactlyOnce,
    change: Change::Append,
};

/// The source `generator`.
pub static SOURCE: Connector = Connector { spec: &SPEC, make: Maker::Source(make) };

fn make(config: &Config, context: &Context) -> Result<SourceParts, Diagnostic> {
    let mut fields = Vec::new();
    for (name, value) in config.map("fields").into_iter().flatten() {
        let text = value.text().unwrap_or_default();
        fields.push(Generated::parse(name, text).map_err(|cause| {
            Diagnostic::new(&codes::BAD_VALUE, format!("field \"{name}\": {cause}")).at(&value.at)
        })?);
    }
    if fields.is_empty() {
        return Err(config.blame("fields", Diagnostic::new(&codes::BAD_VALUE, "there are no fields to make")));
    }
    let number =
        |key| config.int(key).map(|value| u64::try_from(*value).expect("the SPEC allows no negative number"));
    let visible = fields.iter().map(|field| Arc::new(ArrowField::new(&field.name, field.data_type(), false)));
    let schema = Arc::new(Schema::new(visible.chain([offset_field(META_PREFIX)]).collect::<Vec<_>>()));
    let source = Generator {
        fields,
        schema,
        rows: number("rows"),
        rate: number("rate"),
        seed: number("seed").unwrap_or(0),
        clock: context.clock.clone(),
        name: context.item.clone(),
        next: 0,
        began: (0, 0),
        extent: Arc::new(Extent::new(Unit::Rows)),
    };
    let streams = Some(vec![source.stream()]);
    Ok(SourceParts { source: Box::new(source), streams })
}

fn offset_field(prefix: &str) -> Arc<ArrowField> {
    Arc::new(ArrowField::new(format!("{prefix}offset"), DataType::Int64, false))
}

struct Generator {
    fields: Vec<Generated>,
    schema: SchemaRef,
    rows: Option<u64>,
    rate: Option<u64>,
    seed: u64,
    clock: Arc<dyn Clock>,
    name: Arc<str>,
    /// The number of the next row.
    next: u64,
    /// When the run began, and with which row.
    began: (u64, u64),
    /// How far it is, where there is an end.
    extent: Arc<Extent>,
}

impl Source for Generator {
    async fn describe(&mut self) -> Result<Vec<StreamInfo>, Diagnostic> {
        Ok(vec![self.stream()])
    }

    async fn sample(&mut self, rows: usize) -> Result<Vec<Chunk>, Diagnostic> {
        let rows = u64::try_from(rows).expect("usize is at most 64 bits");
        Ok(vec![self.chunk(rows.min(self.rows.unwrap_or(u64::MAX)).min(BATCH))])
    }

    async fn open(&mut self, from: &Positions) -> Result<Positions, Diagnostic> {
        if let Some(position) = from.get(&self.split()) {
            self.next = position.0.parse().map_err(|_| {
                Diagnostic::new(&codes::STATE, format!("the position \"{}\" is no row number", position.0))
            })?;
        }
        self.began = (self.clock.monotonic_us(), self.next);
        self.extent.begin(self.rows.map_or(0, |rows| rows.saturating_sub(self.next)));
        Ok([(self.split(), Position(self.next.to_string()))].into())
    }

    fn extent(&self) -> Option<Arc<Extent>> {
        Some(self.extent.clone())
    }

    async fn read(&mut self) -> Result<Read, Diagnostic> {
        let left = self.rows.map_or(u64::MAX, |rows| rows.saturating_sub(self.next));
        if left == 0 {
            self.extent.end();
            return Ok(Read::End);
        }
        let due = loop {
            match self.due() {
                0 => tokio::time::sleep(LATENCY).await,
                due => break due.min(left).min(BATCH),
            }
        };
        Ok(Read::Rows(self.chunk(due)))
    }

    async fn release(&mut self, _: &Positions) -> Result<(), Diagnostic> {
        Ok(())
    }
}

impl Generator {
    fn stream(&self) -> StreamInfo {
        StreamInfo {
            name: self.name.clone(),
            key: Vec::new(),
            change: Change::Append,
            content: Content::Columns(self.schema.clone()),
            meta: vec![offset_field("")],
        }
    }

    /// The next so many rows.
    fn chunk(&mut self, count: u64) -> Chunk {
        let rows = self.next..self.next + count;
        let mut columns: Vec<ArrayRef> = (0..)
            .zip(&self.fields)
            .map(|(index, field)| field.column(rows.clone(), self.seed, index))
            .collect();
        let number = |row: u64| i64::try_from(row).expect("2^63 rows take centuries");
        columns.push(Arc::new(Int64Array::from_iter_values(rows.clone().map(number))));
        let batch =
            RecordBatch::try_new(self.schema.clone(), columns).expect("the fields make what the schema says");
        self.next = rows.end;
        self.extent.add(usize::try_from(count).expect("a batch fits into memory"));
        Chunk {
            payload: Payload::Batch(batch),
            stream: 0,
            split: self.split(),
            position: Position(rows.end.to_string()),
            origin: Origin { name: self.name.clone(), offset: rows.start },
        }
    }

    fn split(&self) -> SplitId {
        SplitId("rows".to_owned())
    }

    /// Rows that the rate allows now.
    fn due(&self) -> u64 {
        let Some(rate) = self.rate else { return BATCH };
        let (start_us, start_row) = self.began;
        let elapsed = u128::from(self.clock.monotonic_us() - start_us);
        let allowed = u64::try_from(elapsed * u128::from(rate) / 1_000_000).unwrap_or(u64::MAX);
        (start_row + allowed).saturating_sub(self.next)
    }
}
