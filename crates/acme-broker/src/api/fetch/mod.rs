//! Fetch: batches go to the socket as they lie in the log. A fetch that finds too little waits until there is more; it asks
//! nobody meanwhile.

mod answer;

use super::{Call, Reply};
use crate::context::Held;
use crate::error::{self, Code};
use crate::frame::Refused;
use crate::sessions::{Key, News, Wish};
use acme_log::{Aborted, Marks, Partition, ReadError, Topics, Until};
use bytes::Bytes;
use kafka_protocol::messages::FetchRequest;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// One partition of a fetch, as far as it has come.
struct Part {
    key: Key,
    wish: Wish,
    partition: Option<Arc<Partition>>,
    /// -1 where there is no such partition.
    leader_epoch: i32,
    code: i16,
    /// The largest epoch that both sides know, and where it ends here, if that is not where the client believes.
    diverging: Option<(i32, i64)>,
    marks: Option<Marks>,
    records: Vec<Bytes>,
    bytes: usize,
    next: i64,
    aborted: Vec<Aborted>,
}

/// How much may be read, and how far.
struct Limits {
    /// None where the client says a negative size.
    max_bytes: Option<usize>,
    until: Until,
}

pub(crate) async fn handle(call: &Call, request: FetchRequest) -> Result<Reply, Refused> {
    if !ISOLATIONS.contains(&request.isolation_level) {
        return answer::of_failure(call, &request);
    }
    let plan = match call.context.sessions.begin(call.version, &request) {
        Ok(plan) => plan,
        Err(code) => return answer::of_error(call, code),
    };
    let topics = call.context.log.topics();
    let mut parts: Vec<Part> =
        plan.wishes.iter().map(|(key, wish)| part(call, &topics, key, *wish)).collect();
    if is_follower(&request) {
        parts.iter_mut().filter(|part| part.partition.is_some()).for_each(Part::follow);
    }
    let deadline = Instant::now() + Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0));
    let is_committed = request.isolation_level == 1;
    let mut limits = Limits {
        max_bytes: usize::try_from(request.max_bytes)
            .ok()
            .map(|max_bytes| max_bytes.min(call.context.options.fetch_bytes_max)),
        until: if is_committed { Until::LastStable } else { Until::HighWatermark },
    };
    let mut held = call.context.hold(0);
    let mut total = read(&mut parts, &mut limits, &mut held);
    let enough = usize::try_from(request.min_bytes).unwrap_or(0);
    let is_over = |parts: &[Part], total: usize| {
        total >= enough
            || parts.is_empty()
            || parts.iter().any(Part::is_trouble)
            || Instant::now() >= deadline
    };
    if !is_over(&parts, total) {
        let partitions: Vec<Arc<Partition>> =
            parts.iter().filter_map(|part| part.partition.clone()).collect();
        let mut watches: Vec<_> = partitions.iter().map(|partition| partition.watch()).collect();
        // What came between the first look and the watch.
        total = read(&mut parts, &mut limits, &mut held);
        while !is_over(&parts, total) {
            let is_open = timeout_at(deadline, changed(&mut watches)).await;
            total = read(&mut parts, &mut limits, &mut held);
            if is_open == Ok(false) {
                break;
            }
        }
    }
    let news: Vec<News> = parts.iter().map(Part::news).collect();
    let (session_id, included) = call.context.sessions.finish(call.version, &plan, &news);
    let parts = parts.into_iter().zip(included).filter_map(|(part, included)| included.then_some(part));
    Ok(answer::of(call, session_id, parts.collect(), is_committed, held))
}

/// Read uncommitted, and committed.
pub(super) const ISOLATIONS: std::ops::RangeInclusive<i8> = 0..=1;

/// Whether somebody says that he is a replica: no partition has one. -2 is a debugger, who reads as a client.
fn is_follower(request: &FetchRequest) -> bool {
    request.replica_id.0 >= 0 || request.replica_state.replica_id.0 >= 0
}

/// Waits until something moves anywhere; false if it never will.
async fn changed(watches: &mut [tokio::sync::watch::Receiver<Marks>]) -> bool {
    let mut changes: Vec<_> = watches.iter_mut().map(|watch| Box::pin(watch.changed())).collect();
    std::future::poll_fn(|context| {
        for change in &mut changes {
            if let Poll::Ready(moved) = Pin::new(change).poll(context) {
                return Poll::Ready(moved.is_ok());
            }
        }
        Poll::Pending
    })
    .await
}

