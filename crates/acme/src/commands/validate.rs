//! `acme validate FILE…`: every mistake of every file at once.

use super::run::runtime;
use super::{print, print_all};
use crate::pipeline;
use acme_types::Diagnostic;
use clap::Args;

#[derive(Args)]
pub(super) struct Validate {
    /// The pipeline files.
    #[arg(required = true)]
    files: Vec<String>,
    /// Also connect: check that sources and destinations are reachable and ready.
    #[arg(long)]
    online: bool,
}

impl Validate {
    pub(super) fn execute(self) -> Result<(), Vec<Diagnostic>> {
        let mut found = Vec::new();
        for file in &self.files {
            match self.check(file) {
                Ok((name, warnings)) => {
                    print_all(&warnings);
                    print(&format!("{file}: pipeline \"{name}\" is valid\n"));
                }
                Err(diagnostics) => found.extend(diagnostics),
            }
        }
        if found.is_empty() { Ok(()) } else { Err(found) }
    }

    /// The name of the pipeline, and warnings.
    fn check(&self, file: &str) -> Result<(String, Vec<Diagnostic>), Vec<Diagnostic>> {
        let mut pipeline = pipeline::load(file)?;
        let mut found = std::mem::take(&mut pipeline.warnings);
        if self.online {
            runtime().map_err(|diagnostic| vec![diagnostic])?.block_on(async {
                found.extend(pipeline.connect().await.err().into_iter().flatten());
                found.extend(pipeline.check_sinks().await);
            });
        }
        match found.iter().all(|diagnostic| diagnostic.warning) {
            true => Ok((pipeline.spec.name, found)),
            false => Err(found),
        }
    }
}
