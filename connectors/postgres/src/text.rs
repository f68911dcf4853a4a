//! Reads values as the output functions of PostgreSQL print them, with the settings of [`wire`](crate::wire), and writes
//! them as JSON.

use crate::kind::{Element, Kind};

/// Microseconds of a day.
const DAY_US: i64 = 86_400_000_000;
/// Days from 1970-01-01 to 2000-01-01, where PostgreSQL counts from.
pub(crate) const EPOCH_DAYS: i32 = 10_957;

/// `infinity` of a date: neither Arrow nor any destination has one, so it becomes the last day that all of them know.
pub(crate) const LAST_DAY: i32 = 2_932_896; // 9999-12-31
/// `-infinity` of a date, the first day of that kind.
pub(crate) const FIRST_DAY: i32 = -719_162; // 0001-01-01
/// `infinity` of a timestamp, by the same rule.
pub(crate) const LAST_US: i64 = (LAST_DAY as i64 + 1) * DAY_US - 1;
/// `-infinity` of a timestamp.
pub(crate) const FIRST_US: i64 = FIRST_DAY as i64 * DAY_US;
/// Finite values beyond this year cannot be printed by anyone after us; they are cut to it.
const YEAR_MAX: i64 = 262_000;

/// Days since 1970-01-01 of `[-]infinity` or `YYYY-MM-DD[ BC]`.
pub(crate) fn date(text: &[u8]) -> Option<i32> {
    match text {
        b"infinity" => return Some(LAST_DAY),
        b"-infinity" => return Some(FIRST_DAY),
        _ => {}
    }
    let (digits, bc) = before_christ(text);
    let (days, rest) = calendar(digits, bc)?;
    if rest.is_empty() { i32::try_from(days).ok() } else { None }
}

/// Microseconds since 1970 of `[-]infinity` or `YYYY-MM-DD HH:MM:SS[.ffffff][+00][ BC]`.
pub(crate) fn timestamp(text: &[u8]) -> Option<i64> {
    match text {
        b"infinity" => return Some(LAST_US),
        b"-infinity" => return Some(FIRST_US),
        _ => {}
    }
    let (text, bc) = before_christ(text);
    let text = text.strip_suffix(b"+00").unwrap_or(text);
    let (days, rest) = calendar(text, bc)?;
    let [b' ', h1, h2, b':', m1, m2, b':', s1, s2, fraction @ ..] = rest else { return None };
    let pair = |high: u8, low: u8| Some(digit(high)? * 10 + digit(low)?);
    let seconds = (pair(*h1, *h2)? * 60 + pair(*m1, *m2)?) * 60 + pair(*s1, *s2)?;
    let mut micros = 0;
    if let Some((b'.', digits)) = fraction.split_first() {
        if digits.is_empty() || digits.len() > 6 {
            return None;
        }
        for at in 0..6 {
            micros = micros * 10 + digits.get(at).map_or(Some(0), |byte| digit(*byte))?;
        }
    } else if !fraction.is_empty() {
        return None;
    }
    Some(days * DAY_US + seconds * 1_000_000 + micros)
}

fn before_christ(text: &[u8]) -> (&[u8], bool) {
    text.strip_suffix(b" BC").map_or((text, false), |text| (text, true))
}

fn digit(byte: u8) -> Option<i64> {
    byte.is_ascii_digit().then(|| i64::from(byte - b'0'))
}

/// Days since 1970-01-01 of the date in front, and what follows it.
fn calendar(text: &[u8], bc: bool) -> Option<(i64, &[u8])> {
    let end = text.iter().position(|byte| *byte == b'-')?;
    if end == 0 || end > 7 {
        return None;
    }
    let year = text[..end].iter().try_fold(0, |year, byte| Some(year * 10 + digit(*byte)?))?;
    let [b'-', m1, m2, b'-', d1, d2, rest @ ..] = &text[end..] else { return None };
    let month = digit(*m1)? * 10 + digit(*m2)?;
    let day = digit(*d1)? * 10 + digit(*d2)?;
    let year = if bc { 1 - year } else { year };
    Some((days(year.min(YEAR_MAX), month, day), rest))
}

