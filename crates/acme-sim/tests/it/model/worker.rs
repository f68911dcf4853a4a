//! A worker: what it asks next, and what it makes of the answers.

use super::brokers::{Offsets, P, Refusal, Reply, Request, Set, W, has};
use super::{Mistake, Setting};

/// One worker. A life ends with a crash or with a failed transaction; the next knows nothing of it.
#[derive(Clone, Debug, Default, Hash, PartialEq, Eq)]
pub(super) struct Worker {
    /// Its member id.
    pub(super) life: u8,
    pub(super) stage: Stage,
    /// The member epoch that it knows.
    epoch: u8,
    owned: Set,
    /// Owned, but to be given up.
    revoked: Set,
    /// Where the next record is read.
    positions: Offsets,
    /// Epochs under way, the older one first.
    epochs: Vec<Open>,
    /// A record that was sent and not answered: it goes out again, and until then its epoch cannot end.
    unanswered: Option<Request>,
    /// Which of its two transactional ids the next epoch takes.
    turn: u8,
    producers: [Producer; 2],
    /// It is the first member: it ends the transactions of those that are gone.
    is_first: bool,
    /// Transactional ids of others that it has seen with an open transaction, until it knows who is a member after that.
    open: Set,
    /// Transactional ids of workers that are gone.
    to_fence: Set,
    /// Only by mistake: the workers that were no members when it asked last.
    absent: Set,
    /// Only by mistake: the group has changed, so it may look for open transactions.
    is_due: bool,
    /// Only by mistake: offsets that are still to be committed.
    late: Option<Offsets>,
}

#[derive(Clone, Copy, Debug, Default, Hash, PartialEq, Eq)]
pub(super) enum Stage {
    /// It does not run.
    #[default]
    Down,
    Claim(u8),
    Join,
    /// Only by mistake: reads offsets before its transactional ids are its own.
    FetchFirst,
    Run,
}

#[derive(Clone, Copy, Debug, Default, Hash, PartialEq, Eq)]
struct Producer {
    epoch: u8,
    sequence: u8,
    /// The answer to a request was not heard: the request may still lie in a queue.
    is_unsure: bool,
}

/// An epoch under way.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
struct Open {
    /// 0 or 1.
    id: u8,
    records: u8,
    offsets: Offsets,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
enum Phase {
    /// Takes records.
    Open,
    /// Takes no more, and waits for its turn.
    Closed,
    /// Its offsets lie in the transaction.
    Sent,
}

impl Worker {
    /// A worker that has its transactional ids for itself: what comes before is of interest only in later lives.
    pub(super) fn started() -> Self {
        let producer = Producer { epoch: 1, ..Producer::default() };
        Self { stage: Stage::Join, producers: [producer; 2], ..Self::default() }
    }

    /// The requests of which it may send one now, besides [`Self::can_close`].
    pub(super) fn requests(&self, setting: &Setting, me: usize) -> Vec<Request> {
        let life = self.life;
        match self.stage {
            Stage::Down => Vec::new(),
            Stage::Claim(id) => vec![Request::InitProducerId { id: self.global(me, id) }],
            Stage::Join => vec![Request::Join { life }],
            Stage::FetchFirst => vec![Request::OffsetFetch { partitions: self.owned }],
            Stage::Run => {
                let mut requests = Vec::new();
                if let Some(offsets) = self.late {
                    return vec![Request::OffsetCommit { offsets }];
                }
                requests.push(Request::Heartbeat { life, owned: self.owned & !self.releasable(setting) });
                let unread = self.unread();
                if unread != 0 {
                    requests.push(Request::OffsetFetch { partitions: unread });
                }
                match self.unanswered {
                    Some(request) => requests.push(request),
                    None => requests
                        .extend((0..setting.partitions).filter_map(|it| self.produce(setting, me, it))),
                }
                requests.extend(self.commits(setting, me));
                let refresh = |id| Request::InitProducerId { id: self.global(me, id) };
                requests.extend(self.stale_id().map(refresh));
                if self.looks(setting) {
                    requests.push(Request::ListTransactions);
                }
                if self.to_fence != 0 {
                    requests.push(Request::InitProducerId { id: self.to_fence.trailing_zeros() as u8 });
                }
                requests
            }
        }
    }

