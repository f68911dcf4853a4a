//! The publication and the slot: created where they are absent, checked where a position depends on them.

use crate::catalog::{Fault, flag, text};
use crate::position::Place;
use crate::settings::{Settings, TableName};
use crate::wire::{Connection, WireError, ident, literal};
use acme_types::{Diagnostic, Lsn};
use std::time::Duration;

/// How long a slot may still be held by a connection of a former life.
const TAKEN_TRIES: u32 = 30;
const TAKEN_WAIT: Duration = Duration::from_millis(100);

/// The comment on a publication that Acme has created: it may drop it when nobody reads it any more.
pub(crate) const OURS: &str = "created by Acme";

/// Which server this is.
pub(crate) struct System {
    pub(crate) id: String,
    pub(crate) timeline: u32,
    pub(crate) wal_end: Lsn,
}

/// Source: protocol documentation, "IDENTIFY_SYSTEM".
pub(crate) async fn identify(replication: &mut Connection) -> Result<System, WireError> {
    let rows = replication.query("IDENTIFY_SYSTEM").await?;
    let row = rows.first().ok_or_else(|| WireError::Protocol("no answer to IDENTIFY_SYSTEM".to_owned()))?;
    let wal_end = text(row, 2).parse().unwrap_or_default();
    Ok(System { id: text(row, 0).to_owned(), timeline: text(row, 1).parse().unwrap_or(0), wal_end })
}

/// What must hold before any change can be captured. It changes nothing.
pub(crate) async fn check(sql: &mut Connection, settings: &Settings) -> Result<(), Fault> {
    let level = sql.value("SHOW wal_level").await?.unwrap_or_default();
    if level != "logical" {
        let message = format!("{} has wal_level \"{level}\", changes need \"logical\"", settings.server());
        let help = "run: ALTER SYSTEM SET wal_level = logical; and restart the server";
        return Err(settings.user(message, help).into());
    }
    let missing = unpublished(sql, settings).await?;
    if !missing.is_empty() {
        let list = list(&missing);
        let message = format!("the publication \"{}\" does not contain {list}", settings.publication);
        let help = format!("run: ALTER PUBLICATION {} ADD TABLE {list};", ident(&settings.publication));
        return Err(settings.user(message, help).into());
    }
    // The role may lack the right, the server's own rules or its last free sender may stand in the way.
    drop(Connection::open(&settings.address, true).await?);
    publishable(sql, settings).await?;
    room(sql, settings).await
}

/// The tables as SQL.
fn list(tables: &[TableName]) -> String {
    let sql_of = |table: &TableName| format!("{}.{}", ident(&table.schema), ident(&table.table));
    tables.iter().map(sql_of).collect::<Vec<_>>().join(", ")
}

fn is_published(settings: &Settings) -> String {
    format!("SELECT 1 FROM pg_publication WHERE pubname = {}", literal(&settings.publication))
}

/// Whether a publication that is absent could be created. Tables that do not exist are left to who looks for them.
async fn publishable(sql: &mut Connection, settings: &Settings) -> Result<(), Fault> {
    if sql.value(&is_published(settings)).await?.is_some() {
        return Ok(());
    }
    let may_create =
        "SELECT current_database() WHERE NOT has_database_privilege(current_database(), 'CREATE')";
    if let Some(database) = sql.value(may_create).await? {
        let why = format!("it lacks the right CREATE on database \"{database}\"");
        return Err(may_not_publish(settings, &why).into());
    }
    let names: Vec<String> = (settings.tables.iter())
        .map(|table| format!("({}, {})", literal(&table.schema), literal(&table.table)))
        .collect();
    let foreign = format!(
        "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE (n.nspname, c.relname) IN ({}) AND NOT pg_has_role(c.relowner, 'USAGE') LIMIT 1",
        names.join(", ")
    );
    match sql.query(&foreign).await?.first() {
        Some(row) => {
            let why = format!("it does not own {}.{}", text(row, 0), text(row, 1));
            Err(may_not_publish(settings, &why).into())
        }
        None => Ok(()),
    }
}

fn may_not_publish(settings: &Settings, why: &str) -> Diagnostic {
    let message = format!(
        "the publication \"{}\" does not exist, and user \"{}\" may not create it: {why}",
        settings.publication, settings.address.user
    );
    settings.user(message, format!("run as the tables' owner: {};", create(settings)))
}

