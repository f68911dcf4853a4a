//! Classic groups, event by event, and as a world of members that come, go and fall silent in any order.

use super::*;
use crate::random::Random;

fn joining(member_id: &str, fresh: &str, instance: Option<&str>) -> Join {
    Join {
        member_id: member_id.to_owned(),
        instance_id: instance.map(str::to_owned),
        client_id: "c".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        rebalance_timeout_ms: 60_000,
        session_timeout_ms: 10_000,
        protocol_type: CONSUMER.to_owned(),
        protocols: vec![("range".to_owned(), Bytes::from_static(b"\0\0\0\0\0\x01\0\x01t\0\0\0\0"))],
        needs_id: true,
        may_skip: true,
        fresh_id: fresh.to_owned(),
    }
}

fn syncing(member_id: &str, generation: i32, assignments: &[(&str, &'static [u8])]) -> Sync {
    let assignments =
        assignments.iter().map(|(id, bytes)| ((*id).to_owned(), Bytes::from_static(bytes))).collect();
    Sync {
        member_id: member_id.to_owned(),
        instance_id: None,
        generation,
        protocol_type: Some(CONSUMER.to_owned()),
        protocol: Some("range".to_owned()),
        assignments,
    }
}

fn join_of(effects: &[Effect], token: Token) -> Option<&JoinGroupResponse> {
    effects.iter().find_map(|effect| match effect {
        Effect::Joined(of, answer) if *of == token => Some(answer),
        _ => None,
    })
}

fn sync_of(effects: &[Effect], token: Token) -> Option<&SyncGroupResponse> {
    effects.iter().find_map(|effect| match effect {
        Effect::Synced(of, answer) if *of == token => Some(answer),
        _ => None,
    })
}

fn stores(effects: &[Effect]) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::Store))
}

/// A stable group of one, which is `a` unless static.
fn stable(instance: Option<&str>) -> Group {
    let mut group = Group::new(0);
    let mut join = joining("", "a", instance);
    join.needs_id = false;
    let effects = group.join(join, 1, 0);
    assert_eq!(join_of(&effects, 1).unwrap().generation_id, 1);
    let mut sync = syncing("a", 1, &[("a", b"all")]);
    sync.instance_id = instance.map(str::to_owned);
    let effects = group.sync(sync, 2, 0);
    assert!(stores(&effects));
    assert_eq!(&sync_of(&effects, 2).unwrap().assignment[..], b"all");
    assert_eq!(group.state, State::Stable);
    group
}

#[test]
fn a_member_is_given_its_id_before_it_joins() {
    let mut group = Group::new(0);
    let effects = group.join(joining("", "a", None), 1, 0);
    let answer = join_of(&effects, 1).unwrap();
    assert_eq!(answer.error_code, ResponseError::MemberIdRequired.code());
    assert_eq!(answer.member_id.as_str(), "a");
    assert!(group.members.is_empty());
    let effects = group.join(joining("a", "x", None), 2, 5);
    let answer = join_of(&effects, 2).unwrap();
    assert_eq!((answer.error_code, answer.generation_id, answer.leader.as_str()), (0, 1, "a"));
    assert_eq!(answer.members.len(), 1);
    let unknown = group.join(joining("b", "x", None), 3, 5);
    assert_eq!(join_of(&unknown, 3).unwrap().error_code, ResponseError::UnknownMemberId.code());
}

#[test]
fn the_first_rebalance_waits_for_others_to_come() {
    let mut group = Group::new(3_000);
    let late = |id: &str| Join { needs_id: false, ..joining("", id, None) };
    assert!(group.join(late("a"), 1, 0).is_empty());
    assert!(group.join(late("b"), 2, 2_000).is_empty());
    assert!(group.tick(3_000).is_empty(), "somebody came: once more");
    assert_eq!(group.deadline(), Some(6_000));
    let effects = group.tick(6_000);
    assert_eq!(join_of(&effects, 1).unwrap().members.len(), 2);
    assert!(join_of(&effects, 2).unwrap().members.is_empty(), "only the leader is told of the others");
}