    /// Whether it looks for transactions that nobody will end: always, for one may be begun by a member that was just removed.
    fn looks(&self, setting: &Setting) -> bool {
        match setting.mistake {
            Some(Mistake::NoFencing) => false,
            Some(Mistake::OnlyAtChanges) => self.is_first && self.open | self.to_fence == 0 && self.is_due,
            _ => self.is_first && self.open | self.to_fence == 0,
        }
    }

    fn global(&self, me: usize, id: u8) -> u8 {
        u8::try_from(2 * me).expect("it is there") + id
    }

    fn unread(&self) -> Set {
        (0..P).filter(|&it| self.positions[it].is_none()).fold(0, |set, it| set | 1 << it)
            & self.owned
            & !self.revoked
    }

    /// What it may give up: nothing of it is part of an epoch under way.
    fn releasable(&self, setting: &Setting) -> Set {
        if setting.mistake == Some(Mistake::EarlyAcknowledgement) {
            return self.revoked;
        }
        let held = |it: usize| self.epochs.iter().any(|epoch| epoch.offsets[it].is_some());
        (0..P).filter(|&it| has(self.revoked, it) && !held(it)).fold(0, |set, it| set | 1 << it)
    }

    fn produce(&self, setting: &Setting, me: usize, partition: usize) -> Option<Request> {
        let record = self.positions[partition]?;
        if record == setting.records || !has(self.owned & !self.revoked, partition) {
            return None;
        }
        let id = match self.epochs.last() {
            Some(open) if open.phase == Phase::Open => {
                (open.records < setting.per_epoch).then_some(open.id)?
            }
            // A third epoch has no transactional id.
            _ if self.epochs.len() == 2 => return None,
            _ => self.turn,
        };
        let producer = &self.producers[usize::from(id)];
        if producer.is_unsure
            && setting.mistake != Some(Mistake::ReusedId)
            && self.epochs.iter().all(|it| it.id != id)
        {
            return None;
        }
        let Producer { epoch: producer_epoch, sequence, .. } = *producer;
        let (id, partition) = (self.global(me, id), u8::try_from(partition).expect("it is there"));
        Some(Request::Produce { id, producer_epoch, sequence, partition, record })
    }

    /// The next request of each epoch that may commit: only the oldest.
    fn commits(&self, setting: &Setting, me: usize) -> Vec<Request> {
        // What still lies in a queue could otherwise undo this commit.
        let waits = self.stale_id().is_some();
        if waits && !matches!(setting.mistake, Some(Mistake::LateRefresh | Mistake::ReusedId)) {
            return Vec::new();
        }
        let chosen = match setting.mistake {
            Some(Mistake::AnyOrder) => &self.epochs[..],
            _ => &self.epochs[..self.epochs.len().min(1)],
        };
        let requests = chosen.iter().filter_map(|open| {
            let producer_epoch = self.producers[usize::from(open.id)].epoch;
            let id = self.global(me, open.id);
            match open.phase {
                Phase::Open => None,
                Phase::Closed if setting.mistake == Some(Mistake::OffsetsOutside) => {
                    Some(Request::EndTxn { id, producer_epoch })
                }
                Phase::Closed => Some(Request::TxnOffsetCommit {
                    id,
                    producer_epoch,
                    life: self.life,
                    epoch: self.epoch,
                    offsets: open.offsets,
                }),
                Phase::Sent => Some(Request::EndTxn { id, producer_epoch }),
            }
        });
        requests.collect()
    }

    /// A transactional id, not in use, whose late requests are to be fenced by a new producer epoch.
    fn stale_id(&self) -> Option<u8> {
        let is_free = |id: u8| self.epochs.iter().all(|open| open.id != id);
        (0..2).find(|&id| self.producers[usize::from(id)].is_unsure && is_free(id))
    }

    pub(super) fn is_up(&self) -> bool {
        self.stage != Stage::Down
    }

    /// Whether the newest epoch may end: it has records.
    pub(super) fn can_close(&self, setting: &Setting) -> bool {
        let is_answered = self.unanswered.is_none() || setting.mistake == Some(Mistake::UnansweredRecord);
        is_answered && self.epochs.last().is_some_and(|open| open.phase == Phase::Open)
    }

