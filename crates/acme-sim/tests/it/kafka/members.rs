//! Members of a group that come, go, die, stand still and are cut off while coordinators move: what one commits begins
//! where the last one ended, whoever that was, and in the end every partition is somebody's.

use super::{LIMIT, Verdict, all_hold, caught, faults, options};
use acme_kafka::group::{Assignor, Event, Member, MemberOptions, OffsetAndMetadata, Protocol, Subscription};
use acme_kafka::{Client, TopicPartition};
use acme_sim::kafka::{Cluster, PARTITIONS, Plant, TOPIC, Time, run};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

const GROUP: &str = "g";
/// More of them at once than partitions, sometimes.
const WORKERS: usize = 4;

/// A mistake of a worker that the checker must notice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mistake {
    #[default]
    None,
    /// It goes on with partitions that it has given back.
    GoesOn,
    /// It gives partitions back, and commits then what it has done with them.
    GivesEarly,
}

/// Who works on what, as the workers know it.
#[derive(Clone, Default)]
struct Register(Arc<Mutex<Entries>>);

#[derive(Default)]
struct Entries {
    owners: BTreeMap<i32, BTreeSet<String>>,
    /// Who had a partition when another one got it: only one that was thrown out may, and it must hear so.
    doubtful: BTreeSet<(i32, String)>,
    wrong: Vec<String>,
}

impl Register {
    fn take(&self, name: &str, partition: i32) {
        let entries = &mut *self.0.lock().expect("not poisoned");
        let owners = entries.owners.entry(partition).or_default();
        entries.doubtful.extend(owners.iter().map(|other| (partition, other.clone())));
        owners.insert(name.to_owned());
    }

    fn give(&self, name: &str, partition: i32) {
        let entries = &mut *self.0.lock().expect("not poisoned");
        entries.owners.entry(partition).or_default().remove(name);
        if entries.doubtful.remove(&(partition, name.to_owned())) {
            entries.wrong.push(format!("two owners: {name} gave {partition} back, and another one had it"));
        }
    }

    fn lose(&self, name: &str, partition: i32) {
        let entries = &mut *self.0.lock().expect("not poisoned");
        entries.owners.entry(partition).or_default().remove(name);
        entries.doubtful.remove(&(partition, name.to_owned()));
    }

    fn gone(&self, name: &str) {
        (0..PARTITIONS).for_each(|partition| self.lose(name, partition));
    }

    /// True while each partition has one owner.
    fn is_whole(&self) -> bool {
        let entries = self.0.lock().expect("not poisoned");
        (0..PARTITIONS)
            .all(|partition| entries.owners.get(&partition).is_some_and(|owners| owners.len() == 1))
    }

    fn check(&self) -> Result<(), String> {
        let entries = self.0.lock().expect("not poisoned");
        if let Some(wrong) = entries.wrong.first() {
            return Err(wrong.clone());
        }
        if let Some((partition, name)) = entries.doubtful.first() {
            return Err(format!("two owners: {name} still has {partition}, and so has another one"));
        }
        Ok(())
    }
}

enum Order {
    Leave,
    StandStill(u64),
}

/// What a worker has done with a partition: committed up to `from`, done up to `to`.
#[derive(Clone, Copy, Debug)]
struct Done {
    from: i64,
    to: i64,
}

struct Worker {
    name: String,
    cluster: Arc<Cluster>,
    time: Arc<Time>,
    register: Register,
    mistake: Mistake,
    held: BTreeMap<i32, Done>,
    /// What it has no right to commit.
    former: BTreeMap<i32, Done>,
}

/// A worker as the world sees it.
struct Handle {
    name: String,
    orders: mpsc::Sender<Order>,
    task: JoinHandle<Result<(), String>>,
}

fn partition(number: i32) -> TopicPartition {
    TopicPartition::new(TOPIC, number)
}

impl Worker {
    async fn run(mut self, protocol: Protocol, mut orders: mpsc::Receiver<Order>) -> Result<(), String> {
        let client = loop {
            match Client::connect(self.cluster.config_of(&self.name)).await {
                Ok(client) => break client,
                Err(error) if error.class().is_transient() => {}
                Err(error) => return Err(format!("{}: {error}", self.name)),
            }
        };
        let mut options = MemberOptions::new(GROUP, Subscription::topics([TOPIC]));
        options.protocol = protocol;
        options.session_timeout = Duration::from_secs(6);
        options.heartbeat_interval = Duration::from_millis(500);
        options.rebalance_timeout = Duration::from_secs(10);
        let member = Member::join(&client, options);
        let time = self.time.clone();
        loop {
            tokio::select! {
                biased;
                order = orders.recv() => match order {
                    Some(Order::StandStill(time_ms)) => time.sleep_ms(time_ms).await,
                    None | Some(Order::Leave) => break,
                },
                event = member.event() => {
                    let event = event.map_err(|error| format!("{}: {error}", self.name))?;
                    self.take(&client, &member, event).await;
                }
                () = time.sleep_ms(20 + time.below(200)) => self.work(&client, &member).await,
            }
        }
        self.commit(&member, |_| true).await;
        self.register.gone(&self.name);
        member.leave().await;
        Ok(())
    }

