//! A block of CSV records to one batch: the wanted fields as columns, each record as it came.

use super::Dialect;
use super::split::{Cell, cells, record_end, trim};
use crate::decode::{Block, Cut, Decode, Decoded, TOMBSTONE, Undecodable, reject};
use crate::json::{As, Wanted};
use crate::text::read_texts;
use acme_types::PathStep;
use acme_types::batch::{META_PREFIX, RAW};
use acme_types::records::wide;
use arrow::array::{ArrayRef, BinaryViewBuilder, Int64Builder, RecordBatch, StringViewBuilder};
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, Field, Schema};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// Reads blocks of CSV records. Each lane has its own.
#[derive(Clone, Debug)]
pub struct CsvDecoder {
    dialect: Dialect,
    /// How many fields a record has.
    width: usize,
    wanted: Vec<Wanted>,
    /// Which field each of them is.
    places: Vec<usize>,
}

impl CsvDecoder {
    /// A decoder of records that have the fields `names`, in this order. What is wanted are fields by their names; others
    /// are not there and become NULL, which a plan does not ask for.
    #[must_use]
    pub fn new(dialect: Dialect, names: &[String], wanted: Vec<Wanted>) -> Self {
        let place = |field: &Wanted| match field.path.0.as_slice() {
            [PathStep::Key(key)] => names.iter().position(|name| name == key),
            _ => None,
        };
        let places = wanted.iter().map(|field| place(field).unwrap_or(usize::MAX)).collect();
        Self { dialect, width: names.len(), wanted, places }
    }
}

impl Decode for CsvDecoder {
    /// Records; a last one without its line end counts as whole. A blank line is no record, unless records have one field.
    ///
    /// **Cost** one pass; fields without doubled quotes are not copied.
    fn decode(&mut self, block: Block<'_>) -> Decoded {
        let bytes = block.bytes;
        let mut columns = Columns::new(bytes, self.wanted.len());
        let mut rejected = Vec::new();
        let mut found = Vec::with_capacity(self.width);
        // One check for the whole block; only where it fails is each record checked.
        let valid = std::str::from_utf8(bytes).is_ok();
        let mut one = |offset: u64, record: Range<usize>| match self.split(bytes, &record, valid, &mut found)
        {
            Ok(()) => columns.push(self, bytes, offset, &record, &found),
            Err(cause) => rejected.push(Undecodable { offset, bytes: record, cause }),
        };
        let mut faults = Vec::new();
        match block.cut {
            Cut::ByFormat(offset) => {
                let mut start = 0;
                while start < bytes.len() {
                    let end = record_end(bytes, start, &self.dialect).unwrap_or(bytes.len());
                    let record = trim(bytes, start, end);
                    let at = offset + u64::try_from(start).expect("usize is at most 64 bits");
                    start = end;
                    if !record.is_empty() || self.width == 1 {
                        one(at, record);
                    }
                }
            }
            Cut::Values(records) => {
                for record in records {
                    let value = record.value.as_ref().map(wide);
                    let cause = match &value {
                        None => TOMBSTONE,
                        Some(value) if !is_one(bytes, value, &self.dialect) => "holds more than one record",
                        Some(value) => {
                            one(record.offset, trim(bytes, value.start, value.end));
                            continue;
                        }
                    };
                    let (bytes, cause) = (value.unwrap_or(0..0), cause.to_owned());
                    faults.push(Undecodable { offset: record.offset, bytes, cause });
                }
            }
        }
        rejected.append(&mut faults);
        rejected.sort_by_key(|bad| bad.offset);
        self.finish(columns, rejected, block)
    }

    fn another(&self) -> Box<dyn Decode> {
        Box::new(self.clone())
    }
}

impl CsvDecoder {
    fn split(
        &self,
        block: &[u8],
        record: &Range<usize>,
        valid: bool,
        found: &mut Vec<Cell>,
    ) -> Result<(), String> {
        if !valid && let Err(error) = std::str::from_utf8(&block[record.clone()]) {
            return Err(format!("is not valid UTF-8: {error}"));
        }
        cells(block, record.clone(), &self.dialect, found)?;
        if found.len() == self.width {
            return Ok(());
        }
        let noun = |count: usize| if count == 1 { "1 field".to_owned() } else { format!("{count} fields") };
        Err(format!("has {} where the file has {}", noun(found.len()), noun(self.width)))
    }

