//! PostgreSQL with the guide's tables, a search index, and the pipeline between them, held open and killed.

use super::check::Document;
use super::ledger::{Ledger, Writing};
use crate::harness::{Place, text};
use acme_lab::elasticsearch::{Engine, Node};
use acme_lab::postgres::Postgres;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(240);

pub struct World {
    pub place: Place,
    pub postgres: Postgres,
    pub node: Node,
    file: &'static str,
    /// How many kills hit which phase.
    pub kills: BTreeMap<String, u32>,
}

impl World {
    pub fn start(engine: Engine, file: &'static str, pipeline: &str, rows: i64) -> Self {
        let postgres = Postgres::with(&[("wal_sender_timeout", "3s")]).expect("PostgreSQL starts");
        let sql = format!(
            "CREATE TABLE users (id bigint PRIMARY KEY, name text NOT NULL, balance numeric(12,2), note text);
             ALTER TABLE users ALTER COLUMN note SET STORAGE EXTERNAL;
             CREATE TABLE orders (id bigserial PRIMARY KEY);
             INSERT INTO users SELECT n, 'user ' || n, n % 100000 / 100.0,
                 CASE WHEN n % 500 = 0 THEN repeat(n || ' ', 1500) END FROM generate_series(1, {rows}) n;"
        );
        postgres.psql(&sql).expect("the tables are made");
        postgres.psql("CREATE PUBLICATION acme_pub FOR TABLE users, orders").expect("it is made");
        let node = Node::start(engine).expect("the index starts");
        let place = Place::new();
        place.write(file, pipeline);
        std::fs::create_dir(place.path("held")).expect("the directory can be written");
        Self { place, postgres, node, file, kills: BTreeMap::new() }
    }

    /// The run, not yet started.
    pub fn command(&self, points: &str) -> Command {
        let mut command = self.place.command(&["run", self.file]);
        command.env("DATABASE_URL", self.postgres.url()).env("ELASTICSEARCH_URL", self.node.url());
        if !points.is_empty() {
            command.env("ACME_FAILPOINTS", format!("{}:{points}", self.place.path("held").display()));
        }
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }

    pub fn run(&self) -> Child {
        self.command("").spawn().expect("the binary runs")
    }

    /// Where a run says that it is held.
    pub fn mark(&self, point: &str) -> PathBuf {
        self.place.path("held").join(point.split('@').next().expect("a split has a first part"))
    }

    /// A run that stands still at a place.
    pub fn held(&self, point: &str) -> Child {
        let mut child = self.command(point).spawn().expect("the binary runs");
        let mark = self.mark(point);
        await_true(&format!("the run comes to {point}"), || {
            if let Some(status) = child.try_wait().expect("it can be asked") {
                let output = std::io::read_to_string(child.stderr.take().expect("it is piped"));
                panic!("the run ended with {status} before {point}: {}", output.unwrap_or_default());
            }
            mark.exists()
        });
        child
    }

    /// Kills a run where it stands, and counts it.
    pub fn kill(&mut self, mut child: Child, phase: &str) {
        assert!(child.try_wait().expect("it can be asked").is_none(), "the run ended before it was killed");
        child.kill().expect("it runs");
        child.wait().expect("it ends");
        for mark in std::fs::read_dir(self.place.path("held")).expect("it is there").flatten() {
            std::fs::remove_file(mark.path()).expect("it is ours");
        }
        *self.kills.entry(phase.to_owned()).or_default() += 1;
    }

    /// Holds a run at a place and kills it there.
    pub fn kill_at(&mut self, phase: &str, point: &str) {
        let child = self.held(point);
        self.kill(child, &format!("{phase}: {}", point.split('@').next().expect("it has a first part")));
    }

    pub fn get(&self, path: &str) -> String {
        self.request(path, "")
    }

    fn request(&self, path: &str, body: &str) -> String {
        let url = format!("{}/{path}", self.node.url());
        let mut command = Command::new("curl");
        command.args(["-s", "--max-time", "60", &url]);
        if !body.is_empty() {
            command.args(["-H", "Content-Type: application/json", "-d", body]);
        }
        text(&command.output().expect("curl runs").stdout)
    }

    /// How many documents there are, as far as they can be searched.
    pub fn count(&self, index: &str) -> u64 {
        self.get(&format!("{index}/_refresh"));
        let reply: serde_json::Value =
            serde_json::from_str(&self.get(&format!("{index}/_count"))).unwrap_or_default();
        reply["count"].as_u64().unwrap_or(0)
    }

    /// Waits until the row after all others is delivered.
    pub fn await_end(&self, index: &str, id: i64) {
        await_true("the last row is delivered", || {
            self.get(&format!("{index}/_doc/{id}?filter_path=found")).contains("true")
        });
    }

    /// All documents.
    pub fn documents(&self, index: &str) -> BTreeMap<i64, Document> {
        self.get(&format!("{index}/_refresh"));
        let mut documents = BTreeMap::new();
        let mut after = i64::MIN;
        loop {
            let path = format!("{index}/_search?filter_path=hits.hits._id,hits.hits._source");
            let body = format!(
                r#"{{"size":10000,"sort":["id"],"search_after":[{after}],"track_total_hits":false}}"#
            );
            let reply = self.request(&path, &body);
            if reply.trim() == "{}" {
                return documents;
            }
            let page: Reply =
                serde_json::from_str(&reply).unwrap_or_else(|error| panic!("{error}: {reply:.300}"));
            for hit in page.hits.hits {
                after = hit.source.id;
                documents.insert(hit.id.parse().expect("ids are numbers"), hit.source);
            }
        }
    }
}

#[derive(Deserialize)]
struct Reply {
    hits: Hits,
}

#[derive(Deserialize)]
struct Hits {
    hits: Vec<Hit>,
}

#[derive(Deserialize)]
struct Hit {
    #[serde(rename = "_id")]
    id: String,
    #[serde(rename = "_source")]
    source: Document,
}

#[track_caller]
pub fn await_true(what: &str, mut is: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < until, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Changes the table all the time, in a thread of its own.
pub struct Load {
    pub writing: Arc<Mutex<Writing>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Load {
    pub fn start(postgres: &Postgres, rows: i64, seed: u64) -> Self {
        let writing = Arc::new(Mutex::new(Writing::new(postgres, Ledger::new(rows), seed)));
        let stop = Arc::new(AtomicBool::new(false));
        let (shared, stopped) = (writing.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                shared.lock().expect("no thread panics with it").transaction();
                std::thread::sleep(Duration::from_millis(15));
            }
        });
        Self { writing, stop, thread: Some(thread) }
    }

    /// The copy is committed: what is deleted from now on was read by it.
    pub fn copied(&self) {
        self.writing.lock().expect("no thread panics with it").ledger.copied = true;
    }

    /// Does something while nothing is written.
    pub fn paused<R>(&self, action: impl FnOnce(&mut Writing) -> R) -> R {
        action(&mut self.writing.lock().expect("no thread panics with it"))
    }

    /// Stops after at least so many changes, writes the row with this id after all others, and tells what was done.
    pub fn end(mut self, changes: u64, id: i64) -> Ledger {
        await_true("enough was changed", || self.paused(|writing| writing.ledger.changes >= changes));
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().expect("it is ended once").join().expect("the writer does not fail");
        self.paused(|writing| {
            writing.end(id);
            writing.ledger.clone()
        })
    }
}
