//! The brokers' side: group coordinator, transaction coordinators, the log, and how each answers a request.

use super::{Mistake, Setting};

/// Workers at most.
pub(super) const W: usize = 3;
/// Input partitions at most.
pub(super) const P: usize = 2;
/// Two transactional ids for each worker.
pub(super) const IDS: usize = 2 * W;

/// A set of partitions, or of transactional ids.
pub(super) type Set = u8;

pub(super) fn has(set: Set, index: usize) -> bool {
    set & (1 << index) != 0
}

/// An offset for each partition that has one.
pub(super) type Offsets = [Option<u8>; P];

/// The brokers.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
pub(super) struct Brokers {
    pub(super) group: Group,
    pub(super) ids: [TransactionalId; IDS],
    /// The output; rows of aborted transactions are left out.
    pub(super) log: Vec<Row>,
    /// The group's offsets.
    pub(super) committed: [u8; P],
    /// The transactional ids with pending offsets, in the order in which these were written.
    pub(super) order: Vec<u8>,
    /// A transaction was committed with offsets that no member had sent.
    pub(super) zombie_seen: bool,
}

/// One group of consumers. A member keeps a partition until it says that it has let it go (KIP-848).
#[derive(Clone, Debug, Default, Hash, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) generation: u8,
    pub(super) members: [Option<Member>; W],
    pub(super) owners: [Option<u8>; P],
}

#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(super) struct Member {
    /// The member id: which life of the worker it is.
    pub(super) life: u8,
    pub(super) epoch: u8,
}

#[derive(Clone, Debug, Default, Hash, PartialEq, Eq)]
pub(super) struct TransactionalId {
    pub(super) producer_epoch: u8,
    pub(super) state: State,
    pub(super) pending: Offsets,
    /// Partitions for which newer offsets than the pending ones took effect first.
    superseded: Set,
    /// The pending offsets come from somebody who was not a member any more.
    from_zombie: bool,
    sequence: u8,
}

#[derive(Clone, Copy, Debug, Default, Hash, PartialEq, Eq)]
pub(super) enum State {
    #[default]
    Empty,
    Ongoing,
    /// Committed for good; the markers are on their way.
    PrepareCommit,
    CompleteCommit,
}

#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) id: u8,
    pub(super) partition: u8,
    pub(super) record: u8,
    pub(super) is_committed: bool,
}

/// What a worker asks of a broker.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Request {
    ListTransactions,
    InitProducerId {
        id: u8,
    },
    Produce {
        id: u8,
        producer_epoch: u8,
        sequence: u8,
        partition: u8,
        record: u8,
    },
    TxnOffsetCommit {
        id: u8,
        producer_epoch: u8,
        life: u8,
        epoch: u8,
        offsets: Offsets,
    },
    EndTxn {
        id: u8,
        producer_epoch: u8,
    },
    Join {
        life: u8,
    },
    Heartbeat {
        life: u8,
        owned: Set,
    },
    OffsetFetch {
        partitions: Set,
    },
    /// Only by mistake: offsets outside of the transaction.
    OffsetCommit {
        offsets: Offsets,
    },
}

impl Request {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::ListTransactions => "ListTransactions",
            Self::InitProducerId { .. } => "InitProducerId",
            Self::Produce { .. } => "Produce",
            Self::TxnOffsetCommit { .. } => "TxnOffsetCommit",
            Self::EndTxn { .. } => "EndTxn",
            Self::Join { .. } => "Join",
            Self::Heartbeat { .. } => "Heartbeat",
            Self::OffsetFetch { .. } => "OffsetFetch",
            Self::OffsetCommit { .. } => "OffsetCommit",
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Reply {
    Done,
    ProducerEpoch(u8),
    /// The transactional ids with an open transaction.
    Open(Set),
    /// With the workers that are members.
    Assigned {
        epoch: u8,
        assigned: Set,
        revoked: Set,
        members: Set,
    },
    Offsets(Offsets),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// To be asked again later: CONCURRENT_TRANSACTIONS, UNSTABLE_OFFSET_COMMIT, STALE_MEMBER_EPOCH.
    Later,
    /// INVALID_PRODUCER_EPOCH, PRODUCER_FENCED, INVALID_TXN_STATE.
    Fenced,
    /// UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID.
    NotAMember,
}

impl Brokers {
    /// The workers have their transactional ids already.
    pub(super) fn new() -> Self {
        let id = TransactionalId { producer_epoch: 1, ..TransactionalId::default() };
        Self {
            group: Group::default(),
            ids: std::array::from_fn(|_| id.clone()),
            log: Vec::new(),
            committed: [0; P],
            order: Vec::new(),
            zombie_seen: false,
        }
    }

