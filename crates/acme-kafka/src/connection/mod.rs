//! One connection to one broker: requests go out in order, answers come back in order, both bounded.
//!
//! A writer task and a reader task own the two halves of the socket. A request that gets no answer in time ends the
//! connection, because what would come later could not be told from an answer to the next one's retry.

mod open;
mod room;
mod sasl;
mod scram;
mod tls;
mod versions;

#[cfg(any(test, fuzzing))]
pub(crate) use sasl::read_handshake;
pub(crate) use scram::salted;
pub(crate) use tls::client_config;
pub use versions::ApiVersions;

use crate::config::Config;
use crate::error::{Error, Result};
use crate::signal::Signal;
use crate::wire::{self, Frame, api_name};
use crate::world::World;
use bytes::{Buf, Bytes};
use kafka_protocol::protocol::Request;
use room::Room;
use std::collections::VecDeque;
use std::fmt;
use std::io::IoSlice;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::Instant;

/// A broker, logged in to. Dropping it closes the socket.
pub struct Connection {
    shared: Arc<Shared>,
    outgoing: mpsc::Sender<Outgoing>,
    slots: Arc<Semaphore>,
    versions: ApiVersions,
    client_id: String,
    request_timeout: Duration,
    /// When the broker will want a new login (KIP-368); the pool opens another connection before.
    expires: Option<Instant>,
}

/// What the two tasks and the handle know.
struct Shared {
    address: String,
    world: World,
    pending: Mutex<Pending>,
    closed: Signal,
}

#[derive(Default)]
struct Pending {
    correlation: i32,
    queue: VecDeque<Waiter>,
    failed: Option<Error>,
}

struct Waiter {
    correlation: i32,
    reply: oneshot::Sender<Result<Bytes>>,
    _slot: OwnedSemaphorePermit,
}

struct Outgoing {
    frame: Frame,
    reply: oneshot::Sender<Result<Bytes>>,
    slot: OwnedSemaphorePermit,
}

impl Connection {
    /// Starts the two tasks on the halves of a socket on which nothing has been said yet.
    fn start<R, W>(reading: R, writing: W, address: String, config: &Config) -> Self
    where
        R: AsyncRead + Send + Unpin + 'static,
        W: AsyncWrite + Send + Unpin + 'static,
    {
        let shared = Arc::new(Shared {
            address,
            world: config.world.clone(),
            pending: Mutex::new(Pending::default()),
            closed: Signal::default(),
        });
        let (outgoing, incoming) = mpsc::channel(config.in_flight_max);
        tokio::spawn(write(writing, incoming, shared.clone()));
        tokio::spawn(read(reading, shared.clone(), config.response_bytes_max));
        Self {
            shared,
            outgoing,
            slots: Arc::new(Semaphore::new(config.in_flight_max)),
            versions: ApiVersions::default(),
            client_id: config.client_id.clone(),
            request_timeout: config.request_timeout,
            expires: None,
        }
    }

