//! Writes the rows of one write: to each of its tables one copy and at most two statements.
//!
//! Every attempt stands behind a savepoint. Where the server refuses a value, the attempt is undone and made again in two
//! halves, until the rows that are at fault stand alone; all others are written. Halves are cut from the rows in their own
//! order, not from what they were reduced to, so that a chain of changes that passes a unique value on finds its way.

use super::cells::Cells;
use super::config::{Mode, SinkSettings, Truncate};
use super::input::{self, Columns, Operation, Operations};
use super::plan::{Direct, Plan, Sent, UNDO};
use super::session::{Meaning, Session, meaning, words};
use super::target::{Name, Target, create_table, shown, sql};
use super::{ddl, grow, widen};
use crate::catalog::Fault;
use crate::copy::SIGNATURE;
use crate::wire::{ServerError, WireError, ident};
use acme_connect::{Fate, Fates, Rows};
use acme_types::{Diagnostic, codes};
use arrow::array::{Array, ArrayRef};
use arrow::row::{Row, RowConverter, SortField};
use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::sync::Arc;

/// The class of the server's codes for a value: its length, range or form.
const VALUE: &str = "22";

/// Tables and statements that are remembered at most.
const KNOWN_MAX: usize = 4096;

/// The tables that the session knows, and how rows get into them.
#[derive(Default)]
pub(crate) struct Tables {
    known: HashMap<Name, Known>,
    /// Staging tables that the session has had.
    stages: usize,
}

struct Known {
    target: Target,
    plans: Vec<Arc<Plan>>,
    /// The modes and keys for which it was found to be ready.
    checked: Vec<(Mode, Vec<String>)>,
}

/// The rows of one write that go to one table.
struct Work<'a> {
    plan: Arc<Plan>,
    cells: Vec<Cells>,
    /// The columns of the key.
    keys: Vec<ArrayRef>,
    operations: Operations<'a>,
    /// What to add where a value is refused.
    widen: String,
}

/// Why an attempt failed.
enum Failure {
    /// A row among them cannot be written: the server's code and words.
    Row(String, String),
    /// Nothing can be written now.
    All(Fault),
}

impl Tables {
    /// Whether anything is remembered that may have changed since.
    pub(crate) fn are_known(&self) -> bool {
        !self.known.is_empty()
    }

    /// The transaction is committed, and what it created is there to stay.
    pub(crate) fn settle(&mut self) {
        if self.known.len() > KNOWN_MAX {
            self.known.clear();
        }
    }

    /// Writes all rows of a write, or says what becomes of them.
    pub(crate) async fn write(
        &mut self,
        settings: &SinkSettings,
        session: &mut Session,
        rows: &Rows,
        fates: &mut Fates,
    ) -> Result<(), Fault> {
        let operations = Operations::of(&rows.batch.columns);
        let tables = input::tables(rows, &settings.table, fates).map_err(|message| {
            let help = "name the table, or capture changes of tables";
            Diagnostic::new(&codes::CHANGE_MODE, message).help(help).at(&settings.at_table)
        })?;
        for (name, chosen) in tables {
            let mut chosen = chosen;
            let work = self.work(settings, session, &name, rows, operations, &mut chosen, fates).await?;
            let mut changes = Vec::with_capacity(chosen.len());
            for row in chosen {
                // Where every row is added, what happened to the source's table is one of them.
                let added = work.plan.mode == Mode::Append && settings.truncate == Truncate::Apply;
                if added || operations.of_row(row) != Operation::Truncate {
                    changes.push(row);
                    continue;
                }
                write_some(session, &work, &changes, fates).await?;
                changes.clear();
                self.truncate(settings, session, &name, row, fates).await?;
            }
            write_some(session, &work, &changes, fates).await?;
        }
        Ok(())
    }

