//! Queries and expressions: sqlparser's trees, with everything in them that Flink spells in its own way made plain.

use super::group_windows;
use super::lexer::{StreamDialect, place, qualified, shown, unqualified};
use super::windows::{self, LateInto, WindowCall, window_call};
use crate::interpolate::{Environment, interpolate};
use crate::pipeline::Reference;
use acme_types::codes::SYNTAX;
use acme_types::{Diagnostic, Place};
use sqlparser::ast::{
    Expr, Ident, ObjectNamePart, Query, Select, SetExpr, TableFactor, Value, ValueWithSpan, VisitMut,
    VisitorMut,
};
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan};
use std::ops::ControlFlow;
use std::sync::Arc;

/// A query and what it needs.
#[derive(Clone, Debug)]
pub struct ParsedQuery {
    /// The tree. Windows are calls that [`window_call`] reads, names of tables are single words.
    pub query: Box<Query>,
    /// The tables and views that it reads, in the order of the text; one that is read twice stands twice.
    pub reads: Vec<Reference>,
    /// The windows in it, in the order of the text.
    pub windows: Vec<WindowCall>,
    /// Its `LATE INTO`s.
    pub late: Vec<LateInto>,
    /// Where it begins.
    pub at: Place,
}

/// Where texts are read: for places, and for what is put into them.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) file: &'a Arc<str>,
    pub(crate) environment: &'a dyn Environment,
}

/// Reads a query that takes all of these tokens.
pub(crate) fn query(
    source: Source<'_>,
    tokens: &[TokenWithSpan],
    end: Location,
    found: &mut Vec<Diagnostic>,
) -> Option<ParsedQuery> {
    let at = tokens.first().map_or(Span::new(end, end), |token| token.span);
    let before = found.len();
    let (tokens, late) = windows::rewrite(source.file, tokens, end, found);
    if found.len() > before {
        return None;
    }
    let mut query = parse(source.file, tokens, end, Parser::parse_query, found)?;
    let mut reader = Reader { source, found, reads: Vec::new(), windows: Vec::new(), names: Vec::new() };
    let _ = query.visit(&mut reader);
    let (reads, windows) = (reader.reads, reader.windows);
    (found.len() == before).then(|| ParsedQuery { query, reads, windows, late, at: place(source.file, at) })
}

/// Reads an expression that takes all of these tokens.
pub(crate) fn expr(
    source: Source<'_>,
    tokens: &[TokenWithSpan],
    end: Location,
    found: &mut Vec<Diagnostic>,
) -> Option<Expr> {
    let before = found.len();
    let mut plain = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while at < tokens.len() {
        at += windows::zoned(&tokens[at..], &mut plain);
    }
    let mut expr = parse(source.file, plain, end, Parser::parse_expr, found)?;
    let mut reader = Reader { source, found, reads: Vec::new(), windows: Vec::new(), names: Vec::new() };
    let _ = expr.visit(&mut reader);
    (found.len() == before).then_some(expr)
}

fn parse<'p, T>(
    file: &Arc<str>,
    tokens: Vec<TokenWithSpan>,
    end: Location,
    read: impl Fn(&mut Parser<'p>) -> Result<T, ParserError>,
    found: &mut Vec<Diagnostic>,
) -> Option<T> {
    let mut parser = Parser::new(&StreamDialect).with_tokens_with_locations(tokens.clone());
    let result = read(&mut parser).and_then(|value| {
        let next = parser.peek_token();
        match next.token {
            Token::EOF => Ok(value),
            _ => parser.expected("the end of the statement", next),
        }
    });
    result.map_err(|error| found.push(fault(file, &error, &tokens, end))).ok()
}

/// The parser's words in ours. Texts of the query are not shown.
fn fault(file: &Arc<str>, error: &ParserError, tokens: &[TokenWithSpan], end: Location) -> Diagnostic {
    let end_span = Span::new(end, end);
    let text = match error {
        ParserError::TokenizerError(text) | ParserError::ParserError(text) => text,
        ParserError::RecursionLimitExceeded => {
            let at = tokens.first().map_or(end_span, |token| token.span);
            return Diagnostic::new(&SYNTAX, "the statement is nested too deeply")
                .at(&place(file, at))
                .help("split it into views");
        }
    };
    let (text, location) = text.rsplit_once(" at Line: ").unwrap_or((text, ""));
    let location = location.split_once(", Column: ").and_then(|(line, column)| {
        Some(Location::new(line.trim().parse().ok()?, column.trim().parse().ok()?))
    });
    let found = location.and_then(|at| tokens.iter().find(|token| token.span.start == at));
    let span = found.map_or(end_span, |token| token.span);
    let rest = text.strip_prefix("Expected").map(|rest| rest.trim_start_matches([':', ' ']));
    let message = match rest.and_then(|rest| rest.split_once(", found")) {
        Some((expected, _)) => {
            let expected = match expected {
                "end of statement" | "an expression" | "identifier" => expected.to_owned(),
                symbol if symbol.chars().count() < 3 => format!("`{symbol}`"),
                other => other.to_owned(),
            };
            let found =
                found.map_or_else(|| "the end of the statement".to_owned(), |token| shown(&token.token));
            format!("expected {expected}, found {found}")
        }
        None => without_texts(text, tokens),
    };
    let message = message.lines().next().unwrap_or_default().to_owned();
    Diagnostic::new(&SYNTAX, message).at(&place(file, span))
}

