//! The rows of one write: their documents, what happened to each, and those that wait for their table.

use crate::guess::Guesses;
use crate::sink::fields_of;
use crate::table::Field;
use acme_connect::{Encoded, Fate, Fates, Format, Rows};
use acme_types::Diagnostic;
use std::borrow::Cow;
use std::collections::VecDeque;

/// The rows as documents.
pub(crate) fn encoded(rows: &Rows) -> Result<Cow<'_, Encoded>, Diagnostic> {
    if let Some(encoded) = &rows.encoded {
        return Ok(Cow::Borrowed(encoded));
    }
    let mut encoded = Encoded::default();
    Format::Json.encoder(&rows.shape).encode(&rows.batch, &mut encoded)?;
    Ok(Cow::Owned(encoded))
}

/// The key of the stream under the names that its columns have in the rows; empty where one of them was left out.
pub(crate) fn visible_key(rows: &Rows) -> Vec<String> {
    let name = |internal: &String| {
        let column = rows.shape.columns.iter().find(|(_, column)| column == internal);
        column.map(|(name, _)| name.clone())
    };
    rows.shape.key.iter().map(name).collect::<Option<_>>().unwrap_or_default()
}

/// Rows whose table is not there yet, each with those that were refused.
#[derive(Default)]
pub(crate) struct Held {
    rows: VecDeque<(Rows, Vec<usize>)>,
    bytes: usize,
    guesses: Guesses,
    typed: Option<Vec<Field>>,
}

impl Held {
    /// Adds rows; those that are no documents are refused.
    pub(crate) fn push(&mut self, rows: &Rows) -> Result<Fates, Diagnostic> {
        let documents = encoded(rows)?;
        let mut fates = Fates::new();
        for row in 0..documents.ends.len() {
            if let Err(reason) = self.guesses.look(documents.row(row)) {
                fates.push((row, Fate::Reject { reason }));
            }
        }
        if rows.shape.document.is_none() {
            let fields = fields_of(rows, &self.guesses);
            let known = self.typed.get_or_insert_default();
            let new = |field: &Field| known.iter().all(|known| known.name != field.name);
            let new: Vec<Field> = fields.into_iter().filter(new).collect();
            known.extend(new);
        }
        self.bytes += documents.bytes.len();
        let skip = fates.iter().map(|(row, _)| *row).collect();
        self.rows.push_back((Rows { encoded: Some(documents.into_owned()), ..rows.clone() }, skip));
        Ok(fates)
    }

    /// The columns that hold all of them.
    pub(crate) fn fields(&self) -> Vec<Field> {
        self.typed.clone().unwrap_or_else(|| self.guesses.fields())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The oldest rows.
    pub(crate) fn first(&self) -> Option<&(Rows, Vec<usize>)> {
        self.rows.front()
    }

    /// The oldest rows are written.
    pub(crate) fn pop(&mut self) {
        self.rows.pop_front();
        if self.rows.is_empty() {
            *self = Self::default();
        }
    }
}
