//! Consumer groups, heartbeat by heartbeat, and as a world of members that come, go and fall silent in any order.

use super::*;
use crate::random::Random;

const A: Uuid = Uuid::from_u128(1);
const B: Uuid = Uuid::from_u128(2);
const TIMES: Times = Times { session_ms: 45_000, interval_ms: 5_000 };

struct Names(BTreeMap<&'static str, (Uuid, u32)>, u64);

impl Catalog for Names {
    fn version(&self) -> u64 {
        self.1
    }

    fn topic(&self, name: &str) -> Option<(Uuid, u32)> {
        self.0.get(name).copied()
    }

    fn each(&self, visit: &mut dyn FnMut(&str, Uuid, u32)) {
        self.0.iter().for_each(|(name, (id, count))| visit(name, *id, *count));
    }
}

fn catalog() -> Names {
    Names([("a", (A, 4)), ("b", (B, 2))].into(), 1)
}

fn joins(id: &str) -> Beat {
    Beat {
        member_id: id.to_owned(),
        rebalance_timeout_ms: 60_000,
        topics: Some(["a".to_owned()].into()),
        owned: Some(Parts::new()),
        ..Beat::default()
    }
}

fn beats(id: &str, epoch: i32, owned: Option<Parts>) -> Beat {
    Beat { member_id: id.to_owned(), epoch, rebalance_timeout_ms: -1, owned, ..Beat::default() }
}

fn of(partitions: &[i32]) -> Parts {
    if partitions.is_empty() { Parts::new() } else { [(A, partitions.iter().copied().collect())].into() }
}

fn beat(group: &mut Group, beat: &Beat) -> Beaten {
    beat.check().unwrap();
    group.heartbeat(beat, &catalog(), 0).unwrap().0
}

fn refused(group: &mut Group, beat: &Beat) -> ResponseError {
    group.clone().heartbeat(beat, &catalog(), 0).unwrap_err().0
}

#[test]
fn the_first_member_has_everything_at_once() {
    let mut group = Group::new("g", TIMES);
    let answer = beat(&mut group, &joins("m"));
    assert_eq!((answer.epoch, answer.assignment), (1, Some(of(&[0, 1, 2, 3]))));
    assert_eq!(group.state(), "Stable");
    let again = beat(&mut group, &beats("m", 1, None));
    assert_eq!((again.epoch, again.assignment), (1, None), "nothing is said twice");
}

#[test]
fn a_partition_is_given_only_after_its_owner_let_go() {
    let mut group = Group::new("g", TIMES);
    beat(&mut group, &joins("m"));
    let second = beat(&mut group, &joins("n"));
    assert_eq!((second.epoch, second.assignment), (2, Some(Parts::new())));
    assert_eq!(group.state(), "Reconciling");
    let first = beat(&mut group, &beats("m", 1, None));
    assert_eq!(
        (first.epoch, first.assignment),
        (1, Some(of(&[0, 1]))),
        "it keeps its epoch until it has let go"
    );
    assert_eq!(beat(&mut group, &beats("n", 2, None)).assignment, None);
    assert_eq!(beat(&mut group, &beats("m", 1, Some(of(&[0, 1, 2, 3])))).epoch, 1);
    assert_eq!(beat(&mut group, &beats("m", 1, Some(of(&[0, 1])))).epoch, 2);
    let second = beat(&mut group, &beats("n", 2, None));
    assert_eq!(second.assignment, Some(of(&[2, 3])));
    assert_eq!(group.state(), "Stable");
}

#[test]
fn an_epoch_must_be_the_members_or_the_one_before_with_no_more_than_it_has() {
    let mut group = Group::new("g", TIMES);
    beat(&mut group, &joins("m"));
    assert_eq!(refused(&mut group, &beats("m", 2, None)), ResponseError::FencedMemberEpoch);
    assert_eq!(refused(&mut group, &beats("x", 1, None)), ResponseError::UnknownMemberId);
    let again = beat(&mut group, &joins("m"));
    assert_eq!(again.epoch, 1, "the answer to its first was lost");
    beat(&mut group, &joins("n"));
    beat(&mut group, &beats("m", 1, None));
    beat(&mut group, &beats("m", 1, Some(of(&[0, 1]))));
    assert_eq!(beat(&mut group, &beats("m", 1, Some(of(&[0, 1])))).epoch, 2, "its answer was lost");
    assert_eq!(refused(&mut group, &beats("m", 1, Some(of(&[2])))), ResponseError::FencedMemberEpoch);
    assert_eq!(group.may_commit("m", 1), Err(ResponseError::StaleMemberEpoch));
    assert_eq!(group.may_commit("m", 2), Ok(()));
    assert_eq!(group.may_commit("", -1), Err(ResponseError::UnknownMemberId));
}

#[test]
fn a_static_member_that_comes_back_has_what_it_had() {
    let mut group = Group::new("g", TIMES);
    let with_instance = |id: &str| Beat { instance_id: Some("i".to_owned()), ..joins(id) };
    beat(&mut group, &with_instance("m"));
    beat(&mut group, &joins("n"));
    assert_eq!(refused(&mut group, &with_instance("m2")), ResponseError::UnreleasedInstanceId);
    let leave = Beat { instance_id: Some("i".to_owned()), ..beats("m", LEAVES_FOR_NOW, None) };
    assert_eq!(beat(&mut group, &leave).epoch, LEAVES_FOR_NOW);
    let epoch = group.epoch;
    let back = beat(&mut group, &with_instance("m2"));
    assert_eq!((back.assignment, group.epoch), (Some(of(&[0, 1])), epoch), "nobody else notices");
    let former = Beat { instance_id: Some("i".to_owned()), ..beats("m", 1, None) };
    assert_eq!(refused(&mut group, &former), ResponseError::FencedInstanceId);
}

#[test]
fn a_pattern_chooses_topics_also_those_that_come_later() {
    let mut group = Group::new("g", TIMES);
    let pattern = Beat { topics: None, regex: Some("[ab]".to_owned()), ..joins("m") };
    let answer = beat(&mut group, &pattern);
    assert_eq!(answer.assignment.unwrap().keys().copied().collect::<Vec<_>>(), [A, B]);
    let more = Names([("a", (A, 6)), ("b", (B, 2)), ("ab", (Uuid::from_u128(9), 1))].into(), 2);
    let (answer, _) = group.heartbeat(&beats("m", 1, None), &more, 0).unwrap();
    assert_eq!(answer.epoch, 2);
    assert_eq!(answer.assignment.unwrap()[&A].len(), 6);
    let bad = Beat { regex: Some("[".to_owned()), ..joins("m") };
    assert_eq!(bad.check().unwrap_err().0, ResponseError::InvalidRegularExpression);
    let bad = Beat { assignor: Some("best".to_owned()), ..joins("m") };
    assert_eq!(bad.check().unwrap_err().0, ResponseError::UnsupportedAssignor);
}

#[test]
fn who_does_not_let_go_in_time_is_out() {
    let mut group = Group::new("g", TIMES);
    beat(&mut group, &Beat { rebalance_timeout_ms: 10_000, ..joins("m") });
    beat(&mut group, &joins("n"));
    beat(&mut group, &beats("m", 1, None));
    assert_eq!(group.deadline(), Some(10_000));
    assert!(!group.tick(10_000).is_empty());
    assert_eq!(beat(&mut group, &beats("n", 2, None)).assignment, Some(of(&[0, 1, 2, 3])));
    assert_eq!(refused(&mut group, &beats("m", 1, None)), ResponseError::UnknownMemberId);
}

/// What goes wrong on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plant {
    Nothing,
    /// A restart forgets what was to be let go and is still held.
    ForgottenRevocations,
    /// Members say that they have let go before they have.
    Liars,
}

