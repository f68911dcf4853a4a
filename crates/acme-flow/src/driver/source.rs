//! The thread of one source: it numbers chunks and puts barriers between them.

use super::{AHEAD, Report, ToSink, ToSource, Work};
use acme_connect::DynSource;
use acme_types::{Clock, Diagnostic, Positions};
use crossbeam_channel::Sender;
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc};

pub(super) struct SourceTask {
    pub(super) index: usize,
    pub(super) source: Box<dyn DynSource>,
    pub(super) positions: Positions,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) lanes: Sender<Work>,
    pub(super) lane_count: usize,
    pub(super) sinks: Vec<mpsc::Sender<ToSink>>,
    pub(super) orders: mpsc::Receiver<ToSource>,
    pub(super) reports: mpsc::Sender<Report>,
}

impl SourceTask {
    /// Reads until the last barrier. The source is open already.
    pub(super) async fn run(mut self) -> Result<(), Diagnostic> {
        let permits = Arc::new(Semaphore::new(self.lane_count + AHEAD));
        let mut number = 0;
        let mut moved = false;
        let mut ended = false;
        loop {
            let chunk = tokio::select! {
                biased;
                order = self.orders.recv() => match order {
                    None => return Ok(()),
                    Some(ToSource::Release(upto)) => {
                        self.source.release(&upto).await?;
                        continue;
                    }
                    Some(ToSource::Barrier { epoch, last }) => {
                        for sink in &self.sinks {
                            let barrier = ToSink::Barrier { source: self.index, number, epoch, last };
                            // A destination that is gone has reported why.
                            let _ = sink.send(barrier).await;
                        }
                        number += 1;
                        let passed = Report::Passed { source: self.index, positions: self.positions.clone(), moved };
                        let _ = self.reports.send(passed).await;
                        moved = false;
                        ended |= last;
                        continue;
                    }
                },
                chunk = async {
                    let permit = permits.clone().acquire_owned().await.expect("the semaphore is never closed");
                    (self.source.read().await, permit)
                }, if !ended => chunk,
            };
            match chunk {
                (Err(diagnostic), _) => return Err(diagnostic),
                (Ok(None), _) => {
                    ended = true;
                    let _ = self.reports.send(Report::Ended).await;
                }
                (Ok(Some(chunk)), permit) => {
                    self.positions.insert(chunk.split.clone(), chunk.position.clone());
                    moved = true;
                    let tick = self.clock.now();
                    let work = Work { source: self.index, number, chunk, tick, permit: Arc::new(permit) };
                    number += 1;
                    // The channel has room for every permit, so this never blocks; it fails when the lanes are gone.
                    if self.lanes.send(work).is_err() {
                        return Ok(());
                    }
                }
            }
        }
    }
}
