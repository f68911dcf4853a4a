//! Turns the messages of the stream into batches, and knows the position after each of them. It does no I/O.
//!
//! Versions (the number by which a destination refuses what is older): `v = max(v, commit place) + 1` for every row in
//! commit order, whether the row is delivered or was delivered before; so a replay gives each row the same number again.
//! A change of the key is two rows, a DELETE of the old and an INSERT of the new.

use crate::catalog::{Table, TableColumn};
use crate::changes::align;
use crate::pgoutput::{Message, Old, Relation, RelationColumn, Tuple, Value};
use crate::position::{Mark, Streaming};
use crate::rows::{RowMeta, TableRows};
use crate::text;
use acme_types::{Diagnostic, Lsn, codes};
use arrow::array::RecordBatch;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Microseconds from 1970 to 2000, where PostgreSQL counts from.
const EPOCH_US: i64 = text::EPOCH_DAYS as i64 * 86_400_000_000;

/// Values that were not in the log, by [`key_text`] of their row; `None` for a row that is gone by now.
pub(crate) type Recovered = HashMap<String, Option<Vec<Option<String>>>>;

/// What the caller must do after a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The next one.
    Next,
    /// Look whether the table has changed or its description is older, see [`Assembler::map`]; then repeat the message.
    Relation,
    /// Fetch what the row lacks; then repeat the message.
    Recover,
}

/// Whether a relation is as its table was described.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fit {
    /// It is, or it was mapped all the same.
    Same,
    /// It is not.
    Different,
    /// It cannot be known which of its columns is which of ours.
    Unclear,
}

/// How the columns of a relation lie in our batches.
struct Mapped {
    stream: usize,
    /// Our column for each of the relation's.
    to: Vec<Option<usize>>,
    /// Our columns that the relation does not have.
    absent: Vec<usize>,
    /// A column of our key is not part of what the relation sends of old rows: the key was another one then.
    other_key: bool,
}

struct Transaction {
    commit: u64,
    lsn: String,
    xid: u32,
    committed_at: i64,
    index: u64,
}

/// One batch on its way out.
pub(crate) struct Flushed {
    pub(crate) stream: usize,
    pub(crate) batch: RecordBatch,
    pub(crate) position: Streaming,
}

pub(crate) struct Assembler {
    tables: Vec<Arc<Table>>,
    rows: Vec<TableRows>,
    relations: HashMap<u32, Option<Arc<Mapped>>>,
    transaction: Option<Transaction>,
    /// Where the rows end that wait or have left.
    now: Streaming,
    /// Where the rows end that have left.
    left: Streaming,
    scratch: String,
}

impl Assembler {
    pub(crate) fn new(tables: Vec<Arc<Table>>, from: Streaming) -> Self {
        let rows = tables.iter().map(|table| TableRows::new(table.clone(), false)).collect();
        let (relations, scratch) = (HashMap::new(), String::new());
        Self { tables, rows, relations, transaction: None, now: from.clone(), left: from, scratch }
    }

    /// Forgets what a connection told, after it broke. Rows that wait are whole changes, and stay.
    pub(crate) fn reconnect(&mut self) {
        self.relations.clear();
        self.transaction = None;
    }

    /// Where the server is to begin.
    pub(crate) fn start(&self) -> Lsn {
        Lsn(self.now.lsn)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.iter().all(|rows| rows.len() == 0)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.rows.iter().any(TableRows::is_full)
    }

    /// The transaction whose changes are being read.
    pub(crate) fn xid(&self) -> Option<u32> {
        self.transaction.as_ref().map(|transaction| transaction.xid)
    }

    pub(crate) fn table(&self, relation: u32) -> Option<&Arc<Table>> {
        self.relations.get(&relation)?.as_ref().map(|mapped| &self.tables[mapped.stream])
    }

    /// All that waits. The batch of each stream says that this stream is ahead; the last one moves the common mark.
    pub(crate) fn flush(&mut self) -> Vec<Flushed> {
        let mark = self.now.mark;
        let waiting: Vec<usize> =
            (0..self.rows.len()).filter(|stream| self.rows[*stream].len() > 0).collect();
        let mut flushed = Vec::with_capacity(waiting.len());
        for (at, stream) in waiting.iter().enumerate() {
            if at + 1 == waiting.len() {
                self.left = self.now.clone();
                self.left.ahead.retain(|_, ahead| *ahead > mark);
                self.now.ahead.clone_from(&self.left.ahead);
            } else {
                self.left.ahead.insert(self.tables[*stream].name.to_string(), mark);
            }
            let batch = self.rows[*stream].finish();
            flushed.push(Flushed { stream: *stream, batch, position: self.left.clone() });
        }
        flushed
    }