/// Days since 1970-01-01 in the Gregorian calendar carried back; years count from 1 BC = 0.
fn days(year: i64, month: i64, day: i64) -> i64 {
    // A year that begins in March has its leap day at the end.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * month + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Days since 1970 of PostgreSQL's binary date.
pub(crate) fn date_of(days: i32) -> i32 {
    let latest = i32::try_from(self::days(YEAR_MAX, 12, 31)).expect("it is about 95 million");
    match days {
        i32::MAX => LAST_DAY,
        i32::MIN => FIRST_DAY,
        days if days.saturating_add(EPOCH_DAYS) <= latest => days + EPOCH_DAYS,
        days => i32::try_from(cut(i64::from(days) + i64::from(EPOCH_DAYS))).unwrap_or(latest),
    }
}

/// Microseconds since 1970 of PostgreSQL's binary timestamp.
pub(crate) fn timestamp_of(micros: i64) -> i64 {
    match micros {
        i64::MAX => LAST_US,
        i64::MIN => FIRST_US,
        micros => {
            // Days and time apart: the last years that PostgreSQL has do not fit when counted from 1970.
            let day = micros.div_euclid(DAY_US) + i64::from(EPOCH_DAYS);
            let day = if day <= days(YEAR_MAX, 12, 31) { day } else { cut(day) };
            day * DAY_US + micros.rem_euclid(DAY_US)
        }
    }
}

/// The same day in the last year that can be printed, as the text form is cut too.
fn cut(day: i64) -> i64 {
    let year = (YEAR_MAX + 1..).take_while(|year| days(*year, 1, 1) <= day).last().unwrap_or(YEAR_MAX);
    let month = (1..=12).take_while(|month| days(year, *month, 1) <= day).last().unwrap_or(1);
    days(YEAR_MAX, month, day - days(year, month, 1) + 1)
}

/// The unscaled value of a decimal; `None` for NaN and for what does not fit.
pub(crate) fn decimal(text: &[u8], scale: i8) -> Option<i128> {
    let (negative, digits) = match text.split_first()? {
        (b'-', rest) => (true, rest),
        _ => (false, text),
    };
    let (mut value, mut fraction, mut seen) = (0_i128, None, false);
    for byte in digits {
        if *byte == b'.' && fraction.is_none() {
            fraction = Some(0);
            continue;
        }
        value = value.checked_mul(10)?.checked_add(i128::from(digit(*byte)?))?;
        seen = true;
        fraction = fraction.map(|count: u32| count + 1);
    }
    let missing = u32::try_from(scale).ok()?.checked_sub(fraction.unwrap_or(0))?;
    let value = value.checked_mul(10_i128.checked_pow(missing)?)?;
    seen.then_some(if negative { -value } else { value })
}

/// The bytes of a `bytea` in the hex form.
pub(crate) fn bytea(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let hex = text.strip_prefix(b"\\x")?;
    let nibble = |byte: u8| char::from(byte).to_digit(16);
    let (pairs, rest) = hex.as_chunks::<2>();
    for [high, low] in pairs {
        out.push(u8::try_from(nibble(*high)? * 16 + nibble(*low)?).ok()?);
    }
    rest.is_empty().then_some(())
}

/// Writes a value as JSON: numbers, truth values and documents as themselves, everything else as text.
pub(crate) fn write_json(kind: Kind, text: &str, out: &mut String) {
    match kind {
        Kind::Bool => write_element(Element::Bool, text, out),
        Kind::Int2 | Kind::Int4 | Kind::Int8 | Kind::Oid => out.push_str(text),
        Kind::Float4 | Kind::Float8 | Kind::Decimal(..) | Kind::Number => {
            write_element(Element::Number, text, out);
        }
        Kind::Json | Kind::Jsonb => out.push_str(text),
        Kind::Array(element) => {
            if array(element, text, out).is_none() {
                quote(text, out);
            }
        }
        Kind::Timestamp | Kind::TimestampTz
            if text.as_bytes().get(10) == Some(&b' ') && !text.ends_with("BC") =>
        {
            let end = if kind == Kind::TimestampTz { text.len() - 3 } else { text.len() };
            out.push('"');
            out.push_str(&text[..10]);
            out.push('T');
            out.push_str(&text[11..end]);
            out.push_str(if kind == Kind::TimestampTz { "Z\"" } else { "\"" });
        }
        _ => quote(text, out),
    }
}

fn write_element(element: Element, text: &str, out: &mut String) {
    match element {
        Element::Bool => out.push_str(if text == "t" { "true" } else { "false" }),
        Element::Number if text.ends_with(|last: char| last.is_ascii_digit()) => out.push_str(text),
        Element::Json => out.push_str(text),
        Element::Number | Element::Text => quote(text, out),
    }
}

/// Source: RFC 8259 section 7.
pub(crate) fn quote(text: &str, out: &mut String) {
    out.push('"');
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0..0x20 => "",
            _ => continue,
        };
        out.push_str(&text[plain..at]);
        if escape.is_empty() {
            out.push_str(&format!("\\u{byte:04x}"));
        } else {
            out.push_str(escape);
        }
        plain = at + 1;
    }
    out.push_str(&text[plain..]);
    out.push('"');
}

/// Writes an array as JSON; dimensions become nested arrays, bounds that do not begin at 1 are left out.
///
/// Source: PostgreSQL documentation, "Array Input and Output Syntax".
pub(crate) fn array(element: Element, text: &str, out: &mut String) -> Option<()> {
    let body = if text.starts_with('[') { text.split_once('=')?.1 } else { text };
    let start = out.len();
    let done = elements(element, body, out);
    if done.is_none() {
        out.truncate(start);
    }
    done
}

