//! From a real PostgreSQL to a real search index, killed in every phase while the table changes.

mod check;
pub mod ledger;
pub mod world;

use crate::harness::text;
use acme_lab::elasticsearch::Engine;
use acme_sim::Rng;
use check::differences;
use ledger::{Ledger, Want};
use std::process::Command;
use std::time::Duration;
use world::{Load, World, await_true};

/// The guide's file, word for word: it never delivers a delete.
const GUIDE: &str = include_str!("../../../../../examples/realtime-users.yaml");

/// The same without the filter: the index is a mirror of the table.
pub const MIRROR: &str = r"
name: mirror
sources:
  - type: postgres
    name: users_cdc
    connection: ${DATABASE_URL}
    mode: cdc
    publication: acme_pub
    slot: mirror
    tables: [public.users]
destinations:
  - {type: elasticsearch, index: users, id_field: id}
settings: {checkpoint: {interval: 200ms}}
";

/// The row that is written after all others.
const END: i64 = -1;

/// Kills during the copy; at its end the copy has been committed.
fn kill_while_copying(world: &mut World, rows: i64, seed: u64) -> Load {
    // The slot is there, and nothing is committed. From here on the table changes all the time.
    let child = world.held("postgres.slot");
    let load = Load::start(&world.postgres, rows, seed);
    world.kill(child, "copy: postgres.slot");
    let batches = u32::try_from(rows / 10_000).expect("a small number").max(4);
    let mut rng = Rng(seed);
    for point in ["postgres.copy", "sink.write", "sink.written"] {
        world.kill_at("copy", &format!("{point}@{}", 2 + rng.below(u64::from(batches / 2))));
    }
    for point in ["epoch.barrier", "epoch.prepared", "epoch.stored", "epoch.committed", "epoch.published"] {
        world.kill_at("copy", point);
    }
    // Wherever it is, but with rows on their way.
    for _ in 0..2 {
        let before = world.count("users");
        let child = world.run();
        if before < u64::try_from(rows / 2).expect("positive") {
            await_true("documents arrive", || world.count("users") > before);
        }
        std::thread::sleep(Duration::from_millis(rng.below(300)));
        world.kill(child, "copy: anywhere");
    }
    world.kill_at("copy", "postgres.handover");
    load
}

/// Kills and cuts while changes are streamed.
fn kill_while_streaming(world: &mut World, load: &Load, seed: u64) {
    let mut rng = Rng(seed);
    let points = [
        "postgres.stream",
        "sink.write",
        "sink.written",
        "epoch.barrier",
        "epoch.prepared",
        "epoch.stored",
        "epoch.committed",
        "epoch.published",
        "postgres.release",
    ];
    for point in points {
        let pass = if point == "postgres.stream" { 1 } else { 1 + rng.below(4) };
        world.kill_at("stream", &format!("{point}@{pass}"));
    }
    for _ in 0..5 {
        let links = |world: &World| {
            let mut states = std::fs::read_dir(world.place.path("state")).expect("it is there").flatten();
            states.find_map(|state| {
                Some(crate::harness::links(&state.path().join("checkpoints"))).filter(|n| *n > 0)
            })
        };
        let before = links(world);
        let child = world.run();
        await_true("something is committed", || links(world) > before.map(|links| links + 2));
        std::thread::sleep(Duration::from_millis(rng.below(400)));
        world.kill(child, "stream: anywhere");
    }
    let mut child = world.run();
    for _ in 0..3 {
        await_true("the slot is read", || cut(world));
        std::thread::sleep(Duration::from_millis(300));
    }
    load.paused(|writing| {
        world.postgres.restart().expect("the server starts again");
        writing.reconnect(&world.postgres);
    });
    await_true("the slot is read after the restart", || cut(world));
    assert!(child.try_wait().expect("it can be asked").is_none(), "a lost connection ended the run");
    world.kill(child, "stream: after reconnecting");
}

/// Cuts the connection that reads the slot; `false` where there is none.
pub fn cut(world: &World) -> bool {
    let sql = "SELECT count(pg_terminate_backend(active_pid)) FROM pg_replication_slots WHERE active";
    world.postgres.psql(sql).expect("it can be asked").trim() != "0"
}

/// Goes on until a streamed change is committed, and kills the run then.
fn reach_streaming(world: &mut World, load: &Load) {
    let child = world.run();
    let position = "SELECT confirmed_flush_lsn FROM pg_replication_slots";
    let streaming = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'";
    let ask = |world: &World, sql| world.postgres.psql(sql).expect("it can be asked").trim().to_owned();
    await_true("changes are streamed", || ask(world, streaming) == "1");
    let before = ask(world, position);
    await_true("a streamed change is committed", || ask(world, position) != before);
    load.copied();
    world.kill(child, "stream: first commit");
}

