//! What a client is told: where the cluster is, who we are to it, and how long to wait.

use crate::error::{Error, Result};
use crate::world::World;
use acme_types::Secret;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// Settings of a [`crate::Client`]. Times and sizes have Kafka's own defaults unless a field says otherwise.
#[derive(Clone, Debug)]
pub struct Config {
    /// `host:port` of some brokers; the others are found through them.
    pub bootstrap: Vec<String>,
    /// The name that brokers show in their logs, metrics and quotas.
    pub client_id: String,
    /// Encryption and login.
    pub security: Security,
    /// How long a broker may take to answer one request. A broker that takes longer is given up and connected anew.
    pub request_timeout: Duration,
    /// How long an operation with all of its retries may take (`default.api.timeout.ms`).
    pub operation_timeout: Duration,
    /// How long TCP, TLS and the login may take, each.
    pub connect_timeout: Duration,
    /// The first pause before a retry; it doubles up to `retry_backoff_max`.
    pub retry_backoff: Duration,
    /// The longest pause between two tries.
    pub retry_backoff_max: Duration,
    /// The age at which metadata is asked for again even though nothing failed.
    pub metadata_max_age: Duration,
    /// The most bytes of one response. A broker that announces more is refused before anything is allocated.
    pub response_bytes_max: usize,
    /// Requests that may wait for their answers on one connection.
    pub in_flight_max: usize,
    /// The network and the clock.
    pub world: World,
}

impl Config {
    /// Kafka's defaults, without encryption and login.
    #[must_use]
    pub fn new<S: Into<String>>(bootstrap: impl IntoIterator<Item = S>) -> Self {
        Self {
            bootstrap: bootstrap.into_iter().map(Into::into).collect(),
            client_id: "acme".to_owned(),
            security: Security::default(),
            request_timeout: Duration::from_secs(30),
            operation_timeout: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(10),
            retry_backoff: Duration::from_millis(100),
            retry_backoff_max: Duration::from_secs(1),
            metadata_max_age: Duration::from_secs(300),
            response_bytes_max: 128 * 1024 * 1024,
            in_flight_max: 64,
            world: World::Real,
        }
    }

    /// Finds what cannot work before anything is connected.
    ///
    /// # Errors
    /// [`Error::Config`] that names the setting.
    pub fn check(&self) -> Result<()> {
        if self.bootstrap.is_empty() {
            return Err(Error::Config("no bootstrap server is given".to_owned()));
        }
        for (index, server) in self.bootstrap.iter().enumerate() {
            // What stands there instead of an address may be a secret, so it is not shown.
            split_address(server).map_err(|_| {
                Error::Config(format!(
                    "bootstrap server {} of {} is not host:port",
                    index + 1,
                    self.bootstrap.len()
                ))
            })?;
        }
        if self.in_flight_max == 0 {
            return Err(Error::Config("at least one request must be allowed in flight".to_owned()));
        }
        if self.security.tls.is_some() && matches!(self.world, World::Simulated(_)) {
            return Err(Error::Config("a simulated network has no TLS".to_owned()));
        }
        if self.security.tls.is_none()
            && matches!(self.security.sasl, Some(Sasl::OauthBearer { .. }))
            && !self.bootstrap.iter().all(|server| is_loopback(server))
        {
            return Err(Error::Config(
                "OAUTHBEARER without TLS would show the token to the network: use SASL_SSL".to_owned(),
            ));
        }
        Ok(())
    }
}

fn is_loopback(server: &str) -> bool {
    ["127.0.0.1:", "localhost:", "[::1]:"].iter().any(|prefix| server.starts_with(prefix))
}

/// Host and port of `host:port` or `[v6]:port`.
pub(crate) fn split_address(address: &str) -> Result<(String, u16)> {
    let fault = || Error::Config(format!("bootstrap server {address:?} is not host:port"));
    let (host, port) = address.trim().rsplit_once(':').ok_or_else(fault)?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
    if host.is_empty() || !host.chars().all(is_part) {
        return Err(fault());
    }
    Ok((host.to_owned(), port.parse().map_err(|_| fault())?))
}

/// Encryption and login. Both absent is `PLAINTEXT`, both present `SASL_SSL`.
#[derive(Clone, Debug, Default)]
pub struct Security {
    /// Encrypt, and check the broker's certificate.
    pub tls: Option<Tls>,
    /// Log in.
    pub sasl: Option<Sasl>,
}