#[test]
fn a_second_member_makes_the_first_join_again() {
    let mut group = stable(None);
    let effects = group.join(joining("", "b", None), 3, 100);
    assert_eq!(join_of(&effects, 3).unwrap().error_code, ResponseError::MemberIdRequired.code());
    assert!(group.join(joining("b", "x", None), 4, 100).is_empty());
    assert_eq!(group.heartbeat("a", None, 1, 200), Err(ResponseError::RebalanceInProgress));
    assert_eq!(group.may_commit("a", None, 1, false), Ok(()), "what it has read so far");
    let effects = group.join(joining("a", "x", None), 5, 300);
    assert_eq!(join_of(&effects, 4).unwrap().generation_id, 2);
    assert_eq!(join_of(&effects, 5).unwrap().generation_id, 2);
    assert_eq!(group.may_commit("a", None, 1, false), Err(ResponseError::IllegalGeneration));
    assert_eq!(group.may_commit("a", None, 2, false), Err(ResponseError::RebalanceInProgress));
    assert_eq!(group.heartbeat("a", None, 2, 300), Ok(()));
    assert!(group.sync(syncing("b", 2, &[]), 6, 300).is_empty(), "it waits for the leader");
    let effects = group.sync(syncing("a", 2, &[("a", b"1"), ("b", b"2")]), 7, 300);
    assert_eq!(&sync_of(&effects, 6).unwrap().assignment[..], b"2");
}

#[test]
fn who_does_not_come_again_in_time_is_out() {
    let mut group = stable(None);
    group.join(Join { needs_id: false, ..joining("", "b", None) }, 4, 100);
    // It still sends heartbeats, and never joins.
    let _ = group.heartbeat("a", None, 1, 59_000);
    let effects = group.tick(60_100);
    assert_eq!(join_of(&effects, 4).unwrap().generation_id, 2);
    assert_eq!(group.members.keys().collect::<Vec<_>>(), ["b"]);
    assert_eq!(group.heartbeat("a", None, 1, 60_200), Err(ResponseError::UnknownMemberId));
}

#[test]
fn a_session_that_ends_takes_the_member_out_and_the_last_one_empties_the_group() {
    let mut group = stable(None);
    assert_eq!(group.deadline(), Some(10_000));
    assert!(group.tick(9_999).is_empty());
    let effects = group.tick(10_000);
    assert!(stores(&effects));
    assert_eq!((group.state, group.generation), (State::Empty, 2));
    assert_eq!(group.stored(0).members, []);
}

#[test]
fn a_static_member_takes_its_place_again_without_a_rebalance() {
    let mut group = stable(Some("i"));
    let effects = group.join(joining("", "a2", Some("i")), 3, 100);
    let answer = join_of(&effects, 3).unwrap();
    assert_eq!((answer.error_code, answer.generation_id, answer.skip_assignment), (0, 1, true));
    assert!(stores(&effects));
    assert_eq!(group.heartbeat("a", Some("i"), 1, 200), Err(ResponseError::FencedInstanceId));
    assert_eq!(group.heartbeat("a2", Some("i"), 1, 200), Ok(()));
    assert_eq!(group.may_commit("a", Some("i"), 1, false), Err(ResponseError::FencedInstanceId));
    let mut sync = syncing("a2", 1, &[]);
    sync.instance_id = Some("i".to_owned());
    assert_eq!(&sync_of(&group.sync(sync, 4, 200), 4).unwrap().assignment[..], b"all");
    let (left, _) = group.leave(&[(String::new(), Some("i".to_owned()))], 300);
    assert_eq!((left, group.members.len()), (vec![Ok(())], 0));
}

#[test]
fn members_must_have_a_protocol_in_common_and_the_most_preferred_is_taken() {
    let mut group = stable(None);
    let other = Join { protocols: vec![("x".to_owned(), Bytes::new())], ..joining("", "b", None) };
    let effects = group.join(other, 3, 0);
    assert_eq!(join_of(&effects, 3).unwrap().error_code, ResponseError::InconsistentGroupProtocol.code());
    let kind = Join { protocol_type: "connect".to_owned(), ..joining("", "b", None) };
    let effects = group.join(kind, 4, 0);
    assert_eq!(join_of(&effects, 4).unwrap().error_code, ResponseError::InconsistentGroupProtocol.code());
}

