//! The transaction coordinator: what [`state`] decides is written to `__transaction_state`, then markers to the partitions.
//!
//! A transaction is decided when its `PrepareCommit` or `PrepareAbort` is on the disk; whatever dies after that, the next
//! start finishes it. Every partition of it is synced before (CORRECTNESS: the log).

mod finish;
mod ids;
mod record;
pub(crate) mod state;

use crate::error::Code;
use crate::groups::Groups;
use crate::journal::{Found, Journal};
use acme_log::{Appended, Log};
use acme_records::Stamp;
use ids::Ids;
use record::Record;
use state::{End, Identity, Init, Part, Phase, Protocol, Transaction};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// The topic.
pub(crate) const TOPIC: &str = "__transaction_state";
/// The longest time-out that a client may ask for (`transaction.max.timeout.ms`).
const TIMEOUT_MAX_MS: i32 = 900_000;
/// An id that nobody has used for so long is forgotten (`transactional.id.expiration.ms`).
const FORGET_MS: i64 = 7 * 24 * 3_600_000;
/// How often time-outs are looked for.
const TICK: Duration = Duration::from_millis(500);
/// A write that adds its partition by itself, and finds the markers of the transaction before still on their way, waits so
/// long before it is refused (`add.partitions.to.txn.retry.backoff.max.ms`).
pub(crate) const IMPLICIT: Duration = Duration::from_millis(100);
/// An `EndTxn` that finds the markers of the transaction before still on their way waits so long before it is refused.
const PATIENCE: Duration = Duration::from_millis(500);
/// Between two tries to write what the disk has refused.
const RETRY: Duration = Duration::from_millis(250);

/// A transactional id.
struct Slot {
    state: Transaction,
    /// Its partitions are being synced: what is decided then is not to be changed meanwhile.
    ending: bool,
    /// When it is aborted, by a clock that does not jump.
    deadline: Option<Instant>,
    /// The last record of it that was written.
    last: Option<Appended>,
}

impl Slot {
    fn new(state: Transaction, wall_ms: i64) -> Self {
        let deadline = deadline(&state, wall_ms);
        Self { state, ending: false, deadline, last: None }
    }
}

/// The wall clock may have jumped while the broker was down: a transaction never has more than its time-out left.
fn deadline(state: &Transaction, wall_ms: i64) -> Option<Instant> {
    let left = state.expires_ms()?.saturating_sub(wall_ms).clamp(0, i64::from(state.timeout_ms.max(0)));
    Some(Instant::now() + Duration::from_millis(left.cast_unsigned()))
}

/// The coordinator of all transactions.
pub(crate) struct Transactions {
    log: Log,
    journal: Journal,
    groups: Arc<Groups>,
    ids: Ids,
    table: Mutex<BTreeMap<String, Slot>>,
    /// A transaction is complete.
    ended: Notify,
}

/// What `DescribeTransactions` and `ListTransactions` show.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    pub(crate) id: String,
    pub(crate) state: Transaction,
}

impl Transactions {
    pub(crate) fn new(log: Log, groups: Arc<Groups>) -> Arc<Self> {
        Arc::new(Self {
            journal: Journal::new(log.clone(), TOPIC),
            log,
            groups,
            ids: Ids::default(),
            table: Mutex::default(),
            ended: Notify::new(),
        })
    }

    /// Reads what an earlier life has left. Blocks. [`Self::run`] finishes what was decided.
    pub(crate) fn load(&self) -> Result<(), String> {
        let now_ms = self.log.now_ms();
        let (mut table, mut fault) = (self.table(), None);
        self.journal.load(|_, found| {
            let Found::Record { offset, key, value, .. } = found else { return };
            match record::parse(key, value) {
                Ok(Record::State(id, Some(state))) => {
                    self.ids.used(state.producer_id.max(state.next_id));
                    table.insert(id, Slot::new(state, now_ms));
                }
                Ok(Record::State(id, None)) => {
                    table.remove(&id);
                }
                Ok(Record::Ids(end)) => self.ids.used(end - 1),
                Ok(Record::Unknown) => {}
                Err(_) => fault = Some(format!("{TOPIC}: the record at offset {offset} cannot be read")),
            }
        })?;
        fault.map_or(Ok(()), Err)
    }

    /// Finishes what an earlier life has decided, and aborts what takes too long; until the broker stops.
    pub(crate) async fn run(self: Arc<Self>) {
        let prepared: Vec<String> = {
            let table = self.table();
            table
                .iter()
                .filter(|(_, slot)| slot.state.phase.is_prepared())
                .map(|(id, _)| id.clone())
                .collect()
        };
        for id in prepared {
            tokio::spawn(Arc::clone(&self).finish(id, None));
        }
        loop {
            tokio::time::sleep(TICK).await;
            self.expire();
        }
    }