    /// Ends the newest epoch: it names every partition that is held, moved or not.
    pub(super) fn close(&mut self, setting: &Setting) {
        let mut held = self.owned & !self.revoked;
        if setting.mistake == Some(Mistake::RevokedOffsets) {
            held = Set::MAX;
        }
        let open = self.epochs.last_mut().expect("an epoch is open");
        open.phase = Phase::Closed;
        for partition in (0..P).filter(|&it| has(held, it)) {
            open.offsets[partition] = open.offsets[partition].or(self.positions[partition]);
        }
    }

    /// What it does before the request is on its way.
    pub(super) fn before(&mut self, setting: &Setting, request: &Request) {
        if let Request::Heartbeat { owned, .. } = request {
            self.owned = *owned;
            self.revoked &= owned;
            self.forget(setting);
        }
    }

    /// Positions of partitions that it does not hold mean nothing.
    fn forget(&mut self, setting: &Setting) {
        if setting.mistake == Some(Mistake::RevokedOffsets) {
            return;
        }
        for partition in (0..P).filter(|&it| !has(self.owned, it)) {
            self.positions[partition] = None;
        }
    }

    pub(super) fn answered(&mut self, setting: &Setting, me: usize, request: &Request, reply: Reply) {
        match (*request, reply) {
            (Request::ListTransactions, Reply::Open(open)) => self.seen(setting, me, open),
            (Request::InitProducerId { id }, Reply::ProducerEpoch(epoch)) => {
                self.claimed(setting, me, id, epoch);
            }
            (Request::Produce { id, partition, record, .. }, _) => {
                if self.unanswered.take().is_none() {
                    self.takes(id % 2, usize::from(partition), record);
                }
                self.producers[usize::from(id % 2)].sequence += 1;
            }
            (Request::TxnOffsetCommit { id, .. }, _) => self.epoch_of(id % 2).phase = Phase::Sent,
            (Request::EndTxn { id, .. }, _) => {
                if setting.mistake == Some(Mistake::OffsetsOutside) {
                    self.late = Some(self.epoch_of(id % 2).offsets);
                }
                self.epochs.retain(|open| open.id != id % 2);
            }
            (Request::Join { .. } | Request::Heartbeat { .. }, reply) => {
                self.assigned(setting, me, reply);
                if self.stage == Stage::Join {
                    self.stage = self.next_stage(setting);
                }
            }
            (Request::OffsetFetch { partitions }, Reply::Offsets(offsets)) => {
                for partition in (0..P).filter(|&it| has(partitions, it)) {
                    self.positions[partition] = offsets[partition];
                }
                if self.stage == Stage::FetchFirst {
                    self.stage = self.next_stage(setting);
                }
            }
            (Request::OffsetCommit { .. }, _) => self.late = None,
            (request, reply) => unreachable!("{reply:?} answers {request:?}"),
        }
    }

    /// The order in which a life begins.
    fn next_stage(&self, setting: &Setting) -> Stage {
        let offsets_first = setting.mistake == Some(Mistake::OffsetsFirst);
        match self.stage {
            Stage::Down if offsets_first => Stage::Join,
            Stage::Down => Stage::Claim(0),
            Stage::Claim(0) => Stage::Claim(1),
            Stage::Claim(_) if offsets_first => Stage::Run,
            Stage::Claim(_) => Stage::Join,
            Stage::Join if offsets_first && self.owned != 0 => Stage::FetchFirst,
            Stage::Join if offsets_first => Stage::Claim(0),
            Stage::Join | Stage::Run => Stage::Run,
            Stage::FetchFirst => Stage::Claim(0),
        }
    }

    /// A life begins.
    pub(super) fn begin(&mut self, setting: &Setting) {
        self.stage = self.next_stage(setting);
    }

    fn claimed(&mut self, setting: &Setting, me: usize, id: u8, epoch: u8) {
        if usize::from(id / 2) != me {
            self.to_fence &= !(1 << id);
            return;
        }
        self.producers[usize::from(id % 2)] = Producer { epoch, ..Producer::default() };
        if let Stage::Claim(_) = self.stage {
            self.stage = self.next_stage(setting);
        }
    }

