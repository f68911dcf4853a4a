//! `acme slots` and `acme decommission`: what a pipeline leaves on its server is seen, and goes with it.

use crate::harness::{Place, text};
use acme_lab::postgres::Postgres;
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

const PIPELINE: &str = r#"
name: users
sources:
  - {type: postgres, name: cdc, connection: "${DATABASE_URL}", mode: cdc, tables: [users], heartbeat_interval: 100ms}
transforms:
  - {type: map, fields: {op: "operation"}}
destinations:
  - {type: file, path: out.jsonl}
settings: {checkpoint: {interval: 50ms}}
"#;

struct World {
    place: Place,
    postgres: Postgres,
}

impl World {
    fn start(pipeline: &str) -> Self {
        let (place, postgres) = (Place::new(), Postgres::start().expect("PostgreSQL starts"));
        postgres.psql("CREATE TABLE users (id int PRIMARY KEY); INSERT INTO users VALUES (1)").expect("made");
        place.write("p.yaml", pipeline);
        std::fs::create_dir(place.path("held")).expect("the directory can be written");
        Self { place, postgres }
    }

    fn acme(&self, arguments: &[&str]) -> Output {
        let mut command = self.place.command(arguments);
        command.env("DATABASE_URL", self.postgres.url()).stdin(Stdio::null());
        command.output().expect("the binary runs")
    }

    /// Runs and must end with this code; all that it wrote.
    #[track_caller]
    fn check(&self, arguments: &[&str], code: i32) -> String {
        let output = self.acme(arguments);
        let shown = format!("{}{}", text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "acme {arguments:?}: {shown}");
        shown
    }

    fn spawn(&self, arguments: &[&str], point: &str) -> Child {
        let mut command = self.place.command(arguments);
        command.env("DATABASE_URL", self.postgres.url()).stdout(Stdio::null()).stderr(Stdio::null());
        command.env("ACME_FAILPOINTS", format!("{}:{point}", self.place.path("held").display()));
        command.spawn().expect("the binary runs")
    }

    /// A run whose copy is committed.
    fn running(&self) -> Child {
        let child = self.spawn(&["run", "p.yaml"], "");
        let streaming = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'";
        self.wait("the stream is followed", || self.sql(streaming) == "1");
        let lsn = self.sql("SELECT pg_logical_emit_message(true, 'test', 'the log moves on')");
        let committed = format!("SELECT bool_or(confirmed_flush_lsn >= '{lsn}') FROM pg_replication_slots");
        self.wait("the copy is committed", || self.sql(&committed) == "t");
        child
    }

    #[track_caller]
    fn kill_at(&self, arguments: &[&str], point: &str) {
        let mut child = self.spawn(arguments, point);
        let mark = self.place.path("held").join(point);
        self.wait(point, || mark.exists());
        child.kill().expect("it runs");
        child.wait().expect("it ends");
        std::fs::remove_file(mark).expect("it is ours");
    }

