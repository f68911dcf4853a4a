//! Compaction keeps the last record of each key, and nothing is lost whatever dies meanwhile.

use super::*;

const SETTINGS: [(&str, &str); 4] = [
    ("cleanup.policy", "compact"),
    ("internal.segment.bytes", "400"),
    ("min.cleanable.dirty.ratio", "0.01"),
    ("index.interval.bytes", "100"),
];

fn put(partition: &Partition, machine: &Machine, compression: Compression, pairs: &[(&str, Option<&str>)]) {
    let records: Vec<_> = pairs.iter().map(|(key, value)| (machine.now(), Some(*key), *value)).collect();
    partition.append(batch(Stamp::NONE, compression, &records), CLIENT).unwrap();
}

/// The newest value of each key, as a reader builds it.
fn view(partition: &Partition) -> BTreeMap<String, String> {
    let all = records(&all(partition, Until::HighWatermark));
    all.into_iter().map(|(_, key, value)| (key, value)).collect()
}

fn fill(partition: &Partition, machine: &Machine, rounds: usize) {
    let all =
        [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];
    for round in 0..rounds {
        let (new, old) = (format!("{round}"), format!("k{}", round % 3));
        let unique = format!("u{round}");
        let pairs = [(old.as_str(), Some(new.as_str())), (unique.as_str(), Some("once"))];
        put(partition, machine, all[round % all.len()], &pairs);
    }
}

