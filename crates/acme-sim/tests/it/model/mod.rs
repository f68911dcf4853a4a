//! The protocol "exactly once, Kafka to Kafka, without state" as a model: every order of events, every crash.
//!
//! ARCHITECTURE.md, "Workers of one group", says the protocol in prose. Here are workers (`worker`), brokers (`brokers`), and the
//! network between them with its faults; `checker` visits everything that can happen.

mod brokers;
mod checker;
mod tests;
mod worker;

use brokers::{Brokers, IDS, Refusal, Request, Row, State, W};
use checker::{Model, Next};
use worker::Worker;

/// How large the world is.
#[derive(Clone, Copy, Debug)]
struct Setting {
    workers: usize,
    partitions: usize,
    /// Records of each partition.
    records: u8,
    /// Records that an epoch takes at most.
    per_epoch: u8,
    /// Faults of any kind that may happen.
    faults: u8,
    mistake: Option<Mistake>,
    /// Where a mistake breaks several promises: the one that is looked at.
    promise: Option<&'static str>,
}

/// What could be done wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mistake {
    /// Offsets go by what the worker believes to own, without member id and epoch.
    OwnAssignment,
    /// A new life reads the committed offsets before it has fenced the one before.
    OffsetsFirst,
    /// Partitions are given up while an epoch with their records is open.
    EarlyAcknowledgement,
    /// Epoch n fails, and n+1 is committed.
    NextKept,
    /// An epoch ends although a record of it was not answered.
    UnansweredRecord,
    /// Offsets are committed after the transaction.
    OffsetsOutside,
    /// The group is asked for its members before the coordinators are for open transactions: who has joined meanwhile is taken for
    /// gone.
    MembersFirst,
    /// Nobody fences the transactional ids of workers that are gone.
    NoFencing,
    /// They are looked for only when the group changes, not when somebody begins a transaction who is none of its members any more.
    OnlyAtChanges,
    /// Offsets are read although a transaction that may move them is open.
    UnstableOffsets,
    /// A transactional id is used again after a time-out without a new producer epoch.
    ReusedId,
    /// It is used again only with a new epoch, but the other one commits before that.
    LateRefresh,
    /// Epochs commit in any order.
    AnyOrder,
    /// Epochs name partitions that were given up.
    RevokedOffsets,
    /// A commit without an answer is taken for one that failed.
    GuessedOutcome,
    /// The broker lets offsets take effect in the order of the markers.
    MarkerOrder,
}

/// Everything at one moment.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
struct World {
    workers: [Worker; W],
    brokers: Brokers,
    /// Requests whose senders have given them up, and that may still arrive.
    strays: Vec<(u8, Request)>,
    faults_left: u8,
}

/// What happens.
#[derive(Clone, Copy, Debug)]
#[expect(dead_code, reason = "what a step holds is only printed, as part of a path")]
enum Step {
    /// A worker asks, and has the answer.
    Asks(usize, Request),
    /// A worker ends its newest epoch.
    Closes(usize),
    /// The markers of a transaction arrive.
    MarkersOf(usize),
    /// The group misses a worker that is gone.
    SessionEndsOf(usize),
    /// A worker is started again.
    Restarts(usize),
    /// The broker does what it is asked for, and the answer is lost.
    LosesAnswer(usize, Request),
    /// A request is given up, but may arrive later.
    GivesUp(usize, Request),
    /// It arrives.
    Arrives(usize, Request),
    /// A worker dies.
    Dies(usize),
    /// The group gives up a worker that is alive, or an administrator removes it.
    Expels(usize),
    /// The brokers give up an open transaction.
    TimesOut(usize),
}

impl Step {
    fn kind(&self) -> &'static str {
        match self {
            Self::Asks(_, request) => request.name(),
            Self::Closes(_) => "closes",
            Self::MarkersOf(_) => "markers",
            Self::SessionEndsOf(_) => "session ends",
            Self::Restarts(_) => "restarts",
            Self::LosesAnswer(..) => "loses an answer",
            Self::GivesUp(..) => "gives up",
            Self::Arrives(..) => "arrives late",
            Self::Dies(_) => "dies",
            Self::Expels(_) => "expels",
            Self::TimesOut(_) => "times out",
        }
    }
}

impl Setting {
    /// What a worker does, and what can become of it.
    fn worker_steps(&self, world: &World, me: usize, out: &mut Vec<Next<World, Step>>) {
        let worker = &world.workers[me];
        if worker.can_close(self) {
            let mut state = world.clone();
            state.workers[me].close(self);
            out.push(Next { step: Step::Closes(me), is_fair: true, state });
        }
        for request in worker.requests(self, me) {
            let mut state = world.clone();
            state.workers[me].before(self, &request);
            let before = state.clone();
            match state.brokers.handle(self, me, request) {
                Err(Refusal::Later) => {}
                Ok(reply) => state.workers[me].answered(self, me, &request, reply),
                Err(refusal) => state.workers[me].refused(self, &request, refusal),
            }
            if world.faults_left > 0 && *world != state {
                self.lose(&before, me, request, out);
            }
            push(world, Step::Asks(me, request), true, state, out);
        }
    }

