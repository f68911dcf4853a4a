//! SIGTERM and Ctrl-C in every phase: exit code 0 within ten seconds, what was read is committed, and a restart goes on without
//! loss or repetition.

use crate::harness::{Place, text, until};
use crate::road::world::{Load, World, await_true};
use crate::road::{MIRROR, cut, finish};
use acme_lab::elasticsearch::Engine;
use std::io::Read;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// After so long a supervisor kills.
const PATIENCE: Duration = Duration::from_secs(10);

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args([name, &child.id().to_string()]).status().expect("kill runs");
    assert!(status.success(), "the run has ended already");
}

/// Waits until a run listens for signals: before that, a signal ends it as it ends any process.
fn await_listening(child: &Child) {
    const TERM_AND_INT: u64 = 1 << 14 | 1 << 1;
    let status = format!("/proc/{}/status", child.id());
    until("the run listens for signals", || {
        let status = std::fs::read_to_string(&status).unwrap_or_default();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
        caught & TERM_AND_INT == TERM_AND_INT
    });
}

/// A run that was signalled must end in time and in order; what it said.
#[track_caller]
fn ends_well(mut child: Child, when: &str) -> Output {
    let began = Instant::now();
    while child.try_wait().expect("it can be asked").is_none() {
        if began.elapsed() > PATIENCE {
            child.kill().expect("it runs");
            panic!("{when}: the run goes on {PATIENCE:?} after the signal");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let output = child.wait_with_output().expect("it has ended");
    assert_eq!(output.status.code(), Some(0), "{when}: {}", text(&output.stderr));
    output
}

/// All rows that were published, file after file.
fn published(place: &Place) -> String {
    let mut names: Vec<_> = std::fs::read_dir(place.path("out")).expect("it is there").flatten().collect();
    names.retain(|entry| !entry.file_name().to_string_lossy().starts_with('.'));
    names.sort_by_key(std::fs::DirEntry::path);
    names.iter().map(|entry| std::fs::read_to_string(entry.path()).expect("it is there")).collect()
}

const TO_FILES: &str = "
name: p
sources: [SOURCE]
destinations: [{type: file, path: out/rows.jsonl, rotate: {size: 2KiB}}]
settings: {checkpoint: {interval: 20ms}}
";

const POINTS: [&str; 9] = [
    "sink.write",
    "sink.written",
    "epoch.barrier",
    "epoch.prepared",
    "epoch.stored",
    "epoch.committed",
    "epoch.published",
    "file.sync",
    "file.rename",
];

/// Ends runs by a signal at every place, once when they start and once in the middle; how many came to their place.
fn signal_everywhere(place: &Place) -> usize {
    let mut hits = 0;
    for (index, (point, pass)) in POINTS.iter().flat_map(|point| [(point, 1), (point, 4)]).enumerate() {
        let held = place.hold(point, pass);
        assert!(held.reached, "the run ended before {point}");
        signal(&held.child, ["-TERM", "-INT"][index % 2]);
        hits += 1;
        std::fs::remove_file(place.path("marks").join(point)).expect("it is held");
        ends_well(held.child, point);
    }
    // As early as can be.
    for index in 0..6 {
        let child = place.spawn(&["run", "p.yaml"]);
        await_listening(&child);
        std::thread::sleep(Duration::from_millis(index));
        signal(&child, "-TERM");
        ends_well(child, "at the start");
    }
    hits
}

#[test]
fn rows_from_a_generator_are_committed_once_whatever_the_phase_of_a_signal() {
    let place = Place::new();
    place
        .write("p.yaml", &TO_FILES.replace("SOURCE", "{type: generator, rate: 5000, fields: {n: sequence}}"));
    assert_eq!(signal_everywhere(&place), 18);
    let rows = published(&place);
    assert!(rows.lines().count() > 100, "{}", rows.lines().count());
    let expected: String = (1..=rows.lines().count()).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    assert!(rows == expected, "rows are lost, repeated or cut");
}

#[test]
fn rows_of_a_growing_file_are_committed_once_whatever_the_phase_of_a_signal() {
    let place = Place::new();
    place.write("p.yaml", &TO_FILES.replace("SOURCE", "{type: file, path: in.jsonl}"));
    place.write("in.jsonl", "");
    let done = std::sync::atomic::AtomicBool::new(false);
    let written = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut n = 0;
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                place.append("in.jsonl", &format!("{{\"n\":{n}}}\n"));
                n += 1;
                std::thread::sleep(Duration::from_millis(1));
            }
            n
        });
        signal_everywhere(&place);
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        writer.join().expect("it writes")
    });
    let child = place.spawn(&["run", "p.yaml"]);
    let last = format!("{{\"n\":{}}}\n", written - 1);
    // The last file gets its name when the run ends.
    until("the last row is read", || {
        let hidden = std::fs::read_dir(place.path("out")).expect("it is there").flatten();
        hidden
            .into_iter()
            .any(|entry| std::fs::read_to_string(entry.path()).unwrap_or_default().contains(&last))
    });
    signal(&child, "-INT");
    ends_well(child, "when all is read");
    assert!(published(&place) == place.read("in.jsonl"), "rows are lost, repeated or cut");
}

