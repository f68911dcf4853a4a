//! Lines into records, as Kafka's `LineMessageReader` takes them apart.

use super::failure::Failure;
use acme_kafka::records::Header;
use std::borrow::Cow;

/// The properties of Kafka's reader.
const NAMES: [&str; 8] = [
    "parse.key",
    "key.separator",
    "parse.headers",
    "headers.delimiter",
    "headers.separator",
    "headers.key.separator",
    "ignore.error",
    "null.marker",
];

/// How a line is taken apart.
#[derive(Clone, Debug)]
pub(crate) struct Lines {
    parse_key: bool,
    key_separator: String,
    parse_headers: bool,
    headers_delimiter: String,
    headers_separator: String,
    headers_key_separator: String,
    ignore_error: bool,
    null_marker: Option<String>,
    number: u64,
}

impl Default for Lines {
    fn default() -> Self {
        Self {
            parse_key: false,
            key_separator: "\t".to_owned(),
            parse_headers: false,
            headers_delimiter: "\t".to_owned(),
            headers_separator: ",".to_owned(),
            headers_key_separator: ":".to_owned(),
            ignore_error: false,
            null_marker: None,
            number: 0,
        }
    }
}

/// A record that lies in its line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Parsed<'a> {
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) headers: Vec<Header<'a>>,
}

impl Lines {
    /// Sets a property of Kafka's reader. The result is a note about one that means nothing.
    pub(crate) fn set(&mut self, name: &str, value: &str) -> Option<String> {
        let on = value.trim().eq_ignore_ascii_case("true");
        match name {
            "parse.key" => self.parse_key = on,
            "parse.headers" => self.parse_headers = on,
            "ignore.error" => self.ignore_error = on,
            "key.separator" => value.clone_into(&mut self.key_separator),
            "headers.delimiter" => value.clone_into(&mut self.headers_delimiter),
            "headers.separator" => value.clone_into(&mut self.headers_separator),
            "headers.key.separator" => value.clone_into(&mut self.headers_key_separator),
            "null.marker" => self.null_marker = Some(value.to_owned()),
            "topic" => {}
            _ => {
                let near = acme_spec::nearest(name, NAMES);
                let near = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
                return Some(format!("the reader does not know {name}{near}"));
            }
        }
        None
    }

