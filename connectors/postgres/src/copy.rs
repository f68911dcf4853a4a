//! Copies the tables as one snapshot shows them: binary COPY over several connections, decoded straight into Arrow.
//!
//! # Why a repeated copy is right
//!
//! The slot's consistent point P is committed before the first row moves, and streaming always begins at P. A snapshot lives
//! only as long as the session that exported it, so after a crash the tables that were not finished are copied again from a
//! new snapshot S, later than P. All copied rows, of the first copy and of every other, carry the version P:
//!
//! - Every change committed after P is in the stream with a version above P, so it replaces or deletes copied rows whichever
//!   copy they come from, also rows of the first copy that are gone in S. What S shows of those changes already, the stream
//!   passes through again and ends at the same rows.
//! - Every change committed before P must be in S, because the stream does not have it. It is in the snapshot that was
//!   exported with the slot. For any other snapshot it is made sure: a transaction is in the log a moment before others see
//!   it, so S counts only once all transactions that existed at P's time (the *horizon*) have ended.
//! - Would a repeated copy carry S's own place, a change between P and S would be refused as older, and a row whose
//!   transaction S did not see yet would be lost. The first point has no such hole.

use crate::catalog::{self, Fault, Table};
use crate::changes;
use crate::fault::is_transient;
use crate::outlet::Outlet;
use crate::pgoutput::Value;
use crate::position::{Copying, Phase};
use crate::reader::{Reader, Short};
use crate::recover::Snapshot;
use crate::rows::{RowMeta, TableRows};
use crate::settings::Settings;
use crate::stream::STEADY;
use crate::wire::{Connection, WireError, ident, literal, server_error, unexpected};
use acme_connect::{Backoff, Extent, failpoint};
use acme_types::{Diagnostic, Lsn};
use arrow::array::RecordBatch;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Connections that copy at the same time.
const WORKERS: usize = 2;
/// Blocks of a table that one job copies: 32 MiB.
const JOB_BLOCKS: u64 = 4096;
/// Bytes of a block, as nearly every server is built.
const BLOCK: u64 = 8192;
/// How long to wait before looking again whether a transaction has ended.
const WAIT: Duration = Duration::from_millis(20);

/// What begins every binary copy.
///
/// Source: PostgreSQL documentation, COPY, "Binary Format".
pub(crate) const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";

/// A part of a table, by blocks; the last part has no end.
struct Job {
    stream: usize,
    from: u64,
    to: Option<u64>,
    /// The most rows.
    limit: Option<usize>,
}

enum Copied {
    Rows(usize, RecordBatch),
    Finished(usize),
}

/// A snapshot and the session that keeps it.
pub(crate) struct Kept {
    pub(crate) connection: Connection,
    pub(crate) snapshot: String,
}

impl Kept {
    /// A new snapshot that shows every transaction below the horizon as ended.
    pub(crate) async fn after(mut connection: Connection, horizon: u64) -> Result<Self, WireError> {
        loop {
            let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT txid_current_snapshot()";
            let rows = connection.query(begin).await?;
            if Snapshot::parse(rows.first()).is_past(horizon) {
                let snapshot = connection.value("SELECT pg_export_snapshot()").await?.unwrap_or_default();
                return Ok(Self { connection, snapshot });
            }
            connection.query("ROLLBACK").await?;
            tokio::time::sleep(WAIT).await;
        }
    }
}

/// The copy of all tables.
pub(crate) struct Copier<'a> {
    pub(crate) settings: &'a Arc<Settings>,
    pub(crate) tables: &'a [Arc<Table>],
    pub(crate) copying: Copying,
    pub(crate) outlet: &'a Outlet,
    /// One chunk is held back, so that the last one can carry what follows the copy.
    pub(crate) held: Option<(usize, RecordBatch)>,
    pub(crate) extent: Arc<Extent>,
    /// Rows of each table that were copied, and count as long as the table need not be copied again.
    pub(crate) counts: Vec<usize>,
}

