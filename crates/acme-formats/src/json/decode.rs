//! A block of JSON lines to one batch: the wanted fields as columns, each document as it came.

use super::document::find;
use super::fast::{FastPath, Taken};
use super::paths::PathTree;
use super::scan::{Found, Scanner};
use super::value::{As, Column};
use crate::decode::{Decode, Decoded, Undecodable};
use acme_types::DocumentPath;
use acme_types::batch::{META_PREFIX, RAW};
use arrow::array::{ArrayBuilder, ArrayRef, BinaryViewBuilder, BooleanArray, Int64Builder, RecordBatch};
use arrow::buffer::Buffer;
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Schema};
use std::ops::Range;
use std::sync::Arc;

/// A field to be read, and the column that it becomes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wanted {
    /// Where it stands in the document.
    pub path: DocumentPath,
    /// What it is read as.
    pub kind: As,
    /// The name of the column.
    pub column: String,
}

/// Reads blocks of JSON lines. Each lane has its own.
#[derive(Clone, Debug)]
pub struct Decoder {
    wanted: Vec<Wanted>,
    tree: PathTree,
    fast: Option<FastPath>,
    ways: Ways,
    /// What the last block had, as far as it can be told.
    rows_per_kib: usize,
}

/// Which way the lines took so far. Blank lines are not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ways {
    /// The fast path, every member guessed.
    pub guessed: u64,
    /// The fast path, with members that were not guessed.
    pub scanned: u64,
    /// The careful path.
    pub careful: u64,
}

impl Decoder {
    /// A decoder for these fields.
    #[must_use]
    pub fn new(wanted: Vec<Wanted>) -> Self {
        let careful = Self::careful(wanted);
        Self { fast: Some(FastPath::new(careful.tree.clone())), ..careful }
    }

    /// A decoder that takes the careful path for every line. It decodes the same, and is there to judge and to compare.
    #[must_use]
    pub fn careful(wanted: Vec<Wanted>) -> Self {
        let tree = PathTree::new(wanted.iter().map(|field| &field.path));
        Self { wanted, tree, fast: None, ways: Ways::default(), rows_per_kib: 16 }
    }

    #[cfg(test)]
    pub(super) fn fast_path(&mut self) -> &mut FastPath {
        self.fast.as_mut().expect("it was made with one")
    }

    /// Which way the lines took.
    #[must_use]
    pub fn ways(&self) -> Ways {
        self.ways
    }
}

impl Decode for Decoder {
    /// Lines; a last line without its end counts as whole. Blank lines are no rows.
    ///
    /// **Cost** one pass; the documents are not copied, nor are texts without escapes.
    fn decode(&mut self, block: &Buffer, offset: u64) -> Decoded {
        // A bit more than the last block had.
        let rows = self.rows_per_kib * (block.len() / 1024) + 64;
        let mut columns: Vec<Column> =
            self.wanted.iter().map(|field| Column::over(block, field.kind, rows)).collect();
        let mut rest = Rest::new(block, rows);
        let mut scratch = String::new();
        let mut rejected = Vec::new();
        let mut scanner = Scanner::new(block);
        let mut found = vec![Found::ABSENT; self.tree.len()];
        let mut slots = vec![None; columns.len()];
        let mut start = 0;
        while start < block.len() {
            let taken = self.fast.as_mut().and_then(|fast| fast.line(&mut scanner, start, &mut found));
            let (line, outcome) = match taken {
                Some(Taken { end, next, guessed }) => {
                    *(if guessed { &mut self.ways.guessed } else { &mut self.ways.scanned }) += 1;
                    let line = start..end;
                    start = next;
                    (line, self.put(block, &found, &mut columns, &mut scratch))
                }
                None => {
                    let end =
                        memchr::memchr(b'\n', &block[start..]).map_or(block.len(), |length| start + length);
                    let line = start..trim_end(block, start, end);
                    start = end + 1;
                    if block[line.clone()].iter().all(u8::is_ascii_whitespace) {
                        continue;
                    }
                    self.ways.careful += 1;
                    let outcome = self.judge(&block[line.clone()], &mut slots, &mut columns);
                    (line, outcome)
                }
            };
            if let Err(cause) = outcome {
                rejected.push((rest.rows(), Undecodable { bytes: line.clone(), cause }));
            }
            rest.push(offset, &line);
        }
        self.rows_per_kib = rest.rows() * 1024 / block.len().max(1) + 1;
        let rows = self.finish(columns, rest);
        Decoded {
            rows: without(&rows, &rejected),
            rejected: rejected.into_iter().map(|(_, line)| line).collect(),
        }
    }

