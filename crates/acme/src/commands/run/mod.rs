//! `acme run FILE…`: pipelines in the foreground.

mod life;

use super::{dry_run, print_all};
use crate::pipeline::{self, Pipeline};
use acme_flow::driver::{Stop, Summary};
use acme_types::{Diagnostic, codes};
use clap::Args;
use life::Life;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};

#[derive(Args)]
pub(super) struct Run {
    /// The pipeline files. Those in batch mode run one after another, those in streaming mode beside what follows them.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    /// Read a few rows and show what each step makes of them; nothing is written anywhere.
    #[arg(long)]
    dry_run: bool,
    /// With --dry-run: how many rows to read.
    #[arg(long, default_value_t = 10, requires = "dry_run")]
    limit: usize,
}

impl Run {
    pub(super) fn execute(self) -> Result<(), Vec<Diagnostic>> {
        let checked = check(self.files)?;
        for (_, _, pipeline) in &checked {
            print_all(&pipeline.warnings);
        }
        if self.dry_run {
            return checked.into_iter().try_for_each(|(_, _, it)| dry_run::show(it, self.limit));
        }
        let claim = |(file, text, pipeline)| Life::claim(file, text, pipeline);
        let lives: Vec<Life> = checked.into_iter().map(claim).collect::<Result<_, _>>().map_err(one)?;
        runtime().map_err(one)?.block_on(together(lives))
    }
}

fn one(diagnostic: Diagnostic) -> Vec<Diagnostic> {
    vec![diagnostic]
}

/// Every mistake of every file is said before the first one begins.
fn check(files: Vec<String>) -> Result<Vec<(String, String, Pipeline)>, Vec<Diagnostic>> {
    let (mut checked, mut faults) = (Vec::<(String, String, Pipeline)>::new(), Vec::new());
    for file in files {
        let found = pipeline::read(&file).and_then(|text| Ok((pipeline::check(&file, &text)?, text)));
        match found {
            Ok((pipeline, text)) => {
                let name = &pipeline.spec.name;
                if let Some((other, ..)) = checked.iter().find(|(_, _, other)| other.spec.name == *name) {
                    let message = format!("{file} and {other} are both named \"{name}\"");
                    let help = "a pipeline's name is its identity: give each file a `name` of its own";
                    faults.push(Diagnostic::new(&codes::DUPLICATE, message).help(help));
                }
                checked.push((file, text, pipeline));
            }
            Err(found) => faults.extend(found),
        }
    }
    if faults.is_empty() { Ok(checked) } else { Err(faults) }
}

/// Runs all of them. A batch run ends before the next file's begins, a streaming one goes on beside it. When one fails, or a
/// batch run is stopped, those that run are stopped and the rest is not begun.
async fn together(mut lives: Vec<Life>) -> Result<(), Vec<Diagnostic>> {
    let stops: Vec<watch::Sender<Stop>> = lives.iter().map(Life::stop).collect();
    for life in &mut lives {
        life.listen().map_err(one)?;
    }
    // The last one may be a streaming one: nothing runs beside it either.
    let is_alone = lives.iter().rev().skip(1).all(Life::is_batch);
    let (mut running, mut faults) = (JoinSet::new(), Vec::new());
    for life in lives {
        let (is_batch, stops) = (life.is_batch(), stops.clone());
        let life = async move {
            let result = life.run(is_alone).await;
            match &result {
                Ok(Summary { complete }) if *complete || !is_batch => {}
                _ => stops.iter().for_each(drain),
            }
            (is_batch, result.err().unwrap_or_default())
        };
        // Each on a thread of its own, as the coordinator of a run may block: on one of the runtime's it would keep others' tasks.
        let runtime = Handle::current();
        running.spawn_blocking(move || runtime.block_on(life));
        while is_batch && let Some(ended) = running.join_next().await {
            let (was_batch, found) = ended.map_err(|error| one(lost(&error)))?;
            faults.extend(found);
            if was_batch {
                break;
            }
        }
    }
    while let Some(ended) = running.join_next().await {
        faults.extend(ended.map_err(|error| one(lost(&error)))?.1);
    }
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

fn lost(error: &JoinError) -> Diagnostic {
    Diagnostic::new(&codes::INTERNAL, format!("a run has ended without a word: {error}"))
}

fn drain(stop: &watch::Sender<Stop>) {
    stop.send_if_modified(|stop| {
        let is_new = *stop == Stop::No;
        if is_new {
            *stop = Stop::Drain;
        }
        is_new
    });
}

pub(super) fn runtime() -> Result<Runtime, Diagnostic> {
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Diagnostic::new(&codes::INTERNAL, format!("cannot start the runtime: {error}")))
}
