//! The table functions TUMBLE, HOP, CUMULATE and SESSION, from Flink's spelling to one that SQL parsers know, and back to
//! what they mean.
//!
//! `TABLE(HOP(TABLE bid, DESCRIPTOR(ts), INTERVAL '2' SECOND, SIZE => INTERVAL '10' SECOND))` becomes the call
//! `HOP('bid', 'ts', INTERVAL '2' SECOND, INTERVAL '10' SECOND)`, token by token, so that everything keeps its place; a session's
//! partition keys follow behind its gap. [`window_call`] reads it.

use super::interval::interval_us;
use super::lexer::{Cursor, StreamDialect, is_word, place};
use crate::pipeline::Reference;
use crate::suggest;
use acme_types::codes::{BAD_VALUE, MISSING_KEY, SYNTAX, UNKNOWN_KEY};
use acme_types::{Diagnostic, Place};
use sqlparser::ast::{Expr, FunctionArg, FunctionArgExpr, TableFactor, Value};
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan};
use std::sync::Arc;

/// Which rows a window holds. All lengths are in microseconds and above 0; an offset may be below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowKind {
    /// One window behind the other.
    Tumble {
        /// Length of each.
        size_us: i64,
        /// Begin of the first, after the epoch.
        offset_us: i64,
    },
    /// A window begins every `slide_us`; they overlap, or leave gaps.
    Hop {
        /// From begin to begin.
        slide_us: i64,
        /// Length of each.
        size_us: i64,
        /// Begin of the first, after the epoch.
        offset_us: i64,
    },
    /// Windows of one begin that grow by steps up to the size.
    Cumulate {
        /// By which they grow.
        step_us: i64,
        /// Length of the longest; a multiple of the step.
        size_us: i64,
        /// Begin of the first, after the epoch.
        offset_us: i64,
    },
    /// Rows of a key with less than the gap between them.
    Session {
        /// Time without rows that ends one.
        gap_us: i64,
    },
}

/// One call of a window's table function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowCall {
    /// Which rows a window holds.
    pub kind: WindowKind,
    /// The table or view whose rows it takes.
    pub table: String,
    /// The column with the time.
    pub time: String,
    /// Columns for each of whose values sessions are kept; empty for other windows.
    pub partition_by: Vec<String>,
    /// Where the function's name stands.
    pub name_span: Span,
    /// Where the table's name stands.
    pub table_span: Span,
    /// Where the column's name stands.
    pub time_span: Span,
}

/// A `LATE INTO table` behind a GROUP BY: where its rows go that come after their window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LateInto {
    /// The table.
    pub table: Reference,
    /// Where the SELECT stands that it belongs to: the begin of `Select::select_token`.
    pub select: Place,
}

/// The functions and their arguments in order.
const FUNCTIONS: [(&str, &[&str]); 4] = [
    ("TUMBLE", &["DATA", "TIMECOL", "SIZE", "OFFSET"]),
    ("HOP", &["DATA", "TIMECOL", "SLIDE", "SIZE", "OFFSET"]),
    ("CUMULATE", &["DATA", "TIMECOL", "STEP", "SIZE", "OFFSET"]),
    ("SESSION", &["DATA", "TIMECOL", "GAP"]),
];

/// The name of a window's function in capitals, and its arguments.
pub(crate) fn function(name: &str) -> Option<(&'static str, &'static [&'static str])> {
    FUNCTIONS.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name))
}

/// What a table of a FROM clause is, where it is a window's function as [`parse_sql`](super::parse_sql) leaves it.
#[must_use]
pub fn window_call(factor: &TableFactor) -> Option<WindowCall> {
    let TableFactor::Table { name, args: Some(arguments), .. } = factor else { return None };
    let [part] = &name.0[..] else { return None };
    let ident = part.as_ident()?;
    let (function, _) = function(&ident.value)?;
    let expr = |argument: &'_ FunctionArg| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
        _ => None,
    };
    let all: Vec<Expr> = arguments.args.iter().filter_map(expr).collect();
    let text = |at: usize| match all.get(at) {
        Some(Expr::Value(value)) => match &value.value {
            Value::SingleQuotedString(text) => Some((text.clone(), value.span)),
            _ => None,
        },
        _ => None,
    };
    let length = |at: usize| all.get(at).and_then(|expr| interval_us(expr).ok());
    let offset_us = length(4).unwrap_or_default();
    let kind = match function {
        "TUMBLE" => WindowKind::Tumble { size_us: length(2)?, offset_us: length(3).unwrap_or_default() },
        "HOP" => WindowKind::Hop { slide_us: length(2)?, size_us: length(3)?, offset_us },
        "CUMULATE" => WindowKind::Cumulate { step_us: length(2)?, size_us: length(3)?, offset_us },
        _ => WindowKind::Session { gap_us: length(2)? },
    };
    let ((table, table_span), (time, time_span)) = (text(0)?, text(1)?);
    let keys = if function == "SESSION" { 3..all.len() } else { 0..0 };
    let partition_by = keys.filter_map(|at| text(at).map(|(name, _)| name)).collect();
    Some(WindowCall { kind, table, time, partition_by, name_span: ident.span, table_span, time_span })
}

