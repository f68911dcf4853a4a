//! How a connector or transform describes itself: data from which validation, documentation, the editor's schema and
//! the redaction of secrets all come.

/// What an item of the pipeline file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Rows come from it.
    Source,
    /// Rows pass through it.
    Transform,
    /// Rows go to it.
    Destination,
}

/// What a destination can promise, before the pipeline as a whole is considered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Prepared and committed with the checkpoint: each row takes effect once.
    ExactlyOnce,
    /// Rows with a key: writing one twice equals writing it once.
    Idempotent,
    /// A restart may repeat rows.
    AtLeastOnce,
}

/// Which streams a destination takes, or a source yields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Only new rows.
    Append,
    /// The newest row of each key, and deletes.
    Upsert,
}

/// The description of one connector or transform.
#[derive(Debug)]
pub struct Spec {
    /// The word after `type:`.
    pub name: &'static str,
    /// Its place in a pipeline.
    pub role: Role,
    /// One sentence for the reference.
    pub summary: &'static str,
    /// Its own keys; `type`, `name` and `from` belong to every item and are not listed.
    pub fields: &'static [Field],
    /// Destinations: what one write promises. Ignored elsewhere.
    pub delivery: Delivery,
    /// Sources: what they yield. Destinations: the most that they take.
    pub change: Change,
}

/// One key of an item.
#[derive(Debug)]
pub struct Field {
    /// The key.
    pub name: &'static str,
    /// What its value may be.
    pub kind: Kind,
    /// Must be given.
    pub required: bool,
    /// Written as in a file; shown in the reference and used when the key is absent.
    pub default: Option<&'static str>,
    /// One or two sentences for the reference.
    pub doc: &'static str,
}

impl Field {
    /// A key that may be left out.
    #[must_use]
    pub const fn optional(name: &'static str, kind: Kind, doc: &'static str) -> Self {
        Self { name, kind, required: false, default: None, doc }
    }

    /// A key that must be given.
    #[must_use]
    pub const fn required(name: &'static str, kind: Kind, doc: &'static str) -> Self {
        Self { name, kind, required: true, default: None, doc }
    }

    /// A key with a value when it is left out.
    #[must_use]
    pub const fn defaulted(name: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Self {
        Self { name, kind, required: false, default: Some(default), doc }
    }
}

/// The kinds of values that a key can take.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Any text.
    Text,
    /// Text that must never be shown.
    Secret,
    /// A SQL expression over the fields of the stream.
    Sql,
    /// `true` or `false`.
    Bool,
    /// A whole number within limits, both included.
    Int(i64, i64),
    /// A length of time such as `500ms`, `10s`, `5m`, `1h`, `7d`; kept in microseconds.
    Duration,
    /// A size in bytes such as `512KiB`, `64MiB`, `1GB`.
    Size,
    /// One of a few words.
    Choice(&'static [&'static str]),
    /// The name of a step of the same file.
    Step,
    /// A list; a single value is taken as a list of one.
    List(&'static Kind),
    /// A mapping from names of the user's choice to values of one kind.
    Map(&'static Kind),
    /// A mapping with known keys.
    Object(&'static [Field]),
}
