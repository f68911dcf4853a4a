//! The types that `schema:` may name, as DataFusion and Flink spell them.

use crate::json::As;
use acme_types::batch::json_field;
use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Field, TimeUnit};
use std::fmt;
use std::sync::Arc;

/// The declared type of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SqlType {
    /// `boolean`
    Boolean,
    /// `tinyint`, 8 bits.
    TinyInt,
    /// `smallint`, 16 bits.
    SmallInt,
    /// `int`, 32 bits.
    Int,
    /// `bigint`, 64 bits.
    BigInt,
    /// `float`, 32 bits.
    Float,
    /// `double`, 64 bits.
    Double,
    /// `decimal(precision, scale)`
    Decimal(u8, i8),
    /// `string`, `varchar`
    String,
    /// `date`
    Date,
    /// `timestamp(digits)`, without a zone.
    Timestamp(u8),
    /// `timestamp(digits) with time zone`: a point in time.
    TimestampZoned(u8),
    /// `bytes`; base64 in text.
    Bytes,
    /// `json`: any value, kept as it is written.
    Json,
    /// `array<…>`
    Array(Box<SqlType>),
}

/// What a schema may say, for messages.
pub(crate) const KNOWN: &str = "boolean, tinyint, smallint, int, bigint, float, double, decimal(p, s), string, date, \
     timestamp(p), timestamp(p) with time zone, bytes, json, array<…>";

impl SqlType {
    /// Reads the name of a type; the error is one clause.
    pub fn parse(text: &str) -> Result<Self, String> {
        let lower = text.trim().to_lowercase();
        let unknown = || format!("\"{text}\" is no type; known are {KNOWN}");
        if let Some(inner) = lower.strip_prefix("array<").and_then(|rest| rest.strip_suffix('>')) {
            return Self::parse(inner).map(|inner| Self::Array(Box::new(inner)));
        }
        let (head, arguments, tail) = match lower.split_once('(') {
            Some((head, rest)) => {
                let (arguments, tail) = rest.split_once(')').ok_or_else(unknown)?;
                let number = |text: &str| text.trim().parse::<u8>().map_err(|_| unknown());
                let arguments = arguments.split(',').map(number).collect::<Result<Vec<_>, _>>()?;
                (head, arguments, tail)
            }
            None => (&*lower, Vec::new(), ""),
        };
        let words: Vec<&str> = head.split_whitespace().chain(tail.split_whitespace()).collect();
        Self::of(&words.join(" "), &arguments).unwrap_or_else(|| Err(unknown()))
    }

    /// `None` where there is no such name.
    fn of(name: &str, arguments: &[u8]) -> Option<Result<Self, String>> {
        let plain = match name {
            "boolean" | "bool" => Self::Boolean,
            "tinyint" => Self::TinyInt,
            "smallint" => Self::SmallInt,
            "int" | "integer" => Self::Int,
            "bigint" => Self::BigInt,
            "float" | "real" => Self::Float,
            "double" | "double precision" => Self::Double,
            "date" => Self::Date,
            "bytes" | "bytea" | "binary" | "varbinary" => Self::Bytes,
            "json" => Self::Json,
            "string" | "text" => Self::String,
            // The length that SQL allows here is a limit of storage, and nothing is stored.
            "varchar" | "char" => return (arguments.len() <= 1).then_some(Ok(Self::String)),
            "decimal" | "numeric" => return decimal(arguments),
            "timestamp" | "timestamp without time zone" => return timestamp(arguments, Self::Timestamp),
            "timestamp with time zone"
            | "timestamp with local time zone"
            | "timestamptz"
            | "timestamp_ltz" => {
                return timestamp(arguments, Self::TimestampZoned);
            }
            _ => return None,
        };
        arguments.is_empty().then_some(Ok(plain))
    }

    /// How a field of this type is read from its format, before it is converted.
    #[must_use]
    pub fn read_as(&self) -> As {
        match self {
            Self::Boolean => As::Bool,
            Self::TinyInt | Self::SmallInt | Self::Int | Self::BigInt | Self::Decimal(..) => As::Number,
            Self::Float | Self::Double => As::Double,
            Self::String | Self::Date | Self::Timestamp(_) | Self::TimestampZoned(_) | Self::Bytes => {
                As::Text
            }
            Self::Json | Self::Array(_) => As::Json,
        }
    }