    fn expire(self: &Arc<Self>) {
        let (now, now_ms) = (Instant::now(), self.log.now_ms());
        let mut table = self.table();
        let mut forgotten = Vec::new();
        for (id, slot) in table.iter_mut() {
            let over = slot.deadline.is_some_and(|deadline| deadline <= now);
            if over && !slot.ending && slot.state.phase == Phase::Ongoing {
                let next = slot.state.fenced(now_ms);
                if let Ok(decision) = self.write(id, slot, next) {
                    tokio::spawn(Arc::clone(self).finish(id.clone(), Some(decision)));
                }
            } else if slot.state.phase.is_idle() && slot.state.updated_ms.saturating_add(FORGET_MS) < now_ms {
                let entry = record::entry(id, None);
                if self.journal.append(id, &[entry], Stamp::NONE, now_ms).is_ok() {
                    forgotten.push(id.clone());
                }
            }
        }
        for id in forgotten {
            table.remove(&id);
        }
    }

    fn table(&self) -> MutexGuard<'_, BTreeMap<String, Slot>> {
        self.table.lock().expect("nothing panics while it holds this")
    }

    /// Writes a state, and has it from then on. Who acts on it waits for the disk first.
    fn write(&self, id: &str, slot: &mut Slot, next: Transaction) -> Result<Appended, Code> {
        let now_ms = self.log.now_ms();
        let appended = self.journal.append(id, &[record::entry(id, Some(&next))], Stamp::NONE, now_ms)?;
        slot.deadline = if next.phase != Phase::Ongoing {
            None
        } else if slot.state.phase == Phase::Ongoing {
            slot.deadline
        } else {
            deadline(&next, now_ms)
        };
        slot.state = next;
        slot.last = Some(appended.clone());
        Ok(appended)
    }

    /// `InitProducerId`. `CONCURRENT_TRANSACTIONS` while what was open before is being ended: the client asks again.
    pub(crate) async fn init(
        self: &Arc<Self>,
        id: Option<&str>,
        timeout_ms: i32,
        expected: Option<Identity>,
    ) -> Result<Identity, Code> {
        self.ids.reserve(&self.journal, self.log.now_ms()).await?;
        let Some(id) = id else { return Ok((self.ids.take()?, 0)) };
        if id.is_empty() {
            return Err(Code::InvalidRequest);
        }
        if !(1..=TIMEOUT_MAX_MS).contains(&timeout_ms) {
            return Err(Code::InvalidTransactionTimeout);
        }
        let (identity, appended) = self.init_now(id, timeout_ms, expected)?;
        settled(&appended).await.map(|()| identity)
    }

    fn init_now(
        self: &Arc<Self>,
        id: &str,
        timeout_ms: i32,
        expected: Option<Identity>,
    ) -> Result<(Identity, Appended), Code> {
        let now_ms = self.log.now_ms();
        let mut table = self.table();
        if !table.contains_key(id) {
            let state = Transaction::new(self.ids.take()?, timeout_ms, now_ms);
            table.insert(id.to_owned(), Slot::new(state, now_ms));
        }
        let slot = table.get_mut(id).ok_or(Code::UnknownServerError)?;
        if slot.ending {
            return Err(Code::ConcurrentTransactions);
        }
        match slot.state.init(expected, timeout_ms, now_ms, &mut || self.ids.take())? {
            Init::Begin(next) => {
                let told = next.told();
                self.write(id, slot, next).map(|appended| (told, appended))
            }
            Init::AbortFirst(next) => {
                let decision = self.write(id, slot, next)?;
                tokio::spawn(Arc::clone(self).finish(id.to_owned(), Some(decision)));
                Err(Code::ConcurrentTransactions)
            }
        }
    }

    /// `AddPartitionsToTxn`, `AddOffsetsToTxn`, and what a write adds by itself, which waits [`IMPLICIT`] for the end of the
    /// transaction before.
    pub(crate) async fn add(
        &self,
        id: &str,
        identity: Identity,
        parts: &[Part],
        protocol: Protocol,
        patience: Duration,
    ) -> Result<(), Code> {
        if id.is_empty() {
            return Err(Code::InvalidRequest);
        }
        let patience = Instant::now() + patience;
        loop {
            let ended = self.ended.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            match self.add_now(id, identity, parts, protocol) {
                Ok(None) => return Ok(()),
                Ok(Some(appended)) => return settled(&appended).await,
                Err(Code::ConcurrentTransactions) => {
                    timeout_at(patience, ended).await.map_err(|_| Code::ConcurrentTransactions)?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn add_now(
        &self,
        id: &str,
        identity: Identity,
        parts: &[Part],
        protocol: Protocol,
    ) -> Result<Option<Appended>, Code> {
        let now_ms = self.log.now_ms();
        let mut table = self.table();
        let slot = table.get_mut(id).ok_or(Code::InvalidProducerIdMapping)?;
        let next = slot.state.add(identity, parts, protocol, now_ms)?;
        if slot.ending {
            return Err(Code::ConcurrentTransactions);
        }
        match next {
            Some(next) => self.write(id, slot, next).map(Some),
            // What has added them may still be on its way to the disk.
            None => Ok(slot.last.clone()),
        }
    }

    /// Whether the partition belongs to the open transaction of this producer.
    pub(crate) fn verify(&self, id: &str, identity: Identity, part: &Part) -> Result<(), Code> {
        self.within(id, identity, part, || Ok(()))
    }

    /// Does something that belongs to the open transaction: it does not end meanwhile.
    pub(crate) fn within<T>(
        &self,
        id: &str,
        identity: Identity,
        part: &Part,
        work: impl FnOnce() -> Result<T, Code>,
    ) -> Result<T, Code> {
        if id.is_empty() {
            return Err(Code::InvalidRequest);
        }
        let table = self.table();
        let slot = table.get(id).ok_or(Code::InvalidProducerIdMapping)?;
        slot.state.verify(identity, part)?;
        if slot.ending {
            return Err(Code::ConcurrentTransactions);
        }
        work()
    }

    /// `EndTxn`. Goes on to its end also when nobody waits for the answer any more.
    pub(crate) async fn end(
        self: &Arc<Self>,
        id: String,
        identity: Identity,
        commit: bool,
        protocol: Protocol,
    ) -> Result<Identity, Code> {
        if id.is_empty() {
            return Err(Code::InvalidRequest);
        }
        self.ids.reserve(&self.journal, self.log.now_ms()).await?;
        let all = Arc::clone(self);
        let work = tokio::spawn(async move { all.end_whole(id, identity, commit, protocol).await });
        work.await.unwrap_or(Err(Code::CoordinatorNotAvailable))
    }

    async fn end_whole(
        self: Arc<Self>,
        id: String,
        identity: Identity,
        commit: bool,
        protocol: Protocol,
    ) -> Result<Identity, Code> {
        let patience = Instant::now() + PATIENCE;
        let parts = loop {
            let ended = self.ended.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            match self.begin_end(&id, identity, commit, protocol) {
                Ok(Ok(parts)) => break parts,
                Ok(Err(identity)) => return Ok(identity),
                // The markers of the transaction before are on their way.
                Err(Code::ConcurrentTransactions) => {
                    timeout_at(patience, ended).await.map_err(|_| Code::ConcurrentTransactions)?;
                }
                Err(error) => return Err(error),
            }
        };
        let synced = if commit { self.synced(&parts).await } else { Ok(()) };
        self.log.passed("transaction.flushed");
        let (told, appended) = {
            let mut table = self.table();
            let slot = table.get_mut(&id).ok_or(Code::InvalidProducerIdMapping)?;
            slot.ending = false;
            synced?;
            let End::Prepare(next) = self.decide(slot, identity, commit, protocol)? else {
                return Err(Code::ConcurrentTransactions);
            };
            (next.told(), self.write(&id, slot, next)?)
        };
        let outcome = settled(&appended).await;
        tokio::spawn(Arc::clone(&self).finish(id, Some(appended)));
        outcome.map(|()| told)
    }

    /// The partitions of the transaction that is to end from here on; or the identity, where it has ended before.
    fn begin_end(
        &self,
        id: &str,
        identity: Identity,
        commit: bool,
        protocol: Protocol,
    ) -> Result<Result<Vec<Part>, Identity>, Code> {
        let mut table = self.table();
        let slot = table.get_mut(id).ok_or(Code::InvalidProducerIdMapping)?;
        Ok(match self.decide(slot, identity, commit, protocol)? {
            End::Again(identity) => Err(identity),
            End::Prepare(next) => {
                slot.ending = true;
                Ok(next.partitions.into_iter().collect())
            }
        })
    }

    fn decide(&self, slot: &Slot, identity: Identity, commit: bool, protocol: Protocol) -> Result<End, Code> {
        let end = slot.state.end(identity, commit, protocol, self.log.now_ms(), &mut || self.ids.take())?;
        if slot.ending { Err(Code::ConcurrentTransactions) } else { Ok(end) }
    }

    /// Makes the topic where it is not there. Blocks.
    pub(crate) fn make(&self) -> Result<(), Code> {
        self.journal.number("").map(drop)
    }

    /// All that there are, by their ids.
    pub(crate) fn shown(&self) -> Vec<Shown> {
        self.table().iter().map(|(id, slot)| Shown { id: id.clone(), state: slot.state.clone() }).collect()
    }

    /// One of them.
    pub(crate) fn show(&self, id: &str) -> Option<Transaction> {
        self.table().get(id).map(|slot| slot.state.clone())
    }
}

/// Waits until what was written may be acted upon.
async fn settled(appended: &Appended) -> Result<(), Code> {
    appended.durable().await.map_err(|_| Code::CoordinatorNotAvailable)
}

#[cfg(test)]
mod life_tests;
#[cfg(test)]
mod tests;
