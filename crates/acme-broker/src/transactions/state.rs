//! What a transactional id is at, and what each request makes of it: no I/O, no clock.
//!
//! Every function takes the present state and gives the next one, or Kafka's error. The caller writes the next state to
//! `__transaction_state` before anybody acts on it, so a refusal changes nothing. Sources: KIP-98, KIP-360, KIP-890.

use kafka_protocol::ResponseError;
use std::collections::BTreeSet;
use std::sync::Arc;

/// No producer.
pub(crate) const NO_ID: i64 = -1;
/// No epoch.
pub(crate) const NO_EPOCH: i16 = -1;
/// What a request asks with `expected`: the producer id and epoch that the client has (KIP-360).
pub(crate) type Identity = (i64, i16);
/// A partition by name, as the record in the topic has it.
pub(crate) type Part = (Arc<str>, i32);

/// Where a transaction is at; the numbers are those of the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Empty = 0,
    Ongoing = 1,
    PrepareCommit = 2,
    PrepareAbort = 3,
    CompleteCommit = 4,
    CompleteAbort = 5,
}

impl Phase {
    /// All of them, in the order of their numbers.
    pub(crate) const ALL: [Self; 6] = [
        Self::Empty,
        Self::Ongoing,
        Self::PrepareCommit,
        Self::PrepareAbort,
        Self::CompleteCommit,
        Self::CompleteAbort,
    ];

    /// As `DescribeTransactions` shows it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Ongoing => "Ongoing",
            Self::PrepareCommit => "PrepareCommit",
            Self::PrepareAbort => "PrepareAbort",
            Self::CompleteCommit => "CompleteCommit",
            Self::CompleteAbort => "CompleteAbort",
        }
    }

    /// The outcome is decided, the markers are not all written.
    pub(crate) fn is_prepared(self) -> bool {
        matches!(self, Self::PrepareCommit | Self::PrepareAbort)
    }

    /// Nothing is open: the id may be forgotten after a week.
    pub(crate) fn is_idle(self) -> bool {
        matches!(self, Self::Empty | Self::CompleteCommit | Self::CompleteAbort)
    }
}

/// Which protocol a client ends its transactions with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// The epoch changes at `InitProducerId` only.
    V1,
    /// Each end raises the epoch (KIP-890): a late request of an earlier transaction is fenced.
    V2,
}

/// The state of one transactional id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Transaction {
    pub(crate) producer_id: i64,
    /// The one before, to know a retry after the epochs ran out.
    pub(crate) previous_id: i64,
    /// The one that the client has been told and that the markers still to be written do not carry.
    pub(crate) next_id: i64,
    pub(crate) epoch: i16,
    /// The epoch before the last change that the client itself asked for; only a retry of that change has it.
    pub(crate) last_epoch: i16,
    pub(crate) timeout_ms: i32,
    pub(crate) phase: Phase,
    pub(crate) partitions: BTreeSet<Part>,
    /// When the first partition came, ms of the wall clock; -1 without.
    pub(crate) started_ms: i64,
    pub(crate) updated_ms: i64,
    /// How the client that made this state ends transactions.
    pub(crate) protocol: Protocol,
}

/// What comes of `InitProducerId`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Init {
    /// Answer with its producer id and epoch.
    Begin(Transaction),
    /// Something was open: this aborts it; the client is told `CONCURRENT_TRANSACTIONS` and asks again.
    AbortFirst(Transaction),
}

/// What comes of `EndTxn`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It was done before: the answer was lost. The client's identity as it stands.
    Again(Identity),
    /// Write this, then the markers; answer with [`Transaction::told`].
    Prepare(Transaction),
}

/// Whether no further epoch can be given: the last is kept to fence with.
pub(crate) fn exhausted(epoch: i16) -> bool {
    epoch >= i16::MAX - 1
}

impl Transaction {
    /// An id that was never seen; the first `init` gives it epoch 0.
    pub(crate) fn new(producer_id: i64, timeout_ms: i32, now_ms: i64) -> Self {
        Self {
            producer_id,
            previous_id: NO_ID,
            next_id: NO_ID,
            epoch: NO_EPOCH,
            last_epoch: NO_EPOCH,
            timeout_ms,
            phase: Phase::Empty,
            partitions: BTreeSet::new(),
            started_ms: -1,
            updated_ms: now_ms,
            protocol: Protocol::V1,
        }
    }