/// A message without what stands in quotes in the query.
fn without_texts(message: &str, tokens: &[TokenWithSpan]) -> String {
    let mut message = message.to_owned();
    for token in tokens {
        let is_plain =
            matches!(token.token, Token::Word(_) | Token::Number(..) | Token::Comma | Token::Period);
        let text = match &token.token {
            Token::SingleQuotedString(text) => text.clone(),
            _ if is_plain => continue,
            token => token.to_string(),
        };
        if text.len() > 3 {
            message = message.replace(&text, "…");
        }
    }
    message
}

/// The names that a query's WITH gives: each holds behind its own query.
struct Names {
    known: Vec<String>,
    /// Those whose queries have not been read, the last one first.
    waiting: Vec<String>,
}

/// Goes through a tree once: names, windows, texts.
struct Reader<'a, 'f> {
    source: Source<'a>,
    found: &'f mut Vec<Diagnostic>,
    reads: Vec<Reference>,
    windows: Vec<WindowCall>,
    /// The names of WITH in each query around.
    names: Vec<Names>,
}

impl Reader<'_, '_> {
    fn read(&mut self, name: &str, span: Span) {
        if !self.names.iter().flat_map(|names| &names.known).any(|known| known == name) {
            let at = place(self.source.file, span);
            self.reads.push(Reference { name: name.to_owned(), at });
        }
    }

    fn refuse(&mut self, span: Span, message: &str, help: &'static str) {
        let at = place(self.source.file, span);
        self.found.push(Diagnostic::new(&SYNTAX, message).at(&at).help(help));
    }
}

impl VisitorMut for Reader<'_, '_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let tables = query.with.iter().flat_map(|with| &with.cte_tables);
        let waiting = tables.map(|table| table.alias.name.value.clone()).rev().collect();
        self.names.push(Names { known: Vec::new(), waiting });
        if let Some(with) = query.with.as_ref().filter(|with| with.recursive) {
            let help = "a query over a stream cannot refer to itself";
            self.refuse(with.with_token.0.span, "WITH RECURSIVE has no meaning here", help);
        }
        if let SetExpr::Table(_) | SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) = &*query.body
        {
            let at = Span::new(Location::new(1, 1), Location::new(1, 1));
            self.refuse(at, "a query must be a SELECT", "write SELECT * FROM and the name of the table");
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.names.pop();
        // The queries of WITH come before all others that stand in a query.
        if let Some(names) = self.names.last_mut() {
            names.known.extend(names.waiting.pop());
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        group_windows::rewrite(self.source.file, select, self.found);
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let Some(call) = window_call(factor) {
            self.read(&call.table, call.table_span);
            self.windows.push(call);
        } else if let TableFactor::Table { name, args: None, .. } = factor {
            let idents: Vec<&Ident> = name.0.iter().filter_map(|part| part.as_ident()).collect();
            let words: Vec<&str> = idents.iter().map(|ident| &*ident.value).collect();
            let span = idents.first().map_or(Span::empty(), |ident| ident.span);
            match unqualified(&words) {
                Some(word) => {
                    let word = word.to_owned();
                    let quote_style = idents.last().and_then(|ident| ident.quote_style);
                    self.read(&word, span);
                    name.0 = vec![ObjectNamePart::Identifier(Ident { value: word, quote_style, span })];
                }
                None => self.found.push(qualified(&words).at(&place(self.source.file, span))),
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_value(&mut self, value: &mut ValueWithSpan) -> ControlFlow<()> {
        if let Value::SingleQuotedString(text) = &mut value.value
            && text.contains("${")
        {
            let at = place(self.source.file, value.span);
            *text = interpolate(text, &at, self.source.environment, self.found);
        }
        ControlFlow::Continue(())
    }
}