    /// A record is part of an epoch as soon as it is sent.
    fn takes(&mut self, id: u8, partition: usize, record: u8) {
        if self.epochs.last().is_none_or(|open| open.phase != Phase::Open) {
            self.epochs.push(Open { id, records: 0, offsets: Offsets::default(), phase: Phase::Open });
            self.turn = 1 - id;
        }
        let open = self.epochs.last_mut().expect("one was put there");
        open.records += 1;
        open.offsets[partition] = Some(record + 1);
        self.positions[partition] = Some(record + 1);
    }

    fn epoch_of(&mut self, id: u8) -> &mut Open {
        self.epochs.iter_mut().find(|open| open.id == id).expect("the epoch is under way")
    }

    /// Transactions are open. Whose worker is no member *after* that is gone.
    fn seen(&mut self, setting: &Setting, me: usize, open: Set) {
        let open = open & !ids(1 << me);
        self.is_due = false;
        match setting.mistake {
            Some(Mistake::MembersFirst) => self.to_fence = open & ids(self.absent),
            _ => self.open = open,
        }
    }

    fn assigned(&mut self, setting: &Setting, me: usize, reply: Reply) {
        let Reply::Assigned { epoch, assigned, revoked, members } = reply else {
            unreachable!("a group answers with an assignment");
        };
        self.is_first = members.trailing_zeros() as usize == me;
        if !self.is_first {
            (self.open, self.to_fence) = (0, 0);
        }
        self.to_fence |= std::mem::take(&mut self.open) & ids(!members);
        match setting.mistake {
            Some(Mistake::MembersFirst) => self.absent = !members,
            Some(Mistake::OnlyAtChanges) => self.is_due |= epoch != self.epoch,
            _ => {}
        }
        (self.epoch, self.owned, self.revoked) = (epoch, assigned, revoked);
        self.forget(setting);
    }

    /// No answer came. It asks again later, and the transactional id has to be refreshed.
    pub(super) fn unheard(&mut self, setting: &Setting, request: &Request) {
        match request {
            Request::EndTxn { id, .. } if setting.mistake == Some(Mistake::GuessedOutcome) => {
                // It takes the epoch for lost, and reads its records again.
                let first = self.epochs.remove(0);
                self.epochs.clear();
                for (position, offset) in self.positions.iter_mut().zip(first.offsets) {
                    *position = position.and(offset.map(|it| it.saturating_sub(first.records)));
                }
                self.producers[usize::from(id % 2)].is_unsure = true;
            }
            Request::Produce { id, partition, record, .. } => {
                self.producers[usize::from(id % 2)].is_unsure = true;
                if self.unanswered.replace(*request).is_none() {
                    self.takes(id % 2, usize::from(*partition), *record);
                }
            }
            Request::TxnOffsetCommit { id, .. } | Request::EndTxn { id, .. } => {
                self.producers[usize::from(id % 2)].is_unsure = true;
            }
            _ => {}
        }
    }

    /// It was refused for good: everything that is not committed is dropped, and it starts again as a new member.
    pub(super) fn refused(&mut self, setting: &Setting, request: &Request, refusal: Refusal) {
        let id = match request {
            Request::Produce { id, .. }
            | Request::TxnOffsetCommit { id, .. }
            | Request::EndTxn { id, .. } => Some(id % 2),
            _ => None,
        };
        let is_kept = setting.mistake == Some(Mistake::NextKept)
            && refusal == Refusal::Fenced
            && self.epochs.len() == 2
            && id == Some(self.epochs[0].id);
        if is_kept {
            let failed = self.epochs.remove(0);
            self.producers[usize::from(failed.id)].is_unsure = true;
            return;
        }
        self.end();
        self.begin(setting);
    }

    /// A life ends.
    pub(super) fn end(&mut self) {
        *self = Self { life: self.life + 1, ..Self::default() };
    }
}

/// The transactional ids of workers.
fn ids(workers: Set) -> Set {
    (0..W).filter(|&it| has(workers, it)).fold(0, |set, it| set | 0b11 << (2 * it))
}
