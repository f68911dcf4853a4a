//! One connection to a server: startup, authentication, framing, simple queries. It knows no table and no slot.
//!
//! Source: PostgreSQL documentation, "Frontend/Backend Protocol". The messages that we send and SCRAM come from
//! `postgres-protocol`; framing is our own, because replication and COPY read in place, without a copy per row.

use crate::reader::{Reader, Short};
use crate::settings::Address;
use crate::tls::{self, SslMode};
use bytes::{Buf, BytesMut};
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};
use postgres_protocol::message::frontend;
use socket2::{SockRef, TcpKeepalive};
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

/// The longest message. The server's own limit for a row is 1 GiB.
const MESSAGE_MAX: usize = 1 << 30;
/// What is read from the socket at once.
pub(crate) const READ: usize = 256 << 10;
/// How long a server may take to answer the first time.
const CONNECT: Duration = Duration::from_secs(10);
/// After so long without a byte where an answer is due, the server is asked on another connection what it is doing.
const QUIET: Duration = Duration::from_secs(30);
/// The kernel asks a silent peer after so long, and so often.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// What can go wrong on one connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    /// The network or the other side.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The server closed the connection.
    #[error("the server closed the connection")]
    Closed,
    /// The server's answer to a request.
    #[error("{0}")]
    Server(Box<ServerError>),
    /// Bytes that no server sends.
    #[error("the server does not follow the protocol: {0}")]
    Protocol(String),
    /// TLS could not be agreed on.
    #[error("{0}")]
    Tls(String),
    /// Authentication that needs more than we were given.
    #[error("{0}")]
    Credentials(String),
}

impl From<Short> for WireError {
    fn from(_: Short) -> Self {
        Self::Protocol("a message is shorter than it says".to_owned())
    }
}

/// An `ErrorResponse`.
///
/// Source: protocol documentation, "Error and Notice Message Fields".
#[derive(Debug, Default, thiserror::Error)]
#[error("{message}")]
pub(crate) struct ServerError {
    /// SQLSTATE.
    pub(crate) code: String,
    /// The primary message.
    pub(crate) message: String,
    /// More about it.
    pub(crate) detail: String,
}

/// One row of a simple query, each value as text.
pub(crate) type Row = Vec<Option<String>>;

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Closed,
}

/// A connection that is ready for queries.
pub(crate) struct Connection {
    stream: Stream,
    inbox: BytesMut,
    address: Address,
    /// The server process at the other end.
    pid: u32,
}

impl Connection {
    /// Connects and authenticates; `replication` asks for a walsender bound to the database.
    pub(crate) async fn open(address: &Address, replication: bool) -> Result<Self, WireError> {
        let timed = timeout(CONNECT, Self::start(address, replication));
        timed.await.unwrap_or_else(|_| Err(silence(CONNECT)))
    }

