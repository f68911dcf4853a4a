//! How a connector presents itself to the binary.

use crate::log::LocalLog;
use crate::sink::AnySink;
use crate::source::DynSource;
use acme_formats::Encode;
use acme_formats::csv::{self, CsvEncoder};
use acme_formats::json::JsonEncoder;
use acme_types::{Change, Clock, Config, Delivery, Diagnostic, Disk, Place, Shape, Spec};
use arrow::datatypes::{FieldRef, SchemaRef};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// One entry in the binary's list of connectors.
pub struct Connector {
    /// Its description.
    pub spec: &'static Spec,
    /// How it is made.
    pub make: Maker,
}

/// Makes the parts of a connector from its checked configuration. Nothing is connected yet, and all that can be wrong
/// without connecting is found here.
pub enum Maker {
    /// It is a source.
    Source(fn(&Config, &Context) -> Result<SourceParts, Diagnostic>),
    /// It is a destination.
    Sink(fn(&Config, &Context) -> Result<SinkParts, Diagnostic>),
}

/// What a connector may use of the world.
#[derive(Clone)]
pub struct Context {
    /// The local disk.
    pub disk: Arc<dyn Disk>,
    /// Where a connector may keep, on this machine and in files of its own, what must outlast a run; `None` keeps nothing.
    pub memory: Option<PathBuf>,
    /// The log of this machine, if it may carry one.
    pub log: Option<Arc<dyn LocalLog>>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The name of the item.
    pub item: Arc<str>,
    /// The name of the pipeline.
    pub pipeline: Arc<str>,
    /// The engine wants to know when splits have nothing to be read: see [`Read::AtEnd`](crate::Read::AtEnd).
    pub tells_ends: bool,
    /// The pipeline ends by itself: read what is there, publish at the end.
    pub batch_mode: bool,
    /// What the user should know of the configuration, though it stops nothing.
    pub notes: Notes,
}

/// Warnings that connectors have as they are made.
#[derive(Clone, Debug, Default)]
pub struct Notes(Arc<Mutex<Vec<Diagnostic>>>);

impl Notes {
    /// Adds one.
    pub fn add(&self, warning: Diagnostic) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(warning);
    }

    /// All so far.
    #[must_use]
    pub fn take(&self) -> Vec<Diagnostic> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A source that is made and not yet connected.
pub struct SourceParts {
    /// The source.
    pub source: Box<dyn DynSource>,
    /// What it yields, where that is known without connecting; else [`Source::describe`](crate::Source::describe) says it.
    pub streams: Option<Vec<StreamInfo>>,
}

/// One stream of a source: one table of a database, or simply all that a file holds.
#[derive(Clone, Debug)]
pub struct StreamInfo {
    /// The name of the table or of the item.
    pub name: Arc<str>,
    /// The columns that identify a row, in streams of changes; empty for a table without a key.
    pub key: Vec<String>,
    /// Only new rows, or changes of rows.
    pub change: Change,
    /// How they arrive.
    pub content: Content,
    /// Columns that are hidden unless named, such as `offset`; their fields are named without the prefix.
    pub meta: Vec<FieldRef>,
}

/// How rows leave a source.
#[derive(Clone, Debug)]
pub enum Content {
    /// Bytes in a format, to be decoded by the engine.
    Documents(Format),
    /// Records of text fields with these names, in this order, to be decoded by the engine.
    Fields(csv::Dialect, Arc<[String]>),
    /// Batches with these columns; the hidden ones are in the batch too.
    Columns(SchemaRef),
}

/// The formats of bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// One record of fields a line.
    Csv(csv::Dialect),
}

impl Format {
    /// An encoder for rows of this shape.
    #[must_use]
    pub fn encoder(&self, shape: &Shape) -> Box<dyn Encode> {
        match self {
            Self::Json => Box::new(JsonEncoder::new(shape.clone())),
            Self::Csv(dialect) => Box::new(CsvEncoder::new(dialect.clone(), shape.clone())),
        }
    }

    /// Whether every row must have the same columns, known before the first.
    #[must_use]
    pub fn has_columns(&self) -> bool {
        matches!(self, Self::Csv(_))
    }
}

/// A destination that is made and not yet connected.
pub struct SinkParts {
    /// The destination.
    pub sink: AnySink,
    /// The format in which it takes bytes; `None` for one that takes batches.
    pub format: Option<Format>,
    /// It takes documents that nobody has changed where they lie ([`Batch::raw`](acme_types::Batch::raw)) instead of encoded.
    pub takes_documents: bool,
    /// Fields that it reads by itself, such as its key; [`Shape::reads`] says where they are.
    pub reads: Vec<String>,
    /// SQL expressions over its rows that it reads by itself, with the places where they are written; [`Shape::computed`] says
    /// where their values are.
    pub computed: Vec<(String, Place)>,
    /// The most that it takes as it is configured.
    pub change: Change,
    /// What it promises as it is configured.
    pub delivery: Delivery,
}
