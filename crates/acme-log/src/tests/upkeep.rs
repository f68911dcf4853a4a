//! Retention, deletion, segments that are written over.

use super::*;

fn fill(log: &Log, partition: &Partition, machine: &Machine, count: usize) {
    for _ in 0..count {
        partition.append(value(machine.now(), "0123456789"), CLIENT).unwrap();
    }
    log.sync_now();
}

#[test]
fn old_segments_go_by_time_and_by_size() {
    let machine = Machine::default();
    let own = [("internal.segment.bytes", "200"), ("retention.ms", "1000")];
    let (log, partition) = one(&machine, &own);
    fill(&log, &partition, &machine, 10);
    machine.pass(900);
    fill(&log, &partition, &machine, 4);
    machine.pass(200);
    log.housekeep();
    let marks = partition.marks();
    assert_eq!((marks.log_start, marks.high_watermark), (10, 14));
    let sized = [("retention.ms".to_owned(), None), ("retention.bytes".to_owned(), Some("250".to_owned()))];
    log.alter_settings("t", &sized).unwrap();
    log.housekeep();
    assert_eq!(partition.marks().log_start, 10 + 4 - 4);
    fill(&log, &partition, &machine, 2);
    log.housekeep();
    assert_eq!(partition.marks().log_start, 12);
    machine.pass(1_000_000_000);
    log.alter_settings("t", &[("retention.ms".to_owned(), Some("5".to_owned()))]).unwrap();
    log.housekeep();
    assert_eq!((partition.marks().log_start, partition.end()), (16, 16), "the last segment too");
    assert!(partition.read(15, 1, Until::End).is_err());
    fill(&log, &partition, &machine, 1);
    drop(log);
    machine.disk.kill();
    let log = machine.open();
    let marks = super::partition(&log).marks();
    assert_eq!((marks.log_start, marks.high_watermark), (16, 17));
}

#[test]
fn what_was_deleted_does_not_come_back() {
    let machine = Machine::default();
    let (log, partition) = one(&machine, &[("internal.segment.bytes", "200")]);
    fill(&log, &partition, &machine, 10);
    assert!(partition.delete_before(11).is_err());
    assert_eq!(partition.delete_before(5).unwrap(), 5);
    assert_eq!(partition.delete_before(3).unwrap(), 5);
    assert!(partition.read(4, 1, Until::End).is_err());
    assert_eq!(headers(&all(&partition, Until::End))[0].base_offset, 5);
    machine.disk.reboot(&mut Rng(1));
    drop(log);
    let log = machine.open();
    let partition = super::partition(&log);
    assert_eq!(partition.marks().log_start, 5);
    assert_eq!(partition.delete_before(-1).unwrap(), 10);
    assert!(partition.read(10, 1, Until::End).unwrap().bytes.is_empty());
}

#[test]
fn a_segment_that_went_is_written_over_and_its_old_batches_are_not_believed() {
    let machine = Machine::default();
    let own = [("internal.segment.bytes", "400"), ("retention.bytes", "500"), ("segment.ms", "1000000000")];
    let (log, partition) = one(&machine, &own);
    let stale = || {
        let (_, active) = machine.disk.files(".log").pop().unwrap();
        active.len() as u64 > partition.segments().last().unwrap().bytes()
    };
    let (mut spares, mut rounds) = (0, 0);
    while rounds < 20 || !stale() {
        log.housekeep();
        spares += machine.disk.files(".spare").len();
        fill(&log, &partition, &machine, 7);
        rounds += 1;
        assert!(rounds < 100, "old batches lie behind the end some time");
    }
    assert!(spares > 5, "{spares}");
    let expected = all(&partition, Until::End);
    drop(log);
    machine.disk.kill();
    let log = machine.open();
    assert_eq!(all(&super::partition(&log), Until::End), expected);
    assert_eq!(super::partition(&log).end(), rounds * 7);
}