impl Copier<'_> {
    /// Copies every table that is not done, and moves on to `then` with the last chunk. When the connection fails, the
    /// tables that are not finished are copied again. Gives the keeping connection back, if it lasted.
    pub(crate) async fn run(mut self, kept: Kept, then: Phase) -> Result<Option<Connection>, Diagnostic> {
        let (mut kept, mut backoff) = (Some(kept), Backoff::new(self.copying.point));
        let mut first = true;
        loop {
            let (done, began) = (self.copying.done.len(), Instant::now());
            let fault = match self.attempt(kept.take()).await {
                Ok(None) => return Ok(None),
                Ok(Some(connection)) => {
                    let empty = || (0, TableRows::new(self.tables[0].clone(), true).finish());
                    let (stream, batch) = self.held.take().unwrap_or_else(empty);
                    self.outlet.send(Ok(self.outlet.chunk(stream, batch, then, self.copying.point))).await;
                    self.extent.end();
                    return Ok(Some(connection).filter(|_| first));
                }
                Err(fault) => fault,
            };
            first = false;
            for (table, count) in self.tables.iter().zip(&mut self.counts) {
                if !self.copying.done.contains(&table.name.to_string()) {
                    self.extent.take_back(std::mem::take(count));
                }
            }
            if self.copying.done.len() > done || began.elapsed() > STEADY {
                backoff = Backoff::new(self.copying.point);
            }
            if !matches!(&fault, Fault::Wire(error) if is_transient(error)) {
                return Err(self.explain(fault).await);
            }
            match backoff.wait() {
                Some(wait) => tokio::time::sleep(wait).await,
                None => return Err(self.settings.explain(fault)),
            }
        }
    }

    /// A table that was changed while it was copied fails in many ways, so it is looked at again.
    async fn explain(&self, fault: Fault) -> Diagnostic {
        let look = async {
            let mut sql = Connection::open(&self.settings.address, false).await?;
            catalog::tables(&mut sql, self.settings).await
        };
        let Ok(now) = look.await else { return self.settings.explain(fault) };
        let pairs = self.tables.iter().zip(&now);
        let changes: Vec<String> = pairs.flat_map(|(then, now)| changes::between(then, now)).collect();
        if changes.is_empty() || !self.settings.cdc {
            return self.settings.explain(fault);
        }
        self.settings.reshaped(&changes)
    }

    /// One life of the connections; a new snapshot where there is none.
    async fn attempt(&mut self, kept: Option<Kept>) -> Result<Option<Connection>, Fault> {
        let kept = match kept {
            Some(kept) => kept,
            None => {
                let connection = Connection::open(&self.settings.address, false).await?;
                Kept::after(connection, self.copying.horizon).await?
            }
        };
        let jobs = jobs(self.tables, &self.copying);
        let mut left: Vec<usize> =
            (0..self.tables.len()).map(|at| jobs.iter().filter(|job| job.stream == at).count()).collect();
        let count = jobs.len();
        let jobs = Arc::new(Mutex::new(jobs));
        let (sender, mut inbox) = mpsc::channel(WORKERS);
        let mut workers = JoinSet::new();
        for _ in 0..WORKERS.min(count) {
            let worker = Worker {
                settings: self.settings.clone(),
                tables: self.tables.to_vec(),
                snapshot: kept.snapshot.clone(),
                jobs: jobs.clone(),
                lsn: Lsn(self.copying.point),
                sender: sender.clone(),
            };
            workers.spawn(worker.run());
        }
        drop(sender);
        loop {
            let copied = tokio::select! {
                copied = inbox.recv() => copied,
                // The others end with the first that fails.
                Some(ended) = workers.join_next() => {
                    ended.unwrap_or(Ok(()))?;
                    continue;
                }
            };
            match copied {
                // It is the end only if none of them failed.
                None => {
                    while let Some(ended) = workers.join_next().await {
                        ended.unwrap_or(Ok(()))?;
                    }
                    return Ok(Some(kept.connection));
                }
                Some(Copied::Finished(stream)) => {
                    left[stream] -= 1;
                    if left[stream] == 0 {
                        self.copying.done.insert(self.tables[stream].name.to_string());
                    }
                }
                Some(Copied::Rows(stream, batch)) => {
                    self.extent.add(batch.num_rows());
                    self.counts[stream] += batch.num_rows();
                    if let Some((stream, batch)) = self.held.replace((stream, batch)) {
                        failpoint("postgres.copy");
                        let phase = Phase::Copy(self.copying.clone());
                        let chunk = self.outlet.chunk(stream, batch, phase, self.copying.point);
                        if !self.outlet.send(Ok(chunk)).await {
                            return Ok(None);
                        }
                    }
                }
            }
        }
    }
}