    /// A batch without rows that only carries a position, when there is one worth carrying: nothing of ours waits, and
    /// the server has read on to `wal_end`.
    pub(crate) fn heartbeat(&mut self, wal_end: u64) -> Option<Flushed> {
        if self.transaction.is_some() || !self.is_empty() || self.now.lsn.max(wal_end) <= self.left.lsn {
            return None;
        }
        self.now.lsn = self.now.lsn.max(wal_end);
        self.left = self.now.clone();
        Some(Flushed { stream: 0, batch: self.rows[0].finish(), position: self.left.clone() })
    }

    /// Takes one message.
    pub(crate) fn message(&mut self, bytes: &[u8], recovered: &Recovered) -> Result<Step, Diagnostic> {
        let message =
            Message::parse(bytes).map_err(|_| protocol("a message of the stream cannot be read"))?;
        match message {
            Message::Begin { commit, committed_at, xid } => {
                let committed_at = committed_at.saturating_add(EPOCH_US);
                let lsn = Lsn(commit).to_string();
                self.transaction = Some(Transaction { commit, lsn, xid, committed_at, index: 0 });
            }
            Message::Commit { end } => {
                self.transaction = None;
                self.now.lsn = end;
            }
            Message::Relation(relation) => {
                // With a full identity a new key does not show in the announcement.
                let again = relation.identity == b'f' && self.relations.contains_key(&relation.id);
                if again || self.map(&relation, false) != Fit::Same {
                    return Ok(Step::Relation);
                }
            }
            Message::Insert { relation, new } => {
                let Some(mapped) = self.advance(relation)? else { return Ok(Step::Next) };
                self.emit(&mapped, new.values(), false, "INSERT", false)?;
            }
            Message::Update { relation, old, new } => return self.update(relation, old, new, recovered),
            Message::Delete { relation, old } => {
                let Some(mapped) = self.advance(relation)? else { return Ok(Step::Next) };
                if mapped.other_key && !old.whole {
                    return Err(self.keyless(&mapped));
                }
                self.before(&mapped, Some(old));
                self.emit(&mapped, old.row.values(), true, "DELETE", old.whole)?;
            }
            Message::Truncate { relations } => {
                for relation in relations {
                    let Some(mapped) = self.advance(relation)? else { continue };
                    let nulls = std::iter::repeat_n(Value::Null, mapped.to.len());
                    self.emit(&mapped, nulls, false, "TRUNCATE", false)?;
                }
            }
            Message::Other => {}
        }
        Ok(Step::Next)
    }

