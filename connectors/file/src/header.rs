//! What must be known of CSV files before their first record is read: their fields.

use crate::follow::identity;
use crate::format::Layout;
use crate::source::{FileSource, Reader, fault, read_full};
use acme_connect::{Content, Format, StreamInfo};
use acme_formats::csv::{Dialect, first_record};
use acme_types::{Change, Diagnostic, Place, codes};
use arrow::datatypes::{DataType, Field};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;

/// The longest header.
const HEADER_MAX: usize = 1 << 20;

/// Why a file cannot be begun.
pub(crate) enum Begin {
    Io(io::Error),
    /// Another file has its name now.
    Renamed,
    Refused(Box<Diagnostic>),
}

impl Begin {
    pub(crate) fn diagnostic(self, path: &Path) -> Diagnostic {
        match self {
            Self::Io(error) => fault(path, &error),
            Self::Refused(diagnostic) => *diagnostic,
            Self::Renamed => {
                let message = format!("{} was renamed while it was to be read", path.display());
                Diagnostic::new(&codes::SOURCE_CHANGED, message)
            }
        }
    }
}

impl FileSource {
    /// What the source yields, if that is known: of CSV the fields, from the header or the first record of the first file,
    /// else from the schema.
    pub(crate) fn known(&mut self) -> Result<Option<StreamInfo>, Diagnostic> {
        let content = match &self.format {
            Format::Json => Content::Documents(Format::Json),
            Format::Csv(dialect) => match self.layout(&dialect.clone())? {
                Some(layout) => Content::Fields(layout.dialect, layout.names),
                None => return Ok(None),
            },
        };
        Ok(Some(StreamInfo {
            name: self.item.clone(),
            key: Vec::new(),
            change: Change::Append,
            content,
            meta: vec![Arc::new(Field::new("offset", DataType::Int64, false))],
        }))
    }

    fn layout(&mut self, dialect: &Dialect) -> Result<Option<Layout>, Diagnostic> {
        if self.layout.is_some() {
            return Ok(self.layout.clone());
        }
        let from_schema = || Layout { dialect: dialect.clone(), names: self.declared.clone().into() };
        // Without a header the schema says it all.
        if !dialect.header && !self.declared.is_empty() {
            self.layout = Some(from_schema());
            return Ok(self.layout.clone());
        }
        let layout = match self.first_of_all(dialect)? {
            None if self.declared.is_empty() => None,
            None => Some(from_schema()),
            found => found,
        };
        self.layout = layout;
        Ok(self.layout.clone())
    }

    /// The layout of the first file that has a first record.
    fn first_of_all(&self, dialect: &Dialect) -> Result<Option<Layout>, Diagnostic> {
        for path in self.matches()?.into_keys() {
            let file = match File::open(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                file => file.map_err(|error| fault(&path, &error))?,
            };
            match first(&file, &path, dialect, !self.tail) {
                Ok(Some((names, _))) => return Layout::of(dialect, names, &top(&path)).map(Some),
                Ok(None) => {}
                Err(error) => return Err(error.diagnostic(&path)),
            }
        }
        Ok(None)
    }

    /// Opens a file where reading goes on: a new one behind its header, which must be the one that was planned for.
    pub(crate) fn begin(&mut self, path: &Path) -> Result<Reader, Begin> {
        let progress = self.files[path];
        let offset = progress.offset;
        let file = File::open(path).map_err(Begin::Io)?;
        let found = file.metadata().map_err(Begin::Io)?;
        if progress.id.is_some_and(|id| id != identity(&found)) {
            return Err(Begin::Renamed);
        }
        if let Some(changed) = self.changed(path, progress, Some(&found)) {
            return Err(Begin::Refused(Box::new(changed)));
        }
        let mut reader = Reader::new(path, file, offset);
        let Some(layout) = self.layout.as_ref().filter(|_| offset == 0) else { return Ok(reader) };
        if layout.dialect.header {
            if let Some((names, length)) = first(&reader.file, path, &layout.dialect, !self.tail)? {
                layout.check(names, &top(path)).map_err(|fault| Begin::Refused(Box::new(fault)))?;
                reader.offset = u64::try_from(length).expect("usize is at most 64 bits");
            } else {
                reader.waits = true;
            }
        } else if starts_with_mark(&reader.file).map_err(Begin::Io)? {
            reader.offset = 3;
        }
        Ok(reader)
    }
}

fn starts_with_mark(file: &File) -> io::Result<bool> {
    let mut start = [0; 3];
    Ok(read_full(file, &mut start, 0)? == 3 && &start == b"\xEF\xBB\xBF")
}

/// The first record of a file and its length, if it is there whole.
fn first(
    file: &File,
    path: &Path,
    dialect: &Dialect,
    to_the_end: bool,
) -> Result<Option<(Vec<String>, usize)>, Begin> {
    let mut size = 1 << 14;
    loop {
        let mut block = vec![0; size];
        let filled = read_full(file, &mut block, 0).map_err(Begin::Io)?;
        let all = filled < size;
        match first_record(&block[..filled], dialect, all && to_the_end) {
            Ok(None) if !all && size < HEADER_MAX => size *= 4,
            Ok(None) if !all => {
                let message = format!("the first record is longer than {HEADER_MAX} bytes");
                return Err(Begin::Refused(Box::new(
                    Diagnostic::new(&codes::DECODE, message).at(&top(path)),
                )));
            }
            Ok(found) => return Ok(found),
            Err(cause) => {
                let message = format!("the first record is not valid: {cause}");
                return Err(Begin::Refused(Box::new(
                    Diagnostic::new(&codes::DECODE, message).at(&top(path)),
                )));
            }
        }
    }
}

fn top(path: &Path) -> Place {
    Place { file: path.to_string_lossy().into(), line: 1, column: 1 }
}
