//! Points in time by a pattern of Java's `SimpleDateFormat`, in UTC.

use crate::kafka::failure::Failure;

/// A pattern, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// A letter, and how often it stands there: the least number of digits.
    Field(char, usize),
}

impl Pattern {
    /// Reads one; the letters are those of numbers: y M d H m s S.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            if first == '\'' {
                let inner = &rest[1..];
                let end = inner.find('\'').ok_or_else(|| fault(text, "a quote is not closed"))?;
                // Two quotes are one.
                parts.push(Part::Text(if end == 0 { "'".to_owned() } else { inner[..end].to_owned() }));
                rest = &inner[end + 1..];
                continue;
            }
            let count = rest.chars().take_while(|it| *it == first).count();
            match first {
                'y' | 'M' | 'd' | 'H' | 'm' | 's' | 'S' if first != 'M' || count < 3 => {
                    parts.push(Part::Field(first, count));
                }
                letter if letter.is_ascii_alphabetic() => {
                    return Err(fault(
                        text,
                        &format!("{} is not known here", first.to_string().repeat(count)),
                    ));
                }
                other => parts.push(Part::Text(other.to_string().repeat(count))),
            }
            rest = &rest[count * first.len_utf8()..];
        }
        Ok(Self(parts))
    }

    /// A point in time, in ms since 1970.
    pub(crate) fn format(&self, ms: i64) -> String {
        let (seconds, ms) = (ms.div_euclid(1_000), ms.rem_euclid(1_000));
        let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let (year, month, day) = civil(days);
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Field('y', 2) => format!("{:02}", year.rem_euclid(100)),
            Part::Field(letter, width) => {
                let number = match letter {
                    'y' => year,
                    'M' => month,
                    'd' => day,
                    'H' => second / 3_600,
                    'm' => second / 60 % 60,
                    's' => second % 60,
                    _ => ms,
                };
                format!("{number:0width$}")
            }
        };
        self.0.iter().map(part).collect()
    }
}

fn fault(pattern: &str, why: &str) -> Failure {
    let help = "use y, M, d, H, m, s and S, such as yyyy-MM-dd HH:mm:ss:SSS; times are UTC";
    Failure::user(format!("the date format \"{pattern}\" cannot be used: {why}"), help)
}

/// Year, month and day of a number of days since 1970: years begin in March, so that the leap day is the last of its year.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let (day, month) = (of_year - (153 * shifted + 2) / 5 + 1, (shifted + 2) % 12 + 1);
    (year + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_by_its_pattern() {
        for (pattern, ms, expected) in [
            ("yyyy-MM-dd HH:mm:ss:SSS", 1_709_209_815_250, "2024-02-29 12:30:15:250"),
            ("yy/M/d 'at' H''m", 0, "70/1/1 at 0'0"),
            ("yyyy-MM-dd", -1, "1969-12-31"),
        ] {
            assert_eq!(Pattern::parse(pattern).unwrap().format(ms), expected);
        }
        for wrong in ["EEE", "MMM", "'open"] {
            assert!(Pattern::parse(wrong).unwrap_err().said.contains(wrong), "{wrong}");
        }
    }
}
