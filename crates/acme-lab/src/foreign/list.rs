//! What is known of a suite: a line for each name, in a file of `compat/`.
//!
//! A line is a name, on what it passes (`kafka`, `acme`, both, or `-` for neither), and after a `#` the reason where one of the
//! two is absent. `slice` marks what every run of the tests takes, `newer` what needs messages that Kafka 4.1, whose protocol
//! ours is, does not have. Lines that begin with `#` are for the reader.

use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
use std::path::Path;

/// The names of a suite, sorted.
#[derive(Clone, Debug)]
pub struct List(Vec<Entry>);

/// One name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// As the suite calls it.
    pub name: String,
    /// It passes on Apache Kafka.
    pub kafka: bool,
    /// It passes on our broker.
    pub acme: bool,
    /// Every run of the tests takes it.
    pub slice: bool,
    /// It needs messages that are newer than ours.
    pub newer: bool,
    /// Why it does not pass where it does not.
    pub reason: Option<String>,
}

impl List {
    /// Reads a list. One that is not sorted, has a name twice, or says of an absence no reason is refused.
    pub fn read(path: &Path) -> Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("in {}", path.display()))
    }

    /// See [`Self::read`].
    pub fn parse(text: &str) -> Result<Self> {
        let mut entries: Vec<Entry> = Vec::new();
        for line in text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
            let entry = Entry::parse(line).with_context(|| format!("the line `{line}`"))?;
            if entries.last().is_some_and(|last| last.name >= entry.name) {
                bail!("{} is not in its place", entry.name);
            }
            entries.push(entry);
        }
        Ok(Self(entries))
    }

    /// The entries, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.0.iter()
    }

    /// The names that an entry is chosen by.
    #[must_use]
    pub fn names(&self, chosen: impl Fn(&Entry) -> bool) -> Vec<String> {
        self.iter().filter(|entry| chosen(entry)).map(|entry| entry.name.clone()).collect()
    }

    /// How many of the names that pass on Apache Kafka, without those that need newer messages, are among those that passed.
    #[must_use]
    pub fn score(&self, passed: &BTreeSet<String>) -> (usize, usize) {
        let known = self.names(|entry| entry.kafka && !entry.newer);
        (known.iter().filter(|name| passed.contains(*name)).count(), known.len())
    }
}

impl Entry {
    fn parse(line: &str) -> Result<Self> {
        let (words, reason) = match line.split_once('#') {
            Some((words, reason)) => (words, Some(reason.trim().to_owned())),
            None => (line, None),
        };
        let mut words = words.split_whitespace();
        let name = words.next().context("it has no name")?.to_owned();
        let mut entry = Self { name, kafka: false, acme: false, slice: false, newer: false, reason };
        for word in words {
            match word {
                "kafka" => entry.kafka = true,
                "acme" => entry.acme = true,
                "slice" => entry.slice = true,
                "newer" => entry.newer = true,
                "-" => {}
                _ => bail!("`{word}` is none of kafka, acme, slice, newer and -"),
            }
        }
        if !(entry.kafka && entry.acme) && entry.reason.as_ref().is_none_or(String::is_empty) {
            bail!("it says no reason");
        }
        if entry.slice && !entry.acme {
            bail!("what does not pass cannot be in the slice");
        }
        Ok(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_says_what_passes_where_and_why_not() -> Result<()> {
        let list = List::parse("# a suite\na kafka acme slice\nb kafka # a feature\n\nc - # two brokers\n")?;
        assert_eq!(list.names(|entry| entry.slice), ["a"]);
        assert_eq!(list.score(&BTreeSet::from(["a".to_owned(), "c".to_owned()])), (1, 2));
        Ok(())
    }

    #[test]
    fn an_absence_without_a_reason_is_refused() {
        for text in [
            "a kafka",
            "a",
            "a -  #",
            "a kafka acme\na kafka acme",
            "b kafka acme\na kafka acme",
            "a both",
            "a kafka slice # x",
        ] {
            assert!(List::parse(text).is_err(), "{text}");
        }
    }
}
