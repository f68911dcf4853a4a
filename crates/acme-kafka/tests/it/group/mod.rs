//! Members of groups, beside each other and beside those of other clients.
//!
//! Every test keeps a register of who works on which partition: two at the same time is what must never be.

mod admin;
mod commits;
mod faults;
mod mixed;
mod sharing;

use acme_kafka::group::{Assignor, Event, Member, MemberOptions, Protocol, Revocation, Subscription};
use acme_kafka::{Client, Config, Error, TopicPartition};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(60);

/// Who works on what, and what went wrong about it.
#[derive(Clone, Default)]
pub(crate) struct Register(Arc<Mutex<Entries>>);

#[derive(Default)]
struct Entries {
    owners: BTreeMap<TopicPartition, String>,
    faults: Vec<String>,
    /// Events of all members, as `a+t/0 t/1`.
    log: Vec<String>,
}

impl Register {
    fn note(&self, name: &str, sign: char, partitions: &[TopicPartition]) {
        let mut entries = self.0.lock().unwrap();
        let list: Vec<String> = partitions.iter().map(ToString::to_string).collect();
        entries.log.push(format!("{name}{sign}{}", list.join(" ")));
    }

    fn take(&self, name: &str, partitions: &[TopicPartition]) {
        self.note(name, '+', partitions);
        let mut entries = self.0.lock().unwrap();
        for partition in partitions {
            if let Some(other) = entries.owners.insert(partition.clone(), name.to_owned()) {
                entries.faults.push(format!("{partition} came to {name} while {other} had it"));
            }
        }
    }

    fn give(&self, name: &str, partitions: &[TopicPartition]) {
        let mut entries = self.0.lock().unwrap();
        for partition in partitions {
            if entries.owners.get(partition).is_some_and(|owner| owner == name) {
                entries.owners.remove(partition);
            }
        }
    }

    /// What a dead member no longer works on.
    fn forget(&self, name: &str) {
        self.0.lock().unwrap().owners.retain(|_, owner| owner != name);
    }

    /// How many partitions each has.
    fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for owner in self.0.lock().unwrap().owners.values() {
            *counts.entry(owner.clone()).or_insert(0) += 1;
        }
        counts
    }

    fn faults(&self) -> Vec<String> {
        self.0.lock().unwrap().faults.clone()
    }

    fn log(&self) -> Vec<String> {
        self.0.lock().unwrap().log.clone()
    }

    /// Partitions that somebody was asked to give back since `from` entries of the log.
    fn revoked(&self, from: usize) -> usize {
        let log = self.log();
        log[from..].iter().filter(|entry| entry.contains('-')).map(|entry| entry.split(' ').count()).sum()
    }

    /// Waits until members have so many partitions each.
    pub(crate) async fn wait(&self, expected: &[(&str, usize)]) {
        let expected: BTreeMap<String, usize> =
            expected.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        wait_until(
            &format!("{expected:?}"),
            || async { (self.counts() == expected).then_some(()) },
            || format!("{:?}, {:#?}", self.counts(), self.log()),
        )
        .await;
        self.check();
    }

    /// Nobody ever had what another one had.
    pub(crate) fn check(&self) {
        let entries = self.0.lock().unwrap();
        assert!(entries.faults.is_empty(), "{:#?}\n{:#?}", entries.faults, entries.log);
    }
}

/// Waits for a condition, with a bound.
pub(crate) async fn wait_until<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut look: impl FnMut() -> F,
    state: impl Fn() -> String,
) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < until, "not within {PATIENCE:?}: {what}; it is {}", state());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What a worker is told to do.
enum Order {
    Leave,
    Die,
}

/// A member in a thread and a runtime of its own, so that it can die without a word.
pub(crate) struct Worker {
    name: String,
    register: Register,
    orders: mpsc::Sender<Order>,
    thread: Option<JoinHandle<()>>,
    member: Arc<Mutex<Option<Arc<Member>>>>,
    failure: Arc<Mutex<Option<Error>>>,
}

/// How a worker treats revocations.
#[derive(Clone, Copy)]
pub(crate) enum Manner {
    /// Gives back after this time.
    Takes(Duration),
    /// Never gives back.
    Keeps,
}

impl Worker {
    pub(crate) fn start(name: &str, bootstrap: &str, options: MemberOptions, register: &Register) -> Self {
        Self::with(name, bootstrap, options, register, Manner::Takes(Duration::ZERO))
    }

