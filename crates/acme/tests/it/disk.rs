//! A disk that is full, broken, read-only or damaged: one message with the remedy, nothing lost, and a restart that makes the
//! output of an undisturbed run.
//!
//! The faults are real: file systems of a few MiB that the tests mount, and system calls that strace lets fail. That takes
//! root, as in CI.

use crate::harness::{Place, links, text};
use std::fs;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A file system of its own in memory, gone with its handle.
pub struct Small(PathBuf);

impl Small {
    pub fn mount(path: PathBuf, size: &str) -> Self {
        fs::create_dir_all(&path).expect("it can be made");
        let size = format!("size={size}");
        run(Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&path));
        Self(path)
    }

    pub fn remount(&self, option: &str) {
        run(Command::new("mount").args(["-o", &format!("remount,{option}")]).arg(&self.0));
    }

    /// Takes all the room that is left.
    pub fn fill(&self) {
        let mut file = fs::File::create(self.filler()).expect("there is room for a name");
        let block = [b'x'; 4096];
        while file.write_all(&block).is_ok() {}
        while file.write_all(b"x").is_ok() {}
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }

    pub fn free(&self) {
        fs::remove_file(self.filler()).expect("it is there");
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // Lazily: a failed test may still have a process there.
        run(Command::new("umount").arg("--lazy").arg(&self.0));
    }
}

fn run(command: &mut Command) {
    let output = command.output().expect("it can be started");
    assert!(output.status.success(), "{command:?}: {} (these tests need root)", text(&output.stderr));
}

const ROWS: u64 = 150_000;

/// A place with a pipeline and its input of several blocks.
fn place(rest: &str) -> Place {
    let place = Place::new();
    let input: String =
        (0..ROWS).map(|n| format!("{{\"n\":{n},\"text\":\"some text for row {n}\"}}\n")).collect();
    place.write("in.jsonl", &input);
    place.write(
        "p.yaml",
        &format!(
            "name: p\nmode: batch\nsources: [{{type: file, path: in.jsonl}}]\n\
             transforms: [{{type: filter, condition: \"n % 3 <> 0\"}}]\n\
             destinations: [{{type: file, path: out/rows.jsonl{rest}}}]\n\
             settings: {{parallelism: 2, checkpoint: {{interval: 1ms}}}}\n"
        ),
    );
    place
}

fn expected() -> String {
    let rows = (0..ROWS).filter(|n| n % 3 != 0);
    rows.map(|n| format!("{{\"n\":{n},\"text\":\"some text for row {n}\"}}\n")).collect()
}

/// All that is published.
fn published(place: &Place) -> String {
    let mut paths: Vec<PathBuf> = fs::read_dir(place.path("out"))
        .expect("it is there")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("rows")));
    paths.sort();
    paths.iter().map(|path| fs::read_to_string(path).expect("it is there")).collect()
}

/// The run has failed with one message that says so much.
#[track_caller]
fn failed(output: &Output, says: &[&str]) -> String {
    let error = text(&output.stderr);
    assert!(!output.status.success(), "it succeeded: {error}");
    assert!(output.status.code().is_some(), "it did not end by itself: {error}");
    assert_eq!(error.matches("error[").count(), 1, "{error}");
    assert!(!error.contains("panicked"), "{error}");
    for part in says {
        assert!(error.contains(part), "\"{part}\" is not in: {error}");
    }
    error
}

#[track_caller]
fn completes(place: &Place) {
    place.acme_ok(&["run", "p.yaml"]);
    assert!(published(place) == expected(), "the output differs from an undisturbed run's");
}

#[test]
fn a_full_output_disk_stops_the_run_and_loses_nothing() {
    let place = place("");
    let small = Small::mount(place.path("out"), "1m");
    for room in ["1m", "2m", "3m"] {
        small.remount(&format!("size={room}"));
        let output = place.acme(&["run", "p.yaml"]);
        failed(
            &output,
            &["error[A0501]", "out/rows.jsonl", "No space left on device", "make room on that disk"],
        );
        assert_eq!(published(&place), "", "nothing unfinished is seen");
    }
    assert!(links(&place.path("state/p/checkpoints")) > 6, "some of them committed rows");
    small.remount("size=32m");
    completes(&place);
}