    /// Which separators must differ.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let mut pairs = vec![
            ("headers.delimiter", &self.headers_delimiter, "headers.separator", &self.headers_separator),
            (
                "headers.delimiter",
                &self.headers_delimiter,
                "headers.key.separator",
                &self.headers_key_separator,
            ),
            (
                "headers.separator",
                &self.headers_separator,
                "headers.key.separator",
                &self.headers_key_separator,
            ),
        ];
        if let Some(marker) = &self.null_marker {
            for (name, value) in [
                ("key.separator", &self.key_separator),
                ("headers.separator", &self.headers_separator),
                ("headers.delimiter", &self.headers_delimiter),
                ("headers.key.separator", &self.headers_key_separator),
            ] {
                pairs.push(("null.marker", marker, name, value));
            }
        }
        match pairs.iter().find(|(_, one, _, other)| one == other) {
            Some((one, _, other, _)) => {
                Err(Failure::user(format!("{one} and {other} may not be equal"), format!("set {other}")))
            }
            None => Ok(()),
        }
    }

    /// Takes a line apart.
    pub(crate) fn parse<'a>(&mut self, line: &'a [u8]) -> Result<Parsed<'a>, Failure> {
        self.number += 1;
        let mut rest = line;
        let headers = if self.parse_headers {
            self.front(line, &mut rest, &self.headers_delimiter, "headers delimiter")?
        } else {
            None
        };
        let key = if self.parse_key {
            self.front(line, &mut rest, &self.key_separator, "key separator")?
        } else {
            None
        };
        let headers = match headers.and_then(|headers| self.unmarked(headers)) {
            Some(headers) => self.headers(headers)?,
            None => Vec::new(),
        };
        Ok(Parsed { key: key.and_then(|key| self.unmarked(key)), value: self.unmarked(rest), headers })
    }

    /// What stands before a separator, which is taken off the rest.
    fn front<'a>(
        &self,
        line: &[u8],
        rest: &mut &'a [u8],
        separator: &str,
        name: &str,
    ) -> Result<Option<&'a [u8]>, Failure> {
        let whole = *rest;
        match find(whole, separator.as_bytes()) {
            Some(at) => {
                *rest = &whole[at + separator.len()..];
                Ok(Some(&whole[..at]))
            }
            None if self.ignore_error => Ok(None),
            None => {
                let said = format!("No {name} found on line number {}: '{}'", self.number, shown(line));
                Err(Failure::user(said, "set ignore.error=true to take such a line as a value"))
            }
        }
    }

    fn unmarked<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        (self.null_marker.as_deref().map(str::as_bytes) != Some(bytes)).then_some(bytes)
    }

    fn headers<'a>(&self, text: &'a [u8]) -> Result<Vec<Header<'a>>, Failure> {
        let separator = self.headers_key_separator.as_bytes();
        let fault = |said: String| Err(Failure::user(said, "write headers as name:value,name:value"));
        let mut headers = Vec::new();
        for pair in split(text, self.headers_separator.as_bytes()) {
            let (name, value) = match find(pair, separator) {
                Some(at) => (&pair[..at], self.unmarked(&pair[at + separator.len()..])),
                None if self.ignore_error => (pair, None),
                None => {
                    let pair = shown(pair);
                    let number = self.number;
                    return fault(format!(
                        "No header key separator found in pair '{pair}' on line number {number}"
                    ));
                }
            };
            if self.unmarked(name).is_none() {
                let marker = self.null_marker.as_deref().unwrap_or_default();
                let said = "as they can't be null";
                return fault(format!(
                    "Header keys should not be equal to the null marker '{marker}' {said}"
                ));
            }
            let Ok(name) = std::str::from_utf8(name) else {
                return fault(format!("a header's name on line number {} is not UTF-8", self.number));
            };
            headers.push((name, value));
        }
        Ok(headers)
    }
}

fn shown(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len().max(1)).position(|window| window == what)
}

fn split<'a>(mut bytes: &'a [u8], separator: &[u8]) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    while let Some(at) = find(bytes, separator) {
        parts.push(&bytes[..at]);
        bytes = &bytes[at + separator.len()..];
    }
    parts.push(bytes);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(properties: &[(&str, &str)]) -> Lines {
        let mut lines = Lines::default();
        for (name, value) in properties {
            assert_eq!(lines.set(name, value), None);
        }
        lines.check().unwrap();
        lines
    }

    #[test]
    fn a_line_is_headers_key_and_value() {
        let properties = [
            ("parse.key", "true"),
            ("parse.headers", "true"),
            ("key.separator", "|"),
            ("null.marker", "NULL"),
        ];
        let mut lines = lines(&properties);
        let parsed = lines.parse(b"h1:v1,h2:NULL\tk|v|w").unwrap();
        assert_eq!(parsed.headers, [("h1", Some(&b"v1"[..])), ("h2", None)]);
        assert_eq!((parsed.key, parsed.value), (Some(&b"k"[..]), Some(&b"v|w"[..])));
        let parsed = lines.parse(b"NULL\tNULL|NULL").unwrap();
        assert_eq!(parsed, Parsed { key: None, value: None, headers: Vec::new() });
        assert_eq!(
            lines.parse(b"no delimiter").unwrap_err().said,
            "No headers delimiter found on line number 3: 'no delimiter'"
        );
    }

    #[test]
    fn what_cannot_be_taken_apart_is_a_value_if_errors_are_ignored() {
        let mut lines = lines(&[("parse.key", "true"), ("ignore.error", "true")]);
        assert_eq!(lines.parse(b"plain").unwrap().value, Some(&b"plain"[..]));
        assert_eq!(lines.parse(b"").unwrap().value, Some(&b""[..]));
    }

    #[test]
    fn separators_that_are_equal_are_refused() {
        let mut lines = Lines::default();
        lines.set("headers.delimiter", ",");
        assert_eq!(
            lines.check().unwrap_err().said,
            "headers.delimiter and headers.separator may not be equal"
        );
        assert!(lines.set("parse.kye", "true").is_some_and(|note| note.contains("did you mean parse.key?")));
    }
}
