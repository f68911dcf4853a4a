//! The destination: keeps tables equal to a stream, or adds rows to them, in one transaction an epoch.
//!
//! [`input`] finds the table and the columns of rows, [`target`] knows the tables, [`grow`] adds columns to them, [`plan`] has the
//! statements, [`apply`] writes a batch, [`position`] fences the transaction, [`session`] talks to the server.
//!
//! # Why nothing is lost, doubled or overtaken
//!
//! The transaction is opened by the first row of an epoch and committed with the epoch. Where this destination holds the
//! pipeline's commit point, the checkpoint's name is written in it, so rows and progress are one; where it does not, the epoch's
//! number is, and rows of an epoch that was written but not committed elsewhere come again, in their order, by key, to the same
//! effect. Both ways the transaction moves our row of the position table on from the value that this writer put there, and a
//! predecessor's does not any more. So no older change can come behind a newer one, and no version needs to be kept in the
//! user's tables.
//!
//! The rows of the open epoch are kept until it is committed: where the connection is lost, or the server ends the transaction
//! because of a deadlock, they are written again on another one.

mod apply;
mod cells;
mod config;
mod ddl;
mod grow;
mod input;
mod plan;
mod position;
mod session;
mod target;
mod template;
mod widen;

use self::apply::Tables;
use self::config::{SPEC, SinkSettings};
use self::position::Position;
use self::session::{Meaning, Session, meaning};
use self::target::Target;
use crate::catalog::Fault;
use crate::fault::is_transient;
use crate::wire::{WireError, literal};
use acme_connect::{
    AnySink, Backoff, CommitPoint, Connector, Context, Fates, Maker, Prepared, Rows, Sink, SinkParts,
};
use acme_types::{Blame, Clock, Config, Diagnostic, Epoch, codes};
use arrow::array::UInt64Array;
use arrow::compute::take_record_batch;
use std::sync::Arc;

/// The destination `postgres`.
pub static DESTINATION: Connector = Connector { spec: &SPEC, make: Maker::Sink(make) };

/// Bytes of rows that are kept of an open epoch. A larger one cannot be written again by itself: the run ends, and the next
/// begins it anew.
const KEPT_MAX: usize = 256 << 20;

fn make(config: &Config, context: &Context) -> Result<SinkParts, Diagnostic> {
    let settings = SinkSettings::parse(config, context)?;
    let (change, delivery) = (settings.change(), settings.delivery());
    let sink = PostgresSink {
        clock: context.clock.clone(),
        session: None,
        position: None,
        holds_commit: false,
        epoch: OpenEpoch::default(),
        tables: Tables::default(),
        settings: Arc::new(settings),
    };
    let sink = AnySink::CommitPoint(Box::new(sink));
    Ok(SinkParts {
        sink,
        format: None,
        takes_documents: false,
        reads: Vec::new(),
        computed: Vec::new(),
        change,
        delivery,
    })
}

struct PostgresSink {
    settings: Arc<SinkSettings>,
    clock: Arc<dyn Clock>,
    session: Option<Session>,
    /// Our row of the position table, once it is taken over.
    position: Option<Position>,
    holds_commit: bool,
    epoch: OpenEpoch,
    tables: Tables,
}

/// The rows of the epoch that is not committed yet.
#[derive(Default)]
struct OpenEpoch {
    /// They are in a transaction of the present session.
    begun: bool,
    kept: Vec<Rows>,
    bytes: usize,
    /// There were more than may be kept.
    spilt: bool,
}

/// What is done at the end of an epoch.
#[derive(Clone, Copy)]
enum End<'a> {
    /// Everything is checked that can still fail.
    Settle,
    /// The transaction is committed under this name.
    Commit(&'a str),
}

impl Sink for PostgresSink {
    async fn check(&mut self) -> Vec<Diagnostic> {
        let found = match Session::open(&self.settings.address).await {
            Ok(mut session) => inspect(&self.settings, &mut session).await,
            Err(error) => Err(error.into()),
        };
        found.unwrap_or_else(|fault| vec![self.settings.explain(fault)])
    }

    async fn open(&mut self, _: Option<&Prepared>) -> Result<(), Diagnostic> {
        if self.position.is_none() {
            let task = format!("destination {}", self.settings.item);
            self.take_over(&task, None).await?;
        }
        let settings = self.settings.clone();
        let session = self.session.as_mut().expect("it was opened when the row was taken over");
        let found = inspect(&settings, session).await.map_err(|fault| settings.explain(fault))?;
        found.into_iter().find(|diagnostic| !diagnostic.warning).map_or(Ok(()), Err)
    }

    async fn write(&mut self, rows: &Rows) -> Result<Fates, Diagnostic> {
        let mut fates = match self.try_write(rows).await {
            // The table may have been changed since it was looked at: once more with a fresh look.
            Err(fault) if is_table(&fault) && self.tables.are_known() => {
                self.reset();
                self.try_write(rows).await
            }
            result => result,
        }
        .map_err(|fault| self.failed(fault))?;
        fates.sort_by_key(|(row, _)| *row);
        self.keep(rows, &fates);
        Ok(fates)
    }

