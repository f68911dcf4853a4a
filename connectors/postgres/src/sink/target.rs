//! A table of the destination: what the catalog says of it, whether rows can be written, how it is created.

use super::config::{Mode, SinkSettings};
use super::session::Session;
use crate::catalog::{Fault, flag, text};
use crate::fault::Server;
use crate::wire::{Row, WireError, ident, literal};
use acme_types::{Diagnostic, codes};

/// Schema and table, as the catalog spells them.
pub(crate) type Name = (String, String);

/// A table as it is now.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) name: Name,
    pub(crate) columns: Vec<TargetColumn>,
    /// The columns of the primary key; empty without one.
    pub(crate) primary: Vec<String>,
    /// The columns of each unique index that can find a conflict, sorted.
    unique: Vec<Vec<String>>,
    /// What our role may do.
    allowed: Vec<&'static str>,
    /// Rows can be copied into it: it is no view, and no policy hides rows from our role.
    pub(crate) copies: bool,
}

/// One column of a [`Target`].
#[derive(Clone, Debug)]
pub(crate) struct TargetColumn {
    pub(crate) name: String,
    /// Its type as SQL wants it in a cast: schema and name, no modifier.
    pub(crate) cast: String,
    /// Its type for people, with its limits: `character varying(5)`.
    pub(crate) kind: String,
    /// The name of its type in `pg_catalog`; of a domain its base type; empty for types of users.
    pub(crate) base: String,
    /// It is an array.
    pub(crate) array: bool,
    /// It has a value of its own where none is given.
    pub(crate) defaulted: bool,
    /// An identity that takes values only when it is told to, and never changes.
    pub(crate) identity: bool,
    /// It is computed by the server and cannot be written.
    pub(crate) generated: bool,
}

/// The quoted name.
pub(crate) fn sql(name: &Name) -> String {
    format!("{}.{}", ident(&name.0), ident(&name.1))
}

/// The name for people.
pub(crate) fn shown(name: &Name) -> String {
    format!("{}.{}", name.0, name.1)
}

impl Target {
    /// Asks the catalog; `None` if there is no such table.
    pub(crate) async fn find(session: &mut Session, name: &Name) -> Result<Option<Self>, WireError> {
        let query = format!(
            "SELECT c.oid, c.relkind, has_table_privilege(c.oid, 'SELECT'), has_table_privilege(c.oid, 'INSERT'), \
             has_table_privilege(c.oid, 'UPDATE'), has_table_privilege(c.oid, 'DELETE'), \
             has_table_privilege(c.oid, 'TRUNCATE'), c.relkind <> 'v' AND NOT row_security_active(c.oid) \
             FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE n.nspname = {} AND c.relname = {} AND c.relkind IN ('r', 'p', 'f', 'v')",
            literal(&name.0),
            literal(&name.1)
        );
        let rows = session.query(&query).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let oid = text(row, 0);
        let privileges = ["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE"];
        let allowed = (2..).zip(privileges).filter(|(at, _)| flag(row, *at)).map(|(_, word)| word).collect();
        let columns = session.query(&columns_of(oid)).await?.iter().map(column).collect();
        let query = format!(
            "SELECT i.indexrelid, i.indisprimary, a.attname FROM pg_catalog.pg_index i \
             CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY k(attnum, place) \
             JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum \
             WHERE i.indrelid = {oid} AND i.indisunique AND i.indimmediate AND i.indisvalid AND i.indpred IS NULL \
             AND i.indexprs IS NULL AND k.place <= i.indnkeyatts ORDER BY i.indexrelid, k.place"
        );
        let (mut primary, mut unique, mut last) = (Vec::new(), Vec::<Vec<String>>::new(), String::new());
        for row in &session.query(&query).await? {
            if text(row, 0) != last {
                text(row, 0).clone_into(&mut last);
                unique.push(Vec::new());
            }
            let column = text(row, 2).to_owned();
            if flag(row, 1) {
                primary.push(column.clone());
            }
            unique.last_mut().expect("one was pushed").push(column);
        }
        unique.iter_mut().for_each(|columns| columns.sort_unstable());
        let copies = flag(row, 7);
        Ok(Some(Self { name: name.clone(), columns, primary, unique, allowed, copies }))
    }

    /// A column by its name.
    pub(crate) fn column(&self, name: &str) -> Option<&TargetColumn> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Whether it may be emptied by TRUNCATE, or only by DELETE.
    pub(crate) fn truncates(&self) -> bool {
        self.allowed.contains(&"TRUNCATE")
    }

    /// Looks whether rows could be written so; everything that is in the way, with the SQL that mends it.
    pub(crate) fn faults(&self, settings: &SinkSettings, mode: Mode, key: &[String]) -> Vec<Diagnostic> {
        let mut found = Vec::new();
        let needed: &[&str] = match mode {
            Mode::Upsert => &["SELECT", "INSERT", "UPDATE", "DELETE"],
            Mode::Append => &["INSERT"],
        };
        let missing: Vec<&str> =
            needed.iter().copied().filter(|needed| !self.allowed.contains(needed)).collect();
        if !missing.is_empty() {
            let words = missing.join(", ");
            let user = ident(&settings.address.user);
            found.push(settings.user(
                format!("user \"{}\" may not {words} on table {}", settings.address.user, shown(&self.name)),
                format!("run: GRANT {words} ON {} TO {user};", sql(&self.name)),
            ));
        }
        if mode == Mode::Upsert {
            found.extend(self.key_fault(settings, key));
        }
        found
    }