fn create(settings: &Settings) -> String {
    let (name, list) = (ident(&settings.publication), list(&settings.tables));
    format!("CREATE PUBLICATION {name} FOR TABLE {list} WITH (publish_via_partition_root = true)")
}

/// Whether the slot can be read, or there is a free one for it.
async fn room(sql: &mut Connection, settings: &Settings) -> Result<(), Fault> {
    if let Some(state) = state(sql, &settings.slot, false).await? {
        return Ok(state.sound(settings)?);
    }
    let full =
        "SELECT 1 FROM pg_replication_slots HAVING count(*) >= current_setting('max_replication_slots')::int";
    match sql.value(full).await? {
        Some(_) => Err(settings.no_slot_is_free().into()),
        None => Ok(()),
    }
}

/// The tables that the publication does not contain; none if it is absent itself.
pub(crate) async fn unpublished(
    sql: &mut Connection,
    settings: &Settings,
) -> Result<Vec<TableName>, WireError> {
    let name = literal(&settings.publication);
    let query = format!(
        "SELECT schemaname, tablename FROM pg_publication p \
         LEFT JOIN pg_publication_tables t ON t.pubname = p.pubname WHERE p.pubname = {name}"
    );
    let published = sql.query(&query).await?;
    let is_missing = |table: &&TableName| {
        !published.iter().any(|row| text(row, 0) == table.schema && text(row, 1) == table.table)
    };
    if published.is_empty() {
        return Ok(Vec::new());
    }
    Ok(settings.tables.iter().filter(is_missing).cloned().collect())
}

/// Creates the publication if it is absent.
pub(crate) async fn publish(sql: &mut Connection, settings: &Settings) -> Result<(), Fault> {
    if sql.value(&is_published(settings)).await?.is_some() {
        return Ok(());
    }
    // One transaction: a publication without the comment is not ours.
    let name = ident(&settings.publication);
    let commented = format!("{}; COMMENT ON PUBLICATION {name} IS {}", create(settings), literal(OURS));
    match sql.query(&commented).await {
        Ok(_) => Ok(()),
        Err(WireError::Server(error)) if error.code == "42501" => {
            Err(may_not_publish(settings, &error.to_string()).into())
        }
        Err(error) => Err(error.into()),
    }
}

/// A slot that is ready to be read.
pub(crate) struct Slot {
    /// From here on it has every change.
    pub(crate) point: Lsn,
    /// It was created by us, now or, as its name says, in a life that committed nothing.
    pub(crate) made: bool,
    /// The snapshot of exactly that point, if the slot was created now: it lives as long as its connection is left alone.
    pub(crate) snapshot: Option<String>,
}

/// Finds or creates the slot of a source that was never read.
///
/// A slot that exists already may stem from a life that ended before its first position was committed, or from the
/// user. It has every change since its confirmed place, so that place is as good a beginning as a new slot's.
pub(crate) async fn acquire(
    sql: &mut Connection,
    replication: &mut Connection,
    settings: &Settings,
) -> Result<Slot, Fault> {
    if let Some(state) = state(sql, &settings.slot, true).await? {
        let confirmed = state.usable(settings)?;
        return Ok(Slot { point: confirmed, made: settings.slot_is_ours, snapshot: None });
    }
    let create =
        format!("CREATE_REPLICATION_SLOT {} LOGICAL pgoutput EXPORT_SNAPSHOT", ident(&settings.slot));
    let rows = replication.query(&create).await?;
    let row =
        rows.first().ok_or_else(|| WireError::Protocol("no answer to CREATE_REPLICATION_SLOT".to_owned()))?;
    let point = text(row, 1).parse().unwrap_or_default();
    Ok(Slot { point, made: true, snapshot: Some(text(row, 2).to_owned()) })
}

