//! Values on their way into a binary COPY: each Arrow type has one PostgreSQL type whose binary form it is sent in. What the
//! table's column is, the server casts it to.
//!
//! Source: PostgreSQL documentation, COPY, "Binary Format", and the receive functions of the types.

use super::target::TargetColumn;
use crate::text::EPOCH_DAYS;
use acme_types::batch::is_json;
use arrow::array::{
    Array, ArrayRef, AsArray, BinaryViewArray, BooleanArray, Date32Array, Decimal128Array, Float32Array,
    Float64Array, Int16Array, Int32Array, Int64Array, StringViewArray, Time64MicrosecondArray,
    TimestampMicrosecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, TimeUnit};

/// Microseconds from 1970 to 2000, where PostgreSQL counts from.
const EPOCH_US: i64 = EPOCH_DAYS as i64 * 86_400_000_000;

/// One column of rows, ready to be sent.
#[derive(Debug)]
pub(crate) enum Cells {
    Bool(BooleanArray),
    Int2(Int16Array),
    Int4(Int32Array),
    Int8(Int64Array),
    Float4(Float32Array),
    Float8(Float64Array),
    Numeric(Decimal128Array, u32),
    Text(StringViewArray),
    Bytea(BinaryViewArray),
    Date(Date32Array),
    Time(Time64MicrosecondArray),
    Timestamp(TimestampMicrosecondArray),
    TimestampTz(TimestampMicrosecondArray),
    Json(StringViewArray),
    Jsonb(StringViewArray),
    /// JSON whose texts are sent without their quotes.
    Scalar(StringViewArray),
    /// JSON arrays that are sent as PostgreSQL writes arrays.
    Elements(StringViewArray),
}

impl Cells {
    /// The values of one column, for a column of the table. Fails on a type that has no form here.
    pub(crate) fn new(field: &Field, array: &ArrayRef, column: &TargetColumn) -> Result<Self, String> {
        if is_json(field) {
            let text = array.as_string_view().clone();
            return Ok(match column.base.as_str() {
                "jsonb" => Self::Jsonb(text),
                "json" => Self::Json(text),
                _ if column.array => Self::Elements(text),
                _ => Self::Scalar(text),
            });
        }
        Self::plain(array).ok_or_else(|| format!("has the type {}", array.data_type()))
    }

    fn plain(array: &ArrayRef) -> Option<Self> {
        let to = |data_type: DataType| cast(array, &data_type).ok();
        Some(match array.data_type() {
            DataType::Boolean => Self::Bool(array.as_boolean().clone()),
            DataType::Int8 | DataType::UInt8 | DataType::Int16 => {
                Self::Int2(to(DataType::Int16)?.as_primitive().clone())
            }
            DataType::UInt16 | DataType::Int32 => Self::Int4(to(DataType::Int32)?.as_primitive().clone()),
            DataType::UInt32 | DataType::Int64 => Self::Int8(to(DataType::Int64)?.as_primitive().clone()),
            DataType::UInt64 => Self::Numeric(to(DataType::Decimal128(20, 0))?.as_primitive().clone(), 0),
            DataType::Float16 | DataType::Float32 => {
                Self::Float4(to(DataType::Float32)?.as_primitive().clone())
            }
            DataType::Float64 => Self::Float8(array.as_primitive().clone()),
            DataType::Decimal128(_, scale @ 0..=38) => {
                Self::Numeric(array.as_primitive().clone(), u32::from(scale.unsigned_abs()))
            }
            DataType::Binary
            | DataType::LargeBinary
            | DataType::FixedSizeBinary(_)
            | DataType::BinaryView => Self::Bytea(to(DataType::BinaryView)?.as_binary_view().clone()),
            DataType::Date32 | DataType::Date64 => Self::Date(to(DataType::Date32)?.as_primitive().clone()),
            DataType::Time32(_) | DataType::Time64(_) => {
                Self::Time(to(DataType::Time64(TimeUnit::Microsecond))?.as_primitive().clone())
            }
            DataType::Timestamp(_, None) => {
                Self::Timestamp(to(DataType::Timestamp(TimeUnit::Microsecond, None))?.as_primitive().clone())
            }
            DataType::Timestamp(_, zone) => {
                let whole = DataType::Timestamp(TimeUnit::Microsecond, zone.clone());
                Self::TimestampTz(to(whole)?.as_primitive().clone())
            }
            _ => Self::Text(to(DataType::Utf8View)?.as_string_view().clone()),
        })
    }

