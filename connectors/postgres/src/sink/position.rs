//! Who owns the pipeline's output in this database, and how far it is committed: one row, fenced in every transaction.
//!
//! A writer takes the row over before it reads it, and every transaction with rows moves the row on from exactly the value
//! that this writer has put there: not exactly one row, and the transaction is rolled back. A predecessor that wakes up can
//! therefore commit nothing. Its session, which may hold locks for as long as it sleeps, is ended by the one who takes over.

use super::session::Session;
use crate::catalog::{Fault, flag, text};
use crate::wire::{Row, WireError, ident, literal};
use acme_types::{Blame, Diagnostic, codes};
use std::time::Duration;

/// How long to wait for a session that was ended, or a lock: so often, so long.
const TRIES: u32 = 200;
const WAIT: Duration = Duration::from_millis(50);

/// Our row.
pub(crate) struct Position {
    schema: String,
    table: String,
    pipeline: String,
    /// What commits there: the pipeline itself, or one of several destinations.
    task: String,
    owner: String,
    /// The value that this writer has read or put there last.
    pub(crate) checkpoint: Option<String>,
}

impl Position {
    /// A row that is to be taken over; `table` is `schema.table`.
    pub(crate) fn new(table: (&str, &str), pipeline: &str, task: &str) -> Self {
        Self {
            schema: table.0.to_owned(),
            table: table.1.to_owned(),
            pipeline: pipeline.to_owned(),
            task: task.to_owned(),
            owner: String::new(),
            checkpoint: None,
        }
    }

    fn name(&self) -> String {
        format!("{}.{}", ident(&self.schema), ident(&self.table))
    }

    /// The table's definition, also for people whose role may not create it.
    pub(crate) fn ddl(&self) -> String {
        format!(
            "CREATE TABLE IF NOT EXISTS {} (pipeline text, task text, owner text NOT NULL, checkpoint text, \
             backend int, backend_start timestamptz, changed_at timestamptz NOT NULL DEFAULT now(), \
             PRIMARY KEY (pipeline, task))",
            self.name()
        )
    }

    fn row(&self) -> String {
        format!("pipeline = {} AND task = {}", literal(&self.pipeline), literal(&self.task))
    }

    fn mine(&self) -> String {
        format!("{} AND owner = {}", self.row(), literal(&self.owner))
    }

    /// Who we are there.
    pub(crate) fn owner(&self) -> &str {
        &self.owner
    }

    /// Takes the row over, and reads it; `owner` is the new owner, or the server makes one up.
    pub(crate) async fn take(&mut self, session: &mut Session, owner: Option<&str>) -> Result<(), Fault> {
        self.create(session).await?;
        let insert = format!(
            "INSERT INTO {} (pipeline, task, owner) VALUES ({}, {}, '') ON CONFLICT DO NOTHING",
            self.name(),
            literal(&self.pipeline),
            literal(&self.task)
        );
        session.query(&insert).await?;
        let owner = owner.map_or_else(|| "gen_random_uuid()::text".to_owned(), literal);
        let row = self.locked(session, &format!("owner = {owner}, "), &self.row()).await?;
        let row = row.ok_or_else(|| self.lost())?;
        text(&row, 0).clone_into(&mut self.owner);
        self.checkpoint = row.into_iter().nth(1).flatten();
        Ok(())
    }

    /// Enters a new session of the same owner, and reads what the row holds now, which an earlier session may have put there.
    pub(crate) async fn enter(&self, session: &mut Session) -> Result<Option<String>, Fault> {
        let row = self.locked(session, "", &self.mine()).await?;
        let row = row.ok_or_else(|| self.lost())?;
        Ok(row.into_iter().nth(1).flatten())
    }

