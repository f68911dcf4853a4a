//! One field: how it is described, and its values.

use arrow::array::{
    ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int64Array, StringViewArray, StringViewBuilder,
    TimestampMicrosecondArray,
};
use arrow::compute::kernels::cast_utils::string_to_timestamp_nanos;
use arrow::datatypes::{DataType, TimeUnit};
use std::ops::Range;
use std::sync::Arc;

/// A field with the recipe of its values.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Generated {
    pub(crate) name: String,
    recipe: Recipe,
}

#[derive(Clone, Debug, PartialEq)]
enum Recipe {
    Sequence,
    Int { low: i64, span: u64 },
    Decimal { low: i64, span: u64, scale: u8 },
    Double { low: f64, high: f64 },
    Bool { share: f64 },
    Choice(Vec<String>),
    Text { length: usize },
    Uuid,
    Timestamp { start_us: i64, step_us: i64 },
}

impl Generated {
    pub(crate) fn parse(name: &str, text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (word, inside) = match text.split_once('(') {
            Some((word, rest)) => {
                (word.trim(), rest.strip_suffix(')').ok_or("the closing bracket is missing")?)
            }
            None => (text, ""),
        };
        let arguments: Vec<&str> = inside.split(',').map(str::trim).filter(|word| !word.is_empty()).collect();
        recipe(word, &arguments).map(|recipe| Self { name: name.to_owned(), recipe })
    }

    pub(crate) fn data_type(&self) -> DataType {
        match &self.recipe {
            Recipe::Sequence | Recipe::Int { .. } => DataType::Int64,
            Recipe::Decimal { scale, .. } => {
                DataType::Decimal128(38, i8::try_from(*scale).expect("at most 18"))
            }
            Recipe::Double { .. } => DataType::Float64,
            Recipe::Bool { .. } => DataType::Boolean,
            Recipe::Choice(_) | Recipe::Text { .. } | Recipe::Uuid => DataType::Utf8View,
            Recipe::Timestamp { .. } => DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into())),
        }
    }

    /// The values of some rows. `index` keeps fields of the same recipe apart.
    pub(crate) fn column(&self, rows: Range<u64>, seed: u64, index: u64) -> ArrayRef {
        let random = |row: u64| mix(mix(seed ^ mix(index + 1)) ^ row);
        // 53 bits, as many as a double keeps.
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit a double exactly")]
        let share = |row: u64| (random(row) >> 11) as f64 / (1u64 << 53) as f64;
        let signed = |row: u64| i64::try_from(row).expect("2^63 rows take centuries");
        let offset = |span: u64, row: u64| i64::try_from(random(row) % span).expect("a span fits");
        match &self.recipe {
            Recipe::Sequence => Arc::new(Int64Array::from_iter_values(rows.map(|row| signed(row) + 1))),
            Recipe::Int { low, span } => {
                Arc::new(Int64Array::from_iter_values(rows.map(|row| low + offset(*span, row))))
            }
            Recipe::Decimal { low, span, .. } => {
                let values = rows.map(|row| i128::from(low + offset(*span, row)));
                Arc::new(Decimal128Array::from_iter_values(values).with_data_type(self.data_type()))
            }
            Recipe::Double { low, high } => {
                Arc::new(Float64Array::from_iter_values(rows.map(|row| low + share(row) * (high - low))))
            }
            Recipe::Bool { share: wanted } => {
                Arc::new(BooleanArray::from_iter(rows.map(|row| Some(share(row) < *wanted))))
            }
            Recipe::Choice(words) => {
                let count = u64::try_from(words.len()).expect("a few words");
                let word = |row: u64| &*words[usize::try_from(random(row) % count).expect("a few words")];
                Arc::new(StringViewArray::from_iter_values(rows.map(word)))
            }
            Recipe::Text { length } => {
                let letter = |row: u64, at: u64| {
                    char::from(b'a' + u8::try_from(mix(random(row) ^ at) % 26).expect("26"))
                };
                let word = |row| (0..*length as u64).map(|at| letter(row, at)).collect::<String>();
                Arc::new(StringViewArray::from_iter_values(rows.map(word)))
            }
            Recipe::Uuid => {
                let mut builder = StringViewBuilder::new();
                rows.for_each(|row| builder.append_value(uuid(random(row), mix(random(row)))));
                Arc::new(builder.finish())
            }
            Recipe::Timestamp { start_us, step_us } => {
                let values = rows.map(|row| start_us.saturating_add(signed(row).saturating_mul(*step_us)));
                Arc::new(TimestampMicrosecondArray::from_iter_values(values).with_timezone("+00:00"))
            }
        }
    }
}

