//! The fields that are read from documents, and what each is read as.

use crate::stream::{Column, Origin};
use acme_formats::json::{As, Wanted};
use acme_types::codes::FIELD_USE;
use acme_types::{Diagnostic, DocumentPath, Place};
use std::collections::BTreeMap;

/// The fields that are read from the documents of one source, over all its expressions.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    wanted: Vec<Wanted>,
    /// How each path was used first, and where.
    uses: BTreeMap<DocumentPath, (As, Place)>,
}

impl Fields {
    pub(crate) fn wanted(self) -> Vec<Wanted> {
        self.wanted
    }

    /// The column for a path read so; the same for every expression.
    pub(crate) fn want(&mut self, path: DocumentPath, kind: As, at: &Place) -> Result<Column, Diagnostic> {
        if let Some(class) = class(kind) {
            match self.uses.get(&path) {
                Some((first, place)) if *first != class => {
                    let message = format!(
                        "field \"{path}\" is used as {} here and as {} at {place}",
                        noun(class),
                        noun(*first)
                    );
                    let help = "cast it where it is used, such as CAST(field AS VARCHAR)";
                    return Err(Diagnostic::new(&FIELD_USE, message).at(at).help(help));
                }
                Some(_) => {}
                None => {
                    self.uses.insert(path.clone(), (class, at.clone()));
                }
            }
        }
        let column = format!("{path}:{kind:?}").to_lowercase();
        let unique = self.wanted.iter().filter(|w| w.column == column && w.path != path).count();
        let column = if unique == 0 { column } else { format!("{column}:{unique}") };
        let wanted = Wanted { path, kind, column };
        if !self.wanted.contains(&wanted) {
            self.wanted.push(wanted.clone());
        }
        let field = kind.field(&wanted.column);
        Ok(Column {
            name: wanted.path.to_string(),
            internal: wanted.column,
            data_type: field.data_type().clone(),
            json: kind == As::Json,
            number: kind == As::Number,
            origin: Origin::Fixed,
        })
    }
}

/// The uses that exclude each other.
fn class(kind: As) -> Option<As> {
    match kind {
        As::Text | As::Bool => Some(kind),
        As::Number | As::Double => Some(As::Number),
        As::Scalar | As::Json => None,
    }
}

fn noun(class: As) -> &'static str {
    match class {
        As::Number => "a number",
        As::Bool => "true or false",
        _ => "text",
    }
}
