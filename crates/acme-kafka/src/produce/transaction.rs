//! Transactions: records and committed offsets that become visible together, or not at all.
//!
//! Two dialects. Before KIP-890's second part (`transaction.version` below 2) partitions and groups are announced
//! before they are written to, and the epoch stays; after it the brokers add what they see, and each end raises the
//! epoch. Where the epoch stays, a request without an answer may arrive in a later transaction and move its offsets or end
//! it: after such a one the producer takes a new epoch (KIP-360) before it goes on.

use super::identity::{Transactional, init_producer};
use super::{Delivery, Producer};
use crate::client::{Client, CoordinatorKind, Purpose, TopicPartition};
use crate::error::{Class, Error, ErrorCode, Result};
use crate::group::{GroupMetadata, OffsetAndMetadata};
use crate::wire::text;
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, EndTxnRequest, GroupId, ProducerId, TopicName,
    TransactionalId, TxnOffsetCommitRequest,
};
use std::collections::{BTreeMap, BTreeSet};

/// The feature level from which brokers add partitions by themselves (KIP-890).
const IMPLICIT: i16 = 2;
/// The last versions of requests whose next one means that the client speaks the newer dialect.
const PRODUCE_OLD: i16 = 11;
const OFFSETS_OLD: i16 = 4;
const END_OLD: i16 = 4;

/// Where a transactional producer stands.
#[derive(Debug)]
enum State {
    /// It has no transactions.
    Unused,
    Ready,
    Open,
    /// Only an abort helps.
    Failed(Error),
    /// Another producer has taken over.
    Fenced(Error),
}

/// The present transaction.
#[derive(Debug)]
pub(super) struct Transaction {
    state: State,
    implicit: bool,
    purpose: Purpose,
    registered: BTreeSet<TopicPartition>,
    has_offsets: bool,
    /// The coordinator was told something, and may know of the transaction whatever it answered.
    asked: bool,
    /// A request of this epoch had no answer, in the dialect in which the epoch stays: it may arrive yet.
    unanswered: bool,
    /// The same of a transaction that has ended: a new epoch is due.
    stale: bool,
}

impl Transaction {
    /// Learns which dialect the coordinator speaks.
    pub(super) async fn new(client: &Client, transactional: Option<&Transactional>) -> Result<Self> {
        let purpose = Purpose::Coordinator(client.unique());
        let (mut state, mut implicit) = (State::Unused, false);
        if let Some(of) = transactional {
            let coordinator = client.coordinator(CoordinatorKind::Transaction, &of.id).await?;
            let connection = client.connection(coordinator, purpose).await?;
            implicit = connection.versions().feature("transaction.version") >= IMPLICIT
                && connection.version::<EndTxnRequest>()? > END_OLD;
            state = State::Ready;
        }
        Ok(Self {
            state,
            implicit,
            purpose,
            registered: BTreeSet::new(),
            has_offsets: false,
            asked: false,
            unanswered: false,
            stale: false,
        })
    }

    pub(super) fn release(&self, client: &Client) {
        client.release(self.purpose);
    }

    pub(super) fn is_used(&self) -> bool {
        !matches!(self.state, State::Unused)
    }

    pub(super) fn check_writable(&self) -> Result<()> {
        match &self.state {
            State::Unused | State::Open => Ok(()),
            State::Ready => Err(Error::State("no transaction is open: call begin".to_owned())),
            State::Failed(error) | State::Fenced(error) => Err(error.clone()),
        }
    }

    /// Why the open transaction cannot be committed.
    pub(super) fn failure(&self) -> Option<&Error> {
        match &self.state {
            State::Failed(error) | State::Fenced(error) => Some(error),
            State::Unused | State::Ready | State::Open => None,
        }
    }

    pub(super) fn produce_version(&self, common: i16) -> i16 {
        if self.implicit { common } else { common.min(PRODUCE_OLD) }
    }

    /// Remembers why the transaction cannot be committed. An INVALID_PRODUCER_EPOCH may come from the coordinator's
    /// having aborted a transaction that took too long: only InitProducerId tells that from a successor.
    pub(super) fn fail(&mut self, error: Error) {
        let fenced = error.class() == Class::Fence && error.code() != Some(ErrorCode::INVALID_PRODUCER_EPOCH);
        match (&self.state, fenced) {
            (State::Ready | State::Open | State::Failed(_), true) => self.state = State::Fenced(error),
            (State::Open, false) => self.state = State::Failed(error),
            _ => {}
        }
    }

