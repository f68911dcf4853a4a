//! The types of columns, as Flink spells them.

use super::lexer::Cursor;
use crate::suggest;
use acme_types::Diagnostic;
use acme_types::codes::BAD_VALUE;
use sqlparser::tokenizer::Token;
use std::fmt;

/// The declared type of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ColumnType {
    /// `BOOLEAN`
    Boolean,
    /// `TINYINT`, 8 bits.
    TinyInt,
    /// `SMALLINT`, 16 bits.
    SmallInt,
    /// `INT`, 32 bits.
    Int,
    /// `BIGINT`, 64 bits.
    BigInt,
    /// `FLOAT`, 32 bits.
    Float,
    /// `DOUBLE`, 64 bits.
    Double,
    /// `DECIMAL(precision, scale)`
    Decimal(u8, u8),
    /// `STRING`, `VARCHAR(n)`, `CHAR(n)`: the length is a limit of storage, and nothing is stored.
    String,
    /// `BYTES`, `VARBINARY(n)`, `BINARY(n)`
    Bytes,
    /// `DATE`
    Date,
    /// `TIMESTAMP(digits)`, without a zone.
    Timestamp(u8),
    /// `TIMESTAMP_LTZ(digits)`: a point in time.
    TimestampLtz(u8),
    /// `ROW<name type, …>`
    Row(Vec<(String, ColumnType)>),
    /// `ARRAY<type>`
    Array(Box<ColumnType>),
    /// `MAP<key, value>`
    Map(Box<ColumnType>, Box<ColumnType>),
    /// `JSON`: any value, kept as it is written. Ours, not Flink's.
    Json,
}

impl ColumnType {
    /// What `schema:` of a pipeline file calls it. Rows and maps are read as the JSON that they are written in.
    #[must_use]
    pub fn declared(&self) -> String {
        match self {
            Self::Row(_) | Self::Map(..) | Self::Json => "json".to_owned(),
            Self::Array(inner) => format!("array<{}>", inner.declared()),
            other => other.to_string().to_lowercase(),
        }
    }

    /// Whether it can be the time of an event.
    #[must_use]
    pub fn is_time(&self) -> bool {
        matches!(self, Self::Timestamp(_) | Self::TimestampLtz(_))
    }
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Boolean => "BOOLEAN",
            Self::TinyInt => "TINYINT",
            Self::SmallInt => "SMALLINT",
            Self::Int => "INT",
            Self::BigInt => "BIGINT",
            Self::Float => "FLOAT",
            Self::Double => "DOUBLE",
            Self::String => "STRING",
            Self::Bytes => "BYTES",
            Self::Date => "DATE",
            Self::Json => "JSON",
            Self::Decimal(precision, scale) => return write!(f, "DECIMAL({precision}, {scale})"),
            Self::Timestamp(digits) => return write!(f, "TIMESTAMP({digits})"),
            Self::TimestampLtz(digits) => return write!(f, "TIMESTAMP_LTZ({digits})"),
            Self::Array(inner) => return write!(f, "ARRAY<{inner}>"),
            Self::Map(key, value) => return write!(f, "MAP<{key}, {value}>"),
            Self::Row(fields) => {
                f.write_str("ROW<")?;
                for (index, (name, kind)) in fields.iter().enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    write!(f, "{comma}`{name}` {kind}")?;
                }
                ">"
            }
        };
        f.write_str(name)
    }
}

/// What a column may be, for messages.
const KNOWN: &[&str] = &[
    "BOOLEAN",
    "TINYINT",
    "SMALLINT",
    "INT",
    "BIGINT",
    "FLOAT",
    "DOUBLE",
    "DECIMAL",
    "STRING",
    "VARCHAR",
    "CHAR",
    "BYTES",
    "DATE",
    "TIMESTAMP",
    "TIMESTAMP_LTZ",
    "ROW",
    "ARRAY",
    "MAP",
    "JSON",
];