/// Finds a partition, and whether the client and the log agree on its past.
fn part(call: &Call, topics: &Topics, key: &Key, wish: Wish) -> Part {
    let topic = if call.version >= 13 {
        topics.with_id(key.id).ok_or(Code::UnknownTopicId)
    } else {
        topics.named(&key.name).ok_or(Code::UnknownTopicOrPartition)
    };
    let found = topic.and_then(|topic| {
        let index = usize::try_from(key.partition).ok();
        index.and_then(|index| topic.partitions.get(index)).ok_or(Code::UnknownTopicOrPartition)
    });
    let mut part = Part {
        key: key.clone(),
        wish,
        partition: None,
        leader_epoch: found.as_ref().map_or(-1, |partition| partition.leader_epoch()),
        code: 0,
        diverging: None,
        marks: None,
        records: Vec::new(),
        bytes: 0,
        next: wish.offset,
        aborted: Vec::new(),
    };
    match found.and_then(|partition| agreed(partition, wish).map(|diverging| (partition, diverging))) {
        Ok((partition, diverging)) => {
            part.diverging = diverging;
            part.partition = Some(Arc::clone(partition));
        }
        Err(code) => part.code = code.code(),
    }
    part
}

fn agreed(partition: &Partition, wish: Wish) -> Result<Option<(i32, i64)>, Code> {
    check_epoch(partition, wish.leader_epoch)?;
    if wish.fetched_epoch < 0 {
        return Ok(None);
    }
    // KIP-595: whoever has read another past is told where the two part.
    let (epoch, end) = partition.end_of_epoch(wish.fetched_epoch).ok_or(Code::OffsetOutOfRange)?;
    Ok((epoch < wish.fetched_epoch || end < wish.offset).then_some((epoch, end)))
}

/// KIP-320: a client that knows an older or a newer leader is told so.
pub(super) fn check_epoch(partition: &Partition, epoch: i32) -> Result<(), Code> {
    match epoch {
        ..0 => Ok(()),
        epoch if epoch < partition.leader_epoch() => Err(Code::FencedLeaderEpoch),
        epoch if epoch > partition.leader_epoch() => Err(Code::UnknownLeaderEpoch),
        _ => Ok(()),
    }
}

/// Reads on in all partitions; returns the bytes of all of them.
fn read(parts: &mut [Part], limits: &mut Limits, held: &mut Held) -> usize {
    let mut total: usize = parts.iter().map(|part| part.bytes).sum();
    let max_bytes = limits.max_bytes.map(|max_bytes| max_bytes.min(held.room() + total));
    for part in parts {
        let left = max_bytes.map(|max_bytes| max_bytes.saturating_sub(total));
        total += part.read(left, total == 0, limits.until);
    }
    held.set(total);
    total
}

impl Part {
    /// Who wants to follow is told that nobody is followed here.
    fn follow(&mut self) {
        self.partition = None;
        self.diverging = None;
        self.code = Code::NotLeaderOrFollower.code();
    }

    fn is_trouble(&self) -> bool {
        self.code != 0 || self.diverging.is_some()
    }

    fn news(&self) -> News {
        News {
            high_watermark: self.marks.map_or(-1, |marks| marks.high_watermark),
            log_start: self.marks.map_or(-1, |marks| marks.log_start),
            has_records: self.bytes > 0,
            is_trouble: self.is_trouble(),
        }
    }

    /// Reads on, as far as there is room; the first batch of an answer is read whatever its size (KIP-74).
    /// Without a size nothing is read.
    fn read(&mut self, left: Option<usize>, is_first: bool, until: Until) -> usize {
        let Some(partition) = &self.partition else { return 0 };
        let marks = partition.marks();
        self.marks = Some(marks);
        if self.is_trouble() {
            return 0;
        }
        if self.next < marks.log_start || self.next > partition.end() {
            self.fail(Code::OffsetOutOfRange);
            return 0;
        }
        let border = match until {
            Until::LastStable => marks.last_stable,
            _ => marks.high_watermark,
        };
        if self.next >= border && !marks.closed {
            return 0;
        }
        let (Some(left), Ok(most)) = (left, usize::try_from(self.wish.max_bytes)) else {
            // What Kafka has for a size that is none.
            self.fail(Code::UnknownServerError);
            return 0;
        };
        let most = most.saturating_sub(self.bytes).min(left);
        if most == 0 && !is_first {
            return 0;
        }
        match partition.read(self.next, most.max(1), until) {
            Ok(slice) => {
                self.marks = Some(slice.marks);
                if slice.bytes.is_empty() || slice.bytes.len() > most && !is_first {
                    return 0;
                }
                if let Ok(Some((next, _))) = acme_records::end_offset(&slice.bytes) {
                    self.next = next;
                }
                let bytes = slice.bytes.len();
                self.bytes += bytes;
                self.records.push(slice.bytes);
                let new = slice.aborted.into_iter().filter(|aborted| !self.aborted.contains(aborted));
                let new: Vec<Aborted> = new.collect();
                self.aborted.extend(new);
                bytes
            }
            // What was read before is still true; the next fetch is told.
            Err(_) if self.bytes > 0 => 0,
            Err(error) => {
                if let ReadError::Disk(_) | ReadError::Offline(_) = &error {
                    self.records.clear();
                }
                self.fail(error::of_read(&error));
                0
            }
        }
    }

    fn fail(&mut self, code: Code) {
        if self.bytes == 0 {
            self.code = code.code();
            self.marks = None;
        }
    }
}
