//! Rotation: of the files that are written, and of those that are read.

use crate::harness::{Place, stop, text, until};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The files that a reader of the directory sees, in their order.
fn visible(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    let name = |path: &PathBuf| path.file_name().is_some_and(|name| !name.to_string_lossy().starts_with('.'));
    let mut all: Vec<PathBuf> = entries.filter(name).collect();
    all.sort();
    all
}

fn names(directory: &Path) -> Vec<String> {
    let name = |path: &PathBuf| path.file_name().expect("a file").to_string_lossy().into_owned();
    visible(directory).iter().map(name).collect()
}

fn union(directory: &Path) -> String {
    visible(directory).iter().map(|path| fs::read_to_string(path).expect("it is there")).collect()
}

/// Sees every file at the moment when it appears.
struct Watcher {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<BTreeMap<PathBuf, Vec<u8>>>,
}

impl Watcher {
    fn start(directory: PathBuf) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let flag = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut seen = BTreeMap::new();
            while !flag.load(Ordering::Relaxed) {
                for path in visible(&directory) {
                    seen.entry(path.clone())
                        .or_insert_with(|| fs::read(&path).expect("what is seen can be read"));
                }
            }
            seen
        });
        Self { stop, thread }
    }

    /// What was seen first of each file must be all that it ever is.
    fn check(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        let seen = self.thread.join().expect("it watches");
        for (path, first) in &seen {
            assert!(*first == fs::read(path).expect("it stays"), "{} was seen unfinished", path.display());
        }
        seen.len()
    }
}

const ROWS: u64 = 60_000;

fn rows(format: &str) -> (String, String) {
    let json = (0..ROWS).map(|n| format!("{{\"n\":{n},\"t\":\"some text {n}\"}}\n")).collect();
    let csv = (0..ROWS).map(|n| format!("{n},some text {n}\n")).collect();
    (json, if format == "csv" { csv } else { String::new() })
}

fn batch(rotate: &str, format: &str) -> String {
    format!(
        "name: p\nmode: batch\nsources:\n  - {{type: file, path: in.jsonl}}\ntransforms:\n  - {{type: select, fields: [n, t]}}\n\
         destinations:\n  - {{type: file, path: out/rows.log, format: {format}, rotate: {rotate}}}\n\
         settings: {{parallelism: 2, checkpoint: {{interval: 1ms}}}}\n"
    )
}

#[test]
fn files_are_finished_by_size_and_appear_whole() {
    let place = Place::new();
    // Many blocks, so that there are many commits.
    let input: String = (0..ROWS * 20).map(|n| format!("{{\"n\":{n},\"t\":\"some text {n}\"}}\n")).collect();
    place.write("in.jsonl", &input);
    place.write("p.yaml", &batch("{size: 1MiB}", "json"));
    fs::create_dir(place.path("out")).expect("it is new");
    let watcher = Watcher::start(place.path("out"));
    place.acme_ok(&["run", "p.yaml"]);
    let files = visible(&place.path("out"));
    assert!(files.len() >= 3, "{files:?}");
    let expected: Vec<String> = (1..=files.len()).map(|part| format!("rows-{part:05}.log")).collect();
    assert_eq!(names(&place.path("out")), expected);
    let (last, full) = files.split_last().expect("there are some");
    for path in full {
        assert!(fs::metadata(path).expect("it is there").len() >= 1 << 20, "{}", path.display());
    }
    assert!(last.exists() && union(&place.path("out")) == input, "the union is the input");
    assert_eq!(
        fs::read_dir(place.path("out")).expect("it is there").count(),
        files.len(),
        "nothing hidden is left"
    );
    println!("{} files, {} of them watched", files.len(), watcher.check());
}