    fn wait(&self, what: &str, done: impl Fn() -> bool) {
        let until = Instant::now() + Duration::from_secs(60);
        while !done() {
            assert!(Instant::now() < until, "waited in vain: {what}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn sql(&self, sql: &str) -> String {
        self.postgres.psql(sql).unwrap_or_else(|error| panic!("{error}")).trim().to_owned()
    }

    /// Slots, then publications.
    fn remnants(&self) -> String {
        self.sql("SELECT slot_name FROM pg_replication_slots UNION ALL SELECT pubname FROM pg_publication")
    }

    fn state(&self) -> bool {
        self.place.path("state/users").exists()
    }
}

#[test]
fn slots_show_whose_they_are_and_what_they_hold_back() {
    let world = World::start(PIPELINE);
    assert!(world.check(&["slots"], 2).contains("name pipeline files"), "there is no state yet");
    let mut child = world.running();
    world.sql(
        "SELECT pg_create_logical_replication_slot('acme_gone_cdc', 'pgoutput');
         SELECT pg_create_physical_replication_slot('standby');
         INSERT INTO users SELECT generate_series(2, 20000)",
    );
    let shown = world.check(&["slots"], 0);
    let line = |name: &str| {
        let found = shown.lines().find(|line| line.starts_with(&format!("│ {name} ")));
        found.unwrap_or_else(|| panic!("no {name} in {shown}")).to_owned()
    };
    let cells = |name: &str| {
        line(name)
            .split('│')
            .map(|cell| cell.trim().to_owned())
            .filter(|cell| !cell.is_empty())
            .collect::<Vec<_>>()
    };
    assert_eq!(cells("acme_users_cdc")[..4], ["acme_users_cdc", "postgres", "users", "yes"]);
    let gone = cells("acme_gone_cdc");
    assert_eq!(gone[..4], ["acme_gone_cdc", "postgres", "orphan", "no"]);
    assert!(gone[4].ends_with("MiB") && gone[5] == "reserved", "{gone:?}");
    assert_eq!(cells("standby"), ["standby", "-", "-", "no", "-", "-"]);
    assert!(shown.contains("pg_drop_replication_slot('acme_gone_cdc')"), "{shown}");
    let json = world.check(&["slots", "p.yaml", "--output", "json"], 0);
    let json = &json[..=json.rfind(']').expect("a list")];
    let slots: serde_json::Value = serde_json::from_str(json).expect("it is JSON");
    assert_eq!(
        (&slots[0]["slot"], &slots[0]["orphan"], &slots[0]["active"]),
        (&"acme_gone_cdc".into(), &true.into(), &false.into())
    );
    assert_eq!((&slots[1]["pipeline"], &slots[1]["orphan"]), (&"users".into(), &false.into()));
    assert!(slots[0]["retained_bytes"].as_u64().is_some_and(|bytes| bytes > 1 << 20), "{slots}");
    let url = world.postgres.url();
    assert!(world.check(&["slots", "--connection", &url], 0).contains("│ acme_users_cdc"));
    let shown = world.check(&["slots", "--connection", &url.replace(":lab@", ":wrong@")], 2);
    assert!(shown.contains("refuses the password") && !shown.contains(":wrong@"), "{shown}");
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    std::fs::remove_dir_all(world.place.path("state")).expect("it is there");
    let shown = world.check(&["slots", "p.yaml"], 0);
    assert!(shown.contains("users (orphan)"), "its state is gone: {shown}");
}

#[test]
fn a_decommissioned_pipeline_leaves_nothing_but_what_it_delivered() {
    let world = World::start(PIPELINE);
    let child = world.running();
    let shown = world.check(&["decommission", "users"], 2);
    assert!(shown.contains("error[A0408]") && shown.contains("add --yes"), "{shown}");
    assert!(shown.contains("replication slot \"acme_users_cdc\""), "it says what it would do: {shown}");
    assert_eq!(world.remnants(), "acme_users_cdc\nacme_pub", "nothing happened");
    let shown = world.check(&["decommission", "users", "--yes"], 0);
    assert!(shown.contains("dropped replication slot \"acme_users_cdc\""), "{shown}");
    assert!(shown.contains("dropped publication \"acme_pub\""), "{shown}");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "it was stopped, not killed");
    assert_eq!((world.remnants().as_str(), world.state()), ("", false));
    assert_eq!(world.place.read("out.jsonl"), "{\"id\":1,\"op\":\"INSERT\"}\n");
    assert!(world.check(&["decommission", "users", "--yes"], 2).contains("give its file"));
    assert!(world.check(&["decommission", "p.yaml", "--yes"], 0).contains("removed the state"), "repeatable");
    // What was decommissioned can begin anew.
    let child = world.running();
    world.check(&["decommission", "p.yaml", "--yes"], 0);
    child.wait_with_output().expect("it ends");
    assert_eq!(world.remnants(), "");
}

#[test]
fn what_the_user_or_another_pipeline_needs_stays() {
    let world = World::start(&PIPELINE.replace("mode: cdc,", "mode: cdc, slot: mine,"));
    world.sql(
        "CREATE PUBLICATION acme_pub FOR TABLE users; SELECT pg_create_logical_replication_slot('mine', 'pgoutput')",
    );
    let child = world.running();
    let shown = world.check(&["decommission", "users", "--yes"], 0);
    child.wait_with_output().expect("it ends");
    assert!(shown.contains("left replication slot \"mine\": it was not created by Acme"), "{shown}");
    assert!(shown.contains("left publication \"acme_pub\": it was not created by Acme"), "{shown}");
    assert_eq!((world.remnants().as_str(), world.state()), ("mine\nacme_pub", false));
    world.sql("SELECT pg_drop_replication_slot('mine'); DROP PUBLICATION acme_pub");
    // The same name, but created by Acme; and another slot that may be read with the same publication.
    let child = world.running();
    world.sql("SELECT pg_create_logical_replication_slot('other', 'pgoutput')");
    let shown = world.check(&["decommission", "users", "--yes"], 0);
    child.wait_with_output().expect("it ends");
    assert!(shown.contains("dropped replication slot \"mine\""), "{shown}");
    assert!(shown.contains("left publication \"acme_pub\": the slot \"other\""), "{shown}");
    assert_eq!(world.remnants(), "other\nacme_pub");
}

#[test]
fn a_decommission_that_dies_half_way_is_finished_by_the_next() {
    let world = World::start(PIPELINE);
    for point in ["decommission.stopped", "decommission.dropped", "decommission.checkpoints"] {
        let child = world.running();
        world.kill_at(&["decommission", "users", "--yes"], point);
        child.wait_with_output().expect("it ends");
        assert!(world.state(), "{point}");
        world.check(&["decommission", "users", "--yes"], 0);
        assert_eq!((world.remnants().as_str(), world.state()), ("", false), "{point}");
    }
    // A run that died before its first commit has a slot, and no position that names it.
    world.kill_at(&["run", "p.yaml"], "postgres.slot");
    assert_eq!(world.remnants(), "acme_users_cdc\nacme_pub");
    world.wait("the server misses it", || {
        world.sql("SELECT bool_or(active) FROM pg_replication_slots") == "f"
    });
    world.check(&["decommission", "users", "--yes"], 0);
    assert_eq!((world.remnants().as_str(), world.state()), ("", false));
}

#[test]
fn nothing_is_removed_while_the_server_is_away_unless_it_is_forced() {
    let mut world = World::start(PIPELINE);
    let mut child = world.running();
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    // Another cluster under the same address is not touched either.
    let other = Postgres::start().expect("PostgreSQL starts");
    other.psql("SELECT pg_create_logical_replication_slot('acme_users_cdc', 'pgoutput')").expect("created");
    let mut command = world.place.command(&["decommission", "users", "--yes"]);
    let output = command.env("DATABASE_URL", other.url()).output().expect("the binary runs");
    let shown = text(&output.stderr);
    assert!(!output.status.success() && shown.contains("another database cluster"), "{shown}");
    assert_eq!(other.psql("SELECT count(*) FROM pg_replication_slots").expect("it answers").trim(), "1");
    world.postgres.stop_immediate().expect("it stops");
    let shown = world.check(&["decommission", "users", "--yes"], 1);
    assert!(shown.contains("cannot reach PostgreSQL") && shown.contains("nothing was removed"), "{shown}");
    assert!(world.state());
    let shown = world.check(&["decommission", "users", "--yes", "--force"], 0);
    assert!(shown.contains("warning[") && !world.state(), "{shown}");
    world.postgres.start_again().expect("it starts");
    let shown = world.check(&["decommission", "p.yaml", "--yes"], 0);
    assert!(shown.contains("dropped replication slot"), "its name is Acme's: {shown}");
    assert_eq!(world.remnants(), "");
}

#[test]
fn on_a_terminal_it_asks_and_only_a_yes_removes() {
    let world = World::start(PIPELINE);
    let mut child = world.running();
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    for (answer, left) in [("n", true), ("", true), ("y", false)] {
        let shown = world.place.on_terminal(
            &["decommission", "users"],
            &world.postgres.url(),
            &format!("{answer}\n"),
        );
        assert!(shown.contains("is removed for good") && shown.contains("Remove it? [y/N]"), "{shown}");
        assert_eq!((world.state(), !world.remnants().is_empty()), (left, left), "{answer}: {shown}");
    }
}
