//! Asks the catalog what the tables look like, and whether their changes can be captured.

use crate::kind::Kind;
use crate::rows::{hidden_fields, meta_fields};
use crate::settings::{Settings, TableName};
use crate::wire::{Connection, Row, WireError, ident, literal};
use acme_connect::{Content, StreamInfo};
use acme_types::{Change, Diagnostic};
use arrow::datatypes::{Field, Schema, SchemaRef};
use std::sync::Arc;

/// The metadata of a field that says which type the column has in its own database, for destinations that create one like it.
/// Types that users have made are not there: another database does not know them.
pub(crate) const SQL_TYPE: &str = "postgres.type";

/// The metadata of a field that says what rows from before the column have in it: [`EMPTY`], `=` and a value as the type
/// prints it, or nothing that could be known. For destinations that add the column to a table with such rows.
pub(crate) const BEFORE: &str = "postgres.before";
/// They have NULL.
pub(crate) const EMPTY: &str = "NULL";

/// A table as it is now.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) name: TableName,
    pub(crate) oid: u32,
    /// `pg_class.relreplident`.
    pub(crate) identity: u8,
    /// In the order of their numbers.
    pub(crate) columns: Vec<TableColumn>,
    /// The numbers of columns that were dropped or are not sent.
    pub(crate) hidden: Vec<i16>,
    /// Names of the columns that identify a row.
    pub(crate) key: Vec<String>,
    /// Bytes of its heap; 0 where it has none of its own.
    pub(crate) bytes: u64,
    /// Which rows are published, as SQL.
    pub(crate) filter: Option<String>,
    /// All columns, the hidden ones included.
    pub(crate) schema: SchemaRef,
}

/// One column of a [`Table`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TableColumn {
    pub(crate) name: String,
    /// `pg_attribute.attnum`: it stays when the name changes.
    pub(crate) attnum: i16,
    pub(crate) type_oid: u32,
    pub(crate) type_modifier: i32,
    /// As SQL writes it.
    pub(crate) type_name: String,
    pub(crate) kind: Kind,
    /// Part of the key.
    pub(crate) key: bool,
    /// Its type as SQL names it, a domain's base type; empty for a type that a user has made.
    pub(crate) sql_type: String,
    /// What rows from before the column have in it: `pg_attribute.attmissingval`, as the type prints it.
    pub(crate) missing: Option<String>,
    /// It has a default or is never NULL: without [`Self::missing`] rows from before it may hold anything.
    pub(crate) filled: bool,
}

impl TableColumn {
    pub(crate) fn field(&self) -> Field {
        let field = self.kind.field(&self.name);
        let mut metadata = field.metadata().clone();
        if !self.sql_type.is_empty() {
            metadata.insert(SQL_TYPE.to_owned(), self.sql_type.clone());
        }
        let before = match &self.missing {
            Some(value) => format!("={value}"),
            None if self.filled => String::new(),
            None => EMPTY.to_owned(),
        };
        metadata.insert(BEFORE.to_owned(), before);
        field.with_metadata(metadata)
    }
}

/// What the publication says of a table.
struct Published {
    filter: Option<String>,
    columns: Vec<String>,
}

impl Table {
    /// The name of its stream.
    pub(crate) fn stream(&self, cdc: bool) -> StreamInfo {
        StreamInfo {
            name: self.name.to_string().into(),
            key: self.key.clone(),
            change: if cdc { Change::Upsert } else { Change::Append },
            content: Content::Columns(self.schema.clone()),
            meta: meta_fields(),
        }
    }

    /// Its name as SQL wants it.
    pub(crate) fn sql(&self) -> String {
        format!("{}.{}", ident(&self.name.schema), ident(&self.name.table))
    }
}

/// Failures of asking: of the connection, or of what was found.
pub(crate) enum Fault {
    Wire(WireError),
    Found(Box<Diagnostic>),
}

impl From<WireError> for Fault {
    fn from(error: WireError) -> Self {
        Self::Wire(error)
    }
}

impl From<Diagnostic> for Fault {
    fn from(diagnostic: Diagnostic) -> Self {
        Self::Found(Box::new(diagnostic))
    }
}

impl Settings {
    /// Any failure for people.
    pub(crate) fn explain(&self, fault: Fault) -> Diagnostic {
        match fault {
            Fault::Wire(error) => self.fault(&error),
            Fault::Found(diagnostic) => *diagnostic,
        }
    }
}

/// Describes all tables of the item, in its order.
pub(crate) async fn tables(sql: &mut Connection, settings: &Settings) -> Result<Vec<Arc<Table>>, Fault> {
    let version = sql.value("SHOW server_version_num").await?.and_then(|text| text.parse().ok()).unwrap_or(0);
    let publication = if settings.cdc { publication(sql, settings).await? } else { None };
    let mut tables = Vec::new();
    for name in &settings.tables {
        tables.push(Arc::new(table(sql, settings, name, version, publication.as_ref()).await?));
    }
    Ok(tables)
}