    fn ended(&mut self) {
        self.state = State::Ready;
        self.registered.clear();
        self.has_offsets = false;
        self.asked = false;
        self.stale |= std::mem::take(&mut self.unanswered);
    }
}

impl Producer {
    /// Opens a transaction. Nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::State`] if one is open, or what failed it.
    pub fn begin(&mut self) -> Result<()> {
        match &self.transaction.state {
            State::Ready => {
                self.transaction.state = State::Open;
                Ok(())
            }
            State::Failed(error) | State::Fenced(error) => Err(error.clone()),
            State::Open => Err(Error::State("a transaction is open already".to_owned())),
            State::Unused => Err(Error::State("the producer has no transactional id".to_owned())),
        }
    }

    fn transactional_id(&self) -> Result<String> {
        let of = self.options.transactional.as_ref();
        of.map(|of| of.id.clone())
            .ok_or_else(|| Error::State("the producer has no transactional id".to_owned()))
    }

    /// Tells the coordinator of partitions that are about to be written to for the first time.
    pub(super) async fn register_partitions(&mut self) -> Result<()> {
        if !matches!(self.transaction.state, State::Open) {
            return Ok(());
        }
        let new: Vec<TopicPartition> = self
            .targets
            .iter()
            .filter(|(_, target)| self.parts[target.0].1.has_waiting())
            .filter(|(partition, _)| !self.transaction.registered.contains(*partition))
            .map(|(partition, _)| partition.clone())
            .collect();
        if new.is_empty() {
            return Ok(());
        }
        self.renew_if_stale().await?;
        self.transaction.asked = true;
        if !self.transaction.implicit {
            self.add_partitions(&new).await?;
        }
        self.transaction.registered.extend(new);
        Ok(())
    }

    async fn add_partitions(&mut self, new: &[TopicPartition]) -> Result<()> {
        let id = self.transactional_id()?;
        let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
        for partition in new {
            topics.entry(&partition.topic).or_default().push(partition.partition);
        }
        let topics = topics.into_iter().map(|(name, partitions)| {
            AddPartitionsToTxnTopic::default().with_name(TopicName(text(name))).with_partitions(partitions)
        });
        let request = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(TransactionalId(text(&id)))
            .with_v3_and_below_producer_id(ProducerId(self.identity.producer_id))
            .with_v3_and_below_producer_epoch(self.identity.epoch)
            .with_v3_and_below_topics(topics.collect());
        self.ask(CoordinatorKind::Transaction, &id, &request, i16::MAX, |response| {
            let topics = response.results_by_topic_v3_and_below.iter();
            let codes =
                topics.flat_map(|topic| &topic.results_by_partition).map(|one| one.partition_error_code);
            // OPERATION_NOT_ATTEMPTED says only that another partition has the error.
            first_error(codes.filter(|code| *code != 55))
        })
        .await
        .map(drop)
    }

    /// Sends a request to a coordinator until its answer is no transient error.
    async fn ask<R: kafka_protocol::protocol::Request>(
        &mut self,
        kind: CoordinatorKind,
        key: &str,
        request: &R,
        version_max: i16,
        code: impl Fn(&R::Response) -> ErrorCode,
    ) -> Result<R::Response> {
        // Also if the wait for the answer is dropped.
        let before = std::mem::replace(&mut self.transaction.unanswered, !self.transaction.implicit);
        let mut failures = 0;
        let result = self.try_ask((kind, key), request, version_max, code, &mut failures).await;
        if failures == 0 {
            self.transaction.unanswered = before;
        }
        result
    }

    async fn try_ask<R: kafka_protocol::protocol::Request>(
        &self,
        (kind, key): (CoordinatorKind, &str),
        request: &R,
        version_max: i16,
        code: impl Fn(&R::Response) -> ErrorCode,
        failures: &mut u32,
    ) -> Result<R::Response> {
        let mut tries = self.client.tries();
        loop {
            let timeout = self.client.config().request_timeout;
            let response = self
                .client
                .send_to_coordinator_at(
                    (kind, key),
                    self.transaction.purpose,
                    request,
                    (timeout, version_max),
                    &code,
                    |_| *failures += 1,
                )
                .await?;
            let what = || format!("{} of transaction {key}", crate::wire::api_name(R::KEY));
            match code(&response).check(what) {
                Ok(()) => return Ok(response),
                Err(error) => tries.after(error).await?,
            }
        }
    }

