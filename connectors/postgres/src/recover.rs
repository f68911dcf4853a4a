//! Fetches values that an update did not touch and that its log record therefore does not contain.
//!
//! The value is the row's present one. That is right: if it is the value at the time of the update, nothing is to be said;
//! if a later change has replaced it, that change follows in the stream with a higher version and carries it again, so what
//! came early is at most a glimpse of what comes. It would be wrong only if the query did not yet see the update's own
//! transaction, whose earlier changes may have set the value: a commit is in the log a moment before others see it. So the
//! snapshot of the query must show every transaction in question as ended. A row that is gone has its deletion later in the
//! stream; its update is left out.

use crate::assembler::{Assembler, Recovered, key_text};
use crate::catalog::Table;
use crate::pgoutput::{Message, Value};
use crate::wire::{Connection, Row, WireError, frame, ident, literal};
use acme_types::{Diagnostic, codes};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Rows that are fetched at once.
const ROWS_MAX: usize = 1000;
/// How long to wait before looking again whether a transaction is seen.
const WAIT: Duration = Duration::from_millis(2);

/// Keys of rows by relation: the text that names each, and its values as SQL.
type Wanted = BTreeMap<u32, BTreeMap<String, String>>;

/// Fetches what `message` lacks, and what messages in `ahead`, which have come already, will lack next.
pub(crate) async fn fetch(
    sql: &mut Connection,
    assembler: &Assembler,
    message: &[u8],
    ahead: &[u8],
    recovered: &mut Recovered,
) -> Result<(), crate::catalog::Fault> {
    let (mut wanted, mut xids) = (Wanted::new(), BTreeSet::from_iter(assembler.xid()));
    want(assembler, message, &mut wanted);
    // What was fetched serves every message that has come, so all their transactions must be seen. Keys are collected only
    // up to a number, and as long as the table is described as now.
    let (mut rest, mut count) = (ahead, 1);
    while let Some((b'd', body)) = frame(rest)? {
        // `XLogData`: its header of 25 bytes, then the message.
        let message = rest.get(body.start + 25..body.end).filter(|_| rest[body.start] == b'w');
        match message.map(|message| (message, Message::parse(message))) {
            Some((_, Ok(Message::Begin { xid, .. }))) => drop(xids.insert(xid)),
            Some((_, Ok(Message::Relation(_)))) => count = ROWS_MAX,
            Some((message, Ok(Message::Update { .. }))) if count < ROWS_MAX => {
                want(assembler, message, &mut wanted);
                count += 1;
            }
            _ => {}
        }
        rest = &rest[body.end..];
    }
    see(sql, &xids).await?;
    for (relation, keys) in wanted {
        let table = assembler.table(relation).expect("what is wanted is of a known table");
        if table.key.is_empty() {
            let message = format!(
                "an unchanged value of {} cannot be fetched, because the table has no key",
                table.name
            );
            return Err(Diagnostic::new(&codes::DECODE, message).into());
        }
        for row in sql.query(&select(table, keys.values())).await? {
            let key = table.key.iter().map(|key| {
                let at = table.columns.iter().position(|column| column.name == *key);
                at.and_then(|at| row[at].as_deref()).unwrap_or_default().as_bytes()
            });
            recovered.insert(key_text(relation, in_column_order(table, key)), Some(row.clone()));
        }
        for key in keys.into_keys() {
            recovered.entry(key).or_insert(None);
        }
    }
    sql.query("COMMIT").await?;
    Ok(())
}

/// The stream names a row by its key columns in the order of the table.
fn in_column_order<'a>(
    table: &'a Table,
    key: impl Iterator<Item = &'a [u8]> + 'a,
) -> impl Iterator<Item = &'a [u8]> + 'a {
    let mut values: Vec<(usize, &[u8])> = table
        .key
        .iter()
        .map(|name| table.columns.iter().position(|column| column.name == *name).unwrap_or(usize::MAX))
        .zip(key)
        .collect();
    values.sort_unstable_by_key(|(at, _)| *at);
    values.into_iter().map(|(_, value)| value)
}

fn want(assembler: &Assembler, message: &[u8], wanted: &mut Wanted) {
    let Some((relation, key, values)) = assembler.lacks(message) else { return };
    let sql = |value: Value<'_>| match value {
        Value::Text(text) => literal(&String::from_utf8_lossy(text)),
        _ => "NULL".to_owned(),
    };
    let values = values.into_iter().map(sql).collect::<Vec<_>>().join(", ");
    wanted.entry(relation).or_default().insert(key, format!("({values})"));
}

fn select<'a>(table: &Table, keys: impl Iterator<Item = &'a String>) -> String {
    let columns: Vec<String> = table.columns.iter().map(|column| ident(&column.name)).collect();
    let key = table.columns.iter().filter(|column| column.key).map(|column| ident(&column.name));
    let (columns, key) = (columns.join(", "), key.collect::<Vec<_>>().join(", "));
    let keys = keys.map(String::as_str).collect::<Vec<_>>().join(", ");
    format!("SELECT {columns} FROM {} WHERE ({key}) IN ({keys})", table.sql())
}

/// Begins a transaction whose snapshot shows all of these as ended.
async fn see(sql: &mut Connection, xids: &BTreeSet<u32>) -> Result<(), WireError> {
    loop {
        let rows = sql
            .query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT txid_current_snapshot()")
            .await?;
        let snapshot = Snapshot::parse(rows.first());
        if xids.iter().all(|xid| snapshot.has_ended(snapshot.whole(*xid))) {
            return Ok(());
        }
        sql.query("ROLLBACK").await?;
        tokio::time::sleep(WAIT).await;
    }
}

/// What a snapshot sees: `xmin:xmax:xip,xip,…`, ids of 64 bits.
pub(crate) struct Snapshot {
    next: u64,
    running: Vec<u64>,
}

impl Snapshot {
    pub(crate) fn parse(row: Option<&Row>) -> Self {
        let text = row.map_or("", |row| crate::catalog::text(row, 0));
        let mut parts = text.split(':').skip(1);
        let next = parts.next().and_then(|text| text.parse().ok()).unwrap_or(0);
        let running = parts.next().unwrap_or("").split(',').filter_map(|text| text.parse().ok()).collect();
        Self { next, running }
    }

    /// The first id that was not given out yet.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Whether every transaction below this id has ended.
    pub(crate) fn is_past(&self, horizon: u64) -> bool {
        self.next >= horizon && self.running.iter().all(|xid| *xid >= horizon)
    }

    fn has_ended(&self, xid: u64) -> bool {
        xid < self.next && !self.running.contains(&xid)
    }

    /// The 64-bit id of a recent transaction from its 32 bits.
    fn whole(&self, xid: u32) -> u64 {
        let whole = (self.next >> 32 << 32) | u64::from(xid);
        if whole > self.next.saturating_add(1 << 31) { whole.saturating_sub(1 << 32) } else { whole }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_knows_what_it_sees() {
        let row = vec![Some("100:110:100,105".to_owned())];
        let snapshot = Snapshot::parse(Some(&row));
        assert!(snapshot.has_ended(99) && snapshot.has_ended(104) && snapshot.has_ended(109));
        assert!(!snapshot.has_ended(100) && !snapshot.has_ended(105) && !snapshot.has_ended(110));
        assert!(snapshot.is_past(100) && !snapshot.is_past(101));
        let later = Snapshot { next: (3 << 32) + 5, running: Vec::new() };
        assert_eq!((later.whole(4), later.whole(u32::MAX)), ((3 << 32) + 4, (2 << 32) + u64::from(u32::MAX)));
    }
}
