//! Destinations from the text of a pipeline file, driven as the engine does: open, write, prepare, commit.

use crate::server::Dataset;
use acme_connect::{
    AnySink, Context, DynSink, Encoded, Fate, Fates, Maker, OsDisk, Prepared, Rows, SinkParts, SystemClock,
};
use acme_spec::Environment;
use acme_types::batch::OPERATION;
use acme_types::{Batch, Change, Delivery, Diagnostic, DocumentEdits, Epoch, EventTime, Role, Shape, Spec};
use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StringViewArray};
use arrow::datatypes::{DataType, Field, Schema};
use connector_bigquery::DESTINATION;
use std::io;
use std::sync::Arc;

static SOURCE: Spec = Spec {
    name: "rows",
    role: Role::Source,
    summary: "Rows of a test.",
    fields: &[],
    delivery: Delivery::ExactlyOnce,
    change: Change::Upsert,
};

/// An environment without variables.
struct Nothing;

impl Environment for Nothing {
    fn variable(&self, _: &str) -> Option<String> {
        None
    }
    fn file(&self, _: &str) -> io::Result<String> {
        Err(io::ErrorKind::NotFound.into())
    }
}

/// A destination with these lines in its item.
pub(crate) fn make(keys: &str, batch_mode: bool) -> Result<SinkParts, Diagnostic> {
    let keys: String = keys.lines().map(|line| format!("    {}\n", line.trim())).collect();
    let text = format!("name: test\nsources:\n  - type: rows\ndestinations:\n  - type: bigquery\n{keys}");
    let (spec, mut found) = acme_spec::parse("p.yaml", &text, &[&SOURCE, DESTINATION.spec], &Nothing);
    let Some(spec) = spec else { return Err(found.remove(0)) };
    let context = Context {
        disk: Arc::new(OsDisk),
        memory: None,
        log: None,
        clock: Arc::new(SystemClock::start()),
        item: "warehouse".into(),
        pipeline: "test".into(),
        tells_ends: false,
        batch_mode,
        notes: acme_connect::Notes::default(),
    };
    let Maker::Sink(make) = &DESTINATION.make else { unreachable!("it is a destination") };
    make(&spec.destinations[0].config, &context)
}

pub(crate) fn unwrapped(sink: AnySink) -> Box<dyn DynSink> {
    match sink {
        AnySink::Plain(sink) => sink,
        AnySink::CommitPoint(_) => unreachable!("it holds no commit point"),
    }
}

/// The keys of a destination that writes to a table of the emulator.
pub(crate) fn keys(dataset: &Dataset, table: &str, more: &str) -> String {
    format!(
        "table: {}.{table}\nproject: lab\nendpoint: {}\nstorage_endpoint: {}\n{more}",
        dataset.name, dataset.rest, dataset.storage
    )
}

/// One life of a destination, with the checkpoint that it committed last.
pub(crate) struct Life {
    pub(crate) sink: Box<dyn DynSink>,
    epoch: u64,
}

impl Life {
    /// Begins with what the last committed checkpoint holds.
    pub(crate) async fn begin(keys: &str, prepared: Option<&Prepared>) -> Self {
        Self::try_begin(keys, prepared).await.unwrap_or_else(|fault| panic!("{fault}"))
    }

    pub(crate) async fn try_begin(keys: &str, prepared: Option<&Prepared>) -> Result<Self, Diagnostic> {
        let mut sink = unwrapped(make(keys, keys.contains("write_mode: truncate"))?.sink);
        sink.open(prepared).await?;
        Ok(Self { sink, epoch: 0 })
    }

    /// Writes rows that must all be accepted.
    pub(crate) async fn write(&mut self, rows: &Rows) {
        let fates = self.sink.write(rows).await.unwrap_or_else(|fault| panic!("{fault}"));
        assert_eq!(fates, Fates::new());
    }

    /// Writes rows; those that are refused, with the reasons.
    pub(crate) async fn refused(&mut self, rows: &Rows) -> Vec<(usize, String)> {
        let fates = self.sink.write(rows).await.unwrap_or_else(|fault| panic!("{fault}"));
        let reason = |(row, fate)| match fate {
            Fate::Reject { reason } => (row, reason),
            other @ Fate::Retry { .. } => panic!("row {row}: {other:?}"),
        };
        fates.into_iter().map(reason).collect()
    }

    pub(crate) async fn prepare(&mut self, last: bool) -> Prepared {
        self.epoch += 1;
        self.sink.prepare(Epoch(self.epoch), last).await.unwrap_or_else(|fault| panic!("{fault}"))
    }

    pub(crate) async fn commit(&mut self) {
        self.sink.commit(Epoch(self.epoch)).await.unwrap_or_else(|fault| panic!("{fault}"));
    }

    /// Ends an epoch.
    pub(crate) async fn end(&mut self, last: bool) -> Prepared {
        let prepared = self.prepare(last).await;
        self.commit().await;
        prepared
    }
}

/// Rows that are these documents.
pub(crate) fn documents<S: AsRef<str>>(list: &[S]) -> Rows {
    let schema = Arc::new(Schema::empty());
    let options = RecordBatchOptions::new().with_row_count(Some(list.len()));
    let columns = RecordBatch::try_new_with_options(schema, Vec::new(), &options).expect("no columns fit");
    rows(columns, list)
}

/// One change: what happened, and the row.
pub(crate) fn changes(list: &[(&str, &str)]) -> Rows {
    let operations = StringViewArray::from_iter_values(list.iter().map(|(operation, _)| operation));
    let field = Field::new(OPERATION, DataType::Utf8View, true);
    let columns =
        RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![Arc::new(operations) as ArrayRef]);
    let list: Vec<&str> = list.iter().map(|(_, document)| *document).collect();
    rows(columns.expect("one column fits"), &list)
}

fn rows<S: AsRef<str>>(columns: RecordBatch, list: &[S]) -> Rows {
    let mut encoded = Encoded::default();
    for document in list {
        encoded.bytes.extend_from_slice(document.as_ref().as_bytes());
        encoded.bytes.push(b'\n');
        encoded.ends.push(encoded.bytes.len());
    }
    Rows {
        batch: Batch { columns, tick: EventTime(0) },
        shape: Arc::new(Shape { document: Some(DocumentEdits::default()), ..Shape::default() }),
        encoded: Some(encoded),
        hint: None,
    }
}
