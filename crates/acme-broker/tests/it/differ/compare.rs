//! Makes answers of two brokers comparable, and compares them.

use super::tree::{Tree, batches};
use std::collections::BTreeMap;
use std::fmt;

/// One request that was sent, and what came back.
#[derive(Clone, Debug)]
pub(super) struct Exchange {
    /// `script: Api vN: what is special about it`.
    pub(super) what: String,
    pub(super) answer: Tree,
}

/// Texts of which only it is compared whether they are there: places, names of machines, and sentences for people.
const THERE: &[&str] =
    &["error_message", "cluster_id", "rack", "documentation", "log_dir", "host", "client_host", "auth_bytes"];
/// Numbers of which only it is compared whether there is one.
const SOME_NUMBER: &[&str] = &["port", "total_bytes", "usable_bytes"];
/// Numbers that a broker hands out: the first that is seen is #1, and so on.
const HANDED_OUT: &[&str] = &["producer_id", "session_id"];
/// Epochs of groups of KIP-848: ours count from 1, Kafka's from 2.
const MEMBER_EPOCHS: &[&str] = &["member_epoch", "group_epoch", "assignment_epoch"];
/// What tells elements of a list apart; these lists have no order.
const KEYS: &[&str] = &[
    "name",
    "topic",
    "topic_name",
    "topic_id",
    "group_id",
    "partition_index",
    "partition",
    "index",
    "api_key",
    "transactional_id",
    "member_id",
    "resource_name",
    "node_id",
    "broker_id",
    "feature",
];

/// What one side calls things by: ids are replaced by the order in which they came up.
#[derive(Debug)]
pub(super) struct Names {
    numbers: BTreeMap<String, usize>,
    epoch: i32,
}

impl Names {
    /// Leader epochs count from `epoch`.
    pub(super) fn new(epoch: i32) -> Self {
        Self { numbers: BTreeMap::new(), epoch }
    }

    pub(super) fn normal(&mut self, answer: Tree) -> Tree {
        let tree = plain("", answer);
        self.named("", tree)
    }

    fn number(&mut self, kind: &str, id: &str) -> String {
        let next = self.numbers.keys().filter(|known| known.starts_with(kind)).count() + 1;
        let number = *self.numbers.entry(format!("{kind} {id}")).or_insert(next);
        format!("{kind}#{number}")
    }

    fn named(&mut self, field: &str, tree: Tree) -> Tree {
        match tree {
            Tree::Leaf(text) if HANDED_OUT.contains(&field) => match text.parse::<i64>() {
                Ok(1..) => Tree::Leaf(self.number(field, &text)),
                // The first producer id of Kafka is 0.
                Ok(0) if field == "producer_id" => Tree::Leaf(self.number(field, &text)),
                _ => Tree::Leaf(text),
            },
            Tree::Leaf(text) if field == "leader_epoch" && text == self.epoch.to_string() => {
                Tree::leaf("the first")
            }
            Tree::Leaf(text) if MEMBER_EPOCHS.contains(&field) => match text.parse::<i32>() {
                Ok(epoch @ 1..) => Tree::Leaf((epoch + self.epoch - 1).to_string()),
                _ => Tree::Leaf(text),
            },
            Tree::Leaf(text) => Tree::Leaf(self.without_uuids(&text)),
            Tree::List(items) => Tree::List(items.into_iter().map(|item| self.named(field, item)).collect()),
            Tree::Fields(fields) => Tree::Fields(
                fields
                    .into_iter()
                    .map(|(name, value)| {
                        let value = self.named(&name, value);
                        (self.without_uuids(&name), value)
                    })
                    .collect(),
            ),
        }
    }

    /// Each id of 8-4-4-4-12 digits is replaced.
    fn without_uuids(&mut self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while !rest.is_empty() {
            if let Some(id) = rest.get(..36).filter(|id| is_uuid(id)) {
                out.push_str(&if id.trim_matches(['0', '-']).is_empty() {
                    "no id".to_owned()
                } else {
                    self.number("id", id)
                });
                rest = &rest[36..];
            } else {
                let length = rest.chars().next().map_or(1, char::len_utf8);
                out.push_str(&rest[..length]);
                rest = &rest[length..];
            }
        }
        out
    }
}

