//! The batches of one partition: which go next, with which sequence numbers, and what an answer means for them.
//!
//! No I/O happens here. The order of the log is the order of `push`, whatever is retried: a batch that must be sent
//! again goes before all that come after it, alone, and new numbers (another epoch) begin only when nothing of the old
//! ones is under way (KIP-98, KIP-360).

use crate::error::{Class, Error, ErrorCode};
use crate::records::{BatchBuilder, Encoded, Stamp};
use std::collections::{BTreeMap, VecDeque};
use tokio::time::Instant;

/// A producer as the cluster knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The id that the cluster gave it.
    pub producer_id: i64,
    /// Which of its lives this is: an older one is fenced.
    pub epoch: i16,
}

/// A batch that takes no more records.
#[derive(Debug)]
pub(super) struct Sealed {
    pub(super) encoded: Encoded,
    /// The number of its first record among those of the partition.
    pub(super) first: u64,
    /// When it is given up.
    pub(super) deadline: Instant,
    /// Given when it is sent for the first time.
    pub(super) sequence: Option<i32>,
    /// It was sent, and may be in the log though nobody said so.
    pub(super) unsure: bool,
}

/// The batch that is being filled.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) builder: BatchBuilder,
    pub(super) first: u64,
    pub(super) since: Instant,
}

/// What becomes of an answered batch.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It is in the log, at an offset (-1: it was there already and the broker has forgotten where).
    Done(Sealed, i64),
    /// It goes again.
    Again,
    /// It goes again in two halves.
    Split,
    /// The broker refuses some of its records; it waits at the front, to be sorted out.
    Refused,
    /// It is not in the log, or nobody knows.
    Failed(Sealed, Error),
}

/// One partition's batches.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) open: Option<Open>,
    waiting: VecDeque<Sealed>,
    in_flight: BTreeMap<u64, Sealed>,
    /// The number of the next record.
    pub(super) next: u64,
    /// Bytes of the last full batch before compression: the next one will have as many.
    pub(super) usual: usize,
    identity: Identity,
    next_sequence: i32,
    /// Whether a batch of this identity was acknowledged: then the log knows where our numbers are.
    settled: bool,
    /// Another identity takes over as soon as nothing is in flight.
    renew: bool,
    /// Records that the broker refuses are taken out, and the others go on.
    sorts_out: bool,
    /// Records were taken out: as soon as nothing is in flight, the batches from this one on are numbered anew, from here on.
    rewind: Option<(u64, i32)>,
    /// Not to be tried before.
    pub(super) not_before: Option<Instant>,
    pub(super) failures: u32,
}

impl Queue {
    pub(super) fn new(identity: Identity, sorts_out: bool) -> Self {
        Self {
            open: None,
            waiting: VecDeque::new(),
            in_flight: BTreeMap::new(),
            next: 0,
            usual: 0,
            identity,
            next_sequence: 0,
            settled: false,
            renew: false,
            sorts_out,
            rewind: None,
            not_before: None,
            failures: 0,
        }
    }