/// Settings of TLS 1.2 and 1.3.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Certificates of the authorities to trust; absent means those of the system.
    pub authorities: Option<Pem>,
    /// Our own certificate chain and its key, for brokers with `ssl.client.auth`.
    pub identity: Option<Identity>,
    /// Whether the certificate must name the host (`ssl.endpoint.identification.algorithm=https`).
    pub verify_host: bool,
}

impl Default for Tls {
    fn default() -> Self {
        Self { authorities: None, identity: None, verify_host: true }
    }
}

/// A certificate chain and the private key of its first certificate.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The chain, our own certificate first.
    pub certificates: Pem,
    /// The key: PKCS#8, PKCS#1 or SEC1, not encrypted.
    pub key: Pem,
}

/// PEM text, here or in a file.
#[derive(Clone, Debug)]
pub enum Pem {
    /// A path, read when the client connects.
    File(String),
    /// The text itself.
    Text(Secret),
}

/// How to log in.
#[derive(Clone, Debug)]
pub enum Sasl {
    /// User and password in the clear (RFC 4616): only sensible over TLS.
    Plain {
        /// The user's name.
        username: String,
        /// The password.
        password: Secret,
    },
    /// A challenge that never sends the password (RFC 5802).
    Scram {
        /// SHA-256 or SHA-512.
        hash: ScramHash,
        /// The user's name.
        username: String,
        /// The password.
        password: Secret,
    },
    /// A token of an OAuth server (RFC 7628, KIP-255).
    OauthBearer {
        /// Where the token comes from; asked for each new connection.
        token: Arc<dyn TokenProvider>,
        /// SASL extensions, as `logicalCluster` of some clouds.
        extensions: Vec<(String, String)>,
    },
}

impl Sasl {
    /// The name of the mechanism on the wire.
    #[must_use]
    pub fn mechanism(&self) -> &'static str {
        match self {
            Self::Plain { .. } => "PLAIN",
            Self::Scram { hash: ScramHash::Sha256, .. } => "SCRAM-SHA-256",
            Self::Scram { hash: ScramHash::Sha512, .. } => "SCRAM-SHA-512",
            Self::OauthBearer { .. } => "OAUTHBEARER",
        }
    }
}

/// The hash of SCRAM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScramHash {
    /// SCRAM-SHA-256.
    Sha256,
    /// SCRAM-SHA-512.
    Sha512,
}

/// What [`TokenProvider::token`] returns.
pub type TokenFuture<'a> = Pin<Box<dyn Future<Output = std::result::Result<Secret, TokenFault>> + Send + 'a>>;

/// Why there is no token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenFault {
    /// A sentence without secrets.
    pub reason: String,
    /// There may be one soon: it is asked for again.
    pub is_passing: bool,
}

impl TokenFault {
    /// One that may be over soon.
    pub fn passing(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), is_passing: true }
    }
}

impl From<String> for TokenFault {
    fn from(reason: String) -> Self {
        Self { reason, is_passing: false }
    }
}

/// Gives out tokens for OAUTHBEARER. It should cache them: it is asked at each new connection.
pub trait TokenProvider: Send + Sync + fmt::Debug {
    /// A token that is valid now.
    fn token(&self) -> TokenFuture<'_>;
}

/// One token that is known beforehand.
impl TokenProvider for Secret {
    fn token(&self) -> TokenFuture<'_> {
        let token = self.clone();
        Box::pin(async move { Ok(token) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_host_and_port() {
        assert_eq!(split_address("kafka-1.example:9092").unwrap(), ("kafka-1.example".to_owned(), 9092));
        assert_eq!(split_address("[::1]:9092").unwrap(), ("::1".to_owned(), 9092));
        for wrong in ["kafka", ":9092", "kafka:", "kafka:90920"] {
            assert!(split_address(wrong).unwrap_err().to_string().contains("is not host:port"), "{wrong}");
        }
    }

    #[test]
    fn no_debug_text_shows_a_password() {
        let mut config = Config::new(["a:1"]);
        config.security.sasl =
            Some(Sasl::Plain { username: "u".into(), password: Secret::new("pw!".into()) });
        assert!(!format!("{config:?}").contains("pw!"));
    }

    #[test]
    fn a_token_is_not_sent_in_the_clear_over_a_network() {
        let mut config = Config::new(["kafka.example:9092"]);
        let token = Arc::new(Secret::new("t".to_owned()));
        config.security.sasl = Some(Sasl::OauthBearer { token, extensions: Vec::new() });
        assert!(config.check().unwrap_err().to_string().contains("SASL_SSL"));
        config.security.tls = Some(Tls::default());
        config.check().unwrap();
    }
}
