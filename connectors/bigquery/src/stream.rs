//! One PENDING write stream: made, appended to at known offsets, finalised, committed with others.
//!
//! A stream belongs to one epoch of one worker. What it holds is seen by nobody until it is committed, and a stream that is
//! never committed is forgotten by the service. Offsets make an append that is repeated by this process, with the same bytes,
//! harmless; no other process ever appends to the stream.
//!
//! Source: `google/cloud/bigquery/storage/v1/storage.proto`.

use crate::fault;
use crate::grpc::{Appender, Message, Method, Storage};
use crate::wire::{self, Fields, find};
use acme_connect::Backoff;
use acme_types::{Blame, Diagnostic, codes};
use bytes::Bytes;
use std::time::Duration;
use tonic::{Code, Status};

/// Rows of one request, as messages, each with its index in the batch.
#[derive(Debug, Default)]
pub(crate) struct Request {
    /// The field `serialized_rows` of every row.
    pub(crate) body: Vec<u8>,
    /// Where each ends, and which row it is.
    pub(crate) rows: Vec<(usize, usize)>,
}

impl Request {
    /// Appends a row.
    pub(crate) fn push(&mut self, row: usize, message: &[u8]) {
        wire::bytes(&mut self.body, 1, message);
        self.rows.push((self.body.len(), row));
    }

    /// Takes rows out by their place in the request; their indices in the batch.
    fn without(&mut self, bad: &[usize]) -> Vec<usize> {
        let (mut kept, mut taken, mut start) = (Self::default(), Vec::new(), 0);
        for (at, (end, row)) in self.rows.iter().enumerate() {
            if bad.contains(&at) {
                taken.push(*row);
            } else {
                kept.body.extend_from_slice(&self.body[start..*end]);
                kept.rows.push((kept.body.len(), *row));
            }
            start = *end;
        }
        *self = kept;
        taken
    }
}

/// A stream that is written to.
pub(crate) struct PendingStream {
    name: String,
    table: String,
    /// Rows that it holds for certain.
    pub(crate) offset: i64,
    descriptor: Vec<u8>,
    call: Option<Appender>,
}

/// What the service says of a request.
enum Answer {
    Appended,
    /// An earlier attempt was heard after all.
    WasThere,
    /// No row was appended, because of these.
    Rows(Vec<(usize, String)>),
    Failed(Status),
    /// The table has got columns of which the service does not know everywhere.
    Schema(String),
}

impl PendingStream {
    /// Makes a stream of a table. One that was created a moment ago is not known to the whole service at once: then it is
    /// `fresh`, and worth waiting for.
    pub(crate) async fn create(
        storage: &Storage,
        table: &str,
        descriptor: Vec<u8>,
        fresh: bool,
    ) -> Result<Self, Diagnostic> {
        const PENDING: i64 = 2;
        const WHAT: &str = "open a write stream";
        let mut message = Vec::new();
        wire::bytes(&mut message, 1, table.as_bytes());
        wire::message(&mut message, 2, |out| wire::int(out, 2, PENDING));
        let mut backoff = Backoff::new(table.len() as u64 + 3);
        loop {
            let status = match storage.call(Method::Create, ("parent", table), message.clone(), WHAT).await? {
                Ok(reply) => {
                    let name = find(&reply, 1).map(|name| name.text()).unwrap_or_default();
                    if name.is_empty() {
                        return Err(fault::remote("BigQuery opens a write stream without a name".to_owned()));
                    }
                    return Ok(Self { name, table: table.to_owned(), offset: 0, descriptor, call: None });
                }
                Err(status) => status,
            };
            match backoff.wait().filter(|_| fresh && status.code() == Code::NotFound) {
                Some(wait) => tokio::time::sleep(wait).await,
                None => return Err(fault::of_call(WHAT, &status)),
            }
        }
    }

    /// Its name as the checkpoint keeps it: shorter, where it begins with its table's.
    pub(crate) fn id(&self) -> String {
        let id = self.name.strip_prefix(&self.table).and_then(|rest| rest.strip_prefix("/streams/"));
        id.filter(|id| !id.contains('/')).unwrap_or(&self.name).to_owned()
    }

