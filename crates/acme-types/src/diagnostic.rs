//! A failure as the person who must act sees it: the only error type that is ever printed.

use crate::codes::Code;
use std::borrow::Cow;
use std::fmt::{self, Write};
use std::sync::Arc;

/// Whose turn it is. It decides the exit code, whether a retry makes sense, and whom an alert wakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The configuration or the data given by the user. Never retried.
    User,
    /// A system that Acme talks to. Retried where the contract allows it.
    Remote,
    /// A defect of ours.
    Acme,
}

/// A place in the user's own text; line and column count from 1, columns in characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file as the user named it.
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// One thing that is wrong: what, where, why, and what to do about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Diagnostic {
    /// Stable and documented; `acme error A0101` prints its page. Never reused.
    pub code: &'static Code,
    /// Who can mend it.
    pub blame: Blame,
    /// One clause, present tense, no full stop, no secret.
    pub message: String,
    /// Place in the user's own text.
    pub at: Option<Place>,
    /// The next step as an imperative, or nothing: never a guess.
    pub help: Option<Cow<'static, str>>,
    /// A warning is printed but stops nothing.
    pub warning: bool,
}

impl Diagnostic {
    /// An error whose blame is the code's own.
    #[must_use]
    pub fn new(code: &'static Code, message: impl Into<String>) -> Self {
        Self { code, blame: code.blame, message: message.into(), at: None, help: None, warning: false }
    }

    /// A finding that is printed but stops nothing.
    #[must_use]
    pub fn warning(code: &'static Code, message: impl Into<String>) -> Self {
        Self { warning: true, ..Self::new(code, message) }
    }

    /// Names the place in the user's text.
    #[must_use]
    pub fn at(mut self, place: &Place) -> Self {
        self.at = Some(place.clone());
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<Cow<'static, str>>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = if self.warning { "warning" } else { "error" };
        write!(f, "{severity}[{}]: {}", self.code.id, Shown(&self.message))?;
        self.at.iter().try_for_each(|place| write!(f, "\n  --> {place}"))?;
        self.help.iter().try_for_each(|help| write!(f, "\n  help: {}", Shown(help)))
    }
}

/// Characters of a message or a help that are shown: what a file or a remote system put into it may be of any length.
const SHOWN_MAX: usize = 2_000;

/// Text for a terminal: not without end, and control characters written out instead of obeyed.
struct Shown<'a>(&'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, c) in self.0.chars().enumerate() {
            match c {
                _ if index == SHOWN_MAX => return f.write_char('…'),
                '\n' | '\t' => f.write_char(c)?,
                c if c.is_control() => write!(f, "{}", c.escape_unicode())?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostic {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codes;

    #[test]
    fn what_is_shown_has_an_end_and_no_control_characters() {
        let shown = Diagnostic::new(&codes::YAML, format!("\u{1b}[2J\0{}", "é".repeat(10_000))).to_string();
        assert!(shown.starts_with("error[A0101]: \\u{1b}[2J\\u{0}é"), "{shown:.60}");
        assert!(shown.ends_with("é…") && shown.chars().count() < SHOWN_MAX + 40);
    }
}
