//! One crash at a time, exhaustively: every cut, every flipped byte, every moment at which the disk is full.

use super::*;
use crate::{AppendError, Error};
use std::path::PathBuf;

const NAMES: [&str; 6] = ["aa", "bb", "cc", "dd", "ee", "ff"];

fn restart(machine: &Machine) -> Log {
    machine.disk.kill();
    machine.open()
}

fn copy(machine: &Machine) -> Machine {
    Machine { disk: machine.disk.copy(), clock: machine.clock.clone(), mistake: None }
}

/// Six batches in one segment; `known` of them lie below the recovery point.
fn six(machine: &Machine, known: usize) -> (PathBuf, Vec<u8>, Vec<usize>) {
    let (log, partition) = one(machine, &[]);
    let mut ends = vec![0];
    for (number, name) in NAMES.iter().enumerate() {
        partition.append(value(1, name), CLIENT).unwrap();
        log.sync_now();
        if number + 1 == known {
            log.housekeep();
        }
        ends.push(machine.disk.files("0.log")[0].1.len());
    }
    let (path, content) = machine.disk.files("0.log")[0].clone();
    (path, content, ends)
}

#[test]
fn a_segment_cut_anywhere_in_its_last_batches_is_the_batches_before() {
    let machine = Machine::default();
    let (path, content, ends) = six(&machine, 0);
    for cut in ends[3]..=content.len() {
        let machine = copy(&machine);
        machine.disk.put(&path, &content[..cut]);
        let whole = ends.iter().filter(|end| **end <= cut).count() - 1;
        let log = restart(&machine);
        assert_eq!(values(&all(&partition(&log), Until::HighWatermark)), NAMES[..whole], "cut at {cut}");
        partition(&log).append(value(1, "new"), CLIENT).unwrap();
        log.sync_now();
        drop(log);
        let log = restart(&machine);
        let mut expected = NAMES[..whole].to_vec();
        expected.push("new");
        assert_eq!(values(&all(&partition(&log), Until::HighWatermark)), expected, "cut at {cut}");
        assert_eq!(partition(&log).end_of_epoch(1).unwrap().1, whole as i64);
    }
}

#[test]
fn below_the_recovery_point_a_cut_takes_the_partition_offline_and_changes_nothing() {
    let machine = Machine::default();
    let (path, content, ends) = six(&machine, 6);
    for cut in 0..content.len() {
        let machine = copy(&machine);
        machine.disk.put(&path, &content[..cut]);
        let log = restart(&machine);
        let partition = partition(&log);
        let damage = partition.damage().unwrap_or_else(|| panic!("cut at {cut}"));
        let at = *ends.iter().rfind(|end| **end <= cut).unwrap();
        assert_eq!((&damage.file, damage.at), (&path, at as u64), "cut at {cut}");
        assert!(matches!(partition.append(value(1, "x"), CLIENT), Err(AppendError::Offline(_))));
        assert!(matches!(partition.read(0, 1, Until::End), Err(crate::ReadError::Offline(_))));
        assert_eq!(machine.disk.files("0.log")[0].1, content[..cut], "it is left as it is");
    }
    machine.disk.delete(&path);
    let log = restart(&machine);
    assert_eq!(partition(&log).damage().unwrap().file, path);
}

#[test]
fn a_flipped_bit_below_the_recovery_point_is_damage_and_above_it_the_end() {
    let machine = Machine::default();
    let (path, content, ends) = six(&machine, 4);
    for at in 0..content.len() {
        let machine = copy(&machine);
        let mut bad = content.clone();
        bad[at] ^= 1 << (at % 8);
        machine.disk.put(&path, &bad);
        let log = restart(&machine);
        let partition = partition(&log);
        let batch = ends.iter().rposition(|end| *end <= at).unwrap();
        if batch < 4 {
            let damage = partition.damage().unwrap_or_else(|| panic!("byte {at}"));
            assert_eq!((&damage.file, damage.at), (&path, ends[batch] as u64), "byte {at}: {damage}");
        } else {
            assert_eq!(values(&all(&partition, Until::HighWatermark)), NAMES[..batch], "byte {at}");
        }
    }
}

#[test]
fn small_files_that_are_damaged_are_named_or_not_believed() {
    let machine = Machine::default();
    let (log, partition) = one(&machine, &[("internal.segment.bytes", "300"), ("index.interval.bytes", "1")]);
    for number in 0..12 {
        let stamp = producer(5, 0, number, number % 4 != 3);
        let bytes = batch(stamp, Compression::None, &[(i64::from(number), None, Some("v"))]);
        partition.append(bytes, Writer::Coordinator).ok();
        if number % 4 == 2 {
            partition.end_transaction(5, 0, false, 1).unwrap();
        }
    }
    log.sync_now();
    log.housekeep();
    let expected = all(&partition, Until::LastStable);
    let producers = partition.producers();
    let aborted = partition.read(0, 10_000, Until::LastStable).unwrap().aborted;
    assert!(!aborted.is_empty());
    drop(log);
    let mut tried = 0;
    for end in [".index", ".timeindex", ".txnindex", ".sum", ".snapshot", "/meta", "/recovery-points"] {
        let files = machine.disk.files(end);
        assert!(!files.is_empty(), "{end}");
        for (path, content) in files {
            for at in 0..content.len() {
                let machine = copy(&machine);
                let mut bad = content.clone();
                bad[at] ^= 1 << (at % 8);
                machine.disk.put(&path, &bad);
                machine.disk.kill();
                tried += 1;
                let log = match Log::open(Path::new("/data"), machine.options()) {
                    Ok(log) => log,
                    Err(Error::Meta { path: named, .. }) => {
                        assert_eq!(named, path);
                        continue;
                    }
                    Err(error) => panic!("{error}"),
                };
                assert!(!end.starts_with('/'), "{end} is believed");
                let partition = super::partition(&log);
                assert_eq!(partition.damage(), None, "{end} {at}");
                assert_eq!(all(&partition, Until::LastStable), expected, "{end} {at}");
                assert_eq!(partition.producers(), producers, "{end} {at}");
                assert_eq!(
                    partition.read(0, 10_000, Until::LastStable).unwrap().aborted,
                    aborted,
                    "{end} {at}"
                );
                for time in 0..12 {
                    let found = partition.offset_of_time(time).unwrap();
                    assert!(end == ".timeindex" || found.is_some(), "{end} {at}");
                }
            }
        }
    }
    assert!(tried > 500, "{tried}");
}

