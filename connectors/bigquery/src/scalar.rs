//! Single JSON values as fields of a message, each as its column wants it.
//!
//! Source: Storage Write API, "Data type conversions": TIMESTAMP is microseconds since the epoch, DATE days; NUMERIC, JSON, TIME
//! and DATETIME are taken as text.

use crate::layout::Column;
use crate::table::Type;
use crate::wire;
use arrow::array::timezone::Tz;
use arrow::compute::kernels::cast_utils::{Parser, string_to_datetime};
use arrow::datatypes::Date32Type;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::borrow::Cow;
use std::fmt::Write;

/// Microseconds of 0001-01-01 and 9999-12-31T23:59:59.999999, between which TIMESTAMP and DATE lie.
const FIRST_US: i64 = -62_135_596_800_000_000;
const LAST_US: i64 = 253_402_300_799_999_999;
/// The same in days.
const FIRST_DAY: i32 = -719_162;
const LAST_DAY: i32 = 2_932_896;

/// Memory that is used for one value after the other.
#[derive(Debug)]
pub(crate) struct Scratch {
    bytes: Vec<u8>,
    text: String,
    utc: Tz,
}

impl Default for Scratch {
    fn default() -> Self {
        let utc = "+00:00".parse().expect("it is an offset");
        Self { bytes: Vec::new(), text: String::new(), utc }
    }
}

/// Appends a field with this value, which is not `null`. Fails with the reason for which the column cannot take it.
pub(crate) fn write(
    column: &Column,
    json: &str,
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    let number = column.number;
    let refused = || refusal(column, json);
    match column.kind {
        Type::Int => wire::int(out, number, whole(json).ok_or_else(refused)?),
        Type::Float => wire::double(out, number, float(json).ok_or_else(refused)?),
        Type::Bool => match json.trim_matches('"') {
            "true" => wire::int(out, number, 1),
            "false" => wire::int(out, number, 0),
            _ => return Err(refused()),
        },
        Type::Text => wire::bytes(out, number, text(json).as_bytes()),
        Type::Json => wire::bytes(out, number, json.as_bytes()),
        Type::Timestamp => {
            let text = string(json).ok_or_else(refused)?;
            let time = string_to_datetime(&scratch.utc, &text).map_err(|_| refused())?;
            let micros = time.timestamp_micros();
            match micros {
                FIRST_US..=LAST_US => wire::int(out, number, micros),
                _ => return Err(refused()),
            }
        }
        Type::Date => {
            let text = string(json).ok_or_else(refused)?;
            match Date32Type::parse(&text).ok_or_else(refused)? {
                day @ FIRST_DAY..=LAST_DAY => wire::int(out, number, i64::from(day)),
                _ => return Err(refused()),
            }
        }
        Type::DateTime => {
            let text = string(json).ok_or_else(refused)?;
            let time = string_to_datetime(&scratch.utc, &text).map_err(|_| refused())?;
            scratch.text.clear();
            let written = write!(scratch.text, "{}", time.naive_utc().format("%Y-%m-%d %H:%M:%S%.6f"));
            written.map_err(|_| refused())?;
            wire::bytes(out, number, scratch.text.as_bytes());
        }
        Type::Bytes => {
            let text = string(json).ok_or_else(refused)?;
            scratch.bytes.clear();
            STANDARD.decode_vec(text.as_bytes(), &mut scratch.bytes).map_err(|_| refused())?;
            wire::bytes(out, number, &scratch.bytes);
        }
        Type::Numeric | Type::BigNumeric => {
            let text = json.trim_matches('"');
            if text.is_empty()
                || !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'))
            {
                return Err(refused());
            }
            wire::bytes(out, number, text.as_bytes());
        }
        Type::Time | Type::Geography | Type::Interval => {
            wire::bytes(out, number, string(json).ok_or_else(refused)?.as_bytes());
        }
        Type::Record | Type::Other => return Err(refused()),
    }
    Ok(())
}

fn refusal(column: &Column, json: &str) -> String {
    const SHOWN: usize = 60;
    let shown: String = json.chars().take(SHOWN).collect();
    let more = if shown.len() < json.len() { "…" } else { "" };
    format!("\"{}\" is a {} and cannot take {shown}{more}", column.name, column.kind.sql())
}

/// A whole number, also as a text or with a fraction of zeros.
fn whole(json: &str) -> Option<i64> {
    let digits = json.trim_matches('"');
    if let Ok(number) = digits.parse() {
        return Some(number);
    }
    let (whole, fraction) = digits.split_once('.')?;
    (!fraction.is_empty() && fraction.bytes().all(|digit| digit == b'0')).then(|| whole.parse().ok())?
}

fn float(json: &str) -> Option<f64> {
    match json.as_bytes().first()? {
        b'"' => match json.trim_matches('"') {
            "NaN" => Some(f64::NAN),
            "Infinity" | "inf" => Some(f64::INFINITY),
            "-Infinity" | "-inf" => Some(f64::NEG_INFINITY),
            text => text.parse().ok().filter(|number: &f64| number.is_finite()),
        },
        b'-' | b'0'..=b'9' => json.parse().ok().filter(|number: &f64| number.is_finite()),
        _ => None,
    }
}

/// The content of a JSON text; `None` for anything else.
fn string(json: &str) -> Option<Cow<'_, str>> {
    let content = json.strip_prefix('"')?.strip_suffix('"')?;
    match content.contains('\\') {
        false => Some(Cow::Borrowed(content)),
        true => serde_json::from_str::<String>(json).ok().map(Cow::Owned),
    }
}

/// A text's content, anything else as it stands.
fn text(json: &str) -> Cow<'_, str> {
    string(json).unwrap_or(Cow::Borrowed(json))
}