/// That these lengths make no window, as one clause.
pub(crate) fn fault(function: &str, lengths: &[(&str, i64)]) -> Option<String> {
    let length = |name: &str| lengths.iter().find(|(known, _)| *known == name).map_or(1, |(_, us)| *us);
    if let Some((name, _)) = lengths.iter().find(|(name, us)| *name != "OFFSET" && *us <= 0) {
        return Some(format!("{name} of {function} must be longer than nothing"));
    }
    let divides = function != "CUMULATE" || length("SIZE") % length("STEP") == 0;
    (!divides).then(|| "SIZE of CUMULATE must be a multiple of its STEP".to_owned())
}

/// The query's tokens with window functions as plain calls, and its `LATE INTO`s taken out.
///
/// What is wrong is reported; then the tokens are not to be parsed.
pub(crate) fn rewrite(
    file: &Arc<str>,
    tokens: &[TokenWithSpan],
    end: Location,
    found: &mut Vec<Diagnostic>,
) -> (Vec<TokenWithSpan>, Vec<LateInto>) {
    let (mut output, mut late) = (Vec::with_capacity(tokens.len()), Vec::new());
    // The SELECT of each bracket that is open, and whether its GROUP BY has come.
    let mut blocks: Vec<(Option<Span>, bool)> = vec![(None, false)];
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let rest = &tokens[at..];
        let next = |ahead: usize, word: &str| rest.get(ahead).is_some_and(|it| is_word(&it.token, word));
        let (depth, block) = (blocks.len(), blocks.last_mut().expect("the outermost is never closed"));
        if let Some(inside) = starts_window(rest, output.last()) {
            let mut cursor = Cursor::new(file, rest, end);
            match window(&mut cursor, inside) {
                Ok(call) => {
                    output.extend(call);
                    at = tokens.len() - cursor.rest().0.len();
                    continue;
                }
                Err(diagnostic) => found.push(diagnostic),
            }
        } else if next(0, "LATE") && next(1, "INTO") {
            let mut cursor = Cursor::new(file, &rest[2..], end);
            match (cursor.table("the name of a table"), *block) {
                (Ok(table), (Some(select), true)) => {
                    late.push(LateInto { table, select: place(file, select) });
                }
                (Ok(_), _) => found.push(
                    Diagnostic::new(&SYNTAX, "LATE INTO stands behind no GROUP BY")
                        .at(&place(file, token.span))
                        .help("write it at the end of a query that groups by a window"),
                ),
                (Err(diagnostic), _) => found.push(diagnostic),
            }
            at = tokens.len() - cursor.rest().0.len();
            continue;
        }
        match &token.token {
            _ if next(0, "SELECT") => *block = (Some(token.span), false),
            _ if next(0, "GROUP") && next(1, "BY") => block.1 = true,
            Token::LParen => blocks.push((None, false)),
            Token::RParen if depth > 1 => drop(blocks.pop()),
            _ => {}
        }
        at += zoned(rest, &mut output);
    }
    (output, late)
}

/// Copies the next token; `TIMESTAMP_LTZ(3)` as `TIMESTAMP(3) WITH TIME ZONE`. Returns how many were read.
pub(crate) fn zoned(rest: &[TokenWithSpan], output: &mut Vec<TokenWithSpan>) -> usize {
    let Some(token) = rest.first() else { return 1 };
    if !is_word(&token.token, "TIMESTAMP_LTZ") {
        output.push(token.clone());
        return 1;
    }
    let word = |word: &str| TokenWithSpan::new(Token::make_word(word, None), token.span);
    output.push(word("TIMESTAMP"));
    let digits = matches!(
        rest,
        [_, open, digits, close, ..]
            if open.token == Token::LParen && close.token == Token::RParen && matches!(digits.token, Token::Number(..))
    );
    let read = if digits { 4 } else { 1 };
    output.extend(rest[1..read].iter().cloned());
    output.extend(["WITH", "TIME", "ZONE"].map(word));
    read
}