fn recipe(word: &str, arguments: &[&str]) -> Result<Recipe, String> {
    let number = |text: &str| text.parse::<i64>().map_err(|_| format!("\"{text}\" is no whole number"));
    let real = |text: &str| text.parse::<f64>().map_err(|_| format!("\"{text}\" is no number"));
    match (word, arguments) {
        ("sequence", []) => Ok(Recipe::Sequence),
        ("uuid", []) => Ok(Recipe::Uuid),
        ("int", [low, high]) => {
            let (low, span) = span(number(low)?, number(high)?)?;
            Ok(Recipe::Int { low, span })
        }
        ("decimal", [low, high, scale]) => {
            let scale = scale.parse::<u8>().ok().filter(|scale| *scale <= 18);
            let scale = scale.ok_or("the digits behind the point go from 0 to 18")?;
            let unit = 10i64.pow(u32::from(scale));
            let scaled =
                |text: &str| number(text)?.checked_mul(unit).ok_or_else(|| format!("{text} is too large"));
            let (low, span) = span(scaled(low)?, scaled(high)?)?;
            Ok(Recipe::Decimal { low, span, scale })
        }
        ("double", [low, high]) => Ok(Recipe::Double { low: real(low)?, high: real(high)? }),
        ("bool", []) => Ok(Recipe::Bool { share: 0.5 }),
        ("bool", [share]) => Ok(Recipe::Bool { share: real(share)? }),
        ("choice", [_, ..]) => Ok(Recipe::Choice(arguments.iter().map(|word| (*word).to_owned()).collect())),
        ("text", [length]) => match length.parse() {
            Ok(length @ 0..=100_000) => Ok(Recipe::Text { length }),
            _ => Err(format!("\"{length}\" is no length from 0 to 100000")),
        },
        ("timestamp", [start, step]) => {
            let start =
                string_to_timestamp_nanos(start).map_err(|_| format!("\"{start}\" is no RFC 3339 time"))?;
            Ok(Recipe::Timestamp { start_us: start.div_euclid(1000), step_us: step_us(step)? })
        }
        _ => Err(format!(
            "\"{word}\" with {} arguments is not known; known are sequence, int(low, high), decimal(low, high, digits), \
             double(low, high), bool(share), choice(a, b, …), text(length), uuid, timestamp(start, step)",
            arguments.len()
        )),
    }
}

/// The lowest value and how many there are.
fn span(low: i64, high: i64) -> Result<(i64, u64), String> {
    let count = high.checked_sub(low).and_then(|count| count.checked_add(1));
    let count = count.and_then(|count| u64::try_from(count).ok()).filter(|count| *count > 0);
    count.map(|count| (low, count)).ok_or_else(|| format!("there is nothing from {low} to {high}"))
}

fn step_us(text: &str) -> Result<i64, String> {
    const UNITS: [(&str, i64); 6] = [
        ("us", 1),
        ("ms", 1000),
        ("s", 1_000_000),
        ("m", 60_000_000),
        ("h", 3_600_000_000),
        ("d", 86_400_000_000),
    ];
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let factor = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor);
    let value = digits.parse::<i64>().ok().zip(factor).and_then(|(count, factor)| count.checked_mul(factor));
    value.ok_or_else(|| format!("\"{text}\" is no length of time such as 10ms or 1s"))
}

/// SplitMix64's finaliser (Steele, Lea, Flood 2014): neighbouring inputs have unrelated outputs.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

/// A version 4 UUID (RFC 9562) of these random bits.
fn uuid(high: u64, low: u64) -> String {
    let (high, low) = ((high & !0xF000) | 0x4000, (low & !(0b11 << 62)) | (0b10 << 62));
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xFFFF,
        high & 0xFFFF,
        low >> 48,
        low & 0xFFFF_FFFF_FFFF
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::util::display::array_value_to_string;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let field = Generated::parse("f", text).expect("parses");
        let column = field.column(0..4, 7, 0);
        assert_eq!(column.data_type(), &field.data_type());
        let shown: Vec<String> =
            (0..4).map(|row| array_value_to_string(&column, row).expect("prints")).collect();
        assert_eq!(shown, expected, "{text}");
        assert_eq!(
            *field.column(2..4, 7, 0),
            *column.slice(2, 2),
            "a row does not depend on where a batch begins"
        );
    }

    #[test]
    fn the_same_seed_makes_the_same_rows() {
        check("sequence", &["1", "2", "3", "4"]);
        check(
            "timestamp(2026-01-01T00:00:00Z, 90s)",
            &["2026-01-01T00:00:00Z", "2026-01-01T00:01:30Z", "2026-01-01T00:03:00Z", "2026-01-01T00:04:30Z"],
        );
        for text in
            ["int(-3, 3)", "decimal(1, 5, 2)", "double(0, 1)", "bool(0.3)", "choice(a, b)", "text(5)", "uuid"]
        {
            let field = Generated::parse("f", text).expect("parses");
            assert_eq!(*field.column(5..9, 1, 2), *field.column(0..9, 1, 2).slice(5, 4), "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "int(5, 1)",
            "int(1)",
            "colour",
            "choice()",
            "text(x)",
            "decimal(0, 1, 40)",
            "int(1, 2",
            "timestamp(now, 1s)",
        ] {
            assert!(Generated::parse("f", text).is_err(), "{text}");
        }
    }
}