#[test]
fn a_full_state_disk_stops_the_run_and_loses_nothing() {
    let place = place("");
    let small = Small::mount(place.path("state"), "256k");
    small.fill();
    let output = place.acme(&["run", "p.yaml"]);
    failed(&output, &["error[A0501]", "state", "No space left on device", "make room on that disk"]);
    small.free();
    for (point, pass) in [("epoch.prepared", 1), ("file.sync", 1), ("epoch.stored", 1)] {
        let held = place.hold(point, pass);
        assert!(held.reached, "{point}");
        small.fill();
        let output = held.release();
        failed(
            &output,
            &["error[A0501]", "state/p/checkpoints", "No space left on device", "make room on that disk"],
        );
        small.free();
    }
    let stale = fs::read_dir(place.path("state/p/checkpoints")).expect("it is there");
    assert_eq!(
        stale
            .filter(|entry| entry
                .as_ref()
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .starts_with(".tmp"))
            .count(),
        0
    );
    completes(&place);
}

#[test]
fn a_failed_sync_ends_the_run_and_nothing_behind_it_counts() {
    let binary = env!("CARGO_BIN_EXE_acme");
    let mut faults = 0;
    for call in ["fsync", "fdatasync"] {
        for number in 1..=30 {
            let place = place(", rotate: {size: 1MiB}");
            let fault = format!("{call}:error=EIO:when={number}");
            let mut command = acme_lab::strace::command(&fault, &[], &place.path("calls"), binary)
                .expect("strace is there");
            command
                .args(["run", "p.yaml"])
                .current_dir(place.path("."))
                .env("ACME_STATE_DIR", place.path("state"));
            let output = command.output().expect("it runs");
            if output.status.success() {
                assert!(number > 3, "a run syncs more often than {number} times");
                break;
            }
            failed(&output, &["error[A0501]", "Input/output error", "start the pipeline again"]);
            faults += 1;
            completes(&place);
        }
    }
    assert!(faults > 8, "only {faults} syncs were hit");
    println!("{faults} failed syncs");
}

#[test]
fn interrupted_system_calls_change_nothing() {
    let place = place("");
    let fault = "write,pread64,fdatasync:error=EINTR:when=1+3";
    let files = [place.path("in.jsonl"), place.path("out/.rows.jsonl.in-progress-1")];
    let files = [files[0].as_path(), files[1].as_path()];
    let (log, binary) = (place.path("calls"), env!("CARGO_BIN_EXE_acme"));
    let mut command = acme_lab::strace::command(fault, &files, &log, binary).expect("strace is there");
    command.args(["run", "p.yaml"]).current_dir(place.path(".")).env("ACME_STATE_DIR", place.path("state"));
    let output = command.output().expect("it runs");
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(published(&place) == expected(), "the output differs from an undisturbed run's");
    let interrupted = place.read("calls").matches("EINTR").count();
    assert!(interrupted > 5, "only {interrupted} calls were interrupted");
    println!("{interrupted} interrupted calls");
}

/// The binary with so many open files at most.
fn with_files(place: &Place, limit: u32) -> Output {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -n {limit}; exec \"$0\" run p.yaml"), env!("CARGO_BIN_EXE_acme")]);
    command.current_dir(place.path(".")).env("ACME_STATE_DIR", place.path("state")).arg0("sh");
    command.output().expect("it runs")
}

