//! A block of JSON lines to one batch: the wanted fields as columns, each document as it came.

use super::document;
use super::fast::{FastPath, Taken};
use super::paths::PathTree;
use super::scan::{Found, Scanner};
use super::value::{As, Column};
use crate::decode::{Block, Cut, Decode, Decoded, TOMBSTONE, Undecodable};
use acme_types::batch::{META_PREFIX, RAW};
use acme_types::records::wide;
use acme_types::{DocumentPath, LogRecord};
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
    /// Lines, of which a last one without its end counts as whole, and blank ones are no rows; or values of a log, each one
    /// document, whatever line ends stand in it.
    ///
    /// **Cost** one pass; the documents are not copied, nor are texts without escapes.
    fn decode(&mut self, block: Block<'_>) -> Decoded {
        // A bit more than the last block had.
        let rows = match block.cut {
            Cut::ByFormat(_) => self.rows_per_kib * (block.bytes.len() / 1024) + 64,
            Cut::Values(records) => records.len(),
        };
        let mut pass = Pass {
            columns: self.wanted.iter().map(|field| Column::over(block.bytes, field.kind, rows)).collect(),
            rest: Rest::new(block.bytes, rows),
            scratch: String::new(),
            rejected: Vec::new(),
            scanner: Scanner::new(block.bytes),
            found: vec![Found::ABSENT; self.tree.len()],
            slots: vec![None; self.wanted.len()],
            block: block.bytes,
        };
        match block.cut {
            Cut::ByFormat(offset) => {
                self.lines(&mut pass, offset);
                self.rows_per_kib = pass.rest.rows() * 1024 / block.bytes.len().max(1) + 1;
            }
            Cut::Values(records) => {
                for record in records {
                    self.value(&mut pass, record);
                }
            }
        }
        let Pass { columns, rest, rejected, .. } = pass;
        let rows = self.finish(columns, rest);
        Decoded {
            rows: without(&rows, &rejected),
            rejected: rejected.into_iter().map(|(_, record)| record).collect(),
        }
    }

    fn another(&self) -> Box<dyn Decode> {
        Box::new(Self { ways: Ways::default(), ..self.clone() })
    }
}

/// The way through one block.
struct Pass<'d> {
    block: &'d [u8],
    columns: Vec<Column>,
    rest: Rest,
    scratch: String,
    rejected: Vec<(usize, Undecodable)>,
    scanner: Scanner<'d>,
    found: Vec<Found>,
    slots: Vec<Option<&'d str>>,
}

impl Pass<'_> {
    /// A row is appended to the columns; here is what else belongs to it.
    #[inline]
    fn end(&mut self, offset: u64, record: Range<usize>, outcome: Result<(), String>) {
        if let Err(cause) = outcome {
            self.rejected.push((self.rest.rows(), Undecodable { offset, bytes: record.clone(), cause }));
        }
        self.rest.push(offset, &record);
    }
}

impl Decoder {
    fn lines(&mut self, pass: &mut Pass<'_>, offset: u64) {
        let block = pass.block;
        let mut start = 0;
        while start < block.len() {
            let at = offset + u64::from(narrow(start));
            let fast = self.fast.as_mut();
            match fast.and_then(|fast| fast.line(&mut pass.scanner, start, &mut pass.found)) {
                Some(Taken { end, next, guessed }) => {
                    let line = start..end;
                    start = next;
                    self.take(pass, at, line, guessed);
                }
                None => {
                    let end =
                        memchr::memchr(b'\n', &block[start..]).map_or(block.len(), |length| start + length);
                    let line = start..trim_end(block, start, end);
                    start = end + 1;
                    if !block[line.clone()].iter().all(u8::is_ascii_whitespace) {
                        self.judge(pass, at, line);
                    }
                }
            }
        }
    }

    fn value(&mut self, pass: &mut Pass<'_>, record: &LogRecord) {
        let Some(value) = record.value.as_ref().map(wide) else {
            pass.columns.iter_mut().for_each(Column::append_null);
            return pass.end(record.offset, 0..0, Err(TOMBSTONE.to_owned()));
        };
        let fast = self.fast.as_mut();
        match fast.and_then(|fast| fast.document(&mut pass.scanner, value.start, &mut pass.found)) {
            Some((end, guessed)) if end == value.end => self.take(pass, record.offset, value, guessed),
            _ => self.judge(pass, record.offset, value),
        }
    }

    /// A record that the fast path took.
    #[inline]
    fn take(&mut self, pass: &mut Pass<'_>, offset: u64, record: Range<usize>, guessed: bool) {
        *(if guessed { &mut self.ways.guessed } else { &mut self.ways.scanned }) += 1;
        let outcome = self.put(pass.block, &pass.found, &mut pass.columns, &mut pass.scratch);
        pass.end(offset, record, outcome);
    }

    /// A record for the careful path.
    fn judge(&mut self, pass: &mut Pass<'_>, offset: u64, record: Range<usize>) {
        self.ways.careful += 1;
        let block = pass.block;
        let outcome = self.find(&block[record.clone()], &mut pass.slots, &mut pass.columns);
        pass.end(offset, record, outcome);
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
    fn find<'d>(
        &self,
        line: &'d [u8],
        slots: &mut [Option<&'d str>],
        columns: &mut [Column],
    ) -> Result<(), String> {
        slots.fill(None);
        let found = std::str::from_utf8(line)
            .map_err(|error| format!("is not valid UTF-8: {error}"))
            .and_then(|text| {
                document::find(&self.tree, text, slots)
                    .map_err(|error| format!("is not a JSON object: {error}"))
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

    fn push(&mut self, offset: u64, record: &Range<usize>) {
        self.offsets.append_value(i64::try_from(offset).unwrap_or(i64::MAX));
        self.documents
            .try_append_view(self.block, narrow(record.start), narrow(record.len()))
            .expect("the record lies in the block");
    }
}

fn narrow(number: usize) -> u32 {
    u32::try_from(number).expect("a block is far below 4 GiB")
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
