//! Destinations from the text of a pipeline file, and rows as the engine hands them over.

use acme_connect::{
    AnySink, Context, DynSink, Encoded, Fate, Fates, Maker, OsDisk, Rows, SinkParts, SystemClock,
};
use acme_spec::Environment;
use acme_types::batch::{OPERATION, VERSION};
use acme_types::{Batch, Change, Delivery, Diagnostic, EventTime, Role, Shape, Spec};
use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::{Field, Schema};
use connector_elasticsearch::DESTINATION;
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

/// An environment with ELASTICSEARCH_URL and nothing else.
struct Variables<'a>(&'a str);

impl Environment for Variables<'_> {
    fn variable(&self, name: &str) -> Option<String> {
        (name == "ELASTICSEARCH_URL" && !self.0.is_empty()).then(|| self.0.to_owned())
    }
    fn file(&self, _: &str) -> io::Result<String> {
        Err(io::ErrorKind::NotFound.into())
    }
}

/// A destination with these lines in its item.
pub(crate) fn make(url: &str, keys: &str) -> Result<SinkParts, Diagnostic> {
    let keys: String = keys.lines().map(|line| format!("    {}\n", line.trim())).collect();
    let text =
        format!("name: test\nsources:\n  - type: rows\ndestinations:\n  - type: elasticsearch\n{keys}");
    let (spec, mut found) = acme_spec::parse("p.yaml", &text, &[&SOURCE, DESTINATION.spec], &Variables(url));
    let Some(spec) = spec else { return Err(found.remove(0)) };
    let context = Context {
        disk: Arc::new(OsDisk),
        memory: None,
        log: None,
        clock: Arc::new(SystemClock::start()),
        item: "elasticsearch".into(),
        pipeline: "test".into(),
        tells_ends: false,
        batch_mode: true,
        notes: acme_connect::Notes::default(),
    };
    let Maker::Sink(make) = &DESTINATION.make else { unreachable!("it is a destination") };
    make(&spec.destinations[0].config, &context)
}

/// The destination itself.
pub(crate) fn unwrapped(sink: AnySink) -> Box<dyn DynSink> {
    match sink {
        AnySink::Plain(sink) => sink,
        AnySink::CommitPoint(_) => unreachable!("it holds no commit point"),
    }
}

/// The same, opened.
pub(crate) async fn open(url: &str, keys: &str) -> Box<dyn DynSink> {
    let mut sink = unwrapped(make(url, keys).expect("the configuration is right").sink);
    sink.open(None).await.expect("the server answers");
    sink
}

/// Rows with these columns and documents; each column is also a field that the destination may read.
pub(crate) fn rows(columns: Vec<(Field, ArrayRef)>, documents: &[&str]) -> Rows {
    let reads = columns.iter().map(|(field, _)| (field.name().clone(), field.name().clone())).collect();
    let (fields, arrays): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
    let columns = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).expect("the columns fit");
    let mut encoded = Encoded::default();
    for document in documents {
        encoded.bytes.extend_from_slice(document.as_bytes());
        encoded.bytes.push(b'\n');
        encoded.ends.push(encoded.bytes.len());
    }
    Rows {
        batch: Batch { columns, tick: EventTime(0) },
        shape: Arc::new(Shape { reads, ..Shape::default() }),
        encoded: Some(encoded),
        hint: None,
    }
}

/// A column.
pub(crate) fn column(name: &str, array: impl Array + 'static) -> (Field, ArrayRef) {
    (Field::new(name, array.data_type().clone(), true), Arc::new(array))
}

/// One change: operation, version, key, document.
pub(crate) type Row<'a> = (&'a str, i64, &'a str, &'a str);

/// A batch of changes whose key is the column `id`.
pub(crate) fn changes(list: &[Row<'_>]) -> Rows {
    let documents: Vec<&str> = list.iter().map(|(.., document)| *document).collect();
    rows(
        vec![
            column(
                OPERATION,
                StringViewArray::from_iter_values(list.iter().map(|(operation, ..)| operation)),
            ),
            column(VERSION, Int64Array::from_iter_values(list.iter().map(|(_, version, ..)| *version))),
            column("id", StringViewArray::from_iter_values(list.iter().map(|(_, _, id, _)| id))),
        ],
        &documents,
    )
}

/// New rows without versions; `ids` are the column `id`.
pub(crate) fn plain(list: &[(&str, &str)]) -> Rows {
    let documents: Vec<&str> = list.iter().map(|(_, document)| *document).collect();
    let ids = StringViewArray::from_iter_values(list.iter().map(|(id, _)| id));
    rows(vec![column("id", ids)], &documents)
}

/// The reasons of the rows that are refused; panics at one that is to be sent again.
pub(crate) fn refused(fates: Fates) -> Vec<(usize, String)> {
    let reason = |(row, fate)| match fate {
        Fate::Reject { reason } => (row, reason),
        other @ Fate::Retry { .. } => panic!("row {row}: {other:?}"),
    };
    fates.into_iter().map(reason).collect()
}
