//! One JSON value to one cell of a column.

use super::number::{WIDE_NUMBER, parse_wide, widened};
use super::scan::{Found, Kind};
use super::text::unescape;
use acme_types::batch::json_field;
use arrow::array::{
    ArrayRef, BooleanBuilder, Decimal256Array, Float64Builder, Int64Builder, NullBufferBuilder,
    StringViewBuilder,
};
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, Field, i256};
use std::borrow::Cow;
use std::sync::Arc;

/// What a field is read as. It follows from how the field is used, or from its declaration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum As {
    /// A JSON string.
    Text,
    /// A JSON number, exact: `Int64`, or [`WIDE_NUMBER`] for the whole batch where a value needs it.
    Number,
    /// A JSON number as the nearest `Float64`.
    Double,
    /// `true` or `false`.
    Bool,
    /// Any value as its text: strings without quotes, everything else as it is written.
    Scalar,
    /// Any value, as the JSON text that it is.
    Json,
}

impl As {
    /// The Arrow field of a column that is read so.
    #[must_use]
    pub fn field(self, name: &str) -> Field {
        match self {
            Self::Text | Self::Scalar => Field::new(name, DataType::Utf8View, true),
            Self::Number => Field::new(name, DataType::Int64, true),
            Self::Double => Field::new(name, DataType::Float64, true),
            Self::Bool => Field::new(name, DataType::Boolean, true),
            Self::Json => json_field(name),
        }
    }

    fn noun(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Number | Self::Double => "a number",
            Self::Bool => "true or false",
            Self::Scalar | Self::Json => "a value",
        }
    }
}

/// Up to here each integer is a double.
const DOUBLE_EXACT: u64 = 1 << 53;

/// A column being filled, one JSON value after the other.
pub(super) enum Column {
    Text(StringViewBuilder),
    Number(Numbers),
    Double(Float64Builder),
    Bool(BooleanBuilder),
    Scalar(StringViewBuilder),
    Json(StringViewBuilder),
}

impl Column {
    pub(super) fn new(kind: As, rows: usize) -> Self {
        match kind {
            As::Text => Self::Text(StringViewBuilder::with_capacity(rows)),
            As::Number => Self::Number(Numbers::new(rows)),
            As::Double => Self::Double(Float64Builder::with_capacity(rows)),
            As::Bool => Self::Bool(BooleanBuilder::with_capacity(rows)),
            As::Scalar => Self::Scalar(StringViewBuilder::with_capacity(rows)),
            As::Json => Self::Json(StringViewBuilder::with_capacity(rows)),
        }
    }

    /// A column of values that lie in a block; [`Column::put`] leaves texts there.
    pub(super) fn over(block: &Buffer, kind: As, rows: usize) -> Self {
        let mut column = Self::new(kind, rows);
        if let Self::Text(builder) | Self::Scalar(builder) | Self::Json(builder) = &mut column {
            // Its first block, so its number is 0.
            builder.append_block(block.clone());
        }
        column
    }

    /// Appends a value that the scanner found in the column's block. On `false` nothing is appended, and
    /// [`Column::append`] is to judge its text.
    #[inline]
    pub(super) fn put(&mut self, found: &Found, block: &[u8], scratch: &mut String) -> bool {
        let text = || std::str::from_utf8(&block[found.start..found.end]).ok();
        match (self, found.kind) {
            (column, Kind::Absent | Kind::Null) => column.append_null(),
            (Self::Number(numbers), Kind::Integer(value)) => numbers.push(value),
            (Self::Bool(builder), Kind::True | Kind::False) => builder.append_value(found.kind == Kind::True),
            (Self::Double(builder), Kind::Integer(value)) if value.unsigned_abs() <= DOUBLE_EXACT => {
                builder.append_value(value as f64);
            }
            (Self::Double(builder), Kind::Number) => {
                let Some(value) = text().and_then(finite) else { return false };
                builder.append_value(value);
            }
            (Self::Text(builder) | Self::Scalar(builder), Kind::Text) => {
                return view(builder, found.start + 1, found.end - 1);
            }
            (Self::Text(builder) | Self::Scalar(builder), Kind::Escaped) => {
                scratch.clear();
                if text().and_then(|text| unescape(&text[1..text.len() - 1], scratch)).is_none() {
                    return false;
                }
                builder.append_value(&*scratch);
            }
            (Self::Scalar(builder) | Self::Json(builder), _) => return view(builder, found.start, found.end),
            _ => return false,
        }
        true
    }

    /// Appends a value, given as valid JSON text; absent and `null` become NULL. On an error nothing is appended.
    pub(super) fn append(&mut self, json: Option<&str>) -> Result<(), String> {
        let Some(json) = json.filter(|json| *json != "null") else {
            self.append_null();
            return Ok(());
        };
        let first = json.as_bytes().first().copied().unwrap_or(0);
        let number = first == b'-' || first.is_ascii_digit();
        match self {
            Self::Text(builder) if first == b'"' => builder.append_value(string(json)?),
            Self::Scalar(builder) if first == b'"' => builder.append_value(string(json)?),
            Self::Scalar(builder) => builder.append_value(json),
            Self::Number(numbers) if number => return numbers.append(json),
            Self::Double(builder) if number => {
                builder.append_value(finite(json).ok_or_else(|| format!("number {json} is out of range"))?);
            }
            Self::Bool(builder) if first == b't' || first == b'f' => builder.append_value(first == b't'),
            Self::Json(builder) => builder.append_value(json),
            _ => return Err(format!("is {} where the pipeline needs {}", noun(first), self.kind().noun())),
        }
        Ok(())
    }

