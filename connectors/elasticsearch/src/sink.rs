//! The destination: rows to requests, replies to fates, indices created when they are first needed.

use crate::client::Client;
use crate::config::Settings;
use crate::request::{Columns, Limits, Request, Scratch, Stop};
use crate::{bulk, index, truncate};
use acme_connect::{AnySink, Context, Fate, Fates, Format, Prepared, Rows, Sink, SinkParts};
use acme_types::{Change, Config, Delivery, Diagnostic, Epoch};
use reqwest::Method;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

/// How many indices are remembered to exist before all are asked for again.
const KNOWN_MAX: usize = 10_000;
/// Below this size a batch is not split to have two requests under way.
const SPLIT_MIN: usize = 256 << 10;
pub(crate) fn make(config: &Config, context: &Context) -> Result<SinkParts, Diagnostic> {
    let settings = Settings::new(config, context)?;
    let reads = settings.reads();
    // Without a key every row becomes another document.
    let (change, delivery) = match settings.id_fields.is_empty() {
        true => (Change::Append, Delivery::AtLeastOnce),
        false => (Change::Upsert, Delivery::Idempotent),
    };
    let sink = ElasticsearchSink {
        client: Client::new(&settings)?,
        settings: Arc::new(settings),
        known: HashSet::new(),
        scratch: Scratch::default(),
        requests: Default::default(),
    };
    Ok(SinkParts {
        sink: AnySink::Plain(Box::new(sink)),
        format: Some(Format::Json),
        takes_documents: false,
        reads,
        computed: Vec::new(),
        change,
        delivery,
    })
}

struct ElasticsearchSink {
    settings: Arc<Settings>,
    client: Client,
    /// Indices that exist.
    known: HashSet<String>,
    scratch: Scratch,
    /// The requests that are under way at once; their memory is used again.
    requests: [Request; 2],
}

impl Sink for ElasticsearchSink {
    async fn check(&mut self) -> Vec<Diagnostic> {
        if let Err(diagnostic) = self.connect().await {
            return vec![diagnostic];
        }
        let Some(index) = self.settings.index.fixed() else { return Vec::new() };
        index::check(&self.client, index, &self.settings).await
    }

    async fn open(&mut self, _: Option<&Prepared>) -> Result<(), Diagnostic> {
        self.connect().await
    }

    async fn write(&mut self, rows: &Rows) -> Result<Fates, Diagnostic> {
        let settings = self.settings.clone();
        let columns = Columns::new(rows, &settings)?;
        if let Some(index) = settings.index.fixed()
            && let Some(reason) = self.ensure(index).await?
        {
            return Err(index::not_created(index, &reason));
        }
        let mut fates = Fates::new();
        self.write_columns(&columns, &mut fates).await?;
        // Rows that are to be sent again are sent in their order.
        fates.sort_by_key(|(row, _)| *row);
        Ok(fates)
    }

    async fn prepare(&mut self, _: Epoch, _: bool) -> Result<Prepared, Diagnostic> {
        // A row that was answered is in the synced log of its shard (`index.translog.durability: request`, the default).
        Ok(Prepared::new())
    }

    async fn commit(&mut self, _: Epoch) -> Result<(), Diagnostic> {
        Ok(())
    }
}

impl ElasticsearchSink {
    /// Looks whether the cluster answers and takes the login. The client is made anew: its connections belong to the
    /// runtime that opened them.
    async fn connect(&mut self) -> Result<(), Diagnostic> {
        self.client = Client::new(&self.settings)?;
        let reply =
            self.client.json(Method::GET, &["_cluster", "health"], "filter_path=status", None).await?;
        // A user who may write to the index need not be allowed to see the cluster.
        if reply.status == 403 {
            return Ok(());
        }
        let reply = reply.accepted()?;
        match reply.status {
            200..=299 => Ok(()),
            _ => Err(reply.unexpected("set `url:` to the address of Elasticsearch or OpenSearch")),
        }
    }

    /// Makes sure that an index exists; yields the server's words where it cannot.
    async fn ensure(&mut self, name: &str) -> Result<Option<String>, Diagnostic> {
        if self.known.contains(name) {
            return Ok(None);
        }
        let refused = index::ensure(&self.client, name, self.settings.create_index).await?;
        if refused.is_none() {
            if self.known.len() >= KNOWN_MAX {
                self.known.clear();
            }
            self.known.insert(name.to_owned());
        }
        Ok(refused)
    }

