//! The thread of one source: it numbers chunks and puts barriers between them.

use super::{AHEAD, Progress, Report, Then, ToSink, ToSource, ToTask, Work};
use acme_connect::{DynSource, Read, SharedSource};
use acme_types::{Clock, Diagnostic, Epoch, Positions, SplitId, codes};
use crossbeam_channel::Sender;
use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

pub(super) struct SourceTask {
    pub(super) source: Box<dyn DynSource>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) lanes: Sender<Work>,
    pub(super) lane_count: usize,
    pub(super) orders: mpsc::Receiver<ToSource>,
    pub(super) stream: Stream,
}

/// What the rest of the run knows of the source.
pub(super) struct Stream {
    pub(super) index: usize,
    pub(super) positions: Positions,
    pub(super) sinks: Vec<mpsc::Sender<ToSink>>,
    /// The shards of the steps that it feeds.
    pub(super) shards: Vec<mpsc::Sender<ToTask>>,
    pub(super) reports: mpsc::Sender<Report>,
    /// The number of the next chunk or barrier.
    pub(super) number: u64,
    /// Something was read since the last barrier.
    pub(super) moved: bool,
    /// Nothing will be read any more.
    pub(super) ended: bool,
    /// Its losses when it was given the splits.
    pub(super) losses: Option<u64>,
    /// Which splits have been at their ends, and since when.
    pub(super) ends: Ends,
    /// Splits that are to be let go after the next barrier.
    pub(super) leaving: Vec<SplitId>,
    /// Splits that are let go when the epoch under way is committed.
    pub(super) left: Vec<SplitId>,
}

/// The splits that were at their ends whenever that was asked, and since when (monotonic, microseconds).
pub(super) struct Ends {
    since: BTreeMap<SplitId, u64>,
    idle: BTreeSet<SplitId>,
    after: u64,
}

impl Ends {
    pub(super) fn new(after: Duration) -> Self {
        let after = u64::try_from(after.as_micros()).unwrap_or(u64::MAX);
        Self { since: BTreeMap::new(), idle: BTreeSet::new(), after }
    }

    /// These are at their ends now, and no others; those that have become idle by that.
    fn now(&mut self, splits: Vec<SplitId>, now: u64) -> Vec<SplitId> {
        let before = std::mem::take(&mut self.since);
        let since = |split: SplitId| (before.get(&split).copied().unwrap_or(now), split);
        self.since = splits.into_iter().map(since).map(|(since, split)| (split, since)).collect();
        let long = self
            .since
            .iter()
            .filter(|(_, since)| now - **since >= self.after)
            .map(|(split, _)| split.clone());
        long.filter(|split| self.idle.insert(split.clone())).collect()
    }

    /// Rows of a split have come.
    fn rows(&mut self, split: &SplitId) {
        if self.since.remove(split).is_some() {
            self.idle.remove(split);
        }
    }
}

/// Why reading was interrupted.
enum Event {
    Read(Result<Read, Diagnostic>, OwnedSemaphorePermit),
    Release(Positions),
    CommitWith(Positions, String),
    Leave,
    /// The coordinator is gone.
    Gone,
}

impl SourceTask {
    /// Reads until the coordinator is gone. The source is open already.
    pub(super) async fn run(self) -> Result<(), Diagnostic> {
        let Self { mut source, clock, lanes, lane_count, mut orders, mut stream } = self;
        let permits = Arc::new(Semaphore::new(lane_count + AHEAD));
        stream.say(Progress::Splits(stream.positions.keys().cloned().collect())).await;
        loop {
            match next(source.as_mut(), &permits, &mut orders, &mut stream).await {
                Event::Gone => return Ok(()),
                Event::Release(upto) => {
                    source.release(&upto).await?;
                    let left = std::mem::take(&mut stream.left);
                    if !left.is_empty() {
                        shared(source.as_mut()).let_go(&left).await?;
                    }
                }
                Event::CommitWith(positions, note) => {
                    stream.check_losses(source.as_mut())?;
                    shared(source.as_mut()).commit_with(&positions, &note).await?;
                    let _ = stream.reports.send(Report::Committed).await;
                }
                Event::Leave => {
                    shared(source.as_mut()).leave().await?;
                    let _ = stream.reports.send(Report::Left).await;
                }
                Event::Read(Err(diagnostic), _) if *diagnostic.code == codes::SCHEMA_CHANGED => {
                    stream.ended = true;
                    let _ = stream.reports.send(Report::Changed(diagnostic)).await;
                }
                Event::Read(Err(diagnostic), _) => return Err(diagnostic),
                Event::Read(Ok(Read::Gained { positions, notes }), _) => {
                    let losses = stream.check_losses(source.as_mut())?;
                    let splits = positions.keys().cloned().collect();
                    stream.positions.extend(positions);
                    stream.say(Progress::Splits(splits)).await;
                    let _ = stream.reports.send(Report::Gained { notes, losses }).await;
                }
                Event::Read(Ok(Read::AtEnd(splits)), _) => {
                    let idle = stream.ends.now(splits, clock.monotonic_us());
                    if !idle.is_empty() {
                        stream.say(Progress::Idle(idle)).await;
                    }
                }
                Event::Read(Ok(Read::Leaving(splits)), _) => {
                    stream.leaving.extend(splits);
                    let _ = stream.reports.send(Report::Leaving).await;
                }
                Event::Read(Ok(Read::End), _) => {
                    stream.ended = true;
                    stream.say(Progress::End).await;
                    let _ = stream.reports.send(Report::Ended).await;
                }
                Event::Read(Ok(Read::Rows(chunk)), permit) => {
                    stream.positions.insert(chunk.split.clone(), chunk.position.clone());
                    stream.moved = true;
                    stream.ends.rows(&chunk.split);
                    let (source, number) = (stream.index, stream.number);
                    stream.number += 1;
                    let work = Work { source, number, chunk, tick: clock.now(), permit: Arc::new(permit) };
                    // The channel has room for every permit, so this never blocks; it fails when the lanes are gone.
                    if lanes.send(work).is_err() {
                        return Ok(());
                    }
                }
            }
        }
    }
}