    /// The Arrow field of a column of this type.
    #[must_use]
    pub fn field(&self, name: &str) -> Field {
        match self {
            Self::Json => json_field(name),
            _ => Field::new(name, self.data_type(), true),
        }
    }

    /// The Arrow type.
    #[must_use]
    pub fn data_type(&self) -> DataType {
        match self {
            Self::Boolean => DataType::Boolean,
            Self::TinyInt => DataType::Int8,
            Self::SmallInt => DataType::Int16,
            Self::Int => DataType::Int32,
            Self::BigInt => DataType::Int64,
            Self::Float => DataType::Float32,
            Self::Double => DataType::Float64,
            Self::Decimal(precision, scale) => DataType::Decimal128(*precision, *scale),
            Self::String | Self::Json => DataType::Utf8View,
            Self::Date => DataType::Date32,
            Self::Timestamp(digits) => DataType::Timestamp(unit(*digits), None),
            Self::TimestampZoned(digits) => DataType::Timestamp(unit(*digits), Some("+00:00".into())),
            Self::Bytes => DataType::BinaryView,
            Self::Array(inner) => DataType::List(Arc::new(inner.field("item"))),
        }
    }
}

impl fmt::Display for SqlType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Decimal(precision, scale) => return write!(f, "decimal({precision}, {scale})"),
            Self::Timestamp(digits) => return write!(f, "timestamp({digits})"),
            Self::TimestampZoned(digits) => return write!(f, "timestamp({digits}) with time zone"),
            Self::Array(inner) => return write!(f, "array<{inner}>"),
            Self::Boolean => "boolean",
            Self::TinyInt => "tinyint",
            Self::SmallInt => "smallint",
            Self::Int => "int",
            Self::BigInt => "bigint",
            Self::Float => "float",
            Self::Double => "double",
            Self::String => "string",
            Self::Date => "date",
            Self::Bytes => "bytes",
            Self::Json => "json",
        };
        f.write_str(name)
    }
}

/// Without arguments as Flink has it: 10 digits, none behind the point.
fn decimal(arguments: &[u8]) -> Option<Result<SqlType, String>> {
    let (precision, scale) = match *arguments {
        [] => (10, 0),
        [precision] => (precision, 0),
        [precision, scale] => (precision, scale),
        _ => return None,
    };
    let fits = (1..=DECIMAL128_MAX_PRECISION).contains(&precision) && scale <= precision;
    Some(match i8::try_from(scale) {
        Ok(scale) if fits => Ok(SqlType::Decimal(precision, scale)),
        _ => Err(format!(
            "a decimal has 1 to {DECIMAL128_MAX_PRECISION} digits, and not more of them behind the point"
        )),
    })
}

/// Microseconds unless it says otherwise.
fn timestamp(arguments: &[u8], make: fn(u8) -> SqlType) -> Option<Result<SqlType, String>> {
    match *arguments {
        [] => Some(Ok(make(6))),
        [digits @ 0..=9] => Some(Ok(make(digits))),
        [_] => Some(Err("a timestamp has 0 to 9 digits behind the second".to_owned())),
        _ => None,
    }
}

fn unit(digits: u8) -> TimeUnit {
    if digits <= 6 { TimeUnit::Microsecond } else { TimeUnit::Nanosecond }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_written_as_sql_has_them() {
        for (text, shown) in [
            ("BIGINT", "bigint"),
            ("integer", "int"),
            ("varchar(20)", "string"),
            ("decimal(10,2)", "decimal(10, 2)"),
            ("DECIMAL ( 10 , 2 )", "decimal(10, 2)"),
            ("numeric", "decimal(10, 0)"),
            ("timestamp", "timestamp(6)"),
            ("timestamp(3) with time zone", "timestamp(3) with time zone"),
            ("timestamptz", "timestamp(6) with time zone"),
            ("double precision", "double"),
            ("array<array<string>>", "array<array<string>>"),
        ] {
            assert_eq!(SqlType::parse(text).map(|kind| kind.to_string()).as_deref(), Ok(shown), "{text}");
        }
        for text in [
            "",
            "integr",
            "bigint(5)",
            "decimal(2,3)",
            "decimal(40,1)",
            "timestamp(10)",
            "array<x>",
            "array<",
            "int)",
        ] {
            assert!(SqlType::parse(text).is_err(), "{text}");
        }
    }
}