    pub(super) fn handle(
        &mut self,
        setting: &Setting,
        worker: usize,
        request: Request,
    ) -> Result<Reply, Refusal> {
        match request {
            Request::ListTransactions => {
                let open = (0..IDS).filter(|&it| self.ids[it].state == State::Ongoing);
                return Ok(Reply::Open(open.fold(0, |set, it| set | 1 << it)));
            }
            Request::InitProducerId { id } => return self.init(id),
            Request::Produce { id, producer_epoch, sequence, partition, record } => {
                let producer = self.producer(id, producer_epoch)?;
                match sequence.cmp(&producer.sequence) {
                    // It is there already.
                    std::cmp::Ordering::Less => return Ok(Reply::Done),
                    std::cmp::Ordering::Greater => return Err(Refusal::Fenced),
                    std::cmp::Ordering::Equal => {}
                }
                producer.sequence += 1;
                producer.state = State::Ongoing;
                self.log.push(Row { id, partition, record, is_committed: false });
            }
            Request::TxnOffsetCommit { id, producer_epoch, life, epoch, offsets } => {
                let is_member = self.group.check(worker, life, epoch);
                if setting.mistake != Some(Mistake::OwnAssignment) {
                    is_member?;
                }
                let producer = self.producer(id, producer_epoch)?;
                producer.state = State::Ongoing;
                producer.from_zombie |= is_member == Err(Refusal::NotAMember);
                for (pending, offset) in producer.pending.iter_mut().zip(offsets) {
                    *pending = offset.or(*pending);
                }
                self.order.retain(|&other| other != id);
                self.order.push(id);
            }
            Request::EndTxn { id, producer_epoch } => {
                let producer = self.producer(id, producer_epoch)?;
                match producer.state {
                    State::CompleteCommit => return Ok(Reply::Done),
                    State::Empty => return Err(Refusal::Fenced),
                    State::Ongoing | State::PrepareCommit => producer.state = State::PrepareCommit,
                }
                let from_zombie = producer.from_zombie;
                self.zombie_seen |= from_zombie;
                self.log.iter_mut().filter(|row| row.id == id).for_each(|row| row.is_committed = true);
            }
            Request::Join { life } => return Ok(self.join(setting, worker, life)),
            Request::Heartbeat { life, owned } => {
                self.group.known(worker, life)?;
                return Ok(self.assign(setting, worker, owned));
            }
            Request::OffsetFetch { partitions } => return self.fetch(setting, partitions),
            Request::OffsetCommit { offsets } => {
                for (committed, offset) in self.committed.iter_mut().zip(offsets) {
                    *committed = offset.unwrap_or(*committed);
                }
            }
        }
        Ok(Reply::Done)
    }

    /// A new epoch; whoever had an older one is fenced, and the open transaction is aborted.
    fn init(&mut self, id: u8) -> Result<Reply, Refusal> {
        if self.ids[usize::from(id)].state == State::PrepareCommit {
            return Err(Refusal::Later);
        }
        let producer_epoch = self.ids[usize::from(id)].producer_epoch + 1;
        self.log.retain(|row| row.id != id || row.is_committed);
        self.order.retain(|&other| other != id);
        self.ids[usize::from(id)] = TransactionalId { producer_epoch, ..TransactionalId::default() };
        Ok(Reply::ProducerEpoch(producer_epoch))
    }

    fn producer(&mut self, id: u8, producer_epoch: u8) -> Result<&mut TransactionalId, Refusal> {
        let producer = &mut self.ids[usize::from(id)];
        match producer.state {
            _ if producer.producer_epoch != producer_epoch => Err(Refusal::Fenced),
            State::PrepareCommit => Err(Refusal::Later),
            _ => Ok(producer),
        }
    }

    /// The markers have arrived: pending offsets are the group's. Those that were *written* later win, whatever the order of
    /// the markers: two ids have two coordinators.
    pub(super) fn complete(&mut self, setting: &Setting, id: usize) {
        let producer = self.ids[id].clone();
        let rank = self.order.iter().position(|&other| usize::from(other) == id);
        let older = rank.map_or(&[][..], |rank| &self.order[..rank]).to_vec();
        for (partition, pending) in producer.pending.iter().enumerate() {
            let Some(offset) = pending else { continue };
            if !has(producer.superseded, partition) {
                self.committed[partition] = *offset;
            }
            if setting.mistake != Some(Mistake::MarkerOrder) {
                older.iter().for_each(|&other| self.ids[usize::from(other)].superseded |= 1 << partition);
            }
        }
        self.order.retain(|&other| usize::from(other) != id);
        let TransactionalId { producer_epoch, sequence, .. } = producer;
        self.ids[id] = TransactionalId {
            producer_epoch,
            sequence,
            state: State::CompleteCommit,
            ..TransactionalId::default()
        };
    }

