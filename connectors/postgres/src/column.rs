//! Builds one Arrow column from values as they come over the wire.

use crate::kind::{Kind, utc};
use crate::pgoutput::Value;
use crate::reader::Reader;
use crate::text;
use arrow::array::{
    ArrayRef, BinaryViewBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Float32Builder,
    Float64Builder, Int16Builder, Int32Builder, Int64Builder, StringViewBuilder, TimestampMicrosecondBuilder,
};
use std::str::FromStr;
use std::sync::Arc;

/// A value that is not what its type says, or that its column cannot hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Misfit;

/// A column that is being built.
pub(crate) struct Column {
    kind: Kind,
    values: Values,
    scratch: String,
}

enum Values {
    Bool(BooleanBuilder),
    Int16(Int16Builder),
    Int32(Int32Builder),
    Int64(Int64Builder),
    Float32(Float32Builder),
    Float64(Float64Builder),
    Decimal(Decimal128Builder, i8),
    Text(StringViewBuilder),
    Bytes(BinaryViewBuilder, Vec<u8>),
    Date(Date32Builder),
    Timestamp(TimestampMicrosecondBuilder),
}

macro_rules! each {
    ($values:expr, $builder:ident => $then:expr) => {
        match $values {
            Values::Bool($builder) => $then,
            Values::Int16($builder) => $then,
            Values::Int32($builder) => $then,
            Values::Int64($builder) => $then,
            Values::Float32($builder) => $then,
            Values::Float64($builder) => $then,
            Values::Decimal($builder, _) => $then,
            Values::Text($builder) => $then,
            Values::Bytes($builder, _) => $then,
            Values::Date($builder) => $then,
            Values::Timestamp($builder) => $then,
        }
    };
}

impl Column {
    pub(crate) fn new(kind: Kind) -> Self {
        let values = match kind {
            Kind::Bool => Values::Bool(BooleanBuilder::new()),
            Kind::Int2 => Values::Int16(Int16Builder::new()),
            Kind::Int4 => Values::Int32(Int32Builder::new()),
            Kind::Int8 | Kind::Oid => Values::Int64(Int64Builder::new()),
            Kind::Float4 => Values::Float32(Float32Builder::new()),
            Kind::Float8 => Values::Float64(Float64Builder::new()),
            Kind::Decimal(_, scale) => Values::Decimal(
                Decimal128Builder::new().with_data_type(kind.field("").data_type().clone()),
                scale,
            ),
            Kind::Bytes => Values::Bytes(BinaryViewBuilder::new(), Vec::new()),
            Kind::Date => Values::Date(Date32Builder::new()),
            Kind::Timestamp => Values::Timestamp(TimestampMicrosecondBuilder::new()),
            Kind::TimestampTz => Values::Timestamp(TimestampMicrosecondBuilder::new().with_data_type(utc())),
            _ => Values::Text(StringViewBuilder::new()),
        };
        Self { kind, values, scratch: String::new() }
    }

    pub(crate) fn append_null(&mut self) {
        each!(&mut self.values, builder => builder.append_null());
    }

    /// Appends a value; [`Value::Unchanged`] is a misfit, because its caller must have recovered it.
    #[inline]
    pub(crate) fn append(&mut self, value: Value<'_>) -> Result<(), Misfit> {
        match value {
            Value::Null => {
                self.append_null();
                Ok(())
            }
            Value::Text(bytes) => self.append_text(bytes).ok_or(Misfit),
            Value::Binary(bytes) => self.append_binary(bytes).ok_or(Misfit),
            Value::Unchanged => Err(Misfit),
        }
    }

    fn append_text(&mut self, bytes: &[u8]) -> Option<()> {
        match &mut self.values {
            Values::Bool(builder) => builder.append_value(match bytes {
                b"t" => true,
                b"f" => false,
                _ => return None,
            }),
            Values::Int16(builder) => builder.append_value(i16::try_from(integer(bytes)?).ok()?),
            Values::Int32(builder) => builder.append_value(i32::try_from(integer(bytes)?).ok()?),
            Values::Int64(builder) => builder.append_value(integer(bytes)?),
            Values::Float32(builder) => builder.append_value(float(bytes)?),
            Values::Float64(builder) => builder.append_value(float(bytes)?),
            Values::Decimal(builder, scale) => builder.append_value(text::decimal(bytes, *scale)?),
            Values::Text(builder) => {
                let text = std::str::from_utf8(bytes).ok()?;
                match self.kind {
                    Kind::Number | Kind::Array(_) => {
                        self.scratch.clear();
                        text::write_json(self.kind, text, &mut self.scratch);
                        builder.append_value(&self.scratch);
                    }
                    _ => builder.append_value(text),
                }
            }
            Values::Bytes(builder, scratch) => {
                scratch.clear();
                text::bytea(bytes, scratch)?;
                builder.append_value(&*scratch);
            }
            Values::Date(builder) => builder.append_value(text::date(bytes)?),
            Values::Timestamp(builder) => builder.append_value(text::timestamp(bytes)?),
        }
        Some(())
    }

