//! Text to tokens with their places, and the cursor that hand-written statements are read with.
//!
//! The tokens are sqlparser's, so that expressions and queries among them can be handed to its parser.

use acme_types::codes::{BAD_VALUE, IGNORED, SYNTAX};
use acme_types::{Diagnostic, Place};
use sqlparser::dialect::Dialect;
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan, Tokenizer, Whitespace};
use std::sync::Arc;

/// Brackets that may be open at once.
const DEPTH_MAX: usize = 60;
/// Tokens that may follow each other without a comma or a bracket: what is parsed of them may nest as deep as they are many.
const RUN_MAX: usize = 2_000;
/// Queries that one statement may put together with UNION, INTERSECT and EXCEPT.
const SETS_MAX: usize = 200;
/// The same token that may stand twice in a row.
const REPEAT_MAX: usize = 40;
/// Types that may stand in each other.
const TYPES_MAX: usize = 30;
/// Brackets of these words that may stand in each other. The parser tries what fails inside them a second time, as a call.
const TWICE_MAX: usize = 12;
const TWICE: &[Keyword] = &[
    Keyword::ARRAY,
    Keyword::CAST,
    Keyword::CEIL,
    Keyword::CONVERT,
    Keyword::EXISTS,
    Keyword::EXTRACT,
    Keyword::FLOOR,
    Keyword::NOT,
    Keyword::OVERLAY,
    Keyword::POSITION,
    Keyword::SAFE_CAST,
    Keyword::SUBSTR,
    Keyword::SUBSTRING,
    Keyword::TRIM,
    Keyword::TRY_CAST,
];

/// Flink's SQL as this crate reads it: names in backticks or double quotes, text in single quotes.
#[derive(Debug)]
pub struct StreamDialect;

impl Dialect for StreamDialect {
    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        matches!(ch, '`' | '"')
    }
    fn is_identifier_start(&self, ch: char) -> bool {
        ch.is_alphabetic() || ch == '_'
    }
    fn is_identifier_part(&self, ch: char) -> bool {
        ch.is_alphanumeric() || ch == '_'
    }
    fn supports_unicode_string_literal(&self) -> bool {
        true
    }
    fn supports_filter_during_aggregation(&self) -> bool {
        true
    }
    fn supports_within_after_array_aggregation(&self) -> bool {
        true
    }
    fn supports_group_by_expr(&self) -> bool {
        true
    }
    fn supports_window_clause_named_window_reference(&self) -> bool {
        true
    }
    fn supports_window_function_null_treatment_arg(&self) -> bool {
        true
    }
    fn supports_match_recognize(&self) -> bool {
        true
    }
    fn supports_table_versioning(&self) -> bool {
        true
    }
    fn supports_array_typedef_with_brackets(&self) -> bool {
        true
    }
}

/// The place of a span's beginning; that of the file's for what was made and not written.
#[must_use]
pub fn place(file: &Arc<str>, span: Span) -> Place {
    at(file, span.start)
}

fn at(file: &Arc<str>, location: Location) -> Place {
    let number = |number: u64| usize::try_from(number).unwrap_or(usize::MAX).max(1);
    Place { file: file.clone(), line: number(location.line), column: number(location.column) }
}

/// One statement's tokens, without white space, comments and the `;` behind them.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) tokens: Vec<TokenWithSpan>,
    /// Where it ends, for what is missing there.
    pub(crate) end: Location,
}

/// Cuts a text into statements. What cannot be a token is reported, and ends the reading; the statement that it stands
/// in is left out.
pub(crate) fn pieces(file: &Arc<str>, text: &str, found: &mut Vec<Diagnostic>) -> Vec<Piece> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut all = Vec::new();
    let failed = Tokenizer::new(&StreamDialect, text).tokenize_with_location_into_buf(&mut all).err();
    let mut pieces = Vec::new();
    let mut tokens: Vec<TokenWithSpan> = Vec::new();
    let mut last = Location::new(1, 1);
    for token in all {
        match &token.token {
            Token::Whitespace(white) => comment(file, white, token.span, found),
            Token::SemiColon => {
                pieces.push(Piece { tokens: std::mem::take(&mut tokens), end: token.span.start });
            }
            _ => {
                last = token.span.end;
                tokens.push(token);
            }
        }
    }
    match failed {
        Some(error) => {
            let message = match error.message.to_lowercase() {
                text if text.contains("comment") => "a comment is never closed",
                text if text.contains("string") || text.contains("quote") || text.contains("delimiter") => {
                    "a quote is never closed"
                }
                _ => "these characters mean nothing",
            };
            found.push(Diagnostic::new(&SYNTAX, message).at(&at(file, error.location)));
        }
        None => pieces.push(Piece { tokens, end: last }),
    }
    pieces.retain(|piece| !piece.tokens.is_empty() && is_bounded(file, piece, found));
    pieces
}

