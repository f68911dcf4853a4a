//! A source that a group shares, and destinations of three kinds, all in memory.

use super::world::{Life, Mistake, ROWS, Row, is_returned, partition, returned, split};
use acme_connect::{
    Content, Fates, Membership, OffsetTransaction, Pending, Prepared, Read, Rows, SharedSource, Sink, Source,
    StreamInfo,
};
use acme_types::{Change, Chunk, Diagnostic, Epoch, Origin, Payload, Position, Positions, SplitId, codes};
use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

pub(super) const CLUSTER: &str = "memory";
/// Rows in a chunk.
const CHUNK: i64 = 4;
/// A row is a number: its partition times this, and its place there.
const SPREAD: i64 = 1_000_000;

pub(super) struct GroupSource {
    life: Life,
    membership: watch::Sender<Membership>,
    /// Where the next row of each partition is read.
    held: BTreeMap<usize, i64>,
    leaving: BTreeSet<usize>,
    turn: usize,
}

impl GroupSource {
    pub(super) fn new(life: &Life, member: &str) -> Self {
        let (cluster, member) = (CLUSTER.to_owned(), member.to_owned());
        let membership = Membership { cluster, member, group: "group".to_owned(), ..Membership::default() };
        let membership = watch::Sender::new(membership);
        Self { life: life.clone(), membership, held: BTreeMap::new(), leaving: BTreeSet::new(), turn: 0 }
    }

    fn member(&self) -> String {
        self.membership.borrow().member.clone()
    }

    fn beat(&mut self) -> Result<Option<Read>, Diagnostic> {
        let member = self.member();
        let mut store = self.life.store();
        let beat = match store.beat(&member) {
            Err(_) if self.life.mistake == Some(Mistake::SilentReturn) && !is_returned(&member) => {
                let member = returned(&member);
                store.count("returns");
                store.join(&member);
                self.membership.send_modify(|it| {
                    it.member.clone_from(&member);
                    it.losses += 1;
                });
                store.beat(&member)?
            }
            beat => beat?,
        };
        self.membership
            .send_if_modified(|it| std::mem::replace(&mut it.generation, beat.generation) != beat.generation);
        let revoked: Vec<usize> =
            beat.revoked.into_iter().filter(|&partition| self.leaving.insert(partition)).collect();
        if !revoked.is_empty() {
            store.count("revocations");
            if self.life.mistake == Some(Mistake::EarlyLetGo) {
                revoked.iter().for_each(|&partition| store.let_go(&member, partition));
            }
            return Ok(Some(Read::Leaving(revoked.into_iter().map(split).collect())));
        }
        if beat.gained.is_empty() {
            return Ok(None);
        }
        let mut positions = Positions::new();
        let mut notes = BTreeSet::new();
        for (partition, position, note) in beat.gained {
            self.held.insert(partition, position);
            self.leaving.remove(&partition);
            positions.insert(split(partition), Position(position.to_string()));
            notes.insert(note);
        }
        Ok(Some(Read::Gained { positions, notes: notes.into_iter().collect() }))
    }

    fn rows(&mut self) -> Option<Chunk> {
        let ready = |&(partition, next): &(&usize, &i64)| *next < ROWS && !self.leaving.contains(partition);
        let ready: Vec<usize> = self.held.iter().filter(ready).map(|(&partition, _)| partition).collect();
        self.turn += 1;
        let partition = *ready.get(self.turn % ready.len().max(1))?;
        let next = self.held.get_mut(&partition).expect("it is held");
        let end = (*next + CHUNK).min(ROWS);
        let base = SPREAD * i64::try_from(partition).expect("few");
        let column = Int64Array::from_iter_values((*next..end).map(|row| base + row));
        *next = end;
        let batch = RecordBatch::try_from_iter([("n", Arc::new(column) as _)]).expect("one column");
        Some(Chunk {
            payload: Payload::Batch(batch),
            stream: 0,
            split: split(partition),
            position: Position(end.to_string()),
            origin: Origin { name: "rows".into(), offset: 0 },
        })
    }
}

impl Source for GroupSource {
    async fn describe(&mut self) -> Result<Vec<StreamInfo>, Diagnostic> {
        let schema = Schema::new(vec![Field::new("n", DataType::Int64, false)]);
        let content = Content::Columns(Arc::new(schema));
        let (name, key) = ("rows".into(), Vec::new());
        Ok(vec![StreamInfo { name, key, change: Change::Append, content, meta: Vec::new() }])
    }

    async fn sample(&mut self, _: usize) -> Result<Vec<Chunk>, Diagnostic> {
        Ok(Vec::new())
    }

    async fn open(&mut self, _: &Positions) -> Result<Positions, Diagnostic> {
        unreachable!("the group says what is read from where")
    }

    fn shared(&mut self) -> Option<&mut dyn SharedSource> {
        Some(self)
    }

    async fn read(&mut self) -> Result<Read, Diagnostic> {
        loop {
            tokio::time::sleep(Duration::from_micros(500)).await;
            self.life.idle_step()?;
            if let Some(read) = self.beat()? {
                self.life.step("gain or revocation")?;
                return Ok(read);
            }
            if let Some(chunk) = self.rows() {
                self.life.step("read")?;
                return Ok(Read::Rows(chunk));
            }
        }
    }

    async fn release(&mut self, _: &Positions) -> Result<(), Diagnostic> {
        self.life.step("release")
    }
}

impl SharedSource for GroupSource {
    fn membership(&self) -> watch::Receiver<Membership> {
        self.membership.subscribe()
    }

    fn note_max(&self) -> usize {
        4_096
    }