    /// Appends the rows; those that the service refuses, with its reasons. After an error the same request can be given
    /// again.
    pub(crate) async fn append(
        &mut self,
        storage: &Storage,
        request: &mut Request,
    ) -> Result<Vec<(usize, String)>, Diagnostic> {
        const WHAT: &str = "append rows";
        let mut backoff = Backoff::new(self.offset.cast_unsigned() + 1);
        let mut refused = Vec::new();
        let mut renewed = false;
        while !request.rows.is_empty() {
            let count = i64::try_from(request.rows.len()).expect("rows fit in memory");
            match self.attempt(storage, request).await? {
                Answer::Appended | Answer::WasThere => {
                    self.offset += count;
                    break;
                }
                Answer::Rows(rows) => {
                    let bad: Vec<usize> = rows.iter().map(|(at, _)| *at).collect();
                    let taken = request.without(&bad);
                    if taken.is_empty() {
                        return Err(fault::remote("BigQuery refuses rows that were not sent".to_owned()));
                    }
                    refused.extend(taken.into_iter().zip(rows.into_iter().map(|(_, reason)| reason)));
                }
                Answer::Schema(words) => {
                    self.call = None;
                    let Some(wait) = backoff.wait() else {
                        let message = format!("BigQuery does not know the table's new columns yet: {words}");
                        return Err(fault::remote(message));
                    };
                    tokio::time::sleep(wait).await;
                }
                Answer::Failed(status) => {
                    self.call = None;
                    if status.code() == Code::Unauthenticated && !renewed {
                        renewed = true;
                        storage.forget_token().await;
                        continue;
                    }
                    let wait = backoff.wait().filter(|_| fault::is_transient(status.code()));
                    let Some(wait) = wait else { return Err(fault::of_call(WHAT, &status)) };
                    tokio::time::sleep(wait).await;
                }
            }
        }
        Ok(refused)
    }

    async fn attempt(&mut self, storage: &Storage, request: &Request) -> Result<Answer, Diagnostic> {
        // The service takes rows whose offset it has; it answers the first request of a connection soon.
        let patience = storage.timeout().max(Duration::from_secs(1));
        let is_first = self.call.is_none();
        let message = self.message(request, is_first);
        let call = match &mut self.call {
            Some(call) => match call.send(message).await {
                Ok(()) => call,
                Err(status) => return Ok(Answer::Failed(status)),
            },
            None => match storage.append(&self.name, message).await? {
                Ok(call) => self.call.insert(call),
                Err(status) => return Ok(Answer::Failed(status)),
            },
        };
        Ok(match call.reply(patience).await {
            Ok(reply) => answer(&reply),
            Err(status) => Answer::Failed(status),
        })
    }

    /// An `AppendRowsRequest`.
    fn message(&self, request: &Request, first: bool) -> Message {
        /// What is absent gets the column's default, where it has one.
        const DEFAULT_VALUE: i64 = 2;
        let mut head = Vec::new();
        wire::bytes(&mut head, 1, self.name.as_bytes());
        wire::message(&mut head, 2, |out| wire::int(out, 1, self.offset));
        if first {
            wire::bytes(&mut head, 6, concat!("acme:", env!("CARGO_PKG_VERSION")).as_bytes());
            wire::int(&mut head, 8, DEFAULT_VALUE);
        }
        let mut data = Vec::new();
        if first {
            wire::message(&mut data, 1, |out| wire::bytes(out, 1, &self.descriptor));
        }
        wire::head(&mut data, 2, request.body.len());
        wire::head(&mut head, 4, data.len() + request.body.len());
        head.extend_from_slice(&data);
        Message(head.into(), Bytes::copy_from_slice(&request.body))
    }

    /// Ends the stream: no row can be added any more. Fails where it does not hold exactly what was appended.
    pub(crate) async fn finalize(&mut self, storage: &Storage) -> Result<(), Diagnostic> {
        const WHAT: &str = "finalise a write stream";
        self.call = None;
        let mut message = Vec::new();
        wire::bytes(&mut message, 1, self.name.as_bytes());
        let reply = storage.call(Method::Finalize, ("name", &self.name), message, WHAT).await?;
        let reply = reply.map_err(|status| fault::of_call(WHAT, &status))?;
        let rows = find(&reply, 1).map_or(0, wire::Value::int);
        if rows == self.offset {
            return Ok(());
        }
        let message =
            format!("a write stream of BigQuery holds {rows} rows, and {} were appended", self.offset);
        Err(Diagnostic { blame: Blame::Acme, ..Diagnostic::new(&codes::REMOTE, message) }
            .help("start the pipeline again: nothing of this epoch is committed"))
    }
}

