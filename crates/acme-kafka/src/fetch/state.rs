//! What the tasks of a fetcher share: partitions, their positions, and the queue of what was fetched.

use super::chunk::Chunk;
use super::session::Want;
use super::{FetchOptions, Position};
use crate::client::{Client, Leader, Purpose, TopicPartition};
use crate::error::Error;
use crate::signal::{Signal, Watch};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;
use uuid::Uuid;

/// State, and two counters that tell who waits that it has changed.
pub(super) struct Shared {
    pub(super) client: Client,
    pub(super) options: FetchOptions,
    pub(super) purpose: Purpose,
    state: Mutex<State>,
    /// For the tasks: an assignment, a pause, a leader, room in the budget.
    work: Signal,
    /// For the reader: a chunk or an error.
    ready: Signal,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) parts: BTreeMap<TopicPartition, Part>,
    chunks: VecDeque<Chunk>,
    errors: VecDeque<(TopicPartition, u64, Error)>,
    /// Bytes of chunks by the broker they came from.
    buffered: BTreeMap<i32, usize>,
    assignments: u64,
}

/// What is going on with a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Its leader must be found.
    Lost,
    /// It must be checked that the log was not cut below the position.
    Unchecked,
    /// It is fetched.
    Ready,
    /// An error was reported; nothing happens until it is assigned again.
    Stopped,
}

/// An assigned partition.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) assignment: u64,
    pub(super) topic_id: Uuid,
    /// The next offset to fetch.
    pub(super) offset: i64,
    /// The leader epoch of the record before it, -1 if unknown.
    pub(super) epoch: i32,
    pub(super) phase: Phase,
    pub(super) leader: Option<Leader>,
    /// A replica in our rack, which the leader has named; it is read in the leader's place (KIP-392).
    pub(super) near: Option<i32>,
    /// When it was last fetched, or assigned.
    pub(super) well_at: Instant,
    paused: bool,
    buffered: usize,
    /// The end of what may be read, as last told.
    end: i64,
    end_seen: bool,
    answered: Option<Instant>,
}

impl Part {
    /// Who is asked for its records.
    pub(super) fn broker(&self) -> Option<i32> {
        self.near.or(self.leader.map(|leader| leader.broker))
    }
}

/// What one partition of an answered fetch said.
pub(super) struct Answer {
    pub(super) end: i64,
    pub(super) next: Option<(i64, i32)>,
    pub(super) chunk: Option<Chunk>,
}