/// About how many rows are to be copied, as the server's planner thinks; `None` where it cannot be asked.
pub(crate) async fn expected(settings: &Settings, tables: &[Arc<Table>], copying: &Copying) -> Option<u64> {
    let mut sql = Connection::open(&settings.address, false).await.ok()?;
    let mut rows = 0;
    for table in tables.iter().filter(|table| !copying.done.contains(&table.name.to_string())) {
        let filter = table.filter.as_ref().map_or_else(String::new, |filter| format!(" WHERE {filter}"));
        let plan = sql.value(&format!("EXPLAIN SELECT FROM {}{filter}", table.sql())).await.ok()??;
        let (_, number) = plan.split_once("rows=")?;
        rows += number.split(' ').next()?.parse::<u64>().ok()?;
    }
    Some(rows)
}

/// Copies the first rows of every table, in one transaction that leaves no trace.
pub(crate) async fn sample(
    settings: &Arc<Settings>,
    tables: &[Arc<Table>],
    rows: usize,
) -> Result<Vec<(usize, RecordBatch)>, Fault> {
    let kept = Kept::after(Connection::open(&settings.address, false).await?, 0).await?;
    let limit = Some(rows);
    let jobs = (0..tables.len()).map(|stream| Job { stream, from: 0, to: None, limit }).collect();
    let (sender, mut inbox) = mpsc::channel(WORKERS);
    let worker = Worker {
        settings: settings.clone(),
        tables: tables.to_vec(),
        snapshot: kept.snapshot.clone(),
        jobs: Arc::new(Mutex::new(jobs)),
        lsn: Lsn(0),
        sender,
    };
    let collect = async {
        let mut batches = Vec::new();
        while let Some(copied) = inbox.recv().await {
            if let Copied::Rows(stream, batch) = copied {
                batches.push((stream, batch));
            }
        }
        batches
    };
    let (ended, batches) = tokio::join!(worker.run(), collect);
    ended.map(|()| batches)
}

fn jobs(tables: &[Arc<Table>], copying: &Copying) -> VecDeque<Job> {
    let mut jobs = VecDeque::new();
    for (stream, table) in tables.iter().enumerate() {
        if copying.done.contains(&table.name.to_string()) {
            continue;
        }
        let blocks = table.bytes / BLOCK;
        let mut from = 0;
        while from + JOB_BLOCKS < blocks {
            jobs.push_back(Job { stream, from, to: Some(from + JOB_BLOCKS), limit: None });
            from += JOB_BLOCKS;
        }
        jobs.push_back(Job { stream, from, to: None, limit: None });
    }
    jobs
}

struct Worker {
    settings: Arc<Settings>,
    tables: Vec<Arc<Table>>,
    snapshot: String,
    jobs: Arc<Mutex<VecDeque<Job>>>,
    lsn: Lsn,
    sender: mpsc::Sender<Copied>,
}

impl Worker {
    async fn run(self) -> Result<(), Fault> {
        let mut connection = Connection::open(&self.settings.address, false).await?;
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        connection.query(begin).await?;
        connection.query(&format!("SET TRANSACTION SNAPSHOT {}", literal(&self.snapshot))).await?;
        loop {
            let job = self.jobs.lock().unwrap_or_else(std::sync::PoisonError::into_inner).pop_front();
            let Some(job) = job else { return Ok(()) };
            self.copy(&mut connection, &job).await?;
            if self.sender.send(Copied::Finished(job.stream)).await.is_err() {
                return Ok(());
            }
        }
    }

