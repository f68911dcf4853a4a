//! What a source leaves on its server between runs: replication slots, which keep the server's log, and the publication. It
//! is shown here, and removed when a pipeline goes for good.

use crate::catalog::{Fault, flag, text};
use crate::position::Place;
use crate::settings::{Address, Settings};
use crate::slot::{self, OURS};
use crate::wire::{Connection, ident, literal};
use acme_connect::Context;
use acme_types::{Config, Diagnostic, Positions, codes};
use serde::Serialize;
use std::sync::Arc;

/// A replication slot as its server shows it.
#[derive(Clone, Debug, Serialize)]
pub struct SlotInfo {
    /// Its name.
    pub slot: String,
    /// Its database; a physical slot has none.
    pub database: Option<String>,
    /// Whether somebody reads it now.
    pub active: bool,
    /// Bytes of log that the server keeps for it; `None` where that cannot be known.
    pub retained_bytes: Option<u64>,
    /// `reserved`, `extended`, `unreserved` or `lost`.
    pub wal_status: Option<String>,
}

/// Something on the server that belongs to a source.
#[derive(Clone, Debug, Serialize)]
pub struct Remnant {
    /// `replication slot` or `publication`.
    pub what: &'static str,
    /// Its name.
    pub name: String,
    /// Why it stays; `None` for what is removed.
    pub stays: Option<String>,
}

impl Remnant {
    fn goes(what: &'static str, name: &str) -> Self {
        Self { what, name: name.to_owned(), stays: None }
    }

    fn stays(what: &'static str, name: &str, why: String) -> Self {
        Self { what, name: name.to_owned(), stays: Some(why) }
    }
}

/// A slot of the source, and what its position knows of it.
struct Own {
    slot: String,
    /// Created by Acme.
    made: bool,
    /// The cluster that it is on, where that is known.
    system: Option<String>,
}

/// What one source has on its server.
pub struct Remains {
    settings: Arc<Settings>,
    own: Vec<Own>,
}

impl Remains {
    /// Of an item with these committed positions; `None` for one that leaves nothing.
    ///
    /// **Errors** a configuration that cannot be used, a position that cannot be read.
    pub fn of(config: &Config, context: &Context, positions: &Positions) -> Result<Option<Self>, Diagnostic> {
        let settings = Arc::new(Settings::parse(config, context)?);
        if !settings.cdc {
            return Ok(None);
        }
        let mut own = Vec::new();
        for (split, position) in positions {
            let place = Place::parse(position)?;
            // The copy of a source that captured nothing has a position without a server.
            if !place.system.is_empty() {
                own.push(Own { slot: split.0.clone(), made: place.made_slot, system: Some(place.system) });
            }
        }
        if own.is_empty() {
            // Nothing was committed, but a slot may have been created.
            own.push(Own { slot: settings.slot.clone(), made: settings.slot_is_ours, system: None });
        }
        Ok(Some(Self { settings, own }))
    }

    /// Of nobody: to list what a server has.
    pub fn at(connection: &str) -> Result<Self, Diagnostic> {
        let address = Address::parse(connection).map_err(|cause| {
            Diagnostic::new(&codes::BAD_VALUE, format!("the connection is not usable: {cause}"))
                .help("write it as postgres://USER:PASSWORD@HOST:5432/DATABASE?sslmode=require")
        })?;
        Ok(Self { settings: Arc::new(Settings::bare(address)), own: Vec::new() })
    }

    /// Names of its slots.
    pub fn slots(&self) -> impl Iterator<Item = &str> {
        self.own.iter().map(|own| &*own.slot)
    }

    /// `HOST:PORT`
    #[must_use]
    pub fn server(&self) -> String {
        format!("{}:{}", self.settings.address.host, self.settings.address.port)
    }

    /// All replication slots of the server, by name.
    pub async fn list(&self) -> Result<Vec<SlotInfo>, Diagnostic> {
        let query = "SELECT slot_name, database, active, wal_status, \
             pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() \
             ELSE pg_current_wal_lsn() END, restart_lsn)::bigint FROM pg_replication_slots ORDER BY slot_name";
        let asked = async {
            let mut sql = Connection::open(&self.settings.address, false).await?;
            Ok(sql.query(query).await?)
        };
        let rows = asked.await.map_err(|fault| self.settings.explain(fault))?;
        let slot = |row: &crate::wire::Row| SlotInfo {
            slot: text(row, 0).to_owned(),
            database: row[1].clone(),
            active: flag(row, 2),
            wal_status: row[3].clone(),
            retained_bytes: row[4].as_ref().and_then(|bytes| bytes.parse().ok()),
        };
        Ok(rows.iter().map(slot).collect())
    }

