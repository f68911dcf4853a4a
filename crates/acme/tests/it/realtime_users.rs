//! The guide's pipeline, word for word, from a real PostgreSQL to a real Elasticsearch, killed while it runs.

use crate::harness::{Place, text};
use acme_lab::elasticsearch::{Engine, Node};
use acme_lab::postgres::Postgres;
use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PIPELINE: &str = include_str!("../../../../examples/realtime-users.yaml");

/// Both systems with the guide's database in one of them.
struct World {
    place: Place,
    postgres: Postgres,
    node: Node,
}

impl World {
    fn start() -> Self {
        let postgres = Postgres::start().expect("PostgreSQL starts");
        postgres
            .psql(
                "CREATE TABLE users (id bigint PRIMARY KEY, name text NOT NULL, balance numeric(12,2), note text);
                 CREATE TABLE orders (id bigint PRIMARY KEY, user_id bigint);",
            )
            .expect("the tables are made");
        postgres.psql("CREATE PUBLICATION acme_pub FOR TABLE users, orders").expect("it is made");
        let node = Node::start(Engine::Elasticsearch).expect("Elasticsearch starts");
        let place = Place::new();
        place.write("realtime-users.yaml", PIPELINE);
        Self { place, postgres, node }
    }

    fn sql(&self, sql: &str) -> String {
        self.postgres.psql(sql).unwrap_or_else(|error| panic!("{error:#}"))
    }

    fn run(&self) -> Child {
        self.place
            .command(&["run", "realtime-users.yaml"])
            .env("DATABASE_URL", self.postgres.url())
            .env("ELASTICSEARCH_URL", self.node.url())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs")
    }

    fn get(&self, path: &str) -> String {
        let url = format!("{}/{path}", self.node.url());
        let output = Command::new("curl").args(["-s", "--max-time", "20", &url]).output().expect("curl runs");
        text(&output.stdout)
    }

    /// The documents of the index, by id.
    fn index(&self) -> BTreeMap<String, serde_json::Value> {
        self.get("users/_refresh");
        let reply = self.get("users/_search?size=10000&sort=id");
        let reply: serde_json::Value = serde_json::from_str(&reply).unwrap_or_default();
        let hits = reply["hits"]["hits"].as_array().cloned().unwrap_or_default();
        let document = |hit: serde_json::Value| {
            (hit["_id"].as_str().unwrap_or_default().to_owned(), hit["_source"].clone())
        };
        hits.into_iter().map(document).collect()
    }

    /// Waits until the index holds what it should.
    fn settle(&self, expected: &BTreeMap<String, (String, f64)>) {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let found: BTreeMap<String, (String, f64)> = self
                .index()
                .into_iter()
                .map(|(id, document)| {
                    assert!(document["changed_at"].is_string(), "{document}");
                    let name = document["name"].as_str().unwrap_or_default().to_owned();
                    (id, (name, document["balance"].as_f64().unwrap_or_default()))
                })
                .collect();
            if found == *expected {
                return;
            }
            if Instant::now() > until {
                let missing: Vec<_> =
                    expected.iter().filter(|(id, row)| found.get(*id) != Some(row)).take(5).collect();
                let extra: Vec<_> = found.keys().filter(|id| !expected.contains_key(*id)).take(5).collect();
                panic!(
                    "{} documents, {} expected; wrong or missing: {missing:?}; not expected: {extra:?}",
                    found.len(),
                    expected.len()
                );
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

fn kill(mut child: Child) {
    assert!(child.try_wait().expect("it can be asked").is_none(), "the run ended before it was killed");
    child.kill().expect("it runs");
    child.wait().expect("it ends");
}

#[test]
fn every_change_reaches_the_index_whatever_is_killed() {
    let world = World::start();
    world.sql("INSERT INTO users SELECT n, 'user ' || n, n / 100.0 FROM generate_series(1, 3000) n");
    let mut expected: BTreeMap<String, (String, f64)> =
        (1..=3000).map(|n| (n.to_string(), (format!("user {n}"), f64::from(n) / 100.0))).collect();

    // Killed during the start, the copy and the first changes.
    for pause in [150, 400, 900] {
        let child = world.run();
        std::thread::sleep(Duration::from_millis(pause));
        kill(child);
    }
    let child = world.run();
    world.settle(&expected);

    // Changes under kills; a delete leaves its document, because this pipeline filters deletes.
    let mut child = child;
    for round in 0..4 {
        let (from, to) = (3001 + round * 500, 3500 + round * 500);
        world.sql(&format!(
            "INSERT INTO users SELECT n, 'user ' || n, n / 100.0 FROM generate_series({from}, {to}) n;
             UPDATE users SET name = 'round {round} ' || id, balance = {round}.25 WHERE id % 7 = {round};
             DELETE FROM users WHERE id = {};
             INSERT INTO orders VALUES ({round}, 1);",
            round + 1
        ));
        if round > 0 {
            std::thread::sleep(Duration::from_millis(50 * round as u64));
        }
        kill(child);
        for n in from..=to {
            expected.insert(n.to_string(), (format!("user {n}"), n as f64 / 100.0));
        }
        for (id, row) in &mut expected {
            let id: i64 = id.parse().expect("a number");
            let gone = (1..=round).contains(&id);
            if id % 7 == round && !gone {
                *row = (format!("round {round} {id}"), round as f64 + 0.25);
            }
        }
        child = world.run();
    }
    world.settle(&expected);

    let status = world.place.acme_ok(&["status", "--streaming"]);
    assert!(status.contains("│ realtime-users │ running  │"), "{status}");
    world.place.acme_ok(&["stop", "realtime-users"]);
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", text(&output.stderr));
}
