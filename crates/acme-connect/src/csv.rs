//! How CSV is written: the keys of `csv:`, which all connectors share that carry it.

use acme_formats::csv::Dialect;
use acme_types::{Config, Diagnostic, Field, Kind, codes};

/// `delimiter:`
pub const DELIMITER: Field = Field::defaulted(
    "delimiter",
    Kind::Text,
    ",",
    "What stands between two fields: one ASCII character; `\\t` is a tab.",
);
/// `quote:`
pub const QUOTE: Field = Field::defaulted(
    "quote",
    Kind::Text,
    "\"",
    "What stands around fields that hold delimiters or line ends: one ASCII character, or `none`.",
);
/// `null:`
pub const NULL: Field =
    Field::optional("null", Kind::Text, "The unquoted text that means NULL; default: the empty field.");

/// The dialect that an object with these keys describes. A key `header` counts where the connector has it.
///
/// **Errors** characters that cannot be told apart.
pub fn dialect(csv: &Config) -> Result<Dialect, Diagnostic> {
    let byte = |key: &str| {
        let text = csv.text(key).map_or("", |text| text.as_str());
        match text {
            "\\t" | "tab" => Ok(b'\t'),
            _ if text.len() == 1 && text.is_ascii() && !matches!(text, "\n" | "\r" | "\0") => {
                Ok(text.as_bytes()[0])
            }
            _ => {
                let message =
                    format!("\"{key}\" must be one ASCII character, not \"{}\"", text.escape_debug());
                Err(csv.blame(key, Diagnostic::new(&codes::BAD_VALUE, message)))
            }
        }
    };
    let delimiter = byte("delimiter")?;
    let quote = match csv.text("quote").map(String::as_str) {
        Some("none") => None,
        _ => Some(byte("quote")?),
    };
    if quote == Some(delimiter) {
        let message = "the delimiter and the quote are the same character";
        return Err(csv.blame("quote", Diagnostic::new(&codes::BAD_VALUE, message)));
    }
    let null = csv.text("null").cloned().unwrap_or_default();
    let special = |c: char| {
        matches!(c, '\n' | '\r')
            || c == char::from(delimiter)
            || quote.is_some_and(|quote| c == char::from(quote))
    };
    if null.contains(special) {
        let message = "the text for NULL cannot hold the delimiter, the quote or a line end";
        return Err(csv.blame("null", Diagnostic::new(&codes::BAD_VALUE, message)));
    }
    Ok(Dialect { delimiter, quote, header: csv.bool("header").copied().unwrap_or(true), null })
}