#[test]
fn a_group_is_after_a_restart_what_it_was() {
    let group = stable(Some("i"));
    let mut loaded = Group::load(group.stored(0), 0, 500);
    assert_eq!((loaded.state, loaded.generation, loaded.leader.as_deref()), (State::Stable, 1, Some("a")));
    assert_eq!(loaded.heartbeat("a", Some("i"), 1, 600), Ok(()));
    assert_eq!(loaded.deadline(), Some(10_600));
    assert!(loaded.is_subscribed("t") && !loaded.is_subscribed("u"));
}

#[test]
fn what_cannot_be_stored_is_nobodys_assignment() {
    let mut group = stable(None);
    group.join(joining("a", "x", None), 3, 0);
    let effects = group.sync(syncing("a", 2, &[("a", b"new")]), 4, 0);
    assert!(stores(&effects));
    group.not_stored(0);
    assert_eq!(group.state, State::PreparingRebalance);
    assert_eq!(group.heartbeat("a", None, 2, 0), Err(ResponseError::RebalanceInProgress));
}

/// What goes wrong on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plant {
    Nothing,
    /// A leader gives a partition to two members.
    TwoOwners,
    /// A restart forgets which generation there was.
    ForgottenGeneration,
}

/// A member as it sees itself.
#[derive(Clone, Debug, Default)]
struct Client {
    id: String,
    instance: Option<String>,
    generation: i32,
    /// What it has been assigned.
    owned: Vec<u8>,
    joins: Option<Token>,
    syncs: Option<Token>,
    leads: Option<Vec<String>>,
    silent: bool,
}

const PARTITIONS: u8 = 12;

struct World {
    random: Random,
    plant: Plant,
    group: Group,
    stored: record::Classic,
    clients: Vec<Client>,
    tokens: Token,
    fresh: u64,
    now: i64,
    /// The highest generation that anybody was told.
    highest: i32,
    seen: BTreeMap<&'static str, u64>,
    faults: Vec<String>,
}

impl World {
    fn new(seed: u64, plant: Plant) -> Self {
        let group = Group::new(if seed.is_multiple_of(2) { 0 } else { 500 });
        Self {
            random: Random(seed),
            plant,
            stored: group.stored(0),
            group,
            clients: Vec::new(),
            tokens: 0,
            fresh: 0,
            now: 0,
            highest: 0,
            seen: BTreeMap::new(),
            faults: Vec::new(),
        }
    }

