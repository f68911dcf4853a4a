//! Rows to the body of a `_bulk` request: one line that says what to do, and the document in a second one.
//!
//! Source: Elasticsearch reference, "Bulk API"; "Index API", versioning.

use crate::config::{Settings, Truncate};
use crate::index_name::{self, IndexName, Part};
use acme_connect::{Cell, Encoded, Fate, Fates, Found, Rows};
use acme_types::Diagnostic;
use acme_types::batch::{META_PREFIX, OPERATION, VERSION};
use arrow::array::{Array, AsArray, Int64Array, StringViewArray};
use arrow::datatypes::DataType;
use bytes::BytesMut;
use std::fmt::Write;

/// The longest `_id`, in bytes. One that is longer would make the server refuse the whole request.
const ID_MAX: usize = 512;

/// The columns of one batch that say where a row goes.
pub(crate) struct Columns<'a> {
    encoded: &'a Encoded,
    operation: Option<&'a StringViewArray>,
    version: Option<&'a Int64Array>,
    id: Vec<Cell>,
    /// Empty where all rows go to one index.
    index: Vec<Piece<'a>>,
    truncate: Truncate,
}

/// A piece of the name of an index.
enum Piece<'a> {
    Literal(&'a str),
    Value(&'a str, Cell),
}

/// A body under construction, with what it says about each of its rows.
#[derive(Debug, Default)]
pub(crate) struct Request {
    pub(crate) body: BytesMut,
    pub(crate) items: Vec<Item>,
}

/// One row of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    /// Its index in the batch.
    pub(crate) row: usize,
    /// Where it ends in the body.
    pub(crate) end: usize,
}

impl Request {
    /// Forgets the rows and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.body.clear();
        self.items.clear();
    }
}

/// The most that one request may hold; a single row may be larger.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) bytes: usize,
    pub(crate) rows: usize,
}

/// Why a request is not continued.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// No row is left.
    End,
    /// It is as large as it may be.
    Full,
    /// The next row goes to an index that is not known to exist; its name is in [`Scratch::index`].
    Index,
    /// The next row empties the index whose name is in [`Scratch::index`] of everything older than this version.
    Truncate(i64),
}

/// Memory that is used again for each row.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// The name of the present row's index, where names differ.
    pub(crate) index: String,
    next: Vec<u8>,
    id: Vec<u8>,
    /// The name in `index` is known to exist.
    known: bool,
}

impl Scratch {
    /// The index in [`Scratch::index`] exists now.
    pub(crate) fn accept(&mut self) {
        self.known = true;
    }

    /// Nothing is known any more.
    pub(crate) fn forget(&mut self) {
        self.known = false;
        self.index.clear();
    }
}

impl<'a> Columns<'a> {
    /// Finds the columns. Fails when the rows lack what the configuration needs.
    pub(crate) fn new(rows: &'a Rows, settings: &'a Settings) -> Result<Self, Diagnostic> {
        let batch = &rows.batch;
        let read = |field: &str| {
            let column = rows.shape.reads.iter().find(|(name, _)| name == field);
            Cell::new(batch, column.map_or(field, |(_, column)| column))
        };
        let index = match settings.index.fixed() {
            Some(_) => Vec::new(),
            None => pieces(&settings.index, rows, &read)?,
        };
        let operation = match batch.column(OPERATION) {
            Some(column) if column.data_type() == &DataType::Utf8View => Some(column.as_string_view()),
            _ => None,
        };
        let version = match batch.column(VERSION) {
            Some(column) if column.data_type() == &DataType::Int64 => Some(column.as_primitive()),
            _ => None,
        };
        // Without a key each change becomes a document of its own.
        let keyed = !settings.id_fields.is_empty();
        let (operation, version) = (operation.filter(|_| keyed), version.filter(|_| keyed));
        Ok(Self {
            encoded: rows.encoded.as_ref().expect("this destination takes bytes"),
            operation,
            version,
            id: settings.id_fields.iter().map(|field| read(field)).collect::<Result<_, _>>()?,
            index,
            truncate: settings.truncate,
        })
    }

    /// Whether a row may overtake an earlier one: its version decides, or it has no key that could be written twice.
    pub(crate) fn any_order(&self) -> bool {
        self.version.is_some() || self.id.is_empty()
    }