fn elements(element: Element, body: &str, out: &mut String) -> Option<()> {
    let bytes = body.as_bytes();
    let (mut at, mut depth, mut scratch) = (0, 0_usize, String::new());
    while at < bytes.len() {
        match bytes[at] {
            b'{' => {
                depth += 1;
                out.push('[');
            }
            b'}' => {
                depth = depth.checked_sub(1)?;
                out.push(']');
            }
            b',' => out.push(','),
            b'"' => {
                scratch.clear();
                at = quoted(body, at + 1, &mut scratch)?;
                write_element(element, &scratch, out);
                continue;
            }
            _ => {
                let end = at + body[at..].find([',', '}'])?;
                match &body[at..end] {
                    "NULL" => out.push_str("null"),
                    text => write_element(element, text, out),
                }
                at = end;
                continue;
            }
        }
        at += 1;
    }
    (depth == 0 && body.starts_with('{')).then_some(())
}

/// Reads a quoted element up to behind its closing quote.
fn quoted(body: &str, mut at: usize, out: &mut String) -> Option<usize> {
    loop {
        let stop = at + body[at..].find(['"', '\\'])?;
        out.push_str(&body[at..stop]);
        if body.as_bytes()[stop] == b'"' {
            return Some(stop + 1);
        }
        let escaped = body[stop + 1..].chars().next()?;
        out.push(escaped);
        at = stop + 1 + escaped.len_utf8();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_timestamps() {
        assert_eq!(date(b"1970-01-01"), Some(0));
        assert_eq!(date(b"2000-03-01"), Some(11_017));
        assert_eq!(date(b"9999-12-31"), Some(LAST_DAY));
        assert_eq!(date(b"0001-01-01"), Some(FIRST_DAY));
        assert_eq!(date(b"4714-11-24 BC"), Some(-2_440_588));
        assert_eq!(date(b"infinity"), Some(LAST_DAY));
        assert_eq!(timestamp(b"1970-01-01 00:00:01.5"), Some(1_500_000));
        assert_eq!(timestamp(b"1969-12-31 23:59:59.999999+00"), Some(-1));
        assert_eq!(timestamp(b"-infinity"), Some(FIRST_US));
        for bad in [
            b"".as_slice(),
            b"2000-1-1",
            b"x",
            b"2000-01-01",
            b"2000-01-01 00:00:00.",
            b"2000-01-01 00:00:00+01",
        ] {
            assert_eq!(timestamp(bad), None, "{}", String::from_utf8_lossy(bad));
        }
    }

    #[test]
    fn both_wire_formats_mean_the_same_even_at_the_end_of_time() {
        assert_eq!(timestamp_of(0), timestamp(b"2000-01-01 00:00:00").unwrap());
        // 294276-12-31 23:59:59.999999, the last one that PostgreSQL has.
        assert_eq!(
            timestamp_of(9_223_371_331_199_999_999),
            timestamp(b"294276-12-31 23:59:59.999999").unwrap()
        );
        assert_eq!(timestamp_of(i64::MAX), timestamp(b"infinity").unwrap());
        assert_eq!(date_of(i32::MIN), date(b"-infinity").unwrap());
    }

    #[test]
    fn decimals() {
        assert_eq!(decimal(b"-12.34", 2), Some(-1234));
        assert_eq!(decimal(b"7", 3), Some(7000));
        assert_eq!(decimal(&[b'9'; 38], 0), Some(10_i128.pow(38) - 1));
        for bad in [b"NaN".as_slice(), b"", b"-", b"1.234", &[b'9'; 60]] {
            assert_eq!(decimal(bad, 2), None);
        }
    }

    #[test]
    fn arrays_become_json() {
        let check = |element, text, expected: &str| {
            let mut out = String::new();
            assert_eq!(array(element, text, &mut out), Some(()), "{text}");
            assert_eq!(out, expected);
        };
        check(Element::Number, "{1,NULL,-2.50,NaN}", r#"[1,null,-2.50,"NaN"]"#);
        check(
            Element::Text,
            r#"{a,"b \"c\", {d}",NULL,"NULL",""}"#,
            r#"["a","b \"c\", {d}",null,"NULL",""]"#,
        );
        check(Element::Bool, "{{t,f},{f,t}}", "[[true,false],[false,true]]");
        check(Element::Number, "[0:1]={1,2}", "[1,2]");
        check(Element::Json, r#"{"{\"a\": 1}"}"#, r#"[{"a": 1}]"#);
        check(Element::Text, "{}", "[]");
        let mut out = String::from("x");
        for bad in ["", "{", "{\"a}", "}{", "{1,2", "a"] {
            assert_eq!(array(Element::Text, bad, &mut out), None, "{bad}");
        }
        assert_eq!(out, "x");
    }
}