#[test]
fn a_damaged_sealed_segment_is_found_in_the_background() {
    let machine = Machine::default();
    let (log, partition) = one(&machine, &[("internal.segment.bytes", "200")]);
    for name in NAMES {
        partition.append(value(1, name), CLIENT).unwrap();
    }
    log.sync_now();
    log.housekeep();
    drop(log);
    let sealed: Vec<_> = machine.disk.files(".sum").iter().map(|it| it.0.with_extension("log")).collect();
    for (path, content) in machine.disk.files(".log").into_iter().filter(|it| sealed.contains(&it.0)) {
        for at in (0..content.len()).step_by(7) {
            let machine = copy(&machine);
            let mut bad = content.clone();
            bad[at] ^= 0x10;
            machine.disk.put(&path, &bad);
            let log = restart(&machine);
            for _ in 0..10 {
                log.housekeep();
            }
            let damage = super::partition(&log).damage().unwrap_or_else(|| panic!("byte {at}"));
            assert_eq!(damage.file, path, "byte {at}");
        }
    }
}

#[test]
fn a_full_disk_refuses_appends_serves_reads_and_recovers_when_there_is_space() {
    let machine = Machine::default();
    let (log, partition) = one(&machine, &[("internal.segment.bytes", "200")]);
    partition.append(value(1, "before"), CLIENT).unwrap();
    log.sync_now();
    let mut expected = vec!["before".to_owned()];
    for space in 0..200 {
        machine.disk.space(Some(space));
        let text = format!("{space:03}");
        let appended = partition.append(value(1, &text), CLIENT);
        let fits = appended.is_ok();
        if let Err(error) = appended {
            assert!(matches!(error, AppendError::DiskFull(_)), "{error}");
        }
        assert_eq!(values(&all(&partition, Until::HighWatermark)), expected);
        log.housekeep();
        machine.disk.space(None);
        log.sync_now();
        if fits {
            expected.push(text.clone());
        }
        let again = format!("{space:03}+");
        partition.append(value(1, &again), CLIENT).unwrap();
        expected.push(again);
        log.sync_now();
        assert_eq!(values(&all(&partition, Until::HighWatermark)), expected);
    }
    drop(log);
    let log = restart(&machine);
    assert_eq!(values(&all(&super::partition(&log), Until::HighWatermark)), expected);
}

#[test]
fn after_a_failed_sync_nothing_is_acknowledged() {
    let machine = Machine::default();
    let mut options = machine.options();
    let told = Arc::new(AtomicI64::new(0));
    let count = told.clone();
    options.sync_failed = Arc::new(move |path, _| {
        assert!(path.to_string_lossy().ends_with(".log"));
        count.fetch_add(1, Ordering::Relaxed);
    });
    let log = Log::open(Path::new("/data"), options).unwrap();
    let topic = log.create_topic("t", 1, BTreeMap::new(), false).unwrap();
    let partition = &topic.partitions[0];
    let appended = partition.append(value(1, "a"), CLIENT).unwrap();
    machine.disk.fail_syncs();
    log.sync_now();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert!(runtime.block_on(appended.durable()).is_err());
    assert_eq!((told.load(Ordering::Relaxed), partition.marks().high_watermark), (1, 0));
    assert!(partition.append(value(1, "b"), CLIENT).is_err());
}

/// Also one that nobody waits for: of a small file, of a directory.
#[test]
fn whatever_sync_fails_is_told() {
    let machine = Machine::default();
    let mut options = machine.options();
    let told = Arc::new(std::sync::Mutex::new(Vec::new()));
    let names = told.clone();
    options.sync_failed = Arc::new(move |path, _| names.lock().unwrap().push(path.to_owned()));
    let log = Log::open(Path::new("/data"), options).unwrap();
    let topic = log.create_topic("t", 1, map(&[("internal.segment.bytes", "200")]), false).unwrap();
    for name in NAMES {
        topic.partitions[0].append(value(1, name), CLIENT).unwrap();
    }
    log.sync_now();
    machine.disk.fail_syncs();
    log.housekeep();
    let told = told.lock().unwrap();
    let has = |end: &str| told.iter().any(|path| path.to_string_lossy().ends_with(end));
    assert!(has(".snapshot.tmp") && has("recovery-points.tmp"), "{told:?}");
}

#[test]
fn a_disk_that_lies_is_caught_by_the_same_checks() {
    let machine = Machine::default();
    let (log, partition) = one(&machine, &[]);
    machine.disk.lie();
    partition.append(value(1, "a"), CLIENT).unwrap();
    log.sync_now();
    assert_eq!(partition.marks().high_watermark, 1);
    drop(log);
    let ends = (1..20).map(|seed| {
        let machine = copy(&machine);
        machine.disk.reboot(&mut Rng(seed));
        super::partition(&machine.open()).end()
    });
    assert!(ends.min() == Some(0), "what was acknowledged is lost");
}
