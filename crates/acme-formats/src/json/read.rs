//! Members of JSON documents that stand in a column of text.

use super::document::find;
use super::paths::PathTree;
use super::value::{As, Column};
use acme_types::DocumentPath;
use arrow::array::{Array, ArrayRef, StringViewArray};

/// Reads one member out of every document of a column; NULL where there is no document or no such member.
///
/// Fails on the first row whose member has another type than is asked for, with a clause that says so.
pub fn read_member(documents: &StringViewArray, path: &DocumentPath, kind: As) -> Result<ArrayRef, String> {
    let tree = PathTree::new([path]);
    let mut column = Column::new(kind, documents.len());
    for row in 0..documents.len() {
        let mut slots = [None];
        if documents.is_valid(row) {
            let text = documents.value(row);
            // A scalar or an array has no members by name.
            if text.trim_start().starts_with('{') {
                find(&tree, text, &mut slots)
                    .map_err(|error| format!("a column of JSON holds none: {error}"))?;
            }
        }
        column.append(slots[0]).map_err(|cause| format!("member \"{path}\" {cause}"))?;
    }
    Ok(column.finish("").1)
}
