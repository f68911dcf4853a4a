use super::*;

const A: Log = Log { topic: 0, partition: 0 };
const B: Log = Log { topic: 0, partition: 1 };

fn operation(process: u32, begun: u64, outcome: Outcome, steps: Vec<Step>) -> Operation {
    let ended = if outcome == Outcome::Unknown { NEVER } else { begun + 1 };
    Operation { process, begun, ended, outcome, transactional: false, steps }
}

fn transaction(process: u32, begun: u64, outcome: Outcome, steps: Vec<Step>) -> Operation {
    Operation { transactional: true, ..operation(process, begun, outcome, steps) }
}

fn send(log: Log, value: Value, offset: i64) -> Step {
    Step::Send { log, value, offset: Some(offset) }
}

fn poll(log: Log, records: &[(i64, Value)]) -> Step {
    Step::Poll { log, committed: true, records: records.to_vec() }
}

fn commit(offset: i64) -> Step {
    Step::Commit { group: 0, log: A, offset }
}

/// What is in the end, for both kinds of readers.
fn finals(log: Log, uncommitted: &[(i64, Value)], committed: &[(i64, Value)]) -> Vec<Final> {
    let one = |committed, records: &[(i64, Value)]| Final { log, committed, records: records.to_vec() };
    vec![one(false, uncommitted), one(true, committed)]
}

/// Two records, a transaction of two partitions, one that was rolled back, one of which nothing is known and that took effect, a
/// request without an answer of which half is there, a refused one, readers, offsets.
fn good() -> History {
    let mut all = finals(
        A,
        &[(0, 1), (1, 2), (2, 3), (4, 5), (6, 7), (8, 9)],
        &[(0, 1), (1, 2), (2, 3), (6, 7), (8, 9)],
    );
    all.extend(finals(B, &[(0, 4), (2, 6), (4, 8)], &[(0, 4), (4, 8)]));
    History {
        operations: vec![
            operation(1, 10, Outcome::Done, vec![send(A, 1, 0), send(A, 2, 1)]),
            transaction(2, 20, Outcome::Done, vec![send(A, 3, 2), send(B, 4, 0), commit(1)]),
            transaction(2, 30, Outcome::RolledBack, vec![send(A, 5, 4), send(B, 6, 2), commit(2)]),
            operation(3, 35, Outcome::Done, vec![Step::Committed { group: 0, log: A, offset: Some(1) }]),
            transaction(2, 40, Outcome::Unknown, vec![send(A, 7, 6), send(B, 8, 4), commit(3)]),
            operation(
                4,
                50,
                Outcome::Unknown,
                vec![
                    Step::Send { log: A, value: 9, offset: None },
                    Step::Send { log: A, value: 10, offset: None },
                ],
            ),
            operation(5, 60, Outcome::Refused, vec![Step::Send { log: A, value: 11, offset: None }]),
            operation(6, 15, Outcome::Done, vec![poll(A, &[(0, 1), (1, 2)])]),
            operation(6, 70, Outcome::Done, vec![poll(A, &[(2, 3), (6, 7)]), poll(B, &[(0, 4)])]),
            operation(6, 75, Outcome::Done, vec![Step::Seek { log: A, offset: 1 }, poll(A, &[(1, 2)])]),
            operation(
                7,
                80,
                Outcome::Done,
                vec![Step::Poll { log: A, committed: false, records: vec![(0, 1), (1, 2), (2, 3), (4, 5)] }],
            ),
        ],
        finals: all,
        offsets: vec![FinalOffset { group: 0, log: A, offset: Some(3) }],
        serial: false,
    }
}

