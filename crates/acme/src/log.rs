//! The log that this machine carries: whoever needs it first carries it for all others until it ends.
//!
//! The directory's lock decides. Who has it runs the broker, listens on the loopback, and writes the address beside the log;
//! who does not connects there. Every new connection looks again: when the carrier has ended, the next one takes over.

use acme_broker::Broker;
use acme_connect::{Duplex, LocalLog, Pending, SystemClock};
use acme_log::{Error, Log};
use acme_types::{Clock, Diagnostic, codes, disk_fault};
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::Mutex;

/// Where clients of Kafka look first.
pub(crate) const ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9092);
/// The file in the log's directory that says where its carrier listens.
const ADDRESS_FILE: &str = "address";
/// Who has the lock and does not listen yet, or listens no more, is waited for so long.
const TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(100);

/// The directory of this machine's log: `$ACME_LOG_DIR`, else beside the states of the pipelines.
pub(crate) fn directory() -> PathBuf {
    match std::env::var_os("ACME_LOG_DIR").filter(|value| !value.is_empty()) {
        Some(directory) => PathBuf::from(directory),
        None => crate::state::root().join(".log"),
    }
}

/// This machine's log. Who `tells` says where it listens when it has to carry it.
pub(crate) fn own(tells: bool) -> Arc<dyn LocalLog> {
    Arc::new(Own { tells })
}

/// Writes what is left to disk and lets others carry the log.
pub(crate) fn leave() {
    let mut carried = CARRIED.blocking_lock();
    if let Some(Carried { log, broker, runtime }) = carried.take() {
        runtime.block_on(broker.stop());
        retract(&directory());
        log.close();
    }
}

/// How a log is kept, where it is not as usual.
#[derive(Clone, Default)]
pub(crate) struct Storage {
    /// Settings of topics that have none of their own.
    pub(crate) defaults: BTreeMap<String, String>,
    /// How often retention and compaction are looked after.
    pub(crate) housekeeping: Option<Duration>,
    /// How often the recovery points are written.
    pub(crate) checkpoint: Option<Duration>,
}

/// Opens the log of a directory. Blocks.
///
/// # Errors
/// [`Error::Locked`] where another process carries it.
pub(crate) fn open(directory: &Path, storage: Storage) -> Result<Log, Error> {
    let clock = SystemClock::start();
    let mut options = acme_log::Options::new(Arc::new(move || clock.now().0.div_euclid(1_000)));
    options.defaults = storage.defaults;
    options.housekeeping = storage.housekeeping.unwrap_or(options.housekeeping);
    options.checkpoint = storage.checkpoint.unwrap_or(options.checkpoint);
    options.passed = Arc::new(acme_connect::failpoint);
    Log::open(directory, options)
}

/// Why a log was not opened, for who wants it for himself.
pub(crate) fn refused(error: &Error) -> Diagnostic {
    match error {
        Error::Locked(_) => Diagnostic::new(&codes::DATA_IN_USE, error.to_string())
            .help("stop the process that has it, or give this one a directory of its own with --data"),
        Error::Disk { what, path, error } => disk_fault(&format!("{what} {}", path.display()), error),
        _ => Diagnostic::new(&codes::STATE, error.to_string()),
    }
}

/// Says where the carrier of a log listens.
pub(crate) fn announce(directory: &Path, address: SocketAddr) -> Result<(), Diagnostic> {
    let (temporary, place) = (directory.join(".address"), directory.join(ADDRESS_FILE));
    let written = fs::write(&temporary, address.to_string()).and_then(|()| fs::rename(&temporary, &place));
    written.map_err(|error| disk_fault(&format!("write {}", place.display()), &error))
}

/// Nobody listens there any more.
pub(crate) fn retract(directory: &Path) {
    // Who reads it finds that nobody answers, and looks again.
    let _ = fs::remove_file(directory.join(ADDRESS_FILE));
}

struct Own {
    tells: bool,
}

impl fmt::Debug for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the log in {}", directory().display())
    }
}

impl LocalLog for Own {
    fn dial(&self) -> Pending<'static, io::Result<Box<dyn Duplex>>> {
        Box::pin(dial(self.tells))
    }
}

/// What this process carries. It outlives the runtimes of the pipelines, whose connections end in it.
struct Carried {
    log: Log,
    broker: Broker,
    runtime: Runtime,
}

static CARRIED: LazyLock<Mutex<Option<Carried>>> = LazyLock::new(Mutex::default);

async fn dial(tells: bool) -> io::Result<Box<dyn Duplex>> {
    let directory = directory();
    for _ in 0..TRIES {
        let mut carried = CARRIED.lock().await;
        if let Some(Carried { broker, .. }) = carried.as_ref() {
            return Ok(Box::new(broker.connect()));
        }
        let place = directory.clone();
        match tokio::task::spawn_blocking(move || carry(&place, tells)).await.map_err(io::Error::other)? {
            Ok(begun) => *carried = Some(begun),
            Err(Failed::Elsewhere) => {
                drop(carried);
                // The address of one that has died may stand there still.
                let address = fs::read_to_string(directory.join(ADDRESS_FILE)).ok();
                if let Some(address) = address.and_then(|text| text.parse::<SocketAddr>().ok())
                    && let Ok(stream) = TcpStream::connect(address).await
                {
                    stream.set_nodelay(true)?;
                    return Ok(Box::new(stream));
                }
                tokio::time::sleep(PAUSE).await;
            }
            Err(Failed::Fault(reason)) => return Err(io::Error::other(reason)),
        }
    }
    let what = format!("another process has {} and does not answer", directory.display());
    Err(io::Error::other(what))
}

enum Failed {
    /// Another process carries it.
    Elsewhere,
    Fault(String),
}

/// Opens the log and serves it.
fn carry(directory: &Path, tells: bool) -> Result<Carried, Failed> {
    let fault = |error: &dyn fmt::Display| Failed::Fault(error.to_string());
    let log = open(directory, Storage::default()).map_err(|error| match error {
        Error::Locked(_) => Failed::Elsewhere,
        error => fault(&error),
    })?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("log")
        .enable_all()
        .build()
        .map_err(|error| fault(&error))?;
    let broker = runtime.block_on(listen(&log)).map_err(|error| fault(&error))?;
    if let Some(address) = broker.address() {
        announce(directory, address).map_err(|error| fault(&error.message))?;
        if tells {
            crate::commands::note(&format!("log: {} at {address}\n", directory.display()));
        }
    }
    Ok(Carried { log, broker, runtime })
}

/// At Kafka's port, or at any if that is taken.
async fn listen(log: &Log) -> Result<Broker, acme_broker::Error> {
    let options = |listen| acme_broker::Options { listen: Some(listen), ..Default::default() };
    match Broker::start(log.clone(), options(ADDRESS)).await {
        Err(acme_broker::Error::Listen(..)) => {
            Broker::start(log.clone(), options(SocketAddr::new(ADDRESS.ip(), 0))).await
        }
        started => started,
    }
}