    /// Prepares everything for the rows of one table; rows that cannot be written are taken out of `chosen`.
    #[expect(clippy::too_many_arguments, reason = "the parts of one write; a struct would only rename them")]
    async fn work<'a>(
        &mut self,
        settings: &SinkSettings,
        session: &mut Session,
        name: &Name,
        rows: &'a Rows,
        operations: Operations<'a>,
        chosen: &mut Vec<usize>,
        fates: &mut Fates,
    ) -> Result<Work<'a>, Fault> {
        let mode = settings.mode_for(operations.are_changes() || !rows.shape.key.is_empty());
        let columns = self.columns(settings, session, name, rows, mode).await?;
        let known = self.known.get_mut(name).expect("it was found with its columns");
        let key = match mode {
            Mode::Append => Vec::new(),
            Mode::Upsert => key(settings, rows, &known.target)?,
        };
        known.check(settings, mode, &key)?;
        refuse(chosen, &columns.unreadable, fates);
        let cells = known.cells(settings, &columns)?;
        let widen = widen::remedy(&known.target, &columns);
        let mut keys = Vec::new();
        for name in &key {
            let column = columns.find(name).ok_or_else(|| {
                let message = format!(
                    "the rows have no column \"{name}\", which is part of the key of {}",
                    shown(&known.target.name)
                );
                settings.user(message, "keep it in the rows, or name others in `key`").at(&settings.at_key)
            })?;
            if column.null_count() > 0 {
                let without = (0..column.len())
                    .filter(|row| column.is_null(*row) && operations.of_row(*row) != Operation::Truncate);
                let reason = format!("\"{name}\", part of the key, is missing or NULL");
                refuse(chosen, &without.map(|row| (row, reason.clone())).collect::<Vec<_>>(), fates);
            }
            keys.push(column.clone());
        }
        let sent =
            columns.columns.iter().zip(&cells).map(|((name, ..), cells)| Sent::new(name, cells)).collect();
        let plan = known.plan(session, mode, sent, key, &mut self.stages).await?;
        Ok(Work { plan, cells, keys, operations, widen })
    }

    /// The columns of the rows; finds or creates their table on the way, which documents need to be read.
    async fn columns(
        &mut self,
        settings: &SinkSettings,
        session: &mut Session,
        name: &Name,
        rows: &Rows,
        mode: Mode,
    ) -> Result<Columns, Fault> {
        if !self.known.contains_key(name)
            && let Some(target) = Target::find(session, name).await?
        {
            self.known.insert(name.clone(), Known::new(target));
        }
        let key = |columns: &[(String, String)]| {
            let key = if settings.key.is_empty() { visible_key(rows) } else { settings.key.clone() };
            let whole = mode == Mode::Upsert
                && key.iter().all(|name| columns.iter().any(|(column, _)| column == name));
            if whole { key } else { Vec::new() }
        };
        if let Some(columns) = Columns::typed(rows) {
            if !self.known.contains_key(name) {
                let columns = ddl::typed(&columns);
                self.create(settings, session, name, &columns, &key(&columns)).await?;
            }
            let target = &self.known.get(name).expect("it was created otherwise").target;
            let (columns, grown) = grow::typed(settings, session, target, columns).await?;
            return self.again(session, name, grown).await.map(|()| columns);
        }
        let encoded = input::encode(rows)?;
        if !self.known.contains_key(name) {
            let columns = ddl::documents(&encoded);
            self.create(settings, session, name, &columns, &key(&columns)).await?;
        }
        let target = &self.known.get(name).expect("it was created otherwise").target;
        let grown = grow::documents(settings, session, target, &encoded).await?;
        self.again(session, name, grown).await?;
        Ok(Columns::documents(&encoded, &self.known[name].target))
    }

    /// Looks at a table again that has grown.
    async fn again(&mut self, session: &mut Session, name: &Name, grown: bool) -> Result<(), Fault> {
        if grown && let Some(target) = Target::find(session, name).await? {
            self.known.insert(name.clone(), Known::new(target));
        }
        Ok(())
    }

    async fn create(
        &mut self,
        settings: &SinkSettings,
        session: &mut Session,
        name: &Name,
        columns: &[(String, String)],
        key: &[String],
    ) -> Result<(), Fault> {
        let ddl = create_table(name, columns, key);
        if !settings.create {
            return Err(settings.missing(name, Some(&ddl)).into());
        }
        let schema = format!(
            "SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = {}",
            crate::wire::literal(&name.0)
        );
        if session.query(&schema).await?.is_empty() {
            session.query(&format!("CREATE SCHEMA IF NOT EXISTS {}", ident(&name.0))).await?;
        }
        session.query(&ddl).await?;
        // What was created is said; where nobody listens it is not missed.
        let _ = writeln!(std::io::stderr().lock(), "{}: {ddl}", settings.item);
        let target = Target::find(session, name).await?.ok_or_else(|| settings.missing(name, Some(&ddl)))?;
        self.known.insert(name.clone(), Known::new(target));
        Ok(())
    }

    /// Empties a table, as the source did.
    async fn truncate(
        &mut self,
        settings: &SinkSettings,
        session: &mut Session,
        name: &Name,
        row: usize,
        fates: &mut Fates,
    ) -> Result<(), Fault> {
        match settings.truncate {
            Truncate::Apply => {}
            Truncate::Ignore => return Ok(()),
            Truncate::Reject => {
                let reason = "the source was truncated; set `truncate` to apply or ignore".to_owned();
                fates.push((row, Fate::Reject { reason }));
                return Ok(());
            }
        }
        let truncates = self.known.get(name).is_some_and(|known| known.target.truncates());
        let statements = [format!("TRUNCATE {}", sql(name)), format!("DELETE FROM {}", sql(name))];
        // A table that others refer to cannot be truncated, but emptied.
        for statement in &statements[usize::from(!truncates)..] {
            match session.query(&format!("SAVEPOINT acme; {statement}; RELEASE SAVEPOINT acme")).await {
                Ok(_) => return Ok(()),
                Err(WireError::Server(error)) if error.code == "0A000" => {
                    session.query(UNDO).await?;
                }
                Err(WireError::Server(error)) if meaning(&error) == Meaning::Row => {
                    session.query(UNDO).await?;
                    fates.push((row, Fate::Reject { reason: words(&error) }));
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

impl Known {
    fn new(target: Target) -> Self {
        Self { target, plans: Vec::new(), checked: Vec::new() }
    }

    fn check(&mut self, settings: &SinkSettings, mode: Mode, key: &[String]) -> Result<(), Fault> {
        if self.checked.iter().any(|(known, columns)| *known == mode && columns == key) {
            return Ok(());
        }
        if let Some(diagnostic) = self.target.faults(settings, mode, key).into_iter().next() {
            return Err(diagnostic.into());
        }
        self.checked.push((mode, key.to_vec()));
        Ok(())
    }

    fn cells(&self, settings: &SinkSettings, columns: &Columns) -> Result<Vec<Cells>, Fault> {
        let table = || shown(&self.target.name);
        let mut cells = Vec::with_capacity(columns.columns.len());
        for (name, field, array) in &columns.columns {
            let column = self.target.column(name).expect("the table has grown to have it");
            if column.generated {
                let message = format!("column \"{name}\" of table {} is computed by the server", table());
                return Err(settings.user(message, "leave it out of the rows").at(&settings.at_table).into());
            }
            cells.push(Cells::new(field, array, column).map_err(|cause| {
                let message =
                    format!("column \"{name}\" of table {} cannot be written: the stream's {cause}", table());
                settings.user(message, "cast it in a step before")
            })?);
        }
        Ok(cells)
    }

    async fn plan(
        &mut self,
        session: &mut Session,
        mode: Mode,
        sent: Vec<Sent>,
        key: Vec<String>,
        stages: &mut usize,
    ) -> Result<Arc<Plan>, Fault> {
        if let Some(plan) = self.plans.iter().find(|plan| plan.fits(mode, &sent, &key)) {
            return Ok(plan.clone());
        }
        *stages += 1;
        let plan = Arc::new(Plan::new(&self.target, mode, sent, key, *stages));
        if plan.is_staged() {
            session.query(&plan.create).await?;
        }
        self.plans.push(plan.clone());
        Ok(plan)
    }
}

/// The columns that identify a row.
fn key(settings: &SinkSettings, rows: &Rows, target: &Target) -> Result<Vec<String>, Fault> {
    if !settings.key.is_empty() {
        return Ok(settings.key.clone());
    }
    let key = visible_key(rows);
    if key.is_empty() { Ok(target.primary.clone()) } else { Ok(key) }
}

/// The key of the stream under the names that its columns have in the rows; empty where one of them was left out.
fn visible_key(rows: &Rows) -> Vec<String> {
    let name = |internal: &String| {
        let column = rows.shape.columns.iter().find(|(_, column)| column == internal);
        column.map(|(name, _)| name.clone())
    };
    rows.shape.key.iter().map(name).collect::<Option<_>>().unwrap_or_default()
}

/// Takes rows out that cannot be written.
fn refuse(chosen: &mut Vec<usize>, bad: &[(usize, String)], fates: &mut Fates) {
    for (row, reason) in bad {
        if let Ok(at) = chosen.binary_search(row) {
            chosen.remove(at);
            fates.push((*row, Fate::Reject { reason: reason.clone() }));
        }
    }
}

/// Writes rows of one table that contain no TRUNCATE.
async fn write_some(
    session: &mut Session,
    work: &Work<'_>,
    rows: &[usize],
    fates: &mut Fates,
) -> Result<(), Fault> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut left = vec![rows];
    while let Some(rows) = left.pop() {
        match attempt(session, work, rows).await {
            Ok(()) => {}
            Err(Failure::All(fault)) => return Err(fault),
            Err(Failure::Row(code, mut reason)) if rows.len() == 1 => {
                if code.starts_with(VALUE) {
                    reason += &work.widen;
                }
                fates.push((rows[0], Fate::Reject { reason }));
            }
            Err(Failure::Row(..)) => {
                let (first, second) = rows.split_at(rows.len() / 2);
                left.push(second);
                left.push(first);
            }
        }
    }
    Ok(())
}

/// Writes rows all at once, or none of them.
async fn attempt(session: &mut Session, work: &Work<'_>, rows: &[usize]) -> Result<(), Failure> {
    let plan = &work.plan;
    let last = latest(work, rows).map_err(|error| Failure::All(error.into()))?;
    if let Some(direct) = &plan.direct
        && last.len() >= Direct::ROWS_MIN
        && last.iter().all(|row| work.operations.is_insert(*row))
        && direct.is_due()
    {
        let (data, ..) = packed(work, &last, false)?;
        match session.copy(&direct.begin, &data, "RELEASE SAVEPOINT acme").await {
            Err(WireError::Server(error)) if meaning(&error) != Meaning::Again => {
                session.query(UNDO).await.map_err(|error| Failure::All(error.into()))?;
                direct.wait();
            }
            done => return done.map_err(|error| Failure::All(error.into())),
        }
    }
    let (data, puts, deletes) = packed(work, &last, plan.is_staged())?;
    let then = match (puts, deletes) {
        (true, true) => &plan.apply,
        (_, false) => &plan.upsert,
        (false, true) => &plan.delete,
    };
    match session.copy(&plan.begin, &data, then).await {
        Ok(()) => Ok(()),
        Err(WireError::Server(error)) if is_of_rows(&error) => {
            session.query(UNDO).await.map_err(|error| Failure::All(error.into()))?;
            Err(Failure::Row(error.code.clone(), words(&error)))
        }
        Err(error) => Err(Failure::All(error.into())),
    }
}

/// The rows as a copy wants them, with a column in front that says which are gone if they are `staged`; and whether there are
/// rows to put and rows to delete among them.
fn packed(work: &Work<'_>, rows: &[usize], staged: bool) -> Result<(Vec<u8>, bool, bool), Failure> {
    let (mut data, mut puts, mut deletes) = (header(), false, false);
    let width = i16::try_from(work.cells.len() + usize::from(staged)).unwrap_or(i16::MAX);
    for &row in rows {
        let gone = work.plan.mode == Mode::Upsert && work.operations.of_row(row) == Operation::Delete;
        puts |= !gone;
        deletes |= gone;
        data.extend_from_slice(&width.to_be_bytes());
        if staged {
            data.extend_from_slice(&[0, 0, 0, 1, u8::from(gone)]);
        }
        for cells in &work.cells {
            cells.write(row, &mut data).map_err(|cause| Failure::Row(VALUE.to_owned(), cause))?;
        }
    }
    data.extend_from_slice(&(-1_i16).to_be_bytes());
    Ok((data, puts, deletes))
}

fn is_of_rows(error: &ServerError) -> bool {
    meaning(error) == Meaning::Row
}

fn header() -> Vec<u8> {
    let mut data = SIGNATURE.to_vec();
    // No flags, no extension.
    data.extend_from_slice(&[0; 8]);
    data
}

/// The last change of each key, in their order: what came before it does not count.
fn latest(work: &Work<'_>, rows: &[usize]) -> Result<Vec<usize>, Diagnostic> {
    if work.plan.mode == Mode::Append || rows.len() == 1 {
        return Ok(rows.to_vec());
    }
    let internal = |error| Diagnostic::new(&codes::INTERNAL, format!("keys cannot be compared: {error}"));
    let fields = work.keys.iter().map(|array| SortField::new(array.data_type().clone())).collect();
    let converter = RowConverter::new(fields).map_err(internal)?;
    let keys = converter.convert_columns(&work.keys).map_err(internal)?;
    let mut seen: HashSet<Row<'_>> = HashSet::with_capacity(rows.len());
    let mut last: Vec<usize> = rows.iter().rev().copied().filter(|row| seen.insert(keys.row(*row))).collect();
    last.reverse();
    Ok(last)
}