/// Whether a window's table function begins here, and whether inside `TABLE( … )`.
///
/// The same names are functions of a GROUP BY too, with the time in front instead of a table.
fn starts_window(rest: &[TokenWithSpan], before: Option<&TokenWithSpan>) -> Option<bool> {
    let is = |at: usize, token: &Token| rest.get(at).is_some_and(|it| it.token == *token);
    let word = |at: usize, word: &str| rest.get(at).is_some_and(|it| is_word(&it.token, word));
    let named = |at: usize| match rest.get(at).map(|it| &it.token) {
        Some(Token::Word(word)) => function(&word.value).is_some() && is(at + 1, &Token::LParen),
        _ => false,
    };
    if word(0, "TABLE") && is(1, &Token::LParen) && named(2) {
        return Some(true);
    }
    let after = |word: &str| before.is_some_and(|token| is_word(&token.token, word));
    let takes_table = word(2, "TABLE") || (is(3, &Token::RArrow) && word(2, "DATA"));
    (named(0) && (takes_table || after("FROM") || after("JOIN"))).then_some(false)
}

/// The arguments of a call as they were read.
#[derive(Default)]
struct Arguments<'a> {
    table: Option<Reference>,
    time: Option<Reference>,
    keys: Vec<(Reference, Span)>,
    table_span: Option<Span>,
    time_span: Option<Span>,
    lengths: Vec<(&'static str, &'a [TokenWithSpan], i64)>,
}

/// Reads a call and writes it in its plain form.
fn window(cursor: &mut Cursor<'_>, wrapped: bool) -> Result<Vec<TokenWithSpan>, Diagnostic> {
    if wrapped {
        cursor.advance();
        cursor.advance();
    }
    let (at, name_span) = (cursor.place(), cursor.span().unwrap_or(Span::empty()));
    let written = cursor.name("a window")?;
    let (name, parameters) = function(&written.name).expect("it was looked at before");
    cursor.expect(&Token::LParen, "`(`")?;
    let mut arguments = Arguments::default();
    let mut given: Vec<&str> = Vec::new();
    loop {
        let parameter = parameter(cursor, name, parameters, &given)?;
        given.push(parameter);
        argument(cursor, name, parameter, &mut arguments)?;
        if !cursor.token(&Token::Comma) {
            break;
        }
    }
    cursor.expect(&Token::RParen, "`,` or `)`")?;
    if wrapped {
        cursor.expect(&Token::RParen, "`)` behind the window")?;
    }
    if let Some(missing) =
        parameters.iter().find(|parameter| **parameter != "OFFSET" && !given.contains(parameter))
    {
        return Err(missing_argument(name, missing).at(&at));
    }
    let lengths: Vec<(&str, i64)> = arguments.lengths.iter().map(|(name, _, us)| (*name, *us)).collect();
    if let Some(message) = fault(name, &lengths) {
        return Err(Diagnostic::new(&BAD_VALUE, message).at(&at));
    }
    Ok(plain(name, name_span, parameters, &arguments))
}

fn missing_argument(function: &str, missing: &str) -> Diagnostic {
    let example = match missing {
        "DATA" => "TABLE t".to_owned(),
        "TIMECOL" => "DESCRIPTOR(ts)".to_owned(),
        _ => format!("{missing} => INTERVAL '10' SECOND"),
    };
    Diagnostic::new(&MISSING_KEY, format!("{function} needs {missing}")).help(format!("add `{example}`"))
}

/// Which argument comes next: by its name, or by its place.
fn parameter(
    cursor: &mut Cursor<'_>,
    function: &str,
    parameters: &[&'static str],
    given: &[&str],
) -> Result<&'static str, Diagnostic> {
    let at = cursor.place();
    if cursor.nth(1) == Some(&Token::RArrow) {
        let name = cursor.name("the name of an argument")?;
        cursor.advance();
        let upper = name.name.to_uppercase();
        let Some(known) = parameters.iter().find(|known| **known == upper) else {
            let message = format!("{function} has no argument \"{}\"", name.name);
            let help = suggest::help(&name.name, parameters, "arguments");
            return Err(Diagnostic::new(&UNKNOWN_KEY, message).at(&at).help(help));
        };
        if given.contains(known) {
            let message = format!("{function} is given {known} twice");
            return Err(Diagnostic::new(&acme_types::codes::DUPLICATE, message).at(&at));
        }
        return Ok(known);
    }
    match parameters.get(given.len()) {
        Some(parameter) if !given.contains(parameter) => Ok(parameter),
        _ => {
            let message = format!("{function} has no further argument");
            let help = format!("its arguments are {}", parameters.join(", "));
            Err(Diagnostic::new(&SYNTAX, message).at(&at).help(help))
        }
    }
}

