//! From a generator and from files to BigQuery, killed in each narrow phase: every row is there once, by its own id.

use crate::harness::{Place, text};
use crate::lives::{Hits, Life, until};
use acme_lab::bigquery::Emulator;
use acme_lab::postgres::Postgres;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::Stdio;
use std::sync::LazyLock;

static EMULATOR: LazyLock<Emulator> = LazyLock::new(|| Emulator::start().expect("the emulator starts"));

/// The phases between the first byte and the last.
const PHASES: [&str; 9] = [
    "sink.write",
    "sink.written",
    "epoch.barrier",
    "bigquery.prepared",
    "epoch.prepared",
    "epoch.stored",
    "epoch.committed",
    "bigquery.committed",
    "epoch.published",
];

struct World {
    place: Place,
    environment: Vec<(&'static str, String)>,
}

impl World {
    fn new(dataset: &str, pipeline: &str) -> Self {
        EMULATOR.dataset(dataset).expect("it can be made");
        let place = Place::new();
        place.write("p.yaml", pipeline);
        let environment = vec![
            ("BIGQUERY_EMULATOR_HOST", EMULATOR.rest()),
            ("BIGQUERY_STORAGE_EMULATOR_HOST", EMULATOR.storage()),
            ("GOOGLE_CLOUD_PROJECT", "lab".to_owned()),
        ];
        Self { place, environment }
    }

    fn start(&self, points: &str) -> Life {
        let environment: Vec<(&str, &str)> =
            self.environment.iter().map(|(name, value)| (*name, &**value)).collect();
        Life::start(&self.place, "p.yaml", &environment, points)
    }

    /// Kills a life at a place.
    fn kill_at(&self, point: &str, hits: &mut Hits) {
        let _ = std::fs::remove_dir_all(self.place.path("marks"));
        let mut life = self.start(point);
        life.reach(&self.place, point);
        life.kill();
        hits.add(point.split_once('@').map_or(point, |(name, _)| name));
    }

