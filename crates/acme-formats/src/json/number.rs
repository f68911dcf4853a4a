//! Exact numbers of undeclared fields: 64-bit integers where all values are, else wide decimals.

use arrow::datatypes::{DataType, i256};

/// Digits behind the point of a wide number.
const SCALE: i32 = 24;
/// The type of a number column in which some value is not a 64-bit integer: 52 digits before the point, 24 behind.
///
/// Two of them can still be multiplied exactly within Arrow's 76 digits.
pub const WIDE_NUMBER: DataType = DataType::Decimal256(76, WIDE_SCALE);
/// Digits behind the point of an undeclared number.
pub(super) const WIDE_SCALE: i8 = 24;

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
    let whole = whole.trim_start_matches('0');
    // Where there is no whole part, zeros behind the point are no digits either.
    let digits = if whole.is_empty() { fraction.trim_start_matches('0') } else { fraction };
    if whole.is_empty() && digits.is_empty() {
        return Some(i256::ZERO);
    }
    let significant = if digits.is_empty() { whole.trim_end_matches('0') } else { whole };
    let behind = i32::try_from(fraction.len()).ok()?;
    let dropped = i32::try_from(whole.len() - significant.len()).ok()?;
    let zeros = SCALE.checked_add(exponent)?.checked_sub(behind)?.checked_add(dropped)?;
    let zeros = usize::try_from(zeros).ok()?;
    if significant.len() + digits.len() + zeros > 76 {
        return None;
    }
    let mut value = i256::ZERO;
    // Any 18 digits fit into 64 bits.
    for part in significant.as_bytes().chunks(18).chain(digits.as_bytes().chunks(18)) {
        let number = part.iter().fold(0, |number, digit| 10 * number + i128::from(digit - b'0'));
        value = value.wrapping_mul(power(part.len())).wrapping_add(i256::from_i128(number));
    }
    value = value.wrapping_mul(power(zeros));
    Some(if negative { value.wrapping_neg() } else { value })
}

/// A 64-bit integer as a wide number.
pub(super) fn widened(value: i64) -> i256 {
    i256::from(value).wrapping_mul(power(24))
}

/// Ten to a power of at most 76.
fn power(exponent: usize) -> i256 {
    let small = |exponent: usize| i256::from_i128(10i128.pow(u32::try_from(exponent).expect("at most 38")));
    let low = exponent.min(38);
    if exponent > low { small(low).wrapping_mul(small(exponent - low)) } else { small(low) }
}

/// Writes a decimal of no declared scale in its shortest form: no zeros behind the last digit that counts, no point
/// without digits.
pub fn write_wide(value: i256, scale: usize, out: &mut Vec<u8>) {
    let text = text_of(value, scale);
    let shown = if scale == 0 { &text } else { text.trim_end_matches('0').trim_end_matches('.') };
    out.extend_from_slice(shown.as_bytes());
}

/// Writes a decimal with every digit of its declared scale, as databases print it: 82.00 stays 82.00, so that a reader
/// who guesses types from values (Elasticsearch's dynamic mapping) takes no column of fractions for one of integers.
pub(super) fn write_scaled(value: i256, scale: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(text_of(value, scale).as_bytes());
}

/// All digits of a decimal, `scale` of them behind the point.
fn text_of(value: i256, scale: usize) -> String {
    let mut text = value.to_string();
    let sign = usize::from(text.starts_with('-'));
    if text.len() - sign <= scale {
        text.insert_str(sign, &"0".repeat(scale + 1 + sign - text.len()));
    }
    if scale > 0 {
        text.insert(text.len() - scale, '.');
    }
    text
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

    #[test]
    fn a_declared_scale_is_written_whole() {
        for (value, scale, expected) in [
            (8200, 2, "82.00"),
            (-5, 2, "-0.05"),
            (0, 2, "0.00"),
            (-8200, 0, "-8200"),
            (123, 3, "0.123"),
            (-1234, 3, "-1.234"),
        ] {
            let mut out = Vec::new();
            write_scaled(i256::from(value), scale, &mut out);
            assert_eq!(String::from_utf8(out).as_deref(), Ok(expected));
        }
    }
}