/// A run whose destination is a pipe that nobody reads.
fn blocked(place: &Place) -> Child {
    let mut command = place.command(&["run", "p.yaml"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs");
    let blocked = format!("/proc/{}/task", child.id());
    until("a thread waits for the pipe", || {
        let tasks = std::fs::read_dir(&blocked).into_iter().flatten().flatten();
        let waits =
            |path: std::path::PathBuf| std::fs::read_to_string(path.join("wchan")).unwrap_or_default();
        tasks.into_iter().any(|task| waits(task.path()).contains("pipe_write"))
    });
    child
}

const TO_A_PIPE: &str = "
name: stuck
sources: [{type: generator, fields: {n: sequence}}]
destinations: [{type: stdout}]
settings: {checkpoint: {interval: 10ms}}
";

/// The numbers of the whole rows in what was written.
fn numbers(bytes: &[u8]) -> Vec<u64> {
    let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
    let text = std::str::from_utf8(&bytes[..whole]).expect("rows are UTF-8");
    text.lines().map(|line| line[5..line.len() - 1].parse().expect("a number")).collect()
}

#[test]
fn a_blocked_destination_holds_up_the_end_for_less_than_ten_seconds_and_loses_nothing() {
    let place = Place::new();
    place.write("p.yaml", TO_A_PIPE);
    let mut last = 0;
    for signals in [1, 2, 1] {
        let child = blocked(&place);
        let began = Instant::now();
        for _ in 0..signals {
            signal(&child, "-TERM");
            std::thread::sleep(Duration::from_millis(200));
        }
        let output = ends_well(child, "while the destination is blocked");
        assert!(signals == 1 || began.elapsed() < Duration::from_secs(5), "the second signal ends at once");
        let said = text(&output.stderr);
        assert!(signals == 2 || said.contains("not drained within"), "{said}");
        let rows = numbers(&output.stdout);
        assert!(
            rows.first().is_some_and(|first| *first <= last + 1),
            "rows are lost after {last}: {rows:.3?}"
        );
        assert!(rows.windows(2).all(|two| two[1] == two[0] + 1), "rows are lost in between");
        last = last.max(*rows.last().expect("there are rows"));
    }
    // Somebody reads again.
    let mut child =
        place.command(&["run", "p.yaml"]).stdout(Stdio::piped()).spawn().expect("the binary runs");
    let mut out = vec![0; 1 << 20];
    let mut pipe = child.stdout.take().expect("it is piped");
    pipe.read_exact(&mut out).expect("rows come");
    signal(&child, "-TERM");
    let drained = std::thread::spawn(move || {
        let mut rest = Vec::new();
        pipe.read_to_end(&mut rest).expect("it ends");
        rest
    });
    ends_well(child, "when somebody reads");
    out.extend(drained.join().expect("it reads"));
    let rows = numbers(&out);
    assert!(rows[0] <= last + 1 && rows.windows(2).all(|two| two[1] == two[0] + 1));
    assert_eq!(out.last(), Some(&b'\n'), "the last row is whole");
}

/// Signals a run that is held at a place, lets it go on, and waits for its end.
fn end_at(world: &World, point: &str) {
    let child = world.held(point);
    signal(&child, "-TERM");
    std::fs::remove_file(world.mark(point)).expect("it is held");
    ends_well(child, point);
}

#[test]
fn a_signal_in_every_phase_from_postgres_to_the_index_loses_nothing() {
    let rows = 200_000;
    let mut world = World::start(Engine::Elasticsearch, "mirror.yaml", MIRROR, rows);
    for wait in [0, 5, 20] {
        let child = world.run();
        await_listening(&child);
        std::thread::sleep(Duration::from_millis(wait));
        signal(&child, "-TERM");
        ends_well(child, "at the start");
    }
    let load = Load::start(&world.postgres, rows, 21);
    for point in ["postgres.slot", "postgres.copy@2", "sink.write@2", "epoch.prepared", "postgres.copy@4"] {
        // The slot is made once.
        if point != "postgres.slot" || slots(&world) == 0 {
            end_at(&world, point);
        }
    }
    end_at(&world, "postgres.handover");
    load.copied();
    let points = [
        "postgres.stream",
        "sink.write@2",
        "sink.written@2",
        "epoch.barrier@2",
        "epoch.prepared",
        "epoch.stored",
        "epoch.committed",
        "epoch.published",
        "postgres.release",
    ];
    for point in points {
        end_at(&world, point);
    }
    // While it recovers: from a kill, from a connection that was cut, and while the server is away.
    for point in ["epoch.committed", "sink.written@2"] {
        world.kill_at("recovery", point);
        end_at(&world, "sink.write");
    }
    let child = world.run();
    await_true("the slot is read", || cut(&world));
    signal(&child, "-TERM");
    ends_well(child, "when the connection was cut");
    let child = world.run();
    await_true("the slot is read", || cut(&world));
    load.paused(|writing| {
        world.postgres.stop_immediate().expect("it stops");
        std::thread::sleep(Duration::from_millis(300));
        signal(&child, "-TERM");
        ends_well(child, "while the server is away");
        world.postgres.start_again().expect("it starts");
        writing.reconnect(&world.postgres);
    });
    let ledger = finish(&mut world, load, "mirror", crate::road::ledger::Ledger::mirrored);
    assert!(ledger.changes >= 10_000);
}

fn slots(world: &World) -> u32 {
    let count = world.postgres.psql("SELECT count(*) FROM pg_replication_slots").expect("it can be asked");
    count.trim().parse().expect("a number")
}
