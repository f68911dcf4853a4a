//! The whole driver, several times in one process: workers that share a source, die, are removed, come and go.

mod connectors;
mod world;

use acme_connect::AnySink;
use acme_flow::checkpoint::{LocalStore, Writer};
use acme_flow::driver::{Job, JobSink, JobSource, Policy, Stop, run};
use acme_flow::{Outlet, Program, Stats, Target};
use acme_sim::{Rng, SimClock, SimDisk};
use acme_types::Shape;
use connectors::{GroupSource, Kind, MemorySink};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use world::{Life, Mistake, Store, returned};

/// The time in which a world comes to its end, with much to spare.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone)]
struct World {
    store: Arc<Mutex<Store>>,
    kind: Kind,
    mistake: Option<Mistake>,
    /// Nobody dies any more.
    calm: watch::Sender<bool>,
}

impl World {
    fn new(kind: Kind, mistake: Option<Mistake>) -> Self {
        Self { store: Arc::default(), kind, mistake, calm: watch::Sender::new(false) }
    }

    fn job(&self, life: &Life, worker: &str, writer: &str) -> Job {
        let shape = Arc::new(Shape { columns: vec![("n".into(), "n".into())], ..Shape::default() });
        let sink = MemorySink {
            life: life.clone(),
            kind: self.kind,
            id: worker.to_owned(),
            writer: writer.to_owned(),
            claim: 0,
            pending: Vec::new(),
            prepared: String::new(),
        };
        let program = Program {
            source: "group".into(),
            decoder: None,
            event_time: None,
            inlets: Vec::new(),
            steps: Vec::new(),
            targets: vec![Target::Outlet(0)],
            outlets: vec![Outlet { sink: 0, shape, format: None }],
        };
        let source = Box::new(GroupSource::new(life, writer));
        Job {
            sources: vec![JobSource {
                name: "group".into(),
                source,
                programs: vec![program],
                disorder: 0,
                idle_after: Duration::ZERO,
            }],
            tasks: Vec::new(),
            sinks: vec![JobSink {
                name: "memory".into(),
                sink: AnySink::Plain(Box::new(sink)),
                format: None,
            }],
            errors: Policy::Stop,
            lanes: 1,
            interval: Duration::from_millis(3),
            halved: 0,
            store: Arc::new(LocalStore::new(Arc::new(SimDisk::default()), "state".into(), writer.to_owned())),
            writer: Writer(writer.to_owned()),
            worker: worker.to_owned(),
            clock: Arc::new(SimClock::default()),
            stats: Arc::new(Stats::new(["group".into()], ["memory".into()])),
        }
    }

    /// One worker, life after life; some lives end with a wish of its own to leave.
    async fn worker(self, name: String, mut rng: Rng) {
        let calm = self.calm.subscribe();
        for number in 0_u64.. {
            if *calm.borrow() {
                return;
            }
            let writer = format!("{name}.{number}");
            let life = Life::new(&self.store, self.mistake, Some(1 + rng.below(40 + number * 8)));
            let (ask, stop) = watch::channel(Stop::No);
            let mut running = std::pin::pin!(run(self.job(&life, &name, &writer), stop));
            let patience = Duration::from_millis(5 + rng.below(60));
            let mut calmed = calm.clone();
            tokio::select! {
                _ = &mut running => {}
                () = sleep(patience) => {
                    let _ = ask.send(Stop::Drain);
                    let _ = running.await;
                }
                () = async { drop(calmed.wait_for(|calm| *calm).await) } => {
                    let _ = ask.send(Stop::Now);
                    let _ = running.await;
                }
            }
            // The group notices after a while; the next life may be there before that.
            let store = self.store.clone();
            let session = Duration::from_millis(rng.below(12));
            tokio::spawn(async move {
                sleep(session).await;
                let mut store = store.lock().expect("not poisoned");
                store.remove(&writer);
                store.remove(&returned(&writer));
            });
            sleep(Duration::from_millis(rng.below(8))).await;
        }
    }

    /// Removes members that are alive.
    async fn removals(self, mut rng: Rng) {
        loop {
            sleep(Duration::from_millis(4 + rng.below(20))).await;
            let mut store = self.store.lock().expect("not poisoned");
            if let Some(member) = store.removable(&mut rng)
                && store.remove(&member)
            {
                store.count("removals");
            }
        }
    }

