//! Ends the transactions of workers that are gone, so that readers of committed records wait for a session's end and not for a
//! transaction's time-out.
//!
//! The coordinators of transactions know which are open, the coordinator of the group knows who is a member. A worker begins a
//! transaction only as a member; so one that is open, and whose worker is not a member when the group is asked *after* that, is
//! of one that is gone or was removed. All of it can be done by any worker at any time: whom it strikes could not have committed,
//! for its partitions are not its own any more. That only the first member does it saves requests.

use crate::worker::{of_client_id, of_transaction, transactions_of};
use acme_connect::{Membership, failpoint};
use acme_kafka::admin::ONGOING;
use acme_kafka::produce::{Transactional, init_producer};
use acme_kafka::{Class, Client, Error, Result};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// How often it is looked for transactions, besides each change of the group: one may be begun by a member that was just removed
/// and does not know it yet.
const LOOK: Duration = Duration::from_secs(3);

/// Looks for transactions of workers that are gone, until it is dropped.
pub(super) struct Fencing(AbortHandle);

impl Drop for Fencing {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Fencing {
    pub(super) fn start(
        client: Client,
        pipeline: &str,
        own: Transactional,
        member: watch::Receiver<Membership>,
    ) -> Self {
        let group = member.borrow().group.clone();
        let watch = Watch { client, begin: transactions_of(pipeline, &group), group, own };
        Self(tokio::spawn(watch.run(member)).abort_handle())
    }
}

struct Watch {
    client: Client,
    group: String,
    /// What the transactional ids of the group's workers begin with.
    begin: String,
    /// This worker's.
    own: Transactional,
}

impl Watch {
    async fn run(self, mut member: watch::Receiver<Membership>) {
        loop {
            if let Ok(Err(_)) = tokio::time::timeout(LOOK, member.changed()).await {
                return;
            }
            if member.borrow_and_update().member.is_empty() {
                continue;
            }
            // What fails now may succeed the next time; until then the time-out of the transactions holds. Brokers before 3.0 never
            // tell which are open.
            if let Err(Error::Unsupported { .. }) = self.look().await {
                return;
            }
        }
    }

    async fn look(&self) -> Result<()> {
        let me = of_transaction(&self.own.id, &self.begin);
        if self.workers().await?.first().map(String::as_str) != me {
            return Ok(());
        }
        let open = self.client.list_transactions(&[ONGOING]).await?;
        let open: Vec<_> =
            open.iter().filter_map(|it| Some((&it.id, of_transaction(&it.id, &self.begin)?))).collect();
        if open.iter().all(|(_, worker)| Some(*worker) == me) {
            return Ok(());
        }
        let members = self.workers().await?;
        for (id, worker) in open {
            if !members.contains(worker) && Some(worker) != me {
                self.fence(id).await?;
            }
        }
        Ok(())
    }

    /// The names of the workers that are members now.
    async fn workers(&self) -> Result<BTreeSet<String>> {
        let group = self.client.describe_group(&self.group).await?;
        let members = group.map(|group| group.members).unwrap_or_default();
        Ok(members.iter().filter_map(|member| of_client_id(&member.client_id)).map(str::to_owned).collect())
    }

    /// Aborts what is open, unless its worker has come back meanwhile and has done so itself.
    async fn fence(&self, id: &str) -> Result<()> {
        let Some(found) = self.client.describe_transaction(id).await? else { return Ok(()) };
        if found.state != ONGOING {
            return Ok(());
        }
        let of = Transactional { id: id.to_owned(), timeout: self.own.timeout };
        match init_producer(&self.client, Some(&of), Some(found.producer)).await {
            // It has a newer epoch: somebody has ended the transaction.
            Err(error) if error.class() == Class::Fence => Ok(()),
            result => {
                failpoint("kafka.fenced");
                result.map(drop)
            }
        }
    }
}
