//! `CREATE TABLE`: columns, watermark, key and options. Read by hand, because no SQL parser knows WATERMARK.

use super::interval::interval_us;
use super::lexer::Cursor;
use super::query::{Source, expr};
use super::types::{ColumnType, column_type};
use crate::pipeline::Reference;
use crate::suggest;
use acme_types::codes::{BAD_VALUE, DUPLICATE, MISSING_KEY, SYNTAX, UNKNOWN_FIELD};
use acme_types::{Diagnostic, Place, Secret};
use sqlparser::ast::{BinaryOperator, Expr, visit_expressions};
use sqlparser::tokenizer::Token;
use std::ops::ControlFlow;

/// A column of a table.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Where the name stands.
    pub at: Place,
    /// Where its values come from.
    pub kind: ColumnKind,
}

/// Where a column's values come from.
#[derive(Clone, Debug)]
pub enum ColumnKind {
    /// A field of the record.
    Physical {
        /// Its type.
        data_type: ColumnType,
        /// Where the type stands.
        type_at: Place,
        /// It was declared NOT NULL.
        not_null: bool,
    },
    /// `name AS expression`, over the other columns.
    Computed {
        /// The expression.
        expr: Box<Expr>,
    },
    /// `METADATA`: what the connector says about the record.
    Metadata {
        /// Its type.
        data_type: ColumnType,
        /// Where the type stands.
        type_at: Place,
        /// The connector's name for it; the column's where no other was given.
        key: String,
        /// It is read only: rows that are inserted do not have it.
        is_virtual: bool,
    },
}

impl Column {
    /// The declared type; a computed column has that of its expression.
    #[must_use]
    pub fn data_type(&self) -> Option<&ColumnType> {
        match &self.kind {
            ColumnKind::Physical { data_type, .. } | ColumnKind::Metadata { data_type, .. } => {
                Some(data_type)
            }
            ColumnKind::Computed { .. } => None,
        }
    }

    /// Whether rows that are inserted have it.
    #[must_use]
    pub fn is_written(&self) -> bool {
        match self.kind {
            ColumnKind::Physical { .. } => true,
            ColumnKind::Metadata { is_virtual, .. } => !is_virtual,
            ColumnKind::Computed { .. } => false,
        }
    }
}

/// `WATERMARK FOR column AS expression`.
#[derive(Clone, Debug)]
pub struct Watermark {
    /// The column with the time.
    pub column: Reference,
    /// How far time has come after a row.
    pub expr: Expr,
    /// Where the expression stands.
    pub at: Place,
    /// The delay behind the column in microseconds, where the expression is `column` or `column - INTERVAL …`.
    pub delay_us: Option<i64>,
}

/// One `'key' = 'value'` as it is written.
#[derive(Clone, Debug)]
pub struct SqlOption {
    /// The key.
    pub key: String,
    /// Where it stands.
    pub key_at: Place,
    /// The value, with its `${…}`; it may be a password.
    pub value: Secret,
    /// Where it stands.
    pub value_at: Place,
}

/// A whole `CREATE TABLE`.
#[derive(Clone, Debug)]
pub struct CreateTable {
    /// The table's name.
    pub name: Reference,
    /// `IF NOT EXISTS`
    pub if_not_exists: bool,
    /// Its columns, in their order.
    pub columns: Vec<Column>,
    /// Its watermark.
    pub watermark: Option<Watermark>,
    /// The columns of its PRIMARY KEY.
    pub primary_key: Vec<Reference>,
    /// The options of its WITH clause.
    pub options: Vec<SqlOption>,
}

