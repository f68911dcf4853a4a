//! How a broker is to be run. Everything has a bound.

use crate::groups::GroupOptions;
use acme_types::Secret;
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Who is told of what a person should know, one clause at a time.
pub type Warn = Arc<dyn Fn(&str) + Send + Sync>;

/// The broker's certificate, in PEM.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The chain, the broker's own first.
    pub certificates: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// How a broker is to be run.
#[derive(Clone)]
pub struct Options {
    /// Where to listen; `None`: only for this process.
    pub listen: Option<SocketAddr>,
    /// Host and port that clients are told; by default those that they have reached.
    pub advertised: Option<(String, u16)>,
    /// Speaks TLS only.
    pub tls: Option<Tls>,
    /// Users and passwords (SASL PLAIN). Whoever connects must be one of them, unless there is none.
    pub users: BTreeMap<String, Secret>,
    /// Listens elsewhere than on the loopback without TLS and users too.
    pub exposed: bool,
    /// `auto.create.topics.enable`.
    pub auto_create_topics: bool,
    /// `num.partitions`.
    pub partitions: u32,
    /// A replication factor above 1 is an error, as it is with one node of Kafka, instead of a warning.
    pub replication_strict: bool,
    /// Connections at a time.
    pub connections_max: usize,
    /// Connections of one address at a time.
    pub per_address_max: usize,
    /// Bytes of one request with records (`socket.request.max.bytes`).
    pub produce_bytes_max: usize,
    /// Bytes of one request without.
    pub request_bytes_max: usize,
    /// Bytes of all requests that are being received.
    pub receiving_bytes_max: usize,
    /// Bytes of all answers that nobody has taken yet; beyond it a fetch returns one batch.
    pub sending_bytes_max: usize,
    /// Bytes that one fetch may return (`fetch.max.bytes`).
    pub fetch_bytes_max: usize,
    /// Fetch sessions at a time (`max.incremental.fetch.session.cache.slots`).
    pub sessions_max: usize,
    /// A connection without a request for so long is closed (`connections.max.idle.ms`).
    pub idle: Duration,
    /// A peer that neither sends the rest of a request nor takes an answer for so long is gone.
    pub stalled: Duration,
    /// How groups are run.
    pub groups: GroupOptions,
    /// Who is told.
    pub warn: Warn,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: None,
            advertised: None,
            tls: None,
            users: BTreeMap::new(),
            exposed: false,
            auto_create_topics: true,
            partitions: 1,
            replication_strict: false,
            connections_max: 10_000,
            per_address_max: 10_000,
            produce_bytes_max: 104_857_600,
            request_bytes_max: 4 << 20,
            receiving_bytes_max: 256 << 20,
            sending_bytes_max: 128 << 20,
            fetch_bytes_max: 57_671_680,
            sessions_max: 1_000,
            idle: Duration::from_secs(600),
            stalled: Duration::from_secs(30),
            groups: GroupOptions::default(),
            warn: Arc::new(|_| {}),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("listen", &self.listen)
            .field("tls", &self.tls)
            .field("users", &self.users.keys())
            .finish_non_exhaustive()
    }
}

/// What TLS connections are accepted with.
pub(crate) fn acceptor(tls: &Tls) -> Result<tokio_rustls::TlsAcceptor, String> {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let fault = |path: &std::path::Path, error: &dyn fmt::Display| format!("{}: {error}", path.display());
    let chain = CertificateDer::pem_file_iter(&tls.certificates)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| fault(&tls.certificates, &error))?;
    let key = PrivateKeyDer::from_pem_file(&tls.key).map_err(|error| fault(&tls.key, &error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| fault(&tls.certificates, &error))?;
    Ok(tokio_rustls::TlsAcceptor::from(Arc::new(config)))
}
