//! Exact numbers of undeclared fields: 64-bit integers where all values are, else wide decimals.

use arrow::datatypes::{DataType, i256};

/// Digits behind the point of a wide number.
const SCALE: i32 = 24;
/// The type of a number column in which some value is not a 64-bit integer: 52 digits before the point, 24 behind.
///
/// Two of them can still be multiplied exactly within Arrow's 76 digits.
pub const WIDE_NUMBER: DataType = DataType::Decimal256(76, 24);

/// Reads a JSON number exactly; `None` where it does not fit.
#[must_use]
pub fn parse_wide(text: &str) -> Option<i256> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = match digits.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (digits, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    // Trailing zeros carry no value, and would only push an exact number out of range.
    let fraction = fraction.trim_end_matches('0');
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return Some(i256::ZERO);
    }
    let zeros = SCALE.checked_add(exponent)?.checked_sub(i32::try_from(fraction.len()).ok()?)?;
    let significant = digits.trim_end_matches('0');
    let zeros = zeros.checked_add(i32::try_from(digits.len() - significant.len()).ok()?)?;
    let zeros = usize::try_from(zeros).ok()?;
    if significant.len() + zeros > 76 {
        return None;
    }
    let value = i256::from_string(&format!("{significant}{}", "0".repeat(zeros)))?;
    Some(if negative { value.wrapping_neg() } else { value })
}

/// Writes a decimal in its shortest form: no zeros behind the last digit that counts, no point without digits.
pub fn write_wide(value: i256, scale: usize, out: &mut Vec<u8>) {
    let text = value.to_string();
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", &*text),
    };
    let padded = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = padded.split_at(padded.len() - scale);
    let fraction = fraction.trim_end_matches('0');
    out.extend_from_slice(sign.as_bytes());
    out.extend_from_slice(whole.as_bytes());
    if !fraction.is_empty() {
        out.push(b'.');
        out.extend_from_slice(fraction.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(text: &str) -> Option<String> {
        let mut out = Vec::new();
        write_wide(parse_wide(text)?, 24, &mut out);
        String::from_utf8(out).ok()
    }

    #[test]
    fn numbers_are_kept_exactly_or_refused() {
        for (text, expected) in [
            ("0", "0"),
            ("-0.0", "0"),
            ("1.50", "1.5"),
            ("-12.75e2", "-1275"),
            ("1e3", "1000"),
            ("18446744073709551616", "18446744073709551616"),
            ("5.960464477539063e-08", "0.00000005960464477539063"),
            ("0.000000000000000000000001", "0.000000000000000000000001"),
        ] {
            assert_eq!(round(text).as_deref(), Some(expected), "{text}");
        }
        for text in ["1e-25", "1e60", "1e999999999999", "0.1234567890123456789012345"] {
            assert_eq!(round(text), None, "{text}");
        }
    }
}