    /// The identity that the client goes on with.
    pub(crate) fn told(&self) -> Identity {
        if self.next_id == NO_ID { (self.producer_id, self.epoch) } else { (self.next_id, 0) }
    }

    /// `InitProducerId`. `fresh` is a producer id that nobody has: taken only where epochs have run out.
    pub(crate) fn init(
        &self,
        expected: Option<Identity>,
        timeout_ms: i32,
        now_ms: i64,
        fresh: &mut dyn FnMut() -> Result<i64, ResponseError>,
    ) -> Result<Init, ResponseError> {
        if let Some((id, epoch)) = expected {
            let known = self.epoch == NO_EPOCH || id == self.producer_id;
            // The answer with the new producer id was lost.
            let rotated = id == self.previous_id && exhausted(epoch);
            if !known && !rotated {
                return Err(ResponseError::ProducerFenced);
            }
        }
        match self.phase {
            Phase::PrepareCommit | Phase::PrepareAbort => Err(ResponseError::ConcurrentTransactions),
            Phase::Ongoing => Ok(Init::AbortFirst(self.fenced(now_ms))),
            _ => self.begin(expected.map(|(_, epoch)| epoch), timeout_ms, now_ms, fresh).map(Init::Begin),
        }
    }

    fn begin(
        &self,
        expected: Option<i16>,
        timeout_ms: i32,
        now_ms: i64,
        fresh: &mut dyn FnMut() -> Result<i64, ResponseError>,
    ) -> Result<Self, ResponseError> {
        let current = expected.is_none_or(|expected| expected == self.epoch);
        let (producer_id, epoch, last_epoch) = if exhausted(self.epoch) && current {
            (fresh()?, 0, if expected.is_some() { self.epoch } else { NO_EPOCH })
        } else {
            match expected {
                None => (self.producer_id, self.epoch + 1, NO_EPOCH),
                Some(expected) if self.epoch == NO_EPOCH || expected == self.epoch => {
                    (self.producer_id, self.epoch + 1, self.epoch)
                }
                // A retry: whoever came in between would have set the last epoch to -1.
                Some(expected) if expected == self.last_epoch => {
                    (self.producer_id, self.epoch, self.last_epoch)
                }
                Some(_) => return Err(ResponseError::ProducerFenced),
            }
        };
        Ok(Self {
            producer_id,
            previous_id: self.producer_id,
            next_id: NO_ID,
            epoch,
            last_epoch,
            timeout_ms,
            phase: Phase::Empty,
            partitions: BTreeSet::new(),
            started_ms: -1,
            updated_ms: now_ms,
            protocol: Protocol::V1,
        })
    }

    /// The open transaction is to be aborted and whoever has it open fenced: one epoch further, which nobody is told.
    pub(crate) fn fenced(&self, now_ms: i64) -> Self {
        let epoch = self.epoch.saturating_add(1);
        let next =
            Self { phase: Phase::PrepareAbort, epoch, last_epoch: NO_EPOCH, next_id: NO_ID, ..self.clone() };
        // Not its own doing: whoever had it open is refused, and not told the new epoch as if it had asked for it.
        Self { updated_ms: now_ms, protocol: Protocol::V1, ..next }
    }

    /// When the transaction is aborted unless it has ended, by the wall clock.
    pub(crate) fn expires_ms(&self) -> Option<i64> {
        (self.phase == Phase::Ongoing).then(|| self.started_ms.saturating_add(i64::from(self.timeout_ms)))
    }

    fn check(&self, (id, epoch): Identity) -> Result<(), ResponseError> {
        if id != self.producer_id {
            return Err(ResponseError::InvalidProducerIdMapping);
        }
        if epoch != self.epoch {
            return Err(ResponseError::ProducerFenced);
        }
        if self.phase.is_prepared() {
            return Err(ResponseError::ConcurrentTransactions);
        }
        Ok(())
    }

    /// `AddPartitionsToTxn` and `AddOffsetsToTxn`. None where all of them were added before.
    pub(crate) fn add(
        &self,
        identity: Identity,
        partitions: &[Part],
        protocol: Protocol,
        now_ms: i64,
    ) -> Result<Option<Self>, ResponseError> {
        self.check(identity)?;
        if self.phase == Phase::Ongoing && partitions.iter().all(|part| self.partitions.contains(part)) {
            return Ok(None);
        }
        let mut next = self.clone();
        if self.phase != Phase::Ongoing {
            next.started_ms = now_ms;
            next.partitions.clear();
        }
        next.partitions.extend(partitions.iter().cloned());
        next.phase = Phase::Ongoing;
        next.updated_ms = now_ms;
        next.protocol = protocol;
        Ok(Some(next))
    }