    /// Whether an equal or newer version in the index is a success.
    pub(crate) fn versioned(&self) -> bool {
        self.version.is_some()
    }

    /// How many rows there are.
    pub(crate) fn rows(&self) -> usize {
        self.encoded.ends.len()
    }

    /// How many bytes their documents have.
    pub(crate) fn size(&self) -> usize {
        self.encoded.bytes.len()
    }

    /// Adds rows from `row` on until there is a reason to stop; `row` becomes the next one. A row that cannot be written
    /// gets its fate at once.
    pub(crate) fn fill(
        &self,
        row: &mut usize,
        limits: Limits,
        scratch: &mut Scratch,
        request: &mut Request,
        fates: &mut Fates,
    ) -> Stop {
        let count = self.rows();
        while *row < count {
            let size = self.encoded.row(*row).len();
            let full = request.items.len() >= limits.rows || request.body.len() + size > limits.bytes;
            if full && !request.items.is_empty() {
                return Stop::Full;
            }
            match self.add(*row, scratch, request) {
                Ok(None) => {}
                Ok(Some(stop)) => return stop,
                Err(reason) => fates.push((*row, Fate::Reject { reason })),
            }
            *row += 1;
        }
        Stop::End
    }

    fn add(&self, row: usize, scratch: &mut Scratch, request: &mut Request) -> Result<Option<Stop>, String> {
        let operation = self.operation.filter(|column| !column.is_null(row)).map(|column| column.value(row));
        let version = self.version(row)?;
        if operation == Some("TRUNCATE") && self.truncate != Truncate::Apply {
            return match self.truncate {
                Truncate::Ignore => Ok(None),
                _ => Err("the source was truncated; set `truncate: apply` or `truncate: ignore`".to_owned()),
            };
        }
        self.name(row, scratch)?;
        if operation == Some("TRUNCATE") {
            let version = version.ok_or("a TRUNCATE without a version cannot be applied")?;
            return Ok(Some(Stop::Truncate(version)));
        }
        if !self.index.is_empty() && !scratch.known {
            return Ok(Some(Stop::Index));
        }
        self.id(row, &mut scratch.id)?;
        let delete = operation == Some("DELETE");
        let body = &mut request.body;
        action(body, delete, &scratch.index, (!self.id.is_empty()).then_some(scratch.id.as_slice()), version);
        if !delete {
            document(body, self.encoded.row(row));
        }
        request.items.push(Item { row, end: request.body.len() });
        Ok(None)
    }

    fn version(&self, row: usize) -> Result<Option<i64>, String> {
        let Some(column) = self.version else { return Ok(None) };
        // The server would refuse the whole request.
        match column.value(row) {
            _ if column.is_null(row) => Err("the change has no version".to_owned()),
            negative if negative < 0 => Err(format!("the version {negative} is negative")),
            version => Ok(Some(version)),
        }
    }

    /// Puts the name of the row's index into `scratch`, where names differ.
    fn name(&self, row: usize, scratch: &mut Scratch) -> Result<(), String> {
        if self.index.is_empty() {
            return Ok(());
        }
        let next = &mut scratch.next;
        next.clear();
        for piece in &self.index {
            match piece {
                Piece::Literal(text) => next.extend_from_slice(text.as_bytes()),
                Piece::Value(name, cell) => {
                    let start = next.len();
                    match cell.write(row, next) {
                        Found::Value => next[start..].make_ascii_lowercase(),
                        Found::Null => {
                            return Err(format!("\"{name}\", part of the index's name, is missing"));
                        }
                        Found::Nested => {
                            return Err(format!(
                                "\"{name}\", part of the index's name, is not a plain value"
                            ));
                        }
                    }
                }
            }
        }
        if next == scratch.index.as_bytes() {
            return Ok(());
        }
        let name = std::str::from_utf8(next).map_err(|error| error.to_string())?;
        if let Some(fault) = index_name::fault(name) {
            return Err(format!("\"{name}\" cannot name an index: {fault}"));
        }
        scratch.index.clear();
        scratch.index.push_str(name);
        scratch.known = false;
        Ok(())
    }

