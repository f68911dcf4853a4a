//! The destination: rows to streams, streams to groups, groups delivered after the commit.
//!
//! # Why nothing is lost or doubled
//!
//! The rows of an epoch go to one PENDING stream of this worker, which is finalised at `prepare`; its name goes into the
//! checkpoint. After the checkpoint is committed the stream is, and again after a crash: a stream that was committed already is
//! left as it is. A stream that no committed checkpoint names is never committed, and its rows are seen by nobody. With
//! `flush_interval` the streams of several epochs are committed together, all or none; until then every checkpoint names all of
//! them.

use crate::auth::Auth;
use crate::config::{Mode, Settings};
use crate::delivery::{Group, State, Target};
use crate::encoder::{Encoder, Outcome};
use crate::grpc::Storage;
use crate::guess::{self, Guesses};
use crate::input::{Held, encoded};
use crate::rest::Rest;
use crate::stream::{PendingStream, Request};
use crate::table::{Field, Name, Table, create_table};
use crate::{check, insert_all};
use acme_connect::{AnySink, Context, Fate, Fates, Format, Prepared, Rows, Sink, SinkParts, failpoint};
use acme_types::{Clock, Config, Diagnostic, Epoch, codes};
use std::collections::VecDeque;
use std::io::Write;
use std::sync::Arc;

/// Bytes of rows that are kept until their table is made from them.
const FIRST_MAX: usize = 8 << 20;
/// How long a staging table that nobody removed is kept.
const STAGING_MS: i64 = 7 * 24 * 3_600_000;

pub(crate) fn make(config: &Config, context: &Context) -> Result<SinkParts, Diagnostic> {
    let settings = Settings::new(config, context)?;
    let (change, delivery) = (settings.change(), settings.delivery());
    let auth = Arc::new(Auth::find(&settings, context)?);
    let sink = BigQuerySink {
        rest: Rest::new(&settings, auth.clone())?,
        auth,
        clock: context.clock.clone(),
        settings: Arc::new(settings),
        open: None,
        ended: false,
    };
    let sink = AnySink::Plain(Box::new(sink));
    Ok(SinkParts {
        sink,
        format: Some(Format::Json),
        takes_documents: false,
        reads: Vec::new(),
        computed: Vec::new(),
        change,
        delivery,
    })
}

pub(crate) struct BigQuerySink {
    pub(crate) settings: Arc<Settings>,
    auth: Arc<Auth>,
    pub(crate) rest: Rest,
    clock: Arc<dyn Clock>,
    open: Option<Open>,
    /// All sources have come to their end.
    ended: bool,
}

/// Everything that exists between `open` and the end.
struct Open {
    storage: Storage,
    name: Name,
    project: String,
    location: String,
    encoder: Option<Encoder>,
    /// The table was made by this run.
    fresh: bool,
    /// Rows whose table is not there yet.
    first: Held,
    stream: Option<PendingStream>,
    /// Requests of a write that failed; the same write comes again.
    unfinished: Option<(VecDeque<Request>, Fates)>,
    state: State,
    /// The number of the last row of the staging table in use.
    order: i64,
    flushed_us: u64,
    inserted: u64,
}

impl Sink for BigQuerySink {
    async fn check(&mut self) -> Vec<Diagnostic> {
        if let Err(diagnostic) = self.reconnect() {
            return vec![diagnostic];
        }
        check::all(self).await
    }

    async fn open(&mut self, prepared: Option<&Prepared>) -> Result<(), Diagnostic> {
        self.reconnect()?;
        let project = self.rest.project().await?;
        let name = self.settings.name(&project);
        let Some(location) = self.rest.dataset(&name).await? else {
            return Err(check::no_dataset(&self.settings, &name));
        };
        let state = read(prepared)?;
        self.open = Some(Open {
            storage: self.storage()?,
            name,
            project,
            location,
            encoder: None,
            fresh: false,
            first: Held::default(),
            stream: None,
            unfinished: None,
            state,
            order: 0,
            flushed_us: self.clock.monotonic_us(),
            inserted: 0,
        });
        self.restore().await?;
        self.find_table().await.map(drop)
    }

    async fn write(&mut self, rows: &Rows) -> Result<Fates, Diagnostic> {
        let open = self.opened()?;
        if open.encoder.is_some() || open.first.bytes() > FIRST_MAX {
            self.write_first().await?;
        }
        if self.opened()?.encoder.is_none() {
            if !self.find_table().await? {
                return self.opened()?.first.push(rows);
            }
            self.write_first().await?;
        }
        let mut fates = self.put(rows, &[]).await?;
        fates.sort_by_key(|(row, _)| *row);
        Ok(fates)
    }

