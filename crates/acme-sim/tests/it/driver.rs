//! The whole driver, with a database as commit point, dying at every kind of operation.

use acme_connect::{AnySink, CommitPoint, Content, Fates, Prepared, Read, Rows, Sink, Source, StreamInfo};
use acme_flow::checkpoint::{LocalStore, Writer};
use acme_flow::driver::{Job, JobSink, JobSource, Policy, Stop, Summary, run};
use acme_flow::{Outlet, Program, Stats, Target};
use acme_sim::{Rng, SimClock, SimDisk};
use acme_types::{
    Change, Chunk, Diagnostic, Epoch, Origin, Payload, Position, Positions, Shape, SplitId, codes,
};
use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;

const ROWS: i64 = 400;

/// A database: what its transactions have committed.
#[derive(Default)]
struct Database {
    rows: Vec<i64>,
    owner: String,
    checkpoint: Option<String>,
    /// Commits since all rows were there. The second one can only close the run.
    after_all: u64,
}

/// Counts operations down to the one at which the process dies.
#[derive(Clone, Default)]
struct Death(Arc<Mutex<Option<u64>>>);

impl Death {
    fn at(operation: u64) -> Self {
        Self(Arc::new(Mutex::new(Some(operation))))
    }

    fn step(&self) -> Result<(), Diagnostic> {
        let mut left = self.0.lock().expect("not poisoned");
        match left.as_mut() {
            None => Ok(()),
            Some(0) => Err(Diagnostic::new(&codes::INTERNAL, "the process is dead")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
        }
    }
}

struct DatabaseSink {
    database: Arc<Mutex<Database>>,
    writer: String,
    pending: Vec<i64>,
    death: Death,
    /// A mistake to be found: rows take effect when they are written.
    eager: bool,
}

impl Sink for DatabaseSink {
    async fn check(&mut self) -> Vec<Diagnostic> {
        Vec::new()
    }

    async fn open(&mut self, _: Option<&Prepared>) -> Result<(), Diagnostic> {
        self.death.step()
    }

    async fn write(&mut self, rows: &Rows) -> Result<Fates, Diagnostic> {
        self.death.step()?;
        let column = rows.batch.column("n").expect("the source makes it").as_primitive::<Int64Type>();
        match self.eager {
            true => self.database.lock().expect("not poisoned").rows.extend(column.values()),
            false => self.pending.extend(column.values()),
        }
        Ok(Fates::new())
    }

    async fn prepare(&mut self, _: Epoch, _: bool) -> Result<Prepared, Diagnostic> {
        self.death.step().map(|()| Prepared::new())
    }

    async fn commit(&mut self, _: Epoch) -> Result<(), Diagnostic> {
        self.death.step()
    }
}

impl CommitPoint for DatabaseSink {
    async fn claim(&mut self, writer: &str) -> Result<Option<String>, Diagnostic> {
        self.death.step()?;
        let mut database = self.database.lock().expect("not poisoned");
        writer.clone_into(&mut database.owner);
        writer.clone_into(&mut self.writer);
        Ok(database.checkpoint.clone())
    }

    async fn commit_with(&mut self, _: Epoch, checkpoint: &str) -> Result<(), Diagnostic> {
        self.death.step()?;
        {
            let mut database = self.database.lock().expect("not poisoned");
            if database.owner != self.writer {
                return Err(Diagnostic::new(&codes::LOST_OWNERSHIP, "another process took over"));
            }
            database.rows.append(&mut self.pending);
            database.checkpoint = Some(checkpoint.to_owned());
            database.after_all += u64::from(database.rows.len() == ROWS as usize);
        }
        // The answer may be lost after the transaction has taken effect.
        self.death.step()
    }
}

/// Counts from 0; each chunk holds a few rows.
struct Counting {
    next: i64,
    pause: Duration,
    death: Death,
}

fn split() -> SplitId {
    SplitId("rows".to_owned())
}

impl Source for Counting {
    async fn describe(&mut self) -> Result<Vec<StreamInfo>, Diagnostic> {
        let schema = Schema::new(vec![Field::new("n", DataType::Int64, false)]);
        let content = Content::Columns(Arc::new(schema));
        let (name, key) = ("rows".into(), Vec::new());
        Ok(vec![StreamInfo { name, key, change: Change::Append, content, meta: Vec::new() }])
    }

    async fn sample(&mut self, _: usize) -> Result<Vec<Chunk>, Diagnostic> {
        Ok(Vec::new())
    }

    async fn open(&mut self, from: &Positions) -> Result<Positions, Diagnostic> {
        self.death.step()?;
        self.next = from.get(&split()).map_or(0, |position| position.0.parse().expect("a number"));
        Ok([(split(), Position(self.next.to_string()))].into())
    }

