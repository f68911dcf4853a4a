//! `acme validate --online`: what would stop a pipeline is said before it runs, and looking changes nothing.

use crate::harness::{Place, text};
use acme_lab::elasticsearch::{Engine, Node};
use acme_lab::postgres::Postgres;

const PIPELINE: &str = r#"name: p
sources:
  - type: postgres
    connection: "${DATABASE_URL}"
    mode: cdc
    tables: [public.users]
    publication: p
    slot: mine
destinations:
  - {type: elasticsearch, index: users, id_field: id}
"#;

struct World {
    place: Place,
    postgres: Postgres,
    elasticsearch: String,
}

impl World {
    /// Looks as this user: whether all is well, and what is said.
    fn look(&self, user: &str) -> (bool, String) {
        let url = self.postgres.url().replace("postgres:lab", user);
        let mut command = self.place.command(&["validate", "--online", "p.yaml"]);
        command.env("DATABASE_URL", url).env("ELASTICSEARCH_URL", &self.elasticsearch);
        let output = command.output().expect("the binary runs");
        (output.status.success(), text(&output.stdout) + &text(&output.stderr))
    }

    #[track_caller]
    fn refuses(&self, user: &str, expected: &[&str]) {
        let (well, told) = self.look(user);
        assert!(!well, "{told}");
        for part in expected {
            assert!(told.contains(part), "{part}: {told}");
        }
        assert!(told.contains("--> p.yaml:"), "{told}");
    }

    fn sql(&self, sql: &str) -> String {
        self.postgres.psql(sql).unwrap_or_else(|error| panic!("{error}")).trim().to_owned()
    }
}

#[test]
fn what_a_run_would_stop_at_is_said_before_and_nothing_is_changed() {
    let node = Node::start(Engine::Elasticsearch).expect("Elasticsearch starts");
    let mut world = World {
        place: Place::new(),
        postgres: Postgres::start().expect("PostgreSQL starts"),
        elasticsearch: "http://127.0.0.1:1".to_owned(),
    };
    world.place.write("p.yaml", PIPELINE);
    world.sql(
        "CREATE ROLE reader LOGIN PASSWORD 'reader'; CREATE ROLE writer LOGIN REPLICATION PASSWORD 'writer';
         CREATE ROLE maker LOGIN REPLICATION PASSWORD 'maker'; GRANT CREATE ON DATABASE postgres TO maker",
    );
    // What is wrong at both ends is said at once.
    world.refuses("postgres:lab", &["no table public.users", "p.yaml:6", "cannot connect to", "p.yaml:10"]);
    world.elasticsearch = node.url();
    world.sql("CREATE TABLE users (id int PRIMARY KEY); GRANT SELECT ON users TO reader, writer, maker");
    world.refuses("reader:reader", &["refuses replication", "ALTER ROLE \"reader\" REPLICATION"]);
    world.refuses(
        "writer:writer",
        &["may not create it: it lacks the right CREATE", "CREATE PUBLICATION \"p\""],
    );
    world.refuses(
        "maker:maker",
        &["may not create it: it does not own public.users", "run as the tables' owner"],
    );
    world.sql("SELECT pg_create_logical_replication_slot('s' || n, 'pgoutput') FROM generate_series(1, 4) n");
    world.refuses("postgres:lab", &["all replication slots", "max_replication_slots"]);
    // Nothing of a run that would fail was begun.
    assert_eq!(world.sql("SELECT count(*) FROM pg_publication"), "0");
    world.sql("SELECT pg_drop_replication_slot('s1'); SELECT pg_create_logical_replication_slot('mine', 'test_decoding')");
    world.refuses("postgres:lab", &["of another database or output plugin", "another name"]);
    world.sql("SELECT pg_drop_replication_slot('mine'); CREATE PUBLICATION p");
    world.refuses(
        "postgres:lab",
        &["does not contain", "ALTER PUBLICATION \"p\" ADD TABLE \"public\".\"users\""],
    );
    world.sql("ALTER PUBLICATION p ADD TABLE users");
    for user in ["postgres:lab", "writer:writer"] {
        let (well, told) = world.look(user);
        assert!(well, "{told}");
    }
    assert_eq!(world.sql("SELECT count(*) FROM pg_replication_slots"), "3");
}