    async fn prepare(&mut self, _: Epoch, last: bool) -> Result<Prepared, Diagnostic> {
        self.write_first().await?;
        if last && let Some(encoder) = &mut self.opened()?.encoder {
            encoder.say_ignored();
        }
        if self.settings.insert_all {
            return Ok(Prepared::new());
        }
        self.deliver_sealed().await?;
        let due = self.is_due();
        let Self { open, settings, ended, .. } = self;
        let open = open.as_mut().expect("it is open");
        if let Some(mut stream) = open.stream.take() {
            stream.finalize(&open.storage).await?;
            let group = open.state.groups.last_mut().expect("a stream has a group");
            group.streams.push(stream.id());
        }
        // What was there before is replaced by the whole of a batch, not by what a run that was stopped has read of it.
        let seal = if settings.mode == Mode::Truncate { *ended } else { last || due };
        if let Some(group) = open.state.groups.last_mut().filter(|_| seal) {
            group.sealed = true;
        }
        open.state.groups.iter_mut().for_each(|group| group.prepared = group.streams.len());
        failpoint("bigquery.prepared");
        match open.state.groups.is_empty() {
            true => Ok(Prepared::new()),
            false => Ok(serde_json::to_string(&open.state).expect("texts are always valid JSON")),
        }
    }

    async fn commit(&mut self, _: Epoch) -> Result<(), Diagnostic> {
        // Rows that came since `prepare` are in a stream that is not in its group yet.
        self.opened()?.state.groups.iter_mut().for_each(|group| group.named = group.prepared);
        self.deliver_sealed().await
    }

    fn sources_ended(&mut self) {
        self.ended = true;
    }

    /// A table is replaced by one statement, so by one worker.
    fn is_shareable(&self) -> bool {
        self.settings.mode != Mode::Truncate
    }

    async fn adopt(&mut self, prepared: &Prepared) -> Result<(), Diagnostic> {
        let mut left = read(Some(prepared))?;
        if self.settings.mode == Mode::Truncate && !left.groups.is_empty() {
            let message = "a table cannot be replaced by several workers, and another has left a part of it";
            return Err(self.settings.user(message.to_owned(), "run this pipeline with one worker"));
        }
        let Self { open, rest, .. } = self;
        let open = open.as_mut().ok_or_else(unopened)?;
        for group in &mut left.groups {
            group.named = group.streams.len();
            open.target(rest).deliver(group).await?;
        }
        Ok(())
    }
}

/// What a checkpoint holds.
fn read(prepared: Option<&Prepared>) -> Result<State, Diagnostic> {
    let Some(text) = prepared.filter(|text| !text.is_empty()) else { return Ok(State::default()) };
    serde_json::from_str(text).map_err(|error| {
        Diagnostic::new(&codes::STATE, format!("what was prepared for BigQuery cannot be read: {error}"))
    })
}

fn unopened() -> Diagnostic {
    Diagnostic::new(&codes::INTERNAL, "a destination is written to before it is opened")
}

impl Open {
    /// Where groups are delivered to.
    fn target<'a>(&'a self, rest: &'a Rest) -> Target<'a> {
        Target {
            rest,
            storage: &self.storage,
            table: &self.name,
            project: &self.project,
            location: &self.location,
        }
    }
}

impl BigQuerySink {
    /// Makes the clients anew: their connections belong to the runtime that opened them.
    fn reconnect(&mut self) -> Result<(), Diagnostic> {
        self.rest = Rest::new(&self.settings, self.auth.clone())?;
        Ok(())
    }

    pub(crate) fn storage(&self) -> Result<Storage, Diagnostic> {
        Storage::new(&self.settings, self.auth.clone(), self.rest.http.clone())
    }

    fn opened(&mut self) -> Result<&mut Open, Diagnostic> {
        self.open.as_mut().ok_or_else(unopened)
    }

    fn is_due(&self) -> bool {
        let flushed = self.open.as_ref().map_or(0, |open| open.flushed_us);
        self.clock.monotonic_us() >= flushed.saturating_add(self.settings.flush_interval_us)
    }

    /// Makes everything take effect that the committed checkpoint names.
    async fn restore(&mut self) -> Result<(), Diagnostic> {
        let replaces = self.settings.mode == Mode::Truncate;
        for group in &mut self.opened()?.state.groups {
            group.named = group.streams.len();
            // A table is replaced only by the whole of a batch.
            group.sealed |= !(replaces && group.key.is_empty() && group.staging.is_some());
        }
        self.deliver_sealed().await
    }