#[test]
fn the_last_record_of_each_key_stays_with_its_offset_and_every_offset_can_be_read_from() {
    let machine = Machine::default();
    let (log, partition) = one(&machine, &SETTINGS);
    fill(&partition, &machine, 40);
    log.sync_now();
    let before = records(&all(&partition, Until::HighWatermark));
    let expected = view(&partition);
    let size = partition.size();
    log.housekeep();
    let check = |partition: &Partition| {
        let after = records(&all(partition, Until::HighWatermark));
        assert_eq!(view(partition), expected);
        assert!(after.iter().all(|record| before.contains(record)), "offsets and values stay");
        assert!(after.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert!(after.len() < before.len() - 30, "{} of {}", after.len(), before.len());
        assert_eq!(partition.end(), 80);
        for from in 0..80 {
            let slice = partition.read(from, 1, Until::HighWatermark).unwrap();
            let header = headers(&slice.bytes)[0];
            assert!(header.last_offset() >= from, "{from}");
            let next = after.iter().find(|record| record.0 >= from).unwrap().0;
            assert!(header.base_offset <= next, "nothing is left out behind {from}");
        }
    };
    check(&partition);
    assert!(partition.size() < size);
    drop(log);
    machine.disk.kill();
    let log = machine.open();
    assert_eq!(super::partition(&log).damage(), None);
    check(&super::partition(&log));
    // And again, with what was compacted already.
    let partition = super::partition(&log);
    fill(&partition, &machine, 40);
    log.sync_now();
    let expected = view(&partition);
    log.housekeep();
    log.housekeep();
    assert_eq!(view(&partition), expected);
    log.close();
    drop(log);
    machine.disk.kill();
    assert_eq!(view(&super::partition(&machine.open())), expected);
}

#[test]
fn what_is_rebuilt_is_compressed_at_the_topics_level() {
    let text: String =
        (0..4_000_u32).map(|n| format!("{} ", n.wrapping_mul(2_654_435_761) % 1_000)).collect();
    let size = |level: &str| {
        let machine = Machine::default();
        let own = [("compression.type", "gzip"), ("compression.gzip.level", level)];
        let (log, partition) = one(&machine, &[&SETTINGS[..], &own].concat());
        put(&partition, &machine, Compression::None, &[("stays", Some(&text)), ("goes", Some("old"))]);
        // So many that not all of them lie in the last segment, which stays as it is.
        for _ in 0..12 {
            put(&partition, &machine, Compression::None, &[("goes", Some("new"))]);
        }
        log.sync_now();
        log.housekeep();
        let first = headers(&all(&partition, Until::HighWatermark))[0];
        assert_eq!((first.base_offset, first.count), (0, 1), "it was rebuilt");
        first.bytes
    };
    let (fast, small) = (size("1"), size("9"));
    assert!(fast > small, "{fast} {small}");
}

#[test]
fn a_record_without_a_key_is_refused() {
    let machine = Machine::default();
    let (_log, partition) = one(&machine, &SETTINGS);
    let error = partition.append(value(1, "x"), CLIENT).unwrap_err();
    assert!(matches!(error, crate::AppendError::Keyless { records, total: 1 } if records == [0]));
}

#[test]
fn tombstones_stay_for_their_time_and_then_go() {
    let machine = Machine::default();
    let mut own = SETTINGS.to_vec();
    own.push(("delete.retention.ms", "1000"));
    let (log, partition) = one(&machine, &own);
    put(&partition, &machine, Compression::None, &[("a", Some("1")), ("b", Some("1"))]);
    put(&partition, &machine, Compression::Lz4, &[("a", None), ("c", Some("1"))]);
    let more = |from: usize| {
        for number in from..from + 12 {
            put(&partition, &machine, Compression::None, &[(&format!("x{number}"), Some("fill"))]);
        }
        log.sync_now();
        log.housekeep();
    };
    more(0);
    assert_eq!(view(&partition)["a"], "-");
    assert_eq!(records(&all(&partition, Until::End))[0], (1, "b".into(), "1".into()));
    let header = headers(&all(&partition, Until::End))[1];
    assert_eq!((header.delete_horizon(), header.max_timestamp), (Some(machine.now() + 1_000), machine.now()));
    machine.pass(999);
    more(12);
    assert_eq!(view(&partition)["a"], "-");
    machine.pass(1);
    more(24);
    assert!(!view(&partition).contains_key("a"));
    assert_eq!(view(&partition)["c"], "1");
}

#[test]
fn aborted_records_go_committed_ones_stay_and_sequences_go_on() {
    let machine = Machine::default();
    let mut own = SETTINGS.to_vec();
    own.push(("delete.retention.ms", "1000"));
    let (log, partition) = one(&machine, &own);
    let send = |id, sequence, key: &str, value: &str| {
        let records = [(machine.now(), Some(key), Some(value))];
        let stamp = producer(id, 0, sequence, true);
        partition.append(batch(stamp, Compression::None, &records), Writer::Coordinator).unwrap();
    };
    send(1, 0, "a", "committed");
    send(2, 0, "a", "aborted");
    send(2, 1, "b", "aborted");
    partition.end_transaction(1, 0, true, 0).unwrap();
    partition.end_transaction(2, 0, false, 0).unwrap();
    let more = |from: usize| {
        for number in from..from + 12 {
            put(&partition, &machine, Compression::None, &[(&format!("x{number}"), Some("fill"))]);
        }
        log.sync_now();
        log.housekeep();
    };
    more(0);
    let found = view(&partition);
    assert_eq!((found.get("a").map(String::as_str), found.get("b")), (Some("committed"), None));
    let markers = || headers(&all(&partition, Until::End)).iter().filter(|it| it.is_control()).count();
    assert_eq!(markers(), 2);
    machine.pass(2_000);
    more(12);
    assert_eq!(markers(), 1, "a marker stays with the records of its transaction");
    for (path, _) in machine.disk.files(".snapshot") {
        machine.disk.delete(&path);
    }
    let known = partition.producers();
    machine.disk.kill();
    let log = machine.open();
    let partition = super::partition(&log);
    let last = |all: &[crate::ActiveProducer]| -> Vec<_> {
        all.iter().map(|it| (it.producer_id, it.last_sequence)).collect()
    };
    assert_eq!(last(&partition.producers()), last(&known), "the batches alone tell the sequences");
    // An open transaction holds compaction up.
    let stamp = producer(3, 0, 0, true);
    let records = [(machine.now(), Some("a"), Some("open"))];
    partition.append(batch(stamp, Compression::None, &records), Writer::Coordinator).unwrap();
    log.sync_now();
    log.housekeep();
    assert!(partition.read(0, 1_000, Until::LastStable).is_ok());
}

#[test]
fn what_is_young_waits_and_what_waits_too_long_is_compacted() {
    let machine = Machine::default();
    let own = [
        ("cleanup.policy", "compact"),
        ("internal.segment.bytes", "400"),
        ("min.cleanable.dirty.ratio", "1"),
        ("min.compaction.lag.ms", "1000"),
        ("max.compaction.lag.ms", "5000"),
    ];
    let (log, partition) = one(&machine, &own);
    fill(&partition, &machine, 20);
    log.sync_now();
    let count = || records(&all(&partition, Until::End)).len();
    log.housekeep();
    assert_eq!(count(), 40);
    machine.pass(2_000);
    log.housekeep();
    assert_eq!(count(), 40, "not dirty enough");
    machine.pass(4_000);
    log.housekeep();
    log.housekeep();
    assert_eq!(count(), 23, "the last segment too");
}

#[test]
fn compact_and_delete_do_both() {
    let machine = Machine::default();
    let mut own = SETTINGS.to_vec();
    own[0] = ("cleanup.policy", "compact,delete");
    own.push(("retention.ms", "1000"));
    let (log, partition) = one(&machine, &own);
    fill(&partition, &machine, 20);
    log.sync_now();
    log.housekeep();
    assert!(records(&all(&partition, Until::End)).len() < 40);
    machine.pass(1_001);
    log.housekeep();
    assert_eq!((partition.marks().log_start, partition.end()), (40, 40));
}

#[test]
fn compaction_may_lose_its_power_at_any_operation() {
    let machine = Machine::default();
    let (log, partition) = one(&machine, &SETTINGS);
    fill(&partition, &machine, 25);
    log.sync_now();
    let expected = view(&partition);
    drop((log, partition));
    let mut done = false;
    let mut crash = 0;
    while !done {
        let machine = Machine { disk: machine.disk.copy(), clock: machine.clock.clone(), mistake: None };
        machine.disk.kill();
        let log = machine.open();
        machine.disk.crash_in(crash);
        log.housekeep();
        done = !machine.disk.crashed();
        drop(log);
        for seed in 0..4 {
            let machine = Machine { disk: machine.disk.copy(), clock: machine.clock.clone(), mistake: None };
            machine.disk.reboot(&mut Rng(crash * 100 + seed));
            let log = machine.open();
            let partition = super::partition(&log);
            assert_eq!(partition.damage(), None, "operation {crash}, seed {seed}");
            assert_eq!(view(&partition), expected, "operation {crash}, seed {seed}");
            assert_eq!(partition.end(), 50);
            log.housekeep();
            log.housekeep();
            assert_eq!(view(&partition), expected);
            put(&partition, &machine, Compression::None, &[("k0", Some("new"))]);
            log.sync_now();
            assert_eq!(view(&partition)["k0"], "new");
        }
        crash += 1;
    }
    assert!(crash > 60, "{crash} operations");
}

#[test]
fn a_full_disk_stops_compaction_and_nothing_else() {
    let machine = Machine::default();
    let (log, partition) = one(&machine, &SETTINGS);
    fill(&partition, &machine, 25);
    log.sync_now();
    let expected = view(&partition);
    for space in (0..3_000).step_by(37) {
        machine.disk.space(Some(space));
        log.housekeep();
        assert_eq!(view(&partition), expected);
    }
    machine.disk.space(None);
    log.housekeep();
    log.housekeep();
    assert_eq!((view(&partition), partition.damage()), (expected, None));
    assert!(machine.disk.files(".cleaned").is_empty());
}
