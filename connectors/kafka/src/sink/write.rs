//! Rows into the producer's batches.

use super::cells::Records;
use crate::ready::Ready;
use acme_connect::{Fate, Fates, Rows};
use acme_kafka::produce::{Producer, Target, partition_for_key};
use acme_kafka::{Error, ErrorCode};
use std::ops::Range;

/// What a write needs of the destination.
pub(super) struct Writer<'a> {
    pub(super) producer: &'a mut Producer,
    pub(super) targets: &'a [Target],
    /// The partition of records without a key.
    pub(super) next: usize,
    /// The time of records that have none.
    pub(super) now_ms: i64,
    /// The names of the headers.
    pub(super) headers: &'a [String],
    pub(super) fates: Fates,
}

impl Writer<'_> {
    /// Writes all rows. Batches that came as they are to go on are not taken apart.
    pub(super) async fn write(mut self, rows: &Rows, records: &Records<'_>) -> Result<Fates, Error> {
        let mut done = 0;
        let hint = rows.hint.as_deref().filter(|_| records.are_documents());
        if let Some(ready) = hint.and_then(|hint| hint.downcast_ref::<Ready>()) {
            for batch in &ready.batches {
                let whole = self.producer.takes_whole(batch);
                let rows = whole.then(|| Ready::rows(batch, done, &rows.batch.columns)).flatten();
                let Some(rows) = rows else { continue };
                self.one_by_one(records, done..rows.start).await?;
                self.producer.send_whole(self.targets[self.next], batch, &ready.buffer).await?;
                done = rows.end;
            }
        }
        self.one_by_one(records, done..rows.batch.rows()).await?;
        Ok(self.fates)
    }

    async fn one_by_one(&mut self, records: &Records<'_>, rows: Range<usize>) -> Result<(), Error> {
        let partitions = i32::try_from(self.targets.len()).expect("partitions have 32-bit numbers");
        let (mut key_bytes, mut value_bytes) = (Vec::new(), Vec::new());
        let mut header_bytes: Vec<Vec<u8>> = vec![Vec::new(); self.headers.len()];
        let mut headers_room = Vec::with_capacity(self.headers.len());
        for row in rows {
            let (key, value) = match (records.key(row, &mut key_bytes), records.value(row, &mut value_bytes))
            {
                (Ok(None), _) if records.is_tombstone(row) => {
                    let reason =
                        "a DELETE without a key deletes nothing: give the destination a `key`".to_owned();
                    self.fates.push((row, Fate::Reject { reason }));
                    continue;
                }
                (Ok(key), Ok(value)) => (key, value),
                (Err(reason), _) | (_, Err(reason)) => {
                    self.fates.push((row, Fate::Reject { reason }));
                    continue;
                }
            };
            let partition = key.map(|key| partition_for_key(key, partitions));
            let partition = partition.map_or(self.next, |it| usize::try_from(it).expect("it is a partition"));
            let mut headers = headers_room;
            for ((number, name), bytes) in self.headers.iter().enumerate().zip(&mut header_bytes) {
                bytes.clear();
                if records.header(number, row, bytes) {
                    headers.push((&**name, Some(&**bytes)));
                }
            }
            let timestamp = records.timestamp_ms(row).unwrap_or(self.now_ms);
            let sent = self.producer.send(self.targets[partition], timestamp, key, value, &headers).await;
            headers_room = emptied(headers);
            match sent {
                Ok(_) => {}
                Err(error) if error.code() == Some(ErrorCode::MESSAGE_TOO_LARGE) => {
                    self.fates.push((row, Fate::Reject { reason: error.to_string() }));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

type Header<'a> = (&'a str, Option<&'a [u8]>);

/// The same allocation for headers that live at another time.
fn emptied<'a>(mut headers: Vec<Header<'_>>) -> Vec<Header<'a>> {
    headers.clear();
    // The standard library collects into the vector that it takes from.
    headers.into_iter().map(|_| unreachable!("it is empty")).collect()
}