    fn join<'a>(&'a mut self, _: &'a str) -> Pending<'a, Result<(), Diagnostic>> {
        let member = self.member();
        self.life.store().join(&member);
        Box::pin(async move { self.life.step("join") })
    }

    fn commit_with<'a>(
        &'a mut self,
        positions: &'a Positions,
        note: &'a str,
    ) -> Pending<'a, Result<(), Diagnostic>> {
        Box::pin(async move {
            self.life.step("commit")?;
            let member = self.membership.borrow().clone();
            self.life.store().commit(self.life.mistake, &member, positions, note)?;
            self.life.step("commit's answer")
        })
    }

    fn leave(&mut self) -> Pending<'_, Result<(), Diagnostic>> {
        Box::pin(async move {
            let member = self.member();
            self.life.store().remove(&member);
            self.life.store().count("leaves");
            self.life.step("leave")
        })
    }

    fn let_go<'a>(&'a mut self, splits: &'a [SplitId]) -> Pending<'a, Result<(), Diagnostic>> {
        Box::pin(async move {
            self.life.step("let go")?;
            let member = self.member();
            for partition in splits.iter().map(partition) {
                self.held.remove(&partition);
                self.leaving.remove(&partition);
                self.life.store().let_go(&member, partition);
            }
            Ok(())
        })
    }
}

/// What a destination can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It prepares rows under a handle, with which any worker can complete them.
    TwoPhase,
    /// It commits rows and positions together.
    OffsetTransaction,
    /// It shows rows as soon as they are written.
    AtLeastOnce,
}

pub(super) struct MemorySink {
    pub(super) life: Life,
    pub(super) kind: Kind,
    /// The name of its transactions, the same in each life of a worker.
    pub(super) id: String,
    /// The name of this life.
    pub(super) writer: String,
    pub(super) claim: u64,
    pub(super) pending: Vec<Row>,
    pub(super) prepared: Prepared,
}

impl Sink for MemorySink {
    async fn check(&mut self) -> Vec<Diagnostic> {
        Vec::new()
    }

    async fn open(&mut self, _: Option<&Prepared>) -> Result<(), Diagnostic> {
        self.life.step("open")
    }

    async fn write(&mut self, rows: &Rows) -> Result<Fates, Diagnostic> {
        self.life.step("write")?;
        let column = rows.batch.column("n").expect("the source makes it").as_primitive::<Int64Type>();
        let row = |n: &i64| (usize::try_from(n / SPREAD).expect("few"), n % SPREAD);
        let rows = column.values().iter().map(row);
        match self.kind {
            Kind::AtLeastOnce => self.life.store().visible.extend(rows),
            _ => self.pending.extend(rows),
        }
        Ok(Fates::new())
    }

    async fn prepare(&mut self, epoch: Epoch, _: bool) -> Result<Prepared, Diagnostic> {
        self.life.step("prepare")?;
        if self.kind != Kind::TwoPhase || self.pending.is_empty() {
            self.prepared.clear();
            return Ok(Prepared::new());
        }
        self.prepared = format!("{}-{epoch}", self.writer);
        let mut store = self.life.store();
        store.prepare(&self.prepared, std::mem::take(&mut self.pending));
        if self.life.mistake == Some(Mistake::EarlyRows) {
            store.complete(&self.prepared);
        }
        drop(store);
        self.life.step("prepare's answer")?;
        Ok(self.prepared.clone())
    }

    async fn commit(&mut self, _: Epoch) -> Result<(), Diagnostic> {
        self.life.step("publish")?;
        self.life.store().complete(&self.prepared);
        self.life.step("publish's answer")
    }

    async fn adopt(&mut self, prepared: &Prepared) -> Result<(), Diagnostic> {
        self.life.step("adopt")?;
        if self.life.mistake != Some(Mistake::NoAdoption) {
            let mut store = self.life.store();
            if store.complete(prepared) {
                store.count("adoptions");
            }
        }
        self.life.step("adopt's answer")
    }

    fn offset_transaction(&mut self) -> Option<&mut dyn OffsetTransaction> {
        (self.kind == Kind::OffsetTransaction).then_some(self)
    }
}

impl OffsetTransaction for MemorySink {
    fn cluster(&mut self) -> Pending<'_, Result<String, Diagnostic>> {
        Box::pin(async { Ok(CLUSTER.to_owned()) })
    }

    fn claim<'a>(
        &'a mut self,
        worker: &'a str,
        _: watch::Receiver<Membership>,
    ) -> Pending<'a, Result<(), Diagnostic>> {
        Box::pin(async move {
            worker.clone_into(&mut self.id);
            let mut store = self.life.store();
            let claims = store.claims.entry(self.id.clone()).or_default();
            *claims += 1;
            self.claim = *claims;
            drop(store);
            self.life.step("claim")
        })
    }

    fn commit_offsets<'a>(
        &'a mut self,
        _: Epoch,
        member: &'a mut watch::Receiver<Membership>,
        losses: u64,
        positions: &'a Positions,
        note: &'a str,
    ) -> Pending<'a, Result<(), Diagnostic>> {
        Box::pin(async move {
            self.life.step("transaction")?;
            let mut store = self.life.store();
            if store.claims[&self.id] != self.claim {
                return Err(Diagnostic::new(&codes::LOST_OWNERSHIP, "another has these transactions"));
            }
            let member = member.borrow().clone();
            if member.losses != losses {
                return Err(Diagnostic::new(&codes::LOST_SPLITS, "the splits were taken away"));
            }
            store.commit(self.life.mistake, &member, positions, note)?;
            store.visible.append(&mut self.pending);
            drop(store);
            self.life.step("transaction's answer")
        })
    }
}
