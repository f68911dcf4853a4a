//! Fields with a declared type: what a decoder has read is converted, and a value that does not fit is an error of its record.

use crate::decode::{Block, Decode, Decoded, reject};
use crate::json::{Wanted, parse_wide, read_member};
use crate::sql_type::SqlType;
use crate::text::{Faults, each, not};
use crate::time::{CivilTime, parse_date, parse_time};
use acme_types::DocumentPath;
use arrow::array::{
    Array, ArrayRef, AsArray, BinaryViewArray, Date32Array, Decimal128Array, Float32Array, ListArray,
    PrimitiveArray, StringViewArray, TimestampMicrosecondArray, TimestampNanosecondArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Decimal256Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    Schema, i256,
};
use arrow::record_batch::RecordBatch;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A field whose type is declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    /// Its name in the record.
    pub name: String,
    /// Its type.
    pub kind: SqlType,
    /// The name of the column.
    pub column: String,
}

impl Declared {
    /// What the decoder of the format must read for it.
    #[must_use]
    pub fn wanted(&self) -> Wanted {
        Wanted {
            path: DocumentPath::field(&self.name),
            kind: self.kind.read_as(),
            column: self.column.clone(),
        }
    }
}

/// A decoder whose declared columns have their types. The decoder in it must read [`Declared::wanted`] of each.
pub struct TypedDecoder {
    inner: Box<dyn Decode>,
    declared: Arc<[Declared]>,
}

impl TypedDecoder {
    /// A decoder that converts these fields of another.
    #[must_use]
    pub fn new(inner: Box<dyn Decode>, declared: Vec<Declared>) -> Self {
        Self { inner, declared: declared.into() }
    }
}

impl Decode for TypedDecoder {
    fn decode(&mut self, block: Block<'_>) -> Decoded {
        let Decoded { rows, rejected } = self.inner.decode(block);
        let schema = rows.schema();
        let (mut fields, mut arrays) = (schema.fields().to_vec(), rows.columns().to_vec());
        let mut faults = BTreeMap::new();
        for Declared { name, kind, column } in &*self.declared {
            let at = schema.index_of(column).expect("the decoder was asked for it");
            let (array, bad) = convert(&arrays[at], kind);
            for (row, cause) in bad {
                faults.entry(row).or_insert_with(|| format!("field \"{name}\" {cause}"));
            }
            fields[at] = Arc::new(kind.field(column));
            arrays[at] = array;
        }
        let rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
            .expect("every column has kept its length and has its declared type");
        reject(Decoded { rows, rejected }, faults, block)
    }

    fn another(&self) -> Box<dyn Decode> {
        Box::new(Self { inner: self.inner.another(), declared: self.declared.clone() })
    }
}

/// Converts a column that was read as [`SqlType::read_as`] says. A cell at fault is NULL in the result.
fn convert(column: &ArrayRef, kind: &SqlType) -> (ArrayRef, Faults) {
    match kind {
        SqlType::Boolean | SqlType::Double | SqlType::String | SqlType::Json => (column.clone(), Vec::new()),
        SqlType::TinyInt => integers::<Int8Type>(column, kind),
        SqlType::SmallInt => integers::<Int16Type>(column, kind),
        SqlType::Int => integers::<Int32Type>(column, kind),
        SqlType::BigInt if column.data_type() == &DataType::Int64 => (column.clone(), Vec::new()),
        SqlType::BigInt => integers::<Int64Type>(column, kind),
        SqlType::Decimal(precision, scale) => decimals(column, *precision, *scale),
        SqlType::Float => singles(column),
        SqlType::Date => {
            let (values, faults) =
                each(column.as_string_view(), |text| parse_date(text).ok_or_else(|| not(text, "a date")));
            (Arc::new(Date32Array::from(values)), faults)
        }
        SqlType::Timestamp(digits) => timestamps(column, *digits, false),
        SqlType::TimestampZoned(digits) => timestamps(column, *digits, true),
        SqlType::Bytes => {
            let (values, faults) =
                each(column.as_string_view(), |text| from_base64(text).ok_or_else(|| not(text, "base64")));
            (Arc::new(BinaryViewArray::from_iter(values)), faults)
        }
        SqlType::Array(inner) => arrays(column, inner),
    }
}