#[test]
fn a_file_whose_time_is_over_appears_without_another_row() {
    let place = Place::new();
    place.write("in.jsonl", "{\"n\":1}\n");
    place.write(
        "p.yaml",
        "name: p\nsources: [{type: file, path: in.jsonl}]\ntransforms: [{type: select, fields: [n]}]\n\
         destinations: [{type: file, path: out/rows.tar.csv, format: csv, rotate: {every: 300ms}}]\n\
         settings: {checkpoint: {interval: 20ms}}\n",
    );
    let child = place.spawn(&["run", "p.yaml"]);
    until("the first file", || names(&place.path("out")) == ["rows-00001.tar.csv"]);
    place.append("in.jsonl", "{\"n\":2}\n");
    until("the second file", || names(&place.path("out")).len() == 2);
    place.append("in.jsonl", "{\"n\":3}\n");
    until("the third file", || place.path("out/.rows.tar.csv.in-progress-3").exists());
    let output = stop(child);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(union(&place.path("out")), "n\n1\nn\n2\nn\n3\n", "each file has its header");
    let links = crate::harness::links(&place.path("state/p/checkpoints"));
    assert!(links < 40, "an idle pipeline commits nothing: {links} links");
}

#[test]
fn kills_around_the_sync_and_the_rename_lose_and_double_nothing() {
    for format in ["json", "csv"] {
        let place = Place::new();
        let (json, csv) = rows(format);
        let input: String = json.repeat(12);
        place.write("in.jsonl", &input);
        place.write("p.yaml", &batch("{size: 256KiB}", format));
        fs::create_dir(place.path("out")).expect("it is new");
        let watcher = Watcher::start(place.path("out"));
        let mut hits = BTreeMap::new();
        for (point, pass) in [
            ("file.sync", 1),
            ("file.sync", 2),
            ("file.rename", 1),
            ("file.rename", 2),
            ("epoch.prepared", 1),
            ("epoch.committed", 1),
            ("file.rename", 1),
            ("epoch.published", 1),
        ] {
            *hits.entry(point).or_insert(0) += u32::from(place.kill_at(point, pass));
        }
        assert!(
            ["file.sync", "file.rename", "epoch.prepared", "epoch.committed"]
                .iter()
                .all(|point| hits[point] > 0),
            "{hits:?}"
        );
        place.acme_ok(&["run", "p.yaml"]);
        let (files, found) = (names(&place.path("out")), union(&place.path("out")));
        assert!(files.len() >= 2, "{files:?}");
        match format {
            "json" => assert!(found == input, "the union is the input"),
            _ => {
                assert_eq!(found.matches("n,t\n").count(), files.len(), "each file has its header");
                assert!(found.replace("n,t\n", "") == csv.repeat(12), "the union is the input");
            }
        }
        println!("{format}: {hits:?}, {} files, {} of them watched", files.len(), watcher.check());
    }
}

const TAIL: &str = "name: p\nsources: [{type: file, path: logs/app.log}]\ndestinations: [{type: file, path: out.jsonl}]\n\
     settings: {checkpoint: {interval: 20ms}}\n";

fn line(n: u64) -> String {
    format!("{{\"n\":{n}}}\n")
}

fn lines(range: std::ops::Range<u64>) -> String {
    range.map(line).collect()
}