/// Reads what follows `CREATE TABLE`.
pub(crate) fn create_table(
    cursor: &mut Cursor<'_>,
    source: Source<'_>,
    found: &mut Vec<Diagnostic>,
) -> Result<CreateTable, Diagnostic> {
    let if_not_exists = cursor.words(&["IF", "NOT", "EXISTS"]);
    let name = cursor.table("the name of a table")?;
    let mut table = CreateTable {
        name,
        if_not_exists,
        columns: Vec::new(),
        watermark: None,
        primary_key: Vec::new(),
        options: Vec::new(),
    };
    if cursor.token(&Token::LParen) && !cursor.token(&Token::RParen) {
        loop {
            let start = cursor.mark();
            if let Err(diagnostic) = element(cursor, source, &mut table, found) {
                found.push(diagnostic);
                cursor.skip_element(start);
            }
            if !cursor.token(&Token::Comma) {
                break;
            }
        }
        cursor.expect(&Token::RParen, "`,` or `)`")?;
    }
    if cursor.words(&["COMMENT"]) {
        cursor.text("a comment in quotes")?;
    }
    unsupported(cursor)?;
    if !cursor.words(&["WITH"]) {
        if cursor.is_done() {
            let message = format!("the table \"{}\" has no WITH clause", table.name.name);
            let help = "add WITH ('connector' = '…') with where its rows are";
            return Err(Diagnostic::new(&MISSING_KEY, message).at(&table.name.at).help(help));
        }
        return Err(cursor.expected("WITH"));
    }
    table.options = options(cursor, found)?;
    unsupported(cursor)?;
    cursor.expect_end()?;
    check(&table, found);
    Ok(table)
}

/// What Flink has behind the columns, and is not here.
fn unsupported(cursor: &Cursor<'_>) -> Result<(), Diagnostic> {
    for (word, help) in [
        ("PARTITIONED", "leave it out: rows are not sorted into folders"),
        ("DISTRIBUTED", "leave it out: the connector decides where a row goes"),
        ("LIKE", "write the columns and options again"),
        ("AS", "declare the table with its columns, and fill it with INSERT INTO"),
    ] {
        if cursor.is_word(0, word) {
            let message = format!("{word} has no meaning in CREATE TABLE here");
            return Err(Diagnostic::new(&SYNTAX, message).at(&cursor.place()).help(help));
        }
    }
    Ok(())
}

/// One entry between the brackets.
fn element(
    cursor: &mut Cursor<'_>,
    source: Source<'_>,
    table: &mut CreateTable,
    found: &mut Vec<Diagnostic>,
) -> Result<(), Diagnostic> {
    let at = cursor.place();
    if cursor.words(&["WATERMARK", "FOR"]) {
        let watermark = watermark(cursor, source, found)?;
        if table.watermark.is_some() {
            let message = "a table has one watermark at most";
            return Err(Diagnostic::new(&DUPLICATE, message).at(&at));
        }
        table.watermark = watermark;
        return Ok(());
    }
    if cursor.is_word(0, "CONSTRAINT") && cursor.is_word(2, "PRIMARY") {
        cursor.advance();
        cursor.advance();
    }
    if cursor.words(&["PRIMARY", "KEY"]) {
        cursor.expect(&Token::LParen, "`(`")?;
        let key = names(cursor)?;
        return primary_key(cursor, table, key, &at);
    }
    if cursor.is_word(0, "UNIQUE") && cursor.nth(1) == Some(&Token::LParen) {
        let help = "declare the columns that identify a row as PRIMARY KEY (…) NOT ENFORCED";
        return Err(Diagnostic::new(&SYNTAX, "UNIQUE has no meaning here").at(&at).help(help));
    }
    let name = cursor.name("the name of a column")?;
    if cursor.words(&["AS"]) {
        let (tokens, end) =
            cursor.until(|token| *token == Token::Comma || super::lexer::is_word(token, "COMMENT"));
        // Where it is wrong the column keeps its name, so that what refers to it is not reported too.
        let wrong = || Expr::Identifier(sqlparser::ast::Ident::new(name.name.clone()));
        let expr = Box::new(expr(source, tokens, end, found).unwrap_or_else(wrong));
        table.columns.push(Column { name: name.name, at: name.at, kind: ColumnKind::Computed { expr } });
        if cursor.words(&["COMMENT"]) {
            cursor.text("a comment in quotes")?;
        }
        return Ok(());
    }
    let type_at = cursor.place();
    let data_type = column_type(cursor);
    let placeholder = data_type.as_ref().map_or(ColumnType::String, Clone::clone);
    let column = Column {
        name: name.name,
        at: name.at,
        kind: ColumnKind::Physical { data_type: placeholder, type_at, not_null: false },
    };
    table.columns.push(column);
    data_type?;
    constraints(cursor, table, &at)
}

