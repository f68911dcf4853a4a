//! Drives the source as the engine does: describe, open, read, release.

use acme_connect::{Context, DynSource, Maker, OsDisk, Read, StreamInfo, SystemClock};
use acme_lab::postgres::Postgres;
use acme_types::{Chunk, Config, Diagnostic, Kind, Payload, Place, Positions, Secret, Value, ValueKind};
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How long a test waits for anything.
const PATIENCE: Duration = Duration::from_secs(30);

/// One row as the tests see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) table: String,
    pub(crate) operation: String,
    pub(crate) version: i64,
    pub(crate) snapshot: bool,
    pub(crate) before: Option<String>,
    /// The user's columns: name and value, NULL as `None`.
    pub(crate) values: Vec<(String, Option<String>)>,
}

impl Row {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let value = self.values.iter().find(|(column, _)| column == name);
        value.unwrap_or_else(|| panic!("no column {name} in {self:?}")).1.as_deref()
    }
}

/// A source and where it stands.
pub(crate) struct Harness {
    pub(crate) source: Box<dyn DynSource>,
    pub(crate) streams: Vec<StreamInfo>,
    /// The position after the last chunk, as the engine would commit it.
    pub(crate) positions: Positions,
}

pub(crate) fn make(url: &str, keys: &[(&str, &str)]) -> Result<Box<dyn DynSource>, Diagnostic> {
    let at = Place { file: "pipeline.yaml".into(), line: 1, column: 1 };
    let mut values = Vec::new();
    let value = |kind| Value { kind, at: at.clone() };
    for field in connector_postgres::SOURCE.spec.fields {
        let given = keys.iter().find(|(name, _)| *name == field.name).map(|(_, text)| *text);
        let Some(text) = given.or(field.default).or((field.name == "connection").then_some(url)) else {
            continue;
        };
        let kind = match field.kind {
            Kind::Secret => ValueKind::Secret(Secret::new(text.to_owned())),
            Kind::List(_) => {
                let item = |text: &str| value(ValueKind::Text(text.to_owned()));
                ValueKind::List(text.split(' ').map(item).collect())
            }
            Kind::Duration => ValueKind::Int(match text {
                "10s" => 10_000_000,
                text => text.parse().expect("the tests give microseconds"),
            }),
            _ => ValueKind::Text(text.to_owned()),
        };
        values.push((field.name, value(kind)));
    }
    let context = Context {
        disk: Arc::new(OsDisk),
        memory: None,
        log: None,
        clock: Arc::new(SystemClock::start()),
        item: "users_cdc".into(),
        pipeline: "test".into(),
        tells_ends: false,
        batch_mode: false,
        notes: acme_connect::Notes::default(),
    };
    let Maker::Source(maker) = connector_postgres::SOURCE.make else { panic!("it is a source") };
    maker(&Config { values, at: at.clone() }, &context).map(|parts| parts.source)
}

/// Opening must fail.
pub(crate) async fn refused(url: &str, keys: &[(&str, &str)], from: &Positions) -> Diagnostic {
    match Harness::open(url, keys, from).await {
        Ok(_) => panic!("{keys:?} is accepted"),
        Err(fault) => fault,
    }
}

#[track_caller]
pub(crate) fn says(fault: &Diagnostic, message: &str, help: &str) {
    let shown = fault.to_string();
    assert!(fault.message.contains(message), "{shown}");
    assert!(fault.help.as_ref().is_some_and(|found| found.contains(help)), "{shown}");
    assert!(!shown.contains("wrong!") && !shown.contains(":lab@"), "a secret: {shown}");
}

impl Harness {
    /// Describes and opens.
    pub(crate) async fn open(url: &str, keys: &[(&str, &str)], from: &Positions) -> Result<Self, Diagnostic> {
        let mut source = make(url, keys)?;
        let streams = source.describe().await?;
        let positions = source.open(from).await?;
        Ok(Self { source, streams, positions })
    }

    /// A capture of these tables that begins anew.
    pub(crate) async fn capture(postgres: &Postgres, tables: &str) -> Self {
        let keys = [("mode", "cdc"), ("tables", tables)];
        Self::open(&postgres.url(), &keys, &Positions::new()).await.unwrap()
    }

