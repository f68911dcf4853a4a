//! The one commit point of a run: a chain in the store, a destination's own transaction, or the group that shares the source.

use super::{Candidate, Holder, JobSink, JobSource, Report, ToSink, ToSource};
use crate::checkpoint::note::Note;
use crate::checkpoint::objects;
use crate::checkpoint::{Chain, Checkpoint, CheckpointStore, Writer};
use acme_connect::{Membership, failpoint};
use acme_types::{Diagnostic, codes};
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

pub(super) enum Commit {
    Chain(Chain),
    Sink {
        index: usize,
        store: Arc<dyn CheckpointStore>,
        writer: Writer,
    },
    /// The group of the only source, either by itself or in the transactions of a destination on the same cluster.
    Group {
        source: Arc<str>,
        transaction: Option<usize>,
        membership: watch::Receiver<Membership>,
        /// The source's losses when it was given the splits.
        losses: u64,
        note_max: usize,
    },
}

impl Commit {
    /// Takes the pipeline over; what was committed last. `stateful`: steps of it keep state. A destination that only takes dead letters holds the commit only where it
    /// shares a transaction with the source.
    pub(super) async fn claim(
        store: Arc<dyn CheckpointStore>,
        (writer, worker): (Writer, &str),
        sources: &mut [JobSource],
        sinks: &mut [JobSink],
        letters: Option<usize>,
        stateful: bool,
    ) -> Result<(Self, Option<Checkpoint>), Diagnostic> {
        match Self::holder(sources, sinks, letters, stateful).await? {
            Holder::Group { transaction } => {
                let group = Self::group(worker, &mut sources[0], sinks, transaction).await?;
                Ok((group, None))
            }
            Holder::Chain => {
                Chain::claim(store, writer).map(|(chain, committed)| (Self::Chain(chain), committed))
            }
            Holder::Sink(index) => {
                let point = sinks[index].sink.commit_point().expect("it can hold the commit");
                if let Some(name) = point.peek().await? {
                    objects::read(store.as_ref(), &name).map_err(elsewhere)?;
                }
                let committed = match point.claim(&writer.0).await? {
                    Some(name) => Some(objects::read(store.as_ref(), &name).map_err(elsewhere)?),
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

    /// Who commits. Destinations that could carry a group's positions are asked for their cluster.
    async fn holder(
        sources: &mut [JobSource],
        sinks: &mut [JobSink],
        letters: Option<usize>,
        stateful: bool,
    ) -> Result<Holder, Diagnostic> {
        let shared = match sources {
            // State belongs to one worker: it reads everything.
            [JobSource { source, .. }] if !stateful => source.shared(),
            _ => None,
        };
        let cluster = shared.map(|shared| shared.membership().borrow().cluster.clone());
        let mut candidates = Vec::with_capacity(sinks.len());
        for (index, JobSink { sink, .. }) in sinks.iter_mut().enumerate() {
            let is_beside = match (&cluster, sink.sink().offset_transaction()) {
                (Some(cluster), Some(transaction)) => transaction.cluster().await? == *cluster,
                _ => false,
            };
            candidates.push(Candidate {
                is_shareable: sink.sink().is_shareable(),
                is_beside,
                can_hold: sink.can_hold_commit(),
                takes_letters: Some(index) == letters,
            });
        }
        Ok(Holder::of(cluster.is_some(), &candidates))
    }

    /// Joins the group of the only source.
    async fn group(
        worker: &str,
        JobSource { name, source, .. }: &mut JobSource,
        sinks: &mut [JobSink],
        transaction: Option<usize>,
    ) -> Result<Self, Diagnostic> {
        let shared = source.shared().expect("a group shares it");
        let (membership, note_max) = (shared.membership(), shared.note_max());
        if let Some(index) = transaction {
            let transaction =
                sinks[index].sink.sink().offset_transaction().expect("its cluster was asked for");
            // Open transactions of the predecessor are ended before the committed positions are read.
            transaction.claim(worker, membership.clone()).await?;
        }
        shared.join(worker).await?;
        Ok(Self::Group { source: name.clone(), transaction, membership, losses: 0, note_max })
    }

    /// Whether the group gives the only source its positions, so that it is not opened at any.
    pub(super) fn gives_positions(&self) -> bool {
        matches!(self, Self::Group { .. })
    }

    /// Commits before the threads of the destinations are started.
    pub(super) async fn first(
        &mut self,
        checkpoint: &Checkpoint,
        sinks: &mut [JobSink],
    ) -> Result<(), Diagnostic> {
        match self {
            Self::Chain(chain) => chain.commit(checkpoint),
            // The source commits where it begins, split by split.
            Self::Group { .. } => Ok(()),
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
        sources: &[mpsc::Sender<ToSource>],
        sinks: &[mpsc::Sender<ToSink>],
    ) -> Result<Pending, Diagnostic> {
        match self {
            Self::Group { source, transaction, membership, losses, note_max } => {
                let note = Note::new(checkpoint.epoch, &checkpoint.sinks).text(*note_max)?;
                let positions = checkpoint.sources[&**source].clone();
                // Who is gone has reported why.
                match transaction {
                    Some(index) => {
                        let (epoch, member, losses) = (checkpoint.epoch, membership.clone(), *losses);
                        let order = ToSink::CommitOffsets { epoch, member, losses, positions, note };
                        let _ = sinks[*index].send(order).await;
                    }
                    None => {
                        let _ = sources[0].send(ToSource::CommitWith(positions, note)).await;
                    }
                }
                Ok(Pending::Until(None))
            }
            Self::Chain(chain) => chain.commit(checkpoint).map(|()| Pending::No),
            Self::Sink { index, store, writer } => {
                let name = objects::put(store.as_ref(), writer, checkpoint)?;
                failpoint("epoch.stored");
                let order = ToSink::CommitWith(checkpoint.epoch, name.clone());
                // A destination that is gone has reported why.
                let _ = sinks[*index].send(order).await;
                Ok(Pending::Until(Some(name)))
            }
        }
    }

    /// A shared source has been given splits after so many losses.
    pub(super) fn gained_after(&mut self, count: u64) {
        if let Self::Group { losses, .. } = self {
            *losses = count;
        }
    }

    /// Whether this destination holds the commit point.
    pub(super) fn is_at(&self, sink: usize) -> bool {
        match self {
            Self::Chain(_) => false,
            Self::Sink { index, .. } => *index == sink,
            Self::Group { transaction, .. } => *transaction == Some(sink),
        }
    }

    /// Whether an epoch without rows may be committed without harm: no destination's own transaction is begun for that.
    pub(super) fn is_cheap(&self) -> bool {
        matches!(self, Self::Chain(_) | Self::Group { transaction: None, .. })
    }

    /// The epoch ends without a commit.
    pub(super) async fn skip(&self, sinks: &[mpsc::Sender<ToSink>]) {
        if let Self::Sink { index, .. } | Self::Group { transaction: Some(index), .. } = self {
            // A destination that is gone has reported why.
            let _ = sinks[*index].send(ToSink::Skip).await;
        }
    }

    /// The destination has committed.
    pub(super) fn done(&self, pending: &Pending) {
        if let (Self::Sink { store, .. }, Pending::Until(Some(name))) = (self, pending) {
            objects::tidy(store.as_ref(), name);
        }
    }
}

/// The destination names a checkpoint that is not in the store.
fn elsewhere(fault: Diagnostic) -> Diagnostic {
    let help = fault.help.clone().unwrap_or_default();
    fault.help(format!(
        "{help}; to start again, remove also what the destination keeps of the pipeline: its row in the table `acme_position`, or \
         the topic `acme.NAME.commit`"
    ))
}

/// The destination does not know the pipeline any more, or is another one: nothing says how far it is.
fn forgotten() -> Diagnostic {
    let message = "the destination that keeps the pipeline's progress has none, but its state shows that it has run before";
    Diagnostic::new(&codes::STATE, message).help(
        "bring the destination's table of positions or topic `acme.NAME.commit` back or name the former destination; or remove the state directory to start \
         again from the beginning of the sources, where rows that are only added come twice",
    )
}

/// Whether an epoch's commit is still under way.
pub(super) enum Pending {
    /// It is done.
    No,
    /// A destination or the source is committing; a checkpoint in the store has this name.
    Until(Option<String>),
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