    /// Runs to the end.
    fn finish(&self) -> String {
        let (success, words) = self.start("").end();
        assert!(success, "{words}");
        words
    }
}

fn query(sql: &str) -> Vec<String> {
    EMULATOR.query(sql).expect("the emulator answers")
}

/// A file of rows with these ids.
fn lines(ids: std::ops::Range<u32>) -> String {
    ids.fold(String::new(), |mut text, id| {
        writeln!(text, r#"{{"id":{id},"name":"n{id}"}}"#).expect("memory takes all");
        text
    })
}

#[test]
fn every_row_is_there_once_whatever_dies() {
    let world = World::new("kills", "");
    let mut hits = Hits::default();
    let mut next = 0;
    world.place.write("in.jsonl", "");
    // Each epoch is flushed by itself; then several are together. A life passes each place so often before it ends there.
    for (flush, passes) in [("0s", 2), ("150ms", 5)] {
        let pipeline = format!(
            "name: kills\nsources:\n  - {{type: file, path: in.jsonl}}\n\
             destinations:\n  - {{type: bigquery, table: kills.t, flush_interval: {flush}}}\n\
             settings: {{checkpoint: {{interval: 50ms}}}}\n"
        );
        world.place.write("p.yaml", &pipeline);
        for name in PHASES {
            let _ = std::fs::remove_dir_all(world.place.path("marks"));
            let mut life = world.start(&format!("{name}@{passes}"));
            let mark = world.place.path("marks").join(name);
            // Rows come all the time, so that each epoch has some.
            until(&format!("{name} is reached"), || {
                world.place.append("in.jsonl", &lines(next..next + 7));
                next += 7;
                assert!(life.is_alive() || mark.exists(), "{name} with {flush}: {}", life.last_words());
                mark.exists()
            });
            life.kill();
            hits.add(name);
        }
    }
    let mut life = world.start("");
    let all = next.to_string();
    until("all rows are there", || {
        assert!(life.is_alive(), "{}", life.last_words());
        query("SELECT COUNT(DISTINCT id) FROM kills.t") == [&*all]
    });
    life.stop();
    hits.require(&PHASES);
    assert_eq!(faults("kills.t", next), Vec::<String>::new());
    // The checker itself: it must find a row that is there twice, and one that is not there.
    query("INSERT INTO kills.t VALUES (5, 'n5')");
    assert_eq!(faults("kills.t", next), ["5 is there 2 times"]);
    query("DELETE FROM kills.t WHERE id IN (5, 6)");
    assert_eq!(faults("kills.t", next), ["5 is missing", "6 is missing"]);
}

/// What is wrong with a table that must hold each id below a number once.
fn faults(table: &str, ids: u32) -> Vec<String> {
    let doubled =
        query(&format!("SELECT id, COUNT(*) AS n FROM {table} GROUP BY id HAVING COUNT(*) > 1 ORDER BY id"));
    let mut faults: Vec<String> =
        (doubled.iter()).map(|line| line.replace('|', " is there ") + " times").collect();
    let found: BTreeSet<String> = query(&format!("SELECT DISTINCT id FROM {table}")).into_iter().collect();
    faults
        .extend((0..ids).filter(|id| !found.contains(&id.to_string())).map(|id| format!("{id} is missing")));
    faults
}

#[test]
fn a_table_is_replaced_by_a_whole_batch_and_by_nothing_less() {
    let world = World::new(
        "whole",
        "name: whole\nmode: batch\nsources:\n  - {type: file, path: in.jsonl}\n\
         destinations:\n  - {type: bigquery, table: whole.t, write_mode: truncate}\n\
         settings: {checkpoint: {interval: 20ms}}\n",
    );
    let rows = || query("SELECT COUNT(*), COUNT(DISTINCT id), MIN(id), MAX(id) FROM whole.t");
    world.place.write("in.jsonl", &lines(0..10));
    let words = world.finish();
    assert!(words.contains("CREATE TABLE `lab.whole.t` (`id` INT64, `name` STRING)"), "{words}");
    assert_eq!(rows(), ["10|10|0|9"]);
    // The next batch is larger than what is under way at once. It is asked to end in its middle: the table stays as it is.
    let wide = lines(1000..6000).replace(r#""name":"n"#, &format!(r#""name":"{}"#, "x".repeat(4000)));
    world.place.write("in.jsonl", &wide);
    let mut life = world.start("sink.written@1");
    life.reach(&world.place, "sink.written");
    life.signal("-TERM");
    std::fs::remove_file(world.place.path("marks/sink.written")).expect("it was reached");
    let (_, words) = life.end();
    assert_eq!(rows(), ["10|10|0|9"], "{words}");
    let mut hits = Hits::default();
    for point in
        ["epoch.prepared", "epoch.committed", "bigquery.committed", "bigquery.merged", "epoch.published"]
    {
        world.kill_at(point, &mut hits);
    }
    world.finish();
    hits.require(&["epoch.prepared", "epoch.committed", "bigquery.merged"]);
    assert_eq!(rows(), ["5000|5000|1000|5999"]);
}

/// Changes of every kind to a table of users.
fn changes(round: u32) -> String {
    let first = 1000 + round * 50;
    format!(
        "INSERT INTO users SELECT n, 'new ' || n, {round} FROM generate_series({first}, {first} + 49) n;
         UPDATE users SET name = name || '+', n = {round} WHERE id % 7 = {round} % 7;
         DELETE FROM users WHERE id % 11 = {round} % 11;
         UPDATE users SET id = -id WHERE id > 0 AND id % 13 = {round} % 13;
         BEGIN; UPDATE users SET n = n + 1 WHERE id % 2 = 0; UPDATE users SET n = n + 1 WHERE id % 3 = 0; COMMIT;"
    )
}

#[test]
fn a_table_of_postgres_and_its_copy_are_the_same_whatever_dies() {
    let source = Postgres::start().expect("PostgreSQL starts");
    source.psql("CREATE TABLE users (id int PRIMARY KEY, name text, n int)").expect("it is made");
    source
        .psql("INSERT INTO users SELECT n, 'n' || n, 0 FROM generate_series(1, 500) n")
        .expect("it is filled");
    let mut world = World::new(
        "changes",
        "name: changes\nsources:\n  - {type: postgres, connection: '${DATABASE_URL}', mode: cdc, tables: [public.users]}\n\
         destinations:\n  - {type: bigquery, table: changes.users, write_mode: upsert, flush_interval: 100ms, truncate: apply}\n\
         settings: {checkpoint: {interval: 100ms}}\n",
    );
    world.environment.push(("DATABASE_URL", source.url()));
    let mut hits = Hits::default();
    let points = [
        "sink.written",
        "epoch.prepared",
        "epoch.committed",
        "bigquery.committed",
        "bigquery.merged",
        "epoch.published",
    ];
    for (round, point) in (0..).zip(points.into_iter().chain(points)) {
        source.psql(&changes(round)).expect("the changes are made");
        if round == 7 {
            source
                .psql("TRUNCATE users; INSERT INTO users VALUES (1, 'after', 7), (2, 'after', 7)")
                .expect("it is done");
        }
        world.kill_at(point, &mut hits);
    }
    let mut life = world.start("");
    let expected: Vec<String> = source
        .psql("SELECT id, name, n FROM users ORDER BY id")
        .expect("it answers")
        .lines()
        .map(str::to_owned)
        .collect();
    until("the copy is the same", || {
        assert!(life.is_alive(), "{}", life.last_words());
        query("SELECT id, name, n FROM changes.users ORDER BY id") == expected
    });
    life.stop();
    hits.require(&points);
    assert!(expected.len() > 100);
}

#[test]
fn explain_says_what_each_interface_promises() {
    let world = World::new("promises", "");
    for (api, promise) in [
        ("storage_write", "exactly once: rows are prepared and take effect with the commit"),
        ("insert_all", "at least once: rows since the last commit come again after a crash"),
    ] {
        world.place.write(
            "p.yaml",
            &format!(
                "name: p\nmode: batch\nsources:\n  - {{type: file, path: in.jsonl}}\n\
                 destinations:\n  - {{type: bigquery, table: promises.t, api: {api}}}\n"
            ),
        );
        world.place.write("in.jsonl", "{}\n");
        let shown = world.place.acme_ok(&["explain", "p.yaml"]);
        assert!(shown.contains(promise), "{shown}");
    }
}

#[test]
fn credentials_are_looked_for_where_googles_own_tools_keep_them() {
    const REPLY: &str = r#"{"error":"invalid_grant","error_description":"this one was asked"}"#;
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let tokens = format!("http://{}/token", listener.local_addr().expect("it is bound"));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = stream;
            let _ = stream.read(&mut [0; 4096]);
            let reply = format!("HTTP/1.1 400 Bad\r\ncontent-length: {}\r\n\r\n{REPLY}", REPLY.len());
            let _ = stream.write_all(reply.as_bytes());
        }
    });
    let place = Place::new();
    place.write("in.jsonl", "{}\n");
    place.write(
        "p.yaml",
        "name: p\nmode: batch\nsources:\n  - {type: file, path: in.jsonl}\n\
         destinations:\n  - {type: bigquery, project: p, table: d.t}\n",
    );
    let file = format!(
        r#"{{"type":"authorized_user","client_id":"a","client_secret":"b","refresh_token":"c","token_uri":"{tokens}"}}"#
    );
    std::fs::create_dir_all(place.path("home/.config/gcloud")).expect("it can be made");
    place.write("home/.config/gcloud/application_default_credentials.json", &file);
    place.write("key.json", &file);
    let validate = |environment: &[(&str, &str)]| {
        let mut command = place.command(&["validate", "--online", "p.yaml"]);
        for name in ["HOME", "CLOUDSDK_CONFIG", "GOOGLE_APPLICATION_CREDENTIALS", "BIGQUERY_EMULATOR_HOST"] {
            command.env_remove(name);
        }
        let output = command.envs(environment.iter().copied()).output().expect("the binary runs");
        assert!(!output.status.success());
        text(&[output.stdout, output.stderr].concat())
    };
    let (home, folder) = (place.path("home"), place.path("home/.config/gcloud"));
    let (home, folder) = (home.display().to_string(), folder.display().to_string());
    for found in
        [("HOME", &*home), ("CLOUDSDK_CONFIG", &*folder), ("GOOGLE_APPLICATION_CREDENTIALS", "key.json")]
    {
        let words = validate(&[found]);
        assert!(
            words.contains("this one was asked") && words.contains("application-default login"),
            "{words}"
        );
    }
    let words = validate(&[("GCE_METADATA_HOST", "127.0.0.1:1"), ("HOME", "/nonexistent")]);
    assert!(words.contains("no credentials for Google Cloud are found"), "{words}");
    let words = validate(&[("GOOGLE_APPLICATION_CREDENTIALS", "absent.json")]);
    assert!(words.contains("the credentials in absent.json cannot be used"), "{words}");
}