/// What follows the type of a column.
fn constraints(cursor: &mut Cursor<'_>, table: &mut CreateTable, at: &Place) -> Result<(), Diagnostic> {
    loop {
        let place = cursor.place();
        let last = table.columns.last_mut().expect("it was just added");
        if cursor.words(&["NOT", "NULL"]) {
            if let ColumnKind::Physical { not_null, .. } = &mut last.kind {
                *not_null = true;
            }
        } else if cursor.words(&["METADATA"]) {
            let key = if cursor.words(&["FROM"]) {
                cursor.text("the name of the metadata in quotes")?.0
            } else {
                last.name.clone()
            };
            let is_virtual = cursor.words(&["VIRTUAL"]);
            if let ColumnKind::Physical { data_type, type_at, .. } = last.kind.clone() {
                last.kind = ColumnKind::Metadata { data_type, type_at, key, is_virtual };
            }
        } else if cursor.words(&["PRIMARY", "KEY"]) {
            let key = Reference { name: last.name.clone(), at: place };
            primary_key(cursor, table, vec![key], at)?;
        } else if cursor.words(&["COMMENT"]) {
            cursor.text("a comment in quotes")?;
        } else if !cursor.words(&["NULL"]) {
            break;
        }
    }
    match cursor.peek() {
        Some(Token::Comma | Token::RParen) | None => Ok(()),
        Some(_) => Err(cursor.expected("`,` or `)`")),
    }
}

fn primary_key(
    cursor: &mut Cursor<'_>,
    table: &mut CreateTable,
    key: Vec<Reference>,
    at: &Place,
) -> Result<(), Diagnostic> {
    if !cursor.words(&["NOT", "ENFORCED"]) {
        let help = "add NOT ENFORCED: the rows are taken as they come";
        return Err(Diagnostic::new(&SYNTAX, "a PRIMARY KEY cannot be enforced").at(at).help(help));
    }
    if !table.primary_key.is_empty() {
        return Err(Diagnostic::new(&DUPLICATE, "a table has one PRIMARY KEY at most").at(at));
    }
    table.primary_key = key;
    Ok(())
}

/// `a, b)`
pub(crate) fn names(cursor: &mut Cursor<'_>) -> Result<Vec<Reference>, Diagnostic> {
    let mut names = Vec::new();
    loop {
        names.push(cursor.name("the name of a column")?);
        if !cursor.token(&Token::Comma) {
            break;
        }
    }
    cursor.expect(&Token::RParen, "`,` or `)`")?;
    Ok(names)
}

fn watermark(
    cursor: &mut Cursor<'_>,
    source: Source<'_>,
    found: &mut Vec<Diagnostic>,
) -> Result<Option<Watermark>, Diagnostic> {
    let column = cursor.name("the name of a column")?;
    cursor.expect_words(&["AS"])?;
    let at = cursor.place();
    let (tokens, end) = cursor.until(|token| *token == Token::Comma);
    let Some(expr) = expr(source, tokens, end, found) else { return Ok(None) };
    let is_column = |expr: &Expr| matches!(expr, Expr::Identifier(ident) if ident.value == column.name);
    let delay_us = match &expr {
        expr if is_column(expr) => Some(0),
        Expr::BinaryOp { left, op: BinaryOperator::Minus, right }
            if is_column(left) && matches!(**right, Expr::Interval(_)) =>
        {
            let delay = interval_us(right).and_then(|us| match us {
                0.. => Ok(us),
                _ => Err("it must not be in the future".to_owned()),
            });
            match delay {
                Ok(us) => Some(us),
                Err(cause) => {
                    let message = format!("the delay of the watermark: {cause}");
                    return Err(Diagnostic::new(&BAD_VALUE, message).at(&at));
                }
            }
        }
        _ => None,
    };
    Ok(Some(Watermark { column, expr, at, delay_us }))
}

