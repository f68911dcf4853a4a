//! An answer as a tree of named values, read from what the codec prints of it.

use acme_records::{BatchHeader, marker_of};
use std::fmt::Debug;

/// A value of an answer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tree {
    Leaf(String),
    Fields(Vec<(String, Tree)>),
    List(Vec<Tree>),
}

impl Tree {
    /// The tree of anything that derives `Debug`.
    pub(super) fn of(value: &impl Debug) -> Self {
        let text = format!("{value:#?}");
        let mut lines = text.lines().map(str::trim);
        let first = lines.next().unwrap_or_default().to_owned();
        parse(&first, &mut lines)
    }

    pub(super) fn leaf(text: &str) -> Self {
        Self::Leaf(text.to_owned())
    }
}

/// The value that begins with `first` and may go on in the lines after it.
fn parse<'a>(first: &str, lines: &mut impl Iterator<Item = &'a str>) -> Tree {
    let first = first.strip_suffix(',').unwrap_or(first);
    if first.starts_with('"') || first.starts_with("b\"") {
        return Tree::leaf(first);
    }
    if first == "[]" {
        return Tree::List(Vec::new());
    }
    if first.ends_with('[') {
        return Tree::List(until("]", lines));
    }
    if first.ends_with('(') {
        // A wrapper: what is inside counts.
        return until(")", lines).into_iter().next().unwrap_or_else(|| Tree::leaf(first));
    }
    if first.ends_with('{') {
        let mut fields = Vec::new();
        while let Some(line) = lines.next() {
            if line.starts_with('}') {
                break;
            }
            let (name, value) = line.split_once(": ").unwrap_or((line, ""));
            fields.push((name.to_owned(), parse(value, lines)));
        }
        return Tree::Fields(fields);
    }
    Tree::leaf(first)
}

fn until<'a>(end: &str, lines: &mut impl Iterator<Item = &'a str>) -> Vec<Tree> {
    let mut all = Vec::new();
    while let Some(line) = lines.next() {
        if line.strip_suffix(',').unwrap_or(line) == end {
            break;
        }
        all.push(parse(line, lines));
    }
    all
}

/// The batches in what was fetched, field by field.
pub(super) fn batches(printed: &str) -> Tree {
    let bytes = unescape(printed);
    let mut rest = &bytes[..];
    let mut all = Vec::new();
    while let Ok(Some(header)) = BatchHeader::parse(rest) {
        let size = header.bytes;
        if rest.len() < size {
            all.push(Tree::leaf("the beginning of a batch"));
            break;
        }
        let field = |name: &str, value: String| (name.to_owned(), Tree::Leaf(value));
        let mut fields = vec![
            field("base_offset", header.base_offset.to_string()),
            field("last_offset", header.last_offset().to_string()),
            field("attributes", header.attributes.to_string()),
            field("leader_epoch", header.leader_epoch.to_string()),
            field("producer_id", header.producer_id.to_string()),
            field("producer_epoch", header.producer_epoch.to_string()),
            field("base_sequence", header.base_sequence.to_string()),
            field("count", header.count.to_string()),
        ];
        if header.is_control() {
            fields.push(field("marker", format!("{:?}", marker_of(&rest[..size]))));
        } else {
            fields.push(field("base_timestamp", header.base_timestamp.to_string()));
            fields.push(field("max_timestamp", header.max_timestamp.to_string()));
            fields.push(field("records", format!("{:?}", &rest[61..size])));
        }
        all.push(Tree::Fields(fields));
        rest = &rest[size..];
    }
    if !rest.is_empty() && all.is_empty() {
        all.push(Tree::Leaf(format!("{} bytes that are no batch", rest.len())));
    }
    Tree::List(all)
}

/// The bytes of a `b"…"`.
fn unescape(printed: &str) -> Vec<u8> {
    let inner = printed.strip_prefix("b\"").and_then(|rest| rest.strip_suffix('"'));
    let inner = inner.unwrap_or_default().as_bytes();
    let mut bytes = Vec::with_capacity(inner.len());
    let mut at = 0;
    while at < inner.len() {
        if inner[at] != b'\\' {
            bytes.push(inner[at]);
            at += 1;
            continue;
        }
        let (byte, length) = match inner[at + 1] {
            b'n' => (b'\n', 2),
            b'r' => (b'\r', 2),
            b't' => (b'\t', 2),
            b'0' => (0, 2),
            b'x' => {
                let digits = std::str::from_utf8(&inner[at + 2..at + 4]).unwrap();
                (u8::from_str_radix(digits, 16).unwrap(), 4)
            }
            other => (other, 2),
        };
        bytes.push(byte);
        at += length;
    }
    bytes
}
