//! Producers and transactions: what lands once, what is fenced, what readers see.

use super::*;
use crate::{AppendError, Verification};

fn put(partition: &Partition, stamp: Stamp, text: &str) -> Result<crate::Appended, AppendError> {
    partition.append(batch(stamp, Compression::None, &[(1, None, Some(text))]), Writer::Coordinator)
}

fn committed(partition: &Partition) -> Vec<String> {
    // As a client does it: what an aborted producer wrote from its first offset to its next marker is left out.
    let mut open = std::collections::BTreeSet::new();
    let (mut found, mut from) = (Vec::new(), partition.marks().log_start);
    loop {
        let slice = partition.read(from, 100_000, Until::LastStable).unwrap();
        let mut rest = slice.bytes;
        if rest.is_empty() {
            return found;
        }
        while let Some(header) = BatchHeader::parse(&rest).unwrap() {
            let bytes = rest.split_to(header.bytes);
            for it in slice.aborted.iter().filter(|it| it.first_offset <= header.base_offset) {
                if it.producer_id == header.producer_id && !header.is_control() {
                    open.insert((it.producer_id, it.first_offset));
                }
            }
            let is_aborted = open.iter().any(|(id, _)| *id == header.producer_id);
            if header.is_control() {
                open.retain(|(id, _)| *id != header.producer_id);
            } else if !(header.is_transactional() && is_aborted) {
                found.extend(values(&bytes));
            }
            from = header.next_offset();
        }
    }
}

#[test]
fn a_batch_that_is_repeated_lands_once() {
    let machine = Machine::default();
    let (log, partition) = one(&machine, &[]);
    for sequence in 0..7 {
        put(&partition, producer(9, 0, sequence, false), &sequence.to_string()).unwrap();
    }
    let check = |partition: &Partition| {
        for sequence in 2..7 {
            let again = put(partition, producer(9, 0, sequence, false), "again").unwrap();
            assert_eq!((again.base_offset, again.duplicate), (i64::from(sequence), true));
        }
        let old = put(partition, producer(9, 0, 1, false), "x").unwrap_err();
        assert!(matches!(old, AppendError::OutOfOrderSequence { found: 1, last: 6, .. }), "{old}");
        let gap = put(partition, producer(9, 0, 8, false), "x").unwrap_err();
        assert!(matches!(gap, AppendError::OutOfOrderSequence { found: 8, last: 6, .. }), "{gap}");
    };
    check(&partition);
    log.sync_now();
    drop(log);
    machine.disk.kill();
    let log = machine.open();
    check(&super::partition(&log));
    log.close();
    drop(log);
    machine.disk.kill();
    let log = machine.open();
    let partition = super::partition(&log);
    check(&partition);
    // A new epoch begins with 0 and fences the old one.
    let skipped = put(&partition, producer(9, 1, 7, false), "x").unwrap_err();
    assert!(matches!(skipped, AppendError::OutOfOrderSequence { last: -1, .. }), "{skipped}");
    put(&partition, producer(9, 1, 0, false), "new").unwrap();
    let fenced = put(&partition, producer(9, 0, 7, false), "x").unwrap_err();
    assert!(matches!(fenced, AppendError::InvalidProducerEpoch { found: 0, current: 1, .. }), "{fenced}");
    assert_eq!(partition.end(), 8);
}

#[test]
fn sequences_go_round_after_the_largest() {
    let machine = Machine::default();
    let (_log, partition) = one(&machine, &[]);
    put(&partition, producer(9, 0, i32::MAX, false), "last").unwrap();
    put(&partition, producer(9, 0, 0, false), "first").unwrap();
    assert_eq!(partition.producers()[0].last_sequence, 0);
}