    async fn write_columns(&mut self, columns: &Columns<'_>, fates: &mut Fates) -> Result<(), Diagnostic> {
        let (limits, parallel) = self.limits(columns);
        let mut refused = HashMap::new();
        let (mut row, mut at) = (0, 0);
        self.scratch.forget();
        self.requests.iter_mut().for_each(Request::clear);
        loop {
            let stop = columns.fill(&mut row, limits, &mut self.scratch, &mut self.requests[at], fates);
            if stop == Stop::Index {
                match self.next_index(&mut refused).await? {
                    None => self.scratch.accept(),
                    Some(reason) => {
                        fates.push((row, Fate::Reject { reason }));
                        row += 1;
                    }
                }
                continue;
            }
            if stop == Stop::Full && at + 1 < parallel {
                at += 1;
                continue;
            }
            self.flush(columns, fates).await?;
            at = 0;
            let busy =
                fates.iter().filter(|(_, fate)| matches!(fate, Fate::Retry { .. })).map(|(row, _)| *row);
            // Where order is all that decides, what comes after a row that waits must wait with it.
            let wait = match (busy.min(), &stop) {
                (Some(first), _) if !columns.any_order() => Some(first),
                (Some(_), Stop::Truncate(_)) => Some(row),
                _ => None,
            };
            if let Some(from) = wait {
                hold_back(fates, from, columns.rows());
                return Ok(());
            }
            match stop {
                Stop::End => return Ok(()),
                Stop::Truncate(version) => {
                    let index = self.settings.index.fixed().unwrap_or(&self.scratch.index);
                    truncate::apply(&self.client, index, version).await?;
                    row += 1;
                }
                Stop::Full | Stop::Index => {}
            }
        }
    }

    /// How large requests are, and how many are under way at once. A batch whose rows may overtake each other is sent in
    /// two halves, so that the server indexes one while it reads the other.
    fn limits(&self, columns: &Columns<'_>) -> (Limits, usize) {
        let Settings { batch_bytes, batch_rows, .. } = *self.settings;
        let whole = Limits { bytes: batch_bytes, rows: batch_rows };
        if !columns.any_order() {
            return (whole, 1);
        }
        match columns.size() {
            0..SPLIT_MIN => (whole, 2),
            _ => (Limits { rows: batch_rows.min(columns.rows().div_ceil(2)), ..whole }, 2),
        }
    }

    async fn next_index(
        &mut self,
        refused: &mut HashMap<String, String>,
    ) -> Result<Option<String>, Diagnostic> {
        if let Some(reason) = refused.get(&self.scratch.index) {
            return Ok(Some(reason.clone()));
        }
        let name = std::mem::take(&mut self.scratch.index);
        let outcome = self.ensure(&name).await;
        if let Ok(Some(reason)) = &outcome {
            refused.insert(name.clone(), reason.clone());
        }
        self.scratch.index = name;
        outcome
    }

    /// Sends what is filled, and waits for the replies.
    async fn flush(&mut self, columns: &Columns<'_>, fates: &mut Fates) -> Result<(), Diagnostic> {
        let index = self.settings.index.fixed().unwrap_or_default();
        let versioned = columns.versioned();
        let [first, second] = &mut self.requests;
        let (one, two) = tokio::join!(
            bulk::send(&self.client, index, first, versioned),
            bulk::send(&self.client, index, second, versioned),
        );
        let mut missing = false;
        for outcome in [one?, two?] {
            missing |= outcome.findings.index_missing;
            fates.extend(outcome.fates);
            if let Some(words) = outcome.findings.forbidden {
                return Err(bulk::forbidden(&words));
            }
        }
        if missing {
            self.known.clear();
            self.scratch.forget();
        }
        Ok(())
    }
}

/// All rows from `from` on are to be sent again, but for those that were refused.
fn hold_back(fates: &mut Fates, from: usize, rows: usize) {
    let mut after = Duration::ZERO;
    fates.retain(|(row, fate)| match fate {
        Fate::Retry { after: wait } if *row >= from => {
            after = after.max(*wait);
            false
        }
        _ => true,
    });
    let refused: HashSet<usize> = fates.iter().map(|(row, _)| *row).collect();
    let again = (from..rows).filter(|row| !refused.contains(row));
    fates.extend(again.map(|row| (row, Fate::Retry { after })));
}
