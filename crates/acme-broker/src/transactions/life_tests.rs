//! Tests: the coordinators over a log on a disk, one life after the other.

use super::state::{End, Identity, Part, Phase, Protocol};
use super::{TOPIC, Transactions};
use crate::error::Code;
use crate::groups::{self, Asked, Commit, Committer, GroupOptions, Groups};
use acme_log::{Log, Verification, Writer};
use acme_records::{BatchBuilder, Compression, Stamp};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long what must come is waited for.
const PATIENCE: Duration = Duration::from_secs(120);

struct Life {
    log: Log,
    groups: Arc<Groups>,
    transactions: Arc<Transactions>,
}

fn live(dir: &Path) -> Life {
    let log = Log::open(dir, acme_log::Options::new(Arc::new(|| 1_000))).unwrap();
    let groups = Groups::new(log.clone(), GroupOptions::default());
    let transactions = Transactions::new(log.clone(), Arc::clone(&groups));
    groups.load().unwrap();
    transactions.load().unwrap();
    Life { log, groups, transactions }
}

fn part(number: i32) -> Part {
    ("t".into(), number)
}

impl Life {
    /// Asks until what was open before has ended, as a client does.
    async fn init(
        &self,
        id: Option<&str>,
        timeout_ms: i32,
        expected: Option<Identity>,
    ) -> Result<Identity, Code> {
        loop {
            match self.transactions.init(id, timeout_ms, expected).await {
                Err(Code::ConcurrentTransactions) => tokio::time::sleep(Duration::from_millis(1)).await,
                other => return other,
            }
        }
    }

    fn write(&self, number: i32, (producer_id, producer_epoch): (i64, i16)) {
        let mut batch = BatchBuilder::with_capacity(64);
        batch.push(1_000, None, Some(b"x"), &[]);
        let stamp = Stamp { producer_id, producer_epoch, base_sequence: 0, is_transactional: true };
        let bytes = batch.finish(Compression::None).unwrap().stamped(stamp).concat();
        let partition = Arc::clone(self.log.topics().partition("t", number).unwrap());
        let Verification::Ask(guard) = partition.verification(producer_id, producer_epoch) else { panic!() };
        partition.append((&bytes[..]).into(), Writer::Client { guard: Some(guard) }).unwrap();
    }

    async fn offset(&self) -> Result<Option<i64>, Code> {
        let asked = Asked {
            group: "g".to_owned(),
            member_id: None,
            member_epoch: -1,
            topics: Some(vec![("t".to_owned(), vec![0])]),
            stable: true,
        };
        let fetched = self.groups.fetch(&asked).await.unwrap();
        fetched[0].1[0].1.clone().map(|value| value.map(|value| value.offset))
    }

    /// A transaction with records in two partitions and an offset of a group.
    async fn open(&self) -> (i64, i16) {
        let identity = self.init(Some("id"), 60_000, None).await.unwrap();
        let offsets = (Arc::from(groups::TOPIC), self.groups.number("g").unwrap());
        let all = [part(0), part(1), offsets.clone()];
        self.transactions.add("id", identity, &all, Protocol::V2, PATIENCE).await.unwrap();
        (0..2).for_each(|number| self.write(number, identity));
        let commit = Commit {
            topic: "t".to_owned(),
            partition: 0,
            offset: 42,
            leader_epoch: -1,
            metadata: String::new(),
        };
        let by = Committer { member_id: String::new(), instance_id: None, epoch: -1 };
        let pending = || self.groups.commit_pending("g", &by, identity, vec![commit]);
        self.transactions.within("id", identity, &offsets, pending).unwrap();
        identity
    }
}