fn kinds(history: &History) -> Vec<Kind> {
    let mut kinds: Vec<Kind> = faults(history).iter().map(|fault| fault.kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

/// The good history with one thing changed.
#[track_caller]
fn broken(change: impl FnOnce(&mut History), expected: &[Kind]) {
    let mut history = good();
    change(&mut history);
    assert_eq!(kinds(&history), expected, "{:#?}", faults(&history));
}

fn forget(history: &mut History, value: Value) {
    history.finals.iter_mut().for_each(|end| end.records.retain(|(_, it)| *it != value));
}

#[test]
fn what_can_have_happened_is_good() {
    assert_eq!(faults(&good()), []);
    assert_eq!(faults(&History::default()), []);
    // Nothing of the request without an answer is there.
    broken(|it| forget(it, 9), &[]);
    // The transaction of which nothing is known has not taken effect.
    let undone = |it: &mut History| {
        for end in it.finals.iter_mut().filter(|end| end.committed) {
            end.records.retain(|(_, value)| !matches!(value, 7 | 8));
        }
        it.operations[8].steps[0] = poll(A, &[(2, 3)]);
        it.offsets[0].offset = Some(1);
    };
    broken(undone, &[]);
    // The writes of two transactions lie between each other.
    let operations = vec![
        transaction(1, 1, Outcome::Done, vec![send(A, 1, 0), send(B, 2, 1)]),
        transaction(2, 1, Outcome::Done, vec![send(B, 3, 0), send(A, 4, 1)]),
    ];
    let history = History { operations, ..History::default() };
    assert_eq!(kinds(&history), []);
    assert_eq!(kinds(&History { serial: true, ..history }), [Kind::Cycle]);
}

#[test]
fn an_acknowledged_record_that_is_not_there_is_lost() {
    broken(|it| forget(it, 4), &[Kind::Lost, Kind::Vanished]);
    let nobody_has_read_it = |it: &mut History| {
        forget(it, 4);
        it.operations[8].steps.pop();
    };
    broken(nobody_has_read_it, &[Kind::Lost]);
}

#[test]
fn an_acknowledged_record_behind_all_that_was_read_is_unseen() {
    let last = |it: &mut History| {
        it.operations.push(operation(1, 90, Outcome::Done, vec![send(A, 12, 9)]));
    };
    broken(last, &[Kind::Unseen]);
}

#[test]
fn what_was_read_and_is_gone_has_vanished() {
    let early = |it: &mut History| {
        it.operations[7].steps = vec![poll(A, &[(0, 1), (1, 2), (2, 3), (6, 7), (8, 9)])];
        it.operations[8].steps.remove(0);
        it.operations[7].ended = 65;
        forget(it, 9);
    };
    broken(early, &[Kind::Vanished]);
}

#[test]
fn read_committed_never_sees_what_was_rolled_back() {
    let seen = |it: &mut History| it.finals[1].records.insert(3, (4, 5));
    broken(seen, &[Kind::AbortedRead, Kind::SkippedPoll]);
    let seen_first = |it: &mut History| {
        it.operations[9].steps.push(Step::Seek { log: B, offset: 2 });
        it.operations[9].steps.push(poll(B, &[(2, 6)]));
        it.finals[3].records.insert(1, (2, 6));
    };
    broken(seen_first, &[Kind::AbortedRead]);
}

#[test]
fn a_transaction_does_not_read_itself() {
    let own = |it: &mut History| it.operations[1].steps.push(poll(B, &[(0, 4)]));
    broken(own, &[Kind::PrecommittedRead]);
}

#[test]
fn what_was_refused_is_nowhere() {
    broken(|it| it.finals.iter_mut().take(2).for_each(|end| end.records.push((9, 11))), &[Kind::RefusedRead]);
}

#[test]
fn what_nobody_has_sent_is_not_there() {
    broken(|it| it.finals.iter_mut().take(2).for_each(|end| end.records.push((9, 99))), &[Kind::Unsent]);
    let elsewhere = |it: &mut History| it.finals[2].records.push((5, 10));
    broken(elsewhere, &[Kind::Unsent]);
    broken(|it| (it.operations[0].begun, it.operations[0].ended) = (90, 91), &[Kind::Unsent]);
}

#[test]
fn an_offset_has_one_value() {
    let another = |it: &mut History| {
        it.operations[10].steps = vec![Step::Poll { log: A, committed: false, records: vec![(0, 2)] }];
    };
    broken(another, &[Kind::InconsistentOffset, Kind::Duplicate]);
    let acknowledged = |it: &mut History| {
        it.operations.push(operation(9, 90, Outcome::Unknown, vec![send(A, 12, 8)]));
    };
    broken(acknowledged, &[Kind::InconsistentOffset]);
}

#[test]
fn a_value_has_one_offset() {
    let twice = |it: &mut History| it.finals.iter_mut().take(2).for_each(|end| end.records.push((9, 9)));
    broken(twice, &[Kind::Duplicate]);
}

#[test]
fn a_reader_does_not_go_back() {
    broken(|it| drop(it.operations[9].steps.remove(0)), &[Kind::NonMonotonicPoll]);
}

#[test]
fn a_reader_gets_everything() {
    broken(|it| it.operations[8].steps[0] = poll(A, &[(6, 7)]), &[Kind::SkippedPoll]);
    broken(|it| it.operations[7].steps[0] = poll(A, &[(1, 2)]), &[Kind::SkippedPoll]);
}

#[test]
fn records_of_a_process_lie_in_its_order() {
    let around = |it: &mut History| it.operations[0].steps.swap(0, 1);
    broken(around, &[Kind::NonMonotonicSend]);
    // Also where no offset was told.
    let unknown = |it: &mut History| {
        it.operations.push(operation(
            4,
            90,
            Outcome::Unknown,
            vec![Step::Send { log: A, value: 12, offset: None }],
        ));
        it.operations.swap(5, 11);
        it.finals.iter_mut().take(2).for_each(|end| end.records.push((9, 12)));
    };
    broken(unknown, &[Kind::NonMonotonicSend]);
}

#[test]
fn a_transaction_is_there_whole_or_not_at_all() {
    let half = |it: &mut History| it.finals[3].records.retain(|(_, value)| *value != 8);
    broken(half, &[Kind::Torn]);
    let without_offsets = |it: &mut History| it.offsets[0].offset = Some(1);
    broken(without_offsets, &[Kind::Torn]);
    let offsets_alone = |it: &mut History| {
        for end in it.finals.iter_mut().filter(|end| end.committed) {
            end.records.retain(|(_, value)| !matches!(value, 7 | 8));
        }
        it.operations[8].steps[0] = poll(A, &[(2, 3)]);
    };
    broken(offsets_alone, &[Kind::Torn]);
}

#[test]
fn a_committed_offset_does_not_go_back() {
    let none = |it: &mut History| {
        it.operations[3].steps = vec![Step::Committed { group: 0, log: A, offset: None }];
    };
    broken(none, &[Kind::OffsetMovedBack]);
    let end = |it: &mut History| {
        it.operations.push(operation(8, 90, Outcome::Done, vec![commit(7)]));
    };
    broken(end, &[Kind::OffsetMovedBack]);
}

#[test]
fn an_offset_that_was_rolled_back_does_not_count() {
    let aborted = |it: &mut History| {
        it.operations[3].steps = vec![Step::Committed { group: 0, log: A, offset: Some(2) }];
    };
    broken(aborted, &[Kind::OffsetUnsent]);
}

#[test]
fn transactions_do_not_see_each_other_around() {
    let around = |it: &mut History| {
        it.operations.push(transaction(
            8,
            82,
            Outcome::Done,
            vec![send(A, 20, 9), poll(B, &[(0, 4), (4, 8), (5, 21)])],
        ));
        it.operations.push(transaction(
            9,
            82,
            Outcome::Done,
            vec![send(B, 21, 5), poll(A, &[(0, 1), (1, 2), (2, 3), (6, 7), (8, 9), (9, 20)])],
        ));
        it.finals.iter_mut().take(2).for_each(|end| end.records.push((9, 20)));
        it.finals.iter_mut().skip(2).for_each(|end| end.records.push((5, 21)));
    };
    broken(around, &[Kind::Cycle]);
}

#[test]
fn of_many_faults_a_few_are_told() {
    let steps = (0..1_000).map(|number| send(A, number, number as i64)).collect();
    let history = History {
        operations: vec![operation(1, 1, Outcome::Done, steps)],
        finals: finals(A, &[], &[]),
        ..History::default()
    };
    assert_eq!(faults(&history).len(), TOLD_MAX);
}
