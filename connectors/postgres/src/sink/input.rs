//! The rows of one write: which table each goes to, what happens there, and their columns.

use super::target::{Name, Target};
use super::template::Template;
use acme_connect::{Fate, Fates, Format, Rows};
use acme_formats::json::{As, Decoder, Wanted};
use acme_formats::{Decode, Encoded};
use acme_types::batch::META_PREFIX;
use acme_types::{Diagnostic, DocumentPath};
use arrow::array::{ArrayRef, AsArray, RecordBatch, UInt64Array};
use arrow::buffer::Buffer;
use arrow::compute::take;
use arrow::datatypes::{DataType, FieldRef};
use std::sync::Arc;

/// Where rows come from, where they go, and which they are.
type Found<'a> = ((&'a str, &'a str), Option<Name>, Vec<usize>);

/// The rows of each table, in their order. A row whose table has no name that could be used gets its fate.
pub(crate) fn tables(
    rows: &Rows,
    template: &Template,
    fates: &mut Fates,
) -> Result<Vec<(Name, Vec<usize>)>, String> {
    let all = 0..rows.batch.rows();
    if let Some(name) = template.fixed() {
        return Ok(vec![(name, all.collect())]);
    }
    let hidden = |name: &str| {
        let column = rows.batch.column(&format!("{META_PREFIX}{name}"));
        let column = column.filter(|column| column.data_type() == &DataType::Utf8View);
        column.map(|column| column.as_string_view()).ok_or_else(|| {
            format!("`{{{name}}}` in `table` needs a source that says where a change comes from, and these rows do not")
        })
    };
    let (schemas, names) = (hidden("schema")?, hidden("table")?);
    // A batch has rows of a few tables, most often of one: the last one found is looked at first.
    let mut found: Vec<Found<'_>> = Vec::new();
    let mut last = 0;
    for row in all {
        let from = (schemas.value(row), names.value(row));
        if found.get(last).is_none_or(|(known, ..)| *known != from) {
            last = match found.iter().position(|(known, ..)| *known == from) {
                Some(at) => at,
                None => {
                    found.push((from, template.fill(from.0, from.1).ok(), Vec::new()));
                    found.len() - 1
                }
            };
        }
        found[last].2.push(row);
    }
    let mut tables = Vec::new();
    for ((schema, table), name, rows) in found {
        match name {
            Some(name) => tables.push((name, rows)),
            None => {
                let reason = format!("`table` makes no name of a table for rows of \"{schema}\".\"{table}\"");
                fates.extend(rows.iter().map(|row| (*row, Fate::Reject { reason: reason.clone() })));
            }
        }
    }
    Ok(tables)
}

/// The user's columns of a write, by the names that they have in the table.
pub(crate) struct Columns {
    pub(crate) columns: Vec<(String, FieldRef, ArrayRef)>,
    /// Rows that have none, because they cannot be read.
    pub(crate) unreadable: Vec<(usize, String)>,
}

impl Columns {
    /// The columns of typed rows; `None` for documents.
    pub(crate) fn typed(rows: &Rows) -> Option<Self> {
        if rows.shape.document.is_some() {
            return None;
        }
        let schema = rows.batch.schema();
        let column = |(name, internal): &(String, String)| {
            let at = schema.index_of(internal).expect("the shape names columns of the batch");
            (name.clone(), schema.fields()[at].clone(), rows.batch.columns.column(at).clone())
        };
        Some(Self { columns: rows.shape.columns.iter().map(column).collect(), unreadable: Vec::new() })
    }

    /// The members of documents that the table has columns for, each read as its column wants it. The others are left out.
    pub(crate) fn documents(encoded: &Encoded, target: &Target) -> Self {
        let wanted = target.columns.iter().filter(|column| !column.generated).map(|column| Wanted {
            path: DocumentPath::field(&column.name),
            kind: match column.base.as_str() {
                "json" | "jsonb" => As::Json,
                _ if column.array => As::Json,
                _ => As::Scalar,
            },
            column: column.name.clone(),
        });
        let decoded = Decoder::new(wanted.collect()).decode_bytes(&Buffer::from(encoded.bytes.clone()), 0);
        let mut unreadable = Vec::new();
        for rejected in decoded.rejected {
            let row = encoded.ends.partition_point(|end| *end <= rejected.bytes.start);
            unreadable.push((row, rejected.cause));
        }
        let mut batch = decoded.rows;
        if !unreadable.is_empty() {
            batch = spread(&batch, &unreadable, encoded.ends.len());
        }
        let columns = (batch.schema().fields().iter().zip(batch.columns()))
            .filter(|(field, _)| !field.name().starts_with(META_PREFIX))
            // What no row has is the column's own default, where it has one.
            .filter(|(field, array)| {
                let defaulted = target.column(field.name()).is_some_and(|column| column.defaulted);
                !(defaulted && array.null_count() == array.len())
            })
            .map(|(field, array)| (field.name().clone(), field.clone(), array.clone()))
            .collect();
        Self { columns, unreadable }
    }

    /// A column by its name.
    pub(crate) fn find(&self, name: &str) -> Option<&ArrayRef> {
        self.columns.iter().find(|(known, ..)| known == name).map(|(_, _, array)| array)
    }
}

/// The documents that the rows are.
pub(crate) fn encode(rows: &Rows) -> Result<Encoded, Diagnostic> {
    let mut encoded = Encoded::default();
    Format::Json.encoder(&rows.shape).encode(&rows.batch, &mut encoded)?;
    Ok(encoded)
}

/// Puts a row of NULLs where one could not be read.
fn spread(batch: &RecordBatch, unreadable: &[(usize, String)], rows: usize) -> RecordBatch {
    let mut next = 0..;
    let place = |row: usize| match unreadable.iter().any(|(bad, _)| *bad == row) {
        true => None,
        false => next.next(),
    };
    let indices = UInt64Array::from_iter((0..rows).map(place));
    let fields: Vec<FieldRef> = (batch.schema().fields().iter())
        .map(|field| Arc::new(field.as_ref().clone().with_nullable(true)))
        .collect();
    let columns =
        batch.columns().iter().map(|column| take(column, &indices, None).expect("they are rows of it"));
    let schema = arrow::datatypes::Schema::new(fields);
    RecordBatch::try_new(Arc::new(schema), columns.collect()).expect("all columns have the same length")
}
