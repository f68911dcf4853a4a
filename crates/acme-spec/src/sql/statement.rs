//! The statements of a file or of the shell, one after the other.

use super::lexer::{Cursor, Piece, is_word, pieces};
use super::query::{ParsedQuery, Source, query};
use super::table::{CreateTable, SqlOption, create_table, names, option};
use crate::interpolate::Environment;
use crate::pipeline::Reference;
use crate::suggest;
use acme_types::codes::{IGNORED, SYNTAX};
use acme_types::{Diagnostic, Place};
use sqlparser::tokenizer::Token;
use std::sync::Arc;

/// One statement.
#[derive(Clone, Debug)]
pub enum Statement {
    /// `CREATE TABLE`
    CreateTable(Box<CreateTable>),
    /// `CREATE VIEW`
    CreateView(CreateView),
    /// `DROP TABLE`, `DROP VIEW`
    Drop(Dropped),
    /// `INSERT INTO`
    Insert(InsertInto),
    /// A query by itself, whose rows only a shell can show.
    Query(ParsedQuery),
    /// `SET 'key' = 'value'`
    Set(SqlOption),
    /// `SHOW …`, `DESCRIBE …`, `EXPLAIN …` and the like: for the shell.
    Shell(Shell, Place),
}

/// `CREATE VIEW name (columns) AS query`
#[derive(Clone, Debug)]
pub struct CreateView {
    /// The view's name.
    pub name: Reference,
    /// `IF NOT EXISTS`
    pub if_not_exists: bool,
    /// Names for its columns; empty where they are those of the query.
    pub columns: Vec<Reference>,
    /// What it holds.
    pub query: ParsedQuery,
}

/// `DROP TABLE name`
#[derive(Clone, Debug)]
pub struct Dropped {
    /// The name.
    pub name: Reference,
    /// A view, not a table.
    pub is_view: bool,
    /// `IF EXISTS`
    pub if_exists: bool,
}

/// `INSERT INTO table (columns) query`
#[derive(Clone, Debug)]
pub struct InsertInto {
    /// The table.
    pub table: Reference,
    /// The columns that are written; empty where all are, in their order.
    pub columns: Vec<Reference>,
    /// The rows.
    pub query: ParsedQuery,
}

/// What only a shell does.
#[derive(Clone, Debug)]
pub enum Shell {
    /// `SHOW TABLES`
    Tables,
    /// `SHOW VIEWS`
    Views,
    /// `SHOW CREATE TABLE name`, `SHOW CREATE VIEW name`
    ShowCreate(Reference),
    /// `DESCRIBE name`, `SHOW COLUMNS FROM name`
    Describe(Reference),
    /// `EXPLAIN` of a query or an INSERT.
    Explain(Box<Statement>),
    /// `SET;`
    Settings,
    /// `RESET`, of one key or of all.
    Reset(Option<String>),
}

/// The first words of statements, for suggestions.
const KNOWN: &[&str] =
    &["CREATE", "DROP", "INSERT", "SELECT", "SET", "EXECUTE", "BEGIN", "SHOW", "DESCRIBE", "EXPLAIN"];

/// Reads all statements of a text. What is wrong with one leaves the others.
///
/// `file` is the name for messages; `${…}` in queries are replaced, those of options are not yet.
pub fn parse_statements(
    file: &str,
    text: &str,
    environment: &dyn Environment,
) -> (Vec<Statement>, Vec<Diagnostic>) {
    let file: Arc<str> = Arc::from(file);
    let mut found = Vec::new();
    let mut statements = Vec::new();
    let source = Source { file: &file, environment };
    let mut set: Option<Place> = None;
    for piece in pieces(&file, text, &mut found) {
        let Piece { tokens, end } = &piece;
        let mut cursor = Cursor::new(&file, tokens, *end);
        let at = cursor.place();
        let opens =
            cursor.words(&["EXECUTE", "STATEMENT", "SET"]) || cursor.words(&["BEGIN", "STATEMENT", "SET"]);
        if opens {
            cursor.words(&["BEGIN"]);
            if let Some(before) = set.replace(at.clone()) {
                found.push(open_set(&before));
            }
        } else if cursor.words(&["END"]) && cursor.is_done() {
            if set.take().is_none() {
                let message = "END ends no statement set";
                found.push(Diagnostic::new(&SYNTAX, message).at(&at));
            }
            continue;
        }
        if opens && cursor.is_done() {
            continue;
        }
        if set.is_some() && !cursor.is_word(0, "INSERT") {
            let message = "a statement set holds INSERTs only";
            let help = "end it with END; or write the statement in front of it";
            found.push(Diagnostic::new(&SYNTAX, message).at(&cursor.place()).help(help));
        }
        match statement(&mut cursor, source, &mut found) {
            Ok(Some(statement)) => statements.push(statement),
            Ok(None) => {}
            Err(diagnostic) => found.push(diagnostic),
        }
    }
    if let Some(at) = set {
        found.push(open_set(&at));
    }
    (statements, found)
}