    fn saw(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    fn token(&mut self) -> Token {
        self.tokens += 1;
        self.tokens
    }

    fn take(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Store => self.stored = self.group.stored(self.now),
                Effect::Joined(token, answer) => self.joined(token, answer),
                Effect::Synced(token, answer) => self.synced(token, answer),
            }
        }
    }

    fn joined(&mut self, token: Token, answer: JoinGroupResponse) {
        let Some(at) = self.clients.iter().position(|client| client.joins == Some(token)) else { return };
        if answer.error_code == 0 {
            self.highest = self.highest.max(answer.generation_id);
        }
        let client = &mut self.clients[at];
        client.joins = None;
        match ResponseError::try_from_code(answer.error_code) {
            None => {
                client.id = answer.member_id.to_string();
                client.generation = answer.generation_id;
                let leads = answer.leader == answer.member_id && !answer.skip_assignment;
                client.leads =
                    leads.then(|| answer.members.iter().map(|member| member.member_id.to_string()).collect());
                self.saw("joined");
            }
            Some(ResponseError::MemberIdRequired) => client.id = answer.member_id.to_string(),
            Some(ResponseError::UnknownMemberId) => client.id.clear(),
            Some(ResponseError::FencedInstanceId) => client.silent = true,
            Some(ResponseError::RebalanceInProgress) => {}
            Some(other) => self.faults.push(format!("JoinGroup says {other:?}")),
        }
    }

    fn synced(&mut self, token: Token, answer: SyncGroupResponse) {
        let Some(at) = self.clients.iter().position(|client| client.syncs == Some(token)) else { return };
        let client = &mut self.clients[at];
        client.syncs = None;
        match ResponseError::try_from_code(answer.error_code) {
            None => {
                client.owned = answer.assignment.to_vec();
                self.saw("synced");
                self.no_two_owners();
            }
            Some(ResponseError::UnknownMemberId) => client.id.clear(),
            Some(ResponseError::FencedInstanceId) => client.silent = true,
            Some(ResponseError::RebalanceInProgress | ResponseError::IllegalGeneration) => {
                client.generation = 0;
            }
            Some(other) => self.faults.push(format!("SyncGroup says {other:?}")),
        }
    }

    fn no_two_owners(&mut self) {
        let mut owners: BTreeMap<(i32, u8), usize> = BTreeMap::new();
        // Whoever was replaced does not know it yet, and can commit nothing.
        let counts = |client: &&Client| {
            !client.silent
                && client.generation > 0
                && self.group.validate(&client.id, client.instance.as_deref()).is_ok()
        };
        for client in self.clients.iter().filter(counts) {
            for partition in &client.owned {
                *owners.entry((client.generation, *partition)).or_default() += 1;
            }
        }
        if let Some(((generation, partition), _)) = owners.iter().find(|(_, count)| **count > 1) {
            self.faults.push(format!("partition {partition} has two owners in generation {generation}"));
        }
    }

    fn join(&mut self, at: usize) {
        let token = self.token();
        self.fresh += 1;
        let client = &mut self.clients[at];
        client.owned.clear();
        client.generation = 0;
        client.joins = Some(token);
        let join = joining(&client.id.clone(), &format!("m{}", self.fresh), client.instance.as_deref());
        let effects = self.group.join(join, token, self.now);
        self.take(effects);
    }

    fn sync(&mut self, at: usize) {
        let token = self.token();
        let client = &mut self.clients[at];
        client.syncs = Some(token);
        let mut sync = syncing(&client.id.clone(), client.generation, &[]);
        sync.instance_id.clone_from(&client.instance);
        if let Some(members) = client.leads.take() {
            for partition in 0..PARTITIONS {
                let of = members[usize::from(partition) % members.len()].clone();
                let mut mine = sync.assignments.get(&of).map(|bytes| bytes.to_vec()).unwrap_or_default();
                mine.push(partition);
                sync.assignments.insert(of, mine.into());
            }
            if self.plant == Plant::TwoOwners && members.len() > 1 {
                let twice = sync.assignments[&members[0]].clone();
                sync.assignments.insert(members[1].clone(), twice);
            }
        }
        let effects = self.group.sync(sync, token, self.now);
        self.take(effects);
    }

    fn beat(&mut self, at: usize) {
        let client = self.clients[at].clone();
        let beat = self.group.heartbeat(&client.id, client.instance.as_deref(), client.generation, self.now);
        match beat {
            Ok(()) => {}
            Err(ResponseError::FencedInstanceId) => self.clients[at].silent = true,
            Err(ResponseError::UnknownMemberId) => {
                self.clients[at].id.clear();
                self.join(at);
            }
            Err(_) => self.join(at),
        }
    }

    fn commit(&mut self, at: usize) {
        let client = &self.clients[at];
        let by = (&client.id, client.instance.as_deref(), client.generation);
        if self.group.may_commit(by.0, by.1, by.2, false).is_ok() && client.generation > 0 {
            if client.generation < self.highest {
                self.faults.push(format!("generation {} commits after {}", client.generation, self.highest));
            }
            self.saw("commit");
        }
    }

    /// What a client that works does next.
    fn act(&mut self, at: usize) {
        let client = &self.clients[at];
        if client.silent || client.joins.is_some() || client.syncs.is_some() {
            return;
        }
        if client.generation == 0 {
            self.join(at);
        } else if client.owned.is_empty() && self.random.below(3) > 0 {
            self.sync(at);
        } else {
            self.commit(at);
            self.beat(at);
        }
    }

    fn step(&mut self) {
        self.now += self.random.below(400) as i64;
        let effects = self.group.tick(self.now);
        self.take(effects);
        let count = self.clients.len() as u64;
        match self.random.below(40) {
            0 if count < 6 => {
                let instance = self.random.one_in(2).then(|| format!("i{}", self.random.below(3)));
                if let Some(instance) = &instance {
                    // Another life of the same instance: the former one hears that it is fenced.
                    self.saw(if self.clients.iter().any(|c| c.instance.as_ref() == Some(instance)) {
                        "replaced"
                    } else {
                        "static"
                    });
                }
                self.clients.push(Client { instance, ..Client::default() });
            }
            1 if count > 0 => {
                let at = self.random.below(count) as usize;
                self.clients[at].silent = true;
                self.saw("silent");
            }
            2 if count > 0 => {
                let at = self.random.below(count) as usize;
                let client = self.clients.remove(at);
                let (_, effects) = self.group.leave(&[(client.id, client.instance)], self.now);
                self.take(effects);
                self.saw("left");
            }
            3 => self.restart(),
            4 => {
                self.now += 20_000;
                self.saw("pause");
            }
            _ if count > 0 => {
                let at = self.random.below(count) as usize;
                // Those that are silent wake up now and then, and do not know what has happened.
                if self.clients[at].silent && self.random.one_in(8) {
                    self.commit(at);
                }
                self.act(at);
            }
            _ => self.clients.push(Client::default()),
        }
    }

    fn restart(&mut self) {
        self.saw("restart");
        let mut stored = self.stored.clone();
        if self.plant == Plant::ForgottenGeneration {
            stored.generation = 0;
        }
        self.group = Group::load(stored, 0, self.now);
        if self.plant == Plant::Nothing {
            // A generation that nobody was assigned anything in is not remembered, and made again.
            self.highest = self.group.generation;
        }
        // Connections are gone, and with them what was waited for.
        for client in &mut self.clients {
            (client.joins, client.syncs) = (None, None);
        }
    }

    /// No more faults: the group must come to rest, with everybody who lives in it.
    fn settle(&mut self) {
        self.clients.retain(|client| !client.silent);
        let mut instances = BTreeSet::new();
        self.clients.retain(|client| {
            client.instance.as_ref().is_none_or(|instance| instances.insert(instance.clone()))
        });
        for client in &mut self.clients {
            // Whoever waits for an answer that will never come asks again.
            (client.joins, client.syncs) = (None, None);
            if client.instance.is_some() {
                // The last life of each instance.
                *client = Client { instance: client.instance.take(), ..Client::default() };
            }
        }
        for _ in 0..400 {
            self.now += 500;
            let effects = self.group.tick(self.now);
            self.take(effects);
            for at in 0..self.clients.len() {
                self.act(at);
            }
        }
        let owned: usize = self.clients.iter().map(|client| client.owned.len()).sum();
        let wanted = if self.clients.is_empty() { 0 } else { usize::from(PARTITIONS) };
        if owned != wanted || (self.group.state == State::Stable) == self.clients.is_empty() {
            let state = self.group.state;
            self.faults
                .push(format!("no rest: {state:?}, {owned} of {wanted} partitions, {:?}", self.clients));
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
fn a_classic_group_keeps_its_promises_in_any_order_of_events() {
    let mut seen: BTreeMap<&'static str, u64> = BTreeMap::new();
    for seed in 0..2_000 {
        let (faults, events) = run(seed, Plant::Nothing);
        assert!(faults.is_empty(), "seed {seed}: {faults:#?}");
        events.into_iter().for_each(|(what, count)| *seen.entry(what).or_default() += count);
    }
    println!("{seen:?}");
    for what in ["joined", "synced", "commit", "static", "replaced", "silent", "left", "restart", "pause"] {
        assert!(seen.get(what).is_some_and(|count| *count > 500), "{what}: {seen:?}");
    }
}

#[test]
fn planted_mistakes_are_found() {
    for plant in [Plant::TwoOwners, Plant::ForgottenGeneration] {
        assert!((0..300).any(|seed| !run(seed, plant).0.is_empty()), "{plant:?}");
    }
}