/// A comment is nothing, unless it is a hint.
fn comment(file: &Arc<str>, white: &Whitespace, span: Span, found: &mut Vec<Diagnostic>) {
    let Whitespace::MultiLineComment(text) = white else { return };
    let Some(hint) = text.strip_prefix('+') else { return };
    let is_options = hint.to_uppercase().contains("OPTIONS");
    found.push(match is_options {
        true => Diagnostic::new(&BAD_VALUE, "options cannot be given in a hint")
            .help("write them into the WITH clause of the table"),
        false => Diagnostic::warning(&IGNORED, "a hint changes nothing here"),
    });
    if let Some(last) = found.last_mut() {
        last.at = Some(place(file, span));
    }
}

/// Counts what makes a statement deep.
struct Depth {
    /// For each bracket that is open: tokens since the last comma, and whether its content may be read twice.
    brackets: Vec<(usize, bool)>,
    sets: usize,
    types: usize,
    repeats: usize,
    /// INTERVALs without a literal, which are read twice too.
    intervals: usize,
    /// The points of one name, behind each of which the parser tries twice too.
    points: usize,
}

impl Depth {
    /// Takes the next token; says whether it is too much.
    fn exceeds(&mut self, before: Option<&Token>, token: &Token) -> bool {
        let keyword = |token: Option<&Token>| match token {
            Some(Token::Word(word)) if word.quote_style.is_none() => word.keyword,
            _ => Keyword::NoKeyword,
        };
        let twice = TWICE.contains(&keyword(before));
        let depth = self.brackets.len();
        let innermost = self.brackets.last_mut().expect("the outermost is never closed");
        match token {
            Token::Comma => innermost.0 = 0,
            Token::LParen | Token::LBracket | Token::LBrace => self.brackets.push((0, twice)),
            Token::RParen | Token::RBracket | Token::RBrace if depth > 1 => drop(self.brackets.pop()),
            _ => innermost.0 += 1,
        }
        let sets = [Keyword::UNION, Keyword::EXCEPT, Keyword::INTERSECT, Keyword::MINUS];
        self.sets += usize::from(sets.contains(&keyword(Some(token))));
        self.repeats = if before == Some(token) { self.repeats + 1 } else { 0 };
        self.types = match (before, token) {
            (Some(Token::Word(_)), Token::Lt) => self.types + 1,
            (Some(Token::Lt), _) | (_, Token::Word(_)) => self.types,
            _ => 0,
        };
        self.points = match (before, token) {
            (_, Token::Period) => self.points + 1,
            (Some(Token::Period), _) => self.points,
            _ => 0,
        };
        let literal = matches!(token, Token::SingleQuotedString(_) | Token::Number(..));
        self.intervals += usize::from(keyword(before) == Keyword::INTERVAL && !literal);
        let repeats = self.repeats > REPEAT_MAX && !matches!(token, Token::RParen | Token::Number(..));
        let run = self.brackets.last().map_or(0, |(run, _)| *run);
        let nested = self.brackets.iter().filter(|(_, twice)| *twice).count();
        depth >= DEPTH_MAX
            || run > RUN_MAX
            || self.sets > SETS_MAX
            || self.types > TYPES_MAX
            || repeats
            || nested.max(self.intervals).max(self.points) > TWICE_MAX
    }
}

/// Whether a statement is as simple as every reader of its tree may expect: they call themselves for what is nested.
fn is_bounded(file: &Arc<str>, piece: &Piece, found: &mut Vec<Diagnostic>) -> bool {
    let mut depth =
        Depth { brackets: vec![(0, false)], sets: 0, types: 0, repeats: 0, intervals: 0, points: 0 };
    let mut before: Option<&Token> = None;
    for token in &piece.tokens {
        let refused = match &token.token {
            Token::Placeholder(name) if name == "$" => Some((
                "a `$` stands outside quotes",
                "write the variable in quotes, '${VAR}', and CAST it where it is a number",
            )),
            Token::Placeholder(_) => {
                Some(("a `$` stands outside quotes", "write names that are not plain words in backticks"))
            }
            token if depth.exceeds(before, token) => {
                Some(("the statement is nested too deeply", "split it into views"))
            }
            _ => None,
        };
        if let Some((message, help)) = refused {
            found.push(Diagnostic::new(&SYNTAX, message).at(&place(file, token.span)).help(help));
            return false;
        }
        before = Some(&token.token);
    }
    true
}

