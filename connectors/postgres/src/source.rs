//! The source: describes the tables, finds its place, and hands over what the tasks have read.

use crate::assembler::beginning;
use crate::catalog::{self, Fault, Table};
use crate::copy::{self, Copier, Kept};
use crate::fault::is_transient;
use crate::outlet::{CHUNKS, Outlet, Sent};
use crate::position::{Copying, Phase, Place};
use crate::recover::Snapshot;
use crate::settings::Settings;
use crate::slot;
use crate::stream::Follower;
use crate::wire::Connection;
use acme_connect::{Backoff, Context, Extent, Read, Source, SourceParts, StreamInfo, Unit, failpoint};
use acme_types::{Chunk, Config, Diagnostic, Origin, Payload, Position, Positions, SplitId, codes};
use arrow::array::RecordBatch;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

pub(crate) fn make(config: &Config, context: &Context) -> Result<SourceParts, Diagnostic> {
    let settings = Arc::new(Settings::parse(config, context)?);
    let (confirmed, _) = watch::channel(0);
    let source = PostgresSource {
        settings,
        tables: Vec::new(),
        inbox: None,
        confirmed,
        task: None,
        extent: Arc::new(Extent::new(Unit::Rows)),
    };
    Ok(SourceParts { source: Box::new(source), streams: None })
}

struct PostgresSource {
    settings: Arc<Settings>,
    tables: Vec<Arc<Table>>,
    inbox: Option<mpsc::Receiver<Sent>>,
    confirmed: watch::Sender<u64>,
    task: Option<JoinHandle<()>>,
    /// How far the copy is.
    extent: Arc<Extent>,
}

impl Drop for PostgresSource {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl Source for PostgresSource {
    async fn describe(&mut self) -> Result<Vec<StreamInfo>, Diagnostic> {
        let described = async {
            let mut sql = Connection::open(&self.settings.address, false).await?;
            if self.settings.cdc {
                slot::check(&mut sql, &self.settings).await?;
            }
            catalog::tables(&mut sql, &self.settings).await
        };
        self.tables = described.await.map_err(|fault| self.settings.explain(fault))?;
        Ok(self.tables.iter().map(|table| table.stream(self.settings.cdc)).collect())
    }

    async fn sample(&mut self, rows: usize) -> Result<Vec<Chunk>, Diagnostic> {
        let batches = copy::sample(&self.settings, &self.tables, rows).await;
        let chunk = |(stream, batch): (usize, RecordBatch)| Chunk {
            payload: Payload::Batch(batch),
            stream,
            split: SplitId("copy".to_owned()),
            position: Position(String::new()),
            origin: Origin { name: self.tables[stream].name.to_string().into(), offset: 0 },
        };
        let batches = batches.map_err(|fault| self.settings.explain(fault))?;
        Ok(batches.into_iter().map(chunk).collect())
    }

    async fn open(&mut self, from: &Positions) -> Result<Positions, Diagnostic> {
        let split = SplitId(if self.settings.cdc { self.settings.slot.clone() } else { "copy".to_owned() });
        let committed = from.get(&split).map(Place::parse).transpose()?;
        let opened = self.opened(committed).await?;
        if let Phase::Stream(streaming) = &opened.place.phase {
            self.confirmed.send_replace(streaming.lsn);
        }
        if let Phase::Copy(copying) = &opened.place.phase {
            self.extent.begin(copy::expected(&self.settings, &self.tables, copying).await.unwrap_or(0));
        }
        let position = opened.place.position();
        let (sender, inbox) = mpsc::channel(CHUNKS);
        let outlet = Outlet::new(sender, split.clone(), opened.place.clone(), &self.tables);
        let (settings, tables) = (self.settings.clone(), self.tables.clone());
        let (confirmed, extent) = (self.confirmed.subscribe(), self.extent.clone());
        self.task = Some(tokio::spawn(async move {
            let sender = outlet.sender.clone();
            if let Err(diagnostic) = work(settings, tables, opened, outlet, confirmed, extent).await {
                // Nobody receives when the source was closed.
                let _ = sender.send(Err(diagnostic)).await;
            }
        }));
        self.inbox = Some(inbox);
        Ok([(split, position)].into())
    }

    async fn read(&mut self) -> Result<Read, Diagnostic> {
        let Some(inbox) = &mut self.inbox else {
            return Err(Diagnostic::new(&codes::INTERNAL, "a source is read before it is opened"));
        };
        match inbox.recv().await {
            Some(read) => read.map(Read::Rows),
            None if self.settings.cdc => {
                Err(Diagnostic::new(&codes::INTERNAL, "the task that follows the slot ended unexpectedly"))
            }
            None => Ok(Read::End),
        }
    }

    fn extent(&self) -> Option<Arc<Extent>> {
        Some(self.extent.clone())
    }

    fn may_repeat_its_copy(&self) -> bool {
        self.settings.copy_first
    }

