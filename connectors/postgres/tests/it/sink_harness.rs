//! Drives the destination as the engine does: claim, open, write, prepare, commit.

use crate::harness::make as make_source;
use acme_connect::{
    AnySink, Connector, Context, DynCommitPoint, Fate, Fates, Maker, OsDisk, Rows, SystemClock,
};
use acme_lab::postgres::Postgres;
use acme_types::batch::{OPERATION, VERSION};
use acme_types::{
    Batch, Chunk, Config, Diagnostic, DocumentEdits, Epoch, EventTime, Kind, Payload, Place, Positions,
    Secret, Shape, Value, ValueKind,
};
use arrow::array::{ArrayRef, BinaryViewArray, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::{Field, Schema};
use std::sync::Arc;

/// A destination in the middle of its work.
pub(crate) struct Sink {
    pub(crate) sink: Box<dyn DynCommitPoint>,
    epoch: u64,
}

fn config(connector: &Connector, url: &str, keys: &[(&str, &str)]) -> Config {
    let at = Place { file: "pipeline.yaml".into(), line: 1, column: 1 };
    let value = |kind| Value { kind, at: at.clone() };
    let mut values = Vec::new();
    for field in connector.spec.fields {
        let given = keys.iter().find(|(name, _)| *name == field.name).map(|(_, text)| *text);
        let Some(text) = given.or(field.default).or((field.name == "connection").then_some(url)) else {
            continue;
        };
        let kind = match field.kind {
            Kind::Secret => ValueKind::Secret(Secret::new(text.to_owned())),
            Kind::Bool => ValueKind::Bool(text == "true"),
            Kind::List(_) => {
                let item = |text: &str| value(ValueKind::Text(text.to_owned()));
                ValueKind::List(text.split(' ').map(item).collect())
            }
            _ => ValueKind::Text(text.to_owned()),
        };
        values.push((field.name, value(kind)));
    }
    Config { values, at }
}

pub(crate) fn make(url: &str, keys: &[(&str, &str)]) -> Result<Box<dyn DynCommitPoint>, Diagnostic> {
    let context = Context {
        disk: Arc::new(OsDisk),
        memory: None,
        log: None,
        clock: Arc::new(SystemClock::start()),
        item: "copy".into(),
        pipeline: "test".into(),
        tells_ends: false,
        batch_mode: false,
        notes: acme_connect::Notes::default(),
    };
    let connector = &connector_postgres::DESTINATION;
    let Maker::Sink(maker) = connector.make else { panic!("it is a destination") };
    let parts = maker(&config(connector, url, keys), &context)?;
    let AnySink::CommitPoint(sink) = parts.sink else { panic!("it can hold the commit point") };
    Ok(sink)
}

impl Sink {
    /// As the commit point, claimed by `writer`, with its first checkpoint committed.
    pub(crate) async fn claimed(
        url: &str,
        keys: &[(&str, &str)],
        writer: &str,
    ) -> Result<(Self, Option<String>), Diagnostic> {
        let mut sink = make(url, keys)?;
        let before = sink.claim(writer).await?;
        sink.commit_with(Epoch(0), &format!("{writer}-0")).await?;
        sink.open(None).await?;
        Ok((Self { sink, epoch: 0 }, before))
    }

    /// The commit point of an ordinary test.
    pub(crate) async fn new(postgres: &Postgres, keys: &[(&str, &str)]) -> Self {
        Self::claimed(&postgres.url(), keys, "w").await.unwrap().0
    }

    /// As one of several destinations.
    pub(crate) async fn plain(url: &str, keys: &[(&str, &str)]) -> Result<Self, Diagnostic> {
        let mut sink = make(url, keys)?;
        sink.open(None).await?;
        Ok(Self { sink, epoch: 0 })
    }

    /// Writes rows that must all be accepted.
    #[track_caller]
    pub(crate) fn write(&mut self, rows: &Rows) -> impl Future<Output = ()> {
        let at = std::panic::Location::caller();
        async move {
            let fates = self.sink.write(rows).await.unwrap_or_else(|fault| panic!("{at}: {fault}"));
            assert_eq!(fates, Fates::new(), "{at}");
        }
    }

    /// Writes rows; those that are refused, with the reasons.
    pub(crate) async fn refused(&mut self, rows: &Rows) -> Vec<(usize, String)> {
        let fates = self.sink.write(rows).await.unwrap();
        let reason = |fate| match fate {
            Fate::Reject { reason } => reason,
            Fate::Retry { .. } => panic!("{fate:?}"),
        };
        fates.into_iter().map(|(row, fate)| (row, reason(fate))).collect()
    }

    /// Ends the epoch as the commit point.
    pub(crate) async fn commit(&mut self) -> Result<(), Diagnostic> {
        self.epoch += 1;
        let epoch = Epoch(self.epoch);
        self.sink.prepare(epoch, false).await?;
        self.sink.commit_with(epoch, &format!("checkpoint-{epoch}")).await?;
        self.sink.commit(epoch).await
    }

    /// Ends the epoch as one of several.
    pub(crate) async fn prepare(&mut self) -> Result<(), Diagnostic> {
        self.epoch += 1;
        self.sink.prepare(Epoch(self.epoch), false).await.map(drop)
    }
}

/// Rows of typed columns.
pub(crate) fn rows(columns: Vec<(&str, ArrayRef)>) -> Rows {
    changes(columns, &[], &[])
}

/// Rows of a stream of changes; `operations` name what happened to each, none for plain rows.
pub(crate) fn changes(columns: Vec<(&str, ArrayRef)>, key: &[&str], operations: &[&str]) -> Rows {
    let names: Vec<(String, String)> =
        columns.iter().map(|(name, _)| ((*name).to_owned(), (*name).to_owned())).collect();
    let mut all: Vec<(Field, ArrayRef)> = columns
        .into_iter()
        .map(|(name, array)| (Field::new(name, array.data_type().clone(), true), array))
        .collect();
    if !operations.is_empty() {
        let words: ArrayRef = Arc::new(StringViewArray::from_iter_values(operations));
        let versions: ArrayRef = Arc::new(Int64Array::from_iter_values(0..operations.len() as i64));
        all.push((Field::new(OPERATION, words.data_type().clone(), false), words));
        all.push((Field::new(VERSION, versions.data_type().clone(), false), versions));
    }
    let (fields, arrays): (Vec<_>, Vec<_>) = all.into_iter().unzip();
    let columns = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap();
    let key = key.iter().map(|name| (*name).to_owned()).collect();
    let shape = Arc::new(Shape { columns: names, key, ..Shape::default() });
    Rows { batch: Batch { columns, tick: EventTime(0) }, shape, encoded: None, hint: None }
}

/// Documents as they come from a file.
pub(crate) fn documents(lines: &[&str]) -> Rows {
    let raw: ArrayRef = Arc::new(BinaryViewArray::from_iter_values(lines));
    let columns = RecordBatch::try_from_iter([("_meta.raw", raw)]).unwrap();
    let shape = Arc::new(Shape { document: Some(DocumentEdits::default()), ..Shape::default() });
    Rows { batch: Batch { columns, tick: EventTime(0) }, shape, encoded: None, hint: None }
}

pub(crate) fn ints(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

pub(crate) fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(StringViewArray::from_iter_values(values))
}

/// The rows that a chunk of the source becomes where nothing is between it and the destination.
pub(crate) fn passed_on(chunk: &Chunk, key: &[String]) -> Rows {
    let Payload::Batch(columns) = &chunk.payload else { panic!("a database yields batches") };
    let schema = columns.schema();
    let visible = schema.fields().iter().filter(|field| !field.name().starts_with("_meta."));
    let names = visible.map(|field| (field.name().clone(), field.name().clone())).collect();
    let shape = Arc::new(Shape { columns: names, key: key.to_vec(), ..Shape::default() });
    Rows { batch: Batch { columns: columns.clone(), tick: EventTime(0) }, shape, encoded: None, hint: None }
}

/// Copies what the source's tables hold now into the destination, in one epoch; how many rows that were.
pub(crate) async fn copy(source: &Postgres, tables: &str, sink: &mut Sink) -> usize {
    let mut from = make_source(&source.url(), &[("tables", tables)]).unwrap();
    let streams = from.describe().await.unwrap();
    from.open(&Positions::new()).await.unwrap();
    let mut count = 0;
    while let Some(chunk) = from.read().await.unwrap().rows() {
        let rows = passed_on(&chunk, &streams[chunk.stream].key);
        count += rows.batch.rows();
        sink.write(&rows).await;
    }
    sink.commit().await.unwrap();
    count
}