    /// What else can become of a request.
    fn lose(&self, before: &World, me: usize, request: Request, out: &mut Vec<Next<World, Step>>) {
        let mut state = before.clone();
        state.faults_left -= 1;
        state.workers[me].unheard(self, &request);
        // The group's own requests change nothing when they come late: their life or their view is over.
        let may_stray = matches!(
            request,
            Request::InitProducerId { .. }
                | Request::Produce { .. }
                | Request::TxnOffsetCommit { .. }
                | Request::EndTxn { .. }
        );
        if may_stray {
            let mut later = state.clone();
            later.strays.push((u8::try_from(me).expect("it is there"), request));
            later.strays.sort_unstable();
            out.push(Next { step: Step::GivesUp(me, request), is_fair: false, state: later });
        }
        if state.brokers.handle(self, me, request).is_ok() && !matches!(request, Request::OffsetFetch { .. })
        {
            out.push(Next { step: Step::LosesAnswer(me, request), is_fair: false, state });
        }
    }

    fn broker_steps(&self, world: &World, out: &mut Vec<Next<World, Step>>) {
        for id in 0..IDS {
            if world.brokers.ids[id].state == State::PrepareCommit {
                let mut state = world.clone();
                state.brokers.complete(self, id);
                push(world, Step::MarkersOf(id), true, state, out);
            }
        }
        for worker in 0..self.workers {
            if !world.workers[worker].is_up() && world.brokers.group.members[worker].is_some() {
                let mut state = world.clone();
                state.brokers.group.remove(worker);
                push(world, Step::SessionEndsOf(worker), true, state, out);
            }
        }
        for index in 0..world.strays.len() {
            let mut state = world.clone();
            let (from, request) = state.strays.remove(index);
            let _ = state.brokers.handle(self, usize::from(from), request);
            push(world, Step::Arrives(usize::from(from), request), false, state, out);
        }
    }

    fn faults(&self, world: &World, out: &mut Vec<Next<World, Step>>) {
        let nobody = world.workers[..self.workers].iter().all(|worker| !worker.is_up());
        for me in 0..self.workers {
            let mut state = world.clone();
            if !world.workers[me].is_up() {
                state.workers[me].begin(self);
                // The others must be able to do the work alone.
                push(world, Step::Restarts(me), nobody, state, out);
            } else if world.faults_left > 0 {
                state.faults_left -= 1;
                state.workers[me].end();
                push(world, Step::Dies(me), false, state, out);
            }
        }
        if world.faults_left == 0 {
            return;
        }
        let mut less = world.clone();
        less.faults_left -= 1;
        for worker in 0..self.workers {
            if world.workers[worker].is_up() && world.brokers.group.members[worker].is_some() {
                let mut state = less.clone();
                state.brokers.group.remove(worker);
                push(world, Step::Expels(worker), false, state, out);
            }
        }
        for id in (0..IDS).filter(|&id| world.brokers.ids[id].state == State::Ongoing) {
            let mut state = less.clone();
            state.brokers.time_out(id);
            push(world, Step::TimesOut(id), false, state, out);
        }
    }
}

impl Setting {
    /// The promises that do not hold at this moment.
    fn broken_promises(&self, world: &World) -> Vec<&'static str> {
        let brokers = &world.brokers;
        let mut broken = Vec::new();
        let mut promise = |is_kept: bool, name| {
            if !is_kept {
                broken.push(name);
            }
        };
        for partition in 0..self.partitions {
            let mine = |row: &&Row| row.is_committed && usize::from(row.partition) == partition;
            let records: Vec<u8> = brokers.log.iter().filter(mine).map(|row| row.record).collect();
            let times = |record: u8| records.iter().filter(|&&it| it == record).count();
            promise((0..self.records).all(|record| times(record) <= 1), TWICE);
            let decided = brokers.decided(partition);
            promise((0..decided).all(|record| times(record) > 0), LOST);
            promise(records.is_sorted(), ORDER);
            promise(records.iter().copied().eq(0..decided), OFFSETS);
        }
        promise(!brokers.zombie_seen, ZOMBIE);
        let is_calm = self.faults == world.faults_left;
        promise(!is_calm || world.workers.iter().all(|worker| worker.life == 0), CALM);
        broken
    }
}

/// A step that changes nothing is none.
fn push(world: &World, step: Step, is_fair: bool, state: World, out: &mut Vec<Next<World, Step>>) {
    if *world != state {
        out.push(Next { step, is_fair, state });
    }
}

impl Model for Setting {
    type State = World;
    type Step = Step;

    fn kind(step: &Step) -> &'static str {
        step.kind()
    }

    fn start(&self) -> World {
        World {
            workers: std::array::from_fn(|it| match it < self.workers {
                true => Worker::started(),
                false => Worker::default(),
            }),
            brokers: Brokers::new(),
            strays: Vec::new(),
            faults_left: self.faults,
        }
    }

    fn steps(&self, world: &World) -> Vec<Next<World, Step>> {
        let mut out = Vec::new();
        for me in 0..self.workers {
            self.worker_steps(world, me, &mut out);
        }
        self.broker_steps(world, &mut out);
        self.faults(world, &mut out);
        out
    }

    fn broken(&self, world: &World) -> Option<&'static str> {
        let broken = self.broken_promises(world);
        broken.into_iter().find(|&it| self.promise.is_none_or(|promise| promise == it))
    }

    fn is_done(&self, world: &World) -> bool {
        let brokers = &world.brokers;
        let all = self.partitions * usize::from(self.records);
        // A row that is neither committed nor aborted would hold up the last stable offset.
        brokers.log.iter().all(|row| row.is_committed)
            && brokers.log.len() == all
            && brokers.committed[..self.partitions].iter().all(|&offset| offset == self.records)
    }
}

const TWICE: &str = "no record's output is committed twice";
const LOST: &str = "no record is lost";
const ORDER: &str = "the output of a partition is in its order";
const OFFSETS: &str = "committed offsets say exactly which records have a committed output";
const ZOMBIE: &str = "nothing that a removed member sends becomes visible";
const CALM: &str = "no worker starts again where there was no fault";
