//! The checked configuration of one item, as its connector receives it.

use crate::diagnostic::{Diagnostic, Place};
use crate::secret::Secret;

/// A checked value and where it stands.
#[derive(Clone, Debug)]
pub struct Value {
    /// The value itself.
    pub kind: ValueKind,
    /// Where it stands in the user's file; for defaults, where the item begins.
    pub at: Place,
}

/// A checked value. Its variant is the one that the field's [`Kind`](crate::Kind) asked for.
#[derive(Clone, Debug)]
pub enum ValueKind {
    /// `Kind::Text`, `Kind::Sql`, `Kind::Choice`, `Kind::Step`.
    Text(String),
    /// `Kind::Secret`.
    Secret(Secret),
    /// `Kind::Bool`.
    Bool(bool),
    /// `Kind::Int`; bytes for `Kind::Size`, microseconds for `Kind::Duration`.
    Int(i64),
    /// `Kind::List`.
    List(Vec<Value>),
    /// `Kind::Map`, in the order of the file.
    Map(Vec<(String, Value)>),
    /// `Kind::Object`.
    Object(Config),
}

/// The checked keys of one item or object.
///
/// The accessors assert that the key is declared with that kind: asking for another is a programming error that the
/// first run shows.
#[derive(Clone, Debug)]
pub struct Config {
    /// The given and the defaulted keys, in the order of the `SPEC`.
    pub values: Vec<(&'static str, Value)>,
    /// Where the item begins.
    pub at: Place,
}

macro_rules! accessor {
    ($(#[$doc:meta] $name:ident $variant:ident $type:ty)*) => {
        $(#[$doc]
        #[must_use]
        pub fn $name(&self, key: &str) -> Option<&$type> {
            self.get(key).map(|value| match &value.kind {
                ValueKind::$variant(inner) => inner,
                other => unreachable!("`{key}` is {other:?}, not what its SPEC says"),
            })
        })*
    };
}

impl Config {
    /// The value of a key, if it was given or has a default.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.values.iter().find(|(name, _)| *name == key).map(|(_, value)| value)
    }

    accessor! {
        /// A text, SQL expression, choice or step name.
        text Text String
        /// A secret.
        secret Secret Secret
        /// A flag.
        bool Bool bool
        /// A number, a size in bytes or a duration in microseconds.
        int Int i64
        /// A list.
        list List Vec<Value>
        /// A mapping with the user's own names.
        map Map Vec<(String, Value)>
        /// A mapping with known keys.
        object Object Config
    }

    /// The texts of a list of texts; empty when the key is absent.
    pub fn texts(&self, key: &str) -> impl Iterator<Item = &str> {
        self.list(key).into_iter().flatten().filter_map(Value::text)
    }

    /// Where the key stands, or the item when it was not given.
    #[must_use]
    pub fn place(&self, key: &str) -> &Place {
        self.get(key).map_or(&self.at, |value| &value.at)
    }

    /// Points a diagnostic at a key.
    #[must_use]
    pub fn blame(&self, key: &str, diagnostic: Diagnostic) -> Diagnostic {
        diagnostic.at(self.place(key))
    }
}

impl Value {
    /// The text of a text value.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            ValueKind::Text(text) => Some(text),
            _ => None,
        }
    }
}