fn argument<'a>(
    cursor: &mut Cursor<'a>,
    function: &str,
    parameter: &'static str,
    arguments: &mut Arguments<'a>,
) -> Result<(), Diagnostic> {
    let at = cursor.place();
    match parameter {
        "DATA" => {
            if !cursor.words(&["TABLE"]) {
                let help = match cursor.peek() {
                    Some(Token::LParen) => {
                        "give the query a name with CREATE VIEW, and write TABLE and that name"
                    }
                    _ => "write TABLE and the name of a table",
                };
                return Err(cursor.expected("TABLE and a name").help(help));
            }
            arguments.table_span = cursor.span();
            arguments.table = Some(cursor.table("the name of a table")?);
            partition_by(cursor, function, arguments)?;
        }
        "TIMECOL" => {
            cursor.expect_words(&["DESCRIPTOR"])?;
            cursor.expect(&Token::LParen, "`(`")?;
            arguments.time_span = cursor.span();
            arguments.time = Some(cursor.name("the name of a column")?);
            cursor.expect(&Token::RParen, "`)`")?;
        }
        length => {
            let (tokens, _) = cursor.until(|token| *token == Token::Comma);
            let parse = || {
                let mut parser = Parser::new(&StreamDialect).with_tokens_with_locations(tokens.to_vec());
                let expr = parser.parse_expr()?;
                parser.expect_token(&Token::EOF)?;
                Ok(expr)
            };
            let us = parse()
                .map_err(|_: sqlparser::parser::ParserError| {
                    "it is no interval such as INTERVAL '10' SECOND".to_owned()
                })
                .and_then(|expr| interval_us(&expr))
                .map_err(|cause| {
                    Diagnostic::new(&BAD_VALUE, format!("{length} of {function}: {cause}")).at(&at)
                })?;
            arguments.lengths.push((length, tokens, us));
        }
    }
    Ok(())
}

/// `PARTITION BY a`, `PARTITION BY (a, b)` or `PARTITION BY a, b` behind the table of a session.
fn partition_by<'a>(
    cursor: &mut Cursor<'a>,
    function: &str,
    arguments: &mut Arguments<'a>,
) -> Result<(), Diagnostic> {
    let at = cursor.place();
    if !cursor.words(&["PARTITION", "BY"]) {
        return Ok(());
    }
    if function != "SESSION" {
        let message = format!("{function} takes no PARTITION BY: its windows are the same for all keys");
        return Err(Diagnostic::new(&SYNTAX, message).at(&at).help("name the keys under GROUP BY alone"));
    }
    let round = cursor.token(&Token::LParen);
    loop {
        let span = cursor.span().unwrap_or(Span::empty());
        arguments.keys.push((cursor.name("the name of a column")?, span));
        let ends = cursor.nth(2) == Some(&Token::RArrow) || cursor.is_word(1, "DESCRIPTOR");
        if cursor.peek() != Some(&Token::Comma) || (!round && ends) {
            break;
        }
        cursor.advance();
    }
    if round {
        cursor.expect(&Token::RParen, "`,` or `)`")?;
    }
    Ok(())
}

fn plain(name: &str, span: Span, parameters: &[&str], arguments: &Arguments<'_>) -> Vec<TokenWithSpan> {
    let made = |token: Token| TokenWithSpan::new(token, span);
    let text = |of: &Option<Reference>, span: Option<Span>| {
        let name = of.as_ref().map_or(String::new(), |of| of.name.clone());
        TokenWithSpan::new(Token::SingleQuotedString(name), span.unwrap_or(Span::empty()))
    };
    let mut tokens = vec![
        made(Token::make_word(name, None)),
        made(Token::LParen),
        text(&arguments.table, arguments.table_span),
        made(Token::Comma),
        text(&arguments.time, arguments.time_span),
    ];
    for parameter in parameters {
        let Some((_, given, _)) = arguments.lengths.iter().find(|(name, ..)| name == parameter) else {
            continue;
        };
        tokens.push(made(Token::Comma));
        tokens.extend(given.iter().cloned());
    }
    for (key, span) in &arguments.keys {
        tokens.push(made(Token::Comma));
        tokens.push(TokenWithSpan::new(Token::SingleQuotedString(key.name.clone()), *span));
    }
    tokens.push(made(Token::RParen));
    tokens
}