/// Reads a type.
///
/// **Errors** what is no type, or one that nothing here can hold.
pub(crate) fn column_type(cursor: &mut Cursor<'_>) -> Result<ColumnType, Diagnostic> {
    let at = cursor.place();
    let Some(Token::Word(word)) = cursor.peek() else { return Err(cursor.expected("a type")) };
    let name = word.value.to_uppercase();
    if word.quote_style.is_some() {
        return Err(cursor.expected("a type"));
    }
    cursor.advance();
    let plain = match &*name {
        "BOOLEAN" | "BOOL" => ColumnType::Boolean,
        "TINYINT" => ColumnType::TinyInt,
        "SMALLINT" => ColumnType::SmallInt,
        "INT" | "INTEGER" => ColumnType::Int,
        "BIGINT" => ColumnType::BigInt,
        "FLOAT" | "REAL" => ColumnType::Float,
        "DOUBLE" => {
            cursor.words(&["PRECISION"]);
            ColumnType::Double
        }
        "DATE" => ColumnType::Date,
        "JSON" => ColumnType::Json,
        "STRING" | "TEXT" => ColumnType::String,
        "BYTES" => ColumnType::Bytes,
        "VARCHAR" | "CHAR" | "CHARACTER" | "VARBINARY" | "BINARY" => {
            cursor.words(&["VARYING"]);
            let length = arguments(cursor)?;
            if length.len() > 1 || length.first() == Some(&0) {
                let message = format!("{name} takes one length of at least 1");
                return Err(Diagnostic::new(&BAD_VALUE, message).at(&at));
            }
            if name.ends_with("BINARY") { ColumnType::Bytes } else { ColumnType::String }
        }
        "DECIMAL" | "NUMERIC" | "DEC" => {
            return decimal(&arguments(cursor)?)
                .map_err(|message| Diagnostic::new(&BAD_VALUE, message).at(&at));
        }
        "TIMESTAMP" | "TIMESTAMP_LTZ" => return timestamp(&name, cursor),
        "ROW" => ColumnType::Row(fields(cursor)?),
        "ARRAY" => {
            cursor.expect(&Token::Lt, "`<`")?;
            let inner = column_type(cursor)?;
            not_null(cursor);
            cursor.expect_closing_angle()?;
            ColumnType::Array(Box::new(inner))
        }
        "MAP" => {
            cursor.expect(&Token::Lt, "`<`")?;
            let key = column_type(cursor)?;
            not_null(cursor);
            cursor.expect(&Token::Comma, "`,`")?;
            let value = column_type(cursor)?;
            not_null(cursor);
            cursor.expect_closing_angle()?;
            ColumnType::Map(Box::new(key), Box::new(value))
        }
        "TIME" | "MULTISET" | "INTERVAL" | "RAW" | "SYMBOL" | "VARIANT" => {
            let message = format!("a column cannot be {name}");
            let help = match &*name {
                "TIME" => "declare it as STRING, and cast it where it is used",
                "INTERVAL" => "declare it as BIGINT, a number of units",
                _ => "declare it as JSON, which keeps any value as it is written",
            };
            return Err(Diagnostic::new(&BAD_VALUE, message).at(&at).help(help));
        }
        _ => {
            let message = format!("\"{}\" is no type", word.value);
            let help = suggest::help(&word.value, KNOWN, "types");
            return Err(Diagnostic::new(&BAD_VALUE, message).at(&at).help(help));
        }
    };
    Ok(plain)
}

/// `(1)`, `(1, 2)`, or nothing.
fn arguments(cursor: &mut Cursor<'_>) -> Result<Vec<u32>, Diagnostic> {
    let mut numbers = Vec::new();
    if cursor.token(&Token::LParen) {
        loop {
            numbers.push(cursor.number("a number")?);
            if !cursor.token(&Token::Comma) {
                break;
            }
        }
        cursor.expect(&Token::RParen, "`)`")?;
    }
    Ok(numbers)
}

fn decimal(arguments: &[u32]) -> Result<ColumnType, String> {
    let (precision, scale) = match arguments {
        [] => (10, 0),
        [precision] => (*precision, 0),
        [precision, scale] => (*precision, *scale),
        _ => return Err("DECIMAL takes a precision and a scale".to_owned()),
    };
    match (u8::try_from(precision), u8::try_from(scale)) {
        (Ok(precision @ 1..=38), Ok(scale)) if scale <= precision => {
            Ok(ColumnType::Decimal(precision, scale))
        }
        _ => {
            Err("the precision of a DECIMAL goes from 1 to 38, and its scale from 0 to the precision"
                .to_owned())
        }
    }
}

/// What follows `TIMESTAMP` or `TIMESTAMP_LTZ`.
fn timestamp(name: &str, cursor: &mut Cursor<'_>) -> Result<ColumnType, Diagnostic> {
    let at = cursor.place();
    let digits = match arguments(cursor)?[..] {
        [] => 6,
        [digits @ 0..=9] => u8::try_from(digits).expect("at most 9"),
        _ => {
            let message = format!("{name} has from 0 to 9 digits of a second");
            return Err(Diagnostic::new(&BAD_VALUE, message).at(&at));
        }
    };
    let zoned = name == "TIMESTAMP_LTZ"
        || cursor.words(&["WITH", "LOCAL", "TIME", "ZONE"])
        || cursor.words(&["WITH", "TIME", "ZONE"]);
    if !zoned {
        cursor.words(&["WITHOUT", "TIME", "ZONE"]);
    }
    Ok(if zoned { ColumnType::TimestampLtz(digits) } else { ColumnType::Timestamp(digits) })
}

/// The fields of a row, in `<…>` or `(…)`.
fn fields(cursor: &mut Cursor<'_>) -> Result<Vec<(String, ColumnType)>, Diagnostic> {
    let round = cursor.token(&Token::LParen);
    if !round {
        cursor.expect(&Token::Lt, "`<`")?;
    }
    let mut fields: Vec<(String, ColumnType)> = Vec::new();
    loop {
        let name = cursor.name("the name of a field")?;
        if fields.iter().any(|(known, _)| *known == name.name) {
            let message = format!("the row has two fields \"{}\"", name.name);
            return Err(Diagnostic::new(&acme_types::codes::DUPLICATE, message).at(&name.at));
        }
        let kind = column_type(cursor)?;
        not_null(cursor);
        if matches!(cursor.peek(), Some(Token::SingleQuotedString(_))) {
            cursor.advance();
        }
        fields.push((name.name, kind));
        if !cursor.token(&Token::Comma) {
            break;
        }
    }
    match round {
        true => cursor.expect(&Token::RParen, "`,` or `)`")?,
        false => cursor.expect_closing_angle()?,
    }
    Ok(fields)
}

/// `NULL` and `NOT NULL` inside a type: every value may be NULL here.
fn not_null(cursor: &mut Cursor<'_>) {
    let _ = cursor.words(&["NOT", "NULL"]) || cursor.words(&["NULL"]);
}
