//! Texts read as what their use asks for: for formats whose fields are all text.

use crate::json::{As, WIDE_NUMBER, parse_wide};
use arrow::array::{ArrayRef, BooleanArray, Decimal256Array, Float64Array, Int64Array, StringViewArray};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::i256;
use serde::de::IgnoredAny;
use std::sync::Arc;

/// The rows at fault, each with a clause that says why.
pub(crate) type Faults = Vec<(usize, String)>;

/// Reads every text of a column. A cell at fault is NULL in the result, which its reader must not use.
pub(crate) fn read_texts(texts: &StringViewArray, kind: As) -> (ArrayRef, Faults) {
    match kind {
        As::Text | As::Scalar => (Arc::new(texts.clone()), Vec::new()),
        As::Number => numbers(texts),
        As::Double => {
            let (values, faults) = each(texts, |text| match text.parse::<f64>() {
                Ok(value) if value.is_finite() => Ok(value),
                _ => Err(not(text, "a number")),
            });
            (Arc::new(Float64Array::from(values)), faults)
        }
        As::Bool => {
            let (values, faults) = each(texts, |text| match text {
                _ if text.eq_ignore_ascii_case("true") => Ok(true),
                _ if text.eq_ignore_ascii_case("false") => Ok(false),
                _ => Err(not(text, "true or false")),
            });
            (Arc::new(BooleanArray::from(values)), faults)
        }
        As::Json => {
            let (_, faults) = each(texts, |text| {
                serde_json::from_str::<IgnoredAny>(text)
                    .map_err(|error| format!("is not valid JSON: {error}"))
            });
            (Arc::new(texts.clone()), faults)
        }
    }
}

/// Reads the cells that are there one by one.
pub(crate) fn each<T>(
    texts: &StringViewArray,
    read: impl Fn(&str) -> Result<T, String>,
) -> (Vec<Option<T>>, Faults) {
    let mut faults = Vec::new();
    let cell = |(row, text): (usize, Option<&str>)| match read(text?) {
        Ok(value) => Some(value),
        Err(cause) => {
            faults.push((row, cause));
            None
        }
    };
    let values = texts.iter().enumerate().map(cell).collect();
    (values, faults)
}

/// The clause for a text that is not what is needed.
pub(crate) fn not(text: &str, noun: &str) -> String {
    const SHOWN: usize = 60;
    let shown: String = text.chars().take(SHOWN).collect();
    let more = if shown.len() < text.len() { "…" } else { "" };
    format!("is \"{shown}{more}\" where the pipeline needs {noun}")
}

/// Exact numbers: 64-bit integers where all are, else wide ones for the whole column.
fn numbers(texts: &StringViewArray) -> (ArrayRef, Faults) {
    let narrow: Result<Vec<Option<i64>>, ()> =
        texts.iter().map(|text| text.map(|text| text.parse::<i64>().map_err(drop)).transpose()).collect();
    if let Ok(values) = narrow {
        return (Arc::new(Int64Array::from(values)), Vec::new());
    }
    let (values, faults) = each(texts, |text| {
        let json = plain_number(text).ok_or_else(|| not(text, "a number"))?;
        parse_wide(json)
            .ok_or_else(|| format!("is a number with more digits than an exact number can keep: {text}"))
    });
    // A column that is wide only because of its faults is not wide.
    let unit = parse_wide("1").expect("one fits");
    let integer = |value: &i256| {
        (value.wrapping_rem(unit) == i256::ZERO).then(|| value.wrapping_div(unit)).and_then(i256_to_i64)
    };
    let narrow: Option<Vec<Option<i64>>> = values
        .iter()
        .map(|value| value.as_ref().map(integer).map_or(Some(None), |it| it.map(Some)))
        .collect();
    if let Some(values) = narrow {
        return (Arc::new(Int64Array::from(values)), faults);
    }
    let nulls = values.iter().map(Option::is_some).collect::<Vec<bool>>().into();
    let values: ScalarBuffer<i256> = values.into_iter().map(|value| value.unwrap_or(i256::ZERO)).collect();
    (Arc::new(Decimal256Array::new(values, Some(nulls)).with_data_type(WIDE_NUMBER)), faults)
}

fn i256_to_i64(value: i256) -> Option<i64> {
    value.to_i128().and_then(|value| i64::try_from(value).ok())
}

/// A number as people write it in the form that JSON has for it: no `+`, a digit before the point.
fn plain_number(text: &str) -> Option<&str> {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) =
        unsigned.split_once(['e', 'E']).map_or((unsigned, None), |(m, e)| (m, Some(e)));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent_fits = exponent.is_none_or(|exponent| {
        let rest = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !rest.is_empty() && digits(rest)
    });
    let some = !whole.is_empty() || !fraction.is_empty();
    if !some || !digits(whole) || !digits(fraction) || !exponent_fits {
        return None;
    }
    Some(text.strip_prefix('+').unwrap_or(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::Array;
    use arrow::util::display::array_value_to_string;

    fn read(texts: &[Option<&str>], kind: As) -> (Vec<String>, Faults) {
        let (array, faults) = read_texts(&StringViewArray::from(texts.to_vec()), kind);
        ((0..array.len()).map(|row| array_value_to_string(&array, row).expect("prints")).collect(), faults)
    }

    #[test]
    fn numbers_are_read_as_people_write_them() {
        let (values, faults) = read(&[Some("+7"), Some("007"), None, Some("-1e3")], As::Number);
        assert_eq!((values.join("|"), faults.len()), ("7|7||-1000".to_owned(), 0));
        let (values, faults) = read(&[Some(".5"), Some("5."), Some("18446744073709551615")], As::Number);
        let zeros = "0".repeat(24);
        assert_eq!(
            (values.join("|"), faults.len()),
            (format!("0.5{}|5.{zeros}|18446744073709551615.{zeros}", "0".repeat(23)), 0)
        );
    }

    #[test]
    fn what_is_no_number_is_a_fault_and_leaves_the_others_narrow() {
        let texts = ["", ".", "1,5", "1_000", "0x1", "NaN", "e5", "1e", "--1", "1 2", "9"].map(Some);
        let (values, faults) = read(&texts, As::Number);
        assert_eq!(faults.iter().map(|(row, _)| *row).collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
        assert_eq!(faults[2].1, "is \"1,5\" where the pipeline needs a number");
        assert_eq!(values[10], "9");
        let (_, faults) = read(&[Some("1e999"), Some("1e-99")], As::Number);
        assert_eq!(faults.len(), 2, "{faults:?}");
        let (_, faults) = read(&[Some("inf"), Some("NaN"), Some("1.5")], As::Double);
        assert_eq!(faults.len(), 2, "{faults:?}");
    }

    #[test]
    fn flags_and_documents() {
        let (values, faults) = read(&[Some("true"), Some("FALSE"), Some("yes"), None], As::Bool);
        assert_eq!((values.join("|"), faults.len()), ("true|false||".to_owned(), 1));
        let (_, faults) = read(&[Some("{\"a\":1}"), Some("[1,"), Some("x")], As::Json);
        assert_eq!(faults.len(), 2, "{faults:?}");
    }
}
