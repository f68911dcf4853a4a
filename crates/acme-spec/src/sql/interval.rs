//! Lengths of time: SQL's `INTERVAL '10' SECOND`, and Flink's `10 s` in options.

use sqlparser::ast::{DateTimeField, Expr, Interval, Value};

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// An interval literal in microseconds.
///
/// **Errors** one clause, for what is no such literal, or is counted in months, which differ in length.
pub fn interval_us(expr: &Expr) -> Result<i64, String> {
    let Expr::Interval(interval) = expr else {
        return Err("it is no interval such as INTERVAL '10' SECOND".to_owned());
    };
    let Some(text) = literal(&interval.value) else {
        return Err("the length of an interval is a literal, as in INTERVAL '10' SECOND".to_owned());
    };
    let (negative, text) = match text.trim().strip_prefix('-') {
        Some(rest) => (true, rest.trim()),
        None => (false, text.trim().trim_start_matches('+')),
    };
    let us = match &interval.last_field {
        Some(last) => span_us(text, interval, last),
        None => match &interval.leading_field {
            Some(field) => number_us(text, unit(field)?),
            None => return Err("the interval has no unit: write INTERVAL '10' SECOND".to_owned()),
        },
    };
    let us = us.ok_or_else(|| "the interval cannot be read: write INTERVAL '10' SECOND".to_owned())?;
    Ok(if negative { -us } else { us })
}

fn literal(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) | Value::Number(text, _) => Some(text),
            _ => None,
        },
        _ => None,
    }
}

fn unit(field: &DateTimeField) -> Result<i64, String> {
    Ok(match field {
        DateTimeField::Week(None) | DateTimeField::Weeks => 7 * DAY,
        DateTimeField::Day | DateTimeField::Days => DAY,
        DateTimeField::Hour | DateTimeField::Hours => HOUR,
        DateTimeField::Minute | DateTimeField::Minutes => MINUTE,
        DateTimeField::Second | DateTimeField::Seconds => SECOND,
        DateTimeField::Millisecond | DateTimeField::Milliseconds => 1_000,
        DateTimeField::Microsecond | DateTimeField::Microseconds => 1,
        DateTimeField::Year
        | DateTimeField::Years
        | DateTimeField::Month
        | DateTimeField::Months
        | DateTimeField::Quarter => {
            return Err("months and years differ in length: write days".to_owned());
        }
        _ => return Err("its unit is none of DAY, HOUR, MINUTE, SECOND".to_owned()),
    })
}

/// `10`, `0.5`.
fn number_us(text: &str, unit: i64) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let whole = whole.parse::<i64>().ok()?.checked_mul(unit)?;
    if fraction.is_empty() {
        return Some(whole);
    }
    let scale = 10i128.pow(u32::try_from(fraction.len()).ok()?);
    let part = i128::from(unit) * fraction.parse::<i128>().ok()?;
    if part % scale != 0 {
        return None;
    }
    whole.checked_add(i64::try_from(part / scale).ok()?)
}

/// `1 02:03:04.5` from the leading to the last field.
fn span_us(text: &str, interval: &Interval, last: &DateTimeField) -> Option<i64> {
    let order = |field: &DateTimeField| match unit(field) {
        Ok(DAY) => Some(0usize),
        Ok(HOUR) => Some(1),
        Ok(MINUTE) => Some(2),
        Ok(SECOND) => Some(3),
        _ => None,
    };
    let (first, last) = (order(interval.leading_field.as_ref()?)?, order(last)?);
    let parts: Vec<&str> = text.split([' ', ':']).collect();
    let units = [DAY, HOUR, MINUTE, SECOND].get(first..=last)?;
    if first >= last || parts.len() != units.len() {
        return None;
    }
    parts.iter().zip(units).try_fold(0i64, |sum, (part, unit)| sum.checked_add(number_us(part, *unit)?))
}

/// A duration in an option of Flink: `10 s`, `3min`, `500ms`; a bare number counts milliseconds. In microseconds.
pub(crate) fn flink_duration_us(text: &str) -> Option<i64> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let factor = match &*unit.trim().to_lowercase() {
        "" | "ms" | "milli" | "millis" | "millisecond" | "milliseconds" => 1_000,
        "us" | "µs" | "micro" | "micros" | "microsecond" | "microseconds" => 1,
        "s" | "sec" | "secs" | "second" | "seconds" => SECOND,
        "m" | "min" | "mins" | "minute" | "minutes" => MINUTE,
        "h" | "hour" | "hours" => HOUR,
        "d" | "day" | "days" => DAY,
        _ => return None,
    };
    digits.parse::<i64>().ok()?.checked_mul(factor).filter(|us| *us < 9_000_000_000_000_000)
}

/// A size in an option of Flink, in bytes: `2mb` are two mebibytes.
pub(crate) fn flink_size_bytes(text: &str) -> Option<i64> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let factor = match &*unit.trim().to_lowercase() {
        "" | "b" | "bytes" => 1,
        "k" | "kb" | "kibibytes" => 1 << 10,
        "m" | "mb" | "mebibytes" => 1 << 20,
        "g" | "gb" | "gibibytes" => 1 << 30,
        _ => return None,
    };
    digits.parse::<i64>().ok()?.checked_mul(factor).filter(|bytes| *bytes < 9_000_000_000_000_000)
}