    /// Delivers the groups that are sealed and named by a committed checkpoint, in their order.
    async fn deliver_sealed(&mut self) -> Result<(), Diagnostic> {
        let Self { open, rest, clock, .. } = self;
        let Some(open) = open else { return Ok(()) };
        let target = Target {
            rest,
            storage: &open.storage,
            table: &open.name,
            project: &open.project,
            location: &open.location,
        };
        while let Some(group) = open.state.groups.first_mut() {
            if !group.sealed {
                // Streams of a staging table are seen by nobody: they need not be kept in mind.
                if group.staging.is_some() {
                    target.commit(group).await?;
                }
                return Ok(());
            }
            if group.named < group.streams.len() {
                return Ok(());
            }
            target.deliver(group).await?;
            open.state.groups.remove(0);
            open.flushed_us = clock.monotonic_us();
        }
        Ok(())
    }

    /// Looks for the table; whether it is there.
    async fn find_table(&mut self) -> Result<bool, Diagnostic> {
        let name = self.opened()?.name.clone();
        match self.rest.table(&name).await? {
            Some(table) => self.use_table(&table).map(|()| true),
            None if self.settings.create => Ok(false),
            None => Err(check::no_table(&self.settings, &name)),
        }
    }

    fn use_table(&mut self, table: &Table) -> Result<(), Diagnostic> {
        let settings = self.settings.clone();
        let open = self.opened()?;
        if let Some(diagnostic) = check::table(&settings, &open.name, table) {
            return Err(diagnostic);
        }
        open.encoder = Some(Encoder::new(&settings, &open.name, table)?);
        Ok(())
    }

    /// Makes the table that the kept rows need, and writes them. After an error it goes on where it was.
    async fn write_first(&mut self) -> Result<(), Diagnostic> {
        if self.opened()?.first.is_empty() {
            return Ok(());
        }
        if self.opened()?.encoder.is_none() && !self.find_table().await? {
            let fields = self.opened()?.first.fields();
            self.create_table(fields).await?;
        }
        while let Some((rows, skip)) = self.opened()?.first.first().cloned() {
            if let Some((_, Fate::Reject { reason })) = self.put(&rows, &skip).await?.first() {
                let message =
                    format!("a row of the first flush, from which the table was made, is refused: {reason}");
                return Err(Diagnostic::new(&codes::DELIVER, message)
                    .help("create the table with the columns that the rows need, and start again"));
            }
            self.opened()?.first.pop();
        }
        Ok(())
    }

    async fn create_table(&mut self, fields: Vec<Field>) -> Result<(), Diagnostic> {
        let name = self.opened()?.name.clone();
        let ddl = create_table(&name, &fields);
        self.rest.create(&name, &fields, None).await?;
        // What was created is said; where nobody listens it is not missed.
        let _ = writeln!(std::io::stderr().lock(), "{}: {ddl}", self.settings.item);
        self.opened()?.fresh = true;
        let table = self.rest.table(&name).await?;
        let made =
            Table { schema: crate::table::Schema { fields }, kind: "TABLE".to_owned(), ..Table::default() };
        self.use_table(&table.unwrap_or(made))
    }

    /// Writes rows but for those to be skipped.
    async fn put(&mut self, rows: &Rows, skip: &[usize]) -> Result<Fates, Diagnostic> {
        if self.settings.insert_all {
            return self.insert(rows, skip).await;
        }
        let unfinished = self.opened()?.unfinished.take();
        let (mut requests, mut fates) = match unfinished {
            Some(unfinished) => unfinished,
            None => self.encode(rows, skip).await?,
        };
        while let Some(mut request) = requests.pop_front() {
            match self.append(&mut request).await {
                Ok(refused) => {
                    fates.extend(refused.into_iter().map(|(row, reason)| (row, Fate::Reject { reason })));
                }
                Err(diagnostic) => {
                    requests.push_front(request);
                    self.opened()?.unfinished = Some((requests, fates));
                    return Err(diagnostic);
                }
            }
        }
        Ok(fates)
    }

    /// The rows as requests; adds columns to the table where that was asked for.
    async fn encode(
        &mut self,
        rows: &Rows,
        skip: &[usize],
    ) -> Result<(VecDeque<Request>, Fates), Diagnostic> {
        let documents = encoded(rows)?;
        loop {
            let open = self.opened()?;
            let start = open.order;
            let encoder = open.encoder.as_mut().expect("the table is known");
            match encoder.rows(rows, &documents, skip, start)? {
                Outcome::Requests { requests, fates, order, emptied } => {
                    self.note(order, emptied).await?;
                    return Ok((requests, fates));
                }
                Outcome::NewColumns(guesses) => self.add_columns(&guesses).await?,
            }
        }
    }

    async fn note(&mut self, order: i64, emptied: Option<i64>) -> Result<(), Diagnostic> {
        if emptied.is_some() {
            self.group().await?.emptied = emptied;
        }
        self.opened()?.order = order;
        Ok(())
    }