impl Shared {
    pub(super) fn new(client: Client, options: FetchOptions) -> Self {
        let purpose = Purpose::Fetch(client.unique());
        let (work, ready) = (Signal::default(), Signal::default());
        Self { client, options, purpose, state: Mutex::default(), work, ready }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn subscribe_work(&self) -> Watch {
        self.work.watch()
    }

    pub(super) fn subscribe_ready(&self) -> Watch {
        self.ready.watch()
    }

    pub(super) fn wake_tasks(&self) {
        self.work.raise();
    }

    fn wake_reader(&self) {
        self.ready.raise();
    }

    pub(super) fn assign(&self, partitions: &[(TopicPartition, Position)]) {
        let mut state = self.lock();
        for (partition, position) in partitions {
            state.forget(partition);
            state.assignments += 1;
            let part = Part {
                assignment: state.assignments,
                topic_id: position.topic_id,
                offset: position.offset,
                epoch: position.leader_epoch,
                phase: Phase::Lost,
                leader: None,
                near: None,
                well_at: self.client.world().now(),
                paused: false,
                buffered: 0,
                end: i64::MAX,
                end_seen: false,
                answered: None,
            };
            state.parts.insert(partition.clone(), part);
        }
        drop(state);
        self.wake_tasks();
    }

    pub(super) fn revoke(&self, partitions: &[TopicPartition]) {
        let mut state = self.lock();
        for partition in partitions {
            state.forget(partition);
        }
        drop(state);
        self.wake_tasks();
    }

    pub(super) fn pause(&self, partitions: &[TopicPartition], paused: bool) {
        let mut state = self.lock();
        for partition in partitions {
            if let Some(part) = state.parts.get_mut(partition) {
                part.paused = paused;
            }
        }
        drop(state);
        self.wake_tasks();
        self.wake_reader();
    }

    pub(super) fn assignment(&self) -> Vec<TopicPartition> {
        self.lock().parts.keys().cloned().collect()
    }

    /// The next error whose partition has nothing left that was fetched before it.
    pub(super) fn take_error(&self) -> Option<Error> {
        let mut state = self.lock();
        let is_due = |state: &State, partition: &TopicPartition, assignment| {
            state.parts.get(partition).is_none_or(|part| part.assignment != assignment || part.buffered == 0)
        };
        loop {
            let at = state.errors.iter().position(|(partition, was, _)| is_due(&state, partition, *was))?;
            let (partition, assignment, error) = state.errors.remove(at)?;
            if state.part(&partition, assignment).is_some() {
                return Some(error);
            }
        }
    }

    /// The oldest chunk of a partition that is not paused. It no longer counts against the budget.
    pub(super) fn take_chunk(&self) -> Option<Chunk> {
        let mut state = self.lock();
        let paused: BTreeSet<u64> =
            state.parts.values().filter(|part| part.paused).map(|part| part.assignment).collect();
        let at = state.chunks.iter().position(|chunk| !paused.contains(&chunk.assignment))?;
        let chunk = state.chunks.remove(at)?;
        state.release(&chunk);
        drop(state);
        self.wake_tasks();
        Some(chunk)
    }

    /// Puts back what was left of a chunk, as the next one of its partition.
    pub(super) fn give_back(&self, mut chunk: Chunk) {
        if chunk.records.is_empty() {
            return;
        }
        chunk.bytes = chunk.records.len();
        let mut state = self.lock();
        state.occupy(&chunk);
        state.chunks.push_front(chunk);
    }

    pub(super) fn stop_after_damage(&self, chunk: &Chunk) {
        let mut state = self.lock();
        let partition = &chunk.partition;
        if let Some(part) = state.part(partition, chunk.assignment) {
            part.phase = Phase::Stopped;
        }
        state.drop_chunks(partition);
    }

    pub(super) fn at_end(&self, partition: &TopicPartition) -> bool {
        let state = self.lock();
        state.parts.get(partition).is_some_and(|part| part.end_seen && part.buffered == 0)
    }

    pub(super) fn answered_at(&self, partition: &TopicPartition) -> Option<Instant> {
        self.lock().parts.get(partition)?.answered
    }

    pub(super) fn prefetched_bytes(&self) -> usize {
        self.lock().buffered.values().sum()
    }

    pub(super) fn release(&self) {
        self.client.release(self.purpose);
    }

    /// What is to be fetched from a broker now, and how many bytes may come.
    pub(super) fn wanted(&self, broker: i32) -> Option<(BTreeMap<TopicPartition, Want>, i32)> {
        let state = self.lock();
        let brokers: BTreeSet<i32> = state.parts.values().filter_map(Part::broker).collect();
        // Each broker has its share, so that one whose fetch waits for data keeps nothing from the others.
        let share = self.options.prefetch_bytes / brokers.len().max(1);
        let room = share.saturating_sub(state.buffered.get(&broker).copied().unwrap_or(0));
        if room < share / 4 || room == 0 {
            return None;
        }
        let bytes_max = self.options.partition_max_bytes;
        let full = usize::try_from(bytes_max).unwrap_or(0).saturating_mul(2);
        let wanted: BTreeMap<_, _> = state
            .parts
            .iter()
            .filter(|(_, part)| part.phase == Phase::Ready && !part.paused && part.buffered < full)
            .filter_map(|(partition, part)| {
                let leader = part.leader.filter(|_| part.broker() == Some(broker))?;
                let want = Want {
                    topic_id: leader.topic_id,
                    offset: part.offset,
                    leader_epoch: leader.epoch,
                    bytes_max,
                };
                Some((partition.clone(), want))
            })
            .collect();
        let max = i32::try_from(room).unwrap_or(i32::MAX).min(self.options.max_bytes);
        (!wanted.is_empty()).then_some((wanted, max))
    }

    /// The assignment of a partition at this offset: an answer to another one is of no use.
    pub(super) fn current(&self, partition: &TopicPartition, want: &Want) -> Option<u64> {
        let state = self.lock();
        let part = state.parts.get(partition)?;
        let same = part.offset == want.offset && part.phase == Phase::Ready;
        same.then_some(part.assignment)
    }

    /// Takes over what a broker answered for a partition.
    pub(super) fn answered(&self, partition: &TopicPartition, assignment: u64, answer: Answer) {
        let mut state = self.lock();
        let Some(part) = state.part(partition, assignment) else { return };
        let now = self.client.world().now();
        part.answered = Some(now);
        part.well_at = now;
        part.end = answer.end;
        if let Some((next, epoch)) = answer.next {
            (part.offset, part.epoch) = (next, epoch);
        }
        part.end_seen = answer.next.is_none() && part.offset >= part.end;
        if let Some(chunk) = answer.chunk {
            state.occupy(&chunk);
            state.chunks.push_back(chunk);
            drop(state);
            self.wake_reader();
        }
    }

    /// A broker answered a fetch of a session without naming the partition: nothing has changed there.
    pub(super) fn unchanged(&self, partition: &TopicPartition, assignment: u64) {
        let mut state = self.lock();
        if let Some(part) = state.part(partition, assignment) {
            let now = self.client.world().now();
            part.answered = Some(now);
            part.well_at = now;
            part.end_seen = part.offset >= part.end;
        }
    }

    /// The leader has named a replica that is nearer.
    pub(super) fn prefer(&self, partition: &TopicPartition, assignment: u64, replica: i32) {
        if let Some(part) = self.lock().part(partition, assignment) {
            part.near = Some(replica);
        }
        self.wake_tasks();
    }

    /// Goes back to the leader, if the broker was read in its place; what the leader says counts.
    pub(super) fn leaves(&self, partition: &TopicPartition, assignment: u64, broker: i32) -> bool {
        let mut state = self.lock();
        let part = state.part(partition, assignment).filter(|part| part.near == Some(broker));
        let Some(part) = part else { return false };
        part.near = None;
        drop(state);
        self.wake_tasks();
        true
    }

    /// The leader must be found again. After `operation_timeout` without success the reader is told why.
    pub(super) fn lost(&self, partition: &TopicPartition, assignment: u64, error: Error) {
        let patience = self.client.config().operation_timeout;
        let mut state = self.lock();
        let Some(part) = state.part(partition, assignment) else { return };
        part.phase = Phase::Lost;
        part.near = None;
        part.end_seen = false;
        if self.client.world().since(part.well_at) >= patience {
            part.well_at = self.client.world().now();
            state.errors.push_back((partition.clone(), assignment, error));
            drop(state);
            self.wake_reader();
        } else {
            drop(state);
        }
        self.wake_tasks();
    }

    /// The partition is not fetched any more, and the reader is told why, after what was fetched before.
    pub(super) fn stop(&self, partition: &TopicPartition, assignment: u64, error: Error) {
        let mut state = self.lock();
        let Some(part) = state.part(partition, assignment) else { return };
        if part.phase == Phase::Stopped {
            return;
        }
        part.phase = Phase::Stopped;
        part.end_seen = false;
        state.errors.push_back((partition.clone(), assignment, error));
        drop(state);
        self.wake_reader();
    }

    /// Lets a transient failure be tried again and stops at any other.
    pub(super) fn failed(&self, partition: &TopicPartition, assignment: u64, error: Error) {
        if error.class().is_transient() {
            self.lost(partition, assignment, error);
        } else {
            self.stop(partition, assignment, error);
        }
    }
}

impl State {
    pub(super) fn part(&mut self, partition: &TopicPartition, assignment: u64) -> Option<&mut Part> {
        self.parts.get_mut(partition).filter(|part| part.assignment == assignment)
    }

    fn forget(&mut self, partition: &TopicPartition) {
        self.drop_chunks(partition);
        self.parts.remove(partition);
    }

    fn drop_chunks(&mut self, partition: &TopicPartition) {
        let chunks = std::mem::take(&mut self.chunks);
        let (gone, kept): (VecDeque<_>, _) =
            chunks.into_iter().partition(|chunk| chunk.partition == *partition);
        self.chunks = kept;
        for chunk in gone {
            self.release(&chunk);
        }
    }

    fn occupy(&mut self, chunk: &Chunk) {
        *self.buffered.entry(chunk.broker).or_default() += chunk.bytes;
        if let Some(part) = self.part(&chunk.partition, chunk.assignment) {
            part.buffered += chunk.bytes;
        }
    }

    fn release(&mut self, chunk: &Chunk) {
        let buffered = self.buffered.entry(chunk.broker).or_default();
        *buffered = buffered.saturating_sub(chunk.bytes);
        if let Some(part) = self.part(&chunk.partition, chunk.assignment) {
            part.buffered = part.buffered.saturating_sub(chunk.bytes);
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.lock().parts.keys())
    }
}