/// Waits for the next chunk. Barriers are passed on meanwhile, without giving up the call that reads: a source may take
/// longer to read than an epoch lasts. Only a commit and a release give it up, and they come only after something was read.
async fn next(
    source: &mut dyn DynSource,
    permits: &Arc<Semaphore>,
    orders: &mut mpsc::Receiver<ToSource>,
    stream: &mut Stream,
) -> Event {
    let mut read = pin!(async {
        let permit = permits.clone().acquire_owned().await.expect("the semaphore is never closed");
        Event::Read(source.read().await, permit)
    });
    loop {
        tokio::select! {
            biased;
            order = orders.recv() => match order {
                None => return Event::Gone,
                Some(ToSource::Release(upto)) => return Event::Release(upto),
                Some(ToSource::Leave) => return Event::Leave,
                Some(ToSource::CommitWith(positions, note)) => return Event::CommitWith(positions, note),
                Some(ToSource::Barrier { epoch, then }) => stream.barrier(epoch, then).await,
            },
            event = &mut read, if !stream.ended => return event,
        }
    }
}

/// The group has taken splits away.
fn removed() -> Diagnostic {
    let message = "the group has removed this worker, and what it had read goes to others";
    Diagnostic::new(&codes::LOST_SPLITS, message)
}

fn shared(source: &mut dyn DynSource) -> &mut dyn SharedSource {
    source.shared().expect("only a shared source gains and loses splits")
}

impl Stream {
    /// The source's losses, which may not grow: what is committed from then on could belong to others.
    fn check_losses(&mut self, source: &mut dyn DynSource) -> Result<u64, Diagnostic> {
        let now = shared(source).membership().borrow().losses;
        if *self.losses.get_or_insert(now) == now { Ok(now) } else { Err(removed()) }
    }

    /// Tells the steps that it feeds of its time.
    async fn say(&mut self, progress: Progress) {
        if self.shards.is_empty() {
            return;
        }
        for shard in &self.shards {
            let (origin, number, progress) = (self.index, self.number, progress.clone());
            // One that is gone has reported why.
            let _ = shard.send(ToTask::Time { origin, number, progress }).await;
        }
        // Destinations count on the numbers: to them it is a chunk without rows.
        for sink in &self.sinks {
            let _ = sink.send(ToSink::Nothing { source: self.index, number: self.number }).await;
        }
        self.number += 1;
    }

    async fn barrier(&mut self, epoch: Epoch, then: Then) {
        for sink in &self.sinks {
            let barrier = ToSink::Barrier { source: self.index, number: self.number, epoch, then };
            // A destination that is gone has reported why.
            let _ = sink.send(barrier).await;
        }
        for shard in &self.shards {
            let barrier = ToTask::Barrier { origin: self.index, number: self.number, epoch, then };
            let _ = shard.send(barrier).await;
        }
        self.number += 1;
        let (positions, moved) = (self.positions.clone(), std::mem::take(&mut self.moved));
        let _ = self.reports.send(Report::Passed { source: self.index, positions, moved }).await;
        for split in self.leaving.drain(..) {
            self.positions.remove(&split);
            self.left.push(split);
        }
        self.ended |= then.is_last();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_split_is_idle_when_it_was_at_its_end_all_the_time() {
        let split = |name: &str| SplitId(name.to_owned());
        let mut ends = Ends::new(Duration::from_micros(10));
        assert!(ends.now(vec![split("a"), split("b")], 100).is_empty());
        assert!(ends.now(vec![split("a")], 105).is_empty(), "b has rows, or was not answered for");
        assert_eq!(ends.now(vec![split("a"), split("b")], 110), [split("a")]);
        assert!(ends.now(vec![split("a"), split("b")], 115).is_empty(), "a is known, b begins anew");
        assert_eq!(ends.now(vec![split("a"), split("b")], 120), [split("b")]);
        ends.rows(&split("a"));
        assert!(ends.now(vec![split("a"), split("b")], 121).is_empty());
        assert_eq!(ends.now(vec![split("a"), split("b")], 131), [split("a")], "it is idle once more");
    }
}