/// A member as it sees itself.
#[derive(Clone, Debug, Default)]
struct Client {
    id: String,
    instance: Option<String>,
    epoch: i32,
    topics: BTreeSet<String>,
    owned: Parts,
    /// What it is to have; what it owns beyond must be let go first.
    target: Parts,
    silent: bool,
    /// It has not got an answer: it tells everything again, and is told everything.
    unsure: bool,
}

struct World {
    random: Random,
    plant: Plant,
    group: Group,
    /// The newest record of each key, as compaction leaves them.
    log: BTreeMap<(u8, String), Record>,
    clients: Vec<Client>,
    fresh: u64,
    now: i64,
    catalog: Names,
    seen: BTreeMap<&'static str, u64>,
    faults: Vec<String>,
}

impl World {
    fn new(seed: u64, plant: Plant) -> Self {
        Self {
            random: Random(seed),
            plant,
            group: Group::new("g", TIMES),
            log: BTreeMap::new(),
            clients: Vec::new(),
            fresh: 0,
            now: 0,
            catalog: catalog(),
            seen: BTreeMap::new(),
            faults: Vec::new(),
        }
    }

    fn saw(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    fn write(&mut self, records: Vec<Record>) {
        for record in records {
            let entry = record.entry();
            let record = Record::parse(&entry.key, entry.value.as_deref()).unwrap();
            let key = match &record {
                Record::Epoch { .. } => (0, String::new()),
                Record::TargetEpoch { .. } => (1, String::new()),
                Record::Member { member, .. } => (2, member.clone()),
                Record::Target { member, .. } => (3, member.clone()),
                Record::Current { member, .. } => (4, member.clone()),
                other => panic!("{other:?}"),
            };
            if entry.value.is_none() {
                self.log.remove(&key);
            } else {
                self.log.insert(key, record);
            }
        }
    }

    fn restart(&mut self) {
        self.saw("restart");
        let mut group = Group::new("g", TIMES);
        for record in self.log.values() {
            let mut record = record.clone();
            if self.plant == Plant::ForgottenRevocations
                && let Record::Current { value: Some(value), .. } = &mut record
            {
                value.revoking.clear();
            }
            group.load(record);
        }
        group.loaded(self.now);
        self.group = group;
    }

    fn beat(&mut self, at: usize) {
        let client = self.clients[at].clone();
        let mut beat = if client.epoch == 0 {
            let mut beat = joins(&client.id);
            if self.random.one_in(2) {
                beat.topics = Some(["a".to_owned(), "b".to_owned()].into());
            }
            self.clients[at].topics = beat.topics.clone().unwrap_or_default();
            beat
        } else {
            let lies = self.plant == Plant::Liars;
            let says = if lies { client.target.clone() } else { client.owned.clone() };
            beats(&client.id, client.epoch, Some(says))
        };
        if client.unsure && client.epoch != 0 {
            beat.rebalance_timeout_ms = 60_000;
            beat.topics = Some(client.topics.clone());
        }
        beat.instance_id.clone_from(&client.instance);
        let before = self.group.clone();
        match self.group.heartbeat(&beat, &self.catalog, self.now) {
            Ok((answer, records)) => {
                self.write(records);
                if self.random.one_in(6) {
                    self.saw("lost answer");
                    self.clients[at].unsure = true;
                    return;
                }
                let client = &mut self.clients[at];
                client.unsure = false;
                client.epoch = answer.epoch;
                if let Some(assignment) = answer.assignment {
                    client.target = assignment;
                    self.saw("assigned");
                }
                self.follow(at);
            }
            Err((error, _)) => {
                self.group = before;
                self.refused(at, error);
            }
        }
        self.no_two_owners();
    }

    /// A member lets go of what is not its any more, at once or later; then it takes what is new.
    fn follow(&mut self, at: usize) {
        let slow = self.random.one_in(3);
        let client = &mut self.clients[at];
        let revoked = without(&client.owned, &client.target);
        if !revoked.is_empty() && slow {
            return;
        }
        client.owned = client.target.clone();
    }

    fn refused(&mut self, at: usize, error: ResponseError) {
        let client = &mut self.clients[at];
        match error {
            ResponseError::UnknownMemberId | ResponseError::FencedMemberEpoch => {
                // It gives up everything and joins anew, under another name as new processes have.
                (client.owned, client.target, client.epoch) = (Parts::new(), Parts::new(), 0);
                self.fresh += 1;
                self.clients[at].id = format!("m{}", self.fresh);
                self.saw("fenced");
            }
            ResponseError::FencedInstanceId | ResponseError::UnreleasedInstanceId => {
                (client.silent, client.owned) = (true, Parts::new());
                self.saw("instance");
            }
            other => self.faults.push(format!("a heartbeat says {other:?}")),
        }
    }

    /// Members that the group has given up do not count: they learn it with their next heartbeat, and cannot commit.
    fn no_two_owners(&mut self) {
        let mut owners: BTreeMap<(Uuid, i32), &str> = BTreeMap::new();
        let lives = |client: &&Client| self.group.has_epoch(&client.id, client.epoch).is_ok();
        for client in self.clients.iter().filter(lives) {
            for (topic, partitions) in &client.owned {
                for partition in partitions {
                    if let Some(other) = owners.insert((*topic, *partition), &client.id) {
                        self.faults.push(format!("{partition} is {other}'s and {}'s", client.id));
                        return;
                    }
                }
            }
        }
    }

    fn step(&mut self) {
        self.now += self.random.below(2_000) as i64;
        if self.group.deadline().is_some_and(|at| at <= self.now) {
            let records = self.group.tick(self.now);
            self.write(records);
            self.saw("time-out");
        }
        let count = self.clients.len() as u64;
        match self.random.below(40) {
            0 if count < 6 => {
                self.fresh += 1;
                let instance = self.random.one_in(3).then(|| format!("i{}", self.random.below(3)));
                self.clients.push(Client { id: format!("m{}", self.fresh), instance, ..Client::default() });
            }
            1 if count > 0 => {
                let at = self.random.below(count) as usize;
                self.clients[at].silent = true;
                self.saw("silent");
            }
            2 | 3 if count > 0 => self.leave(),
            4 => self.restart(),
            5 if self.random.one_in(5) => {
                let (id, partitions) = self.catalog.0["a"];
                self.catalog.0.insert("a", (id, partitions + 1));
                self.catalog.1 += 1;
                self.saw("partitions");
            }
            6 => self.now += 20_000,
            7 if count > 0 => {
                let at = self.random.below(count) as usize;
                self.clients[at].silent = false;
            }
            _ if count > 0 => {
                let at = self.random.below(count) as usize;
                if !self.clients[at].silent {
                    self.follow(at);
                    self.beat(at);
                }
            }
            _ => {}
        }
    }

    fn leave(&mut self) {
        let at = self.random.below(self.clients.len() as u64) as usize;
        let client = self.clients.remove(at);
        let epoch = if client.instance.is_some() { LEAVES_FOR_NOW } else { LEAVES };
        let leave = Beat { instance_id: client.instance, ..beats(&client.id, epoch, None) };
        let before = self.group.clone();
        match self.group.heartbeat(&leave, &self.catalog, self.now) {
            Ok((_, records)) => self.write(records),
            Err(_) => self.group = before,
        }
        self.saw("left");
    }

    /// No more faults: everybody who lives has his share, and all partitions have an owner.
    fn settle(&mut self) {
        self.clients.retain(|client| !client.silent);
        for _ in 0..200 {
            self.now += 1_000;
            if self.group.deadline().is_some_and(|at| at <= self.now) {
                let records = self.group.tick(self.now);
                self.write(records);
            }
            for at in 0..self.clients.len() {
                if !self.clients[at].silent {
                    self.follow(at);
                    self.beat(at);
                }
            }
        }
        let living: Vec<&Client> = self.clients.iter().filter(|client| !client.silent).collect();
        let owned: usize = living.iter().map(|client| client.owned.get(&A).map_or(0, BTreeSet::len)).sum();
        let wanted = if living.is_empty() { 0 } else { self.catalog.0["a"].1 as usize };
        if owned != wanted || !["Stable", "Empty"].contains(&self.group.state()) {
            let state = self.group.state();
            self.faults.push(format!("no rest: {state}, {owned} of {wanted}: {living:#?}"));
        }
    }
}

fn run(seed: u64, plant: Plant) -> (Vec<String>, BTreeMap<&'static str, u64>) {
    let mut world = World::new(seed, plant);
    for _ in 0..400 {
        world.step();
    }
    world.settle();
    (world.faults, world.seen)
}

#[test]
fn a_consumer_group_keeps_its_promises_in_any_order_of_events() {
    let mut seen: BTreeMap<&'static str, u64> = BTreeMap::new();
    for seed in 0..2_000 {
        let (faults, events) = run(seed, Plant::Nothing);
        assert!(faults.is_empty(), "seed {seed}: {faults:#?}");
        events.into_iter().for_each(|(what, count)| *seen.entry(what).or_default() += count);
    }
    println!("{seen:?}");
    for what in [
        "assigned",
        "lost answer",
        "fenced",
        "instance",
        "silent",
        "left",
        "restart",
        "time-out",
        "partitions",
    ] {
        assert!(seen.get(what).is_some_and(|count| *count > 500), "{what}: {seen:?}");
    }
}

#[test]
fn planted_mistakes_are_found() {
    for plant in [Plant::ForgottenRevocations, Plant::Liars] {
        assert!((0..300).any(|seed| !run(seed, plant).0.is_empty()), "{plant:?}");
    }
}