/// A name as it was written, and where.
pub(crate) use crate::pipeline::Reference;

/// Reads tokens one after the other. Every method that fails says what it expected and what it found.
pub(crate) struct Cursor<'a> {
    pub(crate) file: &'a Arc<str>,
    tokens: &'a [TokenWithSpan],
    at: usize,
    end: Location,
    /// The first half of a `>>` is read already.
    half: bool,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(file: &'a Arc<str>, tokens: &'a [TokenWithSpan], end: Location) -> Self {
        Self { file, tokens, at: 0, end, half: false }
    }

    pub(crate) fn peek(&self) -> Option<&'a Token> {
        self.nth(0)
    }

    pub(crate) fn nth(&self, ahead: usize) -> Option<&'a Token> {
        self.tokens.get(self.at + ahead).map(|token| &token.token)
    }

    /// Where the next token stands.
    pub(crate) fn place(&self) -> Place {
        self.tokens.get(self.at).map_or_else(|| at(self.file, self.end), |token| place(self.file, token.span))
    }

    /// The span of the next token.
    pub(crate) fn span(&self) -> Option<Span> {
        self.tokens.get(self.at).map(|token| token.span)
    }

    pub(crate) fn advance(&mut self) {
        self.at += 1;
        self.half = false;
    }

    /// How far it has read.
    pub(crate) fn mark(&self) -> usize {
        self.at
    }

    /// Goes from a mark to the comma or the bracket that ends this entry of a list; commas between angles do not.
    pub(crate) fn skip_element(&mut self, mark: usize) {
        self.at = mark;
        self.half = false;
        let (mut round, mut angles) = (0i64, 0i64);
        while let Some(token) = self.peek() {
            match token {
                Token::Comma if round == 0 && angles <= 0 => return,
                Token::RParen if round == 0 => return,
                Token::LParen => round += 1,
                Token::RParen => round -= 1,
                Token::Lt => angles += 1,
                Token::Gt => angles -= 1,
                Token::ShiftRight => angles -= 2,
                _ => {}
            }
            self.advance();
        }
    }

    /// The tokens that are not read yet, and where they end.
    pub(crate) fn rest(&mut self) -> (&'a [TokenWithSpan], Location) {
        let rest = self.tokens.get(self.at..).unwrap_or_default();
        self.at = self.tokens.len();
        (rest, self.end)
    }

    /// The tokens up to the next of these that stands in no bracket; it is not read.
    pub(crate) fn until(&mut self, stop: impl Fn(&Token) -> bool) -> (&'a [TokenWithSpan], Location) {
        let start = self.at;
        let mut depth = 0usize;
        while let Some(token) = self.peek() {
            match token {
                _ if depth == 0 && stop(token) => break,
                Token::LParen | Token::LBracket => depth += 1,
                Token::RParen | Token::RBracket if depth == 0 => break,
                Token::RParen | Token::RBracket => depth -= 1,
                _ => {}
            }
            self.advance();
        }
        let end = self.tokens.get(self.at).map_or(self.end, |token| token.span.start);
        (self.tokens.get(start..self.at).unwrap_or_default(), end)
    }

    pub(crate) fn is_done(&self) -> bool {
        self.at >= self.tokens.len()
    }

    /// Whether the next token is this word, without quotes and in any case.
    pub(crate) fn is_word(&self, ahead: usize, word: &str) -> bool {
        self.nth(ahead).is_some_and(|token| is_word(token, word))
    }

    /// Reads these words if all of them follow.
    pub(crate) fn words(&mut self, words: &[&str]) -> bool {
        let all = words.iter().enumerate().all(|(ahead, word)| self.is_word(ahead, word));
        if all {
            self.at += words.len();
            self.half = false;
        }
        all
    }

    pub(crate) fn expect_words(&mut self, words: &[&str]) -> Result<(), Diagnostic> {
        for word in words {
            if !self.words(&[word]) {
                return Err(self.expected(word));
            }
        }
        Ok(())
    }

    pub(crate) fn token(&mut self, token: &Token) -> bool {
        let found = self.peek() == Some(token);
        if found {
            self.advance();
        }
        found
    }

    pub(crate) fn expect(&mut self, token: &Token, what: &str) -> Result<(), Diagnostic> {
        if self.token(token) { Ok(()) } else { Err(self.expected(what)) }
    }

    /// Reads a `>`, which may be the half of a `>>`.
    pub(crate) fn expect_closing_angle(&mut self) -> Result<(), Diagnostic> {
        match self.peek() {
            Some(Token::Gt) => self.advance(),
            Some(Token::ShiftRight) if self.half => self.advance(),
            Some(Token::ShiftRight) => self.half = true,
            _ => return Err(self.expected("`,` or `>`")),
        }
        Ok(())
    }

    /// A name: a word, or anything in backticks.
    pub(crate) fn name(&mut self, what: &str) -> Result<Reference, Diagnostic> {
        let at = self.place();
        match self.peek() {
            Some(Token::Word(word)) if !word.value.is_empty() => {
                self.advance();
                Ok(Reference { name: word.value.clone(), at })
            }
            _ => Err(self.expected(what)),
        }
    }

    /// The name of a table, from which Flink's default catalog and database are taken off.
    pub(crate) fn table(&mut self, what: &str) -> Result<Reference, Diagnostic> {
        let first = self.name(what)?;
        let mut parts = vec![first];
        while self.token(&Token::Period) {
            parts.push(self.name(what)?);
        }
        let names: Vec<&str> = parts.iter().map(|part| &*part.name).collect();
        match unqualified(&names) {
            Some(name) => Ok(Reference { name: name.to_owned(), at: parts.swap_remove(0).at }),
            None => Err(qualified(&names).at(&parts[0].at)),
        }
    }

    /// A text in single quotes.
    pub(crate) fn text(&mut self, what: &str) -> Result<(String, Place), Diagnostic> {
        self.quoted().ok_or_else(|| self.expected(what))
    }

    /// A text in single quotes, if it follows.
    pub(crate) fn quoted(&mut self) -> Option<(String, Place)> {
        let at = self.place();
        let Some(Token::SingleQuotedString(text)) = self.peek() else { return None };
        self.advance();
        Some((text.clone(), at))
    }

    pub(crate) fn number<N: std::str::FromStr>(&mut self, what: &str) -> Result<N, Diagnostic> {
        match self.peek() {
            Some(Token::Number(text, _)) => match text.parse() {
                Ok(number) => {
                    self.advance();
                    Ok(number)
                }
                Err(_) => Err(self.expected(what)),
            },
            _ => Err(self.expected(what)),
        }
    }

    pub(crate) fn expect_end(&self) -> Result<(), Diagnostic> {
        if self.is_done() { Ok(()) } else { Err(self.expected("the end of the statement")) }
    }

    /// That something else stands here.
    pub(crate) fn expected(&self, what: &str) -> Diagnostic {
        let found = self.peek().map_or_else(|| "the end of the statement".to_owned(), shown);
        Diagnostic::new(&SYNTAX, format!("expected {what}, found {found}")).at(&self.place())
    }
}