/// What has been written so far, published or not.
fn so_far(place: &Place) -> String {
    let mut parts: Vec<_> =
        fs::read_dir(place.path(".")).expect("it is there").flatten().map(|entry| entry.path()).collect();
    parts.retain(|path| path.to_string_lossy().contains("out") && path.is_file());
    parts.sort_by_key(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')));
    parts.iter().map(|path| fs::read_to_string(path).unwrap_or_default()).collect()
}

#[test]
fn a_tail_follows_a_log_that_is_renamed() {
    for pattern in ["logs/app.log", "logs/app.log*"] {
        let place = Place::new();
        fs::create_dir(place.path("logs")).expect("it is new");
        place.write("logs/app.log", &lines(0..3));
        place.write("p.yaml", &TAIL.replace("logs/app.log", &format!("\"{pattern}\"")));
        let child = place.spawn(&["run", "p.yaml"]);
        until("the first rows", || so_far(&place) == lines(0..3));
        // The writer keeps the renamed file open for a while, as one does before it is told of the rotation.
        fs::rename(place.path("logs/app.log"), place.path("logs/app.log.1")).expect("it can be renamed");
        place.append("logs/app.log.1", &lines(3..5));
        place.write("logs/app.log", &lines(5..7));
        until("both files", || so_far(&place) == lines(0..7));
        place.append("logs/app.log.1", &lines(7..8));
        until("a late row", || so_far(&place) == lines(0..8));
        // Twice, with a restart between: the second rotation happens while nobody reads.
        let output = stop(child);
        assert!(output.status.success(), "{}", text(&output.stderr));
        fs::rename(place.path("logs/app.log.1"), place.path("logs/app.log.2")).expect("it can be renamed");
        place.append("logs/app.log", &lines(8..9));
        fs::rename(place.path("logs/app.log"), place.path("logs/app.log.1")).expect("it can be renamed");
        place.write("logs/app.log", &lines(9..11));
        let child = place.spawn(&["run", "p.yaml"]);
        until("all rows", || so_far(&place).len() >= lines(0..11).len());
        let output = stop(child);
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert_eq!(so_far(&place), lines(0..11), "{pattern}");
    }
}

#[test]
fn a_log_that_is_truncated_or_replaced_stops_the_tail() {
    let broken = |break_it: &dyn Fn(&Place), running: bool| {
        let place = Place::new();
        fs::create_dir(place.path("logs")).expect("it is new");
        place.write("logs/app.log", &lines(0..5));
        place.write("p.yaml", TAIL);
        let child = place.spawn(&["run", "p.yaml"]);
        until("the rows", || so_far(&place) == lines(0..5));
        let committed = || crate::harness::links(&place.path("state/p/checkpoints")) >= 3;
        until("their commit", committed);
        let child = match running {
            true => {
                break_it(&place);
                child
            }
            false => {
                assert!(stop(child).status.success());
                break_it(&place);
                place.spawn(&["run", "p.yaml"])
            }
        };
        let output = child.wait_with_output().expect("it ends");
        let error = text(&output.stderr);
        assert!(
            !output.status.success() && error.contains("error[A0303]") && error.contains("p.yaml:2:"),
            "{error}"
        );
        error
    };
    for running in [true, false] {
        // copytruncate: the copy is beside it, but rows between the copy and the cut are lost by it.
        let copytruncate = |place: &Place| {
            fs::copy(place.path("logs/app.log"), place.path("logs/app.log.1")).expect("it can be copied");
            place.write("logs/app.log", &lines(0..1));
        };
        let error = broken(&copytruncate, running);
        assert!(
            error.contains("was read up to byte 40, now it has 8") && error.contains("must be renamed"),
            "{error}"
        );
        let replace = |place: &Place| {
            place.write("logs/new", &lines(0..9));
            fs::rename(place.path("logs/new"), place.path("logs/app.log")).expect("it can be renamed");
        };
        let error = broken(&replace, running);
        assert!(error.contains("is another file than the one that was read"), "{error}");
    }
}

#[test]
fn a_file_that_is_removed_after_it_was_read_is_forgotten() {
    let place = Place::new();
    fs::create_dir(place.path("logs")).expect("it is new");
    place.write("logs/a.log", &lines(0..2));
    place.write("p.yaml", &TAIL.replace("logs/app.log", "\"logs/*.log\""));
    let child = place.spawn(&["run", "p.yaml"]);
    until("the first rows", || so_far(&place) == lines(0..2));
    fs::remove_file(place.path("logs/a.log")).expect("it is there");
    std::thread::sleep(Duration::from_millis(300));
    place.write("logs/a.log", &lines(2..3));
    place.write("logs/b.log", &lines(3..4));
    until("the rows of new files", || so_far(&place).len() >= lines(0..4).len());
    assert!(stop(child).status.success());
    assert_eq!(so_far(&place), lines(0..4));
}