    async fn start(address: &Address, replication: bool) -> Result<Self, WireError> {
        let socket = TcpStream::connect((address.host.as_str(), address.port)).await?;
        socket.set_nodelay(true)?;
        let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE);
        SockRef::from(&socket).set_tcp_keepalive(&keepalive)?;
        let stream = negotiate(socket, address).await?;
        let inbox = BytesMut::with_capacity(16 << 10);
        let mut connection = Self { stream, inbox, address: address.clone(), pid: 0 };
        // The same settings on every connection, so that a value has one text form wherever it is read.
        let mut parameters = vec![
            ("user", address.user.as_str()),
            ("database", &address.database),
            ("application_name", &address.application),
            ("client_encoding", "UTF8"),
            ("datestyle", "ISO"),
            ("timezone", "UTC"),
            ("intervalstyle", "postgres"),
            ("extra_float_digits", "3"),
            ("bytea_output", "hex"),
            ("search_path", "pg_catalog"),
            ("statement_timeout", "0"),
            ("idle_in_transaction_session_timeout", "0"),
        ];
        if replication {
            parameters.push(("replication", "database"));
        }
        let mut out = BytesMut::new();
        frontend::startup_message(parameters, &mut out)?;
        connection.send(&out).await?;
        connection.authenticate(address).await?;
        Ok(connection)
    }

    async fn authenticate(&mut self, address: &Address) -> Result<(), WireError> {
        let mut scram: Option<ScramSha256> = None;
        loop {
            let (tag, body) = self.message().await?;
            match tag {
                b'R' => self.answer(address, &body, &mut scram).await?,
                b'E' => return Err(server_error(&body)),
                b'Z' => return Ok(()),
                b'K' => self.pid = Reader(&body).u32()?,
                // Parameters, notices, and newer protocol options that we did not ask for.
                b'S' | b'N' | b'v' => {}
                other => return Err(unexpected(other, "startup")),
            }
        }
    }

    async fn answer(
        &mut self,
        address: &Address,
        body: &[u8],
        scram: &mut Option<ScramSha256>,
    ) -> Result<(), WireError> {
        let mut reader = Reader(body);
        let mut out = BytesMut::new();
        let password = || {
            let password = address.password.as_ref().map(|secret| secret.reveal().as_bytes());
            password.ok_or_else(|| WireError::Credentials("the server asks for a password".to_owned()))
        };
        match reader.i32()? {
            0 => return Ok(()),
            3 => frontend::password_message(password()?, &mut out)?,
            5 => {
                let salt = reader.take(4)?.try_into().expect("four bytes were taken");
                let hash = md5_hash(address.user.as_bytes(), password()?, salt);
                frontend::password_message(hash.as_bytes(), &mut out)?;
            }
            10 => {
                let offered = reader.0.split(|byte| *byte == 0).any(|name| name == SCRAM_SHA_256.as_bytes());
                if !offered {
                    let message = "the server offers no password method that is known here";
                    return Err(WireError::Credentials(message.to_owned()));
                }
                let exchange = ScramSha256::new(password()?, ChannelBinding::unsupported());
                frontend::sasl_initial_response(SCRAM_SHA_256, exchange.message(), &mut out)?;
                *scram = Some(exchange);
            }
            11 => {
                let exchange = scram.as_mut().ok_or_else(|| unexpected(b'R', "startup"))?;
                exchange.update(reader.0)?;
                frontend::sasl_response(exchange.message(), &mut out)?;
            }
            12 => {
                let exchange = scram.as_mut().ok_or_else(|| unexpected(b'R', "startup"))?;
                exchange.finish(reader.0)?;
                return Ok(());
            }
            kind => {
                let message =
                    format!("the server asks for authentication of kind {kind}, which is not known here");
                return Err(WireError::Credentials(message));
            }
        }
        self.send(&out).await
    }

    /// Sends whole messages.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> Result<(), WireError> {
        match &mut self.stream {
            Stream::Plain(stream) => stream.write_all(bytes).await?,
            Stream::Tls(stream) => {
                stream.write_all(bytes).await?;
                stream.flush().await?;
            }
            Stream::Closed => return Err(WireError::Closed),
        }
        Ok(())
    }

    /// Waits for more bytes, at most [`READ`] at once; how many came. Cancel-safe.
    pub(crate) async fn fill(&mut self) -> Result<usize, WireError> {
        // Room for one read, never for what a message says of its own length.
        self.inbox.reserve(READ);
        let count = match &mut self.stream {
            Stream::Plain(stream) => stream.read_buf(&mut self.inbox).await?,
            Stream::Tls(stream) => stream.read_buf(&mut self.inbox).await?,
            Stream::Closed => 0,
        };
        if count == 0 { Err(WireError::Closed) } else { Ok(count) }
    }

    /// Waits for more bytes of an answer, however long the server works on it, but not for one that cannot come any more:
    /// a connection may be lost without a sign.
    pub(crate) async fn await_more(&mut self) -> Result<(), WireError> {
        loop {
            if let Ok(filled) = timeout(QUIET, self.fill()).await {
                return filled.map(drop);
            }
            if !self.is_at_work().await? {
                // What it has sent may be on its way.
                let last = timeout(Duration::from_secs(1), self.fill()).await;
                return last.unwrap_or_else(|_| Err(silence(QUIET))).map(drop);
            }
        }
    }

    /// Whether the server process at the other end works for us, and does not wait for us itself.
    fn is_at_work(&self) -> Pin<Box<dyn Future<Output = Result<bool, WireError>> + Send>> {
        let (address, pid) = (self.address.clone(), self.pid);
        Box::pin(async move {
            let query = format!(
                "SELECT wait_event_type IS DISTINCT FROM 'Client' FROM pg_stat_activity WHERE pid = {pid}"
            );
            let mut other = Self::open(&address, false).await?;
            let asked = timeout(CONNECT, other.value(&query)).await.unwrap_or_else(|_| Err(silence(CONNECT)));
            Ok(asked?.is_some_and(|at_work| at_work == "t"))
        })
    }

    /// Lets the other side send undisturbed for a while. A socket that the runtime watches wakes it with every packet, also
    /// when nobody reads, and the sender pays for that; so it is not watched meanwhile. TLS goes on at once.
    ///
    /// A connection whose rest is cancelled is closed.
    pub(crate) async fn rest(&mut self, time: Duration) -> Result<(), WireError> {
        match std::mem::replace(&mut self.stream, Stream::Closed) {
            Stream::Plain(stream) => {
                let stream = stream.into_std()?;
                tokio::time::sleep(time).await;
                self.stream = Stream::Plain(TcpStream::from_std(stream)?);
            }
            other => self.stream = other,
        }
        Ok(())
    }

    /// The bytes that have come and were not taken yet.
    pub(crate) fn inbox(&mut self) -> &mut BytesMut {
        &mut self.inbox
    }

    /// Waits for a whole message: its tag and body.
    pub(crate) async fn message(&mut self) -> Result<(u8, BytesMut), WireError> {
        loop {
            if let Some((tag, body)) = frame(&self.inbox)? {
                let mut message = self.inbox.split_to(body.end);
                message.advance(body.start);
                return Ok((tag, message));
            }
            self.await_more().await?;
        }
    }

    /// Runs statements and returns all their rows.
    pub(crate) async fn query(&mut self, sql: &str) -> Result<Vec<Row>, WireError> {
        self.ask(sql).await?;
        let (mut rows, mut failed) = (Vec::new(), None);
        loop {
            let (tag, body) = self.message().await?;
            match tag {
                b'D' => rows.push(data_row(&body)?),
                b'E' => failed = failed.or(Some(server_error(&body))),
                b'Z' => return failed.map_or(Ok(rows), Err),
                b'T' | b'C' | b'I' | b'N' | b'S' | b'A' => {}
                other => return Err(unexpected(other, "a query")),
            }
        }
    }

    /// Runs statements for their first value.
    pub(crate) async fn value(&mut self, sql: &str) -> Result<Option<String>, WireError> {
        Ok(self.query(sql).await?.into_iter().flatten().next().flatten())
    }

    /// Sends a query without waiting for its answer.
    pub(crate) async fn ask(&mut self, sql: &str) -> Result<(), WireError> {
        let mut out = BytesMut::new();
        frontend::query(sql, &mut out)?;
        self.send(&out).await
    }

    /// Sends a query that turns the connection into a copy, and waits until it has begun.
    pub(crate) async fn copy(&mut self, sql: &str) -> Result<(), WireError> {
        self.ask(sql).await?;
        let mut failed = None;
        loop {
            let (tag, body) = self.message().await?;
            match tag {
                b'H' | b'W' => return Ok(()),
                b'E' => failed = failed.or(Some(server_error(&body))),
                b'Z' => return Err(failed.unwrap_or_else(|| unexpected(b'Z', "the start of a copy"))),
                b'N' | b'S' => {}
                other => return Err(unexpected(other, "the start of a copy")),
            }
        }
    }
}

