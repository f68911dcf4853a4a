//! What is committed with the positions of a shared source: a checkpoint short enough to lie beside them.

use super::objects::damaged;
use acme_connect::Prepared;
use acme_types::{Diagnostic, Epoch, codes};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const VERSION: u8 = 1;

/// What the destinations had prepared when the positions were committed. It holds all of it, so that a worker on another
/// machine can complete it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Note {
    acme: u8,
    /// The epoch of the worker that committed.
    pub(crate) epoch: Epoch,
    /// By the name of the destination; none that is empty.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) sinks: BTreeMap<String, Prepared>,
}

impl Note {
    pub(crate) fn new(epoch: Epoch, sinks: &BTreeMap<String, Prepared>) -> Self {
        let sinks = sinks.iter().filter(|(_, prepared)| !prepared.is_empty());
        Self {
            acme: VERSION,
            epoch,
            sinks: sinks.map(|(name, prepared)| (name.clone(), prepared.clone())).collect(),
        }
    }

    pub(crate) fn text(&self, max: usize) -> Result<String, Diagnostic> {
        let text = serde_json::to_string(self).expect("texts and numbers are always valid JSON");
        if text.len() <= max {
            return Ok(text);
        }
        let message = format!(
            "what the destinations have prepared takes {} bytes, and the group keeps at most {max} with a position",
            text.len()
        );
        let help = "give each of these destinations a pipeline of its own";
        Err(Diagnostic::new(&codes::STATE, message).help(help))
    }

    /// Reads a note; an empty one was put by another program that has moved the positions, so nothing is known of destinations.
    pub(crate) fn read(text: &str) -> Result<Option<Self>, Diagnostic> {
        if text.is_empty() {
            return Ok(None);
        }
        let note: Self = serde_json::from_str(text).map_err(|error| {
            let cause = format!("what was committed with the positions is not ours: {error}");
            damaged("the group's offsets", &cause)
        })?;
        if note.acme != VERSION {
            let cause = format!("its note has version {}, this program knows {VERSION}", note.acme);
            return Err(damaged("the group's offsets", &cause));
        }
        Ok(Some(note))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_reads_back_what_it_holds_and_refuses_what_is_not_its_own() {
        let sinks = [("bq".to_owned(), "stream-1".to_owned()), ("null".to_owned(), String::new())].into();
        let note = Note::new(Epoch(7), &sinks);
        let text = note.text(4096).expect("it is short");
        assert_eq!(text, r#"{"acme":1,"epoch":7,"sinks":{"bq":"stream-1"}}"#);
        assert_eq!(Note::read(&text), Ok(Some(note.clone())));
        assert_eq!(Note::read(""), Ok(None));
        assert!(Note::read("consumer-1").is_err() && Note::read(&text.replace(":1,", ":2,")).is_err());
        assert!(note.text(10).is_err());
    }
}
