//! Making durable what was appended: the only place where the synced offset moves.

use super::{Head, Partition};
use crate::disk::LogDisk;
use crate::files::lock;
use crate::options::Mistake;
use crate::{AppendError, Settings};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

impl Partition {
    /// Waits until everything appended so far survives a power cut, also where the topic's `flush.*` are relaxed.
    /// Cancel-safe.
    pub async fn flushed(&self) -> Result<(), AppendError> {
        let end = {
            let mut head = lock(&self.head);
            self.usable(&head)?;
            if head.synced < head.end {
                self.enqueue(&mut head);
            }
            head.end
        };
        self.synced(end).await
    }

    /// Waits until what lies below an offset is synced.
    pub(super) async fn synced(&self, end: i64) -> Result<(), AppendError> {
        let mut marks = self.marks.subscribe();
        let marks = marks.wait_for(|marks| marks.synced >= end || marks.closed).await;
        match marks {
            Ok(marks) if marks.synced >= end => Ok(()),
            _ => Err(self.damage().map_or(AppendError::Closed, AppendError::Offline)),
        }
    }

    /// After an append: lets a thread sync it, as soon as the topic's settings want it.
    pub(super) fn sync_later(&self, head: &mut Head, settings: &Settings) {
        if !settings.relaxed || head.unsynced_records >= settings.flush_messages {
            self.enqueue(head);
        } else if settings.flush_ms < i64::MAX && !self.timed.swap(true, Ordering::Relaxed) {
            let delay = Duration::from_millis(u64::try_from(settings.flush_ms).unwrap_or(0));
            self.shared.queue.push_in(delay, self.owned());
        }
    }

    /// The time that was set is there.
    pub(crate) fn timer_fired(&self) {
        self.timed.store(false, Ordering::Relaxed);
    }

    fn enqueue(&self, head: &mut Head) {
        if !head.queued {
            head.queued = true;
            self.shared.queue.push(self.owned());
        }
    }

    /// Whether something was appended that is not synced.
    pub(crate) fn is_dirty(&self) -> bool {
        let head = lock(&self.head);
        !head.closed && (head.synced < head.end || head.names_dirty)
    }

    /// Syncs what was appended. After a failure nothing is acknowledged any more.
    pub(crate) fn sync(&self) {
        // One at a time: the end that this round found is synced when *its* files are, and those of earlier rounds.
        let _one = lock(&self.syncing);
        let (segments, files, names, end, epoch) = {
            let mut head = lock(&self.head);
            // It is offline: what its files hold is not known.
            if self.damage().is_some() {
                return;
            }
            let segments = std::mem::take(&mut head.dirty);
            let files = std::mem::take(&mut head.dirty_files);
            head.unsynced_records = 0;
            (segments, files, std::mem::take(&mut head.names_dirty), head.end, head.last_epoch)
        };
        self.shared.passed("log.sync");
        let mut failed = None;
        for (segment, file) in segments.iter().zip(&files) {
            if let Err(error) = file.sync() {
                failed = Some((segment.path().to_owned(), error));
            }
        }
        let names = names && !self.shared.options.makes(Mistake::NoDirSync);
        if names && let Err(error) = self.disk().sync_dir(&self.dir) {
            failed = Some((self.dir.to_path_buf(), error));
        }
        if let Some((path, error)) = failed {
            let reason = format!("it could not be synced: {error}");
            self.fail(crate::Damage { file: path, at: 0, reason });
            return;
        }
        self.shared.passed("log.synced");
        let mut head = lock(&self.head);
        assert!(end >= head.synced, "the synced offset never goes back");
        head.synced = end;
        {
            let mut point = lock(&self.point);
            point.recovery_point = end;
            point.epoch = epoch;
        }
        self.advance(&mut head);
        head.queued = false;
        if !head.dirty.is_empty() && !head.closed {
            self.sync_later(&mut head, &self.settings());
        }
    }

    pub(super) fn disk(&self) -> &dyn LogDisk {
        &*self.shared.options.disk
    }

    /// For who must own it.
    pub(crate) fn owned(&self) -> Arc<Self> {
        self.me.upgrade().expect("it is borrowed")
    }
}
