//! Whether two programs have written the same rows.
//!
//! Rows are compared by what they say: the order of rows and of members, spaces and the way a number or a character is
//! written do not count, and a member that is null is as good as absent, because a program with declared columns writes
//! every one of them.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// How many rows a message shows.
const SHOWN: usize = 3;

/// The rows of a file of JSON lines, or of all files in a folder, each in one way of writing it, sorted.
pub(crate) fn rows(path: &Path) -> Result<Vec<String>> {
    let mut rows = Vec::new();
    collect(path, &mut rows)?;
    rows.sort_unstable();
    Ok(rows)
}

fn collect(path: &Path, rows: &mut Vec<String>) -> Result<()> {
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            collect(&entry?.path(), rows)?;
        }
        return Ok(());
    }
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    for line in text.lines() {
        let row: Value = serde_json::from_str(line).with_context(|| format!("not JSON: {line}"))?;
        let mut canonical = String::new();
        write(&row, &mut canonical);
        rows.push(canonical);
    }
    Ok(())
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().filter(|(_, value)| !value.is_null()).collect();
            members.sort_unstable_by_key(|(name, _)| *name);
            out.push('{');
            for (name, value) in members {
                out.push_str(&format!("{name:?}:"));
                write(value, out);
                out.push(',');
            }
            out.push('}');
        }
        Value::Array(elements) => {
            out.push('[');
            for element in elements {
                write(element, out);
                out.push(',');
            }
            out.push(']');
        }
        // Whole numbers up to 2^53 are the same number with and without a fraction of zero.
        Value::Number(number) if number.is_f64() => {
            out.push_str(&number.as_f64().expect("it is one").to_string());
        }
        other => out.push_str(&other.to_string()),
    }
}

/// Fails with the first differences unless both have the same rows, and some.
pub(crate) fn same(ours: &[String], theirs: &[String], peer: &str) -> Result<()> {
    if ours.is_empty() && theirs.is_empty() {
        bail!("neither Acme nor {peer} wrote a row");
    }
    let (mut a, mut b) = (ours.iter().peekable(), theirs.iter().peekable());
    let (mut only_ours, mut only_theirs) = (Vec::new(), Vec::new());
    loop {
        match (a.peek(), b.peek()) {
            (None, None) => break,
            (Some(x), Some(y)) if x == y => {
                a.next();
                b.next();
            }
            (Some(x), y) if y.is_none_or(|y| x < y) => only_ours.extend(a.next()),
            _ => only_theirs.extend(b.next()),
        }
    }
    if only_ours.is_empty() && only_theirs.is_empty() {
        return Ok(());
    }
    let show = |rows: &[&String]| rows.iter().take(SHOWN).map(|row| format!("\n  {row}")).collect::<String>();
    bail!(
        "Acme and {peer} differ.\n{} rows only of Acme:{}\n{} rows only of {peer}:{}",
        only_ours.len(),
        show(&only_ours),
        only_theirs.len(),
        show(&only_theirs)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> Vec<String> {
        let write_one = |line: &str| {
            let mut out = String::new();
            write(&serde_json::from_str(line).expect("JSON"), &mut out);
            out
        };
        let mut rows: Vec<String> = text.lines().map(write_one).collect();
        rows.sort_unstable();
        rows
    }

    #[test]
    fn ways_of_writing_do_not_count() {
        let ours = canonical("{\"a\":1,\"b\":\"\\u00e9\",\"c\":null}\n{\"a\":2.50,\"b\":[1e2]}");
        let theirs = canonical("{\"b\": [100], \"a\": 2.5}\n{\"b\":\"é\", \"a\":1.0}");
        same(&ours, &theirs, "peer").expect("the rows say the same");
    }

    #[test]
    fn a_planted_difference_is_found() {
        let good = "{\"a\":1,\"b\":\"x\"}\n{\"a\":2,\"b\":\"y\"}\n{\"a\":2,\"b\":\"y\"}";
        for planted in [
            "{\"a\":1,\"b\":\"x\"}\n{\"a\":2,\"b\":\"y\"}",
            "{\"a\":1,\"b\":\"x\"}\n{\"a\":1,\"b\":\"x\"}\n{\"a\":2,\"b\":\"y\"}",
            "{\"a\":1,\"b\":\"x\"}\n{\"a\":2,\"b\":\"y\"}\n{\"a\":2,\"b\":\"y \"}",
            "{\"a\":1,\"b\":\"x\"}\n{\"a\":2,\"b\":\"y\"}\n{\"a\":\"2\",\"b\":\"y\"}",
            "{\"a\":1,\"b\":\"x\"}\n{\"a\":2,\"b\":\"y\"}\n{\"a\":2.001,\"b\":\"y\"}",
        ] {
            let (good, planted) = (canonical(good), canonical(planted));
            assert!(same(&good, &planted, "peer").is_err() && same(&planted, &good, "peer").is_err());
        }
        assert!(same(&[], &[], "peer").is_err(), "nothing is not a result");
    }
}
