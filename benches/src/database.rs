//! The PostgreSQL server of the benchmarks: tables of orders, and slots that stand before the same changes each time.

use acme_lab::postgres::Postgres;
use acme_lab::{debezium, run};
use anyhow::Result;
use std::path::Path;
use std::process::Command;

/// Rows of one transaction of [`Database::changes`].
const TRANSACTION: u64 = 100;
/// The publication of all tables.
const PUBLICATION: &str = "bench_pub";
/// The slot that stands before the changes, and is never read itself.
const BEFORE: &str = "bench_before";
/// The slot that a run reads.
pub(crate) const SLOT: &str = "bench";

const COLUMNS: &str = "(id bigint PRIMARY KEY, customer integer NOT NULL, status text NOT NULL, email text, \
    amount numeric(12,2) NOT NULL, paid boolean NOT NULL, created_at timestamptz NOT NULL, note text)";
/// About 150 bytes a row.
const VALUES: &str = "n, n % 10007, (ARRAY['new', 'paid', 'shipped', 'returned'])[1 + n % 4], \
    CASE WHEN n % 10 > 0 THEN 'customer' || n % 10007 || '@example.com' END, (n % 1000000) / 100.0, n % 3 = 0, \
    timestamptz '2026-01-01 00:00:00+00' + n * interval '1 s', md5(n::text) || md5((n + 1)::text)";

/// A server with throw-away data.
pub(crate) struct Database {
    server: Postgres,
    /// Behind the last change.
    end: Option<String>,
}

impl Database {
    pub(crate) fn start() -> Result<Self> {
        Ok(Self { server: Postgres::start()?, end: None })
    }

    pub(crate) fn sql(&self, sql: &str) -> Result<String> {
        self.server.psql(sql)
    }

    pub(crate) fn url(&self) -> String {
        self.server.url()
    }

    /// The server's version.
    pub(crate) fn version(&self) -> Result<String> {
        Ok(self.sql("SHOW server_version")?.split_whitespace().next().unwrap_or_default().to_owned())
    }

    /// Makes the table `orders` with so many rows, as a table is after a while: vacuumed and written to disk.
    pub(crate) fn table(&self, rows: u64) -> Result<()> {
        self.sql(&format!(
            "DROP TABLE IF EXISTS orders; CREATE TABLE orders {COLUMNS};\n\
             INSERT INTO orders SELECT {VALUES} FROM generate_series(1, {rows}) n;\n\
             VACUUM (FREEZE, ANALYZE) orders;\nCHECKPOINT;"
        ))?;
        self.publish("orders")
    }

    /// Makes the table `changes` and so many inserts that every slot of [`Self::rewind`] still has before it.
    pub(crate) fn changes(&mut self, rows: u64) -> Result<()> {
        let last = rows.div_ceil(TRANSACTION) - 1;
        self.sql(&format!("DROP TABLE IF EXISTS changes; CREATE TABLE changes {COLUMNS};"))?;
        self.publish("changes")?;
        self.drop_slot(BEFORE)?;
        self.sql(&format!("SELECT pg_create_logical_replication_slot('{BEFORE}', 'pgoutput')"))?;
        self.sql(&format!(
            "DO $$ BEGIN FOR part IN 0..{last} LOOP\n\
             INSERT INTO changes SELECT {VALUES} FROM \
             generate_series(part * {TRANSACTION} + 1, least((part + 1) * {TRANSACTION}, {rows})) n;\n\
             COMMIT; END LOOP; END $$;\nCHECKPOINT;"
        ))?;
        self.end = Some(self.sql("SELECT pg_current_wal_insert_lsn()")?.trim().to_owned());
        Ok(())
    }

    fn publish(&self, table: &str) -> Result<()> {
        self.sql(&format!(
            "DROP PUBLICATION IF EXISTS {PUBLICATION}; CREATE PUBLICATION {PUBLICATION} FOR TABLE {table};"
        ))
        .map(drop)
    }

    /// Puts the slot before the changes.
    pub(crate) fn rewind(&self) -> Result<()> {
        self.drop_slot(SLOT)?;
        self.sql(&format!("SELECT pg_copy_logical_replication_slot('{BEFORE}', '{SLOT}')")).map(drop)
    }

    /// Removes a slot as soon as nobody reads it.
    pub(crate) fn drop_slot(&self, name: &str) -> Result<()> {
        self.sql(&format!(
            "DO $$ BEGIN\n\
             FOR i IN 1..1000 LOOP\n\
             EXIT WHEN NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = '{name}' AND active);\n\
             PERFORM pg_sleep(0.01);\n\
             END LOOP; END $$;\n\
             SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = '{name}';"
        ))
        .map(drop)
    }

    /// A source that copies `orders`.
    pub(crate) fn copying(&self) -> String {
        format!(
            "mode: batch\nsources: [{{type: postgres, connection: \"{}\", tables: [orders]}}]\n",
            self.url()
        )
    }

    /// A source that follows a table; `snapshot` is `initial` or `never`.
    pub(crate) fn following(&self, table: &str, snapshot: &str) -> String {
        format!(
            "sources: [{{type: postgres, connection: \"{}\", mode: cdc, tables: [{table}], slot: {SLOT}, \
             publication: {PUBLICATION}, snapshot: {snapshot}}}]\n",
            self.url()
        )
    }

    /// A command that copies `orders` in binary form to nowhere.
    pub(crate) fn copy(&self) -> Command {
        let mut command = self.server.client("psql");
        let statement = r"\copy orders TO '/dev/null' (FORMAT binary)";
        command.args(["-d", "postgres", "-X", "-q", "-c", statement]);
        command
    }

    /// A command that reads the changes to nowhere.
    pub(crate) fn receive(&self) -> Command {
        let mut command = self.server.client("pg_recvlogical");
        let end = self.end.as_deref().unwrap_or_default();
        command
            .args(["-d", "postgres", "-S", SLOT, "--start", "--no-loop", "-f", "/dev/null", "--endpos", end])
            .args(["-o", "proto_version=1", "-o", &format!("publication_names={PUBLICATION}")]);
        command
    }

    /// A run of Debezium over a table; `snapshot` is one of its modes. The properties go to `file`.
    pub(crate) fn debezium(&self, file: &Path, table: &str, snapshot: &str, rows: u64) -> Result<String> {
        let (url, port) = (self.url(), self.server.port());
        let password = url.split([':', '@']).nth(2).unwrap_or_default();
        let properties = format!(
            "name=bench\nconnector.class=io.debezium.connector.postgresql.PostgresConnector\n\
             offset.storage=org.apache.kafka.connect.storage.MemoryOffsetBackingStore\n\
             topic.prefix=bench\nplugin.name=pgoutput\nslot.name={SLOT}\npublication.name={PUBLICATION}\n\
             publication.autocreate.mode=disabled\ntable.include.list=public.{table}\nsnapshot.mode={snapshot}\n\
             database.hostname=127.0.0.1\ndatabase.port={port}\ndatabase.user=postgres\n\
             database.password={password}\ndatabase.dbname=postgres\n"
        );
        std::fs::write(file, properties)?;
        run(&mut debezium::engine(file, rows, &format!("bench.public.{table}"))?)
    }
}
