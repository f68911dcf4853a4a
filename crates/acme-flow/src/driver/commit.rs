//! The one commit point of a run: a chain in the store, or a destination's own transaction.

use super::{JobSink, Report, ToSink};
use crate::checkpoint::objects;
use crate::checkpoint::{Chain, Checkpoint, CheckpointStore, Writer};
use acme_connect::failpoint;
use acme_types::{Diagnostic, codes};
use std::sync::Arc;
use tokio::sync::mpsc;

pub(super) enum Commit {
    Chain(Chain),
    Sink { index: usize, store: Arc<dyn CheckpointStore>, writer: Writer },
}

impl Commit {
    /// Takes the pipeline over; what was committed last.
    pub(super) async fn claim(
        store: Arc<dyn CheckpointStore>,
        writer: Writer,
        sinks: &mut [JobSink],
    ) -> Result<(Self, Option<Checkpoint>), Diagnostic> {
        let points = sinks.iter_mut().enumerate();
        let point = points.filter_map(|(index, it)| Some((index, it.sink.commit_point()?))).next();
        match point {
            None => Chain::claim(store, writer).map(|(chain, committed)| (Self::Chain(chain), committed)),
            Some((index, point)) => {
                let committed = match point.claim(&writer.0).await? {
                    Some(name) => Some(objects::read(store.as_ref(), &name)?),
                    // The first run with this destination: a pipeline that has committed to the chain so far goes on from there.
                    None => match Chain::claim(store.clone(), writer.clone())?.1 {
                        None if objects::has_progress(store.as_ref())? => return Err(forgotten()),
                        chained => chained,
                    },
                };
                Ok((Self::Sink { index, store, writer }, committed))
            }
        }
    }

    /// Commits before the threads of the destinations are started.
    pub(super) async fn first(
        &mut self,
        checkpoint: &Checkpoint,
        sinks: &mut [JobSink],
    ) -> Result<(), Diagnostic> {
        match self {
            Self::Chain(chain) => chain.commit(checkpoint),
            Self::Sink { index, store, writer } => {
                let name = objects::put(store.as_ref(), writer, checkpoint)?;
                let point = sinks[*index].sink.commit_point().expect("it was one when it was claimed");
                point.commit_with(checkpoint.epoch, &name).await
            }
        }
    }

    /// Commits an epoch that all destinations have prepared. A destination that holds the commit point answers with
    /// [`Report::Committed`]; the result says whether that is still to come.
    pub(super) async fn epoch(
        &mut self,
        checkpoint: &Checkpoint,
        sinks: &[mpsc::Sender<ToSink>],
    ) -> Result<Pending, Diagnostic> {
        match self {
            Self::Chain(chain) => chain.commit(checkpoint).map(|()| Pending::No),
            Self::Sink { index, store, writer } => {
                let name = objects::put(store.as_ref(), writer, checkpoint)?;
                failpoint("epoch.stored");
                let order = ToSink::CommitWith(checkpoint.epoch, name.clone());
                // A destination that is gone has reported why.
                let _ = sinks[*index].send(order).await;
                Ok(Pending::Until(name))
            }
        }
    }

    /// Whether this destination holds the commit point.
    pub(super) fn is_at(&self, sink: usize) -> bool {
        matches!(self, Self::Sink { index, .. } if *index == sink)
    }

    /// The epoch ends without a commit.
    pub(super) async fn skip(&self, sinks: &[mpsc::Sender<ToSink>]) {
        if let Self::Sink { index, .. } = self {
            // A destination that is gone has reported why.
            let _ = sinks[*index].send(ToSink::Skip).await;
        }
    }

    /// The destination has committed.
    pub(super) fn done(&self, pending: &Pending) {
        if let (Self::Sink { store, .. }, Pending::Until(name)) = (self, pending) {
            objects::tidy(store.as_ref(), name);
        }
    }
}

/// The destination does not know the pipeline any more, or is another one: nothing says how far it is.
fn forgotten() -> Diagnostic {
    let message = "the destination that keeps the pipeline's progress has none, but its state shows that it has run before";
    Diagnostic::new(&codes::STATE, message).help(
        "bring the destination's table of positions back or name the former destination; or remove the state directory to start \
         again from the beginning of the sources, where rows that are only added come twice",
    )
}

/// Whether an epoch's commit is still under way.
pub(super) enum Pending {
    /// It is done.
    No,
    /// The destination is committing the checkpoint with this name.
    Until(String),
}

impl Pending {
    /// Whether a report ends the wait.
    pub(super) fn ends_with(&self, report: &Report) -> Result<(), Diagnostic> {
        match report {
            Report::Committed => Ok(()),
            _ => Err(Diagnostic::new(&codes::INTERNAL, "a report came out of turn")),
        }
    }
}