#[test]
fn readers_of_what_is_committed_see_a_transaction_whole_or_not_at_all() {
    let machine = Machine::default();
    let (log, partition) = one(&machine, &[("internal.segment.bytes", "300")]);
    put(&partition, producer(1, 0, 0, true), "one").unwrap();
    put(&partition, producer(2, 0, 0, true), "two").unwrap();
    put(&partition, Stamp::NONE, "plain").unwrap();
    log.sync_now();
    assert_eq!((partition.marks().high_watermark, partition.marks().last_stable), (3, 0));
    assert!(committed(&partition).is_empty());
    partition.end_transaction(2, 0, false, 0).unwrap();
    log.sync_now();
    assert_eq!(partition.marks().last_stable, 0);
    put(&partition, producer(1, 0, 1, true), "more").unwrap();
    partition.end_transaction(1, 0, true, 0).unwrap();
    assert_eq!(partition.marks().last_stable, 0, "the marker is not synced");
    log.sync_now();
    assert_eq!(partition.marks().last_stable, 6);
    assert_eq!(committed(&partition), ["one", "plain", "more"]);
    put(&partition, producer(2, 0, 1, true), "open").unwrap();
    log.sync_now();
    drop(log);
    machine.disk.kill();
    let log = machine.open();
    let partition = super::partition(&log);
    assert_eq!((partition.marks().last_stable, partition.end()), (6, 7));
    assert_eq!(committed(&partition), ["one", "plain", "more"]);
    assert_eq!(partition.producers()[1].transaction_start, 6);
    log.close();
    drop(log);
    machine.disk.kill();
    let log = machine.open();
    let partition = super::partition(&log);
    assert_eq!((partition.marks().last_stable, committed(&partition).len()), (6, 3));
    partition.end_transaction(2, 1, true, 0).unwrap();
    log.sync_now();
    assert_eq!(committed(&partition), ["one", "plain", "more", "open"]);
}

#[test]
fn markers_fence_and_are_fenced() {
    let machine = Machine::default();
    let (_log, partition) = one(&machine, &[]);
    put(&partition, producer(1, 3, 0, true), "a").unwrap();
    let old = partition.end_transaction(1, 2, true, 5).unwrap_err();
    assert!(matches!(old, AppendError::InvalidProducerEpoch { found: 2, current: 3, .. }), "{old}");
    let outside = put(&partition, producer(1, 3, 1, false), "b").unwrap_err();
    assert!(matches!(outside, AppendError::InvalidTransactionState(_)), "{outside}");
    // transaction.version 2: the marker has the next epoch.
    partition.end_transaction(1, 4, true, 5).unwrap();
    let late = put(&partition, producer(1, 3, 1, true), "b").unwrap_err();
    assert!(matches!(late, AppendError::InvalidProducerEpoch { .. }), "{late}");
    let coordinator = partition.end_transaction(1, 4, true, 4).unwrap_err();
    assert!(matches!(coordinator, AppendError::CoordinatorFenced { found: 4, current: 5 }), "{coordinator}");
    put(&partition, producer(1, 4, 0, true), "c").unwrap();
}

#[test]
fn a_transaction_that_the_coordinator_was_not_asked_about_is_refused() {
    let machine = Machine::default();
    let (_log, partition) = one(&machine, &[]);
    let send = |sequence, guard| {
        let bytes = batch(producer(1, 0, sequence, true), Compression::None, &[(1, None, Some("v"))]);
        partition.append(bytes, Writer::Client { guard })
    };
    assert!(matches!(send(0, None), Err(AppendError::InvalidTransactionState(_))));
    let Verification::Ask(guard) = partition.verification(1, 0) else { panic!("it is not open") };
    // The transaction ends before the batch arrives: it must not open it again.
    partition.end_transaction(1, 0, false, 0).unwrap();
    assert!(matches!(send(0, Some(guard)), Err(AppendError::InvalidTransactionState(_))));
    let Verification::Ask(guard) = partition.verification(1, 0) else { panic!("it is not open") };
    send(0, Some(guard)).unwrap();
    assert_eq!(partition.verification(1, 0), Verification::Open);
    send(1, None).unwrap();
}

#[test]
fn producers_are_forgotten_after_a_day_but_not_in_a_transaction() {
    let machine = Machine::default();
    let (log, partition) = one(&machine, &[("retention.ms", "-1")]);
    for (id, transactional) in [(1, false), (2, true)] {
        let stamp = producer(id, 0, 0, transactional);
        let bytes = batch(stamp, Compression::None, &[(machine.now(), None, Some("v"))]);
        partition.append(bytes, Writer::Coordinator).unwrap();
    }
    machine.pass(86_400_000);
    log.housekeep();
    assert_eq!(partition.producers().len(), 2);
    machine.pass(1);
    log.housekeep();
    assert_eq!(partition.producers()[0].producer_id, 2);
}