    async fn read(&mut self) -> Result<Read, Diagnostic> {
        tokio::time::sleep(self.pause).await;
        self.death.step()?;
        if self.next == ROWS {
            return Ok(Read::End);
        }
        let end = (self.next + 7).min(ROWS);
        let column = Int64Array::from_iter_values(self.next..end);
        let batch = RecordBatch::try_from_iter([("n", Arc::new(column) as _)]).expect("one column");
        self.next = end;
        Ok(Read::Rows(Chunk {
            payload: Payload::Batch(batch),
            stream: 0,
            split: split(),
            position: Position(end.to_string()),
            origin: Origin { name: "rows".into(), offset: 0 },
        }))
    }

    async fn release(&mut self, _: &Positions) -> Result<(), Diagnostic> {
        self.death.step()
    }
}

struct World {
    disk: SimDisk,
    database: Arc<Mutex<Database>>,
    eager: bool,
}

impl World {
    fn new(eager: bool) -> Self {
        Self { disk: SimDisk::default(), database: Arc::default(), eager }
    }

    fn job(&self, writer: &str, death: &Death, pause: Duration) -> Job {
        let shape = Arc::new(Shape { columns: vec![("n".into(), "n".into())], ..Shape::default() });
        let sink = DatabaseSink {
            database: self.database.clone(),
            writer: String::new(),
            pending: Vec::new(),
            death: death.clone(),
            eager: self.eager,
        };
        Job {
            sources: vec![JobSource {
                name: "count".into(),
                source: Box::new(Counting { next: 0, pause, death: death.clone() }),
                programs: vec![Program {
                    source: "count".into(),
                    decoder: None,
                    event_time: None,
                    inlets: Vec::new(),
                    steps: Vec::new(),
                    targets: vec![Target::Outlet(0)],
                    outlets: vec![Outlet { sink: 0, shape, format: None }],
                }],
                disorder: 0,
                idle_after: Duration::ZERO,
            }],
            tasks: Vec::new(),
            sinks: vec![JobSink {
                name: "db".into(),
                sink: AnySink::CommitPoint(Box::new(sink)),
                format: None,
            }],
            errors: Policy::Stop,
            lanes: 2,
            interval: Duration::from_millis(2),
            halved: 0,
            store: Arc::new(LocalStore::new(Arc::new(self.disk.clone()), "state".into(), writer.to_owned())),
            writer: Writer(writer.to_owned()),
            worker: "worker".to_owned(),
            clock: Arc::new(SimClock::default()),
            stats: Arc::new(Stats::new(["count".into()], ["db".into()])),
        }
    }

    fn rows(&self) -> Vec<i64> {
        self.database.lock().expect("not poisoned").rows.clone()
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().expect("a runtime")
}

/// Lives and deaths until the work is done; how many lives there were.
fn until_done(world: &World, seed: u64) -> u64 {
    let runtime = runtime();
    let mut rng = Rng(seed);
    for number in 0..500 {
        let death = Death::at(rng.below(30 + number * 4));
        let (_keep, stop) = watch::channel(Stop::No);
        let job = world.job(&format!("writer{number}"), &death, Duration::from_micros(200));
        match runtime.block_on(run(job, stop)) {
            Ok(Summary { complete }) => {
                assert!(complete, "nobody asked it to stop");
                return number;
            }
            // Only the answer to the last commit was lost: another run would be a new one.
            Err(_) if world.database.lock().expect("not poisoned").after_all >= 2 => return number,
            Err(_) => world.disk.reboot(&mut rng),
        }
    }
    panic!("seed {seed}: the work never came to its end");
}

#[test]
fn rows_and_progress_take_effect_together_whatever_dies() {
    let mut lives = 0;
    for seed in 1..=40 {
        let world = World::new(false);
        lives += until_done(&world, seed);
        assert_eq!(world.rows(), (0..ROWS).collect::<Vec<_>>(), "seed {seed}");
    }
    println!("{lives} deaths");
    assert!(lives > 200, "only {lives} deaths");
}

#[test]
fn the_checker_notices_rows_that_take_effect_too_early() {
    let caught = (1..=10).any(|seed| {
        let world = World::new(true);
        until_done(&world, seed);
        world.rows() != (0..ROWS).collect::<Vec<_>>()
    });
    assert!(caught, "a checker that cannot fail is not a test");
}

#[test]
fn a_zombie_commits_nothing_after_its_successor_has_claimed() {
    let world = World::new(false);
    let runtime = runtime();
    let job = |writer: &str, pause| world.job(writer, &Death::default(), pause);
    let (_keep, stop) = watch::channel(Stop::No);
    let old = runtime.spawn(run(job("old", Duration::from_millis(3)), stop.clone()));
    runtime.block_on(async {
        while world.rows().len() < 20 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let new = run(job("new", Duration::from_micros(100)), stop).await;
        assert_eq!(new, Ok(Summary { complete: true }));
        let old = old.await.expect("it does not panic");
        assert_eq!(old.expect_err("it was replaced").code.id, "A0406");
    });
    assert_eq!(world.rows(), (0..ROWS).collect::<Vec<_>>());
}