    /// The type in whose binary form they are sent, by its name in `pg_catalog`.
    pub(crate) fn sent_as(&self) -> &'static str {
        match self {
            Self::Bool(_) => "bool",
            Self::Int2(_) => "int2",
            Self::Int4(_) => "int4",
            Self::Int8(_) => "int8",
            Self::Float4(_) => "float4",
            Self::Float8(_) => "float8",
            Self::Numeric(..) => "numeric",
            Self::Text(_) | Self::Scalar(_) | Self::Elements(_) => "text",
            Self::Bytea(_) => "bytea",
            Self::Date(_) => "date",
            Self::Time(_) => "time",
            Self::Timestamp(_) => "timestamp",
            Self::TimestampTz(_) => "timestamptz",
            Self::Json(_) => "json",
            Self::Jsonb(_) => "jsonb",
        }
    }

    fn array(&self) -> &dyn Array {
        match self {
            Self::Bool(array) => array,
            Self::Int2(array) => array,
            Self::Int4(array) => array,
            Self::Int8(array) => array,
            Self::Float4(array) => array,
            Self::Float8(array) => array,
            Self::Numeric(array, _) => array,
            Self::Bytea(array) => array,
            Self::Date(array) => array,
            Self::Time(array) => array,
            Self::Timestamp(array) | Self::TimestampTz(array) => array,
            Self::Text(array) | Self::Json(array) | Self::Jsonb(array) => array,
            Self::Scalar(array) | Self::Elements(array) => array,
        }
    }

    /// Whether the row has no value.
    #[inline]
    pub(crate) fn is_null(&self, row: usize) -> bool {
        self.array().is_null(row)
    }

    /// Appends one field of a row: its length and its bytes. Fails with the reason where the type cannot hold the value.
    #[inline]
    pub(crate) fn write(&self, row: usize, out: &mut Vec<u8>) -> Result<(), String> {
        if self.is_null(row) {
            out.extend_from_slice(&(-1_i32).to_be_bytes());
            return Ok(());
        }
        match self {
            Self::Bool(array) => field(out, &[u8::from(array.value(row))]),
            Self::Int2(array) => field(out, &array.value(row).to_be_bytes()),
            Self::Int4(array) => field(out, &array.value(row).to_be_bytes()),
            Self::Int8(array) => field(out, &array.value(row).to_be_bytes()),
            Self::Float4(array) => field(out, &array.value(row).to_be_bytes()),
            Self::Float8(array) => field(out, &array.value(row).to_be_bytes()),
            Self::Text(array) | Self::Json(array) => return text(out, array.value(row).as_bytes()),
            Self::Bytea(array) => return text(out, array.value(row)),
            Self::Date(array) => {
                let days = array.value(row).checked_sub(EPOCH_DAYS).ok_or("the date is out of range")?;
                field(out, &days.to_be_bytes());
            }
            Self::Time(array) => field(out, &array.value(row).to_be_bytes()),
            Self::Timestamp(array) | Self::TimestampTz(array) => {
                let micros = array.value(row).checked_sub(EPOCH_US).ok_or("the timestamp is out of range")?;
                field(out, &micros.to_be_bytes());
            }
            Self::Numeric(array, scale) => sized(out, |out| {
                numeric(array.value(row), *scale, out);
                Ok(())
            })?,
            Self::Jsonb(array) => sized(out, |out| {
                // The version of the binary form.
                out.push(1);
                out.extend_from_slice(array.value(row).as_bytes());
                Ok(())
            })?,
            Self::Scalar(array) => sized(out, |out| scalar(array.value(row), out))?,
            Self::Elements(array) => sized(out, |out| elements(array.value(row), out))?,
        }
        Ok(())
    }
}

#[inline]
fn field<const N: usize>(out: &mut Vec<u8>, bytes: &[u8; N]) {
    out.extend_from_slice(&i32::try_from(N).expect("a few bytes").to_be_bytes());
    out.extend_from_slice(bytes);
}

#[inline]
fn text(out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), String> {
    let length = length(bytes.len())?;
    out.extend_from_slice(&length);
    out.extend_from_slice(bytes);
    Ok(())
}

fn length(bytes: usize) -> Result<[u8; 4], String> {
    i32::try_from(bytes).map(i32::to_be_bytes).map_err(|_| "the value is larger than 2 GiB".to_owned())
}

/// Writes a field whose length is known only behind it.
fn sized(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> Result<(), String>) -> Result<(), String> {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    write(out)?;
    let length = length(out.len() - start - 4)?;
    out[start..start + 4].copy_from_slice(&length);
    Ok(())
}

/// Source: `numeric_recv`: the number of digits to base 10,000, the weight of the first, the sign, the scale, the digits.
fn numeric(value: i128, scale: u32, out: &mut Vec<u8>) {
    let unit = 10_u128.pow(scale);
    let (whole, fraction) = (value.unsigned_abs() / unit, value.unsigned_abs() % unit);
    // 38 digits before the point are 10 groups at most, and as many behind it.
    let (mut digits, mut count) = ([0_u16; 20], 0);
    let mut push = |group: u128| {
        digits[count] = u16::try_from(group).expect("below 10,000");
        count += 1;
    };
    let mut groups = 0_u32;
    while 10_000_u128.checked_pow(groups).is_some_and(|unit| whole / unit > 0) {
        groups += 1;
    }
    for at in (0..groups).rev() {
        push(whole / 10_000_u128.pow(at) % 10_000);
    }
    let (mut rest, mut left) = (fraction, scale);
    while left > 0 {
        let taken = left.min(4);
        let below = 10_u128.pow(left - taken);
        push(rest / below * 10_u128.pow(4 - taken));
        rest %= below;
        left -= taken;
    }
    let weight = i16::try_from(groups).expect("at most 10") - 1;
    let sign: u16 = if value < 0 { 0x4000 } else { 0 };
    let scale = u16::try_from(scale).expect("at most 38");
    out.extend_from_slice(&u16::try_from(count).expect("at most 20").to_be_bytes());
    out.extend_from_slice(&weight.to_be_bytes());
    out.extend_from_slice(&sign.to_be_bytes());
    out.extend_from_slice(&scale.to_be_bytes());
    digits[..count].iter().for_each(|digit| out.extend_from_slice(&digit.to_be_bytes()));
}