#[test]
fn few_open_files_are_enough_for_many_and_too_few_are_a_message() {
    let place = place("");
    fs::create_dir(place.path("in")).expect("it is new");
    let lines: Vec<String> = place.read("in.jsonl").lines().map(str::to_owned).collect();
    for (at, chunk) in lines.chunks(500).enumerate() {
        place.write(&format!("in/{at:03}.jsonl"), &(chunk.join("\n") + "\n"));
    }
    place.write("p.yaml", &place.read("p.yaml").replace("path: in.jsonl", "path: in/*.jsonl"));
    let output = with_files(&place, 10);
    failed(&output, &["Too many open files", "ulimit -n"]);
    let output = with_files(&place, 64);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(published(&place) == expected(), "the output differs");
}

#[test]
fn a_state_directory_that_cannot_be_written_is_a_message() {
    let place = place("");
    let small = Small::mount(place.path("state"), "1m");
    small.remount("ro");
    let output = place.acme(&["run", "p.yaml"]);
    failed(&output, &["error[A0501]", "state/p", "Read-only file system", "ACME_STATE_DIR"]);
    small.remount("rw");
    // A file where the directory should be.
    let output = place
        .command(&["run", "p.yaml"])
        .env("ACME_STATE_DIR", place.path("in.jsonl"))
        .output()
        .expect("it runs");
    failed(&output, &["in.jsonl/p"]);
    completes(&place);
}

/// The newest object of a kind.
fn newest(directory: &Path, prefix: &str) -> PathBuf {
    let entries = fs::read_dir(directory).expect("it is there").map(|entry| entry.expect("an entry").path());
    let of_kind =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix));
    entries.filter(of_kind).max().expect("there is one")
}

#[test]
fn damaged_state_is_never_taken_for_none() {
    let place = place("");
    let checkpoints = place.path("state/p/checkpoints");
    assert!(place.kill_at("epoch.published", 1), "it has committed rows");
    let refused = |says: &[&str]| {
        let output = place.acme(&["run", "p.yaml"]);
        failed(&output, &[&["error[A0405]", "restore the state directory from a backup"], says].concat());
        assert!(!place.path("out/rows.jsonl").exists());
    };
    for kind in ["link-", "checkpoint-"] {
        let path = newest(&checkpoints, kind);
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        let good = fs::read(&path).expect("it is there");
        for at in [0, 4, 5, 8, 12, good.len() / 2, good.len() - 1] {
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            fs::write(&path, bad).expect("it can be written");
            refused(&[&name]);
        }
        fs::write(&path, &good[..good.len() - 3]).expect("it can be written");
        refused(&[&name]);
        fs::write(&path, b"").expect("it can be written");
        refused(&[&name]);
        fs::write(&path, &good).expect("it can be written");
    }
    let checkpoint = newest(&checkpoints, "checkpoint-");
    let aside = place.path("aside");
    fs::rename(&checkpoint, &aside).expect("it can be moved");
    refused(&["it is not there"]);
    fs::rename(&aside, &checkpoint).expect("it can be moved");
    // What a chain left, without the chain.
    fs::create_dir(&aside).expect("it is new");
    for entry in fs::read_dir(&checkpoints).expect("it is there").map(|entry| entry.expect("an entry")) {
        if entry.file_name().to_string_lossy().starts_with("link-") {
            fs::rename(entry.path(), aside.join(entry.file_name())).expect("it can be moved");
        }
    }
    refused(&["no link is there"]);
    for entry in fs::read_dir(&aside).expect("it is there").map(|entry| entry.expect("an entry")) {
        fs::rename(entry.path(), checkpoints.join(entry.file_name())).expect("it can be moved");
    }
    // Rows that were committed are gone from the file in progress.
    let hidden = place.path("out/.rows.jsonl.in-progress-1");
    let rows = fs::read(&hidden).expect("it is there");
    fs::write(&hidden, &rows[..10]).expect("it can be written");
    let output = place.acme(&["run", "p.yaml"]);
    failed(&output, &["error[A0405]", "out/.rows.jsonl.in-progress-1"]);
    fs::write(&hidden, rows).expect("it can be written");
    place.write("state/p/run.json", "\0garbage");
    place.acme_ok(&["status"]);
    completes(&place);
}