    async fn prepare(&mut self, epoch: Epoch, _: bool) -> Result<Prepared, Diagnostic> {
        if self.holds_commit {
            return self.insist(End::Settle).await.map(|()| Prepared::new());
        }
        if self.epoch.begun || !self.epoch.kept.is_empty() {
            // No other life of this destination writes the same.
            let name = format!("epoch {epoch} of {}", self.position().owner());
            self.insist(End::Commit(&name)).await?;
        }
        Ok(Prepared::new())
    }

    async fn commit(&mut self, _: Epoch) -> Result<(), Diagnostic> {
        Ok(())
    }
}

impl CommitPoint for PostgresSink {
    async fn claim(&mut self, writer: &str) -> Result<Option<String>, Diagnostic> {
        self.take_over("commit", Some(writer)).await?;
        self.holds_commit = true;
        Ok(self.position.as_ref().and_then(|position| position.checkpoint.clone()))
    }

    async fn commit_with(&mut self, _: Epoch, checkpoint: &str) -> Result<(), Diagnostic> {
        self.insist(End::Commit(checkpoint)).await
    }
}

impl PostgresSink {
    /// Takes our row over: from here on no predecessor can commit.
    async fn take_over(&mut self, task: &str, owner: Option<&str>) -> Result<(), Diagnostic> {
        let settings = self.settings.clone();
        let (schema, table) = &settings.position_table;
        let mut position = Position::new((schema, table), &settings.pipeline, task);
        self.session = None;
        let taken = async {
            let mut session = Session::open(&settings.address).await?;
            position.take(&mut session, owner).await?;
            self.session = Some(session);
            Ok(())
        };
        taken.await.map_err(|fault| settings.explain(fault))?;
        self.position = Some(position);
        Ok(())
    }

    async fn try_write(&mut self, rows: &Rows) -> Result<Fates, Fault> {
        self.connect().await?;
        self.begin().await?;
        self.apply(rows).await
    }

    async fn apply(&mut self, rows: &Rows) -> Result<Fates, Fault> {
        let session = self.session.as_mut().expect("it is connected");
        let mut fates = Fates::new();
        self.tables.write(&self.settings, session, rows, &mut fates).await?;
        Ok(fates)
    }

    /// Makes sure of a session in which we own our row; what the row holds if it is new.
    async fn connect(&mut self) -> Result<Option<String>, Fault> {
        let position = self.position.as_ref().ok_or_else(|| {
            Diagnostic::new(&codes::INTERNAL, "a destination is written to before it is opened")
        })?;
        if self.session.is_none() {
            let mut session = Session::open(&self.settings.address).await?;
            let now = position.enter(&mut session).await?;
            self.session = Some(session);
            return Ok(now);
        }
        Ok(None)
    }

    /// Makes sure of a transaction that holds all rows of the epoch.
    async fn begin(&mut self) -> Result<(), Fault> {
        if self.epoch.begun {
            return Ok(());
        }
        if self.epoch.spilt {
            let message =
                "the connection was lost in an epoch that is too large to be written again by itself";
            let mut fault = Diagnostic::new(&codes::CONNECT, message)
                .help("start the pipeline again: it goes on from its last commit; a shorter `checkpoint.interval` makes epochs smaller");
            fault.blame = Blame::User;
            return Err(fault.at(&self.settings.at).into());
        }
        self.session.as_mut().expect("it is connected").query("BEGIN").await?;
        let kept = std::mem::take(&mut self.epoch.kept);
        let mut result = Ok(());
        for rows in &kept {
            result = self.apply(rows).await.and_then(|fates| match fates.first() {
                None => Ok(()),
                Some((_, fate)) => {
                    let message =
                        format!("a row that was accepted is refused when it is written again: {fate:?}");
                    Err(Diagnostic::new(&codes::DELIVER, message).into())
                }
            });
            if result.is_err() {
                break;
            }
        }
        self.epoch.kept = kept;
        self.epoch.begun = result.is_ok();
        result
    }

    /// Keeps the rows that were accepted, for as long as their transaction may be lost.
    fn keep(&mut self, rows: &Rows, fates: &Fates) {
        self.epoch.bytes += rows.batch.columns.get_array_memory_size();
        if self.epoch.bytes > KEPT_MAX {
            self.epoch.kept.clear();
            self.epoch.spilt = true;
        }
        if self.epoch.spilt {
            return;
        }
        let mut rows = rows.clone();
        if !fates.is_empty() {
            let mut bad = fates.iter().map(|(row, _)| *row).peekable();
            let good = (0..rows.batch.rows()).filter(|row| {
                while bad.next_if(|bad| bad < row).is_some() {}
                bad.peek() != Some(row)
            });
            let good = UInt64Array::from_iter_values(good.map(|row| row as u64));
            let columns = take_record_batch(&rows.batch.columns, &good).expect("they are rows of the batch");
            rows.batch = rows.batch.with(columns);
        }
        self.epoch.kept.push(rows);
    }

