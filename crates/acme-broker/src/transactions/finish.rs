//! What follows the decision: markers in every partition of the transaction, then the record that it is complete.

use super::state::{Part, Transaction};
use super::{RETRY, Transactions};
use crate::error::{self, Code};
use acme_log::{AppendError, Appended, Partition};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

impl Transactions {
    /// Waits until everything in these partitions is on the disk.
    pub(super) async fn synced(&self, parts: &[Part]) -> Result<(), Code> {
        let topics = self.log.topics();
        let partitions: Vec<Arc<Partition>> =
            parts.iter().filter_map(|(topic, number)| topics.partition(topic, *number).cloned()).collect();
        let flushed = partitions.iter().map(|partition| partition.flushed()).collect();
        for outcome in together(flushed).await {
            match outcome {
                // A topic that was deleted takes nothing with it that anybody could read.
                Ok(()) | Err(AppendError::Closed) => {}
                Err(_) => return Err(Code::CoordinatorNotAvailable),
            }
        }
        Ok(())
    }

    /// Writes the markers of a transaction that is decided, then that it is complete. A disk that refuses is asked again:
    /// nobody may read past the transaction before.
    ///
    /// `decision` is what must be on the disk first: a marker that outlives the decision would tear the transaction.
    pub(super) async fn finish(self: Arc<Self>, id: String, decision: Option<Appended>) {
        let decided = self.table().get(&id).map(|slot| slot.state.clone());
        let Some(decided) = decided.filter(|state| state.phase.is_prepared()) else { return };
        if let Some(decision) = decision
            && super::settled(&decision).await.is_err()
        {
            return;
        }
        self.log.passed("transaction.decided");
        let mut parts: Vec<&Part> = decided.partitions.iter().collect();
        while !parts.is_empty() {
            let marked = together(parts.iter().map(|part| self.mark(&decided, part)).collect()).await;
            let refused = parts.into_iter().zip(marked).filter(|(_, marked)| marked.is_err());
            parts = refused.map(|(part, _)| part).collect();
            if !parts.is_empty() {
                tokio::time::sleep(RETRY).await;
            }
        }
        self.log.passed("transaction.marked");
        loop {
            {
                let mut table = self.table();
                let Some(slot) = table.get_mut(&id).filter(|slot| slot.state == decided) else { break };
                let next = decided.complete(self.log.now_ms());
                match self.write(&id, slot, next) {
                    // Nobody needs to wait for the disk: without this record the markers are written once more.
                    Ok(_) | Err(Code::NotCoordinator) => break,
                    Err(_) => {}
                }
            }
            tokio::time::sleep(RETRY).await;
        }
        self.ended.notify_waiters();
    }

    async fn mark(&self, decided: &Transaction, (topic, number): &Part) -> Result<(), Retry> {
        let topics = self.log.topics();
        // A topic that was deleted meanwhile has no readers.
        let Some(partition) = topics.partition(topic, *number) else { return Ok(()) };
        let commit = decided.phase == super::Phase::PrepareCommit;
        let epoch = self.log.leader_epoch();
        let marked = self.end_in(partition, decided.producer_id, decided.epoch, commit, epoch).await;
        match marked {
            Err(Code::KafkaStorageError) => Err(Retry),
            // Somebody newer has ended it: an older marker is neither needed nor taken.
            _ => Ok(()),
        }
    }

    /// Ends a producer's transaction in one partition, and lets its offsets count there.
    pub(crate) async fn end_in(
        &self,
        partition: &Partition,
        producer_id: i64,
        epoch: i16,
        commit: bool,
        coordinator_epoch: i32,
    ) -> Result<(), Code> {
        let marked = partition.end_transaction(producer_id, epoch, commit, coordinator_epoch);
        let marked: Appended = marked.map_err(|fault| error::of_append(&fault))?;
        self.log.passed("transaction.marker");
        marked.durable().await.map_err(|fault| error::of_append(&fault))?;
        if partition.topic() == crate::groups::TOPIC {
            self.groups.transaction_ended(producer_id, commit);
        }
        Ok(())
    }
}

struct Retry;

/// Work, and what has come of it.
type Begun<F> = (Pin<Box<F>>, Option<<F as Future>::Output>);

/// Waits for all of them at once.
async fn together<F: Future>(work: Vec<F>) -> Vec<F::Output> {
    let mut work: Vec<Begun<F>> = work.into_iter().map(|future| (Box::pin(future), None)).collect();
    poll_fn(|context| {
        let mut pending = false;
        for (future, output) in &mut work {
            if output.is_none() {
                match future.as_mut().poll(context) {
                    Poll::Ready(ready) => *output = Some(ready),
                    Poll::Pending => pending = true,
                }
            }
        }
        if pending { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    work.into_iter().filter_map(|(_, output)| output).collect()
}
