//! The broker as a whole: its listener, its bounds, and how it ends.

use crate::connection::{self, Session};
use crate::context::Context;
use crate::frame::text;
use crate::options::Options;
use crate::sasl::Exchange;
use acme_log::Log;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

/// Bytes under way within the process, each way.
const DUPLEX_BYTES: usize = 1 << 20;
/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long connections may take to end.
const GRACE: Duration = Duration::from_secs(5);

/// Why a broker does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody asked for that explicitly.
    #[error("{0} can be reached from elsewhere, and this broker has no TLS or no users")]
    Exposed(SocketAddr),
    /// The address cannot be listened on.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, io::Error),
    /// What groups and transactions have written cannot be read.
    #[error("{0}; restore the data directory from a copy")]
    Load(String),
    /// Certificate or key cannot be used.
    #[error("TLS: {0}")]
    Tls(String),
}

/// A running broker. It stops when told to, or with its last handle.
#[derive(Clone)]
pub struct Broker {
    context: Arc<Context>,
    address: Option<SocketAddr>,
    runtime: Handle,
    gate: Arc<Gate>,
    stop: Arc<watch::Sender<bool>>,
    listener: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Broker {
    /// Listens, if it is to, and serves from then on; within a runtime.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn start(log: Log, options: Options) -> Result<Self, Error> {
        let tls = options.tls.as_ref().map(crate::options::acceptor).transpose().map_err(Error::Tls)?;
        let listener = match options.listen {
            Some(address) => Some(listen(address, &options, tls.is_some()).await?),
            None => None,
        };
        let address = listener.as_ref().and_then(|listener| listener.local_addr().ok());
        let (stop, stopping) = watch::channel(false);
        let gate = Arc::new(Gate::new(options.connections_max, options.per_address_max));
        let context = Arc::new(Context::new(log, options, stopping));
        context.start_coordinators().await.map_err(Error::Load)?;
        let task = listener
            .map(|listener| tokio::spawn(accept(Arc::clone(&context), Arc::clone(&gate), listener, tls)));
        Ok(Self {
            context,
            address,
            runtime: Handle::current(),
            gate,
            stop: Arc::new(stop),
            listener: Arc::new(Mutex::new(task)),
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// A connection without a socket, served like any other.
    #[must_use]
    pub fn connect(&self) -> DuplexStream {
        let (ours, theirs) = tokio::io::duplex(DUPLEX_BYTES);
        let session = session(&self.context, None, None);
        let (reader, writer) = tokio::io::split(ours);
        let (context, place) = (Arc::clone(&self.context), self.gate.enter(None));
        self.runtime.spawn(async move {
            let fault = connection::serve(Arc::clone(&context), session, reader, writer).await;
            report(&context, "this process", fault);
            drop(place);
        });
        theirs
    }

    /// Takes no more requests, sends the answers of those that it has, and ends all connections. The log is its owner's.
    pub async fn stop(&self) {
        self.stop.send_replace(true);
        let task = self.listener.lock().expect("nothing panics while it holds this").take();
        if let Some(task) = task {
            let _ = task.await;
        }
        let _ = timeout(GRACE, self.gate.empty()).await;
    }
}

async fn listen(address: SocketAddr, options: &Options, is_tls: bool) -> Result<TcpListener, Error> {
    let is_safe = address.ip().is_loopback() || (is_tls && !options.users.is_empty());
    if !is_safe && !options.exposed {
        return Err(Error::Exposed(address));
    }
    TcpListener::bind(address).await.map_err(|error| Error::Listen(address, error))
}

async fn accept(context: Arc<Context>, gate: Arc<Gate>, listener: TcpListener, tls: Option<TlsAcceptor>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = context.stopped() => return,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(_) => {
                // Out of files, most likely: those who leave make room.
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Some(place) = gate.enter(Some(peer.ip())) else { continue };
        let (context, tls) = (Arc::clone(&context), tls.clone());
        tokio::spawn(async move {
            socket(&context, stream, peer, tls).await;
            drop(place);
        });
    }
}

async fn socket(context: &Arc<Context>, stream: TcpStream, peer: SocketAddr, tls: Option<TlsAcceptor>) {
    // Answers are written whole; nothing is gained by waiting for more.
    let _ = stream.set_nodelay(true);
    let session = session(context, Some(peer.ip()), stream.local_addr().ok());
    let fault = match tls {
        None => {
            let (reader, writer) = stream.into_split();
            connection::serve(Arc::clone(context), session, reader, writer).await
        }
        Some(tls) => match timeout(HANDSHAKE, tls.accept(stream)).await {
            Ok(Ok(stream)) => serve_split(context, session, stream).await,
            _ => None,
        },
    };
    report(context, &peer.ip().to_string(), fault);
}

async fn serve_split<S: AsyncRead + AsyncWrite + Unpin>(
    context: &Arc<Context>,
    session: Arc<Session>,
    stream: S,
) -> Option<crate::frame::Refused> {
    let (reader, writer) = tokio::io::split(stream);
    connection::serve(Arc::clone(context), session, reader, writer).await
}

fn report(context: &Context, peer: &str, fault: Option<crate::frame::Refused>) {
    if let Some(fault) = fault {
        (context.options.warn)(&format!("the connection of {peer} was ended: {fault}"));
    }
}

/// Somebody who has just come; from this process if there is no address.
fn session(context: &Context, peer: Option<IpAddr>, reached: Option<SocketAddr>) -> Arc<Session> {
    let options = &context.options;
    let advertised =
        options.advertised.clone().or_else(|| reached.map(|at| (at.ip().to_string(), at.port())));
    let (host, port) = advertised.unwrap_or_else(|| ("localhost".to_owned(), 9092));
    let exchange =
        if options.users.is_empty() || peer.is_none() { Exchange::Anonymous } else { Exchange::Handshake };
    Arc::new(Session {
        host: text(&format!("/{}", peer.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)))),
        advertised: (text(&host), i32::from(port)),
        exchange: Mutex::new(exchange),
    })
}

/// Counts connections.
struct Gate {
    places: Arc<Semaphore>,
    all: u32,
    per_address_max: usize,
    addresses: Arc<Mutex<BTreeMap<IpAddr, usize>>>,
}

/// A place among the connections; given back when it is dropped.
struct Place {
    _place: OwnedSemaphorePermit,
    address: Option<IpAddr>,
    addresses: Arc<Mutex<BTreeMap<IpAddr, usize>>>,
}

impl Gate {
    fn new(all: usize, per_address_max: usize) -> Self {
        let all = u32::try_from(all).unwrap_or(u32::MAX).min(1 << 24);
        Self {
            places: Arc::new(Semaphore::new(all as usize)),
            all,
            per_address_max,
            addresses: Arc::default(),
        }
    }

    /// A place, unless there are too many. Who is of this process gets one in any case, if it can be had.
    fn enter(&self, address: Option<IpAddr>) -> Option<Place> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        if let Some(address) = address {
            let mut addresses = self.addresses.lock().expect("nothing panics while it holds this");
            let count = addresses.entry(address).or_default();
            if *count >= self.per_address_max {
                return None;
            }
            *count += 1;
        }
        Some(Place { _place: place, address, addresses: Arc::clone(&self.addresses) })
    }

    /// Resolves when everybody has left.
    async fn empty(&self) {
        let _ = self.places.acquire_many(self.all).await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(address) = self.address else { return };
        let mut addresses = self.addresses.lock().expect("nothing panics while it holds this");
        if let Some(count) = addresses.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                addresses.remove(&address);
            }
        }
    }
}
