//! What is known of the rows between two steps.

use acme_connect::{Content, StreamInfo};
use acme_types::batch::{META_PREFIX, is_json};
use acme_types::{Change, DocumentEdits, Place};
use arrow::datatypes::DataType;

/// A column that the user can name.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Column {
    /// The user's name for it.
    pub(crate) name: String,
    /// Its name in the batch.
    pub(crate) internal: String,
    pub(crate) data_type: DataType,
    /// It holds JSON text.
    pub(crate) json: bool,
    /// It holds exact numbers that may be wide in some batches.
    pub(crate) number: bool,
    pub(crate) origin: Origin,
}

/// Where a column's type comes from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Origin {
    /// From the source or from an expression.
    Fixed,
    /// From the source's `schema:`, which stands there.
    Declared(Place),
    /// From its use: it is the text field of a record with this name, and no column of the batch yet.
    Open(String),
}

/// The rows between two steps.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    /// The visible columns. Over a document they hide a member of the same name.
    pub(crate) columns: Vec<Column>,
    /// Hidden columns, named without the prefix.
    pub(crate) meta: Vec<Column>,
    /// Present when each row is its document with columns over it.
    pub(crate) document: Option<DocumentEdits>,
    /// Members of the document whose type is declared.
    pub(crate) declared: Vec<Column>,
    /// Whether rows may be changes of earlier rows.
    pub(crate) change: Change,
    /// The columns of the batch that identify a row in a stream of changes.
    pub(crate) key: Vec<String>,
}

/// What a name means.
pub(crate) enum Found<'a> {
    Column(&'a Column),
    /// A member of the document, by the name that it has there.
    Member(String),
    /// A member of the document whose type is declared.
    Declared(&'a Column),
    /// Nothing; these names exist.
    Nothing(Vec<&'a str>),
}

impl Stream {
    /// The rows of a source, with the types that its `schema:` declares.
    pub(crate) fn of(info: &StreamInfo, declared: &[Column]) -> Self {
        let meta = info.meta.iter().map(|field| Column {
            name: field.name().clone(),
            internal: format!("{META_PREFIX}{}", field.name()),
            data_type: field.data_type().clone(),
            json: is_json(field),
            number: false,
            origin: Origin::Fixed,
        });
        let columns = match &info.content {
            Content::Documents(_) => Vec::new(),
            Content::Fields(_, names) => (names.iter())
                .map(|name| match declared.iter().find(|column| column.name == *name) {
                    Some(column) => column.clone(),
                    None => Column {
                        name: name.clone(),
                        internal: String::new(),
                        data_type: DataType::Utf8View,
                        json: false,
                        number: false,
                        origin: Origin::Open(name.clone()),
                    },
                })
                .collect(),
            Content::Columns(schema) => (schema.fields().iter())
                .filter(|field| !field.name().starts_with(META_PREFIX))
                .map(|field| Column {
                    name: field.name().clone(),
                    internal: field.name().clone(),
                    data_type: field.data_type().clone(),
                    json: is_json(field),
                    number: false,
                    origin: Origin::Fixed,
                })
                .collect(),
        };
        let document = matches!(info.content, Content::Documents(_)).then(DocumentEdits::default);
        let declared = if document.is_some() { declared.to_vec() } else { Vec::new() };
        let (change, key) = (info.change, info.key.clone());
        Self { columns, meta: meta.collect(), document, declared, change, key }
    }

    /// The same rows without any visible column or document.
    pub(crate) fn bare(&self) -> Self {
        let (meta, key) = (self.meta.clone(), self.key.clone());
        Self { columns: Vec::new(), meta, document: None, declared: Vec::new(), change: self.change, key }
    }

    /// Looks a name up: visible columns, then the document, then hidden columns. Columns also match in another case, as
    /// SQL has it, if only one does.
    pub(crate) fn find(&self, name: &str) -> Found<'_> {
        if let Some(column) = pick(&self.columns, name) {
            return Found::Column(column);
        }
        if let Some(edits) = &self.document {
            if let Some((old, _)) = edits.renamed.iter().find(|(_, new)| new == name) {
                return self.member(old);
            }
            let gone =
                edits.removed.iter().chain(edits.renamed.iter().map(|(old, _)| old)).any(|gone| gone == name);
            if !gone {
                return self.member(name);
            }
        }
        if let Some(column) = pick(&self.meta, name) {
            return Found::Column(column);
        }
        Found::Nothing(self.columns.iter().chain(&self.meta).map(|column| &*column.name).collect())
    }

    fn member(&self, name: &str) -> Found<'_> {
        let declared = self.declared.iter().find(|column| column.name == name);
        declared.map_or_else(|| Found::Member(name.to_owned()), Found::Declared)
    }

    /// The name that a member of the document has there.
    pub(crate) fn member_name(&self, name: &str) -> Option<String> {
        match self.find(name) {
            Found::Member(member) => Some(member),
            Found::Declared(column) => Some(column.name.clone()),
            Found::Column(_) | Found::Nothing(_) => None,
        }
    }

    /// A hidden column by its name without the prefix.
    pub(crate) fn find_meta(&self, name: &str) -> Found<'_> {
        match pick(&self.meta, name) {
            Some(column) => Found::Column(column),
            None => Found::Nothing(self.meta.iter().map(|column| &*column.name).collect()),
        }
    }

    /// Makes a column visible, in the place of one with its name.
    pub(crate) fn put(&mut self, column: Column) {
        match self.columns.iter_mut().find(|known| known.name == column.name) {
            Some(known) => *known = column,
            None => self.columns.push(column),
        }
    }
}

fn pick<'a>(columns: &'a [Column], name: &str) -> Option<&'a Column> {
    columns.iter().find(|column| column.name == name).or_else(|| {
        let mut similar = columns.iter().filter(|column| column.name.eq_ignore_ascii_case(name));
        similar.next().filter(|_| similar.next().is_none())
    })
}
