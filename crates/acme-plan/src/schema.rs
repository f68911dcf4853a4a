//! `schema:` of a source: what its fields are declared to be. This is the one place that reads it, whatever the source.

use crate::stream::{Column, Origin};
use acme_connect::{Content, StreamInfo};
use acme_formats::{Declared, SqlType};
use acme_spec::Item;
use acme_types::Diagnostic;
use acme_types::batch::is_json;
use acme_types::codes::{BAD_VALUE, UNKNOWN_FIELD};

/// The declared fields of one source.
#[derive(Clone, Debug, Default)]
pub(crate) struct DeclaredFields {
    /// As the plan sees them.
    pub(crate) columns: Vec<Column>,
    /// As they are decoded.
    pub(crate) fields: Vec<Declared>,
}

impl DeclaredFields {
    /// Reads the declarations of a source; what is wrong with them is reported and left out.
    pub(crate) fn of(item: &Item, found: &mut Vec<Diagnostic>) -> Self {
        let mut all = Self::default();
        if !item.spec.fields.iter().any(|field| field.name == "schema") {
            return all;
        }
        for (name, value) in item.config.map("schema").into_iter().flatten() {
            let kind = match SqlType::parse(value.text().unwrap_or_default()) {
                Ok(kind) => kind,
                Err(cause) => {
                    found.push(
                        Diagnostic::new(&BAD_VALUE, format!("field \"{name}\": {cause}")).at(&value.at),
                    );
                    continue;
                }
            };
            let column = format!("{name}:declared");
            let field = kind.field(&column);
            all.columns.push(Column {
                name: name.clone(),
                internal: column.clone(),
                data_type: field.data_type().clone(),
                json: is_json(&field),
                number: false,
                origin: Origin::Declared(value.at.clone()),
            });
            all.fields.push(Declared { name: name.clone(), kind, column });
        }
        all
    }

    /// Whether a stream has the fields that are declared.
    pub(crate) fn check(&self, info: &StreamInfo, found: &mut Vec<Diagnostic>) {
        let Content::Fields(_, names) = &info.content else { return };
        for (column, field) in self.columns.iter().zip(&self.fields) {
            let Origin::Declared(at) = &column.origin else { continue };
            if !names.contains(&field.name) {
                let message =
                    format!("the records have no field \"{}\", which the schema declares", field.name);
                let help = format!("known fields: {}", names.join(", "));
                found.push(Diagnostic::new(&UNKNOWN_FIELD, message).at(at).help(help));
            } else if matches!(field.kind, SqlType::Array(_)) {
                let message =
                    format!("field \"{}\" cannot be an array: the fields of CSV are text", field.name);
                let help = "declare it as json where it holds JSON, else as string";
                found.push(Diagnostic::new(&BAD_VALUE, message).at(at).help(help));
            }
        }
    }
}