    /// Commits a group's offsets with the transaction, each with its metadata.
    ///
    /// # Errors
    /// A [`Class::Rejoin`] error leaves the transaction open: the same member may send them again with its new
    /// generation. Any other fails the transaction.
    pub async fn send_offsets(
        &mut self,
        group: &GroupMetadata,
        offsets: &[(TopicPartition, OffsetAndMetadata)],
    ) -> Result<()> {
        self.transaction.check_writable()?;
        let result = self.try_send_offsets(group, offsets).await;
        if let Err(error) = &result
            && error.class() != Class::Rejoin
        {
            self.transaction.fail(error.clone());
        }
        result
    }

    async fn try_send_offsets(
        &mut self,
        group: &GroupMetadata,
        offsets: &[(TopicPartition, OffsetAndMetadata)],
    ) -> Result<()> {
        let id = self.transactional_id()?;
        self.renew_if_stale().await?;
        self.transaction.asked = true;
        if !self.transaction.implicit && !self.transaction.has_offsets {
            let request = AddOffsetsToTxnRequest::default()
                .with_transactional_id(TransactionalId(text(&id)))
                .with_producer_id(ProducerId(self.identity.producer_id))
                .with_producer_epoch(self.identity.epoch)
                .with_group_id(GroupId(text(&group.group)));
            let code =
                |response: &kafka_protocol::messages::AddOffsetsToTxnResponse| ErrorCode(response.error_code);
            self.ask(CoordinatorKind::Transaction, &id, &request, i16::MAX, code).await?;
        }
        self.transaction.has_offsets = true;
        let request = TxnOffsetCommitRequest::default()
            .with_transactional_id(TransactionalId(text(&id)))
            .with_group_id(GroupId(text(&group.group)))
            .with_producer_id(ProducerId(self.identity.producer_id))
            .with_producer_epoch(self.identity.epoch)
            .with_generation_id(group.generation)
            .with_member_id(text(&group.member_id))
            .with_group_instance_id(group.instance_id.as_deref().map(text))
            .with_topics(offset_topics(offsets));
        let version_max = if self.transaction.implicit { i16::MAX } else { OFFSETS_OLD };
        self.ask(CoordinatorKind::Group, &group.group, &request, version_max, |response| {
            let codes = response.topics.iter().flat_map(|topic| &topic.partitions).map(|one| one.error_code);
            first_error(codes)
        })
        .await
        .map(drop)
    }

    /// Writes all records that were pushed, and commits them with the offsets.
    ///
    /// # Errors
    /// What failed the transaction: it must be aborted, and [`Self::take_deliveries`] tells which records were
    /// refused. After a transient error of the commit itself nobody knows whether it holds: a new producer of the same
    /// id must be made, and then the committed offsets tell.
    pub async fn commit(&mut self) -> Result<Vec<Delivery>> {
        self.transaction.check_writable()?;
        let deliveries = self.flush().await?;
        if let Err(error) = self.transaction.check_writable() {
            self.deliveries = deliveries;
            return Err(error);
        }
        if let Err(error) = self.end(true).await {
            self.transaction.fail(error.clone());
            self.deliveries = deliveries;
            return Err(error);
        }
        // It is committed. What keeps the new epoch away now may be over when the next transaction begins.
        let _ = self.renew_if_stale().await;
        Ok(deliveries)
    }

    /// Takes a new epoch if a request of an ended transaction may still arrive: with the old one it is refused.
    async fn renew_if_stale(&mut self) -> Result<()> {
        if self.transaction.stale {
            self.renew().await?;
        }
        Ok(())
    }

    /// The same producer with a higher epoch.
    async fn renew(&mut self) -> Result<()> {
        let last = Some(self.identity);
        let identity = init_producer(&self.client, self.options.transactional.as_ref(), last).await;
        let identity = identity.map_err(|error| match error {
            Error::Broker { code: ErrorCode::INVALID_PRODUCER_EPOCH, what, detail } => {
                Error::Broker { code: ErrorCode::PRODUCER_FENCED, what, detail }
            }
            other => other,
        })?;
        self.adopt(identity);
        self.transaction.stale = false;
        Ok(())
    }

