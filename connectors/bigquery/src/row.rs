//! Rows as protocol buffers: the members of a JSON document that the table has columns for, each as its column wants it.
//!
//! Nothing is allocated for a row: members are parts of the document, and go from there into the message.

use crate::layout::{Column, Layout};
use crate::scalar::{self, Scratch};
use crate::table::Type;
use crate::wire;
use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// Gets the members that no column takes: name and value.
pub(crate) trait Unknown {
    fn unknown(&mut self, name: &str, value: &str);
}

/// Writes rows of one layout.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    scratch: Scratch,
    /// Which columns have a value in the present row.
    filled: Vec<bool>,
}

impl Writer {
    /// Appends the message of a document. Fails with the reason for which the row cannot be written; `out` then holds a part of
    /// it.
    pub(crate) fn document(
        &mut self,
        layout: &Layout,
        document: &str,
        unknown: &mut dyn Unknown,
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        self.filled.clear();
        self.filled.resize(layout.columns.len(), false);
        let members = Members { layout, writer: self, unknown, out };
        let mut json = serde_json::Deserializer::from_str(document);
        members.deserialize(&mut json).map_err(words)?;
        self.complete(layout)
    }

    fn complete(&self, layout: &Layout) -> Result<(), String> {
        let absent =
            layout.columns.iter().zip(&self.filled).find(|(column, filled)| column.required && !**filled);
        match absent {
            None => Ok(()),
            Some((column, _)) => {
                Err(format!("\"{}\" is required, and the row has no value for it", column.name))
            }
        }
    }

    /// Appends a field with this value; whether there was one.
    fn field(&mut self, column: &Column, json: &str, out: &mut Vec<u8>) -> Result<bool, String> {
        if json == "null" {
            return Ok(false);
        }
        match (column.repeated, column.kind) {
            (true, _) => {
                let elements = Elements { column, writer: self, out };
                let mut json = serde_json::Deserializer::from_str(json);
                elements.deserialize(&mut json).map_err(words)?;
            }
            (false, Type::Record) => self.record(column, json, out)?,
            (false, _) => scalar::write(column, json, &mut self.scratch, out)?,
        }
        Ok(true)
    }

    fn record(&mut self, column: &Column, json: &str, out: &mut Vec<u8>) -> Result<(), String> {
        // Records are rare, and deep ones rarer: each has its own memory.
        let mut inner = Vec::new();
        let mut writer = Self::default();
        writer
            .document(&column.fields, json, &mut Silent, &mut inner)
            .map_err(|cause| format!("\"{}\": {cause}", column.name))?;
        wire::bytes(out, column.number, &inner);
        Ok(())
    }
}

/// The members of records that the table does not have are left out.
struct Silent;

impl Unknown for Silent {
    fn unknown(&mut self, _: &str, _: &str) {}
}

/// Our own reasons come through the parser as its errors, with a place that says nothing.
fn words(error: serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

struct Members<'a> {
    layout: &'a Layout,
    writer: &'a mut Writer,
    unknown: &'a mut dyn Unknown,
    out: &'a mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for Members<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Members<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut guess = 0;
        loop {
            let name = Name { layout: self.layout, guess };
            let Some(found) = map.next_key_seed(name)? else { return Ok(()) };
            match found {
                Found::Column(at) => {
                    let value: &RawValue = map.next_value()?;
                    let column = &self.layout.columns[at];
                    let filled =
                        self.writer.field(column, value.get(), self.out).map_err(A::Error::custom)?;
                    self.writer.filled[at] = filled;
                    guess = at + 1;
                }
                Found::Other(name) => {
                    let value: &RawValue = map.next_value()?;
                    self.unknown.unknown(&name, value.get());
                }
            }
        }
    }
}

/// What the name of a member stands for.
enum Found {
    Column(usize),
    /// No column: rare, or else what is written is not what the table is for.
    Other(String),
}

struct Name<'a> {
    layout: &'a Layout,
    guess: usize,
}

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = Found;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Found, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Found;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Found, E> {
        Ok(match self.layout.find(name, self.guess) {
            Some(at) if self.layout.columns[at].kind != Type::Other => Found::Column(at),
            _ => Found::Other(name.to_owned()),
        })
    }
}

struct Elements<'a> {
    column: &'a Column,
    writer: &'a mut Writer,
    out: &'a mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for Elements<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Elements<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an array for the repeated column \"{}\"", self.column.name)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(element) = seq.next_element::<&RawValue>()? {
            let element = element.get();
            match (element, self.column.kind) {
                ("null", Type::Json) => wire::bytes(self.out, self.column.number, b"null"),
                ("null", _) => {
                    let cause = format!("the repeated column \"{}\" takes no null", self.column.name);
                    return Err(A::Error::custom(cause));
                }
                (_, Type::Record) => {
                    self.writer.record(self.column, element, self.out).map_err(A::Error::custom)?;
                }
                _ => {
                    let scratch = &mut self.writer.scratch;
                    scalar::write(self.column, element, scratch, self.out).map_err(A::Error::custom)?;
                }
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Err(A::Error::custom(format!("the repeated column \"{}\" takes an array", self.column.name)))
    }
}
