//! PostgreSQL into `null` and Elasticsearch, beside the server's own tools and Debezium; memory, and the first row.
//!
//! Times of Acme, `psql` and `pg_recvlogical` are those of whole processes. Debezium's begin with the first record that it
//! hands over, without the start of Java and of its connector, and its records are dropped as they are, without Kafka.

use crate::acme::{Acme, Run};
use crate::database::{Database, SLOT};
use crate::files::milliseconds;
use crate::measure::{Moment, Readings, in_turn, process};
use crate::results::{Comparison, Per, Results, Verdict};
use crate::{Options, search};
use acme_lab::debezium;
use anyhow::{Result, ensure};
use std::cell::RefCell;

const COPIED: u64 = 800_000;
const COPIED_BESIDE_DEBEZIUM: u64 = 500_000;
const INSERTED: u64 = 300_000;
/// What a run may take in memory.
const MEMORY: Verdict = Verdict::Under(100.0, "MiB");
/// How soon after the start a row may be out.
const FIRST: Verdict = Verdict::Under(200.0, "ms");

pub(crate) fn all(options: &Options, results: &mut Results) -> Result<()> {
    let mut bench = Bench { options, acme: Acme::new(options.build)?, database: Database::start()? };
    if options.wants("copy", "snapshot") {
        bench.copy(results)?;
    }
    if options.wants("debezium", "snapshot") {
        bench.copy_beside_debezium(results)?;
    }
    if options.wants("recvlogical", "streaming") {
        bench.changes(results)?;
    }
    if options.wants("debezium", "streaming") {
        bench.changes_beside_debezium(results)?;
    }
    if options.wants("none", "first") {
        bench.first_row(results)?;
    }
    if options.wants("bulk", "snapshot") || options.wants("bulk", "streaming") {
        search::all(&mut bench, results)?;
    }
    Ok(())
}

/// What every comparison needs.
pub(crate) struct Bench<'a> {
    pub(crate) options: &'a Options,
    pub(crate) acme: Acme,
    pub(crate) database: Database,
}