    /// Takes everything of the open transaction back, and makes the producer ready for the next one.
    ///
    /// # Errors
    /// PRODUCER_FENCED if another producer has taken over; what keeps the coordinator from answering.
    pub async fn abort(&mut self) -> Result<()> {
        match &self.transaction.state {
            State::Open | State::Failed(_) => {}
            State::Ready => return Ok(()),
            State::Fenced(error) => return Err(error.clone()),
            State::Unused => return Err(Error::State("the producer has no transactional id".to_owned())),
        }
        self.discard().await;
        if let Err(error) = self.take_back().await {
            self.transaction.fail(error.clone());
            return Err(error);
        }
        Ok(())
    }

    /// Drops what waits, and lets what is under way come to its end: nothing may reach the log after the abort.
    async fn discard(&mut self) {
        loop {
            for (_, queue) in &mut self.parts {
                self.buffered = self.buffered.saturating_sub(queue.discard());
            }
            if self.under_way.is_empty() {
                break;
            }
            self.wait().await;
        }
        self.buffered = 0;
    }

    async fn take_back(&mut self) -> Result<()> {
        let ended = self.end(false).await;
        match ended {
            // The newer dialect has raised the epoch with the end.
            Ok(()) if self.transaction.implicit => return Ok(()),
            Ok(()) => {}
            // The coordinator ended it before us, or the epoch is not ours any more: the next request tells.
            Err(error)
                if matches!(
                    error.code(),
                    Some(
                        ErrorCode::INVALID_PRODUCER_EPOCH
                            | ErrorCode::INVALID_TXN_STATE
                            | ErrorCode::PRODUCER_FENCED
                    )
                ) => {}
            Err(error) => return Err(error),
        }
        self.transaction.ended();
        // Sequence numbers may have gaps; a new epoch begins them anew (KIP-360).
        self.transaction.stale = true;
        self.renew().await
    }

    /// Ends the transaction at the coordinator, if it knows of it.
    async fn end(&mut self, commits: bool) -> Result<()> {
        let id = self.transactional_id()?;
        if !self.transaction.asked {
            if !commits {
                // What was dropped before it was sent has used no numbers up.
                self.adopt(self.identity);
            }
            self.transaction.ended();
            return Ok(());
        }
        let request = EndTxnRequest::default()
            .with_transactional_id(TransactionalId(text(&id)))
            .with_producer_id(ProducerId(self.identity.producer_id))
            .with_producer_epoch(self.identity.epoch)
            .with_committed(commits);
        let version_max = if self.transaction.implicit { i16::MAX } else { END_OLD };
        let code = |response: &kafka_protocol::messages::EndTxnResponse| ErrorCode(response.error_code);
        let response = self.ask(CoordinatorKind::Transaction, &id, &request, version_max, code).await?;
        if self.transaction.implicit && response.producer_id.0 >= 0 {
            let (producer_id, epoch) = (response.producer_id.0, response.producer_epoch);
            self.adopt(super::Identity { producer_id, epoch });
        }
        self.transaction.ended();
        Ok(())
    }

    fn adopt(&mut self, identity: super::Identity) {
        self.identity = identity;
        for (_, queue) in &mut self.parts {
            queue.adopt(identity);
        }
    }
}

fn first_error(codes: impl Iterator<Item = i16>) -> ErrorCode {
    let mut codes = codes.filter(|code| *code != 0).map(ErrorCode);
    codes.next().unwrap_or(ErrorCode::NONE)
}

fn offset_topics(offsets: &[(TopicPartition, OffsetAndMetadata)]) -> Vec<TxnOffsetCommitRequestTopic> {
    let mut topics: BTreeMap<&str, Vec<TxnOffsetCommitRequestPartition>> = BTreeMap::new();
    for (partition, committed) in offsets {
        let one = TxnOffsetCommitRequestPartition::default()
            .with_partition_index(partition.partition)
            .with_committed_offset(committed.offset)
            .with_committed_leader_epoch(committed.leader_epoch)
            .with_committed_metadata(Some(text(&committed.metadata)));
        topics.entry(&partition.topic).or_default().push(one);
    }
    let topics = topics.into_iter().map(|(name, partitions)| {
        TxnOffsetCommitRequestTopic::default().with_name(TopicName(text(name))).with_partitions(partitions)
    });
    topics.collect()
}