/// Exact numbers in 24 digits behind the point.
fn wide(column: &ArrayRef) -> impl Iterator<Item = Option<i256>> + '_ {
    let unit = parse_wide("1").expect("one fits");
    (0..column.len()).map(move |row| {
        if column.is_null(row) {
            return None;
        }
        Some(match column.data_type() {
            DataType::Int64 => i256::from(column.as_primitive::<Int64Type>().value(row)).wrapping_mul(unit),
            _ => column.as_primitive::<Decimal256Type>().value(row),
        })
    })
}

/// Converts cell by cell.
fn cells<T, V>(
    values: impl Iterator<Item = Option<V>>,
    read: impl Fn(V) -> Result<T, String>,
) -> (Vec<Option<T>>, Faults) {
    let mut faults = Vec::new();
    let cell = |(row, value): (usize, Option<V>)| match read(value?) {
        Ok(value) => Some(value),
        Err(cause) => {
            faults.push((row, cause));
            None
        }
    };
    let values = values.enumerate().map(cell).collect();
    (values, faults)
}

fn integers<T: ArrowPrimitiveType>(column: &ArrayRef, kind: &SqlType) -> (ArrayRef, Faults)
where
    T::Native: TryFrom<i128>,
{
    let unit = parse_wide("1").expect("one fits");
    let (values, faults) = cells(wide(column), |value| {
        let whole = (value.wrapping_rem(unit) == i256::ZERO).then(|| value.wrapping_div(unit));
        let fits = whole.and_then(i256::to_i128).and_then(|value| T::Native::try_from(value).ok());
        fits.ok_or_else(|| format!("is {} where the schema says {kind}", shown(value)))
    });
    (Arc::new(values.into_iter().collect::<PrimitiveArray<T>>()), faults)
}

fn shown(value: i256) -> String {
    let mut text = Vec::new();
    crate::json::write_wide(value, 24, &mut text);
    String::from_utf8(text).expect("digits are ASCII")
}

fn decimals(column: &ArrayRef, precision: u8, scale: i8) -> (ArrayRef, Faults) {
    // The scale of a declared decimal is at most its precision; a wide number has 24 digits behind the point.
    let places = u32::try_from(scale).expect("a scale is not negative");
    let ten = i256::from_i128(10);
    let limit = 10_i128.pow(u32::from(precision));
    let (values, faults) = cells(wide(column), |value| {
        let scaled = match places.checked_sub(24) {
            Some(more) => value.checked_mul(ten.wrapping_pow(more)),
            None => {
                let unit = ten.wrapping_pow(24 - places);
                (value.wrapping_rem(unit) == i256::ZERO).then(|| value.wrapping_div(unit))
            }
        };
        let fits = scaled.and_then(i256::to_i128).filter(|value| value.unsigned_abs() < limit.unsigned_abs());
        fits.ok_or_else(|| format!("is {} where the schema says decimal({precision}, {scale})", shown(value)))
    });
    let array = Decimal128Array::from(values).with_precision_and_scale(precision, scale);
    (Arc::new(array.expect("the type was checked when it was declared")), faults)
}

fn singles(column: &ArrayRef) -> (ArrayRef, Faults) {
    #[expect(clippy::cast_possible_truncation, reason = "the nearest float is what is asked for")]
    let (values, faults) = cells(column.as_primitive::<Float64Type>().iter(), |value| match value as f32 {
        near if near.is_finite() => Ok(near),
        _ => Err(format!("is {value} where the schema says float")),
    });
    (Arc::new(Float32Array::from(values)), faults)
}