impl Bench<'_> {
    fn copy(&self, results: &mut Results) -> Result<()> {
        let rows = self.options.rows(COPIED);
        self.database.table(rows)?;
        let memory = RefCell::new(Readings::default());
        let ours = || self.acme_copies(rows, &memory);
        let theirs = || Ok(process(&mut self.database.copy())?.ms);
        ours()?;
        theirs()?;
        let (ours, theirs) = in_turn(self.options.runs, ours, theirs)?;
        let beside = format!("binary `COPY` by `psql` {}", self.database.version()?);
        results.add(Comparison {
            what: "PostgreSQL → `null`, copy of 800,000 rows",
            beside,
            ours,
            theirs,
            rows,
            per: Per::Second,
            verdict: Verdict::None,
        })?;
        results.add(Comparison::alone("memory, copy of 800,000 rows", memory.into_inner(), MEMORY))
    }

    fn acme_copies(&self, rows: u64, memory: &RefCell<Readings>) -> Result<f64> {
        let pipeline = format!("name: bench-copy\n{}{NULL}", self.database.copying());
        let taken = self.acme.run(&pipeline)?;
        ensure!(self.acme.moved() == Some(rows), "not {rows} rows: {}", self.acme.said());
        memory.borrow_mut().push(taken.peak_mib);
        Ok(taken.ms)
    }

    fn copy_beside_debezium(&self, results: &mut Results) -> Result<()> {
        let rows = self.options.rows(COPIED_BESIDE_DEBEZIUM);
        self.database.table(rows)?;
        let memory = RefCell::default();
        let properties = self.acme.path("debezium.properties");
        let theirs = || {
            self.database.drop_slot(SLOT)?;
            milliseconds(&self.database.debezium(&properties, "orders", "initial", rows)?)
        };
        let (ours, theirs) = in_turn(self.options.runs, || self.acme_copies(rows, &memory), theirs)?;
        self.database.drop_slot(SLOT)?;
        results.add(Comparison {
            what: "PostgreSQL → `null`, copy of 500,000 rows",
            beside: format!("Debezium Engine {}", debezium::VERSION),
            ours,
            theirs,
            rows,
            per: Per::Second,
            verdict: Verdict::AtLeast(20.0),
        })
    }

    fn changes(&mut self, results: &mut Results) -> Result<()> {
        let rows = self.options.rows(INSERTED);
        self.database.changes(rows)?;
        let memory = RefCell::new(Readings::default());
        let ours = || self.acme_follows(rows, &memory);
        let theirs = || {
            self.database.rewind()?;
            Ok(process(&mut self.database.receive())?.ms)
        };
        ours()?;
        theirs()?;
        let (ours, theirs) = in_turn(self.options.runs, ours, theirs)?;
        results.add(Comparison {
            what: "PostgreSQL → `null`, 300,000 inserts",
            beside: format!("`pg_recvlogical` {}", self.database.version()?),
            ours,
            theirs,
            rows,
            per: Per::Second,
            verdict: Verdict::AtLeast(0.8),
        })?;
        results.add(Comparison::alone("memory, 300,000 inserts", memory.into_inner(), MEMORY))
    }

    fn acme_follows(&self, rows: u64, memory: &RefCell<Readings>) -> Result<f64> {
        let pipeline = format!("name: bench-changes\n{}{NULL}", self.database.following("changes", "never"));
        self.acme.forget()?;
        self.database.rewind()?;
        let began = Moment::now();
        let mut run = self.acme.start(&pipeline)?;
        run.wait_for("rows_out", rows)?;
        let ms = began.ms();
        memory.borrow_mut().push(stop(run, rows)?);
        Ok(ms)
    }

    fn changes_beside_debezium(&mut self, results: &mut Results) -> Result<()> {
        let rows = self.options.rows(INSERTED);
        self.database.changes(rows)?;
        let memory = RefCell::default();
        let properties = self.acme.path("debezium.properties");
        let theirs = || {
            self.database.rewind()?;
            milliseconds(&self.database.debezium(&properties, "changes", "no_data", rows)?)
        };
        let (ours, theirs) = in_turn(self.options.runs, || self.acme_follows(rows, &memory), theirs)?;
        results.add(Comparison {
            what: "PostgreSQL → `null`, 300,000 inserts, Debezium",
            beside: format!("Debezium Engine {}", debezium::VERSION),
            ours,
            theirs,
            rows,
            per: Per::Second,
            verdict: Verdict::AtLeast(10.0),
        })
    }

    fn first_row(&self, results: &mut Results) -> Result<()> {
        self.database.table(100)?;
        let pipeline = format!(
            "name: bench-first\n{}destinations: [{{type: stdout}}]\n",
            self.database.following("orders", "initial")
        );
        let first = || {
            let began = Moment::now();
            let mut run = self.acme.start(&pipeline)?;
            run.line()?;
            let ms = began.ms();
            run.stop().map(|_| ms)
        };
        let (mut created, mut resumed) = (Readings::default(), Readings::default());
        for _ in 0..self.options.runs {
            self.acme.forget()?;
            self.database.drop_slot(SLOT)?;
            created.push(first()?);
            self.database.sql("UPDATE orders SET paid = NOT paid WHERE id = 1")?;
            resumed.push(first()?);
        }
        self.database.drop_slot(SLOT)?;
        results.add(Comparison::alone("first row after the start", resumed, FIRST))?;
        results.add(Comparison::alone("first row, slot created", created, FIRST))
    }
}

const NULL: &str = "destinations: [{type: 'null'}]\n";

/// Stops a run that has written so many rows; its memory in MiB.
pub(crate) fn stop(run: Run<'_>, rows: u64) -> Result<f64> {
    let acme = run.acme;
    let memory = run.stop()?;
    ensure!(acme.moved() == Some(rows), "not {rows} rows: {}", acme.said());
    Ok(memory)
}