    pub(super) fn append_null(&mut self) {
        match self {
            Self::Text(builder) | Self::Scalar(builder) | Self::Json(builder) => builder.append_null(),
            Self::Number(numbers) => numbers.append_null(),
            Self::Double(builder) => builder.append_null(),
            Self::Bool(builder) => builder.append_null(),
        }
    }

    fn kind(&self) -> As {
        match self {
            Self::Text(_) => As::Text,
            Self::Number(_) => As::Number,
            Self::Double(_) => As::Double,
            Self::Bool(_) => As::Bool,
            Self::Scalar(_) => As::Scalar,
            Self::Json(_) => As::Json,
        }
    }

    pub(super) fn finish(self, name: &str) -> (Field, ArrayRef) {
        let field = self.kind().field(name);
        match self {
            Self::Text(mut builder) | Self::Scalar(mut builder) | Self::Json(mut builder) => {
                (field, Arc::new(builder.finish()))
            }
            Self::Number(numbers) => {
                let array = numbers.finish();
                (field.with_data_type(array.data_type().clone()), array)
            }
            Self::Double(mut builder) => (field, Arc::new(builder.finish())),
            Self::Bool(mut builder) => (field, Arc::new(builder.finish())),
        }
    }
}

/// Integers until a value needs more; from then on wide numbers for the whole column.
pub(super) enum Numbers {
    Narrow(Int64Builder),
    Wide(Vec<i256>, NullBufferBuilder),
}

impl Numbers {
    fn new(rows: usize) -> Self {
        Self::Narrow(Int64Builder::with_capacity(rows))
    }

    fn append(&mut self, json: &str) -> Result<(), String> {
        if let Self::Narrow(builder) = self
            && let Ok(value) = json.parse::<i64>()
        {
            builder.append_value(value);
            return Ok(());
        }
        let value = parse_wide(json).ok_or_else(|| {
            format!(
                "number {json} has more digits than an exact number can keep; declare the field as `double`"
            )
        })?;
        let (values, nulls) = self.widen();
        values.push(value);
        nulls.append_non_null();
        Ok(())
    }

    #[inline]
    fn push(&mut self, value: i64) {
        match self {
            Self::Narrow(builder) => builder.append_value(value),
            Self::Wide(values, nulls) => {
                values.push(widened(value));
                nulls.append_non_null();
            }
        }
    }

    fn append_null(&mut self) {
        match self {
            Self::Narrow(builder) => builder.append_null(),
            Self::Wide(values, nulls) => {
                values.push(i256::ZERO);
                nulls.append_null();
            }
        }
    }

    fn widen(&mut self) -> (&mut Vec<i256>, &mut NullBufferBuilder) {
        if let Self::Narrow(builder) = self {
            let narrow = builder.finish();
            let mut nulls = NullBufferBuilder::new(narrow.len());
            let mut values = Vec::with_capacity(narrow.len());
            for value in &narrow {
                values.push(widened(value.unwrap_or(0)));
                nulls.append(value.is_some());
            }
            *self = Self::Wide(values, nulls);
        }
        match self {
            Self::Wide(values, nulls) => (values, nulls),
            Self::Narrow(_) => unreachable!("it was just widened"),
        }
    }

    fn finish(self) -> ArrayRef {
        match self {
            Self::Narrow(mut builder) => Arc::new(builder.finish()),
            Self::Wide(values, mut nulls) => {
                let array = Decimal256Array::new(values.into(), nulls.finish());
                Arc::new(array.with_data_type(WIDE_NUMBER))
            }
        }
    }
}

/// Leaves a text where it lies; `false` where it is none.
fn view(builder: &mut StringViewBuilder, start: usize, end: usize) -> bool {
    let narrow = |number: usize| u32::try_from(number).expect("a block is far below 4 GiB");
    builder.try_append_view(0, narrow(start), narrow(end - start)).is_ok()
}

fn finite(json: &str) -> Option<f64> {
    json.parse().ok().filter(|value: &f64| value.is_finite())
}

fn string(json: &str) -> Result<Cow<'_, str>, String> {
    let inner = &json[1..json.len() - 1];
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Ok(Cow::Borrowed(inner));
    }
    serde_json::from_str::<String>(json)
        .map(Cow::Owned)
        .map_err(|error| format!("has text that is not valid: {error}"))
}

fn noun(first: u8) -> &'static str {
    match first {
        b'"' => "text",
        b'{' => "an object",
        b'[' => "an array",
        b't' | b'f' => "true or false",
        _ => "a number",
    }
}