fn timestamps(column: &ArrayRef, digits: u8, zoned: bool) -> (ArrayRef, Faults) {
    let step = 10_i64.pow(u32::from(9 - digits));
    let read = |text: &str| {
        let noun = if zoned { "a timestamp with time zone" } else { "a timestamp" };
        let CivilTime { days, nanos, offset } = parse_time(text).ok_or_else(|| not(text, noun))?;
        match (zoned, offset) {
            (true, None) => return Err(format!("has no time zone: {text}; declare it as timestamp")),
            (false, Some(_)) => {
                return Err(format!("has a time zone: {text}; declare it as timestamp with time zone"));
            }
            _ => {}
        }
        if nanos % step != 0 {
            return Err(format!("has more than {digits} digits behind the second: {text}"));
        }
        let seconds = i128::from(days) * 86_400 - i128::from(offset.unwrap_or(0));
        let nanos = seconds * 1_000_000_000 + i128::from(nanos);
        let value = if digits <= 6 { nanos / 1000 } else { nanos };
        i64::try_from(value).map_err(|_| format!("is out of range: {text}"))
    };
    let (values, faults) = each(column.as_string_view(), read);
    let zone: Option<Arc<str>> = zoned.then(|| "+00:00".into());
    let array: ArrayRef = match digits {
        0..=6 => Arc::new(TimestampMicrosecondArray::from(values).with_timezone_opt(zone)),
        _ => Arc::new(TimestampNanosecondArray::from(values).with_timezone_opt(zone)),
    };
    (array, faults)
}

/// Arrays, given as JSON.
fn arrays(column: &ArrayRef, inner: &SqlType) -> (ArrayRef, Faults) {
    let (lists, mut faults) = each(column.as_string_view(), |text| elements(text, inner));
    let mut lengths = Vec::with_capacity(lists.len());
    let mut parts: Vec<ArrayRef> = Vec::new();
    for list in &lists {
        lengths.push(list.as_ref().map_or(0, |list| list.len()));
        parts.extend(list.iter().cloned());
    }
    let parts: Vec<&dyn Array> = parts.iter().map(|part| part.as_ref() as &dyn Array).collect();
    let values = match parts.as_slice() {
        [] => Ok(arrow::array::new_empty_array(&inner.data_type())),
        parts => arrow::compute::concat(parts),
    };
    let nulls = lists.iter().map(Option::is_some).collect::<Vec<bool>>();
    let array = values.and_then(|values| {
        let offsets = OffsetBuffer::from_lengths(lengths);
        ListArray::try_new(Arc::new(inner.field("item")), offsets, values, Some(nulls.into()))
    });
    match array {
        Ok(array) => (Arc::new(array), faults),
        Err(error) => {
            // More elements than one column can hold.
            faults = (0..lists.len()).map(|row| (row, error.to_string())).collect();
            (
                arrow::array::new_null_array(
                    &SqlType::Array(Box::new(inner.clone())).data_type(),
                    lists.len(),
                ),
                faults,
            )
        }
    }
}

/// The elements of one array, as a column.
fn elements(text: &str, inner: &SqlType) -> Result<ArrayRef, String> {
    let elements: Vec<&RawValue> = serde_json::from_str(text).map_err(|_| not(text, "an array"))?;
    // Each element is read as the member of a document: there is one way to read JSON values.
    let documents: StringViewArray =
        elements.iter().map(|element| Some(format!("{{\"v\":{}}}", element.get()))).collect();
    let read = read_member(&documents, &DocumentPath::field("v"), inner.read_as())?;
    let (array, faults) = convert(&read, inner);
    match faults.into_iter().next() {
        None => Ok(array),
        Some((at, cause)) => Err(format!("element {at} {cause}")),
    }
}

/// Source: RFC 4648 section 4, with padding; anything that it would not write is refused.
fn from_base64(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let (groups, rest) = text.as_bytes().as_chunks::<4>();
    if !rest.is_empty() {
        return None;
    }
    let mut bytes = Vec::with_capacity(groups.len() * 3);
    for (at, group) in groups.iter().enumerate() {
        let padding = group.iter().rev().take_while(|byte| **byte == b'=').count();
        if padding > 2 || (padding > 0 && at + 1 < groups.len()) {
            return None;
        }
        let mut bits = 0_u32;
        for byte in &group[..4 - padding] {
            bits = bits << 6 | u32::from(digit(*byte)?);
        }
        bits <<= 6 * padding;
        let three = bits.to_be_bytes();
        let (kept, dropped) = three[1..].split_at(3 - padding);
        if dropped.iter().any(|byte| *byte != 0) {
            return None;
        }
        bytes.extend_from_slice(kept);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests;