    /// The next chunk, which must come.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Chunk>, Diagnostic> {
        let read = tokio::time::timeout(PATIENCE, self.source.read()).await.expect("a chunk comes in time");
        let read = read.map(Read::rows);
        if let Ok(Some(chunk)) = &read {
            self.positions.insert(chunk.split.clone(), chunk.position.clone());
        }
        read
    }

    /// The rows of the next chunk.
    pub(crate) async fn rows(&mut self) -> Vec<Row> {
        rows(&self.chunk().await.unwrap().expect("the stream has no end"))
    }

    /// The rows of the next chunk, where a fault is to be found first.
    pub(crate) async fn patient_rows(&mut self) -> Vec<Row> {
        let read =
            tokio::time::timeout(PATIENCE * 3, self.source.read()).await.expect("a chunk comes in time");
        let chunk = read.unwrap().rows().expect("the stream has no end");
        self.positions.insert(chunk.split.clone(), chunk.position.clone());
        rows(&chunk)
    }

    /// Reads until that many rows have come.
    pub(crate) async fn take(&mut self, count: usize) -> Vec<Row> {
        let mut all = Vec::new();
        while all.len() < count {
            all.extend(self.rows().await);
        }
        assert_eq!(all.len(), count, "{all:#?}");
        all
    }

    pub(crate) async fn release(&mut self) {
        let positions = self.positions.clone();
        self.source.release(&positions).await.unwrap();
    }
}

pub(crate) fn rows(chunk: &Chunk) -> Vec<Row> {
    let Payload::Batch(batch) = &chunk.payload else { panic!("a database yields batches") };
    (0..batch.num_rows()).map(|row| one(batch, row)).collect()
}

fn one(batch: &RecordBatch, row: usize) -> Row {
    let schema = batch.schema();
    let hidden = |name: &str| batch.column_by_name(&format!("_meta.{name}")).expect("it is in every batch");
    let text = |name: &str| hidden(name).as_string_view().value(row).to_owned();
    let options = FormatOptions::default();
    let shown = |column: &dyn Array| {
        let formatter = ArrayFormatter::try_new(column, &options).unwrap();
        (!column.is_null(row)).then(|| formatter.value(row).to_string())
    };
    let fields = schema.fields().iter().zip(batch.columns());
    let visible = fields.filter(|(field, _)| !field.name().starts_with("_meta."));
    Row {
        table: format!("{}.{}", text("schema"), text("table")),
        operation: text("operation"),
        version: hidden("version").as_primitive::<Int64Type>().value(row),
        snapshot: hidden("snapshot").as_boolean().value(row),
        before: shown(hidden("before")),
        values: visible.map(|(field, column)| (field.name().clone(), shown(column))).collect(),
    }
}

/// A destination that refuses what is not newer: the last version of each key, and its row unless it is deleted.
#[derive(Default)]
pub(crate) struct Target(pub(crate) BTreeMap<(String, String), (i64, Option<Row>)>);

impl Target {
    pub(crate) fn apply(&mut self, rows: Vec<Row>, key: &str) {
        for row in rows {
            let name = (row.table.clone(), row.get(key).unwrap_or_default().to_owned());
            let entry = self.0.entry(name).or_insert((i64::MIN, None));
            if row.version > entry.0 {
                let gone = row.operation == "DELETE";
                *entry = (row.version, (!gone).then_some(row));
            }
        }
    }

    /// What a table holds, as `key|column|…` in the order of the keys.
    pub(crate) fn dump(&self, table: &str) -> Vec<String> {
        let rows =
            self.0.iter().filter(|((name, _), _)| name == table).filter_map(|(_, (_, row))| row.as_ref());
        let line = |row: &Row| {
            let texts = row.values.iter().map(|(_, value)| value.clone().unwrap_or_default());
            texts.collect::<Vec<_>>().join("|")
        };
        let mut lines: Vec<String> = rows.map(line).collect();
        lines.sort_unstable();
        lines
    }
}
