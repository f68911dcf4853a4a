//! Streams of changes: which rows exist behind a condition, and which destinations can take them.

use crate::harness::{Place, text};
use acme_lab::elasticsearch::{Engine, Node};
use acme_lab::postgres::Postgres;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const SOURCE: &str = "sources:
  - {type: postgres, connection: \"${DATABASE_URL}\", mode: cdc, publication: p, slot: s, tables: [public.users]}
";

fn database() -> Postgres {
    let postgres = Postgres::start().expect("PostgreSQL starts");
    let sql = "CREATE TABLE users (id bigint PRIMARY KEY, country text, name text);
               INSERT INTO users SELECT n, CASE WHEN n % 2 = 0 THEN 'DE' ELSE 'FR' END, 'user ' || n
               FROM generate_series(1, 100) n;";
    postgres.psql(sql).expect("the table is made");
    postgres
}

/// The ids in an index, in order.
fn ids(node: &Node, index: &str) -> Vec<i64> {
    let get = |path: &str| {
        let url = format!("{}/{index}/{path}", node.url());
        text(&Command::new("curl").args(["-s", "--max-time", "20", &url]).output().expect("curl runs").stdout)
    };
    get("_refresh");
    let reply: serde_json::Value = serde_json::from_str(&get("_search?size=1000")).unwrap_or_default();
    let hits = reply["hits"]["hits"].as_array().cloned().unwrap_or_default();
    let mut ids: Vec<i64> = hits.iter().filter_map(|hit| hit["_id"].as_str()?.parse().ok()).collect();
    ids.sort_unstable();
    ids
}

#[test]
fn a_row_that_an_update_takes_out_of_a_condition_leaves_the_destination() {
    let postgres = database();
    let node = Node::start(Engine::Elasticsearch).expect("Elasticsearch starts");
    let place = Place::new();
    place.write(
        "p.yaml",
        &format!(
            "name: parts\n{SOURCE}transforms:
  - {{type: filter, name: some, condition: \"id <= 90 AND name <> 'hidden'\"}}
  - {{type: route, name: by_country, from: some, routes: {{de: \"country = 'DE'\", fr: \"country = 'FR'\"}}}}
destinations:
  - {{type: elasticsearch, name: german, from: de, index: de, id_field: id}}
  - {{type: elasticsearch, name: french, from: fr, index: fr, id_field: id}}
  - {{type: elasticsearch, name: both, from: some, index: some, id_field: id}}
"
        ),
    );
    let mut command = place.command(&["run", "p.yaml"]);
    command.env("DATABASE_URL", postgres.url()).env("ELASTICSEARCH_URL", node.url());
    let mut child = command.stderr(Stdio::piped()).spawn().expect("the binary runs");
    let settle = |child: &mut Child, hidden: &dyn Fn(i64) -> bool, german: &dyn Fn(i64) -> bool| {
        let shown =
            |wanted: &dyn Fn(i64) -> bool| (1..=90).filter(|id| !hidden(*id) && wanted(*id)).collect();
        let expected: [Vec<i64>; 3] = [shown(german), shown(&|id| !german(id)), shown(&|_| true)];
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let found = ["de", "fr", "some"].map(|index| ids(&node, index));
            if found == expected {
                return;
            }
            if child.try_wait().expect("it can be asked").is_some() {
                panic!("the run ended: {:?}", child.stderr.take().map(std::io::read_to_string));
            }
            assert!(Instant::now() < until, "found {found:?}, expected {expected:?}");
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    settle(&mut child, &|_| false, &|id| id % 2 == 0);
    let sql = "UPDATE users SET name = 'hidden' WHERE id <= 10;
               UPDATE users SET country = 'DE' WHERE id BETWEEN 20 AND 29;
               DELETE FROM users WHERE id = 30;
               UPDATE users SET name = 'shown' WHERE id <= 5;";
    postgres.psql(sql).expect("it can be written");
    settle(&mut child, &|id| (6..=10).contains(&id) || id == 30, &|id| {
        id % 2 == 0 || (20..=29).contains(&id)
    });
    assert!(child.try_wait().expect("it can be asked").is_none(), "the run goes on");
    place.acme_ok(&["stop", "parts"]);
    assert!(child.wait().expect("it ends").success());
}

const FILE: &str = "{type: file, path: out.jsonl}";
const APPEND: &str = "{type: postgres, connection: \"${DATABASE_URL}\", table: history, mode: append}";

fn validate(place: &Place, postgres: &Postgres, transforms: &str, destination: &str) -> (bool, String) {
    let text = format!("name: p\nmode: batch\n{SOURCE}{transforms}destinations: [{destination}]\n");
    place.write("p.yaml", &text);
    let mut command = place.command(&["validate", "--online", "p.yaml"]);
    let output = command.env("DATABASE_URL", postgres.url()).output().expect("the binary runs");
    (output.status.success(), crate::harness::text(&output.stderr))
}

#[test]
fn a_destination_that_only_adds_rows_takes_changes_when_it_shows_them() {
    let postgres = database();
    let place = Place::new();
    postgres.psql("CREATE PUBLICATION p FOR TABLE users").expect("it is made");
    for destination in [FILE, APPEND] {
        for refused in ["", "transforms:\n  - {type: filter, condition: \"operation <> 'DELETE'\"}\n"] {
            let (ready, told) = validate(&place, &postgres, refused, destination);
            assert!(!ready && told.contains("A0204") && told.contains("operation: operation"), "{told}");
            assert!(told.contains("p.yaml:"), "{told}");
        }
        for taken in [
            "transforms:\n  - {type: filter, condition: \"operation = 'INSERT' AND country = 'DE'\"}\n",
            "transforms:\n  - {type: map, fields: {operation: operation}}\n",
        ] {
            let (ready, told) = validate(&place, &postgres, taken, destination);
            assert!(ready, "{told}");
        }
    }
    for keyed in ["mode: upsert", "key: [id]", "table: users_copy"] {
        let destination = APPEND.replace("mode: append", keyed).replace("table: history, table", "table");
        let (ready, told) = validate(&place, &postgres, "", &destination);
        assert!(ready, "{keyed}: {told}");
    }
}

#[test]
fn a_table_that_only_grows_holds_every_change_of_the_source() {
    let postgres = database();
    let place = Place::new();
    place.write(
        "p.yaml",
        &format!(
            "name: history\n{SOURCE}transforms:\n  - {{type: map, fields: {{op: operation, id: id, name: name}}}}
destinations: [{APPEND}]\n"
        ),
    );
    let mut command = place.command(&["run", "p.yaml"]);
    let mut child = command.env("DATABASE_URL", postgres.url()).spawn().expect("the binary runs");
    let holds = |sql: &str, expected: &str| {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let found = postgres.psql(sql).unwrap_or_default();
            if found.trim() == expected {
                return;
            }
            assert!(Instant::now() < until, "found {found}, expected {expected}");
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    holds("SELECT count(*) FROM history", "100");
    let sql = "BEGIN; UPDATE users SET name = 'a' WHERE id = 1; UPDATE users SET name = 'b' WHERE id = 1;
               DELETE FROM users WHERE id = 1; COMMIT; TRUNCATE users; INSERT INTO users VALUES (1, 'DE', 'c')";
    postgres.psql(sql).expect("it can be written");
    holds(
        "SELECT string_agg(op || coalesce(name, '-'), ' ' ORDER BY ctid) FROM history WHERE id = 1 OR id IS NULL",
        "INSERTuser 1 UPDATEa UPDATEb DELETE- TRUNCATE- INSERTc",
    );
    assert!(child.try_wait().expect("it can be asked").is_none(), "the run goes on");
    place.acme_ok(&["stop", "history"]);
    assert!(child.wait().expect("it ends").success());
}
