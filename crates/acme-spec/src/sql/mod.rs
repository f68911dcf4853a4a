//! Pipelines as files of SQL, in the words of Flink: text to a checked [`SqlJob`], with *all* that is wrong in it at once.
//!
//! ```text
//! text ─► tokens (lexer) ─► statements (statement, table) ─► job (names, uses, settings)
//!                             │ queries: windows ─► sqlparser ─► group_windows
//!                             └ WITH (…): connectors ─► the item of a pipeline file ─► its SPEC
//! ```
//!
//! Nothing is planned and nothing runs here. Queries stay sqlparser's trees, in the version that DataFusion has, with
//! Flink's own spellings made plain: a window is a call that [`window_call`] reads, and a table's name one word. Values are
//! checked, with `${…}` put in, like those of a pipeline file.

mod connectors;
mod group_windows;
mod interval;
mod job;
mod lexer;
mod query;
mod settings;
mod statement;
mod table;
#[cfg(test)]
mod tests;
mod types;
mod windows;

pub use interval::interval_us;
pub use lexer::{StreamDialect, place};
pub use query::ParsedQuery;
pub use settings::SqlSettings;
pub use sqlparser;
pub use statement::{CreateView, Dropped, InsertInto, Shell, Statement, parse_statements};
pub use table::{Column, ColumnKind, CreateTable, SqlOption, Watermark};
pub use types::ColumnType;
pub use windows::{LateInto, WindowCall, WindowKind, window_call};

use crate::check::{Checker, Spelling};
use crate::interpolate::Environment;
use crate::pipeline::{Item, Reference};
use acme_types::{Diagnostic, Place, Spec};
use std::sync::Arc;

/// A whole file: what is read, what is computed, what is written.
#[derive(Clone, Debug)]
pub struct SqlJob {
    /// The tables in the order of the file, also those that nothing uses. No name stands twice among tables and views.
    pub tables: Vec<SqlTable>,
    /// The views in the order of the file: each reads tables and views before it only.
    pub views: Vec<SqlView>,
    /// What runs; at least one.
    pub inserts: Vec<Insert>,
    /// What the SETs say.
    pub settings: SqlSettings,
}

/// A table that was declared.
#[derive(Clone, Debug)]
pub struct SqlTable {
    /// Its name, which is its item's too.
    pub name: Reference,
    /// Its columns in their order; empty where the records say what they have.
    pub columns: Vec<Column>,
    /// Its watermark.
    pub watermark: Option<Watermark>,
    /// The columns of its PRIMARY KEY; empty where it has none.
    pub primary_key: Vec<Reference>,
    /// The source or destination that its options mean: a source where the table is read, or only could be.
    pub item: Item,
    /// An INSERT or a view reads it, or rows go into it.
    pub is_used: bool,
    /// Its options say that its rows end: a file that is not watched, a topic up to its end.
    pub is_bounded: bool,
    /// Its options ask for records to be left out that cannot be parsed. A setting of the whole job does that here.
    pub skips_parse_errors: bool,
}

/// A view: a query with a name.
#[derive(Clone, Debug)]
pub struct SqlView {
    /// Its name.
    pub name: Reference,
    /// Names for its columns; empty where they are those of the query.
    pub columns: Vec<Reference>,
    /// The query.
    pub query: ParsedQuery,
}

/// Rows of a query that go into a table.
#[derive(Clone, Debug)]
pub struct Insert {
    /// The index of the table.
    pub table: usize,
    /// Where the table's name stands.
    pub at: Place,
    /// The columns that are written; empty where all are, in their order.
    pub columns: Vec<Reference>,
    /// The query.
    pub query: ParsedQuery,
}

impl SqlJob {
    /// The table of this name.
    #[must_use]
    pub fn table(&self, name: &str) -> Option<&SqlTable> {
        self.tables.iter().find(|table| table.name.name == name)
    }

    /// The view of this name.
    #[must_use]
    pub fn view(&self, name: &str) -> Option<&SqlView> {
        self.views.iter().find(|view| view.name.name == name)
    }

    /// The tables that are read, by their index.
    pub fn sources(&self) -> impl Iterator<Item = usize> {
        (0..self.tables.len()).filter(|index| {
            let table = &self.tables[*index];
            table.is_used && table.item.spec.role == acme_types::Role::Source
        })
    }

    /// Whether all that is read ends by itself.
    #[must_use]
    pub fn is_bounded(&self) -> bool {
        self.sources().all(|index| self.tables[index].is_bounded)
    }
}

/// Reads a file of SQL.
///
/// `file` is the name for messages, `specs` the descriptions of all connectors. The job comes back only when no error was
/// found; warnings may stand beside it.
pub fn parse_sql(
    file: &str,
    text: &str,
    specs: &[&'static Spec],
    environment: &dyn Environment,
) -> (Option<SqlJob>, Vec<Diagnostic>) {
    let (statements, found) = parse_statements(file, text, environment);
    let mut checker = Checker { environment, spelling: Spelling::Sql, found };
    let start = Place { file: Arc::from(file), line: 1, column: 1 };
    let job = job::job(statements, &start, specs, &mut checker);
    let mut found = checker.found;
    found.sort_by_key(|diagnostic| diagnostic.at.as_ref().map(|at| (at.line, at.column)));
    found.dedup();
    let failed = found.iter().any(|diagnostic| !diagnostic.warning);
    (job.filter(|_| !failed), found)
}