    fn key_fault(&self, settings: &SinkSettings, key: &[String]) -> Option<Diagnostic> {
        let table = shown(&self.name);
        if key.is_empty() {
            let message = format!("rows of table {table} have no key by which a change could find them");
            let help = "add a primary key to the table, or `key:` with the columns of a unique index";
            return Some(Diagnostic::new(&codes::CHANGE_MODE, message).help(help).at(&settings.at_table));
        }
        if let Some(name) = key.iter().find(|name| self.column(name).is_none()) {
            let message = format!("table {table} has no column \"{name}\", which is part of the key");
            return Some(settings.user(message, "correct `key`, or add the column").at(&settings.at_key));
        }
        let mut sorted = key.to_vec();
        sorted.sort_unstable();
        if self.unique.contains(&sorted) {
            return None;
        }
        let columns = key.iter().map(|name| ident(name)).collect::<Vec<_>>().join(", ");
        let message = format!("table {table} has no unique index on its key ({})", key.join(", "));
        let help = format!("run: ALTER TABLE {} ADD PRIMARY KEY ({columns});", sql(&self.name));
        Some(settings.user(message, help).at(&settings.at_table))
    }
}

impl SinkSettings {
    pub(crate) fn server(&self) -> Server<'_> {
        Server { address: &self.address, at: &self.at }
    }

    /// An error that only the user can mend.
    pub(crate) fn user(&self, message: String, help: impl Into<String>) -> Diagnostic {
        self.server().user(message, help)
    }

    /// Any failure for people.
    pub(crate) fn explain(&self, fault: Fault) -> Diagnostic {
        match fault {
            Fault::Wire(error) => self.server().fault(&error),
            Fault::Found(diagnostic) => *diagnostic,
        }
    }

    /// A table that is not there and is not to be created.
    pub(crate) fn missing(&self, name: &Name, ddl: Option<&str>) -> Diagnostic {
        let message = format!(
            "{} has no table {} in database \"{}\"",
            self.server().name(),
            shown(name),
            self.address.database
        );
        let help = match ddl {
            Some(ddl) => format!("run: {ddl}; or set `create: true`"),
            None => "correct `table`, create it, or set `create: true`".to_owned(),
        };
        self.user(message, help).at(&self.at_table)
    }
}

/// The statement that creates a table with these columns, names and types.
pub(crate) fn create_table(name: &Name, columns: &[(String, String)], key: &[String]) -> String {
    let mut parts: Vec<String> =
        columns.iter().map(|(name, kind)| format!("{} {kind}", ident(name))).collect();
    if !key.is_empty() {
        let key = key.iter().map(|name| ident(name)).collect::<Vec<_>>().join(", ");
        parts.push(format!("PRIMARY KEY ({key})"));
    }
    format!("CREATE TABLE IF NOT EXISTS {} ({})", sql(name), parts.join(", "))
}

fn columns_of(oid: &str) -> String {
    format!(
        "WITH RECURSIVE base(attnum, typid) AS ( \
           SELECT attnum, atttypid FROM pg_catalog.pg_attribute \
           WHERE attrelid = {oid} AND attnum > 0 AND NOT attisdropped \
           UNION ALL \
           SELECT b.attnum, t.typbasetype FROM base b JOIN pg_catalog.pg_type t ON t.oid = b.typid WHERE t.typtype = 'd') \
         SELECT a.attname, tn.nspname, t.typname, \
           CASE WHEN bn.nspname = 'pg_catalog' THEN bt.typname ELSE '' END, \
           bt.typcategory = 'A', a.atthasdef OR a.attidentity <> '', a.attidentity = 'a', a.attgenerated <> '', \
           pg_catalog.format_type(a.atttypid, a.atttypmod) \
         FROM base b JOIN pg_catalog.pg_type bt ON bt.oid = b.typid AND bt.typtype <> 'd' \
         JOIN pg_catalog.pg_namespace bn ON bn.oid = bt.typnamespace \
         JOIN pg_catalog.pg_attribute a ON a.attrelid = {oid} AND a.attnum = b.attnum \
         JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
         JOIN pg_catalog.pg_namespace tn ON tn.oid = t.typnamespace ORDER BY a.attnum"
    )
}

fn column(row: &Row) -> TargetColumn {
    TargetColumn {
        name: text(row, 0).to_owned(),
        cast: format!("{}.{}", ident(text(row, 1)), ident(text(row, 2))),
        kind: text(row, 8).to_owned(),
        base: text(row, 3).to_owned(),
        array: flag(row, 4),
        defaulted: flag(row, 5),
        identity: flag(row, 6),
        generated: flag(row, 7),
    }
}

#[cfg(test)]
impl Target {
    /// A table that only statements are made for.
    pub(crate) fn of(name: Name, columns: Vec<TargetColumn>) -> Self {
        Self { name, columns, primary: Vec::new(), unique: Vec::new(), allowed: Vec::new(), copies: true }
    }
}
