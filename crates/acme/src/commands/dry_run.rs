//! `acme run --dry-run`: a few rows before and after each step. Nothing is written, created or acknowledged.

use super::print;
use super::run::runtime;
use crate::pipeline::Pipeline;
use acme_connect::{Encoded, Format, Rows};
use acme_flow::Outcome;
use acme_types::{Batch, Diagnostic, Shape};
use std::fmt::Write;
use std::sync::Arc;

pub(super) fn show(mut pipeline: Pipeline, limit: usize) -> Result<(), Vec<Diagnostic>> {
    let one = |diagnostic| vec![diagnostic];
    runtime().map_err(one)?.block_on(async {
        let plan = pipeline.connect().await?;
        for (index, programs) in plan.programs.iter().enumerate() {
            let name = &pipeline.spec.sources[index].name;
            for chunk in pipeline.sources[index].source.sample(limit).await.map_err(one)? {
                let program = &programs[chunk.stream];
                let outcome = program.trace(&chunk, pipeline.clock.now()).map_err(one)?;
                let sinks: Vec<&str> = program
                    .outlets
                    .iter()
                    .map(|outlet| &*pipeline.spec.destinations[outlet.sink].name)
                    .collect();
                print(&text(name, &chunk.origin.name, &outcome, &sinks).map_err(one)?);
            }
        }
        Ok(())
    })
}

fn text(source: &str, origin: &str, outcome: &Outcome, sinks: &[&str]) -> Result<String, Diagnostic> {
    let mut text = String::new();
    let _ = writeln!(text, "source {source} ({origin}): {} rows", outcome.read);
    for bad in &outcome.rejected {
        let _ = writeln!(text, "  failed in {} at {}: {}", bad.step, bad.origin, bad.cause);
    }
    for trace in outcome.trace.iter().flatten() {
        let rows_out: usize = trace.outputs.iter().map(Batch::rows).sum();
        let _ = writeln!(text, "\nstep {}: {} rows in, {rows_out} out", trace.step, trace.rows_in);
        for output in &trace.outputs {
            rows(output, &trace.shape, &mut text)?;
        }
    }
    for (sink, batches) in sinks.iter().zip(&outcome.rows) {
        let count: usize = batches.iter().map(|rows| rows.batch.rows()).sum();
        let _ = writeln!(text, "\ndestination {sink} would receive {count} rows");
        for Rows { batch, shape, .. } in batches {
            rows(batch, shape, &mut text)?;
        }
    }
    Ok(text)
}

/// The rows as JSON, whatever the destination takes.
fn rows(batch: &Batch, shape: &Arc<Shape>, text: &mut String) -> Result<(), Diagnostic> {
    let mut encoded = Encoded::default();
    Format::Json.encoder(shape).encode(batch, &mut encoded)?;
    for line in String::from_utf8_lossy(&encoded.bytes).lines() {
        let _ = writeln!(text, "  {line}");
    }
    Ok(())
}