    pub(super) fn seal(&mut self, batch: Sealed) {
        self.waiting.push_back(batch);
    }

    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.in_flight.is_empty()
    }

    pub(super) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Takes another identity on: numbers begin at 0. Only when nothing is in flight.
    pub(super) fn adopt(&mut self, identity: Identity) {
        debug_assert!(self.in_flight.is_empty());
        self.identity = identity;
        self.next_sequence = 0;
        self.settled = false;
        self.renew = false;
        self.rewind = None;
        for batch in &mut self.waiting {
            batch.sequence = None;
        }
    }

    /// True if it waits for a new identity and may have it now.
    pub(super) fn wants_identity(&self) -> bool {
        self.renew && self.in_flight.is_empty()
    }

    /// The bytes of the batch that may be sent now, if there is one. Asking changes nothing about it.
    pub(super) fn sendable(&mut self, in_flight_max: usize, now: Instant) -> Option<usize> {
        if self.renew || self.not_before.is_some_and(|at| at > now) {
            return None;
        }
        self.rewound()?;
        let front = self.waiting.front()?;
        let is_retry = front.sequence.is_some();
        // Before the first acknowledgement the log takes any number for the first one: only one may be under way.
        let limit = if is_retry || !self.settled { 1 } else { in_flight_max };
        (self.in_flight.len() < limit).then(|| front.encoded.bytes())
    }

    /// The batch of [`Self::sendable`], which is about to be sent, and what is stamped on it. It stays until [`Self::sent`].
    pub(super) fn stamp(&mut self, txn: bool) -> Option<(&Encoded, Stamp)> {
        let front = self.waiting.front_mut()?;
        let base_sequence = match front.sequence {
            Some(sequence) => sequence,
            None => {
                let sequence = self.next_sequence;
                self.next_sequence = add_sequence(sequence, front.encoded.count);
                front.sequence = Some(sequence);
                sequence
            }
        };
        let Identity { producer_id, epoch } = self.identity;
        let stamp = Stamp { producer_id, producer_epoch: epoch, base_sequence, is_transactional: txn };
        Some((&front.encoded, stamp))
    }

    /// Numbers anew what follows records that were taken out, once nothing is in flight: the log has taken nothing of it, for its
    /// numbers left a gap. `None` while something is.
    fn rewound(&mut self) -> Option<()> {
        let Some((first, sequence)) = self.rewind else { return Some(()) };
        if !self.in_flight.is_empty() {
            return None;
        }
        self.waiting.iter_mut().filter(|it| it.first >= first).for_each(|it| it.sequence = None);
        (self.next_sequence, self.rewind) = (sequence, None);
        Some(())
    }

    /// The batch of [`Self::sendable`] is under way; returns the number it is answered by.
    pub(super) fn sent(&mut self) -> Option<u64> {
        let batch = self.waiting.pop_front()?;
        let first = batch.first;
        self.in_flight.insert(first, batch);
        Some(first)
    }

    /// What an answer means. `transactional` producers number anew only after an abort.
    pub(super) fn answered(
        &mut self,
        first: u64,
        result: Result<i64, Error>,
        now: Instant,
        transactional: bool,
    ) -> Option<Verdict> {
        let mut batch = self.in_flight.remove(&first)?;
        let error = match result {
            Ok(offset) => return Some(self.done(batch, offset)),
            Err(error) => error,
        };
        let code = error.code().unwrap_or(ErrorCode(-1));
        if code == ErrorCode::DUPLICATE_SEQUENCE_NUMBER {
            return Some(self.done(batch, -1));
        }
        if code == ErrorCode::MESSAGE_TOO_LARGE && batch.encoded.count > 1 {
            self.put_back(batch);
            return Some(Verdict::Split);
        }
        if self.sorts_out && code.is_about_records() {
            // Batches behind it may be refused before their numbers are looked at, so the first of all counts.
            let sequence = batch.sequence.expect("it was sent");
            if self.rewind.is_none_or(|(earlier, _)| first < earlier) {
                self.rewind = Some((first, sequence));
            }
            self.put_back(batch);
            return Some(Verdict::Refused);
        }
        // Only a broker that compared numbers has certainly not written it; an earlier try may still have.
        batch.unsure |= !was_not_written(code);
        let lost_count =
            matches!(code, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER | ErrorCode::UNKNOWN_PRODUCER_ID)
                || code == ErrorCode::INVALID_PRODUCER_EPOCH;
        let behind_a_failure = code == ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER
            && (self.renew || self.rewind.is_some() || self.precedes(first) || !self.is_next(&batch));
        let again = behind_a_failure
            || (lost_count && !transactional)
            || error.class().is_transient() && error.class() != Class::Ok;
        // Under a new identity nobody would notice that it is in the log.
        let renews = lost_count && !behind_a_failure;
        if again && now < batch.deadline && !(renews && batch.unsure) {
            // The broker has lost count of our numbers though nothing of ours is missing: begin new ones.
            self.renew |= renews;
            self.put_back(batch);
            return Some(Verdict::Again);
        }
        // Its numbers are gone, or may be: what follows must not leave a gap.
        self.renew = true;
        Some(Verdict::Failed(batch, error))
    }

    fn done(&mut self, batch: Sealed, offset: i64) -> Verdict {
        self.settled = true;
        self.failures = 0;
        self.not_before = None;
        Verdict::Done(batch, offset)
    }

    /// Whether an older batch is still under way or waits to be sent again.
    fn precedes(&self, first: u64) -> bool {
        self.in_flight.keys().next().is_some_and(|other| *other < first)
            || self.waiting.front().is_some_and(|other| other.first < first && other.sequence.is_some())
    }

    /// Whether the log should have taken this batch next: nothing after it was acknowledged, nothing before it failed.
    fn is_next(&self, batch: &Sealed) -> bool {
        batch.sequence.is_some() && !self.renew
    }

    fn put_back(&mut self, batch: Sealed) {
        let at = self.waiting.partition_point(|other| other.first < batch.first);
        self.waiting.insert(at, batch);
    }

    /// The batch at the front, to be split: its halves keep its numbers.
    pub(super) fn take_front(&mut self, first: u64) -> Option<Sealed> {
        let at = self.waiting.iter().position(|batch| batch.first == first)?;
        self.waiting.remove(at)
    }

    /// Puts what is left of a batch in its place: records, each run with the number of its first one.
    pub(super) fn put_rest(&mut self, whole: &Sealed, rest: Vec<(u64, Encoded)>) {
        for (first, encoded) in rest {
            // The whole was refused, so nothing of it is in the log.
            self.put_back(Sealed { encoded, first, deadline: whole.deadline, sequence: None, unsure: false });
        }
    }

    /// Puts the halves of a batch in its place.
    pub(super) fn put_halves(&mut self, whole: &Sealed, halves: [Encoded; 2]) {
        let [one, two] = halves;
        let count = one.count;
        let second = whole.first + u64::from(count.unsigned_abs());
        let sequence = whole.sequence;
        let (deadline, unsure) = (whole.deadline, whole.unsure);
        let half = |encoded, first, sequence| Sealed { encoded, first, deadline, sequence, unsure };
        self.put_back(half(two, second, sequence.map(|sequence| add_sequence(sequence, count))));
        self.put_back(half(one, whole.first, sequence));
    }

    /// Batches that were not answered before their time was up, and are not under way. Once numbers begin anew, those
    /// that may be in the log go with them: sent again with another number, they would be there twice.
    pub(super) fn expired(&mut self, now: Instant) -> Vec<Sealed> {
        let mut gone = Vec::new();
        while let Some(front) = self.waiting.front()
            && front.deadline <= now
        {
            // One that was sent may be in the log: the numbers after it are of no use.
            self.renew |= front.sequence.is_some();
            gone.extend(self.waiting.pop_front());
        }
        if self.renew {
            let (unsure, kept) =
                std::mem::take(&mut self.waiting).into_iter().partition(|batch| batch.unsure);
            self.waiting = kept;
            let unsure: VecDeque<Sealed> = unsure;
            gone.extend(unsure);
        }
        gone
    }

    /// Gives up everything that is not under way; returns how many bytes that were.
    pub(super) fn discard(&mut self) -> usize {
        self.renew = true;
        self.rewind = None;
        let open = self.open.take().map_or(0, |open| open.builder.bytes());
        open + self.waiting.drain(..).map(|batch| batch.encoded.bytes()).sum::<usize>()
    }
}