    async fn take(&mut self, client: &Client, member: &Member, event: Event) {
        match event {
            Event::Assigned(partitions) => {
                self.cluster.note("assigned");
                // From now on they are its own, though it may be long before it knows where to begin.
                partitions.iter().for_each(|it| self.register.take(&self.name, it.partition));
                let committed = loop {
                    if let Ok(committed) = client.committed(GROUP, Some(&partitions), true).await {
                        break committed;
                    }
                };
                for it in partitions {
                    let at = committed.get(&it).map_or(0, |committed| committed.offset);
                    self.former.remove(&it.partition);
                    self.held.insert(it.partition, Done { from: at, to: at });
                }
            }
            Event::Revoking { partitions, done } => {
                self.cluster.note("revoked");
                let numbers: Vec<i32> = partitions.iter().map(|it| it.partition).collect();
                if self.mistake != Mistake::GivesEarly {
                    self.commit(member, |number| numbers.contains(&number)).await;
                }
                for number in numbers {
                    self.register.give(&self.name, number);
                    self.former.extend(self.held.remove(&number).map(|held| (number, held)));
                }
                done.done();
                if self.mistake == Mistake::GivesEarly {
                    self.time.sleep_ms(self.time.below(3_000)).await;
                    self.commit_former(client, member).await;
                }
                if self.mistake != Mistake::GoesOn {
                    self.former.clear();
                }
            }
            Event::Lost(partitions) => {
                self.cluster.note("lost");
                for it in partitions {
                    self.register.lose(&self.name, it.partition);
                    self.held.remove(&it.partition);
                }
            }
        }
    }

    async fn work(&mut self, client: &Client, member: &Member) {
        for done in self.held.values_mut().chain(self.former.values_mut()) {
            done.to += i64::try_from(self.time.below(4)).expect("few");
        }
        if self.time.one_in(3) {
            self.commit(member, |_| true).await;
            self.commit_former(client, member).await;
        }
    }

    /// Commits what was done with some of the partitions. What becomes of it may stay unknown: then the same is committed
    /// again, with more.
    async fn commit(&mut self, member: &Member, which: impl Fn(i32) -> bool) {
        let offsets: Vec<_> = offsets(&self.held, which);
        if !offsets.is_empty() && member.commit(&offsets).await.is_ok() {
            for (it, offset) in offsets {
                self.held.entry(it.partition).and_modify(|held| held.from = offset.offset);
            }
        }
    }

    async fn commit_former(&mut self, client: &Client, member: &Member) {
        let offsets: Vec<_> = offsets(&self.former, |_| true);
        if let Some(who) = member.identity()
            && !offsets.is_empty()
        {
            let _ = client.commit_offsets(&who, &offsets).await;
        }
    }
}

fn offsets(
    of: &BTreeMap<i32, Done>,
    which: impl Fn(i32) -> bool,
) -> Vec<(TopicPartition, OffsetAndMetadata)> {
    of.iter()
        .filter(|(number, done)| which(**number) && done.to > done.from)
        .map(|(number, done)| {
            let offset =
                OffsetAndMetadata { metadata: done.from.to_string(), ..OffsetAndMetadata::new(done.to) };
            (partition(*number), offset)
        })
        .collect()
}

/// Each commit begins where the one before has ended. A member may repeat its own last one, and add to it.
fn check(cluster: &Cluster) -> Result<(), String> {
    let mut last: BTreeMap<i32, (i64, i64, String)> = BTreeMap::new();
    for commit in cluster.commits() {
        let from: i64 = commit.note.parse().map_err(|_| format!("a note {:?}", commit.note))?;
        let before = last.get(&commit.partition);
        let follows = from == before.map_or(0, |(_, to, _)| *to);
        let repeats = before.is_some_and(|(begin, to, member)| {
            *begin == from && commit.offset >= *to && *member == commit.member
        });
        if !follows && !repeats {
            return Err(format!("committed twice or not at all: {commit:?} after {before:?}"));
        }
        last.insert(commit.partition, (from, commit.offset, commit.member));
    }
    Ok(())
}

struct Crowd {
    cluster: Arc<Cluster>,
    time: Arc<Time>,
    register: Register,
    protocol: Protocol,
    mistake: Mistake,
    workers: Vec<Handle>,
    leaving: Vec<JoinHandle<Result<(), String>>>,
    number: u32,
}

impl Crowd {
    fn start(&mut self) {
        self.number += 1;
        let name = format!("w{}", self.number);
        let (orders, incoming) = mpsc::channel(8);
        let worker = Worker {
            name: name.clone(),
            cluster: self.cluster.clone(),
            time: self.time.clone(),
            register: self.register.clone(),
            mistake: self.mistake,
            held: BTreeMap::new(),
            former: BTreeMap::new(),
        };
        let task = tokio::spawn(worker.run(self.protocol.clone(), incoming));
        self.workers.push(Handle { name, orders, task });
    }

