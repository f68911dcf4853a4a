//! Checkers: what a destination holds against what it should hold.

use std::collections::BTreeMap;

/// Where a copy of a table differs: rows that are lost, extra, there twice, or not the newest. Both are one row a line,
/// columns joined by `|`, those of the key first.
pub fn differences(expected: &str, found: &str, key_columns: usize) -> Vec<String> {
    let by_key = |text: &str| {
        let mut rows: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for line in text.lines() {
            let key = line.splitn(key_columns + 1, '|').take(key_columns).collect::<Vec<_>>().join("|");
            rows.entry(key).or_default().push(line.to_owned());
        }
        rows
    };
    let (expected, mut found) = (by_key(expected), by_key(found));
    let mut faults = Vec::new();
    for (key, rows) in expected {
        match found.remove(&key) {
            None => faults.push(format!("lost {key}")),
            Some(there) if there.len() > rows.len() => faults.push(format!("twice {key}")),
            Some(there) if there != rows => faults.push(format!("stale {key}: {rows:?} is {there:?}")),
            Some(_) => {}
        }
    }
    faults.extend(found.keys().map(|key| format!("extra {key}")));
    faults
}

/// How the whole numbers of a text, one a line, differ from 1 to `last`, each once.
pub fn missing_or_twice(found: &str, last: u64) -> Vec<String> {
    let expected: String = (1..=last).map(|n| format!("{n}\n")).collect();
    differences(&expected, found, 1)
}

#[test]
fn the_checkers_find_a_planted_loss_a_duplicate_and_a_stale_row() {
    let rows = "1|a\n2|b\n3|c\n";
    assert!(differences(rows, "3|c\n1|a\n2|b\n", 1).is_empty(), "the order of the lines is no difference");
    assert_eq!(differences(rows, "1|a\n3|c\n", 1), ["lost 2"]);
    assert_eq!(differences(rows, "1|a\n2|b\n2|b\n3|c\n", 1), ["twice 2"]);
    assert_eq!(differences(rows, "1|a\n2|old\n3|c\n", 1), ["stale 2: [\"2|b\"] is [\"2|old\"]"]);
    assert_eq!(differences(rows, "1|a\n2|b\n3|c\n4|d\n", 1), ["extra 4"]);
    assert_eq!(missing_or_twice("1\n3\n3\n", 3), ["lost 2", "twice 3"]);
}
