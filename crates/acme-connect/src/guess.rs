//! What the values of documents without a schema could be stored as: for destinations that make their tables by themselves.

use arrow::array::timezone::Tz;
use arrow::compute::kernels::cast_utils::string_to_datetime;

/// What the values of a member have been so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guess {
    /// Only null.
    Nothing,
    /// `true` or `false`.
    Bool,
    /// Whole numbers of 64 bits.
    Int,
    /// Other numbers.
    Number,
    /// Times with their zones (RFC 3339).
    Timestamp,
    /// Other texts, or values of several kinds.
    Text,
    /// Objects and arrays, perhaps beside others.
    Json,
}

impl Guess {
    /// What one value is; it must be valid JSON.
    #[must_use]
    pub fn of(json: &str) -> Self {
        match json.as_bytes().first() {
            Some(b'n') | None => Self::Nothing,
            Some(b't' | b'f') => Self::Bool,
            Some(b'{' | b'[') => Self::Json,
            Some(b'"') => match json.get(1..json.len() - 1) {
                Some(text) if is_rfc3339(text) => Self::Timestamp,
                _ => Self::Text,
            },
            Some(_) if json.parse::<i64>().is_ok() => Self::Int,
            Some(_) => Self::Number,
        }
    }

    /// What holds both.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        match (self, other) {
            (one, Self::Nothing) => one,
            (Self::Nothing, one) => one,
            (one, same) if one == same => one,
            (Self::Int | Self::Number, Self::Int | Self::Number) => Self::Number,
            (Self::Json, _) | (_, Self::Json) => Self::Json,
            _ => Self::Text,
        }
    }
}

/// A date alone is none, nor a time without its zone.
fn is_rfc3339(text: &str) -> bool {
    let bytes = text.as_bytes();
    let has_zone = bytes.len() >= 20
        && bytes[10].eq_ignore_ascii_case(&b'T')
        && (text.ends_with(['Z', 'z']) || matches!(bytes[bytes.len() - 6], b'+' | b'-'));
    let utc: Tz = "+00:00".parse().expect("it is an offset");
    has_zone && string_to_datetime(&utc, text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_values_are_stored_as_what_holds_all_of_them() {
        for (values, guess) in [
            (&["null"][..], Guess::Nothing),
            (&["null", "true"], Guess::Bool),
            (&["1", "-9223372036854775808"], Guess::Int),
            (&["1", "9223372036854775808"], Guess::Number),
            (&["\"2026-01-02T03:04:05Z\"", "\"2026-01-02t03:04:05.5+02:00\""], Guess::Timestamp),
            (&["\"2026-01-02T03:04:05Z\"", "1"], Guess::Text),
            // A date alone is none, nor a time without its zone.
            (&["\"2026-01-02\""], Guess::Text),
            (&["\"2026-01-02T03:04:05.123456\""], Guess::Text),
            (&["1", "[1]"], Guess::Json),
        ] {
            let found = values.iter().map(|value| Guess::of(value)).reduce(Guess::or);
            assert_eq!(found, Some(guess), "{values:?}");
        }
    }
}