    fn any(&self) -> usize {
        usize::try_from(self.time.below(self.workers.len() as u64)).expect("few")
    }

    /// Something happens to somebody.
    fn happen(&mut self) {
        let (some, time) = (self.workers.len() > 1, self.time.clone());
        match time.below(8) {
            0..=2 if self.workers.len() < WORKERS => {
                self.cluster.note("came");
                self.start();
            }
            3 if some => {
                self.cluster.note("left");
                let worker = self.workers.remove(self.any());
                let _ = worker.orders.try_send(Order::Leave);
                self.leaving.push(worker.task);
            }
            4 if some => {
                self.cluster.note("died");
                let worker = self.workers.remove(self.any());
                self.cluster.cut_off(&worker.name, None);
                worker.task.abort();
                self.register.gone(&worker.name);
            }
            5 if some => {
                self.cluster.note("was cut off");
                let for_ms = 200 + time.below(12_000);
                self.cluster.cut_off(&self.workers[self.any()].name, Some(Duration::from_millis(for_ms)));
            }
            6 if some => {
                self.cluster.note("stood still");
                let order = Order::StandStill(time.below(15_000));
                let _ = self.workers[self.any()].orders.try_send(order);
            }
            _ => {}
        }
    }

    /// Every partition has an owner, and each goes on.
    async fn goes_on(&self) -> Result<(), String> {
        let state =
            || (0..PARTITIONS).map(|number| self.cluster.committed(number).unwrap_or(0)).collect::<Vec<_>>();
        // Whoever stands still, and sessions that have to end first.
        self.time.sleep_ms(30_000).await;
        let before = state();
        for _ in 0..600 {
            self.time.sleep_ms(100).await;
            if self.register.is_whole() && before.iter().zip(state()).all(|(before, now)| now > *before) {
                return Ok(());
            }
        }
        Err(format!("a partition is lost: {before:?} and {:?}", state()))
    }
}

fn world(seed: u64, plant: Plant, mistake: Mistake) -> Verdict {
    run(seed, LIMIT, |time| async move {
        let cluster = Cluster::new(&time, options(&time, false, plant));
        let assignor = if time.one_in(4) { Assignor::Range } else { Assignor::CooperativeSticky };
        let protocol =
            if time.one_in(2) { Protocol::Classic(vec![assignor]) } else { Protocol::Consumer(None) };
        let (of_cluster, some) = (cluster.clone(), faults(&time));
        tokio::spawn(async move { of_cluster.disturb(some, 40_000).await });
        let mut crowd = Crowd {
            cluster: cluster.clone(),
            time: time.clone(),
            register: Register::default(),
            protocol,
            mistake,
            workers: Vec::new(),
            leaving: Vec::new(),
            number: 0,
        };
        crowd.start();
        while !cluster.is_undisturbed() {
            time.sleep_ms(time.below(3_000)).await;
            crowd.happen();
        }
        crowd.goes_on().await?;
        for worker in std::mem::take(&mut crowd.workers) {
            let _ = worker.orders.send(Order::Leave).await;
            crowd.leaving.push(worker.task);
        }
        for task in crowd.leaving {
            task.await.map_err(|error| error.to_string())??;
        }
        crowd.register.check()?;
        check(&cluster)?;
        Ok(cluster.counts())
    })
}

#[test]
fn nobody_commits_what_another_one_has_and_no_partition_is_lost() {
    let counts = all_hold(300, |seed, plant| world(seed, plant, Mistake::None));
    if std::env::var_os("ACME_SEED").is_some() {
        return;
    }
    let had = ["assigned", "revoked", "lost", "came", "left", "died", "was cut off", "stood still"];
    for what in had.into_iter().chain(["cut before", "cut after", "late", "coordinator moved", "broker died"])
    {
        assert!(counts.get(what).is_some_and(|count| *count > 50), "{what}: {counts:?}");
    }
}

#[test]
fn a_world_of_members_is_the_same_each_time() {
    for seed in 1..=10 {
        assert_eq!(
            world(seed, Plant::None, Mistake::None),
            world(seed, Plant::None, Mistake::None),
            "seed {seed}"
        );
    }
}

#[test]
fn workers_that_go_on_after_a_revocation_or_give_back_too_early_are_noticed() {
    let goes_on = |seed, plant| world(seed, plant, Mistake::GoesOn);
    let gives_early = |seed, plant| world(seed, plant, Mistake::GivesEarly);
    assert!(caught(40, Plant::None, goes_on, "committed twice") > 3, "goes on");
    assert!(caught(40, Plant::None, gives_early, "committed twice") > 3, "gives early");
}

#[test]
fn coordinators_that_do_not_fence_or_move_partitions_too_early_are_noticed() {
    let plain = |seed, plant| world(seed, plant, Mistake::None);
    assert!(caught(60, Plant::NoGenerations, plain, "committed twice") > 3, "no generations");
    assert!(caught(200, Plant::EarlyMove, plain, "two owners") > 3, "early move");
}