    fn another(&self) -> Box<dyn Decode> {
        Box::new(Self { ways: Ways::default(), ..self.clone() })
    }
}

impl Decoder {
    /// Appends one row of what the fast path found to every column. What a column does not take is judged.
    #[inline]
    fn put(
        &self,
        block: &[u8],
        found: &[Found],
        columns: &mut [Column],
        scratch: &mut String,
    ) -> Result<(), String> {
        let mut result = Ok(());
        for (at, (column, &node)) in columns.iter_mut().zip(self.tree.ends()).enumerate() {
            let found = &found[node];
            if !column.put(found, block, scratch) {
                let text = std::str::from_utf8(&block[found.start..found.end])
                    .expect("the line was found to be UTF-8");
                if let Err(cause) = self.append(at, column, Some(text)) {
                    result = Err(cause);
                }
            }
        }
        result
    }

    /// Appends one row to every column by the careful path, of NULLs where the line cannot be decoded.
    fn judge<'d>(
        &self,
        line: &'d [u8],
        slots: &mut [Option<&'d str>],
        columns: &mut [Column],
    ) -> Result<(), String> {
        slots.fill(None);
        let found = std::str::from_utf8(line)
            .map_err(|error| format!("is not valid UTF-8: {error}"))
            .and_then(|text| {
                find(&self.tree, text, slots).map_err(|error| format!("is not a JSON object: {error}"))
            });
        if found.is_err() {
            columns.iter_mut().for_each(Column::append_null);
            return found;
        }
        let mut result = Ok(());
        for (at, (column, slot)) in columns.iter_mut().zip(slots).enumerate() {
            if let Err(cause) = self.append(at, column, *slot) {
                result = Err(cause);
            }
        }
        result
    }

    /// Appends a value, or NULL where the field cannot be read so.
    fn append(&self, field: usize, column: &mut Column, json: Option<&str>) -> Result<(), String> {
        column.append(json).map_err(|cause| {
            column.append_null();
            format!("field \"{}\" {cause}", self.wanted[field].path)
        })
    }

    fn finish(&self, columns: Vec<Column>, mut rest: Rest) -> RecordBatch {
        let (mut fields, mut arrays): (Vec<Field>, Vec<ArrayRef>) =
            columns.into_iter().zip(&self.wanted).map(|(column, field)| column.finish(&field.column)).unzip();
        fields.push(Field::new(format!("{META_PREFIX}offset"), DataType::Int64, false));
        arrays.push(Arc::new(rest.offsets.finish()));
        fields.push(Field::new(RAW, DataType::BinaryView, false));
        arrays.push(Arc::new(rest.documents.finish()));
        RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).expect("all columns have the same length")
    }
}

/// The hidden columns of the block.
struct Rest {
    offsets: Int64Builder,
    documents: BinaryViewBuilder,
    block: u32,
}

impl Rest {
    fn new(block: &Buffer, rows: usize) -> Self {
        let mut documents = BinaryViewBuilder::with_capacity(rows);
        let block = documents.append_block(block.clone());
        Self { offsets: Int64Builder::with_capacity(rows), documents, block }
    }

    fn rows(&self) -> usize {
        self.documents.len()
    }

    fn push(&mut self, offset: u64, line: &Range<usize>) {
        let narrow = |number: usize| u32::try_from(number).expect("a block is far below 4 GiB");
        self.offsets.append_value(i64::try_from(offset).unwrap_or(i64::MAX) + i64::from(narrow(line.start)));
        self.documents
            .try_append_view(self.block, narrow(line.start), narrow(line.len()))
            .expect("the line lies in the block");
    }
}

/// The rows that are good; `rejected` is in the order of rows.
fn without(rows: &RecordBatch, rejected: &[(usize, Undecodable)]) -> RecordBatch {
    if rejected.is_empty() {
        return rows.clone();
    }
    let mut keep = vec![true; rows.num_rows()];
    for (row, _) in rejected {
        keep[*row] = false;
    }
    filter_record_batch(rows, &BooleanArray::from(keep)).expect("the mask has one entry a row")
}

fn trim_end(block: &[u8], start: usize, end: usize) -> usize {
    if end > start && block[end - 1] == b'\r' { end - 1 } else { end }
}