    async fn create(&self, session: &mut Session) -> Result<(), Fault> {
        let allowed = format!(
            "SELECT has_table_privilege(c, 'SELECT') AND has_table_privilege(c, 'INSERT') \
             AND has_table_privilege(c, 'UPDATE') FROM to_regclass({}) c WHERE c IS NOT NULL",
            literal(&self.name())
        );
        match session.query(&allowed).await?.first() {
            Some(row) if flag(row, 0) => return Ok(()),
            Some(_) => {
                let message = format!("the table {}.{} may not be written", self.schema, self.table);
                let help = format!(
                    "run: GRANT SELECT, INSERT, UPDATE ON {} to the user of `connection`, or name another in `position_table`",
                    self.name()
                );
                return Err(user(message, help));
            }
            None => {}
        }
        // Two that begin at once may both find it missing; the second try of the one who lost finds it.
        match session.query(&self.ddl()).await {
            Err(WireError::Server(error)) if error.code == "23505" || error.code == "42P07" => {
                session.query(&self.ddl()).await?;
            }
            Err(WireError::Server(error)) if matches!(error.code.as_str(), "42501" | "3F000") => {
                let message = format!(
                    "the table {}.{}, where the pipeline keeps its progress, cannot be created: {}",
                    self.schema, self.table, error.message
                );
                let help = format!(
                    "run: {}; and grant SELECT, INSERT, UPDATE on it, or name another in `position_table`",
                    self.ddl()
                );
                return Err(user(message, help));
            }
            done => drop(done?),
        }
        Ok(())
    }

    /// Changes the row under a lock that no other session can pass, after the session that is entered there has ended.
    async fn locked(
        &self,
        session: &mut Session,
        change: &str,
        condition: &str,
    ) -> Result<Option<Row>, Fault> {
        let name = self.name();
        let entered = format!("SELECT backend, backend_start FROM {name} WHERE {condition}");
        for _ in 0..TRIES {
            let Some(row) = session.query(&entered).await?.into_iter().next() else { return Ok(None) };
            end(session, &row).await?;
            let lock = format!("BEGIN; SET LOCAL lock_timeout = '2s'; {entered} FOR UPDATE");
            let row = match session.query(&lock).await {
                Ok(rows) => rows.into_iter().next(),
                Err(WireError::Server(error)) if error.code == "55P03" => {
                    session.query("ROLLBACK").await?;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let Some(row) = row else {
                session.query("ROLLBACK").await?;
                return Ok(None);
            };
            end(session, &row).await?;
            let update = format!(
                "UPDATE {name} SET {change}backend = pg_backend_pid(), backend_start = \
                 (SELECT backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()), changed_at = now() \
                 WHERE {condition} RETURNING owner, checkpoint; COMMIT"
            );
            return Ok(session.query(&update).await?.into_iter().next());
        }
        let message = format!("another session holds the pipeline's row in {}.{}", self.schema, self.table);
        let help = format!(
            "end it: SELECT pg_terminate_backend(pid) FROM pg_locks WHERE relation = {}::regclass;",
            literal(&name)
        );
        Err(Diagnostic::new(&codes::CONNECT, message).help(help).into())
    }

    /// The statement that moves the row on within the open transaction; it returns one row if this writer still owns it.
    pub(crate) fn advance(&self, to: &str) -> String {
        let from = self.checkpoint.as_deref().map_or_else(|| "NULL".to_owned(), literal);
        format!(
            "UPDATE {} SET checkpoint = {}, changed_at = now() WHERE {} AND checkpoint IS NOT DISTINCT FROM {from} \
             RETURNING 1",
            self.name(),
            literal(to),
            self.mine()
        )
    }

    /// The row is another's.
    pub(crate) fn lost(&self) -> Diagnostic {
        let message =
            format!("another process has taken pipeline \"{}\" over in its database", self.pipeline);
        Diagnostic::new(&codes::LOST_OWNERSHIP, message)
            .help("leave it to the other process, or stop that one and start this one again")
    }
}

/// What only the user can mend.
fn user(message: String, help: String) -> Fault {
    Diagnostic { blame: Blame::User, ..Diagnostic::new(&codes::REMOTE, message).help(help) }.into()
}

/// Ends the session that is entered in the row, and waits until it is gone with its locks and its transaction. A role may
/// end its own sessions; another's stays, and is waited for only as long as a lock.
///
/// Source: `pg_terminate_backend`. The start tells a session from a later one with the same number.
async fn end(session: &mut Session, row: &Row) -> Result<(), WireError> {
    let (Some(pid), Some(start)) = (&row[0], &row[1]) else { return Ok(()) };
    let is = format!("pid = {} AND backend_start = {}", literal(pid), literal(start));
    let ask = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {is} AND pid <> pg_backend_pid() \
         AND pg_has_role(usesysid, 'MEMBER')"
    );
    for _ in 0..TRIES {
        if session.query(&ask).await?.is_empty() {
            return Ok(());
        }
        tokio::time::sleep(WAIT).await;
    }
    Ok(())
}