    /// `host:port`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.shared.address
    }

    /// What the broker told when the connection was made.
    #[must_use]
    pub fn versions(&self) -> &ApiVersions {
        &self.versions
    }

    /// True once the connection is of no use any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.lock().failed.is_some() || self.expires.is_some_and(|at| self.shared.world.now() >= at)
    }

    /// The highest version of a request that broker and client know.
    ///
    /// # Errors
    /// [`Error::Unsupported`].
    pub fn version<R: Request>(&self) -> Result<i16> {
        self.versions.of::<R>().ok_or_else(|| Error::Unsupported {
            broker: self.shared.address.clone(),
            what: format!("{} in a version that this client speaks: the broker is too old", api_name(R::KEY)),
        })
    }

    /// Sends a request in the highest common version and waits for its answer, for `request_timeout`.
    ///
    /// # Errors
    /// [`Error::Unsupported`], [`Error::Io`], [`Error::Timeout`], [`Error::Protocol`]. Error codes inside of the
    /// answer are the caller's to read.
    pub async fn send<R: Request>(&self, request: &R) -> Result<R::Response> {
        self.send_at(request, self.version::<R>()?, self.request_timeout).await
    }

    /// The same in a version that the caller has chosen because the request looks different in others, and with
    /// another time-out, for requests that the broker may hold back.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn send_at<R: Request>(
        &self,
        request: &R,
        version: i16,
        timeout: Duration,
    ) -> Result<R::Response> {
        let frame = Frame::of(&self.client_id, request, version)?;
        let answer = self.queue(frame).await?;
        let bytes = self.shared.wait(answer, R::KEY, timeout).await?;
        wire::decode::<R>(bytes, version)
    }

    /// A request of any version, for [`Self::submit`]; its answer is the caller's to read.
    pub(crate) fn frame<R: Request>(&self, request: &R, version: i16) -> Result<Frame> {
        Frame::of(&self.client_id, request, version)
    }

    /// A request whose body is encoded by hand, for [`Self::submit`].
    pub(crate) fn raw_frame(&self, key: i16, version: i16, body: Vec<Bytes>) -> Result<Frame> {
        Frame::raw(&self.client_id, key, version, body)
    }

    /// Queues a request; requests are sent in the order in which this returns. Waits while `in_flight_max` requests
    /// have no answer yet. If the wait is dropped, nothing is sent.
    pub(crate) async fn submit(&self, frame: Frame) -> Result<Reply> {
        let answer = self.queue(frame).await?;
        Ok(Reply { shared: self.shared.clone(), answer })
    }

    async fn queue(&self, frame: Frame) -> Result<oneshot::Receiver<Result<Bytes>>> {
        let slot = self.slots.clone().acquire_owned().await.map_err(|_| self.shared.gone())?;
        let (reply, answer) = oneshot::channel();
        self.outgoing.send(Outgoing { frame, reply, slot }).await.map_err(|_| self.shared.gone())?;
        Ok(answer)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection({})", self.shared.address)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shared.closed.raise();
    }
}

/// A request that was queued.
pub(crate) struct Reply {
    shared: Arc<Shared>,
    answer: oneshot::Receiver<Result<Bytes>>,
}

impl Reply {
    /// The answer. After `timeout` the connection is closed.
    pub(crate) async fn wait<R: Request>(self, version: i16, timeout: Duration) -> Result<R::Response> {
        let bytes = self.wait_raw(R::KEY, timeout).await?;
        wire::decode::<R>(bytes, version)
    }

    /// The answer's bytes, header included. After `timeout` the connection is closed.
    pub(crate) async fn wait_raw(self, key: i16, timeout: Duration) -> Result<Bytes> {
        self.shared.wait(self.answer, key, timeout).await
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn io(&self, reason: impl fmt::Display) -> Error {
        Error::Io { broker: self.address.clone(), reason: reason.to_string() }
    }

    fn gone(&self) -> Error {
        self.lock().failed.clone().unwrap_or_else(|| self.io("it was closed"))
    }

    /// The answer's bytes, header included. After `timeout` the connection is closed.
    async fn wait(
        &self,
        answer: oneshot::Receiver<Result<Bytes>>,
        key: i16,
        timeout: Duration,
    ) -> Result<Bytes> {
        match self.world.timeout(timeout, answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(self.gone()),
            Err(_) => {
                let what = format!("{} to {}", api_name(key), self.address);
                let error = Error::Timeout { what, after: timeout };
                self.fail(error.clone());
                Err(error)
            }
        }
    }

    /// Ends the connection: everybody who waits gets the error.
    fn fail(&self, error: Error) {
        let waiting = {
            let mut pending = self.lock();
            pending.failed.get_or_insert_with(|| error.clone());
            std::mem::take(&mut pending.queue)
        };
        self.closed.raise();
        for waiter in waiting {
            // Whoever gave up waiting does not miss it.
            drop(waiter.reply.send(Err(error.clone())));
        }
    }

    /// Gives the request its correlation id, before the first byte of it can be answered.
    fn expect(&self, outgoing: Outgoing) -> Result<(Bytes, Vec<Bytes>)> {
        let mut pending = self.lock();
        if let Some(error) = &pending.failed {
            drop(outgoing.reply.send(Err(error.clone())));
            return Err(error.clone());
        }
        let correlation = pending.correlation;
        pending.correlation = correlation.wrapping_add(1);
        match outgoing.frame.seal(correlation) {
            Ok(sealed) => {
                pending.queue.push_back(Waiter { correlation, reply: outgoing.reply, _slot: outgoing.slot });
                Ok(sealed)
            }
            Err(error) => {
                drop(outgoing.reply.send(Err(error.clone())));
                Err(error)
            }
        }
    }

    fn deliver(&self, response: Bytes) -> Result<()> {
        let correlation = response.first_chunk().map(|bytes| i32::from_be_bytes(*bytes));
        let waiter = self.lock().queue.pop_front();
        match (correlation, waiter) {
            (Some(correlation), Some(waiter)) if waiter.correlation == correlation => {
                drop(waiter.reply.send(Ok(response)));
                Ok(())
            }
            (correlation, waiter) => {
                let expected = waiter.as_ref().map(|waiter| waiter.correlation);
                let reason = format!("correlation id {correlation:?} where {expected:?} is due");
                let error = Error::protocol(format!("response of {}", self.address), reason);
                if let Some(waiter) = waiter {
                    drop(waiter.reply.send(Err(error.clone())));
                }
                Err(error)
            }
        }
    }
}

/// Sends what is queued until the handle is dropped or the connection breaks.
async fn write<W: AsyncWrite + Unpin>(
    mut writing: W,
    mut incoming: mpsc::Receiver<Outgoing>,
    shared: Arc<Shared>,
) {
    let closed = shared.closed.clone();
    let work = async {
        while let Some(outgoing) = incoming.recv().await {
            let (head, body) = shared.expect(outgoing)?;
            let mut parts = Parts(body.into());
            parts.0.push_front(head);
            writing.write_all_buf(&mut parts).await.map_err(|error| shared.io(error))?;
            // TLS keeps what fills no record; a plain socket has nothing to flush.
            writing.flush().await.map_err(|error| shared.io(error))?;
        }
        Ok(())
    };
    tokio::select! {
        biased;
        result = work => if let Err(error) = result { shared.fail(error); },
        () = closed.raised() => {}
    }
    // What is still queued gets an answer too.
    incoming.close();
    while let Some(outgoing) = incoming.recv().await {
        drop(outgoing.reply.send(Err(shared.gone())));
    }
    drop(writing.shutdown().await);
}

/// What is sent behind each other: as few system calls as there may be, and nothing is copied.
struct Parts(VecDeque<Bytes>);

impl Buf for Parts {
    fn remaining(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }

    fn chunk(&self) -> &[u8] {
        self.0.front().map_or(&[], |part| part)
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let parts = self.0.iter().filter(|part| !part.is_empty()).zip(slices);
        parts.map(|(part, slice)| *slice = IoSlice::new(part)).count()
    }

    fn advance(&mut self, mut count: usize) {
        while let Some(part) = self.0.front_mut() {
            let some = count.min(part.len());
            part.advance(some);
            count -= some;
            if !part.is_empty() {
                break;
            }
            self.0.pop_front();
        }
        assert_eq!(count, 0, "no more was sent than there was");
    }
}

/// Hands out responses until the connection ends.
async fn read<R: AsyncRead + Unpin>(mut reading: R, shared: Arc<Shared>, bytes_max: usize) {
    let room = Room::default();
    let closed = shared.closed.clone();
    let work = async {
        loop {
            let response = read_frame(&mut reading, &shared, &room, bytes_max).await?;
            shared.deliver(response)?;
        }
    };
    let result: Result<()> = tokio::select! {
        biased;
        result = work => result,
        () = closed.raised() => Err(shared.io("it was closed")),
    };
    if let Err(error) = result {
        shared.fail(error);
    }
}

async fn read_frame<R: AsyncRead + Unpin>(
    reading: &mut R,
    shared: &Shared,
    room: &Room,
    bytes_max: usize,
) -> Result<Bytes> {
    let length = reading.read_i32().await.map_err(|error| shared.io(describe(&error)))?;
    let fault = || Error::protocol(format!("response of {}", shared.address), format!("length {length}"));
    let length = usize::try_from(length).map_err(|_| fault())?;
    if length > bytes_max || length < 4 {
        return Err(fault());
    }
    let mut buffer = room.take(length);
    let mut limited = reading.take(length as u64);
    while buffer.len() < length {
        if buffer.len() == buffer.capacity() {
            buffer.reserve_exact(buffer.len().min(length - buffer.len()));
        }
        if limited.read_buf(&mut buffer).await.map_err(|error| shared.io(describe(&error)))? == 0 {
            return Err(shared.io("the broker closed it in the middle of a response"));
        }
    }
    Ok(room.lend(buffer))
}

fn describe(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => "the broker closed it".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests;
