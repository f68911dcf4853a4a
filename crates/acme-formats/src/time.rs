//! Dates and times in text: ISO 8601 as RFC 3339 and SQL write it.

/// A point on the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CivilTime {
    /// Days since 1970-01-01.
    pub(crate) days: i32,
    /// Nanoseconds since midnight.
    pub(crate) nanos: i64,
    /// Seconds east of UTC, where the text says so.
    pub(crate) offset: Option<i32>,
}

/// Reads `YYYY-MM-DD`.
pub(crate) fn parse_date(text: &str) -> Option<i32> {
    let mut rest = text.as_bytes();
    let days = date(&mut rest)?;
    rest.is_empty().then_some(days)
}

/// Reads `YYYY-MM-DD HH:MM[:SS[.fraction]][Z|±HH[:]MM]`, with `T` or a space between.
pub(crate) fn parse_time(text: &str) -> Option<CivilTime> {
    let mut rest = text.as_bytes();
    let days = date(&mut rest)?;
    take(&mut rest, |byte| matches!(byte, b'T' | b't' | b' '))?;
    let hour = number(&mut rest, 2).filter(|hour| *hour < 24)?;
    take(&mut rest, |byte| byte == b':')?;
    let minute = number(&mut rest, 2).filter(|minute| *minute < 60)?;
    let (mut second, mut nanos) = (0, 0);
    if take(&mut rest, |byte| byte == b':').is_some() {
        // A leap second counts as the second before it: days have 86,400 seconds here.
        second = number(&mut rest, 2).filter(|second| *second <= 60)?.min(59);
        if take(&mut rest, |byte| byte == b'.').is_some() {
            nanos = fraction(&mut rest)?;
        }
    }
    let offset = zone(&mut rest)?;
    let seconds = i64::from(hour * 3600 + minute * 60 + second);
    rest.is_empty().then_some(CivilTime { days, nanos: seconds * 1_000_000_000 + nanos, offset })
}

fn date(rest: &mut &[u8]) -> Option<i32> {
    let year = number(rest, 4)?;
    take(rest, |byte| byte == b'-')?;
    let month = number(rest, 2).filter(|month| (1..=12).contains(month))?;
    take(rest, |byte| byte == b'-')?;
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 => 28 + i32::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    let day = number(rest, 2).filter(|day| (1..=length).contains(day))?;
    // Days from civil: years begin in March, so that the leap day is the last of its year.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    Some(era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468)
}

/// Up to nine digits; more are refused unless they are zeros.
fn fraction(rest: &mut &[u8]) -> Option<i64> {
    let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, after) = rest.split_at(length);
    *rest = after;
    let exact = digits.iter().skip(9).all(|digit| *digit == b'0');
    let digit = |at: usize| i64::from(digits.get(at).map_or(0, |digit| digit - b'0'));
    (length > 0 && exact).then(|| (0..9).fold(0, |nanos, at| nanos * 10 + digit(at)))
}

/// No zone, or one.
#[expect(clippy::option_option, reason = "a zone that is wrong, absent, or there")]
fn zone(rest: &mut &[u8]) -> Option<Option<i32>> {
    if take(rest, |byte| matches!(byte, b'Z' | b'z')).is_some() {
        return Some(Some(0));
    }
    let sign = match rest.first() {
        Some(b'+') => 1,
        Some(b'-') => -1,
        _ => return Some(None),
    };
    *rest = &rest[1..];
    let hours = number(rest, 2).filter(|hours| *hours < 24)?;
    take(rest, |byte| byte == b':');
    let minutes = if rest.is_empty() { 0 } else { number(rest, 2).filter(|minutes| *minutes < 60)? };
    Some(Some(sign * (hours * 3600 + minutes * 60)))
}

fn take(rest: &mut &[u8], is: impl Fn(u8) -> bool) -> Option<()> {
    let (first, after) = rest.split_first()?;
    is(*first).then(|| *rest = after)
}

fn number(rest: &mut &[u8], digits: usize) -> Option<i32> {
    let (number, after) = rest.split_at_checked(digits)?;
    *rest = after;
    number
        .iter()
        .try_fold(0, |value, digit| digit.is_ascii_digit().then(|| value * 10 + i32::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_days_of_the_calendar() {
        for (text, days) in [
            ("1970-01-01", 0),
            ("1969-12-31", -1),
            ("2000-02-29", 11_016),
            ("2026-11-21", 20_778),
            ("0001-01-01", -719_162),
        ] {
            assert_eq!(parse_date(text), Some(days), "{text}");
        }
        for text in ["2023-02-29", "2023-13-01", "2023-00-10", "2023-1-01", "23-01-01", "2023-01-01T", ""] {
            assert_eq!(parse_date(text), None, "{text}");
        }
    }

    #[test]
    fn times_may_have_a_fraction_and_a_zone() {
        let at = |nanos, offset| Some(CivilTime { days: 1, nanos, offset });
        assert_eq!(parse_time("1970-01-02T00:00:01Z"), at(1_000_000_000, Some(0)));
        assert_eq!(parse_time("1970-01-02 00:00:00.000000001"), at(1, None));
        assert_eq!(parse_time("1970-01-02 00:01"), at(60_000_000_000, None));
        assert_eq!(parse_time("1970-01-02T00:00:00.5+02:30"), at(500_000_000, Some(9000)));
        assert_eq!(parse_time("1970-01-02T00:00:00-0100"), at(0, Some(-3600)));
        assert_eq!(parse_time("1970-01-02T00:00:00+05"), at(0, Some(18_000)));
        for text in [
            "1970-01-02",
            "1970-01-02T24:00:00Z",
            "1970-01-02T00:60:00Z",
            "1970-01-02T00:00:00.",
            "1970-01-02T00:00:00x",
            "1970-01-02T00:00:00.0000000001",
            "1970-01-02T00:00:00+1",
            "1970-01-02T00",
        ] {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }
}