fn open_set(at: &Place) -> Diagnostic {
    Diagnostic::new(&SYNTAX, "the statement set is never ended")
        .at(at)
        .help("write END; behind its last INSERT")
}

/// Reads one statement; nothing where it was reported or has no effect.
fn statement(
    cursor: &mut Cursor<'_>,
    source: Source<'_>,
    found: &mut Vec<Diagnostic>,
) -> Result<Option<Statement>, Diagnostic> {
    let at = cursor.place();
    if cursor.words(&["CREATE"]) {
        return create(cursor, source, found);
    }
    if cursor.words(&["DROP"]) {
        return drop_statement(cursor, &at).map(Some);
    }
    if cursor.is_word(0, "INSERT") {
        return insert(cursor, source, found);
    }
    if cursor.is_word(0, "SELECT") || cursor.is_word(0, "WITH") || cursor.peek() == Some(&Token::LParen) {
        let (tokens, end) = cursor.rest();
        return Ok(query(source, tokens, end, found).map(Statement::Query));
    }
    if cursor.words(&["SET"]) {
        if cursor.is_done() {
            return Ok(Some(Statement::Shell(Shell::Settings, at)));
        }
        let option = option(cursor)?;
        cursor.expect_end()?;
        return Ok(Some(Statement::Set(option)));
    }
    if cursor.words(&["USE"]) {
        return using(cursor, &at);
    }
    match shell(cursor, source, found)? {
        Some(Some(shell)) => Ok(Some(Statement::Shell(shell, at))),
        Some(None) => Ok(None),
        None => Err(no_statement(cursor)),
    }
}

fn no_statement(cursor: &Cursor<'_>) -> Diagnostic {
    let known = cursor.expected("a statement");
    match cursor.peek() {
        Some(Token::Word(word)) if word.quote_style.is_none() => {
            let upper = word.value.to_uppercase();
            match suggest::nearest(&upper, KNOWN.iter().copied()).filter(|near| **near != *upper) {
                Some(near) => known.help(format!("did you mean \"{near}\"?")),
                None => {
                    let message = format!("{upper} is no statement of a pipeline");
                    let help = format!("known statements: {}", KNOWN.join(", "));
                    Diagnostic::new(&SYNTAX, message).at(&cursor.place()).help(help)
                }
            }
        }
        _ => known,
    }
}

fn create(
    cursor: &mut Cursor<'_>,
    source: Source<'_>,
    found: &mut Vec<Diagnostic>,
) -> Result<Option<Statement>, Diagnostic> {
    cursor.words(&["OR", "REPLACE"]);
    let _ = cursor.words(&["TEMPORARY"]) || cursor.words(&["TEMP"]);
    if cursor.words(&["TABLE"]) {
        return create_table(cursor, source, found)
            .map(|table| Some(Statement::CreateTable(Box::new(table))));
    }
    if !cursor.words(&["VIEW"]) {
        let help = match cursor.peek() {
            Some(token) if is_word(token, "FUNCTION") || is_word(token, "SYSTEM") => {
                "functions cannot be added"
            }
            Some(token) if is_word(token, "CATALOG") || is_word(token, "DATABASE") => {
                "leave it out: there are no catalogs and databases"
            }
            _ => "write CREATE TABLE or CREATE VIEW",
        };
        return Err(cursor.expected("TABLE or VIEW").help(help));
    }
    let if_not_exists = cursor.words(&["IF", "NOT", "EXISTS"]);
    let name = cursor.table("the name of a view")?;
    let columns = if cursor.token(&Token::LParen) { names(cursor)? } else { Vec::new() };
    if cursor.words(&["COMMENT"]) {
        cursor.text("a comment in quotes")?;
    }
    cursor.expect_words(&["AS"])?;
    if cursor.is_done() {
        return Err(cursor.expected("a query"));
    }
    let (tokens, end) = cursor.rest();
    let query = query(source, tokens, end, found);
    Ok(query.map(|query| Statement::CreateView(CreateView { name, if_not_exists, columns, query })))
}

fn drop_statement(cursor: &mut Cursor<'_>, at: &Place) -> Result<Statement, Diagnostic> {
    cursor.words(&["TEMPORARY"]);
    let is_view = cursor.words(&["VIEW"]);
    if !is_view && !cursor.words(&["TABLE"]) {
        let mut diagnostic = cursor.expected("TABLE or VIEW");
        diagnostic.at.get_or_insert(at.clone());
        return Err(diagnostic);
    }
    let if_exists = cursor.words(&["IF", "EXISTS"]);
    let name = cursor.table("a name")?;
    cursor.expect_end()?;
    Ok(Statement::Drop(Dropped { name, is_view, if_exists }))
}

