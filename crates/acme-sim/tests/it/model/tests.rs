//! What is checked, and that mistakes are found.

use super::checker::{Found, STUCK, explore};
use super::{CALM, LOST, Mistake, OFFSETS, Setting, TWICE, ZOMBIE};

/// Workers, partitions, records of each, records in an epoch, faults.
type Size = (usize, usize, u8, u8, u8);

#[expect(clippy::print_stdout, reason = "a test says what it has seen")]
fn check((workers, partitions, records, per_epoch, faults): Size) -> Found {
    let setting = Setting { workers, partitions, records, per_epoch, faults, mistake: None, promise: None };
    let found = explore(&setting);
    println!(
        "{workers} workers, {partitions} partitions with {records} records, epochs of {per_epoch}, {faults} faults: {} states, {} \
         transitions, {} steps deep; {:?}",
        found.states, found.transitions, found.depth, found.kinds
    );
    assert!(found.failure.is_none(), "{:#?}", found.failure);
    found
}

#[test]
fn two_workers_lose_and_double_nothing_whatever_two_faults_come_together() {
    let found = check((2, 1, 2, 1, 2));
    // A fault that never struck proves nothing.
    let faults = ["dies", "expels", "times out", "loses an answer", "gives up", "arrives late"];
    for kind in faults.into_iter().chain([
        "session ends",
        "restarts",
        "markers",
        "InitProducerId",
        "ListTransactions",
    ]) {
        assert!(found.kinds.get(kind).is_some_and(|&times| times > 100), "{kind}: {:?}", found.kinds);
    }
}

#[test]
fn two_workers_exchange_partitions_and_overlap_epochs_through_any_fault() {
    check((2, 2, 1, 2, 1));
    check((2, 1, 3, 1, 1));
    check((2, 1, 3, 2, 1));
}

#[test]
fn three_workers_share_partitions_through_any_fault() {
    check((3, 1, 1, 1, 1));
    check((3, 2, 1, 2, 0));
    // Sixteen million states: for minutes, and not in every run.
    if std::env::var_os("ACME_MODEL_DEEP").is_some() {
        check((3, 2, 1, 2, 1));
    }
}

/// Every mistake, a promise that it breaks, and the smallest world in which it does.
const MISTAKES: &[(Mistake, &str, Size)] = &[
    (Mistake::OwnAssignment, ZOMBIE, (2, 1, 1, 1, 1)),
    (Mistake::OwnAssignment, TWICE, (2, 1, 1, 1, 1)),
    (Mistake::OffsetsFirst, STUCK, (2, 1, 1, 1, 1)),
    (Mistake::EarlyAcknowledgement, TWICE, (2, 1, 1, 1, 0)),
    (Mistake::NextKept, LOST, (2, 1, 2, 1, 1)),
    (Mistake::UnansweredRecord, LOST, (1, 1, 2, 2, 1)),
    (Mistake::OffsetsOutside, TWICE, (1, 1, 1, 1, 1)),
    (Mistake::MembersFirst, CALM, (3, 2, 1, 1, 0)),
    (Mistake::NoFencing, STUCK, (2, 1, 1, 1, 1)),
    (Mistake::OnlyAtChanges, STUCK, (2, 1, 1, 1, 2)),
    (Mistake::UnstableOffsets, TWICE, (2, 1, 1, 1, 1)),
    (Mistake::ReusedId, OFFSETS, (1, 1, 3, 1, 1)),
    (Mistake::LateRefresh, OFFSETS, (1, 1, 2, 1, 2)),
    (Mistake::AnyOrder, OFFSETS, (1, 1, 2, 1, 0)),
    (Mistake::RevokedOffsets, OFFSETS, (2, 2, 2, 1, 0)),
    (Mistake::GuessedOutcome, TWICE, (1, 1, 1, 1, 1)),
    (Mistake::MarkerOrder, OFFSETS, (1, 1, 2, 1, 0)),
];

#[test]
fn the_checker_finds_every_mistake() {
    for &(mistake, promise, (workers, partitions, records, per_epoch, faults)) in MISTAKES {
        let (mistake_is, promise_is) = (Some(mistake), Some(promise));
        let setting = Setting {
            workers,
            partitions,
            records,
            per_epoch,
            faults,
            mistake: mistake_is,
            promise: promise_is,
        };
        let found = explore(&setting);
        let failure = found.failure.unwrap_or_else(|| panic!("{mistake:?} is not found"));
        assert_eq!(failure.promise, promise, "{mistake:?}");
        let path = failure.path;
        println!("{mistake:?} breaks \"{promise}\" after {} steps, {} states", path.len(), found.states);
        // The same world without the mistake keeps all promises, so it is the mistake that was found.
        let right = explore(&Setting { mistake: None, promise: None, ..setting });
        assert!(right.failure.is_none(), "{mistake:?}: {:#?}", right.failure);
    }
}
