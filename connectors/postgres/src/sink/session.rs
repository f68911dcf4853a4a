//! One connection of the destination: whatever belongs together goes to the server in one round trip. It knows no table.

use crate::reader::Reader;
use crate::settings::Address;
use crate::wire::{Connection, Row, ServerError, WireError, server_error, unexpected};
use acme_connect::failpoint;
use bytes::{BufMut, BytesMut};
use postgres_protocol::message::frontend;

/// The settings that writing needs besides those of every connection.
///
/// Triggers of the user's tables run with our `search_path`, so it is what the user's own connections have: that of the
/// role in the database, of the role, of the database, or PostgreSQL's own. A commit that a crash of the server may undo would
/// be reported to the source as done, so `synchronous_commit` is never `off`.
const SETTINGS: &str = "SELECT set_config('search_path', coalesce(( \
       SELECT substr(setting, 13) FROM pg_db_role_setting, unnest(setconfig) setting \
       WHERE setting LIKE 'search_path=%' \
         AND setrole IN (0, (SELECT oid FROM pg_roles WHERE rolname = current_user)) \
         AND setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database())) \
       ORDER BY setrole = 0, setdatabase = 0 LIMIT 1), '\"$user\", public'), false), \
     CASE current_setting('synchronous_commit') WHEN 'off' THEN set_config('synchronous_commit', 'on', false) END, \
     set_config('standard_conforming_strings', 'on', false), set_config('client_min_messages', 'warning', false)";

/// A connection that writes.
pub(crate) struct Session {
    sql: Connection,
    out: BytesMut,
}

impl Session {
    pub(crate) async fn open(address: &Address) -> Result<Self, WireError> {
        let mut sql = Connection::open(address, false).await?;
        sql.query(SETTINGS).await?;
        Ok(Self { sql, out: BytesMut::new() })
    }

    /// Runs statements and returns all their rows.
    pub(crate) async fn query(&mut self, sql: &str) -> Result<Vec<Row>, WireError> {
        self.sql.query(sql).await
    }

    /// Runs statements whose last begins a copy from us, sends its data, and runs the statements that follow: one round trip.
    /// After a failure nothing that follows it has been done.
    pub(crate) async fn copy(&mut self, begin: &str, data: &[u8], then: &str) -> Result<(), WireError> {
        let out = &mut self.out;
        out.clear();
        frontend::query(begin, out)?;
        for part in data.chunks(PART) {
            out.put_u8(b'd');
            out.put_i32(i32::try_from(part.len() + 4).expect("a part is far below 2 GiB"));
            out.put_slice(part);
        }
        // A server that has refused the copy by now drops its data.
        // Source: protocol documentation, "COPY Operations".
        frontend::copy_done(out);
        let mut answers = 1;
        if !then.is_empty() {
            frontend::query(then, out)?;
            answers += 1;
        }
        self.sql.send(&self.out).await?;
        if self.out.capacity() > KEPT {
            self.out = BytesMut::new();
        }
        self.answers(answers).await.map(drop)
    }

    /// Commits; fails where the server rolled back instead.
    pub(crate) async fn commit(&mut self) -> Result<(), WireError> {
        self.sql.ask("COMMIT").await?;
        failpoint("postgres.commit");
        let tag = self.answers(1).await?;
        match tag.as_str() {
            "COMMIT" => Ok(()),
            other => Err(WireError::Protocol(format!("COMMIT is answered by {other}"))),
        }
    }

    /// Reads so many answers to their ends; the last command tag, or the first error.
    async fn answers(&mut self, mut count: usize) -> Result<String, WireError> {
        let (mut tag, mut failed) = (String::new(), None);
        while count > 0 {
            let (kind, body) = self.sql.message().await?;
            match kind {
                b'Z' => count -= 1,
                b'E' => failed = failed.or(Some(server_error(&body))),
                b'C' => Reader(&body).text()?.clone_into(&mut tag),
                b'D' | b'T' | b'G' | b'I' | b'N' | b'S' | b'A' => {}
                other => return Err(unexpected(other, "a write")),
            }
        }
        failed.map_or(Ok(tag), Err)
    }
}

/// Bytes of one message of a copy.
const PART: usize = 1 << 20;
/// Bytes that the buffer may keep between two copies.
const KEPT: usize = 8 << 20;

/// What an error of the server means for the rows that were being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// The values of a row are at fault: the others can be written.
    Row,
    /// The table is not what it was, or may not be written: the user must act.
    Table,
    /// It may go better another time.
    Again,
}

/// Source: PostgreSQL documentation, "PostgreSQL Error Codes".
pub(crate) fn meaning(error: &ServerError) -> Meaning {
    match error.code.get(..2).unwrap_or_default() {
        // Data exceptions, cardinality, integrity, check options, limits such as an index row's, and what triggers raise.
        "22" | "21" | "23" | "44" | "54" | "P0" | "09" | "27" => Meaning::Row,
        "42" | "0A" | "3F" | "2B" | "28" | "25" => Meaning::Table,
        _ => Meaning::Again,
    }
}

/// The server's own words about a row.
pub(crate) fn words(error: &ServerError) -> String {
    match error.detail.is_empty() {
        true => format!("{} [{}]", error.message, error.code),
        false => format!("{} ({}) [{}]", error.message, error.detail, error.code),
    }
}
