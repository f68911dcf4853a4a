//! The state of a transaction, request by request, and as a world in which everything happens in any order.

use super::record::{self, Record};
use super::state::{End, Init, NO_EPOCH, Part, Phase, Protocol, Transaction};
use crate::error::Code;
use crate::random::Random;
use std::collections::{BTreeMap, BTreeSet};

fn none() -> impl FnMut() -> Result<i64, Code> {
    || Err(Code::UnknownServerError)
}

fn part(number: i32) -> Part {
    ("t".into(), number)
}

fn begun() -> Transaction {
    match Transaction::new(7, 60_000, 0).init(None, 60_000, 0, &mut none()) {
        Ok(Init::Begin(state)) => state,
        other => panic!("{other:?}"),
    }
}

fn open(protocol: Protocol) -> Transaction {
    begun().add((7, 0), &[part(0)], protocol, 5).unwrap().unwrap()
}

fn ended(state: &Transaction, epoch: i16, commit: bool, protocol: Protocol) -> Result<End, Code> {
    state.end((state.producer_id, epoch), commit, protocol, 9, &mut || Ok(8))
}

fn prepared(outcome: Result<End, Code>) -> Transaction {
    match outcome {
        Ok(End::Prepare(state)) => state,
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_start_of_a_producer_has_the_next_epoch_and_fences_the_one_before() {
    let first = begun();
    assert_eq!(first.told(), (7, 0));
    let Ok(Init::Begin(second)) = first.init(None, 60_000, 0, &mut none()) else { panic!() };
    assert_eq!(second.told(), (7, 1));
    assert_eq!(second.add((7, 0), &[part(0)], Protocol::V1, 0), Err(Code::ProducerFenced));
    assert_eq!(second.add((6, 1), &[part(0)], Protocol::V1, 0), Err(Code::InvalidProducerIdMapping));
}

#[test]
fn a_producer_that_says_who_it_is_goes_on_and_a_repetition_changes_nothing() {
    let first = begun();
    let again = |state: &Transaction, epoch| state.init(Some((7, epoch)), 60_000, 0, &mut none());
    let Ok(Init::Begin(second)) = again(&first, 0) else { panic!() };
    assert_eq!(second.told(), (7, 1));
    let Ok(Init::Begin(repeated)) = again(&second, 0) else { panic!() };
    assert_eq!(repeated.told(), (7, 1));
    let Ok(Init::Begin(other)) = second.init(None, 60_000, 0, &mut none()) else { panic!() };
    assert_eq!(again(&other, 0), Err(Code::ProducerFenced));
    assert_eq!(other.init(Some((3, 0)), 60_000, 0, &mut none()), Err(Code::ProducerFenced));
}

#[test]
fn when_the_epochs_run_out_there_is_a_new_producer_id() {
    let mut last = begun();
    last.epoch = i16::MAX - 1;
    let Ok(Init::Begin(next)) = last.init(None, 60_000, 0, &mut || Ok(8)) else { panic!() };
    assert_eq!((next.told(), next.previous_id), ((8, 0), 7));
    // The one that asked has not got the answer and asks again.
    let Ok(Init::Begin(next)) = last.init(Some((7, i16::MAX - 1)), 60_000, 0, &mut || Ok(8)) else {
        panic!()
    };
    let Ok(Init::Begin(repeated)) = next.init(Some((7, i16::MAX - 1)), 60_000, 0, &mut none()) else {
        panic!()
    };
    assert_eq!(repeated.told(), (8, 0));

    let mut open = open(Protocol::V2);
    open.epoch = i16::MAX - 1;
    let decided = prepared(ended(&open, i16::MAX - 1, true, Protocol::V2));
    assert_eq!((decided.told(), decided.epoch, decided.producer_id), ((8, 0), i16::MAX, 7));
    let complete = decided.complete(10);
    assert_eq!((complete.producer_id, complete.epoch, complete.previous_id), (8, 0, 7));
    let again = complete.end((7, i16::MAX - 1), true, Protocol::V2, 11, &mut none());
    assert_eq!(again, Ok(End::Again((8, 0))));
}

#[test]
fn what_is_open_is_aborted_before_the_next_begins() {
    let Ok(Init::AbortFirst(aborted)) = open(Protocol::V1).init(None, 60_000, 9, &mut none()) else {
        panic!()
    };
    assert_eq!((aborted.phase, aborted.epoch), (Phase::PrepareAbort, 1));
    assert_eq!(aborted.init(None, 60_000, 9, &mut none()), Err(Code::ConcurrentTransactions));
    assert_eq!(ended(&aborted, 0, true, Protocol::V1), Err(Code::ProducerFenced));
    let Ok(Init::Begin(next)) = aborted.complete(9).init(None, 60_000, 9, &mut none()) else { panic!() };
    assert_eq!(next.told(), (7, 2));
}

#[test]
fn an_end_that_is_repeated_is_answered_again_and_a_contradiction_refused() {
    for (protocol, told) in [(Protocol::V1, (7, 0)), (Protocol::V2, (7, 1))] {
        let decided = prepared(ended(&open(protocol), 0, true, protocol));
        assert_eq!(decided.told(), told);
        assert_eq!(ended(&decided, 0, true, protocol), Err(Code::ConcurrentTransactions));
        assert_eq!(ended(&decided, 0, false, protocol), Err(Code::InvalidTxnState));
        let complete = decided.complete(10);
        assert_eq!(ended(&complete, 0, true, protocol), Ok(End::Again(told)));
        assert_eq!(ended(&complete, 0, false, protocol), Err(Code::InvalidTxnState));
    }
}

#[test]
fn an_end_of_the_other_version_is_no_repetition() {
    let first = prepared(ended(&open(Protocol::V1), 0, true, Protocol::V1)).complete(10);
    assert_eq!(ended(&first, 0, true, Protocol::V1), Ok(End::Again((7, 0))));
    assert_eq!(ended(&first, 0, true, Protocol::V2), Err(Code::InvalidTxnState));
    assert_eq!(prepared(ended(&first, 0, false, Protocol::V2)).told(), (7, 1));
    let second = prepared(ended(&open(Protocol::V2), 0, true, Protocol::V2)).complete(10);
    assert_eq!(ended(&second, 0, true, Protocol::V2), Ok(End::Again((7, 1))));
    assert_eq!(ended(&second, 0, true, Protocol::V1), Err(Code::ProducerFenced));
    assert_eq!(ended(&second, 1, true, Protocol::V1), Ok(End::Again((7, 1))));
}

#[test]
fn with_version_2_a_late_request_of_an_earlier_transaction_is_fenced() {
    let complete = prepared(ended(&open(Protocol::V2), 0, true, Protocol::V2)).complete(10);
    let next = complete.add((7, 1), &[part(1)], Protocol::V2, 11).unwrap().unwrap();
    assert_eq!(next.add((7, 0), &[part(2)], Protocol::V2, 11), Err(Code::ProducerFenced));
    assert_eq!(ended(&next, 0, true, Protocol::V2), Err(Code::ProducerFenced));
    assert_eq!(next.started_ms, 11);
}

#[test]
fn with_version_2_a_transaction_that_never_began_may_be_aborted_but_not_committed() {
    assert_eq!(ended(&begun(), 0, true, Protocol::V2), Err(Code::InvalidTxnState));
    assert_eq!(ended(&begun(), 0, false, Protocol::V1), Err(Code::InvalidTxnState));
    let aborted = prepared(ended(&begun(), 0, false, Protocol::V2));
    assert_eq!((aborted.phase, aborted.told()), (Phase::PrepareAbort, (7, 1)));
    let again = prepared(ended(&aborted.complete(9), 1, false, Protocol::V2));
    assert_eq!(again.told(), (7, 2));
    assert_eq!(ended(&aborted.complete(9), 1, true, Protocol::V2), Err(Code::InvalidTxnState));
}

#[test]
fn a_partition_is_in_the_transaction_only_while_it_is_open() {
    let open = open(Protocol::V1);
    assert_eq!(open.verify((7, 0), &part(0)), Ok(()));
    assert_eq!(open.verify((7, 0), &part(1)), Err(Code::TransactionAbortable));
    assert_eq!(open.add((7, 0), &[part(0)], Protocol::V1, 6), Ok(None));
    let decided = prepared(ended(&open, 0, true, Protocol::V1));
    assert_eq!(decided.verify((7, 0), &part(0)), Err(Code::ConcurrentTransactions));
    assert_eq!(decided.add((7, 0), &[part(1)], Protocol::V1, 6), Err(Code::ConcurrentTransactions));
    assert_eq!(decided.complete(9).verify((7, 0), &part(0)), Err(Code::TransactionAbortable));
}

#[test]
fn a_state_is_read_from_the_log_as_it_was_written() {
    for state in [begun(), open(Protocol::V1), prepared(ended(&open(Protocol::V2), 0, true, Protocol::V2))] {
        let entry = record::entry("id", Some(&state));
        let read = record::parse(&entry.key, entry.value.as_deref());
        assert_eq!(read, Ok(Record::State("id".to_owned(), Some(state))));
        let value = entry.value.unwrap();
        for cut in 2..value.len() {
            assert!(record::parse(&entry.key, Some(&value[..cut])).is_err(), "cut at {cut}");
        }
    }
    let gone = record::entry("id", None);
    assert_eq!(record::parse(&gone.key, None), Ok(Record::State("id".to_owned(), None)));
    let ids = record::ids(5_000);
    assert_eq!(record::parse(&ids.key, ids.value.as_deref()), Ok(Record::Ids(5_000)));
}

/// What a record in a partition has become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Open,
    Committed,
    Aborted,
}

#[derive(Clone, Debug)]
struct Written {
    /// The transaction of its producer, as that counts them.
    tag: u64,
    producer_id: i64,
    fate: Fate,
}

#[derive(Clone, Debug, Default)]
struct Partition {
    written: Vec<Written>,
    epochs: BTreeMap<i64, i16>,
}

#[derive(Clone, Copy, Debug)]
struct Client {
    identity: (i64, i16),
    tag: u64,
    asked: Option<bool>,
    lives: bool,
}

#[derive(Clone, Copy, Debug)]
enum Late {
    Write(usize, (i64, i16), u64),
    End((i64, i16), bool),
}

/// What goes wrong on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plant {
    Nothing,
    /// Markers are written before the decision is on the disk, and a crash takes the decision.
    HastyMarkers,
    /// A partition takes writes without asking whether the transaction is open.
    NoVerification,
    /// Starting a producer does not raise the epoch of what was open.
    NoFence,
    /// Requests come late although the epoch does not change with each transaction.
    LateWithVersion1,
}