/// Reads an `AppendRowsResponse`.
fn answer(reply: &[u8]) -> Answer {
    const APPEND_RESULT: u64 = 1;
    const ERROR: u64 = 2;
    const ROW_ERROR: u64 = 4;
    const EXTRA_FIELDS: i64 = 7;
    let mut rows = Vec::new();
    let mut error = None;
    let mut appended = false;
    for (field, value) in Fields(reply) {
        match field {
            APPEND_RESULT => appended = true,
            ERROR => error = Some(value.bytes()),
            ROW_ERROR => {
                let index = find(value.bytes(), 1).map_or(0, wire::Value::int);
                let reason = find(value.bytes(), 3).map(wire::Value::text).unwrap_or_default();
                rows.push((usize::try_from(index).unwrap_or(usize::MAX), reason));
            }
            _ => {}
        }
    }
    if !rows.is_empty() {
        rows.sort_by_key(|(index, _)| *index);
        rows.dedup_by_key(|(index, _)| *index);
        return Answer::Rows(rows);
    }
    let Some(error) = error else {
        return match appended {
            true => Answer::Appended,
            false => Answer::Failed(Status::internal("the service answers neither yes nor no")),
        };
    };
    let code = find(error, 1).map_or(0, wire::Value::int);
    let words = find(error, 2).map(wire::Value::text).unwrap_or_default();
    let is_extra = Fields(error).any(|(field, detail)| {
        let value = find(detail.bytes(), 2).map_or(&[][..], wire::Value::bytes);
        let kind = find(detail.bytes(), 1).map(wire::Value::text).unwrap_or_default();
        field == 3
            && kind.ends_with("StorageError")
            && find(value, 1).map_or(0, wire::Value::int) == EXTRA_FIELDS
    });
    match Code::from_i32(i32::try_from(code).unwrap_or(2)) {
        Code::AlreadyExists => Answer::WasThere,
        _ if is_extra => Answer::Schema(words),
        code => Answer::Failed(Status::new(code, words)),
    }
}

/// Makes the rows of finalised streams of a table part of it, all or none; those that are already are left out.
///
/// Fails where a stream is not known any more: then nobody can say whether its rows are in the table.
pub(crate) async fn commit(storage: &Storage, table: &str, streams: &[String]) -> Result<(), Diagnostic> {
    const WHAT: &str = "commit write streams";
    const ALREADY_COMMITTED: i64 = 2;
    let whole = |id: &String| if id.contains('/') { id.clone() } else { format!("{table}/streams/{id}") };
    let mut left: Vec<String> = streams.iter().map(whole).collect();
    while !left.is_empty() {
        let mut message = Vec::new();
        wire::bytes(&mut message, 1, table.as_bytes());
        left.iter().for_each(|name| wire::bytes(&mut message, 2, name.as_bytes()));
        let reply = storage.call(Method::Commit, ("parent", table), message, WHAT).await?;
        let reply = reply.map_err(|status| fault::of_call(WHAT, &status))?;
        let faults: Vec<(i64, String, String)> = Fields(&reply)
            .filter(|(field, _)| *field == 2)
            .map(|(_, fault)| {
                let text = |field| find(fault.bytes(), field).map(wire::Value::text).unwrap_or_default();
                (find(fault.bytes(), 1).map_or(0, wire::Value::int), text(2), text(3))
            })
            .collect();
        if faults.is_empty() {
            return match find(&reply, 1) {
                Some(_) => Ok(()),
                None => Err(fault::remote("BigQuery does not say whether it committed".to_owned())),
            };
        }
        for (code, stream, words) in faults {
            // Nothing was committed if one could not be: the others are asked for again without it.
            let is_done = code == ALREADY_COMMITTED || is_committed(storage, &stream, &words).await?;
            let before = left.len();
            left.retain(|name| *name != stream);
            if !is_done || left.len() == before {
                return Err(lost(&stream, &words));
            }
        }
    }
    Ok(())
}

/// Whether the service says that the stream was committed at some time.
async fn is_committed(storage: &Storage, stream: &str, words: &str) -> Result<bool, Diagnostic> {
    const COMMIT_TIME: u64 = 4;
    let mut message = Vec::new();
    wire::bytes(&mut message, 1, stream.as_bytes());
    let reply = storage.call(Method::Get, ("name", stream), message, "look at a write stream").await?;
    let has_time = reply.is_ok_and(|reply| find(&reply, COMMIT_TIME).is_some());
    // Emulators keep no time, but say in which state the stream is.
    Ok(has_time || words.ends_with("state=COMMITTED"))
}

fn lost(stream: &str, words: &str) -> Diagnostic {
    let message = format!(
        "the write stream {stream} cannot be committed ({words}), and nobody can say whether its rows are in the table"
    );
    let help = "look in the table for the newest rows of the source: if they are there, remove the pipeline's state and start \
                behind them; if not, start from the position before them";
    Diagnostic { blame: Blame::User, ..Diagnostic::new(&codes::REMOTE, message).help(help) }
}