    async fn add_columns(&mut self, guesses: &Guesses) -> Result<(), Diagnostic> {
        let name = self.opened()?.name.clone();
        let Some(table) = self.rest.table(&name).await? else {
            return Err(check::no_table(&self.settings, &name));
        };
        let mut fields = table.schema.fields.clone();
        let new: Vec<Field> = (guesses.fields().into_iter())
            .filter(|new| !fields.iter().any(|field| field.name.eq_ignore_ascii_case(&new.name)))
            .collect();
        for field in &new {
            let ddl = crate::table::add_column(&name, field);
            let _ = writeln!(std::io::stderr().lock(), "{}: {ddl}", self.settings.item);
        }
        fields.extend(new);
        self.rest.alter(&name, &fields).await?;
        let staging = self.opened()?.state.groups.last().and_then(|group| group.staging.clone());
        let sealed = self.opened()?.state.groups.last().is_none_or(|group| group.sealed);
        self.use_table(&Table { schema: crate::table::Schema { fields }, ..table })?;
        let open = self.open.as_mut().expect("it is open");
        let encoder = open.encoder.as_ref().expect("the table is known");
        if let Some(staging) = staging.filter(|_| !sealed) {
            self.rest.alter(&name.sibling(staging), &encoder.staged_fields()).await?;
            let group = open.state.groups.last_mut().expect("it was looked at");
            group.columns = encoder.columns();
        }
        // A stream writes the columns that it began with: the rest of the epoch goes to another.
        if let Some(mut stream) = open.stream.take() {
            stream.finalize(&open.storage).await?;
            let group = open.state.groups.last_mut().expect("a stream has a group");
            group.streams.push(stream.id());
        }
        Ok(())
    }

    /// The group that rows go to; begins one, with its staging table, where there is none.
    async fn group(&mut self) -> Result<&mut Group, Diagnostic> {
        let Self { open, rest, settings, clock, .. } = self;
        let open = open.as_mut().expect("it is open");
        if open.state.groups.last().is_none_or(|group| group.sealed) {
            let encoder = open.encoder.as_ref().expect("the table is known");
            let mut group = Group::default();
            if settings.mode != Mode::Append {
                let now = clock.now().0;
                // The name of a job is made of it, which takes no other characters.
                let plain = settings.table.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
                let staging = format!("_acme_{plain}_{now:x}_{:x}", std::process::id());
                let table = open.name.sibling(staging.clone());
                rest.create(&table, &encoder.staged_fields(), Some(now / 1000 + STAGING_MS)).await?;
                group.staging = Some(staging);
                group.columns = encoder.columns();
                group.key = encoder.key().to_vec();
            }
            open.state.groups.push(group);
        }
        Ok(open.state.groups.last_mut().expect("there is one"))
    }

    async fn append(&mut self, request: &mut Request) -> Result<Vec<(usize, String)>, Diagnostic> {
        if request.rows.is_empty() {
            return Ok(Vec::new());
        }
        if self.opened()?.stream.is_none() {
            let staging = self.group().await?.staging.clone();
            let open = self.opened()?;
            let encoder = open.encoder.as_ref().expect("the table is known");
            let fresh = open.fresh || staging.is_some();
            let table = staging.map_or_else(|| open.name.clone(), |staging| open.name.sibling(staging));
            let stream =
                PendingStream::create(&open.storage, &table.path(), encoder.descriptor(), fresh).await?;
            open.stream = Some(stream);
        }
        let open = self.opened()?;
        let stream = open.stream.as_mut().expect("it was opened");
        stream.append(&open.storage, request).await
    }

    async fn insert(&mut self, rows: &Rows, skip: &[usize]) -> Result<Fates, Diagnostic> {
        let documents = encoded(rows)?;
        let open = self.open.as_mut().expect("it is open");
        let encoder = open.encoder.as_mut().expect("the table is known");
        let checked = match encoder.rows(rows, &documents, skip, 0)? {
            Outcome::Requests { fates, .. } => fates,
            Outcome::NewColumns(guesses) => {
                self.add_columns(&guesses).await?;
                return Box::pin(self.insert(rows, skip)).await;
            }
        };
        let table = insert_all::Table { rest: &self.rest, name: &open.name, fresh: open.fresh };
        table.write(&self.settings, &documents, skip, checked, &mut open.inserted).await
    }
}

/// Typed rows say what their table is, documents are looked at.
pub(crate) fn fields_of(rows: &Rows, guesses: &Guesses) -> Vec<Field> {
    guess::typed(rows).unwrap_or_else(|| guesses.fields())
}