/// What a publication that exists publishes, besides inserts.
struct Publication {
    old_rows: bool,
    via_root: bool,
}

async fn publication(sql: &mut Connection, settings: &Settings) -> Result<Option<Publication>, Fault> {
    let query = format!(
        "SELECT pubupdate OR pubdelete, pubviaroot FROM pg_publication WHERE pubname = {}",
        literal(&settings.publication)
    );
    let rows = sql.query(&query).await?;
    let found = rows.first().map(|row| Publication { old_rows: flag(row, 0), via_root: flag(row, 1) });
    Ok(found)
}

async fn table(
    sql: &mut Connection,
    settings: &Settings,
    name: &TableName,
    version: u32,
    publication: Option<&Publication>,
) -> Result<Table, Fault> {
    let query = format!(
        "SELECT c.oid, c.relkind, c.relreplident, has_table_privilege(c.oid, 'SELECT'), \
         CASE WHEN c.relkind = 'r' THEN pg_relation_size(c.oid) ELSE 0 END \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname = {} AND c.relname = {}",
        literal(&name.schema),
        literal(&name.table)
    );
    let rows = sql.query(&query).await?;
    let Some(row) = rows.first().filter(|row| matches!(text(row, 1), "r" | "p")) else {
        let message = format!(
            "{} has no table {name} in database \"{}\"",
            settings.server(),
            settings.address.database
        );
        let help = "correct `tables`; a name with capitals or dots is written as the catalog spells it, in double quotes";
        return Err(settings.user(message, help).at(&settings.at_tables).into());
    };
    readable(settings, name, row, publication)?;
    let (oid, identity) = (text(row, 0), text(row, 2));
    let old_rows = settings.cdc && publication.is_none_or(|publication| publication.old_rows);
    let key = key(sql, oid, identity).await?;
    if old_rows && key.is_empty() && identity != "f" {
        let message =
            format!("table {name} has no replica identity, so its updates and deletes cannot be captured");
        let table = format!("{}.{}", ident(&name.schema), ident(&name.table));
        let help = match identity {
            "n" => format!(
                "run: ALTER TABLE {table} REPLICA IDENTITY DEFAULT; or FULL where it has no primary key"
            ),
            _ => format!("add a primary key, or run: ALTER TABLE {table} REPLICA IDENTITY FULL;"),
        };
        return Err(settings.user(message, help).at(&settings.at_tables).into());
    }
    let published = if publication.is_some() && version >= 150_000 {
        published(sql, settings, name).await?
    } else {
        None
    };
    let (filter, listed) =
        published.map_or((None, None), |published| (published.filter, Some(published.columns)));
    let (columns, hidden) = columns(sql, oid, &key, listed.as_deref(), settings.decimals_as_text).await?;
    let visible = columns.iter().map(|column| Arc::new(column.field()));
    let schema = Arc::new(Schema::new(visible.chain(hidden_fields()).collect::<Vec<_>>()));
    let bytes = text(row, 4).parse().unwrap_or(0);
    Ok(Table {
        name: name.clone(),
        oid: oid.parse().unwrap_or(0),
        identity: identity.bytes().next().unwrap_or(b'd'),
        columns,
        hidden,
        key,
        bytes,
        filter,
        schema,
    })
}

/// Whether its rows and changes may be read, and come under its name.
fn readable(
    settings: &Settings,
    name: &TableName,
    row: &Row,
    publication: Option<&Publication>,
) -> Result<(), Diagnostic> {
    if !flag(row, 3) {
        let user = ident(&settings.address.user);
        let help = format!("run: GRANT SELECT ON {}.{} TO {user};", ident(&name.schema), ident(&name.table));
        return Err(settings.user(format!("table {name} may not be read"), help).at(&settings.at_tables));
    }
    let partitioned = text(row, 1) == "p";
    if partitioned && publication.is_some_and(|publication| !publication.via_root) {
        let message = format!(
            "{name} is partitioned, and the publication sends its changes under the partitions' names"
        );
        let publication = ident(&settings.publication);
        let help = format!("run: ALTER PUBLICATION {publication} SET (publish_via_partition_root = true);");
        return Err(settings.user(message, help).at(&settings.at_tables));
    }
    Ok(())
}