/// A text without its ids.
fn without_ids(text: &str) -> String {
    let mut names = Names::new(0);
    let mut text = names.without_uuids(text);
    for number in 1..=names.numbers.len() {
        text = text.replace(&format!("id#{number}"), "id");
    }
    text
}

fn is_uuid(text: &str) -> bool {
    text.bytes().enumerate().all(|(at, byte)| match at {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    })
}

fn plain(field: &str, tree: Tree) -> Tree {
    match tree {
        Tree::Leaf(text) if field == "records" && text.starts_with("b\"") => plain("batches", batches(&text)),
        Tree::Leaf(text) => Tree::Leaf(leaf(field, text)),
        Tree::Fields(fields) => Tree::Fields(
            fields
                .into_iter()
                .filter(|(name, _)| name != "unknown_tagged_fields")
                .map(|(name, value)| {
                    let value = plain(&name, value);
                    (name, value)
                })
                .collect(),
        ),
        Tree::List(items) => {
            let mut items: Vec<Tree> = items.into_iter().map(|item| plain("", item)).collect();
            if field == "partitions" && items.iter().all(|item| matches!(item, Tree::Leaf(_))) {
                items.sort();
            }
            if field == "synonyms" || field == "batches" { Tree::List(items) } else { keyed(items) }
        }
    }
}

fn leaf(field: &str, text: String) -> String {
    let number = text.parse::<i64>();
    if THERE.contains(&field) && text != "None" && text != "\"\"" {
        return "…".to_owned();
    }
    match number {
        Ok(1..) if SOME_NUMBER.contains(&field) => "…".to_owned(),
        // A time of these years.
        Ok(1_700_000_000_000..4_000_000_000_000) => "now".to_owned(),
        Err(_) if field == "batch_index_error_message" => without_times(&text),
        _ => text,
    }
}

/// A sentence without the times of these years.
fn without_times(text: &str) -> String {
    let word = |word: &str| match word.trim_matches(['[', ']', ',', '"']).parse::<i64>() {
        Ok(time @ 1_700_000_000_000..4_000_000_000_000) => word.replace(&time.to_string(), "now"),
        _ => word.to_owned(),
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// A list whose elements have names, as fields.
fn keyed(items: Vec<Tree>) -> Tree {
    let key = |item: &Tree| {
        let Tree::Fields(fields) = item else { return None };
        let has_id = fields.iter().any(|(name, _)| name == "topic_id");
        KEYS.iter().find_map(|key| match fields.iter().find(|(name, _)| name == key) {
            Some((_, Tree::Leaf(text)))
                if !(text.len() == 36 && text.trim_matches(['0', '-']).is_empty())
                    && text != "None"
                    && !(text == "\"\"" && has_id) =>
            {
                Some(format!("[{text}]"))
            }
            _ => None,
        })
    };
    let keys: Option<Vec<String>> = items.iter().map(key).collect();
    match keys {
        Some(keys)
            if !keys.is_empty()
                && keys.iter().collect::<std::collections::BTreeSet<_>>().len() == keys.len() =>
        {
            let mut fields: Vec<_> = keys.into_iter().zip(items).collect();
            // Ids have no order that both sides share; what belongs to them has.
            fields.sort_by_cached_key(|(key, item)| (without_ids(key), without_ids(&format!("{item:?}"))));
            Tree::Fields(fields)
        }
        _ => Tree::List(items),
    }
}

/// A place at which two answers are not the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) what: String,
    pub(super) path: String,
    pub(super) ours: String,
    pub(super) theirs: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} | {} | {} | {}", self.what, self.path, self.ours, self.theirs)
    }
}

