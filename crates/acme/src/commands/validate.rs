//! `acme validate FILE…`: every mistake of every file at once.

use super::{print, print_all};
use crate::pipeline;
use acme_types::Diagnostic;
use clap::Args;

#[derive(Args)]
pub(super) struct Validate {
    /// The pipeline files.
    #[arg(required = true)]
    files: Vec<String>,
}

impl Validate {
    pub(super) fn execute(self) -> Result<(), Vec<Diagnostic>> {
        let mut found = Vec::new();
        for file in &self.files {
            match pipeline::load(file) {
                Ok(pipeline) => {
                    print_all(&pipeline.warnings);
                    print(&format!("{file}: pipeline \"{}\" is valid\n", pipeline.spec.name));
                }
                Err(diagnostics) => found.extend(diagnostics),
            }
        }
        if found.is_empty() { Ok(()) } else { Err(found) }
    }
}