/// One transactional id, its coordinator, three partitions, and producers that replace each other.
struct World {
    random: Random,
    protocol: Protocol,
    plant: Plant,
    state: Option<Transaction>,
    /// What is on the disk.
    durable: Option<Transaction>,
    partitions: Vec<Partition>,
    clients: Vec<Client>,
    newest: usize,
    late: Vec<Late>,
    tags: u64,
    ids: i64,
    told: BTreeMap<u64, bool>,
    wanted: BTreeSet<u64>,
    faults: Vec<String>,
    seen: BTreeMap<&'static str, u64>,
}

impl World {
    fn new(seed: u64, protocol: Protocol, plant: Plant) -> Self {
        Self {
            random: Random(seed),
            protocol,
            plant,
            state: None,
            durable: None,
            partitions: vec![Partition::default(); 3],
            clients: Vec::new(),
            newest: 0,
            late: Vec::new(),
            tags: 0,
            ids: 1,
            told: BTreeMap::new(),
            wanted: BTreeSet::new(),
            faults: Vec::new(),
            seen: BTreeMap::new(),
        }
    }

    fn saw(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    /// The next state, through the bytes that lie on the disk.
    fn store(&mut self, next: Transaction) {
        let entry = record::entry("id", Some(&next));
        let Ok(Record::State(_, Some(read))) = record::parse(&entry.key, entry.value.as_deref()) else {
            panic!("what was written cannot be read");
        };
        self.state = Some(next);
        self.durable = Some(read);
    }

    fn tag(&mut self) -> u64 {
        self.tags += 1;
        self.tags
    }

    fn init(&mut self, rejoin: Option<usize>) {
        let id = self.ids;
        let present = self.state.clone().unwrap_or_else(|| Transaction::new(id, 60_000, 0));
        self.ids += 1;
        let expected = rejoin.map(|at| self.clients[at].identity);
        let mut ids = self.ids;
        let outcome = present.init(expected, 60_000, 0, &mut || {
            ids += 1;
            Ok(ids)
        });
        self.ids = ids;
        match outcome {
            Ok(Init::Begin(next)) => {
                let identity = next.told();
                self.store(next);
                let client = Client { identity, tag: self.tag(), asked: None, lives: true };
                match rejoin {
                    Some(at) => self.clients[at] = client,
                    None => {
                        self.clients.push(client);
                        self.newest = self.clients.len() - 1;
                    }
                }
                self.saw("init");
            }
            Ok(Init::AbortFirst(mut next)) => {
                if self.plant == Plant::NoFence {
                    next.epoch = present.epoch;
                }
                self.store(next);
                self.saw("abort at init");
            }
            Err(_) => {}
        }
    }

    fn write(&mut self, at: usize, identity: (i64, i16), tag: u64) -> Option<Result<(), Code>> {
        let number = at % 3;
        let state = self.state.clone()?;
        let part = part(number as i32);
        let outcome = match (self.protocol, self.plant) {
            (_, Plant::NoVerification) => Ok(None),
            (Protocol::V2, _) => state.add(identity, std::slice::from_ref(&part), Protocol::V2, 1),
            (Protocol::V1, _) => match state.add(identity, std::slice::from_ref(&part), Protocol::V1, 1) {
                Ok(Some(next)) => next.verify(identity, &part).map(|()| Some(next)),
                Ok(None) => state.verify(identity, &part).map(|()| None),
                Err(error) => Err(error),
            },
        };
        let next = match outcome {
            Ok(next) => next,
            Err(error) => return Some(Err(error)),
        };
        if let Some(next) = next {
            self.store(next);
        }
        let partition = &mut self.partitions[number];
        let epoch = partition.epochs.entry(identity.0).or_insert(identity.1);
        if identity.1 < *epoch {
            return Some(Err(Code::InvalidProducerEpoch));
        }
        *epoch = identity.1;
        partition.written.push(Written { tag, producer_id: identity.0, fate: Fate::Open });
        self.saw("write");
        Some(Ok(()))
    }

    fn client_writes(&mut self, at: usize) {
        let client = self.clients[at];
        if !client.lives || client.asked.is_some() {
            return;
        }
        let number = self.random.below(3) as usize;
        match self.write(number, client.identity, client.tag) {
            Some(Ok(())) if at != self.newest => {
                self.faults.push(format!("client {at} writes though client {} has its place", self.newest));
            }
            Some(Err(error)) if error != Code::ConcurrentTransactions => self.clients[at].lives = false,
            _ => {}
        }
        if self.random.one_in(6) {
            self.late.push(Late::Write(number, client.identity, client.tag));
        }
    }

    fn end(&mut self, identity: (i64, i16), commit: bool) -> Option<Result<(i64, i16), Code>> {
        let state = self.state.clone()?;
        let mut ids = self.ids;
        let outcome = state.end(identity, commit, self.protocol, 2, &mut || {
            ids += 1;
            Ok(ids)
        });
        self.ids = ids;
        Some(match outcome {
            Ok(End::Again(told)) => Ok(told),
            Ok(End::Prepare(next)) => {
                let told = next.told();
                if self.plant == Plant::HastyMarkers {
                    self.state = Some(next);
                    self.mark(false);
                } else {
                    self.store(next);
                }
                self.saw(if commit { "commit" } else { "abort" });
                Ok(told)
            }
            Err(error) => Err(error),
        })
    }

    fn client_ends(&mut self, at: usize) {
        let client = self.clients[at];
        if !client.lives {
            return;
        }
        let wrote = self.has_written(client.tag);
        if !wrote && self.protocol == Protocol::V1 {
            return;
        }
        let commit = client.asked.unwrap_or_else(|| wrote && self.random.below(3) > 0);
        self.clients[at].asked = Some(commit);
        if commit {
            self.wanted.insert(client.tag);
        }
        let outcome = self.end(client.identity, commit);
        if self.random.one_in(5) {
            self.saw("lost answer");
            self.late.push(Late::End(client.identity, commit));
            return;
        }
        match outcome {
            Some(Ok(identity)) => {
                self.told.insert(client.tag, commit);
                if self.protocol == Protocol::V2 {
                    self.clients[at].identity = identity;
                }
                (self.clients[at].tag, self.clients[at].asked) = (self.tag(), None);
            }
            Some(Err(Code::ConcurrentTransactions)) | None => {}
            Some(Err(_)) => self.clients[at].lives = false,
        }
    }

    fn has_written(&self, tag: u64) -> bool {
        self.partitions.iter().any(|partition| partition.written.iter().any(|record| record.tag == tag))
    }

    /// Writes markers, to all partitions or only to some.
    fn mark(&mut self, all: bool) -> bool {
        let Some(state) = self.state.clone().filter(|state| state.phase.is_prepared()) else { return false };
        let fate = if state.phase == Phase::PrepareCommit { Fate::Committed } else { Fate::Aborted };
        for (_, number) in &state.partitions {
            if !all && self.random.one_in(2) {
                continue;
            }
            let partition = &mut self.partitions[*number as usize];
            let epoch = partition.epochs.entry(state.producer_id).or_insert(NO_EPOCH);
            if *epoch > state.epoch {
                continue;
            }
            *epoch = state.epoch;
            let mine =
                |record: &&mut Written| record.producer_id == state.producer_id && record.fate == Fate::Open;
            partition.written.iter_mut().filter(mine).for_each(|record| record.fate = fate);
        }
        true
    }

    fn finish(&mut self) {
        if self.mark(true)
            && let Some(state) = self.state.clone()
        {
            self.store(state.complete(3));
            self.saw("finished");
        }
    }

    fn late(&mut self) {
        let may = self.protocol == Protocol::V2 || self.plant == Plant::LateWithVersion1;
        if self.late.is_empty() || !may {
            return;
        }
        let at = self.random.below(self.late.len() as u64) as usize;
        self.saw("late");
        match self.late.remove(at) {
            Late::Write(number, identity, tag) => {
                // The same batch again: a partition knows it by its sequence, unless its transaction is over.
                let again = self.partitions[number]
                    .written
                    .iter()
                    .any(|record| record.tag == tag && record.fate == Fate::Open);
                if !again {
                    let _ = self.write(number, identity, tag);
                }
            }
            Late::End(identity, commit) => {
                let _ = self.end(identity, commit);
            }
        }
    }

    fn step(&mut self) {
        let clients = self.clients.len() as u64;
        match self.random.below(24) {
            0 => self.init(None),
            1 if clients > 0 => {
                let at = self.random.below(clients) as usize;
                if self.clients[at].lives && self.clients[at].asked.is_none() {
                    self.init(Some(at));
                }
            }
            2 => {
                self.mark(false);
            }
            3 | 4 => self.finish(),
            5 => {
                self.saw("crash");
                self.state = self.durable.clone();
            }
            6 => {
                let open = self.state.clone().filter(|state| state.phase == Phase::Ongoing);
                if let Some(state) = open.filter(|_| self.random.one_in(4)) {
                    self.saw("time-out");
                    self.store(state.fenced(4));
                }
            }
            7 => self.late(),
            8..=11 if clients > 0 => {
                let at = self.random.below(clients) as usize;
                self.client_ends(at);
            }
            _ if clients > 0 => {
                // Mostly the newest, but those that were replaced do not know it.
                let at =
                    if self.random.one_in(4) { self.random.below(clients) as usize } else { self.newest };
                self.client_writes(at);
            }
            _ => self.init(None),
        }
    }

    /// Everything comes to its end; what is left is judged.
    fn judge(mut self) -> (Vec<String>, BTreeMap<&'static str, u64>) {
        self.finish();
        if let Some(state) = self.state.clone().filter(|state| state.phase == Phase::Ongoing) {
            self.store(state.fenced(4));
        }
        self.finish();
        let mut fates: BTreeMap<u64, BTreeSet<&'static str>> = BTreeMap::new();
        for record in self.partitions.iter().flat_map(|partition| &partition.written) {
            let fate = match record.fate {
                Fate::Open => "open",
                Fate::Committed => "committed",
                Fate::Aborted => "aborted",
            };
            fates.entry(record.tag).or_default().insert(fate);
        }
        for (tag, fates) in &fates {
            let told = self.told.get(tag);
            let committed = fates.contains("committed");
            if fates.len() > 1 {
                self.faults.push(format!("transaction {tag} is torn: {fates:?}"));
            }
            if fates.contains("open") {
                self.faults.push(format!("transaction {tag} hangs"));
            }
            if told == Some(&true) && !committed || told == Some(&false) && committed {
                self.faults.push(format!("transaction {tag} was told {told:?} and is {fates:?}"));
            }
            if committed && !self.wanted.contains(tag) {
                self.faults.push(format!("transaction {tag} is committed though nobody asked for it"));
            }
        }
        (self.faults, self.seen)
    }
}

fn run(seed: u64, protocol: Protocol, plant: Plant) -> (Vec<String>, BTreeMap<&'static str, u64>) {
    let mut world = World::new(seed, protocol, plant);
    for _ in 0..200 {
        world.step();
    }
    world.judge()
}

#[test]
fn transactions_are_whole_or_nothing_in_any_order_of_events() {
    let mut seen: BTreeMap<&'static str, u64> = BTreeMap::new();
    for protocol in [Protocol::V1, Protocol::V2] {
        for seed in 0..3_000 {
            let (faults, events) = run(seed, protocol, Plant::Nothing);
            assert!(faults.is_empty(), "seed {seed}, {protocol:?}: {faults:#?}");
            events.into_iter().for_each(|(what, count)| *seen.entry(what).or_default() += count);
        }
    }
    println!("{seen:?}");
    for what in
        ["init", "abort at init", "write", "commit", "abort", "lost answer", "late", "crash", "time-out"]
    {
        assert!(seen.get(what).is_some_and(|count| *count > 1_000), "{what}: {seen:?}");
    }
}

#[test]
fn planted_mistakes_are_found() {
    let found = |plant, protocol| (0..500).any(|seed| !run(seed, protocol, plant).0.is_empty());
    assert!(found(Plant::HastyMarkers, Protocol::V2));
    assert!(found(Plant::NoVerification, Protocol::V1));
    assert!(found(Plant::NoFence, Protocol::V1));
    // What KIP-890 is for.
    assert!(found(Plant::LateWithVersion1, Protocol::V1));
}