/// All differences between two runs of the same scripts.
pub(super) fn differences(ours: &[Exchange], theirs: &[Exchange]) -> Vec<Difference> {
    assert_eq!(ours.len(), theirs.len(), "both have run the same scripts");
    let mut found = Vec::new();
    for (ours, theirs) in ours.iter().zip(theirs) {
        assert_eq!(ours.what, theirs.what);
        walk(&ours.what, "", Some(&ours.answer), Some(&theirs.answer), &mut found);
    }
    found
}

fn walk(what: &str, path: &str, ours: Option<&Tree>, theirs: Option<&Tree>, found: &mut Vec<Difference>) {
    match (ours, theirs) {
        (Some(Tree::Fields(ours)), Some(Tree::Fields(theirs))) => {
            let of = |fields: &[(String, Tree)], name: &str| {
                fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
            };
            let more = theirs.iter().filter(|(name, _)| of(ours, name).is_none());
            for (name, _) in ours.iter().chain(more) {
                let dot = if path.is_empty() || name.starts_with('[') { "" } else { "." };
                let (mine, other) = (of(ours, name), of(theirs, name));
                walk(what, &format!("{path}{dot}{name}"), mine.as_ref(), other.as_ref(), found);
            }
        }
        (Some(Tree::List(ours)), Some(Tree::List(theirs))) if ours.len() == theirs.len() => {
            for (index, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
                walk(what, &format!("{path}[{index}]"), Some(ours), Some(theirs), found);
            }
        }
        (ours, theirs) if ours == theirs => {}
        (ours, theirs) => found.push(Difference {
            what: what.to_owned(),
            path: path.to_owned(),
            ours: brief(ours),
            theirs: brief(theirs),
        }),
    }
}

fn brief(tree: Option<&Tree>) -> String {
    fn show(tree: &Tree) -> String {
        match tree {
            Tree::Leaf(text) => text.clone(),
            Tree::List(items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(" ")),
            Tree::Fields(fields) => {
                let fields: Vec<_> =
                    fields.iter().map(|(name, value)| format!("{name}: {}", show(value))).collect();
                format!("{{{}}}", fields.join(", "))
            }
        }
    }
    let text = tree.map_or_else(|| "absent".to_owned(), show);
    text.chars().take(300).collect()
}

/// A difference that is meant: patterns with `*` for what, where, ours and theirs, and why.
#[derive(Debug)]
pub(super) struct Deviation {
    patterns: [String; 4],
    used: bool,
}

/// Reads the list of deviations: five columns between `|`; the last is the reason and must not be empty.
pub(super) fn deviations(text: &str) -> Vec<Deviation> {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let columns: Vec<&str> = line.split('|').map(str::trim).collect();
            let [what, path, ours, theirs, reason] = columns[..] else { panic!("five columns: {line}") };
            assert!(!reason.is_empty(), "a deviation has a reason: {line}");
            Deviation { patterns: [what, path, ours, theirs].map(str::to_owned), used: false }
        })
        .collect()
}

/// What no deviation explains, and the deviations that explain nothing.
pub(super) fn unexplained(found: Vec<Difference>, mut deviations: Vec<Deviation>) -> Vec<String> {
    let mut rest = Vec::new();
    for difference in found {
        let parts = [&difference.what, &difference.path, &difference.ours, &difference.theirs];
        let explained = deviations.iter_mut().find(|deviation| {
            deviation.patterns.iter().zip(parts).all(|(pattern, part)| matches(pattern, part))
        });
        match explained {
            Some(deviation) => deviation.used = true,
            None => rest.push(difference.to_string()),
        }
    }
    let idle = deviations.iter().filter(|deviation| !deviation.used);
    rest.extend(
        idle.map(|deviation| format!("this deviation is none any more: {}", deviation.patterns.join(" | "))),
    );
    rest
}

/// Whether a text has the form of a pattern, in which `*` stands for anything.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((before, after)) = pattern.split_once('*') else { return pattern == text };
    let Some(rest) = text.strip_prefix(before) else { return false };
    rest.char_indices().map(|(at, _)| at).chain([rest.len()]).any(|at| matches(after, &rest[at..]))
}