/// The columns that the server sends of an old row; for `REPLICA IDENTITY FULL` the primary key, which is among them.
async fn key(sql: &mut Connection, oid: &str, identity: &str) -> Result<Vec<String>, WireError> {
    let which = match identity {
        "i" => "i.indisreplident",
        "d" => "i.indisprimary AND i.indimmediate",
        "f" => "i.indisprimary",
        _ => return Ok(Vec::new()),
    };
    let query = format!(
        "SELECT a.attname FROM pg_index i \
         CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY k(attnum, place) \
         JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum \
         WHERE i.indrelid = {oid} AND {which} AND k.place <= i.indnkeyatts ORDER BY k.place"
    );
    Ok(sql.query(&query).await?.into_iter().map(|row| text(&row, 0).to_owned()).collect())
}

/// Source: `pg_publication_tables`, whose columns `attnames` and `rowfilter` exist since version 15.
async fn published(
    sql: &mut Connection,
    settings: &Settings,
    name: &TableName,
) -> Result<Option<Published>, WireError> {
    let query = format!(
        "SELECT p.rowfilter, a.name FROM pg_publication_tables p \
         CROSS JOIN LATERAL unnest(p.attnames) a(name) \
         WHERE p.pubname = {} AND p.schemaname = {} AND p.tablename = {}",
        literal(&settings.publication),
        literal(&name.schema),
        literal(&name.table)
    );
    let rows = sql.query(&query).await?;
    Ok(rows.first().map(|first| Published {
        filter: first[0].clone(),
        columns: rows.iter().map(|row| text(row, 1).to_owned()).collect(),
    }))
}

/// The columns that are sent: those of the publication's list, where there is one; and the numbers of all others that the
/// table has or had. Generated columns are sent only if that list has them, since version 18; those that are not sent are
/// not copied either. A domain is what its base type is.
async fn columns(
    sql: &mut Connection,
    oid: &str,
    key: &[String],
    listed: Option<&[String]>,
    decimals_as_text: bool,
) -> Result<(Vec<TableColumn>, Vec<i16>), WireError> {
    let query = format!(
        "WITH RECURSIVE base(attnum, typid, typmod) AS ( \
           SELECT attnum, atttypid, atttypmod FROM pg_attribute \
           WHERE attrelid = {oid} AND attnum > 0 AND NOT attisdropped \
           UNION ALL \
           SELECT b.attnum, t.typbasetype, t.typtypmod FROM base b JOIN pg_type t ON t.oid = b.typid \
           WHERE t.typtype = 'd') \
         SELECT a.attname, a.atttypid, a.atttypmod, t.typname, t.typcategory, b.typmod, coalesce(e.typname, ''), \
         a.attgenerated, a.attnum, format_type(a.atttypid, a.atttypmod), \
         CASE WHEN a.atthasmissing THEN (a.attmissingval::text::text[])[1] END, \
         CASE WHEN t.oid < 16384 THEN format_type(t.oid, b.typmod) ELSE '' END, \
         a.attnotnull OR a.atthasdef OR a.attidentity <> '' \
         FROM base b JOIN pg_attribute a ON a.attrelid = {oid} AND a.attnum = b.attnum \
         JOIN pg_type t ON t.oid = b.typid AND t.typtype <> 'd' \
         LEFT JOIN pg_type e ON e.oid = t.typelem ORDER BY a.attnum"
    );
    let rows = sql.query(&query).await?;
    let column = |row: &Row| {
        let number = |at| text(row, at).parse().unwrap_or(-1);
        TableColumn {
            name: text(row, 0).to_owned(),
            attnum: text(row, 8).parse().unwrap_or(0),
            type_oid: text(row, 1).parse().unwrap_or(0),
            type_modifier: number(2),
            type_name: text(row, 9).to_owned(),
            kind: Kind::of(text(row, 3), text(row, 4), number(5), text(row, 6), decimals_as_text),
            key: key.iter().any(|key| key == text(row, 0)),
            missing: row[10].clone(),
            sql_type: text(row, 11).to_owned(),
            filled: flag(row, 12),
        }
    };
    let is_sent = |row: &&Row| match listed {
        Some(listed) => listed.iter().any(|name| name == text(row, 0)),
        None => text(row, 7).is_empty(),
    };
    let columns: Vec<TableColumn> = rows.iter().filter(is_sent).map(column).collect();
    let numbers = format!("SELECT attnum FROM pg_attribute WHERE attrelid = {oid} AND attnum > 0");
    let numbers = sql.query(&numbers).await?;
    let numbers = numbers.iter().filter_map(|row| text(row, 0).parse().ok());
    let hidden = numbers.filter(|number| !columns.iter().any(|column| column.attnum == *number)).collect();
    Ok((columns, hidden))
}

pub(crate) fn text(row: &Row, at: usize) -> &str {
    row.get(at).and_then(Option::as_deref).unwrap_or_default()
}

pub(crate) fn flag(row: &Row, at: usize) -> bool {
    text(row, at) == "t"
}
