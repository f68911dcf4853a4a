//! Follows the slot: one task owns the replication connection, decodes, and answers the server also while nobody reads.

use crate::assembler::{Assembler, Fit, Flushed, Recovered, Step};
use crate::catalog::{self, Fault, Table};
use crate::changes;
use crate::fault::is_transient;
use crate::outlet::Outlet;
use crate::pgoutput::Message;
use crate::position::{Phase, Streaming};
use crate::reader::Reader;
use crate::recover;
use crate::settings::Settings;
use crate::slot;
use crate::wire::{Connection, READ, WireError, frame, ident, literal, server_error, silence, unexpected};
use acme_connect::{Backoff, failpoint};
use acme_types::{Diagnostic, Lsn};
use bytes::{Buf, BufMut, BytesMut};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep_until};

/// A batch leaves after this time even if it is not full.
const LATENCY: Duration = Duration::from_millis(20);
/// A connection that has lasted so long counts as good, so that the next failure is a first one.
pub(crate) const STEADY: Duration = Duration::from_secs(60);

/// Reads are so far apart while messages come one on the heels of another: the server sends each row by itself, and to wake
/// a reader for each costs it more than the row.
const PACE: Duration = Duration::from_millis(5);

/// The task that follows the slot.
pub(crate) struct Follower {
    settings: Arc<Settings>,
    tables: Vec<Arc<Table>>,
    assembler: Assembler,
    outlet: Outlet,
    /// The place up to which everything is committed.
    confirmed: watch::Receiver<u64>,
    /// For the catalog, and for values that the log does not contain.
    sql: Option<Connection>,
    recovered: Recovered,
    /// How far the server says that it has read its log.
    wal_end: u64,
    /// When rows that wait must leave.
    due: Option<Instant>,
    heartbeat: Instant,
    /// When the server was heard last, or could not be because we were busy.
    heard: Instant,
    progress: bool,
}

impl Follower {
    pub(crate) fn new(
        settings: Arc<Settings>,
        tables: Vec<Arc<Table>>,
        from: Streaming,
        outlet: Outlet,
        confirmed: watch::Receiver<u64>,
    ) -> Self {
        let assembler = Assembler::new(tables.clone(), from);
        let heartbeat = Instant::now() + settings.heartbeat;
        let (sql, recovered) = (None, Recovered::new());
        Self {
            settings,
            tables,
            assembler,
            outlet,
            confirmed,
            sql,
            recovered,
            wal_end: 0,
            due: None,
            heartbeat,
            heard: Instant::now(),
            progress: false,
        }
    }

    /// Follows until something is wrong that another connection does not mend. `first` is a connection to begin with.
    pub(crate) async fn run(mut self, mut first: Option<Connection>) -> Result<(), Diagnostic> {
        let mut backoff = Backoff::new(self.assembler.start().0);
        loop {
            let began = Instant::now();
            let fault = match self.follow(first.take()).await {
                Ok(()) => return Ok(()),
                Err(fault) => fault,
            };
            self.assembler.reconnect();
            if std::mem::take(&mut self.progress) || began.elapsed() > STEADY {
                backoff = Backoff::new(self.assembler.start().0);
            }
            let wait = match &fault {
                Fault::Wire(error) if is_transient(error) => backoff.wait(),
                _ => None,
            };
            match wait {
                Some(wait) => tokio::time::sleep(wait).await,
                None => return Err(self.settings.explain(fault)),
            }
        }
    }

