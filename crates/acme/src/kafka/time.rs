//! Points in time as `--to-datetime` takes them.

/// Milliseconds since 1970 of `YYYY-MM-DDTHH:mm:SS.sss`, with `Z` or an offset such as `+02:00` behind it; without
/// either it is UTC, as Kafka's own tools take it.
pub(crate) fn datetime_ms(text: &str) -> Option<i64> {
    let (date, rest) = text.split_once('T')?;
    let (time, zone) = match rest.find(['Z', '+', '-']) {
        Some(at) => rest.split_at(at),
        None => (rest, "Z"),
    };
    let mut parts = date.splitn(3, '-').map(|part| number(part, 4));
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    let (clock, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let mut parts = clock.split(':').map(|part| number(part, 2));
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next().unwrap_or(Some(0))?);
    let ms = number(&format!("{fraction:0<3}"), 3)?;
    let in_range = (1..=12).contains(&month)
        && (1..=days_of(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    if !in_range || parts.next().is_some() {
        return None;
    }
    let seconds = days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second - offset(zone)?;
    Some(seconds * 1_000 + ms)
}

fn number(text: &str, digits_max: usize) -> Option<i64> {
    let digits = !text.is_empty() && text.len() <= digits_max && text.bytes().all(|it| it.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

/// The seconds of `Z`, `+02`, `+0200` or `+02:00`.
fn offset(zone: &str) -> Option<i64> {
    if zone == "Z" {
        return Some(0);
    }
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let digits = zone[1..].replace(':', "");
    let (hours, minutes) = match digits.len() {
        2 => (number(&digits, 2)?, 0),
        4 => (number(&digits[..2], 2)?, number(&digits[2..], 2)?),
        _ => return None,
    };
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3_600 + minutes * 60))
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970 in the Gregorian calendar: years begin in March, so that the leap day is the last of its year.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_with_time_is_a_number_of_milliseconds() {
        for (text, expected) in [
            ("1970-01-01T00:00:00.000", 0),
            ("2024-02-29T12:30:15.250", 1_709_209_815_250),
            ("2024-02-29T12:30:15.25Z", 1_709_209_815_250),
            ("2024-02-29T14:30:15.250+02:00", 1_709_209_815_250),
            ("2024-02-29T07:00:15-0530", 1_709_209_815_000),
            ("1969-12-31T23:59", -60_000),
        ] {
            assert_eq!(datetime_ms(text), Some(expected), "{text}");
        }
        for wrong in
            ["2023-02-29T00:00:00", "2024-01-01", "2024-01-01T24:00:00", "soon", "2024-1x-01T00:00:00"]
        {
            assert_eq!(datetime_ms(wrong), None, "{wrong}");
        }
    }
}
