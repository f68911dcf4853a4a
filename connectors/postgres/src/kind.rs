//! Which Arrow column holds a PostgreSQL type.

use acme_types::batch::json_field;
use arrow::datatypes::{DataType, Field, TimeUnit};

/// How the values of a column are read, and what they become.
///
/// The kinds up to [`Json`](Self::Json) are read from both wire formats. The others are the text that the type's output
/// function prints: the copy asks for that text too, so that it is the same text in the copy and in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `Boolean`
    Bool,
    /// `Int16`
    Int2,
    /// `Int32`
    Int4,
    /// `Int64`
    Int8,
    /// `Int64`, of the unsigned 32 bits of an `oid`.
    Oid,
    /// `Float32`
    Float4,
    /// `Float64`
    Float8,
    /// `Decimal128` of this precision and scale.
    Decimal(u8, i8),
    /// `Utf8View`: text, and enums, whose binary form is their label.
    Text,
    /// `BinaryView`
    Bytes,
    /// `Date32`
    Date,
    /// `Timestamp(µs)`, of the wall clock.
    Timestamp,
    /// `Timestamp(µs, UTC)`
    TimestampTz,
    /// `Utf8View`, 36 characters.
    Uuid,
    /// JSON text.
    Json,
    /// JSON text; its binary form has a version byte in front.
    Jsonb,
    /// JSON text: a number of any length, or `"NaN"`, `"Infinity"`, `"-Infinity"`.
    Number,
    /// JSON text: an array, its elements as this says.
    Array(Element),
    /// `Utf8View`: what the type prints.
    Printed,
}

/// What the elements of an array become in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Element {
    /// `true`, `false`
    Bool,
    /// Numbers, except those that JSON does not have.
    Number,
    /// Documents.
    Json,
    /// Texts.
    Text,
}

impl Kind {
    /// The kind of a base type (never a domain) by its name in `pg_catalog`, its category and its modifier; `element` is
    /// the name of an array's element type.
    ///
    /// Source: `pg_type` of PostgreSQL, and "numeric" for the modifier: `((precision << 16) | scale) + 4`, the scale in
    /// 11 bits with a sign since version 15.
    pub(crate) fn of(name: &str, category: &str, modifier: i32, element: &str, as_text: bool) -> Self {
        match name {
            "bool" => Self::Bool,
            "int2" => Self::Int2,
            "int4" => Self::Int4,
            "int8" => Self::Int8,
            "oid" => Self::Oid,
            "float4" => Self::Float4,
            "float8" => Self::Float8,
            "numeric" => decimal(modifier).filter(|_| !as_text).unwrap_or(Self::Number),
            "text" | "varchar" | "bpchar" | "name" | "citext" => Self::Text,
            "bytea" => Self::Bytes,
            "date" => Self::Date,
            "timestamp" => Self::Timestamp,
            "timestamptz" => Self::TimestampTz,
            "uuid" => Self::Uuid,
            "json" => Self::Json,
            "jsonb" => Self::Jsonb,
            _ if category == "E" => Self::Text,
            // A box array is the one that separates its elements otherwise; its text stays as it is.
            _ if category == "A" && element != "box" && name.starts_with('_') => Self::Array(match element {
                "bool" => Element::Bool,
                "int2" | "int4" | "int8" | "oid" | "float4" | "float8" | "numeric" => Element::Number,
                "json" | "jsonb" => Element::Json,
                _ => Element::Text,
            }),
            _ => Self::Printed,
        }
    }

    /// The column, without its name. Every column may be NULL: a DELETE carries only its key.
    pub(crate) fn field(self, name: &str) -> Field {
        let plain = |data_type| Field::new(name, data_type, true);
        match self {
            Self::Bool => plain(DataType::Boolean),
            Self::Int2 => plain(DataType::Int16),
            Self::Int4 => plain(DataType::Int32),
            Self::Int8 | Self::Oid => plain(DataType::Int64),
            Self::Float4 => plain(DataType::Float32),
            Self::Float8 => plain(DataType::Float64),
            Self::Decimal(precision, scale) => plain(DataType::Decimal128(precision, scale)),
            Self::Text | Self::Uuid | Self::Printed => plain(DataType::Utf8View),
            Self::Bytes => plain(DataType::BinaryView),
            Self::Date => plain(DataType::Date32),
            Self::Timestamp => plain(DataType::Timestamp(TimeUnit::Microsecond, None)),
            Self::TimestampTz => plain(utc()),
            Self::Json | Self::Jsonb | Self::Number | Self::Array(_) => json_field(name),
        }
    }

    /// Whether the copy must ask for the printed text instead of the binary form.
    pub(crate) fn is_printed(self) -> bool {
        matches!(self, Self::Number | Self::Array(_) | Self::Printed)
    }
}

/// A timestamp with the zone UTC, as the planner spells it.
pub(crate) fn utc() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()))
}

/// A declared numeric that fits a decimal: at most 38 digits, none of them beyond the precision.
fn decimal(modifier: i32) -> Option<Kind> {
    let bits = modifier.checked_sub(4).filter(|bits| *bits >= 0)?;
    let precision = u8::try_from(bits >> 16).ok().filter(|precision| (1..=38).contains(precision))?;
    let scale = i8::try_from(bits & 0x7ff).ok()?;
    (scale.unsigned_abs() <= precision).then_some(Kind::Decimal(precision, scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_numeric_is_a_decimal_only_where_it_fits() {
        let of = |modifier| Kind::of("numeric", "N", modifier, "", false);
        let modifier = |precision: i32, scale: i32| ((precision << 16) | (scale & 0x7ff)) + 4;
        assert_eq!(of(modifier(10, 2)), Kind::Decimal(10, 2));
        assert_eq!(of(modifier(38, 38)), Kind::Decimal(38, 38));
        for modifier in [-1, modifier(39, 2), modifier(3, 5), modifier(5, -2)] {
            assert_eq!(of(modifier), Kind::Number, "{modifier}");
        }
    }
}