    async fn wait_for(&self, condition: impl Fn(&Store) -> bool) {
        let reached = async {
            while !condition(&self.store.lock().expect("not poisoned")) {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(PATIENCE, reached).await.expect("the world comes to its end");
    }

    /// From the start until everything is committed; then one worker without faults takes what is left.
    async fn live(&self, seed: u64) {
        let workers: Vec<_> = (0..3)
            .map(|number| tokio::spawn(self.clone().worker(format!("w{number}"), Rng(seed * 1_000 + number))))
            .collect();
        let removals = tokio::spawn(self.clone().removals(Rng(seed * 1_000 + 10)));
        self.wait_for(Store::is_committed).await;
        removals.abort();
        self.calm.send_replace(true);
        for worker in workers {
            worker.await.expect("workers do not panic");
        }
        let life = Life::new(&self.store, self.mistake, None);
        let (ask, stop) = watch::channel(Stop::No);
        let last = tokio::spawn(run(self.job(&life, "last", "last"), stop));
        self.wait_for(|store| store.holds_all("last")).await;
        let _ = ask.send(Stop::Drain);
        let summary = timeout(PATIENCE, last).await.expect("it drains").expect("it does not panic");
        summary.expect("nothing fails any more");
    }
}

/// Rows that are missing, rows that are double, whether each partition's are in order, and what happened on the way.
fn outcome(kind: Kind, mistake: Option<Mistake>, seed: u64) -> (usize, usize, bool, BTreeMap<String, u64>) {
    let world = World::new(kind, mistake);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .expect("a runtime");
    runtime.block_on(world.live(seed));
    let store = world.store.lock().expect("not poisoned");
    let (missing, double) = store.faults();
    (missing, double, store.is_in_order(), store.events.clone())
}

/// Runs worlds with these seeds; every kind of event must have happened in them.
#[expect(clippy::print_stdout, reason = "a test says what it has seen")]
fn check(kind: Kind, seeds: std::ops::RangeInclusive<u64>, events: &[&str]) {
    let mut all: BTreeMap<String, u64> = BTreeMap::new();
    for seed in seeds {
        let (missing, double, in_order, happened) = outcome(kind, None, seed);
        assert_eq!(missing, 0, "{kind:?}, seed {seed}: rows are missing; {happened:?}");
        if kind != Kind::AtLeastOnce {
            assert_eq!(double, 0, "{kind:?}, seed {seed}: rows are double; {happened:?}");
            assert!(
                in_order,
                "{kind:?}, seed {seed}: rows are not in the order of their partition; {happened:?}"
            );
        }
        for (event, times) in happened {
            *all.entry(event).or_default() += times;
        }
    }
    println!("{kind:?}: {all:?}");
    let never: Vec<&&str> = events.iter().filter(|event| !all.contains_key(**event)).collect();
    assert!(never.is_empty(), "{kind:?}: never happened: {never:?}");
}

/// What happens in each world, whatever the destination.
const ALWAYS: [&str; 9] = [
    "removals",
    "revocations",
    "leaves",
    "dies at gain or revocation",
    "dies at read",
    "dies at write",
    "dies at prepare",
    "dies at release",
    "dies at let go",
];

#[test]
fn rows_of_a_two_phase_destination_are_there_once_whichever_worker_dies() {
    let more = ["adoptions", "refused commits", "dies at prepare's answer", "dies at commit's answer"];
    let more = more.into_iter().chain(["dies at publish", "dies at publish's answer", "dies at adopt"]);
    check(Kind::TwoPhase, 1..=40, &ALWAYS.into_iter().chain(more).collect::<Vec<_>>());
}

#[test]
fn rows_and_offsets_of_a_group_take_effect_together_whichever_worker_dies() {
    let more = ["refused commits", "dies at claim", "dies at transaction", "dies at transaction's answer"];
    check(Kind::OffsetTransaction, 1..=40, &ALWAYS.into_iter().chain(more).collect::<Vec<_>>());
}

#[test]
fn no_row_is_missing_from_a_destination_that_is_at_least_once() {
    let more = ["refused commits", "dies at commit", "dies at commit's answer"];
    check(Kind::AtLeastOnce, 1..=40, &ALWAYS.into_iter().chain(more).collect::<Vec<_>>());
}

#[expect(clippy::print_stdout, reason = "a test says what it has seen")]
#[track_caller]
fn finds(kind: Kind, mistake: Mistake) {
    // What the threads of a world do when is not the seed's to say: the search goes on until it finds.
    let found = (1..=400).find(|&seed| {
        let (missing, double, _, _) = outcome(kind, Some(mistake), seed);
        missing > 0 || double > 0
    });
    println!("{mistake:?} with {kind:?}: found with seed {found:?}");
    assert!(found.is_some(), "{mistake:?}: a checker that cannot fail is not a test");
}

#[test]
fn the_checker_notices_partitions_that_go_before_their_rows_are_committed() {
    finds(Kind::TwoPhase, Mistake::EarlyLetGo);
    finds(Kind::OffsetTransaction, Mistake::EarlyLetGo);
}

#[test]
fn the_checker_notices_work_that_nobody_adopts() {
    finds(Kind::TwoPhase, Mistake::NoAdoption);
}

#[test]
fn the_checker_notices_commits_of_members_that_were_removed() {
    finds(Kind::TwoPhase, Mistake::NoGeneration);
    finds(Kind::OffsetTransaction, Mistake::NoGeneration);
}

#[test]
fn a_member_that_returns_under_another_name_commits_nothing_it_has_lost() {
    for seed in 1..=40 {
        for kind in [Kind::TwoPhase, Kind::OffsetTransaction] {
            let (missing, double, _, _) = outcome(kind, Some(Mistake::SilentReturn), seed);
            assert_eq!((missing, double), (0, 0), "{kind:?}, seed {seed}");
        }
    }
}

#[test]
fn the_checker_notices_rows_that_are_visible_before_the_commit() {
    finds(Kind::TwoPhase, Mistake::EarlyRows);
}