    async fn follow(&mut self, first: Option<Connection>) -> Result<(), Fault> {
        let mut connection = match first {
            Some(connection) => connection,
            None => Connection::open(&self.settings.address, true).await?,
        };
        let timeout =
            connection.value("SELECT setting FROM pg_settings WHERE name = 'wal_sender_timeout'").await?;
        let timeout_ms = timeout.and_then(|text| text.parse().ok()).filter(|ms| *ms > 0).unwrap_or(60_000);
        let silent = Duration::from_millis(timeout_ms);
        let start = format!(
            "START_REPLICATION SLOT {} LOGICAL {} (proto_version '1', publication_names {})",
            ident(&self.settings.slot),
            self.assembler.start(),
            literal(&ident(&self.settings.publication))
        );
        failpoint("postgres.stream");
        connection.copy(&start).await?;
        let period = self.settings.heartbeat.min(Duration::from_millis(timeout_ms / 4));
        let mut ticks = interval(period.max(Duration::from_millis(10)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.heard = Instant::now();
        let mut read = Instant::now();
        loop {
            let due = self.due.unwrap_or_else(Instant::now);
            tokio::select! {
                filled = connection.fill() => {
                    // A full read has left more behind, which is taken first.
                    let rests = filled? < READ && read.elapsed() < PACE;
                    self.drain(&mut connection, &mut ticks).await?;
                    self.heard = Instant::now();
                    if rests {
                        connection.rest(PACE).await?;
                    }
                    read = Instant::now();
                }
                () = sleep_until(due), if self.due.is_some() => self.flush(&mut connection, &mut ticks).await?,
                changed = self.confirmed.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    self.status(&mut connection).await?;
                }
                _ = ticks.tick() => {
                    // Each of our messages asks for an answer.
                    if self.heard.elapsed() > silent {
                        return Err(silence(silent).into());
                    }
                    self.status(&mut connection).await?;
                }
            }
            if self.heartbeat <= Instant::now() {
                self.heartbeat = Instant::now() + self.settings.heartbeat;
                self.watch().await?;
                if let Some(flushed) = self.assembler.heartbeat(self.wal_end) {
                    self.deliver(flushed, &mut connection, &mut ticks).await?;
                }
            }
        }
    }

    /// Takes all whole messages that have come.
    async fn drain(&mut self, connection: &mut Connection, ticks: &mut Interval) -> Result<(), Fault> {
        let mut inbox = std::mem::take(connection.inbox());
        let mut at = 0;
        while let Some((tag, body)) = frame(&inbox[at..])? {
            let (start, end) = (at + body.start, at + body.end);
            match tag {
                b'd' => self.copy_data(&inbox[start..end], &inbox[end..], connection, ticks).await?,
                b'E' => return Err(server_error(&inbox[start..end]).into()),
                b'N' | b'S' => {}
                b'c' | b'C' | b'Z' => return Err(WireError::Closed.into()),
                other => return Err(unexpected(other, "replication").into()),
            }
            at = end;
        }
        inbox.advance(at);
        *connection.inbox() = inbox;
        self.recovered.clear();
        Ok(())
    }

    /// Source: protocol documentation, "Streaming Replication Protocol": `XLogData` and the primary's keepalive.
    async fn copy_data(
        &mut self,
        body: &[u8],
        ahead: &[u8],
        connection: &mut Connection,
        ticks: &mut Interval,
    ) -> Result<(), Fault> {
        let mut reader = Reader(body);
        match reader.u8().map_err(WireError::from)? {
            b'w' => {
                reader.take(24).map_err(WireError::from)?;
                self.message(reader.0, ahead, connection, ticks).await?;
                if self.assembler.is_full() {
                    self.flush(connection, ticks).await?;
                } else if self.due.is_none() && !self.assembler.is_empty() {
                    self.due = Some(Instant::now() + LATENCY);
                }
            }
            b'k' => {
                self.wal_end = reader.u64().map_err(WireError::from)?;
                let _clock = reader.i64().map_err(WireError::from)?;
                if reader.u8().map_err(WireError::from)? != 0 {
                    self.status(connection).await?;
                }
            }
            other => return Err(unexpected(other, "replication").into()),
        }
        Ok(())
    }

    async fn message(
        &mut self,
        bytes: &[u8],
        ahead: &[u8],
        connection: &mut Connection,
        ticks: &mut Interval,
    ) -> Result<(), Fault> {
        loop {
            match self.assembler.message(bytes, &self.recovered)? {
                Step::Next => return Ok(()),
                Step::Recover => {
                    let mut sql = self.sql().await?;
                    self.recover(&mut sql, bytes, ahead, connection, ticks).await?;
                    self.sql = Some(sql);
                }
                Step::Relation => {
                    self.relation(bytes, connection, ticks).await?;
                    return Ok(());
                }
            }
        }
    }

    /// Fetches what a row lacks; the server hears of us meanwhile.
    async fn recover(
        &mut self,
        sql: &mut Connection,
        bytes: &[u8],
        ahead: &[u8],
        connection: &mut Connection,
        ticks: &mut Interval,
    ) -> Result<(), Fault> {
        let work = recover::fetch(sql, &self.assembler, bytes, ahead, &mut self.recovered);
        tokio::pin!(work);
        loop {
            let confirmed = *self.confirmed.borrow();
            tokio::select! {
                done = &mut work => return done,
                _ = ticks.tick() => send_status(connection, self.wal_end, confirmed).await?,
            }
        }
    }

    /// The stream announces a table that looks different from what was described. If the table still is as described, the
    /// announcement is an old one, from before the description; else the description is out of date, and only a new one
    /// can go on from exactly here.
    async fn relation(
        &mut self,
        bytes: &[u8],
        connection: &mut Connection,
        ticks: &mut Interval,
    ) -> Result<(), Fault> {
        let Ok(Message::Relation(relation)) = Message::parse(bytes) else { return Ok(()) };
        let mut sql = self.sql().await?;
        let described = catalog::tables(&mut sql, &self.settings).await;
        self.sql = Some(sql);
        let now = match described {
            Ok(now) => now,
            Err(Fault::Wire(error)) => return Err(error.into()),
            Err(Fault::Found(fault)) => {
                let known = self.tables.iter().find(|table| table.oid == relation.id);
                return Err(match known {
                    Some(table)
                        if table.name.table != relation.table || table.name.schema != relation.schema =>
                    {
                        let (schema, name) = (relation.schema, relation.table);
                        let message = format!("table {} was renamed to {schema}.{name}", table.name);
                        let help = format!(
                            "name \"{schema}.{name}\" in `tables`, where the pipeline goes on exactly here, or give the \
                             table its old name back"
                        );
                        self.settings.changed(message, help).into()
                    }
                    _ => Fault::Found(fault),
                });
            }
        };
        let pairs = self.tables.iter().zip(&now);
        let changes: Vec<String> = pairs.flat_map(|(then, now)| changes::between(then, now)).collect();
        if !changes.is_empty() {
            failpoint("postgres.changed");
            self.flush(connection, ticks).await?;
            return Err(self.settings.reshaped(&changes).into());
        }
        match self.assembler.map(&relation, true) {
            Fit::Same | Fit::Different => Ok(()),
            Fit::Unclear => {
                let message = format!(
                    "records of {}.{} from before its last changes cannot be read: a column was dropped, and another \
                     added or renamed",
                    relation.schema, relation.table
                );
                let help = "remove the pipeline's state and the slot to copy everything anew";
                Err(self.settings.changed(message, help).into())
            }
        }
    }

    /// Looks whether all tables are published still: from one that is not nothing comes any more, and nothing says so.
    async fn watch(&mut self) -> Result<(), Fault> {
        let mut sql = self.sql().await?;
        let gone = slot::unpublished(&mut sql, &self.settings).await?;
        self.sql = Some(sql);
        let Some(table) = gone.first() else { return Ok(()) };
        let message = format!(
            "table {table} was dropped or taken out of the publication \"{}\": its later changes are not in the stream",
            self.settings.publication
        );
        let help = format!(
            "take it out of `tables`; or run ALTER PUBLICATION {} ADD TABLE {}.{}; and remove the pipeline's state and \
             the slot to copy everything anew",
            ident(&self.settings.publication),
            ident(&table.schema),
            ident(&table.table)
        );
        Err(self.settings.changed(message, help).into())
    }

    async fn sql(&mut self) -> Result<Connection, WireError> {
        match self.sql.take() {
            Some(connection) => Ok(connection),
            None => Connection::open(&self.settings.address, false).await,
        }
    }

    async fn flush(&mut self, connection: &mut Connection, ticks: &mut Interval) -> Result<(), Fault> {
        self.due = None;
        self.progress = true;
        // All of them leave, even if the connection breaks meanwhile: the assembler has let go of them.
        let mut result = Ok(());
        for flushed in self.assembler.flush() {
            result = result.and(self.deliver(flushed, connection, ticks).await);
        }
        result
    }

    /// Hands a batch over, however long that takes; meanwhile the server hears of us.
    ///
    /// If the connection fails meanwhile, the batch is handed over all the same: it has left the assembler.
    async fn deliver(
        &mut self,
        flushed: Flushed,
        connection: &mut Connection,
        ticks: &mut Interval,
    ) -> Result<(), Fault> {
        let mut broken = None;
        let permit = loop {
            tokio::select! {
                permit = self.outlet.reserve() => break permit,
                _ = ticks.tick(), if broken.is_none() => {
                    let confirmed = *self.confirmed.borrow();
                    broken = send_status(connection, self.wal_end, confirmed).await.err();
                }
            }
        };
        self.heard = Instant::now();
        let Some(permit) = permit else { return Ok(()) };
        let Flushed { stream, batch, position } = flushed;
        let offset = position.lsn;
        permit.send(Ok(self.outlet.chunk(stream, batch, Phase::Stream(position), offset)));
        broken.map_or(Ok(()), |error| Err(error.into()))
    }

    async fn status(&self, connection: &mut Connection) -> Result<(), WireError> {
        let confirmed = *self.confirmed.borrow();
        send_status(connection, self.wal_end, confirmed).await
    }
}

/// Source: protocol documentation, "Standby status update": written, flushed, applied, clock, reply wanted. Flushed is what
/// the server may forget; the clock is only shown by it.
async fn send_status(connection: &mut Connection, wal_end: u64, confirmed: u64) -> Result<(), WireError> {
    let mut out = BytesMut::with_capacity(39);
    out.put_u8(b'd');
    out.put_i32(38);
    out.put_u8(b'r');
    out.put_u64(Lsn(wal_end.max(confirmed)).0);
    out.put_u64(confirmed);
    out.put_u64(confirmed);
    out.put_i64(0);
    out.put_u8(1);
    connection.send(&out).await
}