    /// Makes sure that the epoch can be committed: what was deferred is checked now.
    async fn settle(&mut self) -> Result<(), Fault> {
        self.connect().await?;
        self.begin().await?;
        let session = self.session.as_mut().expect("it is connected");
        session.query("SET CONSTRAINTS ALL IMMEDIATE").await?;
        Ok(())
    }

    /// Commits the epoch and moves our row on to this name. It may be called again after any failure: the row says whether an
    /// earlier call has committed.
    async fn try_commit(&mut self, name: &str) -> Result<(), Fault> {
        let now = self.connect().await?;
        if now.as_deref() != Some(name) || now == self.position().checkpoint {
            self.begin().await?;
            let advance = self.position().advance(name);
            let lost = self.position().lost();
            let session = self.session.as_mut().expect("it is connected");
            if session.query(&advance).await?.len() != 1 {
                session.query("ROLLBACK").await?;
                return Err(lost.into());
            }
            session.commit().await?;
        }
        self.position.as_mut().expect("it was taken over").checkpoint = Some(name.to_owned());
        self.epoch = OpenEpoch::default();
        self.tables.settle();
        Ok(())
    }

    fn position(&self) -> &Position {
        self.position.as_ref().expect("it was taken over")
    }

    /// Repeats what fails for a while, on a new connection each time.
    async fn insist(&mut self, end: End<'_>) -> Result<(), Diagnostic> {
        let mut backoff = Backoff::new(self.clock.monotonic_us());
        loop {
            let done = match end {
                End::Settle => self.settle().await,
                End::Commit(name) => self.try_commit(name).await,
            };
            let Err(fault) = done else { return Ok(()) };
            let diagnostic = self.failed(fault);
            match backoff.wait().filter(|_| diagnostic.blame == Blame::Remote) {
                Some(wait) => tokio::time::sleep(wait).await,
                None => return Err(diagnostic),
            }
        }
    }

    /// After any failure nothing is known of the transaction: it is given up, and its rows are written again in the next.
    fn failed(&mut self, fault: Fault) -> Diagnostic {
        let blame = match &fault {
            Fault::Wire(error) if is_transient(error) => Some(Blame::Remote),
            Fault::Wire(WireError::Server(error)) => Some(match meaning(error) {
                Meaning::Again => Blame::Remote,
                Meaning::Row | Meaning::Table => Blame::User,
            }),
            _ => None,
        };
        self.reset();
        let mut diagnostic = self.settings.explain(fault);
        diagnostic.blame = blame.unwrap_or(diagnostic.blame);
        diagnostic
    }

    fn reset(&mut self) {
        self.session = None;
        self.epoch.begun = false;
        self.tables = Tables::default();
    }
}

fn is_table(fault: &Fault) -> bool {
    matches!(fault, Fault::Wire(WireError::Server(error)) if meaning(error) == Meaning::Table)
}

/// Looks at everything that can be known before the first row comes.
async fn inspect(settings: &SinkSettings, session: &mut Session) -> Result<Vec<Diagnostic>, Fault> {
    let standby = session.query("SELECT pg_is_in_recovery()").await?;
    if standby.first().is_some_and(|row| crate::catalog::flag(row, 0)) {
        let message = format!("{} is a standby and takes no writes", settings.server().name());
        return Ok(vec![settings.user(message, "name the primary in `connection`")]);
    }
    let Some(name) = settings.table.fixed() else { return Ok(Vec::new()) };
    match Target::find(session, &name).await? {
        Some(target) => {
            // Without a mode or a key the stream decides, and says so with its first rows.
            let Some(mode) = settings.given_mode() else { return Ok(Vec::new()) };
            let key = if settings.key.is_empty() { &target.primary } else { &settings.key };
            Ok(target.faults(settings, mode, key))
        }
        None if settings.create => may_create(settings, session, &name.0).await,
        None => Ok(vec![settings.missing(&name, None)]),
    }
}

async fn may_create(
    settings: &SinkSettings,
    session: &mut Session,
    schema: &str,
) -> Result<Vec<Diagnostic>, Fault> {
    let query = format!(
        "SELECT has_schema_privilege(oid, 'CREATE') FROM pg_catalog.pg_namespace WHERE nspname = {} \
         UNION ALL SELECT has_database_privilege(current_database(), 'CREATE') LIMIT 1",
        literal(schema)
    );
    let rows = session.query(&query).await?;
    if rows.first().is_some_and(|row| crate::catalog::flag(row, 0)) {
        return Ok(Vec::new());
    }
    let user = &settings.address.user;
    let message = format!("user \"{user}\" may not create a table in schema \"{schema}\"");
    let help = format!(
        "run: GRANT CREATE ON SCHEMA {} TO {};",
        crate::wire::ident(schema),
        crate::wire::ident(user)
    );
    Ok(vec![settings.user(message, help).at(&settings.at_table)])
}