/// Checks that the server still has everything after a committed position.
pub(crate) async fn resume(
    sql: &mut Connection,
    replication: &mut Connection,
    settings: &Settings,
    place: &Place,
) -> Result<(), Fault> {
    let system = identify(replication).await?;
    let server = settings.server();
    let again = "restore the server that was read, or remove the pipeline's state and the slot to copy everything anew";
    if system.id != place.system {
        let message = format!("{server} is another database cluster than the one that was read");
        return Err(settings.changed(message, again).into());
    }
    let Some(lsn) = place.lsn() else { return Ok(()) };
    if system.timeline != place.timeline && !same_history(replication, place, system.timeline, lsn).await? {
        let message = format!("{server} was restored to a point before {lsn}, which was read already");
        return Err(settings.changed(message, again).into());
    }
    if system.wal_end < lsn {
        let message = format!(
            "{server} ends at {}, but was read up to {lsn}: it was restored from a backup",
            system.wal_end
        );
        return Err(settings.changed(message, again).into());
    }
    let Some(state) = state(sql, &settings.slot, true).await? else {
        let message =
            format!("the replication slot \"{}\" is gone, with the changes since {lsn}", settings.slot);
        let help = "remove the pipeline's state to copy everything anew";
        return Err(settings.changed(message, help).into());
    };
    let confirmed = state.usable(settings)?;
    if confirmed > lsn {
        let message = format!(
            "the replication slot \"{}\" was moved to {confirmed} by someone else, past {lsn}",
            settings.slot
        );
        let help = "use a slot of its own for each pipeline, and remove this pipeline's state to copy everything anew";
        return Err(settings.changed(message, help).into());
    }
    Ok(())
}

/// Whether the server's history contains the place: each line of a history file is a timeline and where it was left.
async fn same_history(
    replication: &mut Connection,
    place: &Place,
    timeline: u32,
    lsn: Lsn,
) -> Result<bool, WireError> {
    let rows = replication.query(&format!("TIMELINE_HISTORY {timeline}")).await?;
    let content = rows.first().map_or("", |row| text(row, 1));
    let left = content.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let found = words.next()?.parse() == Ok(place.timeline);
        if found { words.next()?.parse::<Lsn>().ok() } else { None }
    });
    Ok(left.is_some_and(|left| lsn <= left))
}

pub(crate) struct State {
    pub(crate) pid: Option<String>,
    lost: bool,
    pub(crate) fits: bool,
    confirmed: Lsn,
}

impl State {
    /// It has what follows its confirmed place, and is of our kind.
    fn sound(&self, settings: &Settings) -> Result<(), Diagnostic> {
        let slot = &settings.slot;
        if self.lost {
            let message = format!(
                "the replication slot \"{slot}\" is lost: the server removed log that was not read yet"
            );
            let help = format!(
                "raise max_slot_wal_keep_size; then run SELECT pg_drop_replication_slot({}); and remove the pipeline's \
                 state to copy everything anew",
                literal(slot)
            );
            return Err(settings.changed(message, help));
        }
        if !self.fits {
            let message = format!("the replication slot \"{slot}\" is of another database or output plugin");
            return Err(settings.user(message, "set `slot` to another name"));
        }
        Ok(())
    }

    /// It is sound, and nobody else reads it: from where.
    fn usable(self, settings: &Settings) -> Result<Lsn, Diagnostic> {
        self.sound(settings)?;
        match self.pid {
            Some(pid) => Err(settings.taken(&settings.slot, &pid)),
            None => Ok(self.confirmed),
        }
    }
}

/// The slot as the server shows it; with `patience` it waits a little while it is in use.
pub(crate) async fn state(
    sql: &mut Connection,
    slot: &str,
    patience: bool,
) -> Result<Option<State>, WireError> {
    let query = format!(
        "SELECT active_pid, coalesce(wal_status, '') = 'lost' OR restart_lsn IS NULL, confirmed_flush_lsn, \
         plugin = 'pgoutput' AND database = current_database() FROM pg_replication_slots WHERE slot_name = {}",
        literal(slot)
    );
    let mut tries = 0;
    loop {
        let rows = sql.query(&query).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        tries += 1;
        if patience && row[0].is_some() && tries < TAKEN_TRIES {
            tokio::time::sleep(TAKEN_WAIT).await;
            continue;
        }
        let confirmed = text(row, 2).parse().unwrap_or_default();
        return Ok(Some(State { pid: row[0].clone(), lost: flag(row, 1), fits: flag(row, 3), confirmed }));
    }
}
