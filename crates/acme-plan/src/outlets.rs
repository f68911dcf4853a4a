//! Destinations whose rows must all have the same columns, known before the first.

use crate::planner::DestinationInfo;
use crate::stream::Stream;
use acme_connect::Format;
use acme_flow::Program;
use acme_flow::driver::dead_letter_shape;
use acme_spec::PipelineSpec;
use acme_types::codes::COLUMNS;
use acme_types::{Diagnostic, Place, Shape};

/// The rows of a stream of documents as columns: its declared members with the changes that were made to them.
pub(crate) fn columns(stream: &Stream, at: &Place) -> Result<Stream, Diagnostic> {
    let edits = stream.document.as_ref().expect("only a document has no columns");
    let unknown =
        edits.renamed.iter().find(|(old, _)| !stream.declared.iter().any(|known| known.name == *old));
    if stream.declared.is_empty() || unknown.is_some() {
        let message = match unknown {
            Some((old, _)) if !stream.declared.is_empty() => {
                format!("nothing says what \"{old}\" is, and a CSV file must know its columns")
            }
            _ => "the rows are documents, and a CSV file must know its columns".to_owned(),
        };
        let help =
            "put a `select` with the fields in front of it, or declare them under `schema:` of the source";
        return Err(Diagnostic::new(&COLUMNS, message).at(at).help(help));
    }
    let mut flat = stream.bare();
    for column in &stream.declared {
        let renamed = edits.renamed.iter().find(|(old, _)| *old == column.name);
        let name = renamed.map_or(&column.name, |(_, new)| new);
        if !edits.removed.contains(&column.name) {
            flat.put(crate::stream::Column { name: name.clone(), ..column.clone() });
        }
    }
    for column in &stream.columns {
        flat.put(column.clone());
    }
    Ok(flat)
}

/// Everything that reaches such a destination must have the same columns.
pub(crate) fn check<'a>(
    spec: &PipelineSpec,
    programs: impl Iterator<Item = &'a Program> + Clone,
    destinations: &[DestinationInfo],
    found: &mut Vec<Diagnostic>,
) {
    let fixed = |info: &DestinationInfo| info.format.as_ref().is_some_and(Format::has_columns);
    for (sink, item) in spec.destinations.iter().enumerate().filter(|(sink, _)| fixed(&destinations[*sink])) {
        let outlets = programs.clone().flat_map(|program| &program.outlets);
        let mut all: Vec<Vec<String>> =
            outlets.filter(|outlet| outlet.sink == sink).map(|outlet| names(&outlet.shape)).collect();
        if spec.graph.dead_letter == Some(sink) {
            all.push(names(&dead_letter_shape()));
        }
        // One that is empty has been reported already.
        all.retain(|names| !names.is_empty());
        if let Some([first, other]) = all.array_windows().find(|[first, other]| first != other) {
            let message = format!(
                "\"{}\" receives rows with the columns {} and rows with {}",
                item.name,
                first.join(", "),
                other.join(", ")
            );
            let help = "give each of them a destination of its own, or a `select` of the same fields";
            found.push(Diagnostic::new(&COLUMNS, message).at(&item.at).help(help));
        }
    }
}

fn names(shape: &Shape) -> Vec<String> {
    shape.columns.iter().map(|(name, _)| name.clone()).collect()
}
