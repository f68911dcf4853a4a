//! Windows over event time, as a user runs them, beside a plain reckoning of the same rows.

mod faults;
mod golden;
mod streaming;

use arrow::compute::kernels::cast_utils::string_to_timestamp_nanos;
use serde_json::Value;
use std::collections::BTreeMap;

/// A click: user, event time in ms, number.
pub type Click = (String, i64, i64);

/// A number that looks random and is the same in every run.
pub fn mixed(n: i64) -> i64 {
    let n = n.cast_unsigned().wrapping_mul(0x9E37_79B9_7F4A_7C15);
    ((n ^ (n >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 33).cast_signed()
}

/// Clicks of some users, a few milliseconds apart, each up to `disorder` ms older than the one before it.
pub fn clicks(count: i64, disorder: i64) -> Vec<Click> {
    let click = |n: i64| {
        let back = if disorder == 0 { 0 } else { mixed(n + 77) % disorder };
        (format!("user {}", mixed(n) % 23), 1_700_000_000_000 + n * 37 - back, mixed(n + 999) % 1000)
    };
    (0..count).map(click).collect()
}

pub fn lines(clicks: &[Click]) -> String {
    clicks.iter().map(|(user, ts, n)| format!("{{\"user\":\"{user}\",\"ts\":{ts},\"n\":{n}}}\n")).collect()
}

/// Windows as `(start, end)` of a moment, in ms.
pub type Windows = dyn Fn(i64) -> Vec<(i64, i64)>;

/// Clicks and the sum of their numbers, by window and user.
pub type Sums = BTreeMap<(i64, i64, String), (i64, i64)>;

pub fn reckoned(clicks: &[Click], windows: &Windows) -> Sums {
    let mut sums = Sums::new();
    for (user, ts, n) in clicks {
        for (start, end) in windows(*ts) {
            let sum = sums.entry((start, end, user.clone())).or_default();
            *sum = (sum.0 + 1, sum.1 + n);
        }
    }
    sums
}

/// What was written: rows with `user`, `window_start`, `window_end`, `clicks`, `total`; each key once.
pub fn found(text: &str) -> Sums {
    let mut sums = Sums::new();
    for line in text.lines() {
        let row: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let number = |name: &str| row[name].as_i64().unwrap_or_else(|| panic!("{name} in {line}"));
        let ms = |name: &str| millis(row[name].as_str().unwrap_or_else(|| panic!("{name} in {line}")));
        let user = row["user"].as_str().unwrap_or_else(|| panic!("user in {line}")).to_owned();
        let before =
            sums.insert((ms("window_start"), ms("window_end"), user), (number("clicks"), number("total")));
        assert!(before.is_none(), "said twice: {line}");
    }
    sums
}

/// An RFC 3339 time in UTC, as ms since 1970.
fn millis(text: &str) -> i64 {
    string_to_timestamp_nanos(text).unwrap_or_else(|error| panic!("{text}: {error}")).div_euclid(1_000_000)
}

/// The first difference of two results, and how many there are.
#[track_caller]
pub fn assert_same(found: &Sums, expected: &Sums) {
    let differs = |key: &&(i64, i64, String)| found.get(*key) != expected.get(*key);
    let keys: Vec<_> = found.keys().chain(expected.keys()).filter(differs).collect();
    if let Some(key) = keys.first() {
        panic!(
            "{} differ; {key:?}: found {:?}, expected {:?}",
            keys.len(),
            found.get(*key),
            expected.get(*key)
        );
    }
}

#[test]
fn the_checker_finds_a_loss_a_double_and_a_wrong_number() {
    let good = reckoned(&clicks(50, 0), &|ts| vec![(ts - ts % 60_000, ts - ts % 60_000 + 60_000)]);
    assert_same(&good, &good);
    let key = good.keys().next().expect("there are some").clone();
    let (mut lost, mut wrong) = (good.clone(), good.clone());
    lost.remove(&key);
    wrong.entry(key).or_default().0 += 1;
    for bad in [lost, wrong] {
        assert!(std::panic::catch_unwind(|| assert_same(&bad, &good)).is_err());
    }
    let twice = r#"{"user":"a","window_start":"2023-01-01T00:00:00Z","window_end":"2023-01-01T00:01:00Z","clicks":1,"total":2}"#;
    assert!(std::panic::catch_unwind(|| found(&format!("{twice}\n{twice}\n"))).is_err());
}