/// Codes that say that a batch was looked at and not written.
fn was_not_written(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER
            | ErrorCode::UNKNOWN_PRODUCER_ID
            | ErrorCode::INVALID_PRODUCER_EPOCH
            | ErrorCode::MESSAGE_TOO_LARGE
            | ErrorCode::INVALID_RECORD
    )
}

/// Sequence numbers are of 31 bits and begin at 0 again.
fn add_sequence(sequence: i32, count: i32) -> i32 {
    sequence.wrapping_add(count) & i32::MAX
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::Compression;
    use std::time::Duration;

    const ME: Identity = Identity { producer_id: 7, epoch: 0 };

    fn queue(batches: u64) -> Queue {
        let mut queue = Queue::new(ME, false);
        for first in 0..batches {
            let mut builder = BatchBuilder::with_capacity(10);
            builder.push(0, None, Some(b"x"), &[]);
            let encoded = builder.finish(Compression::None).unwrap();
            let deadline = Instant::now() + Duration::from_secs(60);
            queue.seal(Sealed { encoded, first, deadline, sequence: None, unsure: false });
        }
        queue
    }

    /// Sends all that may be sent: sequence numbers with epochs.
    fn send(queue: &mut Queue) -> Vec<(i32, i16)> {
        let mut sent = Vec::new();
        // Asked twice, as the producer does: once which brokers get a request, once for each request.
        while queue.sendable(5, Instant::now()).and_then(|_| queue.sendable(5, Instant::now())).is_some() {
            let (_, stamp) = queue.stamp(false).unwrap();
            sent.push((stamp.base_sequence, stamp.producer_epoch));
            queue.sent();
        }
        sent
    }

    fn answer(queue: &mut Queue, first: u64, code: i16) -> Verdict {
        let result =
            if code == 0 { Ok(100) } else { Err(Error::broker(ErrorCode(code), "produce".to_owned())) };
        queue.answered(first, result, Instant::now(), false).unwrap()
    }

    #[test]
    fn one_batch_goes_until_the_log_knows_us_then_five() {
        let mut queue = queue(9);
        assert_eq!(send(&mut queue), [(0, 0)]);
        assert!(matches!(answer(&mut queue, 0, 0), Verdict::Done(..)));
        assert_eq!(send(&mut queue), [(1, 0), (2, 0), (3, 0), (4, 0), (5, 0)]);
    }

    #[test]
    fn a_failed_batch_and_those_behind_it_go_again_in_their_order_with_their_numbers() {
        let mut queue = queue(6);
        send(&mut queue);
        answer(&mut queue, 0, 0);
        assert_eq!(send(&mut queue).len(), 5);
        // The first is refused by a broker that no longer leads; the others leave a gap there.
        assert!(matches!(answer(&mut queue, 1, 6), Verdict::Again));
        for first in 2..=5 {
            assert!(matches!(answer(&mut queue, first, 45), Verdict::Again), "{first}");
        }
        for expected in 1..=5 {
            assert_eq!(send(&mut queue), [(expected, 0)]);
            assert!(matches!(answer(&mut queue, expected as u64, 0), Verdict::Done(..)));
        }
        assert!(queue.is_idle());
    }

    #[test]
    fn a_batch_that_was_in_the_log_already_is_done() {
        let mut queue = queue(1);
        send(&mut queue);
        assert!(matches!(answer(&mut queue, 0, 46), Verdict::Done(_, -1)));
    }

    #[test]
    fn numbers_begin_anew_when_the_broker_has_lost_count() {
        let mut queue = queue(3);
        send(&mut queue);
        answer(&mut queue, 0, 0);
        assert_eq!(send(&mut queue).len(), 2);
        assert!(matches!(answer(&mut queue, 1, 45), Verdict::Again));
        assert!(!queue.wants_identity(), "one is still under way");
        assert!(send(&mut queue).is_empty());
        assert!(matches!(answer(&mut queue, 2, 45), Verdict::Again));
        assert!(queue.wants_identity());
        queue.adopt(Identity { epoch: 1, ..ME });
        assert_eq!(send(&mut queue), [(0, 1)]);
        answer(&mut queue, 1, 0);
        assert_eq!(send(&mut queue), [(1, 1)]);
    }

    #[test]
    fn a_refused_batch_leaves_no_gap_behind() {
        let mut queue = queue(3);
        send(&mut queue);
        answer(&mut queue, 0, 0);
        send(&mut queue);
        assert!(matches!(answer(&mut queue, 1, 87), Verdict::Failed(..)));
        assert!(matches!(answer(&mut queue, 2, 45), Verdict::Again));
        assert!(queue.wants_identity());
        queue.adopt(Identity { epoch: 1, ..ME });
        assert_eq!(send(&mut queue), [(0, 1)]);
    }

    #[test]
    fn what_follows_a_record_that_is_taken_out_is_numbered_anew_when_nothing_is_under_way() {
        let mut queue = queue(6);
        queue.sorts_out = true;
        send(&mut queue);
        answer(&mut queue, 0, 0);
        assert_eq!(send(&mut queue).len(), 5);
        // The fourth is refused before its number is looked at, then the second is.
        assert!(matches!(answer(&mut queue, 4, 87), Verdict::Refused));
        assert!(queue.take_front(4).is_some());
        assert!(matches!(answer(&mut queue, 1, 0), Verdict::Done(..)));
        assert!(matches!(answer(&mut queue, 2, 32), Verdict::Refused));
        assert!(queue.take_front(2).is_some());
        assert!(matches!(answer(&mut queue, 3, 45), Verdict::Again));
        assert!(send(&mut queue).is_empty(), "one is still under way");
        assert!(matches!(answer(&mut queue, 5, 45), Verdict::Again));
        assert!(!queue.wants_identity(), "the numbers are good");
        assert_eq!(send(&mut queue), [(2, 0), (3, 0)], "in the places of those that are gone");
    }

    #[test]
    fn in_a_transaction_lost_numbers_are_a_failure() {
        let mut queue = queue(1);
        send(&mut queue);
        let error = Error::broker(ErrorCode(45), String::new());
        let verdict = queue.answered(0, Err(error), Instant::now(), true).unwrap();
        assert!(matches!(verdict, Verdict::Failed(..)));
    }

    #[test]
    fn a_batch_that_may_be_in_the_log_gets_no_new_number() {
        let mut queue = queue(3);
        send(&mut queue);
        answer(&mut queue, 0, 0);
        assert_eq!(send(&mut queue).len(), 2);
        let io = || Error::Io { broker: "b:1".to_owned(), reason: "cut".to_owned() };
        let late = Instant::now() + Duration::from_secs(61);
        // The connection is cut; the time of the first is up, that of the second is not.
        assert!(matches!(queue.answered(2, Err(io()), Instant::now(), false), Some(Verdict::Again)));
        assert!(matches!(queue.answered(1, Err(io()), late, false), Some(Verdict::Failed(..))));
        assert_eq!(queue.expired(Instant::now()).len(), 1, "nobody knows of the second either");
        assert!(queue.is_idle());
    }

    #[test]
    fn a_batch_is_given_up_when_its_time_is_over() {
        let mut queue = queue(2);
        send(&mut queue);
        let late = Instant::now() + Duration::from_secs(61);
        let error = Error::broker(ErrorCode(6), String::new());
        assert!(matches!(queue.answered(0, Err(error), late, false), Some(Verdict::Failed(..))));
        assert_eq!(queue.expired(late).len(), 1);
    }

    #[test]
    fn the_halves_of_a_batch_keep_its_numbers() {
        let mut queue = Queue::new(ME, false);
        let encoded = |count: i32| {
            let mut builder = BatchBuilder::with_capacity(10);
            (0..count).for_each(|_| builder.push(0, None, Some(b"x"), &[]));
            builder.finish(Compression::None).unwrap()
        };
        let deadline = Instant::now() + Duration::from_secs(60);
        queue.seal(Sealed { encoded: encoded(3), first: 0, deadline, sequence: None, unsure: false });
        queue.seal(Sealed { encoded: encoded(1), first: 3, deadline, sequence: None, unsure: false });
        send(&mut queue);
        assert!(matches!(answer(&mut queue, 0, 10), Verdict::Split));
        let whole = queue.take_front(0).unwrap();
        queue.put_halves(&whole, [encoded(1), encoded(2)]);
        assert_eq!(send(&mut queue), [(0, 0)]);
        answer(&mut queue, 0, 0);
        assert_eq!(send(&mut queue), [(1, 0), (3, 0)], "the half that is left, then the next one");
    }

    #[test]
    fn sequence_numbers_begin_at_zero_after_the_largest() {
        assert_eq!(add_sequence(i32::MAX, 1), 0);
        assert_eq!(add_sequence(i32::MAX - 1, 3), 1);
    }
}
