//! Appending: judge, stamp, one write.

use super::{Appended, Guard, Guards, Head, Partition, Sealing, Verification, Writer};
use crate::batch::{self, Checked};
use crate::files::lock;
use crate::options::Mistake;
use crate::producers::Verdict;
use crate::segment::Segment;
use crate::{AppendError, Settings};
use acme_records::BatchHeader;
use bytes::BytesMut;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Guards that are remembered; of more the oldest are forgotten, and their producers ask again.
const GUARDS_MAX: usize = 10_000;

impl Partition {
    /// Appends one or more whole batches as they came from a client: all of them or none. They are in the log when this
    /// returns, and may be acknowledged when [`Appended::durable`] does (acks=0: nobody waits).
    ///
    /// A batch that is there already (idempotence) is answered with the offsets it has.
    pub fn append(&self, mut batches: BytesMut, from: Writer) -> Result<Appended, AppendError> {
        let settings = self.settings();
        let now_ms = (self.shared.options.now_ms)();
        let checked = batch::check(&mut batches, &settings, now_ms, from == Writer::Coordinator)?;
        let mut head = lock(&self.head);
        self.usable(&head)?;
        let producer = checked.headers.iter().find(|header| header.producer_id >= 0);
        if let Some(header) = producer {
            if checked.headers.len() > 1 {
                let reason = "batches of idempotent producers come one by one";
                return Err(AppendError::InvalidRecord(reason.to_owned()));
            }
            if let Verdict::Duplicate { first_offset, last_offset, timestamp } =
                head.producers.judge(header)?
            {
                let append_time = settings.append_time.then_some(timestamp);
                return Ok(self.appended(&head, &settings, first_offset..=last_offset, append_time, true));
            }
            head.admit(header, from)?;
        }
        let append_time = settings.append_time.then_some(now_ms);
        self.write(&mut head, &settings, batches, checked, append_time, |head, header, _| {
            head.producers.appended(header);
            head.guards.given.remove(&header.producer_id);
            None
        })
    }

    /// Asks whether a producer's transaction is open here; see [`Verification`].
    #[must_use]
    pub fn verification(&self, producer_id: i64, epoch: i16) -> Verification {
        let mut head = lock(&self.head);
        if head.producers.is_open(producer_id, epoch) {
            return Verification::Open;
        }
        Verification::Ask(head.guards.give(producer_id, epoch))
    }

    /// Writes the marker that ends a producer's transaction here.
    ///
    /// `epoch`: the producer's, or one more with transaction.version 2 (KIP-890), which then fences what it sent before.
    pub fn end_transaction(
        &self,
        producer_id: i64,
        epoch: i16,
        commit: bool,
        coordinator_epoch: i32,
    ) -> Result<Appended, AppendError> {
        let settings = self.settings();
        let now_ms = (self.shared.options.now_ms)();
        let marker = acme_records::marker(producer_id, epoch, commit, coordinator_epoch, now_ms);
        let header = BatchHeader::parse(&marker).ok().flatten().expect("a marker is a whole batch");
        let checked = Checked { headers: vec![header], offsets: 1 };
        let mut head = lock(&self.head);
        self.usable(&head)?;
        head.producers.judge_marker(producer_id, epoch, coordinator_epoch)?;
        // Whoever asked about this transaction before asks again.
        head.guards.given.remove(&producer_id);
        let batches = BytesMut::from(&marker[..]);
        self.write(&mut head, &settings, batches, checked, None, |head, header, _| {
            head.producers.ended(header, commit, coordinator_epoch)
        })
    }

    /// Stamps and writes batches, then takes them in.
    fn write(
        &self,
        head: &mut Head,
        settings: &Settings,
        mut batches: BytesMut,
        checked: Checked,
        append_time: Option<i64>,
        mut take: impl FnMut(&mut Head, &BatchHeader, &[u8]) -> Option<crate::producers::AbortedRange>,
    ) -> Result<Appended, AppendError> {
        let segment = self.place(head, settings, &batches, &checked)?;
        let base_offset = head.end;
        let (mut at, mut offset) = (0, base_offset);
        let mut headers = checked.headers;
        for header in &mut headers {
            let batch = &mut batches[at..at + header.bytes];
            acme_records::stamp(batch, offset, self.shared.epoch);
            if let Some(now_ms) = append_time {
                acme_records::stamp_append_time(batch, now_ms);
            }
            *header = BatchHeader::parse(batch).ok().flatten().expect("it was checked");
            (at, offset) = (at + header.bytes, header.next_offset());
        }
        let file = segment.file()?;
        let position = segment.bytes();
        if head.torn {
            file.truncate(position)?;
            head.torn = false;
        }
        if let Err(error) = file.write_at(&batches, position) {
            // Part of it may lie there whole: a restart must not find it.
            head.torn = file.truncate(position).is_err();
            return Err(error.into());
        }
        self.shared.passed("log.written");
        if !head.dirty.last().is_some_and(|last| Arc::ptr_eq(last, &segment)) {
            head.dirty.push(segment.clone());
            head.dirty_files.push(file);
        }
        let mut at = 0;
        for header in &headers {
            let batch = &batches[at..at + header.bytes];
            segment.appended(header, batch, settings.index_interval_bytes);
            if let Some(range) = take(head, header, batch) {
                segment.add_aborted(range);
            }
            at += header.bytes;
        }
        assert!(segment.next_offset() == offset, "offsets follow each other");
        head.end = offset;
        head.last_epoch = self.shared.epoch;
        head.unsynced_records += offset - base_offset;
        self.end.store(offset, Ordering::Release);
        if settings.relaxed || self.shared.options.makes(Mistake::ServeAppended) {
            self.advance(head);
        }
        self.sync_later(head, settings);
        Ok(self.appended(head, settings, base_offset..=offset - 1, append_time, false))
    }