    pub(crate) fn with(
        name: &str,
        bootstrap: &str,
        options: MemberOptions,
        register: &Register,
        manner: Manner,
    ) -> Self {
        let (orders, incoming) = mpsc::channel(1);
        let (member, failure) = (Arc::new(Mutex::new(None)), Arc::new(Mutex::new(None)));
        let work = Work {
            name: name.to_owned(),
            register: register.clone(),
            manner,
            member: member.clone(),
            failure: failure.clone(),
        };
        let bootstrap = bootstrap.to_owned();
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
            runtime.block_on(work.run(&bootstrap, options, incoming));
            runtime.shutdown_background();
        });
        let (name, register) = (name.to_owned(), register.clone());
        Self { name, register, orders, thread: Some(thread), member, failure }
    }

    /// The member, once it exists.
    pub(crate) async fn member(&self) -> Arc<Member> {
        wait_until("the member exists", || async { self.member.lock().unwrap().clone() }, String::new).await
    }

    pub(crate) fn failure(&self) -> Option<Error> {
        self.failure.lock().unwrap().clone()
    }

    /// The process dies: nobody is told.
    pub(crate) async fn die(mut self) {
        self.end(Order::Die).await;
    }

    /// It ends in order.
    pub(crate) async fn leave(mut self) {
        self.end(Order::Leave).await;
    }

    async fn end(&mut self, order: Order) {
        self.orders.send(order).await.unwrap();
        let thread = self.thread.take().unwrap();
        tokio::task::spawn_blocking(move || thread.join().unwrap()).await.unwrap();
        self.register.forget(&self.name);
    }
}

struct Work {
    name: String,
    register: Register,
    manner: Manner,
    member: Arc<Mutex<Option<Arc<Member>>>>,
    failure: Arc<Mutex<Option<Error>>>,
}

impl Work {
    async fn run(self, bootstrap: &str, options: MemberOptions, mut orders: mpsc::Receiver<Order>) {
        let client = Client::connect(Config::new(bootstrap.split(','))).await.unwrap();
        let member = Arc::new(Member::join(&client, options));
        *self.member.lock().unwrap() = Some(member.clone());
        let mut giving: Vec<(tokio::time::Instant, Vec<TopicPartition>, Revocation)> = Vec::new();
        loop {
            let next = giving.first().map(|(at, ..)| *at);
            tokio::select! {
                order = orders.recv() => {
                    self.member.lock().unwrap().take();
                    match order {
                        // What a process does not do that is killed.
                        None | Some(Order::Die) => std::mem::forget(member),
                        Some(Order::Leave) => match Arc::try_unwrap(member) {
                            Ok(member) => member.leave().await,
                            Err(_) => panic!("a test still has the member"),
                        },
                    }
                    return;
                }
                event = member.event() => match event {
                    Ok(Event::Assigned(partitions)) => self.register.take(&self.name, &partitions),
                    Ok(Event::Lost(partitions)) => {
                        self.register.note(&self.name, '!', &partitions);
                        self.register.give(&self.name, &partitions);
                    }
                    Ok(Event::Revoking { partitions, done }) => {
                        self.register.note(&self.name, '-', &partitions);
                        if let Manner::Takes(time) = self.manner {
                            giving.push((tokio::time::Instant::now() + time, partitions, done));
                        }
                    }
                    Err(error) => {
                        *self.failure.lock().unwrap() = Some(error);
                        // Waits for its end.
                        if orders.recv().await.is_some() { return; }
                    }
                },
                () = async { tokio::time::sleep_until(next.unwrap()).await }, if next.is_some() => {
                    let (_, partitions, done) = giving.remove(0);
                    self.register.give(&self.name, &partitions);
                    done.done();
                }
            }
        }
    }
}

/// Both protocols.
pub(crate) fn protocols() -> [Protocol; 2] {
    [Protocol::Classic(vec![Assignor::CooperativeSticky]), Protocol::Consumer(None)]
}

/// A member that notices everything quickly.
pub(crate) fn options(group: &str, topics: &[&str], protocol: &Protocol) -> MemberOptions {
    let mut options = MemberOptions::new(group, Subscription::topics(topics));
    options.protocol = protocol.clone();
    options.session_timeout = Duration::from_secs(3);
    options.heartbeat_interval = Duration::from_millis(300);
    options.metadata_interval = Duration::from_millis(500);
    options
}

/// A name for a group that no other test has.
pub(crate) fn group(what: &str, protocol: &Protocol) -> String {
    let kind = if matches!(protocol, Protocol::Classic(_)) { "classic" } else { "consumer" };
    format!("{what}-{kind}")
}

fn numbers(partitions: &[TopicPartition]) -> BTreeSet<i32> {
    partitions.iter().map(|partition| partition.partition).collect()
}
