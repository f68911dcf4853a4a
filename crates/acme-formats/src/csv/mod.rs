//! CSV: one record of text fields a line in, one out, as RFC 4180 has it.
//!
//! The splitter is ours because the libraries cannot say what must be known here: whether an empty field stood in quotes
//! (it is text, not NULL), that a quoted field is malformed (they mend it silently), and where in a block each record lies.
//!
//! More than the RFC says: lines may end with `\n` alone; a quote inside an unquoted field is text; other delimiters and
//! quotes may be chosen; an unquoted field that equals the NULL text (by default the empty one) is NULL.

mod decode;
mod encode;
mod split;

pub use decode::CsvDecoder;
pub use encode::{CsvEncoder, header};
pub use split::{first_record, whole_records};

/// How the fields of a file are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// What stands between two fields.
    pub delimiter: u8,
    /// What stands around a field that holds a delimiter, a line end or a quote; doubled inside. `None` where a quote has no
    /// meaning.
    pub quote: Option<u8>,
    /// The first record of each file holds the names of the fields.
    pub header: bool,
    /// The text that means NULL where it is not in quotes.
    pub null: String,
}

impl Default for Dialect {
    fn default() -> Self {
        Self { delimiter: b',', quote: Some(b'"'), header: true, null: String::new() }
    }
}

#[cfg(test)]
mod tests;