#[expect(clippy::print_stdout, reason = "a run of the tests shows how many kills hit which phase")]
/// Runs until nothing is left, stops in order, and compares.
pub fn finish(world: &mut World, load: Load, name: &str, want: fn(&Ledger, i64) -> Want) -> Ledger {
    let child = world.run();
    let ledger = load.end(10_000, END);
    world.await_end("users", END);
    let status = world.place.acme_ok(&["status", "--streaming"]);
    assert!(status.contains(&format!("│ {name:<14} │ running  │")), "{status}");
    world.place.acme_ok(&["stop", name]);
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let mut documents = world.documents("users");
    assert_eq!(documents.remove(&END).map(|row| row.name).as_deref(), Some("end"));
    println!("{} changes, {} documents; kills by phase: {:#?}", ledger.changes, documents.len(), world.kills);
    let found = differences(&documents, &ledger, want);
    assert!(found.is_empty(), "{found:#?}");
    ledger
}

#[test]
fn the_guides_pipeline_keeps_the_last_image_of_every_row_whatever_is_killed() {
    let rows = 2_000_000;
    let mut world = World::start(Engine::Elasticsearch, "realtime-users.yaml", GUIDE, rows);
    let load = kill_while_copying(&mut world, rows, 3);
    reach_streaming(&mut world, &load);
    kill_while_streaming(&mut world, &load, 5);
    finish(&mut world, load, "realtime-users", Ledger::kept);
}

#[test]
fn without_the_filter_the_index_equals_the_table_row_for_row() {
    for (engine, seed) in [(Engine::Elasticsearch, 11), (Engine::OpenSearch, 12)] {
        let rows = 60_000;
        let mut world = World::start(engine, "mirror.yaml", MIRROR, rows);
        let load = kill_while_copying(&mut world, rows, seed);
        world.kill_at("handover", "postgres.stream");
        reach_streaming(&mut world, &load);
        kill_while_streaming(&mut world, &load, seed);
        let ledger = finish(&mut world, load, "mirror", Ledger::mirrored);
        // The ledger is what the table says.
        let sql = "SELECT id, name FROM users WHERE id > 0 ORDER BY id";
        let table = world.postgres.psql(sql).expect("it is there");
        let row = |id| Some(format!("{id}|{}\n", ledger.live(id)?.name));
        let expected: String = (1..=ledger.last_id()).filter_map(row).collect();
        assert!(table == expected, "the ledger is wrong");
    }
}

#[test]
fn a_paused_run_that_was_replaced_overwrites_nothing() {
    let rows = 1000;
    let pipeline = MIRROR.replace("interval: 200ms", "interval: 200ms, store: \"file://${STORE}\"");
    let world = World::start(Engine::Elasticsearch, "mirror.yaml", &pipeline, rows);
    let store = world.place.path("store");
    let run = |state: &str, points: &str| {
        let mut command = world.command(points);
        command.env("STORE", &store).env("ACME_STATE_DIR", world.place.path(state));
        command.spawn().expect("the binary runs")
    };
    // The copy is the first write. The second is held with an image in hand that will be old.
    let mut zombie = run("first", "sink.write@2");
    world.await_end("users", 1000);
    world.postgres.psql("UPDATE users SET name = 'old'").expect("it can be written");
    let mark = world.mark("sink.write");
    await_true("the write is held", || mark.exists());
    signal(&zombie, "-STOP");
    await_true("its connection is gone", || !cut(&world));
    let mut second = run("second", "");
    let changes =
        "UPDATE users SET name = 'new ' || id WHERE id % 2 = 0; DELETE FROM users WHERE id % 2 = 1;";
    world.postgres.psql(changes).expect("it can be written");
    world.postgres.psql("INSERT INTO users VALUES (-1, 'end', 0, NULL)").expect("it can be written");
    world.await_end("users", END);
    let expected = world.documents("users");
    std::fs::remove_file(&mark).expect("the zombie may go on");
    signal(&zombie, "-CONT");
    await_true("the zombie notices that it was replaced", || {
        zombie.try_wait().expect("it can be asked").is_some()
    });
    let output = zombie.wait_with_output().expect("it has ended");
    assert!(!output.status.success(), "{}", text(&output.stderr));
    println!("the zombie says: {}", text(&output.stderr));
    assert!(second.try_wait().expect("it can be asked").is_none(), "the second run goes on");
    world.postgres.psql("INSERT INTO users VALUES (-2, 'end', 0, NULL)").expect("it can be written");
    world.await_end("users", -2);
    signal(&second, "-TERM");
    assert!(second.wait().expect("it ends").success());
    let mut documents = world.documents("users");
    documents.remove(&-2).expect("it was delivered");
    assert!(documents == expected, "the zombie wrote");
    assert_eq!(documents.len(), 501);
    for (id, row) in documents.range(1..) {
        assert_eq!((id % 2, &row.name), (0, &format!("new {id}")));
    }
}

/// Sends a signal.
fn signal(child: &std::process::Child, name: &str) {
    let status = Command::new("kill").args([name, &child.id().to_string()]).status().expect("kill runs");
    assert!(status.success());
}