    /// Source: the send functions of the types, such as `int8send` and `timestamptz_send`.
    fn append_binary(&mut self, bytes: &[u8]) -> Option<()> {
        match &mut self.values {
            Values::Bool(builder) => builder.append_value(*bytes.first()? != 0),
            Values::Int16(builder) => builder.append_value(i16::from_be_bytes(bytes.try_into().ok()?)),
            Values::Int32(builder) => builder.append_value(i32::from_be_bytes(bytes.try_into().ok()?)),
            Values::Int64(builder) if self.kind == Kind::Oid => {
                builder.append_value(i64::from(u32::from_be_bytes(bytes.try_into().ok()?)));
            }
            Values::Int64(builder) => builder.append_value(i64::from_be_bytes(bytes.try_into().ok()?)),
            Values::Float32(builder) => builder.append_value(f32::from_be_bytes(bytes.try_into().ok()?)),
            Values::Float64(builder) => builder.append_value(f64::from_be_bytes(bytes.try_into().ok()?)),
            Values::Decimal(builder, scale) => builder.append_value(binary_decimal(bytes, *scale)?),
            Values::Text(_) if self.kind.is_printed() => return self.append_text(bytes),
            Values::Text(builder) => match self.kind {
                Kind::Jsonb => builder.append_value(std::str::from_utf8(bytes.strip_prefix(&[1])?).ok()?),
                Kind::Uuid => {
                    self.scratch.clear();
                    uuid(bytes.try_into().ok()?, &mut self.scratch);
                    builder.append_value(&self.scratch);
                }
                _ => builder.append_value(std::str::from_utf8(bytes).ok()?),
            },
            Values::Bytes(builder, _) => builder.append_value(bytes),
            Values::Date(builder) => {
                builder.append_value(text::date_of(i32::from_be_bytes(bytes.try_into().ok()?)));
            }
            Values::Timestamp(builder) => {
                builder.append_value(text::timestamp_of(i64::from_be_bytes(bytes.try_into().ok()?)));
            }
        }
        Some(())
    }

    /// The rows so far, leaving the column empty.
    pub(crate) fn finish(&mut self) -> ArrayRef {
        each!(&mut self.values, builder => Arc::new(builder.finish()))
    }
}

fn integer(bytes: &[u8]) -> Option<i64> {
    let (negative, digits) = match bytes.split_first()? {
        (b'-', rest) => (true, rest),
        _ => (false, bytes),
    };
    if digits.is_empty() {
        return None;
    }
    // Counted downwards, where i64 has one value more.
    let value = digits.iter().try_fold(0_i64, |value, byte| {
        let digit = byte.is_ascii_digit().then(|| i64::from(byte - b'0'))?;
        value.checked_mul(10)?.checked_sub(digit)
    })?;
    if negative { Some(value) } else { value.checked_neg() }
}

/// Rust reads `Infinity`, `-Infinity` and `NaN` as PostgreSQL prints them.
fn float<F: FromStr>(bytes: &[u8]) -> Option<F> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

/// Source: `numeric_send`: the number of digits to base 10,000, the weight of the first, the sign, the scale, the digits.
fn binary_decimal(bytes: &[u8], scale: i8) -> Option<i128> {
    let mut reader = Reader(bytes);
    let count = reader.u16().ok()?;
    let weight = i32::from(reader.u16().ok()?.cast_signed());
    let sign = reader.u16().ok()?;
    let _scale = reader.u16().ok()?;
    let mut value = 0_i128;
    for at in 0..i32::from(count) {
        let digit = i128::from(reader.u16().ok()?);
        let exponent = (weight - at) * 4 + i32::from(scale);
        let power = 10_i128.checked_pow(exponent.unsigned_abs())?;
        let part = if exponent < 0 { digit / power } else { digit.checked_mul(power)? };
        value = value.checked_add(part)?;
    }
    match sign {
        0 => Some(value),
        0x4000 => Some(-value),
        _ => None,
    }
}

fn uuid(bytes: [u8; 16], out: &mut String) {
    const HEX: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    for (at, byte) in bytes.into_iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            out.push('-');
        }
        out.push(HEX[usize::from(byte >> 4)]);
        out.push(HEX[usize::from(byte & 15)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{AsArray, Int64Array};
    use arrow::datatypes::Decimal128Type;

    #[test]
    fn whole_numbers_to_their_limits() {
        let mut column = Column::new(Kind::Int8);
        for text in ["9223372036854775807", "-9223372036854775808", "0", "-1"] {
            column.append(Value::Text(text.as_bytes())).unwrap();
        }
        for bad in ["", "-", "1 ", "9223372036854775808", "-9223372036854775809", "1e3"] {
            assert_eq!(column.append(Value::Text(bad.as_bytes())), Err(Misfit), "{bad}");
        }
        let expected = Int64Array::from(vec![i64::MAX, i64::MIN, 0, -1]);
        assert_eq!(column.finish().as_primitive(), &expected);
    }

    #[test]
    fn a_decimal_is_the_same_in_both_formats() {
        let mut column = Column::new(Kind::Decimal(12, 4));
        // -1234.5600: digits 1234, 5600; weight 0.
        let binary = [0, 2, 0, 0, 0x40, 0, 0, 4, 0x04, 0xd2, 0x15, 0xe0];
        column.append(Value::Binary(&binary)).unwrap();
        column.append(Value::Text(b"-1234.5600")).unwrap();
        assert_eq!(column.append(Value::Binary(&[0, 0, 0, 0, 0xc0, 0, 0, 0])), Err(Misfit), "NaN");
        assert_eq!(column.append(Value::Binary(&[0xff, 0xff, 0x7f, 0xff, 0, 0, 0, 0, 1, 1])), Err(Misfit));
        let values = column.finish();
        assert_eq!(values.as_primitive::<Decimal128Type>().values(), &[-12_345_600, -12_345_600]);
    }

    #[test]
    fn binary_values_of_the_wrong_length_are_misfits() {
        for kind in
            [Kind::Bool, Kind::Int4, Kind::Float8, Kind::Date, Kind::TimestampTz, Kind::Uuid, Kind::Jsonb]
        {
            assert_eq!(Column::new(kind).append(Value::Binary(b"")), Err(Misfit), "{kind:?}");
        }
    }
}
