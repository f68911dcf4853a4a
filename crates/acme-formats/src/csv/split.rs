//! Where records and fields begin and end.

use super::Dialect;
use std::borrow::Cow;
use std::ops::Range;

/// The length of the whole records at the front of a block that begins with one.
///
/// **Cost** one pass with `memchr`; where the block has no quotes only its end is looked at.
#[must_use]
pub fn whole_records(block: &[u8], dialect: &Dialect) -> usize {
    let quoted = dialect.quote.is_some_and(|quote| memchr::memchr(quote, block).is_some());
    if !quoted {
        return memchr::memrchr(b'\n', block).map_or(0, |at| at + 1);
    }
    let mut end = 0;
    while let Some(next) = record_end(block, end, dialect) {
        end = next;
    }
    end
}

/// Where the record that begins at `start` ends, behind its line end; `None` where the block ends before.
pub(super) fn record_end(block: &[u8], start: usize, dialect: &Dialect) -> Option<usize> {
    let Some(quote) = dialect.quote else {
        return memchr::memchr(b'\n', &block[start..]).map(|at| start + at + 1);
    };
    let mut at = start;
    loop {
        let found = at + memchr::memchr2(quote, b'\n', block.get(at..)?)?;
        if block[found] == b'\n' {
            return Some(found + 1);
        }
        // A quote opens a field only where the field begins.
        let opens = found == start || block[found - 1] == dialect.delimiter;
        at = if opens { closing(block, found + 1, quote)? } else { found + 1 };
    }
}

/// Behind the quote that closes a field whose content begins at `from`.
fn closing(block: &[u8], mut from: usize, quote: u8) -> Option<usize> {
    loop {
        let at = from + memchr::memchr(quote, block.get(from..)?)?;
        if block.get(at + 1) != Some(&quote) {
            return Some(at + 1);
        }
        from = at + 2;
    }
}

/// One field of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    /// Its content in the block, without the quotes around it.
    pub(super) at: Range<usize>,
    /// It stood in quotes.
    pub(super) quoted: bool,
    /// It holds doubled quotes.
    pub(super) doubled: bool,
}

impl Cell {
    /// The content with doubled quotes made single.
    pub(super) fn text<'b>(&self, block: &'b [u8], dialect: &Dialect) -> Cow<'b, [u8]> {
        let raw = &block[self.at.clone()];
        let (true, Some(quote)) = (self.doubled, dialect.quote) else { return Cow::Borrowed(raw) };
        let mut text = Vec::with_capacity(raw.len());
        let mut skip = false;
        for &byte in raw {
            // Inside a quoted field every quote is one of a pair.
            skip = byte == quote && !skip;
            if !skip {
                text.push(byte);
            }
        }
        Cow::Owned(text)
    }

    pub(super) fn is_null(&self, block: &[u8], dialect: &Dialect) -> bool {
        !self.quoted && block[self.at.clone()] == *dialect.null.as_bytes()
    }
}

/// Splits a record without its line end into its fields; the error is one clause.
pub(super) fn cells(
    block: &[u8],
    record: Range<usize>,
    dialect: &Dialect,
    out: &mut Vec<Cell>,
) -> Result<(), String> {
    out.clear();
    let mut start = record.start;
    loop {
        let quote = dialect.quote.filter(|quote| start < record.end && block[start] == *quote);
        let end = match quote {
            Some(quote) => {
                let end = closing(&block[..record.end], start + 1, quote).ok_or_else(|| {
                    format!("field {} begins with a quote that is never closed", out.len() + 1)
                })?;
                if end < record.end && block[end] != dialect.delimiter {
                    return Err(format!("field {} has text behind its closing quote", out.len() + 1));
                }
                let at = start + 1..end - 1;
                let doubled = memchr::memchr(quote, &block[at.clone()]).is_some();
                out.push(Cell { at, quoted: true, doubled });
                end
            }
            None => {
                let length = memchr::memchr(dialect.delimiter, &block[start..record.end]);
                let end = length.map_or(record.end, |length| start + length);
                out.push(Cell { at: start..end, quoted: false, doubled: false });
                end
            }
        };
        if end == record.end {
            return Ok(());
        }
        start = end + 1;
    }
}

/// The record without its line end.
pub(super) fn trim(block: &[u8], start: usize, end: usize) -> Range<usize> {
    let end = if end > start && block[end - 1] == b'\n' { end - 1 } else { end };
    let end = if end > start && block[end - 1] == b'\r' { end - 1 } else { end };
    start..end
}

/// The texts of the first record that is not blank, and the length up to its end; `None` where the bytes end before it does.
///
/// `to_the_end` says that nothing follows these bytes: a last record without a line end is whole then. A byte order mark at
/// the front is passed over. The error is one clause.
pub fn first_record(
    bytes: &[u8],
    dialect: &Dialect,
    to_the_end: bool,
) -> Result<Option<(Vec<String>, usize)>, String> {
    let mut start = if bytes.starts_with(b"\xEF\xBB\xBF") { 3 } else { 0 };
    loop {
        let end = match record_end(bytes, start, dialect) {
            Some(end) => end,
            None if to_the_end && start < bytes.len() => bytes.len(),
            None => return Ok(None),
        };
        let record = trim(bytes, start, end);
        if record.is_empty() {
            start = end;
            continue;
        }
        let mut found = Vec::new();
        cells(bytes, record, dialect, &mut found)?;
        let text = |cell: &Cell| {
            let text = String::from_utf8(cell.text(bytes, dialect).into_owned());
            text.map_err(|error| format!("is not valid UTF-8: {error}"))
        };
        return Ok(Some((found.iter().map(text).collect::<Result<_, _>>()?, end)));
    }
}
