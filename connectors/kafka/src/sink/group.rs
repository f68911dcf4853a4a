//! Transactions that carry the positions of a group: its commit and the rows take effect together.

use super::KafkaSink;
use super::fencing::Fencing;
use crate::fault::fault;
use crate::worker::transactions_of;
use acme_connect::{Membership, OffsetTransaction, Pending, failpoint};
use acme_kafka::group::{GroupMetadata, OffsetAndMetadata};
use acme_kafka::produce::Producer;
use acme_kafka::{Class, Error, TopicPartition};
use acme_types::codes::LOST_SPLITS;
use acme_types::{Diagnostic, Epoch, Positions};
use std::time::Duration;
use tokio::sync::watch;

/// How long a commit waits for the generation that follows a rebalance.
const REBALANCE_MAX: Duration = Duration::from_secs(60);

impl OffsetTransaction for KafkaSink {
    fn cluster(&mut self) -> Pending<'_, Result<String, Diagnostic>> {
        Box::pin(async move {
            let client = self.cluster.connect().await?;
            Ok(client.cached().cluster_id.clone().unwrap_or_default())
        })
    }

    fn claim<'a>(
        &'a mut self,
        worker: &'a str,
        member: watch::Receiver<Membership>,
    ) -> Pending<'a, Result<(), Diagnostic>> {
        Box::pin(async move {
            let id = format!("{}{worker}", transactions_of(&self.pipeline, &member.borrow().group));
            let own = self.own(id).await?;
            let client = self.cluster.connect().await?;
            self.fencing = Some(Fencing::start(client, &self.pipeline, own, member));
            Ok(())
        })
    }

    fn commit_offsets<'a>(
        &'a mut self,
        _: Epoch,
        member: &'a mut watch::Receiver<Membership>,
        losses: u64,
        positions: &'a Positions,
        note: &'a str,
    ) -> Pending<'a, Result<(), Diagnostic>> {
        Box::pin(async move {
            let what = format!("commit a transaction of topic \"{}\"", self.topic.name);
            let mut offsets = Vec::with_capacity(positions.len());
            for (split, position) in positions {
                let place = crate::source::Place::parse(position)?;
                let committed = OffsetAndMetadata {
                    offset: place.offset,
                    leader_epoch: place.epoch,
                    metadata: note.to_owned(),
                };
                offsets.push((crate::source::partition(split)?, committed));
            }
            let timeout = self.transactional.as_ref().expect("it was claimed").timeout;
            let open = self.open.as_mut().expect("it is opened first");
            open.begin(timeout).map_err(|error| fault(&what, &error))?;
            if !offsets.is_empty() {
                match send_offsets(&mut open.producer, member, losses, &offsets).await {
                    Ok(true) => {}
                    Ok(false) => {
                        let message = format!("cannot {what}: the group has removed this worker");
                        return Err(Diagnostic::new(&LOST_SPLITS, message));
                    }
                    Err(error) => return Err(self.lost(&what, &error).await),
                }
            }
            failpoint("kafka.offsets_sent");
            self.end_transaction(&what).await
        })
    }
}

impl KafkaSink {
    /// Commits the open transaction.
    pub(super) async fn end_transaction(&mut self, what: &str) -> Result<(), Diagnostic> {
        let open = self.open.as_mut().expect("it is opened first");
        match open.producer.commit().await {
            Err(error) => Err(self.lost(what, &error).await),
            Ok(deliveries) => {
                failpoint("kafka.committed");
                open.until = None;
                self.judge(Ok(deliveries)).await
            }
        }
    }
}

/// Sends the offsets as the member; when a rebalance has moved the generation on meanwhile, as the same member in the new one.
/// The partitions are still its own: it gives none back before their rows are committed. `false` where the group has taken
/// them away meanwhile: the generation may then be that of a member that has come back, and nothing is sent for it.
async fn send_offsets(
    producer: &mut Producer,
    member: &mut watch::Receiver<Membership>,
    losses: u64,
    offsets: &[(TopicPartition, OffsetAndMetadata)],
) -> Result<bool, Error> {
    loop {
        let who = member.borrow_and_update().clone();
        if who.losses != losses {
            return Ok(false);
        }
        let group = GroupMetadata {
            group: who.group.clone(),
            generation: who.generation,
            member_id: who.member.clone(),
            instance_id: who.instance.clone(),
        };
        let error = match producer.send_offsets(&group, offsets).await {
            Err(error) if error.class() == Class::Rejoin => error,
            result => return result.map(|()| true),
        };
        let moved = member.wait_for(|now| now.member != who.member || now.generation != who.generation);
        match tokio::time::timeout(REBALANCE_MAX, moved).await {
            Ok(Ok(_)) => {}
            _ => return Err(error),
        }
    }
}
