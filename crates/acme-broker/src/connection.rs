//! One connection: frames in, answers out in the order of the requests, and no more than its share of anything.

use crate::api::{self, Later, Reply, Started};
use crate::context::Context;
use crate::frame::{self, Refused};
use crate::sasl::Exchange;
use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::messages::{FetchRequest, ProduceRequest};
use kafka_protocol::protocol::{Request, StrBytes};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{Instant, timeout};

/// Answers of one connection that wait to be sent, in any state.
const PIPELINED: usize = 64;
/// What is read at once where nothing is known of the peer.
const CHUNK: usize = 16 << 10;
/// What a peer that has sent nothing large yet is given for a large request, before it has sent so much.
const UNPROVED: usize = 64 << 10;
/// Slower than this, bytes per second, is no client.
const SLOWEST: u64 = 16 << 10;
/// A request without records takes more memory than bytes: so many times.
const SPREAD: usize = 16;
/// Before authentication (`sasl.server.max.receive.size`).
const UNAUTHENTICATED_MAX: usize = 512 << 10;

/// Who is at the other end.
pub(crate) struct Session {
    /// Its address, as the descriptions of groups show it: `/127.0.0.1`.
    pub(crate) host: StrBytes,
    /// What it has to call this broker.
    pub(crate) advertised: (StrBytes, i32),
    /// How far its authentication is.
    pub(crate) exchange: Mutex<Exchange>,
}

impl Session {
    pub(crate) fn exchange(&self) -> std::sync::MutexGuard<'_, Exchange> {
        self.exchange.lock().expect("nothing panics while it holds this")
    }
}

enum Answer {
    Ready(Reply),
    Later(Later<Result<Option<Reply>, Refused>>),
}

/// Serves a connection until either side ends it. An error is the peer's doing.
pub(crate) async fn serve<R, W>(
    context: Arc<Context>,
    session: Arc<Session>,
    reader: R,
    writer: W,
) -> Option<Refused>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let (answers, sending) = mpsc::channel(PIPELINED);
    let stalled = context.options.stalled;
    let frames = Frames { reader, buffer: BytesMut::new(), proved: UNPROVED, context: Arc::clone(&context) };
    let receive = receive(&context, &session, frames, answers);
    let send = send(writer, sending, stalled);
    tokio::pin!(receive, send);
    tokio::select! {
        // What was asked before the peer closed its half is still answered.
        fault = &mut receive => match fault {
            None => send.await,
            fault => fault,
        },
        fault = &mut send => fault,
    }
}

async fn receive<R: AsyncRead + Unpin>(
    context: &Arc<Context>,
    session: &Arc<Session>,
    mut frames: Frames<R>,
    answers: mpsc::Sender<Answer>,
) -> Option<Refused> {
    loop {
        let (frame, permit) = match frames.next(session).await {
            Ok(Some(frame)) => frame,
            Ok(None) => return None,
            Err(fault) => return Some(fault),
        };
        let answer = match handle(context, session, frame, &answers).await {
            Ok(Some(answer)) => answer,
            Ok(None) => return None,
            Err(fault) => return Some(fault),
        };
        drop(permit);
        let last = matches!(&answer, Answer::Ready(Reply { last: true, .. }));
        if answers.send(answer).await.is_err() || last {
            return None;
        }
    }
}

/// One request, from its frame to what is to be sent.
async fn handle(
    context: &Arc<Context>,
    session: &Arc<Session>,
    mut frame: BytesMut,
    answers: &mpsc::Sender<Answer>,
) -> Result<Option<Answer>, Refused> {
    let raw = session.exchange().takes_raw();
    if raw {
        return crate::sasl::raw(context, session, &frame).map(|reply| Some(Answer::Ready(reply)));
    }
    let head = frame::head(&mut frame)?;
    if !session.exchange().permits(head.key) {
        return Err(Refused::Unauthenticated(head.key));
    }
    if head.key == FetchRequest::KEY {
        // A fetch is large: the one before it must have been taken.
        match answers.reserve_many(PIPELINED).await {
            Ok(permits) => drop(permits),
            Err(_) => return Ok(None),
        }
    }
    match api::start(context, session, head, frame).await? {
        Started::Behind(later) => Ok(Some(Answer::Later(later))),
        Started::Alone(work) => tokio::select! {
            reply = work => reply.map(|reply| Some(Answer::Ready(reply))),
            () = context.stopped() => Ok(None),
        },
    }
}

/// Sends the answers in their order.
async fn send<W: AsyncWrite + Unpin>(
    mut writer: W,
    mut answers: mpsc::Receiver<Answer>,
    stalled: Duration,
) -> Option<Refused> {
    while let Some(answer) = answers.recv().await {
        let reply = match answer {
            Answer::Ready(reply) => reply,
            Answer::Later(work) => match work.await {
                Ok(Some(reply)) => reply,
                Ok(None) => continue,
                Err(fault) => return Some(fault),
            },
        };
        let Reply { parts, held, last } = reply;
        if write(&mut writer, Rope(parts.into()), stalled).await.is_err() {
            return None;
        }
        drop(held);
        if last {
            break;
        }
    }
    let _ = timeout(stalled, writer.shutdown()).await;
    None
}