fn insert(
    cursor: &mut Cursor<'_>,
    source: Source<'_>,
    found: &mut Vec<Diagnostic>,
) -> Result<Option<Statement>, Diagnostic> {
    cursor.advance();
    if cursor.is_word(0, "OVERWRITE") {
        let help = "write INSERT INTO: rows are added, or applied by their key";
        let message = "INSERT OVERWRITE has no meaning here";
        return Err(Diagnostic::new(&SYNTAX, message).at(&cursor.place()).help(help));
    }
    cursor.expect_words(&["INTO"])?;
    let table = cursor.table("the name of a table")?;
    let is_query = ["SELECT", "WITH", "VALUES"].iter().any(|word| cursor.is_word(1, word));
    let nested = cursor.nth(1) == Some(&Token::LParen);
    let columns = match cursor.peek() {
        Some(Token::LParen) if !is_query && !nested => {
            cursor.advance();
            names(cursor)?
        }
        _ => Vec::new(),
    };
    if cursor.is_done() || cursor.is_word(0, "PARTITION") {
        return Err(cursor.expected("SELECT or a list of columns"));
    }
    let (tokens, end) = cursor.rest();
    let query = query(source, tokens, end, found);
    Ok(query.map(|query| Statement::Insert(InsertInto { table, columns, query })))
}

/// `USE`: Flink's default catalog and database are the only ones.
fn using(cursor: &mut Cursor<'_>, at: &Place) -> Result<Option<Statement>, Diagnostic> {
    cursor.words(&["CATALOG"]);
    let first = cursor.name("a name")?;
    let second = if cursor.token(&Token::Period) { Some(cursor.name("a name")?.name) } else { None };
    cursor.expect_end()?;
    match (&*first.name, second.as_deref()) {
        ("default_catalog" | "default_database", None) | ("default_catalog", Some("default_database")) => {
            Ok(None)
        }
        _ => {
            let message = format!("there is no catalog or database \"{}\"", first.name);
            Err(Diagnostic::new(&SYNTAX, message).at(at).help("leave the statement out"))
        }
    }
}

/// The statements of a shell: outer nothing where it is none of them, inner nothing where it was reported.
fn shell(
    cursor: &mut Cursor<'_>,
    source: Source<'_>,
    found: &mut Vec<Diagnostic>,
) -> Result<Option<Option<Shell>>, Diagnostic> {
    let shell = if cursor.words(&["SHOW"]) {
        if cursor.words(&["TABLES"]) {
            Shell::Tables
        } else if cursor.words(&["VIEWS"]) {
            Shell::Views
        } else if cursor.words(&["CREATE", "TABLE"]) || cursor.words(&["CREATE", "VIEW"]) {
            Shell::ShowCreate(cursor.table("a name")?)
        } else if cursor.words(&["COLUMNS", "FROM"]) || cursor.words(&["COLUMNS", "IN"]) {
            Shell::Describe(cursor.table("a name")?)
        } else {
            return Err(cursor.expected("TABLES, VIEWS, COLUMNS FROM or CREATE TABLE"));
        }
    } else if cursor.words(&["DESCRIBE"]) || cursor.words(&["DESC"]) {
        Shell::Describe(cursor.table("a name")?)
    } else if cursor.words(&["RESET"]) {
        let key = if cursor.is_done() { None } else { Some(cursor.text("a key in quotes")?.0) };
        Shell::Reset(key)
    } else if cursor.words(&["EXPLAIN"]) {
        cursor.words(&["PLAN", "FOR"]);
        let inner = ["INSERT", "SELECT", "WITH"].iter().any(|word| cursor.is_word(0, word));
        if !inner {
            return Err(cursor.expected("SELECT or INSERT"));
        }
        return statement(cursor, source, found)
            .map(|inner| Some(inner.map(|inner| Shell::Explain(Box::new(inner)))));
    } else {
        return Ok(None);
    };
    cursor.expect_end()?;
    Ok(Some(Some(shell)))
}

/// That a statement of the shell does nothing in a file.
pub(crate) fn only_in_a_shell(shell: &Shell, at: &Place) -> Diagnostic {
    let word = match shell {
        Shell::Tables | Shell::Views | Shell::ShowCreate(_) => "SHOW",
        Shell::Describe(_) => "DESCRIBE",
        Shell::Explain(_) => "EXPLAIN",
        Shell::Settings => "SET without a key",
        Shell::Reset(_) => "RESET",
    };
    let help = "leave it out; `acme explain` shows what a file does";
    Diagnostic::warning(&IGNORED, format!("{word} shows nothing in a file")).at(at).help(help)
}