    /// Whether each of the partitions belongs to the open transaction of this producer (KIP-890, part 1).
    pub(crate) fn verify(&self, identity: Identity, part: &Part) -> Result<(), ResponseError> {
        self.check(identity)?;
        if self.partitions.contains(part) { Ok(()) } else { Err(ResponseError::TransactionAbortable) }
    }

    /// `EndTxn`.
    pub(crate) fn end(
        &self,
        (id, epoch): Identity,
        commit: bool,
        protocol: Protocol,
        now_ms: i64,
        fresh: &mut dyn FnMut() -> Result<i64, ResponseError>,
    ) -> Result<End, ResponseError> {
        // Only where both the request and what it is about have epochs that move.
        let raised = self.protocol == Protocol::V2 && protocol == Protocol::V2;
        // The same request again, after what it asked for was done: the epoch has moved on by one, or to a new id.
        let overflowed = raised && self.previous_id == id && epoch == i16::MAX - 1 && self.epoch == 0;
        let bumped = raised && epoch.checked_add(1) == Some(self.epoch);
        let valid = match self.phase {
            _ if !raised => epoch == self.epoch,
            Phase::Ongoing | Phase::Empty => epoch == self.epoch,
            Phase::PrepareCommit | Phase::PrepareAbort => bumped,
            Phase::CompleteCommit | Phase::CompleteAbort => bumped || overflowed || epoch == self.epoch,
        };
        if self.producer_id != id && !overflowed {
            return Err(ResponseError::InvalidProducerIdMapping);
        }
        if raised && self.phase.is_prepared() && epoch == self.epoch {
            // The end of the next transaction, which may come as soon as this one is decided. Kafka says PRODUCER_FENCED here.
            return Err(ResponseError::ConcurrentTransactions);
        }
        if !valid {
            return Err(ResponseError::ProducerFenced);
        }
        let again = bumped || overflowed;
        match (self.phase, commit) {
            (Phase::Ongoing, _) => self.prepare(commit, protocol, now_ms, fresh).map(End::Prepare),
            (Phase::CompleteCommit, true) | (Phase::CompleteAbort, false)
                if again || protocol == Protocol::V1 =>
            {
                Ok(End::Again((self.producer_id, self.epoch)))
            }
            // A client of V2 adds partitions by writing to them. What it wrote may never have arrived, so it may abort
            // a transaction that never began, and the epoch fences what is still on its way.
            (Phase::Empty | Phase::CompleteCommit | Phase::CompleteAbort, false)
                if protocol == Protocol::V2 && !again =>
            {
                self.prepare(false, protocol, now_ms, fresh).map(End::Prepare)
            }
            (Phase::PrepareCommit, true) | (Phase::PrepareAbort, false) => {
                Err(ResponseError::ConcurrentTransactions)
            }
            _ => Err(ResponseError::InvalidTxnState),
        }
    }

    fn prepare(
        &self,
        commit: bool,
        protocol: Protocol,
        now_ms: i64,
        fresh: &mut dyn FnMut() -> Result<i64, ResponseError>,
    ) -> Result<Self, ResponseError> {
        let mut next = self.clone();
        next.phase = if commit { Phase::PrepareCommit } else { Phase::PrepareAbort };
        if self.phase != Phase::Ongoing {
            next.started_ms = now_ms;
            next.partitions.clear();
        }
        if protocol == Protocol::V2 {
            if exhausted(self.epoch) {
                next.next_id = fresh()?;
            }
            next.last_epoch = self.epoch;
            next.epoch = self.epoch.saturating_add(1);
        }
        next.protocol = protocol;
        next.updated_ms = now_ms;
        Ok(next)
    }

    /// All markers are written.
    pub(crate) fn complete(&self, now_ms: i64) -> Self {
        let mut next = self.clone();
        next.phase = match self.phase {
            Phase::PrepareCommit => Phase::CompleteCommit,
            _ => Phase::CompleteAbort,
        };
        if self.next_id != NO_ID {
            (next.producer_id, next.epoch) = self.told();
            next.previous_id = self.producer_id;
            next.last_epoch = self.epoch;
            next.next_id = NO_ID;
        }
        next.partitions.clear();
        next.updated_ms = now_ms;
        next
    }
}