    fn appended(
        &self,
        head: &Head,
        settings: &Settings,
        offsets: std::ops::RangeInclusive<i64>,
        append_time: Option<i64>,
        duplicate: bool,
    ) -> Appended {
        Appended {
            base_offset: *offsets.start(),
            last_offset: *offsets.end(),
            append_time,
            log_start: head.log_start,
            duplicate,
            wait: if settings.relaxed { None } else { self.me.upgrade() },
        }
    }

    /// The segment that the batches go to: the last one, or a new one.
    fn place(
        &self,
        head: &mut Head,
        settings: &Settings,
        batches: &[u8],
        checked: &Checked,
    ) -> io::Result<Arc<Segment>> {
        let last = self.segments().last().expect("there is always a segment").clone();
        let (bytes, began, epoch) = last.fill();
        let time = checked.headers.iter().map(|header| header.max_timestamp).max().unwrap_or(-1);
        let roll_ms = settings.roll_ms() - settings.roll_jitter_ms(self.chance(last.base));
        let old = time.saturating_sub(began) > roll_ms && began >= 0;
        let full = bytes + batches.len() as u64 > settings.segment_bytes
            || head.end + checked.offsets - last.base > i64::from(i32::MAX);
        // What an earlier life has written gets no more bytes: nothing of it can ever follow what is new. So all batches
        // of a segment have one leader epoch.
        let cut = !self.shared.options.makes(Mistake::NoCut);
        let earlier = cut && epoch.is_some_and(|epoch| epoch != self.shared.epoch);
        if last.is_sealed() || (bytes > 0 && (old || full || earlier)) {
            return self.roll(head);
        }
        Ok(last)
    }

    /// A number of a segment that no other has: SplitMix64 (Steele, Lea, Flood 2014).
    fn chance(&self, base: i64) -> u64 {
        let (topic, number) = (self.id.as_u64_pair().0, u64::from(self.number.unsigned_abs()));
        let value = topic ^ (number << 40) ^ base.unsigned_abs();
        let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        value ^ (value >> 31)
    }

    /// Begins a new segment at the end.
    pub(super) fn roll(&self, head: &mut Head) -> io::Result<Arc<Segment>> {
        let last = self.segments().last().expect("there is always a segment").clone();
        if last.base == head.end && !last.is_sealed() {
            return Ok(last);
        }
        assert!(last.next_offset() <= head.end, "a segment ends at the end");
        let next = Arc::new(Segment::new(&self.shared.files, &self.dir, head.end));
        // Only the names are written over again: what lies in a spare file are batches with lower offsets.
        let recycled = head.spare.take().is_some_and(|spare| self.disk().rename(&spare, next.path()).is_ok());
        let file = next.create()?;
        if !recycled && file.len()? > 0 {
            file.truncate(0)?;
        }
        self.shared.passed("log.rolled");
        head.names_dirty = true;
        if !last.is_sealed() {
            let producers = Some(head.producers.encode());
            head.sealing.push(Sealing { segment: last, end: head.end, producers });
        }
        self.change_segments(|segments| {
            // An empty one at the same place was sealed in an earlier life.
            segments.retain(|segment| segment.base != next.base);
            segments.push(next.clone());
        });
        Ok(next)
    }
}

impl Head {
    /// A transactional batch of a client: its transaction is open here, or the coordinator was asked (KIP-890).
    fn admit(&self, header: &BatchHeader, from: Writer) -> Result<(), AppendError> {
        let Writer::Client { guard } = from else { return Ok(()) };
        let (producer_id, epoch) = (header.producer_id, header.producer_epoch);
        if !header.is_transactional() || self.producers.is_open(producer_id, epoch) {
            return Ok(());
        }
        let given = self.guards.given.get(&producer_id);
        match (given, guard) {
            (Some((number, _)), Some(Guard(guard))) if *number == guard => Ok(()),
            _ => Err(AppendError::InvalidTransactionState(format!(
                "the transaction of producer {producer_id} was not verified, or has ended meanwhile"
            ))),
        }
    }
}

impl Guards {
    fn give(&mut self, producer_id: i64, epoch: i16) -> Guard {
        if let Some((number, given)) = self.given.get(&producer_id)
            && *given == epoch
        {
            return Guard(*number);
        }
        if self.given.len() >= GUARDS_MAX {
            let keep = self.next.saturating_sub(GUARDS_MAX as u64 / 2);
            self.given.retain(|_, (number, _)| *number >= keep);
        }
        self.next += 1;
        self.given.insert(producer_id, (self.next, epoch));
        Guard(self.next)
    }
}