    fn finish(&self, columns: Columns, rejected: Vec<Undecodable>, block: Block<'_>) -> Decoded {
        let Columns { mut texts, mut offsets, mut records, .. } = columns;
        let (mut fields, mut arrays): (Vec<Field>, Vec<ArrayRef>) = (Vec::new(), Vec::new());
        let mut faults = BTreeMap::new();
        for (text, wanted) in texts.iter_mut().zip(&self.wanted) {
            let (array, bad) = read_texts(&text.finish(), wanted.kind);
            for (row, cause) in bad {
                faults.entry(row).or_insert_with(|| format!("field \"{}\" {cause}", wanted.path));
            }
            fields.push(wanted.kind.field(&wanted.column).with_data_type(array.data_type().clone()));
            arrays.push(array);
        }
        fields.push(Field::new(format!("{META_PREFIX}offset"), DataType::Int64, false));
        arrays.push(Arc::new(offsets.finish()));
        fields.push(Field::new(RAW, DataType::BinaryView, false));
        arrays.push(Arc::new(records.finish()));
        let rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
            .expect("all columns have the same length");
        reject(Decoded { rows, rejected }, faults, block)
    }
}

/// The columns of a block as texts, and the hidden ones.
struct Columns {
    texts: Vec<StringViewBuilder>,
    offsets: Int64Builder,
    records: BinaryViewBuilder,
    /// The number of the block in each of them.
    block: u32,
}

impl Columns {
    fn new(block: &Buffer, wanted: usize) -> Self {
        let rows = block.len() / 64;
        let mut records = BinaryViewBuilder::with_capacity(rows);
        let number = records.append_block(block.clone());
        let text = || {
            let mut builder = StringViewBuilder::with_capacity(rows);
            builder.append_block(block.clone());
            builder
        };
        let texts = (0..wanted).map(|_| text()).collect();
        Self { texts, offsets: Int64Builder::with_capacity(rows), records, block: number }
    }

    fn push(
        &mut self,
        decoder: &CsvDecoder,
        block: &[u8],
        offset: u64,
        record: &Range<usize>,
        found: &[Cell],
    ) {
        for ((text, place), wanted) in self.texts.iter_mut().zip(&decoder.places).zip(&decoder.wanted) {
            let cell = found.get(*place).filter(|cell| !cell.is_null(block, &decoder.dialect));
            match cell {
                None => text.append_null(),
                Some(cell) if cell.doubled => {
                    let value = cell.text(block, &decoder.dialect);
                    text.append_value(String::from_utf8_lossy(&value));
                }
                Some(cell) => {
                    // Spaces around anything but text carry no meaning.
                    let at = match wanted.kind {
                        As::Text | As::Scalar | As::Json => cell.at.clone(),
                        As::Number | As::Double | As::Bool => inner(block, &cell.at),
                    };
                    text.try_append_view(self.block, narrow(at.start), narrow(at.len()))
                        .expect("the field lies in the block and was checked to be UTF-8");
                }
            }
        }
        self.offsets.append_value(i64::try_from(offset).unwrap_or(i64::MAX));
        self.records
            .try_append_view(self.block, narrow(record.start), narrow(record.len()))
            .expect("the record lies in the block");
    }
}

/// Whether a value of a log is one record, with or without its line end.
fn is_one(bytes: &[u8], value: &Range<usize>, dialect: &Dialect) -> bool {
    record_end(&bytes[..value.end], value.start, dialect).is_none_or(|end| end == value.end)
}

fn inner(block: &[u8], at: &Range<usize>) -> Range<usize> {
    let text = &block[at.clone()];
    let start = at.start + (text.len() - text.trim_ascii_start().len());
    start..start + text.trim_ascii().len()
}

fn narrow(number: usize) -> u32 {
    u32::try_from(number).expect("a block is far below 4 GiB")
}
