//! What a row of a stream looks like to the user at one step.

use std::fmt;

/// One step of a path into a document.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PathStep {
    /// The member of an object.
    Key(String),
    /// The element of an array, from 0.
    Index(usize),
}

/// A path into a JSON document, such as `payload.items[0].sku`; never empty.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocumentPath(pub Vec<PathStep>);

impl DocumentPath {
    /// The path of a top-level field.
    #[must_use]
    pub fn field(name: &str) -> Self {
        Self(vec![PathStep::Key(name.to_owned())])
    }
}

impl fmt::Display for DocumentPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.0.iter().enumerate() {
            match step {
                PathStep::Key(key) if index == 0 => f.write_str(key)?,
                PathStep::Key(key) => write!(f, ".{key}")?,
                PathStep::Index(at) => write!(f, "[{at}]")?,
            }
        }
        Ok(())
    }
}

/// The row that a destination delivers, made of columns of the batch and perhaps the original document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// Output name and column name, in order. Over a document they replace a member of that name, or are added.
    pub columns: Vec<(String, String)>,
    /// Present when the row is its original document, changed only where it says so.
    pub document: Option<DocumentEdits>,
    /// The fields that the destination reads by itself, such as its key: name and column. The column is NULL where the row
    /// has no such field.
    pub reads: Vec<(String, String)>,
    /// The columns of the expressions that the destination reads by itself, in their order.
    pub computed: Vec<String>,
    /// The columns of the batch that identify a row, in streams of changes; empty where the source knows none. A step may have
    /// removed one of them from `columns`.
    pub key: Vec<String>,
}

/// What is changed in the original document besides the columns put over it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DocumentEdits {
    /// Top-level members that are left out.
    pub removed: Vec<String>,
    /// Top-level members that get another name: old, new.
    pub renamed: Vec<(String, String)>,
}

impl Shape {
    /// Whether every row is delivered as the very bytes that arrived.
    #[must_use]
    pub fn is_verbatim(&self) -> bool {
        let untouched = |edits: &DocumentEdits| edits.removed.is_empty() && edits.renamed.is_empty();
        self.columns.is_empty() && self.document.as_ref().is_some_and(untouched)
    }
}