    /// Learns how a relation's columns lie in ours: at once if they are the same; with `anyway` as far as it can be known
    /// (see [`align`]). Columns that the relation does not have are what the table has for such rows, columns that the
    /// table has lost are left out. A table is ours by its id or by the name that it had.
    pub(crate) fn map(&mut self, relation: &Relation<'_>, anyway: bool) -> Fit {
        let named =
            |table: &Arc<Table>| table.name.schema == relation.schema && table.name.table == relation.table;
        let by_id = self.tables.iter().position(|table| table.oid == relation.id);
        let Some(stream) = by_id.or_else(|| self.tables.iter().position(named)) else {
            self.relations.insert(relation.id, None);
            return Fit::Same;
        };
        let table = &self.tables[stream];
        let columns = &table.columns;
        let same_column = |theirs: &RelationColumn<'_>, ours: &TableColumn| {
            let type_of_theirs = (theirs.type_oid, theirs.type_modifier);
            theirs.name == ours.name
                && type_of_theirs == (ours.type_oid, ours.type_modifier)
                && (relation.identity == b'f' || theirs.key == ours.key)
        };
        let same = relation.id == table.oid
            && named(table)
            && relation.identity == table.identity
            && relation.columns.len() == columns.len()
            && relation.columns.iter().zip(columns).all(|(theirs, ours)| same_column(theirs, ours));
        if !anyway && !same {
            return Fit::Different;
        }
        let Some(to) = align(relation, table) else { return Fit::Unclear };
        let absent: Vec<usize> = (0..columns.len()).filter(|at| !to.contains(&Some(*at))).collect();
        let sent =
            |at: usize| relation.columns.iter().zip(&to).any(|(theirs, to)| *to == Some(at) && theirs.key);
        let other_key = (0..columns.len()).any(|at| columns[at].key && !sent(at));
        self.relations.insert(relation.id, Some(Arc::new(Mapped { stream, to, absent, other_key })));
        Fit::Same
    }

    fn keyless(&self, mapped: &Mapped) -> Diagnostic {
        let table = &self.tables[mapped.stream];
        let message = format!(
            "a change of {} from before its key was changed does not say which row it is about",
            table.name
        );
        Diagnostic::new(&codes::SOURCE_CHANGED, message)
            .help("remove the pipeline's state and the slot to copy everything anew")
    }

    /// Counts a change; the table if the change is ours and was not delivered before.
    fn advance(&mut self, relation: u32) -> Result<Option<Arc<Mapped>>, Diagnostic> {
        let transaction =
            self.transaction.as_mut().ok_or_else(|| protocol("a change outside a transaction"))?;
        transaction.index += 1;
        let mark = Mark { commit: transaction.commit, index: transaction.index };
        let mapped = self
            .relations
            .get(&relation)
            .ok_or_else(|| protocol("a change of a table that was not announced"))?;
        if mark <= self.now.mark {
            return Ok(None);
        }
        if mapped.is_some() {
            self.now.mark = mark;
        }
        Ok(mapped.clone())
    }

    fn update(
        &mut self,
        relation: u32,
        old: Option<Old<'_>>,
        new: Tuple<'_>,
        recovered: &Recovered,
    ) -> Result<Step, Diagnostic> {
        let before = self.now.mark;
        let Some(mapped) = self.advance(relation)? else { return Ok(Step::Next) };
        if mapped.other_key && old.is_none_or(|old| !old.whole) {
            return Err(self.keyless(&mapped));
        }
        let old_row = old.map(|old| old.row);
        let lacking = merged(new, old_row).any(|value| value == Value::Unchanged);
        let fetched = if lacking {
            let key = self.key_text(relation, &mapped, new, old_row);
            let Some(found) = recovered.get(&key) else {
                // The message comes again: nothing of it has been counted.
                self.now.mark = before;
                if let Some(transaction) = &mut self.transaction {
                    transaction.index -= 1;
                }
                return Ok(Step::Recover);
            };
            Some(found.as_ref())
        } else {
            None
        };
        let table = &self.tables[mapped.stream];
        let is_key = |at: &usize| mapped.to[*at].is_some_and(|to| table.columns[to].key);
        let moved = old_row.is_some_and(|old| {
            let pairs = new.values().zip(old.values()).enumerate();
            pairs.filter(|(at, _)| is_key(at)).any(|(_, (new, old))| new != old && new != Value::Unchanged)
        });
        self.before(&mapped, old);
        if let Some(old) = old_row.filter(|_| moved) {
            self.emit(&mapped, old.values(), true, "DELETE", true)?;
        }
        let operation = if moved { "INSERT" } else { "UPDATE" };
        match fetched {
            None => self.emit(&mapped, merged(new, old_row), false, operation, !moved)?,
            Some(Some(found)) => {
                let to = mapped.to.clone();
                let values = merged(new, old_row).zip(&to).map(|(value, to)| match (value, to) {
                    (Value::Unchanged, Some(to)) => {
                        found[*to].as_ref().map_or(Value::Null, |text| Value::Text(text.as_bytes()))
                    }
                    (Value::Unchanged, None) => Value::Null,
                    (value, _) => value,
                });
                self.emit(&mapped, values, false, operation, !moved)?;
            }
            // The row is gone: a later change in the stream deletes it, so nothing is missed without this state of it.
            Some(None) => {
                self.version();
            }
        }
        Ok(Step::Next)
    }

    /// What a message lacks, if it does: its relation and the key of its row. For looking ahead.
    pub(crate) fn lacks<'a>(&self, bytes: &'a [u8]) -> Option<(u32, String, Vec<Value<'a>>)> {
        let Ok(Message::Update { relation, old, new }) = Message::parse(bytes) else { return None };
        let mapped = self.relations.get(&relation)?.as_ref()?;
        let old_row = old.map(|old| old.row);
        if !merged(new, old_row).any(|value| value == Value::Unchanged) {
            return None;
        }
        let table = &self.tables[mapped.stream];
        let values = merged(new, old_row).zip(&mapped.to);
        let key = values.filter(|(_, to)| to.is_some_and(|to| table.columns[to].key)).map(|(value, _)| value);
        Some((relation, self.key_text(relation, mapped, new, old_row), key.collect()))
    }

    fn key_text(&self, relation: u32, mapped: &Mapped, new: Tuple<'_>, old: Option<Tuple<'_>>) -> String {
        let table = &self.tables[mapped.stream];
        let values = merged(new, old).zip(&mapped.to);
        let texts =
            values.filter(|(_, to)| to.is_some_and(|to| table.columns[to].key)).map(|(value, _)| value);
        key_text(relation, texts.map(|value| if let Value::Text(text) = value { text } else { b"" }))
    }

    fn version(&mut self) -> i64 {
        let commit = self.transaction.as_ref().map_or(0, |transaction| transaction.commit);
        self.now.version = self.now.version.max(i64::try_from(commit).unwrap_or(i64::MAX - 1)) + 1;
        self.now.version
    }

    /// Writes the old row as JSON into the scratch, where the server sent all of it.
    fn before(&mut self, mapped: &Mapped, old: Option<Old<'_>>) {
        let out = &mut self.scratch;
        out.clear();
        let Some(old) = old.filter(|old| old.whole) else { return };
        let columns = &self.tables[mapped.stream].columns;
        out.push('{');
        for (value, to) in old.row.values().zip(&mapped.to) {
            let Some(to) = to else { continue };
            if out.len() > 1 {
                out.push(',');
            }
            text::quote(&columns[*to].name, out);
            out.push(':');
            match value {
                Value::Text(bytes) => {
                    text::write_json(columns[*to].kind, &String::from_utf8_lossy(bytes), out);
                }
                _ => out.push_str("null"),
            }
        }
        out.push('}');
    }

    fn emit<'v>(
        &mut self,
        mapped: &Mapped,
        values: impl Iterator<Item = Value<'v>>,
        only_key: bool,
        operation: &'static str,
        with_before: bool,
    ) -> Result<(), Diagnostic> {
        let version = self.version();
        let table = &self.tables[mapped.stream];
        // A stream that was ahead of the common mark at the restart has had this row.
        if !self.now.ahead.is_empty()
            && self.now.ahead.get(&table.name.to_string()).is_some_and(|ahead| self.now.mark <= *ahead)
        {
            return Ok(());
        }
        let transaction =
            self.transaction.as_ref().ok_or_else(|| protocol("a change outside a transaction"))?;
        let rows = &mut self.rows[mapped.stream];
        let only_key = only_key && !table.key.is_empty();
        let empty = operation == "TRUNCATE";
        let mut count = 0;
        for (value, to) in values.zip(&mapped.to) {
            count += 1;
            let Some(to) = to else { continue };
            let hidden = only_key && !table.columns[*to].key;
            rows.set(*to, if hidden { Value::Null } else { value })?;
        }
        if count != mapped.to.len() {
            return Err(protocol("a row has another number of columns than its table"));
        }
        for column in &mapped.absent {
            let missing = table.columns[*column].missing.as_deref().filter(|_| !only_key && !empty);
            rows.set(*column, missing.map_or(Value::Null, |text| Value::Text(text.as_bytes())))?;
        }
        let before = Some(self.scratch.as_str()).filter(|before| with_before && !before.is_empty());
        rows.end(&RowMeta {
            operation,
            version,
            lsn: &transaction.lsn,
            tx_id: Some(i64::from(transaction.xid)),
            committed_at: Some(transaction.committed_at),
            before,
        });
        Ok(())
    }
}