    async fn release(&mut self, upto: &Positions) -> Result<(), Diagnostic> {
        for position in upto.values() {
            if let Phase::Stream(streaming) = Place::parse(position)?.phase {
                failpoint("postgres.release");
                self.confirmed.send_replace(streaming.lsn);
            }
        }
        Ok(())
    }
}

/// A source that knows its place.
struct Opened {
    place: Place,
    /// The snapshot to copy, where there is something to copy.
    kept: Option<Kept>,
    /// A connection for replication that is free.
    replication: Option<Connection>,
}

impl PostgresSource {
    /// Finds its place. The server was there a moment ago, when the tables were described, so it is tried again.
    async fn opened(&self, committed: Option<Place>) -> Result<Opened, Diagnostic> {
        let mut backoff = Backoff::new(u64::from(std::process::id()));
        loop {
            let committed = committed.clone();
            let opened =
                if self.settings.cdc { self.capture(committed).await } else { self.batch(committed).await };
            let fault = match opened {
                Ok(opened) => return Ok(opened),
                Err(fault) => fault,
            };
            match backoff.wait().filter(|_| matches!(&fault, Fault::Wire(error) if is_transient(error))) {
                Some(wait) => tokio::time::sleep(wait).await,
                None => return Err(self.settings.explain(fault)),
            }
        }
    }

    async fn capture(&self, committed: Option<Place>) -> Result<Opened, Fault> {
        let settings = &self.settings;
        let mut sql = Connection::open(&settings.address, false).await?;
        let mut replication = Connection::open(&settings.address, true).await?;
        if let Some(place) = committed {
            slot::resume(&mut sql, &mut replication, settings, &place).await?;
            let kept = match &place.phase {
                Phase::Copy(copying) => Some(Kept::after(sql, copying.horizon).await?),
                _ => None,
            };
            return Ok(Opened { place, kept, replication: Some(replication) });
        }
        let system = slot::identify(&mut replication).await?;
        slot::publish(&mut sql, settings).await?;
        let slot = slot::acquire(&mut sql, &mut replication, settings).await?;
        failpoint("postgres.slot");
        let rows = sql.query("SELECT txid_current_snapshot()").await?;
        let horizon = Snapshot::parse(rows.first()).next();
        let (point, made_slot) = (slot.point.0, slot.made);
        if !settings.copy_first {
            let phase = Phase::Stream(beginning(point));
            let place = Place { made_slot, ..Place::new(&system.id, system.timeline, phase) };
            return Ok(Opened { place, kept: None, replication: Some(replication) });
        }
        let phase = Phase::Copy(Copying { point, horizon, done: BTreeSet::new() });
        let place = Place { made_slot, ..Place::new(&system.id, system.timeline, phase) };
        Ok(match slot.snapshot {
            Some(snapshot) => {
                Opened { place, kept: Some(Kept { connection: replication, snapshot }), replication: None }
            }
            None => {
                let kept = Some(Kept::after(sql, horizon).await?);
                Opened { place, kept, replication: Some(replication) }
            }
        })
    }

    /// A copy without changes to follow. What an earlier life finished is not copied again.
    async fn batch(&self, committed: Option<Place>) -> Result<Opened, Fault> {
        let mut sql = Connection::open(&self.settings.address, false).await?;
        let done = match committed.map(|place| place.phase) {
            Some(Phase::Copy(copying)) => copying.done,
            Some(Phase::Done) => {
                let place = Place::new("", 0, Phase::Done);
                return Ok(Opened { place, kept: None, replication: None });
            }
            _ => BTreeSet::new(),
        };
        let point = sql.value("SELECT pg_current_wal_lsn()").await?;
        let point = point.and_then(|text| text.parse::<acme_types::Lsn>().ok()).unwrap_or_default();
        let place = Place::new("", 0, Phase::Copy(Copying { point: point.0, horizon: 0, done }));
        Ok(Opened { place, kept: Some(Kept::after(sql, 0).await?), replication: None })
    }
}

/// Copies what is to be copied, then follows the slot.
async fn work(
    settings: Arc<Settings>,
    tables: Vec<Arc<Table>>,
    opened: Opened,
    outlet: Outlet,
    confirmed: watch::Receiver<u64>,
    extent: Arc<Extent>,
) -> Result<(), Diagnostic> {
    let Opened { place, kept, mut replication } = opened;
    let from = match place.phase {
        Phase::Done => return Ok(()),
        Phase::Stream(streaming) => streaming,
        Phase::Copy(copying) => {
            let from = beginning(copying.point);
            let then = if settings.cdc { Phase::Stream(from.clone()) } else { Phase::Done };
            let Some(kept) = kept else { return Ok(()) };
            let (tables, outlet) = (&tables[..], &outlet);
            let counts = vec![0; tables.len()];
            let copier = Copier { settings: &settings, tables, copying, outlet, held: None, extent, counts };
            let connection = copier.run(kept, then).await?;
            if !settings.cdc {
                return Ok(());
            }
            failpoint("postgres.handover");
            // The other one stood idle for as long as the copy took, and is at worst a reason to connect again.
            replication = replication.or(connection);
            from
        }
    };
    Follower::new(settings, tables, from, outlet, confirmed).run(replication).await
}