#[test]
fn the_storage_write_api_is_reached_over_tls() {
    // A server of another implementation that lets nobody in; it prints its port.
    const SERVER: &str = "import grpc, sys, concurrent.futures as f\n\
        class H(grpc.GenericRpcHandler):\n \
        def service(self, call):\n  \
        return grpc.unary_unary_rpc_method_handler(lambda r, c: c.abort(grpc.StatusCode.PERMISSION_DENIED, 'denied over TLS'))\n\
        s = grpc.server(f.ThreadPoolExecutor(2), handlers=[H()])\n\
        k = grpc.ssl_server_credentials([(open('server.key', 'rb').read(), open('server.crt', 'rb').read())])\n\
        print(s.add_secure_port('127.0.0.1:0', k), flush=True)\n\
        s.start(); sys.stdin.read()";
    let world = World::new("tls", "");
    let openssl = |arguments: &str| {
        let mut command = std::process::Command::new("openssl");
        command.current_dir(world.place.path("")).args(arguments.split(' '));
        acme_lab::run(&mut command).expect("openssl is installed");
    };
    let new = "req -newkey rsa:2048 -nodes";
    openssl(&format!("{new} -x509 -days 30 -subj /CN=lab -keyout ca.key -out ca.crt"));
    openssl(&format!("{new} -subj /CN=localhost -keyout server.key -out server.csr"));
    world.place.write("names", "subjectAltName=DNS:localhost\n");
    openssl(
        "x509 -req -days 30 -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -extfile names -out server.crt",
    );
    let mut server = acme_lab::bigquery::python(SERVER).expect("the libraries are installed");
    server.current_dir(world.place.path("")).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut server = server.spawn().expect("python runs");
    let mut port = String::new();
    let mut output = BufReader::new(server.stdout.take().expect("it is piped"));
    output.read_line(&mut port).expect("it prints its port");
    world.place.write("in.jsonl", "{}\n");
    world.place.write(
        "p.yaml",
        "name: p\nmode: batch\nsources:\n  - {type: file, path: in.jsonl}\n\
         destinations:\n  - {type: bigquery, table: tls.t}\n",
    );
    let mut command = world.place.command(&["validate", "--online", "p.yaml"]);
    command.envs(world.environment.iter().map(|(name, value)| (*name, value)));
    command.env("BIGQUERY_STORAGE_EMULATOR_HOST", format!("https://localhost:{}", port.trim()));
    command.env("SSL_CERT_FILE", world.place.path("ca.crt"));
    let output = command.output().expect("the binary runs");
    let words = text(&[output.stdout, output.stderr].concat());
    drop(server.stdin.take());
    server.wait().expect("it ends with its input");
    assert!(words.contains("denied over TLS") && words.contains("Data Editor"), "{words}");
}

#[test]
fn a_dataset_that_two_destinations_lack_is_missed_once() {
    let world = World::new(
        "there",
        "name: p\nmode: batch\nsources:\n  - {type: file, path: in.jsonl}\ndestinations:\n\
         \x20 - {type: bigquery, table: absent.one}\n  - {type: bigquery, table: absent.two}\n",
    );
    world.place.write("in.jsonl", "{}\n");
    let mut command = world.place.command(&["validate", "--online", "p.yaml"]);
    let output = command.envs(world.environment.iter().map(|(name, value)| (*name, value)));
    let said = text(&output.output().expect("the binary runs").stderr);
    assert_eq!(said.matches("the dataset lab.absent does not exist").count(), 1, "{said}");
}