/// Writes everything, as long as the peer takes some of it now and then.
async fn write<W: AsyncWrite + Unpin>(writer: &mut W, mut rope: Rope, stalled: Duration) -> io::Result<()> {
    while rope.has_remaining() {
        let written = timeout(stalled, writer.write_buf(&mut rope)).await??;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
    }
    timeout(stalled, writer.flush()).await?
}

/// Several pieces of memory as one buffer.
struct Rope(VecDeque<Bytes>);

impl Buf for Rope {
    fn remaining(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }

    fn chunk(&self) -> &[u8] {
        self.0.front().map_or(&[], |bytes| bytes)
    }

    fn chunks_vectored<'a>(&'a self, into: &mut [IoSlice<'a>]) -> usize {
        let pieces = self.0.iter().filter(|bytes| !bytes.is_empty());
        into.iter_mut().zip(pieces).map(|(slot, bytes)| *slot = IoSlice::new(bytes)).count()
    }

    fn advance(&mut self, mut count: usize) {
        while let Some(front) = self.0.front_mut() {
            if count < front.len() {
                front.advance(count);
                return;
            }
            count -= front.len();
            self.0.pop_front();
        }
    }
}

/// The requests of a connection as they come.
struct Frames<R> {
    reader: R,
    buffer: BytesMut,
    /// Twice the largest request that this peer has sent.
    proved: usize,
    context: Arc<Context>,
}

impl<R: AsyncRead + Unpin> Frames<R> {
    /// The next frame, without its length; none when the peer has closed or the broker stops. Memory is counted until the
    /// permit is dropped.
    async fn next(&mut self, session: &Session) -> Result<Option<(BytesMut, OwnedSemaphorePermit)>, Refused> {
        while self.buffer.len() < 6 {
            if self.buffer.len() >= 4 {
                self.checked_size(session)?;
            }
            self.buffer.reserve(CHUNK);
            let idle = self.context.options.idle;
            let read = tokio::select! {
                read = timeout(idle, self.reader.read_buf(&mut self.buffer)) => read,
                () = self.context.stopped() => return Ok(None),
            };
            if !matches!(read, Ok(Ok(1..))) {
                return Ok(None);
            }
        }
        let size = self.checked_size(session)?;
        let Some(permit) = self.fill(4 + size).await else { return Ok(None) };
        let mut frame = self.buffer.split_to(4 + size);
        frame.advance(4);
        self.proved = self.proved.max(2 * size);
        Ok(Some((frame, permit)))
    }

    /// The length in front, which is of the kind that it should be.
    fn checked_size(&self, session: &Session) -> Result<usize, Refused> {
        let announced = (&self.buffer[..]).get_i32();
        let options = &self.context.options;
        let records = self.buffer.get(4..6).is_none_or(|key| key == ProduceRequest::KEY.to_be_bytes());
        let most = match records {
            _ if !session.exchange().is_done() => UNAUTHENTICATED_MAX.min(options.request_bytes_max),
            true => options.produce_bytes_max,
            false => options.request_bytes_max,
        };
        match usize::try_from(announced) {
            Ok(size @ 2..) if size <= most => Ok(size),
            _ => Err(Refused::Size(announced, most)),
        }
    }

    /// Reads until the buffer holds so much. Memory follows what was sent, not what was announced.
    async fn fill(&mut self, total: usize) -> Option<OwnedSemaphorePermit> {
        let is_produce = self.buffer[4..6] == ProduceRequest::KEY.to_be_bytes();
        let weight = |bytes: usize| {
            let kib = (bytes * if is_produce { 1 } else { SPREAD }).div_ceil(1 << 10);
            u32::try_from(kib).expect("requests are smaller than 4 TiB")
        };
        let receiving = Arc::clone(&self.context.receiving);
        // Never more than there is: that would wait for ever.
        let most = u32::try_from(self.context.options.receiving_bytes_max >> 11).unwrap_or(u32::MAX);
        let stalled = self.context.options.stalled;
        // With a bound, because two who each hold half of what there is wait for each other.
        let acquire = async |bytes: usize| {
            let permits = Arc::clone(&receiving).acquire_many_owned(weight(bytes).min(most));
            timeout(stalled, permits).await.ok()?.ok()
        };
        let mut granted = total.min(self.proved.max(self.buffer.len()));
        let mut permit = acquire(granted).await?;
        let begun = Instant::now();
        while self.buffer.len() < total {
            if self.buffer.len() >= granted {
                let more = granted.min(total - granted);
                permit.merge(acquire(more).await?);
                granted += more;
            }
            let missing = granted - self.buffer.len();
            self.buffer.reserve(missing);
            // What follows a small request may come with it; a large one gets memory of its own.
            let limit = if missing < CHUNK { self.buffer.capacity() - self.buffer.len() } else { missing };
            let mut room = bytes::BufMut::limit(&mut self.buffer, limit);
            let read = self.reader.read_buf(&mut room);
            let slow = stalled + Duration::from_secs(total as u64 / SLOWEST);
            if !matches!(timeout(stalled, read).await, Ok(Ok(1..))) || begun.elapsed() > slow {
                return None;
            }
        }
        Some(permit)
    }
}