    async fn copy(&self, connection: &mut Connection, job: &Job) -> Result<(), Fault> {
        let table = &self.tables[job.stream];
        let mut rows = TableRows::new(table.clone(), true);
        let lsn = self.lsn.to_string();
        let meta = RowMeta {
            operation: "INSERT",
            version: i64::try_from(self.lsn.0).unwrap_or(i64::MAX - 1),
            lsn: &lsn,
            tx_id: None,
            committed_at: None,
            before: None,
        };
        connection.copy(&query(table, job)).await?;
        let mut failed = None;
        loop {
            // Whole messages in place; the connection's buffer stays its own.
            let mut at = 0;
            while let Some((tag, body)) = crate::wire::frame(&connection.inbox()[at..])? {
                let message = &connection.inbox()[at + body.start..at + body.end];
                match tag {
                    b'd' => read_row(message, &mut rows, &meta, table)?,
                    b'E' => failed = Some(server_error(message)),
                    b'Z' => {
                        let end = at + body.end;
                        bytes::Buf::advance(connection.inbox(), end);
                        return match failed {
                            Some(error) => Err(error.into()),
                            None => self.send(job.stream, &mut rows).await,
                        };
                    }
                    b'c' | b'C' | b'N' | b'S' => {}
                    other => return Err(unexpected(other, "a copy").into()),
                }
                at += body.end;
                if rows.is_full() {
                    self.send(job.stream, &mut rows).await?;
                }
            }
            bytes::Buf::advance(connection.inbox(), at);
            connection.await_more().await?;
        }
    }

    async fn send(&self, stream: usize, rows: &mut TableRows) -> Result<(), Fault> {
        if rows.len() > 0 {
            // Nobody receives when the source was closed; the task ends with it.
            let _ = self.sender.send(Copied::Rows(stream, rows.finish())).await;
        }
        Ok(())
    }
}

/// Selects the columns, those without a binary form that we read as their output function prints them.
///
/// `format` calls that function; a cast to text may be another one (`inet` gets a netmask). A composite of NULLs is not
/// NULL, so `num_nulls` asks.
fn query(table: &Table, job: &Job) -> String {
    let column = |column: &catalog::TableColumn| {
        let name = ident(&column.name);
        if column.kind.is_printed() {
            format!("CASE num_nulls({name}) WHEN 0 THEN format('%s', {name}) END")
        } else {
            name
        }
    };
    let columns = table.columns.iter().map(column).collect::<Vec<_>>().join(", ");
    let mut conditions: Vec<String> = table.filter.iter().map(|filter| format!("({filter})")).collect();
    if job.from > 0 {
        conditions.push(format!("ctid >= '({},0)'", job.from));
    }
    if let Some(to) = job.to {
        conditions.push(format!("ctid < '({to},0)'"));
    }
    let clause =
        if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) };
    let limit = job.limit.map_or_else(String::new, |rows| format!(" LIMIT {rows}"));
    format!("COPY (SELECT {columns} FROM {}{clause}{limit}) TO STDOUT (FORMAT binary)", table.sql())
}

/// Reads the rows of one message: the server sends one each, the first behind the header of the copy.
fn read_row(message: &[u8], rows: &mut TableRows, meta: &RowMeta<'_>, table: &Table) -> Result<(), Fault> {
    let malformed = |Short| Fault::Wire(WireError::from(Short));
    let mut reader = Reader(message);
    if let Some(rest) = message.strip_prefix(SIGNATURE) {
        reader = Reader(rest);
        let _flags = reader.u32().map_err(malformed)?;
        let extension = usize::try_from(reader.u32().map_err(malformed)?).unwrap_or(usize::MAX);
        reader.take(extension).map_err(malformed)?;
    }
    while !reader.0.is_empty() {
        let count = reader.u16().map_err(malformed)?;
        if count == u16::MAX {
            return Ok(());
        }
        if usize::from(count) != table.columns.len() {
            return Err(malformed(Short));
        }
        for column in 0..table.columns.len() {
            let length = reader.i32().map_err(malformed)?;
            let value = match usize::try_from(length) {
                Ok(length) => Value::Binary(reader.take(length).map_err(malformed)?),
                Err(_) => Value::Null,
            };
            rows.set(column, value)?;
        }
        rows.end(meta);
    }
    Ok(())
}