impl Cursor<'_> {
    /// That something else stands here, which is not shown: it may be a part of a password.
    pub(crate) fn wanted(&self, what: &str) -> Diagnostic {
        Diagnostic::new(&SYNTAX, format!("expected {what}")).at(&self.place())
    }
}

/// The name of a table without Flink's default catalog and database; nothing where it has others.
pub(crate) fn unqualified<'n>(names: &[&'n str]) -> Option<&'n str> {
    match names {
        [name] | ["default_database", name] | ["default_catalog", "default_database", name] => Some(name),
        _ => None,
    }
}

/// That a name has more parts than there is anything for.
pub(crate) fn qualified(names: &[&str]) -> Diagnostic {
    let message = format!("\"{}\" names a catalog or a database, and there are none", names.join("."));
    Diagnostic::new(&SYNTAX, message).help("write the name of the table alone")
}

pub(crate) fn is_word(token: &Token, word: &str) -> bool {
    matches!(token, Token::Word(found) if found.quote_style.is_none() && found.value.eq_ignore_ascii_case(word))
}

/// A token for a message. Text is not shown: it may be a password.
pub(crate) fn shown(token: &Token) -> String {
    match token {
        Token::EOF => "the end of the statement".to_owned(),
        Token::Word(word) if word.quote_style.is_some() => format!("the name \"{}\"", word.value),
        Token::Word(word) => format!("\"{}\"", word.value),
        Token::Number(number, _) => format!("\"{number}\""),
        token => match token.to_string() {
            text if text.chars().count() <= 3 && !text.contains(['\'', '"']) => format!("\"{text}\""),
            _ => "a text in quotes".to_owned(),
        },
    }
}
