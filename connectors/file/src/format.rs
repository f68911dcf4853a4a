//! How the records of a file look: `format:` and `csv:`, which the source and the destination share.

use acme_connect::{Format, csv};
use acme_formats::csv::{Dialect, first_record, whole_records};
use acme_types::{Config, Diagnostic, Field, Kind, Place, codes};
use std::sync::Arc;

pub(crate) const FORMAT: Field = Field::defaulted(
    "format",
    Kind::Choice(&["json", "csv"]),
    "json",
    "How a record looks: `json` is one object a line, `csv` one record of fields.",
);

pub(crate) const CSV: Field =
    Field::optional("csv", Kind::Object(DIALECT), "How CSV is written; default: as RFC 4180 has it.");

const DIALECT: &[Field] = &[
    csv::DELIMITER,
    csv::QUOTE,
    Field::defaulted(
        "header",
        Kind::Bool,
        "true",
        "The first record of each file holds the names of the fields.",
    ),
    csv::NULL,
];

/// The format of an item.
pub(crate) fn format(config: &Config) -> Result<Format, Diagnostic> {
    let is_csv = config.text("format").is_some_and(|format| format == "csv");
    match config.object("csv") {
        Some(_) if !is_csv => {
            let message = "`csv` has no meaning for the format json";
            let diagnostic = Diagnostic::new(&codes::BAD_VALUE, message).help("add `format: csv`");
            Err(config.blame("csv", diagnostic))
        }
        Some(keys) => csv::dialect(keys).map(Format::Csv),
        None if is_csv => Ok(Format::Csv(Dialect::default())),
        None => Ok(Format::Json),
    }
}

/// How a file is cut into records.
#[derive(Clone, Debug)]
pub(crate) enum Cut {
    /// After each line end.
    Lines,
    /// After each record of this CSV.
    Records(Dialect),
}

impl Cut {
    /// The length of the whole records at the front of a block that begins with one.
    pub(crate) fn whole(&self, block: &[u8]) -> usize {
        match self {
            Self::Lines => memchr::memrchr(b'\n', block).map_or(0, |at| at + 1),
            Self::Records(dialect) => whole_records(block, dialect),
        }
    }

    /// The length of the first so many records of a block of whole ones.
    pub(crate) fn first(&self, block: &[u8], rows: usize) -> usize {
        match self {
            Self::Lines => {
                memchr::memchr_iter(b'\n', block).nth(rows.saturating_sub(1)).map_or(block.len(), |at| at + 1)
            }
            Self::Records(dialect) => {
                let mut end = 0;
                for _ in 0..rows {
                    match first_record(&block[end..], dialect, true) {
                        Ok(Some((_, length))) => end += length,
                        Ok(None) => break,
                        // What cannot be split is for the decoder to report.
                        Err(_) => return block.len(),
                    }
                }
                end
            }
        }
    }
}

/// The fields of CSV files, all alike.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) dialect: Dialect,
    pub(crate) names: Arc<[String]>,
}

impl Layout {
    /// The layout that the first record of a file shows.
    pub(crate) fn of(dialect: &Dialect, first: Vec<String>, at: &Place) -> Result<Self, Diagnostic> {
        let numbered = |(at, name): (usize, String)| match dialect.header && !name.is_empty() {
            true => name,
            false => format!("column_{}", at + 1),
        };
        let names: Arc<[String]> = first.into_iter().enumerate().map(numbered).collect();
        for (index, name) in names.iter().enumerate() {
            if names[..index].contains(name) {
                let message = format!("two fields of the header are called \"{name}\"");
                let help = "give them different names, or set `header: false` and name them under `schema:`";
                return Err(Diagnostic::new(&codes::DECODE, message).at(at).help(help));
            }
        }
        Ok(Self { dialect: dialect.clone(), names })
    }

    /// Checks the header of another file.
    pub(crate) fn check(&self, first: Vec<String>, at: &Place) -> Result<(), Diagnostic> {
        let found = Self::of(&self.dialect, first, at)?;
        if found.names == self.names {
            return Ok(());
        }
        let message = format!(
            "the header is {}, and the pipeline reads {}",
            found.names.join(", "),
            self.names.join(", ")
        );
        let help = "all files of a source have the same header: give this one a source of its own";
        Err(Diagnostic::new(&codes::DECODE, message).at(at).help(help))
    }
}
