//! From statements to a job: which table is read, which is written, and what each of them is.

use super::connectors::{Meant, Use, meaning};
use super::lexer::place;
use super::query::ParsedQuery;
use super::settings;
use super::statement::{CreateView, Dropped, InsertInto, Statement, only_in_a_shell};
use super::table::{CreateTable, SqlOption};
use super::{Insert, SqlJob, SqlTable, SqlView};
use crate::check::Checker;
use crate::pipeline::{ErrorPolicy, Reference};
use crate::suggest;
use acme_types::codes::{DUPLICATE, MISSING_KEY, TABLE_USE, UNKNOWN_FIELD, UNKNOWN_TABLE, UNUSED};
use acme_types::{Diagnostic, Place, Role, Spec};
use sqlparser::ast::{Query, SelectItem, SetExpr};
use std::collections::BTreeMap;

/// What a name stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Named {
    Table(usize),
    View(usize),
}

/// A table and how it is used so far.
struct Table {
    create: CreateTable,
    read_at: Option<Place>,
    written_at: Option<Place>,
}

/// A view and whether it is used.
struct View {
    create: CreateView,
    is_read: bool,
}

/// The names that hold at a statement, and everything that was declared.
#[derive(Default)]
struct Scope {
    names: BTreeMap<String, Named>,
    /// Every name that the file declares anywhere, and where first.
    declared: Vec<Reference>,
    tables: Vec<Table>,
    views: Vec<View>,
    inserts: Vec<Insert>,
}