/// The options in brackets. What is wrong with one of them leaves the others.
fn options(cursor: &mut Cursor<'_>, found: &mut Vec<Diagnostic>) -> Result<Vec<SqlOption>, Diagnostic> {
    cursor.expect(&Token::LParen, "`(`")?;
    let mut options: Vec<SqlOption> = Vec::new();
    if cursor.token(&Token::RParen) {
        return Ok(options);
    }
    loop {
        match option(cursor) {
            Ok(option) if options.iter().any(|known| known.key == option.key) => {
                let message = format!("the option \"{}\" stands twice", option.key);
                found.push(Diagnostic::new(&DUPLICATE, message).at(&option.key_at));
            }
            Ok(option) => options.push(option),
            Err(diagnostic) => {
                found.push(diagnostic);
                let _ = cursor.until(|token| *token == Token::Comma);
            }
        }
        if !cursor.token(&Token::Comma) {
            break;
        }
    }
    if !cursor.token(&Token::RParen) {
        return Err(cursor.wanted("`,` or `)` behind an option"));
    }
    Ok(options)
}

/// `'key' = 'value'`
pub(crate) fn option(cursor: &mut Cursor<'_>) -> Result<SqlOption, Diagnostic> {
    let (key, key_at) = cursor.quoted().ok_or_else(|| cursor.wanted("an option's name in quotes"))?;
    if !cursor.token(&Token::Eq) {
        return Err(cursor.wanted("`=` behind an option's name"));
    }
    let (value, value_at) = cursor.quoted().ok_or_else(|| cursor.wanted("an option's value in quotes"))?;
    Ok(SqlOption { key, key_at, value: Secret::new(value), value_at })
}

/// What no single element shows.
fn check(table: &CreateTable, found: &mut Vec<Diagnostic>) {
    let known: Vec<&str> = table.columns.iter().map(|column| &*column.name).collect();
    for (index, column) in table.columns.iter().enumerate() {
        if known[..index].contains(&&*column.name) {
            let message = format!("the table has two columns \"{}\"", column.name);
            found.push(Diagnostic::new(&DUPLICATE, message).at(&column.at));
        }
        if let ColumnKind::Computed { expr } = &column.kind {
            let others: Vec<&str> = known.iter().filter(|name| **name != column.name).copied().collect();
            uses(expr, &others, &column.at, found);
        }
    }
    for (index, key) in table.primary_key.iter().enumerate() {
        unknown(&key.name, &known, &key.at, found);
        if table.primary_key[..index].iter().any(|other| other.name == key.name) {
            let message = format!("the PRIMARY KEY names \"{}\" twice", key.name);
            found.push(Diagnostic::new(&DUPLICATE, message).at(&key.at));
        }
    }
    let Some(watermark) = &table.watermark else { return };
    unknown(&watermark.column.name, &known, &watermark.column.at, found);
    let column = table.columns.iter().find(|column| column.name == watermark.column.name);
    match column.and_then(Column::data_type) {
        Some(data_type) if !data_type.is_time() => {
            let message = format!("the watermark's column \"{}\" is {data_type}", watermark.column.name);
            let help = "declare it as TIMESTAMP_LTZ(3), or compute one: ts AS TO_TIMESTAMP_LTZ(column, 3)";
            found.push(Diagnostic::new(&BAD_VALUE, message).at(&watermark.column.at).help(help));
        }
        _ => uses(&watermark.expr, &known, &watermark.at, found),
    }
}

fn unknown(name: &str, known: &[&str], at: &Place, found: &mut Vec<Diagnostic>) {
    if !known.contains(&name) {
        let help = suggest::help(name, known, "columns");
        let message = format!("the table has no column \"{name}\"");
        found.push(Diagnostic::new(&UNKNOWN_FIELD, message).at(at).help(help));
    }
}

/// The names in an expression must be columns.
fn uses(expr: &Expr, known: &[&str], at: &Place, found: &mut Vec<Diagnostic>) {
    // What was reported already stands for itself.
    if matches!(expr, Expr::Identifier(ident) if ident.span == sqlparser::tokenizer::Span::empty()) {
        return;
    }
    let _ = visit_expressions(expr, |expr| {
        let ident = match expr {
            Expr::Identifier(ident) => Some(ident),
            Expr::CompoundIdentifier(parts) => parts.first(),
            _ => None,
        };
        if let Some(ident) = ident {
            unknown(&ident.value, known, &super::lexer::place(&at.file, ident.span), found);
        }
        ControlFlow::<()>::Continue(())
    });
}
