//! The older way: rows as JSON over REST. At least once; the service drops a repeated row only as far as it remembers its
//! `insertId`, about a minute.
//!
//! Source: BigQuery REST reference, `tabledata.insertAll`.

use crate::config::{Settings, UnknownFields};
use crate::fault::remote;
use crate::rest::{Inserted, Rest};
use crate::table::Name;
use acme_connect::{Backoff, Encoded, Fate, Fates};
use acme_types::Diagnostic;
use std::io::Write;
use std::time::Duration;

/// Rows of one request.
const ROWS_MAX: usize = 10_000;

/// The table that rows are added to.
pub(crate) struct Table<'a> {
    pub(crate) rest: &'a Rest,
    pub(crate) name: &'a Name,
    pub(crate) fresh: bool,
}

impl Table<'_> {
    /// Adds rows but for those that are skipped or refused already; `inserted` counts all rows of this run.
    pub(crate) async fn write(
        &self,
        settings: &Settings,
        documents: &Encoded,
        skip: &[usize],
        mut fates: Fates,
        inserted: &mut u64,
    ) -> Result<Fates, Diagnostic> {
        let bad: Vec<usize> = fates.iter().map(|(row, _)| *row).collect();
        let good = |row: &usize| bad.binary_search(row).is_err() && skip.binary_search(row).is_err();
        let mut left = (0..documents.ends.len()).filter(good).peekable();
        let head = format!(
            r#"{{"skipInvalidRows":true,"ignoreUnknownValues":{},"rows":["#,
            settings.unknown == UnknownFields::Ignore
        );
        while left.peek().is_some() {
            let mut body = head.clone().into_bytes();
            let mut sent = Vec::new();
            while let Some(row) =
                left.peek().filter(|_| sent.len() < ROWS_MAX && body.len() < settings.batch_bytes)
            {
                let comma = if sent.is_empty() { "" } else { "," };
                let id = (std::process::id(), *inserted);
                write!(body, r#"{comma}{{"insertId":"{:x}-{:x}","json":"#, id.0, id.1)
                    .expect("memory takes all");
                body.extend_from_slice(documents.row(*row).trim_ascii());
                body.push(b'}');
                *inserted += 1;
                sent.push(*row);
                left.next();
            }
            body.extend_from_slice(b"]}");
            self.send(body, &sent, &mut fates).await?;
        }
        Ok(fates)
    }

    async fn send(&self, body: Vec<u8>, sent: &[usize], fates: &mut Fates) -> Result<(), Diagnostic> {
        let body = bytes::Bytes::from(body);
        let mut backoff = Backoff::new(sent.len() as u64 + 5);
        let Inserted { insert_errors } = loop {
            match self.rest.insert_all(self.name, body.clone()).await? {
                Some(inserted) => break inserted,
                // A table that was created a moment ago is not known to the whole service at once.
                None => match backoff.wait().filter(|_| self.fresh) {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => return Err(remote(format!("the table {} is not found", self.name.shown()))),
                },
            }
        };
        for fault in insert_errors {
            let Some(row) = sent.get(fault.index) else {
                return Err(remote("BigQuery refuses rows that were not sent".to_owned()));
            };
            let transient =
                fault.errors.iter().all(|error| error.is_transient() || error.reason == "stopped");
            let fate = match fault.errors.first() {
                Some(error) if !transient => {
                    let place = if error.location.is_empty() {
                        String::new()
                    } else {
                        format!("{}: ", error.location)
                    };
                    Fate::Reject { reason: format!("{place}{} ({})", error.message, error.reason) }
                }
                _ => Fate::Retry { after: Duration::from_secs(1) },
            };
            fates.push((*row, fate));
        }
        Ok(())
    }
}