/// The new values, each unchanged one taken from the old row where that has it.
fn merged<'a>(new: Tuple<'a>, old: Option<Tuple<'a>>) -> impl Iterator<Item = Value<'a>> {
    let mut old = old.map(Tuple::values);
    new.values().map(move |value| {
        let before = old.as_mut().and_then(Iterator::next);
        match (value, before) {
            (Value::Unchanged, Some(before @ (Value::Text(_) | Value::Binary(_)))) => before,
            (value, _) => value,
        }
    })
}

/// Names a row: the relation and its key.
pub(crate) fn key_text<'a>(relation: u32, key: impl Iterator<Item = &'a [u8]>) -> String {
    let mut text = relation.to_string();
    for value in key {
        text.push('\0');
        text.push_str(&String::from_utf8_lossy(value));
    }
    text
}

fn protocol(what: &str) -> Diagnostic {
    Diagnostic::new(&codes::REMOTE, format!("the server does not follow the protocol: {what}"))
}

/// Where versions begin: before every change of the stream, and where all copied rows stand.
pub(crate) fn beginning(point: u64) -> Streaming {
    let version = i64::try_from(point).unwrap_or(i64::MAX - 1);
    Streaming { lsn: point, mark: Mark::default(), version, ahead: BTreeMap::new() }
}