    fn id(&self, row: usize, id: &mut Vec<u8>) -> Result<(), String> {
        id.clear();
        for (at, cell) in self.id.iter().enumerate() {
            if at > 0 {
                id.push(b'_');
            }
            let start = id.len();
            match cell.write(row, id) {
                Found::Value => {}
                Found::Null => return Err("the field of `id_field` is missing or NULL".to_owned()),
                Found::Nested => {
                    return Err("the field of `id_field` is an object or array, not a plain value".to_owned());
                }
            }
            if self.id.len() > 1 {
                escape(id, start);
            }
        }
        match id.len() {
            0 if !self.id.is_empty() => Err("the field of `id_field` is empty".to_owned()),
            length if length > ID_MAX => Err(format!("the id has {length} bytes, {ID_MAX} are allowed")),
            _ => Ok(()),
        }
    }
}

fn pieces<'a>(
    index: &'a IndexName,
    rows: &'a Rows,
    read: &impl Fn(&str) -> Result<Cell, Diagnostic>,
) -> Result<Vec<Piece<'a>>, Diagnostic> {
    let piece = |part: &'a Part| {
        Ok(match part {
            Part::Literal(text) => Piece::Literal(text),
            Part::Field(name) => Piece::Value(name, read(name)?),
            Part::Hidden(column) => {
                let name = column.trim_start_matches(META_PREFIX);
                let cell = Cell::new(&rows.batch, column).map_err(|diagnostic| {
                    diagnostic.help(format!("`{{{name}}}` in `index:` needs a source that captures changes"))
                })?;
                Piece::Value(name, cell)
            }
        })
    };
    index.parts().iter().map(piece).collect()
}

/// In a key of several parts, an underscore within a part is written `%5F` and a percent sign `%25`: `a_b`, `c` and `a`,
/// `b_c` must not become the same id.
fn escape(id: &mut Vec<u8>, start: usize) {
    if !id[start..].iter().any(|byte| matches!(byte, b'_' | b'%')) {
        return;
    }
    let part = id.split_off(start);
    for byte in part {
        match byte {
            b'_' => id.extend_from_slice(b"%5F"),
            b'%' => id.extend_from_slice(b"%25"),
            other => id.push(other),
        }
    }
}

/// The line that says what to do; `index` is empty where the address of the request names it.
pub(crate) fn action(
    body: &mut BytesMut,
    delete: bool,
    index: &str,
    id: Option<&[u8]>,
    version: Option<i64>,
) {
    body.extend_from_slice(if delete { b"{\"delete\":{" } else { b"{\"index\":{" });
    let mut separator = "";
    if !index.is_empty() {
        body.extend_from_slice(b"\"_index\":");
        text(body, index.as_bytes());
        separator = ",";
    }
    if let Some(id) = id {
        body.extend_from_slice(separator.as_bytes());
        body.extend_from_slice(b"\"_id\":");
        text(body, id);
        separator = ",";
    }
    if let Some(version) = version {
        write!(body, "{separator}\"version\":{version},\"version_type\":\"external\"")
            .expect("memory takes all");
    }
    body.extend_from_slice(b"}}\n");
}

/// A JSON string. All bytes from 0x20 on but two stand for themselves.
fn text(body: &mut BytesMut, bytes: &[u8]) {
    body.extend_from_slice(b"\"");
    let plain = |byte: &u8| *byte >= 0x20 && !matches!(byte, b'"' | b'\\');
    if bytes.iter().all(plain) {
        body.extend_from_slice(bytes);
    } else {
        for byte in bytes {
            match byte {
                b'"' | b'\\' => body.extend_from_slice(&[b'\\', *byte]),
                0..0x20 => write!(body, "\\u{byte:04x}").expect("memory takes all"),
                _ => body.extend_from_slice(&[*byte]),
            }
        }
    }
    body.extend_from_slice(b"\"");
}

/// A document on one line. A line end within it can only stand between two tokens, where a space says the same.
fn document(body: &mut BytesMut, document: &[u8]) {
    let document = document.trim_ascii_end();
    let start = body.len();
    body.extend_from_slice(document);
    if memchr::memchr(b'\n', document).is_some() {
        for byte in &mut body[start..] {
            if *byte == b'\n' {
                *byte = b' ';
            }
        }
    }
    body.extend_from_slice(b"\n");
}

#[cfg(test)]
mod tests;