/// A JSON value as text: a string without its quotes, anything else as it is written.
fn scalar(json: &str, out: &mut Vec<u8>) -> Result<(), String> {
    let json = json.trim_ascii();
    if !json.starts_with('"') {
        out.extend_from_slice(json.as_bytes());
        return Ok(());
    }
    out.extend_from_slice(unquoted(json)?.as_bytes());
    Ok(())
}

fn unquoted(json: &str) -> Result<std::borrow::Cow<'_, str>, String> {
    let plain = json.get(1..json.len() - 1).filter(|_| json.len() >= 2 && json.ends_with('"'));
    match plain.filter(|inner| !inner.contains(['\\', '"'])) {
        Some(inner) => Ok(inner.into()),
        None => serde_json::from_str::<String>(json)
            .map(Into::into)
            .map_err(|error| format!("the text is not valid JSON: {error}")),
    }
}

/// A JSON array as PostgreSQL writes arrays; arrays within it are its dimensions.
///
/// Source: PostgreSQL documentation, "Array Input and Output Syntax".
fn elements(json: &str, out: &mut Vec<u8>) -> Result<(), String> {
    let raw: &serde_json::value::RawValue =
        serde_json::from_str(json).map_err(|error| format!("it is not valid JSON: {error}"))?;
    let text = raw.get();
    if !text.starts_with('[') {
        // Another form of the same type, such as a string that PostgreSQL printed.
        return scalar(text, out);
    }
    let items: Vec<&serde_json::value::RawValue> =
        serde_json::from_str(text).map_err(|error| format!("it is not valid JSON: {error}"))?;
    out.push(b'{');
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        match item.get() {
            "null" => out.extend_from_slice(b"NULL"),
            nested if nested.starts_with('[') => elements(nested, out)?,
            string if string.starts_with('"') => quoted(&unquoted(string)?, out),
            object if object.starts_with('{') => quoted(object, out),
            plain => out.extend_from_slice(plain.as_bytes()),
        }
    }
    out.push(b'}');
    Ok(())
}

fn quoted(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_numeric_has_the_bytes_that_postgresql_sends() {
        let check = |value: i128, scale, expected: &[u16]| {
            let mut out = Vec::new();
            numeric(value, scale, &mut out);
            let expected: Vec<u8> = expected.iter().flat_map(|word| word.to_be_bytes()).collect();
            assert_eq!(out, expected, "{value} {scale}");
        };
        check(0, 0, &[0, 0xffff, 0, 0]);
        check(-12_345_600, 4, &[2, 0, 0x4000, 4, 1234, 5600]);
        check(1, 3, &[1, 0xffff, 0, 3, 10]);
        check(100_000_000, 0, &[3, 2, 0, 0, 1, 0, 0]);
        check(12_345, 2, &[2, 0, 0, 2, 123, 4500]);
        let nines = 10_i128.pow(38) - 1;
        let mut out = Vec::new();
        for scale in [0, 1, 37, 38] {
            numeric(nines, scale, &mut out);
            numeric(-nines, scale, &mut out);
        }
    }

    #[test]
    fn json_arrays_become_arrays() {
        let check = |json: &str, expected: &str| {
            let mut out = Vec::new();
            elements(json, &mut out).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        };
        check(r#"[1,null,-2.50,"NaN"]"#, r#"{1,NULL,-2.50,"NaN"}"#);
        check(r#"["a,b","q\"","\\",null,"NULL",""]"#, r#"{"a,b","q\"","\\",NULL,"NULL",""}"#);
        check(r#"[[true],[false]]"#, "{{true},{false}}");
        check(r#"[{"a": "b"}]"#, r#"{"{\"a\": \"b\"}"}"#);
        check("[]", "{}");
        check(r#""[0:1]={1,2}""#, "[0:1]={1,2}");
        assert!(elements("[1", &mut Vec::new()).is_err());
    }

    #[test]
    fn json_scalars_lose_their_quotes_and_nothing_else() {
        let check = |json: &str, expected: &str| {
            let mut out = Vec::new();
            scalar(json, &mut out).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        };
        check(r#""a b""#, "a b");
        check(r#""a\"\u00e9\n""#, "a\"é\n");
        check(r#""""#, "");
        check("1e400", "1e400");
        check(r#"{"a":1}"#, r#"{"a":1}"#);
        assert!(scalar("\"", &mut Vec::new()).is_err());
    }
}