/// A connection on which nothing comes any more.
pub(crate) fn silence(time: Duration) -> WireError {
    let message = format!("nothing was heard from the server for {} s", time.as_secs().max(1));
    WireError::Io(io::Error::new(io::ErrorKind::TimedOut, message))
}

async fn negotiate(mut socket: TcpStream, address: &Address) -> Result<Stream, WireError> {
    if address.ssl == SslMode::Disable {
        return Ok(Stream::Plain(socket));
    }
    let mut out = BytesMut::new();
    frontend::ssl_request(&mut out);
    socket.write_all(&out).await?;
    match socket.read_u8().await? {
        b'S' => {
            let stream = tls::handshake(socket, &address.host, address.ssl, address.root.as_deref()).await?;
            Ok(Stream::Tls(Box::new(stream)))
        }
        b'N' if address.ssl == SslMode::Prefer => Ok(Stream::Plain(socket)),
        b'N' => Err(WireError::Tls("the server does not speak TLS".to_owned())),
        other => Err(unexpected(other, "the request for TLS")),
    }
}

/// The first message of `bytes`, if it is whole: its tag, and where its body lies.
pub(crate) fn frame(bytes: &[u8]) -> Result<Option<(u8, Range<usize>)>, WireError> {
    let Some((tag, rest)) = bytes.split_first() else { return Ok(None) };
    let Some(length) = rest.first_chunk::<4>() else { return Ok(None) };
    let length = usize::try_from(i32::from_be_bytes(*length)).unwrap_or(0);
    if !(4..=MESSAGE_MAX).contains(&length) {
        return Err(WireError::Protocol(format!("a message of {length} bytes")));
    }
    Ok((bytes.len() > length).then_some((*tag, 5..length + 1)))
}

pub(crate) fn unexpected(tag: u8, during: &str) -> WireError {
    WireError::Protocol(format!("message '{}' during {during}", char::from(tag).escape_default()))
}

/// Reads an `ErrorResponse`.
pub(crate) fn server_error(body: &[u8]) -> WireError {
    let mut error = ServerError::default();
    for field in body.split(|byte| *byte == 0) {
        let Some((kind, text)) = field.split_first() else { continue };
        let text = String::from_utf8_lossy(text).into_owned();
        match kind {
            b'C' => error.code = text,
            b'M' => error.message = text,
            b'D' => error.detail = text,
            _ => {}
        }
    }
    WireError::Server(Box::new(error))
}

fn data_row(body: &[u8]) -> Result<Row, WireError> {
    let mut reader = Reader(body);
    let mut row = Vec::new();
    for _ in 0..reader.u16()? {
        let length = reader.i32()?;
        row.push(match usize::try_from(length) {
            Ok(length) => Some(String::from_utf8_lossy(reader.take(length)?).into_owned()),
            Err(_) => None,
        });
    }
    Ok(row)
}

/// A name as SQL wants it.
pub(crate) fn ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as SQL wants it, whatever `standard_conforming_strings` says.
pub(crate) fn literal(text: &str) -> String {
    let escape = if text.contains('\\') { "E" } else { "" };
    format!("{escape}'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}