async fn complete(life: &Life, phase: Phase) {
    let patience = tokio::time::Instant::now() + Duration::from_secs(120);
    while life.transactions.show("id").unwrap().phase != phase {
        assert!(tokio::time::Instant::now() < patience);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for number in 0..2 {
        let marks = life.log.topics().partition("t", number).unwrap().marks();
        assert_eq!((marks.last_stable, marks.high_watermark), (2, 2), "a record and one marker");
    }
}

#[tokio::test]
async fn what_was_decided_before_a_crash_is_finished_by_the_next_life() {
    let dir = tempfile::tempdir().unwrap();
    let life = live(dir.path());
    life.log.create_topic("t", 2, BTreeMap::new(), false).unwrap();
    let identity = life.open().await;
    assert_eq!(life.offset().await, Err(Code::UnstableOffsetCommit));
    let (decided, epoch) = {
        let mut table = life.transactions.table();
        let slot = table.get_mut("id").unwrap();
        let Ok(End::Prepare(next)) = life.transactions.decide(slot, identity, true, Protocol::V2) else {
            panic!()
        };
        let epoch = next.epoch;
        (life.transactions.write("id", slot, next).unwrap(), epoch)
    };
    decided.durable().await.unwrap();
    // It gets as far as the first marker.
    let first = Arc::clone(life.log.topics().partition("t", 0).unwrap());
    life.transactions.end_in(&first, identity.0, epoch, true, life.log.leader_epoch()).await.unwrap();
    life.log.close();
    drop((life, first));

    let life = live(dir.path());
    assert_eq!(life.transactions.show("id").unwrap().phase, Phase::PrepareCommit);
    assert_eq!(life.offset().await, Err(Code::UnstableOffsetCommit));
    let run = tokio::spawn(Arc::clone(&life.transactions).run());
    let patience = tokio::time::Instant::now() + Duration::from_secs(120);
    while life.transactions.show("id").unwrap().phase != Phase::CompleteCommit {
        assert!(tokio::time::Instant::now() < patience);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for number in 0..2 {
        let marks = life.log.topics().partition("t", number).unwrap().marks();
        assert_eq!(marks.last_stable, marks.high_watermark);
    }
    assert_eq!(life.offset().await, Ok(Some(42)));
    // The client that has not got the answer asks again.
    let again = life.transactions.end("id".to_owned(), identity, true, Protocol::V2).await;
    assert_eq!(again, Ok((identity.0, identity.1 + 1)));
    run.abort();
}

#[tokio::test]
async fn a_commit_is_whole_and_a_successor_aborts_what_is_open() {
    let dir = tempfile::tempdir().unwrap();
    let life = live(dir.path());
    life.log.create_topic("t", 2, BTreeMap::new(), false).unwrap();
    let identity = life.open().await;
    let ended = life.transactions.end("id".to_owned(), identity, true, Protocol::V2).await;
    assert_eq!(ended, Ok((identity.0, identity.1 + 1)));
    complete(&life, Phase::CompleteCommit).await;
    assert_eq!(life.offset().await, Ok(Some(42)));
    let next = (identity.0, identity.1 + 1);
    life.transactions.add("id", next, &[part(0)], Protocol::V2, PATIENCE).await.unwrap();
    assert_eq!(life.transactions.verify("id", next, &part(1)), Err(Code::TransactionAbortable));
    life.write(0, next);
    let successor = life.init(Some("id"), 60_000, None).await.unwrap();
    assert!(successor.1 > next.1 + 1, "{successor:?}");
    assert_eq!(
        life.transactions.add("id", next, &[part(0)], Protocol::V2, PATIENCE).await,
        Err(Code::ProducerFenced)
    );
    let marks = life.log.topics().partition("t", 0).unwrap().marks();
    assert_eq!(marks.last_stable, marks.high_watermark);
}

#[tokio::test]
async fn no_producer_id_is_given_twice_in_any_life() {
    let dir = tempfile::tempdir().unwrap();
    let mut last = -1;
    for _ in 0..3 {
        let life = live(dir.path());
        for _ in 0..1_200 {
            let (id, epoch) = life.init(None, 0, None).await.unwrap();
            assert!(id > last && epoch == 0);
            last = id;
        }
        assert!(life.log.topics().named(TOPIC).unwrap().is_internal);
        life.log.close();
    }
}