    /// The time-out of a transaction: its producer is fenced.
    pub(super) fn time_out(&mut self, id: usize) {
        let _ = self.init(u8::try_from(id).expect("it is there"));
    }

    fn fetch(&self, setting: &Setting, partitions: Set) -> Result<Reply, Refusal> {
        let pending = |partition: usize| self.ids.iter().any(|id| id.pending[partition].is_some());
        let is_stable = (0..P).all(|partition| !has(partitions, partition) || !pending(partition));
        if !is_stable && setting.mistake != Some(Mistake::UnstableOffsets) {
            return Err(Refusal::Later);
        }
        let offsets =
            std::array::from_fn(|partition| has(partitions, partition).then_some(self.committed[partition]));
        Ok(Reply::Offsets(offsets))
    }

    /// A static member that comes back takes the place of its former life, without a rebalance.
    fn join(&mut self, setting: &Setting, worker: usize, life: u8) -> Reply {
        if self.group.members[worker].is_none() {
            self.group.generation += 1;
        }
        self.group.members[worker] = Some(Member { life, epoch: self.group.generation });
        // It holds nothing that it could have to give up.
        let owned = self.group.owned(worker) & self.group.target(setting, worker);
        self.assign(setting, worker, owned)
    }

    fn assign(&mut self, setting: &Setting, worker: usize, owned: Set) -> Reply {
        let group = &mut self.group;
        let target = group.target(setting, worker);
        for partition in 0..setting.partitions {
            let owner = &mut group.owners[partition];
            if *owner == Some(u8::try_from(worker).expect("it is there")) && !has(owned, partition) {
                *owner = None;
            }
        }
        let revoked = owned & !target;
        let generation = group.generation;
        if revoked == 0 {
            for partition in (0..setting.partitions).filter(|&it| has(target, it)) {
                group.owners[partition].get_or_insert(u8::try_from(worker).expect("it is there"));
            }
            group.members[worker].as_mut().expect("it is there").epoch = generation;
        }
        let members = (0..setting.workers).filter(|&it| group.members[it].is_some());
        let members = members.fold(0, |set, it| set | 1 << it);
        let epoch = group.members[worker].expect("it is there").epoch;
        Reply::Assigned { epoch, assigned: group.owned(worker), revoked, members }
    }

    /// Offsets as they are once all markers have arrived.
    pub(super) fn decided(&self, partition: usize) -> u8 {
        let mut offset = self.committed[partition];
        for &id in &self.order {
            let id = &self.ids[usize::from(id)];
            if let (State::PrepareCommit, Some(pending)) = (id.state, id.pending[partition])
                && !has(id.superseded, partition)
            {
                offset = pending;
            }
        }
        offset
    }
}

impl Group {
    fn known(&self, worker: usize, life: u8) -> Result<Member, Refusal> {
        self.members[worker].filter(|member| member.life == life).ok_or(Refusal::NotAMember)
    }

    fn check(&self, worker: usize, life: u8, epoch: u8) -> Result<(), Refusal> {
        let member = self.known(worker, life)?;
        if member.epoch == epoch { Ok(()) } else { Err(Refusal::Later) }
    }

    /// The session's time-out, or the removal by an administrator.
    pub(super) fn remove(&mut self, worker: usize) {
        self.members[worker] = None;
        self.generation += 1;
        for owner in &mut self.owners {
            if *owner == Some(u8::try_from(worker).expect("it is there")) {
                *owner = None;
            }
        }
    }

    fn owned(&self, worker: usize) -> Set {
        let owned =
            self.owners.iter().enumerate().filter(|(_, owner)| owner.map(usize::from) == Some(worker));
        owned.fold(0, |set, (partition, _)| set | 1 << partition)
    }

    /// The partitions that a member is to have in the end.
    fn target(&self, setting: &Setting, worker: usize) -> Set {
        let members: Vec<usize> = (0..setting.workers).filter(|&it| self.members[it].is_some()).collect();
        let mine = (0..setting.partitions).filter(|it| members[it % members.len()] == worker);
        mine.fold(0, |set, partition| set | 1 << partition)
    }
}
