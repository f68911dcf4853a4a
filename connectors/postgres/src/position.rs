//! How far the slot has been read, as it is committed.

use acme_types::{Diagnostic, Lsn, Position, codes};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The version of the text form.
const FORMAT: u32 = 1;

/// A committed position of the one split that a source has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    /// Version of this form.
    pub(crate) format: u32,
    /// The cluster, from `IDENTIFY_SYSTEM`: another cluster's log has nothing to do with this position.
    pub(crate) system: String,
    /// The history of that cluster; it changes with a promotion or a recovery to a point in time.
    pub(crate) timeline: u32,
    /// Acme has created the slot, so it may drop it when the pipeline goes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) made_slot: bool,
    /// What is being done.
    pub(crate) phase: Phase,
}

/// What a source is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Phase {
    /// Copying the tables.
    Copy(Copying),
    /// Following the log.
    Stream(Streaming),
    /// A copy without changes to follow is complete.
    Done,
}

/// A copy that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Copying {
    /// The slot's consistent point: streaming begins here, however often the copy is repeated.
    pub(crate) point: u64,
    /// Every transaction below this id (a 64-bit one) may have been committed before the point: a repeated copy must
    /// see its end.
    pub(crate) horizon: u64,
    /// Tables that are copied whole.
    pub(crate) done: BTreeSet<String>,
}

/// A place in the log: between two changes of one transaction, or between two transactions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Streaming {
    /// The end of the last transaction that is delivered whole: what the server may forget.
    pub(crate) lsn: u64,
    /// All changes up to here are delivered.
    pub(crate) mark: Mark,
    /// The version of the last row before `mark`.
    pub(crate) version: i64,
    /// Streams that are further than `mark`: batches of several tables leave one after the other, and a barrier may come
    /// between them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) ahead: BTreeMap<String, Mark>,
}

/// A change: the place of its transaction's commit record, and its number in that transaction, from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Mark {
    pub(crate) commit: u64,
    pub(crate) index: u64,
}

impl Place {
    pub(crate) fn new(system: &str, timeline: u32, phase: Phase) -> Self {
        Self { format: FORMAT, system: system.to_owned(), timeline, made_slot: false, phase }
    }

    /// The same in another phase.
    pub(crate) fn then(&self, phase: Phase) -> Self {
        Self { phase, system: self.system.clone(), ..*self }
    }

    pub(crate) fn position(&self) -> Position {
        Position(serde_json::to_string(self).expect("numbers and names are always valid JSON"))
    }

    pub(crate) fn parse(position: &Position) -> Result<Self, Diagnostic> {
        let unreadable = |cause: String| {
            Diagnostic::new(&codes::STATE, format!("the position of the slot cannot be read: {cause}"))
        };
        let place: Self = serde_json::from_str(&position.0).map_err(|error| unreadable(error.to_string()))?;
        if place.format != FORMAT {
            return Err(unreadable(format!("it has version {}", place.format)));
        }
        Ok(place)
    }

    /// Where the server's log must not be cut off.
    pub(crate) fn lsn(&self) -> Option<Lsn> {
        match &self.phase {
            Phase::Copy(copying) => Some(Lsn(copying.point)),
            Phase::Stream(streaming) => Some(Lsn(streaming.lsn)),
            Phase::Done => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_reads_back() {
        let ahead = [("public.a".to_owned(), Mark { commit: 9, index: 2 })].into();
        let streaming = Streaming { lsn: 5, mark: Mark { commit: 7, index: 1 }, version: 8, ahead };
        for phase in [
            Phase::Copy(Copying { point: 1, horizon: 2, done: ["public.a".to_owned()].into() }),
            Phase::Stream(streaming),
            Phase::Done,
        ] {
            let mut place = Place::new("71", 1, phase);
            assert_eq!(Place::parse(&place.position()).as_ref(), Ok(&place));
            place.made_slot = true;
            assert_eq!(Place::parse(&place.position()), Ok(place));
        }
        let other = Position(r#"{"format":2,"system":"","timeline":1,"phase":"done"}"#.to_owned());
        assert!(Place::parse(&other).is_err());
    }
}