/// Puts the statements together; what is wrong is reported.
pub(crate) fn job(
    statements: Vec<Statement>,
    at: &Place,
    specs: &[&'static Spec],
    checker: &mut Checker<'_>,
) -> Option<SqlJob> {
    let mut scope = Scope::default();
    for statement in &statements {
        match statement {
            Statement::CreateTable(table) => scope.declared.push(table.name.clone()),
            Statement::CreateView(view) => scope.declared.push(view.name.clone()),
            _ => {}
        }
    }
    let mut options: Vec<SqlOption> = Vec::new();
    for statement in statements {
        match statement {
            Statement::CreateTable(table) => scope.table(*table, checker),
            Statement::CreateView(view) => scope.view(view, checker),
            Statement::Insert(insert) => scope.insert(insert, checker),
            Statement::Drop(dropped) => scope.drop_name(&dropped, checker),
            Statement::Set(option) => options.push(option),
            Statement::Shell(shell, at) => checker.push(only_in_a_shell(&shell, &at)),
            Statement::Query(query) => {
                let help = "write INSERT INTO and the name of a table in front of it";
                let message = "the rows of this query go nowhere";
                checker.push(Diagnostic::new(&TABLE_USE, message).at(&query.at).help(help));
            }
        }
    }
    let (mut settings, dead_letters) = settings::read(&options, at, checker);
    if let Some(to) = dead_letters {
        // What it says is wrong does not make another mistake of the policy.
        if let Some(index) = scope.written(&to, checker)
            && let ErrorPolicy::DeadLetter(_) = settings.settings.errors
        {
            settings.settings.errors = ErrorPolicy::DeadLetter(index);
        }
    }
    let tables = scope.tables(specs, checker);
    let failed = checker.found.iter().any(|diagnostic| !diagnostic.warning);
    if scope.inserts.is_empty() && !failed {
        let help = "write INSERT INTO table SELECT … FROM table;";
        checker.push(Diagnostic::new(&MISSING_KEY, "the file has no INSERT").at(at).help(help));
    } else if !failed {
        // Where a statement was not understood, what it uses is not known.
        scope.report_unused(tables.as_deref().unwrap_or_default(), checker);
    }
    let views = scope.views.into_iter().map(|view| view.create);
    let views = views.map(|CreateView { name, columns, query, .. }| SqlView { name, columns, query });
    Some(SqlJob { tables: tables?, views: views.collect(), inserts: scope.inserts, settings })
}

impl Scope {
    /// Takes a name, unless it is taken; then it is reported, or `IF NOT EXISTS` says that it is all right.
    fn declare(
        &mut self,
        name: &Reference,
        if_not_exists: bool,
        named: Named,
        checker: &mut Checker<'_>,
    ) -> bool {
        let used = self.tables.iter().any(|table| table.create.name.name == name.name)
            || self.views.iter().any(|view| view.create.name.name == name.name);
        if self.names.contains_key(&name.name) && if_not_exists {
            return false;
        }
        if used {
            let message = format!("the name \"{}\" is used twice", name.name);
            let help = match self.names.contains_key(&name.name) {
                true => "give each table and view a name of its own",
                false => "take another name: what was dropped is still a part of the pipeline",
            };
            checker.push(Diagnostic::new(&DUPLICATE, message).at(&name.at).help(help));
            return false;
        }
        self.names.insert(name.name.clone(), named);
        true
    }

    fn table(&mut self, create: CreateTable, checker: &mut Checker<'_>) {
        let named = Named::Table(self.tables.len());
        if self.declare(&create.name, create.if_not_exists, named, checker) {
            self.tables.push(Table { create, read_at: None, written_at: None });
        }
    }

    fn view(&mut self, create: CreateView, checker: &mut Checker<'_>) {
        let itself = create
            .query
            .reads
            .iter()
            .find(|read| read.name == create.name.name && !self.names.contains_key(&create.name.name));
        if let Some(itself) = itself {
            let message = format!("the view \"{}\" reads itself", create.name.name);
            checker.push(Diagnostic::new(&UNKNOWN_TABLE, message).at(&itself.at));
        } else {
            self.query(&create.query, checker);
        }
        let given = create.columns.len();
        if let Some(width) = width(&create.query.query).filter(|width| given > 0 && *width != given) {
            let message = format!("the query has {}, and the view names {given}", counted(width, "column"));
            checker.push(Diagnostic::new(&TABLE_USE, message).at(&create.columns[0].at));
        }
        twice(&create.columns, checker);
        let named = Named::View(self.views.len());
        if self.declare(&create.name, create.if_not_exists, named, checker) {
            self.views.push(View { create, is_read: false });
        }
    }

    fn drop_name(&mut self, dropped: &Dropped, checker: &mut Checker<'_>) {
        let Dropped { name, is_view, if_exists } = dropped;
        match self.names.get(&name.name) {
            None if *if_exists => {}
            None => drop(self.find(name, checker)),
            Some(named) if matches!(named, Named::View(_)) != *is_view => {
                let (is, help) = match is_view {
                    true => ("a table", "write DROP TABLE"),
                    false => ("a view", "write DROP VIEW"),
                };
                let message = format!("\"{}\" is {is}", name.name);
                checker.push(Diagnostic::new(&TABLE_USE, message).at(&name.at).help(help));
            }
            Some(Named::Table(index)) => {
                // What nothing has used is gone.
                let table = &self.tables[*index];
                let is_last = index + 1 == self.tables.len();
                let unused = table.read_at.is_none() && table.written_at.is_none();
                self.names.remove(&name.name);
                if is_last && unused {
                    self.tables.pop();
                }
            }
            Some(Named::View(_)) => drop(self.names.remove(&name.name)),
        }
    }

    fn insert(&mut self, insert: InsertInto, checker: &mut Checker<'_>) {
        self.query(&insert.query, checker);
        let Some(table) = self.written(&insert.table, checker) else { return };
        let InsertInto { table: name, columns, query } = insert;
        check_columns(&self.tables[table].create, &name, &columns, &query, checker);
        self.inserts.push(Insert { table, at: name.at, columns, query });
    }

    /// The columns that windows name must be there, where the columns of their table are known.
    fn windows(&self, query: &ParsedQuery, checker: &mut Checker<'_>) {
        for window in &query.windows {
            let table_at = place(&query.at.file, window.table_span);
            // What has the name of a table may be a query of WITH.
            let is_read = query.reads.iter().any(|read| read.at == table_at);
            let Some(Named::Table(index)) = self.names.get(&window.table).filter(|_| is_read) else {
                continue;
            };
            let columns = &self.tables[*index].create.columns;
            let known: Vec<&str> = columns.iter().map(|column| &*column.name).collect();
            let time = (&window.time, place(&query.at.file, window.time_span));
            let keys = window.partition_by.iter().map(|key| (key, table_at.clone()));
            for (name, at) in std::iter::once(time).chain(keys) {
                if !known.is_empty() && !known.contains(&&**name) {
                    let message = format!("the table \"{}\" has no column \"{name}\"", window.table);
                    let help = suggest::help(name, &known, "columns");
                    checker.push(Diagnostic::new(&UNKNOWN_FIELD, message).at(&at).help(help));
                }
            }
        }
    }

    /// What a query reads, and where its late rows go.
    fn query(&mut self, query: &ParsedQuery, checker: &mut Checker<'_>) {
        for read in &query.reads {
            match self.find(read, checker) {
                Some(Named::Table(index)) => drop(self.tables[index].read_at.get_or_insert(read.at.clone())),
                Some(Named::View(index)) => self.views[index].is_read = true,
                None => {}
            }
        }
        self.windows(query, checker);
        for late in &query.late {
            self.written(&late.table, checker);
        }
    }

    /// The table into which rows go.
    fn written(&mut self, name: &Reference, checker: &mut Checker<'_>) -> Option<usize> {
        match self.find(name, checker)? {
            Named::Table(index) => {
                self.tables[index].written_at.get_or_insert(name.at.clone());
                Some(index)
            }
            Named::View(_) => {
                let message = format!("\"{}\" is a view, and rows go into tables only", name.name);
                checker.push(Diagnostic::new(&TABLE_USE, message).at(&name.at));
                None
            }
        }
    }

    fn find(&self, name: &Reference, checker: &mut Checker<'_>) -> Option<Named> {
        if let Some(named) = self.names.get(&name.name) {
            return Some(*named);
        }
        let message = format!("there is no table or view \"{}\"", name.name);
        let later = |declared: &&Reference| {
            declared.name == name.name
                && (declared.at.line, declared.at.column) > (name.at.line, name.at.column)
        };
        let help = match self.declared.iter().find(later) {
            Some(declared) => format!("it is declared in line {}: move that up", declared.at.line),
            None if self.declared.iter().any(|declared| declared.name == name.name) => {
                "it is dropped before, or its declaration is wrong".to_owned()
            }
            None => {
                let known: Vec<&str> = self.names.keys().map(String::as_str).collect();
                suggest::help(&name.name, &known, "tables and views")
            }
        };
        checker.push(Diagnostic::new(&UNKNOWN_TABLE, message).at(&name.at).help(help));
        None
    }

    fn report_unused(&self, tables: &[SqlTable], checker: &mut Checker<'_>) {
        for SqlTable { name, .. } in tables.iter().filter(|table| !table.is_used) {
            let message = format!("nothing reads or writes the table \"{}\"", name.name);
            checker.push(Diagnostic::warning(&UNUSED, message).at(&name.at));
        }
        for view in self.views.iter().filter(|view| !view.is_read) {
            let name = &view.create.name;
            let message = format!("nothing reads the view \"{}\"", name.name);
            checker.push(Diagnostic::warning(&UNUSED, message).at(&name.at));
        }
    }

    /// Every table with what its options mean; nothing where one has no meaning.
    fn tables(&mut self, specs: &[&'static Spec], checker: &mut Checker<'_>) -> Option<Vec<SqlTable>> {
        let mut tables = Vec::new();
        let mut complete = true;
        for Table { create, read_at, written_at } in std::mem::take(&mut self.tables) {
            if let (Some(read), Some(written)) = (&read_at, &written_at) {
                let message = format!("the table \"{}\" is both read and written", create.name.name);
                let help =
                    "declare two tables, one to read and one to write; a view keeps rows inside the pipeline";
                let at = read.max(written);
                checker.push(Diagnostic::new(&TABLE_USE, message).at(at).help(help));
            }
            let used: Use<'_> = match (&read_at, &written_at) {
                (Some(at), _) => Some((Role::Source, at)),
                (None, Some(at)) => Some((Role::Destination, at)),
                (None, None) => None,
            };
            let is_used = used.is_some();
            let Some(Meant { item, bounded, skips_errors }) = meaning(&create, used, specs, checker) else {
                complete = false;
                continue;
            };
            let CreateTable { name, columns, watermark, primary_key, .. } = create;
            tables.push(SqlTable {
                name,
                columns,
                watermark,
                primary_key,
                item,
                is_used,
                is_bounded: bounded,
                skips_parse_errors: skips_errors,
            });
        }
        complete.then_some(tables)
    }
}

/// Whether the rows of an INSERT have the columns of their table.
fn check_columns(
    table: &CreateTable,
    name: &Reference,
    columns: &[Reference],
    query: &ParsedQuery,
    checker: &mut Checker<'_>,
) {
    let written: Vec<&str> =
        table.columns.iter().filter(|column| column.is_written()).map(|column| &*column.name).collect();
    if written.is_empty() {
        return;
    }
    for column in columns.iter().filter(|column| !written.contains(&&*column.name)) {
        let exists = table.columns.iter().any(|known| known.name == column.name);
        let diagnostic = if exists {
            let message = format!("the column \"{}\" cannot be written", column.name);
            Diagnostic::new(&UNKNOWN_FIELD, message).help("it is computed, or read from the connector")
        } else {
            let message = format!("the table \"{}\" has no column \"{}\"", name.name, column.name);
            Diagnostic::new(&UNKNOWN_FIELD, message).help(suggest::help(&column.name, &written, "columns"))
        };
        checker.push(diagnostic.at(&column.at));
    }
    twice(columns, checker);
    let wanted = if columns.is_empty() { written.len() } else { columns.len() };
    if let Some(width) = width(&query.query).filter(|width| *width != wanted) {
        let (message, help) = match columns.is_empty() {
            true => (
                format!(
                    "the query has {}, and the table \"{}\" has {wanted}",
                    counted(width, "column"),
                    name.name
                ),
                format!("the columns of the table are {}", written.join(", ")),
            ),
            false => (
                format!("the query has {}, and {wanted} are named", counted(width, "column")),
                "select as many columns as are named behind the table".to_owned(),
            ),
        };
        checker.push(Diagnostic::new(&TABLE_USE, message).at(&name.at).help(help));
    }
}

fn twice(columns: &[Reference], checker: &mut Checker<'_>) {
    for (index, column) in columns.iter().enumerate() {
        if columns[..index].iter().any(|other| other.name == column.name) {
            let message = format!("the column \"{}\" is named twice", column.name);
            checker.push(Diagnostic::new(&DUPLICATE, message).at(&column.at));
        }
    }
}

fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// How many columns a query has, where its text alone says so.
fn width(query: &Query) -> Option<usize> {
    body_width(&query.body)
}

fn body_width(body: &SetExpr) -> Option<usize> {
    match body {
        SetExpr::Select(select) => {
            let single = |item: &SelectItem| {
                matches!(item, SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. })
            };
            select.projection.iter().all(single).then_some(select.projection.len())
        }
        SetExpr::Query(query) => width(query),
        SetExpr::SetOperation { left, right, .. } => body_width(left).or_else(|| body_width(right)),
        SetExpr::Values(values) => values.rows.first().map(|row| row.len()),
        _ => None,
    }
}