    /// What [`Self::remove`] would remove, and what it would leave. `leaving` are the slots of all sources that go.
    pub async fn look(&self, leaving: &[String]) -> Result<Vec<Remnant>, Diagnostic> {
        self.go_through(leaving, false).await.map_err(|fault| self.settings.explain(fault))
    }

    /// Removes what Acme has created and nobody else reads. What is gone already is no error, so it may be repeated.
    pub async fn remove(&self, leaving: &[String]) -> Result<Vec<Remnant>, Diagnostic> {
        self.go_through(leaving, true).await.map_err(|fault| self.settings.explain(fault))
    }

    async fn go_through(&self, leaving: &[String], remove: bool) -> Result<Vec<Remnant>, Fault> {
        let address = &self.settings.address;
        let mut sql = Connection::open(address, false).await?;
        self.same_server().await?;
        let mut found = Vec::new();
        for own in &self.own {
            found.extend(self.slot(&mut sql, own, remove).await?);
        }
        found.extend(self.publication(&mut sql, leaving, remove).await?);
        Ok(found)
    }

    /// A connection that leads to another server than the one that was read must not remove anything there.
    async fn same_server(&self) -> Result<(), Fault> {
        let Some(known) = self.own.iter().find_map(|own| own.system.as_ref()) else { return Ok(()) };
        let mut replication = Connection::open(&self.settings.address, true).await?;
        if slot::identify(&mut replication).await?.id == *known {
            return Ok(());
        }
        let message = format!(
            "{} is another database cluster than the one that was read; nothing is removed there",
            self.settings.server()
        );
        Err(self
            .settings
            .changed(message, "correct `connection`, or leave the server alone with --force")
            .into())
    }

    async fn slot(&self, sql: &mut Connection, own: &Own, remove: bool) -> Result<Option<Remnant>, Fault> {
        const WHAT: &str = "replication slot";
        let name = &own.slot;
        let Some(state) = slot::state(sql, name, remove).await? else { return Ok(None) };
        if !own.made || !state.fits {
            let drop =
                format!("it was not created by Acme; SELECT pg_drop_replication_slot({});", literal(name));
            return Ok(Some(Remnant::stays(WHAT, name, drop)));
        }
        if remove {
            if let Some(pid) = state.pid {
                return Err(self.settings.taken(name, &pid).into());
            }
            let drop =
                "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name =";
            sql.query(&format!("{drop} {}", literal(name))).await?;
        }
        Ok(Some(Remnant::goes(WHAT, name)))
    }

    /// The publication goes with its last reader. No catalog says which publications a slot's reader names, so any slot
    /// of the plugin in this database counts as one.
    async fn publication(
        &self,
        sql: &mut Connection,
        leaving: &[String],
        remove: bool,
    ) -> Result<Option<Remnant>, Fault> {
        const WHAT: &str = "publication";
        let name = &self.settings.publication;
        let query = format!(
            "SELECT coalesce(obj_description(oid, 'pg_publication') = {}, false) FROM pg_publication WHERE pubname = {}",
            literal(OURS),
            literal(name)
        );
        let rows = sql.query(&query).await?;
        let Some(ours) = rows.first().map(|row| flag(row, 0)) else { return Ok(None) };
        if !ours {
            let why = format!("it was not created by Acme; DROP PUBLICATION {};", ident(name));
            return Ok(Some(Remnant::stays(WHAT, name, why)));
        }
        let others = "SELECT slot_name FROM pg_replication_slots \
             WHERE plugin = 'pgoutput' AND database = current_database() ORDER BY slot_name";
        let rows = sql.query(others).await?;
        let own =
            |slot: &str| leaving.iter().any(|name| name == slot) || self.slots().any(|name| name == slot);
        if let Some(other) = rows.iter().map(|row| text(row, 0)).find(|slot| !own(slot)) {
            let why = format!("the slot \"{other}\" of the same database may be read with it");
            return Ok(Some(Remnant::stays(WHAT, name, why)));
        }
        if remove {
            sql.query(&format!("DROP PUBLICATION IF EXISTS {}", ident(name))).await?;
        }
        Ok(Some(Remnant::goes(WHAT, name)))
    }
}
